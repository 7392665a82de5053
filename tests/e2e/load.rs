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

#[test]
fn one_that_floods_costs_its_neighbour_nothing() {
    use crate::harness::same;
    let body = "server { listen 127.0.0.1:$PORT; location / { return 200 'hello'; } }";
    let (flooded, neighbour) = (nginx(body), nginx(body));
    let config =
        "agent: { traces: { capture_budget: 2000/s }, discovery: { include: [ { exe: \"*nginx*\" } ] } }\n";
    let Some(agent) = Agent::start("a flood", config) else { return };
    let port = flooded.port;
    let flood = std::thread::spawn(move || wrk(port, 4));
    let asked: Vec<String> = (0..500).map(|i| format!("/n/{i}")).collect();
    for path in &asked {
        assert_eq!(crate::harness::get(neighbour.port, path).0, 200);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    flood.join().unwrap();
    let ledger = agent.settle();
    let told = agent.stop();
    let of = |port: u16| {
        let port = port.to_string();
        told.spans.iter().filter(move |s| s.attr("server.port") == port)
    };
    same("the neighbour", of(neighbour.port).map(|s| s.attr("url.path").to_owned()), asked);
    let lost = &ledger["lost"];
    assert!(sum(lost) > 0, "the flood is over its budget: {ledger}");
    assert_eq!(sum(lost), lost["tap"]["over_budget"].as_u64().unwrap_or(0) + sum(&lost["ring"]), "{ledger}");
    // Metrics count every request for which there was budget for 16 bytes.
    let served = logged(&flooded) + logged(&neighbour);
    assert_eq!(ledger["produced"].as_u64().unwrap(), served, "{ledger}");
}
