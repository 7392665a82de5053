//! Prometheus exposition: metrics as text, in the OpenMetrics form by content negotiation.
//!
//! Names follow the OpenTelemetry specification "Prometheus and OpenMetrics Compatibility". What does not carry
//! the scope of Telegen's own metrics gets `job`, `instance` and a `target_info` of its resource.
//! An exponential histogram appears as a classic one whose bounds are powers of two, so that they are the same
//! at every scrape whatever its scale is.

mod exponential;
mod families;
mod kept;
mod labels;
mod names;
mod router;
mod text;

pub use kept::Kept;
pub use router::router;
pub use text::{Format, render};

#[cfg(test)]
mod tests;

pub(crate) use exponential::classic;
pub(crate) use labels::{identity_pairs, pairs as label_pairs, target_pairs};
pub(crate) use names::{Kind, family as family_name, float};
