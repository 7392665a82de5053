use std::sync::Arc;

use crate::{KeyValue, Metric, PackedSpans, Resource, Signal, Span, SpanId, Str, TraceId, Value};

/// Which part of Telegen made a record: `telegen/<source>` and the program's version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// `telegen/trace`, `telegen/self`, ...
    pub name: Str,
    /// Telegen's version.
    pub version: Str,
}

/// Records of one signal.
#[derive(Clone, Debug, PartialEq)]
pub enum Records {
    /// Spans.
    Spans(Vec<Span>),
    /// Spans that were encoded where they were made.
    Packed(PackedSpans),
    /// Metrics with their points.
    Metrics(Vec<Metric>),
    /// Log records.
    Logs(Vec<LogRecord>),
    /// Records as they came in OTLP: what Telegen does not know of them survives.
    Raw(RawRecords),
}

/// Records in the protobuf form of OTLP, under one resource. The scope of their group is not looked at: theirs are
/// in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecords {
    /// Their signal.
    pub signal: Signal,
    /// Items as the ledger counts them.
    pub items: usize,
    /// The fields of `ResourceSpans`, `ResourceMetrics`, `ResourceLogs` or `ResourceProfiles` other than `resource`.
    pub body: bytes::Bytes,
    /// The fields of `Resource` other than `attributes`.
    pub resource_rest: bytes::Bytes,
    /// Profiles only: the `ProfilesDictionary` that the body's indices point into.
    pub dictionary: bytes::Bytes,
}

impl Records {
    /// The signal of these records.
    pub fn signal(&self) -> Signal {
        match self {
            Records::Spans(_) | Records::Packed(_) => Signal::Traces,
            Records::Metrics(_) => Signal::Metrics,
            Records::Logs(_) => Signal::Logs,
            Records::Raw(r) => r.signal,
        }
    }

    /// Number of items as the ledger counts them: spans, data points, log records.
    pub fn items(&self) -> usize {
        use crate::MetricData::{ExponentialHistogram, Gauge, Histogram, Sum};
        match self {
            Records::Spans(s) => s.len(),
            Records::Packed(p) => p.heads.len(),
            Records::Logs(l) => l.len(),
            Records::Raw(r) => r.items,
            Records::Metrics(m) => m
                .iter()
                .map(|m| match &m.data {
                    Gauge(p) => p.len(),
                    Sum { points, .. } => points.len(),
                    Histogram { points, .. } => points.len(),
                    ExponentialHistogram { points, .. } => points.len(),
                })
                .sum(),
        }
    }
}

/// Records of one resource and scope.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceGroup {
    /// What produced them.
    pub resource: Arc<Resource>,
    /// Which part of Telegen made them.
    pub scope: Scope,
    /// The records.
    pub records: Records,
}

/// Severity numbers of the OpenTelemetry log data model (1 to 24); 0 is unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Severity(pub u8);

/// A log record.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// When it happened, ns since 1970; 0 if unknown.
    pub time: u64,
    /// When Telegen saw it, ns since 1970.
    pub observed: u64,
    /// How bad it is.
    pub severity: Severity,
    /// The source's own word for that.
    pub severity_text: Str,
    /// The body.
    pub body: Value,
    /// Attributes, keys unique.
    pub attrs: Vec<KeyValue>,
    /// Trace it belongs to, or zero.
    pub trace_id: TraceId,
    /// Span it belongs to, or zero.
    pub span_id: SpanId,
    /// Event name (`event.name`), or empty.
    pub event_name: Str,
}
