//! The program against real programs: what the client sent, what the server logged, what the spans say.
//!
//! Every test starts its own agent with an OTLP/JSON file as exporter and reads that file once the agent has stopped.
//! The tests need root and a kernel with the socket tracepoints; without they print `SKIPPED` and why.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a test fails by panicking and says why it was skipped"
)]

mod calls;
mod chunks;
mod config;
mod edges;
mod ends;
mod harness;
mod joins;
mod kept;
mod life;
mod load;
mod opaque;
mod parents;
mod pipelined;
mod programs;
mod reload;
mod repeated;
mod scrape;
