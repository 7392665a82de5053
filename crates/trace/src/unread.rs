//! Traffic that is recognised but not read, counted per service instance, protocol and reason.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use telegen_model::{
    KeyValue, Metric, MetricData, NumberPoint, NumberValue, Records, Resource, ResourceGroup, Scope, Str,
    Temporality,
};
use telegen_pipeline::{MetricSource, Reader};

/// Series at most; more is counted under none and told by `refused`.
const SERIES_MAX: usize = 20_000;

struct Series {
    resource: Arc<Resource>,
    protocol: &'static str,
    reason: &'static str,
    start: u64,
    bytes: u64,
    exported: u64,
    since: u64,
}

/// By the resource's address, protocol and reason.
type Table = HashMap<(usize, &'static str, &'static str), Series, RandomState>;

/// Shared between the thread that counts and the readers.
#[derive(Clone)]
pub struct Unread {
    state: Arc<Mutex<Table>>,
    scope: Scope,
}

impl Unread {
    /// Nothing counted yet.
    pub fn new(scope: Scope) -> Unread {
        Unread { state: Arc::default(), scope }
    }

    pub(crate) fn add(
        &self,
        resource: &Arc<Resource>,
        protocol: &'static str,
        reason: &'static str,
        bytes: u64,
        now: u64,
    ) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::as_ptr(resource) as usize, protocol, reason);
        if !state.contains_key(&key) && state.len() >= SERIES_MAX {
            return;
        }
        let series = state.entry(key).or_insert_with(|| Series {
            resource: resource.clone(),
            protocol,
            reason,
            start: now,
            bytes: 0,
            exported: 0,
            since: now,
        });
        series.bytes += bytes;
    }
}

impl MetricSource for Unread {
    fn collect(&self, reader: Reader, now_unix_ns: u64) -> Vec<ResourceGroup> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut groups: HashMap<usize, ResourceGroup> = HashMap::new();
        for ((id, _, _), s) in state.iter_mut() {
            let delta = matches!(reader, Reader::Export { temporality: Temporality::Delta });
            let (value, start) = if delta { (s.bytes - s.exported, s.since) } else { (s.bytes, s.start) };
            if reader != Reader::Peek {
                s.exported = s.bytes;
                s.since = now_unix_ns;
            }
            let point = NumberPoint {
                attrs: [
                    KeyValue::new("telegen.protocol", s.protocol),
                    KeyValue::new("telegen.reason", s.reason),
                ]
                .into(),
                start,
                time: now_unix_ns,
                value: NumberValue::Int(i64::try_from(value).unwrap_or(i64::MAX)),
                exemplars: Vec::new(),
            };
            let group = groups.entry(*id).or_insert_with(|| ResourceGroup {
                resource: s.resource.clone(),
                scope: self.scope.clone(),
                records: Records::Metrics(vec![Metric {
                    name: Str::const_new("telegen.traffic.unread"),
                    description: Str::const_new("Bytes of connections that are seen but not read."),
                    unit: Str::const_new("By"),
                    data: MetricData::Sum {
                        temporality: if delta { Temporality::Delta } else { Temporality::Cumulative },
                        monotonic: true,
                        points: Vec::new(),
                    },
                }]),
            });
            if let Records::Metrics(metrics) = &mut group.records
                && let Some(MetricData::Sum { points, .. }) = metrics.first_mut().map(|m| &mut m.data)
            {
                points.push(point);
            }
        }
        groups.into_values().collect()
    }
}
