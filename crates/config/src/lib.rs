//! One file plus the environment into validated settings; schema, reference, default file.
//!
//! Settings are plain structs with serde and schemars derives, `#[serde(default, deny_unknown_fields)]` and a doc
//! comment for every key: from them come the reader, the JSON Schema, the reference and the default file.
//! [`Layers`] joins what was written (environment, file, `--set`), [`Layers::load`] reads it and answers with the
//! settings or with *every* problem: `FILE:LINE:COL key: what is wrong (nearest: KEY)`.
//!
//! A value keeps the place it was written at and whether it was substituted, so messages can name the first and hide
//! the second.

mod de;
mod docs;
mod error;
mod file;
mod load;
mod node;
mod parse;
mod shape;
mod show;
mod substitute;
mod suggest;
mod types;

pub use docs::{default_file, reference};
pub use error::{Errors, Problem, ProblemKind};
pub use file::{read_file, read_text};
pub use load::{Check, Layers, Loaded, Report};
pub use node::{Entry, Kind, Node, Place, Scalar};
pub use parse::{MAX_BYTES, MAX_DEPTH, MAX_NODES, parse};
pub use shape::schema;
pub use substitute::{Lookup, MAX_FILE, REDACTED, System};
pub use types::{
    ByteSize, Duration, DurationOrZero, HostPort, Listen, OneOrMany, Rate, Ratio, SecretText, Url,
    without_user_info,
};
