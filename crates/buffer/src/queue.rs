use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};

use crate::folder::{self, Lock};
use crate::format::{self, RECORD, RecordHeader, SEGMENT, SegmentHeader};
use crate::names::{Sealed, open_name};
use crate::progress::{self, Tail};
use crate::{AppendError, OpenError, aside, recover};

/// How a queue lays down its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Size at which a segment is sealed; a longer record has one of its own.
    pub segment_bytes: u64,
}

impl Default for Options {
    /// 16 MiB.
    fn default() -> Options {
        Options { segment_bytes: 16 << 20 }
    }
}

/// A place in a queue: a segment, and what lies before the place within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cursor {
    /// Number of the segment.
    pub seq: u64,
    /// Bytes.
    pub offset: u64,
    /// Records.
    pub records: u64,
    /// Items.
    pub items: u64,
}

impl Cursor {
    fn begin(seq: u64) -> Cursor {
        Cursor { seq, offset: SEGMENT as u64, records: 0, items: 0 }
    }
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was appended.
    pub payload: Bytes,
    /// The items that were named with it.
    pub items: u64,
    /// Where it begins.
    pub start: Cursor,
    /// Where it ends: what to acknowledge.
    pub end: Cursor,
}

/// What a reader meets next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The next record.
    Record(Record),
    /// A segment was cut here and set aside; the next read goes on behind it.
    Damaged(Damage),
    /// Nothing, for now.
    Empty,
}

/// A loss that the files themselves show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
    /// Records lost, as far as known.
    pub records: u64,
    /// Items lost, as far as known.
    pub items: u64,
}

/// What was dropped to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// The segment.
    pub seq: u64,
    /// Records that nobody had taken.
    pub records: u64,
    /// Items in them.
    pub items: u64,
    /// Bytes that are free now.
    pub bytes: u64,
}

/// What an earlier process left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records that wait.
    pub records: u64,
    /// Items in them.
    pub items: u64,
    /// What could not be read at the start. Its items are not among those that wait.
    pub damage: Vec<Damage>,
}

/// A queue on disk. All calls are synchronous and may wait for the disk; any thread may make them.
#[derive(Debug)]
pub struct Queue {
    dir: PathBuf,
    options: Options,
    writer: Mutex<Writer>,
    state: Mutex<State>,
    _lock: Lock,
}

#[derive(Debug)]
pub(crate) struct Writer {
    open: Option<Open>,
    next_seq: u64,
    /// Sealed since the last sync.
    unsynced: Vec<(u64, Arc<File>)>,
    names_changed: bool,
    tail: Option<Tail>,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    created: u64,
    end: Cursor,
    synced: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) sealed: Sealed,
    pub(crate) created: u64,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) sealed: BTreeMap<u64, Segment>,
    open: Option<(Arc<File>, Cursor)>,
    pub(crate) read: Cursor,
    pub(crate) acked: Cursor,
    pub(crate) saved: Cursor,
    /// Bytes of what is set aside.
    pub(crate) aside: u64,
    reader: Option<(u64, Arc<File>)>,
}

/// What one look at the state tells a reader.
enum Next {
    Empty,
    /// `first`: the file was just opened, its header is still to be looked at.
    At {
        file: io::Result<Arc<File>>,
        from: Cursor,
        limit: u64,
        first: bool,
    },
}

impl Queue {
    /// Longest record.
    pub const MAX_RECORD: usize = format::MAX_PAYLOAD;

    /// Opens the queue of a folder, which is made if it is not there. Reads names, and only the segment that was
    /// written to last: the time does not grow with what is queued.
    pub fn open(dir: &Path, options: Options) -> Result<(Queue, Recovered), OpenError> {
        let lock = Lock::acquire(dir)?;
        let recover::Found { state, next_seq, recovered } = recover::recover(dir, options.segment_bytes)?;
        let writer = Writer {
            open: None,
            next_seq,
            unsynced: Vec::new(),
            names_changed: true,
            tail: Tail::open(dir).ok(),
        };
        let queue = Queue {
            dir: dir.to_owned(),
            options,
            writer: Mutex::new(writer),
            state: Mutex::new(state),
            _lock: lock,
        };
        Ok((queue, recovered))
    }

