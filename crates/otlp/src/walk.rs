//! Reading protobuf field by field, without building anything.

#[cfg(test)]
mod tests;

use crate::schema::{Field, Kind, Message, Step};

/// Deepest nesting that is read: that of other implementations.
pub(crate) const MAX_DEPTH: u32 = 100;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A length or a number reaches beyond the end.
    #[error("the message ends too early")]
    Truncated,
    /// A number of more than 64 bits, or a tag that is none.
    #[error("a tag or number that cannot be")]
    Number,
    /// A field is not of its type.
    #[error("a field of the wrong type")]
    WireType,
    /// Text that is not UTF-8.
    #[error("a text that is not UTF-8")]
    Text,
    /// Nested deeper than 100 messages.
    #[error("nested too deeply")]
    TooDeep,
    /// Its indices stand for far more than it holds.
    #[error("its indices stand for far more than it holds")]
    Expands,
}

/// A field's value as it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Len(&'a [u8]),
}

/// A field: its number, its value, and all its bytes.
pub(crate) type Found<'a> = (u32, Raw<'a>, &'a [u8]);

/// The fields of a message.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Fields<'a> {
        Fields { rest: bytes }
    }

    /// Number and value of the next field, with all its bytes; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Found<'a>>, Malformed> {
        let begin = self.rest;
        let found = self.value()?;
        Ok(found.map(|(number, value)| (number, value, &begin[..begin.len() - self.rest.len()])))
    }

    /// The same without its bytes, for those who read much: where it is called nothing is put together.
    #[inline(always)]
    pub(crate) fn value(&mut self) -> Result<Option<(u32, Raw<'a>)>, Malformed> {
        let (tag, mut rest) = match self.rest {
            [] => return Ok(None),
            [tag @ 8..0x80, rest @ ..] => (u32::from(*tag), rest),
            long => long_tag(long)?,
        };
        let value = match tag & 7 {
            0 => Raw::Varint(varint(&mut rest)?),
            1 => Raw::Fixed64(u64::from_le_bytes(*take_array(&mut rest)?)),
            2 => Raw::Len(delimited(&mut rest)?),
            5 => Raw::Fixed32(u32::from_le_bytes(*take_array(&mut rest)?)),
            _ => return Err(Malformed::WireType),
        };
        self.rest = rest;
        Ok(Some((tag >> 3, value)))
    }
}

/// A tag that is longer than a byte, or none.
#[inline(never)]
fn long_tag(bytes: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let mut rest = bytes;
    // A number of 29 bits and a type of three.
    let tag = u32::try_from(varint(&mut rest)?).map_err(|_| Malformed::Number)?;
    if tag >> 3 == 0 { Err(Malformed::Number) } else { Ok((tag, rest)) }
}

/// A length and the bytes of it.
#[inline(always)]
fn delimited<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(varint(rest)?).map_err(|_| Malformed::Truncated)?;
    let (head, tail) = rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
    *rest = tail;
    Ok(head)
}

#[inline]
fn take_array<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], Malformed> {
    let (head, tail) = rest.split_first_chunk().ok_or(Malformed::Truncated)?;
    *rest = tail;
    Ok(head)
}

/// A number; those of a byte or two, nearly all, are read where this is called.
#[inline(always)]
pub(crate) fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let (value, tail) = match *rest {
        [low @ 0..0x80, tail @ ..] => (u64::from(*low), tail),
        [low, high @ 0..0x80, tail @ ..] => (u64::from(*low & 0x7f) | u64::from(*high) << 7, tail),
        long => long_varint(long)?,
    };
    *rest = tail;
    Ok(value)
}

/// Takes and gives bytes by value: what is borrowed by a call has to lie in memory.
#[inline(never)]
fn long_varint(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let mut v = 0;
    for (n, &byte) in bytes.iter().enumerate() {
        if n == 9 && byte > 1 {
            return Err(Malformed::Number);
        }
        v |= u64::from(byte & 0x7f) << (7 * n);
        if byte < 0x80 {
            return Ok((v, &bytes[n + 1..]));
        }
    }
    Err(Malformed::Truncated)
}

/// Checks a message by its table, all the way down; gives the number of items in it.
pub(crate) fn check(message: &Message, bytes: &[u8], depth: u32) -> Result<usize, Malformed> {
    let mut items = 0;
    check_fields(message, bytes, depth, &mut items)?;
    Ok(items)
}

