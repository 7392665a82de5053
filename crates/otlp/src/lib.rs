//! OTLP messages: protobuf and JSON encoders, decoders, sizes. No IO, no clock.
//!
//! Requests leave through hand-written encoders that read [`telegen_model`] records in place
//! ([`encode_request`], [`json::encode_request`]); answers and, where Telegen receives, requests come in
//! through the [`message`] types.

mod merge;
mod proto;
mod size;

pub use proto::encode_request;
pub use size::{Size, measure};
