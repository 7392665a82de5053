use super::*;
use crate::tree;
use telegen_model::{Span, SpanHead, SpanKind, SpanStatus, Value, semconv as s};
use telegen_otlp::pack::{Attributes, Outline, Packer, unpack};

use crate::shape::tests::shape;

const EVERYTHING: Sampling = Sampling { ratio: 1.0, keep_errors: true, keep_slower_ns: u64::MAX };

/// A host: requests by name, and what left.
struct Host {
    trees: Trees,
    names: HashMap<&'static str, u64>,
    left: Gone,
    now: u64,
}

/// What has left.
#[derive(Default)]
struct Gone {
    spans: Vec<Kept>,
    edges: Vec<Edge>,
    discarded: Vec<&'static str>,
    unlinked: usize,
}

struct Kept {
    shape: Arc<Shape>,
    head: SpanHead,
    trace_state: Str,
    flags: u32,
    found: Found,
}

impl Leave for Gone {
    fn take(&mut self, left: Left<'_>) {
        match left {
            Left::Span(r) => self.spans.push(Kept {
                shape: r.request.shape.clone(),
                head: SpanHead {
                    trace_id: r.trace_id,
                    span_id: r.span_id,
                    parent_id: r.parent_id,
                    start: r.request.start,
                    end: r.request.end,
                    kind: SpanKind::Server,
                    status: SpanStatus::Unset,
                },
                trace_state: r.trace_state.clone(),
                flags: r.flags,
                found: r.found,
            }),
            Left::Edge(edge) => self.edges.push(edge),
            Left::Discarded(why) => self.discarded.push(why),
            Left::Unlinked(..) => self.unlinked += 1,
        }
    }
}

/// The span as it is packed.
fn read(k: &Kept) -> Span {
    let (mut packer, mut own) = (Packer::default(), Attributes::new());
    k.found.write(&mut own);
    let attributes = [&k.shape.attributes, own.as_bytes()];
    let outline = Outline { trace_state: &k.trace_state, flags: k.flags, name: &k.shape.name, attributes };
    packer.push(k.head, &outline);
    unpack(&packer.finish().bytes).unwrap()
}

/// A request to open: its name, its thread and where it stands.
#[derive(Clone, Copy)]
struct Req {
    name: &'static str,
    side: Side,
    exec: u64,
    caller: u64,
    start: u64,
    blocking: bool,
    place: Place,
    /// The connection; by name unless it is another's.
    cookie: u64,
}

fn token(name: &str) -> u64 {
    name.bytes().fold(7, |n, b| n * 131 + u64::from(b))
}

fn served(name: &'static str, exec: u64, seq: u32) -> Req {
    let place = Place::Tcp { seq, local: 80, peer: 1000 };
    Req {
        name,
        side: Side::Server,
        exec,
        caller: 0,
        start: 10,
        blocking: true,
        place,
        cookie: token(name) + 1,
    }
}

fn call(name: &'static str, exec: u64, caller: &str, seq: u32) -> Req {
    let place = Place::Tcp { seq, local: 1000, peer: 80 };
    let cookie = token(name) + 1;
    Req { name, side: Side::Client, exec, caller: token(caller), start: 20, blocking: false, place, cookie }
}

impl Host {
    fn new(sampling: Sampling) -> Host {
        Host { trees: Trees::new(sampling), names: HashMap::new(), left: Gone::default(), now: 1000 }
    }

    fn open(&mut self, r: Req) -> &mut Host {
        self.open_with(r, None)
    }

    fn open_with(&mut self, r: Req, context: Option<&Arc<TraceContext>>) -> &mut Host {
        let id = self.trees.open(&Opened {
            side: r.side,
            cookie: r.cookie,
            exec: r.exec,
            token: token(r.name),
            caller: r.caller,
            start: r.start,
            head_end: r.start,
            blocking: r.blocking,
            context,
            place: r.place,
            head: 5,
        });
        self.names.insert(r.name, id);
        self
    }

    /// Ends a request, answered by `exec`.
    fn end(&mut self, name: &'static str, exec: u64, failed: bool) -> &mut Host {
        self.end_at(name, exec, failed, 100)
    }