/// Adds to `items`: a result of one byte stays in a register.
fn check_fields(message: &Message, bytes: &[u8], depth: u32, items: &mut usize) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::TooDeep);
    }
    let mut rest = bytes;
    while let [tag, tail @ ..] = rest {
        let mut tail = tail;
        match message.step(*tag) {
            Step::Message => {
                let content = delimited(&mut tail)?;
                if let Some(Field { kind: Kind::Message(inner), item, .. }) =
                    message.field(u32::from(tag >> 3))
                {
                    *items += usize::from(*item);
                    check_fields(inner, content, depth + 1, items)?;
                }
            }
            Step::Text => check_text(delimited(&mut tail)?)?,
            Step::Len => _ = delimited(&mut tail)?,
            Step::Varint => _ = varint(&mut tail)?,
            Step::Fixed64 => _ = take_array::<8>(&mut tail)?,
            Step::Fixed32 => _ = take_array::<4>(&mut tail)?,
            Step::Other => tail = check_field(message, rest, depth, items)?,
        }
        rest = tail;
    }
    Ok(())
}

/// Checks the first field whatever it is; gives what is behind it.
#[inline(never)]
fn check_field<'a>(
    message: &Message,
    bytes: &'a [u8],
    depth: u32,
    items: &mut usize,
) -> Result<&'a [u8], Malformed> {
    let mut fields = Fields::of(bytes);
    let Some((number, value)) = fields.value()? else { return Ok(fields.rest) };
    let Some(field) = message.field(number) else { return Ok(fields.rest) };
    *items += usize::from(field.item);
    match (field.kind, value) {
        (Kind::Message(inner), Raw::Len(bytes)) => check_fields(inner, bytes, depth + 1, items)?,
        (Kind::Text, Raw::Len(text)) => check_text(text)?,
        (Kind::Bytes | Kind::Id, Raw::Len(_)) => {}
        (_, Raw::Len(packed)) if field.repeated => numbers(field, packed, |_| {})?,
        (kind, value) => fits(kind, value)?,
    }
    Ok(fields.rest)
}

#[inline]
fn check_text(text: &[u8]) -> Result<(), Malformed> {
    if is_ascii(text) || std::str::from_utf8(text).is_ok() { Ok(()) } else { Err(Malformed::Text) }
}

/// By words, of which the last may lie over the one before: the standard library goes byte by byte through what is left
/// behind its blocks, and most texts are shorter than one.
#[inline]
fn is_ascii(text: &[u8]) -> bool {
    if let Some(last) = text.last_chunk() {
        let words = text.as_chunks().0.iter();
        let all = words.fold(u64::from_ne_bytes(*last), |all, word| all | u64::from_ne_bytes(*word));
        return all & 0x8080_8080_8080_8080 == 0;
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return (u32::from_ne_bytes(*first) | u32::from_ne_bytes(*last)) & 0x8080_8080 == 0;
    }
    text.iter().fold(0, |all, byte| all | byte) < 0x80
}

/// Whether a single number is of the field's type on the wire.
fn fits(kind: Kind, value: Raw<'_>) -> Result<(), Malformed> {
    let right = match kind {
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => matches!(value, Raw::Fixed64(_)),
        Kind::Fixed32 => matches!(value, Raw::Fixed32(_)),
        Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_) => false,
        _ => matches!(value, Raw::Varint(_)),
    };
    if right { Ok(()) } else { Err(Malformed::WireType) }
}

/// The numbers of a packed list.
pub(crate) fn numbers<'a>(
    field: &Field,
    mut packed: &'a [u8],
    mut each: impl FnMut(Raw<'a>),
) -> Result<(), Malformed> {
    while !packed.is_empty() {
        each(match field.kind {
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => {
                Raw::Fixed64(u64::from_le_bytes(*take_array(&mut packed)?))
            }
            Kind::Fixed32 => Raw::Fixed32(u32::from_le_bytes(*take_array(&mut packed)?)),
            Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_) => return Err(Malformed::WireType),
            _ => Raw::Varint(varint(&mut packed)?),
        });
    }
    Ok(())
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Appends a message as a field; `write` appends what it holds.
pub(crate) fn put_message<T>(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    put_varint(out, u64::from(number << 3 | 2));
    let at = out.len();
    out.push(0);
    let written = write(out);
    close(out, at);
    written
}

/// Writes the length of what stands behind the one byte at `at`.
fn close(out: &mut Vec<u8>, at: usize) {
    let len = out.len() - at - 1;
    if len < 0x80 {
        out[at] = len as u8;
        return;
    }
    let mut length = Vec::with_capacity(5);
    put_varint(&mut length, len as u64);
    out.splice(at..=at, length);
}

/// Appends a length-delimited field.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number << 3 | 2));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
