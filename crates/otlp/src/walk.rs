//! Reading protobuf field by field, without building anything.

use crate::schema::{Field, Kind, Message};

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
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Found<'a>>, Malformed> {
        let begin = self.rest;
        // Nearly all fields have a length, and one byte for it and for their tag.
        if let [tag @ 8..0x80, len @ 0..0x80, rest @ ..] = begin
            && tag & 7 == 2
        {
            let len = usize::from(*len);
            let (value, rest) = rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
            self.rest = rest;
            return Ok(Some((u32::from(tag >> 3), Raw::Len(value), &begin[..len + 2])));
        }
        if begin.is_empty() {
            return Ok(None);
        }
        self.any()
    }

    /// The next field, of which there is one.
    fn any(&mut self) -> Result<Option<Found<'a>>, Malformed> {
        let begin = self.rest;
        let tag = varint(&mut self.rest)?;
        let number =
            u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n)).ok_or(Malformed::Number)?;
        let value = match tag & 7 {
            0 => Raw::Varint(varint(&mut self.rest)?),
            1 => Raw::Fixed64(u64::from_le_bytes(*take_array(&mut self.rest)?)),
            2 => {
                let len = varint(&mut self.rest)?;
                let len = usize::try_from(len).map_err(|_| Malformed::Truncated)?;
                let (head, tail) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
                self.rest = tail;
                Raw::Len(head)
            }
            5 => Raw::Fixed32(u32::from_le_bytes(*take_array(&mut self.rest)?)),
            _ => return Err(Malformed::WireType),
        };
        Ok(Some((number, value, &begin[..begin.len() - self.rest.len()])))
    }
}

#[inline]
fn take_array<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], Malformed> {
    let (head, tail) = rest.split_first_chunk().ok_or(Malformed::Truncated)?;
    *rest = tail;
    Ok(head)
}

#[inline]
pub(crate) fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let (&first, tail) = rest.split_first().ok_or(Malformed::Truncated)?;
    if first < 0x80 {
        *rest = tail;
        return Ok(first.into());
    }
    let mut v = u64::from(first & 0x7f);
    for (n, &byte) in tail.iter().enumerate() {
        let shift = 7 * (n as u32 + 1);
        if shift > 63 || (shift == 63 && byte > 1) {
            return Err(Malformed::Number);
        }
        v |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            *rest = &tail[n + 1..];
            return Ok(v);
        }
    }
    Err(Malformed::Truncated)
}

/// Checks a message by its table, all the way down; gives the number of items in it.
pub(crate) fn check(message: &Message, bytes: &[u8], depth: u32) -> Result<usize, Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::TooDeep);
    }
    let (mut items, mut fields) = (0, Fields::of(bytes));
    while let Some((number, value, _)) = fields.next()? {
        let Some(field) = message.field(number) else { continue };
        items += usize::from(field.item);
        match (field.kind, value) {
            (Kind::Message(inner), Raw::Len(bytes)) => items += check(inner, bytes, depth + 1)?,
            (Kind::Text, Raw::Len(text)) => {
                if !text.is_ascii() && std::str::from_utf8(text).is_err() {
                    return Err(Malformed::Text);
                }
            }
            (Kind::Bytes | Kind::Id, Raw::Len(_)) => {}
            (_, Raw::Len(packed)) if field.repeated => {
                numbers(field, packed, |_| {})?;
            }
            (kind, value) => fits(kind, value)?,
        }
    }
    Ok(items)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All fields, or what is wrong; `short` by the way that looks for the common form first.
    fn fields(bytes: &[u8], short: bool) -> Result<Vec<Found<'_>>, Malformed> {
        let (mut fields, mut found) = (Fields::of(bytes), Vec::new());
        while !fields.rest.is_empty() {
            found.extend(if short { fields.next()? } else { fields.any()? });
        }
        assert_eq!(fields.next(), Ok(None));
        Ok(found)
    }

    proptest! {
        #[test]
        fn the_common_form_is_read_as_any_other(bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), Just(0x0a), Just(0x12), Just(0x00), Just(0x02), Just(0x80), Just(0x7f)], 0..200))
        {
            prop_assert_eq!(fields(&bytes, true), fields(&bytes, false));
        }
    }
}
