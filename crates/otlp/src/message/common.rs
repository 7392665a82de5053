/// `common.v1.AnyValue`
#[derive(Clone, PartialEq, prost::Message)]
pub struct AnyValue {
    /// The member that is set; `None` is the empty value.
    #[prost(oneof = "any_value::Value", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub value: Option<any_value::Value>,
}

/// Members of [`AnyValue`].
pub mod any_value {
    /// `common.v1.AnyValue.value`
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        /// `string_value`
        #[prost(string, tag = "1")]
        String(String),
        /// `bool_value`
        #[prost(bool, tag = "2")]
        Bool(bool),
        /// `int_value`
        #[prost(int64, tag = "3")]
        Int(i64),
        /// `double_value`
        #[prost(double, tag = "4")]
        Double(f64),
        /// `array_value`
        #[prost(message, tag = "5")]
        Array(super::ArrayValue),
        /// `kvlist_value`
        #[prost(message, tag = "6")]
        Map(super::KeyValueList),
        /// `bytes_value`
        #[prost(bytes = "bytes", tag = "7")]
        Bytes(bytes::Bytes),
    }
}

/// `common.v1.ArrayValue`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ArrayValue {
    /// `values`
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

/// `common.v1.KeyValueList`
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyValueList {
    /// `values`
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KeyValue>,
}

/// `common.v1.KeyValue`
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyValue {
    /// `key`
    #[prost(string, tag = "1")]
    pub key: String,
    /// `value`
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// `common.v1.InstrumentationScope`
#[derive(Clone, PartialEq, prost::Message)]
pub struct InstrumentationScope {
    /// `name`
    #[prost(string, tag = "1")]
    pub name: String,
    /// `version`
    #[prost(string, tag = "2")]
    pub version: String,
    /// `attributes`
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
    /// `dropped_attributes_count`
    #[prost(uint32, tag = "4")]
    pub dropped_attributes_count: u32,
}

/// `resource.v1.Resource`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    /// `attributes`
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
    /// `dropped_attributes_count`
    #[prost(uint32, tag = "2")]
    pub dropped_attributes_count: u32,
}
