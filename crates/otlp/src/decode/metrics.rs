use telegen_model::{
    Exemplar, ExponentialHistogramPoint, HistogramPoint, Metric, MetricData, NumberPoint, NumberValue,
    Records, ResourceGroup, Str, Temporality,
};

use super::{Decoded, attributes, resource, scope, span_id, trace_id};
use crate::message as m;

/// Typed metrics of a request.
pub fn metrics(request: m::ExportMetricsServiceRequest) -> Decoded {
    let mut out = Decoded::default();
    for of_resource in request.resource_metrics {
        let resource = resource(of_resource.resource);
        for of_scope in of_resource.scope_metrics {
            let skipped = &mut out.skipped;
            let list = of_scope.metrics.into_iter().filter_map(|m| metric(m, skipped)).collect();
            let records = Records::Metrics(list);
            out.groups.push(ResourceGroup {
                resource: resource.clone(),
                scope: scope(of_scope.scope),
                records,
            });
        }
    }
    out
}

fn metric(m: m::Metric, skipped: &mut usize) -> Option<Metric> {
    use m::metric::Data;
    let data = match m.data? {
        Data::Gauge(g) => MetricData::Gauge(points(g.data_points, number, skipped)),
        Data::Sum(s) => MetricData::Sum {
            temporality: temporality(s.aggregation_temporality),
            monotonic: s.is_monotonic,
            points: points(s.data_points, number, skipped),
        },
        Data::Histogram(h) => MetricData::Histogram {
            temporality: temporality(h.aggregation_temporality),
            points: points(h.data_points, histogram, skipped),
        },
        Data::ExponentialHistogram(h) => MetricData::ExponentialHistogram {
            temporality: temporality(h.aggregation_temporality),
            points: points(h.data_points, exponential, skipped),
        },
        Data::Summary(s) => {
            *skipped += s.data_points.len();
            return None;
        }
    };
    Some(Metric { name: m.name.into(), description: m.description.into(), unit: Str::from(m.unit), data })
}

fn points<T, U>(list: Vec<T>, read: fn(T) -> Option<U>, skipped: &mut usize) -> Vec<U> {
    let before = list.len();
    let read: Vec<U> = list.into_iter().filter_map(read).collect();
    *skipped += before - read.len();
    read
}

fn temporality(code: i32) -> Temporality {
    if code == 1 { Temporality::Delta } else { Temporality::Cumulative }
}

/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`: the series ended, and the point's numbers mean nothing.
const NO_VALUE: u32 = 1;

fn number(p: m::NumberDataPoint) -> Option<NumberPoint> {
    if p.flags & NO_VALUE != 0 {
        return None;
    }
    let value = match p.value? {
        m::number_data_point::Value::Double(d) => NumberValue::Double(d),
        m::number_data_point::Value::Int(i) => NumberValue::Int(i),
    };
    Some(NumberPoint {
        attrs: attributes(p.attributes).into(),
        start: p.start_time_unix_nano,
        time: p.time_unix_nano,
        value,
        exemplars: exemplars(p.exemplars),
    })
}

fn histogram(p: m::HistogramDataPoint) -> Option<HistogramPoint> {
    if p.flags & NO_VALUE != 0 {
        return None;
    }
    Some(HistogramPoint {
        attrs: attributes(p.attributes).into(),
        start: p.start_time_unix_nano,
        time: p.time_unix_nano,
        count: p.count,
        sum: p.sum.unwrap_or(f64::NAN),
        min: p.min,
        max: p.max,
        bounds: p.explicit_bounds.into(),
        counts: p.bucket_counts,
        exemplars: exemplars(p.exemplars),
    })
}

fn exponential(p: m::ExponentialHistogramDataPoint) -> Option<ExponentialHistogramPoint> {
    let negative = p.negative.is_some_and(|b| b.bucket_counts.iter().any(|c| *c > 0));
    if negative || p.flags & NO_VALUE != 0 {
        return None;
    }
    let positive = p.positive.unwrap_or_default();
    Some(ExponentialHistogramPoint {
        attrs: attributes(p.attributes).into(),
        start: p.start_time_unix_nano,
        time: p.time_unix_nano,
        count: p.count,
        sum: p.sum.unwrap_or(f64::NAN),
        min: p.min,
        max: p.max,
        scale: p.scale,
        zero_count: p.zero_count,
        positive_offset: positive.offset,
        positive: positive.bucket_counts,
        exemplars: exemplars(p.exemplars),
    })
}

fn exemplars(list: Vec<m::Exemplar>) -> Vec<Exemplar> {
    let one = |e: m::Exemplar| {
        let value = match e.value? {
            m::exemplar::Value::Double(d) => NumberValue::Double(d),
            m::exemplar::Value::Int(i) => NumberValue::Int(i),
        };
        let (trace_id, span_id) = (trace_id(&e.trace_id), span_id(&e.span_id));
        Some(Exemplar { time: e.time_unix_nano, value, trace_id, span_id })
    };
    list.into_iter().filter_map(one).collect()
}
