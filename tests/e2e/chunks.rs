//! Chunked bodies, whose size is known only by following their framing: cut anywhere, and very many chunks to a call.

use std::io::Write;
use std::net::TcpStream;

use crate::edges::{END, OK, SELF, both, check, connect, line, serve, until};
use crate::harness::Agent;

const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
/// 31 bytes of data, an extension, a trailer.
const BODY: &str = "1A;x=\"y\"\r\nabcdefghijklmnopqrstuvwxyz\r\n005 \r\nhello\r\n0\r\nT: v\r\n\r\n";

/// Where the `n`th message is cut: in two at each place in turn, at last between any two bytes.
fn cut(s: &mut TcpStream, head: &str, n: usize) {
    let whole = format!("{head}{BODY}");
    if n > BODY.len() {
        s.write_all(head.as_bytes()).unwrap();
        BODY.bytes().for_each(|b| s.write_all(&[b]).unwrap());
    } else {
        let (begin, rest) = whole.split_at(head.len() + n);
        s.write_all(begin.as_bytes()).unwrap();
        s.write_all(rest.as_bytes()).unwrap();
    }
}

#[test]
fn a_body_keeps_its_size_wherever_its_chunks_are_cut() {
    let Some(agent) = Agent::start("cut chunks", SELF) else { return };
    let times = BODY.len() + 2;
    let (port, server) = serve(1, move |mut s| {
        for n in 0..times {
            until(&mut s, END);
            cut(&mut s, HEAD, n);
        }
        for _ in 0..times {
            until(&mut s, b"T: v\r\n\r\n");
            s.write_all(OK).unwrap();
        }
    });
    let mut s = connect(port);
    for n in 0..times {
        s.write_all(format!("GET /down/{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        until(&mut s, b"T: v\r\n\r\n");
    }
    for n in 0..times {
        let head = format!("POST /up/{n} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        cut(&mut s, &head, n);
        until(&mut s, b"ok");
    }
    drop(s);
    server.join().unwrap();
    let told = agent.stop();
    let down = (0..times).map(|n| format!("GET /down/{n} 200 31 -"));
    let up = (0..times).map(|n| format!("POST /up/{n} 200 2 -"));
    let lines: Vec<_> = down.chain(up).collect();
    check(&told, both(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
    for s in &told.spans {
        let expect = if line(s).contains("POST") { "31" } else { "0" };
        assert_eq!(s.attr("http.request.body.size"), expect, "{}", line(s));
    }
}

#[test]
fn thousands_of_chunks_in_one_call_are_all_counted() {
    let Some(agent) = Agent::start("many chunks", SELF) else { return };
    let of = |chunks: usize, size: usize| {
        let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
        format!("{HEAD}{}0\r\n\r\n", chunk.repeat(chunks))
    };
    let (port, server) = serve(1, move |mut s| {
        for answer in [of(4_000, 3), of(600, 100), of(31, 2_000)] {
            until(&mut s, END);
            assert_eq!(s.write(answer.as_bytes()).unwrap(), answer.len(), "one call");
        }
    });
    let mut s = connect(port);
    for n in 0..3 {
        s.write_all(format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        until(&mut s, b"0\r\n\r\n");
    }
    drop(s);
    server.join().unwrap();
    check(&agent.stop(), both(&["GET /0 200 12000 -", "GET /1 200 60000 -", "GET /2 200 62000 -"]));
}

#[test]
fn chunks_in_many_buffers_of_one_call_are_counted() {
    let Some(agent) = Agent::start("chunks in many buffers", SELF) else { return };
    let (port, server) = serve(1, |mut s| {
        for size in [7, 50, 100, 1_000] {
            until(&mut s, END);
            // As Node writes them: size, data and line end in buffers of their own.
            let (line, data) = (format!("{size:x}\r\n"), "x".repeat(size));
            let chunk = [line.as_bytes(), data.as_bytes(), b"\r\n"];
            let parts = [HEAD.as_bytes()].into_iter().chain(chunk.repeat(6)).chain([&b"0\r\n\r\n"[..]]);
            let parts: Vec<_> = parts.map(std::io::IoSlice::new).collect();
            let whole: usize = parts.iter().map(|p| p.len()).sum();
            assert_eq!(s.write_vectored(&parts).unwrap(), whole, "one call");
        }
    });
    let mut s = connect(port);
    for n in 0..4 {
        s.write_all(format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        until(&mut s, b"0\r\n\r\n");
    }
    drop(s);
    server.join().unwrap();
    let expect = ["GET /0 200 42 -", "GET /1 200 300 -", "GET /2 200 600 -", "GET /3 200 6000 -"];
    check(&agent.stop(), both(&expect));
}
