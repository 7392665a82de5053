//! From the bytes of an OTLP export request to records.

mod metrics;

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use telegen_model::{
    KeyValue, LogRecord, Records, Resource, ResourceGroup, Scope, Severity, Signal, Span, SpanEvent, SpanId,
    SpanKind, SpanLink, SpanStatus, Str, TraceId, Value,
};

use crate::Malformed;
use crate::memory::{TYPED, Weights, memory};
use crate::message as m;
use crate::schema::request;

/// Why bytes are no request.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They are not protobuf of this message.
    #[error("not an export request: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// They are protobuf, and not of this message.
    #[error("not an export request: {0}")]
    Wrong(#[from] crate::Malformed),
    /// Profiles have no typed records yet.
    #[error("records of {0} cannot be read")]
    Unsupported(Signal),
}

/// What a request held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Its records, one group a scope.
    pub groups: Vec<ResourceGroup>,
    /// Data points that the typed records cannot hold: summaries, negative exponential buckets, empty points.
    pub skipped: usize,
}

/// Reads an `Export*ServiceRequest` of a signal.
///
/// Fields that the typed records do not have (schema URLs, dropped counts) are left out; an id of a wrong
/// length is the zero id, an enum value out of range the unspecified one. What would take far more memory than
/// requests do is not read.
pub fn decode_request(signal: Signal, bytes: Bytes) -> Result<Decoded, DecodeError> {
    if memory(request(signal), &bytes, 0, &Weights::RECORDS)? > TYPED {
        return Err(Malformed::Expands.into());
    }
    Ok(match signal {
        Signal::Traces => traces(m::ExportTraceServiceRequest::decode(bytes)?),
        Signal::Metrics => metrics::metrics(m::ExportMetricsServiceRequest::decode(bytes)?),
        Signal::Logs => logs(m::ExportLogsServiceRequest::decode(bytes)?),
        Signal::Profiles => return Err(DecodeError::Unsupported(signal)),
    })
}

/// Typed spans of a request.
pub fn traces(request: m::ExportTraceServiceRequest) -> Decoded {
    let mut out = Decoded::default();
    for of_resource in request.resource_spans {
        let resource = resource(of_resource.resource);
        for of_scope in of_resource.scope_spans {
            let records = Records::Spans(of_scope.spans.into_iter().map(span).collect());
            out.groups.push(ResourceGroup {
                resource: resource.clone(),
                scope: scope(of_scope.scope),
                records,
            });
        }
    }
    out
}

/// Typed log records of a request.
pub fn logs(request: m::ExportLogsServiceRequest) -> Decoded {
    let mut out = Decoded::default();
    for of_resource in request.resource_logs {
        let resource = resource(of_resource.resource);
        for of_scope in of_resource.scope_logs {
            let records = Records::Logs(of_scope.log_records.into_iter().map(log).collect());
            out.groups.push(ResourceGroup {
                resource: resource.clone(),
                scope: scope(of_scope.scope),
                records,
            });
        }
    }
    out
}

pub use metrics::metrics;

fn resource(r: Option<m::Resource>) -> Arc<Resource> {
    Arc::new(Resource::new(attributes(r.unwrap_or_default().attributes)))
}

fn scope(s: Option<m::InstrumentationScope>) -> Scope {
    let s = s.unwrap_or_default();
    Scope { name: Str::from(s.name), version: Str::from(s.version) }
}

fn span(s: m::Span) -> Span {
    let status = s.status.unwrap_or_default();
    Span {
        trace_id: trace_id(&s.trace_id),
        span_id: span_id(&s.span_id),
        parent_id: span_id(&s.parent_span_id),
        trace_state: Str::from(s.trace_state),
        flags: s.flags,
        name: Str::from(s.name),
        kind: match s.kind {
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Internal,
        },
        start: s.start_time_unix_nano,
        end: s.end_time_unix_nano,
        attrs: attributes(s.attributes),
        events: s
            .events
            .into_iter()
            .map(|e| SpanEvent {
                time: e.time_unix_nano,
                name: e.name.into(),
                attrs: attributes(e.attributes),
            })
            .collect(),
        links: s
            .links
            .into_iter()
            .map(|l| SpanLink {
                trace_id: trace_id(&l.trace_id),
                span_id: span_id(&l.span_id),
                flags: l.flags,
                attrs: attributes(l.attributes),
            })
            .collect(),
        status: match status.code {
            1 => SpanStatus::Ok,
            2 => SpanStatus::Error,
            _ => SpanStatus::Unset,
        },
        status_message: Str::from(status.message),
    }
}

fn log(l: m::LogRecord) -> LogRecord {
    LogRecord {
        time: l.time_unix_nano,
        observed: l.observed_time_unix_nano,
        severity: Severity(u8::try_from(l.severity_number).ok().filter(|n| *n <= 24).unwrap_or(0)),
        severity_text: Str::from(l.severity_text),
        body: value(l.body.unwrap_or_default()),
        attrs: attributes(l.attributes),
        trace_id: trace_id(&l.trace_id),
        span_id: span_id(&l.span_id),
        event_name: Str::from(l.event_name),
    }
}

pub(crate) fn attributes(list: Vec<m::KeyValue>) -> Vec<KeyValue> {
    let pair =
        |kv: m::KeyValue| KeyValue { key: Str::from(kv.key), value: value(kv.value.unwrap_or_default()) };
    list.into_iter().map(pair).collect()
}

/// The empty value becomes an empty text: typed values have no null.
fn value(v: m::AnyValue) -> Value {
    use m::any_value::Value as V;
    match v.value {
        None => Value::constant(""),
        Some(V::String(s)) => Value::Str(Str::from(s)),
        Some(V::Bool(b)) => Value::Bool(b),
        Some(V::Int(i)) => Value::Int(i),
        Some(V::Double(d)) => Value::Double(d),
        Some(V::Bytes(b)) => Value::Bytes(b),
        Some(V::Array(a)) => Value::Array(a.values.into_iter().map(value).collect()),
        Some(V::Map(map)) => Value::Map(attributes(map.values)),
    }
}

fn trace_id(b: &[u8]) -> TraceId {
    b.try_into().map_or(TraceId::ZERO, TraceId)
}

fn span_id(b: &[u8]) -> SpanId {
    b.try_into().map_or(SpanId::ZERO, SpanId)
}
