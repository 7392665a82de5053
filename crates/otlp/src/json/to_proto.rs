//! OTLP/JSON as the protobuf request that it stands for, read as it comes: nothing is built in between.

use std::fmt;

use bytes::Bytes;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use telegen_model::Signal;

use crate::schema::{Field, Kind, Message, request};
use crate::walk::{put_bytes, put_message, put_varint};

/// Longest request in protobuf that lists of numbers may make of a text, as long as any may be.
const MAX: usize = 32 << 20;
/// Most bytes of one list of numbers: a digit in JSON may be eight bytes here.
const LIST: usize = 8 << 20;

/// Why a text is no request in OTLP/JSON; says where.
#[derive(Debug, thiserror::Error)]
#[error("not an export request in JSON: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Reads an `Export*ServiceRequest` in OTLP/JSON. Unknown members are passed over, as the specification asks for;
/// 64-bit integers may be numbers or texts; nesting is bounded.
pub fn to_protobuf(signal: Signal, json: &[u8]) -> Result<Bytes, JsonError> {
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut de = serde_json::Deserializer::from_slice(json);
    Members { of: request(signal), out: &mut out }.deserialize(&mut de)?;
    de.end()?;
    Ok(out.into())
}

/// The members of a message.
struct Members<'o> {
    of: &'static Message,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Name(self.of))? {
            match field {
                Some(field) => map.next_value_seed(Member { field, out: &mut *self.out, element: false })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The name of a member, as the field it stands for.
struct Name(&'static Message);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.named(name))
    }
}

