//! What becomes of a request: its node while it is open, its measurement and its span when it has ended.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use telegen_model::{Exemplar, NumberValue, PackedSpans, Records, Resource, ResourceGroup, Signal, Str};
use telegen_otlp::pack::{Attributes, Outline, Packer};
use telegen_processes::Process;
use telegen_wire::http1::{Exchange, Outcome, RequestHead};

use crate::common::Commons;
use crate::conn::{self, Conn, Endpoints};
use crate::engine::{Engine, EngineConfig, SPANS_MAX};
use crate::red::{Recorded, Red, Request, Side};
use crate::route::Routes;
use crate::settings::Instrumented;
use crate::shape::{Origin, Shape};
use crate::span::{self, Context, Measured};
use crate::tree::{Finished, Found, Left, Opened, Trees};

/// Where SDKs send their spans.
const TRACES_PATH: &str = "/v1/traces";

/// The end of a connection that requests were read or sent at.
pub(crate) struct End<'a> {
    pub(crate) cookie: u64,
    pub(crate) server: bool,
    pub(crate) ends: Option<&'a Endpoints>,
    /// TCP's number of position 0 of the request direction.
    pub(crate) seq: Option<u32>,
}

/// Names the requests of a connection whose heads were just read.
pub(crate) fn open_requests<'a>(
    trees: &mut Trees,
    hasher: &RandomState,
    (end, asked): (&End<'_>, &mut Option<(Arc<RequestHead>, u64)>),
    newest: impl Iterator<Item = &'a mut Exchange>,
) {
    for x in newest {
        let hash = match asked {
            Some((head, hash)) if Arc::ptr_eq(head, &x.head) => *hash,
            _ => {
                let hash = hasher.hash_one((x.head.method.as_str(), x.head.target.as_str()));
                *asked = Some((x.head.clone(), hash));
                hash
            }
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
    pub(crate) fn finish_exchanges(&mut self, cookie: u64, done: &mut Vec<Exchange>) {
        for exchange in done.iter() {
            if !self.finish_exchange(cookie, exchange) {
                self.trees.lose(exchange.id);
            }
        }
        done.clear();
    }

    /// `false` when the request leaves nothing behind but counts.
    fn finish_exchange(&mut self, cookie: u64, x: &Exchange) -> bool {
        let Some(conn) = self.conns.get_mut(&cookie) else { return false };
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
        let head_end = x.response_end.max(x.request_start);
        let request = Request {
            seconds: (head_end - x.request_start) as f64 / 1e9,
            request_body: x.request_body_size,
            response_body: x.response_body_size,
            now: self.clock.wall(head_end),
        };
        let known = conn.shape.clone().filter(|shape| shape.fits(x, conn, process));
        let known = known.and_then(|shape| match shape.series.map(|id| self.out.red.record(id, &request)) {
            Some(Recorded::Ended) => None,
            recorded => Some((shape, recorded)),
        });
        let (shape, recorded) = match known {
            Some(known) => known,
            None => {
                let mut maker = Maker {
                    config: &self.config,
                    commons: &mut self.commons,
                    routes: &mut self.routes,
                    red: &self.out.red,
                };
                let (shape, again) = maker.shape((cookie, conn), process, x, request.now);
                let shape = Arc::new(shape);
                conn.shape = again.then(|| shape.clone());
                let recorded = shape.series.map(|id| self.out.red.record(id, &request));
                (shape, recorded)
            }
        };
        let head = span::head(x, shape.side, shape.failed);
        let exports = x.head.is_otlp && !conn.is_server && x.head.target.ends_with(TRACES_PATH);
        let finished = Finished {
            nanos: head.end - head.start,
            head,
            shape,
            trace_state: Str::default(),
            flags: 0,
            found: Found::Root,
            request_body: x.request_body_size,
            response_body: x.response_body_size,
            exemplar: recorded == Some(Recorded::WithExemplar),
            response_exec: if x.response_start == 0 { 0 } else { x.response_exec },
            response_blocking: x.response_blocking,
            end: x.response_end,
        };
        if x.head_brief {
            self.table.mark_over_budget(pid, self.clock.wall(x.response_end));
        }
        if exports {
            self.mark_exporter(pid);
        }
        self.trees.finish(x.id, x.context.as_ref(), Box::new(finished));
        true
    }

    /// A process exports OTLP traces itself: from here on `agent.traces.instrumented` says what is made of it.
    pub fn mark_exporter(&mut self, pid: u32) {
        if self.table.mark_exporter(pid) {
            tracing::info!(pid, "exports traces itself");
        }
    }

    /// Takes what the trees have let go.
    pub(crate) fn take_left(&mut self, now: u64) {
        let now = self.clock.wall(now);
        let mut all = std::mem::take(&mut self.left);
        for left in all.drain(..) {
            match left {
                Left::Span(mut f) => self.push_span(&mut f),
                // It was told as lost when it ended.
                Left::Discarded("over_budget") => {}
                Left::Discarded(reason) => self.selfmon.ledger.discarded(Signal::Traces, reason, 1),
                Left::Edge(edge) => self.edges.push(edge),
                Left::Unlinked(instance, reason) => self.out.unlinked.add(&instance, reason, now),
            }
        }
        self.left = all;
        if !self.edges.is_empty() {
            self.out.graph.record(self.edges.drain(..), now);
        }
    }

    fn push_span(&mut self, f: &mut Finished) {
        let head = &mut f.head;
        head.start = self.clock.wall(head.start);
        head.end = self.clock.wall(head.end);
        let shape = &f.shape;
        if let (true, Some(series)) = (f.exemplar, shape.series) {
            let exemplar = Exemplar {
                time: head.end,
                value: NumberValue::Double(f.nanos as f64 / 1e9),
                trace_id: head.trace_id,
                span_id: head.span_id,
            };
            self.out.red.exemplify(series, exemplar);
        }
        self.own.clear();
        span::sizes(&mut self.own, f.request_body, f.response_body);
        f.found.write(&mut self.own);
        let group = self
            .groups
            .entry(Arc::as_ptr(&shape.resource) as usize)
            .or_insert_with(|| Group::new(shape.resource.clone()));
        group.push(f, &self.own);
        self.gathered += 1;
        if self.gathered >= SPANS_MAX {
            self.flush();
        }
    }

    /// Brings what was produced into the ledger.
    pub(crate) fn settle(&mut self) {
        self.selfmon.ledger.produced(Signal::Traces, "trace", std::mem::take(&mut self.produced));
    }

    /// Pushes the spans gathered so far.
    pub(crate) fn flush(&mut self) {
        if self.gathered == 0 {
            return;
        }
        self.settle();
        self.gathered = 0;
        let (out, scope) = (&mut self.out.spans, &self.config.scope);
        // A process that was silent is forgotten.
        self.groups.retain(|_, group| match group.take() {
            Some(spans) => {
                out(ResourceGroup {
                    resource: group.resource.clone(),
                    scope: scope.clone(),
                    records: Records::Packed(spans),
                });
                true
            }
            None => false,
        });
    }
}

/// What shapes are made with.
struct Maker<'a> {
    config: &'a EngineConfig,
    commons: &'a mut Commons,
    routes: &'a mut Routes,
    red: &'a Red,
}

impl Maker<'_> {
    /// The shape of a request, and whether it is that of others like it: what is beyond a bound is counted each time.
    fn shape(
        &mut self,
        (cookie, conn): (u64, &Conn),
        process: &Process,
        x: &Exchange,
        now: u64,
    ) -> (Shape, bool) {
        let context = Context {
            ends: conn.ends.as_ref(),
            proxied: conn.proxied.as_ref(),
            is_server: conn.is_server,
            config: self.config,
        };
        let common = self.commons.of((cookie, conn.introduced), x, &context);
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
        let mut attributes = Attributes::new();
        if without.is_none() {
            span::attributes(&mut attributes, x, &context, &measured, common);
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
        let shape = Shape {
            origin: Origin::of(x, conn, process),
            side: measured.side,
            method: if measured.method == "_OTHER" { "HTTP" } else { measured.method },
            failed: measured.failed(),
            route: measured.route,
            attributes,
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

    fn push(&mut self, f: &Finished, own: &Attributes) {
        if self.spans.is_empty() {
            let (bytes, spans) = self.lately;
            self.spans = Packer::with_capacity(bytes + bytes / 8, spans + spans / 8);
        }
        let outline = Outline {
            trace_state: &f.trace_state,
            flags: f.flags,
            name: f.shape.name(),
            attributes: [f.shape.attributes.as_bytes(), own.as_bytes()],
        };
        self.spans.push(f.head, &outline);
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
