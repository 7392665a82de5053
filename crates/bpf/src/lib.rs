//! Skeletons, feature probes, loader and ring pumps: the only crate that names libbpf.
//!
//! One module per folder of `/bpf`, each only a typed handle: attach, typed tables, typed records. What the records
//! mean is the sources' business.

#![allow(
    unsafe_code,
    reason = "records are read in place and maps by file descriptor; each block says why it holds"
)]

pub mod abi;
mod common;
mod error;
mod probe;
mod pump;
mod record;
mod ring;
mod tap;

pub use common::{Counters, ProcTable};
pub use error::Error;
pub use probe::{Need, probe};
pub use pump::{Brought, MOST, Pump};
pub use record::Record;
pub use tap::{Tap, TapSettings};