    fn end_at(&mut self, name: &'static str, exec: u64, failed: bool, end: u64) -> &mut Host {
        self.finish(name, Answer { exec, blocking: true, end }, failed, |_| {})
    }

    fn finish(
        &mut self,
        name: &'static str,
        answer: Answer,
        failed: bool,
        with: impl FnOnce(&mut Finished),
    ) -> &mut Host {
        let shape = Shape { name: name.into(), service: name.into(), peer: "peer".into(), failed, ..shape() };
        let mut finished = Finished {
            shape: Arc::new(shape),
            start: 10,
            end: 100,
            request_body: None,
            response_body: None,
            exemplar: false,
            nanos: 90,
            complete: true,
        };
        with(&mut finished);
        self.trees.finish(self.names[name], None, answer, finished);
        self
    }

    fn turns(&mut self, n: u64) -> &mut Host {
        for _ in 0..n {
            self.now += 20_000_000;
            self.trees.turn(self.now, &mut self.left);
        }
        self
    }

    /// `child<parent method reason trace`, traces numbered by appearance.
    fn spans(&self) -> Vec<String> {
        let spans: Vec<Span> = self.left.spans.iter().map(read).collect();
        let text = |s: &Span, key: &str| match s.attr(key) {
            Some(Value::Str(v)) => v.to_string(),
            _ => "-".into(),
        };
        let mut sorted = spans.clone();
        sorted.sort_by_key(|s| s.name.clone());
        let mut traces = Vec::new();
        sorted
            .iter()
            .map(|s| {
                let parent = spans.iter().find(|p| p.span_id == s.parent_id).map_or("-", |p| p.name.as_str());
                let trace = traces.iter().position(|t| *t == s.trace_id).unwrap_or_else(|| {
                    traces.push(s.trace_id);
                    traces.len() - 1
                });
                let (method, reason) = (text(s, "telegen.link.method"), text(s, "telegen.link.reason"));
                format!("{}<{parent} {method} {reason} {trace}", s.name)
            })
            .collect()
    }

    fn edges(&self) -> Vec<String> {
        let ends = |e: &Edge| {
            let seen = |end: &Option<tree::Gone>, letter| end.as_ref().map_or("", |_| letter);
            format!("{}>{} {}{}", e.names().0, e.names().1, seen(&e.client, "c"), seen(&e.server, "s"))
        };
        let mut edges: Vec<String> = self.left.edges.iter().map(ends).collect();
        edges.sort();
        edges
    }
}

fn check(host: &Host, expect: &[&str]) {
    assert_eq!(host.spans(), expect);
}

#[test]
fn a_call_within_a_request_and_its_other_end_are_one_trace() {
    let mut h = Host::new(EVERYTHING);
    h.open(served("a", 1, 5)).open(call("b", 1, "a", 6)).open(served("c", 9, 6));
    h.end("c", 9, false).turns(3);
    check(&h, &[]);
    h.end("b", 1, false).end("a", 1, false).turns(1);
    check(&h, &["a<- - - 0", "b<a thread - 0", "c<b tcp_seq - 0"]);
    assert_eq!(h.edges(), ["b>c cs", "peer>a s"]);
    assert_eq!((h.trees.len(), h.trees.lapses), (0, Lapses::default()));
}

#[test]
fn the_order_of_records_changes_nothing() {
    let mut h = Host::new(EVERYTHING);
    h.open(served("c", 9, 6)).end("c", 9, false).open(call("b", 1, "a", 6)).end("b", 1, false);
    h.turns(1).open(served("a", 1, 5)).end("a", 1, false).turns(3);
    check(&h, &["a<- - - 0", "b<a thread - 0", "c<b tcp_seq - 0"]);
    assert_eq!(h.trees.len(), 0);
}

#[test]
fn a_request_waits_two_turns_for_its_other_end_and_no_longer() {
    let mut h = Host::new(EVERYTHING);
    h.open(served("a", 1, 5)).end("a", 1, false).turns(1);
    check(&h, &[]);
    h.turns(1);
    check(&h, &["a<- - - 0"]);
    assert_eq!(h.edges(), ["peer>a s"]);
}

