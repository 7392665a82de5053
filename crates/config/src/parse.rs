//! YAML text into a [`Node`] tree, within bounds: size, depth and number of values.
//!
//! Anchors, aliases, tags, directives and a second document are refused: configuration needs none of them,
//! and an alias is how a small file becomes a large tree.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::error::{Problem, ProblemKind};
use crate::node::{Entry, Kind, Node, Place, Scalar};

/// Largest configuration file, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting.
pub const MAX_DEPTH: usize = 32;
/// Most values in one file.
pub const MAX_NODES: usize = 200_000;

/// Parses a text. Duplicate keys are all reported and the first of them stands; an error of syntax ends the
/// reading, and there is no tree.
pub fn parse(origin: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let origin: Arc<str> = origin.into();
    if text.len() > MAX_BYTES {
        let what = format!("{} bytes is more than the {MAX_BYTES} that are read", text.len());
        problems.push(Problem::new(ProblemKind::Syntax, "", what).at(Place::whole(origin)));
        return None;
    }
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_comments: false,
        // Reported here, without its name: that may be a password that begins with `*`.
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder { origin, stack: Vec::new(), root: None, nodes: 0, problems };
    for next in Parser::new_from_str_with_options(text, options) {
        let step = match next {
            Ok((event, span)) => builder.event(event, span),
            Err(e) => {
                let place = builder.place(e.marker().line(), e.marker().col());
                Err(Box::new(Problem::new(ProblemKind::Syntax, "", e.kind().to_string()).at(place)))
            }
        };
        if let Err(problem) = step {
            builder.problems.push(*problem);
            return None;
        }
    }
    let empty = Node::map(builder.place(1, 0));
    Some(builder.root.unwrap_or(empty))
}

/// A collection that is being read.
enum Open {
    List {
        node: Node,
        items: Vec<Node>,
        path: String,
    },
    Map {
        node: Node,
        entries: Vec<Entry>,
        /// The line of each key so far.
        lines: HashMap<String, usize>,
        key: Option<(String, Place)>,
        path: String,
    },
}

struct Builder<'p> {
    origin: Arc<str>,
    stack: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    problems: &'p mut Vec<Problem>,
}

