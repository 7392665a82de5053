use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use telegen_model::Signal;
use telegen_selfmon::{Counter, Ledger, SelfMon, Settled};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::queue::{Entry, Front, Queue};
use crate::{AckLevel, Batch, BoxFuture, Hold, Outcome, Sink, SinkConfig, WhenFull};

/// How far an exporter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for batches for ever.
    Running,
    /// Ends when its queue is empty; batches that wait for a retry are tried at once.
    Draining,
}

/// A sink with its queue and the tasks that empty it: one a signal, so that a peer which refuses one signal
/// does not stop the others, and the order within a signal is kept.
pub(crate) struct Exporter {
    pub(crate) name: String,
    queue: Queue,
    config: RwLock<SinkConfig>,
    sink: watch::Sender<Arc<dyn Sink>>,
    phase: watch::Sender<Phase>,
    wake: [Notify; 4],
    tasks: Mutex<JoinSet<()>>,
    /// Set when the queue was emptied for the last time: what comes later is lost at once.
    ended: AtomicBool,
    ledger: Ledger,
    stats: Stats,
}

struct Stats {
    delivered: Counter,
    rejected: Counter,
    retried: Counter,
    split: Counter,
    lost: Counter,
}

impl Stats {
    fn new(mon: &SelfMon, exporter: &str) -> Stats {
        let of = |outcome| {
            mon.counter(
                "telegen.export.requests",
                "{request}",
                "Requests by what became of them.",
                &[("exporter", exporter), ("outcome", outcome)],
            )
        };
        Stats {
            delivered: of("delivered"),
            rejected: of("rejected"),
            retried: of("retried"),
            split: of("split"),
            lost: of("lost"),
        }
    }
}

impl Exporter {
    /// Starts the tasks; must be called within a runtime.
    pub(crate) fn start(sink: Arc<dyn Sink>, config: SinkConfig, mon: &SelfMon) -> Arc<Exporter> {
        let name = sink.name().to_string();
        let size = mon.gauge(
            "telegen.export.queue.size",
            "By",
            "Memory of the batches that wait for an exporter or are being sent.",
            &[("exporter", &name)],
        );
        let exporter = Arc::new(Exporter {
            queue: Queue::new(config.queue, size),
            config: RwLock::new(config),
            sink: watch::Sender::new(sink),
            phase: watch::Sender::new(Phase::Running),
            wake: Default::default(),
            tasks: Mutex::default(),
            ended: AtomicBool::new(false),
            ledger: mon.ledger.clone(),
            stats: Stats::new(mon, &name),
            name,
        });
        {
            let mut tasks = exporter.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            for signal in Signal::ALL {
                tasks.spawn(Arc::clone(&exporter).run(signal));
            }
        }
        exporter
    }

    /// Goes on with another sink of the same name: what waits goes to it, at once.
    pub(crate) fn replace(&self, sink: Arc<dyn Sink>, config: SinkConfig) {
        self.queue.configure(config.queue);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        self.sink.send_replace(sink);
    }

