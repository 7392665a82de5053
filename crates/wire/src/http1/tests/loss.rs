//! Missing records: what is lost is said to be, and nothing is paired on a guess.

use super::*;

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn a_body_that_ended_unseen_ends_at_the_last_time_that_is_known() {
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    f.dark(Dir::Response, &"x".repeat(400)).skip(Dir::Response, 600).wait(5000);
    f.req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a 200 0 1000 2 Complete", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn the_count_of_the_other_direction_gives_the_time_of_an_end_that_was_lost() {
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    f.wait(50).lose(Dir::Response, &"x".repeat(1000)).wait(5000);
    f.req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a 200 0 1000 52 Complete", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn the_count_of_the_other_direction_completes_the_size_of_a_request_that_is_answered_early() {
    let mut f = Feed::counting(true);
    f.req("POST /a HTTP/1.1\r\nContent-Length: 900\r\n\r\nabc").lose(Dir::Request, &"x".repeat(500));
    f.resp("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").lose(Dir::Request, &"x".repeat(397));
    f.req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["POST /a 413 503 0 2 Complete", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn an_answer_to_a_request_that_was_never_seen_is_nobodys() {
    let mut f = Feed::new(false);
    f.lose(Dir::Request, "GET /a HTTP/1.1\r\n\r\n").resp("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    f.exec = 2;
    f.req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /b 200 0 0 1 Complete"]);
}

#[test]
fn a_request_whose_head_is_under_way_is_counted_when_the_rest_of_it_is_lost() {
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\nHost: h\r\n").lose(Dir::Request, "traceparent: x\r\n\r\n").resp(OK0);
    f.req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a - - - 0 Lost", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn a_response_that_is_lost_loses_its_own_request_only() {
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\n\r\n")
        .lose(Dir::Response, OK0)
        .req("GET /b HTTP/1.1\r\nHost:")
        .req(" h\r\n\r\n");
    f.resp("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").req("GET /c HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a - 0 - 0 Lost", "GET /b 404 0 0 2 Complete", "GET /c 200 0 0 1 Complete"]);
}

#[test]
fn a_lost_exchange_between_two_others_takes_none_of_them_along() {
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").lose(Dir::Response, OK0).lose(Dir::Request, "GET /b HTTP/1.1\r\n\r\n");
    f.resp("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").req("GET /c HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a - 0 - 0 Lost", "GET /c 200 0 0 1 Complete"]);
}

#[test]
fn a_long_body_whose_end_and_next_response_are_lost_is_complete_all_the_same() {
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    f.wait(50).lose(Dir::Response, "defghi").req("GET /b HTTP/1.1\r\n\r\n").lose(Dir::Response, OK0);
    f.req("GET /c HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a 200 0 9 52 Complete", "GET /b - 0 - 0 Lost", "GET /c 200 0 0 1 Complete"]);
}

#[test]
fn an_answer_that_went_by_unseen_before_the_end_is_no_failure() {
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").lose(Dir::Response, OK0);
    f.c.reached(Dir::Response, f.pos[1], f.ts, &mut f.out);
    f.close(End::OwnClose);
    f.check(&["GET /a - 0 - 0 Lost"]);
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").dark(Dir::Response, OK0).close(End::OwnClose);
    f.check(&["GET /a - 0 - 0 Lost"]);
}

#[test]
fn a_counted_response_whose_last_record_was_lost_ends_where_the_next_request_begins() {
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\n\r\n");
    let seg = Segment { chunks: Some((5, false)), ..f.next(Dir::Response, CHUNKED.as_bytes(), usize::MAX) };
    f.c.segment(seg, &mut f.out);
    f.wait(20).lose(Dir::Response, "5\r\nworld\r\n0\r\n\r\n").wait(9000);
    f.req("GET /b HTTP/1.1\r\n\r\n");
    let text = format!("{CHUNKED}7\r\n1234567\r\n0\r\n\r\n");
    let seg = Segment { chunks: Some((7, true)), ..f.next(Dir::Response, text.as_bytes(), CHUNKED.len()) };
    f.c.segment(seg, &mut f.out);
    f.check(&["GET /a 200 0 - 22 Complete", "GET /b 200 0 7 1 Complete"]);
}

#[test]
fn a_response_that_went_by_unseen_is_not_made_up_by_the_next_one() {
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\n\r\n")
        .resp(CHUNKED)
        .dark(Dir::Response, "5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n");
    f.req("GET /b HTTP/1.1\r\n\r\n").lose(Dir::Response, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    f.req("GET /c HTTP/1.1\r\n\r\n").resp("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    f.req("GET /d HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&[
        "GET /a 200 0 - 2 Complete",
        "GET /b - 0 - 0 Lost",
        "GET /c 201 0 0 1 Complete",
        "GET /d 200 0 0 1 Complete",
    ]);
    assert!(!f.c.pipelined());
}

#[test]
fn a_pipelining_connection_that_lost_something_is_believed_again_after_a_pause() {
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").req("GET /b HTTP/1.1\r\n\r\n").lose(Dir::Response, OK0);
    f.resp("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").req("GET /c HTTP/1.1\r\n\r\n").resp(OK0);
    f.wait(IDLE_NS).req("GET /d HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&[
        "GET /a - 0 - 0 Lost",
        "GET /b - 0 - 0 Lost",
        "GET /c - 0 - 0 Lost",
        "GET /d 200 0 0 1 Complete",
    ]);
}

