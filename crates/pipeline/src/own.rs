use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use telegen_model::{Attrs, Metric, MetricData, NumberValue, Records, ResourceGroup, Str, Temporality};

/// Turns Telegen's own counters, which count since the start, into differences for peers that ask for those.
///
/// Series are those of the program's own registry: their number is bounded there.
#[derive(Default)]
pub(crate) struct Differences {
    last: HashMap<(Str, u64), NumberValue>,
    since: u64,
    hash: RandomState,
}

impl Differences {
    /// The group with its monotonic sums as differences since the last call.
    pub(crate) fn of(&mut self, mut group: ResourceGroup, now: u64) -> ResourceGroup {
        if let Records::Metrics(metrics) = &mut group.records {
            metrics.iter_mut().for_each(|m| self.metric(m));
        }
        self.since = now;
        group
    }

    fn metric(&mut self, metric: &mut Metric) {
        let MetricData::Sum { temporality, monotonic: true, points } = &mut metric.data else { return };
        *temporality = Temporality::Delta;
        for p in points {
            let key = (metric.name.clone(), self.series(&p.attrs));
            let before = self.last.insert(key, p.value);
            p.value = match (p.value, before) {
                (NumberValue::Int(now), Some(NumberValue::Int(then))) => {
                    NumberValue::Int(now.saturating_sub(then).max(0))
                }
                (NumberValue::Double(now), Some(NumberValue::Double(then))) => {
                    NumberValue::Double((now - then).max(0.0))
                }
                (now, _) => now,
            };
            // A series that is new began with the program, or with the interval that it was first seen in.
            p.start = p.start.max(self.since);
        }
    }

    /// Which series of its metric: own attributes are texts.
    fn series(&self, attrs: &Attrs) -> u64 {
        let texts = attrs.iter().map(|kv| (kv.key.as_str(), kv.value.as_str().unwrap_or_default()));
        self.hash.hash_one(texts.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telegen_model::{KeyValue, NumberPoint, Resource, Scope, Value};

    fn group(values: &[(&str, i64)]) -> ResourceGroup {
        let point = |(series, value): &(&str, i64)| NumberPoint {
            attrs: [KeyValue::new("reason", Value::from(*series))].into(),
            start: 5,
            time: 9,
            value: NumberValue::Int(*value),
            exemplars: Vec::new(),
        };
        let data = MetricData::Sum {
            temporality: Temporality::Cumulative,
            monotonic: true,
            points: values.iter().map(point).collect(),
        };
        let metric = Metric { name: "telegen.lost".into(), description: "".into(), unit: "".into(), data };
        ResourceGroup {
            resource: Resource::default().into(),
            scope: Scope { name: "telegen/self".into(), version: "1".into() },
            records: Records::Metrics(vec![metric]),
        }
    }

    fn read(group: ResourceGroup) -> Vec<(u64, NumberValue)> {
        let Records::Metrics(metrics) = group.records else { unreachable!() };
        let MetricData::Sum { temporality: Temporality::Delta, points, .. } = &metrics[0].data else {
            unreachable!()
        };
        points.iter().map(|p| (p.start, p.value)).collect()
    }

    #[test]
    fn each_reading_has_what_came_since_the_last() {
        let mut d = Differences::default();
        assert_eq!(read(d.of(group(&[("a", 10)]), 20)), [(5, NumberValue::Int(10))]);
        assert_eq!(
            read(d.of(group(&[("a", 13), ("b", 4)]), 30)),
            [(20, NumberValue::Int(3)), (20, NumberValue::Int(4))]
        );
        assert_eq!(
            read(d.of(group(&[("a", 13), ("b", 4)]), 40)),
            [(30, NumberValue::Int(0)), (30, NumberValue::Int(0))]
        );
    }
}