impl Builder<'_> {
    fn place(&self, line: usize, column: usize) -> Place {
        Place { origin: self.origin.clone(), line: line.max(1), column: column + 1 }
    }

    fn refuse(&self, span: Span, what: &str) -> Box<Problem> {
        let place = self.place(span.start.line(), span.start.col());
        Box::new(Problem::new(ProblemKind::Syntax, self.path(), what).at(place))
    }

    /// Dotted key of the value that comes next.
    fn path(&self) -> String {
        match self.stack.last() {
            None => String::new(),
            Some(Open::List { items, path, .. }) => join(path, &items.len().to_string()),
            Some(Open::Map { path, key, .. }) => match key {
                Some((key, _)) => join(path, key),
                None => path.clone(),
            },
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Problem>> {
        let place = self.place(span.start.line(), span.start.col());
        if event.is_node() {
            self.nodes += 1;
            if self.nodes > MAX_NODES {
                return Err(self.refuse(span, &format!("more than {MAX_NODES} values")));
            }
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.plain_node(span, anchor, tag.is_some())?;
                let plain = matches!(style, ScalarStyle::Plain);
                // The parser says `~` where nothing is written.
                let text = if plain && span.is_empty() { String::new() } else { text.into_owned() };
                let scalar = Scalar { text, plain, shown: None, hidden: Vec::new() };
                self.value(Node { place, kind: Kind::Scalar(scalar) }, span)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.plain_node(span, anchor, tag.is_some())?;
                self.open(span, |path| Open::List { node: Node::map(place), items: Vec::new(), path })
            }
            Event::MappingStart(_, anchor, tag) => {
                self.plain_node(span, anchor, tag.is_some())?;
                self.open(span, |path| Open::Map {
                    node: Node::map(place),
                    entries: Vec::new(),
                    lines: HashMap::new(),
                    key: None,
                    path,
                })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                Err(self.refuse(span, "aliases (*) are not allowed; quote the text if it begins with *"))
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(self.refuse(span, "a second document: one file holds one document"))
            }
            _ => Ok(()),
        }
    }

    fn plain_node(&self, span: Span, anchor: usize, tagged: bool) -> Result<(), Box<Problem>> {
        if anchor != 0 {
            return Err(self.refuse(span, "anchors (&) are not allowed; quote the text if it begins with &"));
        }
        if tagged {
            return Err(self.refuse(span, "tags (!) are not allowed; quote the text if it begins with !"));
        }
        Ok(())
    }

    fn open(&mut self, span: Span, make: impl FnOnce(String) -> Open) -> Result<(), Box<Problem>> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.refuse(span, &format!("nested deeper than {MAX_DEPTH}")));
        }
        if let Some(Open::Map { key: None, .. }) = self.stack.last() {
            return Err(self.refuse(span, "a key must be a text"));
        }
        let open = make(self.path());
        self.stack.push(open);
        Ok(())
    }

    fn close(&mut self, span: Span) -> Result<(), Box<Problem>> {
        let node = match self.stack.pop() {
            Some(Open::List { node, items, .. }) => Node { place: node.place, kind: Kind::List(items) },
            Some(Open::Map { node, entries, .. }) => Node { place: node.place, kind: Kind::Map(entries) },
            None => return Ok(()),
        };
        self.value(node, span)
    }

    fn value(&mut self, value: Node, span: Span) -> Result<(), Box<Problem>> {
        match self.stack.last_mut() {
            None => self.root = Some(value),
            Some(Open::List { items, .. }) => items.push(value),
            Some(Open::Map { entries, lines, key, path, .. }) => match (key.take(), value.kind) {
                (None, Kind::Scalar(scalar)) => *key = Some((scalar.text, value.place)),
                (None, _) => return Err(self.refuse(span, "a key must be a text")),
                (Some((name, place)), kind) => match lines.get(&name) {
                    Some(first) => {
                        let what = format!("duplicate key, first on line {first}");
                        let problem = Problem::new(ProblemKind::DuplicateKey, join(path, &name), what);
                        self.problems.push(problem.at(place));
                    }
                    None => {
                        let value = Node { place: value.place, kind };
                        lines.insert(name.clone(), place.line);
                        entries.push(Entry { key: name, place, value });
                    }
                },
            },
        }
        Ok(())
    }
}

/// `a` and `b` with a dot between, if there is an `a`.
pub(crate) fn join(a: &str, b: &str) -> String {
    if a.is_empty() { b.to_owned() } else { format!("{a}.{b}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        parse("f.yaml", text, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_duplicate_key_is_reported_with_its_place_and_the_first_one() {
        assert_eq!(
            problems("a: 1\nb:\n  - x: 1\n    x: 2\na: 3\n"),
            [
                "f.yaml:4:5 b.0.x: duplicate key, first on line 3",
                "f.yaml:5:1 a: duplicate key, first on line 1"
            ]
        );
    }

    #[test]
    fn aliases_anchors_tags_and_second_documents_are_refused() {
        assert_eq!(
            problems("a: &x 1\n"),
            ["f.yaml:1:7 a: anchors (&) are not allowed; quote the text if it begins with &"]
        );
        assert_eq!(
            problems("a: !!str 1\n"),
            ["f.yaml:1:10 a: tags (!) are not allowed; quote the text if it begins with !"]
        );
        assert_eq!(
            problems("a: 1\n---\nb: 2\n"),
            ["f.yaml:2:1: a second document: one file holds one document"]
        );
        assert_eq!(problems("%YAML 1.2\n---\na: 1\n").len(), 1);
    }

    #[test]
    fn nesting_is_bounded() {
        assert_eq!(problems(&"[".repeat(100)).len(), 1);
        assert_eq!(problems(&format!("a: {}", "{b: ".repeat(100))).len(), 1);
    }

    #[test]
    fn an_empty_file_is_an_empty_map() {
        assert_eq!(parse("f.yaml", "# nothing\n", &mut Vec::new()).unwrap().kind, Kind::Map(Vec::new()));
    }
}