    /// Appends a record whose payload is `head` and `body` together; it is written, not yet synced. When this fails,
    /// nothing was appended.
    pub fn append(&self, head: &[u8], body: &[u8], items: u32) -> Result<Record, AppendError> {
        let len = head.len() + body.len();
        let length = u32::try_from(len).ok().filter(|_| len <= Queue::MAX_RECORD);
        let length = length.ok_or(AppendError::TooLong(len))?;
        let mut writer = lock(&self.writer);
        let total = (RECORD + len) as u64;
        let full = |o: &Open| o.end.records > 0 && o.end.offset + total > self.options.segment_bytes;
        if writer.open.as_ref().is_some_and(full) {
            self.seal(&mut writer)?;
        }
        if writer.open.is_none() {
            self.begin(&mut writer)?;
        }
        let Some(open) = &mut writer.open else { return Err(AppendError::Io(io::ErrorKind::Other.into())) };
        let start = open.end;
        let header = RecordHeader {
            len: length,
            items,
            number: u32::try_from(start.records).unwrap_or(u32::MAX),
            before: start.items,
            crc: crc32c::crc32c_append(crc32c::crc32c(head), body),
        };
        let first = [&header.encode()[..], head].concat();
        let at = |n: usize| start.offset + n as u64;
        let written = open.file.write_all_at(&first, at(0));
        if let Err(e) = written.and_then(|()| open.file.write_all_at(body, at(first.len()))) {
            // What was written of it lies behind the end: the next record goes over it.
            let _kept = open.file.set_len(start.offset);
            return Err(e.into());
        }
        open.end = Cursor {
            offset: start.offset + total,
            records: start.records + 1,
            items: start.items + u64::from(items),
            ..start
        };
        lock(&self.state).open = Some((open.file.clone(), open.end));
        Ok(Record { payload: Bytes::new(), items: items.into(), start, end: open.end })
    }

    /// Makes durable what was appended before the call; gives up to where.
    pub fn sync(&self) -> io::Result<Cursor> {
        let (files, names, end) = {
            let mut writer = lock(&self.writer);
            let mut files = std::mem::take(&mut writer.unsynced);
            let mut end = Cursor::begin(writer.next_seq);
            let mut told = None;
            if let Some(open) = &mut writer.open {
                if open.synced < open.end.offset {
                    open.synced = open.end.offset;
                    files.push((open.end.seq, open.file.clone()));
                    told = Some(open.end);
                }
                end = open.end;
            }
            if let (Some(told), Some(tail)) = (told, &mut writer.tail) {
                // It only serves to count a loss: a failure loses a number, nothing else.
                let _told = tail.write(told);
            }
            (files, std::mem::take(&mut writer.names_changed), end)
        };
        let sync = || -> io::Result<()> {
            for (_, file) in &files {
                file.sync_data()?;
            }
            if names { folder::sync(&self.dir) } else { Ok(()) }
        };
        if let Err(e) = sync() {
            let mut writer = lock(&self.writer);
            writer.unsynced.extend(files);
            writer.names_changed |= names;
            return Err(e);
        }
        Ok(end)
    }

    /// The next record. Each record is read once; what is not acknowledged is read again after a restart.
    pub fn read(&self) -> Read {
        loop {
            let (file, from, limit, first) = match self.next() {
                Next::Empty => return Read::Empty,
                Next::At { file, from, limit, first } => (file, from, limit, first),
            };
            let read = match &file {
                Ok(file) => read_at(file, from, limit, first),
                Err(e) => Err(e.to_string()),
            };
            match read {
                Ok(record) => {
                    let mut state = lock(&self.state);
                    // It may have been dropped to make room, meanwhile.
                    if state.read == from {
                        state.read = record.end;
                        return Read::Record(record);
                    }
                }
                Err(what) => {
                    if let Some(damage) = self.set_aside(from, what) {
                        return Read::Damaged(damage);
                    }
                }
            }
        }
    }

