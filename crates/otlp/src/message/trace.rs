use bytes::Bytes;

use super::{InstrumentationScope, KeyValue, Resource};

/// `collector.trace.v1.ExportTraceServiceRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExportTraceServiceRequest {
    /// `resource_spans`
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// `trace.v1.ResourceSpans`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceSpans {
    /// `resource`
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// `scope_spans`
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
    /// `schema_url`
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// `trace.v1.ScopeSpans`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ScopeSpans {
    /// `scope`
    #[prost(message, optional, tag = "1")]
    pub scope: Option<InstrumentationScope>,
    /// `spans`
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
    /// `schema_url`
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// `trace.v1.Span`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Span {
    /// `trace_id`
    #[prost(bytes = "bytes", tag = "1")]
    pub trace_id: Bytes,
    /// `span_id`
    #[prost(bytes = "bytes", tag = "2")]
    pub span_id: Bytes,
    /// `trace_state`
    #[prost(string, tag = "3")]
    pub trace_state: String,
    /// `parent_span_id`
    #[prost(bytes = "bytes", tag = "4")]
    pub parent_span_id: Bytes,
    /// `name`
    #[prost(string, tag = "5")]
    pub name: String,
    /// `kind`, 0 to 5
    #[prost(int32, tag = "6")]
    pub kind: i32,
    /// `start_time_unix_nano`
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    /// `end_time_unix_nano`
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    /// `attributes`
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// `dropped_attributes_count`
    #[prost(uint32, tag = "10")]
    pub dropped_attributes_count: u32,
    /// `events`
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
    /// `dropped_events_count`
    #[prost(uint32, tag = "12")]
    pub dropped_events_count: u32,
    /// `links`
    #[prost(message, repeated, tag = "13")]
    pub links: Vec<Link>,
    /// `dropped_links_count`
    #[prost(uint32, tag = "14")]
    pub dropped_links_count: u32,
    /// `status`
    #[prost(message, optional, tag = "15")]
    pub status: Option<SpanStatus>,
    /// `flags`
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
}

/// `trace.v1.Span.Event`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Event {
    /// `time_unix_nano`
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    /// `name`
    #[prost(string, tag = "2")]
    pub name: String,
    /// `attributes`
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
    /// `dropped_attributes_count`
    #[prost(uint32, tag = "4")]
    pub dropped_attributes_count: u32,
}

/// `trace.v1.Span.Link`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Link {
    /// `trace_id`
    #[prost(bytes = "bytes", tag = "1")]
    pub trace_id: Bytes,
    /// `span_id`
    #[prost(bytes = "bytes", tag = "2")]
    pub span_id: Bytes,
    /// `trace_state`
    #[prost(string, tag = "3")]
    pub trace_state: String,
    /// `attributes`
    #[prost(message, repeated, tag = "4")]
    pub attributes: Vec<KeyValue>,
    /// `dropped_attributes_count`
    #[prost(uint32, tag = "5")]
    pub dropped_attributes_count: u32,
    /// `flags`
    #[prost(fixed32, tag = "6")]
    pub flags: u32,
}

/// `trace.v1.Status`
#[derive(Clone, PartialEq, prost::Message)]
pub struct SpanStatus {
    /// `message`
    #[prost(string, tag = "2")]
    pub message: String,
    /// `code`: 0 unset, 1 ok, 2 error
    #[prost(int32, tag = "3")]
    pub code: i32,
}
