//! Recent traces in a bounded amount of memory. At high rates a span costs one look at its status, one at its duration
//! and one in a table; what is kept is chosen by trace id, so that a trace is kept whole or not at all.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;
use telegen_model::{Resource, Scope, Span, SpanHead, SpanKind, SpanStatus, TraceId, Value, semconv as s};
use telegen_otlp::pack;

/// Ordinary spans that may open a trace, a second and service, whatever the total.
const FLOOR: u32 = 10;
/// Failed or slow spans that may open a trace, a second and service.
const HOT: u32 = 50;
/// Ordinary spans that should open a trace, a second, all services together.
const AIM: u32 = 300;
/// Ordinary spans that open a trace within one second at most: the gate is set by the second before.
const BURST: u32 = 4 * AIM;
/// Spans of one trace.
const TRACE_SPANS: usize = 10_000;
/// Share of the memory that is freed at once: 1/16.
const SLACK: usize = 16;
/// Memory of a trace beside its spans.
const TRACE_BYTES: usize = 384;

/// A span with what made it. Most are never looked at: all but its head stays packed.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) span: SpanHead,
    /// A copy of its own: its batch is not kept for it.
    pub(crate) packed: Box<[u8]>,
    pub(crate) resource: Arc<Resource>,
    pub(crate) scope: Scope,
    /// Number of the service; `u32::MAX` when it has none.
    pub(crate) service: u32,
}

impl Kept {
    pub(crate) fn name(&self) -> &str {
        pack::name(&self.packed)
    }

    pub(crate) fn attr(&self, key: &str) -> Option<Value> {
        pack::attribute(&self.packed, key)
    }

    /// All of it, read back.
    pub(crate) fn whole(&self) -> Option<Span> {
        pack::unpack(&self.packed)
    }
}

/// One trace.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) spans: Vec<Kept>,
    pub(crate) bytes: usize,
    /// First start and last end, ns since 1970.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) errors: u32,
    /// Spans that found no room in it.
    pub(crate) refused: u32,
    /// Number of the last change, growing over all traces.
    pub(crate) changed: u64,
    /// Failed or slow: kept longer.
    hot: bool,
}

impl Trace {
    /// The span at the top: without a parent here, the earliest, longest of equals.
    pub(crate) fn root(&self) -> Option<&Kept> {
        let has_parent = |k: &Kept| self.spans.iter().any(|o| o.span.span_id == k.span.parent_id);
        // Looking for parents is quadratic; in large traces the earliest span is the root nearly always.
        let small = self.spans.len() <= 64;
        let tops = self.spans.iter().filter(|k| !k.span.parent_id.is_valid() || (small && !has_parent(k)));
        let key = |k: &&Kept| (k.span.start, u64::MAX - k.span.end);
        tops.min_by_key(key).or_else(|| self.spans.iter().min_by_key(key))
    }

    /// Spans whose parent was found by what Telegen saw, and not told by a header.
    pub(crate) fn inferred(&self) -> usize {
        self.spans.iter().filter(|k| k.attr(s::TELEGEN_LINK_METHOD).is_some()).count()
    }

    /// Whether a span of a service is in it.
    pub(crate) fn touches(&self, service: u32) -> bool {
        self.spans.iter().any(|k| k.service == service)
    }
}

/// Budget of one service and second.
#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    second: u64,
    floor: u32,
    hot: u32,
}

/// Order in which the traces of one service leave.
#[derive(Clone, Debug, Default)]
struct Queue {
    ordinary: VecDeque<TraceId>,
    hot: VecDeque<TraceId>,
    bytes: usize,
    budget: Budget,
}

/// A call from one service to another, as a trace shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) client: u32,
    /// Address and port that the client called, where its span says so.
    pub(crate) peer: Option<(String, u16)>,
    pub(crate) server: u32,
}

/// What a span is judged by.
pub(crate) struct Arrival {
    pub(crate) service: u32,
    /// Spans slower than this are kept in preference, ns.
    pub(crate) slow: u64,
    /// ns since 1970.
    pub(crate) now: u64,
}

