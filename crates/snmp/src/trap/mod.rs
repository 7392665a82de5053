//! Traps and informs: taken from whom they may come, made into log records, acknowledged when they are safe.

mod authority;
mod intake;
mod receiver;
mod record;

pub use intake::{Allowed, Network};
pub use receiver::{TrapError, TrapReceiver, TrapSettings};
