use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::{Check, Report};

use telegen_snmp::settings::SnmpSettings;

/// Settings of a source that is not built yet: any keys.
type Later = serde_json::Map<String, serde_json::Value>;

/// Polling what Telegen cannot run on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CollectorSettings {
    /// Network devices.
    pub(crate) snmp: SnmpSettings,
    /// Storage arrays.
    pub(crate) arrays: Vec<Later>,
    /// Clouds.
    pub(crate) clouds: Vec<Later>,
    /// Databases.
    pub(crate) databases: Vec<Later>,
}

impl Check for CollectorSettings {
    fn check(&self, report: &mut Report) {
        report.section("snmp", &self.snmp);
    }
}
