//! The vocabulary all other crates share: signals, resources, records, process keys. No IO, no clock.
//!
//! Records are typed structs that mirror the OpenTelemetry data model closely enough that `otlp` can encode
//! them without a decision of its own, and cheap enough that a span costs few allocations: strings are
//! [`Str`] (inline up to 24 bytes, or a static reference), attributes of a metric series are shared.

mod attrs;
mod ids;
mod metric;
mod process;
mod records;
mod resource;
mod secret;
pub mod semconv;
mod signal;
mod span;

pub use attrs::{Attrs, KeyValue, Str, Value};
pub use ids::{SpanId, TraceId};
pub use metric::{
    Exemplar, ExponentialHistogramPoint, HistogramPoint, Metric, MetricData, NumberPoint, NumberValue,
    Temporality,
};
pub use process::{ExecKey, ProcessKey};
pub use records::{LogRecord, RawRecords, Records, ResourceGroup, Scope, Severity};
pub use resource::Resource;
pub use secret::Secret;
pub use signal::Signal;
pub use span::{PackedSpans, Span, SpanEvent, SpanHead, SpanKind, SpanLink, SpanStatus};