/// The value of a member, or an element of its list.
struct Member<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
    element: bool,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl Member<'_> {
    /// A number, in the field's form.
    fn int<E: de::Error>(self, v: i128) -> Result<(), E> {
        let wrong = || E::custom(format_args!("`{}` is out of range", self.field.name));
        let number = self.field.number;
        let mut put = |wire: u32| put_varint(self.out, u64::from(number << 3 | wire));
        let i32 = || i32::try_from(v).map_err(|_| wrong());
        match self.field.kind {
            Kind::Enum | Kind::Index(_) => {
                let v = i64::from(i32()?).cast_unsigned();
                put(0);
                put_varint(self.out, v);
            }
            Kind::Sint32 => {
                let v = i32()?;
                put(0);
                put_varint(self.out, u64::from((v << 1 ^ v >> 31).cast_unsigned()));
            }
            Kind::Uint32 => {
                let v = u32::try_from(v).map_err(|_| wrong())?;
                put(0);
                put_varint(self.out, v.into());
            }
            Kind::Int64 => {
                let v = i64::try_from(v).map_err(|_| wrong())?;
                put(0);
                put_varint(self.out, v.cast_unsigned());
            }
            Kind::Uint64 => {
                let v = u64::try_from(v).map_err(|_| wrong())?;
                put(0);
                put_varint(self.out, v);
            }
            Kind::Fixed64 => {
                let v = u64::try_from(v).map_err(|_| wrong())?;
                put(1);
                self.out.extend_from_slice(&v.to_le_bytes());
            }
            Kind::Sfixed64 => {
                let v = i64::try_from(v).map_err(|_| wrong())?;
                put(1);
                self.out.extend_from_slice(&v.to_le_bytes());
            }
            Kind::Fixed32 => {
                let v = u32::try_from(v).map_err(|_| wrong())?;
                put(5);
                self.out.extend_from_slice(&v.to_le_bytes());
            }
            Kind::Double => return self.double(v as f64),
            _ => return Err(E::custom(format_args!("`{}` is no number", self.field.name))),
        }
        Ok(())
    }

    fn double<E: de::Error>(self, v: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => {
                put_varint(self.out, u64::from(self.field.number << 3 | 1));
                self.out.extend_from_slice(&v.to_le_bytes());
                Ok(())
            }
            // `1e3` and `5.0` are integers in JSON.
            _ if v.fract() == 0.0 && v.abs() < 9e15 => self.int(v as i128),
            _ => Err(E::custom(format_args!("`{}` is no such number", self.field.name))),
        }
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (self.field.repeated && !self.element, self.field.kind) {
            (true, _) => "a list",
            (_, Kind::Message(_)) => "an object",
            (_, Kind::Text) => "a text",
            (_, Kind::Bytes) => "a text in base64",
            (_, Kind::Id) => "a text in hexadecimal",
            (_, Kind::Bool) => "true or false",
            _ => "a number",
        };
        write!(f, "{what} for `{}`", self.field.name)
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        // `null` is a member that is not there.
        if self.element { Err(E::custom("a list without a value in it")) } else { Ok(()) }
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => {
                put_varint(self.out, u64::from(self.field.number << 3));
                self.out.push(v.into());
                Ok(())
            }
            _ => Err(E::invalid_type(de::Unexpected::Bool(v), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<(), E> {
        self.int(v.into())
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<(), E> {
        self.int(v.into())
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<(), E> {
        self.double(v)
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<(), E> {
        let wrong = |field: &Field| E::custom(format_args!("`{}` cannot be read", field.name));
        match self.field.kind {
            _ if self.field.repeated && !self.element => Err(E::invalid_type(de::Unexpected::Str(v), &self)),
            Kind::Text => {
                put_bytes(self.out, self.field.number, v.as_bytes());
                Ok(())
            }
            Kind::Bytes => {
                put_bytes(self.out, self.field.number, &base64(v).ok_or_else(|| wrong(self.field))?);
                Ok(())
            }
            Kind::Id => {
                put_bytes(self.out, self.field.number, &hex(v).ok_or_else(|| wrong(self.field))?);
                Ok(())
            }
            Kind::Double => {
                let number = match v {
                    "NaN" => f64::NAN,
                    "Infinity" => f64::INFINITY,
                    "-Infinity" => f64::NEG_INFINITY,
                    v => v.parse().map_err(|_| wrong(self.field))?,
                };
                self.double(number)
            }
            Kind::Bool | Kind::Message(_) => Err(E::invalid_type(de::Unexpected::Str(v), &self)),
            _ => {
                let number = v.parse::<i128>().map_err(|_| wrong(self.field))?;
                self.int(number)
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if !self.field.repeated || self.element {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        let field = self.field;
        if matches!(field.kind, Kind::Message(_) | Kind::Text | Kind::Bytes | Kind::Id) {
            while seq.next_element_seed(Member { field, out: &mut *self.out, element: true })?.is_some() {}
            return Ok(());
        }
        // Numbers are packed: what each has before it, its tag, is cut off again.
        let (mut packed, mut one) = (Vec::new(), Vec::new());
        let mut tag = Vec::new();
        put_varint(&mut tag, u64::from(field.number << 3));
        while seq.next_element_seed(Member { field, out: &mut one, element: true })?.is_some() {
            packed.extend_from_slice(&one[tag.len()..]);
            one.clear();
            if packed.len() > LIST || self.out.len() + packed.len() > MAX {
                return Err(de::Error::custom(format_args!("`{}` is too long", field.name)));
            }
        }
        if !packed.is_empty() {
            put_bytes(self.out, field.number, &packed);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(of) = self.field.kind else {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        };
        if self.field.repeated && !self.element {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        put_message(self.out, self.field.number, |out| Members { of, out }.visit_map(map))
    }
}

/// Hexadecimal of either case; `None` for anything else.
fn hex(s: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let (pairs, rest) = s.as_bytes().as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect())?
}

/// Base64 of either alphabet, with or without padding; `None` for anything else.
fn base64(s: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let mut out = Vec::with_capacity(s.len() * 3 / 4);
    for chunk in s.trim_end_matches('=').as_bytes().chunks(4) {
        let mut group = 0u32;
        for c in chunk {
            group = group << 6 | u32::from(digit(*c)?);
        }
        let bits = chunk.len() * 6;
        if bits < 8 {
            return None;
        }
        out.extend_from_slice(&(group << (32 - bits)).to_be_bytes()[..bits / 8]);
    }
    Some(out)
}
