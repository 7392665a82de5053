use std::collections::HashMap;

use axum::Json;
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use serde_json::{Value, json};

use super::DeviceView;
use super::store::{Device, Interface, Rate};
use crate::api::with_status;
use crate::sink::unix_now;

pub(super) fn router(view: DeviceView) -> Router {
    Router::new().route("/api/v1/view/device", get(device)).with_state(view)
}

/// IF-MIB, ifOperStatus.
const STATUS: [&str; 8] =
    ["", "up", "down", "testing", "unknown", "dormant", "not present", "lower layer down"];

async fn device(State(view): State<DeviceView>, Query(query): Query<HashMap<String, String>>) -> Json<Value> {
    let name = query.get("name").map(String::as_str).unwrap_or_default();
    let store = view.store();
    let answer = match store.devices.get(name) {
        Some(device) => {
            let offset = query.get("offset").and_then(|o| o.parse().ok()).unwrap_or(0);
            answer(name, device, offset, store.passed_over)
        }
        None => json!({ "gone": "Nothing is known of this device yet." }),
    };
    Json(with_status(&view.view.inner, unix_now(), answer))
}

fn ms(ns: u64) -> u64 {
    ns / 1_000_000
}

/// Interfaces of a page, which have their former rates beside them.
const PAGE: usize = 50;

/// Former rates of an interface, whole bytes a second, where it is on the page that is shown.
fn before(rate: &Rate, shown: bool) -> Vec<f32> {
    if shown { rate.before.iter().map(|r| r.round()).collect() } else { Vec::new() }
}

fn answer(name: &str, device: &Device, offset: usize, passed_over: u64) -> Value {
    let errors = |i: &Interface| match (i.errors[0].now, i.errors[1].now) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
    };
    let interfaces: Vec<Value> = device
        .interfaces
        .iter()
        .enumerate()
        .map(|(n, (index, i))| {
            let shown = (offset..offset.saturating_add(PAGE)).contains(&n);
            let status = i.status.and_then(|s| STATUS.get(usize::try_from(s).ok()?)).copied();
            json!({
                "index": index, "name": i.name, "alias": i.alias, "status": status,
                "received": i.received.now, "sent": i.sent.now, "errors": errors(i),
                "received_before": before(&i.received, shown), "sent_before": before(&i.sent, shown),
            })
        })
        .collect();
    let sensors: Vec<Value> = device
        .sensors
        .iter()
        .map(|((what, name), s)| json!({ "what": what, "name": name, "value": s.value, "unit": s.unit }))
        .collect();
    let neighbours: Vec<Value> = device
        .neighbours
        .keys()
        .map(|key| {
            key.iter().filter_map(|t| t.split_once('=')).map(|(k, v)| (k.to_owned(), json!(v))).collect()
        })
        .map(Value::Object)
        .collect();
    let traps: Vec<Value> =
        device.traps.iter().map(|t| json!({ "time": ms(t.time), "name": t.name, "text": t.text })).collect();
    json!({
        "name": name, "attributes": device.attrs, "last": ms(device.last), "packets": device.packets,
        "duration": device.duration, "interfaces": interfaces, "sensors": sensors, "neighbours": neighbours,
        "traps": traps, "passed_over": passed_over,
    })
}
