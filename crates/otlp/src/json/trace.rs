use telegen_model::{Span, SpanEvent, SpanLink};

use super::attributes;
use super::writer::Writer;

pub(super) fn span(w: &mut Writer, s: &Span) {
    w.object(|w| {
        w.key("traceId");
        w.hex(&s.trace_id.0);
        w.key("spanId");
        w.hex(&s.span_id.0);
        w.text("traceState", &s.trace_state);
        w.key("parentSpanId");
        w.hex(if s.parent_id.is_valid() { &s.parent_id.0 } else { &[] });
        w.number("flags", i64::from(s.flags));
        w.key("name");
        w.string(&s.name);
        w.number("kind", s.kind as i64);
        w.long("startTimeUnixNano", s.start);
        w.long("endTimeUnixNano", s.end);
        attributes(w, "attributes", &s.attrs);
        if !s.events.is_empty() {
            w.list("events", &s.events, event);
        }
        if !s.links.is_empty() {
            w.list("links", &s.links, link);
        }
        w.key("status");
        w.object(|w| {
            w.text("message", &s.status_message);
            w.number("code", s.status as i64);
        });
    });
}

fn event(w: &mut Writer, e: &SpanEvent) {
    w.object(|w| {
        w.long("timeUnixNano", e.time);
        w.text("name", &e.name);
        attributes(w, "attributes", &e.attrs);
    });
}

fn link(w: &mut Writer, l: &SpanLink) {
    w.object(|w| {
        w.key("traceId");
        w.hex(&l.trace_id.0);
        w.key("spanId");
        w.hex(&l.span_id.0);
        w.number("flags", i64::from(l.flags));
        attributes(w, "attributes", &l.attrs);
    });
}
