//! Requests taken apart at their resources, and no further: scopes and records stay as they came.

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use telegen_model::{RawRecords, Resource, Signal};

use crate::decode;
use crate::expansion::Expansion;
use crate::inline::{inlined, strings};
use crate::message as m;
use crate::schema::{Kind, Message, RESOURCE, request};
use crate::walk::{Fields, Malformed, Raw, check, put_bytes};

/// The records of one resource in a request.
#[derive(Clone, Debug, PartialEq)]
pub struct RawGroup {
    /// Its attributes.
    pub resource: Resource,
    /// All else.
    pub records: RawRecords,
}

/// Takes an `Export*ServiceRequest` apart. The whole request is checked: types, lengths, text, nesting (100 deep), and
/// how much its indices stand for.
/// Resources without items are left out, and so are fields of the request itself that no table has.
pub fn raw_groups(signal: Signal, bytes: &Bytes) -> Result<Vec<RawGroup>, Malformed> {
    let (mut resources, mut dictionaries, mut fields) = (Vec::new(), Vec::new(), Fields::of(bytes));
    while let Some((number, value, _)) = fields.next()? {
        match (number, value) {
            (1, Raw::Len(of_resource)) => resources.push(of_resource),
            (2, Raw::Len(dictionary)) if signal == Signal::Profiles => dictionaries.push(dictionary),
            (1, _) => return Err(Malformed::WireType),
            _ => {}
        }
    }
    let dictionary = match dictionaries.as_slice() {
        [] => Bytes::new(),
        [one] => bytes.slice_ref(one),
        // Parts of a message are one message.
        many => many.concat().into(),
    };
    if !dictionary.is_empty() {
        check(&crate::schema::DICTIONARY, &dictionary, 1)?;
    }
    let mut expansion = (!dictionary.is_empty())
        .then(|| Expansion::of(&dictionary, bytes.len(), resources.len()))
        .transpose()?;
    let dictionary = Dictionary { texts: strings(&dictionary), bytes: dictionary.clone() };
    let (of, mut out) = (of_resource(signal), Vec::with_capacity(resources.len()));
    for resource in resources {
        let items = check(of, resource, 1)?;
        if let Some(expansion) = &mut expansion {
            expansion.take(of, resource)?;
        }
        if items > 0 {
            out.push(group(signal, items, bytes.slice_ref(resource), &dictionary)?);
        }
    }
    Ok(out)
}

/// What profiles point into.
struct Dictionary<'a> {
    bytes: Bytes,
    texts: Vec<&'a [u8]>,
}

fn group(
    signal: Signal,
    items: usize,
    bytes: Bytes,
    dictionary: &Dictionary<'_>,
) -> Result<RawGroup, Malformed> {
    let (mut resources, mut body): (Vec<&[u8]>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    let mut fields = Fields::of(&bytes);
    while let Some((number, value, whole)) = fields.next()? {
        match (number, value) {
            (1, Raw::Len(resource)) => resources.push(resource),
            _ => body.push(whole),
        }
    }
    // The resource is rewritten: it must not depend on the dictionary.
    let texts = &dictionary.texts;
    let text = |at: u64| usize::try_from(at).ok().and_then(|at| texts.get(at).copied()).unwrap_or_default();
    let inline: Vec<Vec<u8>> = match texts.is_empty() {
        true => Vec::new(),
        false => resources.iter().map(|r| inlined(&RESOURCE, r, &text)).collect(),
    };
    if !inline.is_empty() {
        resources = inline.iter().map(Vec::as_slice).collect();
    }
    let (resource, resource_rest) = resource(&resources)?;
    let (body, dictionary) = (joined(&bytes, &body), dictionary.bytes.clone());
    let records = RawRecords { signal, items, body, resource_rest, dictionary };
    Ok(RawGroup { resource, records })
}

/// The parts as one; without a copy when they lie side by side.
fn joined(whole: &Bytes, parts: &[&[u8]]) -> Bytes {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Bytes::new() };
    let at = |part: &[u8]| part.as_ptr() as usize - whole.as_ptr() as usize;
    let (begin, end) = (at(first), at(last) + last.len());
    match end - begin == parts.iter().map(|p| p.len()).sum::<usize>() {
        true => whole.slice(begin..end),
        false => parts.concat().into(),
    }
}

fn resource(parts: &[&[u8]]) -> Result<(Resource, Bytes), Malformed> {
    let (mut attributes, mut rest) = (Vec::new(), Vec::new());
    for part in parts {
        let mut fields = Fields::of(part);
        while let Some((number, value, whole)) = fields.next()? {
            match (number, value) {
                (1, Raw::Len(pair)) => {
                    attributes.push(m::KeyValue::decode(pair).map_err(|_| Malformed::TooDeep)?)
                }
                _ => rest.extend_from_slice(whole),
            }
        }
    }
    Ok((Resource::new(decode::attributes(attributes)), rest.into()))
}

pub(crate) fn of_resource(signal: Signal) -> &'static Message {
    inner(request(signal), 1)
}

