//! Attributes of profiles, changed in place: they stand in a dictionary, and lists point at them.

use std::borrow::Cow;
use std::collections::HashMap;

use telegen_model::{RawRecords, Signal};

use crate::edit::{AnyBytes, Edit, is_attributes};
use crate::inline::inlined;
use crate::raw::of_resource;
use crate::schema::{ANY_VALUE, DICTIONARY, Field, Kind, Message, Table};
use crate::walk::{Fields, Raw, numbers, put_bytes, put_message, put_varint};

/// Numbers of the dictionary's tables.
const STRINGS: u32 = 5;
const ATTRIBUTES: u32 = 6;

/// Changes the attributes of profiles, samples, mappings, locations and scopes. A value that nothing points at any more
/// is taken out of the dictionary too. `None` when nothing changes.
pub(crate) fn edit_profiles(records: &RawRecords, with: &dyn Edit) -> Option<RawRecords> {
    let mut tables = Tables::of(&records.dictionary);
    let named = tables.strings.iter().any(|s| std::str::from_utf8(s).is_ok_and(|s| with.touches(s)));
    if !named && !with.touches_records() && !inline(of_resource(Signal::Profiles), &records.body, with) {
        return None;
    }
    let known = tables.read();
    let mut body = Vec::with_capacity(records.body.len() + 64);
    let mut editor = Editor { tables: &mut tables, known: &known, with };
    message(of_resource(Signal::Profiles), &records.body, false, &mut editor, &mut body);
    let dictionary = rewritten(&records.dictionary, &mut editor, &body);
    Some(RawRecords { body: body.into(), dictionary: dictionary.into(), ..records.clone() })
}

/// Whether a list that holds its keys itself has one that matters.
fn inline(of: &Message, bytes: &[u8], with: &dyn Edit) -> bool {
    let mut fields = Fields::of(bytes);
    while let Ok(Some((number, value, _))) = fields.next() {
        let (Some(field), Raw::Len(content)) = (of.field(number), value) else { continue };
        let found = match field.kind {
            Kind::Message(_) if is_attributes(field) => {
                crate::edit::key(content).is_some_and(|k| with.touches(k))
            }
            Kind::Message(inner) => inline(inner, content, with),
            _ => false,
        };
        if found {
            return true;
        }
    }
    false
}

/// The dictionary's texts and attributes, and what is added to them.
struct Tables<'a> {
    strings: Vec<Cow<'a, [u8]>>,
    attributes: Vec<&'a [u8]>,
    added: Vec<Vec<u8>>,
    /// Where an attribute was added.
    known: HashMap<Vec<u8>, i32>,
    /// Where a text is.
    texts: HashMap<Vec<u8>, i32>,
}

struct Editor<'t, 'a> {
    tables: &'t mut Tables<'a>,
    /// The attributes that were there, read once: many lists point at each.
    known: &'t [Attribute],
    with: &'t dyn Edit,
}

/// An entry of the attribute table.
struct Attribute {
    key: Cow<'static, str>,
    value: AnyBytes<'static>,
    unit: u64,
}

impl<'a> Tables<'a> {
    fn of(dictionary: &'a [u8]) -> Tables<'a> {
        let (mut strings, mut attributes) = (Vec::new(), Vec::new());
        let mut fields = Fields::of(dictionary);
        while let Ok(Some((number, value, _))) = fields.next() {
            match (number, value) {
                (STRINGS, Raw::Len(text)) => strings.push(Cow::Borrowed(text)),
                (ATTRIBUTES, Raw::Len(entry)) => attributes.push(entry),
                _ => {}
            }
        }
        Tables { strings, attributes, added: Vec::new(), known: HashMap::new(), texts: HashMap::new() }
    }

    fn string(&self, at: u64) -> &[u8] {
        usize::try_from(at).ok().and_then(|at| self.strings.get(at)).map_or(&[], |s| s)
    }

    fn text(&self, at: u64) -> Cow<'static, str> {
        Cow::Owned(String::from_utf8_lossy(self.string(at)).into_owned())
    }

