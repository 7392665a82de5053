//! Spans that are written where they are made, and read back where one is looked at.

use telegen_model::{
    KeyValue, PackedSpans, Span, SpanEvent, SpanHead, SpanId, SpanKind, SpanLink, SpanStatus, Str, TraceId,
    Value,
};

use crate::proto::varint_len;
use crate::walk::{Fields, MAX_DEPTH, Malformed, Raw};

/// Tag of a length-delimited field with a number up to 15.
const fn tag(field: u8) -> u8 {
    field << 3 | 2
}

/// A list of attributes, laid down one after another as the field of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    bytes: Vec<u8>,
}

impl Attributes {
    /// None yet.
    pub const fn new() -> Attributes {
        Attributes { bytes: Vec::new() }
    }

    /// Takes all of them out; the room stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// As they stand in the span.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Attributes that were laid down before.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A text.
    #[inline]
    pub fn text(&mut self, key: &str, value: &str) {
        let (k, t) = (key.len(), value.len());
        let body = k + t + 6;
        if body >= 0x80 {
            return self.long_text(key, value);
        }
        // Every length is one byte: nearly all attributes.
        let b = &mut self.bytes;
        b.reserve(body + 2);
        b.extend_from_slice(&[tag(9), body as u8, tag(1), k as u8]);
        b.extend_from_slice(key.as_bytes());
        b.extend_from_slice(&[tag(2), (t + 2) as u8, tag(1), t as u8]);
        b.extend_from_slice(value.as_bytes());
    }

    fn long_text(&mut self, key: &str, value: &str) {
        self.pair(key, 1 + varint_len(value.len() as u64) + value.len());
        self.bytes.push(tag(1));
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, key: &str, value: i64) {
        let value = value.cast_unsigned();
        let (k, content) = (key.len(), 1 + varint_len(value));
        if k < 0x70 {
            // Every length is one byte.
            let b = &mut self.bytes;
            b.reserve(k + content + 17);
            b.extend_from_slice(&[tag(9), (k + content + 4) as u8, tag(1), k as u8]);
            b.extend_from_slice(key.as_bytes());
            b.extend_from_slice(&[tag(2), content as u8, 3 << 3]);
            return varint(b, value);
        }
        self.pair(key, content);
        self.bytes.push(3 << 3);
        self.varint(value);
    }

