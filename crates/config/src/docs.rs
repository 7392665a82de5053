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
        if indent.is_empty() {
            out.push('\n');
        }
        comment(below.description(), indent, out);
        let off = off || default.is_none();
        let mark = if off { "# " } else { "" };
        let deeper = format!("{indent}  ");
        let of_its_own = Value::Null;
        match default {
            _ if below.properties().is_some() => {
                let _ = writeln!(out, "{mark}{indent}{}:", word(key));
                let inner = default.or(below.0.get("default")).unwrap_or(&of_its_own);
                keys(below, Some(inner), &deeper, off, out);
            }
            Some(value) if !is_empty(value) => {
                let _ = writeln!(out, "{mark}{indent}{}: {}", word(key), inline(value));
            }
            _ => {
                let value = default.map_or_else(|| inline(&of_its_own), inline);
                match below.example() {
                    Some(example) => {
                        if !off {
                            let _ = writeln!(out, "{indent}{}: {value}", word(key));
                        }
                        let _ = writeln!(out, "# {indent}{}: {}", word(key), inline(example));
                    }
                    None if below.items().is_some_and(|i| i.properties().is_some()) => {
                        if !off {
                            let _ = writeln!(out, "{indent}{}: {value}", word(key));
                        }
                        let mut item = String::new();
                        if let Some(items) = below.items() {
                            keys(items, items.0.get("default"), &format!("{indent}    "), true, &mut item);
                        }
                        let _ = writeln!(out, "# {indent}{}:\n# {indent}  -\n{}", word(key), item.trim_end());
                    }
                    None => {
                        let _ = writeln!(out, "{mark}{indent}{}: {value}", word(key));
                    }
                }
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
            row(below, default, key, &mut out);
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
        row(below, default, &path, out);
        if below.properties().is_some() {
            rows(below, default.or(below.0.get("default")), &path, out);
        } else if let Some(items) = below.items().filter(|i| i.properties().is_some()) {
            rows(items, items.0.get("default"), &format!("{path}[]"), out);
        } else if let Some(values) = below.values().filter(|v| v.properties().is_some()) {
            rows(values, values.0.get("default"), &format!("{path}.NAME"), out);
        }
    }
}

fn row(shape: Shape<'_>, default: Option<&Value>, path: &str, out: &mut String) {
    let section = shape.properties().is_some();
    let default = match default {
        Some(value) if !section => format!("`{}`", inline(value)),
        Some(_) => String::new(),
        None => "not set".to_owned(),
    };
    let text = shape.description().replace('\n', " ").replace('|', "\\|");
    let _ = writeln!(out, "| `{path}` | {} | {} | {text} |", shape.type_name(), default.replace('|', "\\|"));
}
