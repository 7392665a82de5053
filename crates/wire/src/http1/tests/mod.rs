use super::*;
use std::sync::Arc;

mod ends;
mod heads;
mod loss;
mod properties;
mod repeated;

/// One byte stream a direction, given in pieces; times are counted up by one a piece.
struct Feed {
    c: Connection,
    pos: [u64; 2],
    ts: u64,
    /// Who moves the bytes.
    exec: u64,
    /// Time of the last byte of each direction.
    at: [u64; 2],
    /// Each segment tells how far the other direction had come.
    counts: bool,
    out: Vec<Exchange>,
}

impl Feed {
    fn new(server: bool) -> Feed {
        let c = Connection::new(Limits::default(), server, Arc::new([]));
        Feed { c, pos: [0; 2], ts: 100, exec: 1, at: [0; 2], counts: false, out: Vec::new() }
    }

    /// As the kernel half feeds it: with the count of the other direction.
    fn counting(server: bool) -> Feed {
        Feed { counts: true, ..Feed::new(server) }
    }

    fn piece(&mut self, dir: Dir, bytes: &[u8], captured: usize) -> &mut Feed {
        let seg = self.next(dir, bytes, captured);
        self.c.segment(seg, &mut self.out);
        self
    }

    /// The segment that comes next in a direction; the caller may change or drop it.
    fn next<'a>(&mut self, dir: Dir, bytes: &'a [u8], captured: usize) -> Segment<'a> {
        self.ts += 1;
        let (this, other) = (dir as usize, 1 - dir as usize);
        let pos = self.pos[this];
        self.pos[this] += bytes.len() as u64;
        self.at[this] = self.ts;
        Segment {
            dir,
            pos,
            len: bytes.len() as u64,
            data: &bytes[..captured.min(bytes.len())],
            tail: bytes.last_chunk::<8>().copied(),
            ts: self.ts,
            exec: self.exec,
            token: 0,
            record: 0,
            same: None,
            caller: 0,
            blocking: false,
            head_start: head::looks_like_request(bytes) || head::looks_like_response(bytes),
            head_cut: false,
            brief: false,
            chunks: None,
            known: None,
            other: self.counts.then_some((self.pos[other], self.at[other])),
        }
    }

    /// Bytes that move without a record.
    fn lose(&mut self, dir: Dir, text: &str) -> &mut Feed {
        self.next(dir, text.as_bytes(), 0);
        self
    }

    fn wait(&mut self, ns: u64) -> &mut Feed {
        self.ts += ns;
        self
    }

    fn close(&mut self, how: End) -> &mut Feed {
        self.ts += 1;
        self.c.close(how, self.ts, &mut self.out);
        self
    }

    fn req(&mut self, text: &str) -> &mut Feed {
        self.piece(Dir::Request, text.as_bytes(), usize::MAX)
    }

    fn resp(&mut self, text: &str) -> &mut Feed {
        self.piece(Dir::Response, text.as_bytes(), usize::MAX)
    }

    /// Bytes of which nothing is captured but the tail.
    fn dark(&mut self, dir: Dir, text: &str) -> &mut Feed {
        self.piece(dir, text.as_bytes(), 0)
    }

    fn skip(&mut self, dir: Dir, n: u64) -> &mut Feed {
        self.pos[dir as usize] += n;
        self
    }

    /// `METHOD target status request-body response-body duration outcome`, `-` for what is not known.
    fn lines(&self) -> Vec<String> {
        let size = |s: Option<u64>| s.map_or("-".to_owned(), |n| n.to_string());
        self.out
            .iter()
            .map(|x| {
                format!(
                    "{} {} {} {} {} {} {:?}",
                    x.head.method,
                    x.head.target,
                    x.status.map_or("-".to_owned(), |s| s.to_string()),
                    size(x.request_body_size),
                    size(x.response_body_size),
                    x.response_end.saturating_sub(x.request_start),
                    x.outcome
                )
            })
            .collect()
    }

    #[track_caller]
    fn check(&self, expect: &[&str]) {
        assert_eq!(self.lines(), expect);
    }
}

