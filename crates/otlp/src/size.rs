use std::mem::size_of;

use telegen_model::{
    Exemplar, ExponentialHistogramPoint, HistogramPoint, KeyValue, LogRecord, Metric, MetricData,
    NumberPoint, Records, ResourceGroup, Span, SpanEvent, SpanLink, Str, Value,
};

/// What a group costs, without encoding it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Items as the ledger counts them.
    pub items: usize,
    /// Bytes it holds in memory: structures and heap, without what it shares with others.
    pub memory: usize,
    /// Bytes of its encoded form at most. Within a third of the exact size for ordinary spans.
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

/// Tag and length of a field whose content is shorter than 16 KiB: 2 + 2; longer ones add [`LONG`].
const FIELD: usize = 4;
/// What length prefixes may add, all levels together, around a long content.
const LONG: usize = 16;

/// Measures a group.
pub fn measure(group: &ResourceGroup) -> Size {
    let mut size = Size { items: group.records.items(), memory: size_of::<ResourceGroup>(), wire: 3 * LONG };
    let mut shared = Size::default();
    attributes(group.resource.attrs(), &mut shared);
    size.wire += shared.wire;
    text(&group.scope.name, &mut size);
    text(&group.scope.version, &mut size);
    match &group.records {
        Records::Spans(spans) => spans.iter().for_each(|s| span(s, &mut size)),
        Records::Metrics(metrics) => metrics.iter().for_each(|m| metric(m, &mut size)),
        Records::Logs(logs) => logs.iter().for_each(|l| log(l, &mut size)),
    }
    size
}

/// Measures one span as part of a group.
pub(crate) fn span(s: &Span, size: &mut Size) {
    size.memory += size_of::<Span>();
    // Ids, times, flags, kind and status with their tags, and the span's own prefix.
    size.wire += 18 + 10 + 10 + 9 + 9 + 6 + 2 + 4 + FIELD + LONG;
    text(&s.name, size);
    text(&s.trace_state, size);
    text(&s.status_message, size);
    attributes(&s.attrs, size);
    for e in &s.events {
        size.memory += size_of::<SpanEvent>();
        size.wire += 9 + FIELD + LONG;
        text(&e.name, size);
        attributes(&e.attrs, size);
    }
    for l in &s.links {
        size.memory += size_of::<SpanLink>();
        size.wire += 18 + 10 + 5 + FIELD + LONG;
        attributes(&l.attrs, size);
    }
}

/// Measures one log record as part of a group.
pub(crate) fn log(l: &LogRecord, size: &mut Size) {
    size.memory += size_of::<LogRecord>();
    size.wire += 9 + 9 + 2 + 18 + 10 + FIELD + LONG;
    text(&l.severity_text, size);
    text(&l.event_name, size);
    value(&l.body, size);
    attributes(&l.attrs, size);
}

/// Measures one metric as part of a group.
pub(crate) fn metric(m: &Metric, size: &mut Size) {
    size.memory += size_of::<Metric>();
    size.wire += 4 + 2 * FIELD + 2 * LONG;
    text(&m.name, size);
    text(&m.description, size);
    text(&m.unit, size);
    match &m.data {
        MetricData::Gauge(points) | MetricData::Sum { points, .. } => {
            points.iter().for_each(|p| number(p, size))
        }
        MetricData::Histogram { points, .. } => points.iter().for_each(|p| histogram(p, size)),
        MetricData::ExponentialHistogram { points, .. } => points.iter().for_each(|p| exponential(p, size)),
    }
}

pub(crate) fn number(p: &NumberPoint, size: &mut Size) {
    size.memory += size_of::<NumberPoint>();
    size.wire += 3 * 9 + FIELD + LONG;
    point(&p.attrs, &p.exemplars, size);
}

pub(crate) fn histogram(p: &HistogramPoint, size: &mut Size) {
    // Bounds are shared by all points of a metric: they cost nothing here but bytes on the wire.
    size.memory += size_of::<HistogramPoint>() + 8 * p.counts.len();
    size.wire += 6 * 9 + 8 * (p.counts.len() + p.bounds.len()) + 3 * (FIELD + LONG);
    point(&p.attrs, &p.exemplars, size);
}

pub(crate) fn exponential(p: &ExponentialHistogramPoint, size: &mut Size) {
    size.memory += size_of::<ExponentialHistogramPoint>() + 8 * p.positive.len();
    size.wire += 7 * 9 + 12 + 10 * p.positive.len() + 3 * (FIELD + LONG);
    point(&p.attrs, &p.exemplars, size);
}

/// Attributes are counted with the point although its series shares them: an upper bound.
fn point(attrs: &[KeyValue], exemplars: &[Exemplar], size: &mut Size) {
    attributes(attrs, size);
    size.memory += size_of_val(exemplars);
    size.wire += exemplars.len() * (9 + 9 + 18 + 10 + FIELD);
}

fn attributes(attrs: &[KeyValue], size: &mut Size) {
    size.memory += size_of_val(attrs);
    for kv in attrs {
        size.wire += FIELD;
        text(&kv.key, size);
        value(&kv.value, size);
    }
}

fn value(v: &Value, size: &mut Size) {
    size.wire += FIELD;
    match v {
        Value::Str(s) => text(s, size),
        Value::Bool(_) | Value::Int(_) | Value::Double(_) => size.wire += 11,
        Value::Bytes(b) => {
            size.memory += b.len();
            size.wire += b.len() + FIELD + LONG;
        }
        Value::Array(items) => {
            size.memory += size_of_val(items.as_slice());
            size.wire += FIELD + LONG;
            items.iter().for_each(|i| value(i, size));
        }
        Value::Map(pairs) => {
            size.wire += FIELD + LONG;
            attributes(pairs, size);
        }
    }
}

#[inline]
fn text(s: &Str, size: &mut Size) {
    size.wire += FIELD + s.len();
    if s.is_heap_allocated() {
        size.memory += s.len();
    }
    if s.len() > 1000 {
        size.wire += LONG;
    }
}
