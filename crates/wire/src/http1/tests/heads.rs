//! What is read of heads, whole and cut.

use super::*;

fn asked(text: &[u8]) -> Exchange {
    let mut f = Feed::new(true);
    f.piece(Dir::Request, text, usize::MAX).resp(OK0);
    f.out.remove(0)
}

/// A request of which only the first `captured` bytes were taken.
fn cut(text: &str, captured: usize) -> Exchange {
    let mut f = Feed::new(true);
    let seg = Segment { head_cut: true, ..f.next(Dir::Request, text.as_bytes(), captured) };
    f.c.segment(seg, &mut f.out);
    f.resp(OK0).close(End::OwnClose);
    assert_eq!((f.out.len(), f.c.garbage()), (1, None), "{text}");
    f.out.remove(0)
}

#[test]
fn a_request_line_that_is_cut_gives_the_target_alone() {
    let text = "GET /abcdefgh HTTP/1.1\r\nContent-Length: 123\r\n\r\n";
    for (captured, target) in
        [(9, "/abcd"), (13, "/abcdefgh"), (14, "/abcdefgh"), (18, "/abcdefgh"), (21, "/abcdefgh")]
    {
        let x = cut(text, captured);
        assert_eq!(
            (x.head.target.as_str(), x.head.version, x.status, x.head_truncated),
            (target, 1, Some(200), true),
            "{captured}"
        );
    }
}

#[test]
fn a_header_that_is_cut_is_not_read() {
    let text = "GET / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 12, 12\r\n\r\n";
    for captured in 15..text.len() - 2 {
        let x = cut(text, captured);
        assert_eq!(x.head.host, if captured < 35 { "" } else { "example.org" }, "{captured}");
    }
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n");
    let answer = b"HTTP/1.1 404 No\r\nContent-Length: ";
    let seg = Segment { head_cut: true, ..f.next(Dir::Response, answer, usize::MAX) };
    f.c.segment(seg, &mut f.out);
    f.req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a 404 0 - 1 Complete", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn a_target_that_is_cut_in_its_authority_shows_nothing_of_it() {
    for text in
        ["GET http://user:secret@host/a HTTP/1.1\r\n\r\n", "CONNECT host.example.org:443 HTTP/1.1\r\n\r\n"]
    {
        for captured in 10..text.find(['@', '.']).unwrap() {
            assert_eq!(cut(text, captured).head.target, "", "{captured}");
        }
    }
    assert_eq!(cut("GET http://host/abc HTTP/1.1\r\n\r\n", 17).head.target, "http://host/a");
}

#[test]
fn folded_headers_are_one_header() {
    let x = asked(b"GET / HTTP/1.1\r\nUser-Agent: a\r\n  b\r\n\tc\r\nHost:\r\n h\r\n\r\n");
    assert_eq!((x.head.user_agent.as_str(), x.head.host.as_str()), ("a  bc", "h"));
    let mut f = Feed::new(true);
    f.req("POST /a HTTP/1.1\r\nTransfer-Encoding:\r\n gzip,\r\n chunked\r\nX: y\r\n\r\n1\r\nx\r\n0\r\n\r\n")
        .resp(OK0);
    f.req("POST /b HTTP/1.1\r\nContent-Length:\r\n 3\r\n\r\nabc").resp(OK0);
    f.check(&["POST /a 200 1 0 1 Complete", "POST /b 200 3 0 1 Complete"]);
}

