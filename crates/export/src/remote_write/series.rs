//! From metrics to series with their samples.

use telegen_model::{
    Attrs, Exemplar, HistogramPoint, Metric, MetricData, NumberValue, Records, ResourceGroup, Temporality,
};

use crate::prometheus::{Kind, classic, family_name, float, identity_pairs, label_pairs, target_pairs};

/// One series with one sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    /// Sorted by name; `__name__` among them.
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
    /// ms since 1970.
    pub(super) time: i64,
    /// When it began to count, ms since 1970; 0: not known.
    pub(super) created: i64,
    pub(super) exemplar: Option<Example>,
    /// Which family of [`Written::families`] it belongs to.
    pub(super) family: usize,
}

/// Labels, value, and time in ms since 1970 of an exemplar.
pub(super) type Example = (Vec<(String, String)>, f64, i64);

/// What is known of a name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: u32,
    pub(super) help: String,
    pub(super) unit: String,
}

/// All of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Written {
    pub(super) series: Vec<Series>,
    pub(super) families: Vec<Family>,
    /// Points that cannot be written: they count differences.
    pub(super) left_out: u64,
}

type Pairs = Vec<(String, String)>;

impl Written {
    pub(super) fn of(groups: &[std::sync::Arc<ResourceGroup>]) -> Written {
        let mut out = Written::default();
        let mut targets: Vec<Pairs> = Vec::new();
        for group in groups {
            let Records::Metrics(metrics) = &group.records else { continue };
            let identity = identity_pairs(&group.resource);
            let last = metrics.iter().map(|m| out.metric(m, &identity)).max().unwrap_or(0);
            let target = target_pairs(&group.resource);
            if last > 0 && !targets.contains(&target) {
                targets.push(target.clone());
                let family = out.family("target_info", 6, "Attributes of the resource.", "");
                out.sample("target_info", &[identity, target].concat(), (1.0, last, 0), family);
            }
        }
        out
    }

    /// Adds a metric; gives the time of its last point, ms.
    fn metric(&mut self, metric: &Metric, identity: &Pairs) -> i64 {
        let (kind, code) = match &metric.data {
            MetricData::Gauge(_)
            | MetricData::Sum { monotonic: false, temporality: Temporality::Cumulative, .. } => {
                (Kind::Gauge, 2)
            }
            MetricData::Sum { temporality: Temporality::Cumulative, .. } => (Kind::Counter, 1),
            MetricData::Histogram { temporality: Temporality::Cumulative, .. }
            | MetricData::ExponentialHistogram { temporality: Temporality::Cumulative, .. } => {
                (Kind::Histogram, 3)
            }
            MetricData::Sum { points, .. } => return self.leave_out(points.len()),
            MetricData::Histogram { points, .. } => return self.leave_out(points.len()),
            MetricData::ExponentialHistogram { points, .. } => return self.leave_out(points.len()),
        };
        let (name, unit) = family_name(&metric.name, &metric.unit, kind);
        let name = if kind == Kind::Counter { format!("{name}_total") } else { name };
        let family = self.family(&name, code, &metric.description, &unit);
        let mut last = 0;
        match &metric.data {
            MetricData::Gauge(points) | MetricData::Sum { points, .. } => {
                for p in points {
                    last = last.max(ms(p.time));
                    let created = if kind == Kind::Counter { ms(p.start) } else { 0 };
                    self.sample(
                        &name,
                        &labels(identity, &p.attrs),
                        (number(p.value), ms(p.time), created),
                        family,
                    );
                    if let (Some(series), Some(e)) = (self.series.last_mut(), p.exemplars.last()) {
                        series.exemplar = Some(exemplar(e));
                    }
                }
            }
            MetricData::Histogram { points, .. } => {
                for p in points {
                    last = last.max(ms(p.time));
                    self.histogram(&name, identity, p, family);
                }
            }
            MetricData::ExponentialHistogram { points, .. } => {
                for p in points {
                    last = last.max(ms(p.time));
                    self.histogram(&name, identity, &classic(p), family);
                }
            }
        }
        last
    }

    fn leave_out(&mut self, points: usize) -> i64 {
        self.left_out += points as u64;
        0
    }

    fn histogram(&mut self, name: &str, identity: &Pairs, p: &HistogramPoint, family: usize) {
        let labels = labels(identity, &p.attrs);
        let (time, created) = (ms(p.time), ms(p.start));
        let (mut count, mut low) = (0u64, f64::NEG_INFINITY);
        // OTLP allows a histogram without buckets: all it says is in the last one.
        let all = [p.count];
        let counts: &[u64] = if p.counts.is_empty() { &all } else { &p.counts };
        let bounds: &[f64] = if p.counts.is_empty() { &[] } else { &p.bounds };
        for (bound, n) in bounds.iter().copied().chain([f64::INFINITY]).zip(counts) {
            count += n;
            let mut with = labels.clone();
            with.push(("le".to_owned(), float(bound)));
            self.sample(&format!("{name}_bucket"), &with, (count as f64, time, created), family);
            let within = |e: &&Exemplar| number(e.value) > low && number(e.value) <= bound;
            if let (Some(series), Some(e)) = (self.series.last_mut(), p.exemplars.iter().rfind(within)) {
                series.exemplar = Some(exemplar(e));
            }
            low = bound;
        }
        if !p.sum.is_nan() {
            self.sample(&format!("{name}_sum"), &labels, (p.sum, time, created), family);
        }
        self.sample(&format!("{name}_count"), &labels, (count as f64, time, created), family);
    }

    fn family(&mut self, name: &str, kind: u32, help: &str, unit: &str) -> usize {
        if let Some(at) = self.families.iter().position(|f| f.name == name) {
            return at;
        }
        let family = Family { name: name.to_owned(), kind, help: help.to_owned(), unit: unit.to_owned() };
        self.families.push(family);
        self.families.len() - 1
    }

    fn sample(
        &mut self,
        name: &str,
        labels: &[(String, String)],
        (value, time, created): (f64, i64, i64),
        family: usize,
    ) {
        let mut labels = labels.to_vec();
        // An empty label is no label.
        labels.retain(|(_, value)| !value.is_empty());
        labels.push(("__name__".to_owned(), name.to_owned()));
        labels.sort();
        self.series.push(Series { labels, value, time, created, exemplar: None, family });
    }
}

fn labels(identity: &Pairs, attrs: &Attrs) -> Pairs {
    [identity.clone(), label_pairs(attrs.iter())].concat()
}

fn exemplar(e: &Exemplar) -> Example {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut labels = Vec::new();
    if e.span_id.is_valid() {
        labels.push(("span_id".to_owned(), hex(&e.span_id.0)));
    }
    if e.trace_id.is_valid() {
        labels.push(("trace_id".to_owned(), hex(&e.trace_id.0)));
    }
    (labels, number(e.value), ms(e.time))
}

fn number(v: NumberValue) -> f64 {
    match v {
        NumberValue::Int(i) => i as f64,
        NumberValue::Double(d) => d,
    }
}

fn ms(ns: u64) -> i64 {
    i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX)
}
