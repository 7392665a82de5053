//! A configuration that is changed while requests are under way.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::edges::{OK, SELF, both, check, connect, each_head, serve, until};
use crate::harness::{Agent, Told, same};

/// This process alone, with more settings of `agent`.
fn only(more: &str) -> String {
    format!("agent: {{ discovery: {{ include: [ {{ exe: \"*/deps/e2e-*\" }} ] }}, {more} }}\n")
}

/// Nobody at all.
const EXCLUDED: &str = "agent: { discovery: { include: [ { exe: \"*/deps/e2e-*\" } ], exclude: [ { exe: \"*/deps/e2e-*\" } ] } }\n";

fn ask(s: &mut TcpStream, target: &str) {
    s.write_all(format!("GET {target} HTTP/1.1\r\nHost: h\r\nX-Who: me\r\n\r\n").as_bytes()).unwrap();
}

fn get(s: &mut TcpStream, target: &str) {
    ask(s, target);
    until(s, b"ok");
}

/// The value of one of Telegen's own series.
fn metric(agent: &Agent, series: &str) -> f64 {
    let text = agent.get("/metrics");
    let line = text.lines().find(|l| l.starts_with(series)).unwrap_or_else(|| panic!("no {series}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Requests that the kernel half has looked at.
fn requests(agent: &Agent) -> f64 {
    metric(agent, "telegen_tap_events_total{kind=\"requests\"}")
}

/// Waits until both spans of so many requests for a path have left.
fn written(agent: &Agent, path: &str, times: usize) {
    agent.wait_written(&format!("{{\"stringValue\":\"{path}\"}}"), 2 * times);
}

/// A server of two connections: the first is answered at once, the second once it may.
struct Servers {
    port: u16,
    go: SyncSender<()>,
    thread: thread::JoinHandle<()>,
}

impl Servers {
    fn start() -> Servers {
        let (go, gone) = sync_channel(1);
        let gone = std::sync::Mutex::new(Some(gone));
        let threads = std::sync::Mutex::new(Vec::new());
        let (port, thread) = serve(2, move |s| {
            let waits = if threads.lock().unwrap().is_empty() { None } else { gone.lock().unwrap().take() };
            threads.lock().unwrap().push(thread::spawn(move || {
                each_head(s, move |s, heads| {
                    for _ in 0..heads {
                        if let Some(gone) = &waits {
                            gone.recv().unwrap();
                        }
                        s.write_all(OK).unwrap();
                    }
                });
            }));
        });
        Servers { port, go, thread }
    }

    /// The connection that is answered at once, and the one that is not.
    fn connect(&self) -> (TcpStream, TcpStream) {
        (connect(self.port), connect(self.port))
    }
}

/// `SIDE path query has-header`.
fn told(told: &Told) -> Vec<String> {
    let query = |s: &crate::harness::Span| match s.is_server() {
        true => s.attr("url.query").to_owned(),
        false => s.attr("url.full").split_once('?').unwrap_or_default().1.to_owned(),
    };
    let header = |s: &crate::harness::Span| s.attr("http.request.header.x-who").contains("me").to_string();
    let side = |s: &crate::harness::Span| if s.is_server() { "S" } else { "C" };
    let text = |s| [side(s), s.attr("url.path"), &query(s), &header(s)].join(" ");
    told.spans.iter().map(text).collect()
}

#[test]
fn a_reload_masks_what_it_names_in_every_request_that_ends_after_it() {
    let Some(agent) = Agent::start("mask", &only("traces: { headers: [x-who] }")) else { return };
    let servers = Servers::start();
    let (mut kept, mut open) = servers.connect();
    ask(&mut open, "/open?zip=SECRET");
    for _ in 0..3 {
        get(&mut kept, "/kept?zip=SECRET");
    }
    written(&agent, "/kept", 3);
    agent.reload(&only("traces: { mask: { query_keys: [zip] } }"));
    for _ in 0..4 {
        get(&mut kept, "/kept?zip=SECRET");
    }
    servers.go.send(()).unwrap();
    until(&mut open, b"ok");
    drop((kept, open));
    servers.thread.join().unwrap();
    let expect = |line: &'static str, n| std::iter::repeat_n(line, n);
    let lines = expect("/kept zip=SECRET true", 3)
        .chain(expect("/kept zip=REDACTED false", 4))
        .chain(expect("/open zip=REDACTED false", 1));
    let lines: Vec<&str> = lines.collect();
    same("spans", told(&agent.stop()), both(&lines));
}

#[test]
fn a_reload_excludes_and_takes_back_what_runs_already() {
    let Some(agent) = Agent::start("exclude", SELF) else { return };
    let servers = Servers::start();
    let (mut kept, mut open) = servers.connect();
    ask(&mut open, "/open");
    get(&mut kept, "/before");
    get(&mut kept, "/before");
    written(&agent, "/before", 2);
    agent.reload(EXCLUDED);
    let counted = requests(&agent);
    get(&mut kept, "/excluded");
    get(&mut kept, "/excluded");
    assert_eq!(requests(&agent), counted, "the kernel half looks at none");
    servers.go.send(()).unwrap();
    until(&mut open, b"ok");
    agent.reload(SELF);
    get(&mut kept, "/after");
    get(&mut kept, "/after");
    drop((kept, open));
    servers.thread.join().unwrap();
    written(&agent, "/after", 2);
    assert_eq!(agent.ledger("traces")["lost"], serde_json::json!({}));
    let (before, after) = ("GET /before 200 2 -", "GET /after 200 2 -");
    check(&agent.stop(), both(&[before, before, after, after]));
}

#[test]
fn an_excluded_request_that_never_ended_is_no_loss_at_the_end() {
    let Some(agent) = Agent::start("exclude for good", SELF) else { return };
    let servers = Servers::start();
    let (mut kept, mut open) = servers.connect();
    ask(&mut open, "/open");
    get(&mut kept, "/before");
    written(&agent, "/before", 1);
    agent.reload(EXCLUDED);
    let end = Instant::now() + Duration::from_secs(60);
    while metric(&agent, "telegen_trace_requests") > 0.0 {
        assert!(Instant::now() < end, "nobody waits for what is not told");
        thread::sleep(Duration::from_millis(50));
    }
    let told = agent.stop();
    check(&told, both(&["GET /before 200 2 -"]));
    assert!(!told.stderr.contains("lost at shutdown"), "{}", told.stderr);
    servers.go.send(()).unwrap();
    drop((kept, open));
    servers.thread.join().unwrap();
}

#[test]
fn a_reload_samples_what_leaves_after_it_and_counts_all() {
    let Some(agent) = Agent::start("sample", &only("metrics: { interval: 1s }")) else { return };
    let servers = Servers::start();
    let (mut kept, open) = servers.connect();
    get(&mut kept, "/before");
    written(&agent, "/before", 1);
    let few = "traces: { sample: { ratio: 0.000000001, keep_errors: false, keep_slower_than: 1h } }";
    agent.reload(&only(&format!("metrics: {{ interval: 1s }}, {few}")));
    (0..5).for_each(|_| get(&mut kept, "/after"));
    drop((kept, open));
    servers.thread.join().unwrap();
    let told = agent.stop();
    check(&told, both(&["GET /before 200 2 -"]));
    let counted = |name| told.points(name).iter().map(|p| p.count).sum::<u64>();
    assert_eq!(["http.server.request.duration", "http.client.request.duration"].map(counted), [6, 6]);
}

#[test]
fn a_reload_ends_the_tap_and_starts_it_anew() {
    let off = only("traces: { enabled: false }, ring_size: 4MiB");
    let Some(agent) = Agent::start("enabled", SELF) else { return };
    let servers = Servers::start();
    let (mut kept, open) = servers.connect();
    (0..50).for_each(|_| get(&mut kept, "/before"));
    written(&agent, "/before", 50);
    let counted = requests(&agent);
    // What is loaded anew waits for no start.
    assert!(!agent.reload(&off).contains("next start"));
    let features = agent.get("/api/v1/features");
    assert!(features.contains("agent.traces.enabled is false"), "{features}");
    get(&mut kept, "/off");
    assert!(!agent.reload(&only("ring_size: 4MiB")).contains("next start"));
    assert!(requests(&agent) >= counted, "what was counted before counts");
    get(&mut kept, "/after");
    drop((kept, open));
    servers.thread.join().unwrap();
    written(&agent, "/after", 1);
    assert_eq!(agent.ledger("traces")["lost"], serde_json::json!({}));
    let told = agent.stop();
    let mut expect = vec!["GET /before 200 2 -"; 50];
    expect.push("GET /after 200 2 -");
    check(&told, both(&expect));
}

#[test]
fn keys_of_the_kernel_half_wait_for_the_next_start_and_are_named() {
    let Some(agent) = Agent::start("keys that wait", SELF) else { return };
    let said = agent.reload(&only(
        "ring_size: 4MiB, traces: { head: { request: 1024 }, capture_budget: 7/s, mask: { query_keys: [a] } }",
    ));
    let keys = "agent.ring_size, agent.traces.capture_budget, agent.traces.head.request";
    assert!(said.contains(&format!("take effect at the next start: {keys}\n")), "{said}");
    assert!(!agent.reload(SELF).contains("next start"), "what was taken back does not wait");
    agent.stop();
}

#[test]
fn a_reload_moves_the_bounds_of_metrics_what_is_scraped_and_the_headers_of_new_connections() {
    let few = "metrics: { interval: 1s, max_routes: 1, max_series_per_service: 1 }";
    let many =
        "metrics: { interval: 1s, max_routes: 5, max_series_per_service: 50 }, traces: { headers: [x-who] }";
    let Some(agent) = Agent::start("bounds", &only(few)) else { return };
    let servers = Servers::start();
    let mut kept = connect(servers.port);
    get(&mut kept, "/a");
    get(&mut kept, "/b");
    written(&agent, "/b", 1);
    let scraped = || agent.get("/metrics").contains("http_server_request_duration");
    assert!(!scraped());
    let export = "export: { file: { path: $OUT }, prometheus: { enabled: true } }\n";
    agent.reload(&format!("{export}{}", only(many)));
    assert!(scraped());
    let mut new = connect(servers.port);
    get(&mut kept, "/b");
    servers.go.send(()).unwrap();
    get(&mut new, "/c");
    written(&agent, "/c", 1);
    drop((kept, new));
    servers.thread.join().unwrap();
    let said = agent.stop();
    let points = said.points("http.server.request.duration");
    let count = |route: &str| {
        let of = |p: &&crate::harness::Point| p.attrs.get("http.route").is_some_and(|r| r == route);
        points.iter().filter(of).map(|p| p.count).sum::<u64>()
    };
    let counts = ["/a", "/b", "/c", "/*"].map(count);
    assert_eq!(counts, [1, 1, 1, 0]);
    let lines = ["/a  false", "/b  false", "/b  false", "/c  true"];
    same("spans", told(&said), both(&lines));
}
