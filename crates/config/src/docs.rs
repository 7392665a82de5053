//! The reference and the default file, written from the same structs that are read.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use crate::parse::join;
use crate::shape::{Shape, schema};
use crate::show::{inline, word};

/// The commented default file: every setting with its default; what has none is an example behind `#`.
pub fn default_file<T: Serialize + Default + schemars::JsonSchema>(head: &str) -> String {
    let schema = schema::<T>();
    let defaults = serde_json::to_value(T::default()).unwrap_or(Value::Null);
    let mut out = String::new();
    comment(head, "", &mut out);
    keys(Shape(&schema), Some(&defaults), "", false, &mut out);
    out
}

/// Writes the keys of a map. `off` is set below something that is not on by default: all lines are comments.
fn keys(shape: Shape<'_>, defaults: Option<&Value>, indent: &str, off: bool, out: &mut String) {
    for (key, below) in shape.properties().into_iter().flatten() {
        let below = Shape(below);
        let default = defaults.and_then(|d| d.get(key)).filter(|d| !d.is_null());
        let off = off || default.is_none();
        // What is off has defaults too: they hold as soon as it is on.
        let value = default.or_else(|| below.default());
        let mark = if off { "# " } else { "" };
        if indent.is_empty() {
            out.push('\n');
        }
        comment(below.description(), &format!("{mark}{indent}"), out);
        let key = word(key);
        let deeper = format!("{indent}  ");
        let in_list = below.items().filter(|i| i.properties().is_some());
        match (value, below.example(), in_list) {
            _ if below.properties().is_some() => {
                let mut inner = String::new();
                keys(below, value, &deeper, off, &mut inner);
                // A section with nothing in it would be no map: the schema would refuse the file.
                let empty = inner.lines().all(|l| l.trim_start().starts_with('#'));
                let mark = if empty { "# " } else { mark };
                let _ = writeln!(out, "{mark}{indent}{key}:");
                out.push_str(&inner);
            }
            (Some(value), ..) if !is_empty(value) => {
                let _ = writeln!(out, "{mark}{indent}{key}: {}", inline(value));
            }
            (_, Some(example), _) => {
                if !off {
                    let _ = writeln!(out, "{indent}{key}: {}", value.map_or_else(String::new, inline));
                }
                let _ = writeln!(out, "# {indent}{key}: {}", inline(example));
            }
            (_, None, Some(items)) => {
                if !off {
                    let _ = writeln!(out, "{indent}{key}: []");
                }
                let _ = writeln!(out, "# {indent}{key}:\n# {deeper}-");
                keys(items, items.default(), &format!("{deeper}  "), true, out);
            }
            (value, None, None) => {
                let _ = writeln!(
                    out,
                    "{mark}{indent}{key}: {}",
                    value.map_or_else(String::new, inline).trim_end()
                );
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Array(a) if a.is_empty()) || matches!(value, Value::Object(o) if o.is_empty())
}

fn comment(text: &str, indent: &str, out: &mut String) {
    for line in text.lines() {
        let _ = writeln!(out, "{}", format!("{indent}# {line}").trim_end());
    }
}

/// The reference as Markdown: a table for each top-level section.
pub fn reference<T: Serialize + Default + schemars::JsonSchema>(head: &str) -> String {
    let schema = schema::<T>();
    let defaults = serde_json::to_value(T::default()).unwrap_or(Value::Null);
    let mut out = format!("{}\n", head.trim_end());
    for (key, below) in Shape(&schema).properties().into_iter().flatten() {
        let below = Shape(below);
        let default = defaults.get(key);
        let _ = write!(out, "\n## `{key}`\n\n");
        if below.properties().is_some() {
            let text = below.description();
            if !text.is_empty() {
                let _ = write!(out, "{text}\n\n");
            }
            out.push_str(TABLE);
            rows(below, default, key, &mut out);
        } else {
            out.push_str(TABLE);
            row(below, default, key, &mut out, false);
        }
    }
    out
}

const TABLE: &str = "| key | type | default | what it does |\n|---|---|---|---|\n";

fn rows(shape: Shape<'_>, defaults: Option<&Value>, path: &str, out: &mut String) {
    for (key, below) in shape.properties().into_iter().flatten() {
        let below = Shape(below);
        let default = defaults.and_then(|d| d.get(key)).filter(|d| !d.is_null());
        let path = join(path, key);
        let default = default.or_else(|| below.default());
        row(below, default, &path, out, shape.requires(key));
        if below.properties().is_some() {
            rows(below, default, &path, out);
        } else if let Some(items) = below.items().filter(|i| i.properties().is_some()) {
            rows(items, items.default(), &format!("{path}[]"), out);
        } else if let Some(values) = below.values().filter(|v| v.properties().is_some()) {
            rows(values, values.default(), &format!("{path}.NAME"), out);
        }
    }
}

fn row(shape: Shape<'_>, default: Option<&Value>, path: &str, out: &mut String, required: bool) {
    let section = shape.properties().is_some();
    let default = match default {
        Some(value) if !section => format!("`{}`", inline(value)),
        Some(_) => String::new(),
        None if required => "must be given".to_owned(),
        None => "not set".to_owned(),
    };
    let text = shape.description().replace('\n', " ").replace('|', "\\|");
    let _ = writeln!(out, "| `{path}` | {} | {} | {text} |", shape.type_name(), default.replace('|', "\\|"));
}
