//! The bytes of segments and records.

use bytes::{Buf, BufMut};

/// Version of the layout; a segment of another one is set aside.
pub(crate) const VERSION: u16 = 1;
/// Length of a segment's header.
pub(crate) const SEGMENT: usize = 32;
/// Length of a record's header.
pub(crate) const RECORD: usize = 32;
/// Longest payload.
pub(crate) const MAX_PAYLOAD: usize = 256 << 20;

const MAGIC: [u8; 8] = *b"TELEGENQ";
const MARK: [u8; 4] = *b"TGr1";

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Its number.
    pub(crate) seq: u64,
    /// When it was begun, ns since 1970.
    pub(crate) created: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(self) -> [u8; SEGMENT] {
        let mut out = [0; SEGMENT];
        let mut w = &mut out[..];
        w.put_slice(&MAGIC);
        w.put_u16_le(VERSION);
        w.put_u16_le(0);
        w.put_u64_le(self.seq);
        w.put_u64_le(self.created);
        let crc = crc32c::crc32c(&out[..SEGMENT - 4]);
        out[SEGMENT - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header; the error says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<SegmentHeader, &'static str> {
        let Some(bytes) = bytes.get(..SEGMENT) else { return Err("shorter than a header") };
        let (head, mut crc) = bytes.split_at(SEGMENT - 4);
        let mut r = &head[MAGIC.len()..];
        let version = r.get_u16_le();
        if head[..MAGIC.len()] == MAGIC && version != VERSION {
            return Err("of another version");
        }
        if head[..MAGIC.len()] != MAGIC || crc.get_u32_le() != crc32c::crc32c(head) {
            return Err("its header is damaged");
        }
        r.advance(2);
        Ok(SegmentHeader { seq: r.get_u64_le(), created: r.get_u64_le() })
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// Length of the payload.
    pub(crate) len: u32,
    /// Items in it.
    pub(crate) items: u32,
    /// Its place in the segment, from 0.
    pub(crate) number: u32,
    /// Items in the records before it, in the same segment.
    pub(crate) before: u64,
    /// Checksum of the payload.
    pub(crate) crc: u32,
}

impl RecordHeader {
    pub(crate) fn encode(self) -> [u8; RECORD] {
        let mut out = [0; RECORD];
        let mut w = &mut out[..];
        w.put_slice(&MARK);
        w.put_u32_le(self.len);
        w.put_u32_le(self.items);
        w.put_u32_le(self.number);
        w.put_u64_le(self.before);
        w.put_u32_le(self.crc);
        let crc = crc32c::crc32c(&out[..RECORD - 4]);
        out[RECORD - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` for anything that is no header.
    pub(crate) fn decode(bytes: &[u8]) -> Option<RecordHeader> {
        let bytes = bytes.get(..RECORD)?;
        let (head, mut crc) = bytes.split_at(RECORD - 4);
        if head[..4] != MARK || crc.get_u32_le() != crc32c::crc32c(head) {
            return None;
        }
        let mut r = &head[4..];
        let header = RecordHeader {
            len: r.get_u32_le(),
            items: r.get_u32_le(),
            number: r.get_u32_le(),
            before: r.get_u64_le(),
            crc: r.get_u32_le(),
        };
        (header.len as usize <= MAX_PAYLOAD).then_some(header)
    }
}

/// Items of the records before `bytes` ends, going by the last record header that can be read: 0 when none can.
pub(crate) fn items_by_headers(bytes: &[u8]) -> u64 {
    let (mut items, mut at) = (0, 0);
    while at + RECORD <= bytes.len() {
        if bytes[at] == MARK[0]
            && let Some(header) = RecordHeader::decode(&bytes[at..])
        {
            items = items.max(header.before.saturating_add(u64::from(header.items)));
            at += RECORD;
        } else {
            at += 1;
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_round_and_no_flipped_bit_does() {
        let segment = SegmentHeader { seq: 7, created: 1_700_000_000_000_000_000 };
        let record = RecordHeader { len: 9, items: 3, number: 4, before: 1 << 40, crc: 0xdead_beef };
        assert_eq!(SegmentHeader::decode(&segment.encode()), Ok(segment));
        assert_eq!(RecordHeader::decode(&record.encode()), Some(record));
        for bit in 0..SEGMENT * 8 {
            let mut bytes = segment.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bytes).is_err(), "{bit}");
            let mut bytes = record.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&bytes), None, "{bit}");
        }
    }

    #[test]
    fn the_layout_is_little_endian_and_stays() {
        let record = RecordHeader { len: 0x0102, items: 3, number: 4, before: 5, crc: 6 }.encode();
        assert_eq!(record[..28], *b"TGr1\x02\x01\0\0\x03\0\0\0\x04\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0");
        let segment = SegmentHeader { seq: 0x0a0b, created: 1 }.encode();
        assert_eq!(segment[..20], *b"TELEGENQ\x01\0\0\0\x0b\x0a\0\0\0\0\0\0");
    }

    #[test]
    fn items_are_counted_from_the_last_header_that_can_be_read() {
        let header = |before, items| RecordHeader { len: 1, items, number: 0, before, crc: 0 }.encode();
        let bytes = [&header(0, 5)[..], b"x", b"junkTGr1", &header(5, 7), b"y"].concat();
        assert_eq!(items_by_headers(&bytes), 12);
        assert_eq!(items_by_headers(&bytes[..40]), 5);
        assert_eq!(items_by_headers(b"TG"), 0);
    }
}
