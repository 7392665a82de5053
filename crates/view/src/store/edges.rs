//! Who calls whom. Edges come from the metrics of the service graph (Tempo's names); where there are none, from the calls
//! of each service by address, which kept traces resolve to the services behind them.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::services::{History, ROW_BYTES, RowKey, Services, Step};
use super::window::{HELD_S, Stretch};

/// Memory that one edge takes, about.
const EDGE_BYTES: usize = ROW_BYTES + 160;
/// Memory that one resolved address takes, about.
const PEER_BYTES: usize = 160;

/// One end of an edge, by name: a service when one of that name is in memory, else somebody outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct End {
    pub(crate) name: String,
    pub(crate) namespace: String,
}

/// Which side an edge was measured at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// Requests from one service to another.
#[derive(Clone, Debug)]
struct Edge {
    history: History,
    /// The side whose numbers are held: the client's where it is seen, for that is what a caller waits.
    side: Side,
    client: bool,
    server: bool,
    active: u64,
}

/// What an edge did in a stretch of time.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) client: End,
    pub(crate) server: End,
    /// `None` when the edge is known from traces alone: how many requests went along it is not known.
    pub(crate) step: Option<Step>,
    /// Whether the client's, the server's end was seen.
    pub(crate) ends: (bool, bool),
    /// Seconds since something went along it.
    pub(crate) idle: u64,
    /// Address of the server, where the edge is one of several addresses that are not resolved.
    pub(crate) port: u16,
}

/// All edges.
#[derive(Debug)]
pub(crate) struct Edges {
    edges: HashMap<(End, End), Edge, RandomState>,
    /// The service behind an address that a service calls.
    peers: HashMap<(u32, String, u16), u32, RandomState>,
    /// Callers of a service as kept traces show them, where the caller's call has no address.
    seen: HashMap<(u32, u32), u64, RandomState>,
    limit: usize,
    peer_limit: usize,
    /// Edges and addresses that found no room.
    pub(crate) refused: u64,
}

impl Edges {
    /// Edges within an eighth of a budget.
    pub(crate) fn new(memory: usize) -> Edges {
        Edges {
            edges: HashMap::default(),
            peers: HashMap::default(),
            seen: HashMap::default(),
            limit: (memory / 9 / EDGE_BYTES).max(32),
            peer_limit: (memory / 72 / PEER_BYTES).max(32),
            refused: 0,
        }
    }

    /// Bytes in use, estimated.
    pub(crate) fn used(&self) -> usize {
        self.edges.len() * EDGE_BYTES + (self.peers.len() + self.seen.len()) * PEER_BYTES
    }

    /// Counts requests along an edge, as one of its sides measured them.
    pub(crate) fn add(&mut self, client: End, server: End, side: Side, step: &Step, now_s: u64) {
        let key = (client, server);
        if !self.edges.contains_key(&key) && self.edges.len() >= self.limit {
            self.refused += 1;
            return;
        }
        let new = || Edge { history: History::new(now_s), side, client: false, server: false, active: now_s };
        let edge = self.edges.entry(key).or_insert_with(new);
        match side {
            Side::Client => edge.client = true,
            Side::Server => edge.server = true,
        }
        edge.active = now_s;
        if edge.side == Side::Server && side == Side::Client {
            edge.side = side;
            edge.history = History::new(now_s);
        }
        // Both sides tell of the same requests: one of them is counted.
        if edge.side == side {
            edge.history.add(step, now_s);
        }
    }

    /// Counts failures along an edge; they belong to requests that were counted with their durations.
    pub(crate) fn fail(&mut self, client: End, server: End, errors: u32, now_s: u64) {
        if let Some(edge) = self.edges.get_mut(&(client, server)) {
            edge.history.add(&Step { errors, ..Step::default() }, now_s);
        }
    }

    /// Notes what a trace shows: a call of `client` was served by `server`.
    pub(crate) fn resolve(&mut self, client: u32, peer: Option<(&str, u16)>, server: u32, now_s: u64) {
        let full = self.peers.len() + self.seen.len() >= self.peer_limit;
        match peer {
            Some((address, port)) => {
                let key = (client, address.to_owned(), port);
                if full && !self.peers.contains_key(&key) {
                    self.refused += 1;
                    return;
                }
                self.peers.insert(key, server);
            }
            None => {
                if full && !self.seen.contains_key(&(client, server)) {
                    self.refused += 1;
                    return;
                }
                self.seen.insert((client, server), now_s);
            }
        }
    }

    /// Forgets what did nothing for an hour, and addresses of services that are gone.
    pub(crate) fn settle(&mut self, services: &Services, now_s: u64) {
        self.edges.retain(|_, e| now_s.saturating_sub(e.active) <= HELD_S);
        let there = |id: &u32| services.get(*id).is_some();
        self.peers.retain(|(client, _, _), server| there(client) && there(server));
        self.seen.retain(|(client, server), at| {
            there(client) && there(server) && now_s.saturating_sub(*at) <= HELD_S
        });
    }

    /// The service behind an address that a service calls, where a trace has shown it.
    pub(crate) fn behind(&self, client: u32, address: &str, port: u16) -> Option<u32> {
        self.peers.get(&(client, address.to_owned(), port)).copied()
    }