    /// Passes over the record from `start` to `end`, which the caller has in memory; `false` when it is not next.
    pub fn pass(&self, start: Cursor, end: Cursor) -> bool {
        let mut state = lock(&self.state);
        let next = state.normalised();
        if next == start {
            state.read = end;
        }
        next == start
    }

    /// Where the next read begins.
    pub fn position(&self) -> Cursor {
        lock(&self.state).normalised()
    }

    /// Everything up to `end` has been taken. Recorded by the next [`Queue::maintain`].
    pub fn acknowledge(&self, end: Cursor) {
        let mut state = lock(&self.state);
        state.acked = state.acked.max(end);
    }

    /// Records what was acknowledged, durably, and removes segments that hold nothing else.
    pub fn maintain(&self) -> io::Result<()> {
        let (acked, saved) = {
            let state = lock(&self.state);
            (state.acked, state.saved)
        };
        let recorded = if acked > saved { progress::write(&self.dir, acked) } else { Ok(()) };
        let mut writer = lock(&self.writer);
        let mut state = lock(&self.state);
        if recorded.is_ok() {
            state.saved = state.saved.max(acked);
        }
        // Also when it could not be recorded: with no space left, removing is what makes room.
        let done = |s: &Sealed| s.seq < acked.seq || (s.seq == acked.seq && acked.offset >= s.bytes);
        let gone: Vec<Sealed> = state.sealed.values().map(|s| s.sealed).filter(done).collect();
        for segment in gone {
            writer.forget(segment.seq);
            state.remove(&self.dir, segment);
        }
        recorded
    }

    /// Drops the oldest sealed segment; `busy`: the record that was read last is still in use, and its segment stays
    /// if there is another one.
    pub fn evict(&self, busy: bool) -> Option<Evicted> {
        let mut writer = lock(&self.writer);
        let mut state = lock(&self.state);
        let read = state.read;
        let in_use = |s: &Sealed| busy && s.seq == read.seq;
        let segment = state.sealed.values().map(|s| s.sealed).find(|s| !in_use(s))?;
        let inside = if read.seq == segment.seq { read } else { Cursor::default() };
        // What was read before and is not in use has been settled.
        let already = if read.seq > segment.seq {
            Cursor { records: u64::MAX, items: u64::MAX, ..read }
        } else {
            inside
        };
        writer.forget(segment.seq);
        state.remove(&self.dir, segment);
        if read.seq == segment.seq {
            state.read = Cursor::begin(segment.seq + 1);
            state.acked = state.acked.max(state.read);
        }
        Some(Evicted {
            seq: segment.seq,
            records: segment.records.saturating_sub(already.records),
            items: segment.items.saturating_sub(already.items),
            bytes: segment.bytes,
        })
    }

    /// Seals the segment that is written to, so that [`Queue::evict`] can take it.
    pub fn rotate(&self) -> io::Result<()> {
        self.seal(&mut lock(&self.writer))
    }

    /// When the oldest sealed segment was begun, ns since 1970.
    pub fn oldest(&self) -> Option<u64> {
        lock(&self.state).sealed.values().next().map(|s| s.created)
    }

    /// Bytes on disk: all segments, those set aside included.
    pub fn bytes(&self) -> u64 {
        let state = lock(&self.state);
        let open = state.open.as_ref().map_or(0, |(_, end)| end.offset);
        state.sealed.values().map(|s| s.sealed.bytes).sum::<u64>() + open + state.aside
    }

