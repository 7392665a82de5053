//! What becomes of a request: its node while it is open, its measurement and its span when it has ended.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use telegen_model::{
    Exemplar, NumberValue, PackedSpans, Records, Resource, ResourceGroup, Scope, Signal, SpanHead, SpanKind,
    SpanStatus, Str,
};
use telegen_otlp::pack::{Attributes, Outline, Packer};
use telegen_processes::Process;
use telegen_selfmon::Ledger;
use telegen_sys::Clock;
use telegen_wire::http1::{Exchange, Outcome, RequestHead};

use crate::common::Commons;
use crate::conn::{self, Conn, ConnId, Endpoints};
use crate::engine::{Engine, EngineConfig, SpanOut};
use crate::red::{Recorded, Red, Request, Side};
use crate::route::Routes;
use crate::settings::Instrumented;
use crate::shape::{KEPT_BYTES, Origin, Shape};
use crate::span::{self, Context, Measured};
use crate::tree::{Answer, Edge, Finished, Found, Leave, Left, Opened, Ready, Trees};
use crate::unlinked::Unlinked;

/// Where SDKs send their spans.
const TRACES_PATH: &str = "/v1/traces";

/// Spans of one resource that are gathered before they are pushed within one turn: a queue that is nearly full takes what it
/// has room for.
const SPANS_MAX: usize = 4096;

/// The end of a connection that requests were read or sent at.
pub(crate) struct End<'a> {
    pub(crate) cookie: u64,
    pub(crate) server: bool,
    pub(crate) ends: Option<&'a Endpoints>,
    /// TCP's number of position 0 of the request direction.
    pub(crate) seq: Option<u32>,
}

/// Hash of method and target: the same at both ends.
fn hash_of(hasher: &RandomState, head: &RequestHead) -> u64 {
    hasher.hash_one((head.method.as_str(), head.target.as_str()))
}

/// Names the requests of a connection whose heads were just read.
pub(crate) fn open_requests<'a>(
    trees: &mut Trees,
    hasher: &RandomState,
    (end, last): (&End<'_>, Option<&Shape>),
    newest: impl Iterator<Item = &'a mut Exchange>,
) {
    for x in newest {
        let hash = match last {
            Some(shape) if shape.asks(&x.head) => shape.hash,
            _ => hash_of(hasher, &x.head),
        };
        let opened = Opened {
            side: if end.server { Side::Server } else { Side::Client },
            cookie: end.cookie,
            exec: x.request_head_exec,
            token: x.token,
            caller: x.caller,
            start: x.request_start,
            head_end: x.request_head_end,
            blocking: x.request_blocking,
            context: x.context.as_ref(),
            place: conn::place_of(end.ends, end.seq, x.request_pos),
            head: hash,
        };
        x.id = trees.open(&opened);
    }
}

impl Engine {
    pub(crate) fn finish_exchanges(&mut self, id: ConnId, done: &mut Vec<Exchange>) {
        for exchange in done.iter() {
            if !self.finish_exchange(id, exchange) {
                self.trees.lose(exchange.id);
            }
        }
        done.clear();
    }

