use telegen_model::{LogRecord, Value};

use super::writer::Writer;
use super::{attributes, value};

pub(super) fn record(w: &mut Writer, l: &LogRecord) {
    w.object(|w| {
        if l.time != 0 {
            w.long("timeUnixNano", l.time);
        }
        if l.observed != 0 {
            w.long("observedTimeUnixNano", l.observed);
        }
        w.number("severityNumber", i64::from(l.severity.0 & 0x7f));
        w.text("severityText", &l.severity_text);
        w.text("eventName", &l.event_name);
        if l.body != Value::constant("") {
            w.key("body");
            value(w, &l.body);
        }
        attributes(w, "attributes", &l.attrs);
        w.key("traceId");
        w.hex(if l.trace_id.is_valid() { &l.trace_id.0 } else { &[] });
        w.key("spanId");
        w.hex(if l.span_id.is_valid() { &l.span_id.0 } else { &[] });
    });
}