    /// Records and items that nobody acknowledged.
    pub fn waiting(&self) -> (u64, u64) {
        let state = lock(&self.state);
        let ends = state.sealed.values().map(|s| Cursor {
            seq: s.sealed.seq,
            offset: s.sealed.bytes,
            records: s.sealed.records,
            items: s.sealed.items,
        });
        let (mut records, mut items) = (0, 0);
        for end in ends.chain(state.open.as_ref().map(|(_, end)| *end)) {
            if end.seq < state.acked.seq {
                continue;
            }
            let before = if end.seq == state.acked.seq { state.acked } else { Cursor::default() };
            records += end.records.saturating_sub(before.records);
            items += end.items.saturating_sub(before.items);
        }
        (records, items)
    }

    /// Ends well: everything is durable, and what was acknowledged is recorded.
    pub fn close(&self) -> io::Result<()> {
        let sealed = self.seal(&mut lock(&self.writer));
        self.sync()?;
        self.maintain()?;
        sealed
    }

    fn begin(&self, writer: &mut Writer) -> Result<(), AppendError> {
        let seq = writer.next_seq;
        let path = self.dir.join(open_name(seq));
        let created = unix_ns();
        let file = folder::private().create_new(true).read(true).write(true).open(&path)?;
        if let Err(e) = file.write_all_at(&SegmentHeader { seq, created }.encode(), 0) {
            let _gone = fs::remove_file(&path);
            return Err(e.into());
        }
        let (file, end) = (Arc::new(file), Cursor::begin(seq));
        writer.next_seq += 1;
        writer.names_changed = true;
        lock(&self.state).open = Some((file.clone(), end));
        writer.open = Some(Open { file, created, end, synced: 0 });
        Ok(())
    }

    fn seal(&self, writer: &mut Writer) -> io::Result<()> {
        let Some(open) = &writer.open else { return Ok(()) };
        let Cursor { seq, offset: bytes, records, items } = open.end;
        let sealed = Sealed { seq, records, items, bytes };
        let from = self.dir.join(open_name(seq));
        match records {
            0 => fs::remove_file(from)?,
            _ => fs::rename(from, self.dir.join(sealed.name()))?,
        }
        let mut state = lock(&self.state);
        state.open = None;
        if let Some(open) = writer.open.take()
            && records > 0
        {
            state.sealed.insert(seq, Segment { sealed, created: open.created });
            if open.synced < bytes {
                writer.unsynced.push((seq, open.file));
            }
        }
        writer.names_changed = true;
        Ok(())
    }

    fn next(&self) -> Next {
        let mut state = lock(&self.state);
        loop {
            let from = state.normalised();
            state.read = from;
            if let Some((file, end)) = &state.open
                && end.seq == from.seq
            {
                if from.offset >= end.offset {
                    return Next::Empty;
                }
                return Next::At { file: Ok(file.clone()), from, limit: end.offset, first: false };
            }
            let Some(segment) = state.sealed.get(&from.seq).map(|s| s.sealed) else { return Next::Empty };
            if from.offset >= segment.bytes {
                state.read = Cursor::begin(from.seq + 1);
                continue;
            }
            let known = state.reader.as_ref().filter(|(seq, _)| *seq == from.seq);
            let first = known.is_none();
            let file = match known {
                Some((_, file)) => Ok(file.clone()),
                None => folder::private().read(true).open(self.dir.join(segment.name())).map(Arc::new),
            };
            if let Ok(file) = &file {
                state.reader = Some((from.seq, file.clone()));
            }
            return Next::At { file, from, limit: segment.bytes, first };
        }
    }

