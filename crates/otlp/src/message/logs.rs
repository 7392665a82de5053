use bytes::Bytes;

use super::{AnyValue, InstrumentationScope, KeyValue, Resource};

/// `collector.logs.v1.ExportLogsServiceRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExportLogsServiceRequest {
    /// `resource_logs`
    #[prost(message, repeated, tag = "1")]
    pub resource_logs: Vec<ResourceLogs>,
}

/// `logs.v1.ResourceLogs`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceLogs {
    /// `resource`
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// `scope_logs`
    #[prost(message, repeated, tag = "2")]
    pub scope_logs: Vec<ScopeLogs>,
    /// `schema_url`
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// `logs.v1.ScopeLogs`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ScopeLogs {
    /// `scope`
    #[prost(message, optional, tag = "1")]
    pub scope: Option<InstrumentationScope>,
    /// `log_records`
    #[prost(message, repeated, tag = "2")]
    pub log_records: Vec<LogRecord>,
    /// `schema_url`
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// `logs.v1.LogRecord`
#[derive(Clone, PartialEq, prost::Message)]
pub struct LogRecord {
    /// `time_unix_nano`
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    /// `severity_number`, 0 to 24
    #[prost(int32, tag = "2")]
    pub severity_number: i32,
    /// `severity_text`
    #[prost(string, tag = "3")]
    pub severity_text: String,
    /// `body`
    #[prost(message, optional, tag = "5")]
    pub body: Option<AnyValue>,
    /// `attributes`
    #[prost(message, repeated, tag = "6")]
    pub attributes: Vec<KeyValue>,
    /// `dropped_attributes_count`
    #[prost(uint32, tag = "7")]
    pub dropped_attributes_count: u32,
    /// `flags`
    #[prost(fixed32, tag = "8")]
    pub flags: u32,
    /// `trace_id`
    #[prost(bytes = "bytes", tag = "9")]
    pub trace_id: Bytes,
    /// `span_id`
    #[prost(bytes = "bytes", tag = "10")]
    pub span_id: Bytes,
    /// `observed_time_unix_nano`
    #[prost(fixed64, tag = "11")]
    pub observed_time_unix_nano: u64,
    /// `event_name`
    #[prost(string, tag = "12")]
    pub event_name: String,
}
