//! `#/map`: who calls whom. The table has every edge; the drawing gets what it can show.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Ask, Wrong, rounded};
use super::filter::{Filter, Row};
use super::range::{Figures, Range};
use crate::Inner;
use crate::sink::unix_now;
use crate::store::Counts;
use crate::store::edges::{End, Flow};
use crate::store::quantile::Shape;
use crate::store::services::Service;

/// Edges of one answer at most: those that fail and the busiest.
const EDGES: usize = 500;
/// Nodes of the drawing, and its edges: beyond that a picture tells nobody anything.
const DRAWN_NODES: usize = 50;
const DRAWN_EDGES: usize = 150;

/// An edge with its numbers.
pub(super) struct Line {
    pub(super) client: End,
    pub(super) server: End,
    pub(super) port: u16,
    /// Whether each end is a service in memory.
    pub(super) here: (bool, bool),
    pub(super) ends: (bool, bool),
    pub(super) idle: u64,
    /// `None` when the edge is known from traces alone.
    pub(super) figures: Option<Figures>,
}

impl Line {
    pub(super) fn json(&self) -> Value {
        let mut row = self.figures.map_or_else(|| json!({ "count": null }), |f| f.json());
        row["from"] = json!([self.client.name, self.client.namespace, self.here.0]);
        row["to"] = json!([self.server.name, self.server.namespace, self.here.1]);
        row["port"] = json!(self.port);
        row["ends"] = json!([self.ends.0, self.ends.1]);
        row["idle_s"] = json!(self.idle);
        row
    }

    fn rate(&self) -> f64 {
        self.figures.map_or(0.0, |f| f.rate)
    }

    fn failing(&self) -> bool {
        self.figures.is_some_and(|f| f.failing())
    }
}

impl Row for Line {
    fn contains(&self, word: &str) -> bool {
        [&self.client, &self.server].iter().any(|e| e.name.to_lowercase().contains(word))
    }

