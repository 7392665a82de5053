//! Who calls whom: counts and durations of requests between two services, under the names that Tempo gives them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use telegen_model::{
    Attrs, KeyValue, Metric, MetricData, NumberPoint, NumberValue, Records, Resource, ResourceGroup, Scope,
    Str, Temporality,
};
use telegen_pipeline::{MetricSource, Reader};

use crate::hist::{DURATION_BOUNDS, Exemplars, Explicit};
use crate::tree::Edge;

/// Edges at most; what is beyond is counted under [`OTHER`].
const EDGES_MAX: usize = 5000;
/// Peers at most that are told apart by their address, a service and direction.
const PEERS_MAX: usize = 100;
/// Stands for all peers beyond.
const OTHER: &str = "_OTHER";
/// Edges without a request for this long end, ns.
const IDLE_NS: u64 = 600_000_000_000;

struct Stats {
    attrs: Attrs,
    start: u64,
    used: u64,
    /// Since the start, and since the last export of differences.
    total: Counts,
    delta: Option<Counts>,
}

impl Stats {
    fn add(&mut self, edge: &Edge) {
        self.total.add(edge);
        if let Some(delta) = &mut self.delta {
            delta.add(edge);
        }
    }
}

#[derive(Clone)]
struct Counts {
    requests: u64,
    failed: u64,
    client: Explicit,
    server: Explicit,
}

impl Counts {
    fn new(bounds: &Arc<[f64]>) -> Counts {
        Counts {
            requests: 0,
            failed: 0,
            client: Explicit::new(bounds.clone()),
            server: Explicit::new(bounds.clone()),
        }
    }

    fn add(&mut self, edge: &Edge) {
        self.requests += 1;
        self.failed += u64::from(edge.failed());
        if let Some(client) = &edge.client {
            self.client.record(client.seconds());
        }
        if let Some(server) = &edge.server {
            self.server.record(server.seconds());
        }
    }
}

type Key = (Str, Str, bool);

struct State {
    edges: HashMap<Key, Stats, RandomState>,
    /// Addresses that stand for an end that was not seen, by service and whether they are its clients.
    peers: HashMap<(Str, bool), HashSet<Str, RandomState>, RandomState>,
    bounds: Arc<[f64]>,
    exported: u64,
    overflowed: u64,
}

/// Shared between the thread that counts and the readers.
#[derive(Clone)]
pub struct Graph {
    state: Arc<Mutex<State>>,
    resource: Arc<Resource>,
    scope: Scope,
}

impl Graph {
    /// No edge yet. `resource` is whose metrics these are: edges belong to no single service. `now`: ns since 1970.
    pub fn new(resource: Arc<Resource>, scope: Scope, now: u64) -> Graph {
        let state = State {
            edges: HashMap::default(),
            peers: HashMap::default(),
            bounds: DURATION_BOUNDS.into(),
            exported: now,
            overflowed: 0,
        };
        Graph { state: Arc::new(Mutex::new(state)), resource, scope }
    }

    /// Requests that were counted under no edge of their own.
    pub fn overflowed(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).overflowed
    }

    pub(crate) fn record(&self, edges: impl Iterator<Item = Edge>, now: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut edges = edges.peekable();
        while let Some(edge) = edges.next() {
            let stats = state.stats(&edge, now);
            stats.add(&edge);
            // Most come in runs of the same two services.
            while let Some(more) = edges.next_if(|e| e.is_between_the_same(&edge)) {
                stats.add(&more);
            }
        }
    }
}

impl State {
    /// Where a request between two services is counted; a peer beyond the most that are told apart loses its name.
    fn stats(&mut self, edge: &Edge, now: u64) -> &mut Stats {
        let both = edge.client.is_some() && edge.server.is_some();
        let (client, server) = edge.names();
        let (mut client, mut server) = (client.clone(), server.clone());
        if edge.client.is_none() {
            self.bound(&server, true, &mut client);
        } else if edge.server.is_none() {
            self.bound(&client, false, &mut server);
        }
        let mut key = (client, server, both);
        if self.edges.len() >= EDGES_MAX && !self.edges.contains_key(&key) {
            self.overflowed += 1;
            key = (Str::const_new(OTHER), Str::const_new(OTHER), false);
        }
        let bounds = &self.bounds;
        let stats = self.edges.entry(key).or_insert_with_key(|(client, server, both)| Stats {
            attrs: [
                KeyValue::new("client", client.clone()),
                KeyValue::new("server", server.clone()),
                KeyValue::new("connection_type", if *both { "" } else { "virtual_node" }),
            ]
            .into(),
            start: now,
            used: now,
            total: Counts::new(bounds),
            delta: None,
        });
        stats.used = now;
        stats
    }

