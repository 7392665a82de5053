//! Layers into settings: defaults, environment, file, `--set`; every problem of all of them in one answer.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::de;
use crate::error::{Errors, Problem, ProblemKind};
use crate::node::{Entry, Kind, Node, Place, Scalar};
use crate::parse::parse;
use crate::shape::{Shape, schema};
use crate::substitute::{Lookup, substitute};

/// What is checked beyond the type of each value.
pub trait Check {
    /// Reports every combination of values that makes no sense.
    fn check(&self, report: &mut Report);
}

/// Collects what [`Check`] finds, with the keys of the settings it is about.
#[derive(Debug, Default)]
pub struct Report {
    prefix: String,
    found: Vec<(String, String)>,
}

impl Report {
    /// Reports a problem with the setting `key` of the section at hand; an empty key is the section itself. The
    /// value is added by the reader of the report, unless it is a secret: `what` must not repeat it.
    pub fn wrong(&mut self, key: &str, what: impl Into<String>) {
        let key = if key.is_empty() { self.prefix.clone() } else { crate::parse::join(&self.prefix, key) };
        self.found.push((key, what.into()));
    }

    /// Checks a section below the one at hand.
    pub fn section(&mut self, key: &str, section: &impl Check) {
        self.under(key, |report| section.check(report));
    }

    /// Checks something below the section at hand.
    pub fn under(&mut self, key: &str, check: impl FnOnce(&mut Report)) {
        let longer = crate::parse::join(&self.prefix, key);
        let outer = std::mem::replace(&mut self.prefix, longer);
        check(self);
        self.prefix = outer;
    }

    /// Key and message of each problem so far.
    pub fn found(&self) -> &[(String, String)] {
        &self.found
    }
}

/// Settings with the tree they were read from, which knows what must not be shown.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    tree: Node,
}

impl<T: Serialize> Loaded<T> {
    /// The settings in effect as YAML; secrets, user-info and substituted values print as `REDACTED`.
    pub fn show(&self) -> String {
        crate::show::show(&self.settings, &self.tree)
    }

    /// Every value that was substituted: none may be told, by a log or an error.
    pub fn substituted(&self) -> Vec<String> {
        let mut all = Vec::new();
        hidden(&self.tree, &mut all);
        all
    }

    /// Whether anyone wrote something at a dotted key: a value, or a section that is not empty.
    pub fn is_written(&self, key: &str) -> bool {
        self.tree.at(key.split('.')).is_some_and(|n| match &n.kind {
            Kind::Map(entries) => !entries.is_empty(),
            Kind::List(items) => !items.is_empty(),
            Kind::Scalar(s) => !s.is_empty() && !s.is_null(),
            Kind::Refused => false,
        })
    }

    /// Whether a dotted key was written with this very word.
    pub fn is_written_as(&self, key: &str, word: &str) -> bool {
        let node = self.tree.at(key.split('.'));
        node.is_some_and(|n| matches!(&n.kind, Kind::Scalar(s) if s.text == word))
    }
}

impl<T: schemars::JsonSchema> Loaded<T> {
    /// Judges the settings once more, by what reading them cannot know: files that they name, for one.
    pub fn judge(&self, check: impl FnOnce(&T, &mut Report)) -> Result<(), Errors> {
        let mut report = Report::default();
        check(&self.settings, &mut report);
        let schema = schema::<T>();
        let problem = |(key, what)| conflict(&self.tree, Shape(&schema), key, what);
        let problems: Vec<Problem> = report.found.into_iter().map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(Errors::new(problems)) }
    }
}

fn hidden(node: &Node, out: &mut Vec<String>) {
    match &node.kind {
        Kind::Map(entries) => entries.iter().for_each(|e| hidden(&e.value, out)),
        Kind::List(items) => items.iter().for_each(|i| hidden(i, out)),
        Kind::Scalar(s) => out.extend(s.hidden.iter().cloned()),
        Kind::Refused => {}
    }
}

/// What settings are made from, weakest first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    trees: Vec<Node>,
    sets: Vec<String>,
    problems: Vec<Problem>,
}

impl Layers {
    /// No layer yet: the defaults alone.
    pub fn new() -> Layers {
        Layers::default()
    }

    /// Adds a tree, such as one made from environment variables.
    pub fn tree(mut self, tree: Node) -> Layers {
        self.trees.push(tree);
        self
    }

    /// Adds a tree below all others so far.
    pub fn below(mut self, tree: Node) -> Layers {
        self.trees.insert(0, tree);
        self
    }

