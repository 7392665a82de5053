use std::collections::{BTreeMap, HashMap, HashSet};

use telegen_model::{
    Exemplar, HistogramPoint, Metric, MetricData, NumberValue, Records, ResourceGroup, Temporality,
};
use telegen_selfmon::SELF_SCOPE;

use super::exponential::classic;
use super::labels;
use super::names::{self, Kind};
use super::text::{Format, Samples};

/// All samples of one name stand together, under one type and help.
pub(super) struct Family {
    pub(super) kind: Kind,
    pub(super) help: String,
    pub(super) unit: String,
    pub(super) samples: Samples,
    /// Labels of the series that it has: a series comes once in an exposition.
    seen: HashSet<String>,
}

/// What a scrape shows.
pub(super) struct Families {
    pub(super) by_name: BTreeMap<String, Family>,
    /// Labels of `target_info`, by identity: two descriptions of one target would break every join with it.
    pub(super) targets: BTreeMap<String, String>,
    /// Series that could not be shown: their name or labels were taken.
    pub(super) left_out: usize,
    /// Names of samples, and the family they belong to.
    claimed: HashMap<String, String>,
    format: Format,
}

impl Families {
    pub(super) fn new(format: Format) -> Families {
        Families {
            by_name: BTreeMap::new(),
            targets: BTreeMap::new(),
            left_out: 0,
            claimed: HashMap::new(),
            format,
        }
    }

    pub(super) fn add_group(&mut self, group: &ResourceGroup) {
        let Records::Metrics(metrics) = &group.records else { return };
        let identity = if group.scope.name == SELF_SCOPE {
            String::new()
        } else {
            let identity = labels::identity(&group.resource);
            self.targets
                .entry(identity.clone())
                .or_insert_with(|| labels::target(&identity, &group.resource));
            identity
        };
        metrics.iter().for_each(|m| self.add(m, &identity));
    }

    fn add(&mut self, metric: &Metric, identity: &str) {
        let kind = match &metric.data {
            MetricData::Gauge(_)
            | MetricData::Sum { monotonic: false, temporality: Temporality::Cumulative, .. } => Kind::Gauge,
            MetricData::Sum { temporality: Temporality::Cumulative, .. } => Kind::Counter,
            MetricData::Histogram { temporality: Temporality::Cumulative, .. }
            | MetricData::ExponentialHistogram { temporality: Temporality::Cumulative, .. } => {
                Kind::Histogram
            }
            // An exposition is cumulative.
            _ => {
                self.left_out += points(metric);
                return;
            }
        };
        let (name, unit) = names::family(&metric.name, &metric.unit, kind);
        if !self.claim(&name, kind) {
            self.left_out += points(metric);
            return;
        }
        let family = self.by_name.entry(name.clone()).or_insert_with(|| Family {
            kind,
            help: metric.description.to_string(),
            unit,
            samples: Samples::new(self.format),
            seen: HashSet::new(),
        });
        self.left_out += family.add(&name, metric, identity);
    }

    /// Takes the names of a family's samples; `false` when another family or type has one of them.
    fn claim(&mut self, name: &str, kind: Kind) -> bool {
        if let Some(family) = self.by_name.get(name) {
            return family.kind == kind;
        }
        let suffixes: &[&str] = match kind {
            Kind::Counter => &["", "_total"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["", "_bucket", "_sum", "_count"],
        };
        let samples: Vec<String> = suffixes.iter().map(|s| format!("{name}{s}")).collect();
        if samples.iter().any(|s| self.claimed.contains_key(s)) || ["target", "target_info"].contains(&name) {
            return false;
        }
        self.claimed.extend(samples.into_iter().map(|s| (s, name.to_owned())));
        true
    }
}

impl Family {
    /// Adds the points of a metric; gives the number of those that are there already.
    fn add(&mut self, name: &str, metric: &Metric, identity: &str) -> usize {
        let before = self.seen.len();
        match &metric.data {
            MetricData::Gauge(points) | MetricData::Sum { points, .. } => {
                let sample =
                    if self.kind == Kind::Counter { format!("{name}_total") } else { name.to_owned() };
                for p in points {
                    let Some(labels) = self.series(identity, &p.attrs) else { continue };
                    let exemplar = p.exemplars.last().filter(|_| self.kind == Kind::Counter);
                    self.samples.line(&sample, &labels, None, &number(p.value), exemplar);
                }
            }
            MetricData::Histogram { points, .. } => {
                points.iter().for_each(|p| self.histogram(name, identity, p));
            }
            MetricData::ExponentialHistogram { points, .. } => {
                points.iter().for_each(|p| self.histogram(name, identity, &classic(p)));
            }
        }
        points(metric) - (self.seen.len() - before)
    }

    fn histogram(&mut self, name: &str, identity: &str, p: &HistogramPoint) {
        let Some(labels) = self.series(identity, &p.attrs) else { return };
        let bucket = format!("{name}_bucket");
        let (mut count, mut low) = (0, f64::NEG_INFINITY);
        for (bound, n) in p.bounds.iter().copied().chain([f64::INFINITY]).zip(&p.counts) {
            count += n;
            let within = |e: &&Exemplar| (low..=bound).contains(&value(e.value)) && value(e.value) > low;
            let exemplar = p.exemplars.iter().rfind(within);
            self.samples.line(&bucket, &labels, Some(&names::float(bound)), &count.to_string(), exemplar);
            low = bound;
        }
        self.samples.line(&format!("{name}_sum"), &labels, None, &names::float(p.sum), None);
        // The sum of the buckets: a reader refuses a histogram where the two differ.
        self.samples.line(&format!("{name}_count"), &labels, None, &count.to_string(), None);
    }

    /// The labels of a series that is new here.
    fn series(&mut self, identity: &str, attrs: &telegen_model::Attrs) -> Option<String> {
        let labels = labels::series(identity, attrs.iter());
        self.seen.insert(labels.clone()).then_some(labels)
    }
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        MetricData::Gauge(p) | MetricData::Sum { points: p, .. } => p.len(),
        MetricData::Histogram { points: p, .. } => p.len(),
        MetricData::ExponentialHistogram { points: p, .. } => p.len(),
    }
}

fn value(v: NumberValue) -> f64 {
    match v {
        NumberValue::Int(i) => i as f64,
        NumberValue::Double(d) => d,
    }
}

pub(super) fn number(v: NumberValue) -> String {
    match v {
        NumberValue::Int(i) => i.to_string(),
        NumberValue::Double(d) => names::float(d),
    }
}
