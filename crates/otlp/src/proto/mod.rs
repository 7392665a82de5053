//! From records to the protobuf bytes of an OTLP export request.

mod common;
mod logs;
mod metrics;
mod trace;
mod writer;

pub(crate) use metrics::code as temporality_code;

use std::borrow::Borrow;

use bytes::Bytes;
use telegen_model::{RawRecords, Records, ResourceGroup, Signal, Span, Value};

use crate::merge::{Merged, merged};
use crate::size::measure;
use writer::Writer;
pub(crate) use writer::varint_len;

/// Encodes groups of one signal as an `Export{Trace,Metrics,Logs}ServiceRequest`.
///
/// Groups that share one resource (the same `Arc`) and scope become one `ResourceSpans` and `ScopeSpans`. The
/// order of first appearance, and of records within a scope, is kept. The three requests have one layout, so
/// the signal is that of the records; a caller never mixes signals in one request.
pub fn encode_request<G: Borrow<ResourceGroup>>(groups: &[G]) -> Bytes {
    let merged = merged(groups);
    if let Some(request) = packed_request(&merged) {
        return request;
    }
    let mut w = Writer::with_capacity(groups.iter().map(|g| measure(g.borrow()).wire).sum());
    let profiles = profiles(&mut w, &merged);
    for (at, Merged { resource, scopes, raw }) in merged.iter().enumerate().rev() {
        let of_resource = w.mark();
        if let Some(raw) = raw {
            w.raw(profiles.as_ref().and_then(|bodies| bodies.get(at)).unwrap_or(&raw.body));
            let mark = w.mark();
            w.raw(&raw.resource_rest);
            common::attributes(&mut w, 1, resource.attrs());
            w.close(1, mark);
            w.close(1, of_resource);
            continue;
        }
        for (scope, records) in scopes.iter().rev() {
            let of_scope = w.mark();
            for records in records.iter().rev() {
                encode_records(&mut w, records);
            }
            common::scope(&mut w, 1, scope);
            w.close(2, of_scope);
        }
        common::resource(&mut w, 1, resource);
        w.close(1, of_resource);
    }
    w.finish()
}

/// A request of packed spans alone: all lengths are known, and memory is touched once.
fn packed_request(merged: &[Merged<'_>]) -> Option<Bytes> {
    type Scopes<'a> = Vec<(Bytes, &'a [&'a Records], usize)>;
    let mut parts: Vec<(Bytes, Scopes<'_>, usize)> = Vec::with_capacity(merged.len());
    let around = |content: usize| 1 + varint_len(content as u64) + content;
    for m in merged.iter() {
        let mut w = Writer::with_capacity(1024);
        common::resource(&mut w, 1, m.resource);
        let (resource, mut scopes) = (w.finish(), Vec::with_capacity(m.scopes.len()));
        let mut content = resource.len();
        for (of, records) in &m.scopes {
            let mut w = Writer::with_capacity(64);
            common::scope(&mut w, 1, of);
            let scope = w.finish();
            let spans =
                records.iter().map(|r| if let Records::Packed(p) = r { Some(p.bytes.len()) } else { None });
            let length = scope.len() + spans.sum::<Option<usize>>()?;
            content += around(length);
            scopes.push((scope, records.as_slice(), length));
        }
        // Raw records bring their scopes with them.
        if m.raw.is_some() {
            return None;
        }
        parts.push((resource, scopes, content));
    }
    let mut out = Vec::with_capacity(parts.iter().map(|(_, _, content)| around(*content)).sum());
    let open = |out: &mut Vec<u8>, field: u8, mut length: usize| {
        out.push(field << 3 | 2);
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
    };
    for (resource, scopes, content) in parts {
        open(&mut out, 1, content);
        out.extend_from_slice(&resource);
        for (scope, records, length) in scopes {
            open(&mut out, 2, length);
            out.extend_from_slice(&scope);
            for records in records {
                if let Records::Packed(packed) = records {
                    out.extend_from_slice(&packed.bytes);
                }
            }
        }
    }
    Some(out.into())
}

/// The content of an `AnyValue`.
pub(crate) fn any_value(value: &Value) -> Vec<u8> {
    let mut w = Writer::with_capacity(64);
    common::value(&mut w, 1, value);
    let whole = w.finish();
    // The tag and the length before it are cut off.
    let mut rest = whole.get(1..).unwrap_or_default();
    let _length = crate::walk::varint(&mut rest);
    rest.to_vec()
}

/// Writes the dictionary of profiles; gives their bodies when several dictionaries had to become one.
fn profiles(w: &mut Writer, merged: &[Merged<'_>]) -> Option<Vec<Bytes>> {
    let raw: Vec<&RawRecords> = merged.iter().filter_map(|m| m.raw).collect();
    let first = raw.iter().find(|r| r.signal == Signal::Profiles)?;
    if raw.iter().all(|r| r.dictionary == first.dictionary) {
        w.bytes(2, &first.dictionary);
        return None;
    }
    let (bodies, dictionary) = crate::profiles::merge(&raw);
    w.bytes(2, &dictionary);
    Some(bodies)
}

/// Spans as `ScopeSpans.spans`, and the offset behind each.
pub(crate) fn spans(spans: &[Span]) -> (Bytes, Vec<usize>) {
    let mut w = Writer::with_capacity(spans.len() * 512);
    let mut before: Vec<usize> = Vec::with_capacity(spans.len());
    for span in spans.iter().rev() {
        before.push(w.mark());
        trace::span(&mut w, 2, span);
    }
    let bytes = w.finish();
    (bytes.clone(), before.iter().rev().map(|behind| bytes.len() - behind).collect())
}

fn encode_records(w: &mut Writer, records: &Records) {
    match records {
        Records::Spans(spans) => spans.iter().rev().for_each(|s| trace::span(w, 2, s)),
        Records::Packed(packed) => w.raw(&packed.bytes),
        Records::Metrics(metrics) => metrics.iter().rev().for_each(|m| metrics::metric(w, 2, m)),
        Records::Logs(logs) => logs.iter().rev().for_each(|l| logs::record(w, 2, l)),
        // Written by the caller: they bring their scopes.
        Records::Raw(_) => {}
    }
}
