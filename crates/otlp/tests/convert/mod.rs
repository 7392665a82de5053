//! Records as the other implementation's messages.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::logs::v1 as l;
use opentelemetry_proto::tonic::metrics::v1 as m;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as t;
use telegen_model as model;
use telegen_model::{Records, ResourceGroup};

pub(crate) fn traces(groups: &[ResourceGroup]) -> ExportTraceServiceRequest {
    let group = |g: &ResourceGroup| {
        let Records::Spans(spans) = &g.records else { unreachable!() };
        t::ResourceSpans {
            resource: Some(resource(g)),
            scope_spans: vec![t::ScopeSpans {
                scope: Some(scope(g)),
                spans: spans.iter().map(span).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    };
    ExportTraceServiceRequest { resource_spans: groups.iter().map(group).collect() }
}

pub(crate) fn metrics(groups: &[ResourceGroup]) -> ExportMetricsServiceRequest {
    let group = |g: &ResourceGroup| {
        let Records::Metrics(list) = &g.records else { unreachable!() };
        m::ResourceMetrics {
            resource: Some(resource(g)),
            scope_metrics: vec![m::ScopeMetrics {
                scope: Some(scope(g)),
                metrics: list.iter().map(metric).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    };
    ExportMetricsServiceRequest { resource_metrics: groups.iter().map(group).collect() }
}

pub(crate) fn logs(groups: &[ResourceGroup]) -> ExportLogsServiceRequest {
    let group = |g: &ResourceGroup| {
        let Records::Logs(list) = &g.records else { unreachable!() };
        l::ResourceLogs {
            resource: Some(resource(g)),
            scope_logs: vec![l::ScopeLogs {
                scope: Some(scope(g)),
                log_records: list.iter().map(log).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    };
    ExportLogsServiceRequest { resource_logs: groups.iter().map(group).collect() }
}

fn resource(g: &ResourceGroup) -> Resource {
    Resource { attributes: attributes(g.resource.attrs()), ..Default::default() }
}

fn scope(g: &ResourceGroup) -> InstrumentationScope {
    let (name, version) = (g.scope.name.to_string(), g.scope.version.to_string());
    InstrumentationScope { name, version, ..Default::default() }
}

fn attributes(list: &[model::KeyValue]) -> Vec<KeyValue> {
    let pair = |kv: &model::KeyValue| KeyValue {
        key: kv.key.to_string(),
        value: Some(value(&kv.value)),
        ..Default::default()
    };
    list.iter().map(pair).collect()
}

fn value(v: &model::Value) -> AnyValue {
    use any_value::Value as V;
    let value = match v {
        model::Value::Str(s) => V::StringValue(s.to_string()),
        model::Value::Int(i) => V::IntValue(*i),
        model::Value::Double(d) => V::DoubleValue(*d),
        model::Value::Bool(b) => V::BoolValue(*b),
        model::Value::Bytes(b) => V::BytesValue(b.to_vec()),
        model::Value::Array(a) => V::ArrayValue(ArrayValue { values: a.iter().map(value).collect() }),
        model::Value::Map(map) => V::KvlistValue(KeyValueList { values: attributes(map) }),
    };
    AnyValue { value: Some(value) }
}

fn id(bytes: &[u8]) -> Vec<u8> {
    if bytes.iter().all(|b| *b == 0) { Vec::new() } else { bytes.to_vec() }
}

fn span(s: &model::Span) -> t::Span {
    t::Span {
        trace_id: s.trace_id.0.to_vec(),
        span_id: s.span_id.0.to_vec(),
        trace_state: s.trace_state.to_string(),
        parent_span_id: id(&s.parent_id.0),
        flags: s.flags,
        name: s.name.to_string(),
        kind: s.kind as i32,
        start_time_unix_nano: s.start,
        end_time_unix_nano: s.end,
        attributes: attributes(&s.attrs),
        events: s
            .events
            .iter()
            .map(|e| t::span::Event {
                time_unix_nano: e.time,
                name: e.name.to_string(),
                attributes: attributes(&e.attrs),
                ..Default::default()
            })
            .collect(),
        links: s
            .links
            .iter()
            .map(|k| t::span::Link {
                trace_id: k.trace_id.0.to_vec(),
                span_id: k.span_id.0.to_vec(),
                flags: k.flags,
                attributes: attributes(&k.attrs),
                ..Default::default()
            })
            .collect(),
        status: Some(t::Status { message: s.status_message.to_string(), code: s.status as i32 }),
        ..Default::default()
    }
}

fn log(r: &model::LogRecord) -> l::LogRecord {
    l::LogRecord {
        time_unix_nano: r.time,
        observed_time_unix_nano: r.observed,
        severity_number: i32::from(r.severity.0),
        severity_text: r.severity_text.to_string(),
        body: (r.body != model::Value::constant("")).then(|| value(&r.body)),
        attributes: attributes(&r.attrs),
        trace_id: id(&r.trace_id.0),
        span_id: id(&r.span_id.0),
        event_name: r.event_name.to_string(),
        ..Default::default()
    }
}

fn metric(of: &model::Metric) -> m::Metric {
    use m::metric::Data;
    let temporality = |t: &model::Temporality| match t {
        model::Temporality::Delta => m::AggregationTemporality::Delta as i32,
        model::Temporality::Cumulative => m::AggregationTemporality::Cumulative as i32,
    };
    let data = match &of.data {
        model::MetricData::Gauge(p) => Data::Gauge(m::Gauge { data_points: p.iter().map(number).collect() }),
        model::MetricData::Sum { temporality: t, monotonic, points } => Data::Sum(m::Sum {
            data_points: points.iter().map(number).collect(),
            aggregation_temporality: temporality(t),
            is_monotonic: *monotonic,
        }),
        model::MetricData::Histogram { temporality: t, points } => Data::Histogram(m::Histogram {
            data_points: points.iter().map(histogram).collect(),
            aggregation_temporality: temporality(t),
        }),
        model::MetricData::ExponentialHistogram { temporality: t, points } => {
            Data::ExponentialHistogram(m::ExponentialHistogram {
                data_points: points.iter().map(exponential).collect(),
                aggregation_temporality: temporality(t),
            })
        }
    };
    m::Metric {
        name: of.name.to_string(),
        description: of.description.to_string(),
        unit: of.unit.to_string(),
        data: Some(data),
        ..Default::default()
    }
}

fn number(p: &model::NumberPoint) -> m::NumberDataPoint {
    use m::number_data_point::Value;
    m::NumberDataPoint {
        attributes: attributes(&p.attrs),
        start_time_unix_nano: p.start,
        time_unix_nano: p.time,
        exemplars: p.exemplars.iter().map(exemplar).collect(),
        value: Some(match p.value {
            model::NumberValue::Int(i) => Value::AsInt(i),
            model::NumberValue::Double(d) => Value::AsDouble(d),
        }),
        ..Default::default()
    }
}

fn histogram(p: &model::HistogramPoint) -> m::HistogramDataPoint {
    m::HistogramDataPoint {
        attributes: attributes(&p.attrs),
        start_time_unix_nano: p.start,
        time_unix_nano: p.time,
        count: p.count,
        sum: Some(p.sum),
        bucket_counts: p.counts.clone(),
        explicit_bounds: p.bounds.to_vec(),
        exemplars: p.exemplars.iter().map(exemplar).collect(),
        min: p.min,
        max: p.max,
        ..Default::default()
    }
}

fn exponential(p: &model::ExponentialHistogramPoint) -> m::ExponentialHistogramDataPoint {
    let buckets = || m::exponential_histogram_data_point::Buckets {
        offset: p.positive_offset,
        bucket_counts: p.positive.clone(),
    };
    m::ExponentialHistogramDataPoint {
        attributes: attributes(&p.attrs),
        start_time_unix_nano: p.start,
        time_unix_nano: p.time,
        count: p.count,
        sum: Some(p.sum),
        scale: p.scale,
        zero_count: p.zero_count,
        positive: (!p.positive.is_empty()).then(buckets),
        exemplars: p.exemplars.iter().map(exemplar).collect(),
        min: p.min,
        max: p.max,
        ..Default::default()
    }
}

fn exemplar(e: &model::Exemplar) -> m::Exemplar {
    use m::exemplar::Value;
    m::Exemplar {
        time_unix_nano: e.time,
        span_id: id(&e.span_id.0),
        trace_id: id(&e.trace_id.0),
        value: Some(match e.value {
            model::NumberValue::Int(i) => Value::AsInt(i),
            model::NumberValue::Double(d) => Value::AsDouble(d),
        }),
        ..Default::default()
    }
}
