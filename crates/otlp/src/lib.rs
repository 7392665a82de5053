//! OTLP messages: protobuf and JSON encoders, decoders, sizes. No IO, no clock.
//!
//! Requests leave through hand-written encoders that read [`telegen_model`] records in place
//! ([`encode_request`], [`json::encode_request`]); answers and, where Telegen receives, requests come in
//! through the [`message`] types.

pub mod decode;
mod merge;
pub mod message;
mod proto;
mod size;
mod split;

pub use decode::{DecodeError, Decoded, decode_request};
pub use proto::encode_request;
pub use size::{Size, measure};
pub use split::{Limits, split};
