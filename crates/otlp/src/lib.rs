//! OTLP messages: protobuf and JSON encoders, decoders, sizes. No IO, no clock.
//!
//! Requests leave through hand-written encoders that read [`telegen_model`] records in place
//! ([`encode_request`], [`json::encode_request`]); answers and, where Telegen receives, requests come in
//! through the [`message`] types.

mod count;
mod cut;
pub mod decode;
mod edit;
mod edit_profiles;
mod expansion;
mod inline;
pub mod json;
mod memory;
mod merge;
pub mod message;
pub mod pack;
mod profiles;
mod proto;
mod raw;
mod response;
mod schema;
mod size;
mod split;
mod walk;

pub use count::count_items;
pub use cut::by_trace;
pub use decode::{DecodeError, Decoded, decode_request};
pub use edit::{AnyBytes, Edit, edit_raw};
pub use proto::encode_request;
pub use raw::{RawGroup, raw_groups, raw_memory};
pub use response::{Answer, Refusal, decode_response, decode_status, encode_status};
pub use size::{Size, measure, memory_of};
pub use split::{Limits, split};
pub use walk::Malformed;
