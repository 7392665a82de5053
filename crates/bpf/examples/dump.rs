//! Prints what the kernel half tells, for some seconds: `dump [SECONDS]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for developers")]

use std::time::{Duration, Instant};

use telegen_bpf::abi::Counter;
use telegen_bpf::{Record, Tap, TapSettings};

fn main() {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(5);
    let budgets = TapSettings { budget: 20_000, brief_budget: 200_000, ..TapSettings::default() };
    let tap = Tap::load(budgets).unwrap();
    for l in tap.listeners().unwrap() {
        println!("listener pid={} fd={} port={}", l.tgid, l.fd, l.port);
    }
    let pump = tap
        .pump(|r| match r {
            Record::Data(d, bytes) => println!(
                "data cookie={} dir={} flags={:03x} n={} pos={} seq={} len={} cap={} tid={} other={} tail={:?} {:?}",
                d.cookie, d.dir, d.flags, d.record, d.pos, d.seq, d.len, d.cap, d.tid, d.other_pos,
                String::from_utf8_lossy(&d.tail),
                String::from_utf8_lossy(&bytes[..bytes.len().min(60)])
            ),
            Record::Exec(e) => println!(
                "exec pid={} ppid={} {} interp={}",
                e.pid, e.ppid,
                String::from_utf8_lossy(&e.path[..e.path_len as usize]),
                String::from_utf8_lossy(&e.interp[..e.interp_len as usize])
            ),
            other => println!("{other:?}"),
        })
        .unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        pump.turn(Duration::from_millis(20)).unwrap();
    }
    let c = tap.counters().unwrap();
    for which in [
        Counter::Records,
        Counter::RingFull,
        Counter::Requests,
        Counter::NoPayloadCall,
        Counter::NoPayloadFd,
        Counter::NoPayloadKernelTask,
        Counter::Busy,
        Counter::Fault,
        Counter::Conns,
    ] {
        println!("{which:?} {}", c.get(which));
    }
    println!("recursion misses {}", tap.recursion_misses());
}