    /// A value without indices: equal ones are equal bytes.
    fn value(&self, bytes: &[u8]) -> AnyBytes<'static> {
        AnyBytes::new(inlined(&ANY_VALUE, bytes, &|at| self.string(at)))
    }

    /// The attribute table; the last entry is what an index that points nowhere stands for.
    fn read(&self) -> Vec<Attribute> {
        self.attributes.iter().copied().chain([&[][..]]).map(|entry| self.attribute(entry)).collect()
    }

    fn attribute(&self, entry: &[u8]) -> Attribute {
        let (mut key, mut value, mut unit) = (0, &[][..], 0);
        let mut fields = Fields::of(entry);
        while let Ok(Some((number, found, _))) = fields.next() {
            match (number, found) {
                (1, Raw::Varint(at)) => key = at,
                (2, Raw::Len(bytes)) => value = bytes,
                (3, Raw::Varint(at)) => unit = at,
                _ => {}
            }
        }
        Attribute { key: self.text(key), value: self.value(value), unit }
    }

    fn put_string(&mut self, text: &str) -> i32 {
        if self.texts.is_empty() {
            for (at, text) in self.strings.iter().enumerate() {
                self.texts.entry(text.to_vec()).or_insert(at as i32);
            }
        }
        if self.strings.is_empty() {
            self.strings.push(Cow::Borrowed(&[]));
        }
        let next = self.strings.len() as i32;
        let at = *self.texts.entry(text.as_bytes().to_vec()).or_insert(next);
        if at == next {
            self.strings.push(Cow::Owned(text.as_bytes().to_vec()));
        }
        at
    }

    fn put_attribute(&mut self, key: &str, value: &AnyBytes<'_>, unit: u64) -> i32 {
        let key = self.put_string(key);
        let mut entry = Vec::with_capacity(16);
        put_varint(&mut entry, 1 << 3);
        put_varint(&mut entry, key as u64);
        put_bytes(&mut entry, 2, value.bytes());
        if unit != 0 {
            put_varint(&mut entry, 3 << 3);
            put_varint(&mut entry, unit);
        }
        // Entry 0 stands for nothing.
        let next = (self.attributes.len().max(1) + self.added.len()) as i32;
        let at = *self.known.entry(entry.clone()).or_insert(next);
        if at == next {
            self.added.push(entry);
        }
        at
    }
}

/// Where a pair's texts lie. A list may be long and a value too: what was not changed is known by its place.
type Place = [usize; 4];

fn place(key: &str, value: &AnyBytes<'_>) -> Place {
    let value = value.bytes();
    [key.as_ptr() as usize, key.len(), value.as_ptr() as usize, value.len()]
}

impl Editor<'_, '_> {
    /// The list of indices as it is to be.
    fn indices(&mut self, list: &[u64], record: bool) -> Option<Vec<u64>> {
        let nothing = self.known.len() - 1;
        let at = |at: &u64| usize::try_from(*at).map_or(nothing, |at| at.min(nothing));
        let had: Vec<&Attribute> = list.iter().map(|i| &self.known[at(i)]).collect();
        let edits = (record && self.with.touches_records()) || had.iter().any(|a| self.with.touches(&a.key));
        if !edits {
            return None;
        }
        let mut pairs: Vec<(Cow<'_, str>, AnyBytes<'_>)> =
            had.iter().map(|a| (Cow::Borrowed(&*a.key), AnyBytes::new(a.value.bytes()))).collect();
        let indices: HashMap<Place, u64> =
            pairs.iter().zip(list).map(|((key, value), at)| (place(key, value), *at)).collect();
        self.with.edit(&mut pairs, record);
        let indices = pairs.into_iter().map(|(key, value)| {
            if let Some(same) = indices.get(&place(&key, &value)) {
                return *same;
            }
            // A unit goes with its value, else with its name.
            let unit = had.iter().find(|a| a.value == value).or_else(|| had.iter().find(|a| a.key == key));
            self.tables.put_attribute(&key, &value, unit.map_or(0, |a| a.unit)) as u64
        });
        Some(indices.collect())
    }

    /// Key and value of a pair that stands in the list itself.
    fn pair(&self, pair: &[u8]) -> (Cow<'static, str>, AnyBytes<'static>) {
        let (mut key, mut value) = (Cow::Borrowed(""), &[][..]);
        let mut fields = Fields::of(pair);
        while let Ok(Some((number, found, _))) = fields.next() {
            match (number, found) {
                (1, Raw::Len(text)) => key = Cow::Owned(String::from_utf8_lossy(text).into_owned()),
                (2, Raw::Len(bytes)) => value = bytes,
                (3, Raw::Varint(at)) => key = self.tables.text(at),
                _ => {}
            }
        }
        (key, self.tables.value(value))
    }
}

