//! What the page remembers, behind one lock a part.

pub(crate) mod edges;
pub(crate) mod quantile;
pub(crate) mod readings;
pub(crate) mod services;
pub(crate) mod traces;
pub(crate) mod window;

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use telegen_model::{PackedSpans, Records, ResourceGroup, Span, SpanHead, SpanKind};

use edges::Edges;
use readings::Readings;
use services::Services;
use traces::{Arrival, Kept, Traces};

/// Services and their counts.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) services: Services,
    pub(crate) readings: Readings,
    pub(crate) edges: Edges,
}

/// Everything that is remembered.
#[derive(Debug)]
pub(crate) struct Store {
    counts: Mutex<Counts>,
    traces: Mutex<Traces>,
    /// The budget, bytes.
    pub(crate) memory: usize,
    /// The first instant that something is known of, ns since 1970.
    started: AtomicU64,
}

impl Store {
    /// A store of at most `memory` bytes: counts take what they need up to fifteen parts of sixteen, traces have the
    /// rest.
    pub(crate) fn new(memory: usize, now: u64) -> Store {
        Store {
            counts: Mutex::new(Counts {
                services: Services::new(memory),
                readings: Readings::new(memory),
                edges: Edges::new(memory),
            }),
            traces: Mutex::new(Traces::new(memory)),
            memory,
            started: AtomicU64::new(now),
        }
    }

    /// The first instant that something is known of, ns since 1970.
    pub(crate) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        // Counts stay usable after a panic elsewhere: a request is counted or it is not.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn traces(&self) -> MutexGuard<'_, Traces> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one reading of all metrics, `now` in ns since 1970.
    pub(crate) fn metrics(&self, groups: &[ResourceGroup], now: u64) {
        self.started.fetch_min(now, Ordering::Relaxed);
        let mut counts = self.counts();
        let Counts { services, readings, edges } = &mut *counts;
        readings.take(groups, services, edges, now / 1_000_000_000);
        let used = services.used() + readings.used() + edges.used();
        drop(counts);
        self.traces().set_budget(self.memory.saturating_sub(used).max(self.memory / 16));
    }

    /// Looks at spans and keeps some.
    pub(crate) fn spans<G: Borrow<ResourceGroup>>(&self, groups: &[G], now: u64) {
        let now_s = now / 1_000_000_000;
        for group in groups.iter().map(Borrow::borrow) {
            let Some(spans) = Spans::of(&group.records) else { continue };
            // Never both locks at once: counting waits for no reader of traces.
            let (service, slow) = {
                let mut counts = self.counts();
                let service = counts.services.of(&group.resource, now_s);
                let found = service.and_then(|id| counts.services.get_mut(id));
                match found {
                    Some(found) => {
                        spans.each(|head, _| {
                            if head.kind == SpanKind::Server {
                                found.shape.add(head.end.saturating_sub(head.start));
                            }
                        });
                        (service, found.slow)
                    }
                    None => (None, 1_000_000_000),
                }
            };
            let mut pairs = Vec::new();
            let arrival = Arrival { service: service.unwrap_or(u32::MAX), slow, now };
            let mut traces = self.traces();
            spans.each(|head, packed| {
                if traces.wants(head, &arrival) {
                    let (resource, scope) = (group.resource.clone(), group.scope.clone());
                    let kept =
                        Kept { span: *head, packed: packed(), resource, scope, service: arrival.service };
                    pairs.extend(traces.keep(kept, slow));
                }
            });
            drop(traces);
            if !pairs.is_empty() {
                let mut counts = self.counts();
                for pair in pairs {
                    let peer = pair.peer.as_ref().map(|(address, port)| (address.as_str(), *port));
                    counts.edges.resolve(pair.client, peer, pair.server, now_s);
                }
            }
        }
    }
}

/// Spans in either form.
enum Spans<'a> {
    Typed(&'a [Span]),
    Packed(&'a PackedSpans),
}

impl<'a> Spans<'a> {
    fn of(records: &'a Records) -> Option<Spans<'a>> {
        match records {
            Records::Spans(spans) => Some(Spans::Typed(spans)),
            Records::Packed(packed) => Some(Spans::Packed(packed)),
            Records::Metrics(_) | Records::Logs(_) | Records::Raw(_) => None,
        }
    }

    /// Gives each head, and what copies the whole span: few are kept.
    fn each(&self, mut take: impl FnMut(&SpanHead, &dyn Fn() -> Box<[u8]>)) {
        match self {
            Spans::Typed(spans) => spans.iter().for_each(|s| {
                take(&s.head(), &|| telegen_otlp::pack::pack(std::slice::from_ref(s)).bytes.as_ref().into());
            }),
            Spans::Packed(packed) => packed.iter().for_each(|(head, bytes)| take(head, &|| bytes.into())),
        }
    }
}
