use std::mem;

use telegen_model::{Metric, MetricData, PackedSpans, RawRecords, Records, ResourceGroup};

use crate::size::{self, Size, measure};

/// How large a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Items at most; 0 counts as 1.
    pub items: usize,
    /// Encoded bytes at most, as [`measure`] bounds them. One item that is larger goes alone.
    pub wire: usize,
}

/// Cuts groups of one signal into requests within the limits. Order is kept; a group is cut only when it
/// exceeds the limits by itself, and a metric only between its points.
pub fn split(groups: Vec<ResourceGroup>, limits: Limits) -> Vec<Vec<ResourceGroup>> {
    let limits = Limits { items: limits.items.max(1), ..limits };
    let mut out: Vec<Vec<ResourceGroup>> = Vec::new();
    let mut open = Size::default();
    for piece in groups.into_iter().flat_map(|g| pieces(g, limits)) {
        let size = measure(&piece);
        let sum = open.plus(size);
        match out.last_mut() {
            Some(last) if sum.items <= limits.items && sum.wire <= limits.wire => {
                last.push(piece);
                open = sum;
            }
            _ => {
                out.push(vec![piece]);
                open = size;
            }
        }
    }
    out
}

fn pieces(group: ResourceGroup, limits: Limits) -> Vec<ResourceGroup> {
    let whole = measure(&group);
    if whole.items <= limits.items && whole.wire <= limits.wire {
        return vec![group];
    }
    let around = size::around(&group);
    let ResourceGroup { resource, scope, records } = group;
    let with = |records| ResourceGroup { resource: resource.clone(), scope: scope.clone(), records };
    let limits = Limits { wire: limits.wire.saturating_sub(around), ..limits };
    match records {
        Records::Raw(raw) => {
            raw_pieces(&raw, limits, around).into_iter().map(Records::Raw).map(with).collect()
        }
        Records::Spans(spans) => {
            runs(spans, limits, size::span, |_| 1).into_iter().map(Records::Spans).map(with).collect()
        }
        Records::Packed(packed) => {
            packed_runs(&packed, limits).into_iter().map(Records::Packed).map(with).collect()
        }
        Records::Logs(logs) => {
            runs(logs, limits, size::log, |_| 1).into_iter().map(Records::Logs).map(with).collect()
        }
        Records::Metrics(metrics) => {
            let metrics = metrics.into_iter().flat_map(|m| metric(m, limits)).collect();
            runs(metrics, limits, size::metric, points).into_iter().map(Records::Metrics).map(with).collect()
        }
    }
}

fn raw_pieces(raw: &RawRecords, limits: Limits, around: usize) -> Vec<RawRecords> {
    let pieces = crate::cut::cut(raw, limits.items, limits.wire, around);
    if pieces.is_empty() { vec![raw.clone()] } else { pieces }
}

/// Cuts packed spans into runs within the limits, each at least one long.
fn packed_runs(packed: &PackedSpans, limits: Limits) -> Vec<PackedSpans> {
    let mut out: Vec<PackedSpans> = Vec::new();
    let (mut begin, mut from) = (0, 0);
    for (head, until) in &packed.heads {
        let fits = |p: &PackedSpans| p.heads.len() < limits.items && until - begin <= limits.wire;
        if !out.last().is_some_and(fits) {
            begin = from;
            out.push(PackedSpans::default());
        }
        if let Some(last) = out.last_mut() {
            last.bytes = packed.bytes.slice(begin..*until);
            last.heads.push((*head, until - begin));
        }
        from = *until;
    }
    out
}

/// Cuts a list into runs within the limits, each at least one long.
fn runs<T>(
    list: Vec<T>,
    limits: Limits,
    wire: fn(&T, &mut usize) -> usize,
    items: fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let mut out: Vec<Vec<T>> = Vec::new();
    let mut open = Size::default();
    for one in list {
        let size = Size { items: items(&one), memory: 0, wire: wire(&one, &mut 0) };
        let sum = open.plus(size);
        match out.last_mut() {
            Some(last) if sum.items <= limits.items && sum.wire <= limits.wire => {
                last.push(one);
                open = sum;
            }
            _ => {
                out.push(vec![one]);
                open = size;
            }
        }
    }
    out
}

fn points(m: &Metric) -> usize {
    match &m.data {
        MetricData::Gauge(p) | MetricData::Sum { points: p, .. } => p.len(),
        MetricData::Histogram { points: p, .. } => p.len(),
        MetricData::ExponentialHistogram { points: p, .. } => p.len(),
    }
}

/// A metric as several of the same name, each within the limits.
fn metric(mut m: Metric, limits: Limits) -> Vec<Metric> {
    if size::metric(&m, &mut 0) <= limits.wire && points(&m) <= limits.items {
        return vec![m];
    }
    let limits = Limits { wire: limits.wire.saturating_sub(size::around_points(&m)), ..limits };
    let data = mem::replace(&mut m.data, MetricData::Gauge(Vec::new()));
    let parts: Vec<MetricData> = match data {
        MetricData::Gauge(p) => {
            runs(p, limits, size::number, |_| 1).into_iter().map(MetricData::Gauge).collect()
        }
        MetricData::Sum { temporality, monotonic, points } => runs(points, limits, size::number, |_| 1)
            .into_iter()
            .map(|points| MetricData::Sum { temporality, monotonic, points })
            .collect(),
        MetricData::Histogram { temporality, points } => runs(points, limits, size::histogram, |_| 1)
            .into_iter()
            .map(|points| MetricData::Histogram { temporality, points })
            .collect(),
        MetricData::ExponentialHistogram { temporality, points } => {
            runs(points, limits, size::exponential, |_| 1)
                .into_iter()
                .map(|points| MetricData::ExponentialHistogram { temporality, points })
                .collect()
        }
    };
    parts.into_iter().map(|data| Metric { data, ..m.clone() }).collect()
}
