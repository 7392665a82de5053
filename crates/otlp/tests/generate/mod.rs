//! Any records, as far as they make sense.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use telegen_model::{
    Exemplar, ExponentialHistogramPoint, HistogramPoint, KeyValue, LogRecord, Metric, MetricData,
    NumberPoint, NumberValue, Records, Resource, ResourceGroup, Scope, Severity, Span, SpanEvent, SpanId,
    SpanKind, SpanLink, SpanStatus, Str, Temporality, TraceId, Value,
};

/// Groups of one signal, each with a resource of its own and at least one item.
pub(crate) fn groups() -> impl Strategy<Value = Vec<ResourceGroup>> {
    prop_oneof![
        vec(group(vec(span(), 1..12).prop_map(Records::Spans)), 1..4),
        vec(group(vec(log(), 1..12).prop_map(Records::Logs)), 1..4),
        vec(group(vec(metric(), 1..6).prop_map(Records::Metrics)), 1..4),
    ]
}

fn group(records: impl Strategy<Value = Records>) -> impl Strategy<Value = ResourceGroup> {
    (attributes(), text(), text(), records).prop_map(|(attrs, name, version, records)| ResourceGroup {
        resource: Arc::new(Resource::new(attrs)),
        scope: Scope { name, version },
        records,
    })
}

/// Texts around the lengths where a prefix grows by a byte, with every kind of character.
fn text() -> impl Strategy<Value = Str> {
    prop_oneof![
        4 => "[a-z.]{0,20}".prop_map(Str::from),
        2 => "\\PC{0,40}".prop_map(Str::from),
        1 => "[\\x00-\\x7f\u{80}-\u{ff}]{0,40}".prop_map(Str::from),
        1 => (118usize..136).prop_map(|n| Str::from("x".repeat(n))),
        1 => (16_370usize..16_390).prop_map(|n| Str::from("x".repeat(n))),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => text().prop_map(Value::Str),
        2 => any::<i64>().prop_map(Value::Int),
        1 => finite().prop_map(Value::Double),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => vec(any::<u8>(), 0..20).prop_map(|b| Value::Bytes(b.into())),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec(inner, 0..4).prop_map(|v| {
                let pair = |(i, value)| KeyValue { key: Str::from(format!("k{i}")), value };
                Value::Map(v.into_iter().enumerate().map(pair).collect())
            }),
        ]
    })
}

/// The other implementation does not read the strings that stand for infinities in JSON.
fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>().prop_filter("finite", |d| d.is_finite()), Just(0.0), Just(-0.0)]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec((text(), value()), 0..5).prop_map(|pairs| {
        // Numbered, so that keys are unique.
        let pair = |(i, (key, value)): (usize, (Str, Value))| KeyValue {
            key: Str::from(format!("{key}{i}")),
            value,
        };
        pairs.into_iter().enumerate().map(pair).collect()
    })
}

fn trace_id() -> impl Strategy<Value = TraceId> {
    prop_oneof![any::<[u8; 16]>().prop_map(TraceId), Just(TraceId::ZERO)]
}

fn span_id() -> impl Strategy<Value = SpanId> {
    prop_oneof![any::<[u8; 8]>().prop_map(SpanId), Just(SpanId::ZERO)]
}

fn span() -> impl Strategy<Value = Span> {
    let kind = prop_oneof![
        Just(SpanKind::Internal),
        Just(SpanKind::Server),
        Just(SpanKind::Client),
        Just(SpanKind::Producer),
        Just(SpanKind::Consumer)
    ];
    let status = prop_oneof![Just(SpanStatus::Unset), Just(SpanStatus::Ok), Just(SpanStatus::Error)];
    let event =
        (any::<u64>(), text(), attributes()).prop_map(|(time, name, attrs)| SpanEvent { time, name, attrs });
    let link = (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<u32>(), attributes())
        .prop_map(|(t, s, flags, attrs)| SpanLink { trace_id: TraceId(t), span_id: SpanId(s), flags, attrs });
    let ids = (any::<[u8; 16]>(), any::<[u8; 8]>(), span_id(), text(), any::<u32>());
    let rest = (vec(event, 0..3), vec(link, 0..3), status, text(), any::<u64>(), any::<u64>());
    (ids, text(), kind, attributes(), rest).prop_map(
        |(
            (trace, span, parent_id, trace_state, flags),
            name,
            kind,
            attrs,
            (events, links, status, message, a, b),
        )| Span {
            trace_id: TraceId(trace),
            span_id: SpanId(span),
            parent_id,
            trace_state,
            flags,
            name,
            kind,
            start: a.min(b),
            end: a.max(b),
            attrs,
            events,
            links,
            status,
            status_message: message,
        },
    )
}

