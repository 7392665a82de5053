//! One signal of a queue on disk: the files, and what of them is in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes};
use telegen_buffer::{AppendError, Cursor, Damage, Evicted, Queue, Read};
use telegen_model::Signal;
use tokio::time::Instant;

use crate::queue::{Entry, Front};
use crate::{AckLevel, Batch, Hold};

/// Layout of a payload's head.
const VERSION: u8 = 1;
const COUNTED: u8 = 1;

/// Batches of one signal, on disk and in part in memory.
pub(crate) struct Line {
    pub(crate) signal: Signal,
    pub(crate) files: Queue,
    /// Held by whoever reads or writes the files, so that what is in memory and what is read never overlap.
    io: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The record that is being sent, as one batch or as the parts it was cut into.
    current: VecDeque<Entry>,
    end: Cursor,
    /// The next records, as long as they fit into memory.
    ahead: VecDeque<Ahead>,
    ahead_bytes: usize,
    /// Who waits for records that are on disk alone, by their end.
    waiting: BTreeMap<Cursor, Hold>,
    next: u64,
}

struct Ahead {
    start: Cursor,
    end: Cursor,
    entry: Entry,
}

/// What a line's next batch is.
pub(crate) enum Begun {
    Front(Front),
    Empty,
    /// So many items of it could not be read.
    Damaged(Damage),
}

impl Line {
    pub(crate) fn new(signal: Signal, files: Queue) -> Line {
        Line { signal, files, io: Mutex::default(), state: Mutex::default() }
    }

    /// Writes a batch; keeps it in memory too while that holds less than `ahead` bytes. The hold is told `Written`;
    /// what waits for the sync is given back.
    pub(crate) fn write(
        &self,
        mut entry: Entry,
        ahead: usize,
    ) -> Result<Option<Hold>, (Box<Entry>, AppendError)> {
        let batch = entry.batch.clone();
        let items = if entry.counted { u32::try_from(batch.items).unwrap_or(u32::MAX) } else { 0 };
        let (head, body) = (head(&batch, entry.counted), batch.encoded());
        let _io = lock(&self.io);
        let record = match self.files.append(&head, body, items) {
            Ok(record) => record,
            Err(e) => return Err((Box::new(entry), e)),
        };
        let unsynced = entry.hold.as_mut().map(|hold| {
            hold.reached(AckLevel::Written);
            hold.take(AckLevel::Fsynced)
        });
        entry.hold = entry.hold.filter(|hold| !hold.is_done());
        let mut state = lock(&self.state);
        if state.ahead_bytes + batch.bytes <= ahead {
            state.ahead_bytes += batch.bytes;
            entry.id = state.next;
            state.next += 1;
            state.ahead.push_back(Ahead { start: record.start, end: record.end, entry });
        } else if let Some(hold) = entry.hold {
            state.waiting.insert(record.end, hold);
        }
        Ok(unsynced)
    }

    /// The oldest batch, which is in the sender's hands from now on. May wait for the disk.
    pub(crate) fn begin(&self, now: Instant) -> Begun {
        let _io = lock(&self.io);
        {
            let mut state = lock(&self.state);
            if state.current.is_empty() {
                let at = self.files.position();
                let next = state.ahead.pop_front_if(|ahead| ahead.start == at);
                if let Some(Ahead { start, end, entry }) = next {
                    state.ahead_bytes -= entry.batch.bytes;
                    self.files.pass(start, end);
                    state.end = end;
                    state.current.push_back(entry);
                }
            }
            if let Some(front) = state.front(now) {
                return Begun::Front(front);
            }
        }
        match self.files.read() {
            Read::Empty => Begun::Empty,
            Read::Damaged(damage) => Begun::Damaged(damage),
            Read::Record(record) => {
                let mut state = lock(&self.state);
                let hold = state.waiting.remove(&record.end);
                state.end = record.end;
                let Some(batch) = restore(self.signal, record.payload) else {
                    self.files.acknowledge(record.end);
                    let what = "its contents are of another version".to_owned();
                    let file = format!("{:016x}", record.start.seq);
                    return Begun::Damaged(Damage { file, what, records: 1, items: record.items });
                };
                let counted = batch.counted();
                let id = state.next;
                state.next += 1;
                let batch = Arc::new(batch);
                let entry = Entry { id, batch, hold, counted, first_try: None, since: now, sending: false };
                state.current.push_back(entry);
                state.front(now).map_or(Begun::Empty, Begun::Front)
            }
        }
    }

