//! Clients that ask the same again and again on one connection. The kernel half tells of such a request with its response:
//! nothing may be missing, late or linked to another for that.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::edges::{END, OK, SELF, both, line, until};
use crate::harness::{Agent, Span, Told, answer, same};

const ASK: &[u8] = b"GET /again HTTP/1.1\r\nHost: h\r\nUser-Agent: one and the same\r\n\r\n";

/// A server that answers the n-th request of each connection as `how` does, a thread a connection.
fn serve(how: impl Fn(&mut TcpStream, usize) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((mut s, _)) = listener.accept() {
            let how = how.clone();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                for n in 0.. {
                    match std::io::Read::read(&mut s, &mut buffer) {
                        Ok(got) if got > 0 => how(&mut s, n),
                        _ => return,
                    }
                }
            });
        }
    });
    port
}

fn connect(port: u16) -> TcpStream {
    let s = TcpStream::connect(("127.0.0.1", port)).unwrap();
    s.set_nodelay(true).unwrap();
    s
}

/// Spans of one side in the order of their begin.
fn side(told: &Told, server: bool, path: &str) -> Vec<Span> {
    let mut of: Vec<Span> = told
        .spans
        .iter()
        .filter(|s| s.is_server() == server && s.attr("url.path") == path)
        .cloned()
        .collect();
    of.sort_by_key(|s| s.start);
    of
}

/// Every server's span has a client's as its parent, and lies `within` it.
fn paired(told: &Told, path: &str, n: usize, within: bool) {
    let clients = side(told, false, path);
    let servers = side(told, true, path);
    assert_eq!((clients.len(), servers.len()), (n, n), "{path}");
    for s in &servers {
        let client = clients.iter().find(|c| c.span_id == s.parent_id);
        let client = client.unwrap_or_else(|| panic!("{} at {} has no parent", line(s), s.start));
        assert!(client.start <= s.start, "began before the client's");
        assert!(!within || s.end <= client.end, "ended after the client's");
    }
}

/// Records that the kernel half made until now.
fn records(agent: &Agent) -> f64 {
    let metrics = agent.get("/metrics");
    let records = metrics.lines().find(|l| l.starts_with("telegen_tap_events") && l.contains("\"records\""));
    records.and_then(|l| l.rsplit(' ').next()?.parse().ok()).unwrap()
}

