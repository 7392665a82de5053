//! What tests share: OTLP sink, records, certificates. A dev-dependency only.

pub mod records;
pub mod sink;
pub mod tls;

pub use sink::{OtlpSink, Reply, Request};
