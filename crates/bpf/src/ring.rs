//! The reading end of a kernel ring, and several of them read as one.
//!
//! A ring is three mappings (kernel/bpf/ringbuf.c): the reader's position, writable; the writer's position; and the
//! data, which is mapped twice in a row so that a record is always whole. A record is eight bytes of header, the first
//! four of them its length and two flags, and its bytes; the next one begins at a multiple of eight.

use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::error::{Context, Error};

/// Being written.
const BUSY: u32 = 1 << 31;
/// Given up by its writer.
const DISCARDED: u32 = 1 << 30;
const HEADER: u64 = 8;
/// The position is given back to the kernel once so many bytes were read: each time costs the writers a cache miss.
const GIVE_BACK: u64 = 64 * 1024;

/// A mapping that ends with its owner.
struct Mapping {
    at: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(ring: &impl AsFd, offset: u64, len: usize, protection: ProtFlags) -> Result<Mapping, Error> {
        // SAFETY: a new shared mapping at an address that the kernel chooses; nothing else of this process is there.
        let at = unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, ring, offset) };
        let at = at.context("mapping a ring")?;
        let at = NonNull::new(at.cast()).ok_or(rustix::io::Errno::FAULT).context("mapping a ring")?;
        Ok(Mapping { at, len })
    }

    /// The position that stands at its begin.
    fn position(&self) -> &AtomicU64 {
        // SAFETY: a page begins with the position as an unsigned long, aligned, for as long as the mapping lives.
        unsafe { &*self.at.as_ptr().cast::<AtomicU64>() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this address and length, and no reference into it outlives its owner.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
        if let Err(error) = unmapped {
            tracing::debug!(%error, "a ring stays mapped");
        }
    }
}

/// A whole record: its header, and where its bytes are in the mapping.
#[derive(Clone, Copy)]
struct Whole {
    header: u32,
    offset: usize,
    len: usize,
}

/// One ring.
pub(crate) struct Ring {
    reader: Mapping,
    writer: Mapping,
    size: u64,
    /// Where the data begins in `writer`.
    data: usize,
    /// The next record.
    at: u64,
    /// Up to where the kernel was told that this side has read.
    told: u64,
    /// Up to where the current turn reads.
    end: u64,
}

