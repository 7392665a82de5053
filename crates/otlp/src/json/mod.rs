//! OTLP/JSON: the JSON form of an export request.
//!
//! The mapping of proto3 with OTLP's own rules: ids in lower-case hexadecimal, keys in lowerCamelCase, 64-bit
//! integers as strings, enums as numbers, bytes in base64, `NaN` and the infinities as strings. Fields at
//! their default are left out, except those that readers look for in every record.

mod from_proto;
mod logs;
mod metrics;
mod to_proto;
mod trace;
mod writer;

use std::borrow::Borrow;

use bytes::Bytes;
use telegen_model::{KeyValue, Records, Resource, ResourceGroup, Scope, Signal, Value};

use crate::merge::{Merged, merged};
pub use from_proto::from_protobuf;
pub use to_proto::{JsonError, to_protobuf};
use writer::Writer;

/// Encodes groups of one signal as an `Export*ServiceRequest` in JSON, on one line without a newline.
///
/// Groups of one resource and scope are brought together as [`crate::encode_request`] does it.
pub fn encode_request<G: Borrow<ResourceGroup>>(signal: Signal, groups: &[G]) -> Bytes {
    if groups.iter().any(|g| matches!(g.borrow().records, Records::Raw(_))) {
        // Raw records were checked when they came in.
        return from_protobuf(signal, &crate::encode_request(groups)).unwrap_or_default();
    }
    let (by_resource, by_scope, list) = match signal {
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
        Signal::Metrics => ("resourceMetrics", "scopeMetrics", "metrics"),
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
        Signal::Profiles => ("resourceProfiles", "scopeProfiles", "profiles"),
    };
    let mut w = Writer::default();
    w.object(|w| {
        w.list(by_resource, merged(groups), |w, Merged { resource: of, scopes, raw: _ }| {
            w.object(|w| {
                w.key("resource");
                resource(w, of);
                w.list(by_scope, scopes, |w, (of, parts)| {
                    w.object(|w| {
                        w.key("scope");
                        scope(w, of);
                        w.key(list);
                        w.array(|w| parts.into_iter().for_each(|p| records(w, p)));
                    });
                });
            });
        });
    });
    w.finish()
}

fn records(w: &mut Writer, records: &Records) {
    match records {
        Records::Spans(spans) => spans.iter().for_each(|s| w.element(|w| trace::span(w, s))),
        Records::Packed(packed) => packed.iter().for_each(|(_, bytes)| trace::packed(w, bytes)),
        Records::Metrics(metrics) => metrics.iter().for_each(|m| w.element(|w| metrics::metric(w, m))),
        Records::Logs(logs) => logs.iter().for_each(|l| w.element(|w| logs::record(w, l))),
        // Translated as a whole, before.
        Records::Raw(_) => {}
    }
}

fn resource(w: &mut Writer, r: &Resource) {
    w.object(|w| attributes(w, "attributes", r.attrs()));
}

fn scope(w: &mut Writer, s: &Scope) {
    w.object(|w| {
        w.text("name", &s.name);
        w.text("version", &s.version);
    });
}

/// A list of attributes; an empty one is left out.
fn attributes(w: &mut Writer, key: &str, attrs: &[KeyValue]) {
    if !attrs.is_empty() {
        w.list(key, attrs, pair);
    }
}

fn pair(w: &mut Writer, kv: &KeyValue) {
    w.object(|w| {
        w.key("key");
        w.string(&kv.key);
        w.key("value");
        value(w, &kv.value);
    });
}

fn value(w: &mut Writer, v: &Value) {
    w.object(|w| match v {
        Value::Str(s) => {
            w.key("stringValue");
            w.string(s);
        }
        Value::Bool(b) => {
            w.key("boolValue");
            w.plain(if *b { "true" } else { "false" });
        }
        Value::Int(i) => {
            w.key("intValue");
            w.quoted_int(*i);
        }
        Value::Double(d) => {
            w.key("doubleValue");
            w.double(*d);
        }
        Value::Bytes(b) => {
            w.key("bytesValue");
            w.base64(b);
        }
        Value::Array(items) => {
            w.key("arrayValue");
            w.object(|w| w.list("values", items, value));
        }
        Value::Map(pairs) => {
            w.key("kvlistValue");
            // Readers insist on the list, also on an empty one.
            w.object(|w| w.list("values", pairs, pair));
        }
    });
}