/// All traces.
#[derive(Debug)]
pub(crate) struct Traces {
    traces: HashMap<TraceId, Trace, RandomState>,
    /// By service; the last one is for spans without.
    queues: HashMap<u32, Queue, RandomState>,
    budget: usize,
    used: usize,
    changes: u64,
    /// Spans looked at, and how many of them were kept.
    pub(crate) seen: u64,
    pub(crate) kept: u64,
    second: u64,
    /// Of this second: spans that the gate let through, and spans that were kept for it.
    chosen: u32,
    opened: u32,
    /// A trace whose id, as a number, is at most this is kept without need.
    threshold: u64,
    /// Start of the newest trace that had to leave, ns since 1970.
    left: Option<u64>,
}

impl Traces {
    pub(crate) fn new(memory: usize) -> Traces {
        Traces {
            traces: HashMap::default(),
            queues: HashMap::default(),
            budget: memory,
            used: 0,
            changes: 0,
            seen: 0,
            kept: 0,
            second: 0,
            chosen: 0,
            opened: 0,
            threshold: u64::MAX,
            left: None,
        }
    }

    /// Changes the budget; what is over it leaves with the next span.
    pub(crate) fn set_budget(&mut self, bytes: usize) {
        self.budget = bytes;
    }

    /// Whether a span is worth its memory. Cheap: called for every span there is.
    pub(crate) fn wants(&mut self, span: &SpanHead, arrival: &Arrival) -> bool {
        self.seen += 1;
        let second = arrival.now / 1_000_000_000;
        if second != self.second {
            self.adapt(second);
        }
        let hot = is_hot(span, arrival.slow);
        let chosen = id_number(span.trace_id) <= self.threshold;
        if chosen {
            self.chosen = self.chosen.saturating_add(1);
            if self.opened < BURST {
                self.opened += 1;
                return true;
            }
        }
        let queue = self.queues.entry(arrival.service).or_default();
        if queue.budget.second != second {
            queue.budget = Budget { second, floor: FLOOR, hot: HOT };
        }
        let left = if hot { &mut queue.budget.hot } else { &mut queue.budget.floor };
        if *left > 0 {
            *left -= 1;
            return true;
        }
        // The other half of a trace that is here already.
        self.traces.contains_key(&span.trace_id)
    }

    /// Moves the share of traces that are kept without need towards [`AIM`] a second.
    fn adapt(&mut self, second: u64) {
        let passed = u32::try_from(second.saturating_sub(self.second)).unwrap_or(u32::MAX).max(1);
        // Those that were let through and not kept count as well: else the gate would take many seconds to close.
        let rate = self.chosen / passed;
        if rate > AIM {
            self.threshold = (self.threshold / u64::from(rate)).saturating_mul(u64::from(AIM));
        } else if rate < AIM / 2 {
            // Up slowly: a doubling a second, so that one quiet second does not open the gate.
            self.threshold = self.threshold.saturating_mul(2).max(1 << 32);
        }
        self.second = second;
        self.chosen = 0;
        self.opened = 0;
    }

    /// Keeps a span; gives what it shows about who called whom.
    pub(crate) fn keep(&mut self, kept: Kept, slow: u64) -> Option<Pair> {
        let id = kept.span.trace_id;
        let bytes = size(&kept);
        let hot = is_hot(&kept.span, slow);
        self.changes += 1;
        let owner = kept.service;
        let trace = match self.traces.get_mut(&id) {
            Some(trace) => trace,
            None => {
                let queue = self.queues.entry(owner).or_default();
                if hot { &mut queue.hot } else { &mut queue.ordinary }.push_back(id);
                queue.bytes += TRACE_BYTES;
                self.used += TRACE_BYTES;
                self.traces.entry(id).or_insert(Trace {
                    spans: Vec::new(),
                    bytes: TRACE_BYTES,
                    start: kept.span.start,
                    end: kept.span.end,
                    errors: 0,
                    refused: 0,
                    changed: 0,
                    hot,
                })
            }
        };
        trace.changed = self.changes;
        trace.hot |= hot;
        if trace.spans.len() >= TRACE_SPANS || trace.bytes >= self.budget / 4 {
            trace.refused += 1;
            return None;
        }
        self.kept += 1;
        trace.start = trace.start.min(kept.span.start);
        trace.end = trace.end.max(kept.span.end);
        trace.errors += u32::from(kept.span.status == SpanStatus::Error);
        trace.bytes += bytes;
        // Memory counts for the service whose queue the trace leaves by: that of its first span.
        let first = trace.spans.first().map_or(owner, |k| k.service);
        // Most traces have one span or two: room for four would double what they take.
        if trace.spans.len() == trace.spans.capacity() {
            trace.spans.reserve_exact((trace.spans.len() / 2).max(1));
        }
        let pair = pair(&trace.spans, &kept);
        trace.spans.push(kept);
        self.used += bytes;
        if let Some(queue) = self.queues.get_mut(&first) {
            queue.bytes += bytes;
        }
        if self.used > self.budget {
            self.evict();
        }
        pair
    }

