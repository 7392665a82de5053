use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use telegen_model::Signal;
use telegen_selfmon::{Counter, Ledger, SelfMon, Settled};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::disk::{DiskQueue, Recovered};
use crate::queue::{Entry, Front, Queue};
use crate::{
    AckLevel, Batch, BoxFuture, DiskConfig, Hold, Outcome, Pace, PipelineError, Sink, SinkConfig, WhenFull,
};

/// Longest wait for the last sync of a queue on disk.
const CLOSE: Duration = Duration::from_secs(1);

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
    queue: Waiting,
    config: RwLock<SinkConfig>,
    sink: watch::Sender<Arc<dyn Sink>>,
    phase: watch::Sender<Phase>,
    wake: Arc<[Notify; 4]>,
    tasks: Mutex<JoinSet<()>>,
    /// Set when the queue was emptied for the last time: what comes later is lost at once.
    ended: AtomicBool,
    pace: Pace,
    /// Set while the queue refuses, which `/readyz` tells.
    refuses: AtomicBool,
    /// Bytes promised to sources that can wait.
    reserved: AtomicUsize,
    /// The exporter of the same name that a reload put in its place.
    successor: OnceLock<Arc<Exporter>>,
    mon: SelfMon,
    ledger: Ledger,
    stats: Stats,
}

/// Where batches wait.
enum Waiting {
    Memory(Queue),
    Disk(DiskQueue),
}

struct Stats {
    delivered: Counter,
    rejected: Counter,
    retried: Counter,
    split: Counter,
    lost: Counter,
    milliseconds: Counter,
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
            milliseconds: mon.counter(
                "telegen.export.requests.time",
                "ms",
                "Time that requests took, refused ones included: divided by their number, the latency.",
                &[("exporter", exporter)],
            ),
        }
    }
}

impl Exporter {
    /// Opens the queue; gives what an earlier process left. Nothing is sent before [`Exporter::work`].
    pub(crate) fn open(
        sink: Arc<dyn Sink>,
        config: SinkConfig,
        mon: &SelfMon,
    ) -> Result<(Arc<Exporter>, Recovered), PipelineError> {
        let name = sink.name().to_string();
        let wake: Arc<[Notify; 4]> = Arc::default();
        let size = mon.gauge(
            "telegen.export.queue.size",
            "By",
            "Memory of the batches that wait for an exporter or are being sent.",
            &[("exporter", &name)],
        );
        let (queue, recovered) = match &config.disk {
            None => (Waiting::Memory(Queue::new(config.queue, size)), Recovered::default()),
            Some(disk) => {
                let opened = DiskQueue::open(&name, disk, config.queue, wake.clone(), mon);
                let (queue, recovered) =
                    opened.map_err(|source| PipelineError::Queue { exporter: name.clone(), source })?;
                (Waiting::Disk(queue), recovered)
            }
        };
        let exporter = Arc::new(Exporter {
            queue,
            config: RwLock::new(config),
            sink: watch::Sender::new(sink),
            phase: watch::Sender::new(Phase::Running),
            wake,
            tasks: Mutex::default(),
            ended: AtomicBool::new(false),
            pace: Pace::default(),
            refuses: AtomicBool::new(false),
            reserved: AtomicUsize::new(0),
            successor: OnceLock::new(),
            mon: mon.clone(),
            ledger: mon.ledger.clone(),
            stats: Stats::new(mon, &name),
            name,
        });
        exporter.gauges(mon);
        Ok((exporter, recovered))
    }

    /// Starts to send; must be called within a runtime. What was recovered is in the ledger by now.
    pub(crate) fn work(self: &Arc<Exporter>) {
        let mut tasks = lock(&self.tasks);
        for signal in Signal::ALL {
            tasks.spawn(Arc::clone(self).run(signal));
        }
    }

    /// Where its queue lies on disk, if it does.
    pub(crate) fn disk(&self) -> Option<DiskConfig> {
        self.config().disk
    }

    /// Bytes that fit besides what is in the queue, reserved ones not looked at; `None`: any, the queue drops.
    fn room(&self) -> Option<usize> {
        let config = self.config().queue;
        let blocks =
            (config.when_full == WhenFull::Block).then(|| config.max_size.saturating_sub(self.queue.bytes()));
        let written = match &self.queue {
            Waiting::Memory(_) => None,
            Waiting::Disk(q) => Some(q.room_on_the_way()),
        };
        match (blocks, written) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The largest batch that its queue can ever hold, if it has a bound that refuses.
    pub(crate) fn bound(&self) -> Option<usize> {
        let config = self.config().queue;
        (config.when_full == WhenFull::Block).then_some(config.max_size)
    }

    /// Reserves bytes, if they fit: for two that ask at once there is room for one. What moves into the queue is
    /// counted there before it is let go here, so reading the queue last never misses it.
    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        let reserved = self.reserved.fetch_add(bytes, Ordering::SeqCst) + bytes;
        let fits = self.room().is_none_or(|room| reserved <= room);
        if !fits {
            self.unreserve(bytes);
        }
        fits
    }

