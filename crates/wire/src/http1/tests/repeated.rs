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