#[test]
fn a_sender_that_tells_of_its_request_late_is_joined_while_it_is_open() {
    let mut h = Host::new(EVERYTHING);
    h.open(served("c", 9, 6)).turns(50).open(call("b", 1, "-", 6)).turns(1);
    h.end("c", 9, false).end("b", 1, false).turns(3);
    check(&h, &["b<- - no_request_on_thread 0", "c<b tcp_seq - 0"]);
    assert_eq!((h.trees.len(), h.trees.read.is_empty()), (0, true));
    // One that was told to be a root, because a call of it had to leave, stays one.
    let mut h = Host::new(EVERYTHING);
    h.open(served("c", 9, 6)).open(call("d", 9, "c", 7)).end("d", 9, false).turns(WINDOW_NS / 20_000_000 + 2);
    h.open(call("b", 1, "-", 6)).turns(1).end("c", 9, false).end("b", 1, false).turns(3);
    check(&h, &["b<- - no_request_on_thread 0", "c<- - - 1", "d<- - late 2"]);
    // The ends of one that is answered and gone are not.
    let mut h = Host::new(EVERYTHING);
    h.open(served("c", 9, 6)).turns(50).end("c", 9, false).turns(3);
    assert!(h.trees.read.is_empty());
    h.open(call("b", 1, "-", 6)).end("b", 1, false).turns(3);
    check(&h, &["b<- - no_request_on_thread 0", "c<- - - 1"]);
}

#[test]
fn a_call_waits_two_turns_from_its_end_for_what_it_called() {
    // That may be told of with its answer, and after the answer was read.
    let mut h = Host::new(EVERYTHING);
    h.open(served("a", 1, 5)).open(call("b", 1, "a", 6)).turns(50);
    let now = h.now;
    h.end_at("b", 1, false, now).end_at("a", 1, false, now).turns(1);
    check(&h, &[]);
    h.open(served("c", 9, 6)).end_at("c", 9, false, now).turns(3);
    check(&h, &["a<- - - 0", "b<a thread - 0", "c<b tcp_seq - 0"]);
    let mut h = Host::new(EVERYTHING);
    h.open(call("b", 1, "-", 6)).turns(50).end("b", 1, false).turns(1);
    check(&h, &[]);
    h.turns(1);
    check(&h, &["b<- - - 0"]);
}

#[test]
fn what_the_application_says_stands_alone() {
    let context = Arc::new(TraceContext {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        sampled: Some(true),
        state: "v=1".into(),
    });
    let mut h = Host::new(EVERYTHING);
    h.open(served("a", 1, 5)).open_with(call("b", 1, "a", 6), Some(&context));
    h.open_with(served("c", 9, 6), Some(&context));
    h.end("c", 9, false).end("b", 1, false).end("a", 1, false).turns(3);
    check(&h, &["a<- - - 0", "b<- - - 1", "c<- - - 1"]);
    // Both ends are one edge of the graph all the same.
    assert_eq!(h.edges(), ["b>c cs", "peer>a s"]);
    for kept in h.left.spans.iter().filter(|k| &*k.shape.name != "a") {
        let s = read(kept);
        assert_eq!(
            (s.trace_id, s.parent_id, s.flags, s.trace_state.as_str()),
            (context.trace_id, context.span_id, 0x301, "v=1")
        );
    }
}

#[test]
fn a_call_that_is_not_the_requests_is_a_trace_of_its_own_with_the_reason() {
    let mut h = Host::new(EVERYTHING);
    h.open(served("a", 1, 5)).open(call("b", 1, "a", 6)).open(served("c", 9, 6));
    h.end("c", 9, false).end("b", 1, false).end("a", 2, false).turns(4);
    check(&h, &["a<- - - 0", "b<- - handed_off 1", "c<b tcp_seq - 1"]);
    let mut h = Host::new(EVERYTHING);
    h.open(served("a", 1, 5)).open(Req { caller: 0, ..call("b", 1, "a", 6) });
    h.end("b", 1, false).end("a", 1, false).turns(3);
    check(&h, &["a<- - - 0", "b<- - no_request_on_thread 1"]);
    let mut h = Host::new(EVERYTHING);
    h.open(Req { blocking: false, ..served("a", 1, 5) }).open(Req { start: 11, ..served("z", 1, 8) });
    h.open(call("b", 1, "z", 6)).end("b", 1, false).end("z", 1, false).end("a", 1, false).turns(4);
    check(&h, &["a<- - - 0", "b<- - two_open_requests 1", "z<- - - 2"]);
}

