use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use telegen_model::{KeyValue, Resource, Value, semconv as s};

use super::names;

/// Labels that Telegen sets itself: an attribute of that name is called `exported_...`, as Prometheus does.
const TAKEN: [&str; 3] = ["job", "instance", "le"];

/// `job` and `instance`: what says whose series it is. A network device is no service: it is named by its target.
pub(crate) fn identity_pairs(resource: &Resource) -> Vec<(String, String)> {
    let device = resource.text("snmp.target");
    let nameless = if device.is_some() { "snmp" } else { "unknown_service" };
    let name = resource.text(s::SERVICE_NAME).unwrap_or(nameless);
    let job = match resource.text(s::SERVICE_NAMESPACE) {
        Some(namespace) if !namespace.is_empty() => Cow::Owned(format!("{namespace}/{name}")),
        _ => Cow::Borrowed(name),
    };
    let instance = resource.text(s::SERVICE_INSTANCE_ID).or(device).unwrap_or_default();
    vec![("job".to_owned(), job.into_owned()), ("instance".to_owned(), instance.to_owned())]
}

/// `job="..",instance=".."`.
pub(super) fn identity(resource: &Resource) -> String {
    let pairs = identity_pairs(resource);
    let pairs = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", names::escaped(value)));
    pairs.collect::<Vec<_>>().join(",")
}

/// The other attributes of a resource as labels, for `target_info`.
pub(crate) fn target_pairs(resource: &Resource) -> Vec<(String, String)> {
    pairs(described(resource))
}

fn described(resource: &Resource) -> impl Iterator<Item = &KeyValue> {
    let identifying = [s::SERVICE_NAME, s::SERVICE_NAMESPACE, s::SERVICE_INSTANCE_ID];
    resource.attrs().iter().filter(move |kv| !identifying.contains(&kv.key.as_str()))
}

/// The other attributes of a resource, for `target_info`.
pub(super) fn target(identity: &str, resource: &Resource) -> String {
    series(identity, described(resource))
}

/// The labels of a series, sorted behind its identity. Attributes whose names fall together are joined by
/// `;` as the specification says; lists, maps and octets are no labels.
pub(super) fn series<'a>(identity: &str, attrs: impl IntoIterator<Item = &'a KeyValue>) -> String {
    let merged = merged(attrs);
    let mut out = String::with_capacity(identity.len() + 32 * merged.len());
    out.push_str(identity);
    for (name, value) in &merged {
        let comma = if out.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(out, "{comma}{name}=\"{}\"", names::escaped(value));
    }
    out
}

/// The same labels as pairs, sorted.
pub(crate) fn pairs<'a>(attrs: impl IntoIterator<Item = &'a KeyValue>) -> Vec<(String, String)> {
    merged(attrs).into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn merged<'a>(attrs: impl IntoIterator<Item = &'a KeyValue>) -> BTreeMap<Cow<'a, str>, Cow<'a, str>> {
    let mut merged: BTreeMap<Cow<'a, str>, Cow<'a, str>> = BTreeMap::new();
    for kv in attrs {
        let Some(text) = text(&kv.value) else { continue };
        let mut name = names::label(&kv.key);
        if TAKEN.contains(&name.as_ref()) {
            name = Cow::Owned(format!("exported_{name}"));
        }
        match merged.get_mut(&name) {
            Some(value) => *value = Cow::Owned(format!("{value};{text}")),
            None => {
                merged.insert(name, text);
            }
        }
    }
    merged
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Str(v) => Some(Cow::Borrowed(v)),
        Value::Int(v) => Some(Cow::Owned(v.to_string())),
        Value::Double(v) => Some(Cow::Owned(names::float(*v))),
        Value::Bool(v) => Some(Cow::Borrowed(if *v { "true" } else { "false" })),
        Value::Bytes(_) | Value::Array(_) | Value::Map(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fall_together_are_joined_and_those_of_the_scrape_are_kept_apart() {
        let attrs = [
            KeyValue::new("a.b", "1"),
            KeyValue::new("a_b", 2i64),
            KeyValue::new("job", "x"),
            KeyValue::new("le", true),
            KeyValue::new("0", "\\\"\n"),
            KeyValue::new("list", Value::Array(vec![])),
        ];
        assert_eq!(
            series("job=\"j\",instance=\"\"", &attrs),
            "job=\"j\",instance=\"\",a_b=\"1;2\",exported_job=\"x\",exported_le=\"true\",key_0=\"\\\\\\\"\\n\""
        );
        assert_eq!(series("", &attrs[..1]), "a_b=\"1\"");
    }

    #[test]
    fn a_target_is_named_by_its_service_and_described_by_the_rest() {
        let resource = Resource::new(vec![
            KeyValue::new("service.name", "shop"),
            KeyValue::new("service.namespace", "web"),
            KeyValue::new("service.instance.id", "i"),
            KeyValue::new("host.name", "h"),
        ]);
        let identity = identity(&resource);
        assert_eq!(identity, "job=\"web/shop\",instance=\"i\"");
        assert_eq!(target(&identity, &resource), "job=\"web/shop\",instance=\"i\",host_name=\"h\"");
        assert_eq!(super::identity(&Resource::default()), "job=\"unknown_service\",instance=\"\"");
    }
}
