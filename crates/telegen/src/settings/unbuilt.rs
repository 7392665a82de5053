//! Sections that can be set and checked, and that this program has no code for yet.

use super::{Load, Mode};

/// A section without code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unbuilt {
    /// Name of the feature in `doctor`, the log and `telegen_feature_enabled`.
    pub(crate) feature: &'static str,
    /// Key of the section.
    pub(crate) key: &'static str,
    /// Whether someone asked for it: the file, the environment or the command line names it.
    pub(crate) wanted: bool,
}

impl Unbuilt {
    /// Why it is off.
    pub(crate) const REASON: &'static str = "not built yet: this version has no code for it";

    /// What to do.
    pub(crate) fn remedy(&self) -> String {
        match self.wanted {
            true => format!("remove {} from the configuration, or use a later version", self.key),
            false => "use a later version".to_owned(),
        }
    }
}

const AGENT: [(&str, &str); 5] = [
    ("profiles", "agent.profiles"),
    ("logs", "agent.logs"),
    ("host", "agent.host"),
    ("network", "agent.network"),
    ("gpu", "agent.gpu"),
];

const COLLECTOR: [(&str, &str); 3] =
    [("arrays", "collector.arrays"), ("clouds", "collector.clouds"), ("databases", "collector.databases")];

/// The sections of the mode at hand that have no code. Those of the other mode, and those that are off until set, are
/// named only when someone asked for them.
pub(crate) fn unbuilt(load: &Load) -> Vec<Unbuilt> {
    let settings = &load.loaded.settings;
    let agent = settings.mode == Mode::Agent;
    let mut all = Vec::new();
    let mut add = |list: &[(&'static str, &'static str)], always: bool| {
        for (feature, key) in list {
            let wanted = load.loaded.is_written(key);
            if always || wanted {
                all.push(Unbuilt { feature, key, wanted });
            }
        }
    };
    add(&AGENT, agent);
    add(&COLLECTOR, !agent);
    all.retain(|u| !load.loaded.is_written_as(&format!("{}.enabled", u.key), "false"));
    all
}
