//! An encoded request as OTLP/JSON: whatever its signal, and without loss but for fields that no table has.

use bytes::Bytes;
use telegen_model::Signal;

use super::writer::Writer;
use crate::schema::{ARRAY, Field, KEY_VALUES, Kind, Message, request};
use crate::walk::{Fields, MAX_DEPTH, Malformed, Raw, numbers};

/// The JSON form of an encoded `Export*ServiceRequest`, on one line without a newline.
pub fn from_protobuf(signal: Signal, bytes: &[u8]) -> Result<Bytes, Malformed> {
    let mut w = Writer::default();
    message(&mut w, request(signal), bytes, 0)?;
    Ok(w.finish())
}

fn message(w: &mut Writer, of: &'static Message, bytes: &[u8], depth: u32) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::TooDeep);
    }
    let (mut found, mut fields): (Vec<(&'static Field, Raw<'_>)>, _) = (Vec::new(), Fields::of(bytes));
    while let Some((number, value, _)) = fields.next()? {
        if let Some(field) = of.field(number) {
            found.push((field, value));
        }
    }
    found.sort_by_key(|(field, _)| field.number);
    let mut result = Ok(());
    w.object(|w| {
        // Readers insist on the list of an array or a map, also when it is empty.
        if found.is_empty() && (std::ptr::eq(of, &ARRAY) || std::ptr::eq(of, &KEY_VALUES)) {
            w.list("values", [0u8; 0], |_, _| {});
        }
        for run in found.chunk_by(|a, b| a.0.number == b.0.number) {
            let (field, last) = run[run.len() - 1];
            w.key(field.name);
            let written = match (field.repeated, field.kind) {
                // Of a field that stands once the last one counts; parts of a message are one message.
                (false, Kind::Message(inner)) if run.len() > 1 => {
                    let parts: Vec<&[u8]> = run
                        .iter()
                        .filter_map(|(_, v)| if let Raw::Len(b) = v { Some(*b) } else { None })
                        .collect();
                    message(w, inner, &parts.concat(), depth + 1)
                }
                (false, _) => value(w, field, last, depth),
                (true, _) => {
                    let mut all = Ok(());
                    w.array(|w| all = run.iter().try_for_each(|(_, raw)| element(w, field, *raw, depth)));
                    all
                }
            };
            if written.is_err() && result.is_ok() {
                result = written;
            }
        }
    });
    result
}

/// One element of a list, or the many of a packed one.
fn element(w: &mut Writer, field: &'static Field, raw: Raw<'_>, depth: u32) -> Result<(), Malformed> {
    let packed = match (field.kind, raw) {
        (Kind::Message(_) | Kind::Text | Kind::Bytes | Kind::Id, _) => None,
        (_, Raw::Len(packed)) => Some(packed),
        _ => None,
    };
    let mut result = Ok(());
    let mut one = |w: &mut Writer, raw| {
        w.element(|w| result = std::mem::replace(&mut result, Ok(())).and(value(w, field, raw, depth)))
    };
    match packed {
        Some(packed) => numbers(field, packed, |raw| one(w, raw))?,
        None => one(w, raw),
    }
    result
}

fn value(w: &mut Writer, field: &'static Field, raw: Raw<'_>, depth: u32) -> Result<(), Malformed> {
    match (field.kind, raw) {
        (Kind::Message(inner), Raw::Len(bytes)) => return message(w, inner, bytes, depth + 1),
        (Kind::Text, Raw::Len(bytes)) => w.string(std::str::from_utf8(bytes).map_err(|_| Malformed::Text)?),
        (Kind::Bytes, Raw::Len(bytes)) => w.base64(bytes),
        (Kind::Id, Raw::Len(bytes)) => w.hex(bytes),
        (Kind::Bool, Raw::Varint(v)) => w.plain(if v == 0 { "false" } else { "true" }),
        (Kind::Enum | Kind::Index(_), Raw::Varint(v)) => w.int(i64::from(v as i32)),
        (Kind::Uint32, Raw::Varint(v)) => w.int(i64::from(v as u32)),
        (Kind::Sint32, Raw::Varint(v)) => {
            let v = v as u32;
            w.int(i64::from((v >> 1).cast_signed() ^ -(v & 1).cast_signed()));
        }
        (Kind::Int64, Raw::Varint(v)) => w.quoted_int(v.cast_signed()),
        (Kind::Uint64, Raw::Varint(v)) | (Kind::Fixed64, Raw::Fixed64(v)) => w.quoted_int(v),
        (Kind::Sfixed64, Raw::Fixed64(v)) => w.quoted_int(v.cast_signed()),
        (Kind::Double, Raw::Fixed64(v)) => w.double(f64::from_bits(v)),
        (Kind::Fixed32, Raw::Fixed32(v)) => w.int(i64::from(v)),
        _ => {
            w.plain("null");
            return Err(Malformed::WireType);
        }
    }
    Ok(())
}
