//! Every edge of HTTP/1 on real sockets. Server and client are threads of this process: each request gives two spans.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use crate::harness::{Agent, Span, Told, same};

/// Watches this process alone.
pub const SELF: &str = "agent: { discovery: { include: [ { exe: \"*/deps/e2e-*\" } ] } }\n";

/// A listener whose connections are handled one after the other by `handle`, `n` of them.
pub fn serve(n: usize, handle: impl Fn(TcpStream) + Send + 'static) -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = thread::spawn(move || {
        for _ in 0..n {
            handle(listener.accept().unwrap().0);
        }
    });
    (port, thread)
}

/// Reads requests without a body until the other side ends; `answer` is told how many heads each read has completed.
pub fn each_head(mut s: TcpStream, mut answer: impl FnMut(&mut TcpStream, usize)) {
    let (mut got, mut buffer) = (Vec::new(), [0; 65536]);
    loop {
        let n = s.read(&mut buffer).unwrap();
        if n == 0 {
            return;
        }
        got.extend_from_slice(&buffer[..n]);
        let mut heads = 0;
        while let Some(end) = got.windows(4).position(|w| w == END) {
            got.drain(..end + 4);
            heads += 1;
        }
        answer(&mut s, heads);
    }
}

/// Reads until `end` is among the bytes.
pub fn until(s: &mut impl Read, end: &[u8]) -> Vec<u8> {
    let mut got = Vec::new();
    let mut buffer = [0; 65536];
    while !got.windows(end.len()).any(|w| w == end) {
        let n = s.read(&mut buffer).unwrap();
        assert!(n > 0, "ended after {:?}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&buffer[..n]);
    }
    got
}

pub const END: &[u8] = b"\r\n\r\n";
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub fn connect(port: u16) -> TcpStream {
    let s = TcpStream::connect(("127.0.0.1", port)).unwrap();
    s.set_nodelay(true).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    s
}

/// `SIDE METHOD path status response-bytes error`, `-` for what is absent.
pub fn line(s: &Span) -> String {
    let or = |key: &str| if s.attr(key).is_empty() { "-".to_owned() } else { s.attr(key).to_owned() };
    let side = if s.is_server() { "S" } else { "C" };
    let method = if s.attr("http.request.method_original").is_empty() {
        or("http.request.method")
    } else {
        or("http.request.method_original")
    };
    format!(
        "{side} {method} {} {} {} {}",
        or("url.path"),
        or("http.response.status_code"),
        or("http.response.body.size"),
        or("error.type")
    )
}

/// Both sides of each line.
pub fn both(lines: &[&str]) -> Vec<String> {
    lines.iter().flat_map(|l| [format!("S {l}"), format!("C {l}")]).collect()
}

pub fn check(told: &Told, expect: Vec<String>) {
    same("spans", told.spans.iter().map(line), expect);
}

#[test]
fn a_slow_response_in_pieces_is_as_long_as_it_took_in_both_framings() {
    let Some(agent) = Agent::start("slow responses", SELF) else { return };
    let (port, server) = serve(2, |mut s| {
        let head = until(&mut s, END);
        if head.starts_with(b"GET /length") {
            s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").unwrap();
            for _ in 0..4 {
                thread::sleep(Duration::from_millis(80));
                s.write_all(b"x").unwrap();
            }
        } else {
            s.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
            for piece in ["1\r\nx\r\n", "1\r\nx\r\n", "1\r\nx\r\n", "0\r\n\r\n"] {
                thread::sleep(Duration::from_millis(80));
                s.write_all(piece.as_bytes()).unwrap();
            }
        }
        // Kept open: the end is told by the framing, not by the close.
        until_closed(&mut s);
    });
    for (path, end) in [("/length", b"xxxx".as_slice()), ("/chunked", b"0\r\n\r\n")] {
        let mut s = connect(port);
        s.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        until(&mut s, end);
        thread::sleep(Duration::from_millis(700));
    }
    server.join().unwrap();
    let told = agent.stop();
    check(&told, both(&["GET /length 200 4 -", "GET /chunked 200 3 -"]));
    for s in &told.spans {
        assert!(s.ms() >= 300.0 && s.ms() < 700.0, "{} {}", line(s), s.ms());
    }
}

fn until_closed(s: &mut impl Read) {
    let mut rest = Vec::new();
    // A reset is a close too.
    let _ended = s.read_to_end(&mut rest);
}

#[test]
fn requests_byte_by_byte_and_forty_in_one_write_are_told_one_by_one() {
    let Some(agent) = Agent::start("byte by byte", SELF) else { return };
    let (port, server) = serve(2, |s| {
        let mut asked = 0;
        each_head(s, |s, heads| {
            for _ in 0..heads {
                asked += 1;
                s.write_all(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {asked}\r\n\r\n{}", "y".repeat(asked))
                        .as_bytes(),
                )
                .unwrap();
            }
        });
    });
    let mut s = connect(port);
    for i in 0..3 {
        for b in format!("GET /bytes/{i} HTTP/1.1\r\nHost: h\r\n\r\n").bytes() {
            s.write_all(&[b]).unwrap();
            thread::sleep(Duration::from_micros(300));
        }
        until(&mut s, "y".repeat(i + 1).as_bytes());
    }
    drop(s);
    let mut s = connect(port);
    let all: String = (0..40).map(|i| format!("GET /forty/{i} HTTP/1.1\r\nHost: h\r\n\r\n")).collect();
    s.write_all(all.as_bytes()).unwrap();
    until(&mut s, "y".repeat(40).as_bytes());
    drop(s);
    server.join().unwrap();
    let told = agent.stop();
    let lines: Vec<String> = (0..3)
        .map(|i| format!("GET /bytes/{i} 200 {} -", i + 1))
        .chain((0..40).map(|i| format!("GET /forty/{i} 200 {} -", i + 1)))
        .collect();
    check(&told, both(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
}

#[test]
fn headers_far_into_a_long_head_are_read_and_a_longer_head_is_flagged() {
    let Some(agent) = Agent::start("long heads", SELF) else { return };
    let (port, server) = serve(3, |mut s| {
        until(&mut s, END);
        s.write_all(OK).unwrap();
    });
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (path, size) in [("/near", 100), ("/far", 8192), ("/over", 20_000)] {
        let mut s = connect(port);
        let cookie = "c".repeat(size);
        let text = format!(
            "GET {path} HTTP/1.1\r\nCookie: {cookie}\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\nHost: h\r\n\r\n"
        );
        s.write_all(text.as_bytes()).unwrap();
        until(&mut s, b"ok");
    }
    server.join().unwrap();
    let told = agent.stop();
    check(&told, both(&["GET /near 200 2 -", "GET /far 200 2 -", "GET /over 200 2 -"]));
    for s in &told.spans {
        let over = s.attr("url.path") == "/over";
        assert_eq!(s.trace_id == trace, !over, "{}", line(s));
        assert_eq!(s.attr("telegen.http.head_truncated"), if over { "true" } else { "" });
        // Without the header the server's span is a child of the client's, which has none.
        assert_eq!(s.attr("telegen.link.method"), if over && s.is_server() { "tcp_seq" } else { "" });
        assert_eq!(s.parent_id.is_empty(), over && !s.is_server());
    }
}

#[test]
fn interim_bodiless_and_early_responses_are_framed_as_the_rfc_says() {
    let Some(agent) = Agent::start("framing", SELF) else { return };
    let answers: [(&str, &str, &str); 6] = [
        ("PUT /continue", "Expect: 100-continue\r\nContent-Length: 5\r\n", ""),
        ("HEAD /head", "", "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"),
        ("GET /none", "", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET /same", "", "HTTP/1.1 304 Not Modified\r\nContent-Length: 999\r\n\r\n"),
        (
            "GET /hints",
            "",
            "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        ),
        (
            "GET /chunks",
            "",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n",
        ),
    ];
    let (port, server) = serve(1, move |mut s| {
        for (request, _, answer) in answers {
            until(&mut s, END);
            if request.starts_with("PUT") {
                s.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
                until(&mut s, b"hello");
                s.write_all(OK).unwrap();
            } else {
                s.write_all(answer.as_bytes()).unwrap();
            }
        }
        // Early: the answer comes before the body is complete.
        until(&mut s, b"half");
        s.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").unwrap();
        until(&mut s, END);
        s.write_all(OK).unwrap();
    });
    let mut s = connect(port);
    for (request, headers, answer) in answers {
        s.write_all(format!("{request} HTTP/1.1\r\nHost: h\r\n{headers}\r\n").as_bytes()).unwrap();
        if request.starts_with("PUT") {
            until(&mut s, END);
            s.write_all(b"hello").unwrap();
            until(&mut s, b"ok");
        } else {
            until(&mut s, answer.as_bytes());
        }
    }
    s.write_all(b"POST /early HTTP/1.1\r\nContent-Length: 8\r\n\r\nhalf").unwrap();
    until(&mut s, END);
    s.write_all(b"more").unwrap();
    s.write_all(b"GET /after HTTP/1.1\r\n\r\n").unwrap();
    until(&mut s, b"ok");
    drop(s);
    server.join().unwrap();
    let told = agent.stop();
    check(
        &told,
        both(&[
            "PUT /continue 200 2 -",
            "HEAD /head 200 0 -",
            "GET /none 204 0 -",
            "GET /same 304 0 -",
            "GET /hints 200 3 -",
            "GET /chunks 200 5 -",
            "GET /after 200 2 -",
        ])
        .into_iter()
        .chain(["S POST /early 413 0 -".to_owned(), "C POST /early 413 0 413".to_owned()])
        .collect(),
    );
}

/// Heads of one length that differ in a few bytes, at their begin, in their middle or at their end: what the kernel half
/// remembers of one is not said of another.
#[test]
fn responses_that_look_alike_are_told_apart() {
    let Some(agent) = Agent::start("alike", SELF) else { return };
    let filler = |c: &str| format!("X-Filler: {}\r\n", c.repeat(150));
    let sized = |status, n: usize| {
        let length = format!("Content-Length: {n}\r\nX-Same: abcdefghij\r\n");
        (format!("HTTP/1.1 {status} OK\r\n{length}{}\r\n", filler("a")), "z".repeat(n), status, n)
    };
    let last = |n: usize| {
        let head =
            format!("HTTP/1.1 200 OK\r\nX-Same: abcdefghij\r\n{}Content-Length: {n}\r\n\r\n", filler("a"));
        (head, "z".repeat(n), 200, n)
    };
    let chunked = {
        let head =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Same: 6\r\n{}\r\n", filler("b"));
        (head, "4\r\nzzzz\r\n0\r\n\r\n".to_owned(), 200, 4)
    };
    let kinds = [sized(200, 3), sized(200, 7), sized(404, 3), last(2), last(5), chunked];
    assert!(kinds.iter().all(|k| k.0.len() == kinds[0].0.len()), "{:?}", kinds.map(|k| k.0.len()));
    // Each after each, and each after itself.
    let mut order = Vec::new();
    for a in 0..kinds.len() {
        for b in 0..kinds.len() {
            order.extend([a, a, b, b, a]);
        }
    }
    let (answers, turns) = (kinds.clone(), order.clone());
    let (port, server) = serve(1, move |mut s| {
        s.set_nodelay(true).unwrap();
        for i in &turns {
            let head = until(&mut s, END);
            let (answer, body, ..) = &answers[*i];
            s.write_all(answer.as_bytes()).unwrap();
            if !head.starts_with(b"HEAD") {
                s.write_all(body.as_bytes()).unwrap();
            }
        }
    });
    let (mut s, mut lines) = (connect(port), Vec::new());
    for (n, i) in order.into_iter().enumerate() {
        let (head, body, status, size) = &kinds[i];
        // Of the same head nothing follows where that was all that was asked for.
        let method = if n % 5 == 1 && !head.contains("chunked") { "HEAD" } else { "GET" };
        s.write_all(format!("{method} /{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        let asked = if method == "GET" { body.len() } else { 0 };
        s.read_exact(&mut vec![0; head.len() + asked]).unwrap();
        let (size, error) = (if asked > 0 { *size } else { 0 }, if *status == 404 { "404" } else { "-" });
        lines.push(format!("S {method} /{n} {status} {size} -"));
        lines.push(format!("C {method} /{n} {status} {size} {error}"));
    }
    drop(s);
    server.join().unwrap();
    check(&agent.stop(), lines);
}

#[test]
fn tunnels_are_one_span_and_bodies_that_look_like_requests_are_none() {
    let Some(agent) = Agent::start("tunnels", SELF) else { return };
    let decoy = b"GET /decoy HTTP/1.1\r\nHost: h\r\n\r\n";
    let (port, server) = serve(3, move |mut s| {
        let head = until(&mut s, END);
        if head.starts_with(b"GET /ws") {
            s.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n").unwrap();
        } else if head.starts_with(b"CONNECT") {
            s.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
        } else {
            until(&mut s, decoy);
            s.write_all(OK).unwrap();
            return;
        }
        until(&mut s, decoy);
        s.write_all(OK).unwrap();
    });
    for (head, end) in [
        ("GET /ws HTTP/1.1\r\nUpgrade: x\r\n\r\n", END),
        ("CONNECT example.org:443 HTTP/1.1\r\n\r\n", END),
        ("POST /body HTTP/1.1\r\nContent-Length: 32\r\n\r\n", b"".as_slice()),
    ] {
        let mut s = connect(port);
        s.write_all(head.as_bytes()).unwrap();
        if !end.is_empty() {
            until(&mut s, end);
        }
        thread::sleep(Duration::from_millis(30));
        s.write_all(decoy).unwrap();
        until(&mut s, b"ok");
    }
    server.join().unwrap();
    let told = agent.stop();
    check(&told, both(&["GET /ws 101 0 -", "CONNECT - 200 0 -", "POST /body 200 2 -"]));
}

#[test]
fn ends_before_the_response_say_who_ended_it() {
    let Some(agent) = Agent::start("ends", SELF) else { return };
    let (port, server) = serve(4, |mut s| {
        let head = until(&mut s, END);
        if head.starts_with(b"GET /closed") {
            s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").unwrap();
        } else if head.starts_with(b"GET /reset") {
            // A close with a zero linger is a reset.
            rustix::net::sockopt::set_socket_linger(&s, Some(Duration::ZERO)).unwrap();
        } else if head.starts_with(b"GET /cancelled") {
            until_closed(&mut s);
        } else {
            s.write_all(b"HTTP/1.0 200 OK\r\n\r\nabcdef").unwrap();
        }
    });
    for path in ["/closed", "/reset", "/cancelled", "/until-close"] {
        let mut s = connect(port);
        s.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        if path == "/cancelled" {
            thread::sleep(Duration::from_millis(50));
            continue;
        }
        // The head in one call, as the kernel half then tells of it by what it says.
        while s.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
    }
    server.join().unwrap();
    let told = agent.stop();
    let expect = [
        "S GET /closed 200 3 cancelled",
        "C GET /closed 200 3 connection_closed",
        "S GET /reset - - cancelled",
        "C GET /reset - - connection_reset",
        "S GET /cancelled - - connection_closed",
        "C GET /cancelled - - cancelled",
        "S GET /until-close 200 6 -",
        "C GET /until-close 200 6 -",
    ];
    check(&told, expect.map(str::to_owned).to_vec());
    for s in &told.spans {
        let failed = !s.attr("error.type").is_empty();
        assert_eq!(s.status == 2, failed, "{}", line(s));
    }
}

#[test]
fn a_proxy_prefix_names_the_client_and_is_no_part_of_the_request() {
    let Some(agent) = Agent::start("PROXY protocol", SELF) else { return };
    let (port, server) = serve(2, |mut s| {
        until(&mut s, END);
        s.write_all(OK).unwrap();
        until_closed(&mut s);
    });
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    v2.extend([0x21, 0x11, 0, 12, 192, 0, 2, 8, 192, 0, 2, 1, 0xdc, 0x04, 1, 0xbb]);
    let v1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n".to_vec();
    for (prefix, path) in [(v1, "/v1"), (v2, "/v2")] {
        let mut s = connect(port);
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        s.write_all(&[prefix, request.into_bytes()].concat()).unwrap();
        until(&mut s, b"ok");
    }
    server.join().unwrap();
    let told = agent.stop();
    check(&told, both(&["GET /v1 200 2 -", "GET /v2 200 2 -"]));
    let clients = told.spans.iter().filter(|s| s.is_server()).map(|s| s.attr("client.address").to_owned());
    same("clients", clients, ["192.0.2.7".to_owned(), "192.0.2.8".to_owned()]);
}

#[test]
fn unix_sockets_are_told_by_their_path() {
    let Some(agent) = Agent::start("unix sockets", SELF) else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let mut s = listener.accept().unwrap().0;
        for _ in 0..2 {
            until(&mut s, END);
            s.write_all(OK).unwrap();
        }
    });
    let mut s = UnixStream::connect(&path).unwrap();
    for i in 0..2 {
        s.write_all(format!("GET /{i} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        until(&mut s, b"ok");
    }
    drop(s);
    server.join().unwrap();
    let told = agent.stop();
    check(&told, both(&["GET /0 200 2 -", "GET /1 200 2 -"]));
    for s in &told.spans {
        assert_eq!(s.attr("network.transport"), "unix");
        assert_eq!(s.attr("network.peer.address"), path.to_str().unwrap(), "{}", line(s));
    }
}

#[test]
fn all_calls_that_move_bytes_give_the_same_spans() {
    use rustix::io::{IoSlice, IoSliceMut};
    use rustix::net::{RecvFlags, SendFlags};
    let Some(agent) = Agent::start("calls", SELF) else { return };
    let (port, server) = serve(1, |s| {
        let mut buffer = [0; 4096];
        // A peek moves nothing.
        rustix::net::recv(&s, &mut buffer, RecvFlags::PEEK).unwrap();
        let (a, b) = buffer.split_at_mut(7);
        let n = rustix::io::readv(&s, &mut [IoSliceMut::new(a), IoSliceMut::new(b)]).unwrap();
        assert_eq!(n, 34);
        let parts = [&OK[..5], &OK[5..30], &OK[30..]].map(IoSlice::new);
        rustix::io::writev(&s, &parts).unwrap();
        let mut iov = [IoSliceMut::new(&mut buffer)];
        let got = rustix::net::recvmsg(&s, &mut iov, &mut Default::default(), RecvFlags::empty()).unwrap();
        assert_eq!(got.bytes, 34);
        let parts = [&OK[..1], &OK[1..]].map(IoSlice::new);
        rustix::net::sendmsg(&s, &parts, &mut Default::default(), SendFlags::empty()).unwrap();
        rustix::net::recv(&s, &mut buffer, RecvFlags::empty()).unwrap();
        rustix::net::send(&s, OK, SendFlags::NOSIGNAL).unwrap();
    });
    let mut s = connect(port);
    for i in 0..3 {
        s.write_all(format!("GET /calls/{i} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        until(&mut s, b"ok");
    }
    drop(s);
    server.join().unwrap();
    let told = agent.stop();
    check(&told, both(&["GET /calls/0 200 2 -", "GET /calls/1 200 2 -", "GET /calls/2 200 2 -"]));
}

#[test]
fn connections_that_were_open_before_join_at_the_next_message() {
    let (port, server) = serve(1, |mut s| {
        for _ in 0..3 {
            until(&mut s, END);
            s.write_all(OK).unwrap();
        }
    });
    let mut s = connect(port);
    let mut ask = |path: &str| {
        s.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        until(&mut s, b"ok");
    };
    ask("/before");
    let agent = Agent::start("open connections", SELF);
    ask("/after/0");
    ask("/after/1");
    server.join().unwrap();
    let Some(agent) = agent else { return };
    check(&agent.stop(), both(&["GET /after/0 200 2 -", "GET /after/1 200 2 -"]));
}

#[test]
fn an_mptcp_connection_is_seen_and_a_callers_no_is_respected() {
    use rustix::net::{AddressFamily, Protocol, SocketType};
    let Some(agent) = Agent::start("mptcp", SELF) else { return };
    let (port, server) = serve(2, |mut s| {
        until(&mut s, END);
        s.write_all(OK).unwrap();
        until_closed(&mut s);
    });
    let mptcp = Protocol::from_raw(std::num::NonZeroU32::new(262).unwrap());
    let fd = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, Some(mptcp)).unwrap();
    rustix::net::connect(&fd, &std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut s = TcpStream::from(fd);
    s.write_all(b"GET /mptcp HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    until(&mut s, b"ok");
    drop(s);
    let mut s = connect(port);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    s.write_all(format!("GET /unsampled HTTP/1.1\r\ntraceparent: {parent}\r\n\r\n").as_bytes()).unwrap();
    until(&mut s, b"ok");
    drop(s);
    server.join().unwrap();
    thread::sleep(Duration::from_secs(2));
    let ledger = agent.ledger("traces");
    assert_eq!(ledger["discarded"]["parent_not_sampled"], 2, "{ledger}");
    check(&agent.stop(), both(&["GET /mptcp 200 2 -"]));
}

#[test]
fn secrets_leave_nowhere() {
    let Some(agent) = Agent::start("secrets", &format!("log: {{ level: debug }}\n{SELF}")) else { return };
    let (port, server) = serve(2, |mut s| {
        let head = until(&mut s, END);
        if head.starts_with(b"POST") && !head.ends_with(b"hunter2-body") {
            until(&mut s, b"hunter2-body");
        }
        s.write_all(b"HTTP/1.1 200 OK\r\nSet-Cookie: hunter2-cookie\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    for request in [
        "GET http://user:hunter2-userinfo@h/a?token=hunter2-query&x=1&Pass%77ord=hunter2-coded HTTP/1.1\r\n\
         Authorization: Bearer hunter2-header\r\nHost: h\r\n\r\n",
        "POST /b?api-key=hunter2-key HTTP/1.1\r\nContent-Length: 12\r\n\r\nhunter2-body",
    ] {
        let mut s = connect(port);
        s.write_all(request.as_bytes()).unwrap();
        until(&mut s, b"ok");
    }
    server.join().unwrap();
    thread::sleep(Duration::from_millis(1700));
    // What the page and its scripts are given, beside what leaves; the log is among what was told.
    let shown: Vec<String> = [
        "/metrics",
        "/api/v1/traces?limit=100",
        "/api/v1/services",
        "/api/v1/view/overview",
        "/api/v1/ledger",
    ]
    .iter()
    .map(|path| agent.get(path))
    .collect();
    assert!(shown[1].contains("/a"), "the page knows the request: {}", shown[1]);
    let told = agent.stop();
    check(&told, both(&["GET /a 200 2 -", "POST /b 200 2 -"]));
    let everything = format!("{told:?} {shown:?}");
    assert!(!everything.contains("hunter2"), "{everything}");
    let queries = told.spans.iter().map(|s| s.attr("url.query").to_owned());
    let masked = ["token=REDACTED&x=1&Pass%77ord=REDACTED", "api-key=REDACTED"].map(str::to_owned);
    same("queries", queries, [masked.clone(), masked].concat());
}