    /// A floating point number.
    pub fn double(&mut self, key: &str, value: f64) {
        self.pair(key, 9);
        self.bytes.push(4 << 3 | 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A truth value.
    pub fn bool(&mut self, key: &str, value: bool) {
        self.pair(key, 2);
        self.bytes.extend_from_slice(&[2 << 3, u8::from(value)]);
    }

    /// A list of one text.
    pub fn one_text(&mut self, key: &str, value: &str) {
        let field = |content: usize| 1 + varint_len(content as u64) + content;
        let text = field(value.len());
        let list = field(text);
        self.pair(key, field(list));
        for (number, len) in [(5, list), (1, text), (1, value.len())] {
            self.bytes.push(tag(number));
            self.varint(len as u64);
        }
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// A pair up to the content of its value, which takes so many bytes.
    #[inline]
    fn pair(&mut self, key: &str, content: usize) {
        let value = 1 + varint_len(content as u64) + content;
        let of_key = 1 + varint_len(key.len() as u64) + key.len();
        self.bytes.reserve(of_key + value + 11);
        self.bytes.push(tag(9));
        self.varint((of_key + value) as u64);
        self.bytes.push(tag(1));
        self.varint(key.len() as u64);
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.push(tag(2));
        self.varint(content as u64);
    }

    #[inline]
    fn varint(&mut self, v: u64) {
        varint(&mut self.bytes, v);
    }
}

#[inline]
fn varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// A span to be packed, beside its head.
#[derive(Clone, Copy, Debug)]
pub struct Outline<'a> {
    /// W3C trace state, or empty.
    pub trace_state: &'a str,
    /// W3C trace flags.
    pub flags: u32,
    /// Its name.
    pub name: &'a str,
    /// Its attributes, as [`Attributes`] lays them down: those that it shares with others, and its own.
    pub attributes: [&'a [u8]; 2],
}

/// Packs spans.
#[derive(Debug, Default)]
pub struct Packer {
    bytes: Vec<u8>,
    heads: Vec<(SpanHead, usize)>,
}

impl Packer {
    /// With room for so many bytes and spans.
    pub fn with_capacity(bytes: usize, spans: usize) -> Packer {
        Packer { bytes: Vec::with_capacity(bytes), heads: Vec::with_capacity(spans) }
    }

    /// Whether there is no span.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Bytes so far, and spans.
    pub fn size(&self) -> (usize, usize) {
        (self.bytes.len(), self.heads.len())
    }

    /// Lays down a span.
    pub fn push(&mut self, head: SpanHead, o: &Outline<'_>) {
        let field = |content: usize| if content == 0 { 0 } else { 1 + varint_len(content as u64) + content };
        let name = o.name.len();
        let parent = head.parent_id.is_valid();
        let status = head.status != SpanStatus::Unset;
        let flags = o.flags != 0;
        let content = 18
            + 10
            + field(o.trace_state.len())
            + if parent { 10 } else { 0 }
            + field(name)
            + 2
            + 9
            + 9
            + o.attributes[0].len()
            + o.attributes[1].len()
            + if status { 4 } else { 0 }
            + if flags { 6 } else { 0 };
        let out = &mut self.bytes;
        out.reserve(content + 11);
        out.push(tag(2));
        varint(out, content as u64);
        let mut ids = [0; 28];
        ids[..2].copy_from_slice(&[tag(1), 16]);
        ids[2..18].copy_from_slice(&head.trace_id.0);
        ids[18..20].copy_from_slice(&[tag(2), 8]);
        ids[20..].copy_from_slice(&head.span_id.0);
        out.extend_from_slice(&ids);
        if !o.trace_state.is_empty() {
            out.push(tag(3));
            varint(out, o.trace_state.len() as u64);
            out.extend_from_slice(o.trace_state.as_bytes());
        }
        if parent {
            out.extend_from_slice(&[tag(4), 8]);
            out.extend_from_slice(&head.parent_id.0);
        }
        if name > 0 {
            out.push(tag(5));
            varint(out, name as u64);
            out.extend_from_slice(o.name.as_bytes());
        }
        let mut times = [0; 20];
        times[..3].copy_from_slice(&[6 << 3, head.kind as u8, 7 << 3 | 1]);
        times[3..11].copy_from_slice(&head.start.to_le_bytes());
        times[11] = 8 << 3 | 1;
        times[12..].copy_from_slice(&head.end.to_le_bytes());
        out.extend_from_slice(&times);
        o.attributes.iter().for_each(|list| out.extend_from_slice(list));
        if status {
            out.extend_from_slice(&[tag(15), 2, 3 << 3, head.status as u8]);
        }
        if flags {
            // Field 16 has a tag of two bytes.
            out.extend_from_slice(&[0x85, 0x01]);
            out.extend_from_slice(&o.flags.to_le_bytes());
        }
        self.heads.push((head, out.len()));
    }

    /// The spans. A buffer that stayed empty to a quarter gives its room back: records may wait long.
    pub fn finish(mut self) -> PackedSpans {
        if self.bytes.len() < self.bytes.capacity() / 4 * 3 {
            self.bytes.shrink_to_fit();
        }
        PackedSpans { bytes: self.bytes.into(), heads: self.heads }
    }
}

/// Packs spans that are there as records.
pub fn pack(spans: &[Span]) -> PackedSpans {
    let (bytes, ends) = crate::proto::spans(spans);
    PackedSpans { bytes, heads: spans.iter().map(Span::head).zip(ends).collect() }
}

/// Reads packed spans back; what is no span is left out.
pub fn unpack_all(packed: &PackedSpans) -> Vec<Span> {
    packed.iter().filter_map(|(_, bytes)| unpack(bytes)).collect()
}

/// Reads a span back from its bytes, tag and length included.
pub fn unpack(bytes: &[u8]) -> Option<Span> {
    span(content(bytes)?, true).ok()
}

/// The name of a span, from its bytes; empty where there is none.
pub fn name(bytes: &[u8]) -> &str {
    let mut fields = Fields::of(content(bytes).unwrap_or_default());
    while let Ok(Some((number, value, _))) = fields.next() {
        if let (5, Raw::Len(name)) = (number, value) {
            return std::str::from_utf8(name).unwrap_or_default();
        }
    }
    ""
}

/// An attribute of a span, from its bytes: the others are passed over unread.
pub fn attribute(bytes: &[u8], key: &str) -> Option<Value> {
    let mut fields = Fields::of(content(bytes)?);
    while let Ok(Some((number, value, _))) = fields.next() {
        if let (9, Raw::Len(pair)) = (number, value)
            && key_of(pair) == Some(key.as_bytes())
        {
            return self::pair(pair, 0).ok().map(|kv| kv.value);
        }
    }
    None
}

fn key_of(pair: &[u8]) -> Option<&[u8]> {
    let mut fields = Fields::of(pair);
    while let Ok(Some((number, value, _))) = fields.next() {
        if let (1, Raw::Len(key)) = (number, value) {
            return Some(key);
        }
    }
    None
}

/// A span without its attributes, and these one by one as key and `AnyValue`.
pub(crate) fn apart(bytes: &[u8]) -> Option<(Span, impl Iterator<Item = (&str, &[u8])>)> {
    let content = content(bytes)?;
    let mut fields = Fields::of(content);
    let attributes = std::iter::from_fn(move || {
        while let Ok(Some((number, value))) = fields.value() {
            if let (9, Raw::Len(b)) = (number, value) {
                return Some(b);
            }
        }
        None
    });
    Some((span(content, false).ok()?, attributes.filter_map(|b| key_and_value(b).ok())))
}

fn content(bytes: &[u8]) -> Option<&[u8]> {
    match Fields::of(bytes).next() {
        Ok(Some((_, Raw::Len(content), _))) => Some(content),
        _ => None,
    }
}

fn key_and_value(bytes: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let (mut key, mut any, mut fields) = ("", &b""[..], Fields::of(bytes));
    while let Some((number, value)) = fields.value()? {
        match (number, value) {
            (1, Raw::Len(b)) => key = std::str::from_utf8(b).map_err(|_| Malformed::Text)?,
            (2, Raw::Len(b)) => any = b,
            _ => {}
        }
    }
    Ok((key, any))
}

fn span(bytes: &[u8], attributes: bool) -> Result<Span, Malformed> {
    let mut s = Span {
        trace_id: TraceId::ZERO,
        span_id: SpanId::ZERO,
        parent_id: SpanId::ZERO,
        trace_state: Str::default(),
        flags: 0,
        name: Str::default(),
        kind: SpanKind::Internal,
        start: 0,
        end: 0,
        attrs: Vec::with_capacity(if attributes { 20 } else { 0 }),
        events: Vec::new(),
        links: Vec::new(),
        status: SpanStatus::Unset,
        status_message: Str::default(),
    };
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.value()? {
        match (number, value) {
            (1, Raw::Len(b)) => s.trace_id = trace_id(b),
            (2, Raw::Len(b)) => s.span_id = span_id(b),
            (3, Raw::Len(b)) => s.trace_state = text(b)?,
            (4, Raw::Len(b)) => s.parent_id = span_id(b),
            (5, Raw::Len(b)) => s.name = text(b)?,
            (6, Raw::Varint(n)) => {
                s.kind = match n {
                    2 => SpanKind::Server,
                    3 => SpanKind::Client,
                    4 => SpanKind::Producer,
                    5 => SpanKind::Consumer,
                    _ => SpanKind::Internal,
                }
            }
            (7, Raw::Fixed64(n)) => s.start = n,
            (8, Raw::Fixed64(n)) => s.end = n,
            (9, Raw::Len(b)) if attributes => s.attrs.push(pair(b, 0)?),
            (11, Raw::Len(b)) => s.events.push(event(b)?),
            (13, Raw::Len(b)) => s.links.push(link(b)?),
            (15, Raw::Len(b)) => (s.status, s.status_message) = status(b)?,
            (16, Raw::Fixed32(n)) => s.flags = n,
            _ => {}
        }
    }
    Ok(s)
}

fn status(bytes: &[u8]) -> Result<(SpanStatus, Str), Malformed> {
    let (mut code, mut message, mut fields) = (SpanStatus::Unset, Str::default(), Fields::of(bytes));
    while let Some((number, value)) = fields.value()? {
        match (number, value) {
            (2, Raw::Len(b)) => message = text(b)?,
            (3, Raw::Varint(1)) => code = SpanStatus::Ok,
            (3, Raw::Varint(2)) => code = SpanStatus::Error,
            _ => {}
        }
    }
    Ok((code, message))
}

fn event(bytes: &[u8]) -> Result<SpanEvent, Malformed> {
    let (mut e, mut fields) =
        (SpanEvent { time: 0, name: Str::default(), attrs: Vec::new() }, Fields::of(bytes));
    while let Some((number, value)) = fields.value()? {
        match (number, value) {
            (1, Raw::Fixed64(n)) => e.time = n,
            (2, Raw::Len(b)) => e.name = text(b)?,
            (3, Raw::Len(b)) => e.attrs.push(pair(b, 0)?),
            _ => {}
        }
    }
    Ok(e)
}

fn link(bytes: &[u8]) -> Result<SpanLink, Malformed> {
    let mut l = SpanLink { trace_id: TraceId::ZERO, span_id: SpanId::ZERO, flags: 0, attrs: Vec::new() };
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.value()? {
        match (number, value) {
            (1, Raw::Len(b)) => l.trace_id = trace_id(b),
            (2, Raw::Len(b)) => l.span_id = span_id(b),
            (4, Raw::Len(b)) => l.attrs.push(pair(b, 0)?),
            (6, Raw::Fixed32(n)) => l.flags = n,
            _ => {}
        }
    }
    Ok(l)
}

fn pair(bytes: &[u8], depth: u32) -> Result<KeyValue, Malformed> {
    let (mut kv, mut fields) =
        (KeyValue { key: Str::default(), value: Value::constant("") }, Fields::of(bytes));
    while let Some((number, value)) = fields.value()? {
        match (number, value) {
            (1, Raw::Len(b)) => kv.key = text(b)?,
            (2, Raw::Len(b)) => kv.value = any(b, depth)?,
            _ => {}
        }
    }
    Ok(kv)
}

pub(crate) fn any(bytes: &[u8], depth: u32) -> Result<Value, Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::TooDeep);
    }
    let (mut v, mut fields) = (Value::constant(""), Fields::of(bytes));
    while let Some((number, value)) = fields.value()? {
        v = match (number, value) {
            (1, Raw::Len(b)) => Value::Str(text(b)?),
            (2, Raw::Varint(n)) => Value::Bool(n != 0),
            (3, Raw::Varint(n)) => Value::Int(n.cast_signed()),
            (4, Raw::Fixed64(n)) => Value::Double(f64::from_bits(n)),
            (5, Raw::Len(b)) => Value::Array(items(b, |b| any(b, depth + 1))?),
            (6, Raw::Len(b)) => Value::Map(items(b, |b| pair(b, depth + 1))?),
            (7, Raw::Len(b)) => Value::Bytes(bytes::Bytes::copy_from_slice(b)),
            _ => v,
        };
    }
    Ok(v)
}