    fn config(&self) -> SinkConfig {
        *self.config.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a batch into the queue; never waits. What finds no room is counted.
    pub(crate) fn offer(&self, batch: Arc<Batch>, mut hold: Option<Hold>, counted: bool) {
        if let Some(hold) = &mut hold {
            hold.reached(AckLevel::Memory);
        }
        let signal = batch.signal;
        let refused = self.queue.offer(batch, hold, counted);
        let kept = self.queue.when_full() != WhenFull::Block;
        for entry in refused {
            // A queue that drops is the user's choice: the sender need not send again.
            self.lose(entry, "queue_full", kept);
        }
        if self.has_ended() {
            self.lose_all("shutdown");
        }
        self.wake[signal.index()].notify_one();
    }

    /// Items that were accepted for this exporter and never became a batch.
    pub(crate) fn lose_unbatched(&self, signal: Signal, items: u64, reason: &str) {
        self.ledger.settle(signal, &self.name, Settled { delivered: 0, lost: items, reason });
    }

    /// Sends what is queued until the deadline, then counts the rest as lost and ends.
    pub(crate) async fn stop(&self, deadline: Instant, reason: &str) {
        self.phase.send_replace(Phase::Draining);
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let drained = async { while tasks.join_next().await.is_some() {} };
        if timeout_at(deadline, drained).await.is_err() {
            tasks.shutdown().await;
        }
        self.end(reason);
    }

    /// Counts what is queued as lost; what comes later is lost at once.
    pub(crate) fn end(&self, reason: &str) {
        self.ended.store(true, Ordering::SeqCst);
        self.lose_all(reason);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn lose_all(&self, reason: &str) {
        for entry in self.queue.drain() {
            self.lose(entry, reason, false);
        }
    }

    async fn run(self: Arc<Exporter>, signal: Signal) {
        let (mut phase, mut sink) = (self.phase.subscribe(), self.sink.subscribe());
        let mut backoff = Backoff::default();
        loop {
            let draining = *phase.borrow_and_update() == Phase::Draining;
            let Some(front) = self.queue.begin(signal, Instant::now()) else {
                if draining {
                    return;
                }
                tokio::select! {
                    () = self.wake[signal.index()].notified() => {}
                    _ = phase.changed() => {}
                }
                continue;
            };
            let to = sink.borrow_and_update().clone();
            let outcome = send(to, &front.batch).await;
            let Some(wait) = self.apply(signal, front, outcome, &mut backoff) else { continue };
            tokio::select! {
                () = sleep(wait) => {}
                // The end of the program and a new peer are both reasons to try at once.
                _ = phase.changed() => backoff.reset(),
                _ = sink.changed() => backoff.reset(),
            }
        }
    }

    /// Books an outcome; gives the wait before the next try when the batch stays.
    fn apply(
        &self,
        signal: Signal,
        front: Front,
        outcome: Outcome,
        backoff: &mut Backoff,
    ) -> Option<Duration> {
        let Front { id, batch, first_try } = front;
        let items = batch.items as u64;
        let (delivered, lost, reason): (u64, u64, Cow<'static, str>) = match outcome {
            Outcome::Delivered => (items, 0, "".into()),
            Outcome::Rejected { n } => (items - n.min(items), n.min(items), "rejected_by_peer".into()),
            Outcome::Lost { n, reason } => (items - n.min(items), n.min(items), reason),
            Outcome::Retry { after } => {
                let retry = self.config().retry;
                let wait = backoff.next(&retry, after);
                if retry.max_elapsed.is_zero() || first_try.elapsed() + wait <= retry.max_elapsed {
                    self.stats.retried.inc();
                    self.queue.put_back(signal, id);
                    return Some(wait);
                }
                (0, items, "retry_expired".into())
            }
            Outcome::TooLarge => match batch.halves() {
                Ok(parts) if items > 1 => {
                    self.stats.split.inc();
                    self.queue.replace(signal, id, parts);
                    return None;
                }
                _ => (0, items, "too_large".into()),
            },
        };
        match (lost, delivered) {
            (0, _) => self.stats.delivered.inc(),
            (_, 0) => self.stats.lost.inc(),
            _ => self.stats.rejected.inc(),
        }
        backoff.reset();
        let mut entry = self.queue.finish(signal, id)?;
        if entry.counted {
            self.ledger.settle(signal, &self.name, Settled { delivered, lost, reason: &reason });
        }
        // An answer for good is an answer; what may still arrive another way is not.
        if reason != "retry_expired"
            && let Some(hold) = &mut entry.hold
        {
            hold.reached(AckLevel::Delivered);
        }
        None
    }

    fn lose(&self, mut entry: Entry, reason: &str, answered: bool) {
        if entry.counted {
            let lost = entry.batch.items as u64;
            self.ledger.settle(entry.batch.signal, &self.name, Settled { delivered: 0, lost, reason });
        }
        if answered && let Some(hold) = &mut entry.hold {
            hold.reached(AckLevel::Delivered);
        }
    }
}

/// Sends a batch in the form that the sink wants; a sink that panics loses this batch, not the others.
async fn send(sink: Arc<dyn Sink>, batch: &Arc<Batch>) -> Outcome {
    let all = batch.items as u64;
    let batch = match sink.needs_records() {
        true => match batch.with_records() {
            Ok(batch) => batch,
            Err(_) => return Outcome::Lost { n: all, reason: "damaged".into() },
        },
        false => batch.clone(),
    };
    let mut sending: BoxFuture<'_, Outcome> = Box::pin(async { sink.send(batch).await });
    let polled = std::future::poll_fn(|cx| {
        let poll = || Pin::new(&mut sending).poll(cx);
        match std::panic::catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(outcome)) => Poll::Ready(Some(outcome)),
            Err(_) => Poll::Ready(None),
        }
    });
    match polled.await {
        Some(outcome) => outcome,
        None => {
            tracing::error!(
                exporter = sink.name(),
                "the exporter failed on a batch: this is a fault in Telegen"
            );
            Outcome::Lost { n: all, reason: "fault".into() }
        }
    }
}
