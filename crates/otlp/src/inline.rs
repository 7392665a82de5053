//! Attributes that point into a dictionary of texts, with the texts in their place.

use crate::schema::{ANY_VALUE, KEY_VALUE, Kind, Message, Table};
use crate::walk::{Fields, Raw, put_bytes, put_message};

/// The texts of a profiles dictionary.
pub(crate) fn strings(dictionary: &[u8]) -> Vec<&[u8]> {
    let (mut out, mut fields) = (Vec::new(), Fields::of(dictionary));
    while let Ok(Some((number, value, _))) = fields.next() {
        if let (5, Raw::Len(text)) = (number, value) {
            out.push(text);
        }
    }
    out
}

/// A message with `key_strindex` and `string_value_strindex`, at any depth, written as what they stand for.
pub(crate) fn inlined<'s>(of: &Message, bytes: &[u8], text: &dyn Fn(u64) -> &'s [u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    copy(of, bytes, text, &mut out);
    out
}

fn copy<'s>(of: &Message, bytes: &[u8], text: &dyn Fn(u64) -> &'s [u8], out: &mut Vec<u8>) {
    // In both messages the text itself is field 1.
    let holds_text = std::ptr::eq(of, &KEY_VALUE) || std::ptr::eq(of, &ANY_VALUE);
    let mut fields = Fields::of(bytes);
    while let Ok(Some((number, value, whole))) = fields.next() {
        match (of.field(number).map(|f| f.kind), value) {
            (Some(Kind::Message(inner)), Raw::Len(content)) => {
                put_message(out, number, |out| copy(inner, content, text, out));
            }
            (Some(Kind::Index(Table::String)), Raw::Varint(at)) if holds_text => put_bytes(out, 1, text(at)),
            _ => out.extend_from_slice(whole),
        }
    }
}
