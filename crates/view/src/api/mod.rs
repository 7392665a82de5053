//! JSON over GET: the contract's paths, and those of the page (`/api/v1/view/...`), which may change with it.

mod agent;
mod answer;
mod contract;
mod filter;
mod overview;
mod service;
mod spans;
mod traces;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::Inner;

pub(crate) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/api/v1/services", get(contract::services))
        .route("/api/v1/traces", get(contract::traces))
        .route("/api/v1/traces/{trace_id}", get(contract::trace))
        .route("/api/v1/features", get(contract::features))
        .route("/api/v1/ledger", get(contract::ledger))
        .route("/api/v1/view/overview", get(overview::overview))
        .route("/api/v1/view/service", get(service::service))
        .route("/api/v1/view/traces", get(traces::traces))
        .route("/api/v1/view/trace", get(spans::trace))
        .route("/api/v1/view/span", get(spans::span))
        .route("/api/v1/view/agent", get(agent::agent))
        .with_state(inner)
}