    /// Replaces the name of a peer beyond the most that are told apart.
    fn bound(&mut self, service: &Str, client: bool, peer: &mut Str) {
        if peer.is_empty() {
            *peer = Str::const_new("unknown");
        }
        let key = (service.clone(), client);
        if self.peers.len() >= EDGES_MAX && !self.peers.contains_key(&key) {
            *peer = Str::const_new(OTHER);
            return;
        }
        let known = self.peers.entry(key).or_default();
        if known.contains(peer) {
            return;
        }
        if known.len() >= PEERS_MAX {
            *peer = Str::const_new(OTHER);
        } else {
            known.insert(peer.clone());
        }
    }
}

impl MetricSource for Graph {
    fn collect(&self, reader: Reader, now: u64) -> Vec<ResourceGroup> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let delta = matches!(reader, Reader::Export { temporality: Temporality::Delta });
        let (from, bounds) = (state.exported, state.bounds.clone());
        let temporality = if delta { Temporality::Delta } else { Temporality::Cumulative };
        let (mut requests, mut failed, mut client, mut server) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for s in state.edges.values_mut() {
            let (counts, start) = match (&s.delta, delta) {
                (Some(d), true) => (d, from.max(s.start)),
                _ => (&s.total, s.start),
            };
            let number = |n: u64| NumberPoint {
                attrs: s.attrs.clone(),
                start,
                time: now,
                value: NumberValue::Int(i64::try_from(n).unwrap_or(i64::MAX)),
                exemplars: Vec::new(),
            };
            if counts.requests > 0 || !delta {
                requests.push(number(counts.requests));
                failed.push(number(counts.failed));
            }
            for (hist, out) in [(&counts.client, &mut client), (&counts.server, &mut server)] {
                if !hist.is_empty() {
                    out.push(hist.point(s.attrs.clone(), start, now, Exemplars::New));
                }
            }
            if delta {
                s.delta = Some(Counts::new(&bounds));
            }
        }
        if matches!(reader, Reader::Export { .. }) {
            state.exported = now;
            let before = state.edges.len();
            state.edges.retain(|_, s| now.saturating_sub(s.used) < IDLE_NS);
            if state.edges.len() < before {
                // Names that no edge has any more make room.
                state.peers.clear();
            }
        }
        let sum = |name, description, points: Vec<NumberPoint>| Metric {
            name: Str::const_new(name),
            description: Str::const_new(description),
            unit: Str::default(),
            data: MetricData::Sum { temporality, monotonic: true, points },
        };
        let histogram = |name, description, points| Metric {
            name: Str::const_new(name),
            description: Str::const_new(description),
            unit: Str::const_new("s"),
            data: MetricData::Histogram { temporality, points },
        };
        let metrics: Vec<Metric> = [
            (!requests.is_empty()).then(|| {
                sum("traces_service_graph_request_total", "Requests between two services.", requests)
            }),
            (!failed.is_empty()).then(|| {
                sum(
                    "traces_service_graph_request_failed_total",
                    "Failed requests between two services.",
                    failed,
                )
            }),
            (!client.is_empty()).then(|| {
                histogram(
                    "traces_service_graph_request_client_seconds",
                    "Duration as the client saw it.",
                    client,
                )
            }),
            (!server.is_empty()).then(|| {
                histogram(
                    "traces_service_graph_request_server_seconds",
                    "Duration as the server saw it.",
                    server,
                )
            }),
        ]
        .into_iter()
        .flatten()
        .collect();
        if metrics.is_empty() {
            return Vec::new();
        }
        vec![ResourceGroup {
            resource: self.resource.clone(),
            scope: self.scope.clone(),
            records: Records::Metrics(metrics),
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Shape, tests::shape};
    use crate::tree::Gone;

    fn edge(client: &str, server: &str, ends: (bool, bool), failed: bool) -> Edge {
        let end = |service: &str, peer: &str, nanos| {
            let shape = Shape { service: service.into(), peer: peer.into(), failed, ..shape() };
            Gone { shape: Arc::new(shape), nanos }
        };
        Edge {
            client: ends.0.then(|| end(client, server, 100_000_000)),
            server: ends.1.then(|| end(server, client, 200_000_000)),
        }
    }

    fn graph() -> Graph {
        Graph::new(Arc::default(), Scope { name: "s".into(), version: "1".into() }, 0)
    }

    /// `metric client>server type value`.
    fn lines(graph: &Graph, reader: Reader) -> Vec<String> {
        let mut out = Vec::new();
        for g in graph.collect(reader, 10) {
            let Records::Metrics(metrics) = g.records else { panic!("metrics") };
            for m in metrics {
                let name = m.name.replace("traces_service_graph_request_", "");
                let mut push = |attrs: &Attrs, n: String| {
                    let of = |i: usize| match &attrs[i].value {
                        telegen_model::Value::Str(s) => s.to_string(),
                        other => format!("{other:?}"),
                    };
                    out.push(format!("{name} {}>{} {} {n}", of(0), of(1), of(2)));
                };
                match m.data {
                    MetricData::Sum { points, .. } => points.iter().for_each(|p| {
                        let NumberValue::Int(n) = p.value else { panic!("integer") };
                        push(&p.attrs, n.to_string());
                    }),
                    MetricData::Histogram { points, .. } => {
                        points.iter().for_each(|p| push(&p.attrs, format!("n={}", p.count)));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        out.sort();
        out
    }

    #[test]
    fn both_ends_are_one_edge_and_an_end_that_was_not_seen_is_virtual() {
        let g = graph();
        g.record([edge("a", "b", (true, true), false), edge("a", "b", (true, true), true)].into_iter(), 1);
        g.record(std::iter::once(edge("192.0.2.1", "a", (false, true), false)), 1);
        let export = Reader::Export { temporality: Temporality::Cumulative };
        let expect = [
            "client_seconds a>b  n=2",
            "failed_total 192.0.2.1>a virtual_node 0",
            "failed_total a>b  1",
            "server_seconds 192.0.2.1>a virtual_node n=1",
            "server_seconds a>b  n=2",
            "total 192.0.2.1>a virtual_node 1",
            "total a>b  2",
        ];
        assert_eq!(lines(&g, export), expect);
        assert_eq!(lines(&g, Reader::Peek), expect);
    }

    #[test]
    fn a_run_of_edges_ends_where_another_end_was_seen() {
        let g = graph();
        let ends = [(true, true), (true, true), (true, false), (false, true), (true, true)];
        let edges = ends.map(|ends| edge("a", "b", ends, false)).into_iter();
        g.record(edges.chain([edge("a", "c", (true, true), true), edge("d", "c", (true, true), false)]), 1);
        let totals: Vec<String> =
            lines(&g, Reader::Peek).into_iter().filter(|l| l.starts_with("total")).collect();
        assert_eq!(totals, ["total a>b  3", "total a>b virtual_node 2", "total a>c  1", "total d>c  1"]);
    }

    #[test]
    fn differences_cover_each_request_once() {
        let g = graph();
        let delta = Reader::Export { temporality: Temporality::Delta };
        g.record(std::iter::once(edge("a", "b", (true, false), false)), 1);
        assert!(lines(&g, delta).contains(&"total a>b virtual_node 1".into()));
        assert_eq!(lines(&g, delta), Vec::<String>::new());
        g.record(std::iter::once(edge("a", "b", (true, false), false)), 1);
        assert!(lines(&g, delta).contains(&"total a>b virtual_node 1".into()));
    }

    #[test]
    fn addresses_are_bounded() {
        let g = graph();
        g.record((0..1000).map(|i| edge(&format!("192.0.2.{i}"), "a", (false, true), false)), 1);
        let totals: Vec<String> =
            lines(&g, Reader::Peek).into_iter().filter(|l| l.starts_with("total")).collect();
        assert_eq!(totals.len(), PEERS_MAX + 1);
        assert!(totals.contains(&format!("total _OTHER>a virtual_node {}", 1000 - PEERS_MAX)));
    }
}
