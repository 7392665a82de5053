use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_model::{Resource, Temporality};

/// When a batch is closed: at the first bound that is reached. Exporters with equal bounds share batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchConfig {
    /// Size of the encoded request at most, before compression. A single record that is larger goes alone.
    pub max_bytes: usize,
    /// Items at most: spans, data points, log records.
    pub max_items: usize,
    /// Age of the oldest record at most.
    pub timeout: Duration,
}

impl Default for BatchConfig {
    /// 4 MiB, 8,192 items, 1 s.
    fn default() -> BatchConfig {
        BatchConfig { max_bytes: 4 << 20, max_items: 8192, timeout: Duration::from_secs(1) }
    }
}

/// What happens to a batch when the queue has no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Whoever can wait is refused; for sources that cannot, the new batch is lost.
    #[default]
    Block,
    /// The oldest batches that are not being sent make room, and are lost.
    DropOldest,
    /// The new batch is lost.
    DropNewest,
}

/// The bound of one exporter's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Bytes in memory, those being sent included; for a queue on disk, bytes of its files.
    pub max_size: usize,
    /// What to do when that is reached.
    pub when_full: WhenFull,
}

impl Default for QueueConfig {
    /// 64 MiB, `block`.
    fn default() -> QueueConfig {
        QueueConfig { max_size: 64 << 20, when_full: WhenFull::Block }
    }
}

/// Where a queue on disk lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// Folder of this exporter's queue alone; made with mode 0700.
    pub path: PathBuf,
    /// Longest time between the writing of a batch and its sync.
    pub fsync: Duration,
    /// Bytes that may be in memory: on their way to the disk, and ahead of the sender.
    pub memory: usize,
}

/// How often a refused batch is sent again: waits double each time, spread by +-20 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// The first wait.
    pub initial: Duration,
    /// The longest wait, unless the peer asks for a longer one.
    pub max: Duration,
    /// After this time a batch is given up; zero: never, the queue is the bound.
    pub max_elapsed: Duration,
}

impl Default for RetryConfig {
    /// 1 s, 30 s, for ever.
    fn default() -> RetryConfig {
        RetryConfig {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(30),
            max_elapsed: Duration::ZERO,
        }
    }
}

/// How the ledger looks at a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// Its deliveries count.
    #[default]
    Exporter,
    /// The embedded view: counts only for signals that no exporter takes.
    View,
    /// Never counts: the console.
    Uncounted,
    /// Never counts, and is given only what comes by itself: a scrape reads metric sources and Telegen's own metrics when
    /// it comes.
    Scrape,
}

/// How batches reach one sink.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SinkConfig {
    /// When batches are closed.
    pub batch: BatchConfig,
    /// How many may wait.
    pub queue: QueueConfig,
    /// Where they wait; `None`: in memory.
    pub disk: Option<DiskConfig>,
    /// How long they are tried.
    pub retry: RetryConfig,
    /// Items a second at most; `None`: as fast as the peer takes them. What is too much waits in the queue; at the end
    /// of the program it is sent at once.
    pub rate: Option<NonZeroU64>,
    /// How the ledger looks at it.
    pub role: Role,
}

/// Settings of the whole pipeline.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// How often metric sources are read for exporters, until [`crate::Pipeline::read_metrics_every`] says otherwise.
    pub metrics_interval: Duration,
    /// How the sums and histograms they give count.
    pub temporality: Temporality,
    /// The resource under which Telegen's own metrics leave with the others; `None`: they do not.
    pub self_resource: Option<Arc<Resource>>,
}

impl Default for PipelineConfig {
    /// 10 s, cumulative, no own metrics.
    fn default() -> PipelineConfig {
        PipelineConfig {
            metrics_interval: Duration::from_secs(10),
            temporality: Temporality::Cumulative,
            self_resource: None,
        }
    }
}
