//! Requests taken apart at their resources, and no further: scopes and records stay as they came.

use bytes::Bytes;
use prost::Message as _;
use telegen_model::{RawRecords, Resource, Signal};

use crate::decode;
use crate::expansion::Expansion;
use crate::inline::{inlined, strings};
use crate::memory::{Weights, memory};
use crate::message as m;
use crate::schema::{Kind, Message, RESOURCE, request};
use crate::walk::{Fields, Malformed, Raw, check};

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

/// What [`raw_groups`] holds beside the request, in bytes: resources are read, and a short text may stand for many of
/// them. To be asked before.
pub fn raw_memory(signal: Signal, bytes: &[u8]) -> Result<usize, Malformed> {
    let (mut held, mut fields) = (0usize, Fields::of(bytes));
    while let Some((number, value, _)) = fields.next()? {
        match (number, value) {
            (1, Raw::Len(of_resource)) => {
                held += A_RESOURCE;
                let mut parts = Fields::of(of_resource);
                while let Some((number, value, _)) = parts.next()? {
                    if let (1, Raw::Len(resource)) = (number, value) {
                        held += memory(&RESOURCE, resource, 1, &Weights::RESOURCE)?;
                    }
                }
            }
            (2, Raw::Len(dictionary)) if signal == Signal::Profiles => {
                let mut entries = Fields::of(dictionary);
                while entries.next()?.is_some() {
                    held += AN_ENTRY;
                }
            }
            _ => {}
        }
    }
    Ok(held)
}

/// A resource with its records, as it is passed on.
const A_RESOURCE: usize = 1024;
/// Where an entry of a dictionary lies.
const AN_ENTRY: usize = 64;

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

pub(crate) fn inner(of: &'static Message, number: u32) -> &'static Message {
    match of.field(number).map(|f| f.kind) {
        Some(Kind::Message(inner)) => inner,
        _ => of,
    }
}
