use std::mem::size_of;

use telegen_model::{
    Exemplar, ExponentialHistogramPoint, HistogramPoint, KeyValue, LogRecord, Metric, MetricData,
    NumberPoint, NumberValue, Records, ResourceGroup, Signal, Span, SpanEvent, SpanLink, SpanStatus, Str,
    Value,
};

use crate::proto::varint_len;

/// What a group costs, without encoding it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Items as the ledger counts them.
    pub items: usize,
    /// Bytes it holds in memory: structures and heap, without what it shares with others.
    pub memory: usize,
    /// Bytes of its encoded form. Groups that share a resource take less together: it is written once.
    pub wire: usize,
}

impl Size {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Size) -> Size {
        Size {
            items: self.items + other.items,
            memory: self.memory + other.memory,
            wire: self.wire + other.wire,
        }
    }
}

/// Longest tag and length prefix of a message: what a list may add around its items.
const PREFIX: usize = 1 + 10;

/// Measures a group.
pub fn measure(group: &ResourceGroup) -> Size {
    let items = group.records.items();
    if items == 0 {
        return Size { memory: size_of::<ResourceGroup>(), ..Size::default() };
    }
    let mut memory = size_of::<ResourceGroup>();
    let records: usize = match &group.records {
        Records::Spans(spans) => spans.iter().map(|s| span(s, &mut memory)).sum(),
        Records::Packed(packed) => {
            memory += packed.bytes.len() + size_of_val(packed.heads.as_slice());
            packed.bytes.len()
        }
        Records::Metrics(metrics) => metrics.iter().map(|m| metric(m, &mut memory)).sum(),
        Records::Logs(logs) => logs.iter().map(|l| log(l, &mut memory)).sum(),
        Records::Raw(raw) => {
            let own = raw.body.len() + raw.resource_rest.len() + raw.dictionary.len();
            let resource = field(attributes(group.resource.attrs(), &mut 0) + raw.resource_rest.len());
            let dictionary = if raw.signal == Signal::Profiles { field(raw.dictionary.len()) } else { 0 };
            return Size { items, memory: memory + own, wire: field(resource + raw.body.len()) + dictionary };
        }
    };
    let scope = field(text(&group.scope.name, &mut memory) + text(&group.scope.version, &mut memory));
    // The resource's own memory is shared by many groups.
    let resource = field(attributes(group.resource.attrs(), &mut 0));
    Size { items, memory, wire: field(resource + field(scope + records)) }
}

/// Memory that attributes hold, estimated: what a group's size leaves to the many that share them.
pub fn memory_of(attrs: &[KeyValue]) -> usize {
    let mut memory = 0;
    attributes(attrs, &mut memory);
    memory
}

/// Bytes of a group beside its records, at most.
pub(crate) fn around(group: &ResourceGroup) -> usize {
    let scope = field(text(&group.scope.name, &mut 0) + text(&group.scope.version, &mut 0));
    field(attributes(group.resource.attrs(), &mut 0)) + scope + 2 * PREFIX
}

/// A span as a field; adds what it holds in memory.
pub(crate) fn span(s: &Span, memory: &mut usize) -> usize {
    *memory += size_of::<Span>();
    let ids = 18 + 10 + if s.parent_id.is_valid() { 10 } else { 0 };
    let status = match (s.status, text(&s.status_message, memory)) {
        (SpanStatus::Unset, 0) => 0,
        (SpanStatus::Unset, message) => field(message),
        (_, message) => field(message + 2),
    };
    let flags = if s.flags == 0 { 0 } else { 2 + 4 };
    let events: usize = s.events.iter().map(|e| event(e, memory)).sum();
    let links: usize = s.links.iter().map(|l| link(l, memory)).sum();
    let own = ids + text(&s.trace_state, memory) + text(&s.name, memory) + 2 + 9 + 9 + status + flags;
    field(own + attributes(&s.attrs, memory) + events + links)
}

fn event(e: &SpanEvent, memory: &mut usize) -> usize {
    *memory += size_of::<SpanEvent>();
    field(9 + text(&e.name, memory) + attributes(&e.attrs, memory))
}

fn link(l: &SpanLink, memory: &mut usize) -> usize {
    *memory += size_of::<SpanLink>();
    field(18 + 10 + if l.flags == 0 { 0 } else { 5 } + attributes(&l.attrs, memory))
}

/// A log record as a field; adds what it holds in memory.
pub(crate) fn log(l: &LogRecord, memory: &mut usize) -> usize {
    *memory += size_of::<LogRecord>();
    let fixed = |there: bool, bytes| if there { bytes } else { 0 };
    let times = fixed(l.time != 0, 9) + fixed(l.observed != 0, 9);
    let ids = fixed(l.trace_id.is_valid(), 18) + fixed(l.span_id.is_valid(), 10);
    let texts = text(&l.severity_text, memory) + text(&l.event_name, memory);
    let body = if l.body == Value::constant("") { 0 } else { value(&l.body, memory) };
    field(times + ids + fixed(l.severity.0 != 0, 2) + texts + body + attributes(&l.attrs, memory))
}

