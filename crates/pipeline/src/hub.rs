use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use telegen_model::{Records, ResourceGroup, Signal};
use telegen_otlp::{Limits, Size, measure, split};
use telegen_selfmon::Ledger;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::exporter::Exporter;
use crate::{Ack, Batch, BatchConfig};

/// Encoded bytes that may wait to be made into batches, or twice the largest batch if that is more. Only a
/// starved runtime lets it come to that.
const WAITING: usize = 8 << 20;

/// Someone who waits for an answer does not wait for a batch to fill, only for others like him.
const LINGER: Duration = Duration::from_millis(10);

/// Received items a second that are read for the page beside exporters.
const SHOWN: usize = 1000;
/// Bytes of them at a time.
const SHOWN_BYTES: usize = 1 << 20;

/// An exporter as one hub feeds it.
pub(crate) struct Taker {
    pub(crate) exporter: Arc<Exporter>,
    pub(crate) takes: [bool; 4],
    /// Whether the ledger counts it, by signal.
    pub(crate) counted: [bool; 4],
    /// Whether it takes Telegen's own metrics.
    pub(crate) takes_own: bool,
    pub(crate) needs_records: bool,
    /// Whether its room matters to sources that can wait: the view and the console hold up nobody.
    pub(crate) asked: bool,
    /// Whether it is a scrape, which reads metric sources itself. All takers of a hub are, or none.
    pub(crate) scrape: bool,
}

impl Taker {
    fn wants(&self, signal: Signal, own: bool) -> bool {
        self.takes[signal.index()] && (!own || self.takes_own)
    }
}

/// What comes with a group.
pub(crate) struct Wish {
    /// Who wants to hear of it.
    pub(crate) ack: Option<Ack>,
    /// Telegen's own metrics.
    pub(crate) own: bool,
    /// There is room for it in the queues: it was asked for.
    pub(crate) reserved: bool,
}

/// The hub takes nothing any more.
pub(crate) struct Closed;

/// Gathers groups into batches for all exporters with the same bounds.
pub(crate) struct Hub {
    config: BatchConfig,
    takers: Vec<Taker>,
    /// By signal; the last one is Telegen's own metrics, which share no batch with others.
    slots: [Mutex<Slot>; 5],
    wake: Notify,
    ledger: Ledger,
    /// Items that were read for the page since then.
    spent: Mutex<(Option<Instant>, usize)>,
}

#[derive(Default)]
struct Slot {
    open: Gathered,
    /// When the open batch is closed, whatever it holds.
    due: Option<Instant>,
    sealed: Vec<Gathered>,
    sealed_wire: usize,
    closed: bool,
}

/// Groups on their way to become one batch, or a few when one of them is large.
#[derive(Default)]
struct Gathered {
    groups: Vec<Arc<ResourceGroup>>,
    acks: Vec<Ack>,
    size: Size,
}

impl Hub {
    pub(crate) fn new(config: BatchConfig, takers: Vec<Taker>, ledger: Ledger) -> Hub {
        Hub {
            config,
            takers,
            slots: Default::default(),
            wake: Notify::new(),
            ledger,
            spent: Mutex::default(),
        }
    }

    /// Whether anyone here takes it; `read`: it comes from a metric source that was read for exporters.
    pub(crate) fn wants(&self, signal: Signal, own: bool, read: bool) -> bool {
        self.takers.iter().any(|t| t.wants(signal, own) && !(read && t.scrape))
    }

    /// The exporters that take a signal and count, or refuse.
    pub(crate) fn exporters(&self, signal: Signal) -> impl Iterator<Item = Arc<Exporter>> {
        self.takers.iter().filter(move |t| t.takes[signal.index()] && t.asked).map(|t| t.exporter.clone())
    }