#[test]
fn requests_of_one_connection_that_overlap_lend_nobody_a_parent_and_say_nothing_of_the_process() {
    // Two requests in one read: the thread tells both by the same token.
    let mut h = Host::new(EVERYTHING);
    let first = served("a", 1, 5);
    h.open(first).open(Req { name: "z", start: 11, ..first }).open(call("b", 1, "a", 6));
    h.end("b", 1, false).end_at("a", 1, false, 60).end("z", 1, false).turns(4);
    check(&h, &["a<- - - 0", "b<- - two_open_requests 1", "z<- - - 2"]);
    // One that came when the other was answered has its call, and so has the next of the process.
    h.left = Gone::default();
    h.open(first)
        .end_at("a", 1, false, 12)
        .open(Req { name: "z", start: 13, ..first })
        .open(call("b", 1, "z", 6));
    h.end("b", 1, false).end("z", 1, false).turns(4);
    check(&h, &["a<- - - 0", "b<z thread - 1", "z<- - - 1"]);
}

#[test]
fn a_request_that_stays_open_while_its_thread_serves_others_makes_their_calls_doubtful() {
    let mut h = Host::new(EVERYTHING);
    // The thread still holds the first when it is through with the second; a call in the third may be of either.
    h.open(served("a", 1, 5)).open(Req { start: 11, ..served("y", 1, 7) }).end_at("y", 1, false, 12).turns(3);
    h.open(Req { start: 13, ..served("z", 1, 8) })
        .open(call("b", 1, "z", 6))
        .end("b", 1, false)
        .end("z", 1, false);
    h.turns(4);
    assert!(h.spans().contains(&"b<- - two_open_requests 0".to_owned()), "{:?}", h.spans());
    // However many there are.
    let mut h = Host::new(EVERYTHING);
    for (i, name) in ["a", "c", "d", "e", "f"].into_iter().enumerate() {
        h.open(Req { start: 10 + i as u64, ..served(name, 1, 5) });
    }
    h.open(call("b", 1, "f", 6)).end("b", 1, false).end("f", 1, false).turns(4);
    assert!(h.spans().contains(&"b<- - two_open_requests 0".to_owned()), "{:?}", h.spans());
}

#[test]
fn what_a_process_did_wrong_counts_for_its_last_calls() {
    let mut h = Host::new(EVERYTHING);
    h.open(served("x", 1, 4)).end("x", 2, false).turns(2);
    h.left = Gone::default();
    h.open(served("a", 1, 5)).open(call("b", 1, "a", 6)).end("b", 1, false);
    h.trees.exit(0);
    h.end("a", 1, false).turns(3);
    check(&h, &["a<- - - 0", "b<- - handed_off 1"]);
    h.turns(WINDOW_NS / 20_000_000 + 2);
    assert!(h.trees.habits.is_empty());
}

#[test]
fn another_program_in_the_same_process_has_to_prove_itself_again() {
    let mut h = Host::new(EVERYTHING);
    for _ in 0..20 {
        h.open(served("p", 1, 4)).end("p", 1, false).turns(2);
    }
    h.left = Gone::default();
    h.trees.exec(0);
    h.open(served("a", 1, 5)).open(call("b", 1, "a", 6)).end("b", 1, false);
    h.turns(WINDOW_NS / 20_000_000 + 2);
    assert_eq!(h.spans(), ["b<- - late 0"]);
}

#[test]
fn a_request_that_was_answered_before_is_not_the_one_that_is_read() {
    let mut h = Host::new(EVERYTHING);
    // The same target again on a unix socket, and the records of its reader came first.
    let unix = |cookie, peer| Place::Unix { cookie, peer, pos: 0 };
    let sent = Req { place: unix(1, 2), ..call("b", 1, "-", 6) };
    let read = Req { place: unix(2, 1), start: 200, ..served("c", 9, 6) };
    h.open(sent).end_at("b", 1, false, 100).open(read).turns(1).end_at("c", 9, false, 300).turns(3);
    check(&h, &["b<- - no_request_on_thread 0", "c<- - - 1"]);
}

