//! What the picture of `#/map` shows: failing edges and the busiest, until it is full. Where there are many services, those
//! of one namespace are one node, until somebody unfolds it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::answer::rounded;
use super::map::{Line, Node, node};
use super::range::{Figures, Range};
use crate::store::Counts;
use crate::store::quantile::Shape;
use crate::store::services::{Service, Step};

/// Nodes of the drawing, and its edges: beyond that a picture tells nobody anything.
const NODES: usize = 50;
const EDGES: usize = 150;
/// Services from which on those of one namespace are one node.
const FOLD: usize = 30;

/// What was asked for.
pub(super) struct Wanted<'a> {
    /// Only some edges: then services without one of them have no place.
    pub(super) narrowed: bool,
    pub(super) focus: Option<&'a (String, String)>,
    /// Namespaces that are unfolded.
    pub(super) open: &'a BTreeSet<&'a str>,
}

/// A picture.
pub(super) struct Drawing {
    pub(super) nodes: Vec<Value>,
    pub(super) edges: Vec<Value>,
    /// Names outside that call, and that are called.
    pub(super) outside: [usize; 2],
    /// Namespaces that are one node.
    pub(super) folded: usize,
}

/// Services with their requests a second, the busiest first.
type Busiest<'a> = Vec<(f64, &'a Service)>;

/// Namespaces whose services are one node, and how many services each has.
struct Folds(BTreeMap<String, usize>);

impl Folds {
    fn of(chosen: &[Line], services: &Busiest<'_>, wanted: &Wanted<'_>) -> Folds {
        let mut all: BTreeSet<(&str, &str)> = BTreeSet::new();
        for line in chosen {
            let ends = [(&line.client, line.here.0), (&line.server, line.here.1)];
            all.extend(ends.iter().filter(|(_, here)| *here).map(|(e, _)| (&*e.name, &*e.namespace)));
        }
        if !wanted.narrowed {
            let serving = services.iter().filter(|(rate, _)| *rate > 0.0);
            all.extend(serving.map(|(_, s)| (&*s.name, &*s.namespace)));
        }
        let mut folds: BTreeMap<String, usize> = BTreeMap::new();
        if all.len() > FOLD && wanted.focus.is_none() {
            for (_, namespace) in all.iter().filter(|(_, n)| !n.is_empty() && !wanted.open.contains(n)) {
                *folds.entry((*namespace).to_owned()).or_default() += 1;
            }
        }
        folds.retain(|_, services| *services > 1);
        Folds(folds)
    }

    fn place(&self, node: Node) -> Node {
        match node {
            Node::Service(_, namespace) if self.0.contains_key(&namespace) => Node::Namespace(namespace),
            other => other,
        }
    }
}

pub(super) fn draw(chosen: &[Line], counts: &Counts, range: &Range, wanted: &Wanted<'_>) -> Drawing {
    let mut services: Busiest<'_> = counts
        .services
        .iter()
        .map(|(_, s)| (f64::from(s.sum(range.stretch).count()) / range.seconds(), s))
        .collect();
    services.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
    let folds = Folds::of(chosen, &services, wanted);
    let mut joined: BTreeMap<(Node, Node), Vec<&Line>> = BTreeMap::new();
    let mut order: Vec<(Node, Node)> = Vec::new();
    for line in chosen {
        let (from, to) = (node(&line.client, line.here.0), node(&line.server, line.here.1));
        let key = (folds.place(from), folds.place(to));
        // Within a namespace that is one node there is no edge, and none between two who are outside.
        if key.0 == key.1 && !matches!(key.0, Node::Service(..)) {
            continue;
        }
        let list = joined.entry(key.clone()).or_default();
        if list.is_empty() {
            order.push(key);
        }
        list.push(line);
    }
    let mut nodes: BTreeSet<Node> =
        wanted.focus.map(|(n, ns)| Node::Service(n.clone(), ns.clone())).into_iter().collect();
    let mut edges = Vec::new();
    for key in order {
        let more = usize::from(!nodes.contains(&key.0)) + usize::from(!nodes.contains(&key.1));
        if edges.len() >= EDGES || nodes.len() + more > NODES {
            continue;
        }
        nodes.extend([key.0.clone(), key.1.clone()]);
        edges.push(key);
    }
    if !wanted.narrowed {
        // Who is asked by nobody that is seen has a place; who only has traffic that is not read would crowd the picture.
        for (_, s) in services.iter().filter(|(rate, _)| *rate > 0.0) {
            if nodes.len() < NODES {
                nodes.insert(folds.place(Node::Service(s.name.clone(), s.namespace.clone())));
            }
        }
    }
    let index: HashMap<&Node, usize> = nodes.iter().enumerate().map(|(i, n)| (n, i)).collect();
    let callers: BTreeSet<&str> =
        chosen.iter().filter(|l| !l.here.0).map(|l| l.client.name.as_str()).collect();
    let called: BTreeSet<&str> =
        chosen.iter().filter(|l| !l.here.1).map(|l| l.server.name.as_str()).collect();
    Drawing {
        nodes: nodes.iter().map(|n| told(n, &services, range)).collect(),
        edges: edges
            .iter()
            .map(|key| edge(key, joined.get(key).map(Vec::as_slice).unwrap_or_default(), &index))
            .collect(),
        outside: [callers.len(), called.len()],
        folded: folds.0.len(),
    }
}

/// A node with its numbers.
fn told(node: &Node, services: &Busiest<'_>, range: &Range) -> Value {
    let figures = |s: &Service| Figures::of(&s.sum(range.stretch), &s.shape, range.seconds());
    match node {
        Node::Outside => json!({ "outside": true }),
        Node::Service(name, namespace) => {
            let Some((_, s)) = services.iter().find(|(_, s)| s.name == *name && s.namespace == *namespace)
            else {
                return json!({ "name": name, "namespace": namespace, "rate": null });
            };
            let mut row = figures(s).json();
            row["name"] = json!(name);
            row["namespace"] = json!(namespace);
            row["unread"] = json!(!s.unread.is_empty());
            if !s.serves {
                row["rate"] = Value::Null;
            }
            row
        }
        Node::Namespace(namespace) => {
            let members: Vec<&Service> =
                services.iter().map(|(_, s)| *s).filter(|s| s.namespace == *namespace).collect();
            let mut all = Step::default();
            members.iter().for_each(|s| all.add(&s.sum(range.stretch)));
            let mut row = Figures::of(&all, &Shape::default(), range.seconds()).json();
            row["folded"] = json!(namespace);
            row["services"] = json!(members.len());
            row["failing_services"] = json!(members.iter().filter(|s| figures(s).failing()).count());
            row
        }
    }
}

fn edge(key: &(Node, Node), lines: &[&Line], index: &HashMap<&Node, usize>) -> Value {
    let count: u64 = lines.iter().filter_map(|l| l.figures).map(|f| u64::from(f.count)).sum();
    let failed: u64 = lines.iter().filter_map(|l| l.figures).map(|f| u64::from(f.failed)).sum();
    let rate: f64 = lines.iter().map(|l| l.rate()).sum();
    let known = lines.iter().any(|l| l.figures.is_some());
    let p95 = match lines {
        [one] => one.figures.and_then(|f| f.quantiles[1].filter(|_| f.count >= 20)),
        _ => None,
    };
    json!({
        "from": index.get(&key.0),
        "to": index.get(&key.1),
        "rate": known.then(|| rounded(rate)),
        "error_ratio": (count > 0).then(|| failed as f64 / count as f64),
        "failing": lines.iter().any(|l| l.failing()),
        "p95": p95,
    })
}
