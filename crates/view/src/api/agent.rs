//! `#/telegen`: what the program says about itself.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use telegen_model::{Metric, MetricData, NumberPoint, NumberValue};

use super::answer::Ask;
use super::service::shown;
use crate::Inner;
use crate::sink::unix_now;

pub(super) async fn agent(State(inner): State<Arc<Inner>>, ask: Ask) -> Response {
    let now = unix_now();
    let metrics = inner.monitor.metrics(now);
    let build = inner.monitor.build();
    let ready = inner.monitor.health.ready();
    let memory = {
        let traces = inner.store.traces();
        json!({
            "budget": inner.store.memory,
            "spans": traces.used(),
            "traces": traces.len(),
            "since": super::since(&inner, &traces),
            "seen": traces.seen,
            "kept": traces.kept,
        })
    };
    let refused = {
        let counts = inner.store.counts();
        counts.services.refused + counts.readings.refused
    };
    let answer = json!({
        "config": inner.about.config,
        "mode": inner.about.mode,
        "version": build.version.as_str(),
        "commit": build.commit.as_str(),
        "target": build.target.as_str(),
        "ready": ready,
        "memory": memory,
        "refused": refused,
        "features": inner.monitor.features.snapshot(),
        "ledger": inner.monitor.ledger.snapshot(),
        "counters": metrics.iter().flat_map(counters).collect::<Vec<_>>(),
    });
    ask.json(&super::with_status(&inner, now, answer))
}

/// The points of a metric as `[name, unit, help, [[key, value], ...], number]`. What the ledger and the features tell is
/// not told twice.
fn counters(metric: &Metric) -> Vec<Value> {
    const TOLD: [&str; 7] = [
        "telegen.produced",
        "telegen.discarded",
        "telegen.delivered",
        "telegen.lost",
        "telegen.in_flight",
        "telegen.feature.enabled",
        "telegen.build_info",
    ];
    let points: &[NumberPoint] = match &metric.data {
        _ if TOLD.contains(&metric.name.as_str()) => &[],
        MetricData::Gauge(points) | MetricData::Sum { points, .. } => points,
        MetricData::Histogram { .. } | MetricData::ExponentialHistogram { .. } => &[],
    };
    let row = |p: &NumberPoint| {
        let attrs: Vec<Value> = p.attrs.iter().map(|kv| json!([kv.key.as_str(), shown(&kv.value)])).collect();
        let value = match p.value {
            NumberValue::Int(n) => json!(n),
            NumberValue::Double(n) => json!(n),
        };
        json!([metric.name.as_str(), metric.unit.as_str(), metric.description.as_str(), attrs, value])
    };
    points.iter().map(row).collect()
}
