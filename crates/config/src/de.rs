//! A [`Node`] tree into settings. Words are interpreted by what the setting asks for, unknown keys are collected,
//! and every error knows the place and the key of the value that caused it.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use crate::error::{Problem, ProblemKind};
use crate::node::{Entry, Kind, Node, Scalar};
use crate::shape::Shape;
use crate::substitute::REDACTED;
use crate::suggest::nearest;
use crate::types::without_user_info;

/// Most problems that are collected from one configuration.
pub(crate) const MAX_PROBLEMS: usize = 100;

/// Reads settings from a tree. What is wrong is reported and marked [`Kind::Refused`] in the tree, then reading
/// starts again without it, so that one run finds all problems. `None` when something needed is wrong.
pub(crate) fn read<T: de::DeserializeOwned>(
    tree: &mut Node,
    shape: Shape<'_>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let unknown = RefCell::new(Vec::new());
    let value = loop {
        let error = match T::deserialize(De { node: tree, path: Path::Root, unknown: &unknown }) {
            Ok(value) => break Some(value),
            Err(error) => error,
        };
        let path = error.path.unwrap_or_default();
        let node = tree.at(path.iter().map(String::as_str)).unwrap_or(tree);
        if !error.follows_from_another {
            let mut problem = Problem::new(error.kind, path.join("."), error.what).at(node.place.clone());
            if error.kind == ProblemKind::MissingKey {
                problem.key = crate::parse::join(&problem.key, &error.missing);
            }
            problem.nearest = error.nearest;
            if matches!(error.kind, ProblemKind::WrongType | ProblemKind::WrongValue) {
                problem.value = shown(node, shape.at(path.iter().map(String::as_str)));
            }
            problems.push(problem);
        }
        if path.is_empty() || problems.len() >= MAX_PROBLEMS {
            break None;
        }
        tree.refuse(&path);
    };
    problems.extend(unknown.into_inner());
    value
}

/// A scalar as a message may show it; `None` for what is no scalar, empty, or secret by its setting.
pub(crate) fn shown(node: &Node, shape: Option<Shape<'_>>) -> Option<String> {
    let Kind::Scalar(scalar) = &node.kind else { return None };
    if scalar.text.is_empty() {
        return None;
    }
    // A value of which no setting is known may be anything.
    if shape.is_none_or(|s| s.is_secret()) {
        return Some(REDACTED.to_owned());
    }
    Some(without_user_info(scalar.shown.as_ref().unwrap_or(&scalar.text)))
}

/// An error on the way from words to settings.
#[derive(Debug)]
pub(crate) struct Error {
    kind: ProblemKind,
    what: String,
    nearest: Option<String>,
    /// The key that is missing, for [`ProblemKind::MissingKey`].
    missing: String,
    /// Where; filled in by the innermost value that is known.
    path: Option<Vec<String>>,
    /// The key is missing only because its value was refused before.
    follows_from_another: bool,
}

impl Error {
    fn new(kind: ProblemKind, what: impl Into<String>) -> Error {
        let what = what.into();
        Error { kind, what, nearest: None, missing: String::new(), path: None, follows_from_another: false }
    }

