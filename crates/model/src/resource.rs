use std::hash::{Hash, Hasher};

use crate::{KeyValue, Value};

/// What produced telemetry: attributes sorted by key, unique. Shared behind an `Arc`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    attrs: Vec<KeyValue>,
}

impl Resource {
    /// Builds a resource; of pairs with one key the first stands.
    pub fn new(mut attrs: Vec<KeyValue>) -> Resource {
        attrs.sort_by(|a, b| a.key.cmp(&b.key));
        attrs.dedup_by(|b, a| a.key == b.key);
        Resource { attrs }
    }

    /// The attributes, sorted by key.
    pub fn attrs(&self) -> &[KeyValue] {
        &self.attrs
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let at = self.attrs.binary_search_by(|kv| kv.key.as_str().cmp(key)).ok()?;
        Some(&self.attrs[at].value)
    }

    /// The text of a key, when it is there and a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// This resource with more attributes; those given win over those present.
    pub fn with(&self, more: Vec<KeyValue>) -> Resource {
        let mut attrs = more;
        attrs.extend(self.attrs.iter().cloned());
        Resource::new(attrs)
    }
}

impl Eq for Resource {}

// Texts and integers identify a resource; other kinds only add to the comparison, not to the hash.
impl Hash for Resource {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for kv in &self.attrs {
            kv.key.hash(state);
            match &kv.value {
                Value::Str(s) => s.hash(state),
                Value::Int(i) => i.hash(state),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_pairs_with_one_key_stands() {
        let r =
            Resource::new(vec![KeyValue::new("b", "1"), KeyValue::new("a", "2"), KeyValue::new("b", "3")]);
        assert_eq!(r.text("b"), Some("1"));
        assert_eq!(r.attrs().len(), 2);
        let more = r.with(vec![KeyValue::new("a", "9")]);
        assert_eq!((more.text("a"), more.text("b")), (Some("9"), Some("1")));
    }
}
