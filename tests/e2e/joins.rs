//! The two ends of a request find one another: over pools, unix sockets, and through address translation into another
//! network namespace.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::edges::{END, OK, SELF, until};
use crate::harness::{Agent, Span, Told, answer, nginx, same};
use crate::programs::{apps, requests, run};

/// Every server span is the child of the client span of the same path, by `method`.
fn pairs(told: &Told, method: &str, paths: impl Iterator<Item = String>) {
    let clients: BTreeMap<&str, &Span> =
        told.spans.iter().filter(|s| s.kind == 3).map(|s| (s.span_id.as_str(), s)).collect();
    let found = told.spans.iter().filter(|s| s.is_server()).map(|s| {
        let c = clients.get(s.parent_id.as_str());
        let same = c.is_some_and(|c| c.trace_id == s.trace_id && c.attr("url.path") == s.attr("url.path"));
        format!("{} {same} {}", s.attr("url.path"), s.attr("telegen.link.method"))
    });
    same("pairs", found, paths.map(|p| format!("{p} true {method}")));
}

#[test]
fn a_pool_of_connections_that_threads_share() {
    let server = nginx("server { listen 127.0.0.1:$PORT; location / { return 200 'hello'; } }");
    let config = "agent: { traces: { capture_budget: 0 }, discovery: { include: [ { exe: \"*nginx*\" }, { exe: \"*/deps/e2e-*\" } ] } }\n";
    let Some(agent) = Agent::start("pools", config) else { return };
    let connect = || TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let pool = Arc::new(Mutex::new((0..8).map(|_| connect()).collect::<Vec<_>>()));
    let n = requests() / 16 * 16;
    let threads: Vec<_> = (0..16)
        .map(|t| {
            let pool = pool.clone();
            thread::spawn(move || {
                for i in 0..n / 16 {
                    let mut s = loop {
                        match pool.lock().unwrap().pop() {
                            Some(s) => break s,
                            None => thread::yield_now(),
                        }
                    };
                    s.write_all(format!("GET /p/{t}/{i} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
                    answer(&mut s);
                    pool.lock().unwrap().insert(0, s);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    let told = agent.stop();
    pairs(&told, "tcp_seq", (0..16).flat_map(|t| (0..n / 16).map(move |i| format!("/p/{t}/{i}"))));
}

#[test]
fn unix_sockets_by_their_peer() {
    use std::os::unix::net::{UnixListener, UnixStream};
    // Both ends are this process, and quick: more than the budget of one.
    let Some(agent) =
        Agent::start("unix joins", &SELF.replace("agent: {", "agent: { traces: { capture_budget: 0 },"))
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let n = requests() / 8;
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        for _ in 0..8 {
            let mut s = listener.accept().unwrap().0;
            thread::spawn(move || {
                for _ in 0..n {
                    until(&mut s, END);
                    s.write_all(OK).unwrap();
                }
            });
        }
    });
    let clients: Vec<_> = (0..8)
        .map(|t| {
            let path = path.clone();
            thread::spawn(move || {
                let mut s = UnixStream::connect(path).unwrap();
                for i in 0..n {
                    s.write_all(format!("GET /u/{t}/{i} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
                    until(&mut s, b"ok");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|t| t.join().unwrap());
    server.join().unwrap();
    pairs(&agent.stop(), "unix_peer", (0..8).flat_map(|t| (0..n).map(move |i| format!("/u/{t}/{i}"))));
}

#[test]
fn the_same_again_over_a_unix_socket() {
    use std::os::unix::net::UnixStream;
    let Some(agent) = Agent::start("unix joins of requests that are alike", SELF) else { return };
    let (mut client, mut server) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || {
        for _ in 0..200 {
            until(&mut server, END);
            server.write_all(OK).unwrap();
        }
    });
    for _ in 0..200 {
        client.write_all(b"GET /again HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        until(&mut client, b"ok");
    }
    server.join().unwrap();
    let told = agent.stop();
    let side = |server| told.spans.iter().filter(move |s| s.is_server() == server);
    let mut starts: Vec<(u64, &str)> = side(false).map(|s| (s.start, s.span_id.as_str())).collect();
    let mut reads: Vec<(u64, &str)> = side(true).map(|s| (s.start, s.parent_id.as_str())).collect();
    starts.sort_unstable();
    reads.sort_unstable();
    assert_eq!((starts.len(), reads.len()), (200, 200));
    // One after the other, so the order says whose each is.
    let parents = |of: &[(u64, &str)]| of.iter().map(|(_, id)| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(parents(&reads), parents(&starts));
    assert!(side(true).all(|s| s.attr("telegen.link.method") == "unix_peer"));
}

/// A network namespace joined by a pair of devices; gone with its value.
struct Namespace {
    name: String,
}

impl Namespace {
    /// `None`, after printing why, where the machine has none.
    fn new() -> Option<Namespace> {
        let name = format!("tg{}", std::process::id());
        let all = format!(
            "set -e
             ip netns add {name}
             ip link add {name}a type veth peer name {name}b
             ip link set {name}b netns {name}
             ip addr add 10.231.77.1/24 dev {name}a && ip link set {name}a up
             ip netns exec {name} ip addr add 10.231.77.2/24 dev {name}b
             ip netns exec {name} ip link set {name}b up
             nft add table ip {name}
             nft 'add chain ip {name} out {{ type nat hook output priority -100; }}'
             nft 'add rule ip {name} out ip daddr 10.231.77.99 tcp dport 80 dnat to 10.231.77.2:8080'
             nft 'add chain ip {name} post {{ type nat hook postrouting priority 100; }}'
             nft 'add rule ip {name} post ip daddr 10.231.77.2 masquerade'"
        );
        let namespace = Namespace { name };
        let out = Command::new("sh").arg("-c").arg(all).output().unwrap();
        if !out.status.success() {
            println!("SKIPPED address translation: {}", String::from_utf8_lossy(&out.stderr).trim());
            return None;
        }
        Some(namespace)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let n = &self.name;
        let all = format!("nft delete table ip {n}; ip netns del {n}; ip link del {n}a");
        // What was never made cannot be removed.
        let _gone = Command::new("sh").arg("-c").arg(all).output();
    }
}

#[test]
fn through_address_translation_into_another_namespace() {
    let Some(namespace) = Namespace::new() else { return };
    let log = tempfile::tempdir().unwrap();
    let mut server = Command::new("ip")
        .args(["netns", "exec", &namespace.name, "python3"])
        .arg(apps().join("python/server.py"))
        .args(["8080", &log.path().join("log").display().to_string(), "0.0.0.0"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("10.231.77.99", 80)).is_err() {
        assert!(Instant::now() < end, "the server does not listen");
        thread::sleep(Duration::from_millis(50));
    }
    let config =
        "agent: { discovery: { include: [ { exe: \"*/python3*\" }, { exe: \"*/deps/e2e-*\" } ] } }\n";
    let agent = Agent::start("address translation", config);
    let n = requests() / 4;
    if agent.is_some() {
        let threads: Vec<_> = (0..4)
            .map(|t| {
                thread::spawn(move || {
                    let mut s = TcpStream::connect(("10.231.77.99", 80)).unwrap();
                    for i in 0..n {
                        let path = format!("/s/200/10/l/{t}.{i}");
                        s.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
                        answer(&mut s);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
    }
    let told = agent.map(Agent::stop);
    server.kill().unwrap();
    server.wait().unwrap();
    let Some(told) = told else { return };
    pairs(&told, "tcp_seq", (0..4).flat_map(|t| (0..n).map(move |i| format!("/s/200/10/l/{t}.{i}"))));
    for s in &told.spans {
        let seen = (s.attr("network.peer.address"), s.attr("server.port"));
        assert_eq!(seen.0, if s.is_server() { "10.231.77.1" } else { "10.231.77.99" });
    }
}

#[test]
fn routes_and_the_graph_leave_with_the_metrics() {
    let server = nginx(
        "server { listen 127.0.0.1:$PORT; location / { return 200 'hello'; } location /no { return 404; } }",
    );
    let config = "agent: { discovery: { include: [ { exe: \"*nginx*\" }, { exe: \"*/deps/e2e-*\" } ] } }\n";
    let Some(agent) = Agent::start("routes", config) else { return };
    for i in 0..30 {
        assert_eq!(crate::harness::get(server.port, &format!("/users/{i}/orders/{i:08x}0")).0, 200);
    }
    assert_eq!(crate::harness::get(server.port, "/no/such").0, 404);
    run(Command::new("curl").args([
        "-s",
        "-o",
        "/dev/null",
        &format!("http://127.0.0.1:{}/outside", server.port),
    ]));
    let told = agent.stop();
    let routes = told
        .spans
        .iter()
        .filter(|s| s.is_server())
        .map(|s| format!("{} {} {}", s.name, s.attr("http.route"), s.attr("telegen.route.source")));
    let expect = (0..30)
        .map(|_| "GET /users/{id}/orders/{id} /users/{id}/orders/{id} inferred".to_owned())
        .chain(["GET  ".to_owned(), "GET /outside /outside inferred".to_owned()]);
    // 10 to 15 read as numbers of nine digits or as hexadecimal ones.
    let name = |s: String| s.replace("{hex}", "{id}");
    same("routes", routes.map(name), expect);
    let of_route: u64 = told
        .points("http.server.request.duration")
        .iter()
        .filter(|p| p.attrs.get("http.route").is_some_and(|r| r.starts_with("/users/")))
        .map(|p| p.count)
        .sum();
    assert_eq!(of_route, 30);
    let me = std::env::current_exe().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let edges: BTreeMap<(String, String), u64> = told
        .points("traces_service_graph_request_server_seconds")
        .iter()
        .map(|p| ((p.attrs["client"].clone(), p.attrs["server"].clone()), p.count))
        .collect();
    assert_eq!(edges[&(me, "nginx".to_owned())], 31, "{edges:?}");
    assert_eq!(edges[&("127.0.0.1".to_owned(), "nginx".to_owned())], 1, "{edges:?}");
}

#[test]
fn sequence_numbers_that_wrap_in_the_middle_of_a_connection() {
    let config = "agent: { discovery: { include: [ { exe: \"*/python3*\" } ] } }\n";
    let Some(agent) = Agent::start("sequence wrap", config) else { return };
    let n = 100;
    let out = Command::new("timeout")
        .arg("60")
        .arg("python3")
        .arg(apps().join("python/wrap.py"))
        .arg(n.to_string())
        .output();
    let out = out.unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    print!("{said}");
    let told = agent.stop();
    if said.contains("SKIPPED") {
        return;
    }
    pairs(&told, "tcp_seq", (0..n).map(|i| format!("/wrap/{i:05}")));
}
