use telegen_model::{Span, SpanEvent, SpanLink, Value};

use super::writer::Writer;
use super::{attributes, value};
use crate::pack::apart;
use crate::walk::{Fields, Raw};

pub(super) fn span(w: &mut Writer, s: &Span) {
    around(w, s, |w| attributes(w, "attributes", &s.attrs));
}

/// A packed span as an element: its attributes are written as they are read.
pub(super) fn packed(w: &mut Writer, bytes: &[u8]) {
    let Some((s, attributes)) = apart(bytes) else { return };
    let mut attributes = attributes.peekable();
    w.element(|w| {
        around(w, &s, |w| {
            if attributes.peek().is_some() {
                w.list("attributes", attributes, |w, (key, any)| {
                    w.object(|w| {
                        w.key("key");
                        w.string(key);
                        w.key("value");
                        any_value(w, any);
                    });
                });
            }
        });
    });
}

fn any_value(w: &mut Writer, any: &[u8]) {
    if let Ok(Some((1, Raw::Len(text), whole))) = Fields::of(any).next()
        && whole.len() == any.len()
        && let Ok(text) = std::str::from_utf8(text)
    {
        return w.object(|w| {
            w.key("stringValue");
            w.string(text);
        });
    }
    value(w, &crate::pack::any(any, 0).unwrap_or(Value::constant("")));
}

fn around(w: &mut Writer, s: &Span, attributes: impl FnOnce(&mut Writer)) {
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
        attributes(w);
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
