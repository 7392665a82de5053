//! A JSON schema as a map of the keys that exist: what may stand where, and what is secret.

use serde_json::{Map, Value};

/// The JSON Schema (draft 2020-12) of settings, every type written out where it is used.
pub fn schema<T: schemars::JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// One place in a schema.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a>(pub(crate) &'a Value);

impl<'a> Shape<'a> {
    /// The schema itself and the alternatives in it.
    fn forms(self) -> impl Iterator<Item = &'a Value> {
        let alternatives = ["anyOf", "oneOf"].into_iter().filter_map(|k| self.0.get(k)?.as_array()).flatten();
        // An optional one-or-many, or choice of words, has alternatives within an alternative.
        let nested = alternatives
            .clone()
            .flat_map(|a| ["anyOf", "oneOf"].into_iter().filter_map(|k| a.get(k)?.as_array()).flatten());
        std::iter::once(self.0).chain(alternatives).chain(nested)
    }

    /// The keys of a map with fixed keys.
    pub(crate) fn properties(self) -> Option<&'a Map<String, Value>> {
        self.forms().find_map(|f| f.get("properties")?.as_object())
    }

    /// What stands under every key of a map with free keys.
    pub(crate) fn values(self) -> Option<Shape<'a>> {
        self.forms().find_map(|f| f.get("additionalProperties").filter(|v| v.is_object())).map(Shape)
    }

    /// What stands in a list.
    pub(crate) fn items(self) -> Option<Shape<'a>> {
        self.forms().find_map(|f| f.get("items")).map(Shape)
    }

    /// Whether the value is a text in YAML.
    pub(crate) fn is_text(self) -> bool {
        self.forms().any(|f| types(f).any(|t| t == "string"))
    }

    /// Whether the value must not be printed.
    pub(crate) fn is_secret(self) -> bool {
        self.forms().any(|f| f.get("writeOnly") == Some(&Value::Bool(true)))
    }

    /// The words that are allowed, when it is a choice of words.
    pub(crate) fn words(self) -> Vec<&'a str> {
        let mut words = Vec::new();
        for form in self.forms() {
            words.extend(form.get("const").and_then(Value::as_str));
            let list = form.get("enum").and_then(Value::as_array);
            words.extend(list.into_iter().flatten().filter_map(Value::as_str));
        }
        // A word that may be a number too stands in two forms.
        let mut seen = std::collections::HashSet::new();
        words.retain(|word| seen.insert(*word));
        words
    }

    /// What the setting does: its documentation.
    pub(crate) fn description(self) -> &'a str {
        self.0.get("description").and_then(Value::as_str).unwrap_or("")
    }

    /// An example value.
    pub(crate) fn example(self) -> Option<&'a Value> {
        self.forms().find_map(|f| f.get("examples")?.as_array()?.first())
    }

    /// The value when it is not written; nothing for `null`.
    pub(crate) fn default(self) -> Option<&'a Value> {
        self.0.get("default").filter(|d| !d.is_null())
    }

    /// Whether a map must have a key.
    pub(crate) fn requires(self, key: &str) -> bool {
        let mut lists = self.forms().filter_map(|f| f.get("required")?.as_array());
        lists.any(|list| list.iter().any(|k| k == key))
    }

    /// The kind of value in one word or two.
    pub(crate) fn type_name(self) -> String {
        if !self.words().is_empty() {
            return self.words().join(" \\| ");
        }
        if let Some(format) = self.forms().find_map(|f| f.get("format")?.as_str())
            && !format.starts_with("uint")
            && !format.starts_with("int")
            && format != "double"
        {
            return format.to_owned();
        }
        if self.properties().is_some() && self.items().is_some() {
            return "map or list of maps".to_owned();
        }
        if let Some(items) = self.items() {
            return format!("list of {}", plural(&items.type_name()));
        }
        if let Some(values) = self.values() {
            return format!("map to {}", values.type_name());
        }
        let first = self.forms().flat_map(types).find(|t| *t != "null");
        match first {
            Some("object") | None => "map",
            Some("string") => "text",
            Some("boolean") => "true \\| false",
            Some("integer") => "whole number",
            Some("number") => "number",
            Some(other) => other,
        }
        .to_owned()
    }

    /// The shape below one segment of a key.
    pub(crate) fn child(self, segment: &str) -> Option<Shape<'a>> {
        if segment.bytes().all(|b| b.is_ascii_digit())
            && let Some(items) = self.items()
        {
            return Some(items);
        }
        match self.properties() {
            Some(properties) => properties.get(segment).map(Shape),
            None => self.values(),
        }
    }

    /// The shape at a path.
    pub(crate) fn at<'s>(self, path: impl IntoIterator<Item = &'s str>) -> Option<Shape<'a>> {
        path.into_iter().try_fold(self, |shape, segment| shape.child(segment))
    }

    /// Splits a dotted key where the schema says that keys end: below a map with free keys and plain values the
    /// rest is one key, dots included. Quotes keep dots together anywhere.
    pub(crate) fn split(self, key: &str) -> Vec<String> {
        let (mut path, mut rest, mut shape) = (Vec::new(), key, Some(self));
        while !rest.is_empty() {
            let values = shape.filter(|s| s.properties().is_none()).and_then(Shape::values);
            let plain = values.is_some_and(|v| v.properties().is_none() && v.values().is_none());
            let (segment, tail) = match rest.strip_prefix('"').and_then(|r| r.split_once('"')) {
                Some((quoted, tail)) => (quoted, tail.strip_prefix('.').unwrap_or(tail)),
                None if plain => (rest, ""),
                None => rest.split_once('.').unwrap_or((rest, "")),
            };
            shape = shape.and_then(|s| s.child(segment));
            path.push(segment.to_owned());
            rest = tail;
        }
        path
    }
}

fn types(form: &Value) -> impl Iterator<Item = &str> {
    let one = form.get("type").and_then(Value::as_str);
    let many = form.get("type").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(many)
}

fn plural(name: &str) -> String {
    match name {
        words if words.contains("\\|") => format!("({words})"),
        word if word.ends_with('s') => format!("{word}es"),
        word => format!("{word}s"),
    }
}
