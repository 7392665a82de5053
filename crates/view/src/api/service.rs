//! `#/service/NAME`: head numbers, charts, routes, calls, what is not read, instances.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use telegen_model::{Resource, Value as Attr};

use super::answer::{Ask, Wrong, rounded};
use super::overview::{spark, unread};
use crate::Inner;
use crate::sink::unix_now;
use crate::store::services::{
    LONG_S, MIDDLE_S, ROW_S, RowKey, SHORT_S, Service, Step, WINDOW_S, covered, sum,
};

/// Length of a step of the charts of a quarter of an hour or less.
const CHART_S: u64 = 15;

/// Instances of one answer at most.
const INSTANCES: usize = 50;

pub(super) async fn service(State(inner): State<Arc<Inner>>, ask: Ask) -> Result<Response, Wrong> {
    let Some(name) = ask.text("name") else {
        return Err(Wrong::asked("name: the name of a service is needed"));
    };
    let range = match ask.text("range").unwrap_or("15m") {
        "5m" => 300,
        "15m" => 900,
        "60m" => 3_600,
        _ => return Err(Wrong::asked("range: 5m, 15m or 60m is needed")),
    };
    let now = unix_now();
    let (now_s, started_s) = (now / 1_000_000_000, inner.store.started() / 1_000_000_000);
    let counts = inner.store.counts();
    let Some((id, service)) = counts.services.find(name, ask.any("ns")) else {
        return Err(Wrong::absent("no such service in memory"));
    };
    let (routes, calls) = rows(service, now_s, started_s);
    let (count, errors) = service.recent(now_s);
    let head = numbers(service, count, errors, &service.durations(now_s), covered(SHORT_S, now_s, started_s));
    let answer = json!({
        "id": id,
        "name": service.name,
        "namespace": service.namespace,
        "serves": service.serves,
        "instances": service.instance_count(now_s),
        "idle_s": now_s.saturating_sub(service.active),
        "window_s": WINDOW_S,
        "head": head,
        "spark": spark(service, now_s, started_s),
        "series": series(service, now_s, range, started_s),
        "routes": routes,
        "calls": calls,
        "unread": unread(service, now_s, started_s),
        "about": about(service),
    });
    Ok(ask.json(&super::with_status(&inner, now, answer)))
}

/// Count, rate, errors a second, error share, p50, p95, p99.
fn numbers(service: &Service, count: u32, errors: u32, durations: &Step, seconds: f64) -> Value {
    let quantile = |share| service.quantile(durations, share).filter(|_| count > 0).map(|s| rounded(s * 1e3));
    json!({
        "count": count,
        "rate": rounded(f64::from(count) / seconds),
        "errors": rounded(f64::from(errors) / seconds),
        "error_ratio": (count > 0).then(|| f64::from(errors) / f64::from(count)),
        "p50": quantile(0.50),
        "p95": quantile(0.95),
        "p99": quantile(0.99),
    })
}

fn rows(service: &Service, now_s: u64, started_s: u64) -> (Vec<Value>, Vec<Value>) {
    let (mut routes, mut calls) = (Vec::new(), Vec::new());
    for (key, ring) in &service.rows {
        let step = sum(ring, now_s);
        let seconds = covered(ROW_S, now_s, started_s);
        let mut row = numbers(service, step.count(), step.errors, &step, seconds);
        match key {
            RowKey::Route(method, route) => {
                row["method"] = json!(method);
                row["route"] = json!(route);
                routes.push((step.count(), row));
            }
            RowKey::Peer(address, port) => {
                row["peer"] = json!(address);
                row["port"] = json!(port);
                calls.push((step.count(), row));
            }
        }
    }
    let busiest = |mut rows: Vec<(u32, Value)>| {
        rows.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        rows.into_iter().map(|(_, row)| row).collect()
    };
    (busiest(routes), busiest(calls))
}

/// Steps of the range: `[count, errors, p50, p95, p99]`, or `null` where nothing could be seen yet. The last one has lasted
/// `elapsed_s` so far.
fn series(service: &Service, now_s: u64, range: u64, started_s: u64) -> Value {
    // Up to a quarter of an hour counts are finer than durations.
    let length = if range <= 900 { CHART_S } else { LONG_S };
    let last = now_s / length;
    let first = (last + 1).saturating_sub(range / length);
    let points = (first..=last).map(|step| {
        // Before the program began nothing is known; afterwards nothing means none.
        if (step + 1) * length <= started_s {
            return Value::Null;
        }
        let (count, errors, durations) = if range <= 900 {
            let from = step * CHART_S / SHORT_S;
            let counts = service.short.range(from, from + CHART_S / SHORT_S - 1).flatten();
            let (count, errors) =
                counts.fold((0, 0), |(c, e): (u32, u32), s| (c.saturating_add(s[0]), e.saturating_add(s[1])));
            let at = step * CHART_S / MIDDLE_S;
            (count, errors, service.middle.range(at, at).flatten().next())
        } else {
            let at = service.long.range(step, step).flatten().next();
            (at.map_or(0, Step::count), at.map_or(0, |s| s.errors), at)
        };
        let quantile = |share| {
            let seconds = durations.and_then(|d| service.quantile(d, share)).filter(|_| count > 0)?;
            Some(rounded(seconds * 1e3))
        };
        json!([count, errors, quantile(0.50), quantile(0.95), quantile(0.99)])
    });
    let points: Vec<Value> = points.collect();
    json!({ "step_s": length, "from_s": first * length, "elapsed_s": now_s - last * length + 1, "points": points })
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
