//! Attribute processors: what the user wants changed in everything that leaves.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use telegen_model::{Attrs, KeyValue, Metric, MetricData, Records, Resource, ResourceGroup, Str, Value};
use telegen_otlp::pack::unpack_all;
use telegen_otlp::{AnyBytes, Edit, edit_raw};

use crate::settings::{AttributeAction, AttributeProcessor, ProcessSettings};

/// Resources whose changed form is remembered, so that records of one resource stay together.
const RESOURCES: usize = 64;

/// What stands in place of a masked value.
const MASKED: &str = "REDACTED";

/// Attribute processors, ready to use. `drop`, `rename`, `hash` and `mask` change an attribute wherever it stands:
/// resources, scopes, spans, events, links, log records, data points. `set` sets it on spans, log records and points.
#[derive(Default)]
pub(crate) struct Processors {
    rules: Vec<AttributeProcessor>,
    sets: bool,
    known: Mutex<Vec<(Arc<Resource>, Arc<Resource>)>>,
}

/// A value that rules can look at and replace.
trait Held {
    fn identity(&self) -> Cow<'_, [u8]>;
    fn text(text: &str) -> Self;
}

impl Held for AnyBytes<'_> {
    fn identity(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(AnyBytes::identity(self))
    }

    fn text(text: &str) -> Self {
        AnyBytes::text(text)
    }
}

impl Held for Value {
    fn identity(&self) -> Cow<'_, [u8]> {
        match self {
            Value::Str(text) => Cow::Borrowed(text.as_bytes()),
            other => Cow::Owned(AnyBytes::of(other).identity().to_vec()),
        }
    }

    fn text(text: &str) -> Self {
        Value::from(text)
    }
}

impl Processors {
    pub(crate) fn new(settings: &ProcessSettings) -> Processors {
        let rules = settings.attributes.clone();
        let sets = rules.iter().any(|r| r.action == AttributeAction::Set);
        Processors { rules, sets, known: Mutex::default() }
    }

    /// The group as it is to leave.
    pub(crate) fn apply(&self, mut group: ResourceGroup) -> ResourceGroup {
        if self.rules.is_empty() {
            return group;
        }
        group.resource = self.resource(group.resource);
        if let Records::Packed(packed) = &group.records {
            group.records = Records::Spans(unpack_all(packed));
        }
        match &mut group.records {
            // Was read above.
            Records::Packed(_) => {}
            Records::Spans(spans) => {
                for span in spans {
                    self.list(&mut span.attrs, true);
                    span.events.iter_mut().for_each(|e| self.list(&mut e.attrs, false));
                    span.links.iter_mut().for_each(|l| self.list(&mut l.attrs, false));
                }
            }
            Records::Logs(logs) => logs.iter_mut().for_each(|l| self.list(&mut l.attrs, true)),
            Records::Metrics(metrics) => metrics.iter_mut().for_each(|m| self.metric(m)),
            Records::Raw(raw) => {
                if let Some(changed) = edit_raw(raw, self) {
                    *raw = changed;
                }
            }
        }
        group
    }

    fn resource(&self, of: Arc<Resource>) -> Arc<Resource> {
        if !of.attrs().iter().any(|kv| self.touches(&kv.key)) {
            return of;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, changed)) =
            known.iter().find(|(before, _)| Arc::ptr_eq(before, &of) || **before == *of)
        {
            return changed.clone();
        }
        let mut attrs = of.attrs().to_vec();
        self.list(&mut attrs, false);
        let changed = Arc::new(Resource::new(attrs));
        if known.len() >= RESOURCES {
            known.remove(0);
        }
        known.push((of, changed.clone()));
        changed
    }

    fn metric(&self, metric: &mut Metric) {
        match &mut metric.data {
            MetricData::Gauge(points) | MetricData::Sum { points, .. } => {
                points.iter_mut().for_each(|p| self.shared(&mut p.attrs));
            }
            MetricData::Histogram { points, .. } => points.iter_mut().for_each(|p| self.shared(&mut p.attrs)),
            MetricData::ExponentialHistogram { points, .. } => {
                points.iter_mut().for_each(|p| self.shared(&mut p.attrs));
            }
        }
    }

    fn shared(&self, attrs: &mut Attrs) {
        if self.sets || attrs.iter().any(|kv| self.touches(&kv.key)) {
            let mut list = attrs.to_vec();
            self.list(&mut list, true);
            *attrs = list.into();
        }
    }

    fn list(&self, attrs: &mut Vec<KeyValue>, record: bool) {
        let changes = (record && self.sets) || attrs.iter().any(|kv| self.touches(&kv.key));
        if !changes {
            return;
        }
        let mut pairs: Vec<(Cow<'_, str>, Value)> =
            attrs.drain(..).map(|kv| (Cow::Owned(kv.key.to_string()), kv.value)).collect();
        self.run(&mut pairs, record);
        attrs.extend(pairs.into_iter().map(|(key, value)| KeyValue { key: Str::from(key), value }));
    }

    /// All rules, in their order.
    fn run<V: Held>(&self, pairs: &mut Vec<(Cow<'_, str>, V)>, record: bool) {
        for rule in &self.rules {
            let at = pairs.iter().position(|(key, _)| *key == *rule.key);
            match (rule.action, at) {
                (AttributeAction::Drop, Some(at)) => drop(pairs.remove(at)),
                (AttributeAction::Rename, Some(at)) => {
                    let to = rule.to.clone().unwrap_or_default();
                    let (_, value) = pairs.remove(at);
                    // Keys are unique: what is renamed takes the place of what has the name.
                    pairs.retain(|(key, _)| *key != to);
                    pairs.insert(at.min(pairs.len()), (Cow::Owned(to), value));
                }
                (AttributeAction::Hash, Some(at)) => pairs[at].1 = V::text(&hash(&pairs[at].1.identity())),
                (AttributeAction::Mask, Some(at)) => pairs[at].1 = V::text(MASKED),
                (AttributeAction::Set, at) if record => {
                    let value = V::text(rule.value.as_deref().unwrap_or_default());
                    match at {
                        Some(at) => pairs[at].1 = value,
                        None => pairs.push((Cow::Owned(rule.key.clone()), value)),
                    }
                }
                _ => {}
            }
        }
    }
}

impl Edit for Processors {
    fn touches(&self, key: &str) -> bool {
        self.rules.iter().any(|r| r.key == key && r.action != AttributeAction::Set)
    }

    fn touches_records(&self) -> bool {
        self.sets
    }

    fn edit<'a>(&self, list: &mut Vec<(Cow<'a, str>, AnyBytes<'a>)>, record: bool) {
        self.run(list, record);
    }
}