fn log() -> impl Strategy<Value = LogRecord> {
    (any::<u64>(), any::<u64>(), 0u8..=24, (text(), text()), value(), attributes(), trace_id(), span_id())
        .prop_map(
            |(time, observed, severity, (severity_text, event_name), body, attrs, trace_id, span_id)| {
                LogRecord {
                    time,
                    observed,
                    severity: Severity(severity),
                    severity_text,
                    body,
                    attrs,
                    trace_id,
                    span_id,
                    event_name,
                }
            },
        )
}

fn metric() -> impl Strategy<Value = Metric> {
    let temporality = || prop_oneof![Just(Temporality::Delta), Just(Temporality::Cumulative)];
    let data = prop_oneof![
        vec(number(), 1..6).prop_map(MetricData::Gauge),
        (temporality(), any::<bool>(), vec(number(), 1..6))
            .prop_map(|(temporality, monotonic, points)| MetricData::Sum { temporality, monotonic, points }),
        (temporality(), vec(histogram(), 1..6))
            .prop_map(|(temporality, points)| MetricData::Histogram { temporality, points }),
        (temporality(), vec(exponential(), 1..6))
            .prop_map(|(temporality, points)| MetricData::ExponentialHistogram { temporality, points }),
    ];
    (text(), text(), text(), data).prop_map(|(name, description, unit, data)| Metric {
        name,
        description,
        unit,
        data,
    })
}

fn number_value() -> impl Strategy<Value = NumberValue> {
    prop_oneof![any::<i64>().prop_map(NumberValue::Int), finite().prop_map(NumberValue::Double)]
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    let one = (any::<u64>(), number_value(), trace_id(), span_id())
        .prop_map(|(time, value, trace_id, span_id)| Exemplar { time, value, trace_id, span_id });
    vec(one, 0..3)
}

fn number() -> impl Strategy<Value = NumberPoint> {
    (attributes(), any::<u64>(), any::<u64>(), number_value(), exemplars()).prop_map(
        |(attrs, start, time, value, exemplars)| NumberPoint {
            attrs: attrs.into(),
            start,
            time,
            value,
            exemplars,
        },
    )
}

fn histogram() -> impl Strategy<Value = HistogramPoint> {
    let counts = vec(0..u64::MAX / 64, 1..8);
    let rest = (finite(), option::of(finite()), option::of(finite()), exemplars());
    (attributes(), any::<u64>(), any::<u64>(), counts, rest).prop_map(
        |(attrs, start, time, counts, (sum, min, max, exemplars))| HistogramPoint {
            attrs: attrs.into(),
            start,
            time,
            count: counts.iter().sum(),
            sum,
            min,
            max,
            bounds: (1..counts.len()).map(|n| n as f64 / 4.0).collect(),
            counts,
            exemplars,
        },
    )
}

fn exponential() -> impl Strategy<Value = ExponentialHistogramPoint> {
    let buckets = (any::<i32>(), vec(0..u64::MAX / 64, 0..8), -10i32..=20, 0u64..1000);
    let rest = (finite(), option::of(finite()), option::of(finite()), exemplars());
    (attributes(), any::<u64>(), any::<u64>(), buckets, rest).prop_map(
        |(attrs, start, time, (offset, positive, scale, zero_count), (sum, min, max, exemplars))| {
            ExponentialHistogramPoint {
                attrs: attrs.into(),
                start,
                time,
                count: zero_count + positive.iter().sum::<u64>(),
                sum,
                min,
                max,
                scale,
                zero_count,
                // An offset means nothing without buckets, and is not written.
                positive_offset: if positive.is_empty() { 0 } else { offset },
                positive,
                exemplars,
            }
        },
    )
}
