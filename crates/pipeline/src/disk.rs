//! A queue on disk: batches are handed to a thread of its own, which writes, syncs in groups, makes room and
//! records what the peer took. Nothing on the runtime's threads waits for the disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use telegen_buffer::{AppendError, Damage, Lock, OpenError, Options, Queue};
use telegen_model::Signal;
use telegen_selfmon::{Counter, Ledger, SelfMon, Settled};
use tokio::sync::Notify;

use crate::line::{Begun, Line};
use crate::queue::{Entry, Front};
use crate::{AckLevel, Batch, DiskConfig, Hold, QueueConfig, WhenFull};

/// What the peer took is recorded at least this often.
const RECORD: Duration = Duration::from_millis(250);
/// A request of this size is always admitted while nothing is on its way to the disk.
const ONE: usize = 64 << 20;
/// Bytes around a request: headers of the record and of the batch.
const AROUND: u64 = 128;
/// A segment is this part of the whole, so that dropping one frees little more than is needed.
const PARTS: u64 = 32;

/// The queue of one exporter on disk.
pub(crate) struct DiskQueue {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    name: String,
    path: std::path::PathBuf,
    lines: [Line; 4],
    staged: Mutex<Staged>,
    work: Condvar,
    fsync: Duration,
    /// Batches that were handed over and are not written yet, at most, in bytes; one batch always may.
    staged_max: usize,
    /// Batches that are on disk and still in memory, at most, in bytes, per signal: a peer that keeps up gets them from
    /// here.
    ahead: usize,
    readable: Arc<[Notify; 4]>,
    ledger: Ledger,
    /// Bytes on disk when they were last counted.
    on_disk: AtomicU64,
    writes: Counter,
    damaged: Counter,
    _lock: Lock,
}

#[derive(Default)]
struct Staged {
    entries: Vec<Entry>,
    bytes: usize,
    config: QueueConfig,
    stop: bool,
}

/// What an earlier process left, by signal: items that wait, and items that could not be read.
pub(crate) type Recovered = [(u64, u64); 4];

impl DiskQueue {
    /// Opens the queue and starts its thread.
    pub(crate) fn open(
        name: &str,
        disk: &DiskConfig,
        config: QueueConfig,
        readable: Arc<[Notify; 4]>,
        mon: &SelfMon,
    ) -> Result<(DiskQueue, Recovered), OpenError> {
        let lock = Lock::acquire(&disk.path)?;
        let options = Options { segment_bytes: segment_bytes(config.max_size) };
        let mut recovered = Recovered::default();
        let mut lines = Vec::with_capacity(4);
        for signal in Signal::ALL {
            let (files, found) = Queue::open(&disk.path.join(signal.name()), options)?;
            let damaged = found.damage.iter().map(|d| d.items).sum();
            for damage in &found.damage {
                tell(name, signal, damage);
            }
            recovered[signal.index()] = (found.items, damaged);
            lines.push(Line::new(signal, files));
        }
        let lines: [Line; 4] = lines.try_into().map_err(|_| OpenError::Folder {
            path: disk.path.clone(),
            reason: "has not four signals".to_owned(),
        })?;
        let counter = |outcome| {
            let help = "Batches at the queue on disk, by what became of them.";
            mon.counter(
                "telegen.export.queue.batches",
                "{batch}",
                help,
                &[("exporter", name), ("outcome", outcome)],
            )
        };
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            path: disk.path.clone(),
            lines,
            staged: Mutex::new(Staged { config, ..Staged::default() }),
            work: Condvar::new(),
            fsync: disk.fsync,
            staged_max: disk.memory / 2,
            ahead: disk.memory / 8,
            readable,
            ledger: mon.ledger.clone(),
            on_disk: AtomicU64::new(0),
            writes: counter("written"),
            damaged: counter("damaged"),
            _lock: lock,
        });
        shared.count_bytes();
        let worker = shared.clone();
        let thread = std::thread::Builder::new()
            .name("telegen-queue".to_owned())
            .stack_size(256 << 10)
            .spawn(move || worker.run())
            .map_err(|source| OpenError::Io { path: disk.path.clone(), source })?;
        Ok((DiskQueue { shared, thread: Mutex::new(Some(thread)) }, recovered))
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.shared.path
    }

    pub(crate) fn configure(&self, config: QueueConfig) {
        self.shared.staged().config = config;
    }

    pub(crate) fn when_full(&self) -> WhenFull {
        self.shared.staged().config.when_full
    }

    /// Bytes that are on disk or on their way to it.
    pub(crate) fn bytes(&self) -> usize {
        let on_disk = usize::try_from(self.shared.on_disk.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        on_disk.saturating_add(self.shared.staged().bytes)
    }

    /// Since when the oldest batch waits: one that an earlier process left counts from when it was read.
    pub(crate) fn oldest(&self) -> Option<tokio::time::Instant> {
        self.shared.lines.iter().filter_map(Line::oldest).min()
    }

    /// Takes a batch in, or gives it back when it finds no room; never waits.
    pub(crate) fn offer(&self, batch: Arc<Batch>, hold: Option<Hold>, counted: bool) -> Option<Entry> {
        let since = tokio::time::Instant::now();
        let entry = Entry { id: 0, batch, hold, counted, first_try: None, since, sending: false };
        let on_disk = self.shared.on_disk.load(Ordering::Relaxed);
        let mut staged = self.shared.staged();
        let bytes = staged.bytes + entry.batch.bytes;
        let no_room = staged.config.when_full != WhenFull::DropOldest
            && on_disk.saturating_add(bytes as u64) > staged.config.max_size as u64;
        if staged.stop || no_room || (staged.bytes > 0 && bytes > self.shared.staged_max) {
            return Some(entry);
        }
        staged.bytes = bytes;
        staged.entries.push(entry);
        drop(staged);
        self.shared.work.notify_one();
        None
    }

    /// The oldest batch of a signal, in the sender's hands from now on.
    pub(crate) async fn begin(&self, signal: Signal, now: tokio::time::Instant) -> Option<Front> {
        let shared = self.shared.clone();
        let begun = tokio::task::spawn_blocking(move || shared.begin(signal, now)).await;
        begun.ok().flatten()
    }

    pub(crate) fn put_back(&self, signal: Signal, id: u64) {
        self.line(signal).put_back(id);
    }

    pub(crate) fn finish(&self, signal: Signal, id: u64) -> Option<Entry> {
        self.line(signal).finish(id)
    }

    pub(crate) fn replace(&self, signal: Signal, id: u64, parts: Vec<Batch>) {
        self.line(signal).replace(id, parts);
    }

    /// Bytes that may still be handed over before some are written.
    pub(crate) fn room_on_the_way(&self) -> usize {
        match self.shared.staged().bytes {
            0 => self.shared.staged_max.max(ONE),
            bytes => self.shared.staged_max.saturating_sub(bytes),
        }
    }

    /// Whether all that was offered is on the disk, or counted.
    pub(crate) fn nothing_on_its_way(&self) -> bool {
        self.shared.staged().bytes == 0
    }

    /// Writes what is on its way, syncs, records what was taken, and ends. What waits stays on the disk.
    pub(crate) fn close(&self) {
        self.shared.staged().stop = true;
        self.shared.work.notify_one();
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|t| t.join().is_err()) {
            tracing::error!(
                exporter = self.shared.name,
                "the queue's thread failed: this is a fault in Telegen"
            );
        }
    }

    /// Records and items that wait, by signal.
    pub(crate) fn waiting(&self) -> [(u64, u64); 4] {
        std::array::from_fn(|at| self.shared.lines[at].files.waiting())
    }

    fn line(&self, signal: Signal) -> &Line {
        &self.shared.lines[signal.index()]
    }
}

