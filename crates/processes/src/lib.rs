//! One live table of processes, fed by kernel events and a start-up scan, read by every source.
//!
//! A process is entered with what its exec event carried, because a short-lived one is gone before `/proc` is read;
//! what `/proc` still tells is added. Out of that come the service it belongs to, its two resources (with and without
//! `process.*`), and whether the discovery rules select it.

mod discovery;
mod identity;
mod naming;
pub mod settings;
mod table;

pub use discovery::{Discovery, Rule};
pub use identity::HostIdentity;
pub use naming::{NameSource, Named, Runtime};
pub use table::{Exec, Execution, Process, Selection, Table};
