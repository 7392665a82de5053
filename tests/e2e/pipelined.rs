//! Requests that share a call with the end of the one before, and ones that an empty line stands before.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::edges::{END, OK, SELF, both, check, line, serve, until};
use crate::harness::Agent;

/// What is sent in one call, and what was asked by it.
struct Sent {
    bytes: Vec<u8>,
    requests: Vec<(String, &'static str)>,
}

/// A request with a body of 3,000 bytes, and behind it `between` and another one.
fn two(n: usize, chunked: bool, between: &str) -> Sent {
    let (data, third) = ("x".repeat(3_000), "x".repeat(1_000));
    let (framing, body) = if chunked {
        ("Transfer-Encoding: chunked", format!("3e8\r\n{third}\r\n").repeat(3) + "0\r\n\r\n")
    } else {
        ("Content-Length: 3000", data)
    };
    let bytes = format!(
        "POST /{n}/first HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{body}{between}GET /{n}/second HTTP/1.1\r\nHost: h\r\n\r\n"
    );
    let requests = vec![(format!("POST /{n}/first"), "3000"), (format!("GET /{n}/second"), "0")];
    Sent { bytes: bytes.into_bytes(), requests }
}

#[test]
fn a_request_behind_a_body_in_the_same_call_is_told() {
    let Some(agent) = Agent::start("requests behind bodies", SELF) else { return };
    let all: Vec<Sent> = (0..12).map(|n| two(n, n % 2 == 1, if n % 3 == 0 { "\r\n" } else { "" })).collect();
    let lengths: Vec<usize> = all.iter().map(|s| s.bytes.len()).collect();
    let (port, server) = serve(1, move |mut s| {
        for (n, &len) in lengths.iter().enumerate() {
            // In one call, or with both ends of the body within others.
            let mut got = vec![0; len];
            let pieces = if n < 6 { len } else { 900 };
            got.chunks_mut(pieces).for_each(|piece| s.read_exact(piece).unwrap());
            s.write_all(OK).unwrap();
            s.write_all(OK).unwrap();
        }
        // And the connection is as it was.
        until(&mut s, END);
        s.write_all(OK).unwrap();
    });
    let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for sent in &all {
        assert_eq!(s.write(&sent.bytes).unwrap(), sent.bytes.len(), "one call");
        s.read_exact(&mut vec![0; 2 * OK.len()]).unwrap();
    }
    s.write_all(b"GET /last HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    s.read_exact(&mut vec![0; OK.len()]).unwrap();
    drop(s);
    server.join().unwrap();
    let told = agent.stop();
    let mut requests: Vec<_> = all.into_iter().flat_map(|s| s.requests).collect();
    requests.push(("GET /last".to_owned(), "0"));
    let lines: Vec<String> = requests.iter().map(|(r, _)| format!("{r} 200 2 -")).collect();
    check(&told, both(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
    for s in &told.spans {
        let size = requests.iter().find(|(r, _)| line(s).contains(&format!(" {r} "))).map(|(_, size)| *size);
        assert_eq!(Some(s.attr("http.request.body.size")), size, "{}", line(s));
    }
}

#[test]
fn an_empty_line_before_a_request_is_no_part_of_it() {
    let Some(agent) = Agent::start("empty lines", SELF) else { return };
    let (port, server) = serve(2, |mut s| {
        for _ in 0..5 {
            until(&mut s, END);
            s.write_all(OK).unwrap();
        }
    });
    for path in ["/a", "/b"] {
        let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // The same again, which the kernel half knows; then one whose empty line is a call of its own.
        for cut in [0, 0, 0, 2, 1] {
            let bytes = format!("\r\nGET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
            let (begin, rest) = bytes.split_at(cut);
            for part in [begin, rest].into_iter().filter(|p| !p.is_empty()) {
                s.write_all(part.as_bytes()).unwrap();
            }
            s.read_exact(&mut vec![0; OK.len()]).unwrap();
        }
    }
    server.join().unwrap();
    let told = agent.stop();
    let expect = [["GET /a 200 2 -"; 5], ["GET /b 200 2 -"; 5]].concat();
    check(&told, both(&expect));
    let joined = told.spans.iter().filter(|s| s.is_server() && !s.parent_id.is_empty()).count();
    assert_eq!(joined, 10, "both ends begin with the same byte");
}

#[test]
fn answers_that_are_read_in_one_call_are_told_one_by_one() {
    let Some(agent) = Agent::start("answers in one call", SELF) else { return };
    let sizes = [[612; 40].as_slice(), &[30_000; 5], &[100; 20]];
    let (port, server) = serve(sizes.len(), move |mut s| {
        let requests = until(&mut s, b"GET /last HTTP/1.1\r\nHost: h\r\n\r\n");
        let text = String::from_utf8(requests).unwrap();
        for line in text.lines().filter_map(|l| l.strip_prefix("GET /")) {
            let size = line.split(['/', ' ']).next().and_then(|n| n.parse().ok()).unwrap_or(1);
            let body = "x".repeat(size);
            write!(s, "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: {size}\r\n\r\n{body}").unwrap();
        }
    });
    let mut lines = Vec::new();
    for sizes in sizes {
        let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&s, 1 << 20).unwrap();
        let one = |path: String| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        let paths: Vec<String> = sizes.iter().enumerate().map(|(n, size)| format!("/{size}/{n}")).collect();
        let all: String = paths.iter().cloned().chain(["/last".to_owned()]).map(one).collect();
        s.write_all(all.as_bytes()).unwrap();
        lines.extend(std::iter::zip(sizes, paths).map(|(size, path)| format!("GET {path} 200 {size} -")));
        lines.push("GET /last 200 1 -".to_owned());
        // All of them have come before anything is read.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let mut buffer = vec![0; 1 << 20];
        while s.read(&mut buffer).unwrap() > 0 {}
    }
    server.join().unwrap();
    check(&agent.stop(), both(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
}

/// Connections whose messages may lie many to a call pass far more bytes: who only says that a body has no length is none.
#[test]
fn a_request_behind_a_body_of_no_length_makes_no_connection_a_pipelining_one() {
    const TIMES: usize = 100;
    let Some(agent) = Agent::start("bodies of no length", SELF) else { return };
    const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 70000\r\n\r\n";
    let (answer, mut buffer) = (format!("{HEAD}{}", "x".repeat(70_000)), vec![0; 70_000]);
    let (port, server) = serve(1, move |mut s| {
        for _ in 0..TIMES {
            until(&mut s, END);
            s.write_all(answer.as_bytes()).unwrap();
        }
    });
    let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for n in 0..TIMES {
        s.write_all(format!("GET /{n} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
        // The head comes with the body's begin.
        let mut got = until(&mut s, END).len() - HEAD.len();
        while got < 70_000 {
            got += s.read(&mut buffer).unwrap();
        }
    }
    drop(s);
    server.join().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let metrics = agent.get("/metrics");
    let of_kind = |l: &str| l.strip_prefix("telegen_tap_events_total{kind=\"records\"} ")?.parse().ok();
    let records: usize = metrics.lines().find_map(of_kind).unwrap_or_else(|| panic!("{metrics}"));
    assert!(records < 8 * TIMES, "{records} records of {TIMES} requests");
    let lines: Vec<String> = (0..TIMES).map(|n| format!("GET /{n} 200 70000 -")).collect();
    let told = agent.stop();
    let spans = told.spans.iter().map(line).filter(|l| !l.contains("/metrics"));
    crate::harness::same("spans", spans, both(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
}