    fn locate(mut self, node: &Node, path: &Path<'_>) -> Error {
        if self.path.is_none() {
            self.path = Some(path.segments());
            if let Some(child) = node.child(&self.missing) {
                self.follows_from_another = child.kind == Kind::Refused;
            }
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}

// Messages name what is expected, never the value: it may be a secret, and the report adds it where it is none.
impl de::Error for Error {
    fn custom<T: fmt::Display>(msg: T) -> Error {
        Error::new(ProblemKind::WrongValue, msg.to_string())
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Error {
        Error::new(ProblemKind::WrongType, format!("expected {}", plainly(&expected.to_string())))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Error {
        Error::new(ProblemKind::WrongValue, format!("expected {}", plainly(&expected.to_string())))
    }

    fn missing_field(field: &'static str) -> Error {
        Error { missing: field.to_owned(), ..Error::new(ProblemKind::MissingKey, "must be given") }
    }
}

/// Serde's names of types in words.
fn plainly(expected: &str) -> String {
    let (low, name) = match expected.strip_prefix("a nonzero ") {
        Some(name) => (1, name),
        None => (0, expected),
    };
    let high = match name {
        "u8" => u64::from(u8::MAX),
        "u16" => u64::from(u16::MAX),
        "u32" => u64::from(u32::MAX),
        "u64" | "usize" => return format!("a whole number from {low}"),
        "bool" | "a boolean" => return "true or false".to_owned(),
        "f64" => return "a number".to_owned(),
        _ => return expected.to_owned(),
    };
    format!("a whole number from {low} to {high}")
}

/// The way to a value, kept on the stack while reading.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn segments(&self) -> Vec<String> {
        let mut segments = Vec::new();
        let mut at = self;
        loop {
            at = match at {
                Path::Root => break,
                Path::Key(parent, key) => {
                    segments.push((*key).to_owned());
                    parent
                }
                Path::Item(parent, i) => {
                    segments.push(i.to_string());
                    parent
                }
            };
        }
        segments.reverse();
        segments
    }
}

struct De<'a, 'p> {
    node: &'a Node,
    path: Path<'p>,
    unknown: &'p RefCell<Vec<Problem>>,
}

impl<'a> De<'a, '_> {
    fn error(&self, kind: ProblemKind, what: impl Into<String>) -> Error {
        Error::new(kind, what).locate(self.node, &self.path)
    }

    fn locate<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|e| e.locate(self.node, &self.path))
    }

    fn scalar(&self, expected: &str) -> Result<&'a Scalar, Error> {
        let found = match &self.node.kind {
            Kind::Scalar(s) if s.is_empty() || s.is_null() => "nothing",
            Kind::Scalar(s) => return Ok(s),
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Refused => "nothing",
        };
        Err(self.error(ProblemKind::WrongType, format!("expected {expected}, found {found}")))
    }

    fn whole<T: std::str::FromStr>(&self) -> Result<Option<T>, Error> {
        let expected = "a whole number";
        let s = self.scalar(expected)?;
        let digits = s.text.strip_prefix('-').unwrap_or(&s.text);
        if !s.plain || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.error(ProblemKind::WrongType, format!("expected {expected}")));
        }
        Ok(s.text.parse().ok())
    }

    fn seq<V: Visitor<'a>>(&self, items: &'a [Node], visitor: V) -> Result<V::Value, Error> {
        let access = Items { items: items.iter().enumerate(), path: &self.path, unknown: self.unknown };
        self.locate(visitor.visit_seq(access))
    }

    fn entries<V: Visitor<'a>>(
        &self,
        known: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let entries: &'a [Entry] = match &self.node.kind {
            Kind::Map(entries) => entries,
            // A section whose keys are all commented out.
            Kind::Scalar(s) if s.is_empty() => &[],
            Kind::Scalar(_) | Kind::Refused => {
                return Err(self.error(ProblemKind::WrongType, "expected a map of keys"));
            }
            Kind::List(_) => {
                return Err(self.error(ProblemKind::WrongType, "expected a map of keys, found a list"));
            }
        };
        let access =
            Entries { entries: entries.iter(), value: None, known, path: &self.path, unknown: self.unknown };
        self.locate(visitor.visit_map(access))
    }
}

macro_rules! unsigned {
    ($($name:ident)*) => { $(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let result = match self.whole::<u64>()? {
                Some(n) => visitor.visit_u64(n),
                None => Err(de::Error::invalid_value(de::Unexpected::Other("number"), &visitor)),
            };
            self.locate(result)
        }
    )* };
}

macro_rules! signed {
    ($($name:ident)*) => { $(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let result = match self.whole::<i64>()? {
                Some(n) => visitor.visit_i64(n),
                None => Err(de::Error::invalid_value(de::Unexpected::Other("number"), &visitor)),
            };
            self.locate(result)
        }
    )* };
}

macro_rules! text {
    ($($name:ident)*) => { $(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let s = self.scalar("a text")?;
            self.locate(visitor.visit_borrowed_str(&s.text))
        }
    )* };
}

impl<'de> de::Deserializer<'de> for De<'de, '_> {
    type Error = Error;