#[test]
fn answers_of_every_kind_are_told_one_by_one() {
    let Some(agent) = Agent::start("repeated requests", SELF) else { return };
    let port = serve(|s, n| {
        let answer: Vec<u8> = match n % 10 {
            3 => b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone".to_vec(),
            5 => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec(),
            6 => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            7 => format!("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{}", "x".repeat(9000)).into_bytes(),
            8 => b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec(),
            _ => OK.to_vec(),
        };
        if n % 10 == 8 {
            s.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
            thread::sleep(Duration::from_millis(10));
        }
        if n % 10 == 9 {
            thread::sleep(Duration::from_millis(40));
            // Head and body are calls of their own.
            let at = answer.len() - 2;
            s.write_all(&answer[..at]).unwrap();
            thread::sleep(Duration::from_millis(40));
            s.write_all(&answer[at..]).unwrap();
        } else {
            s.write_all(&answer).unwrap();
        }
    });
    let (connections, rounds) = (4, 200);
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            thread::spawn(move || {
                let mut s = connect(port);
                for n in 0..rounds {
                    s.write_all(ASK).unwrap();
                    match n % 10 {
                        5 => drop(until(&mut s, b"0\r\n\r\n")),
                        6 => drop(until(&mut s, END)),
                        8 => drop(until(&mut s, b"Length: 0\r\n\r\n")),
                        _ => answer(&mut s),
                    }
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|c| c.join().unwrap());
    let records = records(&agent);
    let told = agent.stop();
    let expected = [
        ("S", "200 2 -", 5),
        ("C", "200 2 -", 5),
        ("S", "404 4 -", 1),
        ("C", "404 4 404", 1),
        ("S", "200 3 -", 1),
        ("C", "200 3 -", 1),
        ("S", "204 0 -", 1),
        ("C", "204 0 -", 1),
        ("S", "200 9000 -", 1),
        ("C", "200 9000 -", 1),
        ("S", "503 0 503", 1),
        ("C", "503 0 503", 1),
    ];
    let of = |(side, of, share)| vec![format!("{side} GET /again {of}"); connections * rounds / 10 * share];
    same("spans", told.spans.iter().map(line), expected.into_iter().flat_map(of));
    paired(&told, "/again", connections * rounds, true);
    let slow = |server| side(&told, server, "/again").iter().filter(|s| s.ms() >= 80.0).count();
    assert_eq!((slow(true), slow(false)), (connections * rounds / 10, connections * rounds / 10));
    // Most exchanges are one record on the server's side, and two on the client's.
    let exchanges = (connections * rounds) as f64;
    assert!(records < 3.8 * exchanges, "{records} records of {exchanges} exchanges");
}

/// One thread that answers many while one request that it read long ago waits.
#[test]
fn a_request_that_waits_leaves_the_others_their_short_way() {
    let Some(agent) = Agent::start("one waits", SELF) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (first, exchanges) = (5, 400);
    let server = thread::spawn(move || {
        let (mut waits, _) = listener.accept().unwrap();
        for _ in 0..first {
            until(&mut waits, END);
            waits.write_all(OK).unwrap();
        }
        until(&mut waits, END);
        let (mut other, _) = listener.accept().unwrap();
        for _ in 0..exchanges {
            until(&mut other, END);
            other.write_all(OK).unwrap();
        }
        waits.write_all(OK).unwrap();
    });
    let mut waits = connect(port);
    for _ in 0..first {
        waits.write_all(ASK).unwrap();
        answer(&mut waits);
    }
    waits.write_all(ASK).unwrap();
    let mut other = connect(port);
    let before = records(&agent);
    for _ in 0..exchanges {
        other.write_all(ASK).unwrap();
        answer(&mut other);
    }
    let made = records(&agent) - before;
    answer(&mut waits);
    server.join().unwrap();
    let told = agent.stop();
    paired(&told, "/again", first + 1 + exchanges, true);
    // One record on the server's side and two on the client's; two and two where the place is taken.
    assert!(made < 3.5 * exchanges as f64, "{made} records of {exchanges} exchanges");
}

#[test]
fn a_request_is_known_before_what_it_calls() {
    let Some(agent) = Agent::start("calls after many alike", SELF) else { return };
    let behind = serve(|s, _| {
        thread::sleep(Duration::from_millis(20));
        s.write_all(OK).unwrap();
    });
    // Each thread serves many before it makes its first call, and goes on making calls.
    let port = serve(move |s, n| {
        if n >= 20 {
            let mut call = connect(behind);
            call.write_all(format!("GET /behind/{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
            answer(&mut call);
        }
        s.write_all(OK).unwrap();
    });
    let clients: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(move || {
                let mut s = connect(port);
                for _ in 0..24 {
                    s.write_all(ASK).unwrap();
                    answer(&mut s);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|c| c.join().unwrap());
    let told = agent.stop();
    paired(&told, "/again", 8 * 24, true);
    let servers = side(&told, true, "/again");
    for n in 20..24 {
        let path = format!("/behind/{n}");
        paired(&told, &path, 8, true);
        for call in side(&told, false, &path) {
            let parent = servers.iter().find(|s| s.span_id == call.parent_id);
            let parent =
                parent.unwrap_or_else(|| panic!("{path}: no parent, {}", call.attr("telegen.link.reason")));
            assert!(parent.start <= call.start && call.end <= parent.end, "{path}: not within its parent");
            assert_eq!(parent.trace_id, call.trace_id);
        }
    }
}

#[test]
fn a_client_that_gives_up_leaves_both_ends() {
    let Some(agent) = Agent::start("given up after many alike", SELF) else { return };
    let port = serve(|s, n| {
        if n == 5 {
            thread::sleep(Duration::from_millis(1500));
        }
        // The client may be gone.
        let _gone = s.write_all(OK);
    });
    for reset in [false, true] {
        let mut s = connect(port);
        for _ in 0..5 {
            s.write_all(ASK).unwrap();
            answer(&mut s);
        }
        s.write_all(ASK).unwrap();
        thread::sleep(Duration::from_millis(100));
        if reset {
            rustix::net::sockopt::set_socket_linger(&s, Some(Duration::ZERO)).unwrap();
        } else {
            s.shutdown(Shutdown::Both).unwrap();
        }
        drop(s);
        thread::sleep(Duration::from_millis(2500));
    }
    let told = agent.stop();
    assert_eq!(side(&told, true, "/again").len(), 12);
    // Those that were given up end for the server when it looks.
    paired(&told, "/again", 12, false);
}

#[test]
fn an_answer_that_is_none_costs_its_own_request_alone() {
    let Some(agent) = Agent::start("no answer among many alike", SELF) else { return };
    let port = serve(|s, n| {
        let none = b"HTTP/1.1 2x0 ?\r\nContent-Length: 2\r\n\r\nok";
        s.write_all(if n == 3 { none } else { OK }).unwrap();
    });
    let mut s = connect(port);
    for _ in 0..8 {
        s.write_all(ASK).unwrap();
        drop(until(&mut s, b"ok"));
    }
    drop(s);
    let told = agent.stop();
    same("spans", told.spans.iter().map(line), both(&["GET /again 200 2 -"; 7]));
}