#[test]
fn what_a_thread_had_answered_before_does_not_hold_its_next_call() {
    // A thread that plays both ends: each call comes behind the answer to the request before.
    let names: Vec<[&'static str; 2]> =
        (0..60).map(|i| [&*format!("c{i:03}").leak(), &*format!("s{i:03}").leak()]).collect();
    let mut h = Host::new(EVERYTHING);
    for (i, [client, server]) in (0u32..).zip(&names) {
        let (at, before) = (100 * u64::from(i), i.checked_sub(1).map_or("-", |b| names[b as usize][1]));
        h.open(Req { start: at + 20, ..call(client, 1, before, i) });
        h.open(Req { start: at + 30, ..served(server, 1, i) });
        h.end_at(server, 1, false, at + 40);
    }
    // Each pair leaves once it has ended, whatever the others do.
    for i in (0..names.len()).rev() {
        h.end_at(names[i][0], 1, false, 100 * i as u64 + 50).turns(4);
        assert_eq!(h.left.spans.len(), 2 * (names.len() - i), "{i}");
    }
}

#[test]
fn a_chain_that_is_too_long_is_cut_and_says_so() {
    let names: Vec<&'static str> = (0..100).map(|i| &*format!("n{i:03}").leak()).collect();
    let mut h = Host::new(EVERYTHING);
    // Each request is read, on a thread of its own, and calls the next while it is open.
    for (i, name) in (0u32..).zip(&names) {
        let before = i.checked_sub(1).map_or("-", |b| names[b as usize]);
        let exec = u64::from(i.div_ceil(2));
        h.open(if i % 2 == 0 { call(name, exec, before, i / 2) } else { served(name, exec, i / 2) });
    }
    // The first is answered last.
    for i in (1..names.len()).chain([0]) {
        h.end(names[i], i.div_ceil(2) as u64, false).turns(3);
    }
    h.turns(200);
    // Whoever says that it was joined has a parent.
    for kept in &h.left.spans {
        let joined = matches!(kept.found, Found::By(..));
        assert_eq!(joined, kept.head.parent_id != SpanId([0; 8]), "{}", kept.shape.name);
    }
    assert_eq!(h.left.spans.len(), 100);
}

#[test]
fn the_same_again_on_a_unix_socket_is_told_apart_by_its_byte() {
    // Both ends saw the connection from its begin, or bytes were under way when one of them was first seen.
    for ahead in [0, 7] {
        let mut h = Host::new(EVERYTHING);
        let unix = |cookie, peer, pos| Place::Unix { cookie, peer, pos };
        for (sent, read, start, pos) in [("a", "x", 100, 0), ("b", "y", 300, 50)] {
            let place = unix(1, 2, pos);
            h.open(Req { place, start, cookie: 1, ..call(sent, 1, "-", 6) });
            let place = unix(2, 1, pos + ahead);
            h.open(Req { place, start: start + 100, cookie: 2, ..served(read, 9, 6) });
        }
        h.turns(1);
        for (name, exec, end) in [("a", 1, 290), ("x", 9, 280), ("b", 1, 490), ("y", 9, 480)] {
            h.end_at(name, exec, false, end);
        }
        h.turns(3);
        let none = "no_request_on_thread";
        let alone = [format!("a<- - {none} 0"), format!("b<- - {none} 1")];
        check(&h, &[&alone[0], &alone[1], "x<a unix_peer - 0", "y<b unix_peer - 1"]);
        assert_eq!(h.trees.lapses.ambiguous, 0);
    }
}

#[test]
fn a_process_that_serves_nothing_has_no_reasons() {
    let mut h = Host::new(EVERYTHING);
    h.open(Req { caller: 0, ..call("b", 1, "a", 6) }).end("b", 1, false).turns(3);
    check(&h, &["b<- - - 0"]);
    assert_eq!(h.left.unlinked, 0);
}

#[test]
fn two_possible_ends_are_none() {
    let mut h = Host::new(EVERYTHING);
    h.open(call("b", 1, "-", 6)).open(call("d", 2, "-", 6)).open(served("c", 9, 6));
    h.end("c", 9, false).end("b", 1, false).end("d", 2, false).turns(4);
    assert!(h.spans().contains(&"c<- - - 1".to_owned()), "{:?}", h.spans());
    assert_eq!(h.trees.lapses.ambiguous, 1);
}

#[test]
fn both_ends_are_one_edge_whichever_leaves_first() {
    let context = Arc::new(TraceContext {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        sampled: Some(true),
        state: Str::default(),
    });
    // The application's header makes each end a root, so that the server does not wait for its caller.
    let pair = || {
        let mut h = Host::new(EVERYTHING);
        h.open_with(call("b", 1, "-", 6), Some(&context))
            .open_with(served("c", 9, 6), Some(&context))
            .turns(3);
        h
    };
    let mut h = pair();
    h.end("c", 9, false).turns(3);
    assert_eq!((h.spans().len(), h.edges()), (1, vec![]));
    h.end("b", 1, false).turns(3);
    assert_eq!(h.edges(), ["b>c cs"]);
    let mut h = pair();
    h.end("b", 1, false).turns(3).end("c", 9, false).turns(3);
    assert_eq!(h.edges(), ["b>c cs"]);
}

#[test]
fn an_end_whose_other_is_lost_is_an_edge_of_its_own() {
    let pair = |lost: &'static str, early: bool| {
        let mut h = Host::new(EVERYTHING);
        h.open(call("b", 1, "-", 6)).open(served("c", 9, 6)).turns(3);
        let (end, exec) = if lost == "b" { ("c", 9) } else { ("b", 1) };
        if early {
            h.trees.lose(h.names[lost]);
        }
        h.end(end, exec, false).turns(WINDOW_NS / 20_000_000 + 2);
        if !early {
            h.trees.lose(h.names[lost]);
        }
        h.turns(1).edges()
    };
    for early in [true, false] {
        assert_eq!(pair("b", early), ["peer>c s"], "{early}");
        assert_eq!(pair("c", early), ["b>peer c"], "{early}");
    }
    // One that is open at the end of all.
    let mut h = Host::new(EVERYTHING);
    h.open(call("b", 1, "-", 6)).open(served("c", 9, 6)).end("c", 9, false).turns(WINDOW_NS / 20_000_000 + 2);
    assert_eq!(h.edges(), Vec::<String>::new());
    h.trees.flush(&mut h.left);
    assert_eq!(h.edges(), ["peer>c s"]);
}