    /// Adds a YAML file; references in it are replaced.
    pub fn file(self, path: &Path, lookup: &dyn Lookup) -> Layers {
        let origin = path.display().to_string();
        match read_bounded(path) {
            Ok(text) => self.text(&origin, &text, lookup),
            Err(why) => {
                let mut layers = self;
                let problem = Problem::new(ProblemKind::Io, "", format!("cannot be read: {why}"));
                layers.problems.push(problem.at(Place::whole(origin)));
                layers
            }
        }
    }

    /// Adds a YAML text; `origin` stands for the file's name in problems.
    pub fn text(mut self, origin: &str, text: &str, lookup: &dyn Lookup) -> Layers {
        if let Some(mut tree) = parse(origin, text, &mut self.problems) {
            substitute(&mut tree, lookup, &mut self.problems);
            self.trees.push(tree);
        }
        self
    }

    /// Adds `KEY=VALUE` with a dotted key and a YAML value: stronger than every tree, the later the stronger.
    pub fn set(mut self, assignment: impl Into<String>) -> Layers {
        self.sets.push(assignment.into());
        self
    }

    /// Whether a value was written at a path by any tree or `--set` so far.
    pub fn mentions(&self, key: &str) -> bool {
        let path = || key.split('.');
        let in_tree = |t: &Node| t.at(path()).is_some_and(|n| !is_unset(n));
        let in_set = |s: &String| {
            s.strip_prefix(key)
                .is_some_and(|rest| rest.starts_with('.') || (rest.starts_with('=') && rest != "=null"))
        };
        self.trees.iter().any(in_tree) || self.sets.iter().any(in_set)
    }

    /// The value at a dotted key of the strongest tree that has it.
    pub fn written(&self, key: &str) -> Option<&Node> {
        self.trees.iter().rev().find_map(|t| t.at(key.split('.')).filter(|n| !is_unset(n)))
    }

    /// Joins the layers and reads the settings, or tells everything that is wrong.
    pub fn load<T>(self, lookup: &dyn Lookup) -> Result<Loaded<T>, Errors>
    where
        T: DeserializeOwned + schemars::JsonSchema + Check,
    {
        let schema = schema::<T>();
        let shape = Shape(&schema);
        let Layers { trees, sets, mut problems } = self;
        let mut tree = Node::map(Place::whole("defaults"));
        for layer in trees {
            tree.overlay(layer);
        }
        for assignment in &sets {
            apply(&mut tree, shape, assignment, lookup, &mut problems);
        }
        // What is refused is marked in a copy: the report below wants to show the wrong values.
        let mut reading = tree.clone();
        let settings: Option<T> = de::read(&mut reading, shape, &mut problems);
        for problem in problems.iter_mut().filter(|p| p.kind == ProblemKind::UnknownKey) {
            elsewhere(problem, shape);
        }
        let Some(settings) = settings else { return Err(Errors::new(problems)) };
        let mut report = Report::default();
        settings.check(&mut report);
        // A section with a wrong word is not judged as a whole: what is missing there may be that word.
        let top = |key: &str| key.split('.').next().unwrap_or("").to_owned();
        let doubtful: Vec<String> = problems.iter().map(|p| top(&p.key)).collect();
        for (key, what) in report.found {
            if doubtful.contains(&top(&key)) {
                continue;
            }
            problems.push(conflict(&tree, shape, key, what));
        }
        if problems.is_empty() { Ok(Loaded { settings, tree }) } else { Err(Errors::new(problems)) }
    }
}

/// A problem with a setting that was read, at its place and with its value where that may be shown.
fn conflict(tree: &Node, shape: Shape<'_>, key: String, what: String) -> Problem {
    let place = tree.nearest(key.split('.')).place.clone();
    let place = (place.line > 0 || !place.origin.starts_with("defaults")).then_some(place);
    let value = tree.at(key.split('.')).and_then(|n| de::shown(n, shape.at(key.split('.'))));
    Problem { place, value, ..Problem::new(ProblemKind::Conflict, key, what) }
}

fn is_unset(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(s) if s.is_empty() || s.is_null())
}

