use super::ber::{DecodeError, Leniency, Reader, Writer, tag};

/// A value as it stands in a message (RFC 3416, section 3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `unSpecified`, as in requests.
    Null,
    /// `INTEGER`. 32 bits by the standard; agents that send more are understood.
    Int(i64),
    /// `OCTET STRING`
    Octets(&'a [u8]),
    /// `OBJECT IDENTIFIER`, as the content of its encoding.
    Oid(&'a [u8]),
    /// `IpAddress`
    Ip([u8; 4]),
    /// `Counter32`
    Counter32(u32),
    /// `Gauge32` and `Unsigned32`
    Gauge32(u32),
    /// `TimeTicks`, hundredths of a second.
    Ticks(u32),
    /// `Opaque`
    Opaque(&'a [u8]),
    /// `Counter64`
    Counter64(u64),
    /// The agent does not know the object.
    NoSuchObject,
    /// The agent knows the object, this instance does not exist.
    NoSuchInstance,
    /// Nothing follows.
    EndOfMibView,
}

impl<'a> Value<'a> {
    /// Reads a value.
    pub fn read(reader: &mut Reader<'a>) -> Result<Value<'a>, DecodeError> {
        let (kind, content) = reader.any()?;
        let value = match kind {
            tag::INTEGER => Value::Int(reader.signed(content)?),
            tag::OCTETS => Value::Octets(content),
            tag::NULL => Value::Null,
            tag::OID => Value::Oid(reader.sound_oid(content)?),
            tag::IP => {
                let ip = content.try_into().map_err(|_| DecodeError::WrongLength("IpAddress"))?;
                Value::Ip(ip)
            }
            tag::COUNTER32 => Value::Counter32(reader.unsigned32(content)?),
            tag::GAUGE32 | tag::UINTEGER32 => Value::Gauge32(reader.unsigned32(content)?),
            tag::TICKS => Value::Ticks(reader.unsigned32(content)?),
            tag::OPAQUE => Value::Opaque(content),
            tag::NSAP => Value::Octets(content),
            tag::COUNTER64 => Value::Counter64(reader.unsigned(content)?),
            tag::NO_SUCH_OBJECT | tag::NO_SUCH_INSTANCE | tag::END_OF_MIB_VIEW => {
                if !content.is_empty() {
                    reader
                        .forgive(Leniency::EXCEPTION_WITH_CONTENT, DecodeError::WrongLength("exception"))?;
                }
                match kind {
                    tag::NO_SUCH_OBJECT => Value::NoSuchObject,
                    tag::NO_SUCH_INSTANCE => Value::NoSuchInstance,
                    _ => Value::EndOfMibView,
                }
            }
            _ => return Err(DecodeError::UnknownType(kind)),
        };
        Ok(value)
    }

    /// Writes the value, tag and length included.
    pub fn write(&self, out: &mut Writer) {
        match self {
            Value::Null => out.field(tag::NULL, &[]),
            Value::Int(i) => out.signed(tag::INTEGER, *i),
            Value::Octets(b) => out.field(tag::OCTETS, b),
            Value::Oid(b) => out.field(tag::OID, b),
            Value::Ip(b) => out.field(tag::IP, b),
            Value::Counter32(v) => out.unsigned(tag::COUNTER32, u64::from(*v)),
            Value::Gauge32(v) => out.unsigned(tag::GAUGE32, u64::from(*v)),
            Value::Ticks(v) => out.unsigned(tag::TICKS, u64::from(*v)),
            Value::Opaque(b) => out.field(tag::OPAQUE, b),
            Value::Counter64(v) => out.unsigned(tag::COUNTER64, *v),
            Value::NoSuchObject => out.field(tag::NO_SUCH_OBJECT, &[]),
            Value::NoSuchInstance => out.field(tag::NO_SUCH_INSTANCE, &[]),
            Value::EndOfMibView => out.field(tag::END_OF_MIB_VIEW, &[]),
        }
    }

    /// Whether it says that there is no value.
    pub fn is_exception(&self) -> bool {
        matches!(self, Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView)
    }

    /// The number, when it is one; net-snmp's `Opaque` floats are numbers too.
    pub fn number(&self) -> Option<f64> {
        match *self {
            Value::Int(i) => Some(i as f64),
            Value::Counter32(v) | Value::Gauge32(v) | Value::Ticks(v) => Some(f64::from(v)),
            Value::Counter64(v) => Some(v as f64),
            Value::Opaque(b) => opaque_float(b),
            _ => None,
        }
    }

    /// The octets, when it is `OCTET STRING` or `Opaque`.
    pub fn octets(&self) -> Option<&'a [u8]> {
        match self {
            Value::Octets(b) | Value::Opaque(b) => Some(b),
            _ => None,
        }
    }
}

/// A float or double in an `Opaque` (tags 0x9f78 and 0x9f79, draft-perkins-float).
fn opaque_float(b: &[u8]) -> Option<f64> {
    match b {
        [0x9f, 0x78, 4, rest @ ..] => Some(f64::from(f32::from_be_bytes(rest.try_into().ok()?))),
        [0x9f, 0x79, 8, rest @ ..] => Some(f64::from_be_bytes(rest.try_into().ok()?)),
        _ => None,
    }
}
