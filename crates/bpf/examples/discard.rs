//! The kernel half alone: every record is thrown away. `discard SECONDS [EXCLUDED-EXECUTABLE]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for benchmarks")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use telegen_bpf::abi::Counter;
use telegen_bpf::abi::Verdict;
use telegen_bpf::{Record, Tap, TapSettings};

fn main() {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(5);
    let excluded = std::env::args().nth(2).unwrap_or_default();
    let settings = TapSettings {
        ring_bytes: 8 << 20,
        first_request: 512,
        first_response: 256,
        budget: 0,
        brief_budget: 0,
    };
    let tap = Tap::load(settings).unwrap();
    let procs = Rc::new(RefCell::new(tap.procs().unwrap()));
    let pump = tap
        .pump(move |r| {
            if let Record::Exec(e) = r {
                let path = String::from_utf8_lossy(&e.path[..e.path_len as usize]).into_owned();
                if !excluded.is_empty() && path.ends_with(&excluded) {
                    let verdict = Verdict { start: e.start, exec: e.exec, flags: Verdict::EXCLUDED };
                    procs.borrow_mut().decide(e.pid, verdict).unwrap();
                }
            }
        })
        .unwrap();
    println!("attached");
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        pump.turn(Duration::from_millis(20)).unwrap();
    }
    let c = tap.counters().unwrap();
    println!("records {} lost {}", c.get(Counter::Records), c.get(Counter::RingFull));
}
