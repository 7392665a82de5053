use crate::{KeyValue, SpanId, Str, TraceId};

/// Who the span speaks for, as in OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SpanKind {
    /// Work inside a process.
    Internal = 1,
    /// A request served.
    Server = 2,
    /// A request made.
    Client = 3,
    /// A message sent.
    Producer = 4,
    /// A message received.
    Consumer = 5,
}

/// Outcome of a span, as in OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SpanStatus {
    /// Not set: nothing is known to have failed.
    Unset = 0,
    /// Declared good by the application.
    Ok = 1,
    /// Failed.
    Error = 2,
}

/// A span. Times are ns since 1970 and `end >= start`.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// Its parent, or zero.
    pub parent_id: SpanId,
    /// W3C trace state, or empty.
    pub trace_state: Str,
    /// W3C trace flags; bit 0 is "sampled", bit 8 "parent is known to be remote or not", bit 9 "remote".
    pub flags: u32,
    /// `METHOD route` or `METHOD` for HTTP.
    pub name: Str,
    /// Who it speaks for.
    pub kind: SpanKind,
    /// First byte of the request, ns since 1970.
    pub start: u64,
    /// Last byte of the response, ns since 1970.
    pub end: u64,
    /// Attributes, keys unique.
    pub attrs: Vec<KeyValue>,
    /// Events.
    pub events: Vec<SpanEvent>,
    /// Links.
    pub links: Vec<SpanLink>,
    /// Outcome.
    pub status: SpanStatus,
    /// What failed, or empty.
    pub status_message: Str,
}

/// What is asked of a span most often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanHead {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// Its parent, or zero.
    pub parent_id: SpanId,
    /// First byte of the request, ns since 1970.
    pub start: u64,
    /// Last byte of the response, ns since 1970.
    pub end: u64,
    /// Who it speaks for.
    pub kind: SpanKind,
    /// Outcome.
    pub status: SpanStatus,
}

/// Spans in the protobuf form of OTLP: a span that was made to leave is written once, and costs nothing more on its way
/// than its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedSpans {
    /// `ScopeSpans.spans`, one after another, each with its tag and length.
    pub bytes: bytes::Bytes,
    /// Of each span its head, and the offset behind its last byte.
    pub heads: Vec<(SpanHead, usize)>,
}

impl PackedSpans {
    /// Heads and bytes of the spans.
    pub fn iter(&self) -> impl Iterator<Item = (&SpanHead, &[u8])> {
        let mut from = 0;
        self.heads.iter().map(move |(head, until)| {
            let bytes = self.bytes.get(from..*until).unwrap_or_default();
            from = *until;
            (head, bytes)
        })
    }
}

/// Something that happened during a span.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEvent {
    /// When, ns since 1970.
    pub time: u64,
    /// What.
    pub name: Str,
    /// Attributes, keys unique.
    pub attrs: Vec<KeyValue>,
}

/// A relation to a span of another trace.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanLink {
    /// The other trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// W3C trace flags of the link.
    pub flags: u32,
    /// Attributes, keys unique.
    pub attrs: Vec<KeyValue>,
}

impl Span {
    /// What is asked of it most often.
    pub fn head(&self) -> SpanHead {
        SpanHead {
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_id: self.parent_id,
            start: self.start,
            end: self.end,
            kind: self.kind,
            status: self.status,
        }
    }

    /// The value of an attribute.
    pub fn attr(&self, key: &str) -> Option<&crate::Value> {
        self.attrs.iter().find(|kv| kv.key == key).map(|kv| &kv.value)
    }
}
