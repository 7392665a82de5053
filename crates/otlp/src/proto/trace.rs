use telegen_model::{Span, SpanEvent, SpanLink, SpanStatus};

use super::common::{attributes, enumeration};
use super::writer::Writer;

/// `opentelemetry.proto.trace.v1.Span`.
pub(super) fn span(w: &mut Writer, field: u32, s: &Span) {
    let mark = w.mark();
    w.fixed32(16, s.flags);
    if s.status != SpanStatus::Unset || !s.status_message.is_empty() {
        let status = w.mark();
        enumeration(w, 3, s.status as u8);
        w.string(2, &s.status_message);
        w.close(15, status);
    }
    for l in s.links.iter().rev() {
        link(w, 13, l);
    }
    for e in s.events.iter().rev() {
        event(w, 11, e);
    }
    attributes(w, 9, &s.attrs);
    w.fixed64(8, s.end);
    w.fixed64(7, s.start);
    enumeration(w, 6, s.kind as u8);
    w.string(5, &s.name);
    if s.parent_id.is_valid() {
        w.bytes(4, &s.parent_id.0);
    }
    w.string(3, &s.trace_state);
    w.bytes(2, &s.span_id.0);
    w.bytes(1, &s.trace_id.0);
    w.close(field, mark);
}

fn event(w: &mut Writer, field: u32, e: &SpanEvent) {
    let mark = w.mark();
    attributes(w, 3, &e.attrs);
    w.string(2, &e.name);
    w.fixed64(1, e.time);
    w.close(field, mark);
}

fn link(w: &mut Writer, field: u32, l: &SpanLink) {
    let mark = w.mark();
    w.fixed32(6, l.flags);
    attributes(w, 4, &l.attrs);
    w.bytes(2, &l.span_id.0);
    w.bytes(1, &l.trace_id.0);
    w.close(field, mark);
}
