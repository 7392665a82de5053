//! The disk queue: first in, first out, on files of a folder of its own.
//!
//! A queue is a folder (0700) of segments (0600). A segment begins with a header and holds records; every record has
//! a header with a checksum of its own, so that its length can be trusted, and a checksum of its payload. The last
//! segment is written to (`.open`); a full one is sealed by a rename that puts its number of records, items and bytes
//! into the file's name: what a damaged segment lost stands outside of it. How far the reader's peer took the records
//! is in `progress`, written beside and renamed. Numbers are little-endian; every file carries a version.
//!
//! Nothing here refuses to start: a bad record cuts its segment, the rest is set aside in `damaged/`, counted, and
//! the queue goes on with the next. A full file system is [`AppendError::Full`], never a broken queue.

mod aside;
mod error;
mod folder;
mod format;
mod inspect;
mod names;
mod progress;
mod queue;
mod recover;

pub use error::{AppendError, OpenError};
pub use folder::Lock;
pub use inspect::{Inspected, InspectedSegment, inspect};
pub use queue::{Cursor, Damage, Evicted, Options, Queue, Read, Record, Recovered};