const OK0: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn keep_alive_requests_are_paired_in_order() {
    let mut f = Feed::new(true);
    for i in 0..3 {
        f.req(&format!("GET /{i} HTTP/1.1\r\nHost: h\r\n\r\n"))
            .resp("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    }
    f.check(&["GET /0 200 0 3 1 Complete", "GET /1 200 0 3 1 Complete", "GET /2 200 0 3 1 Complete"]);
}

#[test]
fn byte_by_byte_is_the_same_request() {
    let mut f = Feed::new(true);
    let text = "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";
    for b in text.as_bytes() {
        f.piece(Dir::Request, &[*b], 1);
    }
    for b in b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n" {
        f.piece(Dir::Response, &[*b], 1);
    }
    f.check(&["POST /a 201 2 2 104 Complete"]);
}

#[test]
fn forty_requests_in_one_write_are_forty_exchanges() {
    let mut f = Feed::new(true);
    let text: String = (0..40).map(|i| format!("GET /{i} HTTP/1.1\r\n\r\n")).collect();
    f.req(&text);
    let answers: String =
        (0..40).map(|i| format!("HTTP/1.1 200 OK\r\nContent-Length: {i}\r\n\r\n{}", "x".repeat(i))).collect();
    let (a, b) = answers.split_at(333);
    f.resp(a).resp(b);
    assert_eq!(f.out.len(), 40);
    assert!(
        f.out
            .iter()
            .enumerate()
            .all(|(i, x)| x.head.target == format!("/{i}") && x.response_body_size == Some(i as u64))
    );
    assert!(f.c.pipelined());
}

#[test]
fn bodies_are_followed_by_position_without_their_bytes() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    f.dark(Dir::Response, &"x".repeat(400)).skip(Dir::Response, 500).dark(Dir::Response, &"x".repeat(100));
    f.req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a 200 0 1000 3 Complete", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn a_body_that_looks_like_a_request_is_none() {
    let mut f = Feed::new(true);
    let body = "GET /evil HTTP/1.1\r\n\r\n";
    f.req(&format!("POST /a HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len())).req(body).resp(OK0);
    f.check(&["POST /a 200 22 0 2 Complete"]);
}

#[test]
fn messages_without_a_body_have_none_whatever_they_say() {
    let mut f = Feed::new(true);
    f.req("HEAD /a HTTP/1.1\r\n\r\n").resp("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
    f.req("GET /b HTTP/1.1\r\n\r\n").resp("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
    f.req("GET /c HTTP/1.1\r\n\r\n").resp("HTTP/1.1 204 No Content\r\n\r\n");
    f.check(&["HEAD /a 200 0 0 1 Complete", "GET /b 304 0 0 1 Complete", "GET /c 204 0 0 1 Complete"]);
}

#[test]
fn interim_responses_do_not_answer() {
    let mut f = Feed::new(true);
    f.req("PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    f.resp("HTTP/1.1 100 Continue\r\n\r\n").req("abc");
    f.resp("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    f.check(&["PUT /a 200 3 0 3 Complete"]);
}

#[test]
fn an_early_response_leaves_the_rest_of_the_body_to_nobody() {
    let mut f = Feed::new(true);
    f.req("POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc")
        .resp("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    f.req("def").req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["POST /a 413 3 0 1 Complete", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn tunnels_are_one_exchange_and_left_alone() {
    let mut f = Feed::new(false);
    f.req("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n").resp("HTTP/1.1 101 Switching Protocols\r\n\r\n");
    f.req("GET /x HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /ws 101 0 0 1 Upgraded"]);
    let mut f = Feed::new(false);
    f.req("CONNECT h:443 HTTP/1.1\r\n\r\n").resp("HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n");
    f.req("CONNECT h:443 HTTP/1.1\r\n\r\n").resp("HTTP/1.1 200 OK\r\n\r\n");
    f.check(&["CONNECT h:443 407 0 0 1 Complete", "CONNECT h:443 200 0 0 1 Upgraded"]);
    assert!(f.c.is_tunnel());
}

#[test]
fn a_response_without_length_ends_with_the_connection_or_with_silence() {
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.0\r\n\r\n").resp("HTTP/1.0 200 OK\r\n\r\nabc").resp("de");
    f.c.end(Dir::Response, End::Fin, 500, &mut f.out);
    f.check(&["GET /a 200 0 5 2 Complete"]);
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.0\r\n\r\n").resp("HTTP/1.0 200 OK\r\n\r\nabc");
    let at = f.c.next_deadline().unwrap();
    assert_eq!(at, f.ts + IDLE_NS);
    f.c.expire(at - 1, &mut f.out);
    assert!(f.out.is_empty());
    f.c.expire(at, &mut f.out);
    f.check(&["GET /a 200 0 3 1 Complete"]);
}

#[test]
fn ends_before_the_response_is_complete_say_how() {
    for (how, word) in [
        (End::Fin, "PeerClosed"),
        (End::Reset, "PeerReset"),
        (End::Timeout, "TimedOut"),
        (End::OwnClose, "OwnClose"),
    ] {
        let mut f = Feed::new(false);
        f.req("GET /a HTTP/1.1\r\n\r\n").resp("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        let end = f.ts + 8;
        f.c.close(how, end, &mut f.out);
        f.check(&[&format!("GET /a 200 0 3 9 {word}")]);
    }
}

#[test]
fn a_client_may_end_its_stream_and_still_be_answered() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n");
    f.c.end(Dir::Request, End::Fin, 200, &mut f.out);
    f.resp(OK0);
    f.check(&["GET /a 200 0 0 1 Complete"]);
}

#[test]
fn a_dark_chunked_response_ends_with_its_last_chunk() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    f.dark(Dir::Response, "5\r\nhello\r\n").dark(Dir::Response, "5\r\nworld\r\n");
    f.resp("0\r\n\r\n").req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a 200 0 - 4 Complete", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn a_chunked_response_that_the_kernel_half_counts_has_its_size() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n");
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\nxx";
    let base = Segment {
        dir: Dir::Response,
        pos: 0,
        len: 1053,
        data: head,
        tail: None,
        ts: 200,
        exec: 1,
        token: 0,
        record: 0,
        same: None,
        caller: 0,
        blocking: false,
        head_start: true,
        head_cut: false,
        brief: false,
        chunks: Some((1000, false)),
        known: None,
        other: None,
    };
    f.c.segment(base, &mut f.out);
    f.c.segment(
        Segment {
            pos: 9000,
            len: 5,
            data: &[],
            ts: 300,
            head_start: false,
            chunks: Some((7000, true)),
            ..base
        },
        &mut f.out,
    );
    f.check(&["GET /a 200 0 7000 199 Complete"]);
}

#[test]
fn a_response_whose_head_the_kernel_half_read_is_one_record() {
    let mut f = Feed::new(true);
    let known = |pos, len, status, length| Segment {
        dir: Dir::Response,
        pos,
        len,
        data: &[],
        tail: None,
        ts: 300,
        exec: 1,
        token: 0,
        record: 0,
        same: None,
        caller: 0,
        blocking: false,
        head_start: true,
        head_cut: false,
        brief: false,
        chunks: None,
        known: Some(KnownHead { status, head: 100, length, start: 250 }),
        other: None,
    };
    f.req("GET /a HTTP/1.1\r\n\r\n");
    f.c.segment(known(0, 150, 200, 50), &mut f.out);
    f.req("GET /b HTTP/1.1\r\n\r\n");
    f.c.segment(known(150, 120, 404, 50), &mut f.out);
    f.check(&["GET /a 200 0 50 199 Complete"]);
    f.c.close(End::Fin, 400, &mut f.out);
    f.check(&["GET /a 200 0 50 199 Complete", "GET /b 404 0 20 298 PeerClosed"]);
    assert_eq!(f.out[0].response_start, 250);
}

#[test]
fn trailers_in_the_dark_end_where_the_next_request_begins() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    f.dark(Dir::Response, "5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n");
    f.req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a 200 0 - 2 Complete", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn lost_heads_lose_their_requests_and_the_next_request_joins() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").skip(Dir::Response, 300);
    f.skip(Dir::Request, 40).req("GET /c HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a - 0 - 0 Lost", "GET /c 200 0 0 1 Complete"]);
}

#[test]
fn a_lost_last_piece_of_a_body_is_told_by_the_kernels_own_count() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    let end = f.pos[1] + 7;
    let at = f.ts + 5;
    f.c.reached(Dir::Response, end, at, &mut f.out);
    f.check(&["GET /a 200 0 10 6 Complete"]);
}

