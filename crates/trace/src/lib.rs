//! Connections to requests to spans and RED metrics.
//!
//! [`Engine`] is fed by one thread with the kernel half's records. It keeps the connections, lets `wire` frame their
//! messages, and makes of every finished request a measurement and, unless it is not to be kept, a span. Without the
//! feature `engine` only the settings are here, so that a program without the kernel half knows the same keys.

#[cfg(feature = "engine")]
mod common;
#[cfg(feature = "engine")]
mod conn;
#[cfg(feature = "engine")]
mod engine;
#[cfg(feature = "engine")]
mod finish;
#[cfg(feature = "engine")]
mod graph;
#[cfg(feature = "engine")]
mod hist;
#[cfg(feature = "engine")]
mod ids;
#[cfg(feature = "engine")]
mod kernel;
#[cfg(feature = "engine")]
mod red;
#[cfg(feature = "engine")]
mod route;
#[cfg(feature = "engine")]
mod sample;
pub mod settings;
#[cfg(feature = "engine")]
mod shape;
#[cfg(feature = "engine")]
mod span;
#[cfg(feature = "engine")]
mod sums;
#[cfg(feature = "engine")]
mod tree;
#[cfg(feature = "engine")]
mod unlinked;
#[cfg(feature = "engine")]
mod unread;

#[cfg(feature = "engine")]
pub use engine::{Engine, EngineConfig, Outputs, SpanOut};
#[cfg(feature = "engine")]
pub use graph::Graph;
#[cfg(feature = "engine")]
pub use red::{Red, RedSettings};
#[cfg(feature = "engine")]
pub use sample::Sampling;
#[cfg(feature = "engine")]
pub use unlinked::Unlinked;
#[cfg(feature = "engine")]
pub use unread::Unread;

/// Scope name of what this source makes.
pub const SCOPE: &str = "telegen/trace";