impl Drop for DiskQueue {
    fn drop(&mut self) {
        self.close();
    }
}

/// Size of a segment in a queue of so many bytes.
fn segment_bytes(max_size: usize) -> u64 {
    (max_size as u64 / PARTS).clamp(32 << 10, 16 << 20)
}

/// Longest request that a queue of so many bytes takes: a few must fit.
pub(crate) fn longest(max_size: usize) -> usize {
    usize::try_from(segment_bytes(max_size)).unwrap_or(usize::MAX).saturating_sub(1024)
}

impl Shared {
    fn staged(&self) -> MutexGuard<'_, Staged> {
        lock(&self.staged)
    }

    fn begin(&self, signal: Signal, now: tokio::time::Instant) -> Option<Front> {
        loop {
            match self.lines[signal.index()].begin(now) {
                Begun::Front(front) => return Some(front),
                Begun::Empty => return None,
                Begun::Damaged(damage) => {
                    tell(&self.name, signal, &damage);
                    self.damaged.inc();
                    self.lose(signal, damage.items, "damaged");
                    self.count_bytes();
                }
            }
        }
    }

    fn run(&self) {
        let mut unsynced: Vec<Hold> = Vec::new();
        let (mut dirty, mut synced, mut recorded) = (false, Instant::now(), Instant::now());
        loop {
            let (entries, config, stop) = self.wait(dirty.then(|| synced + self.fsync), recorded + RECORD);
            for entry in entries {
                let bytes = entry.batch.bytes;
                if let Some(hold) = self.write(entry, config) {
                    unsynced.push(hold);
                }
                dirty = true;
                self.count_bytes();
                // Only now, so that a batch is never in neither count.
                let mut staged = self.staged();
                staged.bytes -= bytes;
                drop(staged);
                // All of them: at the end each waits for the last one.
                self.readable.iter().for_each(Notify::notify_one);
            }
            if dirty && (stop || synced.elapsed() >= self.fsync) {
                synced = Instant::now();
                if self.sync() {
                    dirty = false;
                    for mut hold in unsynced.drain(..) {
                        hold.reached(AckLevel::Fsynced);
                    }
                }
            }
            if stop || recorded.elapsed() >= RECORD {
                recorded = Instant::now();
                self.maintain();
            }
            if stop && self.staged().entries.is_empty() {
                for line in &self.lines {
                    if let Err(error) = line.files.close() {
                        tracing::warn!(exporter = self.name, %error, "the queue on disk could not be closed well");
                    }
                }
                return;
            }
        }
    }

    /// What is to be written; waits for it, or until a sync or a record is due.
    fn wait(&self, sync_at: Option<Instant>, record_at: Instant) -> (Vec<Entry>, QueueConfig, bool) {
        let until = sync_at.map_or(record_at, |at| at.min(record_at));
        let mut staged = self.staged();
        while staged.entries.is_empty() && !staged.stop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            staged = self.work.wait_timeout(staged, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        (std::mem::take(&mut staged.entries), staged.config, staged.stop)
    }

    /// Writes one batch, making room for it as the settings say; gives what waits for the sync.
    fn write(&self, mut entry: Entry, config: QueueConfig) -> Option<Hold> {
        let need = entry.batch.encoded().len() as u64 + AROUND;
        let mut reason = "queue_full";
        // Each turn frees a segment; there are not more than this.
        for _ in 0..4096 {
            let room = self.on_disk.load(Ordering::Relaxed) + need <= config.max_size as u64;
            if room {
                match self.lines[entry.batch.signal.index()].write(entry, self.ahead) {
                    Ok(hold) => {
                        self.writes.inc();
                        return hold;
                    }
                    Err((back, AppendError::Full(error))) => {
                        tracing::warn!(exporter = self.name, %error, "no room on the disk");
                        (entry, reason) = (*back, "disk_full");
                    }
                    Err((back, error)) => {
                        tracing::error!(exporter = self.name, %error, "cannot write to the queue on disk");
                        (entry, reason) = (*back, "disk_error");
                        break;
                    }
                }
            }
            self.maintain();
            let freed = self.on_disk.load(Ordering::Relaxed) + need <= config.max_size as u64;
            if !room && freed {
                continue;
            }
            if config.when_full != WhenFull::DropOldest || !self.evict(reason) {
                break;
            }
        }
        // A queue that drops is the user's choice: the sender need not send again. A fault is none.
        if config.when_full != WhenFull::Block
            && reason != "disk_error"
            && let Some(hold) = &mut entry.hold
        {
            hold.reached(AckLevel::Delivered);
        }
        if entry.counted {
            self.lose(entry.batch.signal, entry.batch.items as u64, reason);
        }
        None
    }

    /// Drops the oldest segment of all signals.
    fn evict(&self, reason: &str) -> bool {
        let oldest = |line: &&Line| line.files.oldest().unwrap_or(u64::MAX);
        let mut lines: Vec<&Line> = self.lines.iter().filter(|l| l.files.oldest().is_some()).collect();
        lines.sort_by_key(oldest);
        let gone = lines.iter().find_map(|line| line.evict().map(|gone| (line.signal, gone)));
        let Some((signal, gone)) = gone else {
            // Nothing is sealed: what is being written to is sealed, and goes at the next turn.
            let some = self.lines.iter().filter(|l| l.files.waiting().0 > 0);
            return some
                .max_by_key(|l| l.files.bytes())
                .is_some_and(|l| l.rotate() && l.files.oldest().is_some())
                && self.lines.iter().any(|l| {
                    l.evict().is_some_and(|gone| {
                        self.lose(l.signal, gone.items, reason);
                        self.count_bytes();
                        true
                    })
                });
        };
        self.lose(signal, gone.items, reason);
        self.count_bytes();
        true
    }

    fn sync(&self) -> bool {
        self.lines.iter().fold(true, |ok, line| match line.files.sync() {
            Ok(_) => ok,
            Err(error) => {
                tracing::error!(exporter = self.name, %error, "cannot sync the queue on disk");
                false
            }
        })
    }

    fn maintain(&self) {
        for line in &self.lines {
            if let Err(error) = line.files.maintain() {
                tracing::warn!(exporter = self.name, %error, "cannot record what the peer took");
            }
        }
        self.count_bytes();
    }

    fn count_bytes(&self) {
        let bytes = self.lines.iter().map(|l| l.files.bytes()).sum();
        let before = self.on_disk.swap(bytes, Ordering::Relaxed);
        if bytes < before {
            // A queue that refused has room again, which its senders tell.
            self.readable.iter().for_each(Notify::notify_one);
        }
    }

    fn lose(&self, signal: Signal, lost: u64, reason: &str) {
        self.ledger.settle(signal, &self.name, Settled { delivered: 0, lost, reason });
    }
}

fn tell(exporter: &str, signal: Signal, damage: &Damage) {
    let (file, items) = (damage.file.as_str(), damage.items);
    let signal = signal.name();
    tracing::error!(exporter, signal, file, items, "the queue on disk is damaged: {}", damage.what);
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
