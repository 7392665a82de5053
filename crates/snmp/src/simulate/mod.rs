//! Thousands of virtual devices from recorded walks: one socket answers for all of 127.0.0.0/8.
//!
//! The device at the listen address is the first file by name, the next address the next file, and so on, around again
//! when there are more devices than files. A community that is a file's name (without ending) asks that file at any
//! address. Versions 1 and 2c.

mod agent;
mod server;

pub use agent::{Agent, Live};
pub use server::{Conditions, PollLog, Simulator, SimulatorError};
