//! Polling: devices in turn, answers to metrics.

mod budget;
mod cell;
mod clock;
mod device;
mod emit;
mod engine;
mod frame;
mod kept;
mod once;
mod resolve;
mod status;
mod target;
mod task;
mod topology;

pub use engine::{Poller, PollerError, PollerSettings, is_ours};
pub(crate) use kept::Names;
pub use once::Single;
pub use status::{DeviceState, DeviceStatus, Devices};
pub(crate) use target::in_order;
pub use target::{Credential, Target, Targets, credentials};
