//! The ledger under load: what the load generator counted is delivered or told as lost.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Agent, nginx};

/// Seconds of full load; `TELEGEN_E2E_SECONDS` sets another number.
fn seconds() -> u32 {
    std::env::var("TELEGEN_E2E_SECONDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4)
}

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

pub fn sum(v: &Value) -> u64 {
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
    let answered = wrk(server.port, seconds());
    let ledger = agent.settle();
    let served = logged(&server) - before;
    let (lost, delivered) = (sum(&ledger["lost"]), sum(&ledger["delivered"]));
    println!("{test}: wrk {answered}, nginx {served}, delivered {delivered}, lost {lost}: {ledger}");
    let own_text = agent.get("/metrics");
    let own: Vec<&str> = own_text
        .lines()
        .filter(|l| l.starts_with("telegen_tap_events") || l.starts_with("telegen_trace_"))
        .collect();
    println!("{test}: {own:?}");
    // How full the rings were is told while it runs, and never more than they hold.
    let gauge = |name: &str| -> f64 {
        let line = own_text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (size, used) = (gauge("telegen_tap_ring_size_bytes"), gauge("telegen_tap_ring_used_bytes"));
    assert!(size >= 4096.0 && used <= size, "{used} of {size}");
    // wrk stops in the middle of its last requests: nginx served them, wrk did not count them.
    assert!(served >= answered && served <= answered + 32);
    assert_eq!(ledger["produced"].as_u64().unwrap(), served, "{ledger}");
    assert_eq!(delivered + lost, served, "{ledger}");
    assert_eq!(lost > 0, expect_loss, "{ledger}");
    let told = agent.stop();
    if !config.contains("export:") {
        if seconds() <= 4 {
            assert_eq!(told.spans.len() as u64, delivered);
        } else {
            println!(
                "SKIPPED the spans of {test}: the files that are kept do not hold those of a longer run"
            );
        }
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
    // The ring is small enough to be filled by what passes beyond the budget.
    let config = "agent: { ring_size: 128KiB, traces: { capture_budget: 2000/s }, discovery: { include: [ { exe: \"*nginx*\" } ] } }\n";
    let Some(agent) = Agent::start("a flood", config) else { return };
    let port = flooded.port;
    let flood = std::thread::spawn(move || wrk(port, 4));
    let asked: Vec<String> = (0..500).map(|i| format!("/n/{i}")).collect();
    for path in &asked {
        assert_eq!(crate::harness::get(neighbour.port, path).0, 200);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    flood.join().unwrap();
    // The page hears of it every few seconds, and for ten it is true: of the flooded one's two workers.
    let over = || {
        let processes: Value =
            serde_json::from_str(&agent.get("/api/v1/view/processes?q=exe:nginx")).unwrap();
        let at = processes["cols"].as_array().unwrap().iter().position(|c| c == "over_budget_since").unwrap();
        let rows = processes["rows"].as_array().unwrap().iter();
        rows.filter(|r| r[at].as_f64().is_some_and(|ms| ms > 1e12)).count()
    };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(8);
    while over() == 0 {
        assert!(std::time::Instant::now() < end, "{}", agent.get("/api/v1/view/processes"));
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert!(over() <= 2);
    let ledger = agent.settle();
    let told = agent.stop();
    let of = |port: u16| {
        let port = port.to_string();
        told.spans.iter().filter(move |s| s.attr("server.port") == port)
    };
    println!("a flood: {ledger}");
    same("the neighbour", of(neighbour.port).map(|s| s.attr("url.path").to_owned()), asked);
    let lost = &ledger["lost"];
    assert!(sum(lost) > 0, "the flood is over its budget: {ledger}");
    let of_tap = |why: &str| lost["tap"][why].as_u64().unwrap_or(0);
    assert_eq!(sum(lost), of_tap("over_budget") + of_tap("ring_full") + sum(&lost["ring"]), "{ledger}");
    // Metrics count every request for which there was budget for 16 bytes.
    let served = logged(&flooded) + logged(&neighbour);
    assert_eq!(ledger["produced"].as_u64().unwrap(), served, "{ledger}");
}

/// A walk over numbers that look random.
struct Walk(u64);

impl Walk {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn text(&mut self, from: &[u8], longest: usize) -> Vec<u8> {
        (0..=self.below(longest)).map(|_| from[self.below(from.len())]).collect()
    }
}

#[test]
fn random_methods_hosts_and_paths_are_bounded_series_and_the_page_stays_usable() {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    const AT_A_TIME: usize = 20;
    let Some(agent) = Agent::start(
        "random names",
        "agent: { traces: { capture_budget: 0 }, discovery: { include: [ { exe: \"*/deps/e2e-*\" } ] } }\n",
    ) else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let s = listener.accept().unwrap().0;
        crate::edges::each_head(s, |s, heads| s.write_all(&crate::edges::OK.repeat(heads)).unwrap());
    });
    let n = crate::programs::requests() * 5;
    let letters: Vec<u8> = (b'a'..=b'z').chain(b'A'..=b'Z').chain(b'0'..=b'9').collect();
    let any: Vec<u8> = (b'!'..=b'~').filter(|b| !b"?#%".contains(b)).chain(0x80..=0xff).collect();
    let mut walk = Walk(0x9e37_79b9_7f4a_7c15);
    let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for _ in 0..n / AT_A_TIME {
        let mut heads = Vec::new();
        for _ in 0..AT_A_TIME {
            heads.extend(walk.text(&letters, 20));
            heads.extend(b" /");
            for _ in 0..walk.below(4) {
                heads.extend(walk.text(&any, 30));
                heads.push(b'/');
            }
            heads.extend(walk.text(&any, 30));
            heads.extend(b" HTTP/1.1\r\nHost: ");
            heads.extend(walk.text(&letters, 40));
            heads.extend(b".example\r\n\r\n");
        }
        s.write_all(&heads).unwrap();
        let mut answers = vec![0; crate::edges::OK.len() * AT_A_TIME];
        s.read_exact(&mut answers).unwrap();
        // The file's writer follows, also a debug build's: what its queue does not hold is another test's matter.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(s);
    server.join().unwrap();
    // The page is given a reading every two seconds.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let ledger = agent.ledger("traces");
    let me = std::env::current_exe().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    for path in ["overview", "map", "traces", "agent", "processes", &format!("service?name={me}")] {
        let request = format!(
            "GET /api/v1/view/{path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        );
        let answer = crate::harness::raw(agent.api, request.as_bytes());
        println!("random names: {path}: {} bytes", answer.len());
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{path}: {}", String::from_utf8_lossy(&answer));
        assert!(answer.len() < 100 << 10, "{path}: {} bytes", answer.len());
    }
    let told = agent.stop();
    assert_eq!((told.spans.len(), sum(&ledger["lost"])), (2 * n, 0), "{ledger}");
    let clients: std::collections::BTreeMap<&str, &str> = told
        .spans
        .iter()
        .filter(|s| !s.is_server())
        .map(|s| (s.span_id.as_str(), s.attr("url.path")))
        .collect();
    let right = told.spans.iter().filter(|s| clients.get(s.parent_id.as_str()) == Some(&s.attr("url.path")));
    assert_eq!((clients.len(), right.count()), (n, n), "every request is paired with itself");
    for (metric, most) in [("http.server.request.duration", 201), ("http.client.request.duration", 2001)] {
        let points = told.points(metric);
        let distinct = |key: &str| -> std::collections::BTreeSet<String> {
            points.iter().map(|p| p.attrs.get(key).cloned().unwrap_or_default()).collect()
        };
        let count: u64 = points.iter().map(|p| p.count).sum();
        println!("random names: {metric}: {} series, {} routes", points.len(), distinct("http.route").len());
        // What the page was asked is in the overflow series too.
        let asked = if most > 201 { 20 } else { 0 };
        assert!((n as u64..=n as u64 + asked).contains(&count), "{metric}: {count}");
        assert!(points.len() <= most, "{metric}: {} series", points.len());
        // The overflow series has no method.
        assert!(distinct("http.request.method").iter().all(|m| matches!(m.as_str(), "_OTHER" | "")));
    }
    let edges = told.points("traces_service_graph_request_server_seconds");
    assert_eq!(edges.iter().map(|e| e.count).collect::<Vec<_>>(), [n as u64], "{edges:?}");
}