#[test]
fn joining_in_the_middle_waits_for_a_message() {
    let mut f = Feed::new(true);
    f.resp("tail of a body").resp("more of it").req("GET /a HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a 200 0 0 1 Complete"]);
    let mut f = Feed::new(false);
    f.resp(OK0).req("GET /b HTTP/1.1\r\n\r\n").resp("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    f.check(&["GET /b 404 0 0 1 Complete"]);
}

#[test]
fn an_answer_recorded_before_its_request_by_another_thread_is_kept() {
    let mut f = Feed::new(false);
    f.resp(OK0);
    let seg = Segment {
        dir: Dir::Request,
        pos: 0,
        len: 19,
        data: b"GET /a HTTP/1.1\r\n\r\n",
        tail: None,
        ts: f.ts + 1,
        exec: 2,
        token: 0,
        record: 0,
        same: None,
        caller: 0,
        blocking: false,
        head_start: true,
        head_cut: false,
        brief: false,
        chunks: None,
        known: None,
        other: None,
    };
    f.c.segment(seg, &mut f.out);
    assert_eq!(f.out.len(), 1);
    assert_eq!((f.out[0].status, f.out[0].outcome), (Some(200), Outcome::Complete));
}

#[test]
fn heads_that_are_cut_still_give_method_target_and_status() {
    let mut f = Feed::new(true);
    let long = format!("GET /a HTTP/1.1\r\nCookie: {}\r\n\r\n", "c".repeat(20_000));
    f.req(&long).resp(OK0).req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a 200 - 0 1 Complete", "GET /b 200 0 0 1 Complete"]);
    assert!(f.out[0].head_truncated && !f.out[1].head_truncated);
}

