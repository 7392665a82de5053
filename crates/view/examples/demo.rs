//! The page with made-up data: `demo [empty|off|demo|derived|giant|hostile|many] [ADDRESS [TOKEN_FILE]]`. For looking at it, and for its tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

#[path = "demo/data.rs"]
mod data;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use telegen_model::Signal;
use telegen_selfmon::{BuildInfo, SelfMon, Settled};
use telegen_server::Server;
use telegen_server::settings::{AuthSettings, ServerSettings};
use telegen_view::{About, View};

use data::World;

/// How much of the past is made up, in seconds.
const PAST: u64 = 14 * 60;
const STEP: u64 = 5;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let kind = args.next().unwrap_or_else(|| "demo".to_owned());
    let listen = args.next().unwrap_or_else(|| "127.0.0.1:19090".to_owned());
    let token = args.next();
    let build = BuildInfo { version: "0.1.0".into(), commit: "demo".into(), target: "demo".into() };
    let monitor = SelfMon::new(build);
    let about = About { host: "web-3".to_owned(), config: String::new(), mode: "agent".to_owned() };
    // Nine thousand spans of one trace want room.
    let memory = if kind == "giant" { 64 << 20 } else { 16 << 20 };
    let view = View::new(memory, &monitor, about);
    monitor.health.started();
    monitor.features.on("traces");
    monitor.features.on("server");
    monitor.features.on("view");
    monitor.features.off("profiles", "not built yet: this version has no code for it", "use a later version");
    monitor.features.off(
        "traces.tls",
        "libssl was not found in 3 processes",
        "install debug links, or set agent.traces.tls",
    );
    if kind == "off" {
        monitor.features.off(
            "traces",
            "CAP_BPF is missing",
            "run as root, or grant CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE",
        );
    }
    for (which, n) in [
        ("requests", 1_204_118),
        ("records", 2_711_004),
        ("connections", 31_007),
        ("records_lost_ring_full", 180),
    ] {
        let help = "What the kernel half counted.";
        monitor.counter("telegen.tap.events", "{event}", help, &[("kind", which)]).add(n);
    }
    let mut world = World::new(&kind);
    let now = unix_now();
    let mut at = now - PAST * 1_000_000_000;
    while at < now {
        at += STEP * 1_000_000_000;
        turn(&view, &monitor, &mut world, at, STEP);
    }
    if kind != "off" {
        view.watched(data::watched(&world));
    }
    let mut settings = ServerSettings { listen: listen.parse()?, ..ServerSettings::default() };
    settings.auth = token.map(|t| AuthSettings { token_file: t.into() });
    let server = Server::new(settings, &monitor).merge(view.api()).merge_shell(view.shell());
    let running = server.start().await?.ok_or("no address")?;
    // The one line of output: tests wait for it.
    #[expect(clippy::print_stdout, reason = "an example talks to its user")]
    {
        println!("listening on {}", running.address());
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(2));
    loop {
        tokio::select! {
            _ = ticks.tick() => turn(&view, &monitor, &mut world, unix_now(), 2),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    running.stop(Duration::from_secs(1)).await;
    Ok(())
}

fn turn(view: &View, monitor: &SelfMon, world: &mut World, now: u64, seconds: u64) {
    let (metrics, spans, items) = world.step(now, seconds);
    view.metrics(&metrics, now);
    view.spans(&spans, now);
    let kept = items / 10;
    let ledger = &monitor.ledger;
    ledger.produced(Signal::Traces, "tap", items);
    ledger.discarded(Signal::Traces, "sampled", items - kept);
    ledger.accepted(Signal::Traces, "otlp", kept);
    let lost = kept / 500;
    ledger.settle(Signal::Traces, "otlp", Settled { delivered: kept - lost, lost, reason: "queue_full" });
}

fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