fn inner(of: &'static Message, number: u32) -> &'static Message {
    match of.field(number).map(|f| f.kind) {
        Some(Kind::Message(inner)) => inner,
        _ => of,
    }
}

/// Cuts records into pieces of at most so many items and bytes, between records and in order; one that is larger goes
/// alone. Metrics are cut between metrics.
pub(crate) fn cut(records: &RawRecords, items: usize, wire: usize) -> Vec<RawRecords> {
    let scope = inner(of_resource(records.signal), 2);
    let mut pieces: Vec<(Vec<u8>, usize)> = Vec::new();
    let mut around = Vec::new();
    let mut scopes: Vec<&[u8]> = Vec::new();
    let mut fields = Fields::of(&records.body);
    while let Ok(Some((number, value, whole))) = fields.next() {
        match (number, value) {
            (2, Raw::Len(of_scope)) => scopes.push(of_scope),
            _ => around.extend_from_slice(whole),
        }
    }
    let room = wire.saturating_sub(around.len() + records.dictionary.len());
    for of_scope in scopes {
        let (mut head, mut list) = (Vec::new(), Vec::new());
        let mut fields = Fields::of(of_scope);
        while let Ok(Some((number, _, whole))) = fields.next() {
            match number {
                2 => list.push(whole),
                _ => head.extend_from_slice(whole),
            }
        }
        let mut open: Option<(Vec<u8>, usize)> = None;
        for record in list {
            let n = count(scope, record);
            let full = open.as_ref().is_some_and(|(b, had)| had + n > items || b.len() + record.len() > room);
            if full {
                close(&mut pieces, open.take());
            }
            let (bytes, had) = open.get_or_insert_with(|| (head.clone(), 0));
            bytes.extend_from_slice(record);
            *had += n;
        }
        close(&mut pieces, open);
    }
    let with = |(scopes, items): (Vec<u8>, usize)| {
        let mut body = BytesMut::with_capacity(scopes.len() + around.len());
        body.extend_from_slice(&scopes);
        body.extend_from_slice(&around);
        RawRecords { items, body: body.freeze(), ..records.clone() }
    };
    pieces.into_iter().map(with).collect()
}

fn close(pieces: &mut Vec<(Vec<u8>, usize)>, scope: Option<(Vec<u8>, usize)>) {
    if let Some((content, items)) = scope {
        let mut bytes = Vec::with_capacity(content.len() + 8);
        put_bytes(&mut bytes, 2, &content);
        pieces.push((bytes, items));
    }
}

/// Items of one record, given as a field of its scope.
fn count(scope: &'static Message, record: &[u8]) -> usize {
    check(scope, record, 0).unwrap_or(0)
}

/// The spans of a request by trace, in order of first appearance: scopes and resources stay with them.
pub fn by_trace(records: &RawRecords) -> Vec<(Bytes, RawRecords)> {
    // Trace, its scopes (which one, content), items.
    type Part = (Bytes, Vec<(usize, Vec<u8>)>, usize);
    let (mut around, mut parts): (Vec<u8>, Vec<Part>) = (Vec::new(), Vec::new());
    let mut known: std::collections::HashMap<Bytes, usize> = std::collections::HashMap::new();
    let (mut fields, mut place) = (Fields::of(&records.body), 0);
    while let Ok(Some((number, value, whole))) = fields.next() {
        let (2, Raw::Len(of_scope)) = (number, value) else {
            around.extend_from_slice(whole);
            continue;
        };
        let (mut head, mut spans) = (Vec::new(), Vec::new());
        let mut inside = Fields::of(of_scope);
        while let Ok(Some((number, value, whole))) = inside.next() {
            match (number, value) {
                (2, Raw::Len(span)) => spans.push((span, whole)),
                _ => head.extend_from_slice(whole),
            }
        }
        for (span, whole) in spans {
            let trace = records.body.slice_ref(trace_id(span));
            let at = *known.entry(trace.clone()).or_insert_with(|| {
                parts.push((trace, Vec::new(), 0));
                parts.len() - 1
            });
            let (_, scopes, items) = &mut parts[at];
            if scopes.last().is_none_or(|(of, _)| *of != place) {
                scopes.push((place, head.clone()));
            }
            if let Some((_, content)) = scopes.last_mut() {
                content.extend_from_slice(whole);
            }
            *items += 1;
        }
        place += 1;
    }
    let with = |(trace, scopes, items): Part| {
        let mut body = Vec::new();
        scopes.iter().for_each(|(_, content)| put_bytes(&mut body, 2, content));
        body.extend_from_slice(&around);
        (trace, RawRecords { items, body: body.into(), ..records.clone() })
    };
    parts.into_iter().map(with).collect()
}

fn trace_id(span: &[u8]) -> &[u8] {
    let mut fields = Fields::of(span);
    while let Ok(Some((number, value, _))) = fields.next() {
        if let (1, Raw::Len(id)) = (number, value) {
            return id;
        }
    }
    &span[..0]
}
