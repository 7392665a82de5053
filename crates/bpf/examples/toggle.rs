//! What the kernel half costs a server that is under full load: attached and detached in turn within one run, every
//! record thrown away. `toggle SECONDS HOST:PORT [EXCLUDED-EXECUTABLE]`, where `/status` is nginx's stub_status.
//! Prints requests/s without, with, and their ratio.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for benchmarks")]

mod shared;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long it stays attached or detached.
const PHASE: Duration = Duration::from_millis(150);

/// Requests that nginx has served so far.
fn served(status: &mut TcpStream) -> u64 {
    status.write_all(b"GET /status HTTP/1.1\r\nHost: bench\r\n\r\n").unwrap();
    let mut buffer = [0; 4096];
    let n = status.read(&mut buffer).unwrap();
    let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
    let line = text.lines().skip_while(|l| !l.contains("server accepts")).nth(1).unwrap();
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

fn main() {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().unwrap().parse().unwrap();
    let server = args.next().unwrap();
    let excluded = args.next().unwrap_or_default();
    let (mut tap, pump) = shared::watch(excluded);
    let mut status = TcpStream::connect(&server).unwrap();
    // The load generator starts, and is known to be excluded, before anything is counted.
    let warm = Instant::now() + Duration::from_secs(1);
    while Instant::now() < warm {
        pump.turn(Duration::from_millis(20)).unwrap();
    }
    let (mut requests, mut time) = ([0u64; 2], [Duration::ZERO; 2]);
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
        let (from, begin) = (served(&mut status), Instant::now());
        while begin.elapsed() < PHASE {
            pump.turn(Duration::from_millis(4)).unwrap();
        }
        let (to, took) = (served(&mut status), begin.elapsed());
        requests[on] += to - from;
        time[on] += took;
    }
    let rate = |on: usize| requests[on] as f64 / time[on].as_secs_f64();
    println!("without {:.0}/s with {:.0}/s ratio {:.3}", rate(0), rate(1), rate(1) / rate(0));
}