#[test]
fn nothing_waits_for_ever() {
    let mut h = Host::new(EVERYTHING);
    h.open(served("a", 1, 5)).open(call("b", 1, "a", 6)).end("b", 1, false);
    h.turns(WINDOW_NS / 20_000_000 + 2);
    // The request is still open, and the process has shown nothing yet.
    check(&h, &["b<- - late 0"]);
    h.end("a", 1, false).turns(1);
    check(&h, &["a<- - - 0", "b<- - late 1"]);
    assert_eq!(h.trees.len(), 0);
}

#[test]
fn with_a_history_a_long_request_gets_its_calls_before_it_ends() {
    let mut h = Host::new(EVERYTHING);
    for _ in 0..20 {
        h.open(served("p", 1, 4)).end("p", 1, false).turns(2);
    }
    h.left = Gone::default();
    h.open(served("a", 1, 5)).open(call("b", 1, "a", 6)).end("b", 1, false);
    h.turns(WINDOW_NS / 20_000_000 + 2);
    assert_eq!(h.spans(), ["b<- thread - 0"]);
    h.end("a", 1, false).turns(1);
    check(&h, &["a<- - - 0", "b<a thread - 0"]);
    assert_eq!(h.trees.len(), 0);
}

#[test]
fn errors_keep_their_whole_tree_and_the_ratio_the_rest() {
    let few = Sampling { ratio: 0.001, keep_errors: true, keep_slower_ns: u64::MAX };
    let mut kept = 0;
    for i in 0..200 {
        let mut h = Host::new(few);
        h.open(served("a", 1, 5)).open(call("b", 1, "a", 6)).open(served("c", 9, 6));
        h.end("c", 9, i % 2 == 0).end("b", 1, false).end("a", 1, false).turns(3);
        let (spans, discarded) =
            (h.spans().len(), h.left.discarded.iter().filter(|why| **why == "sampled").count());
        assert_eq!(spans + discarded, 3);
        assert!(spans == 0 || spans == 3, "a tree is kept whole");
        if i % 2 == 0 {
            assert_eq!(spans, 3);
        } else {
            kept += spans;
        }
    }
    assert!(kept <= 15, "{kept} of 300 spans at one in a thousand");
}

