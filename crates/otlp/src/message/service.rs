use bytes::Bytes;

/// `collector.*.v1.Export*ServiceResponse`: the same layout for every signal.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExportResponse {
    /// `partial_success`
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// `collector.*.v1.Export*PartialSuccess`: the same layout for every signal.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PartialSuccess {
    /// `rejected_spans`, `rejected_data_points`, `rejected_log_records`, `rejected_profiles`
    #[prost(int64, tag = "1")]
    pub rejected: i64,
    /// `error_message`
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    /// `code`, as of gRPC
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// `message`
    #[prost(string, tag = "2")]
    pub message: String,
    /// `details`
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Any {
    /// `type_url`
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// `value`
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `google.rpc.RetryInfo`
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct RetryInfo {
    /// `retry_delay`
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Duration>,
}

/// `google.protobuf.Duration`
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Duration {
    /// `seconds`
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// `nanos`
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}