    /// `false` when the request leaves nothing behind but counts.
    pub(crate) fn finish_exchange(&mut self, id: ConnId, x: &Exchange) -> bool {
        let many = self.conns.are_many();
        let Some(conn) = self.conns.get_mut(id) else { return false };
        if many && !conn.remembers() {
            conn.forget_most();
        }
        let pid = (x.request_exec >> 32) as u32;
        let exact = conn.owner.pid == pid;
        let process = if exact { self.table.get_exact(conn.owner) } else { self.table.get(pid) };
        let process = match process {
            Some(p) => p,
            None => match self.table.discover(pid) {
                Some(p) => p,
                None => {
                    self.selfmon.ledger.produced(Signal::Traces, "trace", 1);
                    self.selfmon.ledger.lost(Signal::Traces, "tap", "process_unknown", 1);
                    return false;
                }
            },
        };
        if !process.selection.selected {
            return false;
        }
        let ledger = &self.selfmon.ledger;
        self.produced += 1;
        if let Outcome::Lost = x.outcome {
            // Without a record lost, what is missing is bytes whose place in memory is not known.
            let why = if conn.has_lost() { "ring_full" } else { "no_payload" };
            ledger.lost(Signal::Traces, "tap", why, 1);
            return false;
        }
        if x.head_brief {
            ledger.lost(Signal::Traces, "tap", "over_budget", 1);
        }
        // Another thread may have read the answer before the sender's own record was made.
        let end = x.response_end.max(x.request_start);
        let request = Request {
            seconds: (end - x.request_start) as f64 / 1e9,
            request_body: x.request_body_size,
            response_body: x.response_body_size,
            now: self.clock.wall(end),
        };
        let is_server = conn.is_server;
        let known = conn.shape.clone().filter(|shape| shape.fits(x, conn, process));
        let known = known.and_then(|shape| match shape.series.map(|id| self.out.red.record(id, &request)) {
            Some(Recorded::Ended) => None,
            recorded => Some((shape, recorded)),
        });
        let (shape, recorded) = match known {
            Some(known) => {
                conn.asked_again = true;
                known
            }
            None => {
                let mut maker = Maker {
                    config: &self.config,
                    commons: &mut self.commons,
                    routes: &mut self.routes,
                    red: &self.out.red,
                    hasher: &self.hasher,
                    attributes: &mut self.attributes,
                };
                let (shape, again) = maker.shape(conn, process, x, request.now);
                let shape = Arc::new(shape);
                conn.shape = None;
                if again && shape.attributes.len() <= KEPT_BYTES {
                    self.conns.remember(id, shape.clone());
                }
                let recorded = shape.series.map(|id| self.out.red.record(id, &request));
                (shape, recorded)
            }
        };
        let exports = x.head.is_otlp && !is_server && x.head.target.ends_with(TRACES_PATH);
        let answer = Answer {
            exec: if x.response_start == 0 { 0 } else { x.response_exec },
            blocking: x.response_blocking,
            end: x.response_end,
        };
        let finished = Finished {
            shape,
            start: x.request_start,
            end,
            request_body: x.request_body_size,
            response_body: x.response_body_size,
            exemplar: recorded == Some(Recorded::WithExemplar),
            nanos: end - x.request_start,
            complete: x.outcome == Outcome::Complete,
        };
        if x.head_brief {
            self.table.mark_over_budget(pid, self.clock.wall(x.response_end));
        }
        if exports {
            self.mark_exporter(pid);
        }
        self.trees.finish(x.id, x.context.as_ref(), answer, finished);
        true
    }

    /// A process exports OTLP traces itself: from here on `agent.traces.instrumented` says what is made of it.
    pub fn mark_exporter(&mut self, pid: u32) {
        if self.table.mark_exporter(pid) {
            tracing::info!(pid, "exports traces itself");
        }
    }

    /// Takes what the trees let go at the end of a turn, or everything.
    pub(crate) fn let_go(&mut self, now: u64, everything: bool) {
        // What is pushed was produced before.
        self.settle();
        let mut leaving = Leaving {
            now: self.clock.wall(now),
            clock: &self.clock,
            red: &self.out.red,
            unlinked: &self.out.unlinked,
            ledger: &self.selfmon.ledger,
            spans: &mut self.spans,
            scope: &self.config.scope,
            out: &mut self.out.spans,
            edges: &mut self.edges,
        };
        if everything {
            self.trees.flush(&mut leaving);
        } else {
            self.trees.turn(now, &mut leaving);
        }
        if !self.edges.is_empty() {
            self.out.graph.record(self.edges.drain(..), self.clock.wall(now));
        }
    }

    /// Brings what was produced into the ledger.
    pub(crate) fn settle(&mut self) {
        self.selfmon.ledger.produced(Signal::Traces, "trace", std::mem::take(&mut self.produced));
    }

    /// Pushes the spans gathered so far.
    pub(crate) fn flush(&mut self) {
        self.settle();
        self.spans.push(&self.config.scope, &mut self.out.spans);
    }
}

/// Where what leaves the trees goes.
struct Leaving<'a> {
    /// ns since 1970.
    now: u64,
    clock: &'a Clock,
    red: &'a Red,
    unlinked: &'a Unlinked,
    ledger: &'a Ledger,
    spans: &'a mut Gathered,
    scope: &'a Scope,
    out: &'a mut SpanOut,
    edges: &'a mut Vec<Edge>,
}

impl Leave for Leaving<'_> {
    fn take(&mut self, left: Left<'_>) {
        match left {
            Left::Span(span) => self.span(&span),
            // It was told as lost when it ended.
            Left::Discarded("over_budget") => {}
            Left::Discarded(reason) => self.ledger.discarded(Signal::Traces, reason, 1),
            Left::Edge(edge) => self.edges.push(edge),
            Left::Unlinked(instance, reason) => self.unlinked.add(instance, reason, self.now),
        }
    }
}

impl Leaving<'_> {
    fn span(&mut self, span: &Ready<'_>) {
        let (request, shape) = (span.request, &span.request.shape);
        let head = SpanHead {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_id: span.parent_id,
            start: self.clock.wall(request.start),
            end: self.clock.wall(request.end),
            kind: if shape.side == Side::Server { SpanKind::Server } else { SpanKind::Client },
            status: if shape.failed { SpanStatus::Error } else { SpanStatus::Unset },
        };
        if let (true, Some(series)) = (request.exemplar, shape.series) {
            let exemplar = Exemplar {
                time: head.end,
                value: NumberValue::Double(request.nanos as f64 / 1e9),
                trace_id: head.trace_id,
                span_id: head.span_id,
            };
            self.red.exemplify(series, exemplar);
        }
        let group = self.spans.add(head, span);
        if group.spans.size().1 >= SPANS_MAX {
            group.send(self.scope, self.out);
        }
    }
}

