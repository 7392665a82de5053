use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::ser::{Serialize, SerializeStruct, Serializer};
use telegen_model::Metric;

use crate::logs::NOTICE;
use crate::registry::{Window, attrs, gauge_metric};

/// Whether a feature works and, when it does not, why and what to do.
///
/// Serialises with its name as `feature`, and as `name` for those who read the first form of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureState {
    /// Its name, such as `traces` or `server`.
    pub name: &'static str,
    /// Whether it works.
    pub enabled: bool,
    /// Why it is off; empty when it is on.
    pub reason: String,
    /// What the user can do about it; empty when it is on.
    pub remedy: String,
}

impl Serialize for FeatureState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("FeatureState", 5)?;
        s.serialize_field("feature", self.name)?;
        s.serialize_field("name", self.name)?;
        s.serialize_field("enabled", &self.enabled)?;
        s.serialize_field("reason", &self.reason)?;
        s.serialize_field("remedy", &self.remedy)?;
        s.end()
    }
}

/// Which features are on, and why the others are not. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Features {
    states: Arc<Mutex<BTreeMap<&'static str, FeatureState>>>,
}

impl Features {
    /// The feature works.
    pub fn on(&self, name: &'static str) {
        self.set(FeatureState { name, enabled: true, reason: String::new(), remedy: String::new() });
    }

    /// The feature does not work. A change is logged, with the reason and the remedy.
    pub fn off(&self, name: &'static str, reason: impl Into<String>, remedy: impl Into<String>) {
        self.set(FeatureState { name, enabled: false, reason: reason.into(), remedy: remedy.into() });
    }

    /// All features that were named so far, sorted by name.
    pub fn snapshot(&self) -> Vec<FeatureState> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn metrics(&self, window: Window, out: &mut Vec<Metric>) {
        let values =
            self.lock().values().map(|f| (attrs(&[("feature", f.name)]), i64::from(f.enabled))).collect();
        out.push(gauge_metric(
            "telegen.feature.enabled",
            "",
            "1 if the feature works, else 0.",
            window,
            values,
        ));
    }

    fn set(&self, new: FeatureState) {
        let old = self.lock().insert(new.name, new.clone());
        if old.as_ref() == Some(&new) {
            return;
        }
        if !new.enabled {
            tracing::warn!(target: NOTICE, feature = new.name, reason = new.reason, remedy = new.remedy, "feature is off");
        } else if old.is_some_and(|o| !o.enabled) {
            tracing::info!(target: NOTICE, feature = new.name, "feature is on again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, FeatureState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_feature_stands() {
        let f = Features::default();
        f.off("traces", "CAP_BPF is missing", "run as root");
        f.on("server");
        f.on("traces");
        f.off("profiles", "not built", "");
        let names: Vec<_> = f.snapshot().iter().map(|s| (s.name, s.enabled, s.reason.clone())).collect();
        assert_eq!(
            names,
            [
                ("profiles", false, "not built".to_string()),
                ("server", true, String::new()),
                ("traces", true, String::new())
            ]
        );
    }
}
