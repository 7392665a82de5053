//! Heads that are sent again and again.

use super::*;

/// Whether requests of one connection share what they say, and whether each says what it says on a connection of its own.
fn shared(requests: &[&str], wanted: &[&str]) -> bool {
    let wanted: Arc<[String]> = wanted.iter().map(|w| (*w).to_owned()).collect();
    let answered = |f: &mut Feed, text: &&str| {
        f.req(text).resp(OK0);
    };
    let on = || Feed { c: Connection::new(Limits::default(), true, wanted.clone()), ..Feed::new(true) };
    let mut one = on();
    requests.iter().for_each(|text| answered(&mut one, text));
    for (i, text) in requests.iter().enumerate() {
        let mut own = on();
        answered(&mut own, text);
        let (x, own) = (&one.out[i], &own.out[0]);
        let what = |x: &Exchange| (x.head.clone(), x.context.clone(), x.request_body_size, x.outcome);
        assert_eq!(what(x), what(own), "{text}");
    }
    assert_eq!((one.out.len(), one.c.garbage()), (requests.len(), None));
    one.out.windows(2).all(|two| Arc::ptr_eq(&two[0].head, &two[1].head))
}

const PLAIN: &str = "GET /a HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\n\r\n";

#[test]
fn what_is_asked_again_is_read_once() {
    assert!(shared(&[PLAIN; 3], &[]));
    let posted = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    assert!(shared(&[posted; 3], &[]));
    let recorded = "GET /a HTTP/1.1\r\nHost: h\r\nX-Id: 1\r\n\r\n";
    assert!(shared(&[recorded; 3], &["x-id"]));
}