    /// Frees a share of the memory: always from the service that holds most, ordinary traces before hot ones unless those
    /// are the greater part, oldest first.
    fn evict(&mut self) {
        let goal = self.budget - self.budget / SLACK;
        while self.used > goal {
            let Some((service, _)) = self.queues.iter().max_by_key(|(_, q)| q.bytes) else { return };
            let service = *service;
            let Some(queue) = self.queues.get_mut(&service) else { return };
            // Hot ones go first only where they are the greater part: else what is ordinary would last for seconds.
            let crowded = queue.hot.len() > queue.ordinary.len();
            let ordinary = if crowded { None } else { queue.ordinary.pop_front() };
            let id = match ordinary {
                // It failed since it was queued: it waits with the hot ones.
                Some(id) if self.traces.get(&id).is_some_and(|t| t.hot) => {
                    queue.hot.push_back(id);
                    continue;
                }
                Some(id) => id,
                None => match queue.hot.pop_front() {
                    Some(id) => id,
                    None => {
                        self.queues.remove(&service);
                        continue;
                    }
                },
            };
            if let Some(trace) = self.traces.remove(&id) {
                self.used = self.used.saturating_sub(trace.bytes);
                queue.bytes = queue.bytes.saturating_sub(trace.bytes);
                self.left = self.left.max(Some(trace.start));
            }
        }
    }

    pub(crate) fn get(&self, id: TraceId) -> Option<&Trace> {
        self.traces.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TraceId, &Trace)> {
        self.traces.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.traces.len()
    }

    /// Bytes in use, estimated.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Start of the newest trace that had to leave, ns since 1970: what is younger is here, as far as it was kept.
    pub(crate) fn left(&self) -> Option<u64> {
        self.left
    }

    /// Number of the newest change.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether ordinary traces are passed over at the moment.
    pub(crate) fn passes_over(&self) -> bool {
        self.threshold != u64::MAX
    }
}

/// Spans of a trace that are looked through for the other end of a call: most calls and their answers are neighbours.
const NEIGHBOURS: usize = 64;

/// The call that a span completes, when its other end is among the last ones of its trace.
fn pair(spans: &[Kept], new: &Kept) -> Option<Pair> {
    let near = spans.iter().rev().take(NEIGHBOURS);
    let (client, server) = match new.span.kind {
        SpanKind::Server => (near.into_iter().find(|k| k.span.span_id == new.span.parent_id)?, new),
        SpanKind::Client => {
            let child = |k: &&Kept| k.span.kind == SpanKind::Server && k.span.parent_id == new.span.span_id;
            (new, near.into_iter().find(child)?)
        }
        SpanKind::Internal | SpanKind::Producer | SpanKind::Consumer => return None,
    };
    let none = u32::MAX;
    if client.service == server.service || client.service == none || server.service == none {
        return None;
    }
    let port =
        || client.attr(s::SERVER_PORT).as_ref().and_then(Value::as_int).and_then(|p| u16::try_from(p).ok());
    let peer = client.attr(s::SERVER_ADDRESS).filter(|_| client.span.kind == SpanKind::Client);
    let peer = peer.and_then(|v| Some((v.as_str()?.to_owned(), port().unwrap_or(0))));
    Some(Pair { client: client.service, peer, server: server.service })
}

fn is_hot(span: &SpanHead, slow: u64) -> bool {
    // A connection that waits for the other side's next message is no slow request.
    span.status == SpanStatus::Error
        || (span.end.saturating_sub(span.start) >= slow && span.kind != SpanKind::Internal)
}

/// The lower half of the id: the half that is random also where the upper one is a time.
fn id_number(id: TraceId) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&id.0[8..]);
    u64::from_be_bytes(half)
}

/// Memory of a span, estimated: its own size and that of its bytes, an allocation with a head of its own and rounded up.
fn size(kept: &Kept) -> usize {
    std::mem::size_of::<Kept>() + kept.packed.len() + 24
}