    /// Since when the oldest batch waits that is in memory.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let state = lock(&self.state);
        let ahead = || state.ahead.front().map(|ahead| ahead.entry.since);
        state.current.front().map(|entry| entry.since).or_else(ahead)
    }

    pub(crate) fn put_back(&self, id: u64) {
        if let Some(entry) = lock(&self.state).current.front_mut().filter(|e| e.id == id) {
            entry.sending = false;
        }
    }

    /// Removes the batch that was begun; when it was the last part of its record, the record is taken.
    pub(crate) fn finish(&self, id: u64) -> Option<Entry> {
        let mut state = lock(&self.state);
        let entry = state.current.pop_front_if(|e| e.id == id)?;
        if state.current.is_empty() {
            self.files.acknowledge(state.end);
        }
        Some(entry)
    }

    pub(crate) fn replace(&self, id: u64, parts: Vec<Batch>) {
        let mut state = lock(&self.state);
        let Some(whole) = state.current.pop_front_if(|e| e.id == id) else { return };
        let (entries, next) = whole.cut(parts, state.next);
        state.next = next;
        entries.into_iter().rev().for_each(|e| state.current.push_front(e));
    }

    /// Drops the oldest segment that is not being sent; its waiting senders are answered: dropping is the user's choice.
    pub(crate) fn evict(&self) -> Option<Evicted> {
        let _io = lock(&self.io);
        let busy = !lock(&self.state).current.is_empty();
        let gone = self.files.evict(busy)?;
        let mut state = lock(&self.state);
        let (mut dropped, mut bytes) = (Vec::new(), 0);
        for ahead in std::mem::take(&mut state.ahead) {
            if ahead.start.seq == gone.seq {
                bytes += ahead.entry.batch.bytes;
                dropped.extend(ahead.entry.hold);
            } else {
                state.ahead.push_back(ahead);
            }
        }
        state.ahead_bytes -= bytes;
        let later = state.waiting.split_off(&Cursor { seq: gone.seq + 1, ..Cursor::default() });
        let mut early = std::mem::replace(&mut state.waiting, later);
        let of_it = early.split_off(&Cursor { seq: gone.seq, ..Cursor::default() });
        state.waiting.append(&mut early);
        drop(state);
        for mut hold in dropped.into_iter().chain(of_it.into_values()) {
            hold.reached(AckLevel::Delivered);
        }
        Some(gone)
    }

    /// Seals what is written to, so that it can be dropped.
    pub(crate) fn rotate(&self) -> bool {
        let _io = lock(&self.io);
        self.files.rotate().is_ok()
    }
}

impl State {
    fn front(&mut self, now: Instant) -> Option<Front> {
        let entry = self.current.front_mut()?;
        entry.sending = true;
        let first_try = *entry.first_try.get_or_insert(now);
        Some(Front { id: entry.id, batch: entry.batch.clone(), first_try })
    }
}

/// What stands before the encoded request: version, flags, number of items, name.
fn head(batch: &Batch, counted: bool) -> Vec<u8> {
    let id = batch.id().as_bytes();
    let id = &id[..id.len().min(255)];
    let mut out = Vec::with_capacity(7 + id.len());
    out.put_u8(VERSION);
    out.put_u8(if counted { COUNTED } else { 0 });
    out.put_u32_le(u32::try_from(batch.items).unwrap_or(u32::MAX));
    out.put_u8(id.len() as u8);
    out.put_slice(id);
    out
}

fn restore(signal: Signal, mut payload: Bytes) -> Option<Batch> {
    if payload.len() < 7 || payload.get_u8() != VERSION {
        return None;
    }
    let (flags, items, id) = (payload.get_u8(), payload.get_u32_le(), usize::from(payload.get_u8()));
    if payload.len() < id {
        return None;
    }
    let id = String::from_utf8(payload.split_to(id).to_vec()).ok()?;
    Some(Batch::restored(signal, items as usize, id, flags & COUNTED != 0, payload))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_brings_back_the_batch() {
        let batch =
            Batch::restored(Signal::Logs, 70_000, "ab-1".into(), true, Bytes::from_static(b"request"));
        for counted in [true, false] {
            let bytes = [&head(&batch, counted)[..], b"request"].concat();
            let back = restore(Signal::Logs, bytes.clone().into()).unwrap();
            assert_eq!((back.items, back.id(), back.counted()), (70_000, "ab-1", counted));
            assert_eq!(back.encoded()[..], *b"request");
            assert!(restore(Signal::Logs, Bytes::copy_from_slice(&bytes[..9])).is_none());
            assert!(restore(Signal::Logs, Bytes::from([&[2], &bytes[1..]].concat())).is_none());
        }
    }
}
