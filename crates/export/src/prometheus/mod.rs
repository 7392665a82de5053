//! Prometheus exposition: metrics as text, the OpenMetrics form by content negotiation.
//!
//! Names follow the OpenTelemetry specification "Prometheus and OpenMetrics Compatibility". What does not carry the
//! scope of Telegen's own metrics gets `job`, `instance` and a `target_info` of its resource.

mod names;
mod router;
mod text;

pub use router::router;
pub use text::{Format, render};

#[cfg(test)]
mod tests;
