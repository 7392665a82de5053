//! A sink that does as it is told, and what most tests need beside it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use telegen_model::{Records, Resource, ResourceGroup, Signal, Span, SpanId};
use telegen_pipeline::{
    Batch, BatchConfig, BoxFuture, Input, Outcome, Pipeline, PipelineConfig, QueueConfig, RetryConfig, Role,
    SignalSet, Sink, SinkConfig, WhenFull,
};
use telegen_selfmon::{BuildInfo, SelfMon, SignalSnapshot};
use telegen_testkit::records;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// One call of [`Script::send`].
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) id: String,
    pub(crate) items: usize,
    pub(crate) batch: Arc<Batch>,
}

/// A sink whose answers are written down beforehand.
pub(crate) struct Script {
    name: String,
    signals: SignalSet,
    typed: bool,
    outcomes: Mutex<VecDeque<Outcome>>,
    always: Mutex<Outcome>,
    calls: Mutex<Vec<Call>>,
    called: Notify,
    /// A permit lets one call end; closed: all.
    gate: Semaphore,
}

impl Script {
    pub(crate) fn new(name: &str) -> Script {
        let gate = Semaphore::new(0);
        gate.close();
        Script {
            name: name.to_string(),
            signals: SignalSet::ALL,
            typed: true,
            outcomes: Mutex::default(),
            always: Mutex::new(Outcome::Delivered),
            calls: Mutex::default(),
            called: Notify::new(),
            gate,
        }
    }

    /// Calls do not end until [`Script::let_through`].
    pub(crate) fn gated(name: &str) -> Script {
        Script { gate: Semaphore::new(0), ..Script::new(name) }
    }

    pub(crate) fn encoded_only(self) -> Script {
        Script { typed: false, ..self }
    }

    pub(crate) fn taking(self, signals: &[Signal]) -> Script {
        Script { signals: SignalSet::of(signals), ..self }
    }

    pub(crate) fn answering(self, outcomes: impl IntoIterator<Item = Outcome>) -> Script {
        self.outcomes.lock().unwrap().extend(outcomes);
        self
    }

    pub(crate) fn always(&self, outcome: Outcome) {
        *self.always.lock().unwrap() = outcome;
    }

    pub(crate) fn let_through(&self, calls: usize) {
        self.gate.add_permits(calls);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Items of each call.
    pub(crate) fn items(&self) -> Vec<usize> {
        self.calls().iter().map(|c| c.items).collect()
    }

    /// Numbers of the spans of all calls, in order.
    pub(crate) fn spans(&self) -> Vec<u64> {
        let groups = self.calls().into_iter().flat_map(|c| c.batch.groups.clone());
        let spans =
            groups.flat_map(|g| if let Records::Spans(s) = &g.records { s.clone() } else { Vec::new() });
        spans.map(|s: Span| number(s.span_id)).collect()
    }

    /// Waits for so many calls; ends the test if they do not come.
    pub(crate) async fn wait_calls(&self, n: usize) {
        let waiting = async {
            loop {
                let called = self.called.notified();
                if self.calls.lock().unwrap().len() >= n {
                    return;
                }
                called.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(3600), waiting).await.expect("the calls never came");
    }
}

impl Sink for Script {
    fn name(&self) -> &str {
        &self.name
    }

    fn signals(&self) -> SignalSet {
        self.signals
    }

    fn needs_records(&self) -> bool {
        self.typed
    }

    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let (id, items) = (batch.id().to_string(), batch.items);
            self.calls.lock().unwrap().push(Call { at: Instant::now(), id, items, batch });
            self.called.notify_waiters();
            if let Ok(permit) = self.gate.acquire().await {
                permit.forget();
            }
            let next = self.outcomes.lock().unwrap().pop_front();
            next.unwrap_or_else(|| self.always.lock().unwrap().clone())
        })
    }
}

/// Number of the span that [`records::span`] made.
pub(crate) fn number(id: SpanId) -> u64 {
    u64::from_be_bytes(id.0) - 1
}

/// A pipeline under test.
pub(crate) struct Rig {
    pub(crate) mon: SelfMon,
    pub(crate) pipeline: Pipeline,
    pub(crate) input: Input,
    resource: Arc<Resource>,
}

impl Rig {
    pub(crate) fn new(sinks: Vec<(Arc<Script>, SinkConfig)>) -> Rig {
        Rig::with(PipelineConfig::default(), sinks)
    }

    pub(crate) fn with(config: PipelineConfig, sinks: Vec<(Arc<Script>, SinkConfig)>) -> Rig {
        let mon = SelfMon::new(BuildInfo::default());
        let pipeline = Pipeline::start(config, as_sinks(sinks), &mon).unwrap();
        let input = pipeline.input();
        Rig { mon, pipeline, input, resource: records::resource("shop") }
    }

    /// A group of spans with these numbers.
    pub(crate) fn group(&self, numbers: impl IntoIterator<Item = u64>) -> ResourceGroup {
        records::group(&self.resource, Records::Spans(numbers.into_iter().map(records::span).collect()))
    }

    /// Produces and pushes spans with these numbers, as one group.
    pub(crate) fn push(&self, numbers: impl IntoIterator<Item = u64>) {
        let group = self.group(numbers);
        self.mon.ledger.produced(Signal::Traces, "test", group.records.items() as u64);
        self.input.push(group);
    }

    pub(crate) fn ledger(&self) -> SignalSnapshot {
        self.mon.ledger.snapshot().signal(Signal::Traces)
    }

    /// Lost at an exporter for a reason.
    pub(crate) fn lost(&self, exporter: &str, reason: &str) -> u64 {
        let at = self.ledger().lost.remove(&format!("export:{exporter}")).unwrap_or_default();
        at.get(reason).copied().unwrap_or(0)
    }

    pub(crate) fn delivered(&self, exporter: &str) -> u64 {
        self.ledger().delivered.get(exporter).copied().unwrap_or(0)
    }

    /// Waits until nothing is on its way.
    pub(crate) async fn settled(&self) {
        let settling = async {
            while self.ledger().in_flight > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(3600), settling).await.expect("it never came to rest");
    }
}

pub(crate) fn as_sinks(sinks: Vec<(Arc<Script>, SinkConfig)>) -> Vec<(Arc<dyn Sink>, SinkConfig)> {
    sinks.into_iter().map(|(s, c)| (s as Arc<dyn Sink>, c)).collect()
}

/// Batches of so many items, which wait for a second; a large queue.
pub(crate) fn batches_of(items: usize) -> SinkConfig {
    SinkConfig {
        batch: BatchConfig { max_items: items, ..BatchConfig::default() },
        queue: QueueConfig { max_size: 64 << 20, when_full: WhenFull::Block },
        disk: None,
        retry: RetryConfig::default(),
        rate: None,
        role: Role::Exporter,
    }
}
