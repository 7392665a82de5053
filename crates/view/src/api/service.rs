//! `#/service/NAME`: head numbers, charts, routes, callers, calls, what is not read, instances and processes.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use telegen_model::{Resource, Value as Attr};

use super::answer::{Ask, Wrong};
use super::map;
use super::overview::unread;
use super::processes;
use super::range::{Figures, Range};
use super::series::series;
use crate::Inner;
use crate::sink::unix_now;
use crate::store::services::{RowKey, Service};

/// Instances and processes of one answer at most.
const INSTANCES: usize = 50;

pub(super) async fn service(State(inner): State<Arc<Inner>>, ask: Ask) -> Result<Response, Wrong> {
    let Some(name) = ask.text("name") else {
        return Err(Wrong::asked("name: the name of a service is needed"));
    };
    let now = unix_now();
    let range = Range::of(&ask, now, inner.store.started())?;
    let counts = inner.store.counts();
    let Some((id, service)) = counts.services.find(name, ask.any("ns")) else {
        let gone = json!({ "gone": "no such service in memory" });
        return Ok(ask.json(&super::with_status(&inner, now, gone)));
    };
    let me = |name: &str, namespace: &str| name == service.name && namespace == service.namespace;
    let (mut callers, mut calls) = (Vec::new(), Vec::new());
    for line in map::lines(&counts, &range) {
        if me(&line.server.name, &line.server.namespace) && line.here.1 {
            callers.push(line.json());
        }
        if me(&line.client.name, &line.client.namespace) && line.here.0 {
            calls.push(line.json());
        }
    }
    for list in [&mut callers, &mut calls] {
        list.sort_by_key(|l| std::cmp::Reverse(l["count"].as_u64()));
        list.truncate(ROWS);
    }
    let list = inner.watched();
    let mine = list.processes.iter().filter(|w| me(&w.service, &w.namespace));
    let (exports_own, over_budget) = (
        mine.clone().any(|w| w.exports_own),
        mine.clone().filter_map(|w| w.over_budget_since).min().map(super::answer::ms),
    );
    let processes: Vec<Value> = mine.take(INSTANCES).map(processes::row).collect();
    drop(list);
    let mut answer = json!({
        "id": id,
        "name": service.name,
        "namespace": service.namespace,
        "serves": service.serves,
        "instances": service.instance_count(range.now_s),
        "idle_s": range.now_s.saturating_sub(service.active),
        "head": Figures::of(&service.sum(range.stretch), &service.shape, range.seconds()).json(),
        "series": series(&range).json(service),
        "marks": marks(&inner, id, &range),
        "routes": routes(service, &range),
        "rowless": service.rowless,
        "callers": callers,
        "calls": calls,
        "unread": unread(service, &range),
        "unlinked": service.unlinked,
        "sampled": super::sampled(&inner),
        "exports_own": exports_own,
        "over_budget": over_budget,
        "processes": processes,
        "about": about(service),
    });
    range.told(&mut answer);
    Ok(ask.json(&super::with_status(&inner, now, answer)))
}

/// Callers, calls and routes of one answer at most.
const ROWS: usize = 250;
/// Traces that are marked in the chart of durations.
const MARKS: usize = 60;

fn routes(service: &Service, range: &Range) -> Vec<Value> {
    let mut routes = Vec::new();
    for (key, history) in &service.rows {
        let RowKey::Route(method, route) = key else { continue };
        let figures = Figures::of(&history.sum(range.stretch), &service.shape, range.seconds());
        let mut row = figures.json();
        row["method"] = json!(method);
        row["route"] = json!(route);
        routes.push((figures.count, row));
    }
    routes.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    routes.truncate(ROWS);
    routes.into_iter().map(|(_, row)| row).collect()
}

/// Traces in memory whose first span here is a request that this service served: `[start, duration, id, failed]`.
fn marks(inner: &Inner, id: u32, range: &Range) -> Vec<Value> {
    let traces = inner.store.traces();
    let mut marks = Vec::new();
    for (trace_id, trace) in traces.iter() {
        let mine =
            trace.spans.iter().find(|k| k.service == id && k.span.kind == telegen_model::SpanKind::Server);
        if let Some(kept) = mine
            && range.holds(kept.span.start)
        {
            let failed = kept.span.status == telegen_model::SpanStatus::Error;
            marks.push((failed, kept.span.end.saturating_sub(kept.span.start), kept.span.start, *trace_id));
        }
    }
    // Half of them the failed and the slowest, the others the newest.
    marks.sort_by_key(|(failed, took, ..)| std::cmp::Reverse((*failed, *took)));
    if let Some(rest) = marks.get_mut(MARKS / 2..) {
        rest.sort_by_key(|(_, _, start, _)| std::cmp::Reverse(*start));
    }
    marks.truncate(MARKS);
    marks
        .into_iter()
        .map(|(failed, took, start, id)| {
            json!([super::answer::ms(start), super::answer::ms(took), id.to_hex(), failed])
        })
        .collect()
}

/// The resources of the instances, newest first.
fn about(service: &Service) -> Vec<Value> {
    let mut instances: Vec<&(u64, Arc<Resource>)> = service.instances.values().collect();
    instances.sort_by_key(|(seen, _)| std::cmp::Reverse(*seen));
    let attrs = |resource: &Resource| -> Vec<Value> {
        resource.attrs().iter().map(|kv| json!([kv.key.as_str(), shown(&kv.value)])).collect()
    };
    instances
        .into_iter()
        .take(INSTANCES)
        .map(|(seen, r)| json!({ "seen_s": seen, "attrs": attrs(r) }))
        .collect()
}

/// An attribute's value as a text.
pub(super) fn shown(value: &Attr) -> String {
    match value {
        Attr::Str(text) => text.to_string(),
        Attr::Int(n) => n.to_string(),
        Attr::Double(n) => n.to_string(),
        Attr::Bool(b) => b.to_string(),
        Attr::Bytes(bytes) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
        Attr::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Attr::Map(pairs) => {
            let pairs: Vec<String> =
                pairs.iter().map(|kv| format!("{}: {}", kv.key, shown(&kv.value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}