#[test]
fn what_differs_in_headers_that_are_not_taken_says_the_same() {
    let with = |header: &str| format!("GET /a HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n");
    let parent = |n: u8| with(&format!("traceparent: 00-{0:032x}-{0:016x}-01", n + 1));
    let all = [with("Cookie: a=1"), with("Cookie: b=2"), parent(1), parent(2), parent(2), with("X: y")];
    assert!(shared(&all.each_ref().map(String::as_str), &[]));
    let posted =
        |n: usize| format!("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n));
    assert!(shared(&[&posted(3), &posted(0), &posted(3)], &[]));
}

#[test]
fn what_says_something_else_is_something_else() {
    for other in [
        "GET /b HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\n\r\n",
        "GET /a HTTP/1.0\r\nHost: h\r\nUser-Agent: u\r\n\r\n",
        "PUT /a HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: i\r\nUser-Agent: u\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: h\r\nUser-Agent: v\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\nForwarded: for=1\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n",
        "GET /a HTTP/1.1\r\nUser-Agent: u\r\n\r\n",
    ] {
        assert!(!shared(&[PLAIN, other, PLAIN], &[]), "{other}");
    }
    let otlp =
        |kind: &str| format!("POST /v1/logs HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: 0\r\n\r\n");
    assert!(!shared(&[&otlp("application/x-protobuf"), &otlp("text/plain")], &[]));
    let id = |n: u8| format!("GET /a HTTP/1.1\r\nHost: h\r\nX-Id: {n}\r\n\r\n");
    assert!(!shared(&[&id(1), &id(2)], &["x-id"]));
}

/// A head is only known again where all of it is there; a longer one that begins alike is another.
#[test]
fn a_head_that_is_cut_or_goes_on_is_not_known_again() {
    let mut f = Feed::new(true);
    f.req(PLAIN).resp(OK0);
    let (front, rest) = PLAIN.split_at(PLAIN.len() - 1);
    f.req(front).req(rest).resp(OK0);
    f.req("GET /a HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\nContent-Length: 2\r\n\r\nab").resp(OK0);
    f.req(PLAIN).resp(OK0);
    f.check(&[
        "GET /a 200 0 0 1 Complete",
        "GET /a 200 0 0 2 Complete",
        "GET /a 200 2 0 1 Complete",
        "GET /a 200 0 0 1 Complete",
    ]);
    // One that is too long to be kept is read each time, and what came before is forgotten.
    let long = format!("GET /long HTTP/1.1\r\nCookie: {}\r\n\r\n", "c".repeat(2000));
    let mut f = Feed::new(true);
    f.req(PLAIN).resp(OK0).req(&long).resp(OK0).req(&long).resp(OK0).req(PLAIN).resp(OK0);
    let targets: Vec<&str> = f.out.iter().map(|x| x.head.target.as_str()).collect();
    assert_eq!(targets, ["/a", "/long", "/long", "/a"]);
    assert!(!Arc::ptr_eq(&f.out[1].head, &f.out[2].head));
}

#[test]
fn what_is_forgotten_is_read_again() {
    let mut f = Feed::new(true);
    f.req(PLAIN).resp(OK0);
    f.c.forget();
    f.req(PLAIN).resp(OK0);
    let [first, second] = [0, 1].map(|i| f.out[i].head.clone());
    assert_eq!((first == second, Arc::ptr_eq(&first, &second)), (true, false));
}

/// A connection that was asked once and whose head was told as call 1, and the next exchange on it.
fn asked_once(server: bool) -> (Feed, Again) {
    let mut f = Feed::counting(server);
    let seg = Segment { record: 1, ..f.next(Dir::Request, PLAIN.as_bytes(), usize::MAX) };
    f.c.segment(seg, &mut f.out);
    f.resp("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let answer = KnownHead { status: 200, head: 38, length: 5, start: f.ts + 5 };
    let again = Again {
        told: 1,
        pos: f.pos[0],
        len: PLAIN.len() as u64,
        ts: f.ts + 3,
        exec: 7,
        blocking: true,
        token: 9,
        other: Some((f.pos[1], f.at[1])),
        answer_pos: f.pos[1],
        answer_len: 43,
        answer_ts: f.ts + 9,
        answer_exec: 8,
        answer,
    };
    (f, again)
}

/// The same as the segments of two calls.
fn apart(a: &Again) -> [Segment<'static>; 2] {
    let request = Segment {
        dir: Dir::Request,
        record: 0,
        same: Some(a.told),
        pos: a.pos,
        len: a.len,
        data: &[],
        tail: None,
        ts: a.ts,
        exec: a.exec,
        token: a.token,
        caller: 0,
        blocking: a.blocking,
        head_start: true,
        head_cut: false,
        brief: false,
        chunks: None,
        known: None,
        other: a.other,
    };
    let response = Segment {
        dir: Dir::Response,
        same: None,
        pos: a.answer_pos,
        len: a.answer_len,
        ts: a.answer_ts,
        exec: a.answer_exec,
        blocking: false,
        known: Some(a.answer),
        other: Some((a.pos + a.len, a.ts)),
        ..request
    };
    [request, response]
}

#[test]
fn an_exchange_told_as_one_is_that_of_two_calls() {
    for server in [true, false] {
        for change in [
            |_: &mut Again| {},
            |a| (a.answer.length, a.answer_len) = (0, 38),
            |a| a.answer.status = 404,
            |a| a.other = None,
            |a| a.answer.start = a.ts - 1,
        ] as [fn(&mut Again); _]
        {
            let (mut one, mut a) = asked_once(server);
            let (mut two, _) = asked_once(server);
            change(&mut a);
            let x = one.c.again(&a).expect("taken");
            one.out.push(x);
            apart(&a).into_iter().for_each(|seg| two.c.segment(seg, &mut two.out));
            // What comes after is the same as well.
            for f in [&mut one, &mut two] {
                f.pos = [a.pos + a.len, a.answer_pos + a.answer_len];
                f.at = [a.ts, a.answer_ts];
                f.ts = a.answer_ts;
                f.req("GET /next HTTP/1.1\r\n\r\n").resp(OK0);
            }
            assert_eq!(one.out, two.out);
            assert_eq!(one.out.len(), 3);
        }
    }
}

#[test]
fn an_exchange_is_not_told_as_one_where_anything_is_in_doubt() {
    let refused = |change: fn(&mut Feed, &mut Again)| {
        let (mut f, mut a) = asked_once(true);
        change(&mut f, &mut a);
        f.c.again(&a).is_none()
    };
    assert!(!refused(|_, _| {}));
    assert!(refused(|_, a| a.told = 2));
    assert!(refused(|_, a| a.len += 1));
    assert!(refused(|_, a| a.pos += 1));
    assert!(refused(|_, a| a.answer_pos += 1));
    assert!(refused(|_, a| a.other = Some((a.answer_pos + 1, 1))));
    assert!(refused(|_, a| a.answer_len += 1));
    assert!(refused(|_, a| a.answer.status = 101));
    assert!(refused(|f, _| f.c.forget()));
    assert!(refused(|f, a| {
        f.req(PLAIN);
        a.pos = f.pos[0];
    }));
    let (mut f, mut a) = asked_once(true);
    let posted = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n";
    let seg = Segment { record: 5, ..f.next(Dir::Request, posted.as_bytes(), usize::MAX) };
    f.c.segment(seg, &mut f.out);
    f.req("x").resp(OK0);
    (a.told, a.pos, a.len, a.answer_pos) = (5, f.pos[0], posted.len() as u64, f.pos[1]);
    a.other = Some((f.pos[1], f.at[1]));
    assert!(f.c.again(&a).is_none());
}

/// What is told of a head that was not seen, or not alone in its call, is no request that can be read.
#[test]
fn a_head_that_is_not_known_loses_its_request_and_no_other() {
    for forget in [false, true] {
        let (mut f, mut a) = asked_once(true);
        if forget {
            f.c.forget();
        } else {
            a.told = 2;
        }
        apart(&a).into_iter().for_each(|seg| f.c.segment(seg, &mut f.out));
        f.pos = [a.pos + a.len, a.answer_pos + a.answer_len];
        f.at = [a.ts, a.answer_ts];
        f.ts = a.answer_ts;
        f.req(PLAIN).resp(OK0);
        let outcomes: Vec<_> = f.out.iter().map(|x| (x.outcome, x.status)).collect();
        let complete = (Outcome::Complete, Some(200));
        assert_eq!(outcomes, [complete, (Outcome::Lost, None), complete]);
    }
}

#[test]
fn a_head_that_came_again_whole_is_the_one_that_is_told_of() {
    let (mut f, a) = asked_once(true);
    let seg = Segment { record: 3, ..f.next(Dir::Request, PLAIN.as_bytes(), usize::MAX) };
    f.c.segment(seg, &mut f.out);
    f.resp(OK0);
    let moved = Again { pos: f.pos[0], answer_pos: f.pos[1], other: None, ..a };
    assert!(f.c.again(&moved).is_none());
    assert!(f.c.again(&Again { told: 3, ..moved }).is_some());
}

#[test]
fn bytes_that_are_no_http_do_not_make_the_head_another() {
    let (mut f, a) = asked_once(true);
    f.req("GET /b HTTP/1.1\r\n\r\n").resp("HTTP/1.1 2x0 ?\r\n\r\n");
    assert!(f.c.garbage().is_some());
    let anew = || Connection::new(Limits::default(), true, Arc::new([]));
    let last = std::mem::replace(&mut f.c, anew()).into_last_head();
    assert!(last.is_some());
    f.c = anew().remembering(last);
    // Calls of the feed have the number 0.
    let again = Again { told: 0, len: 19, ..a };
    apart(&again).into_iter().for_each(|seg| f.c.segment(seg, &mut f.out));
    let asked: Vec<_> = f.out.iter().map(|x| (x.head.target.as_str(), x.outcome)).collect();
    assert_eq!(asked, [("/a", Outcome::Complete), ("/b", Outcome::Lost), ("/b", Outcome::Complete)]);
}