    pub(crate) fn unreserve(&self, bytes: usize) {
        self.reserved.fetch_sub(bytes, Ordering::SeqCst);
    }

    fn gauges(self: &Arc<Exporter>, mon: &SelfMon) {
        let weak = Arc::downgrade(self);
        mon.gauge_fn(
            "telegen.export.queue.age",
            "ms",
            "How long the oldest batch waits for an exporter.",
            &[("exporter", &self.name)],
            move || {
                let age =
                    weak.upgrade().and_then(|e| e.queue.oldest()).map_or(Duration::ZERO, |at| at.elapsed());
                i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
            },
        );
        let Waiting::Disk(_) = &self.queue else { return };
        let weak = Arc::downgrade(self);
        mon.gauge_fn(
            "telegen.export.queue.disk",
            "By",
            "Bytes of the queue on disk, those on their way to it included.",
            &[("exporter", &self.name)],
            move || weak.upgrade().map_or(0, |e| i64::try_from(e.queue.bytes()).unwrap_or(i64::MAX)),
        );
    }

    /// Goes on with another sink of the same name: what waits goes to it, at once.
    pub(crate) fn replace(&self, sink: Arc<dyn Sink>, config: SinkConfig) {
        self.queue.configure(config.queue);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        self.sink.send_replace(sink);
    }

    /// Gives what waits in memory, and what still comes, to the exporter that takes this one's place.
    pub(crate) fn hand_over(&self, to: &Arc<Exporter>) {
        let _first = self.successor.set(to.clone());
        for entry in self.queue.drain() {
            to.offer(entry.batch, entry.hold, entry.counted);
        }
    }

