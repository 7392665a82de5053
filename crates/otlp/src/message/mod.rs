//! The messages of OTLP 1.x as they come in, for `prost` to decode. What Telegen sends is written by
//! [`crate::encode_request`] instead, without building these first.
//!
//! Field numbers and types are those of the `opentelemetry.proto` packages; doc comments name the messages.

mod common;
mod logs;
mod metrics;
mod service;
mod trace;

pub use common::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, Resource, any_value};
pub use logs::{ExportLogsServiceRequest, LogRecord, ResourceLogs, ScopeLogs};
pub use metrics::{
    Buckets, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, ExportMetricsServiceRequest,
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    Summary, SummaryDataPoint, ValueAtQuantile, exemplar, metric, number_data_point,
};
pub use service::{Any, Duration, ExportResponse, PartialSuccess, RetryInfo, Status};
pub use trace::{Event, ExportTraceServiceRequest, Link, ResourceSpans, ScopeSpans, Span, SpanStatus};