    unsigned! { deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }
    signed! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 }
    text! { deserialize_str deserialize_string deserialize_char deserialize_identifier }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Map(_) => self.entries(None, visitor),
            Kind::List(items) => self.seq(items, visitor),
            Kind::Refused => self.locate(visitor.visit_unit()),
            Kind::Scalar(s) if s.is_empty() || s.is_null() => self.locate(visitor.visit_unit()),
            Kind::Scalar(s) if !s.plain => self.locate(visitor.visit_borrowed_str(&s.text)),
            Kind::Scalar(s) => {
                let result = match (s.text.as_str(), s.text.parse::<i64>(), s.text.parse::<f64>()) {
                    ("true", ..) => visitor.visit_bool(true),
                    ("false", ..) => visitor.visit_bool(false),
                    (_, Ok(n), _) => visitor.visit_i64(n),
                    (_, _, Ok(n)) if n.is_finite() => visitor.visit_f64(n),
                    (text, ..) => visitor.visit_str(text),
                };
                self.locate(result)
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let s = self.scalar("true or false")?;
        let value = match s.text.as_str() {
            "true" | "True" | "TRUE" if s.plain => true,
            "false" | "False" | "FALSE" if s.plain => false,
            _ => return Err(self.error(ProblemKind::WrongType, "expected true or false")),
        };
        self.locate(visitor.visit_bool(value))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let s = self.scalar("a number")?;
        let starts = s.text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.'));
        match s.text.parse::<f64>() {
            Ok(n) if s.plain && starts && n.is_finite() => self.locate(visitor.visit_f64(n)),
            _ => Err(self.error(ProblemKind::WrongType, "expected a number")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Refused => visitor.visit_none(),
            Kind::Scalar(s) if s.is_null() => visitor.visit_none(),
            Kind::Scalar(s) if s.is_empty() => {
                let what = "has no value: write {} for the defaults, or remove the key";
                Err(self.error(ProblemKind::WrongType, what))
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::List(items) if name == crate::types::ONE_OR_MANY => self.seq(items, visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::List(items) => self.seq(items, visitor),
            _ => Err(self.error(ProblemKind::WrongType, "expected a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.entries(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.entries(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let allowed = format!("one of {}", variants.join(", "));
        let s = self.scalar(&allowed)?;
        if !variants.contains(&s.text.as_str()) {
            let mut error = self.error(ProblemKind::WrongValue, format!("expected {allowed}"));
            // A substituted word is a secret: nothing about it is told, not even what it resembles.
            if s.shown.is_none() {
                error.nearest = nearest(&s.text, variants.iter().copied()).map(str::to_owned);
            }
            return Err(error);
        }
        let word: de::value::BorrowedStrDeserializer<'de, Error> =
            de::value::BorrowedStrDeserializer::new(&s.text);
        self.locate(visitor.visit_enum(word))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 bytes byte_buf unit unit_struct tuple tuple_struct
    }
}

struct Items<'a, 'p> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    path: &'p Path<'p>,
    unknown: &'p RefCell<Vec<Problem>>,
}

impl<'a> de::SeqAccess<'a> for Items<'a, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        for (i, node) in self.items.by_ref() {
            if node.kind != Kind::Refused {
                let path = Path::Item(self.path, i);
                let value = seed.deserialize(De { node, path, unknown: self.unknown });
                // A type that reads a text and then refuses it does not know where the text stood.
                return value.map(Some).map_err(|e| e.locate(node, &path));
            }
        }
        Ok(None)
    }
}

struct Entries<'a, 'p> {
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
    known: Option<&'static [&'static str]>,
    path: &'p Path<'p>,
    unknown: &'p RefCell<Vec<Problem>>,
}

impl<'a> de::MapAccess<'a> for Entries<'a, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        for entry in self.entries.by_ref() {
            if let Some(known) = self.known
                && !known.contains(&entry.key.as_str())
            {
                let mut unknown = self.unknown.borrow_mut();
                if unknown.len() >= MAX_PROBLEMS {
                    continue;
                }
                let key = Path::Key(self.path, &entry.key).segments().join(".");
                let mut problem = Problem::new(ProblemKind::UnknownKey, key, "unknown key");
                problem.place = Some(entry.place.clone());
                problem.nearest = nearest(&entry.key, known.iter().copied()).map(str::to_owned);
                // Every round meets the same ones again.
                if !unknown.contains(&problem) {
                    unknown.push(problem);
                }
                continue;
            }
            if entry.value.kind == Kind::Refused {
                continue;
            }
            self.value = Some(entry);
            return seed
                .deserialize(entry.key.as_str().into_deserializer())
                .map(Some)
                .map_err(|e: Error| e.locate(&entry.value, &Path::Key(self.path, &entry.key)));
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some(entry) = self.value.take() else {
            return Err(Error::new(ProblemKind::Syntax, "a value without its key"));
        };
        let path = Path::Key(self.path, &entry.key);
        let value = seed.deserialize(De { node: &entry.value, path, unknown: self.unknown });
        value.map_err(|e| e.locate(&entry.value, &path))
    }
}
