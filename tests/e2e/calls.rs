//! Calls that move bytes in unusual ways, and the other families of sockets: the framing stays right behind each.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;

use crate::edges::{END, OK, SELF, both, check, line, until};
use crate::harness::{Agent, same};
use crate::opaque::{compile, unread};

const BODY: usize = 70_000;

/// Runs `tests/apps/c/calls.c` with a call against a server of this process: two requests, both seen by both ends.
fn exact(call: &str) {
    let Some(program) = compile("calls.c", &["-Wall"], "calls") else { return };
    let config = format!(
        "agent: {{ discovery: {{ include: [ {{ exe: \"*/deps/e2e-*\" }}, {{ exe: \"{}\" }} ] }} }}\n",
        program.display()
    );
    let Some(agent) = Agent::start(call, &config) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut s = listener.accept().unwrap().0;
        for _ in 0..2 {
            let mut got = Vec::new();
            let mut buffer = [0; 4096];
            while !got.windows(4).any(|w| w == END) {
                match s.read(&mut buffer) {
                    Ok(n) if n > 0 => got.extend_from_slice(&buffer[..n]),
                    _ => return,
                }
            }
            // The body looks like an answer and a request: what reads it as one is wrong.
            let mut body =
                b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nGET /decoy HTTP/1.1\r\n\r\n".to_vec();
            body.resize(BODY, b'b');
            s.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n").as_bytes()).unwrap();
            s.write_all(&body).unwrap();
        }
    });
    let out = Command::new(&program).args([call, &port.to_string()]).output().unwrap();
    server.join().unwrap();
    if out.status.code() == Some(77) {
        println!("SKIPPED {call}: the kernel lacks it");
        return;
    }
    assert!(out.status.success(), "{call}: {}", String::from_utf8_lossy(&out.stderr));
    let told = agent.stop();
    let paths = [0, 1].map(|i| format!("GET /{call}/{i} 200 {BODY} -"));
    check(&told, both(&[&paths[0], &paths[1]]));
}

#[test]
fn a_body_that_splice_takes_out_of_the_socket_is_counted_by_its_place() {
    exact("splice");
}

#[test]
fn a_body_that_is_mapped_is_counted_by_its_place() {
    exact("zerocopy");
}

#[test]
fn a_body_that_is_thrown_away_unread_is_counted() {
    exact("trunc");
}

#[test]
fn the_error_queue_is_none_of_the_stream() {
    exact("errqueue");
}

#[test]
fn a_request_sent_in_many_messages_is_read() {
    exact("sendmmsg");
}

#[test]
fn a_response_received_in_many_messages_is_framed() {
    exact("recvmmsg");
}

#[test]
fn ipv6_and_mapped_addresses_are_told_as_they_are() {
    let Some(agent) = Agent::start("IPv6", SELF) else { return };
    let Ok(six) = TcpListener::bind("[::1]:0") else {
        println!("SKIPPED IPv6: no loopback address");
        return;
    };
    // Takes both families: IPv4 peers have mapped addresses there.
    let dual = TcpListener::bind("[::]:0").unwrap();
    let ports = [six.local_addr().unwrap().port(), dual.local_addr().unwrap().port()];
    let server = thread::spawn(move || {
        for listener in [six, dual] {
            let mut s = listener.accept().unwrap().0;
            until(&mut s, END);
            s.write_all(OK).unwrap();
        }
    });
    for (target, port, path) in [("::1", ports[0], "/six"), ("127.0.0.1", ports[1], "/mapped")] {
        let mut s = TcpStream::connect((target, port)).unwrap();
        s.write_all(format!("GET {path} HTTP/1.1\r\nHost: [::1]:9\r\n\r\n").as_bytes()).unwrap();
        until(&mut s, b"ok");
    }
    server.join().unwrap();
    let told = agent.stop();
    check(&told, both(&["GET /six 200 2 -", "GET /mapped 200 2 -"]));
    same(
        "peers",
        told.spans.iter().map(|s| format!("{} {}", line(s), s.attr("network.peer.address"))),
        [("/six", "::1"), ("/mapped", "127.0.0.1")]
            .iter()
            .flat_map(|(p, a)| ["S", "C"].map(|side| format!("{side} GET {p} 200 2 - {a}"))),
    );
    assert!(told.spans.iter().all(|s| s.attr("server.address") == "::1" && s.attr("server.port") == "9"));
}

#[test]
fn datagrams_are_counted_for_their_process_and_never_read() {
    let Some(agent) = Agent::start("UDP", SELF) else { return };
    let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let request = b"GET /datagram HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut buffer = [0; 2048];
    for _ in 0..20 {
        a.send_to(request, b.local_addr().unwrap()).unwrap();
        let (n, from) = b.recv_from(&mut buffer).unwrap();
        b.send_to(&buffer[..n], from).unwrap();
        a.recv_from(&mut buffer).unwrap();
    }
    thread::sleep(std::time::Duration::from_millis(500));
    let service = std::env::current_exe().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let told = agent.stop();
    check(&told, Vec::new());
    assert_eq!(unread(&told, &service), 20 * 4 * request.len() as u64);
}
