//! `#/map`: who calls whom. The table has every edge; the drawing gets what it can show.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Ask, Wrong};
use super::drawing::{self, Wanted};
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

    pub(super) fn rate(&self) -> f64 {
        self.figures.map_or(0.0, |f| f.rate)
    }

    pub(super) fn failing(&self) -> bool {
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

/// A node of the drawing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Node {
    /// Everybody outside.
    Outside,
    /// A service, by name and namespace.
    Service(String, String),
    /// All services of a namespace.
    Namespace(String),
}

pub(super) fn node(end: &End, here: bool) -> Node {
    if here { Node::Service(end.name.clone(), end.namespace.clone()) } else { Node::Outside }
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
    let open: BTreeSet<&str> = ask.text("open").unwrap_or("").split(',').collect();
    let wanted = Wanted { narrowed, focus: focus.as_ref(), open: &open };
    let drawn = drawing::draw(&chosen, &counts, &range, &wanted);
    chosen.truncate(EDGES);
    let mut answer = json!({
        "total_edges": total_edges,
        "total_nodes": total_nodes,
        "matching": matching,
        "nodes": drawn.nodes,
        "drawn": drawn.edges,
        "outside": drawn.outside,
        "folded": drawn.folded,
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
            (Node::Outside, other) | (other, Node::Outside) => self.inner.contains(other),
            (from, to) => self.all.contains(from) && self.all.contains(to),
        }
    }
}

fn neighbourhood(lines: &[Line], focus: &(String, String), depth: usize) -> Near {
    let mut all: BTreeSet<Node> = [Node::Service(focus.0.clone(), focus.1.clone())].into();
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
