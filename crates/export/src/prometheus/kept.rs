//! The last value of every series that came through the pipeline (from devices, or from others), for a scrape. Sources
//! that are read when a scrape comes need no keeping.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use telegen_model::{
    Attrs, Exemplar, ExponentialHistogramPoint, HistogramPoint, Metric, MetricData, NumberPoint, Records,
    Resource, ResourceGroup, Scope, Signal, Str, Temporality,
};
use telegen_pipeline::{Batch, BoxFuture, Outcome, SignalSet, Sink};
use telegen_selfmon::{Counter, SelfMon};
use tokio::time::Instant;

use super::labels;

/// A series that nobody sent for so long has ended.
const IDLE: Duration = Duration::from_secs(600);
/// How often ended series are looked for.
const LOOK: Duration = Duration::from_secs(60);
/// What a series takes beside its attributes and buckets.
const A_SERIES: usize = 320;
/// What a metric or a target takes beside its texts.
const A_PLACE: usize = 160;

/// Keeps what a scrape shows beside the sources. Clones share it.
#[derive(Clone, Debug)]
pub struct Kept {
    store: Arc<Mutex<Store>>,
    most: usize,
    delta: Counter,
    no_room: Counter,
}

#[derive(Debug, Default)]
struct Store {
    targets: HashMap<Arc<Resource>, HashMap<Str, OfMetric>>,
    /// What is held: targets, metrics and series.
    bytes: usize,
    looked: Option<Instant>,
}

/// The series of one metric and one resource.
#[derive(Debug)]
struct OfMetric {
    description: Str,
    unit: Str,
    kind: Kind,
    /// What it takes itself.
    place: usize,
    /// By their labels.
    series: HashMap<String, Series>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gauge,
    Sum { monotonic: bool },
    Histogram,
    Exponential,
}

#[derive(Debug)]
struct Series {
    point: Point,
    bytes: usize,
    seen: Instant,
}

#[derive(Clone, Debug)]
enum Point {
    Number(NumberPoint),
    Histogram(HistogramPoint),
    Exponential(ExponentialHistogramPoint),
}

impl Kept {
    /// Keeps about so many bytes; series beyond them are counted and not shown.
    pub fn new(most: usize, mon: &SelfMon) -> Kept {
        let left_out = |reason| {
            let what = "Data points that came in and that a scrape cannot show.";
            mon.counter("telegen.prometheus.not_kept", "{data_point}", what, &[("reason", reason)])
        };
        Kept { store: Arc::default(), most, delta: left_out("delta"), no_room: left_out("no_room") }
    }

    /// What is kept, for [`super::render`].
    pub fn groups(&self) -> Vec<ResourceGroup> {
        let mut store = self.store();
        store.forget(Instant::now());
        // Whose scope it was is no label.
        let scope = Scope { name: Str::const_new(""), version: Str::const_new("") };
        let of_target = |(resource, metrics): (&Arc<Resource>, &HashMap<Str, OfMetric>)| ResourceGroup {
            resource: resource.clone(),
            scope: scope.clone(),
            records: Records::Metrics(metrics.iter().map(|(name, m)| m.metric(name)).collect()),
        };
        store.targets.iter().map(of_target).collect()
    }

    fn take(&self, group: &ResourceGroup) {
        let Records::Metrics(metrics) = &group.records else { return };
        let (mut store, now) = (self.store(), Instant::now());
        if store.looked.is_none_or(|at| now >= at + LOOK) {
            store.forget(now);
        }
        for metric in metrics {
            let Some((kind, points)) = read(metric) else {
                self.delta.add(count(metric));
                continue;
            };
            for point in points {
                if !store.keep(&group.resource, metric, (kind, point), (self.most, now)) {
                    self.no_room.inc();
                }
            }
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Kept {
    fn name(&self) -> &str {
        "scrape"
    }

    fn signals(&self) -> SignalSet {
        SignalSet::of(&[Signal::Metrics])
    }

    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            batch.groups.iter().for_each(|group| self.take(group));
            Outcome::Delivered
        })
    }
}