impl Ring {
    /// Maps a ring of `size` bytes. It must have no other reader.
    pub(crate) fn new(ring: &impl AsFd, size: u64) -> Result<Ring, Error> {
        let page = rustix::param::page_size();
        let reader = Mapping::new(ring, 0, page, ProtFlags::READ | ProtFlags::WRITE)?;
        let len = page + 2 * usize::try_from(size).unwrap_or(usize::MAX / 4);
        let writer = Mapping::new(ring, page as u64, len, ProtFlags::READ)?;
        let at = reader.position().load(Ordering::Acquire);
        Ok(Ring { reader, writer, size, data: page, at, told: at, end: at })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Begins a turn: what is in the ring now will be read. Gives the number of bytes.
    fn begin(&mut self) -> u64 {
        self.end = self.writer.position().load(Ordering::Acquire);
        self.end - self.at
    }

    /// Where the next record's header lies in the mapping.
    fn offset(&self) -> usize {
        self.data + (self.at & (self.size - 1)) as usize
    }

    /// The next whole record of this turn.
    fn next(&mut self) -> Option<Whole> {
        loop {
            if self.at >= self.end {
                return None;
            }
            let offset = self.offset();
            // SAFETY: the header lies within the data, aligned to eight; the kernel writes its flags as a whole.
            let header = unsafe { &*self.writer.at.as_ptr().add(offset).cast::<AtomicU32>() };
            let header = header.load(Ordering::Acquire);
            if header & BUSY != 0 {
                return None;
            }
            if header & DISCARDED == 0 {
                let len = (header as usize).min(self.size as usize - HEADER as usize);
                return Some(Whole { header, offset: offset + HEADER as usize, len });
            }
            self.pass(header);
        }
    }

    /// The bytes of the record that `next` gave last.
    fn bytes(&self, record: Whole) -> &[u8] {
        // SAFETY: a record that is not busy is not written again before its bytes are given back, which `pass` does and
        // for which this borrow has to have ended; the data is mapped twice in a row, so that a record of at most `size`
        // bytes lies within the mapping wherever it begins.
        unsafe { std::slice::from_raw_parts(self.writer.at.as_ptr().add(record.offset), record.len) }
    }

    fn pass(&mut self, header: u32) {
        let len = u64::from(header & !(BUSY | DISCARDED)) + HEADER;
        self.at += len.next_multiple_of(8);
        if self.at - self.told >= GIVE_BACK.min(self.size / 8) {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if self.told != self.at {
            self.told = self.at;
            self.reader.position().store(self.at, Ordering::Release);
        }
    }
}

/// Several rings, one a processor: their records come in the order of their time.
pub(crate) struct Rings {
    rings: Vec<Ring>,
    /// Each ring's next record and its time.
    next: Vec<Option<(u64, Whole)>>,
}

impl Rings {
    pub(crate) fn new(rings: Vec<Ring>) -> Rings {
        let next = Vec::with_capacity(rings.len());
        Rings { rings, next }
    }

    /// Bytes that they hold together.
    pub(crate) fn size(&self) -> u64 {
        self.rings.iter().map(Ring::size).sum()
    }

    /// Hands over the records that are older than `horizon`, by `stamp`: what is as young may still be overtaken by
    /// one of another ring that is being written. About `most` at a time. Gives how many they were, and how many bytes
    /// had waited.
    pub(crate) fn read(
        &mut self,
        horizon: u64,
        most: usize,
        stamp: impl Fn(&[u8]) -> u64,
        mut take: impl FnMut(&[u8]),
    ) -> (usize, u64) {
        let waited = self.rings.iter_mut().map(Ring::begin).sum();
        self.next.clear();
        let look = |ring: &mut Ring| ring.next().map(|record| (stamp(ring.bytes(record)), record));
        self.next.extend(self.rings.iter_mut().map(look));
        let mut count = 0;
        while count < most {
            let times = || self.next.iter().enumerate().filter_map(|(i, next)| Some((next.as_ref()?.0, i)));
            let Some((first, i)) = times().min().filter(|(at, _)| *at < horizon) else { break };
            // The ring stays the first until it comes behind the next one.
            let others = times().filter(|(_, j)| *j != i).map(|(at, _)| at).min();
            let until = others.unwrap_or(u64::MAX).min(horizon).max(first);
            let ring = &mut self.rings[i];
            let mut next = self.next[i];
            while let Some((at, record)) = next
                && (at <= until && at < horizon && count < most)
            {
                take(ring.bytes(record));
                count += 1;
                ring.pass(record.header);
                next = look(ring);
            }
            self.next[i] = next;
        }
        for ring in &mut self.rings {
            ring.give_back();
        }
        (count, waited)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::fd::OwnedFd;

    use super::*;

    const SIZE: u64 = 4096;

    /// What the kernel would have written: both copies of the data.
    struct Written {
        file: OwnedFd,
        at: u64,
    }

    impl Written {
        fn new() -> Written {
            let file = rustix::fs::memfd_create("ring", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
            rustix::fs::ftruncate(&file, 2 * rustix::param::page_size() as u64 + 2 * SIZE).unwrap();
            Written { file, at: 0 }
        }

        fn put(&self, offset: u64, bytes: &[u8]) {
            assert_eq!(rustix::io::pwrite(&self.file, bytes, offset).unwrap(), bytes.len());
        }

        fn record(&mut self, flags: u32, bytes: &[u8]) -> u64 {
            let page = rustix::param::page_size() as u64;
            let mut whole = (bytes.len() as u32 | flags).to_ne_bytes().to_vec();
            whole.extend([0; 4]);
            whole.extend(bytes);
            let header = self.at;
            for (i, byte) in whole.iter().enumerate() {
                let offset = (self.at + i as u64) % SIZE;
                self.put(2 * page + offset, &[*byte]);
                self.put(2 * page + SIZE + offset, &[*byte]);
            }
            self.at += (whole.len() as u64).next_multiple_of(8);
            self.put(page, &self.at.to_ne_bytes());
            header
        }

        fn told(&self) -> u64 {
            let mut bytes = [0; 8];
            assert_eq!(rustix::io::pread(&self.file, &mut bytes, 0).unwrap(), 8);
            u64::from_ne_bytes(bytes)
        }
    }

    fn rings(written: &[&Written]) -> Rings {
        Rings::new(written.iter().map(|w| Ring::new(&w.file, SIZE).unwrap()).collect())
    }

    /// Records whose first byte is their time.
    fn read(rings: &mut Rings, horizon: u64) -> Vec<Vec<u8>> {
        let mut got = Vec::new();
        rings.read(horizon, 10, |b| u64::from(b[0]), |b| got.push(b.to_vec()));
        got
    }

    #[test]
    fn so_many_are_read_at_a_time_and_the_rest_the_next() {
        let (mut a, mut b) = (Written::new(), Written::new());
        for i in 0..13 {
            if i % 3 == 0 {
                a.record(0, &[i])
            } else {
                b.record(0, &[i])
            };
        }
        let mut both = rings(&[&a, &b]);
        assert_eq!(read(&mut both, u64::MAX), (0..10).map(|i| [i]).collect::<Vec<_>>());
        assert_eq!(read(&mut both, u64::MAX), (10..13).map(|i| [i]).collect::<Vec<_>>());
    }

    #[test]
    fn records_of_several_rings_come_by_their_time_and_the_youngest_wait() {
        let (mut a, mut b) = (Written::new(), Written::new());
        for (of_a, bytes) in
            [(true, &[1, 1][..]), (true, &[4]), (false, &[2; 9]), (false, &[3]), (true, &[6]), (false, &[7])]
        {
            if of_a {
                a.record(0, bytes)
            } else {
                b.record(0, bytes)
            };
        }
        let mut both = rings(&[&a, &b]);
        assert_eq!(both.size(), 2 * SIZE);
        assert_eq!(read(&mut both, 7), [&[1, 1][..], &[2; 9], &[3], &[4], &[6]]);
        assert_eq!(a.told(), a.at);
        // Later ones of the other ring come first where they are older.
        a.record(0, &[5]);
        assert_eq!(read(&mut both, u64::MAX), [[5], [7]]);
        assert_eq!((a.told(), b.told()), (a.at, b.at));
        assert!(read(&mut both, u64::MAX).is_empty());
    }

    #[test]
    fn what_is_being_written_is_waited_for_and_what_was_given_up_is_passed() {
        let mut a = Written::new();
        a.record(DISCARDED, &[1]);
        a.record(0, &[2]);
        let busy = a.record(BUSY, &[3]);
        a.record(0, &[4]);
        let mut one = rings(&[&a]);
        assert_eq!(read(&mut one, u64::MAX), [[2]]);
        let page = rustix::param::page_size() as u64;
        a.put(2 * page + busy, &1u32.to_ne_bytes());
        assert_eq!(read(&mut one, u64::MAX), [[3], [4]]);
    }

    #[test]
    fn a_record_is_whole_where_the_ring_begins_anew() {
        let mut a = Written::new();
        let mut one = rings(&[&a]);
        for round in 0..20u8 {
            let record = [round; 1000];
            a.record(0, &record);
            assert_eq!(read(&mut one, u64::MAX), [record]);
            assert_eq!(a.told(), a.at);
        }
    }
}
