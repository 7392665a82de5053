//! Settings under `log`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::logs::{LogFormat, LogLevel};

/// What Telegen says about itself on standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Least severe line that is written. `debug` and `trace` are for finding faults in Telegen itself.
    pub level: LogLevel,
    /// `text` for people, `json` (one object a line) for machines.
    pub format: LogFormat,
}