impl Store {
    /// Keeps the last value of a series; `false` when there is no room for another.
    fn keep(
        &mut self,
        resource: &Arc<Resource>,
        metric: &Metric,
        (kind, point): (Kind, Point),
        (most, now): (usize, Instant),
    ) -> bool {
        let labels = labels::series("", point.attrs().iter());
        let bytes = A_SERIES
            + labels.len()
            + telegen_otlp::memory_of(point.attrs())
            + point.buckets() * 8
            + point.exemplars() * size_of::<Exemplar>();
        let of_metric = self.targets.get(resource).and_then(|metrics| metrics.get(&metric.name));
        let of_metric = of_metric.filter(|m| m.kind == kind);
        let series = of_metric.and_then(|m| m.series.get(&labels));
        // What was under way for longer is older.
        if series.is_some_and(|s| s.point.time() > point.time()) {
            return true;
        }
        let (mut needed, mut freed) = (bytes, series.map_or(0, |s| s.bytes));
        match (self.targets.get(resource), of_metric) {
            (_, Some(_)) => {}
            (Some(metrics), None) => {
                needed += place_of(metric);
                // It is another kind of metric now.
                freed += metrics.get(&metric.name).map_or(0, OfMetric::held);
            }
            (None, None) => needed += place_of(metric) + target(resource),
        }
        let Some(bytes_then) = (self.bytes - freed).checked_add(needed).filter(|then| *then <= most) else {
            return false;
        };
        self.bytes = bytes_then;
        let metrics = self.targets.entry(resource.clone()).or_default();
        let of_metric = metrics.entry(metric.name.clone()).or_insert_with(|| OfMetric::new(metric, kind));
        if of_metric.kind != kind {
            *of_metric = OfMetric::new(metric, kind);
        }
        of_metric.series.insert(labels, Series { point, bytes, seen: now });
        true
    }

    /// Lets go of what has ended.
    fn forget(&mut self, now: Instant) {
        self.looked = Some(now);
        let mut freed = 0;
        self.targets.retain(|resource, metrics| {
            metrics.retain(|_, of_metric| {
                of_metric.series.retain(|_, series| {
                    let stays = now < series.seen + IDLE;
                    freed += if stays { 0 } else { series.bytes };
                    stays
                });
                freed += if of_metric.series.is_empty() { of_metric.place } else { 0 };
                !of_metric.series.is_empty()
            });
            freed += if metrics.is_empty() { target(resource) } else { 0 };
            !metrics.is_empty()
        });
        self.bytes -= freed;
    }
}

impl OfMetric {
    fn new(metric: &Metric, kind: Kind) -> OfMetric {
        let (description, unit) = (metric.description.clone(), metric.unit.clone());
        OfMetric { description, unit, kind, place: place_of(metric), series: HashMap::new() }
    }

    /// What it takes with its series.
    fn held(&self) -> usize {
        self.place + self.series.values().map(|s| s.bytes).sum::<usize>()
    }

    fn metric(&self, name: &Str) -> Metric {
        let points = || self.series.values().map(|s| s.point.clone());
        let numbers = || points().filter_map(|p| if let Point::Number(p) = p { Some(p) } else { None });
        let temporality = Temporality::Cumulative;
        let data = match self.kind {
            Kind::Gauge => MetricData::Gauge(numbers().collect()),
            Kind::Sum { monotonic } => {
                MetricData::Sum { temporality, monotonic, points: numbers().collect() }
            }
            Kind::Histogram => {
                let points =
                    points().filter_map(|p| if let Point::Histogram(p) = p { Some(p) } else { None });
                MetricData::Histogram { temporality, points: points.collect() }
            }
            Kind::Exponential => {
                let points =
                    points().filter_map(|p| if let Point::Exponential(p) = p { Some(p) } else { None });
                MetricData::ExponentialHistogram { temporality, points: points.collect() }
            }
        };
        Metric { name: name.clone(), description: self.description.clone(), unit: self.unit.clone(), data }
    }
}

