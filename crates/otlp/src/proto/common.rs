use telegen_model::{KeyValue, Resource, Scope, Value};

use super::writer::{LEN, VARINT, Writer};

/// `opentelemetry.proto.resource.v1.Resource`.
pub(super) fn resource(w: &mut Writer, field: u32, resource: &Resource) {
    let mark = w.mark();
    attributes(w, 1, resource.attrs());
    w.close(field, mark);
}

/// `opentelemetry.proto.common.v1.InstrumentationScope`.
pub(super) fn scope(w: &mut Writer, field: u32, scope: &Scope) {
    let mark = w.mark();
    w.string(2, &scope.version);
    w.string(1, &scope.name);
    w.close(field, mark);
}

/// `repeated KeyValue`.
pub(super) fn attributes(w: &mut Writer, field: u32, attrs: &[KeyValue]) {
    for kv in attrs.iter().rev() {
        key_value(w, field, kv);
    }
}

fn key_value(w: &mut Writer, field: u32, kv: &KeyValue) {
    if let Value::Str(text) = &kv.value
        && short_text(w, field, kv.key.as_bytes(), text.as_bytes())
    {
        return;
    }
    let mark = w.mark();
    value(w, 2, &kv.value);
    w.string(1, &kv.key);
    w.close(field, mark);
}

/// A key with a text value where every length fits one byte: nearly all attributes, so they are laid down
/// in one piece. Says whether it did.
fn short_text(w: &mut Writer, field: u32, key: &[u8], text: &[u8]) -> bool {
    let (k, t) = (key.len(), text.len());
    let body = k + t + 6;
    if body >= 0x80 || field >= 16 {
        return false;
    }
    let out = w.space(body + 2);
    let (head, rest) = out.split_at_mut(4);
    head.copy_from_slice(&[(field << 3 | LEN) as u8, body as u8, 1 << 3 | LEN as u8, k as u8]);
    let (to_key, rest) = rest.split_at_mut(k);
    to_key.copy_from_slice(key);
    let (head, to_text) = rest.split_at_mut(4);
    head.copy_from_slice(&[2 << 3 | LEN as u8, (t + 2) as u8, 1 << 3 | LEN as u8, t as u8]);
    to_text.copy_from_slice(text);
    true
}

/// `AnyValue`. The chosen member is written also when it holds its default.
pub(super) fn value(w: &mut Writer, field: u32, v: &Value) {
    let mark = w.mark();
    match v {
        Value::Str(s) => w.bytes(1, s.as_bytes()),
        Value::Bool(b) => w.uint(2, u64::from(*b)),
        Value::Int(i) => w.uint(3, i.cast_unsigned()),
        Value::Double(d) => w.double(4, *d),
        Value::Array(items) => {
            for item in items.iter().rev() {
                value(w, 1, item);
            }
            w.close(5, mark);
        }
        Value::Map(pairs) => {
            attributes(w, 1, pairs);
            w.close(6, mark);
        }
        Value::Bytes(b) => w.bytes(7, b),
    }
    w.close(field, mark);
}

/// An enum field; 0 is the default and not written.
pub(super) fn enumeration(w: &mut Writer, field: u32, v: u8) {
    if v != 0 {
        w.raw(&[v & 0x7f]);
        w.tag(field, VARINT);
    }
}