/// Spans that were made and not pushed yet.
#[derive(Default)]
pub(crate) struct Gathered {
    /// By the address of the resource.
    by_resource: HashMap<usize, usize, RandomState>,
    groups: Vec<Group>,
    /// The one of the last span: most come in runs of one resource.
    last: usize,
    /// Attributes of the span that was laid down last and that it shares with none of its shape.
    own: Attributes,
    /// What they say: many are as large as the one before.
    own_of: Option<(Option<u64>, Option<u64>, Found)>,
}

impl Gathered {
    fn add(&mut self, head: SpanHead, span: &Ready<'_>) -> &mut Group {
        let (request, shape) = (span.request, &span.request.shape);
        let of = (request.request_body, request.response_body, span.found);
        if self.own_of != Some(of) {
            self.own.clear();
            span::sizes(&mut self.own, request.request_body, request.response_body);
            span.found.write(&mut self.own);
            self.own_of = Some(of);
        }
        let outline = Outline {
            trace_state: span.trace_state,
            flags: span.flags,
            name: &shape.name,
            attributes: [&shape.attributes, self.own.as_bytes()],
        };
        if !self.groups.get(self.last).is_some_and(|group| Arc::ptr_eq(&group.resource, &shape.resource)) {
            let id = Arc::as_ptr(&shape.resource) as usize;
            self.last = *self.by_resource.entry(id).or_insert_with(|| {
                self.groups.push(Group::new(shape.resource.clone()));
                self.groups.len() - 1
            });
        }
        let group = &mut self.groups[self.last];
        group.push(head, &outline);
        group
    }

    fn push(&mut self, scope: &Scope, out: &mut SpanOut) {
        // A process that was silent is forgotten.
        let before = self.groups.len();
        self.groups.retain_mut(|group| group.send(scope, out));
        if self.groups.len() < before {
            let ids = self.groups.iter().enumerate();
            self.by_resource = ids.map(|(i, group)| (Arc::as_ptr(&group.resource) as usize, i)).collect();
        }
    }
}

/// What shapes are made with.
struct Maker<'a> {
    config: &'a EngineConfig,
    commons: &'a mut Commons,
    routes: &'a mut Routes,
    red: &'a Red,
    hasher: &'a RandomState,
    /// For its room.
    attributes: &'a mut Attributes,
}

impl Maker<'_> {
    /// The shape of a request, and whether it is that of others like it: what is beyond a bound is counted each time.
    fn shape(&mut self, conn: &Conn, process: &Process, x: &Exchange, now: u64) -> (Shape, bool) {
        let context = Context {
            ends: conn.ends.as_ref(),
            proxied: conn.proxied.as_ref(),
            is_server: conn.is_server,
            config: self.config,
        };
        let common = self.commons.of((conn.cookie, conn.introduced), x, &context);
        let mut measured = Measured::of(x, &context, common);
        let mut again = true;
        if conn.is_server && !x.head_brief && !x.head.is_otlp {
            let (path, _) = span::path_and_query(&x.head.target);
            let found = !matches!(measured.status, 0 | 404);
            measured.route = self.routes.of(Arc::as_ptr(&process.instance_resource) as usize, path, found);
            // A path may become known.
            again = measured.route.as_ref().is_some_and(|route| !self.routes.is_overflow(route));
        }
        let instrumented = self.config.instrumented;
        let without = if x.head_brief {
            Some("over_budget")
        } else if x.head.is_otlp {
            Some("otlp")
        } else if !self.config.spans {
            Some("traces_disabled")
        } else if process.exports_traces && instrumented != Instrumented::All {
            Some("instrumented")
        } else {
            None
        };
        self.attributes.clear();
        if without.is_none() {
            span::attributes(self.attributes, x, &context, &measured, common);
        }
        let unwanted = process.exports_traces && instrumented == Instrumented::None;
        let series = if unwanted {
            None
        } else {
            let series = self.red.series(&process.instance_resource, &measured.series(), now);
            again &= series.is_some_and(|(_, own)| own);
            series.map(|(id, _)| id)
        };
        let peer = match measured.side {
            Side::Client => measured.server.0.clone(),
            Side::Server => conn.ends.as_ref().map(|e| e.peer.clone()).unwrap_or_default(),
        };
        // Semantic conventions: "HTTP" where the method is not a known one.
        let method = if measured.method == "_OTHER" { "HTTP" } else { measured.method };
        let name = match &measured.route {
            Some(route) => format!("{method} {route}"),
            None => method.to_owned(),
        };
        let shape = Shape {
            origin: Origin::of(x, conn, process),
            hash: hash_of(self.hasher, &x.head),
            side: measured.side,
            failed: measured.failed(),
            name: name.into(),
            attributes: self.attributes.as_bytes().into(),
            without,
            resource: process.resource.clone(),
            instance: process.instance_resource.clone(),
            series,
            service: Str::from(process.service.name.as_str()),
            peer,
        };
        (shape, again)
    }
}

