//! What is wrong with a configuration: every problem with its place, key, and the nearest right word.

use std::fmt;

use crate::node::Place;

/// The kinds of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// A file cannot be read.
    Io,
    /// The text is not YAML, or not the part of YAML that configuration uses.
    Syntax,
    /// A key that no setting has.
    UnknownKey,
    /// A key that stands twice in one map.
    DuplicateKey,
    /// A key that must be given is not.
    MissingKey,
    /// A value of another kind than the setting.
    WrongType,
    /// A value of the right kind that the setting does not allow.
    WrongValue,
    /// `${NAME}` or `${file:PATH}` that cannot be resolved.
    Substitution,
    /// Settings that do not go together.
    Conflict,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub kind: ProblemKind,
    /// Where, if it was written anywhere.
    pub place: Option<Place>,
    /// The setting, dotted, list items by number; empty for the text as a whole.
    pub key: String,
    /// The value as it may be shown: secrets are `REDACTED`.
    pub value: Option<String>,
    /// What is wrong.
    pub what: String,
    /// The right key or word that is nearest to the wrong one.
    pub nearest: Option<String>,
}

impl Problem {
    /// A problem with no place yet.
    pub fn new(kind: ProblemKind, key: impl Into<String>, what: impl Into<String>) -> Problem {
        Problem { kind, place: None, key: key.into(), value: None, what: what.into(), nearest: None }
    }

    /// The same problem at a place.
    pub fn at(mut self, place: Place) -> Problem {
        self.place = Some(place);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}")?;
            f.write_str(if self.key.is_empty() { ": " } else { " " })?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", Printable(&self.key))?;
        }
        if let Some(value) = &self.value {
            write!(f, "\"{}\": ", Printable(value))?;
        }
        write!(f, "{}", Printable(&self.what))?;
        if let Some(nearest) = &self.nearest {
            write!(f, " (nearest: {nearest})")?;
        }
        Ok(())
    }
}

/// Every problem of a configuration, in the order of the files' lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(Vec<Problem>);

impl Errors {
    pub(crate) fn new(mut problems: Vec<Problem>) -> Errors {
        problems.sort_by_key(|p| p.place.as_ref().map_or((1, 0, 0), |at| (0, at.line, at.column)));
        problems.dedup();
        Errors(problems)
    }

    /// The problems.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Problem> for Errors {
    fn from(problem: Problem) -> Errors {
        Errors(vec![problem])
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// Text of a file on a terminal: control characters escaped, cut at 200 characters.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, c) in self.0.chars().enumerate() {
            if i == 200 {
                return f.write_str("...");
            }
            match c.is_control() {
                true => write!(f, "{}", c.escape_default())?,
                false => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}
