//! The paths that scripts rely on.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use telegen_model::{Records, ResourceGroup, Signal, SpanStatus, TraceId};

use super::answer::{Ask, Wrong, rounded};
use crate::Inner;
use crate::sink::unix_now;
use crate::store::services::{SHORT_S, Service, covered};
use crate::store::traces::Trace;

/// Traces of one answer unless `limit` says otherwise, and at most.
const TRACES: usize = 20;
const TRACES_MAX: usize = 1_000;

/// One service; rates and durations are of the requests it served in the last 60 s.
#[derive(Debug, Serialize)]
struct ServiceRow<'a> {
    name: &'a str,
    namespace: &'a str,
    instances: usize,
    requests_per_second: f64,
    error_ratio: f64,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl<'a> ServiceRow<'a> {
    fn new(service: &'a Service, now_s: u64, started_s: u64) -> ServiceRow<'a> {
        let (count, errors) = service.recent(now_s);
        let durations = service.durations(now_s);
        // Without a request in the window a duration would be that of older ones.
        let quantile = |share| {
            let seconds = service.quantile(&durations, share).filter(|_| count > 0)?;
            Some(rounded(seconds * 1e3))
        };
        ServiceRow {
            name: &service.name,
            namespace: &service.namespace,
            instances: service.instance_count(now_s),
            requests_per_second: rounded(f64::from(count) / covered(SHORT_S, now_s, started_s)),
            error_ratio: if count == 0 { 0.0 } else { f64::from(errors) / f64::from(count) },
            p50_ms: quantile(0.50),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
        }
    }
}

pub(super) async fn services(State(inner): State<Arc<Inner>>, ask: Ask) -> Response {
    let (now_s, started_s) = (unix_now() / 1_000_000_000, inner.store.started() / 1_000_000_000);
    let counts = inner.store.counts();
    let mut rows: Vec<ServiceRow<'_>> =
        counts.services.iter().map(|(_, s)| ServiceRow::new(s, now_s, started_s)).collect();
    rows.sort_by(|a, b| (a.name, a.namespace).cmp(&(b.name, b.namespace)));
    ask.json(&rows)
}

/// The newest traces with a span that fits all that is asked for, as one OTLP/JSON request.
pub(super) async fn traces(State(inner): State<Arc<Inner>>, ask: Ask) -> Result<Response, Wrong> {
    let limit: Option<usize> = ask.number("limit")?;
    let (min_ms, error) = (ask.number::<f64>("min_ms")?, ask.flag("error")?);
    let service = match ask.text("service") {
        None => None,
        Some(name) => {
            let counts = inner.store.counts();
            let found: Vec<u32> =
                counts.services.iter().filter(|(_, s)| s.name == name).map(|(id, _)| id).collect();
            Some(found)
        }
    };
    let fits = |trace: &Trace| {
        trace.spans.iter().any(|kept| {
            let took = kept.span.end.saturating_sub(kept.span.start) as f64 / 1e6;
            service.as_ref().is_none_or(|ids| ids.contains(&kept.service))
                && min_ms.is_none_or(|least| took >= least)
                && error.is_none_or(|error| error == (kept.span.status == SpanStatus::Error))
        })
    };
    let groups = {
        let traces = inner.store.traces();
        let mut found: Vec<(u64, &Trace)> =
            traces.iter().filter(|(_, t)| fits(t)).map(|(_, t)| (t.changed, t)).collect();
        found.sort_by_key(|(changed, _)| Reverse(*changed));
        found.truncate(limit.unwrap_or(TRACES).min(TRACES_MAX));
        groups(found.into_iter().map(|(_, t)| t))
    };
    Ok(ask.bytes(telegen_otlp::json::encode_request(Signal::Traces, &groups).to_vec()))
}

pub(super) async fn trace(
    State(inner): State<Arc<Inner>>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response, Wrong> {
    let Some(id) = TraceId::from_hex(id.as_bytes()) else {
        return Err(Wrong::asked("a trace id has 32 hexadecimal digits, not all of them 0"));
    };
    let groups = match inner.store.traces().get(id) {
        Some(trace) => groups(std::iter::once(trace)),
        None => return Err(Wrong::absent("this trace is not in memory")),
    };
    Ok(ask.bytes(telegen_otlp::json::encode_request(Signal::Traces, &groups).to_vec()))
}

pub(super) async fn features(State(inner): State<Arc<Inner>>, ask: Ask) -> Response {
    ask.json(&inner.monitor.features.snapshot())
}

pub(super) async fn ledger(State(inner): State<Arc<Inner>>, ask: Ask) -> Response {
    ask.json(&inner.monitor.ledger.snapshot())
}

/// Spans by resource and scope, as OTLP groups them.
fn groups<'a>(traces: impl Iterator<Item = &'a Trace>) -> Vec<ResourceGroup> {
    let mut groups: Vec<ResourceGroup> = Vec::new();
    for kept in traces.flat_map(|t| &t.spans) {
        let Some(span) = kept.whole() else { continue };
        let same = |g: &&mut ResourceGroup| g.scope == kept.scope && *g.resource == *kept.resource;
        match groups.iter_mut().find(same) {
            Some(ResourceGroup { records: Records::Spans(spans), .. }) => spans.push(span),
            _ => groups.push(ResourceGroup {
                resource: kept.resource.clone(),
                scope: kept.scope.clone(),
                records: Records::Spans(vec![span]),
            }),
        }
    }
    groups
}
