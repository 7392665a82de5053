//! `#/traces`: one line a trace, never its spans.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use telegen_model::{SpanId, SpanStatus, TraceId, semconv as s};

use super::answer::{Ask, Wrong, ms};
use super::filter::{Filter, Row};
use super::service::shown;
use crate::Inner;
use crate::sink::unix_now;
use crate::store::traces::{Kept, Trace};

/// Lines of one answer, unless `limit` says otherwise, and at most.
const LINES: usize = 50;
const LINES_MAX: usize = 200;

const COLS: [&str; 13] = [
    "id", "start", "dur", "service", "name", "path", "status", "error", "spans", "services", "errors",
    "inferred", "parts",
];

/// Names of services by number.
type Names = std::collections::HashMap<u32, String>;

struct Line<'a> {
    id: &'a TraceId,
    trace: &'a Trace,
    names: &'a Names,
}

impl Line<'_> {
    fn dur(&self) -> f64 {
        ms(self.trace.end.saturating_sub(self.trace.start))
    }

    fn name(&self, kept: &Kept) -> &str {
        self.names.get(&kept.service).map_or("", String::as_str)
    }

    fn json(&self) -> Value {
        let root = self.trace.root();
        let services: BTreeSet<u32> = self.trace.spans.iter().map(|k| k.service).collect();
        let status = root.and_then(|r| r.attr(s::HTTP_RESPONSE_STATUS_CODE)).as_ref().map(shown);
        json!([
            self.id.to_hex(),
            ms(self.trace.start),
            self.dur(),
            root.map_or("", |r| self.name(r)),
            root.map_or("", Kept::name),
            root.and_then(shown_path),
            status,
            root.is_some_and(|r| r.span.status == SpanStatus::Error),
            self.trace.spans.len() + self.trace.refused as usize,
            services.len(),
            self.trace.errors,
            self.trace.inferred(),
            parts(self.trace),
        ])
    }
}

/// Number of pieces that nothing holds together: spans without a parent, and groups that name the same one that was not seen.
pub(super) fn parts(trace: &Trace) -> usize {
    let ids: HashSet<SpanId> = trace.spans.iter().map(|k| k.span.span_id).collect();
    let parents = || trace.spans.iter().map(|k| k.span.parent_id);
    let missing: HashSet<SpanId> = parents().filter(|p| p.is_valid() && !ids.contains(p)).collect();
    (parents().filter(|p| !p.is_valid()).count() + missing.len()).max(1)
}

impl Row for Line<'_> {
    fn contains(&self, word: &str) -> bool {
        self.id.to_hex().starts_with(word)
            || self.trace.spans.iter().any(|k| {
                k.name().to_lowercase().contains(word)
                    || self.name(k).to_lowercase().contains(word)
                    || path(k).is_some_and(|p| p.to_lowercase().contains(word))
            })
    }

    fn text(&self, key: &str, value: &str) -> Option<bool> {
        let any = |test: &dyn Fn(&Kept) -> bool| Some(self.trace.spans.iter().any(test));
        let attr =
            |k: &Kept, key: &str| k.attr(key).is_some_and(|v| shown(&v).to_lowercase().contains(value));
        match key {
            "service" => any(&|k| self.name(k).to_lowercase() == value),
            "route" => {
                any(&|k| attr(k, s::HTTP_ROUTE) || path(k).is_some_and(|p| p.to_lowercase().contains(value)))
            }
            "status" => any(&|k| attr(k, s::HTTP_RESPONSE_STATUS_CODE)),
            "peer" => any(&|k| attr(k, s::SERVER_ADDRESS) || attr(k, s::NETWORK_PEER_ADDRESS)),
            "link" => any(&|k| attr(k, s::TELEGEN_LINK_METHOD)),
            "error" => Some((self.trace.errors > 0) == matches!(value, "true" | "yes" | "1")),
            _ => key.strip_prefix("attr.").and_then(|name| any(&|k| attr(k, name))),
        }
    }

    fn number(&self, key: &str) -> Option<Option<f64>> {
        match key {
            "dur" => Some(Some(self.dur())),
            "spans" => Some(Some(self.trace.spans.len() as f64)),
            "status" => {
                let status = |k: &Kept| k.attr(s::HTTP_RESPONSE_STATUS_CODE).and_then(|v| v.as_int());
                Some(self.trace.spans.iter().filter_map(status).max().map(|n| n as f64))
            }
            "error" => {
                let failed = self.trace.spans.iter().filter(|k| k.span.status == SpanStatus::Error).count();
                Some(Some(failed as f64))
            }
            _ => None,
        }
    }
}

/// Longest path in a list, in bytes.
const PATH: usize = 200;

/// The path of a span whose name has none, cut.
pub(super) fn shown_path(kept: &Kept) -> Option<String> {
    let mut path = if kept.name().contains('/') { None } else { path(kept) }?;
    path.truncate(path.floor_char_boundary(PATH));
    Some(path)
}

fn path(kept: &Kept) -> Option<String> {
    kept.attr(s::URL_PATH).or_else(|| kept.attr(s::URL_FULL)).and_then(|v| Some(v.as_str()?.to_owned()))
}

pub(super) async fn traces(State(inner): State<Arc<Inner>>, ask: Ask) -> Result<Response, Wrong> {
    let filter = Filter::parse(ask.text("q").unwrap_or(""))?;
    let offset = ask.number("offset")?.unwrap_or(0);
    let limit = ask.number("limit")?.unwrap_or(LINES).min(LINES_MAX);
    let (mut names, mut service) = (Names::new(), ask.text("service").map(|_| Vec::new()));
    for (id, one) in inner.store.counts().services.iter() {
        names.insert(id, one.name.clone());
        let asked =
            ask.text("service") == Some(&one.name) && ask.any("ns").is_none_or(|ns| ns == one.namespace);
        if let Some(ids) = service.as_mut().filter(|_| asked) {
            ids.push(id);
        }
    }
    let sort = ask.text("sort").unwrap_or("recent");
    let now = unix_now();
    // Without a range everything in memory is meant.
    let asked = ask.text("range").is_some() || ask.text("from").is_some();
    let range = if asked { Some(super::range::Range::of(&ask, now, inner.store.started())?) } else { None };
    let traces = inner.store.traces();
    let (mut lines, mut in_range) = (Vec::new(), 0);
    for (id, trace) in traces.iter() {
        let line = Line { id, trace, names: &names };
        if range.as_ref().is_some_and(|r| !r.holds(trace.start)) {
            continue;
        }
        in_range += 1;
        if service.as_ref().is_some_and(|ids| !ids.iter().any(|id| trace.touches(*id))) {
            continue;
        }
        if filter.passes(&line)? {
            lines.push(line);
        }
    }
    match sort {
        "slow" => lines.sort_by_key(|l| std::cmp::Reverse(l.trace.end - l.trace.start)),
        "failed" => lines.sort_by_key(|l| (l.trace.errors == 0, u64::MAX - l.trace.start)),
        _ => lines.sort_by_key(|l| (u64::MAX - l.trace.start, *l.id)),
    }
    let matching = lines.len();
    let rows: Vec<Value> = lines.iter().skip(offset).take(limit).map(Line::json).collect();
    let answer = json!({
        "since": super::since(&inner, &traces),
        "cursor": traces.changes(),
        "total": traces.len(),
        "in_range": in_range,
        "matching": matching,
        "passes_over": traces.passes_over(),
        "tracing": super::tracing(&inner),
        "sampled": super::sampled(&inner),
        "cols": COLS,
        "rows": rows,
    });
    Ok(ask.json(&super::with_status(&inner, now, answer)))
}
