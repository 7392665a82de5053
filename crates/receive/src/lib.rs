//! Sources that others send to: OTLP over gRPC and HTTP.
//!
//! A request is checked as a whole and taken apart at its resources; scopes and records pass as they came. It is
//! answered when it is as safe as the settings ask for. What finds no room is refused with a time to come again, and is
//! not counted as produced: the sender still has it.

mod answer;
mod body;
mod budget;
mod doubles;
mod request;
mod senders;
mod server;
pub mod settings;

pub use senders::{NoSenders, Peer, Sender, Senders};
pub use server::{OtlpReceiver, ReceiveError, Receiving};
