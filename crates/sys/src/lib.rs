//! What the operating system tells: procfs, cgroups, clocks, host identity, datagrams. With `bpf` the only crate where
//! `unsafe` may stand; only [`datagram`] and [`memory`] need it.
//!
//! Everything read from another process is hostile: sizes are bounded, paths are opened below the process's own root,
//! and only regular files are read.

mod cgroup;
mod clock;
#[allow(unsafe_code, reason = "system calls on many datagrams, which no safe crate offers")]
pub mod datagram;
mod diag;
mod foreign;
mod host;
#[allow(unsafe_code, reason = "the C library's own calls, which no safe crate offers")]
pub mod memory;
mod procfs;
mod sockets;

pub use cgroup::{Cgroup, cgroup_of};
pub use clock::{Clock, monotonic_ns, unix_ns};
pub use foreign::read_foreign;
pub use host::Host;
pub use procfs::{ProcInfo, TICK_NS, environment, pids, process, start_ticks};
pub use sockets::{SocketOwners, socket_owner_elsewhere};
