//! The tree a YAML text becomes: every value knows where it was written and whether it is secret.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A file's path, `--set KEY`, or `environment NAME`.
    pub origin: Arc<str>,
    /// Line, from 1; 0 when the origin has no lines.
    pub line: usize,
    /// Column in characters, from 1; 0 when the origin has no lines.
    pub column: usize,
}

impl Place {
    /// A place in something that has no lines.
    pub fn whole(origin: impl Into<Arc<str>>) -> Place {
        Place { origin: origin.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.origin),
            line => write!(f, "{}:{line}:{}", self.origin, self.column),
        }
    }
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where the value begins.
    pub place: Place,
    /// The value.
    pub kind: Kind,
}

/// The kinds of value.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// One word or text, not yet interpreted: the setting it is meant for decides.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written; keys are unique.
    Map(Vec<Entry>),
    /// A value that was reported as wrong and counts as not written.
    Refused,
}

/// A scalar as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// The text after YAML's escapes and after substitution.
    pub text: String,
    /// Not quoted, or made by substitution: may stand for a number or truth value.
    pub plain: bool,
    /// Set when a part was substituted: the text with `REDACTED` in the place of that part.
    pub shown: Option<String>,
    /// The parts that were substituted.
    pub hidden: Vec<String>,
}

impl Scalar {
    /// A plain scalar.
    pub fn plain(text: impl Into<String>) -> Scalar {
        Scalar { text: text.into(), plain: true, shown: None, hidden: Vec::new() }
    }

    /// Nothing at all stands after the key.
    pub fn is_empty(&self) -> bool {
        self.plain && self.text.is_empty() && self.shown.is_none()
    }

    /// `null` or `~`, written out.
    pub fn is_null(&self) -> bool {
        self.plain && self.shown.is_none() && matches!(self.text.as_str(), "null" | "Null" | "NULL" | "~")
    }
}

/// A key of a map and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// A plain scalar without a line.
    pub fn scalar(place: Place, text: impl Into<String>) -> Node {
        Node { place, kind: Kind::Scalar(Scalar::plain(text)) }
    }

    /// An empty map.
    pub fn map(place: Place) -> Node {
        Node { place, kind: Kind::Map(Vec::new()) }
    }

    /// The value under a key of a map or a number of a list.
    pub fn child(&self, segment: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|e| e.key == segment).map(|e| &e.value),
            Kind::List(items) => items.get(segment.parse::<usize>().ok()?),
            Kind::Scalar(_) | Kind::Refused => None,
        }
    }

    /// Like [`Node::child`], to change it.
    pub fn child_mut(&mut self, segment: &str) -> Option<&mut Node> {
        match &mut self.kind {
            Kind::Map(entries) => entries.iter_mut().find(|e| e.key == segment).map(|e| &mut e.value),
            Kind::List(items) => items.get_mut(segment.parse::<usize>().ok()?),
            Kind::Scalar(_) | Kind::Refused => None,
        }
    }

    /// The value at a path, if it was written.
    pub fn at<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Node> {
        path.into_iter().try_fold(self, |node, segment| node.child(segment))
    }

    /// The deepest value on a path that was written.
    pub fn nearest<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> &Node {
        let mut node = self;
        for segment in path {
            match node.child(segment) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// Sets the value at a path, making the maps on the way.
    pub fn put(&mut self, path: &[&str], value: Node) {
        let Some((first, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self.kind, Kind::Map(_)) {
            self.kind = Kind::Map(Vec::new());
        }
        let place = value.place.clone();
        let Kind::Map(entries) = &mut self.kind else { return };
        match entries.iter().position(|e| e.key == *first) {
            Some(at) => entries[at].value.put(rest, value),
            None => {
                let mut child = Node::map(place.clone());
                child.put(rest, value);
                entries.push(Entry { key: (*first).to_owned(), place, value: child });
            }
        }
    }

    /// Keeps of every place only the origin.
    pub(crate) fn forget_lines(&mut self) {
        (self.place.line, self.place.column) = (0, 0);
        match &mut self.kind {
            Kind::List(items) => items.iter_mut().for_each(Node::forget_lines),
            Kind::Map(entries) => {
                for entry in entries {
                    (entry.place.line, entry.place.column) = (0, 0);
                    entry.value.forget_lines();
                }
            }
            Kind::Scalar(_) | Kind::Refused => {}
        }
    }

    /// Marks the value at a path as refused.
    pub(crate) fn refuse(&mut self, path: &[String]) {
        let mut node = self;
        for segment in path {
            match node.child_mut(segment) {
                Some(child) => node = child,
                None => return,
            }
        }
        node.kind = Kind::Refused;
    }

    /// Lays `over` on this tree: maps are joined key by key, everything else is replaced.
    pub fn overlay(&mut self, over: Node) {
        match (&mut self.kind, over.kind) {
            (Kind::Map(mine), Kind::Map(theirs)) => {
                // No key stands twice in a map: what is added is not looked for again.
                let present: HashMap<String, usize> =
                    mine.iter().enumerate().map(|(i, e)| (e.key.clone(), i)).collect();
                for entry in theirs {
                    match present.get(&entry.key).and_then(|at| mine.get_mut(*at)) {
                        Some(present) => {
                            present.place = entry.place;
                            present.value.overlay(entry.value);
                        }
                        None => mine.push(entry),
                    }
                }
                self.place = over.place;
            }
            // `section:` with nothing below it says nothing.
            (Kind::Map(_), Kind::Scalar(s)) if s.is_empty() => {}
            (_, kind) => *self = Node { place: over.place, kind },
        }
    }
}
