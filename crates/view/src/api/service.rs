//! `#/service/NAME`: head numbers, charts, routes, calls, what is not read, instances.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use telegen_model::{Resource, Value as Attr};

use super::answer::{Ask, refusal, rounded};
use super::overview::{spark, unread};
use crate::Inner;
use crate::sink::unix_now;
use crate::store::services::{LONG_S, MIDDLE_S, RowKey, Service, Step, WINDOW_S, covered, sum};

/// Instances of one answer at most.
const INSTANCES: usize = 50;

pub(super) async fn service(State(inner): State<Arc<Inner>>, ask: Ask) -> Response {
    let Some(name) = ask.text("name") else {
        return refusal(StatusCode::BAD_REQUEST, "name: the name of a service is needed");
    };
    let range = match ask.text("range").unwrap_or("15m") {
        "5m" => 300,
        "15m" => 900,
        "60m" => 3_600,
        _ => return refusal(StatusCode::BAD_REQUEST, "range: 5m, 15m or 60m is needed"),
    };
    let now = unix_now();
    let (now_s, started_s) = (now / 1_000_000_000, inner.store.started() / 1_000_000_000);
    let counts = inner.store.counts();
    let Some((id, service)) = counts.services.find(name, ask.any("ns")) else {
        return refusal(StatusCode::NOT_FOUND, "no such service in memory");
    };
    let (routes, calls) = rows(service, now_s);
    let recent = service.recent(now_s);
    let answer = json!({
        "id": id,
        "name": service.name,
        "namespace": service.namespace,
        "serves": service.serves,
        "instances": service.instance_count(now_s),
        "idle_s": now_s.saturating_sub(service.active),
        "window_s": WINDOW_S,
        "head": numbers(service, &recent, now_s),
        "spark": spark(service, now_s, started_s),
        "series": series(service, now_s, range, started_s),
        "routes": routes,
        "calls": calls,
        "unread": unread(service, now_s),
        "about": about(service),
    });
    ask.json(&super::with_status(&inner, now, answer))
}

/// Count, rate, errors a second, error share, p50, p95, p99 of a step that covers the last 60 s.
fn numbers(service: &Service, step: &Step, now_s: u64) -> Value {
    let seconds = covered(now_s, service.since);
    let count = f64::from(step.count);
    let quantile = |share| service.quantile(step, share).map(|s| rounded(s * 1e3));
    json!({
        "count": step.count,
        "rate": rounded(count / seconds),
        "errors": rounded(f64::from(step.errors) / seconds),
        "error_ratio": (step.count > 0).then(|| f64::from(step.errors) / count),
        "p50": quantile(0.50),
        "p95": quantile(0.95),
        "p99": quantile(0.99),
    })
}

fn rows(service: &Service, now_s: u64) -> (Vec<Value>, Vec<Value>) {
    let (mut routes, mut calls) = (Vec::new(), Vec::new());
    for (key, ring) in &service.rows {
        let step = sum(ring, now_s);
        let mut row = numbers(service, &step, now_s);
        match key {
            RowKey::Route(method, route) => {
                row["method"] = json!(method);
                row["route"] = json!(route);
                routes.push((step.count, row));
            }
            RowKey::Peer(address, port) => {
                row["peer"] = json!(address);
                row["port"] = json!(port);
                calls.push((step.count, row));
            }
        }
    }
    let busiest = |mut rows: Vec<(u32, Value)>| {
        rows.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        rows.into_iter().map(|(_, row)| row).collect()
    };
    (busiest(routes), busiest(calls))
}

/// Steps of the range: `[count, errors, p50, p95, p99]`, or `null` where nothing could be seen yet.
fn series(service: &Service, now_s: u64, range: u64, started_s: u64) -> Value {
    let (length, steps): (u64, Vec<Option<Step>>) = if range <= 900 {
        let to = now_s / MIDDLE_S;
        let from = to.saturating_sub(range / MIDDLE_S - 1);
        (MIDDLE_S, service.middle.range(from, to).map(|s| s.cloned()).collect())
    } else {
        let to = now_s / LONG_S;
        let from = to.saturating_sub(range / LONG_S - 1);
        (LONG_S, service.long.range(from, to).map(|s| s.cloned()).collect())
    };
    let last = now_s / length;
    let first = (last + 1).saturating_sub(steps.len() as u64);
    let points = steps.into_iter().zip(first..).map(|(step, number)| {
        // Before the program began nothing is known; afterwards nothing means none.
        if (number + 1) * length <= started_s {
            return Value::Null;
        }
        let step = step.unwrap_or_default();
        let quantile = |share| service.quantile(&step, share).map(|s| rounded(s * 1e3));
        json!([step.count, step.errors, quantile(0.50), quantile(0.95), quantile(0.99)])
    });
    json!({ "step_s": length, "from_s": first * length, "points": points.collect::<Vec<_>>() })
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
