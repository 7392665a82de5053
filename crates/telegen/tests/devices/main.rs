//! The collector with devices: killed while informs come, shared out anew, and with net-snmp at both ends.
#![cfg(feature = "collector")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod informs;
mod looks;
mod names;
mod notifications;
#[path = "../common/program.rs"]
mod program;
mod scrape;
mod shards;

use std::net::UdpSocket;

use program::{Telegen, get, port as tcp_port, wait};

/// A UDP port that is free now.
fn udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
