//! The two small files beside the segments: how far the peer took the records, and how much the open segment holds.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::{Buf, BufMut};

use crate::Cursor;
use crate::folder;

const MAGIC: [u8; 6] = *b"TGPROG";
const VERSION: u16 = 1;
const LENGTH: usize = 44;

fn encode(cursor: Cursor) -> [u8; LENGTH] {
    let mut out = [0; LENGTH];
    let mut w = &mut out[..];
    w.put_slice(&MAGIC);
    w.put_u16_le(VERSION);
    for n in [cursor.seq, cursor.offset, cursor.records, cursor.items] {
        w.put_u64_le(n);
    }
    let crc = crc32c::crc32c(&out[..LENGTH - 4]);
    out[LENGTH - 4..].copy_from_slice(&crc.to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<Cursor> {
    let bytes = bytes.get(..LENGTH)?;
    let (head, mut crc) = bytes.split_at(LENGTH - 4);
    let mut r = head.strip_prefix(&MAGIC)?;
    if r.get_u16_le() != VERSION || crc.get_u32_le() != crc32c::crc32c(head) {
        return None;
    }
    let mut next = || r.get_u64_le();
    Some(Cursor { seq: next(), offset: next(), records: next(), items: next() })
}

/// Reads `progress`: `Ok(None)` when there is none, an error when it cannot be used.
pub(crate) fn read(dir: &Path) -> Result<Option<Cursor>, String> {
    match fs::read(dir.join("progress")) {
        Ok(bytes) => decode(&bytes).map(Some).ok_or_else(|| "damaged or of another version".to_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.to_string()),
    }
}

/// Replaces `progress`, durably: written beside, synced, renamed, the folder synced.
pub(crate) fn write(dir: &Path, cursor: Cursor) -> io::Result<()> {
    let beside = dir.join("progress.new");
    let mut file = folder::private().create(true).truncate(true).write(true).open(&beside)?;
    file.write_all(&encode(cursor))?;
    file.sync_all()?;
    fs::rename(&beside, dir.join("progress"))?;
    folder::sync(dir)
}

/// How much the open segment held when it was last told: two slots, written in turn, so that one is whole.
///
/// It is not synced. It serves to say how much is lost when the end of the open segment cannot be read.
#[derive(Debug)]
pub(crate) struct Tail {
    file: File,
    slot: u64,
}

impl Tail {
    pub(crate) fn open(dir: &Path) -> io::Result<Tail> {
        let file = folder::private().create(true).truncate(false).write(true).open(dir.join("tail"))?;
        Ok(Tail { file, slot: 0 })
    }

    pub(crate) fn write(&mut self, cursor: Cursor) -> io::Result<()> {
        self.slot ^= 1;
        self.file.write_all_at(&encode(cursor), self.slot * LENGTH as u64)
    }

    /// What is known of the segment `seq`.
    pub(crate) fn read(dir: &Path, seq: u64) -> Option<Cursor> {
        let bytes = fs::read(dir.join("tail")).ok()?;
        let slots = [bytes.as_slice(), bytes.get(LENGTH..).unwrap_or_default()];
        slots.into_iter().filter_map(decode).filter(|c| c.seq == seq).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_replaced_whole_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), Ok(None));
        let cursor = Cursor { seq: 3, offset: 700, records: 2, items: 90 };
        write(dir.path(), Cursor { seq: 1, ..cursor }).unwrap();
        write(dir.path(), cursor).unwrap();
        assert_eq!(read(dir.path()), Ok(Some(cursor)));
        let path = dir.path().join("progress");
        let good = fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bad).unwrap();
            assert!(read(dir.path()).is_err(), "{bit}");
        }
        fs::write(&path, &good[..9]).unwrap();
        assert!(read(dir.path()).is_err());
    }

    #[test]
    fn the_tail_keeps_one_whole_slot() {
        let dir = tempfile::tempdir().unwrap();
        let mut tail = Tail::open(dir.path()).unwrap();
        let at = |items| Cursor { seq: 9, offset: items, records: 1, items };
        tail.write(at(1)).unwrap();
        tail.write(at(2)).unwrap();
        assert_eq!(Tail::read(dir.path(), 9), Some(at(2)));
        assert_eq!(Tail::read(dir.path(), 8), None);
        let path = dir.path().join("tail");
        let mut bytes = fs::read(&path).unwrap();
        bytes[3] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(Tail::read(dir.path(), 9), Some(at(1)));
    }
}
