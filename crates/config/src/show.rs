//! Settings as YAML.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use crate::node::{Kind, Node};
use crate::types::without_user_info;

/// The settings as YAML, with what the tree knows to be substituted replaced; settings that are not set are left out.
pub(crate) fn show<T: Serialize>(settings: &T, tree: &Node) -> String {
    let mut value = serde_json::to_value(settings).unwrap_or(Value::Null);
    redact(&mut value, Some(tree));
    let mut out = String::new();
    block(&value, 0, &mut out);
    out
}

fn redact(value: &mut Value, node: Option<&Node>) {
    if let Some(Node { kind: Kind::Scalar(scalar), .. }) = node
        && let Some(shown) = &scalar.shown
        && !matches!(value, Value::Object(_) | Value::Array(_))
    {
        *value = Value::String(shown.clone());
    }
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            for (key, below) in map.iter_mut() {
                redact(below, node.and_then(|n| n.child(key)));
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                redact(item, node.and_then(|n| n.child(&i.to_string())));
            }
        }
        Value::String(text) => *text = without_user_info(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Writes a map or list as a block, two spaces a level.
fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) => {
            for (key, below) in map {
                let _ = write!(out, "{:indent$}{}:", "", word(key));
                after(below, indent, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                match item {
                    Value::Object(map) if !map.is_empty() => block(item, indent + 2, &mut inner),
                    _ => inner = format!("{}\n", inline(item)),
                }
                let _ = write!(out, "{:indent$}- {}", "", inner.trim_start());
            }
        }
        scalar => {
            let _ = writeln!(out, "{}", inline(scalar));
        }
    }
}

fn after(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(value, indent + 2, out);
        }
        Value::Array(items) if items.iter().any(|i| i.is_object() || i.is_array()) => {
            out.push('\n');
            block(value, indent + 2, out);
        }
        _ => {
            let _ = writeln!(out, " {}", inline(value));
        }
    }
}

/// A value on one line, in YAML's flow form.
pub(crate) fn inline(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        // 1.0 stays 1.0, so that it is seen to be a share.
        Value::Number(n) => n.to_string(),
        Value::String(text) => word(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{}: {}", word(k), inline(v))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

/// A text as YAML: plain where nothing can mistake it for something else, else quoted as JSON, which YAML reads.
pub(crate) fn word(text: &str) -> String {
    let safe =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '@' | '+' | '~');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_' | '.'))
        || text.starts_with(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_err();
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let special = reserved.iter().any(|r| text.eq_ignore_ascii_case(r));
    if begins && text.chars().all(safe) && !text.ends_with(':') && !special {
        text.to_owned()
    } else {
        Value::String(text.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_yaml_would_read_as_something_else_are_quoted() {
        for plain in ["127.0.0.1:80", "10s", "a.b", "http://h:1/x", "/var/log", "deployment.environment.name"]
        {
            assert_eq!(word(plain), plain);
        }
        for (text, quoted) in [
            ("", "\"\""),
            ("true", "\"true\""),
            ("12", "\"12\""),
            ("1e3", "\"1e3\""),
            ("a: b", "\"a: b\""),
            ("x:", "\"x:\""),
            ("a\n", "\"a\\n\""),
            ("*x", "\"*x\""),
            ("~", "\"~\""),
        ] {
            assert_eq!(word(text), quoted);
        }
    }

    #[test]
    fn maps_and_lists_are_written_as_blocks() {
        let value = serde_json::json!({"a": {"b": [1, 2]}, "c": [{"d": 1, "e": {}}, {"d": 2}], "f": []});
        let mut out = String::new();
        block(&value, 0, &mut out);
        assert_eq!(out, "a:\n  b: [1, 2]\nc:\n  - d: 1\n    e: {}\n  - d: 2\nf: []\n");
    }
}
