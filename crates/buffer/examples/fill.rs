//! For the benchmark: writes records to a queue on disk, synced in groups, and tells how long it took.
//!
//! `fill DIR BYTES RECORD FSYNC_MS`; prints one line of JSON.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::path::Path;
use std::time::{Duration, Instant};

use telegen_buffer::{Options, Queue};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, bytes, record, fsync] = arguments.as_slice() else {
        return Err("expected DIR BYTES RECORD FSYNC_MS".into());
    };
    let (bytes, record, fsync): (u64, usize, u64) = (bytes.parse()?, record.parse()?, fsync.parse()?);
    let (queue, _) = Queue::open(Path::new(dir), Options { segment_bytes: 16 << 20 })?;
    let body: Vec<u8> = (0..record).map(|n| (n * 31 % 251) as u8).collect();
    let (started, mut synced) = (Instant::now(), Instant::now());
    for _ in 0..bytes / record as u64 {
        queue.append(b"head", &body, 1)?;
        if synced.elapsed() >= Duration::from_millis(fsync) {
            queue.sync()?;
            synced = Instant::now();
        }
    }
    queue.sync()?;
    println!("{{\"bytes\": {}, \"seconds\": {}}}", queue.bytes(), started.elapsed().as_secs_f64());
    Ok(())
}
