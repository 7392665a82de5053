//! The receiver as a program.
#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use telegen_model::{Records, Signal};
use telegen_testkit::records;

/// Sends a request over HTTP and returns the status line.
fn post(addr: &str, path: &str, kind: &str, body: &[u8]) -> String {
    let mut tcp = TcpStream::connect(addr).unwrap();
    let length = body.len();
    write!(
        tcp,
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    tcp.write_all(body).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap().to_string()
}

#[test]
fn it_says_where_it_listens_writes_what_it_takes_and_counts_it_at_the_end() {
    let dir = std::env::temp_dir().join(format!("otlp-sink-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for count_only in [false, true] {
        let out = dir.join("out.jsonl");
        let mut command = Command::new(env!("CARGO_BIN_EXE_otlp-sink"));
        command.stdout(Stdio::piped());
        match count_only {
            true => command.arg("--count-only"),
            false => command.arg("--out").arg(&out),
        };
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let at = |key: &str| line.split_whitespace().find_map(|w| w.strip_prefix(key)).unwrap().to_string();
        let (grpc, http) = (at("grpc="), at("http="));

        let resource = records::resource("shop");
        let spans = [records::group(&resource, Records::Spans(vec![records::span(1), records::full_span()]))];
        let metrics = [records::group(&resource, Records::Metrics(records::metrics()))];
        let json = telegen_otlp::json::encode_request(Signal::Traces, &spans);
        assert_eq!(post(&http, "/v1/traces", "application/json", &json), "HTTP/1.1 200 OK");
        let bytes = telegen_otlp::encode_request(&metrics);
        assert_eq!(post(&grpc, "/v1/metrics", "application/x-protobuf", &bytes), "HTTP/1.1 200 OK");
        assert_eq!(post(&http, "/v1/traces", "application/json", b"{"), "HTTP/1.1 400 Bad Request");

        Command::new("kill").arg(child.id().to_string()).status().unwrap();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(rest, "{\"traces\":2,\"metrics\":8,\"logs\":0,\"profiles\":0}\n");
        if !count_only {
            let written = std::fs::read_to_string(&out).unwrap();
            let lines: Vec<&str> = written.lines().collect();
            let metrics = telegen_otlp::json::encode_request(Signal::Metrics, &metrics);
            assert_eq!(lines, [std::str::from_utf8(&json).unwrap(), std::str::from_utf8(&metrics).unwrap()]);
        }
    }
    std::fs::remove_dir_all(dir).unwrap();
}