impl Point {
    fn attrs(&self) -> &Attrs {
        match self {
            Point::Number(p) => &p.attrs,
            Point::Histogram(p) => &p.attrs,
            Point::Exponential(p) => &p.attrs,
        }
    }

    fn time(&self) -> u64 {
        match self {
            Point::Number(p) => p.time,
            Point::Histogram(p) => p.time,
            Point::Exponential(p) => p.time,
        }
    }

    fn buckets(&self) -> usize {
        match self {
            Point::Number(_) => 0,
            Point::Histogram(p) => p.counts.len() + p.bounds.len(),
            Point::Exponential(p) => p.positive.len(),
        }
    }

    fn exemplars(&self) -> usize {
        match self {
            Point::Number(p) => p.exemplars.len(),
            Point::Histogram(p) => p.exemplars.len(),
            Point::Exponential(p) => p.exemplars.len(),
        }
    }
}

fn place_of(metric: &Metric) -> usize {
    A_PLACE + metric.name.len() + metric.description.len() + metric.unit.len()
}

fn target(resource: &Resource) -> usize {
    A_PLACE + telegen_otlp::memory_of(resource.attrs())
}

/// The points of a metric, unless they count deltas: an exposition is cumulative.
fn read(metric: &Metric) -> Option<(Kind, Vec<Point>)> {
    let cumulative = Temporality::Cumulative;
    Some(match &metric.data {
        MetricData::Gauge(points) => (Kind::Gauge, points.iter().cloned().map(Point::Number).collect()),
        MetricData::Sum { temporality, monotonic, points } if *temporality == cumulative => {
            (Kind::Sum { monotonic: *monotonic }, points.iter().cloned().map(Point::Number).collect())
        }
        MetricData::Histogram { temporality, points } if *temporality == cumulative => {
            (Kind::Histogram, points.iter().cloned().map(Point::Histogram).collect())
        }
        MetricData::ExponentialHistogram { temporality, points } if *temporality == cumulative => {
            (Kind::Exponential, points.iter().cloned().map(Point::Exponential).collect())
        }
        _ => return None,
    })
}

fn count(metric: &Metric) -> u64 {
    let points = match &metric.data {
        MetricData::Gauge(p) | MetricData::Sum { points: p, .. } => p.len(),
        MetricData::Histogram { points, .. } => points.len(),
        MetricData::ExponentialHistogram { points, .. } => points.len(),
    };
    points as u64
}

#[cfg(test)]
mod tests {
    use super::super::{Format, render};
    use super::*;
    use telegen_model::{KeyValue, NumberValue};
    use telegen_selfmon::BuildInfo;

    fn group(
        device: &str,
        data: fn(Vec<NumberPoint>) -> MetricData,
        points: &[(&str, u64, i64)],
    ) -> ResourceGroup {
        let point = |(port, time, value): &(&str, u64, i64)| NumberPoint {
            attrs: [KeyValue::new("port", *port)].into(),
            start: 0,
            time: *time,
            value: NumberValue::Int(*value),
            exemplars: Vec::new(),
        };
        let data = data(points.iter().map(point).collect());
        let metric = Metric { name: "m".into(), description: "".into(), unit: "".into(), data };
        ResourceGroup {
            resource: Arc::new(Resource::new(vec![KeyValue::new("snmp.target", device)])),
            scope: Scope { name: "telegen/snmp".into(), version: "".into() },
            records: Records::Metrics(vec![metric]),
        }
    }

    fn gauge(points: Vec<NumberPoint>) -> MetricData {
        MetricData::Gauge(points)
    }

    fn sum(temporality: Temporality, points: Vec<NumberPoint>) -> MetricData {
        MetricData::Sum { temporality, monotonic: true, points }
    }

