use telegen_model::{
    Exemplar, ExponentialHistogramPoint, HistogramPoint, Metric, MetricData, NumberPoint, NumberValue,
    Temporality,
};

use super::common::{attributes, enumeration};
use super::writer::Writer;

/// `opentelemetry.proto.metrics.v1.Metric`.
pub(super) fn metric(w: &mut Writer, field: u32, m: &Metric) {
    let mark = w.mark();
    let (kind, data) = (kind(&m.data), w.mark());
    match &m.data {
        MetricData::Gauge(points) => points.iter().rev().for_each(|p| number(w, 1, p)),
        MetricData::Sum { temporality, monotonic, points } => {
            if *monotonic {
                w.uint(3, 1);
            }
            enumeration(w, 2, code(*temporality));
            points.iter().rev().for_each(|p| number(w, 1, p));
        }
        MetricData::Histogram { temporality, points } => {
            enumeration(w, 2, code(*temporality));
            points.iter().rev().for_each(|p| histogram(w, 1, p));
        }
        MetricData::ExponentialHistogram { temporality, points } => {
            enumeration(w, 2, code(*temporality));
            points.iter().rev().for_each(|p| exponential(w, 1, p));
        }
    }
    w.close(kind, data);
    w.string(3, &m.unit);
    w.string(2, &m.description);
    w.string(1, &m.name);
    w.close(field, mark);
}

/// Field number of the `data` member.
fn kind(data: &MetricData) -> u32 {
    match data {
        MetricData::Gauge(_) => 5,
        MetricData::Sum { .. } => 7,
        MetricData::Histogram { .. } => 9,
        MetricData::ExponentialHistogram { .. } => 10,
    }
}

/// `AggregationTemporality`.
pub(crate) fn code(t: Temporality) -> u8 {
    match t {
        Temporality::Delta => 1,
        Temporality::Cumulative => 2,
    }
}

fn number(w: &mut Writer, field: u32, p: &NumberPoint) {
    let mark = w.mark();
    attributes(w, 7, &p.attrs);
    match p.value {
        NumberValue::Int(i) => w.fixed64(6, i.cast_unsigned()),
        NumberValue::Double(d) => w.double(4, d),
    }
    exemplars(w, 5, &p.exemplars);
    times(w, p.start, p.time);
    w.close(field, mark);
}

fn histogram(w: &mut Writer, field: u32, p: &HistogramPoint) {
    let mark = w.mark();
    optional(w, 12, p.max);
    optional(w, 11, p.min);
    attributes(w, 9, &p.attrs);
    exemplars(w, 8, &p.exemplars);
    packed(w, 7, p.bounds.iter().rev().map(|b| b.to_bits()));
    packed(w, 6, p.counts.iter().rev().copied());
    w.double(5, p.sum);
    w.fixed64(4, p.count);
    times(w, p.start, p.time);
    w.close(field, mark);
}

fn exponential(w: &mut Writer, field: u32, p: &ExponentialHistogramPoint) {
    let mark = w.mark();
    optional(w, 13, p.max);
    optional(w, 12, p.min);
    exemplars(w, 11, &p.exemplars);
    if !p.positive.is_empty() {
        let buckets = w.mark();
        for c in p.positive.iter().rev() {
            w.varint(*c);
        }
        w.close(2, buckets);
        w.sint(1, p.positive_offset);
        w.close(8, buckets);
    }
    if p.zero_count != 0 {
        w.fixed64(7, p.zero_count);
    }
    w.sint(6, p.scale);
    w.double(5, p.sum);
    w.fixed64(4, p.count);
    times(w, p.start, p.time);
    attributes(w, 1, &p.attrs);
    w.close(field, mark);
}

fn exemplars(w: &mut Writer, field: u32, list: &[Exemplar]) {
    for e in list.iter().rev() {
        let mark = w.mark();
        match e.value {
            NumberValue::Int(i) => w.fixed64(6, i.cast_unsigned()),
            NumberValue::Double(d) => w.double(3, d),
        }
        if e.trace_id.is_valid() {
            w.bytes(5, &e.trace_id.0);
        }
        if e.span_id.is_valid() {
            w.bytes(4, &e.span_id.0);
        }
        w.fixed64(2, e.time);
        w.close(field, mark);
    }
}

fn times(w: &mut Writer, start: u64, time: u64) {
    w.fixed64(3, time);
    if start != 0 {
        w.fixed64(2, start);
    }
}

fn optional(w: &mut Writer, field: u32, v: Option<f64>) {
    if let Some(v) = v {
        w.double(field, v);
    }
}

/// A packed list of 64-bit numbers, given last first; an empty one is not written.
fn packed(w: &mut Writer, field: u32, last_first: impl Iterator<Item = u64>) {
    let mark = w.mark();
    for v in last_first {
        w.raw(&v.to_le_bytes());
    }
    if w.mark() > mark {
        w.close(field, mark);
    }
}
