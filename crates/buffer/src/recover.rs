//! From the files of an earlier process to a queue that goes on.

use std::fs;
use std::path::Path;

use crate::format::{self, RECORD, RecordHeader, SEGMENT, SegmentHeader};
use crate::names::{self, Named, Sealed, open_name};
use crate::progress::{self, Tail};
use crate::queue::{Segment, State};
use crate::{Cursor, Damage, OpenError, Recovered, aside, folder};

pub(crate) struct Found {
    pub(crate) state: State,
    pub(crate) next_seq: u64,
    pub(crate) recovered: Recovered,
}

pub(crate) fn recover(dir: &Path, keep: u64) -> Result<Found, OpenError> {
    let (mut state, mut recovered) = (State::default(), Recovered::default());
    let progress = progress::read(dir).unwrap_or_else(|what| {
        let _gone = fs::remove_file(dir.join("progress"));
        // Nothing is lost by it: what was taken already is sent again.
        recovered.damage.push(Damage { file: "progress".to_owned(), what, records: 0, items: 0 });
        None
    });
    let progress = progress.unwrap_or_default();
    let mut last = progress.seq;
    for named in names::list(dir)? {
        let sealed = match named {
            Named::Sealed(sealed) => Some(sealed),
            Named::Open { seq } => {
                let (sealed, damage) = seal(dir, seq, progress, keep)?;
                recovered.damage.extend(damage);
                last = last.max(seq);
                sealed
            }
        };
        let Some(sealed) = sealed else { continue };
        last = last.max(sealed.seq);
        if sealed.seq < progress.seq || (sealed.seq == progress.seq && progress.offset >= sealed.bytes) {
            let _gone = fs::remove_file(dir.join(sealed.name()));
            continue;
        }
        let taken = if sealed.seq == progress.seq { progress } else { Cursor::default() };
        recovered.records += sealed.records.saturating_sub(taken.records);
        recovered.items += sealed.items.saturating_sub(taken.items);
        state.sealed.insert(sealed.seq, Segment { sealed, created: created(dir, sealed) });
    }
    (state.read, state.acked, state.saved) = (progress, progress, progress);
    state.aside = aside::bytes(dir);
    Ok(Found { state, next_seq: last + 1, recovered })
}

/// When a segment was begun; 0 when its header does not say.
fn created(dir: &Path, sealed: Sealed) -> u64 {
    use std::os::unix::fs::FileExt;
    let mut header = [0; SEGMENT];
    let read = folder::private().read(true).open(dir.join(sealed.name()));
    match read.and_then(|file| file.read_exact_at(&mut header, 0)) {
        Ok(()) => SegmentHeader::decode(&header).map_or(0, |h| h.created),
        Err(_) => 0,
    }
}

/// What a look through a segment's bytes finds.
pub(crate) struct Scan {
    pub(crate) created: u64,
    /// End of the last good record.
    pub(crate) end: Cursor,
    /// What is wrong behind it, if anything is there.
    pub(crate) wrong: Option<String>,
}

/// Looks through a segment up to its first bad record.
pub(crate) fn scan(bytes: &[u8], seq: u64) -> Scan {
    let mut end = Cursor { seq, offset: 0, records: 0, items: 0 };
    let header = match SegmentHeader::decode(bytes) {
        Ok(header) if header.seq == seq => header,
        Ok(_) => return Scan { created: 0, end, wrong: Some("is another segment by its header".to_owned()) },
        Err(what) => return Scan { created: 0, end, wrong: Some(what.to_owned()) },
    };
    end.offset = SEGMENT as u64;
    let mut at = SEGMENT;
    let wrong = loop {
        if at == bytes.len() {
            break None;
        }
        let bad = || Some(format!("record {} at byte {at} is cut or damaged", end.records));
        let Some(header) = RecordHeader::decode(&bytes[at..]) else { break bad() };
        let Some(payload) = bytes.get(at + RECORD..at + RECORD + header.len as usize) else { break bad() };
        let follows = u64::from(header.number) == end.records && header.before == end.items;
        if !follows || crc32c::crc32c(payload) != header.crc {
            break bad();
        }
        at += RECORD + payload.len();
        end = Cursor {
            seq,
            offset: at as u64,
            records: end.records + 1,
            items: end.items + u64::from(header.items),
        };
    };
    Scan { created: header.created, end, wrong }
}

/// Seals the segment that was written to when the process ended, up to its last good record.
fn seal(
    dir: &Path,
    seq: u64,
    progress: Cursor,
    keep: u64,
) -> Result<(Option<Sealed>, Option<Damage>), OpenError> {
    let name = open_name(seq);
    let path = dir.join(&name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) => {
            let tail = Tail::read(dir, seq).unwrap_or_default();
            aside::whole(dir, &name, keep);
            let what = format!("cannot be read: {e}");
            return Ok((None, Some(Damage { file: name, what, records: tail.records, items: tail.items })));
        }
    };
    let Scan { end, wrong, .. } = scan(&bytes, seq);
    let tail = Tail::read(dir, seq).unwrap_or_default();
    let short = || (tail.offset > end.offset).then(|| "is shorter than what was written".to_owned());
    let damage = wrong.or_else(short).map(|what| {
        let rest = &bytes[usize::try_from(end.offset).unwrap_or(0).min(bytes.len())..];
        if !rest.is_empty() {
            aside::rest(dir, &name, rest, keep);
        }
        let taken = if progress.seq == seq { progress } else { Cursor::default() };
        let held = tail.items.max(format::items_by_headers(rest)).max(end.items);
        let items = held - end.items.max(taken.items).min(held);
        let records = tail.records.saturating_sub(end.records.max(taken.records));
        Damage { file: name.clone(), what, records, items }
    });
    if end.records == 0 {
        fs::remove_file(&path).map_err(OpenError::io(&path))?;
        return Ok((None, damage));
    }
    if damage.is_some() {
        let cut = folder::private().write(true).open(&path).and_then(|f| {
            f.set_len(end.offset)?;
            f.sync_all()
        });
        cut.map_err(OpenError::io(&path))?;
    }
    let sealed = Sealed { seq, records: end.records, items: end.items, bytes: end.offset };
    fs::rename(&path, dir.join(sealed.name())).map_err(OpenError::io(&path))?;
    Ok((Some(sealed), damage))
}
