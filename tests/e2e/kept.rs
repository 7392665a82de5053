//! Which spans are kept: by ratio, for what happened, for whom the process exports itself.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use crate::harness::{Agent, Server, Told, free_port, get, nginx};
use crate::programs::apps;

const NGINX: &str = "discovery: { include: [ { exe: \"*nginx*\" } ] }";

/// Asks every path with a trace of its own whose caller left the decision open; every tenth fails.
fn ask_all(port: u16, n: usize) {
    let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut buffer = [0; 4096];
    // A fixed walk over trace ids: both agents are asked the same.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for i in 0..n {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let path = if i % 10 == 0 { "/bad" } else { "/good" };
        let b3 = format!("{i:016x}{random:016x}-00000000000000ff");
        s.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\nb3: {b3}\r\n\r\n").as_bytes()).unwrap();
        let mut got = 0;
        while got == 0 || !buffer[..got].ends_with(b"!") {
            got += s.read(&mut buffer[got..]).unwrap();
        }
    }
}

#[test]
fn one_in_ten_is_the_same_one_for_every_agent_and_errors_are_all_kept() {
    let server = nginx(
        "server { listen 127.0.0.1:$PORT; location /good { return 200 'good!'; } location /bad { return 500 'bad!'; } }",
    );
    let n = 3000;
    let mut kept: Vec<BTreeSet<String>> = Vec::new();
    for _ in 0..2 {
        let config = format!(
            "agent: {{ traces: {{ capture_budget: 0, sample: {{ ratio: 0.1, keep_slower_than: 60s }} }}, {NGINX} }}\n"
        );
        let Some(agent) = Agent::start("sampling", &config) else { return };
        ask_all(server.port, n);
        let ledger = agent.settle();
        let told = agent.stop();
        let (bad, good): (Vec<_>, Vec<_>) = told.spans.iter().partition(|s| s.attr("url.path") == "/bad");
        assert_eq!(bad.len(), n / 10, "every error is kept: {ledger}");
        // 2,700 draws at one in ten: 270, and three standard deviations of 15.6.
        assert!((223..=317).contains(&good.len()), "{} of {} kept", good.len(), n - n / 10);
        assert_eq!(ledger["discarded"]["sampled"], n - n / 10 - good.len());
        let counted: u64 = told.points("http.server.request.duration").iter().map(|p| p.count).sum();
        assert_eq!(counted, n as u64, "metrics count every request");
        kept.push(good.iter().map(|s| s.trace_id.clone()).collect());
    }
    assert_eq!(kept[0], kept[1]);
}

/// A server that exports its own spans, under a setting.
fn instrumented(setting: &str) -> Option<(Told, serde_json::Value)> {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = collector.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((mut s, _)) = collector.accept() {
            let mut buffer = [0; 4096];
            let mut got = Vec::new();
            while !got.ends_with(b"\n\0") {
                match s.read(&mut buffer) {
                    Ok(n) if n > 0 => got.extend_from_slice(&buffer[..n]),
                    _ => break,
                }
            }
            let _gone = s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let port = free_port();
    let mut command = Command::new("python3");
    command.arg(apps().join("python/instrumented.py")).args([port.to_string(), to.to_string()]);
    let server = Server::start(port, tempfile::tempdir().unwrap(), &mut command);
    let config = format!(
        "agent: {{ traces: {{ instrumented: {setting} }}, discovery: {{ include: [ {{ exe: \"*/python3*\" }} ] }} }}\n"
    );
    let agent = Agent::start("instrumented", &config)?;
    for i in 0..10 {
        assert_eq!(get(port, &format!("/i/{i}")).0, 200);
        // The first is what tells that it exports.
        thread::sleep(std::time::Duration::from_millis(if i == 0 { 300 } else { 1 }));
    }
    let ledger = agent.settle();
    let told = agent.stop();
    drop(server);
    Some((told, ledger))
}

#[test]
fn spans_of_who_exports_its_own_are_not_doubled() {
    let counted =
        |told: &Told| -> u64 { told.points("http.server.request.duration").iter().map(|p| p.count).sum() };
    let Some((told, ledger)) = instrumented("metrics") else { return };
    // The request within which it first exported ended after that.
    assert_eq!((told.spans.len(), counted(&told)), (0, 10), "{ledger}");
    assert_eq!(ledger["discarded"]["instrumented"], 10);
    assert_eq!(ledger["discarded"]["otlp"], 10);
    let Some((told, ledger)) = instrumented("all") else { return };
    assert_eq!((told.spans.len(), counted(&told)), (10, 10), "{ledger}");
    let Some((told, ledger)) = instrumented("none") else { return };
    assert_eq!((told.spans.len(), counted(&told)), (0, 0), "{ledger}");
}
