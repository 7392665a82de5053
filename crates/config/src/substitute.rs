//! `${NAME}` and `${file:PATH}` in the values of a tree. `$${` stands for a literal `${`.

use std::fmt;

use crate::error::{Problem, ProblemKind};
use crate::node::{Kind, Node, Scalar};
use crate::parse::join;

/// What substitution prints instead of a value.
pub const REDACTED: &str = "REDACTED";

/// Largest file that `${file:PATH}` reads, in bytes.
pub const MAX_FILE: u64 = 1 << 20;

/// Where names and files are looked up: the process's own, or a table in tests.
pub trait Lookup {
    /// The value of an environment variable, if it is set and valid UTF-8.
    fn env(&self, name: &str) -> Option<String>;
    /// The content of a file, or why there is none.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// The process's environment and the file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Lookup for System {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        crate::file::read_text(std::path::Path::new(path), MAX_FILE).map_err(|e| e.to_string())
    }
}

/// Replaces every reference in the values of `node`; what cannot be resolved is reported and refused.
pub(crate) fn substitute(node: &mut Node, lookup: &dyn Lookup, problems: &mut Vec<Problem>) {
    walk(node, "", lookup, problems);
}

fn walk(node: &mut Node, path: &str, lookup: &dyn Lookup, problems: &mut Vec<Problem>) {
    match &mut node.kind {
        Kind::Map(entries) => {
            for entry in entries {
                walk(&mut entry.value, &join(path, &entry.key), lookup, problems);
            }
        }
        Kind::List(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                walk(item, &join(path, &i.to_string()), lookup, problems);
            }
        }
        Kind::Scalar(scalar) if scalar.text.contains("${") => match expand(&scalar.text, lookup) {
            Ok(Some(Expanded { text, shown, hidden })) => {
                *scalar = Scalar { text, plain: true, shown: Some(shown), hidden };
            }
            // Only escapes: the text is the user's own, and no secret.
            Ok(None) => scalar.text = scalar.text.replace("$${", "${"),
            Err(bad) => {
                let problem = Problem::new(ProblemKind::Substitution, path, bad.to_string());
                problems.push(problem.at(node.place.clone()));
                node.kind = Kind::Refused;
            }
        },
        Kind::Scalar(_) | Kind::Refused => {}
    }
}

/// Why a reference cannot be resolved.
#[derive(Debug, PartialEq, Eq)]
enum Bad {
    Unclosed,
    Name(String),
    Unset(String),
    File(String, String),
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bad::Unclosed => f.write_str("\"${\" without \"}\"; write \"$${\" for the characters themselves"),
            Bad::Name(name) => {
                write!(
                    f,
                    "${{{name}}} is neither ${{NAME}} nor ${{file:PATH}}; write \"$${{\" for the characters themselves"
                )
            }
            Bad::Unset(name) => write!(f, "environment variable {name} is not set"),
            Bad::File(path, why) => write!(f, "file {path} cannot be read: {why}"),
        }
    }
}

/// A text with every reference replaced.
#[derive(Debug, PartialEq, Eq)]
struct Expanded {
    text: String,
    /// The text that may be shown.
    shown: String,
    /// What stands for the references.
    hidden: Vec<String>,
}

/// `None` when there is no reference.
fn expand(text: &str, lookup: &dyn Lookup) -> Result<Option<Expanded>, Bad> {
    let (mut out, mut shown, mut hidden) = (String::new(), String::new(), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let escaped = rest[..at].ends_with('$');
        let before = if escaped { &rest[..at - 1] } else { &rest[..at] };
        out.push_str(before);
        shown.push_str(before);
        rest = &rest[at + 2..];
        if escaped {
            out.push_str("${");
            shown.push_str("${");
            continue;
        }
        let end = rest.find('}').ok_or(Bad::Unclosed)?;
        let name = &rest[..end];
        let value = resolve(name, lookup)?;
        out.push_str(&value);
        hidden.push(value);
        shown.push_str(REDACTED);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    shown.push_str(rest);
    Ok((!hidden.is_empty()).then_some(Expanded { text: out, shown, hidden }))
}

fn resolve(name: &str, lookup: &dyn Lookup) -> Result<String, Bad> {
    if let Some(path) = name.strip_prefix("file:") {
        let text = lookup.file(path).map_err(|why| Bad::File(path.to_owned(), why))?;
        return Ok(text.trim_end_matches(['\n', '\r']).to_owned());
    }
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Bad::Name(name.to_owned()));
    }
    lookup.env(name).ok_or_else(|| Bad::Unset(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table;
    impl Lookup for Table {
        fn env(&self, name: &str) -> Option<String> {
            (name == "PORT").then(|| "4317".to_owned())
        }
        fn file(&self, path: &str) -> Result<String, String> {
            if path == "/t" { Ok("tok\ren\r\n\n".to_owned()) } else { Err("not found".to_owned()) }
        }
    }

    #[test]
    fn references_stand_anywhere_in_a_text_and_show_as_redacted() {
        let expanded = |text: &str, shown: &str, hidden: &[&str]| {
            let hidden = hidden.iter().map(|h| (*h).to_owned()).collect();
            Ok(Some(Expanded { text: text.into(), shown: shown.into(), hidden }))
        };
        assert_eq!(
            expand("http://h:${PORT}/x", &Table),
            expanded("http://h:4317/x", "http://h:REDACTED/x", &["4317"])
        );
        assert_eq!(
            expand("Bearer ${file:/t}${PORT}", &Table),
            expanded("Bearer tok\ren4317", "Bearer REDACTEDREDACTED", &["tok\ren", "4317"])
        );
        assert_eq!(expand("$${PORT}", &Table), Ok(None));
        assert_eq!(expand("$${A}${PORT}", &Table), expanded("${A}4317", "${A}REDACTED", &["4317"]));
    }

    #[test]
    fn what_cannot_be_resolved_is_named() {
        let text = |t| expand(t, &Table).unwrap_err().to_string();
        assert_eq!(text("${NOPE}"), "environment variable NOPE is not set");
        assert_eq!(text("${file:/none}"), "file /none cannot be read: not found");
        assert_eq!(text("${PORT"), "\"${\" without \"}\"; write \"$${\" for the characters themselves");
        assert!(text("${1x}").starts_with("${1x} is neither"));
        assert!(text("${}").starts_with("${} is neither"));
    }
}
