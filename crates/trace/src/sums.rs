//! Sums per service instance and a key from a bounded set, and how they leave.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::RandomState;
use telegen_model::{
    KeyValue, Metric, MetricData, NumberPoint, NumberValue, Records, Resource, ResourceGroup, Scope, Str,
    Temporality,
};
use telegen_pipeline::Reader;

/// Series at most.
const SERIES_MAX: usize = 20_000;

struct Series {
    resource: Arc<Resource>,
    start: u64,
    total: u64,
    exported: u64,
    since: u64,
}

/// The sums of one metric.
pub(crate) struct Sums<K> {
    series: HashMap<(usize, K), Series, RandomState>,
    refused: u64,
}

/// What the metric is called.
pub(crate) struct Name {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) description: &'static str,
}

impl<K: Hash + Eq> Sums<K> {
    pub(crate) fn new() -> Sums<K> {
        Sums { series: HashMap::default(), refused: 0 }
    }

    /// What was counted under no series, for want of room.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn contains(&self, resource: &Arc<Resource>, key: K) -> bool {
        self.series.contains_key(&(Arc::as_ptr(resource) as usize, key))
    }

    /// Adds at wall time `now`, ns.
    pub(crate) fn add(&mut self, resource: &Arc<Resource>, key: K, n: u64, now: u64) {
        // Instances share one resource: its address is its identity while a series holds it.
        let key = (Arc::as_ptr(resource) as usize, key);
        if self.series.len() >= SERIES_MAX && !self.series.contains_key(&key) {
            self.refused += n;
            return;
        }
        let series = self.series.entry(key).or_insert_with(|| Series {
            resource: resource.clone(),
            start: now,
            total: 0,
            exported: 0,
            since: now,
        });
        series.total += n;
    }

    pub(crate) fn collect(
        &mut self,
        name: &Name,
        scope: &Scope,
        reader: (Reader, u64),
        attrs: impl Fn(&K) -> Vec<KeyValue>,
    ) -> Vec<ResourceGroup> {
        let (reader, now) = reader;
        let delta = matches!(reader, Reader::Export { temporality: Temporality::Delta });
        let mut groups: HashMap<usize, (Arc<Resource>, Vec<NumberPoint>)> = HashMap::new();
        for ((id, key), s) in &mut self.series {
            let (value, start) = if delta { (s.total - s.exported, s.since) } else { (s.total, s.start) };
            if reader != Reader::Peek {
                s.exported = s.total;
                s.since = now;
            }
            let point = NumberPoint {
                attrs: attrs(key).into(),
                start,
                time: now,
                value: NumberValue::Int(i64::try_from(value).unwrap_or(i64::MAX)),
                exemplars: Vec::new(),
            };
            groups.entry(*id).or_insert_with(|| (s.resource.clone(), Vec::new())).1.push(point);
        }
        let temporality = if delta { Temporality::Delta } else { Temporality::Cumulative };
        groups
            .into_values()
            .map(|(resource, points)| ResourceGroup {
                resource,
                scope: scope.clone(),
                records: Records::Metrics(vec![Metric {
                    name: Str::const_new(name.name),
                    description: Str::const_new(name.description),
                    unit: Str::const_new(name.unit),
                    data: MetricData::Sum { temporality, monotonic: true, points },
                }]),
            })
            .collect()
    }
}