    fn shown(kept: &Kept) -> Vec<String> {
        let text = render(&kept.groups(), Format::Plain);
        let mut lines: Vec<_> = text.lines().filter(|l| l.starts_with('m')).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_value_of_every_series_is_shown_until_it_ends() {
        let kept = Kept::new(1 << 20, &SelfMon::new(BuildInfo::default()));
        kept.take(&group("a", gauge, &[("1", 10, 5), ("2", 10, 6)]));
        kept.take(&group("b", gauge, &[("1", 10, 7)]));
        tokio::time::advance(IDLE / 2).await;
        kept.take(&group("a", gauge, &[("1", 20, 8)]));
        kept.take(&group("a", gauge, &[("1", 15, 9)]));
        let a = |port: &str, value: &str| format!("m{{job=\"snmp\",instance=\"a\",port=\"{port}\"}} {value}");
        let b = "m{job=\"snmp\",instance=\"b\",port=\"1\"} 7".to_owned();
        assert_eq!(shown(&kept), [a("1", "8"), a("2", "6"), b]);
        tokio::time::advance(IDLE / 2).await;
        assert_eq!(shown(&kept), [a("1", "8")]);
        // What it is now is another kind of metric.
        kept.take(&group("a", |p| sum(Temporality::Cumulative, p), &[("2", 30, 1)]));
        assert_eq!(shown(&kept), ["m_total{job=\"snmp\",instance=\"a\",port=\"2\"} 1"]);
        tokio::time::advance(IDLE).await;
        assert_eq!((shown(&kept).len(), kept.store().bytes), (0, 0));
    }

    #[tokio::test]
    async fn what_cannot_be_shown_is_counted() {
        let mon = SelfMon::new(BuildInfo::default());
        // A target, its metric, and one series.
        let kept = Kept::new(2 * A_PLACE + A_SERIES + 300, &mon);
        kept.take(&group("a", gauge, &[("1", 10, 5), ("2", 10, 6)]));
        kept.take(&group("b", gauge, &[("1", 10, 7)]));
        kept.take(&group("a", gauge, &[("1", 11, 6)]));
        assert_eq!(shown(&kept), ["m{job=\"snmp\",instance=\"a\",port=\"1\"} 6"]);
        kept.take(&group("a", |p| sum(Temporality::Delta, p), &[("1", 12, 7), ("2", 12, 7), ("3", 12, 7)]));
        assert_eq!((kept.no_room.get(), kept.delta.get()), (2, 3));
    }

    #[tokio::test]
    async fn what_holds_memory_counts_however_it_is_sent() {
        let kept = Kept::new(64 << 10, &SelfMon::new(BuildInfo::default()));
        let large = "x".repeat(20_000);
        // A resource, a name and an attribute that is no label.
        for n in 0..10 {
            kept.take(&group(&format!("{n}{large}"), gauge, &[("1", 10, 5)]));
        }
        let held = kept.store().targets.len();
        assert!(held > 0 && kept.store().bytes <= 64 << 10 && kept.store().bytes > held * 20_000);
        assert_eq!(kept.no_room.get(), 10 - held as u64);
        // A series that is there and grows.
        let kept = Kept::new(64 << 10, &SelfMon::new(BuildInfo::default()));
        let histogram = |buckets: usize, time| {
            let point = HistogramPoint {
                attrs: Attrs::default(),
                start: 0,
                time,
                count: 1,
                sum: 1.0,
                min: None,
                max: None,
                bounds: vec![1.0; buckets].into(),
                counts: vec![1; buckets + 1],
                exemplars: Vec::new(),
            };
            let data = MetricData::Histogram { temporality: Temporality::Cumulative, points: vec![point] };
            let metric = Metric { name: "m".into(), description: "".into(), unit: "".into(), data };
            let records = Records::Metrics(vec![metric]);
            ResourceGroup { records, ..group("a", gauge, &[]) }
        };
        kept.take(&histogram(10, 1));
        let before = kept.store().bytes;
        kept.take(&histogram(10_000, 2));
        assert_eq!((kept.store().bytes, kept.no_room.get()), (before, 1));
        kept.take(&histogram(10, 3));
        assert_eq!((kept.store().bytes, kept.no_room.get()), (before, 1));
    }
}