#[test]
fn of_repeated_headers_the_first_counts() {
    let x = asked(b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nForwarded: for=3\r\nForwarded: for=4\r\n\r\n");
    assert_eq!(
        (x.head.host.as_str(), x.head.forwarded_for.as_str(), x.head.forwarded.as_str()),
        ("a", "1.1.1.1", "for=3")
    );
}

#[test]
fn trace_headers_are_read_as_one_context() {
    let (t, s) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let parent = format!("traceparent: 00-{t}-{s}-01\r\n");
    let b3 = format!("b3: {t}-{s}-0\r\n");
    let context = |headers: &str| asked(format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes()).context;
    let both = context(&format!("{b3}{parent}tracestate: a=1\r\ntracestate: b=2\r\n")).unwrap();
    assert_eq!(
        (both.trace_id.to_hex(), both.sampled, both.state.as_str()),
        (t.to_owned(), Some(true), "a=1,b=2")
    );
    assert_eq!(context(&b3).unwrap().sampled, Some(false));
    assert_eq!(context(&format!("{parent}{parent}{b3}")), None);
    assert_eq!(context(&format!("traceparent: 00-zz-01\r\n{b3}")), None);
    let multi = format!("X-B3-TraceId: {t}\r\nX-B3-SpanId: {s}\r\nX-B3-Sampled: 1\r\n");
    assert_eq!(context(&multi).unwrap().sampled, Some(true));
}

#[test]
fn a_traceparent_behind_eight_kibibytes_of_cookies_is_read() {
    let text = format!(
        "GET /a HTTP/1.1\r\nCookie: {}\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
        "c".repeat(8192)
    );
    let mut f = Feed::new(true);
    for piece in text.as_bytes().chunks(512) {
        f.piece(Dir::Request, piece, usize::MAX);
    }
    f.resp(OK0);
    assert_eq!((f.out[0].context.is_some(), f.out[0].head_truncated), (true, false));
    assert_eq!(f.out[0].request_head_end - f.out[0].request_start, 16);
}

#[test]
fn a_bad_length_loses_its_own_request_and_the_connection() {
    let mut f = Feed::new(true);
    f.req("POST /a HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n").resp("HTTP/1.1 400 No\r\n\r\n");
    f.check(&["POST /a - - - 0 Lost"]);
    assert_eq!(f.c.garbage(), Some(Garbage::ContentLength));
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n")
        .resp("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    f.check(&["GET /a - 0 - 0 Lost"]);
    assert_eq!(f.c.garbage(), Some(Garbage::ContentLength));
}

#[test]
fn a_status_below_one_hundred_is_garbage() {
    for text in ["HTTP/1.1 099 No\r\n\r\n", "HTTP/1.1 2x0 No\r\n\r\n", "HTTP/1.1\r\n\r\n"] {
        let mut f = Feed::new(true);
        f.req("GET /a HTTP/1.1\r\n\r\n").resp(text);
        assert_eq!(f.c.garbage(), Some(Garbage::FirstLine), "{text}");
    }
}

#[test]
fn a_coding_without_an_end_leaves_the_request_to_be_answered() {
    let mut f = Feed::new(true);
    f.req("POST /a HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nzzz")
        .resp("HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n");
    f.check(&["POST /a 501 - 0 1 Complete"]);
    assert_eq!(f.c.garbage(), None);
}

#[test]
fn targets_of_all_forms_are_kept_as_they_were_sent() {
    for target in ["*", "/a?b=c#d", "http://h:1/a", "HTTPS://h", "urn:x"] {
        assert_eq!(asked(format!("OPTIONS {target} HTTP/1.1\r\n\r\n").as_bytes()).head.target, target);
    }
    assert_eq!(asked(b"GET /a b c HTTP/1.0\r\n\r\n").head.target, "/a%20b%20c");
    assert_eq!(asked(b"GET /a b c HTTP/1.0\r\n\r\n").head.version, 0);
}

#[test]
fn blank_lines_stand_between_messages_of_both_directions() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n\r\n")
        .resp(&format!("{OK0}\r\n"))
        .req("\r\nGET /b HTTP/1.1\r\n\r\n")
        .resp(&format!("\n{OK0}"));
    f.check(&["GET /a 200 0 0 1 Complete", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn otlp_is_told_by_path_and_content_type() {
    let otlp = |path: &str, kind: &str| {
        asked(format!("POST {path} HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: 0\r\n\r\n").as_bytes())
            .head
            .is_otlp
    };
    for path in ["/v1/traces", "/v1/metrics", "/v1/logs", "/v1development/profiles", "/otlp/v1/logs?x=y"] {
        assert!(
            otlp(path, "application/x-protobuf") && otlp(path, "application/json; charset=utf-8"),
            "{path}"
        );
        assert!(!otlp(path, "text/plain") && !otlp(path, "multipart/form-data"), "{path}");
    }
    assert!(otlp("/base/v1/metrics", "application/x-protobuf"));
    assert!(!otlp("/api/v1/logs", "application/json"));
    assert!(!otlp("/api/v1/metrics", "application/json"));
    let from = |agent: &str| {
        let head =
            format!("User-Agent: {agent}\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n");
        asked(format!("POST /json/v1/metrics HTTP/1.1\r\n{head}").as_bytes()).head.is_otlp
    };
    assert!(from("OTel-OTLP-Exporter-Python/1.30") && from("telegen/0.1.0") && !from("curl/8"));
    assert!(otlp(
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "application/grpc-web+proto"
    ));
    assert!(cut("POST /v1/traces HTTP/1.1\r\n\r\n", 16).head.is_otlp);
    assert!(!cut("POST /api/v1/logs HTTP/1.1\r\n\r\n", 18).head.is_otlp);
}
