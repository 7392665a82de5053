//! Start, stop, and what happens without rights.

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Agent, TELEGEN, free_port, get, same, wait};

#[test]
fn without_rights_the_program_starts_and_says_what_is_off() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED without rights: needs root to drop them");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let said = dir.path().join("stderr");
    let mut child = Command::new("setpriv")
        .args([
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            TELEGEN,
        ])
        .args(["agent", "--set", &format!("server.listen=127.0.0.1:{port}")])
        .stderr(fs::File::create(&said).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while !fs::read_to_string(&said).unwrap().contains("ready") {
        assert!(Instant::now() < end, "{}", fs::read_to_string(&said).unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
    let health = get(port, "/healthz");
    let features = get(port, "/api/v1/features").1;
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(wait(&mut child, Duration::from_secs(10)), Some(0));
    let said = fs::read_to_string(&said).unwrap();
    assert_eq!(health.0, 200, "{}", health.1);
    assert!(said.contains("CAP_BPF"), "{said}");
    assert!(features.contains("CAP_BPF"), "{features}");
}

#[test]
fn nothing_stays_loaded_after_a_kill() {
    let Some(agent) = Agent::start("kill -9", "") else { return };
    let pid = rustix::process::Pid::from_raw(agent.pid() as i32).unwrap();
    let mine = || {
        let out = Command::new("bpftool").args(["prog", "show"]).output();
        let Ok(out) = out else { return None };
        Some(String::from_utf8_lossy(&out.stdout).lines().filter(|l| l.contains("name tap_send")).count())
    };
    let before = mine();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let Some(before) = before else {
        println!("SKIPPED what stays loaded: no bpftool");
        return;
    };
    drop(agent);
    let end = Instant::now() + Duration::from_secs(10);
    while mine() != Some(before - 1) {
        assert!(Instant::now() < end, "{:?} of {before} programs are still there", mine());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_stop_says_nothing_of_a_receiver() {
    let export = "export: { file: { path: $OUT } }\n";
    for (receive, listens) in [("", false), ("receive: { otlp: { grpc: \"127.0.0.1:$GRPC\" } }\n", true)] {
        let config = format!("{export}{}", receive.replace("$GRPC", &free_port().to_string()));
        let Some(agent) = Agent::start("what a stop says", &config) else { return };
        let said = agent.stop().stderr;
        assert!(said.contains("SIGTERM"), "{said}");
        // It does not end because it is not set; and where it was never set nobody asks for it.
        assert!(!said.contains("receive.otlp"), "{said}");
        assert_eq!(said.contains("OTLP is received"), listens, "{said}");
    }
}

#[test]
fn strangers_are_refused() {
    let Some(agent) = Agent::start("hosts", "") else { return };
    let ask = |host: &str| {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = crate::harness::raw(agent.api, request.as_bytes());
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(ask("evil.example"), "403");
    assert_eq!(ask("localhost:1"), "200");
}

#[test]
fn a_restart_in_the_middle_of_a_request_makes_no_wrong_link() {
    use crate::edges::{END, OK, SELF, check, until};
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::sync_channel;

    let Some(first) = Agent::start("restart", SELF) else { return };
    let listen = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    };
    let (back, behind) = listen();
    let backend = std::thread::spawn(move || {
        for _ in 0..2 {
            let mut s = back.accept().unwrap().0;
            until(&mut s, END);
            s.write_all(OK).unwrap();
        }
    });
    let (front, port) = listen();
    let (has_read, read) = sync_channel(1);
    let (go, gone) = sync_channel::<()>(1);
    let server = std::thread::spawn(move || {
        let mut s = front.accept().unwrap().0;
        for path in ["", "/call/1", "/call/2"] {
            until(&mut s, END);
            if path == "/call/1" {
                has_read.send(()).unwrap();
                gone.recv().unwrap();
            }
            if !path.is_empty() {
                let mut c = TcpStream::connect(("127.0.0.1", behind)).unwrap();
                c.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
                until(&mut c, b"ok");
            }
            s.write_all(OK).unwrap();
        }
    });
    let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let ask = |s: &mut TcpStream, path: &str| {
        s.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
    };
    ask(&mut s, "/whole/0");
    until(&mut s, b"ok");
    ask(&mut s, "/torn/1");
    read.recv().unwrap();
    let before = first.stop();
    check(&before, crate::edges::both(&["GET /whole/0 200 2 -"]));
    let Some(second) = Agent::start("restart", SELF) else { return };
    go.send(()).unwrap();
    until(&mut s, b"ok");
    ask(&mut s, "/whole/2");
    until(&mut s, b"ok");
    drop(s);
    server.join().unwrap();
    backend.join().unwrap();
    let after = second.stop();
    // Of the request that was under way its head is not known: it is no span, and lends none a parent.
    check(
        &after,
        crate::edges::both(&["GET /call/1 200 2 -", "GET /whole/2 200 2 -", "GET /call/2 200 2 -"]),
    );
    let parent = |path: &str, server: bool| {
        let s = after.spans.iter().find(|s| s.attr("url.path") == path && s.is_server() == server).unwrap();
        let p = after.spans.iter().find(|p| p.span_id == s.parent_id && p.trace_id == s.trace_id);
        p.map_or("-", |p| p.attr("url.path")).to_owned()
    };
    let parents = ["/call/1", "/whole/2", "/call/2"].map(|p| (parent(p, true), parent(p, false)));
    let text = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
    assert_eq!(parents, [("/call/1", "-"), ("/whole/2", "-"), ("/call/2", "/whole/2")].map(text));
}

/// What is looked at once and what is told of by events meet while the agent starts: nothing may fall between the two.
#[test]
fn servers_that_begin_to_listen_while_the_agent_starts_are_known_by_their_port() {
    let ports: Vec<u16> = (0..10).map(|_| free_port()).collect();
    let rules: Vec<String> = ports.iter().map(|port| format!("{{ port: \"{port}\" }}")).collect();
    let config = format!("agent: {{ discovery: {{ include: [ {} ] }} }}\n", rules.join(", "));
    let dir = tempfile::tempdir().unwrap();
    let (of, path) = (ports.clone(), dir.path().to_owned());
    let started = std::thread::spawn(move || {
        let start = |port: &u16| {
            // How long the agent takes to start is not known: they come all along.
            std::thread::sleep(Duration::from_millis(80));
            let port = port.to_string();
            let mut server = Command::new("python3");
            server.args(["-m", "http.server", "--bind", "127.0.0.1", "-d"]).arg(&path).arg(port);
            server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        of.iter().map(start).collect::<Vec<_>>()
    });
    let agent = Agent::start("servers that start with it", &config);
    let mut servers = started.join().unwrap();
    let Some(agent) = agent else {
        servers.iter_mut().for_each(|s| s.kill().unwrap());
        return;
    };
    for port in &ports {
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", *port)).is_err() {
            assert!(Instant::now() < end, "no server on {port}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(get(*port, "/").0, 200);
    }
    let told = agent.stop();
    servers.iter_mut().for_each(|s| drop(s.kill().and_then(|()| s.wait())));
    let of_port = |s: &crate::harness::Span| s.attr("server.port").to_owned();
    let mut instances: Vec<_> =
        told.spans.iter().map(|s| s.resource["service.instance.id"].clone()).collect();
    same("spans", told.spans.iter().map(of_port), ports.iter().map(u16::to_string));
    instances.sort();
    instances.dedup();
    assert_eq!(instances.len(), ports.len());
}

/// As systemd and inetd start them: the program listens without ever having called listen.
#[test]
fn a_server_that_was_handed_its_listening_socket_is_known_by_its_port() {
    let port = free_port();
    let config = format!("agent: {{ discovery: {{ include: [ {{ port: \"{port}\" }} ] }} }}\n");
    let Some(agent) = Agent::start("a handed-on socket", &config) else { return };
    let serve = "import socket\nlistener = socket.socket(fileno=0)\nfor _ in range(3):\n c, _ = listener.accept()\n c.recv(65536)\n c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n')\n c.close()";
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut server = Command::new("python3");
    let mut server = server.args(["-c", serve]).stdin(std::os::fd::OwnedFd::from(listener)).spawn().unwrap();
    for n in 0..3 {
        assert_eq!(get(port, &format!("/{n}")).0, 200);
    }
    assert_eq!(wait(&mut server, Duration::from_secs(10)), Some(0));
    let told = agent.stop();
    let of_server = told.spans.iter().filter(|s| s.is_server()).map(|s| s.attr("url.path").to_owned());
    same("server spans", of_server, ["/0", "/1", "/2"].map(str::to_owned));
}
