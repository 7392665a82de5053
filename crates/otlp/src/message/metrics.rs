use bytes::Bytes;

use super::{InstrumentationScope, KeyValue, Resource};

/// `collector.metrics.v1.ExportMetricsServiceRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExportMetricsServiceRequest {
    /// `resource_metrics`
    #[prost(message, repeated, tag = "1")]
    pub resource_metrics: Vec<ResourceMetrics>,
}

/// `metrics.v1.ResourceMetrics`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceMetrics {
    /// `resource`
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// `scope_metrics`
    #[prost(message, repeated, tag = "2")]
    pub scope_metrics: Vec<ScopeMetrics>,
    /// `schema_url`
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// `metrics.v1.ScopeMetrics`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ScopeMetrics {
    /// `scope`
    #[prost(message, optional, tag = "1")]
    pub scope: Option<InstrumentationScope>,
    /// `metrics`
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
    /// `schema_url`
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// `metrics.v1.Metric`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metric {
    /// `name`
    #[prost(string, tag = "1")]
    pub name: String,
    /// `description`
    #[prost(string, tag = "2")]
    pub description: String,
    /// `unit`
    #[prost(string, tag = "3")]
    pub unit: String,
    /// `data`
    #[prost(oneof = "metric::Data", tags = "5, 7, 9, 10, 11")]
    pub data: Option<metric::Data>,
    /// `metadata`
    #[prost(message, repeated, tag = "12")]
    pub metadata: Vec<KeyValue>,
}

/// Members of [`Metric`].
pub mod metric {
    /// `metrics.v1.Metric.data`
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Data {
        /// `gauge`
        #[prost(message, tag = "5")]
        Gauge(super::Gauge),
        /// `sum`
        #[prost(message, tag = "7")]
        Sum(super::Sum),
        /// `histogram`
        #[prost(message, tag = "9")]
        Histogram(super::Histogram),
        /// `exponential_histogram`
        #[prost(message, tag = "10")]
        ExponentialHistogram(super::ExponentialHistogram),
        /// `summary`
        #[prost(message, tag = "11")]
        Summary(super::Summary),
    }
}

/// `metrics.v1.Gauge`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Gauge {
    /// `data_points`
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<NumberDataPoint>,
}

/// `metrics.v1.Sum`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sum {
    /// `data_points`
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<NumberDataPoint>,
    /// `aggregation_temporality`: 1 delta, 2 cumulative
    #[prost(int32, tag = "2")]
    pub aggregation_temporality: i32,
    /// `is_monotonic`
    #[prost(bool, tag = "3")]
    pub is_monotonic: bool,
}

/// `metrics.v1.Histogram`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// `data_points`
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<HistogramDataPoint>,
    /// `aggregation_temporality`: 1 delta, 2 cumulative
    #[prost(int32, tag = "2")]
    pub aggregation_temporality: i32,
}

/// `metrics.v1.ExponentialHistogram`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExponentialHistogram {
    /// `data_points`
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<ExponentialHistogramDataPoint>,
    /// `aggregation_temporality`: 1 delta, 2 cumulative
    #[prost(int32, tag = "2")]
    pub aggregation_temporality: i32,
}

/// `metrics.v1.Summary`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Summary {
    /// `data_points`
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<SummaryDataPoint>,
}

/// `metrics.v1.NumberDataPoint`
#[derive(Clone, PartialEq, prost::Message)]
pub struct NumberDataPoint {
    /// `attributes`
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
    /// `start_time_unix_nano`
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// `time_unix_nano`
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    /// `value`
    #[prost(oneof = "number_data_point::Value", tags = "4, 6")]
    pub value: Option<number_data_point::Value>,
    /// `exemplars`
    #[prost(message, repeated, tag = "5")]
    pub exemplars: Vec<Exemplar>,
    /// `flags`
    #[prost(uint32, tag = "8")]
    pub flags: u32,
}

/// Members of [`NumberDataPoint`].
pub mod number_data_point {
    /// `metrics.v1.NumberDataPoint.value`
    #[derive(Clone, Copy, PartialEq, prost::Oneof)]
    pub enum Value {
        /// `as_double`
        #[prost(double, tag = "4")]
        Double(f64),
        /// `as_int`
        #[prost(sfixed64, tag = "6")]
        Int(i64),
    }
}