#[test]
fn a_caller_that_does_not_sample_is_respected_by_the_whole_tree() {
    let context = Arc::new(TraceContext {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        sampled: Some(false),
        state: Str::default(),
    });
    let mut h = Host::new(EVERYTHING);
    h.open_with(served("a", 1, 5), Some(&context)).open(call("b", 1, "a", 6));
    h.end("b", 1, true).end("a", 1, true).turns(3);
    assert_eq!(h.left.discarded, ["parent_not_sampled"; 2]);
}

#[test]
fn a_decision_that_names_no_trace_decides_about_a_trace_of_its_own() {
    let alone = |sampled| {
        Arc::new(TraceContext {
            trace_id: TraceId::ZERO,
            span_id: SpanId::ZERO,
            sampled: Some(sampled),
            state: Str::default(),
        })
    };
    let mut h = Host::new(EVERYTHING);
    let (no, yes) = (alone(false), alone(true));
    for (client, server, context) in [("b", "c", &no), ("d", "e", &yes)] {
        let seq = if context.sampled == Some(true) { 70 } else { 7 };
        h.open_with(call(client, 1, "-", seq), Some(context))
            .open_with(served(server, 2, seq), Some(context));
        h.end(server, 2, false).end(client, 1, false).turns(3);
    }
    assert_eq!(h.left.discarded, ["parent_not_sampled"; 2]);
    check(&h, &["d<- - no_request_on_thread 0", "e<d tcp_seq - 0"]);
}

#[test]
fn a_server_ends_no_later_than_a_client_that_had_its_whole_answer() {
    for (complete, expect) in [(true, 60), (false, 100)] {
        let mut h = Host::new(EVERYTHING);
        h.open(call("a", 1, "-", 7)).open(served("b", 2, 7));
        h.finish("a", Answer { exec: 1, blocking: true, end: 60 }, !complete, |f| {
            (f.end, f.complete) = (60, complete);
        });
        h.end("b", 2, false).turns(3);
        let ends: Vec<u64> = h.left.spans.iter().map(|s| read(s).end).collect();
        assert_eq!(ends, [60, expect], "{complete}");
    }
}

#[test]
fn a_lost_parent_leaves_its_calls_alone() {
    let mut h = Host::new(EVERYTHING);
    h.open(served("a", 1, 5)).open(call("b", 1, "a", 6)).end("b", 1, false);
    h.trees.lose(h.names["a"]);
    h.turns(3);
    check(&h, &["b<- - late 0"]);
    assert_eq!(h.trees.len(), 0);
}

#[test]
fn too_many_are_spans_by_themselves_and_counted() {
    let mut h = Host::new(EVERYTHING);
    for _ in 0..NODES_MAX {
        h.open(served("a", 1, 5));
    }
    h.open(served("x", 2, 7)).end("x", 2, false).turns(3);
    check(&h, &["x<- - no_room 0"]);
    assert_eq!((h.trees.lapses.no_room, h.trees.len()), (1, NODES_MAX));
}