/// SHA-256 in hexadecimal.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut out, b| {
        let _never_fails = write!(out, "{b:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use telegen_model::Signal;
    use telegen_otlp::{decode_request, encode_request, raw_groups};
    use telegen_testkit::records;

    fn rules() -> Processors {
        let rule = |action, key: &str, to: Option<&str>, value: Option<&str>| AttributeProcessor {
            action,
            key: key.to_owned(),
            to: to.map(str::to_owned),
            value: value.map(str::to_owned),
        };
        Processors::new(&ProcessSettings {
            attributes: vec![
                rule(AttributeAction::Drop, "url.query", None, None),
                rule(AttributeAction::Rename, "host.name", Some("node"), None),
                rule(AttributeAction::Hash, "client.address", None, None),
                rule(AttributeAction::Mask, "url.path", None, None),
                rule(AttributeAction::Set, "env", None, Some("prod")),
                rule(AttributeAction::Rename, "env", Some("stage"), None),
            ],
        })
    }

    fn read(group: &ResourceGroup) -> (Vec<String>, Vec<Vec<KeyValue>>) {
        let resource = group.resource.attrs().iter().map(|kv| kv.key.to_string()).collect();
        let Records::Spans(spans) = &group.records else { panic!("spans") };
        (resource, spans.iter().map(|s| s.attrs.clone()).collect())
    }

    #[test]
    fn typed_and_raw_records_are_changed_alike_and_in_the_order_of_the_rules() {
        let spans = Records::Spans(vec![records::http_span(1), records::full_span()]);
        let group = records::group(&records::resource("shop"), spans);
        let rules = rules();
        let typed = rules.apply(group.clone());
        let (resource, attrs) = read(&typed);
        assert!(resource.contains(&"node".to_owned()) && !resource.contains(&"host.name".to_owned()));
        let get = |key: &str| attrs[0].iter().find(|kv| kv.key == key).map(|kv| kv.value.clone());
        assert_eq!(
            (get("url.query"), get("url.path"), get("stage")),
            (None, Some("REDACTED".into()), Some("prod".into()))
        );
        // printf 10.1.2.3 | sha256sum
        let hashed = "8e099943f7370d7ecd46ad56442e02670e8ed1a8b2ba5c42a69f06f1c050189b";
        assert_eq!(get("client.address"), Some(hashed.into()));
        assert_eq!(get("env"), None);

        let Records::Spans(spans) = &group.records else { panic!("spans") };
        let packed = Records::Packed(telegen_otlp::pack::pack(spans));
        assert_eq!(rules.apply(ResourceGroup { records: packed, ..group.clone() }), typed);

        let bytes = encode_request(&[group]);
        let raw = raw_groups(Signal::Traces, &bytes).unwrap().remove(0);
        let raw = ResourceGroup {
            resource: Arc::new(raw.resource),
            scope: typed.scope.clone(),
            records: Records::Raw(raw.records),
        };
        let changed = rules.apply(raw);
        let back = decode_request(Signal::Traces, encode_request(&[changed])).unwrap().groups;
        assert_eq!(back, [typed]);
    }

    #[test]
    fn what_no_rule_touches_keeps_its_bytes() {
        let none = Processors::new(&ProcessSettings {
            attributes: vec![AttributeProcessor {
                action: AttributeAction::Drop,
                key: "no.such.key".to_owned(),
                to: None,
                value: None,
            }],
        });
        let bytes = encode_request(&[records::group(
            &records::resource("shop"),
            Records::Logs(vec![records::log(1)]),
        )]);
        let raw = raw_groups(Signal::Logs, &bytes).unwrap().remove(0).records;
        assert_eq!(edit_raw(&raw, &none), None);
    }

    #[test]
    fn points_of_every_kind_are_changed() {
        let group = records::group(&records::resource("shop"), Records::Metrics(records::metrics()));
        let bytes = encode_request(&[rules().apply(group)]);
        let points: usize = telegen_otlp::count_items(Signal::Metrics, &bytes).unwrap();
        let text =
            String::from_utf8_lossy(&telegen_otlp::json::from_protobuf(Signal::Metrics, &bytes).unwrap())
                .into_owned();
        assert_eq!(text.matches(r#""key":"stage","value":{"stringValue":"prod"}"#).count(), points);
    }
}