    fn config(&self) -> SinkConfig {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a batch into the queue; never waits. What finds no room is counted.
    pub(crate) fn offer(&self, batch: Arc<Batch>, mut hold: Option<Hold>, counted: bool) {
        if let Some(successor) = self.successor.get() {
            return successor.offer(batch, hold, counted);
        }
        if let Some(hold) = &mut hold {
            match self.queue {
                Waiting::Memory(_) => hold.queued_in_memory(),
                Waiting::Disk(_) => hold.reached(AckLevel::Memory),
            }
        }
        let signal = batch.signal;
        let refused = self.queue.offer(batch, hold, counted);
        let kept = self.queue.when_full() != WhenFull::Block;
        if !refused.is_empty() && !kept {
            self.tell_health(true);
        }
        for entry in refused {
            // A queue that drops is the user's choice: the sender need not send again.
            self.lose(entry, "queue_full", kept);
        }
        if let Some(successor) = self.successor.get() {
            // It was set meanwhile.
            return self.hand_over(successor);
        }
        if self.has_ended() {
            self.lose_all("shutdown");
        }
        self.wake[signal.index()].notify_one();
    }

    /// `/readyz` tells while a queue refuses, and no longer.
    pub(crate) fn tell_health(&self, refuses: bool) {
        if self.refuses.swap(refuses, Ordering::Relaxed) == refuses {
            return;
        }
        let component = format!("export:{}", self.name);
        match refuses {
            true => self.mon.health.refusing(&component, "its queue is full"),
            false => self.mon.health.well(&component),
        }
    }

    /// It refuses no longer once an eighth of the queue is free.
    fn tell_room(&self) {
        let enough = self.config().queue.max_size / 8;
        if self.refuses.load(Ordering::Relaxed)
            && self.room().is_none_or(|room| room >= enough + self.reserved.load(Ordering::SeqCst))
        {
            self.tell_health(false);
        }
    }

    /// Items that were accepted for this exporter and never became a batch.
    pub(crate) fn lose_unbatched(&self, signal: Signal, items: u64, reason: &str) {
        self.ledger.settle(signal, &self.name, Settled { delivered: 0, lost: items, reason });
    }

    /// Sends what is queued until the deadline, then counts the rest as lost and ends.
    pub(crate) async fn stop(self: &Arc<Exporter>, deadline: Instant, reason: &str) {
        self.phase.send_replace(Phase::Draining);
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        let drained = async { while tasks.join_next().await.is_some() {} };
        if timeout_at(deadline, drained).await.is_err() {
            tasks.shutdown().await;
        }
        self.end(reason);
        if let Waiting::Disk(_) = &self.queue {
            let exporter = Arc::clone(self);
            // The thread may wait for a disk that hangs.
            let closed = tokio::task::spawn_blocking(move || exporter.close());
            let grace = deadline.max(Instant::now() + CLOSE);
            if timeout_at(grace, closed).await.is_err() {
                tracing::error!(exporter = self.name, "the queue on disk did not close in time");
            }
        }
    }

    fn close(&self) {
        let Waiting::Disk(queue) = &self.queue else { return };
        queue.close();
        let left: Vec<String> = std::iter::zip(Signal::ALL, queue.waiting())
            .filter(|(_, (_, items))| *items > 0)
            .map(|(signal, (_, items))| format!("{items} {signal}"))
            .collect();
        if !left.is_empty() {
            let path = queue.path().display();
            tracing::info!(exporter = self.name, %path, "left in the queue on disk: {}", left.join(", "));
        }
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
            let rate = self.config().rate.filter(|_| !draining);
            if rate.is_some()
                && let Some(wait) = self.pace.wait(Instant::now())
            {
                tokio::select! {
                    () = sleep(wait) => {}
                    _ = phase.changed() => {}
                    // A reload may have changed the rate.
                    _ = sink.changed() => {}
                }
                continue;
            }
            let all_here = self.queue.nothing_on_its_way();
            let Some(front) = self.queue.begin(signal, Instant::now()).await else {
                self.tell_room();
                if draining && all_here {
                    return;
                }
                tokio::select! {
                    () = self.wake[signal.index()].notified() => {}
                    _ = phase.changed() => {}
                }
                continue;
            };
            let to = sink.borrow_and_update().clone();
            let began = Instant::now();
            if let Some(rate) = rate {
                self.pace.spend(rate, front.batch.items as u64, began);
            }
            let outcome = send(to, &front.batch).await;
            self.stats.milliseconds.add(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
            let Some(wait) = self.apply(signal, front, outcome, &mut backoff) else { continue };
            // What is on disk is safe there: a peer that does not answer does not hold up the end.
            if draining && matches!(self.queue, Waiting::Disk(_)) {
                return;
            }
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
                let left = match retry.max_elapsed.is_zero() {
                    true => Duration::MAX,
                    false => retry.max_elapsed.saturating_sub(first_try.elapsed()),
                };
                if !left.is_zero() {
                    // A wait that passes the end would lose what one more try may still deliver.
                    let wait = wait.min(left);
                    self.stats.retried.inc();
                    self.queue.put_back(signal, id);
                    let when = format!("{:.1} s", wait.as_secs_f64());
                    let (exporter, signal) = (self.name.as_str(), signal.name());
                    tracing::warn!(exporter, signal, items, "the request will be sent again in {when}");
                    return Some(wait);
                }
                (0, items, "retry_expired".into())
            }
            Outcome::TooLarge => match batch.halves() {
                // Where all parts are about as long as the whole, what is too large stands around the records.
                Ok(parts) if items > 1 && parts.iter().any(|p| p.wire() < batch.wire() / 8 * 7) => {
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
        self.tell_room();
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

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Waiting {
    fn configure(&self, config: crate::QueueConfig) {
        match self {
            Waiting::Memory(q) => q.configure(config),
            Waiting::Disk(q) => q.configure(config),
        }
    }

    fn when_full(&self) -> WhenFull {
        match self {
            Waiting::Memory(q) => q.when_full(),
            Waiting::Disk(q) => q.when_full(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Waiting::Memory(q) => q.bytes(),
            Waiting::Disk(q) => q.bytes(),
        }
    }

    fn oldest(&self) -> Option<Instant> {
        match self {
            Waiting::Memory(q) => q.oldest(),
            Waiting::Disk(q) => q.oldest(),
        }
    }

    fn offer(&self, batch: Arc<Batch>, hold: Option<Hold>, counted: bool) -> Vec<Entry> {
        match self {
            Waiting::Memory(q) => q.offer(batch, hold, counted),
            Waiting::Disk(q) => q.offer(batch, hold, counted).into_iter().collect(),
        }
    }

    async fn begin(&self, signal: Signal, now: Instant) -> Option<Front> {
        match self {
            Waiting::Memory(q) => q.begin(signal, now),
            Waiting::Disk(q) => q.begin(signal, now).await,
        }
    }

    fn put_back(&self, signal: Signal, id: u64) {
        match self {
            Waiting::Memory(q) => q.put_back(signal, id),
            Waiting::Disk(q) => q.put_back(signal, id),
        }
    }

    fn finish(&self, signal: Signal, id: u64) -> Option<Entry> {
        match self {
            Waiting::Memory(q) => q.finish(signal, id),
            Waiting::Disk(q) => q.finish(signal, id),
        }
    }

    fn replace(&self, signal: Signal, id: u64, parts: Vec<Batch>) {
        match self {
            Waiting::Memory(q) => q.replace(signal, id, parts),
            Waiting::Disk(q) => q.replace(signal, id, parts),
        }
    }

    /// What is lost when it ends; what is on disk stays there.
    fn drain(&self) -> Vec<Entry> {
        match self {
            Waiting::Memory(q) => q.drain(),
            Waiting::Disk(_) => Vec::new(),
        }
    }

    /// Whether all that was offered can be begun.
    fn nothing_on_its_way(&self) -> bool {
        match self {
            Waiting::Memory(_) => true,
            Waiting::Disk(q) => q.nothing_on_its_way(),
        }
    }
}

/// Sends a batch in the form that the sink wants; a sink that panics loses this batch, not the others.
async fn send(sink: Arc<dyn Sink>, batch: &Arc<Batch>) -> Outcome {
    let all = batch.items as u64;
    let batch = match sink.needs_records() && !sink.takes_raw() {
        true => match batch.with_records() {
            Ok(batch) => batch,
            Err(telegen_otlp::DecodeError::Wrong(telegen_otlp::Malformed::Expands)) => {
                return Outcome::Lost { n: all, reason: "too_large".into() };
            }
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
