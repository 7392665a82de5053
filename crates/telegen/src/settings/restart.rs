//! What a reload cannot take over.

use serde_json::Value;

use super::Settings;

/// Keys that are in effect from the next start on. Those of the kernel half stand in it as constants, and in the size of
/// its tables; the others are kept by what lives as long as the program.
pub(crate) const AT_START: [&str; 11] = [
    "agent.metrics.exponential_histograms",
    "agent.metrics.temporality",
    "agent.ring_size",
    "agent.traces.capture_budget",
    "agent.traces.frontend",
    "agent.traces.head",
    "limits",
    "log.format",
    "mode",
    "resource",
    "view",
];

/// Which of these keys say something else than what is in effect, down to the single values.
pub(crate) fn waiting(in_effect: &Settings, new: &Settings) -> Vec<String> {
    let tree = |settings| serde_json::to_value(settings).unwrap_or_default();
    let (old, new) = (tree(in_effect), tree(new));
    let mut keys = Vec::new();
    for key in AT_START {
        let at = |tree: &Value| key.split('.').try_fold(tree.clone(), |node, part| node.get(part).cloned());
        differences(key, at(&old).as_ref(), at(&new).as_ref(), &mut keys);
    }
    keys
}

fn differences(key: &str, old: Option<&Value>, new: Option<&Value>, keys: &mut Vec<String>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                differences(&format!("{key}.{name}"), a.get(name), b.get(name), keys);
            }
        }
        _ => keys.push(key.to_owned()),
    }
}

/// What a tap that is loaded anew has taken over.
#[cfg(feature = "agent")]
pub(crate) fn tap_loaded(in_effect: &mut Settings, new: &Settings) {
    in_effect.agent.ring_size = new.agent.ring_size;
    in_effect.agent.traces = new.agent.traces.clone();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(yaml: &str) -> Vec<String> {
        let layers = telegen_config::Layers::new().text("t.yaml", yaml, &telegen_config::System);
        let new = layers.load::<Settings>(&telegen_config::System).unwrap().settings;
        waiting(&Settings::default(), &new)
    }

    #[test]
    fn exactly_the_keys_that_wait_for_a_start_are_named() {
        assert_eq!(changed(""), [""; 0]);
        assert_eq!(
            changed(
                "agent: { ring_size: 1MiB, discovery: { exclude: [ { exe: x } ] }, traces: { headers: [a], \
                 mask: { query_keys: [k] }, head: { response: 512 } }, metrics: { max_routes: 7, interval: 3s, temporality: delta } }\n\
                 resource: { attributes: { a.b: c } }\nserver: { hosts: [h] }\n"
            ),
            [
                "agent.metrics.temporality",
                "agent.ring_size",
                "agent.traces.head.response",
                "resource.attributes.a.b"
            ]
        );
    }

    #[test]
    fn every_key_that_waits_is_there_and_in_the_reference() {
        let defaults = serde_json::to_value(Settings::default()).unwrap();
        let reference = super::super::reference();
        for key in AT_START {
            assert!(defaults.pointer(&format!("/{}", key.replace('.', "/"))).is_some(), "{key}");
            assert!(reference.contains(&format!("`{key}`")), "{key}");
        }
    }
}