/// A metric as a field; adds what it holds in memory.
pub(crate) fn metric(m: &Metric, memory: &mut usize) -> usize {
    *memory += size_of::<Metric>();
    let texts = text(&m.name, memory) + text(&m.description, memory) + text(&m.unit, memory);
    let data = match &m.data {
        MetricData::Gauge(points) => points.iter().map(|p| number(p, memory)).sum(),
        MetricData::Sum { monotonic, points, .. } => {
            2 + if *monotonic { 2 } else { 0 } + points.iter().map(|p| number(p, memory)).sum::<usize>()
        }
        MetricData::Histogram { points, .. } => {
            2 + points.iter().map(|p| histogram(p, memory)).sum::<usize>()
        }
        MetricData::ExponentialHistogram { points, .. } => {
            2 + points.iter().map(|p| exponential(p, memory)).sum::<usize>()
        }
    };
    field(texts + field(data))
}

/// Bytes of a metric beside its points, at most.
pub(crate) fn around_points(m: &Metric) -> usize {
    text(&m.name, &mut 0) + text(&m.description, &mut 0) + text(&m.unit, &mut 0) + 4 + 2 * PREFIX
}

pub(crate) fn number(p: &NumberPoint, memory: &mut usize) -> usize {
    *memory += size_of::<NumberPoint>();
    field(times(p.start) + 9 + point(&p.attrs, &p.exemplars, memory))
}

pub(crate) fn histogram(p: &HistogramPoint, memory: &mut usize) -> usize {
    // Bounds are shared by all points of a metric: they cost nothing here but bytes on the wire.
    *memory += size_of::<HistogramPoint>() + size_of_val(p.counts.as_slice());
    let lists = packed(p.counts.len()) + packed(p.bounds.len());
    let numbers = times(p.start) + 9 + 9 + optional(p.min) + optional(p.max);
    field(numbers + lists + point(&p.attrs, &p.exemplars, memory))
}

pub(crate) fn exponential(p: &ExponentialHistogramPoint, memory: &mut usize) -> usize {
    *memory += size_of::<ExponentialHistogramPoint>() + size_of_val(p.positive.as_slice());
    let buckets = match p.positive.iter().map(|c| varint_len(*c)).sum() {
        0 => 0,
        counts => field(sint(p.positive_offset) + field(counts)),
    };
    let zero = if p.zero_count == 0 { 0 } else { 9 };
    let numbers = times(p.start) + 9 + 9 + sint(p.scale) + zero + optional(p.min) + optional(p.max);
    field(numbers + buckets + point(&p.attrs, &p.exemplars, memory))
}

/// Attributes are counted with the point although its series shares them: an upper bound of the memory.
fn point(attrs: &[KeyValue], exemplars: &[Exemplar], memory: &mut usize) -> usize {
    *memory += size_of_val(exemplars);
    let one = |e: &Exemplar| {
        let ids = if e.trace_id.is_valid() { 18 } else { 0 } + if e.span_id.is_valid() { 10 } else { 0 };
        match e.value {
            NumberValue::Int(_) | NumberValue::Double(_) => field(9 + 9 + ids),
        }
    };
    attributes(attrs, memory) + exemplars.iter().map(one).sum::<usize>()
}

fn times(start: u64) -> usize {
    if start == 0 { 9 } else { 18 }
}

fn optional(v: Option<f64>) -> usize {
    if v.is_some() { 9 } else { 0 }
}

fn packed(numbers: usize) -> usize {
    if numbers == 0 { 0 } else { field(8 * numbers) }
}

fn sint(v: i32) -> usize {
    if v == 0 { 0 } else { 1 + varint_len(u64::from((v << 1 ^ v >> 31).cast_unsigned())) }
}

fn attributes(attrs: &[KeyValue], memory: &mut usize) -> usize {
    *memory += size_of_val(attrs);
    attrs.iter().map(|kv| field(text(&kv.key, memory) + value(&kv.value, memory))).sum()
}

/// A value as a field.
fn value(v: &Value, memory: &mut usize) -> usize {
    field(match v {
        Value::Str(s) => {
            heap(s, memory);
            field(s.len())
        }
        Value::Bool(_) => 2,
        Value::Int(i) => 1 + varint_len(i.cast_unsigned()),
        Value::Double(_) => 9,
        Value::Bytes(b) => {
            *memory += b.len();
            field(b.len())
        }
        Value::Array(items) => {
            *memory += size_of_val(items.as_slice());
            field(items.iter().map(|i| value(i, memory)).sum())
        }
        Value::Map(pairs) => field(attributes(pairs, memory)),
    })
}

/// A string field; an empty one is not written.
#[inline]
fn text(s: &Str, memory: &mut usize) -> usize {
    heap(s, memory);
    if s.is_empty() { 0 } else { field(s.len()) }
}

#[inline]
fn heap(s: &Str, memory: &mut usize) {
    if s.is_heap_allocated() {
        *memory += s.capacity();
    }
}

/// A length-delimited field with so many bytes of content; field numbers up to 15.
#[inline]
fn field(content: usize) -> usize {
    1 + varint_len(content as u64) + content
}
