//! `/healthz` and `/readyz`. They need no token: what asks them has none, and they tell no data.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use telegen_selfmon::{Health, HealthReport};

pub(crate) fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|State(health): State<Health>| async move { answer(&health.live()) }))
        .route("/readyz", get(|State(health): State<Health>| async move { answer(&health.ready()) }))
        .with_state(health)
}

fn answer(report: &HealthReport) -> Response {
    let status = if report.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(report).unwrap_or_else(|_| "{}".to_owned());
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