/// `metrics.v1.HistogramDataPoint`
#[derive(Clone, PartialEq, prost::Message)]
pub struct HistogramDataPoint {
    /// `attributes`
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// `start_time_unix_nano`
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// `time_unix_nano`
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    /// `count`
    #[prost(fixed64, tag = "4")]
    pub count: u64,
    /// `sum`
    #[prost(double, optional, tag = "5")]
    pub sum: Option<f64>,
    /// `bucket_counts`
    #[prost(fixed64, repeated, tag = "6")]
    pub bucket_counts: Vec<u64>,
    /// `explicit_bounds`
    #[prost(double, repeated, tag = "7")]
    pub explicit_bounds: Vec<f64>,
    /// `exemplars`
    #[prost(message, repeated, tag = "8")]
    pub exemplars: Vec<Exemplar>,
    /// `flags`
    #[prost(uint32, tag = "10")]
    pub flags: u32,
    /// `min`
    #[prost(double, optional, tag = "11")]
    pub min: Option<f64>,
    /// `max`
    #[prost(double, optional, tag = "12")]
    pub max: Option<f64>,
}

/// `metrics.v1.ExponentialHistogramDataPoint`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExponentialHistogramDataPoint {
    /// `attributes`
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
    /// `start_time_unix_nano`
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// `time_unix_nano`
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    /// `count`
    #[prost(fixed64, tag = "4")]
    pub count: u64,
    /// `sum`
    #[prost(double, optional, tag = "5")]
    pub sum: Option<f64>,
    /// `scale`
    #[prost(sint32, tag = "6")]
    pub scale: i32,
    /// `zero_count`
    #[prost(fixed64, tag = "7")]
    pub zero_count: u64,
    /// `positive`
    #[prost(message, optional, tag = "8")]
    pub positive: Option<Buckets>,
    /// `negative`
    #[prost(message, optional, tag = "9")]
    pub negative: Option<Buckets>,
    /// `flags`
    #[prost(uint32, tag = "10")]
    pub flags: u32,
    /// `exemplars`
    #[prost(message, repeated, tag = "11")]
    pub exemplars: Vec<Exemplar>,
    /// `min`
    #[prost(double, optional, tag = "12")]
    pub min: Option<f64>,
    /// `max`
    #[prost(double, optional, tag = "13")]
    pub max: Option<f64>,
    /// `zero_threshold`
    #[prost(double, tag = "14")]
    pub zero_threshold: f64,
}

/// `metrics.v1.ExponentialHistogramDataPoint.Buckets`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Buckets {
    /// `offset`
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// `bucket_counts`
    #[prost(uint64, repeated, tag = "2")]
    pub bucket_counts: Vec<u64>,
}

/// `metrics.v1.SummaryDataPoint`
#[derive(Clone, PartialEq, prost::Message)]
pub struct SummaryDataPoint {
    /// `attributes`
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
    /// `start_time_unix_nano`
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// `time_unix_nano`
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    /// `count`
    #[prost(fixed64, tag = "4")]
    pub count: u64,
    /// `sum`
    #[prost(double, tag = "5")]
    pub sum: f64,
    /// `quantile_values`
    #[prost(message, repeated, tag = "6")]
    pub quantile_values: Vec<ValueAtQuantile>,
    /// `flags`
    #[prost(uint32, tag = "8")]
    pub flags: u32,
}

/// `metrics.v1.SummaryDataPoint.ValueAtQuantile`
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ValueAtQuantile {
    /// `quantile`
    #[prost(double, tag = "1")]
    pub quantile: f64,
    /// `value`
    #[prost(double, tag = "2")]
    pub value: f64,
}

/// `metrics.v1.Exemplar`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    /// `filtered_attributes`
    #[prost(message, repeated, tag = "7")]
    pub filtered_attributes: Vec<KeyValue>,
    /// `time_unix_nano`
    #[prost(fixed64, tag = "2")]
    pub time_unix_nano: u64,
    /// `value`
    #[prost(oneof = "exemplar::Value", tags = "3, 6")]
    pub value: Option<exemplar::Value>,
    /// `span_id`
    #[prost(bytes = "bytes", tag = "4")]
    pub span_id: Bytes,
    /// `trace_id`
    #[prost(bytes = "bytes", tag = "5")]
    pub trace_id: Bytes,
}

/// Members of [`Exemplar`].
pub mod exemplar {
    /// `metrics.v1.Exemplar.value`
    #[derive(Clone, Copy, PartialEq, prost::Oneof)]
    pub enum Value {
        /// `as_double`
        #[prost(double, tag = "3")]
        Double(f64),
        /// `as_int`
        #[prost(sfixed64, tag = "6")]
        Int(i64),
    }
}