fn read_bounded(path: &Path) -> Result<String, String> {
    use std::io::Read;
    // What the shell gives by a descriptor (`<(...)`, standard input) has a writer.
    let given = ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"]
        .iter()
        .any(|own| path.to_str().is_some_and(|path| path.starts_with(own)));
    let file = if given { std::fs::File::open(path) } else { crate::file::open_regular(path) };
    let file = file.map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(crate::parse::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// A key that stands in the wrong place: the nearest key is where it belongs, if that is one place only.
fn elsewhere(problem: &mut Problem, shape: Shape<'_>) {
    let word = problem.key.rsplit('.').next().unwrap_or("");
    let near = problem.nearest.as_deref().map_or(usize::MAX, |n| crate::suggest::distance(word, n));
    if near <= 2 {
        return;
    }
    let mut places = Vec::new();
    find(shape, word, "", &mut places);
    if let [place] = places.as_slice() {
        problem.nearest = Some(place.clone());
    }
}

fn find(shape: Shape<'_>, word: &str, path: &str, places: &mut Vec<String>) {
    for (key, below) in shape.properties().into_iter().flatten() {
        let path = crate::parse::join(path, key);
        if key == word {
            places.push(path.clone());
        }
        find(Shape(below), word, &path, places);
    }
}

/// Applies one `KEY=VALUE` to the tree.
fn apply(
    tree: &mut Node,
    shape: Shape<'_>,
    assignment: &str,
    lookup: &dyn Lookup,
    problems: &mut Vec<Problem>,
) {
    let Some((key, text)) = assignment.split_once('=') else {
        // The text may hold a secret that lost its "=": only its length is safe to show.
        let what = "expected KEY=VALUE";
        problems.push(Problem::new(ProblemKind::Syntax, "", what).at(Place::whole("--set")));
        return;
    };
    let key = key.trim();
    let origin = "--set";
    let path = shape.split(key);
    let segments: Vec<&str> = path.iter().map(String::as_str).collect();
    let place = Place::whole(origin);
    let mut found = Vec::new();
    let value = if text.is_empty() {
        let scalar = Scalar { text: String::new(), plain: false, shown: None, hidden: Vec::new() };
        Some(Node { place: place.clone(), kind: Kind::Scalar(scalar) })
    } else {
        match parse(origin, text, &mut found) {
            // `[::1]:80` is an address to the user and a broken list to YAML.
            None if shape.at(segments.iter().copied()).is_some_and(Shape::is_text) => {
                found.clear();
                Some(Node::scalar(place.clone(), text))
            }
            value => value,
        }
    };
    let mut value = value;
    if let Some(value) = &mut value {
        value.forget_lines();
        substitute(value, lookup, &mut found);
    }
    // Lines and columns of one argument tell nothing, and keys in it stand below the key that is set.
    for mut problem in found {
        problem.place = Some(place.clone());
        problem.key = match problem.key.is_empty() {
            true => key.to_owned(),
            false => crate::parse::join(key, &problem.key),
        };
        problems.push(problem);
    }
    let Some(value) = value else { return };
    if let Err(what) = assign(tree, &segments, shape, &place, value) {
        problems.push(Problem::new(ProblemKind::WrongValue, key, what).at(place));
    }
}

/// Sets the value at a path; a number on a list that is one past its end adds to it.
fn assign(
    node: &mut Node,
    path: &[&str],
    shape: Shape<'_>,
    place: &Place,
    value: Node,
) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        *node = value;
        return Ok(());
    };
    let below = shape.child(first).unwrap_or(Shape(&serde_json::Value::Null));
    let number = first.parse::<usize>().ok().filter(|_| shape.items().is_some());
    if !matches!(node.kind, Kind::Map(_) | Kind::List(_)) {
        node.kind = if number.is_some() { Kind::List(Vec::new()) } else { Kind::Map(Vec::new()) };
        node.place = place.clone();
    }
    let child = match (&mut node.kind, number) {
        (Kind::List(items), Some(i)) if i <= items.len() => {
            if i == items.len() {
                items.push(Node::scalar(place.clone(), ""));
            }
            items.get_mut(i)
        }
        (Kind::List(items), _) => {
            return Err(format!(
                "\"{first}\" is not one of the list's {} items, nor the next one",
                items.len()
            ));
        }
        (Kind::Map(entries), _) => {
            let at = entries.iter().position(|e| e.key == *first).unwrap_or_else(|| {
                let value = Node::scalar(place.clone(), "");
                entries.push(Entry { key: (*first).to_owned(), place: place.clone(), value });
                entries.len() - 1
            });
            entries.get_mut(at).map(|e| &mut e.value)
        }
        _ => None,
    };
    match child {
        Some(child) => assign(child, rest, below, place, value),
        None => Ok(()),
    }
}
