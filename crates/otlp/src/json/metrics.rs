use telegen_model::{
    Exemplar, ExponentialHistogramPoint, HistogramPoint, Metric, MetricData, NumberPoint, NumberValue,
    Temporality,
};

use super::attributes;
use super::writer::Writer;

pub(super) fn metric(w: &mut Writer, m: &Metric) {
    w.object(|w| {
        w.key("name");
        w.string(&m.name);
        w.text("description", &m.description);
        w.text("unit", &m.unit);
        match &m.data {
            MetricData::Gauge(points) => {
                w.key("gauge");
                w.object(|w| w.list("dataPoints", points, number));
            }
            MetricData::Sum { temporality, monotonic, points } => {
                w.key("sum");
                w.object(|w| {
                    w.list("dataPoints", points, number);
                    aggregation(w, *temporality);
                    if *monotonic {
                        w.key("isMonotonic");
                        w.plain("true");
                    }
                });
            }
            MetricData::Histogram { temporality, points } => {
                w.key("histogram");
                w.object(|w| {
                    w.list("dataPoints", points, histogram);
                    aggregation(w, *temporality);
                });
            }
            MetricData::ExponentialHistogram { temporality, points } => {
                w.key("exponentialHistogram");
                w.object(|w| {
                    w.list("dataPoints", points, exponential);
                    aggregation(w, *temporality);
                });
            }
        }
    });
}

fn aggregation(w: &mut Writer, t: Temporality) {
    w.number("aggregationTemporality", i64::from(crate::proto::temporality_code(t)));
}

fn number(w: &mut Writer, p: &NumberPoint) {
    w.object(|w| {
        attributes(w, "attributes", &p.attrs);
        times(w, p.start, p.time);
        value(w, p.value);
        exemplars(w, &p.exemplars);
    });
}

fn histogram(w: &mut Writer, p: &HistogramPoint) {
    w.object(|w| {
        attributes(w, "attributes", &p.attrs);
        times(w, p.start, p.time);
        w.long("count", p.count);
        w.key("sum");
        w.double(p.sum);
        w.list("bucketCounts", &p.counts, |w, c| w.quoted_int(c));
        w.list("explicitBounds", p.bounds.iter(), |w, b| w.double(*b));
        exemplars(w, &p.exemplars);
        optional(w, "min", p.min);
        optional(w, "max", p.max);
    });
}

fn exponential(w: &mut Writer, p: &ExponentialHistogramPoint) {
    w.object(|w| {
        attributes(w, "attributes", &p.attrs);
        times(w, p.start, p.time);
        w.long("count", p.count);
        w.key("sum");
        w.double(p.sum);
        w.number("scale", i64::from(p.scale));
        w.long("zeroCount", p.zero_count);
        if !p.positive.is_empty() {
            w.key("positive");
            w.object(|w| {
                w.number("offset", i64::from(p.positive_offset));
                w.list("bucketCounts", &p.positive, |w, c| w.quoted_int(c));
            });
        }
        exemplars(w, &p.exemplars);
        optional(w, "min", p.min);
        optional(w, "max", p.max);
    });
}

fn exemplars(w: &mut Writer, list: &[Exemplar]) {
    if !list.is_empty() {
        w.list("exemplars", list, |w, e| {
            w.object(|w| {
                w.long("timeUnixNano", e.time);
                value(w, e.value);
                w.key("spanId");
                w.hex(if e.span_id.is_valid() { &e.span_id.0 } else { &[] });
                w.key("traceId");
                w.hex(if e.trace_id.is_valid() { &e.trace_id.0 } else { &[] });
            });
        });
    }
}

fn value(w: &mut Writer, v: NumberValue) {
    match v {
        NumberValue::Int(i) => {
            w.key("asInt");
            w.quoted_int(i);
        }
        NumberValue::Double(d) => {
            w.key("asDouble");
            w.double(d);
        }
    }
}

fn times(w: &mut Writer, start: u64, time: u64) {
    if start != 0 {
        w.long("startTimeUnixNano", start);
    }
    w.long("timeUnixNano", time);
}

fn optional(w: &mut Writer, key: &str, v: Option<f64>) {
    if let Some(v) = v {
        w.key(key);
        w.double(v);
    }
}