/// Printed by `bench/joins.sh`: what finding other ends and parents takes, beside requests that have neither.
#[test]
#[allow(clippy::print_stdout, reason = "it prints what it measured")]
fn of_many_requests_each_finds_its_other_end_and_its_parent() {
    const TURN: u32 = 500;
    const TURNS: u32 = 100;
    // Of each three requests one is served, one is the call that it makes, one is that call's other end.
    let run = |linked: bool| {
        let mut h = Host::new(EVERYTHING);
        let mut methods: HashMap<String, u32> = HashMap::new();
        let mut count = |left: Gone| {
            for kept in left.spans {
                let span = read(&kept);
                let method = span.attr(s::TELEGEN_LINK_METHOD).and_then(Value::as_str).unwrap_or("none");
                *methods.entry(method.to_owned()).or_default() += 1;
            }
        };
        let mut spent = std::time::Duration::ZERO;
        for turn in 0..TURNS {
            let begun = std::time::Instant::now();
            for i in 0..TURN {
                let n = turn * TURN + i;
                let (thread, seq, t) = (u64::from(n % 64) + 1, n * 2 + 1, u64::from(n) * 1000);
                h.open(Req { start: t, ..served("a", thread, seq) });
                let caller = if linked { token("a") } else { 0 };
                h.open(Req { start: t + 10, caller, ..call("b", thread, "a", seq + 1) });
                h.open(Req { start: t + 20, ..served("c", 99, if linked { seq + 1 } else { seq }) });
                h.end_at("c", 99, false, t + 30).end_at("b", thread, false, t + 40);
                h.end_at("a", thread, false, t + 50);
            }
            h.turns(1);
            spent += begun.elapsed();
            count(std::mem::take(&mut h.left));
        }
        h.turns(3);
        count(std::mem::take(&mut h.left));
        assert_eq!(h.trees.len(), 0);
        let mut methods: Vec<(String, u32)> = methods.into_iter().collect();
        methods.sort();
        (spent.as_nanos() / u128::from(TURN * TURNS * 3), methods)
    };
    let all = TURN * TURNS;
    let ((alone, without), (linked, with)) = (run(false), run(true));
    assert_eq!(without, [("none".to_owned(), 3 * all)]);
    assert_eq!(with, ["none", "tcp_seq", "thread"].map(|m| (m.to_owned(), all)));
    println!("trees: {alone} ns a request alone, {linked} ns a request linked and joined");
}

#[test]
fn what_waits_for_others_is_looked_at_every_20_ms_however_short_the_turns() {
    let mut h = Host::new(EVERYTHING);
    h.open(served("a", 1, 5)).open(call("b", 1, "a", 6)).end("b", 1, false).turns(3);
    let over = h.now + WINDOW_NS;
    let mut at = |ns: u64| {
        h.trees.turn(over + ns, &mut h.left);
        h.spans().len()
    };
    // Looked at just before its time is over, then not before 20 ms have passed.
    assert_eq!(at(0), 0);
    let times: Vec<u64> = (1..=25).filter(|ms| at(ms * 1_000_000) > 0).collect();
    assert_eq!(times.first(), Some(&20));
}

#[test]
fn of_too_many_that_wait_the_oldest_leave_as_they_are() {
    let mut h = Host::new(EVERYTHING);
    let mut threads = 1..;
    // A call within a request that does not end.
    let mut wait = |h: &mut Host, name, n: usize| {
        for thread in threads.by_ref().take(n) {
            let seq = 2 * thread as u32;
            h.open(served("a", thread, seq)).open(call(name, thread, "a", seq + 1)).end(name, thread, false);
        }
    };
    wait(&mut h, "b", WAITING_MAX - 1);
    h.turns(4);
    assert_eq!((h.left.spans.len(), h.trees.stayed()), (0, WAITING_MAX - 1));
    wait(&mut h, "c", 5);
    h.turns(1);
    let of = |h: &Host, name| h.left.spans.iter().filter(|k| &*k.shape.name == name).count();
    assert_eq!((of(&h, "b"), of(&h, "c"), h.trees.stayed()), (5, 0, WAITING_MAX - 1));
    // More than there are old ones: those that were read in this turn go as well.
    wait(&mut h, "d", WAITING_MAX + 3);
    h.turns(1);
    let left = [of(&h, "b"), of(&h, "c"), of(&h, "d")];
    assert_eq!((left, h.trees.stayed()), ([WAITING_MAX - 1, 5, 4], WAITING_MAX - 1));
}

#[test]
fn at_the_end_a_call_that_is_not_the_open_requests_is_told_as_well() {
    let mut h = Host::new(EVERYTHING);
    h.open(served("a", 1, 5)).open(call("b", 1, "a", 6)).end("b", 1, false).turns(3);
    assert_eq!(h.left.spans.len(), 0);
    h.trees.flush(&mut h.left);
    assert_eq!(h.left.spans.iter().map(|k| &*k.shape.name).collect::<Vec<_>>(), ["b"]);
    assert_eq!(h.edges().len(), 1);
}
