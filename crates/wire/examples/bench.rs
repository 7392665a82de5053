//! Nanoseconds the HTTP/1 parser takes for an exchange: keep-alive traffic as the kernel half reports it for nginx.
//!
//! `cargo run --release -p telegen-wire --example bench`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use telegen_wire::http1::{Connection, Dir, Exchange, KnownHead, Limits, Segment};

const ROUNDS: u64 = 400_000;
const RUNS: usize = 7;
const CONNECTIONS: usize = 64;
const BODY: u64 = 615;

const WRK: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const BROWSER: &[u8] = b"GET /api/v2/orders/81723/items?page=2&sort=price HTTP/1.1\r\n\
    Host: shop.example.org\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    Cookie: theme=dark; consent=1; visitor=6a1c29f0b4d84a51\r\n\
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
const NGINX: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: text/html\r\nContent-Length: 615\r\nLast-Modified: Mon, 23 Nov 2026 10:00:00 GMT\r\n\
    Connection: keep-alive\r\nETag: \"637deb25-267\"\r\nAccept-Ranges: bytes\r\n\r\n";

/// Where a connection's directions stand.
struct Flow {
    connection: Connection,
    request: u64,
    response: u64,
}

/// One request, and its response: told by one record (`known`), or its head, and the body as one segment of which no
/// byte was captured.
fn exchange(flow: &mut Flow, request: &[u8], known: bool, ts: u64, out: &mut Vec<Exchange>) {
    let part = |dir, pos, len: u64, data, ts, other| Segment {
        dir,
        pos,
        len,
        data,
        tail: None,
        ts,
        exec: 1 << 32 | 7,
        token: 0,
        record: 0,
        same: None,
        caller: 0,
        blocking: false,
        head_start: !<[u8]>::is_empty(data),
        head_cut: false,
        brief: false,
        chunks: None,
        known: None,
        other: Some(other),
    };
    let (asked, answered) = (request.len() as u64, NGINX.len() as u64);
    let before = (flow.response, ts);
    flow.connection.segment(part(Dir::Request, flow.request, asked, request, ts, before), out);
    flow.request += asked;
    let read = (flow.request, ts);
    if known {
        let known = Some(KnownHead { status: 200, head: answered, length: BODY, start: ts + 20 });
        let whole = part(Dir::Response, flow.response, answered + BODY, &[], ts + 30, read);
        flow.connection.segment(Segment { known, head_start: true, ..whole }, out);
    } else {
        flow.connection.segment(part(Dir::Response, flow.response, answered, NGINX, ts + 20, read), out);
        flow.connection.segment(part(Dir::Response, flow.response + answered, BODY, &[], ts + 30, read), out);
    }
    flow.response += answered + BODY;
}

/// Best of several runs, ns an exchange.
fn measure(request: &[u8], known: bool) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let mut flows: Vec<Flow> = (0..CONNECTIONS)
            .map(|_| Flow {
                connection: Connection::new(Limits::default(), true, Arc::new([])),
                request: 0,
                response: 0,
            })
            .collect();
        let mut out = Vec::new();
        let mut finished = 0u64;
        let start = Instant::now();
        for i in 0..ROUNDS {
            exchange(&mut flows[i as usize % CONNECTIONS], black_box(request), known, i * 1000, &mut out);
            for x in out.drain(..) {
                finished += 1;
                black_box(&x);
            }
        }
        let ns = start.elapsed().as_nanos() as f64 / ROUNDS as f64;
        assert_eq!(finished, ROUNDS);
        best = best.min(ns);
    }
    best
}

fn main() {
    println!("Exchange {} B, Connection {} B", size_of::<Exchange>(), size_of::<Connection>());
    for request in [WRK, BROWSER] {
        let (bytes, lines) = (request.len(), request.split(|b| *b == b'\n').count() - 2);
        for (known, how) in [(false, "head captured"), (true, "one record")] {
            println!(
                "{:>6.0} ns/exchange: request of {bytes} bytes in {lines} lines, response: {how}",
                measure(request, known)
            );
        }
    }
}
