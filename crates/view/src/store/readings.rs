//! Cumulative metrics into differences: the last reading of every series is remembered.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::{FixedState, RandomState};
use telegen_model::{
    ExponentialHistogramPoint, HistogramPoint, KeyValue, Metric, MetricData, NumberValue, Records,
    ResourceGroup, Value, semconv as s,
};

use super::edges::{Edges, End, Side};
use super::quantile::{BUCKETS, bucket};
use super::services::{RowKey, Services, Step};

/// Memory that the last reading of a series takes, about.
const SERIES_BYTES: usize = std::mem::size_of::<Last>() + 24;

/// Name of the metric that counts what is recognised and not read.
const UNREAD: &str = "telegen.traffic.unread";
/// Name of the metric that counts spans that got no parent.
const UNLINKED: &str = "telegen.spans.unlinked";
/// What the metrics of the service graph begin with: names and labels are those of Tempo.
const GRAPH: &str = "traces_service_graph_request_";

/// What a metric is to the page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Served,
    Called,
    Unread,
    Unlinked,
    Edge(Side),
    Failed,
}

impl Kind {
    fn of(name: &str) -> Option<Kind> {
        match name {
            s::HTTP_SERVER_REQUEST_DURATION => Some(Kind::Served),
            s::HTTP_CLIENT_REQUEST_DURATION => Some(Kind::Called),
            UNREAD => Some(Kind::Unread),
            UNLINKED => Some(Kind::Unlinked),
            _ => match name.strip_prefix(GRAPH)? {
                "client_seconds" | "client" => Some(Kind::Edge(Side::Client)),
                "server_seconds" | "server" => Some(Kind::Edge(Side::Server)),
                "failed_total" | "failed" => Some(Kind::Failed),
                _ => None,
            },
        }
    }

    fn is_edge(self) -> bool {
        matches!(self, Kind::Edge(_) | Kind::Failed)
    }
}

/// The last reading of a series.
#[derive(Clone, Debug)]
struct Last {
    start: u64,
    reading: u64,
    counts: [u64; BUCKETS],
}

/// The last readings of all series.
#[derive(Debug)]
pub(crate) struct Readings {
    series: HashMap<u64, Last, RandomState>,
    /// Seeds the keys of series, so that no peer can choose names that collide.
    seed: RandomState,
    /// Most series.
    limit: usize,
    /// Readings so far.
    pub(crate) number: u64,
    /// Series that found no room.
    pub(crate) refused: u64,
}

impl Readings {
    /// Readings within an eighth of a budget.
    pub(crate) fn new(memory: usize) -> Readings {
        let limit = (memory / 8 / SERIES_BYTES).max(256);
        Readings { series: HashMap::default(), seed: RandomState::default(), limit, number: 0, refused: 0 }
    }

    /// Bytes in use, estimated.
    pub(crate) fn used(&self) -> usize {
        self.series.len() * SERIES_BYTES
    }

    /// Takes one reading of all metrics, `now_s` in seconds since 1970.
    pub(crate) fn take(
        &mut self,
        groups: &[ResourceGroup],
        services: &mut Services,
        edges: &mut Edges,
        now_s: u64,
    ) {
        self.number += 1;
        for group in groups {
            let Records::Metrics(metrics) = &group.records else { continue };
            let base = self.seed.hash_one(&*group.resource);
            // Failures belong to requests that are counted with their durations: those come first.
            let kinds = |m: &Metric| Kind::of(&m.name).filter(|k| k.is_edge());
            for metric in metrics.iter().filter(|m| matches!(kinds(m), Some(Kind::Edge(_)))) {
                self.edges(base, metric, edges, now_s);
            }
            for metric in metrics.iter().filter(|m| kinds(m) == Some(Kind::Failed)) {
                self.edges(base, metric, edges, now_s);
            }
            if !metrics.iter().any(|m| Kind::of(&m.name).is_some_and(|k| !k.is_edge())) {
                continue;
            }
            let Some(id) = services.of(&group.resource, now_s) else { continue };
            let mut moved = false;
            for metric in metrics {
                match Kind::of(&metric.name) {
                    Some(Kind::Served) => moved |= self.durations(base, metric, true, id, services, now_s),
                    Some(Kind::Called) => moved |= self.durations(base, metric, false, id, services, now_s),
                    Some(Kind::Unread) => moved |= self.unread(base, metric, id, services, now_s),
                    Some(Kind::Unlinked) => self.unlinked(base, metric, id, services),
                    Some(Kind::Edge(_) | Kind::Failed) | None => {}
                }
            }
            if moved {
                services.instance(id, &group.resource, now_s);
            }
        }
        services.settle(self.number, now_s);
        // A series that is gone may come back only as a new one.
        if self.number.is_multiple_of(32) {
            let number = self.number;
            self.series.retain(|_, last| last.reading + 32 >= number);
            edges.settle(services, now_s);
        }
    }

