//! `#/trace/ID`: the rows of a waterfall, and one span with everything it says.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use telegen_model::{KeyValue, SpanId, SpanKind, SpanStatus, TraceId, semconv as s};

use super::answer::{Ask, Wrong, ms};
use super::service::shown;
use crate::Inner;
use crate::sink::unix_now;
use crate::store::traces::{Kept, Trace, Traces};

/// Rows of one answer at most. All spans are in `/api/v1/traces/ID`.
const ROWS: usize = 2_000;

/// Attribute of a span that was a candidate for a parent and got none: why.
pub(super) const LINK_REASON: &str = s::TELEGEN_LINK_REASON;
/// Spans of one trace whose time is looked at for calls that belong to nobody.
const GAPS: usize = 50;

const COLS: [&str; 14] = [
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
    "reason",
    "peer",
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
        let held = json!({ "gone": "this trace is not in memory", "since": super::since(&inner, &traces) });
        return Ok(ask.json(&super::with_status(&inner, now, held)));
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
        "inferred": trace.inferred(),
        "parts": super::traces::parts(trace),
        "services": services,
        "gaps": gaps(&traces, trace, &chosen),
        "cols": COLS,
        "rows": rows,
    });
    Ok(ask.json(&super::with_status(&inner, now, answer)))
}

fn row(kept: &Kept, service: usize, start: u64) -> Value {
    let span = &kept.span;
    let whole = kept.whole();
    let attr = |key| whole.as_ref().and_then(|span| span.attr(key)).map(shown);
    json!([
        span.span_id.to_hex(),
        span.parent_id.is_valid().then(|| span.parent_id.to_hex()),
        service,
        kept.name(),
        super::traces::shown_path(kept),
        span.kind as u8,
        ms(span.start.saturating_sub(start)),
        ms(span.end.saturating_sub(span.start)),
        (span.status == SpanStatus::Error).then(|| attr(s::ERROR_TYPE).unwrap_or_default()),
        attr(s::HTTP_RESPONSE_STATUS_CODE),
        attr(s::TELEGEN_LINK_METHOD),
        attr(s::TELEGEN_LINK_CONFIDENCE),
        attr(LINK_REASON),
        attr(s::CLIENT_ADDRESS).or_else(|| attr(s::NETWORK_PEER_ADDRESS)),
    ])
}

/// Calls that were made by a service while it served a request of this trace, and that no parent could be drawn for:
/// `[span, calls, reason]`. They may belong to it, or to another request that was served in the same time.
fn gaps(traces: &Traces, trace: &Trace, chosen: &[&Kept]) -> Vec<Value> {
    let servers: Vec<&&Kept> = chosen.iter().filter(|k| k.span.kind == SpanKind::Server).take(GAPS).collect();
    let mut found: BTreeMap<SpanId, (u64, String)> = BTreeMap::new();
    for (_, other) in traces.iter().filter(|(_, t)| t.start <= trace.end && trace.start <= t.end) {
        for call in &other.spans {
            let orphan = call.span.kind == SpanKind::Client && !call.span.parent_id.is_valid();
            if !orphan {
                continue;
            }
            let Some(reason) = call.attr(LINK_REASON) else { continue };
            let during = |k: &&&&Kept| {
                k.service == call.service && k.span.start <= call.span.start && call.span.start <= k.span.end
            };
            for server in servers.iter().filter(during) {
                let entry = found.entry(server.span.span_id).or_insert_with(|| (0, shown(&reason)));
                entry.0 += 1;
            }
        }
    }
    found.into_iter().map(|(id, (calls, reason))| json!([id.to_hex(), calls, reason])).collect()
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
    // How many spans of each service got no parent; asked for first, for no two locks are held at once.
    let unlinked: HashMap<u32, BTreeMap<String, u64>> =
        inner.store.counts().services.iter().map(|(id, s)| (id, s.unlinked.clone())).collect();
    let traces = inner.store.traces();
    let found = traces.get(trace_id).and_then(|t| t.spans.iter().find(|k| k.span.span_id == span_id));
    let Some((kept, span)) = found.and_then(|kept| Some((kept, kept.whole()?))) else {
        drop(traces);
        let gone = json!({ "gone": "this span is no longer in memory" });
        return Ok(ask.json(&super::with_status(&inner, unix_now(), gone)));
    };
    let attrs = |list: &[KeyValue]| -> Vec<Value> {
        list.iter().map(|kv| json!([kv.key.as_str(), shown(&kv.value)])).collect()
    };
    let reason = span.attr(LINK_REASON).map(shown);
    let alike = reason.as_ref().and_then(|r| unlinked.get(&kept.service)?.get(r)).copied();
    Ok(ask.json(&json!({
        "reason": reason,
        "alike": alike,
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
