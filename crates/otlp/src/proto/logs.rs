use telegen_model::{LogRecord, Value};

use super::common::{attributes, enumeration, value};
use super::writer::Writer;

/// `opentelemetry.proto.logs.v1.LogRecord`.
pub(super) fn record(w: &mut Writer, field: u32, l: &LogRecord) {
    let mark = w.mark();
    w.string(12, &l.event_name);
    if l.observed != 0 {
        w.fixed64(11, l.observed);
    }
    if l.span_id.is_valid() {
        w.bytes(10, &l.span_id.0);
    }
    if l.trace_id.is_valid() {
        w.bytes(9, &l.trace_id.0);
    }
    attributes(w, 6, &l.attrs);
    // An empty text is no body: the same to a reader, and not worth its bytes.
    if l.body != Value::constant("") {
        value(w, 5, &l.body);
    }
    w.string(3, &l.severity_text);
    enumeration(w, 2, l.severity.0);
    if l.time != 0 {
        w.fixed64(1, l.time);
    }
    w.close(field, mark);
}