    /// Cuts a segment at `from`; `None` when it is not there any more.
    fn set_aside(&self, from: Cursor, what: String) -> Option<Damage> {
        {
            let mut writer = lock(&self.writer);
            if writer.open.as_ref().is_some_and(|o| o.end.seq == from.seq) && self.seal(&mut writer).is_err()
            {
                // Its name could not be changed: at least nothing is appended to it any more.
                writer.open = None;
            }
        }
        let mut state = lock(&self.state);
        let lost = match state.sealed.remove(&from.seq) {
            Some(segment) => {
                aside::whole(&self.dir, &segment.sealed.name(), self.options.segment_bytes);
                segment.sealed
            }
            None => {
                let (_, end) = state.open.take_if(|(_, end)| end.seq == from.seq)?;
                aside::whole(&self.dir, &open_name(from.seq), self.options.segment_bytes);
                Sealed { seq: end.seq, records: end.records, items: end.items, bytes: end.offset }
            }
        };
        state.reader = None;
        state.aside = aside::bytes(&self.dir);
        state.read = Cursor::begin(from.seq + 1);
        Some(Damage {
            file: lost.name(),
            what,
            records: lost.records.saturating_sub(from.records),
            items: lost.items.saturating_sub(from.items),
        })
    }
}

impl Writer {
    /// Lets go of a segment's file, so that removing it frees its space.
    fn forget(&mut self, seq: u64) {
        self.unsynced.retain(|(of, _)| *of != seq);
    }
}

impl State {
    /// The read position, moved to the next segment that is there.
    fn normalised(&self) -> Cursor {
        let open = self.open.as_ref().map(|(_, end)| end.seq);
        if open == Some(self.read.seq) {
            return self.read;
        }
        match self.sealed.get(&self.read.seq) {
            Some(s) if self.read.offset < s.sealed.bytes => return self.read,
            _ => {}
        }
        let next = self.sealed.range(self.read.seq + 1..).next().map(|(seq, _)| *seq);
        match next.or(open.filter(|seq| *seq > self.read.seq)) {
            Some(seq) => Cursor::begin(seq),
            None => self.read,
        }
    }

    fn remove(&mut self, dir: &Path, segment: Sealed) {
        // A file that cannot be removed is found again at the next start, and passed over by `progress`.
        let _gone = fs::remove_file(dir.join(segment.name()));
        self.sealed.remove(&segment.seq);
        if self.reader.as_ref().is_some_and(|(seq, _)| *seq == segment.seq) {
            self.reader = None;
        }
    }
}

/// Reads the record at `from`; the error says what is wrong with it.
fn read_at(file: &File, from: Cursor, limit: u64, first: bool) -> Result<Record, String> {
    if first {
        let mut header = [0; SEGMENT];
        file.read_exact_at(&mut header, 0).map_err(|e| format!("its header cannot be read: {e}"))?;
        let header = SegmentHeader::decode(&header)?;
        if header.seq != from.seq {
            return Err(format!("is segment {:x} by its header", header.seq));
        }
    }
    let mut header = [0; RECORD];
    file.read_exact_at(&mut header, from.offset).map_err(|e| unreadable(from, &e))?;
    let header = RecordHeader::decode(&header).ok_or_else(|| bad(from, "header"))?;
    let end = Cursor {
        offset: from.offset + (RECORD as u64) + u64::from(header.len),
        records: from.records + 1,
        items: from.items + u64::from(header.items),
        ..from
    };
    if u64::from(header.number) != from.records || header.before != from.items || end.offset > limit {
        return Err(bad(from, "header"));
    }
    let mut payload = BytesMut::zeroed(header.len as usize);
    file.read_exact_at(&mut payload, from.offset + RECORD as u64).map_err(|e| unreadable(from, &e))?;
    if crc32c::crc32c(&payload) != header.crc {
        return Err(bad(from, "payload"));
    }
    Ok(Record { payload: payload.freeze(), items: header.items.into(), start: from, end })
}

fn bad(at: Cursor, part: &str) -> String {
    format!("the {part} of record {} at byte {} is damaged", at.records, at.offset)
}

fn unreadable(at: Cursor, error: &io::Error) -> String {
    format!("record {} at byte {} cannot be read: {error}", at.records, at.offset)
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