/// The items of an array or a map: field 1 of either.
fn items<T>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
    let (mut out, mut fields) = (Vec::new(), Fields::of(bytes));
    while let Some((number, value)) = fields.value()? {
        if let (1, Raw::Len(b)) = (number, value) {
            out.push(read(b)?);
        }
    }
    Ok(out)
}

fn text(bytes: &[u8]) -> Result<Str, Malformed> {
    std::str::from_utf8(bytes).map(Str::new).map_err(|_| Malformed::Text)
}

fn trace_id(b: &[u8]) -> TraceId {
    b.try_into().map_or(TraceId::ZERO, TraceId)
}

fn span_id(b: &[u8]) -> SpanId {
    b.try_into().map_or(SpanId::ZERO, SpanId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use telegen_model::{Records, Signal};
    use telegen_testkit::records;

    fn spans() -> Vec<Span> {
        let mut list: Vec<Span> = (0..5).map(records::http_span).collect();
        list.push(records::full_span());
        list.push(records::span(7));
        list
    }

    #[test]
    fn what_was_packed_is_read_back_and_leaves_as_the_records_do() {
        let (spans, resource) = (spans(), records::resource("shop"));
        let packed = pack(&spans);
        assert_eq!(unpack_all(&packed), spans);
        let heads: Vec<SpanHead> = packed.heads.iter().map(|(head, _)| *head).collect();
        assert_eq!(heads, spans.iter().map(Span::head).collect::<Vec<_>>());
        let typed = [records::group(&resource, Records::Spans(spans))];
        let packed = [records::group(&resource, Records::Packed(packed))];
        // Of several resources and scopes, and of one again; packed alone and with others.
        let other = records::resource("other");
        let several = |g: &telegen_model::ResourceGroup, last: &telegen_model::ResourceGroup| {
            let mut scope = g.clone();
            scope.scope.name = "another".into();
            [g.clone(), records::group(&other, g.records.clone()), scope, last.clone()]
        };
        let expect = crate::encode_request(&several(&typed[0], &typed[0]));
        assert_eq!(crate::encode_request(&several(&packed[0], &packed[0])), expect);
        assert_eq!(crate::encode_request(&several(&packed[0], &typed[0])), expect);
        assert_eq!(crate::encode_request(&packed), crate::encode_request(&typed));
        let json = |groups| crate::json::encode_request(Signal::Traces, groups);
        assert_eq!(json(&packed), json(&typed));
        let (a, b) = (crate::measure(&packed[0]), crate::measure(&typed[0]));
        assert_eq!((a.items, a.wire), (b.items, b.wire));
        assert!(a.memory < b.memory, "{a:?} {b:?}");
    }

    #[test]
    fn a_packer_writes_what_the_encoder_writes() {
        let long = "x".repeat(300);
        let mut span = Span { events: Vec::new(), links: Vec::new(), ..records::full_span() };
        span.status_message = Str::default();
        span.attrs = vec![
            KeyValue::new("a", "b"),
            KeyValue::new("long", long.as_str()),
            KeyValue::new("n", -5i64),
            KeyValue::new("big", i64::MAX),
            KeyValue::new("d", 0.95),
            KeyValue::new("t", true),
            KeyValue::new("list", Value::Array(vec![Value::from(long.as_str())])),
            KeyValue::new("short", Value::Array(vec![Value::from("x")])),
        ];
        let mut attributes = Attributes::new();
        attributes.text("a", "b");
        attributes.text("long", &long);
        attributes.int("n", -5);
        attributes.int("big", i64::MAX);
        attributes.double("d", 0.95);
        let mut more = Attributes::new();
        more.bool("t", true);
        more.one_text("list", &long);
        more.one_text("short", "x");
        let (mut all, split) = (attributes.clone(), attributes.as_bytes().len());
        all.extend(more.as_bytes());
        for status in [SpanStatus::Unset, SpanStatus::Error] {
            for (state, parent, flags) in [("", SpanId::ZERO, 0), ("a=b", SpanId([7; 8]), 0x301)] {
                span = Span { trace_state: state.into(), parent_id: parent, flags, status, ..span };
                let name = span.name.as_str();
                let mut packer = Packer::with_capacity(10, 1);
                let (shared, own) = all.as_bytes().split_at(split);
                let attributes = [shared, own];
                let outline = Outline { trace_state: state, flags, name, attributes };
                packer.push(span.head(), &outline);
                packer.push(span.head(), &outline);
                assert_eq!(packer.finish(), pack(&[span.clone(), span.clone()]));
            }
        }
    }

    #[test]
    fn a_name_and_an_attribute_are_read_without_the_rest() {
        for span in spans() {
            let packed = pack(std::slice::from_ref(&span));
            assert_eq!(name(&packed.bytes), span.name.as_str());
            for kv in &span.attrs {
                assert_eq!(attribute(&packed.bytes, &kv.key).as_ref(), Some(&kv.value), "{}", kv.key);
            }
            assert_eq!(attribute(&packed.bytes, "no.such.key"), None);
        }
        assert_eq!((name(b"\x12"), attribute(b"\xff", "a")), ("", None));
    }

    #[test]
    fn packed_spans_are_cut_at_the_limits() {
        let (spans, resource) = (spans(), records::resource("shop"));
        let limits = crate::Limits { items: 3, wire: 1200 };
        let cut = |records| crate::split(vec![records::group(&resource, records)], limits);
        let parts = cut(Records::Packed(pack(&spans)));
        let back = parts.iter().flatten().flat_map(|g| match &g.records {
            Records::Packed(p) => unpack_all(p),
            _ => Vec::new(),
        });
        assert_eq!(back.collect::<Vec<_>>(), spans);
        let sizes = |parts: &[Vec<telegen_model::ResourceGroup>]| -> Vec<usize> {
            parts.iter().map(|p| p.iter().map(|g| g.records.items()).sum()).collect()
        };
        assert_eq!(sizes(&parts), sizes(&cut(Records::Spans(spans))));
        assert!(parts.len() > 2);
    }

    #[test]
    fn bytes_that_are_no_span_give_none() {
        assert_eq!(unpack(b""), None);
        let whole = pack(&[records::full_span()]).bytes;
        for len in 0..whole.len() {
            assert_eq!(unpack(&whole[..len]), None, "{len}");
        }
    }
}