    /// Every edge that did something in a stretch of time, and idle ones of the last hour.
    pub(crate) fn flows(&self, services: &Services, stretch: Stretch, now_s: u64) -> Vec<Flow> {
        let mut flows: Vec<Flow> = if self.edges.is_empty() {
            self.derived(services, stretch, now_s)
        } else {
            let flow = |((client, server), edge): (&(End, End), &Edge)| Flow {
                client: client.clone(),
                server: server.clone(),
                step: Some(edge.history.sum(stretch)),
                ends: (edge.client, edge.server),
                idle: now_s.saturating_sub(edge.active),
                port: 0,
            };
            self.edges.iter().map(flow).collect()
        };
        flows.sort_by(|a, b| (&a.client, &a.server, a.port).cmp(&(&b.client, &b.server, b.port)));
        flows
    }

    fn derived(&self, services: &Services, stretch: Stretch, now_s: u64) -> Vec<Flow> {
        let mut flows: HashMap<(End, End, u16), Flow, RandomState> = HashMap::default();
        let end = |id: u32| {
            let service = services.get(id)?;
            Some(End { name: service.name.clone(), namespace: service.namespace.clone() })
        };
        for (id, service) in services.iter() {
            let client = End { name: service.name.clone(), namespace: service.namespace.clone() };
            for (key, history) in &service.rows {
                let RowKey::Peer(address, port) = key else { continue };
                let behind = self.behind(id, address, *port).and_then(end);
                let known = behind.is_some();
                let server =
                    behind.unwrap_or_else(|| End { name: address.clone(), namespace: String::new() });
                let port = if known { 0 } else { *port };
                let step = history.sum(stretch);
                let key = (client.clone(), server.clone(), port);
                let flow = flows.entry(key).or_insert_with(|| Flow {
                    client: client.clone(),
                    server,
                    step: Some(Step::default()),
                    ends: (true, known),
                    idle: now_s.saturating_sub(service.active),
                    port,
                });
                if let Some(all) = &mut flow.step {
                    all.add(&step);
                }
            }
        }
        for ((client, server), at) in &self.seen {
            let (Some(client), Some(server)) = (end(*client), end(*server)) else { continue };
            let idle = now_s.saturating_sub(*at);
            flows.entry((client.clone(), server.clone(), 0)).or_insert(Flow {
                client,
                server,
                step: None,
                ends: (true, true),
                idle,
                port: 0,
            });
        }
        flows.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_732_000_200;

    fn end(name: &str) -> End {
        End { name: name.to_owned(), namespace: String::new() }
    }

    fn step(n: u32) -> Step {
        let mut step = Step::default();
        step.durations[1] = n;
        step
    }

    #[test]
    fn both_sides_of_an_edge_are_one_and_the_clients_numbers_win() {
        let mut edges = Edges::new(16 << 20);
        let services = Services::new(1 << 20);
        edges.add(end("a"), end("b"), Side::Server, &step(9), T);
        edges.add(end("a"), end("b"), Side::Client, &step(5), T);
        edges.add(end("a"), end("b"), Side::Server, &step(9), T);
        edges.fail(end("a"), end("b"), 2, T);
        // An edge that no duration was seen of has no failures either.
        edges.fail(end("a"), end("c"), 2, T);
        let flows = edges.flows(&services, Stretch::last(900, T), T);
        assert_eq!(flows.len(), 1);
        let step = flows[0].step.as_ref().unwrap();
        assert_eq!((step.count(), step.errors, flows[0].ends), (5, 2, (true, true)));
        edges.settle(&services, T + 3_601);
        assert!(edges.edges.is_empty());
    }

    #[test]
    fn edges_and_addresses_are_bounded() {
        let mut edges = Edges::new(1 << 20);
        for i in 0..10_000 {
            edges.add(end(&format!("a{i}")), end("b"), Side::Client, &step(1), T);
            edges.resolve(0, Some((&format!("10.0.0.{i}"), 80)), 1, T);
            edges.resolve(i, None, 1, T);
        }
        assert!(edges.used() <= (1 << 20) / 7, "{}", edges.used());
        assert_eq!(edges.refused, 30_000 - (edges.limit + edges.peer_limit) as u64);
    }

    #[test]
    fn without_a_service_graph_calls_are_edges_and_traces_tell_who_is_behind_an_address() {
        let mut services = Services::new(16 << 20);
        let resource = |name: &str| {
            telegen_model::Resource::new(vec![telegen_model::KeyValue::new("service.name", name)])
        };
        let (a, b, c) = (
            services.of(&resource("a"), T).unwrap(),
            services.of(&resource("b"), T).unwrap(),
            services.of(&resource("c"), T).unwrap(),
        );
        services.add(a, false, RowKey::Peer("10.0.0.1".into(), 80), &step(7), T);
        services.add(a, false, RowKey::Peer("::1".into(), 80), &step(3), T);
        services.add(a, false, RowKey::Peer("example.org".into(), 443), &step(2), T);
        let mut edges = Edges::new(16 << 20);
        edges.resolve(a, Some(("10.0.0.1", 80)), b, T);
        edges.resolve(a, Some(("::1", 80)), b, T);
        edges.resolve(b, None, c, T);
        let flows = edges.flows(&services, Stretch::last(900, T), T);
        let told: Vec<_> = flows
            .iter()
            .map(|f| {
                (f.client.name.as_str(), f.server.name.as_str(), f.step.as_ref().map(Step::count), f.ends)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("a", "b", Some(10), (true, true)),
                ("a", "example.org", Some(2), (true, false)),
                ("b", "c", None, (true, true)),
            ]
        );
    }
}
