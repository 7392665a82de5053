//! Records that are too many for one request, cut as bytes.
//!
//! What stands around records (scope, resource, a metric's name) is written once a piece. A request may be made so that
//! this is nearly all of it: what is copied is bounded, and what is left then stays together.

use bytes::Bytes;
use telegen_model::{RawRecords, Signal};

use crate::raw::{inner, of_resource};
use crate::schema::{Kind, Message};
use crate::walk::{Fields, Raw, check, put_bytes};

/// Bytes of copies that are always allowed, beside a part of what there is: room was asked for by its length.
const COPIES: usize = 64 << 10;
/// The same of what is copied only when a piece is encoded: so many times what there is, and so much beside.
const SHARED: (usize, usize) = (8, 16 << 20);
/// Most bytes that are copied for messages of a trace each.
const TRACES: usize = 64 << 20;

/// What may still be copied.
struct Room {
    own: usize,
    shared: usize,
}

impl Room {
    fn of(records: &RawRecords, resource: usize) -> Room {
        let all = records.body.len() + records.dictionary.len() + resource;
        Room { own: records.body.len() / 64 + COPIES, shared: all * SHARED.0 + SHARED.1 }
    }

    /// Takes the copies that a further piece needs.
    fn take(&mut self, own: usize, shared: usize) -> bool {
        let (Some(a), Some(b)) = (self.own.checked_sub(own), self.shared.checked_sub(shared)) else {
            return false;
        };
        (self.own, self.shared) = (a, b);
        true
    }
}

/// A piece that is being filled.
#[derive(Default)]
struct Piece {
    /// Whole scopes.
    scopes: Vec<u8>,
    /// The open one.
    scope: Vec<u8>,
    items: usize,
}

impl Piece {
    fn len(&self) -> usize {
        self.scopes.len() + self.scope.len()
    }

    fn close_scope(&mut self) {
        if !self.scope.is_empty() {
            put_bytes(&mut self.scopes, 2, &self.scope);
            self.scope.clear();
        }
    }
}

/// Cuts records into pieces of at most so many items and bytes, between records and in order; one that is larger goes
/// alone, and so does what would take too much copying. `resource`: bytes that stand around each piece as well.
pub(crate) fn cut(records: &RawRecords, items: usize, wire: usize, resource: usize) -> Vec<RawRecords> {
    // Lists are walked twice and never held: of records of two bytes there may be millions.
    let around = all_but(2, &records.body);
    let shared = records.dictionary.len() + resource;
    let bytes = wire.saturating_sub(around.len() + records.dictionary.len());
    let mut cutter = Cutter {
        of_scope: inner(of_resource(records.signal), 2),
        items,
        bytes,
        around: around.len(),
        shared,
        room: Room::of(records, resource),
        pieces: Vec::new(),
        open: Piece::default(),
    };
    let mut fields = Fields::of(&records.body);
    while let Ok(Some((number, value, _))) = fields.next() {
        let (2, Raw::Len(scope)) = (number, value) else { continue };
        let head = all_but(2, scope);
        let mut inside = Fields::of(scope);
        while let Ok(Some((number, value, whole))) = inside.next() {
            match (number, value) {
                (2, Raw::Len(metric)) if records.signal == Signal::Metrics => {
                    cutter.metric(&head, metric, whole)
                }
                (2, _) => cutter.record(&head, whole),
                _ => {}
            }
        }
        cutter.open.close_scope();
    }
    let Cutter { mut pieces, open, .. } = cutter;
    if open.items > 0 {
        pieces.push(open);
    }
    let with = |piece: Piece| {
        let mut body = piece.scopes;
        body.extend_from_slice(&around);
        RawRecords { items: piece.items, body: body.into(), ..records.clone() }
    };
    pieces.into_iter().map(with).collect()
}

/// All fields of a message but those of one number.
fn all_but(number: u32, message: &[u8]) -> Vec<u8> {
    let (mut out, mut fields) = (Vec::new(), Fields::of(message));
    while let Ok(Some((found, _, whole))) = fields.next() {
        if found != number {
            out.extend_from_slice(whole);
        }
    }
    out
}

struct Cutter {
    of_scope: &'static Message,
    items: usize,
    bytes: usize,
    around: usize,
    shared: usize,
    room: Room,
    pieces: Vec<Piece>,
    open: Piece,
}

