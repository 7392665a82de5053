//! Settings of queues, batches and retries (below each exporter), and of `process`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::{ByteSize, Check, Duration, DurationOrZero, Report};

use crate::{BatchConfig, DiskConfig, QueueConfig, RetryConfig, WhenFull};

/// What is put together into one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchSettings {
    /// Largest request before compression.
    pub max_bytes: ByteSize,
    /// Most spans, data points or log records in a request.
    pub max_items: NonZeroU32,
    /// Longest wait for a batch to fill.
    pub timeout: Duration,
}

impl Default for BatchSettings {
    fn default() -> BatchSettings {
        let max_items = NonZeroU32::MIN.saturating_add(8191);
        BatchSettings { max_bytes: ByteSize::mib(4), max_items, timeout: Duration::secs(1) }
    }
}

impl BatchSettings {
    /// The bounds as the pipeline takes them.
    pub fn config(&self) -> BatchConfig {
        let max_items = usize::try_from(self.max_items.get()).unwrap_or(usize::MAX);
        BatchConfig { max_bytes: self.max_bytes.as_usize(), max_items, timeout: self.timeout.get() }
    }
}

/// When a request that failed for a while is sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// Wait before the second attempt; it doubles, with jitter, up to `max`. What the peer asks for
    /// (`Retry-After`, `RetryInfo`) wins, up to 5m, or up to `max` where that is longer.
    pub initial: Duration,
    /// Longest wait between two attempts.
    pub max: Duration,
    /// After this, and a last try, the batch is lost (`retry_expired`). 0s: never, the queue is the bound.
    pub max_elapsed: DurationOrZero,
}

impl Default for RetrySettings {
    fn default() -> RetrySettings {
        let (initial, max) = (Duration::secs(1), Duration::secs(30));
        RetrySettings { initial, max, max_elapsed: DurationOrZero::ZERO }
    }
}

impl RetrySettings {
    /// The waits as the pipeline takes them.
    pub fn config(&self) -> RetryConfig {
        let max_elapsed = self.max_elapsed.get().unwrap_or_default();
        RetryConfig { initial: self.initial.get(), max: self.max.get(), max_elapsed }
    }
}

impl Check for RetrySettings {
    fn check(&self, report: &mut Report) {
        if self.initial > self.max {
            report.wrong("initial", "longer than max");
        }
    }
}

/// What waits for an exporter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// Folder of the queue on disk, which survives a restart. Not set: in memory.
    #[schemars(example = &"/var/lib/telegen/queue")]
    pub path: Option<PathBuf>,
    /// Bytes on disk (+10 % at most), or in memory without a path. Not set: 1GiB on disk, a share of `limits.memory`
    /// in memory.
    #[schemars(example = &"1GiB")]
    pub max_size: Option<ByteSize>,
    /// Longest time that an accepted batch may be on its way to the disk.
    pub fsync: Duration,
    /// What a full queue does. `block`: receivers refuse, the tap counts a loss. `drop_oldest`, `drop_newest`:
    /// everything is accepted and the loss is counted. Not set: `drop_oldest` with a path, `block` without.
    #[schemars(example = &"drop_oldest")]
    pub when_full: Option<WhenFull>,
}

impl Default for QueueSettings {
    fn default() -> QueueSettings {
        let fsync = Duration::millis(100);
        QueueSettings { path: None, max_size: None, fsync, when_full: None }
    }
}

impl QueueSettings {
    /// What a full queue does, with the default filled in.
    pub fn when_full(&self) -> WhenFull {
        let default = if self.path.is_some() { WhenFull::DropOldest } else { WhenFull::Block };
        self.when_full.unwrap_or(default)
    }

    /// The queue's bound; `memory` bounds what was not set, when it lies there.
    pub fn config(&self, memory: ByteSize) -> QueueConfig {
        let default = if self.path.is_some() { ByteSize::mib(1024) } else { memory };
        let max_size = self.max_size.unwrap_or(default).as_usize();
        QueueConfig { max_size, when_full: self.when_full() }
    }

    /// Where the queue of an exporter lies on disk, if it does: in a folder of its own. `memory` bounds what of it is in
    /// memory.
    pub fn disk(&self, exporter: &str, memory: ByteSize) -> Option<DiskConfig> {
        let name: String = exporter
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
            .collect();
        let path = self.path.as_ref()?.join(name.trim_start_matches('.'));
        Some(DiskConfig { path, fsync: self.fsync.get(), memory: memory.as_usize() })
    }
}

/// What is done to every record before it leaves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessSettings {
    /// Attribute processors, in this order, for all signals.
    #[schemars(example = an_example())]
    pub attributes: Vec<AttributeProcessor>,
}

fn an_example() -> [AttributeProcessor; 1] {
    let action = AttributeAction::Drop;
    [AttributeProcessor { action, key: "user_agent.original".to_owned(), to: None, value: None }]
}

/// One change to attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributeProcessor {
    /// What to do with the attribute.
    pub action: AttributeAction,
    /// The attribute's name.
    pub key: String,
    /// The new name, for `rename`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The value, for `set`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// What an attribute processor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttributeAction {
    /// Removes the attribute.
    Drop,
    /// Gives it the name in `to`.
    Rename,
    /// Replaces the value by its hash: equal values stay equal.
    Hash,
    /// Replaces the value by `REDACTED`.
    Mask,
    /// Sets it to `value`.
    Set,
}

impl Check for ProcessSettings {
    fn check(&self, report: &mut Report) {
        for (i, processor) in self.attributes.iter().enumerate() {
            report.under(&format!("attributes.{i}"), |report| {
                let (rename, set) = (AttributeAction::Rename, AttributeAction::Set);
                for (key, value, action) in [("to", &processor.to, rename), ("value", &processor.value, set)]
                {
                    match (processor.action == action, value.is_some()) {
                        (true, false) => report.wrong("", format!("this action needs `{key}`")),
                        (false, true) => report.wrong(key, "this action has no use for it"),
                        _ => {}
                    }
                }
                if processor.key.is_empty() {
                    report.wrong("key", "expected an attribute's name");
                }
            });
        }
    }
}
