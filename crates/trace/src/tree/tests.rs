use super::*;
use telegen_model::{SpanKind, SpanStatus, Value};

const EVERYTHING: Sampling = Sampling { ratio: 1.0, keep_errors: true, keep_slower_ns: u64::MAX };

/// A host: requests by name, and what left.
struct Host {
    trees: Trees,
    names: HashMap<&'static str, u64>,
    left: Vec<Left>,
    now: u64,
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
}

fn token(name: &str) -> u64 {
    name.bytes().fold(7, |n, b| n * 131 + u64::from(b))
}

fn served(name: &'static str, exec: u64, seq: u32) -> Req {
    let place = Place::Tcp { seq, local: 80, peer: 1000 };
    Req { name, side: Side::Server, exec, caller: 0, start: 10, blocking: true, place }
}

fn call(name: &'static str, exec: u64, caller: &str, seq: u32) -> Req {
    let place = Place::Tcp { seq, local: 1000, peer: 80 };
    Req { name, side: Side::Client, exec, caller: token(caller), start: 20, blocking: false, place }
}

impl Host {
    fn new(sampling: Sampling) -> Host {
        Host { trees: Trees::new(sampling), names: HashMap::new(), left: Vec::new(), now: 1000 }
    }

    fn open(&mut self, r: Req) -> &mut Host {
        self.open_with(r, None)
    }

    fn open_with(&mut self, r: Req, context: Option<&TraceContext>) -> &mut Host {
        let id = self.trees.open(&Opened {
            side: r.side,
            cookie: token(r.name) + 1,
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
        let resource = Arc::<Resource>::default();
        let span = Span {
            trace_id: TraceId::ZERO,
            span_id: SpanId::ZERO,
            parent_id: SpanId::ZERO,
            trace_state: Str::default(),
            flags: 0,
            name: name.into(),
            kind: SpanKind::Server,
            start: 10,
            end: 100,
            attrs: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            status: SpanStatus::Unset,
            status_message: Str::default(),
        };
        self.trees.finish(
            self.names[name],
            None,
            Finished {
                span: Ok(span),
                resource: resource.clone(),
                instance: resource,
                exemplar: None,
                service: name.into(),
                peer: "peer".into(),
                failed,
                nanos: 90,
                response_exec: exec,
                response_blocking: true,
                end: 100,
            },
        );
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
        let spans: Vec<&Span> = self
            .left
            .iter()
            .filter_map(|l| match l {
                Left::Span(f) => f.span.as_ref().ok(),
                _ => None,
            })
            .collect();
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
        let mut edges: Vec<String> = self
            .left
            .iter()
            .filter_map(|l| match l {
                Left::Edge(e) => Some(format!(
                    "{}>{} {}{}",
                    e.client,
                    e.server,
                    if e.client_seconds.is_some() { "c" } else { "" },
                    if e.server_seconds.is_some() { "s" } else { "" }
                )),
                _ => None,
            })
            .collect();
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
fn what_the_application_says_stands_alone() {
    let context = TraceContext {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        sampled: Some(true),
        state: "v=1".into(),
    };
    let mut h = Host::new(EVERYTHING);
    h.open(served("a", 1, 5)).open_with(call("b", 1, "a", 6), Some(&context));
    h.open_with(served("c", 9, 6), Some(&context));
    h.end("c", 9, false).end("b", 1, false).end("a", 1, false).turns(3);
    check(&h, &["a<- - - 0", "b<- - - 1", "c<- - - 1"]);
    // Both ends are one edge of the graph all the same.
    assert_eq!(h.edges(), ["b>c cs", "peer>a s"]);
    for l in &h.left {
        if let Left::Span(f) = l
            && let Ok(s) = &f.span
            && s.name != "a"
        {
            assert_eq!(
                (s.trace_id, s.parent_id, s.flags, s.trace_state.as_str()),
                (context.trace_id, context.span_id, 0x301, "v=1")
            );
        }
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
fn a_process_that_serves_nothing_has_no_reasons() {
    let mut h = Host::new(EVERYTHING);
    h.open(Req { caller: 0, ..call("b", 1, "a", 6) }).end("b", 1, false).turns(3);
    check(&h, &["b<- - - 0"]);
    assert!(!h.left.iter().any(|l| matches!(l, Left::Unlinked(..))));
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
    h.left.clear();
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
            (h.spans().len(), h.left.iter().filter(|l| matches!(l, Left::Discarded("sampled"))).count());
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
    let context = TraceContext {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        sampled: Some(false),
        state: Str::default(),
    };
    let mut h = Host::new(EVERYTHING);
    h.open_with(served("a", 1, 5), Some(&context)).open(call("b", 1, "a", 6));
    h.end("b", 1, true).end("a", 1, true).turns(3);
    assert_eq!(h.left.iter().filter(|l| matches!(l, Left::Discarded("parent_not_sampled"))).count(), 2);
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
