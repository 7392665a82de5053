//! Network devices: SNMP polling, traps, device profiles, recorded devices.
//!
//! From bytes up: [`protocol`] and [`usm`] are pure; [`session`] and [`walk`] hold the state of a conversation and do no
//! IO; [`client`] is what the command line uses, [`poll`] what `telegen collector` runs, [`trap`] its other ear;
//! [`profile`] says what a device has and how it is named; [`recording`] and [`simulate`] turn recorded walks into
//! devices. Without the feature `engine` only the settings are here, so that a program without the collector knows the
//! same keys.

#[cfg(feature = "engine")]
pub mod client;
#[cfg(feature = "engine")]
mod fault;
#[cfg(feature = "engine")]
mod known;
#[cfg(feature = "engine")]
pub mod poll;
#[cfg(feature = "engine")]
pub mod profile;
#[cfg(feature = "engine")]
pub mod protocol;
#[cfg(feature = "engine")]
pub mod recording;
#[cfg(feature = "engine")]
pub mod scan;
#[cfg(feature = "engine")]
pub mod session;
pub mod settings;
mod settings_check;
#[cfg(feature = "engine")]
pub mod show;
#[cfg(feature = "engine")]
pub mod simulate;
#[cfg(feature = "engine")]
pub mod targets;
#[cfg(feature = "engine")]
pub mod trap;
#[cfg(feature = "engine")]
pub mod usm;
#[cfg(feature = "engine")]
pub mod walk;

#[cfg(feature = "engine")]
pub use fault::Fault;
#[cfg(feature = "engine")]
pub use known::Known;

/// Scope name of what this source makes.
pub const SCOPE: &str = "telegen/snmp";
