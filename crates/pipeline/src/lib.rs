//! Batches, bounded queues, routing, acknowledgement, ordered shutdown.
//!
//! A source pushes [`telegen_model::ResourceGroup`]s into an [`Input`]; exporters and the view stand behind
//! [`Sink`]. In between, records are gathered into [`Batch`]es and every sink has a queue of its own with a
//! bound in bytes, so that a slow sink delays neither the source nor another sink. What does not fit is
//! counted in the ledger, and nothing else is ever dropped.

mod ack;
mod admit;
mod backoff;
mod batch;
mod config;
mod disk;
mod exporter;
mod hub;
mod line;
mod own;
mod pace;
mod pipeline;
mod process;
mod queue;
pub mod settings;
mod sink;

pub use ack::{Ack, AckLevel, Acked, Hold};
pub use admit::{Refused, Reservation};
pub use backoff::LONGEST_WISH;
pub use batch::Batch;
pub use config::{
    BatchConfig, DiskConfig, PipelineConfig, QueueConfig, RetryConfig, Role, SinkConfig, WhenFull,
};
pub use pace::Pace;
pub use pipeline::{Input, Pipeline, PipelineError};
pub use sink::{BoxFuture, MetricSource, Outcome, Reader, SignalSet, Sink};
