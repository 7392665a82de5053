//! Parameters in, JSON out.

use std::collections::HashMap;
use std::io::Write;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Answers smaller than this are not worth compressing, bytes.
const COMPRESS_FROM: usize = 1400;

/// A request: its parameters, and whether it takes gzip.
pub(crate) struct Ask {
    parameters: HashMap<String, String>,
    gzip: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Ask {
    type Rejection = Wrong;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Ask, Wrong> {
        let query = axum::extract::Query::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Ok(axum::extract::Query(parameters)) = query else {
            return Err(Wrong::asked("the query cannot be read"));
        };
        Ok(Ask { parameters, gzip: takes_gzip(&parts.headers) })
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    all.flat_map(|v| v.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
            && !parts.any(|p| matches!(p, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

impl Ask {
    /// A parameter that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|t| !t.is_empty())
    }

    /// A parameter, also when it is empty.
    pub(crate) fn any(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// A number; the answer to the request when it is none.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Wrong> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = |_| Wrong::asked(format!("{name}: a number is needed"));
        text.parse().map(Some).map_err(wrong)
    }

    /// A truth value: `true`, `1`, or the name alone; `false` or `0`.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Wrong> {
        match self.parameters.get(name).map(String::as_str) {
            None => Ok(None),
            Some("" | "1" | "true") => Ok(Some(true)),
            Some("0" | "false") => Ok(Some(false)),
            Some(_) => Err(Wrong::asked(format!("{name}: true or false is needed"))),
        }
    }

    /// A value as JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> Response {
        match serde_json::to_vec(value) {
            Ok(body) => self.bytes(body),
            Err(e) => {
                Wrong { status: StatusCode::INTERNAL_SERVER_ERROR, text: e.to_string() }.into_response()
            }
        }
    }

    /// JSON that is made already.
    pub(crate) fn bytes(&self, body: Vec<u8>) -> Response {
        let kind = (header::CONTENT_TYPE, "application/json");
        let vary = (header::VARY, "accept-encoding");
        if self.gzip && body.len() >= COMPRESS_FROM {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            // Writing to memory does not fail; if it did, the plain body is right too.
            if encoder.write_all(&body).is_ok()
                && let Ok(packed) = encoder.finish()
            {
                return ([kind, vary, (header::CONTENT_ENCODING, "gzip")], packed).into_response();
            }
        }
        ([kind, vary], body).into_response()
    }
}

/// An answer that is no success: `{"error": TEXT}`.
#[derive(Debug)]
pub(crate) struct Wrong {
    status: StatusCode,
    text: String,
}

impl Wrong {
    /// The question makes no sense.
    pub(crate) fn asked(text: impl Into<String>) -> Wrong {
        Wrong { status: StatusCode::BAD_REQUEST, text: text.into() }
    }

    /// There is no such thing in memory.
    pub(crate) fn absent(text: &str) -> Wrong {
        Wrong { status: StatusCode::NOT_FOUND, text: text.to_owned() }
    }
}

/// A filter that cannot be understood: the page shows what is wrong with it beside the field. No request of the page fails.
impl From<String> for Wrong {
    fn from(text: String) -> Wrong {
        Wrong { status: StatusCode::OK, text }
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let key = if self.status == StatusCode::OK { "wrong" } else { "error" };
        let body = serde_json::json!({ key: self.text }).to_string();
        (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// A time in ns as ms, to the microsecond.
pub(crate) fn ms(nanos: u64) -> f64 {
    (nanos / 1_000) as f64 / 1_000.0
}

/// A number for people: three digits after the point at most, fewer for large ones.
pub(crate) fn rounded(value: f64) -> f64 {
    let scale = if value.abs() < 100.0 { 1_000.0 } else { 10.0 };
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_only_by_those_who_take_it() {
        let takes = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            takes_gzip(&headers)
        };
        assert!(takes("gzip") && takes("br, GZIP;q=0.5"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("x-gzipped") && !takes_gzip(&HeaderMap::new()));
    }
}
