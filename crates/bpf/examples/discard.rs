//! The kernel half alone: every record is thrown away. `discard SECONDS [EXCLUDED-EXECUTABLE]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for benchmarks")]

mod shared;

use std::time::{Duration, Instant};

use telegen_bpf::abi::Counter;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(5);
    let excluded = std::env::args().nth(2).unwrap_or_default();
    let (tap, pump) = shared::watch(excluded);
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        pump.turn(Duration::from_millis(20)).unwrap();
    }
    let c = tap.counters().unwrap();
    println!("records {} lost {}", c.get(Counter::Records), c.get(Counter::RingFull));
}