    fn text(&self, key: &str, value: &str) -> Option<bool> {
        match key {
            "from" => Some(self.client.name.to_lowercase().contains(value)),
            "to" | "peer" => Some(self.server.name.to_lowercase().contains(value)),
            "service" => Some(self.contains(value)),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<Option<f64>> {
        let of = |get: fn(&Figures) -> Option<f64>| Some(self.figures.as_ref().and_then(get));
        match key {
            "rate" => of(|f| Some(f.rate)),
            "error" => of(|f| f.ratio.map(|r| r * 100.0)),
            "p50" | "dur" => of(|f| f.quantiles[0]),
            "p95" => of(|f| f.quantiles[1]),
            "p99" => of(|f| f.quantiles[2]),
            _ => None,
        }
    }
}

/// Every edge in a range. Ends without a namespace are the service of that name where there is but one.
pub(super) fn lines(counts: &Counts, range: &Range) -> Vec<Line> {
    let mut named: HashMap<&str, Vec<&Service>> = HashMap::new();
    for (_, service) in counts.services.iter() {
        named.entry(&service.name).or_default().push(service);
    }
    let find = |end: &End| -> Option<&Service> {
        let all = named.get(end.name.as_str())?;
        let exact = all.iter().find(|s| s.namespace == end.namespace);
        exact.or_else(|| all.first().filter(|_| end.namespace.is_empty() && all.len() == 1)).copied()
    };
    let none = Shape::default();
    let line = |flow: Flow| {
        let (client, server) = (find(&flow.client), find(&flow.server));
        // Where in a bucket a call lies is told by the spans of the side that served it.
        let shape = server.map_or(&none, |s| &s.shape);
        let named = |end: End, found: Option<&Service>| match found {
            Some(s) => End { name: end.name, namespace: s.namespace.clone() },
            None => end,
        };
        Line {
            here: (client.is_some(), server.is_some()),
            figures: flow.step.map(|step| Figures::of(&step, shape, range.seconds())),
            client: named(flow.client, client),
            server: named(flow.server, server),
            port: flow.port,
            ends: flow.ends,
            idle: flow.idle,
        }
    };
    counts.edges.flows(&counts.services, range.stretch, range.now_s).into_iter().map(line).collect()
}

/// Nodes of the drawing: `None` stands for everybody outside.
type Node = Option<(String, String)>;

fn node(end: &End, here: bool) -> Node {
    here.then(|| (end.name.clone(), end.namespace.clone()))
}

pub(super) async fn map(State(inner): State<Arc<Inner>>, ask: Ask) -> Result<Response, Wrong> {
    let filter = Filter::parse(ask.text("q").unwrap_or(""))?;
    let now = unix_now();
    let range = Range::of(&ask, now, inner.store.started())?;
    let depth = ask.number::<usize>("depth")?.unwrap_or(1).clamp(1, 3);
    let failing_only = ask.text("only") == Some("failing");
    let counts = inner.store.counts();
    let all = lines(&counts, &range);
    let (total_edges, total_nodes) = (all.len(), counts.services.iter().count());
    let focus = ask.text("focus").map(|name| (name.to_owned(), ask.text("ns").unwrap_or("").to_owned()));
    let near = focus.as_ref().map(|f| neighbourhood(&all, f, depth));
    let mut chosen = Vec::new();
    for line in all {
        let (from, to) = (node(&line.client, line.here.0), node(&line.server, line.here.1));
        let close = near.as_ref().is_none_or(|n| n.holds(&from, &to));
        if close && (!failing_only || line.failing()) && filter.passes(&line)? {
            chosen.push(line);
        }
    }
    chosen.sort_by(|a, b| {
        let key = |l: &Line| (l.failing(), l.rate());
        let (a_key, b_key) = (key(a), key(b));
        b_key
            .0
            .cmp(&a_key.0)
            .then(b_key.1.total_cmp(&a_key.1))
            .then_with(|| (&a.client, &a.server, a.port).cmp(&(&b.client, &b.server, b.port)))
    });
    let matching = chosen.len();
    let narrowed = failing_only || focus.is_some() || ask.text("q").is_some();
    let drawn = drawn(&chosen, &counts, &range, narrowed, focus.as_ref());
    chosen.truncate(EDGES);
    let mut answer = json!({
        "total_edges": total_edges,
        "total_nodes": total_nodes,
        "matching": matching,
        "nodes": drawn.nodes,
        "drawn": drawn.edges,
        "outside": drawn.outside,
        "tracing": super::tracing(&inner),
        "edges": chosen.iter().map(Line::json).collect::<Vec<_>>(),
    });
    range.told(&mut answer);
    Ok(ask.json(&super::with_status(&inner, now, answer)))
}

/// The services within some steps of one.
struct Near {
    /// Those within one step less: of them also what is outside belongs to the picture.
    inner: BTreeSet<Node>,
    all: BTreeSet<Node>,
}

impl Near {
    fn holds(&self, from: &Node, to: &Node) -> bool {
        match (from, to) {
            (None, other) | (other, None) => self.inner.contains(other),
            (from, to) => self.all.contains(from) && self.all.contains(to),
        }
    }
}

fn neighbourhood(lines: &[Line], focus: &(String, String), depth: usize) -> Near {
    let mut all: BTreeSet<Node> = [Some(focus.clone())].into();
    let mut inner = all.clone();
    for _ in 0..depth {
        inner.clone_from(&all);
        for line in lines.iter().filter(|l| l.here.0 && l.here.1) {
            let (from, to) = (node(&line.client, true), node(&line.server, true));
            if inner.contains(&from) {
                all.insert(to);
            } else if inner.contains(&to) {
                all.insert(from);
            }
        }
    }
    Near { inner, all }
}

struct Drawing {
    nodes: Vec<Value>,
    edges: Vec<Value>,
    /// Names outside that call, and that are called.
    outside: [usize; 2],
}

/// What the picture shows: failing edges and the busiest, until it is full; services that serve, without an edge, while there
/// is room.
fn drawn(
    chosen: &[Line],
    counts: &Counts,
    range: &Range,
    narrowed: bool,
    focus: Option<&(String, String)>,
) -> Drawing {
    let mut joined: BTreeMap<(Node, Node), Vec<&Line>> = BTreeMap::new();
    let mut order: Vec<(Node, Node)> = Vec::new();
    for line in chosen {
        let key = (node(&line.client, line.here.0), node(&line.server, line.here.1));
        if key.0.is_none() && key.1.is_none() {
            continue;
        }
        let list = joined.entry(key.clone()).or_default();
        if list.is_empty() {
            order.push(key);
        }
        list.push(line);
    }
    let mut nodes: BTreeSet<Node> = focus.cloned().map(Some).into_iter().collect();
    let mut edges = Vec::new();
    for key in order {
        let more = usize::from(!nodes.contains(&key.0)) + usize::from(!nodes.contains(&key.1));
        if edges.len() >= DRAWN_EDGES || nodes.len() + more > DRAWN_NODES {
            continue;
        }
        nodes.extend([key.0.clone(), key.1.clone()]);
        edges.push(key);
    }
    let mut services: Vec<(f64, &Service)> = counts
        .services
        .iter()
        .map(|(_, s)| (f64::from(s.sum(range.stretch).count()) / range.seconds(), s))
        .collect();
    services.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
    if !narrowed {
        // Who is asked by nobody that is seen has a place; who only has traffic that is not read would crowd the picture.
        for (_, s) in services.iter().filter(|(rate, _)| *rate > 0.0) {
            if nodes.len() < DRAWN_NODES {
                nodes.insert(Some((s.name.clone(), s.namespace.clone())));
            }
        }
    }
    let numbers: HashMap<(&str, &str), &Service> =
        services.iter().map(|(_, s)| ((s.name.as_str(), s.namespace.as_str()), *s)).collect();
    let index: HashMap<&Node, usize> = nodes.iter().enumerate().map(|(i, n)| (n, i)).collect();
    let out = |n: &Node| {
        let Some((name, namespace)) = n else { return json!({ "outside": true }) };
        let Some(s) = numbers.get(&(name.as_str(), namespace.as_str())) else {
            return json!({ "name": name, "namespace": namespace, "rate": null });
        };
        let figures = Figures::of(&s.sum(range.stretch), &s.shape, range.seconds());
        let mut row = figures.json();
        row["name"] = json!(name);
        row["namespace"] = json!(namespace);
        row["unread"] = json!(!s.unread.is_empty());
        if !s.serves {
            row["rate"] = Value::Null;
        }
        row
    };
    let callers: BTreeSet<&str> =
        chosen.iter().filter(|l| !l.here.0).map(|l| l.client.name.as_str()).collect();
    let called: BTreeSet<&str> =
        chosen.iter().filter(|l| !l.here.1).map(|l| l.server.name.as_str()).collect();
    Drawing {
        nodes: nodes.iter().map(out).collect(),
        edges: edges
            .iter()
            .map(|key| {
                let list = joined.get(key).map(Vec::as_slice).unwrap_or_default();
                let count: u64 = list.iter().filter_map(|l| l.figures).map(|f| u64::from(f.count)).sum();
                let failed: u64 = list.iter().filter_map(|l| l.figures).map(|f| u64::from(f.failed)).sum();
                let rate: f64 = list.iter().map(|l| l.rate()).sum();
                let known = list.iter().any(|l| l.figures.is_some());
                let p95 = match list {
                    [one] => one.figures.and_then(|f| f.quantiles[1].filter(|_| f.count >= 20)),
                    _ => None,
                };
                json!({
                    "from": index.get(&key.0),
                    "to": index.get(&key.1),
                    "rate": known.then(|| rounded(rate)),
                    "error_ratio": (count > 0).then(|| failed as f64 / count as f64),
                    "failing": list.iter().any(|l| l.failing()),
                    "p95": p95,
                })
            })
            .collect(),
        outside: [callers.len(), called.len()],
    }
}