#[test]
fn a_chunked_request_whose_end_was_not_seen_swallows_no_other() {
    let mut f = Feed::counting(true);
    f.req("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        .dark(Dir::Request, "5\r\nhello\r\n0\r\nA: b\r\n\r\n");
    f.resp(OK0).req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["POST /a 200 - 0 2 Complete", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn a_dark_chunked_body_that_looks_like_a_request_is_none_while_its_own_is_not_answered() {
    let mut f = Feed::counting(true);
    f.req("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").dark(Dir::Request, "16\r\n");
    f.req("GET /evil HTTP/1.1\r\n\r\n").dark(Dir::Request, "\r\n0\r\n\r\n").resp(OK0);
    f.check(&["POST /a 200 - 0 4 Complete"]);
}

#[test]
fn a_dark_response_whose_end_was_not_seen_ends_with_silence() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp(CHUNKED).dark(Dir::Response, "5\r\nhello\r\n0\r\nA: b\r\n\r\n");
    assert_eq!(f.c.next_deadline(), Some(f.ts + IDLE_NS));
    f.c.expire(f.ts + IDLE_NS, &mut f.out);
    f.check(&["GET /a 200 0 - 2 Complete"]);
}

#[test]
fn a_response_known_not_to_be_complete_is_waited_for() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").resp(CHUNKED).resp("5\r\nhello\r\n");
    assert_eq!(f.c.next_deadline(), None);
    f.wait(5 * IDLE_NS).req("GET /b HTTP/1.1\r\n\r\n").resp("5\r\nworld\r\n0\r\n\r\n").resp(OK0);
    f.check(&["GET /a 200 0 10 5000000004 Complete", "GET /b 200 0 0 2 Complete"]);
}

#[test]
fn a_body_that_ends_in_a_tail_has_its_size() {
    let mut f = Feed::new(true);
    f.req("GET /a HTTP/1.1\r\n\r\n");
    let text = format!("{CHUNKED}3e8\r\n{}\r\n0\r\n\r\n", "x".repeat(1000));
    f.piece(Dir::Response, text.as_bytes(), CHUNKED.len() + 20);
    f.check(&["GET /a 200 0 1000 1 Complete"]);
}

#[test]
fn words_met_while_the_place_is_lost_are_no_garbage() {
    let mut f = Feed::counting(true);
    f.skip(Dir::Request, 100).req("just-words").req("GET /a HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a 200 0 0 1 Complete"]);
    assert_eq!(f.c.garbage(), None);
}

#[test]
fn a_request_that_may_have_been_in_unread_bytes_is_not_answered_by_guess() {
    let mut f = Feed::counting(true);
    f.req("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n");
    f.dark(Dir::Request, "hiGET /hidden HTTP/1.1\r\n\r\n")
        .resp("HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
    f.resp("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").req("GET /b HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["POST /a - 2 - 0 Lost", "GET /b 200 0 0 1 Complete"]);
}

#[test]
fn a_response_that_is_held_back_is_neither_lost_nor_complete() {
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\n\r\n");
    f.c.reached(Dir::Response, 60, 105, &mut f.out);
    f.c.close(End::Reset, 109, &mut f.out);
    f.check(&["GET /a - 0 - 8 PeerReset"]);
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\n\r\n");
    f.c.reached(Dir::Response, 60, 105, &mut f.out);
    f.c.end(Dir::Request, End::Fin, 105, &mut f.out);
    let known = Some(KnownHead { status: 200, head: 50, length: 20, start: 103 });
    let seg = Segment { known, len: 70, tail: None, ..f.next(Dir::Response, b"", 0) };
    f.c.segment(seg, &mut f.out);
    f.check(&["GET /a 200 0 20 1 Complete"]);
    assert_eq!(f.out[0].response_start, 103);
}

#[test]
fn a_response_that_is_told_by_one_record_joins_where_the_place_was_lost() {
    let mut f = Feed::counting(true);
    f.req("GET /a HTTP/1.1\r\n\r\n").lose(Dir::Response, OK0).req("GET /b HTTP/1.1\r\n\r\n");
    let known = Some(KnownHead { status: 404, head: 50, length: 0, start: 104 });
    let text = "x".repeat(50);
    let seg = Segment { known, data: &[], head_start: true, ..f.next(Dir::Response, text.as_bytes(), 0) };
    f.c.segment(seg, &mut f.out);
    f.req("GET /c HTTP/1.1\r\n\r\n").resp(OK0);
    f.check(&["GET /a - 0 - 0 Lost", "GET /b 404 0 0 1 Complete", "GET /c 200 0 0 1 Complete"]);
}

#[test]
fn a_known_head_without_bytes_answers_one_request_and_ends() {
    let mut f = Feed::new(false);
    f.req("GET /a HTTP/1.1\r\n\r\n").req("GET /b HTTP/1.1\r\n\r\n");
    let known = Some(KnownHead { status: 200, head: 0, length: 0, start: 103 });
    let seg = Segment { known, len: 70, tail: None, ..f.next(Dir::Response, b"", 0) };
    f.c.segment(seg, &mut f.out);
    f.c.close(End::Reset, 109, &mut f.out);
    assert_eq!(f.out.len(), 2);
}

#[test]
fn answers_that_waited_for_their_request_end_where_bytes_are_missing_between_them() {
    let mut f = Feed::new(false);
    let known = |length| Some(KnownHead { status: 200, head: 50, length, start: 103 });
    for length in [10, 5] {
        let seg = Segment { known: known(length), len: 55, tail: None, ..f.next(Dir::Response, b"", 0) };
        f.c.segment(seg, &mut f.out);
        f.skip(Dir::Response, 200);
    }
    // By another thread, which is why its record came last.
    f.exec = 2;
    f.req("GET /a HTTP/1.1\r\n\r\n");
    f.c.close(End::Reset, 109, &mut f.out);
    assert_eq!(f.out.len(), 1);
}