    /// Takes a group in; never waits. After [`Hub::close`] it takes nothing.
    pub(crate) fn push(&self, group: Arc<ResourceGroup>, size: Size, wish: Wish) -> Result<(), Closed> {
        let Wish { ack, own, reserved } = wish;
        let signal = group.records.signal();
        let mut slot = self.slot(signal, own);
        if slot.closed {
            lost(ack);
            return Err(Closed);
        }
        // Before anyone can settle them, under the lock that hands them on.
        self.accept(signal, own, size.items);
        let waiting = slot.open.size.wire + slot.sealed_wire;
        if !reserved
            && waiting > 0
            && waiting + size.wire > WAITING.max(self.config.max_bytes.saturating_mul(2))
        {
            drop(slot);
            self.lose(signal, own, size.items);
            lost(ack);
            return Ok(());
        }
        let sum = slot.open.size.plus(size);
        if slot.open.size.items > 0 && !self.fits(sum) {
            slot.seal();
        }
        let was_empty = slot.open.groups.is_empty();
        slot.open.groups.push(group);
        let waits = ack.as_ref().is_some_and(Ack::waits);
        slot.open.acks.extend(ack);
        slot.open.size = slot.open.size.plus(size);
        let now = Instant::now();
        let due = now + if waits { self.config.timeout.min(LINGER) } else { self.config.timeout };
        let sooner = slot.due.is_none_or(|at| due < at);
        if sooner {
            slot.due = Some(due);
        }
        let full =
            slot.open.size.items >= self.config.max_items || slot.open.size.wire >= self.config.max_bytes;
        if full {
            slot.seal();
        }
        let wake = was_empty || sooner || full || !slot.sealed.is_empty();
        drop(slot);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Refuses further groups; [`Hub::run`] ends when it has handed on what is here.
    pub(crate) fn close(&self) {
        for slot in &self.slots {
            lock(slot).closed = true;
        }
        self.wake.notify_one();
    }

    /// Makes batches until closed.
    pub(crate) async fn run(self: Arc<Hub>) {
        loop {
            let (due, next, closed) = self.due();
            for (signal, own, gathered) in due {
                self.hand_on(signal, own, gathered);
                // Other tasks get their turn between batches: encoding one takes milliseconds.
                tokio::task::yield_now().await;
            }
            if closed {
                return;
            }
            match next {
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.wake.notified() => {}
                },
                None => self.wake.notified().await,
            }
        }
    }

    /// What is to become batches now, when the next of the rest is, and whether nothing more will come.
    fn due(&self) -> (Vec<(Signal, bool, Gathered)>, Option<Instant>, bool) {
        let (now, mut due, mut next, mut closed) = (Instant::now(), Vec::new(), None, true);
        for (at, slot) in self.slots.iter().enumerate() {
            let mut slot = lock(slot);
            if slot.closed || slot.due.is_some_and(|due| now >= due) {
                slot.seal();
            }
            closed &= slot.closed;
            if let Some(at) = slot.due {
                next = Some(next.map_or(at, |n: Instant| n.min(at)));
            }
            slot.sealed_wire = 0;
            let (signal, own) = (Signal::ALL.get(at).copied().unwrap_or(Signal::Metrics), at == OWN);
            due.extend(mem::take(&mut slot.sealed).into_iter().map(|g| (signal, own, g)));
        }
        (due, next, closed)
    }

    fn hand_on(&self, signal: Signal, own: bool, gathered: Gathered) {
        let Gathered { groups, acks, size } = gathered;
        let ack = Ack::join(acks);
        if self.fits(size) {
            self.offer(own, Batch::sized(signal, groups, size), ack.as_ref());
            return;
        }
        let limits = Limits { items: self.config.max_items, wire: self.config.max_bytes };
        for part in split(groups.into_iter().map(Arc::unwrap_or_clone).collect(), limits) {
            self.offer(own, Batch::new(signal, part), ack.as_ref());
        }
    }