#[test]
fn brief_heads_give_method_status_and_time() {
    let mut f = Feed::new(true);
    for (path, status) in [("/aaaaaaaaaaaaaaaaa", "200"), ("/bbbbbbbbbbbbbbbbb", "500")] {
        for (dir, text) in [
            (Dir::Request, format!("GET {path} HTTP/1.1\r\n\r\n")),
            (Dir::Response, format!("HTTP/1.1 {status} X\r\nContent-Length: 3\r\n\r\nabc")),
        ] {
            f.ts += 1;
            let pos = f.pos[dir as usize];
            f.pos[dir as usize] += text.len() as u64;
            let seg = Segment {
                dir,
                pos,
                len: text.len() as u64,
                data: &text.as_bytes()[..16],
                tail: None,
                ts: f.ts,
                exec: 1,
                token: 0,
                record: 0,
                same: None,
                caller: 0,
                blocking: false,
                head_start: true,
                head_cut: true,
                brief: true,
                chunks: None,
                known: None,
                other: None,
            };
            f.c.segment(seg, &mut f.out);
        }
    }
    f.c.close(End::OwnClose, 999, &mut f.out);
    f.check(&["GET /aaaaaaaaaaa 200 - - 1 Complete", "GET /bbbbbbbbbbb 500 - - 1 Complete"]);
    assert!(f.out.iter().all(|x| x.head_brief));
}

#[test]
fn garbage_is_told_apart() {
    let garbage = |text: &str| {
        let mut f = Feed::new(true);
        f.req(text);
        f.c.garbage()
    };
    assert_eq!(garbage("GET / RTSP/1.0\r\n\r\n"), Some(Garbage::FirstLine));
    assert_eq!(garbage("GET / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n"), Some(Garbage::ContentLength));
    assert_eq!(garbage("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), Some(Garbage::ContentLength));
    assert_eq!(garbage("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxx"), Some(Garbage::ChunkSize));
    assert_eq!(garbage("GET / HTTP/1.1\r\nContent-Length: 0, 0\r\n\r\n"), None);
}

#[test]
fn lenient_line_ends_and_blank_lines_are_read() {
    let mut f = Feed::new(true);
    f.req("\r\n\r\nGET /a HTTP/1.1\nHost: h\n\n").resp("HTTP/1.1 200 OK\nContent-Length: 1\n\nx");
    f.check(&["GET /a 200 0 1 1 Complete"]);
    assert_eq!(f.out[0].head.host, "h");
}

#[test]
fn transfer_encoding_wins_over_content_length() {
    let mut f = Feed::new(true);
    f.req("POST /a HTTP/1.1\r\nContent-Length: 99\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n").resp(OK0);
    f.check(&["POST /a 200 1 0 1 Complete"]);
}

#[test]
fn bytes_that_are_no_text_are_encoded_in_the_target() {
    let mut f = Feed::new(true);
    f.piece(Dir::Request, b"GET /\xff\x80a b HTTP/1.1\r\nUser-Agent: \xfex\x01y\r\n\r\n", usize::MAX)
        .resp(OK0);
    assert_eq!(
        (f.out[0].head.target.as_str(), f.out[0].head.user_agent.as_str()),
        ("/%FF%80a%20b", "\u{fffd}xy")
    );
}

#[test]
fn otlp_requests_are_known() {
    let mut f = Feed::new(false);
    f.req(
        "POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf; a=b\r\nContent-Length: 0\r\n\r\n",
    )
    .resp(OK0);
    f.req("POST /v1/traces HTTP/1.1\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n").resp(OK0);
    assert_eq!(f.out.iter().map(|x| x.head.is_otlp).collect::<Vec<_>>(), [true, false]);
}
