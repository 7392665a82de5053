//! Parents and other ends on real programs: a client calls a proxy, which calls a backend. Client and backend are this
//! process. Every request has a tag, so that a wrong parent shows.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::harness::{Agent, Server, Span, Told, free_port};
use crate::programs::{apps, built, exists, run};

/// Answers every request after some milliseconds, a thread a connection.
fn backend() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((mut s, _)) = listener.accept() {
            thread::spawn(move || {
                let mut got = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(n) = s.read(&mut buffer) {
                    if n == 0 {
                        return;
                    }
                    got.extend_from_slice(&buffer[..n]);
                    while let Some(end) = got.windows(4).position(|w| w == b"\r\n\r\n") {
                        let wait = u64::from(got[..end].iter().fold(0u8, |a, b| a.wrapping_add(*b)) % 8);
                        got.drain(..end + 4);
                        thread::sleep(Duration::from_millis(2 + wait));
                        let _gone = s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
                    }
                }
            });
        }
    });
    port
}

/// Asks `n` tagged requests at a time, `rounds` times.
fn ask(port: u16, n: usize, rounds: usize) {
    let threads: Vec<_> = (0..n)
        .map(|t| {
            thread::spawn(move || {
                for r in 0..rounds {
                    let (status, _) = crate::harness::get(port, &format!("/up/{n}.{t}.{r}"));
                    assert_eq!(status, 200);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
}

/// What the links say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Links {
    right: usize,
    wrong: Vec<String>,
    none: BTreeMap<String, usize>,
}

impl Links {
    /// Of the spans chosen, whose parent must be the span of that kind with the same tag.
    fn of<'a>(told: &'a Told, spans: impl Iterator<Item = &'a Span>, parent_kind: u64, from: &str) -> Links {
        let by_id: BTreeMap<(&str, &str), &Span> =
            told.spans.iter().map(|s| ((s.trace_id.as_str(), s.span_id.as_str()), s)).collect();
        let tag = |s: &Span| s.attr("url.path").rsplit('/').next().unwrap_or_default().to_owned();
        let mut links = Links::default();
        for s in spans {
            if s.parent_id.is_empty() {
                let reason = s.attr("telegen.link.reason");
                *links.none.entry(if reason.is_empty() { "-".into() } else { reason.into() }).or_insert(0) +=
                    1;
                continue;
            }
            match by_id.get(&(s.trace_id.as_str(), s.parent_id.as_str())) {
                Some(p)
                    if p.kind == parent_kind && tag(p) == tag(s) && p.attr("url.path").starts_with(from) =>
                {
                    links.right += 1;
                }
                other => links.wrong.push(format!("{} of {other:?}", s.attr("url.path"))),
            }
        }
        links
    }
}

const LEVELS: [(usize, usize); 4] = [(1, 20), (4, 10), (64, 4), (256, 1)];

/// Runs a proxy; gives how its calls were linked to the requests that it served.
fn proxy(name: &str, mut command: Command, exe: &str) -> Option<(Links, usize)> {
    let (port, behind) = (free_port(), backend());
    command.args([port.to_string(), behind.to_string()]);
    let args: Vec<_> = command.get_args().map(|a| a.to_owned()).collect();
    // Flags of the proxy come last.
    let (flags, rest): (Vec<_>, Vec<_>) = args.into_iter().partition(|a| a == "timeout");
    let mut ordered = Command::new(command.get_program());
    ordered.args(rest).args(flags);
    let server = Server::start(port, tempfile::tempdir().unwrap(), &mut ordered);
    let config = format!(
        "agent: {{ traces: {{ capture_budget: 0 }}, discovery: {{ include: [ {{ exe: \"*/deps/e2e-*\" }}, {{ exe: \"{exe}\" }} ] }} }}\n"
    );
    let agent = Agent::start(name, &config)?;
    let mut asked = 0;
    for (n, rounds) in LEVELS {
        ask(port, n, rounds);
        asked += n * rounds;
    }
    let told = agent.stop();
    drop(server);
    let of = |kind: u64, path: &'static str, pid: Option<u32>| {
        told.spans.iter().filter(move |s| {
            s.kind == kind
                && s.attr("url.path").starts_with(path)
                && pid.is_none_or(|p| s.resource["process.pid"] == p.to_string())
        })
    };
    // Both ends of every connection are paired, and none with another.
    for (path, what) in [("/up/", "requests to the proxy"), ("/down/", "calls of the proxy")] {
        let ends = Links::of(&told, of(2, path, None), 3, path);
        assert_eq!(ends, Links { right: asked, ..Links::default() }, "{name}: {what}");
        for s in of(2, path, None) {
            assert_eq!(s.attr("telegen.link.method"), "tcp_seq");
            let client = told.spans.iter().find(|c| c.span_id == s.parent_id).unwrap();
            assert!(
                client.start <= s.start && s.end <= client.end,
                "{name}: the server's time is not within the client's"
            );
        }
    }
    let links = Links::of(&told, of(3, "/down/", None), 2, "/up/");
    println!(
        "{name}: of {asked} calls {} linked, {} wrong, without a parent {:?}",
        links.right,
        links.wrong.len(),
        links.none
    );
    assert_eq!(links.wrong, Vec::<String>::new(), "{name}: wrong parents");
    assert_eq!(links.right + links.none.values().sum::<usize>(), asked, "{name}");
    // What the process does by itself has no parent.
    let own = Links::of(&told, of(3, "/timer/", None).chain(of(3, "/acceptor/", None)), 2, "/up/");
    assert_eq!((own.right, own.wrong), (0, Vec::new()), "{name}: calls of its own");
    Some((links, asked))
}

/// A proxy whose calls all have to be linked.
fn complete(name: &str, command: Option<Command>, exe: &str) {
    let Some(command) = command else { return };
    if let Some((links, asked)) = proxy(name, command, exe) {
        assert_eq!(links.right, asked, "{name}: {links:?}");
    }
}

/// A proxy that shows no evidence: none is linked, and each says why.
fn silent(name: &str, command: Option<Command>, exe: &str, reasons: &[&str]) {
    let Some(command) = command else { return };
    if let Some((links, asked)) = proxy(name, command, exe) {
        let known: usize =
            links.none.iter().filter(|(r, _)| reasons.contains(&r.as_str())).map(|(_, n)| n).sum();
        assert_eq!((links.right, known), (0, asked), "{name}: {links:?}");
    }
}

fn script(runtime: &str, file: &str) -> Option<Command> {
    if !exists(runtime) {
        println!("SKIPPED {file}: {runtime} is not installed");
        return None;
    }
    let mut c = Command::new(runtime);
    c.arg(apps().join("proxies").join(file));
    Some(c)
}

fn with_timeout(command: Option<Command>) -> Option<Command> {
    command.map(|mut c| {
        c.arg("timeout");
        c
    })
}

fn java() -> Option<Command> {
    if !exists("javac") {
        println!("SKIPPED Java proxy: javac is not installed");
        return None;
    }
    run(Command::new("javac").arg("-d").arg(built()).arg(apps().join("proxies/Proxy.java")));
    let mut c = Command::new("java");
    c.arg("-cp").arg(built()).arg("Proxy");
    Some(c)
}

#[test]
fn python_threads_link_every_call() {
    complete("Python threads", script("python3", "threads.py"), "*/python3*");
}

#[test]
fn python_threads_with_timeouts_link_every_call() {
    complete("Python threads with timeouts", with_timeout(script("python3", "threads.py")), "*/python3*");
}

#[test]
fn java_threads_link_every_call() {
    complete("Java threads", java(), "*/java");
}

#[test]
fn java_threads_with_timeouts_link_every_call() {
    complete("Java threads with timeouts", with_timeout(java()), "*/java");
}

#[test]
fn a_go_server_has_no_wrong_parent() {
    if !exists("go") {
        println!("SKIPPED Go proxy: go is not installed");
        return;
    }
    let program = built().join("go-proxy");
    run(Command::new("go")
        .current_dir(apps().join("go"))
        .arg("build")
        .arg("-o")
        .arg(&program)
        .arg("./proxy"));
    silent(
        "Go",
        Some(Command::new(program)),
        "*/go-proxy",
        &["event_loop", "no_request_on_thread", "two_open_requests", "handed_off"],
    );
}

#[test]
fn a_node_server_has_no_wrong_parent() {
    silent(
        "Node",
        script("node", "proxy.js"),
        "*/node",
        &["event_loop", "no_request_on_thread", "two_open_requests"],
    );
}

#[test]
fn an_asyncio_server_has_no_wrong_parent() {
    silent(
        "asyncio",
        script("python3", "loop.py"),
        "*/python3*",
        &["event_loop", "no_request_on_thread", "two_open_requests"],
    );
}

#[test]
fn a_tokio_server_has_no_wrong_parent() {
    let program: PathBuf =
        PathBuf::from(crate::harness::TELEGEN).with_file_name("examples").join("tokio_proxy");
    if !program.exists() {
        println!("SKIPPED Tokio proxy: {} is not built", program.display());
        return;
    }
    silent(
        "Tokio",
        Some(Command::new(program)),
        "*/tokio_proxy",
        &["event_loop", "no_request_on_thread", "two_open_requests", "handed_off"],
    );
}

#[test]
fn an_acceptor_with_a_pool_has_no_wrong_parent() {
    silent(
        "acceptor and pool",
        script("python3", "handoff.py"),
        "*/python3*",
        &["no_request_on_thread", "handed_off", "two_open_requests"],
    );
}

fn hands(mode: &str) -> Option<Command> {
    script("python3", "hands.py").map(|mut c| {
        c.arg(mode);
        c
    })
}

#[test]
fn a_socket_that_is_handed_over_with_the_request_has_no_wrong_parent() {
    silent(
        "read, then handed over",
        hands("read"),
        "*/python3*",
        &["-", "no_request_on_thread", "handed_off"],
    );
}

#[test]
fn a_socket_that_is_handed_over_unread_links_every_call() {
    complete("handed over unread", hands("unread"), "*/python3*");
}

#[test]
fn a_child_for_every_connection_links_every_call() {
    complete("fork after accept", hands("fork"), "*/python3*");
}

#[test]
fn a_child_for_every_request_has_no_wrong_parent() {
    silent(
        "fork after the request",
        hands("late"),
        "*/python3*",
        &["-", "no_request_on_thread", "handed_off"],
    );
}

#[test]
fn two_processes_on_one_port_link_every_call() {
    complete("SO_REUSEPORT", hands("share"), "*/python3*");
}

#[test]
fn requests_that_do_not_wait_for_one_another_have_no_wrong_parent_and_cost_the_others_none() {
    let Some(mut command) = script("python3", "threads.py") else { return };
    let (port, behind) = (free_port(), backend());
    let server = Server::start(
        port,
        tempfile::tempdir().unwrap(),
        command.args([port.to_string(), behind.to_string()]),
    );
    let config =
        "agent: { discovery: { include: [ { exe: \"*/deps/e2e-*\" }, { exe: \"*/python3*\" } ] } }\n";
    let Some(agent) = Agent::start("pipelined requests", config) else { return };
    let pairs = 20;
    for i in 0..pairs {
        let mut s = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let get = |tag: &str, more: &str| format!("GET /up/{tag}.{i} HTTP/1.1\r\nHost: h\r\n{more}\r\n");
        // Both heads in one write: whoever reads the first has the second too.
        s.write_all((get("first", "") + &get("second", "Connection: close\r\n")).as_bytes()).unwrap();
        let mut answers = Vec::new();
        s.read_to_end(&mut answers).unwrap();
        assert_eq!(answers.windows(4).filter(|w| w == b"done").count(), 2);
    }
    ask(port, 1, pairs);
    let told = agent.stop();
    drop(server);
    let calls = told.spans.iter().filter(|s| s.kind == 3 && s.attr("url.path").starts_with("/down/"));
    let links = Links::of(&told, calls, 2, "/up/");
    println!("pipelined: {links:?}");
    assert_eq!((links.right, links.wrong, links.none.values().sum()), (pairs, Vec::new(), 2 * pairs));
}

/// A timer in the loop of a server makes calls that wait, while a request is open: nothing but who runs the loop tells.
#[test]
fn a_loop_whose_timer_makes_calls_that_wait_has_no_wrong_parent() {
    const PROGRAM: &str = "
import asyncio, http.client, sys
port, backend = int(sys.argv[1]), int(sys.argv[2])
async def serve(reader, writer):
    while await reader.readuntil(b'\\r\\n\\r\\n'):
        await asyncio.sleep(0.03)
        writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
async def timer():
    while True:
        await asyncio.sleep(0.01)
        c = http.client.HTTPConnection('127.0.0.1', backend)
        c.request('GET', '/timer')
        c.getresponse().read()
        c.close()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', port)
    await asyncio.gather(server.serve_forever(), timer())
asyncio.run(main())
";
    let config = "agent: { discovery: { include: [ { exe: \"*/python3*\" } ] } }\n";
    let Some(agent) = Agent::start("a loop with a timer", config) else { return };
    let (port, backend) = (free_port(), backend());
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", PROGRAM]).args([port, backend].map(|p| p.to_string()));
    let server = Server::start(port, dir, &mut command);
    let mut s = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    for n in 0..40 {
        s.write_all(format!("GET /up/{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        let mut answer = [0; 40];
        assert!(s.read(&mut answer).unwrap() > 0);
    }
    drop(s);
    drop(server);
    let told = agent.stop();
    let of = |path: &str| told.spans.iter().filter(|s| s.attr("url.path").starts_with(path)).count();
    assert!(of("/up/") == 40 && of("/timer") > 20, "{} and {}", of("/up/"), of("/timer"));
    let linked = told.spans.iter().filter(|s| s.attr("telegen.link.method") == "thread").count();
    assert_eq!(linked, 0, "of {}", of("/timer"));
}