fn is_indices(field: &Field) -> bool {
    field.repeated && matches!(field.kind, Kind::Index(Table::Attribute))
}

fn message(of: &Message, bytes: &[u8], record: bool, editor: &mut Editor<'_, '_>, out: &mut Vec<u8>) {
    let (mut indices, mut pairs, mut fields) = (Vec::new(), Vec::new(), Fields::of(bytes));
    while let Ok(Some((number, value, whole))) = fields.next() {
        match (of.field(number), value) {
            (Some(field), Raw::Len(pair)) if is_attributes(field) => pairs.push((whole, pair)),
            (Some(field), Raw::Varint(at)) if is_indices(field) => indices.push(at),
            (Some(field), Raw::Len(packed)) if is_indices(field) => {
                let _checked = numbers(field, packed, |raw| {
                    if let Raw::Varint(at) = raw {
                        indices.push(at);
                    }
                });
            }
            (Some(Field { kind: Kind::Message(inner), item, .. }), Raw::Len(content)) => {
                put_message(out, number, |out| message(inner, content, *item, editor, out));
            }
            _ => out.extend_from_slice(whole),
        }
    }
    if let Some(own) = of.fields.iter().find(|f| is_indices(f)) {
        let list = editor.indices(&indices, record).unwrap_or(indices);
        if !list.is_empty() {
            let mut packed = Vec::with_capacity(list.len() * 2);
            list.iter().for_each(|at| put_varint(&mut packed, *at));
            put_bytes(out, own.number, &packed);
        }
    }
    let Some(own) = of.fields.iter().find(|f| is_attributes(f)) else { return };
    let mut list: Vec<_> = pairs.iter().map(|(_, pair)| editor.pair(pair)).collect();
    if !list.iter().any(|(key, _)| editor.with.touches(key)) {
        pairs.iter().for_each(|(whole, _)| out.extend_from_slice(whole));
        return;
    }
    editor.with.edit(&mut list, false);
    for (key, value) in list {
        put_message(out, own.number, |out| {
            put_bytes(out, 1, key.as_bytes());
            put_bytes(out, 2, value.bytes());
        });
    }
}

/// The dictionary with its own lists changed, entries that must not leave emptied, and what was added.
fn rewritten(dictionary: &[u8], editor: &mut Editor<'_, '_>, body: &[u8]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(dictionary.len() + 64);
    let (mut fields, mut attributes) = (Fields::of(dictionary), Vec::new());
    while let Ok(Some((number, value, whole))) = fields.next() {
        match (number, value, DICTIONARY.field(number)) {
            (STRINGS, ..) => {}
            (ATTRIBUTES, Raw::Len(entry), _) => {
                let key = &editor.known[attributes.len()].key;
                attributes.push(if editor.with.touches(key) { &[][..] } else { entry });
            }
            (_, Raw::Len(content), Some(Field { kind: Kind::Message(inner), .. })) => {
                put_message(&mut rest, number, |out| message(inner, content, false, editor, out));
            }
            _ => rest.extend_from_slice(whole),
        }
    }
    let tables = &editor.tables;
    if attributes.is_empty() && !tables.added.is_empty() {
        attributes.push(&[]);
    }
    for entry in attributes.into_iter().chain(tables.added.iter().map(Vec::as_slice)) {
        put_bytes(&mut rest, ATTRIBUTES, entry);
    }
    let mut used = vec![false; tables.strings.len()];
    uses(of_resource(Signal::Profiles), body, &mut used);
    uses(&DICTIONARY, &rest, &mut used);
    for (text, used) in tables.strings.iter().zip(used) {
        put_bytes(&mut rest, STRINGS, if used { text } else { &[] });
    }
    rest
}

/// Marks the texts that a message points at.
fn uses(of: &Message, bytes: &[u8], used: &mut [bool]) {
    let mut fields = Fields::of(bytes);
    while let Ok(Some((number, value, _))) = fields.next() {
        let Some(field) = of.field(number) else { continue };
        match (field.kind, value) {
            (Kind::Message(inner), Raw::Len(content)) => uses(inner, content, used),
            (Kind::Index(Table::String), Raw::Varint(at)) => {
                if let Some(used) = usize::try_from(at).ok().and_then(|at| used.get_mut(at)) {
                    *used = true;
                }
            }
            _ => {}
        }
    }
}
