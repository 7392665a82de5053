//! Attributes of raw records, changed in place: everything else keeps its bytes.

use std::borrow::Cow;

use telegen_model::{RawRecords, Signal, Value};

use crate::edit_profiles::edit_profiles;
use crate::raw::of_resource;
use crate::schema::{Field, KEY_VALUE, Kind, Message};
use crate::walk::{Fields, Raw, put_bytes, put_message};

/// An attribute's value as protobuf (`AnyValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyBytes<'a>(Cow<'a, [u8]>);

impl AnyBytes<'_> {
    /// A text.
    pub fn text(text: &str) -> AnyBytes<'static> {
        let mut out = Vec::with_capacity(text.len() + 4);
        put_bytes(&mut out, 1, text.as_bytes());
        AnyBytes(out.into())
    }

    /// What stands for the value when it is compared: the text itself, of other kinds the bytes.
    pub fn identity(&self) -> &[u8] {
        match Fields::of(&self.0).next() {
            Ok(Some((1, Raw::Len(text), _))) => text,
            _ => &self.0,
        }
    }

    /// These bytes.
    pub(crate) fn new<'a>(bytes: impl Into<Cow<'a, [u8]>>) -> AnyBytes<'a> {
        AnyBytes(bytes.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes of a typed value.
    pub fn of(value: &Value) -> AnyBytes<'static> {
        AnyBytes(crate::proto::any_value(value).into())
    }
}

/// What changes attributes.
pub trait Edit {
    /// Whether a list with this key may change.
    fn touches(&self, key: &str) -> bool;

    /// Whether every record's own list changes, whatever it holds.
    fn touches_records(&self) -> bool;

    /// Changes a list; `record`: it is that of a span, log record or data point.
    fn edit<'a>(&self, list: &mut Vec<(Cow<'a, str>, AnyBytes<'a>)>, record: bool);
}

/// Changes the attributes of scopes, records, events, links and exemplars; of profiles also those of samples, mappings
/// and locations. `None` when nothing changes.
pub fn edit_raw(records: &RawRecords, with: &dyn Edit) -> Option<RawRecords> {
    if records.signal == Signal::Profiles {
        return edit_profiles(records, with);
    }
    let of = of_resource(records.signal);
    if !with.touches_records() && !touched(of, &records.body, with) {
        return None;
    }
    let mut body = Vec::with_capacity(records.body.len() + 64);
    message(of, &records.body, false, with, &mut body);
    Some(RawRecords { body: body.into(), ..records.clone() })
}

pub(crate) fn is_attributes(field: &Field) -> bool {
    matches!(field.kind, Kind::Message(of) if std::ptr::eq(of, &KEY_VALUE))
        && field.name.to_ascii_lowercase().ends_with("attributes")
}

/// Whether any list in a message has a key that matters.
fn touched(of: &Message, bytes: &[u8], with: &dyn Edit) -> bool {
    let mut fields = Fields::of(bytes);
    while let Ok(Some((number, value, _))) = fields.next() {
        let (Some(field), Raw::Len(content)) = (of.field(number), value) else { continue };
        let found = match field.kind {
            Kind::Message(_) if is_attributes(field) => key(content).is_some_and(|k| with.touches(k)),
            Kind::Message(inner) => touched(inner, content, with),
            _ => false,
        };
        if found {
            return true;
        }
    }
    false
}

fn message(of: &Message, bytes: &[u8], record: bool, with: &dyn Edit, out: &mut Vec<u8>) {
    let own = of.fields.iter().find(|f| is_attributes(f));
    let (mut list, mut fields) = (Vec::new(), Fields::of(bytes));
    let mut edits = record && with.touches_records();
    while let Ok(Some((number, value, whole))) = fields.next() {
        match (of.field(number), value) {
            (Some(field), Raw::Len(pair)) if is_attributes(field) => {
                edits |= key(pair).is_some_and(|k| with.touches(k));
                list.push((whole, pair));
            }
            (Some(Field { kind: Kind::Message(inner), item, .. }), Raw::Len(content)) => {
                put_message(out, number, |out| message(inner, content, *item, with, out));
            }
            _ => out.extend_from_slice(whole),
        }
    }
    let Some(own) = own else { return };
    if !edits {
        list.iter().for_each(|(whole, _)| out.extend_from_slice(whole));
        return;
    }
    let mut pairs: Vec<(Cow<'_, str>, AnyBytes<'_>)> = list
        .iter()
        .filter_map(|(_, pair)| Some((Cow::Borrowed(key(pair)?), AnyBytes(Cow::Borrowed(value_of(pair))))))
        .collect();
    with.edit(&mut pairs, record);
    for (key, value) in pairs {
        put_message(out, own.number, |out| {
            put_bytes(out, 1, key.as_bytes());
            put_bytes(out, 2, &value.0);
        });
    }
}

pub(crate) fn key(pair: &[u8]) -> Option<&str> {
    let mut fields = Fields::of(pair);
    while let Ok(Some((number, value, _))) = fields.next() {
        if let (1, Raw::Len(key)) = (number, value) {
            return std::str::from_utf8(key).ok();
        }
    }
    None
}

fn value_of(pair: &[u8]) -> &[u8] {
    let mut fields = Fields::of(pair);
    while let Ok(Some((number, value, _))) = fields.next() {
        if let (2, Raw::Len(value)) = (number, value) {
            return value;
        }
    }
    &[]
}
