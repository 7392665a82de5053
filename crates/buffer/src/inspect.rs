use std::fs;
use std::path::{Path, PathBuf};

use crate::names::{self, Named, Sealed, open_name};
use crate::recover::{Scan, scan};
use crate::{Cursor, OpenError, aside, progress};

/// A queue as a look from outside finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Its folder.
    pub folder: PathBuf,
    /// Its segments, oldest first.
    pub segments: Vec<InspectedSegment>,
    /// Records that nobody has acknowledged, as far as they can be read.
    pub waiting_records: u64,
    /// Items in them.
    pub waiting_items: u64,
    /// What is wrong with the record of how far the peer took them, if anything is.
    pub progress_damage: Option<String>,
    /// Files set aside because they were damaged, with their length.
    pub set_aside: Vec<(String, u64)>,
}

/// A segment as a look from outside finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedSegment {
    /// Its file.
    pub name: String,
    /// Whether it is full.
    pub sealed: bool,
    /// When it was begun, ns since 1970; 0 when that cannot be read.
    pub created_unix_ns: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Good records.
    pub records: u64,
    /// Items in them.
    pub items: u64,
    /// Records that were taken.
    pub taken: u64,
    /// What is wrong with it, and how many items are behind that.
    pub damage: Option<(String, u64)>,
}

/// Reads every segment of a queue through, changing nothing; a process may be working on it meanwhile.
pub fn inspect(folder: &Path) -> Result<Inspected, OpenError> {
    let (cursor, progress_damage) = match progress::read(folder) {
        Ok(cursor) => (cursor.unwrap_or_default(), None),
        Err(what) => (Cursor::default(), Some(what)),
    };
    let mut out = Inspected {
        folder: folder.to_owned(),
        segments: Vec::new(),
        waiting_records: 0,
        waiting_items: 0,
        progress_damage,
        set_aside: aside::list(&folder.join("damaged")),
    };
    for named in names::list(folder)? {
        let (seq, name, told) = match named {
            Named::Open { seq } => (seq, open_name(seq), None),
            Named::Sealed(s) => (s.seq, s.name(), Some(s)),
        };
        // What was removed meanwhile was taken.
        let Ok(bytes) = fs::read(folder.join(&name)) else { continue };
        let segment = segment(&bytes, seq, name, told, cursor);
        let taken_items = if seq == cursor.seq { cursor.items.min(segment.items) } else { 0 };
        if seq >= cursor.seq {
            out.waiting_records += segment.records.saturating_sub(segment.taken);
            out.waiting_items += segment.items - taken_items;
        }
        out.segments.push(segment);
    }
    Ok(out)
}

fn segment(bytes: &[u8], seq: u64, name: String, told: Option<Sealed>, cursor: Cursor) -> InspectedSegment {
    let Scan { created, end, mut wrong } = scan(bytes, seq);
    if let Some(told) = told
        && wrong.is_none()
        && told.records != end.records
    {
        wrong = Some(format!("holds {} records, {} by its name", end.records, told.records));
    }
    let behind = told.map_or(0, |t| t.items.saturating_sub(end.items));
    let taken = match seq.cmp(&cursor.seq) {
        std::cmp::Ordering::Less => end.records,
        std::cmp::Ordering::Equal => cursor.records.min(end.records),
        std::cmp::Ordering::Greater => 0,
    };
    InspectedSegment {
        name,
        sealed: told.is_some(),
        created_unix_ns: created,
        bytes: bytes.len() as u64,
        records: end.records,
        items: end.items,
        taken,
        damage: wrong.map(|w| (w, behind)),
    }
}