    fn offer(&self, own: bool, batch: Batch, ack: Option<&Ack>) {
        let signal = batch.signal;
        let takers = || self.takers.iter().filter(|t| t.wants(signal, own));
        if takers().any(|t| !t.needs_records) {
            let encoded = Arc::new(batch.encoded_only());
            for t in takers().filter(|t| !t.needs_records) {
                t.exporter.offer(encoded.clone(), ack.map(Ack::hold), t.counts(signal, own));
            }
        }
        if takers().any(|t| t.needs_records) {
            let raw = batch.groups.iter().any(|g| matches!(g.records, Records::Raw(_)));
            let (typed, mut part) = (Arc::new(batch), None);
            for t in takers().filter(|t| t.needs_records) {
                // Reading costs more than passing on, and records that were read are many times as large: the page is
                // shown a part, when it is not what counts.
                if raw && !t.asked && !t.scrape && !t.counts(signal, own) {
                    if let Some(part) = part.get_or_insert_with(|| self.shown(&typed)) {
                        t.exporter.offer(part.clone(), ack.map(Ack::hold), false);
                    }
                    continue;
                }
                t.exporter.offer(typed.clone(), ack.map(Ack::hold), t.counts(signal, own));
            }
        }
    }

    /// What the page is shown of a batch, if anything.
    fn shown(&self, batch: &Batch) -> Option<Arc<Batch>> {
        let room = {
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if spent.0.is_none_or(|since| now >= since + Duration::from_secs(1)) {
                *spent = (Some(now), 0);
            }
            let room = SHOWN.saturating_sub(spent.1);
            spent.1 += batch.items.min(room);
            room
        };
        if room == 0 {
            return None;
        }
        let limits = Limits { items: room, wire: SHOWN_BYTES };
        let mut sum = Size::default();
        let fits = |g: &&Arc<ResourceGroup>| {
            sum = sum.plus(measure(g));
            sum.items <= limits.items && sum.wire <= limits.wire
        };
        let mut groups: Vec<_> = batch.groups.iter().take_while(fits).cloned().collect();
        if groups.is_empty() {
            // A part of the first; a single record that is too long is not shown.
            let first = batch.groups.first().filter(|g| measure(g).wire <= self.config.max_bytes)?;
            let first = ResourceGroup::clone(first);
            let part = split(vec![first], limits).into_iter().next()?;
            let fits = part.iter().map(measure).all(|s| s.wire <= limits.wire && s.items <= limits.items);
            groups = if fits { part.into_iter().map(Arc::new).collect() } else { return None };
        }
        let size = groups.iter().map(|g| measure(g)).fold(Size::default(), Size::plus);
        Some(Arc::new(Batch::sized(batch.signal, groups, size)))
    }

    fn accept(&self, signal: Signal, own: bool, items: usize) {
        for t in self.takers.iter().filter(|t| t.counts(signal, own)) {
            self.ledger.accepted(signal, &t.exporter.name, items as u64);
        }
    }

    fn lose(&self, signal: Signal, own: bool, items: usize) {
        for t in self.takers.iter().filter(|t| t.counts(signal, own)) {
            t.exporter.lose_unbatched(signal, items as u64, "queue_full");
        }
    }

    fn fits(&self, size: Size) -> bool {
        size.items <= self.config.max_items && size.wire <= self.config.max_bytes
    }

    fn slot(&self, signal: Signal, own: bool) -> MutexGuard<'_, Slot> {
        lock(&self.slots[if own { OWN } else { signal.index() }])
    }
}

/// Slot of Telegen's own metrics.
const OWN: usize = 4;

impl Taker {
    fn counts(&self, signal: Signal, own: bool) -> bool {
        !own && self.takes[signal.index()] && self.counted[signal.index()]
    }
}

impl Slot {
    fn seal(&mut self) {
        self.due = None;
        if !self.open.groups.is_empty() {
            self.sealed_wire += self.open.size.wire;
            self.sealed.push(mem::take(&mut self.open));
        }
    }
}

/// Says that it is gone: dropping the wish would say the opposite.
fn lost(ack: Option<Ack>) {
    drop(ack.map(|ack| ack.hold()));
}

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