/// The spans of one resource, gathered to be pushed together.
pub(crate) struct Group {
    resource: Arc<Resource>,
    spans: Packer,
    /// Bytes and number of those that were pushed lately, at most: the next ones take about as much room, and making room
    /// for them would move them.
    lately: (usize, usize),
}

impl Group {
    fn new(resource: Arc<Resource>) -> Group {
        Group { resource, spans: Packer::default(), lately: (0, 0) }
    }

    fn push(&mut self, head: SpanHead, outline: &Outline<'_>) {
        if self.spans.is_empty() {
            let (bytes, spans) = self.lately;
            self.spans = Packer::with_capacity(bytes + bytes / 8, spans + spans / 8);
        }
        self.spans.push(head, outline);
    }

    /// Pushes what was gathered; `false` when there is nothing.
    fn send(&mut self, scope: &Scope, out: &mut SpanOut) -> bool {
        let Some(spans) = self.take() else { return false };
        let (resource, scope) = (self.resource.clone(), scope.clone());
        out(ResourceGroup { resource, scope, records: Records::Packed(spans) });
        true
    }

    fn take(&mut self) -> Option<PackedSpans> {
        if self.spans.is_empty() {
            return None;
        }
        let ((bytes, spans), (most_bytes, most_spans)) = (self.spans.size(), self.lately);
        self.lately = (bytes.max(most_bytes - most_bytes / 8), spans.max(most_spans - most_spans / 8));
        Some(std::mem::take(&mut self.spans).finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::tests::shape;

    #[test]
    fn spans_leave_by_resource_and_no_more_than_so_many_at_once() {
        let resources: Vec<Arc<Resource>> = (0..3).map(|_| Arc::default()).collect();
        let scope = Scope { name: "s".into(), version: "1".into() };
        let pushed = Arc::new(std::sync::Mutex::new(Vec::new()));
        let place = |r: &Arc<Resource>| resources.iter().position(|o| Arc::ptr_eq(o, r)).unwrap();
        let to = pushed.clone();
        let mut out: SpanOut = Box::new(move |group| {
            let Records::Packed(spans) = &group.records else { panic!("packed") };
            to.lock().unwrap().push((Arc::as_ptr(&group.resource) as usize, spans.iter().count()));
        });
        let (mut spans, mut turns) = (Gathered::default(), Vec::new());
        let (red, unlinked) = (
            Red::new(crate::RedSettings { exponential: false, max_series: 1 }, scope.clone(), 0),
            Unlinked::new(scope.clone()),
        );
        // In turn and in runs; one of them is silent for a turn.
        for turn in [vec![0, 1, 0, 2, 2, 1], vec![2; SPANS_MAX + 1], vec![1, 0, 2]] {
            let mut leaving = Leaving {
                now: 0,
                clock: &Clock::new(),
                red: &red,
                unlinked: &unlinked,
                ledger: &Ledger::default(),
                spans: &mut spans,
                scope: &scope,
                out: &mut out,
                edges: &mut Vec::new(),
            };
            for of in turn {
                let shape = Arc::new(Shape { resource: resources[of].clone(), ..shape() });
                leaving.take(Left::Span(Ready {
                    request: &Finished {
                        shape,
                        start: 0,
                        end: 1,
                        request_body: None,
                        response_body: None,
                        exemplar: false,
                        nanos: 1,
                        complete: true,
                    },
                    trace_id: telegen_model::TraceId([1; 16]),
                    span_id: telegen_model::SpanId([1; 8]),
                    parent_id: telegen_model::SpanId::ZERO,
                    trace_state: &Str::default(),
                    flags: 1,
                    found: Found::Root,
                }));
            }
            spans.push(&scope, &mut out);
            let by_address = std::mem::take(&mut *pushed.lock().unwrap());
            let find = |at: usize| resources.iter().find(|r| Arc::as_ptr(r) as usize == at).unwrap();
            let mut sorted: Vec<(usize, usize)> =
                by_address.into_iter().map(|(at, n)| (place(find(at)), n)).collect();
            sorted.sort_unstable();
            turns.push(sorted);
        }
        let expect: [&[(usize, usize)]; 3] =
            [&[(0, 2), (1, 2), (2, 2)], &[(2, 1), (2, SPANS_MAX)], &[(0, 1), (1, 1), (2, 1)]];
        assert_eq!(turns, expect);
    }
}