    fn durations(
        &mut self,
        base: u64,
        metric: &Metric,
        served: bool,
        id: u32,
        services: &mut Services,
        now_s: u64,
    ) -> bool {
        let mut moved = false;
        self.steps(base, metric, |attrs, mut step| {
            step.errors = if failed(attrs, served) { step.count() } else { 0 };
            services.add(id, served, row(attrs, served), &step, now_s);
            moved = true;
        });
        moved
    }

    /// What came since the last reading, series by series.
    fn steps(&mut self, base: u64, metric: &Metric, mut found: impl FnMut(&[KeyValue], Step)) {
        let mut point = |attrs: &[KeyValue], start: u64, counts: [u64; BUCKETS]| {
            let key = hash(base, &metric.name, attrs);
            let Some(durations) = self.difference(key, start, counts) else { return };
            let step = Step { errors: 0, durations };
            if step.count() > 0 {
                found(attrs, step);
            }
        };
        match &metric.data {
            MetricData::Histogram { points, .. } => {
                points.iter().for_each(|p| point(&p.attrs, p.start, explicit(p)));
            }
            MetricData::ExponentialHistogram { points, .. } => {
                points.iter().for_each(|p| point(&p.attrs, p.start, exponential(p)));
            }
            MetricData::Gauge(_) | MetricData::Sum { .. } => {}
        }
    }

    fn edges(&mut self, base: u64, metric: &Metric, edges: &mut Edges, now_s: u64) {
        match Kind::of(&metric.name) {
            Some(Kind::Edge(side)) => self.steps(base, metric, |attrs, step| {
                let (client, server) = ends(attrs);
                edges.add(client, server, side, &step, now_s);
            }),
            Some(Kind::Failed) => self.counts(base, metric, |attrs, errors| {
                let (client, server) = ends(attrs);
                edges.fail(client, server, u32::try_from(errors).unwrap_or(u32::MAX), now_s);
            }),
            _ => {}
        }
    }

    fn unread(&mut self, base: u64, metric: &Metric, id: u32, services: &mut Services, now_s: u64) -> bool {
        let mut moved = false;
        self.counts(base, metric, |attrs, bytes| {
            let text = |key| find(attrs, key).and_then(Value::as_str).unwrap_or("");
            services.add_unread(id, text("telegen.protocol"), text("telegen.reason"), bytes, now_s);
            moved = true;
        });
        moved
    }

    fn unlinked(&mut self, base: u64, metric: &Metric, id: u32, services: &mut Services) {
        self.counts(base, metric, |attrs, spans| {
            let reason = find(attrs, "telegen.reason").and_then(Value::as_str).unwrap_or("");
            services.add_unlinked(id, reason, spans);
        });
    }

    /// What a counter counted since the last reading, series by series, where it counted anything.
    fn counts(&mut self, base: u64, metric: &Metric, mut found: impl FnMut(&[KeyValue], u64)) {
        let MetricData::Sum { points, .. } = &metric.data else { return };
        for p in points {
            let value = match p.value {
                NumberValue::Int(i) => u64::try_from(i).unwrap_or(0),
                NumberValue::Double(d) => d.max(0.0) as u64,
            };
            let mut counts = [0; BUCKETS];
            counts[0] = value;
            let key = hash(base, &metric.name, &p.attrs);
            let Some(last) = self.remember(key, p.start, counts) else { continue };
            let more = value.saturating_sub(last[0]);
            if more > 0 {
                found(&p.attrs, more);
            }
        }
    }

