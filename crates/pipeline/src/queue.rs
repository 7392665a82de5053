use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telegen_model::Signal;
use telegen_selfmon::Gauge;
use tokio::time::Instant;

use crate::{Batch, Hold, QueueConfig, WhenFull};

/// A batch that waits for a sink, or is being sent.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) batch: Arc<Batch>,
    pub(crate) hold: Option<Hold>,
    /// Whether the ledger counts it at this sink.
    pub(crate) counted: bool,
    pub(crate) first_try: Option<Instant>,
    /// When it came into the queue, or from the disk.
    pub(crate) since: Instant,
    /// In the sink's hands: it must not be dropped to make room, the peer may have it already.
    pub(crate) sending: bool,
}

/// What the front of a line is, for the one who sends it.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) id: u64,
    pub(crate) batch: Arc<Batch>,
    pub(crate) first_try: Instant,
}

/// The queue of one sink: a first-in-first-out line a signal, one bound in bytes over all.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Bytes held, for `telegen.export.queue.size`.
    size: Gauge,
}

#[derive(Debug, Default)]
struct State {
    lines: [VecDeque<Entry>; 4],
    bytes: usize,
    next: u64,
    config: QueueConfig,
}

impl Entry {
    /// The parts of a batch in its stead, named from `next` on; gives what comes after.
    pub(crate) fn cut(self, parts: Vec<Batch>, mut next: u64) -> (Vec<Entry>, u64) {
        let entry = |part| {
            next += 1;
            Entry {
                id: next - 1,
                batch: Arc::new(part),
                hold: self.hold.as_ref().map(Hold::split),
                counted: self.counted,
                first_try: self.first_try,
                since: self.since,
                sending: false,
            }
        };
        let entries = parts.into_iter().map(entry).collect();
        // The parts answer in its stead.
        if let Some(mut hold) = self.hold {
            hold.reached(crate::AckLevel::Delivered);
        }
        (entries, next)
    }
}

impl Queue {
    pub(crate) fn new(config: QueueConfig, size: Gauge) -> Queue {
        Queue { state: Mutex::new(State { config, ..State::default() }), size }
    }

    pub(crate) fn configure(&self, config: QueueConfig) {
        self.lock().config = config;
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Since when the oldest batch waits.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.lock().lines.iter().filter_map(|line| Some(line.front()?.since)).min()
    }

    /// Takes a batch in, or gives back what found no room: the new one or, with `drop_oldest`, old ones.
    pub(crate) fn offer(&self, batch: Arc<Batch>, hold: Option<Hold>, counted: bool) -> Vec<Entry> {
        let mut state = self.lock();
        let since = Instant::now();
        let entry = Entry { id: state.next, batch, hold, counted, first_try: None, since, sending: false };
        state.next += 1;
        let mut refused = Vec::new();
        if state.config.when_full == WhenFull::DropOldest && entry.batch.bytes <= state.config.max_size {
            while state.bytes + entry.batch.bytes > state.config.max_size {
                match state.evict() {
                    Some(old) => refused.push(old),
                    None => break,
                }
            }
        }
        if state.bytes + entry.batch.bytes > state.config.max_size {
            refused.push(entry);
        } else {
            state.bytes += entry.batch.bytes;
            state.lines[entry.batch.signal.index()].push_back(entry);
        }
        self.size.set(to_i64(state.bytes));
        refused
    }

    /// The oldest batch of a line, which is in the sender's hands from now on.
    pub(crate) fn begin(&self, signal: Signal, now: Instant) -> Option<Front> {
        let mut state = self.lock();
        let entry = state.lines[signal.index()].front_mut()?;
        entry.sending = true;
        let first_try = *entry.first_try.get_or_insert(now);
        Some(Front { id: entry.id, batch: entry.batch.clone(), first_try })
    }

    /// The sender puts the batch back to wait for another try.
    pub(crate) fn put_back(&self, signal: Signal, id: u64) {
        if let Some(entry) = self.lock().front(signal, id) {
            entry.sending = false;
        }
    }

    /// Removes the batch that was begun: it is settled.
    pub(crate) fn finish(&self, signal: Signal, id: u64) -> Option<Entry> {
        let mut state = self.lock();
        state.front(signal, id)?;
        let entry = state.lines[signal.index()].pop_front()?;
        state.bytes -= entry.batch.bytes;
        self.size.set(to_i64(state.bytes));
        Some(entry)
    }

    /// Puts the parts of a batch that was begun in its place.
    pub(crate) fn replace(&self, signal: Signal, id: u64, parts: Vec<Batch>) {
        let mut state = self.lock();
        if state.front(signal, id).is_none() {
            return;
        }
        let Some(whole) = state.lines[signal.index()].pop_front() else { return };
        state.bytes -= whole.batch.bytes;
        let (entries, next) = whole.cut(parts, state.next);
        state.next = next;
        state.bytes += entries.iter().map(|e| e.batch.bytes).sum::<usize>();
        for entry in entries.into_iter().rev() {
            state.lines[signal.index()].push_front(entry);
        }
        self.size.set(to_i64(state.bytes));
    }

    /// Takes everything out, also what is being sent.
    pub(crate) fn drain(&self) -> Vec<Entry> {
        let mut state = self.lock();
        state.bytes = 0;
        self.size.set(0);
        state.lines.iter_mut().flat_map(std::mem::take).collect()
    }

    pub(crate) fn when_full(&self) -> WhenFull {
        self.lock().config.when_full
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn front(&mut self, signal: Signal, id: u64) -> Option<&mut Entry> {
        self.lines[signal.index()].front_mut().filter(|e| e.id == id)
    }

    /// Removes the oldest batch of all lines that is not being sent.
    fn evict(&mut self) -> Option<Entry> {
        let oldest =
            |line: &VecDeque<Entry>| line.iter().position(|e| !e.sending).map(|at| (line[at].id, at));
        let (_, at, line) = (0..self.lines.len())
            .filter_map(|line| oldest(&self.lines[line]).map(|(id, at)| (id, at, line)))
            .min()?;
        let entry = self.lines[line].remove(at)?;
        self.bytes -= entry.batch.bytes;
        Some(entry)
    }
}

fn to_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
