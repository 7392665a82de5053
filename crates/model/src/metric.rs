use crate::{Attrs, SpanId, Str, TraceId};

/// Whether a sum or histogram counts since its start or since the last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// Since the last report.
    Delta,
    /// Since the series began.
    Cumulative,
}

/// A metric with the points of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// OpenTelemetry name, such as `http.server.request.duration`.
    pub name: Str,
    /// What it tells, one sentence.
    pub description: Str,
    /// UCUM unit, such as `s` or `By`.
    pub unit: Str,
    /// Its kind and points.
    pub data: MetricData,
}

/// The points of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricData {
    /// Values at an instant.
    Gauge(Vec<NumberPoint>),
    /// A counter, or an up-down counter when not monotonic.
    Sum {
        /// How the values count.
        temporality: Temporality,
        /// Whether it only goes up.
        monotonic: bool,
        /// One a series.
        points: Vec<NumberPoint>,
    },
    /// A histogram with explicit bucket bounds.
    Histogram {
        /// How the values count.
        temporality: Temporality,
        /// One a series.
        points: Vec<HistogramPoint>,
    },
    /// A base-2 exponential histogram.
    ExponentialHistogram {
        /// How the values count.
        temporality: Temporality,
        /// One a series.
        points: Vec<ExponentialHistogramPoint>,
    },
}

/// An integer or floating point value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NumberValue {
    /// A signed integer.
    Int(i64),
    /// A floating point number.
    Double(f64),
}

/// A value of a gauge or a sum.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberPoint {
    /// The series' attributes.
    pub attrs: Attrs,
    /// When the series began, ns since 1970; 0 for gauges.
    pub start: u64,
    /// When it was read, ns since 1970.
    pub time: u64,
    /// The value.
    pub value: NumberValue,
    /// Measurements that stand for others.
    pub exemplars: Vec<Exemplar>,
}

/// A histogram with explicit bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramPoint {
    /// The series' attributes.
    pub attrs: Attrs,
    /// When the series began, ns since 1970.
    pub start: u64,
    /// When it was read, ns since 1970.
    pub time: u64,
    /// Number of measurements: the sum of `counts`.
    pub count: u64,
    /// Sum of the measurements; not a number when it is not known.
    pub sum: f64,
    /// Smallest measurement, when any.
    pub min: Option<f64>,
    /// Largest measurement, when any.
    pub max: Option<f64>,
    /// Upper bounds, inclusive, ascending; one shorter than `counts`.
    pub bounds: std::sync::Arc<[f64]>,
    /// Measurements a bucket.
    pub counts: Vec<u64>,
    /// Measurements that stand for others, with the trace they belong to.
    pub exemplars: Vec<Exemplar>,
}

/// A base-2 exponential histogram, as in the OTLP data model.
#[derive(Clone, Debug, PartialEq)]
pub struct ExponentialHistogramPoint {
    /// The series' attributes.
    pub attrs: Attrs,
    /// When the series began, ns since 1970.
    pub start: u64,
    /// When it was read, ns since 1970.
    pub time: u64,
    /// Number of measurements.
    pub count: u64,
    /// Sum of the measurements; not a number when it is not known.
    pub sum: f64,
    /// Smallest measurement, when any.
    pub min: Option<f64>,
    /// Largest measurement, when any.
    pub max: Option<f64>,
    /// Resolution: a bucket's base is `2^(2^-scale)`.
    pub scale: i32,
    /// Measurements equal to zero.
    pub zero_count: u64,
    /// Index of the first positive bucket.
    pub positive_offset: i32,
    /// Positive buckets, from `positive_offset` on.
    pub positive: Vec<u64>,
    /// Measurements that stand for others.
    pub exemplars: Vec<Exemplar>,
}

/// One measurement kept beside an aggregate, with the trace it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// When it was measured, ns since 1970.
    pub time: u64,
    /// The measurement.
    pub value: NumberValue,
    /// Trace of the request measured.
    pub trace_id: TraceId,
    /// Span of the request measured.
    pub span_id: SpanId,
}
