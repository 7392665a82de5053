//! How connections end, and what is open then.

use super::*;

#[test]
fn a_first_byte_alone_is_no_request_and_harms_no_other() {
    let mut f = Feed::new(true);
    f.req("G").close(End::Fin);
    f.check(&[]);
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").req("G").close(End::OwnClose);
    f.check(&["GET /a - 0 - 2 OwnClose"]);
    assert_eq!(f.c.garbage(), None);
}

#[test]
fn a_request_that_never_ended_is_named_by_what_is_there() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\nHos").close(End::Fin);
    f.check(&["GET /a - - - 1 PeerClosed"]);
    assert!(f.out[0].head_truncated && f.out[0].head.host.is_empty());
}

#[test]
fn a_reset_or_time_out_ends_both_directions() {
    for (how, word) in [(End::Reset, "PeerReset"), (End::Timeout, "TimedOut")] {
        for dir in [Dir::Request, Dir::Response] {
            let mut f = Feed::new(true);
            f.req("GET /a HTTP/1.1\r\n\r\n");
            f.c.end(dir, how, 109, &mut f.out);
            f.check(&[&format!("GET /a - 0 - 8 {word}")]);
        }
    }
}

#[test]
fn who_ends_first_decides_over_an_incomplete_response() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp(half);
    f.c.end(Dir::Request, End::Fin, 105, &mut f.out);
    f.c.close(End::OwnClose, 109, &mut f.out);
    f.check(&["GET /a 200 0 3 8 PeerClosed"]);
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp(half);
    f.c.end(Dir::Response, End::Fin, 105, &mut f.out);
    f.check(&["GET /a 200 0 3 4 OwnClose"]);
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp(half);
    f.c.end(Dir::Request, End::Fin, 103, &mut f.out);
    f.c.end(Dir::Response, End::Fin, 105, &mut f.out);
    f.check(&["GET /a 200 0 3 4 PeerClosed"]);
}

#[test]
fn a_body_without_length_is_complete_only_when_the_server_ends_it() {
    for (server, how, word) in [
        (true, End::OwnClose, "2 Complete"),
        (true, End::Reset, "9 PeerReset"),
        (false, End::Fin, "2 Complete"),
        (false, End::OwnClose, "9 OwnClose"),
        (false, End::Reset, "9 PeerReset"),
    ] {
        let mut f = Feed::new(server);
        f.req("GET /a HTTP/1.0\r\n\r\n").resp("HTTP/1.0 200 OK\r\n\r\nab").resp("cde");
        f.c.close(how, 110, &mut f.out);
        f.check(&[&format!("GET /a 200 0 5 {word}")]);
    }
}

#[test]
fn a_chunked_response_that_breaks_off_is_not_complete() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp(head).resp("5\r\nhello\r\n").close(End::Fin);
    f.check(&["GET /a 200 0 5 3 PeerClosed"]);
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.1\r\n\r\n")
        .resp(head)
        .dark(Dir::Response, "5\r\nhello\r\n")
        .dark(Dir::Response, "5\r\nworld\r\n");
    f.close(End::Fin);
    f.check(&["GET /a 200 0 - 4 PeerClosed"]);
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.1\r\n\r\n")
        .resp(head)
        .dark(Dir::Response, "5\r\nhello\r\n0\r\nA: b\r\n\r\n")
        .close(End::Fin);
    f.check(&["GET /a 200 0 - 2 Complete"]);
}

#[test]
fn a_response_that_breaks_off_in_its_head_has_its_status() {
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp("HTTP/1.1 502 Bad\r\nContent-Le").close(End::Reset);
    f.check(&["GET /a 502 0 - 2 PeerReset"]);
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp("HTTP/1.1 100 Continue\r\n").close(End::Reset);
    f.check(&["GET /a - 0 - 2 PeerReset"]);
}

#[test]
fn a_server_may_refuse_a_request_before_its_head_ends() {
    let refusal = "HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\nCookie: ccc").resp(refusal).req("cccccc").close(End::OwnClose);
    f.check(&["GET /a 431 - 0 1 Complete"]);
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.1\r\nCookie: ccc").resp(refusal).close(End::Fin);
    f.check(&["GET /a 431 - 0 1 Complete"]);
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.1\r\nCookie: ccc").resp(refusal);
    assert_eq!(f.c.next_deadline(), Some(f.ts + IDLE_NS));
    f.c.expire(f.ts + IDLE_NS, &mut f.out);
    f.check(&["GET /a 431 - 0 1 Complete"]);
}

#[test]
fn an_unasked_answer_is_nobodys() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n")
        .resp(OK0)
        .resp("HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n")
        .close(End::OwnClose);
    f.check(&["GET /a 200 0 0 1 Complete"]);
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp(OK0).resp("HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(f.c.next_deadline(), Some(f.ts + IDLE_NS));
    f.c.expire(f.ts + IDLE_NS, &mut f.out);
    assert_eq!(f.c.next_deadline(), None);
    f.req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a 200 0 0 1 Complete", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn bytes_of_the_other_protocol_may_come_before_the_answer_that_allows_them() {
    let mut f = Feed::new(true);
    f.req("CONNECT h:443 HTTP/1.1\r\n\r\n\x16\x03\x01")
        .req("GET /no HTTP/1.1\r\n\r\n")
        .resp("HTTP/1.1 200 OK\r\n\r\n");
    f.check(&["CONNECT h:443 200 0 0 2 Upgraded"]);
    assert!(f.c.is_tunnel());
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\nUpgrade: h2c\r\n\r\n").resp(OK0).req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a 200 0 0 1 Complete", "GET /b 200 0 0 1 Complete"]);
    assert!(!f.c.is_tunnel());
}

#[test]
fn no_exchange_ends_before_it_begins() {
    let mut f = Feed::new(false);
    f.resp(OK0);
    let early = f.ts;
    f.exec = 2;
    f.wait(50).req("GET /a HTTP/1.1\r\n\r\n");
    let x = &f.out[0];
    assert_eq!((x.request_start, x.response_start, x.response_end), (early + 51, early + 51, early + 51));
}
