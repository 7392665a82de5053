//! Settings under `view`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::ByteSize;

/// The page on `server.listen` and what it remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ViewSettings {
    /// Whether the page and its API are served.
    pub enabled: bool,
    /// Memory for recent spans and series, inside `limits.memory`.
    pub memory: ByteSize,
}

impl Default for ViewSettings {
    fn default() -> ViewSettings {
        ViewSettings { enabled: true, memory: ByteSize::mib(16) }
    }
}
