//! `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::routing::get;
use telegen_model::ResourceGroup;

use super::{Format, render};

/// Serves what `source` gives at each scrape under `/metrics`.
pub fn router(source: impl Fn() -> Vec<ResourceGroup> + Send + Sync + 'static) -> Router {
    let source = Arc::new(source);
    Router::new().route(
        "/metrics",
        get(move |headers: HeaderMap| {
            let source = source.clone();
            async move {
                let format =
                    negotiate(headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default());
                // Rendering tens of thousands of series takes a while: not on the thread that drives everything else.
                let body =
                    tokio::task::spawn_blocking(move || render(&source(), format)).await.unwrap_or_default();
                ([(header::CONTENT_TYPE, format.content_type())], body).into_response()
            }
        }),
    )
}

/// OpenMetrics where it is asked for with at least the weight of plain text.
fn negotiate(accept: &str) -> Format {
    let weight = |wanted: &str| {
        accept
            .split(',')
            .filter_map(|part| {
                let mut fields = part.split(';').map(str::trim);
                let kind = fields.next()?;
                let q = fields.find_map(|f| f.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
                (kind == wanted).then_some(q)
            })
            .fold(0.0_f32, f32::max)
    };
    let open = weight("application/openmetrics-text");
    if open > 0.0 && open >= weight("text/plain") { Format::OpenMetrics } else { Format::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_chosen_by_weight() {
        for (accept, format) in [
            ("", Format::Plain),
            ("*/*", Format::Plain),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
                Format::OpenMetrics,
            ),
            ("text/plain;q=0.9,application/openmetrics-text;q=0.1", Format::Plain),
        ] {
            assert_eq!(negotiate(accept), format, "{accept}");
        }
    }
}
