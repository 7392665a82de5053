//! The ledger under load: what the load generator counted is delivered or told as lost.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Agent, nginx};

/// Answered requests that wrk counted.
fn wrk(port: u16, seconds: u32) -> u64 {
    let out = Command::new("wrk")
        .args(["-t2", "-c32", &format!("-d{seconds}"), &format!("http://127.0.0.1:{port}/")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(!text.contains("Socket errors"), "{text}");
    let line = text.lines().find(|l| l.contains("requests in")).unwrap_or_else(|| panic!("{text}"));
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn sum(v: &Value) -> u64 {
    match v {
        Value::Object(o) => o.values().map(sum).sum(),
        other => other.as_u64().unwrap_or(0),
    }
}

/// Requests that nginx itself counted, one a line.
fn logged(server: &crate::harness::Server) -> u64 {
    crate::harness::lines(&server.dir.path().join("access.log")).len() as u64
}

fn balance(test: &str, config: &str, expect_loss: bool) {
    let server = nginx("server { listen 127.0.0.1:$PORT; location / { return 200 'hello'; } }");
    let include = "discovery: { include: [ { exe: \"*nginx*\" } ] }";
    let Some(agent) = Agent::start(test, &config.replace("$INCLUDE", include)) else { return };
    let before = logged(&server);
    let answered = wrk(server.port, 4);
    let ledger = agent.settle();
    let served = logged(&server) - before;
    let (lost, delivered) = (sum(&ledger["lost"]), sum(&ledger["delivered"]));
    println!("{test}: wrk {answered}, nginx {served}, delivered {delivered}, lost {lost}: {ledger}");
    let own = agent.get("/metrics");
    let own: Vec<&str> = own
        .lines()
        .filter(|l| l.starts_with("telegen_tap_events") || l.starts_with("telegen_trace_"))
        .collect();
    println!("{test}: {own:?}");
    // wrk stops in the middle of its last requests: nginx served them, wrk did not count them.
    assert!(served >= answered && served <= answered + 32);
    assert_eq!(ledger["produced"].as_u64().unwrap(), served, "{ledger}");
    assert_eq!(delivered + lost, served, "{ledger}");
    assert_eq!(lost > 0, expect_loss, "{ledger}");
    let told = agent.stop();
    if !config.contains("export:") {
        assert_eq!(told.spans.len() as u64, delivered);
    }
}

#[test]
fn a_tiny_ring_loses_and_counts_every_request() {
    balance("64 KiB ring", "agent: { ring_size: 64KiB, traces: { capture_budget: 0 }, $INCLUDE }\n", true);
}

#[test]
fn a_backend_that_is_away_costs_what_the_queue_cannot_hold_and_all_is_counted() {
    let dead = crate::harness::free_port();
    let config = format!(
        "agent: {{ traces: {{ capture_budget: 0 }}, $INCLUDE }}
export: {{ otlp: {{ endpoint: \"http://127.0.0.1:{dead}\", queue: {{ max_size: 4MiB, when_full: drop_oldest }}, retry: {{ initial: 100ms, max: 200ms, max_elapsed: 1s }} }} }}\n"
    );
    balance("backend away", &config, true);
}