impl Cutter {
    /// Puts a record, given as a field of its scope, into the open piece or the next.
    fn record(&mut self, head: &[u8], record: &[u8]) {
        let n = check(self.of_scope, record, 0).unwrap_or(0);
        let begins = if self.open.scope.is_empty() { head.len() + 11 } else { 0 };
        let full = self.open.items + n > self.items || self.open.len() + begins + record.len() > self.bytes;
        if self.open.items > 0 && full && self.room.take(head.len() + self.around, self.shared) {
            self.open.close_scope();
            self.pieces.push(std::mem::take(&mut self.open));
        }
        if self.open.scope.is_empty() {
            self.open.scope.extend_from_slice(head);
        }
        self.open.scope.extend_from_slice(record);
        self.open.items += n;
    }

    /// A metric, as several of the same name when it has more points than may be.
    fn metric(&mut self, scope: &[u8], metric: &[u8], whole: &[u8]) {
        let of = inner(self.of_scope, 2);
        let n = check(of, metric, 0).unwrap_or(0);
        let bytes = self.bytes.saturating_sub(scope.len());
        if n <= self.items && whole.len() <= bytes {
            return self.record(scope, whole);
        }
        // Name and unit, then what the points stand in: gauge, sum, histogram; its other fields say how they count.
        let (mut head, mut data) = (Vec::new(), Vec::new());
        let mut fields = Fields::of(metric);
        while let Ok(Some((number, value, whole))) = fields.next() {
            match (of.field(number).map(|f| f.kind), value) {
                (Some(Kind::Message(inner)), Raw::Len(content)) if inner.fields.iter().any(|f| f.item) => {
                    data.push((number, content));
                }
                _ => head.extend_from_slice(whole),
            }
        }
        let [(number, content)] = data.as_slice() else { return self.record(scope, whole) };
        let how = all_but(1, content);
        let frame = head.len() + how.len() + 16;
        let close = |content: &[u8]| {
            let mut metric = head.clone();
            put_bytes(&mut metric, *number, content);
            let mut record = Vec::with_capacity(metric.len() + 8);
            put_bytes(&mut record, 2, &metric);
            record
        };
        let mut open: (Vec<u8>, usize) = (how.clone(), 0);
        let mut points = Fields::of(content);
        while let Ok(Some((number, _, point))) = points.next() {
            if number != 1 {
                continue;
            }
            let full = open.1 >= self.items || frame + open.0.len() + point.len() > bytes;
            if open.1 > 0 && full && self.room.take(frame, 0) {
                self.record(scope, &close(&open.0));
                open = (how.clone(), 0);
            }
            open.0.extend_from_slice(point);
            open.1 += 1;
        }
        self.record(scope, &close(&open.0));
    }
}

/// The spans of a request by trace, in order of first appearance: scopes and resources stay with them. `resource`: bytes
/// that stand around each. Where that would take too much copying, all stay under the first trace.
pub fn by_trace(records: &RawRecords, resource: usize) -> Vec<(Bytes, RawRecords)> {
    // Trace, its scopes (which one, content), items.
    type Part = (Bytes, Vec<(usize, Vec<u8>)>, usize);
    let (mut around, mut parts): (Vec<u8>, Vec<Part>) = (Vec::new(), Vec::new());
    let mut known: std::collections::HashMap<Bytes, usize> = std::collections::HashMap::new();
    let mut copied = 0usize;
    let (mut fields, mut place) = (Fields::of(&records.body), 0);
    while let Ok(Some((number, value, whole))) = fields.next() {
        let (2, Raw::Len(of_scope)) = (number, value) else {
            around.extend_from_slice(whole);
            continue;
        };
        let head = all_but(2, of_scope);
        let mut inside = Fields::of(of_scope);
        while let Ok(Some((number, value, whole))) = inside.next() {
            let (2, Raw::Len(span)) = (number, value) else { continue };
            let trace = records.body.slice_ref(trace_id(span));
            let at = *known.entry(trace.clone()).or_insert_with(|| {
                parts.push((trace, Vec::new(), 0));
                parts.len() - 1
            });
            let (_, scopes, items) = &mut parts[at];
            if scopes.last().is_none_or(|(of, _)| *of != place) {
                copied += head.len();
                scopes.push((place, head.clone()));
            }
            if let Some((_, content)) = scopes.last_mut() {
                content.extend_from_slice(whole);
            }
            *items += 1;
            if copied + parts.len() * (around.len() + resource) > TRACES {
                return vec![(parts.swap_remove(0).0, records.clone())];
            }
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
