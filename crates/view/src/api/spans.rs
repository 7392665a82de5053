//! `#/trace/ID`: the rows of a waterfall, and one span with everything it says.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use telegen_model::{KeyValue, SpanId, SpanStatus, TraceId, semconv as s};

use super::answer::{Ask, Wrong, ms};
use super::service::shown;
use crate::Inner;
use crate::sink::unix_now;
use crate::store::traces::{Kept, Trace};

/// Rows of one answer at most. All spans are in `/api/v1/traces/ID`.
const ROWS: usize = 2_000;

const COLS: [&str; 12] = [
    "id",
    "parent",
    "service",
    "name",
    "path",
    "kind",
    "start",
    "dur",
    "error",
    "status",
    "link",
    "confidence",
];

pub(super) async fn trace(State(inner): State<Arc<Inner>>, ask: Ask) -> Result<Response, Wrong> {
    let Some(id) = ask.text("id").and_then(|t| TraceId::from_hex(t.as_bytes())) else {
        return Err(Wrong::asked("id: a trace id of 32 hexadecimal digits is needed"));
    };
    let seen = ask.number::<u64>("changed")?;
    let names: HashMap<u32, String> =
        inner.store.counts().services.iter().map(|(id, s)| (id, s.name.clone())).collect();
    let traces = inner.store.traces();
    let now = unix_now();
    let Some(trace) = traces.get(id) else {
        let held = json!({ "error": "this trace is not in memory", "since": super::since(&inner, &traces) });
        let mut response = ask.json(&super::with_status(&inner, now, held));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    if seen == Some(trace.changed) {
        return Ok(ask.json(&super::with_status(&inner, now, json!({ "unchanged": true }))));
    }
    let (mut services, mut numbers): (Vec<&str>, HashMap<u32, usize>) = (Vec::new(), HashMap::new());
    let chosen = nearest_the_top(trace);
    let mut rows = Vec::with_capacity(chosen.len());
    for kept in &chosen {
        let service = *numbers.entry(kept.service).or_insert_with(|| {
            services.push(names.get(&kept.service).map_or("", String::as_str));
            services.len() - 1
        });
        rows.push(row(kept, service, trace.start));
    }
    let answer = json!({
        "id": id.to_hex(),
        "start": ms(trace.start),
        "dur": ms(trace.end - trace.start),
        "changed": trace.changed,
        "total": trace.spans.len(),
        "refused": trace.refused,
        "errors": trace.errors,
        "inferred": trace.inferred,
        "parts": super::traces::parts(trace),
        "services": services,
        "cols": COLS,
        "rows": rows,
    });
    Ok(ask.json(&super::with_status(&inner, now, answer)))
}

fn row(kept: &Kept, service: usize, start: u64) -> Value {
    let span = &kept.span;
    let attr = |key| span.attr(key).map(shown);
    json!([
        span.span_id.to_hex(),
        span.parent_id.is_valid().then(|| span.parent_id.to_hex()),
        service,
        span.name.as_str(),
        super::traces::shown_path(kept),
        span.kind as u8,
        ms(span.start.saturating_sub(start)),
        ms(span.end.saturating_sub(span.start)),
        (span.status == SpanStatus::Error).then(|| attr(s::ERROR_TYPE).unwrap_or_default()),
        attr(s::HTTP_RESPONSE_STATUS_CODE),
        attr(s::TELEGEN_LINK_METHOD),
        attr(s::TELEGEN_LINK_CONFIDENCE),
    ])
}

/// The spans to show, by start: failed ones and those above them first, then those nearest the top.
fn nearest_the_top(trace: &Trace) -> Vec<&Kept> {
    let mut all: Vec<&Kept> = trace.spans.iter().collect();
    if all.len() > ROWS {
        let by_id: HashMap<SpanId, &Kept> = all.iter().map(|k| (k.span.span_id, *k)).collect();
        let mut depth: HashMap<SpanId, u32> = HashMap::new();
        for kept in &all {
            let (mut steps, mut at) = (0u32, kept.span.parent_id);
            // Parents that go round in a circle end somewhere too.
            while let Some(parent) = by_id.get(&at).filter(|_| steps < 1_000) {
                steps += 1;
                at = parent.span.parent_id;
            }
            let rank = depth.entry(kept.span.span_id).or_insert(steps + 1);
            if kept.span.status == SpanStatus::Error {
                *rank = 0;
                let (mut above, mut at) = (0u32, kept.span.parent_id);
                while let Some(parent) = by_id.get(&at).filter(|_| above < 1_000) {
                    depth.insert(parent.span.span_id, 0);
                    above += 1;
                    at = parent.span.parent_id;
                }
            }
        }
        all.sort_by_key(|k| (depth.get(&k.span.span_id).copied().unwrap_or(u32::MAX), k.span.start));
        all.truncate(ROWS);
    }
    all.sort_by_key(|k| (k.span.start, u64::MAX - k.span.end));
    all
}

pub(super) async fn span(State(inner): State<Arc<Inner>>, ask: Ask) -> Result<Response, Wrong> {
    let trace_id = ask.text("trace").and_then(|t| TraceId::from_hex(t.as_bytes()));
    let span_id = ask.text("span").and_then(|t| SpanId::from_hex(t.as_bytes()));
    let (Some(trace_id), Some(span_id)) = (trace_id, span_id) else {
        return Err(Wrong::asked("trace and span: ids of 32 and 16 hexadecimal digits are needed"));
    };
    let traces = inner.store.traces();
    let found = traces.get(trace_id).and_then(|t| t.spans.iter().find(|k| k.span.span_id == span_id));
    let Some(kept) = found else { return Err(Wrong::absent("this span is not in memory")) };
    let attrs = |list: &[KeyValue]| -> Vec<Value> {
        list.iter().map(|kv| json!([kv.key.as_str(), shown(&kv.value)])).collect()
    };
    let span = &kept.span;
    Ok(ask.json(&json!({
        "id": span_id.to_hex(),
        "name": span.name.as_str(),
        "start": ms(span.start),
        "start_ns": span.start.to_string(),
        "dur": ms(span.end.saturating_sub(span.start)),
        "kind": span.kind as u8,
        "error": span.status == SpanStatus::Error,
        "message": span.status_message.as_str(),
        "scope": kept.scope.name.as_str(),
        "attrs": attrs(&span.attrs),
        "resource": attrs(kept.resource.attrs()),
        "events": span.events.iter().map(|e| json!([ms(e.time), e.name.as_str(), attrs(&e.attrs)])).collect::<Vec<_>>(),
        "links": span.links.iter().map(|l| json!([l.trace_id.to_hex(), l.span_id.to_hex()])).collect::<Vec<_>>(),
    })))
}
