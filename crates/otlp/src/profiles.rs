//! Profiles of several dictionaries in one request: the tables are joined and every index is moved.

use std::collections::HashMap;

use bytes::Bytes;
use telegen_model::{RawRecords, Signal};

use crate::raw::of_resource;
use crate::schema::{DICTIONARY, Kind, Message, Table};
use crate::walk::{Fields, Raw, numbers, put_bytes, put_message, put_varint};

/// The tables in the order of their field numbers, 1 to 7.
const TABLES: [Table; 7] = [
    Table::Mapping,
    Table::Location,
    Table::Function,
    Table::Link,
    Table::String,
    Table::Attribute,
    Table::Stack,
];

/// Where the indices of one dictionary lie in the joined one.
struct Map([Vec<i32>; 7]);

impl Map {
    fn at(&self, table: Table, index: i32) -> i32 {
        let map = &self.0[place(table)];
        // What points nowhere points at the entry that stands for nothing.
        usize::try_from(index).ok().and_then(|i| map.get(i).copied()).unwrap_or(0)
    }
}

fn place(table: Table) -> usize {
    TABLES.iter().position(|t| *t == table).unwrap_or(0)
}

/// Joins the dictionaries of groups that were checked; gives the groups' bodies with their indices moved, and the one
/// dictionary. Entry 0 of every table stands for nothing, and is shared; equal texts are kept once.
pub(crate) fn merge(groups: &[&RawRecords]) -> (Vec<Bytes>, Bytes) {
    let mut joined: [Vec<Vec<u8>>; 7] = Default::default();
    let mut texts: HashMap<Vec<u8>, i32> = HashMap::new();
    // Groups of one request share their dictionary's bytes: long ones are not compared again and again.
    let (mut places, mut contents) = (HashMap::new(), HashMap::new());
    let mut maps: Vec<Map> = Vec::new();
    let mut map_of = |dictionary: &'_ Bytes| {
        let place = (dictionary.as_ptr(), dictionary.len());
        *places.entry(place).or_insert_with(|| {
            *contents.entry(dictionary.clone()).or_insert_with(|| {
                maps.push(join(dictionary, &mut joined, &mut texts));
                maps.len() - 1
            })
        })
    };
    let which: Vec<usize> = groups.iter().map(|group| map_of(&group.dictionary)).collect();
    let bodies = std::iter::zip(groups, which).map(|(group, map)| {
        let mut out = Vec::with_capacity(group.body.len() + group.body.len() / 8);
        moved(of_resource(Signal::Profiles), &group.body, &maps[map], &mut out);
        out.into()
    });
    let bodies = bodies.collect();
    let mut dictionary = Vec::new();
    for (at, table) in joined.iter().enumerate() {
        table.iter().for_each(|entry| put_bytes(&mut dictionary, at as u32 + 1, entry));
    }
    (bodies, dictionary.into())
}

/// Adds the tables of a dictionary to the joined ones.
fn join(dictionary: &[u8], joined: &mut [Vec<Vec<u8>>; 7], texts: &mut HashMap<Vec<u8>, i32>) -> Map {
    let (mut entries, mut fields): ([Vec<&[u8]>; 7], _) = (Default::default(), Fields::of(dictionary));
    while let Ok(Some((number, value, _))) = fields.next() {
        if let (1..=7, Raw::Len(entry)) = (number, value) {
            entries[number as usize - 1].push(entry);
        }
    }
    let mut map = Map(Default::default());
    for (at, entries) in entries.iter().enumerate() {
        let mut next = joined[at].len().max(1) as i32;
        for (i, entry) in entries.iter().enumerate() {
            let known = (TABLES[at] == Table::String).then(|| texts.get(*entry).copied()).flatten();
            let to = match (i, known) {
                (0, _) => 0,
                (_, Some(known)) => known,
                _ => {
                    if TABLES[at] == Table::String {
                        texts.insert(entry.to_vec(), next);
                    }
                    next += 1;
                    next - 1
                }
            };
            map.0[at].push(to);
        }
    }
    for (at, entries) in entries.iter().enumerate() {
        let Some(Kind::Text | Kind::Message(_)) = DICTIONARY.field(at as u32 + 1).map(|f| f.kind) else {
            continue;
        };
        for (i, entry) in entries.iter().enumerate() {
            let to = map.0[at][i] as usize;
            if to < joined[at].len() {
                continue;
            }
            let mut out = Vec::with_capacity(entry.len() + 4);
            match DICTIONARY.field(at as u32 + 1).map(|f| f.kind) {
                Some(Kind::Message(of)) => moved(of, entry, &map, &mut out),
                _ => out.extend_from_slice(entry),
            }
            joined[at].push(out);
        }
        // A table that something else fills later has its entry for nothing.
        if joined[at].is_empty() {
            joined[at].push(Vec::new());
        }
    }
    map
}

/// Copies a message with its indices moved; what no table knows stays as it is.
fn moved(of: &Message, bytes: &[u8], map: &Map, out: &mut Vec<u8>) {
    let mut fields = Fields::of(bytes);
    while let Ok(Some((number, value, whole))) = fields.next() {
        let Some(field) = of.field(number) else {
            out.extend_from_slice(whole);
            continue;
        };
        match (field.kind, value) {
            (Kind::Message(inner), Raw::Len(content)) => {
                put_message(out, number, |out| moved(inner, content, map, out));
            }
            (Kind::Index(table), Raw::Varint(v)) => {
                put_varint(out, u64::from(number << 3));
                put_index(out, map.at(table, v as i32));
            }
            (Kind::Index(table), Raw::Len(packed)) => {
                let mut list = Vec::with_capacity(packed.len() + 8);
                let _checked = numbers(field, packed, |raw| {
                    if let Raw::Varint(v) = raw {
                        put_index(&mut list, map.at(table, v as i32));
                    }
                });
                put_bytes(out, number, &list);
            }
            _ => out.extend_from_slice(whole),
        }
    }
}

fn put_index(out: &mut Vec<u8>, index: i32) {
    put_varint(out, i64::from(index).cast_unsigned());
}
