//! Connections to requests to spans and RED metrics.
//!
//! [`Engine`] is fed by one thread with the kernel half's records. It keeps the connections, lets `wire` frame their
//! messages, and makes of every finished request a measurement and, unless it is not to be kept, a span.

mod conn;
mod engine;
mod hist;
mod ids;
mod lost;
mod red;
mod sample;
pub mod settings;
mod span;
mod unread;

pub use engine::{Engine, EngineConfig, SpanOut};
pub use red::{Red, RedSettings};
pub use sample::Sampling;
pub use unread::Unread;

/// Scope name of what this source makes.
pub const SCOPE: &str = "telegen/trace";
