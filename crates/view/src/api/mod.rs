//! JSON over GET: the contract's paths, and those of the page (`/api/v1/view/...`), which may change with it.

mod agent;
mod answer;
mod contract;
mod drawing;
mod filter;
mod map;
mod overview;
mod processes;
mod range;
mod series;
mod service;
mod spans;
mod traces;

use std::sync::Arc;

use serde_json::{Value, json};

use axum::Router;
use axum::routing::get;

use crate::Inner;
use crate::store::traces::Traces;
use answer::ms;

/// What every answer to the page tells: the time, when memory begins, which host, how many features are off.
pub(crate) fn with_status(inner: &Inner, now: u64, mut answer: Value) -> Value {
    let features = inner.monitor.features.snapshot();
    answer["now"] = json!(ms(now));
    answer["started"] = json!(ms(inner.store.started()));
    answer["host"] = json!(inner.about.host);
    answer["mode"] = json!(inner.about.mode);
    answer["off"] = json!(features.iter().filter(|f| !f.enabled).count());
    answer
}

/// Why nothing can be seen, when that is so.
fn tracing(inner: &Inner) -> Option<String> {
    let features = inner.monitor.features.snapshot();
    let off = features.into_iter().find(|f| f.name == "traces" && !f.enabled)?;
    Some(off.reason)
}

/// The share of spans that sampling leaves; `None` where all are kept.
fn sampled(inner: &Inner) -> Option<f64> {
    let ledger = inner.monitor.ledger.snapshot();
    let traces = ledger.0.get("traces")?;
    let gone = *traces.discarded.get("sampled").filter(|n| **n > 0)?;
    Some(1.0 - gone as f64 / (traces.produced.max(gone) as f64))
}

/// The oldest instant of which traces are in memory, ms since 1970.
fn since(inner: &Inner, traces: &Traces) -> f64 {
    ms(traces.left().unwrap_or(0).max(inner.store.started()))
}

pub(crate) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/api/v1/services", get(contract::services))
        .route("/api/v1/traces", get(contract::traces))
        .route("/api/v1/traces/{trace_id}", get(contract::trace))
        .route("/api/v1/features", get(contract::features))
        .route("/api/v1/ledger", get(contract::ledger))
        .route("/api/v1/view/overview", get(overview::overview))
        .route("/api/v1/view/map", get(map::map))
        .route("/api/v1/view/processes", get(processes::processes))
        .route("/api/v1/view/service", get(service::service))
        .route("/api/v1/view/traces", get(traces::traces))
        .route("/api/v1/view/trace", get(spans::trace))
        .route("/api/v1/view/span", get(spans::span))
        .route("/api/v1/view/agent", get(agent::agent))
        .with_state(inner)
}
