//! Traffic that is recognised but not read, counted per service instance, protocol and reason.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use telegen_model::{
    KeyValue, Metric, MetricData, NumberPoint, NumberValue, Records, Resource, ResourceGroup, Scope, Str,
    Temporality, semconv::TLS_CLIENT_SERVER_NAME,
};
use telegen_pipeline::{MetricSource, Reader};

/// Series at most; what is counted under none is told by `refused`.
const SERIES_MAX: usize = 20_000;

/// Server names at most that are told apart of one service; the others are one.
const NAMES_MAX: usize = 50;
/// Stands for all server names beyond.
const OTHER_NAMES: &str = "_OTHER";

/// What a connection that is not read speaks, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Traffic {
    pub(crate) protocol: &'static str,
    pub(crate) reason: &'static str,
    /// Of TLS: the server name that the client asked for, or empty.
    pub(crate) server_name: Str,
}

impl Traffic {
    pub(crate) fn new(protocol: &'static str, reason: &'static str) -> Traffic {
        Traffic { protocol, reason, server_name: Str::default() }
    }

    pub(crate) fn datagrams() -> Traffic {
        Traffic::new("udp", "not_read_yet")
    }
}

struct Series {
    resource: Arc<Resource>,
    start: u64,
    bytes: u64,
    exported: u64,
    since: u64,
}

#[derive(Default)]
struct State {
    /// By the resource's address.
    series: HashMap<(usize, Traffic), Series, RandomState>,
    /// How many server names each resource has.
    names: HashMap<usize, usize, RandomState>,
    /// Bytes of series that found no room.
    refused: u64,
}

/// Shared between the thread that counts and the readers.
#[derive(Clone)]
pub struct Unread {
    state: Arc<Mutex<State>>,
    scope: Scope,
}

impl Unread {
    /// Nothing counted yet.
    pub fn new(scope: Scope) -> Unread {
        Unread { state: Arc::default(), scope }
    }

    /// Bytes that were counted under no series, for want of room.
    pub fn refused(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).refused
    }

    pub(crate) fn add(&self, resource: &Arc<Resource>, mut traffic: Traffic, bytes: u64, now: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let id = Arc::as_ptr(resource) as usize;
        if !traffic.server_name.is_empty() && !state.series.contains_key(&(id, traffic.clone())) {
            let names = state.names.entry(id).or_default();
            if *names < NAMES_MAX {
                *names += 1;
            } else {
                traffic.server_name = Str::const_new(OTHER_NAMES);
            }
        }
        let key = (id, traffic);
        if !state.series.contains_key(&key) && state.series.len() >= SERIES_MAX {
            state.refused += bytes;
            return;
        }
        let series = state.series.entry(key).or_insert_with(|| Series {
            resource: resource.clone(),
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
        for ((id, traffic), s) in &mut state.series {
            let delta = matches!(reader, Reader::Export { temporality: Temporality::Delta });
            let (value, start) = if delta { (s.bytes - s.exported, s.since) } else { (s.bytes, s.start) };
            if reader != Reader::Peek {
                s.exported = s.bytes;
                s.since = now_unix_ns;
            }
            let mut attrs = vec![
                KeyValue::new("telegen.protocol", traffic.protocol),
                KeyValue::new("telegen.reason", traffic.reason),
            ];
            if !traffic.server_name.is_empty() {
                attrs.push(KeyValue::new(TLS_CLIENT_SERVER_NAME, traffic.server_name.clone()));
            }
            let point = NumberPoint {
                attrs: attrs.into(),
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