    /// What came since the last reading, bucket by bucket; `None` when the series found no room.
    fn difference(&mut self, key: u64, start: u64, counts: [u64; BUCKETS]) -> Option<[u32; BUCKETS]> {
        let last = self.remember(key, start, counts)?;
        let mut out = [0; BUCKETS];
        for (out, (now, before)) in out.iter_mut().zip(counts.iter().zip(&last)) {
            *out = u32::try_from(now.saturating_sub(*before)).unwrap_or(u32::MAX);
        }
        Some(out)
    }

    /// Stores a reading and gives the one before: zeros for a series that began anew.
    fn remember(&mut self, key: u64, start: u64, counts: [u64; BUCKETS]) -> Option<[u64; BUCKETS]> {
        let reading = self.number;
        if let Some(last) = self.series.get_mut(&key) {
            let same =
                last.start == start && last.counts.iter().zip(&counts).all(|(before, now)| before <= now);
            let before = if same { last.counts } else { [0; BUCKETS] };
            *last = Last { start, reading, counts };
            return Some(before);
        }
        if self.series.len() >= self.limit {
            self.refused += 1;
            return None;
        }
        self.series.insert(key, Last { start, reading, counts });
        Some([0; BUCKETS])
    }
}

fn explicit(p: &HistogramPoint) -> [u64; BUCKETS] {
    let mut out = [0; BUCKETS];
    for (i, count) in p.counts.iter().enumerate() {
        // With the conventional bounds this is the same bucket; others fall where their upper bound lies.
        let at = p.bounds.get(i).map_or(BUCKETS - 1, |bound| bucket(*bound));
        out[at] += count;
    }
    out
}

fn exponential(p: &ExponentialHistogramPoint) -> [u64; BUCKETS] {
    let mut out = [0; BUCKETS];
    out[0] = p.zero_count;
    let base = 2f64.powf(2f64.powi(-p.scale));
    for (i, count) in p.positive.iter().enumerate() {
        // The middle of the bucket, geometrically.
        let exponent = f64::from(p.positive_offset) + i as f64 + 0.5;
        out[bucket(base.powf(exponent))] += count;
    }
    out
}

/// 5xx is an error on both sides, 4xx on the client's; so is everything with an `error.type`.
fn failed(attrs: &[KeyValue], served: bool) -> bool {
    let status = find(attrs, s::HTTP_RESPONSE_STATUS_CODE).and_then(Value::as_int).unwrap_or(0);
    status >= if served { 500 } else { 400 } || find(attrs, s::ERROR_TYPE).is_some()
}

fn row(attrs: &[KeyValue], served: bool) -> RowKey {
    let text = |key| find(attrs, key).and_then(Value::as_str).unwrap_or("").to_owned();
    if served {
        return RowKey::Route(text(s::HTTP_REQUEST_METHOD), text(s::HTTP_ROUTE));
    }
    let port = find(attrs, s::SERVER_PORT).and_then(Value::as_int).and_then(|p| u16::try_from(p).ok());
    RowKey::Peer(text(s::SERVER_ADDRESS), port.unwrap_or(0))
}

/// The two ends of an edge.
fn ends(attrs: &[KeyValue]) -> (End, End) {
    let text = |key| find(attrs, key).and_then(Value::as_str).unwrap_or("").to_owned();
    let end = |name, namespace| End { name: text(name), namespace: text(namespace) };
    (end("client", "client_service_namespace"), end("server", "server_service_namespace"))
}

fn find<'a>(attrs: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attrs.iter().find(|kv| kv.key == key).map(|kv| &kv.value)
}

fn hash(base: u64, name: &str, attrs: &[KeyValue]) -> u64 {
    let mut hasher = FixedState::with_seed(base).build_hasher();
    name.hash(&mut hasher);
    for kv in attrs {
        kv.key.hash(&mut hasher);
        match &kv.value {
            Value::Str(text) => text.hash(&mut hasher),
            Value::Int(n) => n.hash(&mut hasher),
            Value::Bool(b) => b.hash(&mut hasher),
            Value::Double(d) => d.to_bits().hash(&mut hasher),
            // Not among the attributes of these metrics.
            Value::Bytes(_) | Value::Array(_) | Value::Map(_) => {}
        }
    }
    hasher.finish()
}
