//! What the kernel half costs a server that is under full load: attached and detached in turn within one run, every
//! record thrown away. `toggle SECONDS [EXCLUDED-EXECUTABLE]`. Prints segments/s without, with, and their ratio: on a
//! machine that does nothing else this is the ratio of requests/s.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for benchmarks")]

mod shared;

use std::time::{Duration, Instant};

/// How long it stays attached or detached.
const PHASE: Duration = Duration::from_millis(150);

/// TCP segments that this network namespace has sent so far: the same number for every request of one load, whatever
/// server answers.
fn sent() -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").unwrap();
    let mut tcp = text.lines().filter_map(|l| l.strip_prefix("Tcp: ")).map(str::split_whitespace);
    let (mut names, mut values) = (tcp.next().unwrap(), tcp.next().unwrap());
    let at = names.position(|n| n == "OutSegs").unwrap();
    values.nth(at).unwrap().parse().unwrap()
}

fn main() {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().unwrap().parse().unwrap();
    let excluded = args.next().unwrap_or_default();
    let (mut tap, pump) = shared::watch(excluded);
    // The load generator starts, and is known to be excluded, before anything is counted.
    let warm = Instant::now() + Duration::from_secs(1);
    while Instant::now() < warm {
        pump.turn(Duration::from_millis(20)).unwrap();
    }
    let (mut segments, mut time) = ([0u64; 2], [Duration::ZERO; 2]);
    let end = Instant::now() + Duration::from_secs(seconds);
    for round in 0.. {
        if Instant::now() >= end {
            break;
        }
        // On, off, off, on: a drift of the machine's speed falls on both.
        let on = usize::from(matches!(round % 4, 0 | 3));
        if on == 1 {
            tap.resume().unwrap()
        } else {
            tap.pause()
        }
        let settled = Instant::now() + Duration::from_millis(10);
        while Instant::now() < settled {
            pump.turn(Duration::from_millis(4)).unwrap();
        }
        let (from, begin) = (sent(), Instant::now());
        while begin.elapsed() < PHASE {
            pump.turn(Duration::from_millis(4)).unwrap();
        }
        let (to, took) = (sent(), begin.elapsed());
        segments[on] += to - from;
        time[on] += took;
    }
    let rate = |on: usize| segments[on] as f64 / time[on].as_secs_f64();
    println!("without {:.0}/s with {:.0}/s ratio {:.3}", rate(0), rate(1), rate(1) / rate(0));
}
