use std::sync::Arc;

/// A small string: static text and text up to 24 bytes cost no allocation.
pub type Str = compact_str::CompactString;

/// An attribute value, as OTLP's `AnyValue` without the null case.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// UTF-8 text.
    Str(Str),
    /// A signed integer.
    Int(i64),
    /// A floating point number.
    Double(f64),
    /// A truth value.
    Bool(bool),
    /// Octets.
    Bytes(bytes::Bytes),
    /// A list of values.
    Array(Vec<Value>),
    /// A map; keys are unique.
    Map(Vec<KeyValue>),
}

/// A key and its value. Keys within one list are unique.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyValue {
    /// The attribute's name, nearly always a constant of [`crate::semconv`].
    pub key: Str,
    /// Its value.
    pub value: Value,
}

/// The attributes of a metric series: shared by all points of the series over time.
pub type Attrs = Arc<[KeyValue]>;

impl KeyValue {
    /// A pair with a constant key: no allocation for the key.
    pub fn new(key: &'static str, value: impl Into<Value>) -> KeyValue {
        KeyValue { key: Str::const_new(key), value: value.into() }
    }
}

impl Value {
    /// A constant text.
    pub const fn constant(text: &'static str) -> Value {
        Value::Str(Str::const_new(text))
    }

    /// The text, when it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The integer, when it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(i) => Some(*i),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Value {
        Value::Str(Str::new(s))
    }
}
impl From<String> for Value {
    fn from(s: String) -> Value {
        Value::Str(Str::from(s))
    }
}
impl From<Str> for Value {
    fn from(s: Str) -> Value {
        Value::Str(s)
    }
}
impl From<i64> for Value {
    fn from(i: i64) -> Value {
        Value::Int(i)
    }
}
impl From<u16> for Value {
    fn from(i: u16) -> Value {
        Value::Int(i64::from(i))
    }
}
impl From<u32> for Value {
    fn from(i: u32) -> Value {
        Value::Int(i64::from(i))
    }
}
impl From<bool> for Value {
    fn from(b: bool) -> Value {
        Value::Bool(b)
    }
}
impl From<f64> for Value {
    fn from(d: f64) -> Value {
        Value::Double(d)
    }
}
