use crate::abi::{
    ConnRecord, DataRecord, EndRecord, ExchangeRecord, ExecRecord, ExitRecord, ForkRecord, ListenRecord,
    SampleRecord, TrafficRecord, kind,
};

/// A record where it lies in a ring.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// Who a connection is.
    Conn(&'a ConnRecord),
    /// Bytes of a connection that is read, and the part of them that was captured.
    Data(&'a DataRecord, &'a [u8]),
    /// A request and its response.
    Exchange(&'a ExchangeRecord),
    /// End of stream, error or close.
    End(&'a EndRecord),
    /// First bytes of a connection that is not read.
    Sample(&'a SampleRecord, &'a [u8]),
    /// Byte counts of a connection that is not read.
    Traffic(&'a TrafficRecord),
    /// A process began to run a program.
    Exec(&'a ExecRecord),
    /// A process was forked.
    Fork(&'a ForkRecord),
    /// A process ended.
    Exit(&'a ExitRecord),
    /// A process began to listen.
    Listen(&'a ListenRecord),
}

/// Types of `abi`: C layout, every bit pattern valid.
pub(crate) trait Plain: Copy {}
impl Plain for ConnRecord {}
impl Plain for DataRecord {}
impl Plain for ExchangeRecord {}
impl Plain for EndRecord {}
impl Plain for SampleRecord {}
impl Plain for TrafficRecord {}
impl Plain for ExecRecord {}
impl Plain for ForkRecord {}
impl Plain for ExitRecord {}
impl Plain for ListenRecord {}
impl Plain for crate::abi::FoundSocket {}
impl Plain for crate::abi::ProcState {}
impl Plain for crate::abi::Verdict {}
impl Plain for u64 {}

/// Reads a value from the front of `bytes`, and gives what follows.
pub(crate) fn read<T: Plain>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let size = size_of::<T>();
    if bytes.len() < size {
        return None;
    }
    // SAFETY: `bytes` holds at least `size_of::<T>()` bytes, `T` is plain data, and the read needs no alignment.
    let value = unsafe { bytes.as_ptr().cast::<T>().read_unaligned() };
    Some((value, &bytes[size..]))
}

/// A value where it lies, at the front of `bytes`, and what follows. Records lie at multiples of eight.
#[inline]
fn view<T: Plain>(bytes: &[u8]) -> Option<(&T, &[u8])> {
    let at = bytes.as_ptr().cast::<T>();
    let (_, rest) = bytes.split_at_checked(size_of::<T>())?;
    if !at.is_aligned() {
        return None;
    }
    // SAFETY: `bytes` holds at least `size_of::<T>()` bytes for as long as it is borrowed, `at` is aligned, and `T` is
    // plain data.
    Some((unsafe { &*at }, rest))
}

/// The bytes of a value.
pub(crate) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: the reference is valid for `size_of::<T>()` bytes; the types have no padding that is not named.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }
}

impl<'a> Record<'a> {
    /// Reads a record; `None` when it is shorter than its type says, of no known type, or not aligned to eight.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Option<Record<'a>> {
        Some(match *bytes.first()? {
            kind::DATA => {
                let (r, rest) = view::<DataRecord>(bytes)?;
                Record::Data(r, rest.get(..r.cap as usize)?)
            }
            kind::EXCHANGE => Record::Exchange(view(bytes)?.0),
            kind::CONN => Record::Conn(view(bytes)?.0),
            kind::END => Record::End(view(bytes)?.0),
            kind::SAMPLE => {
                let (r, rest) = view::<SampleRecord>(bytes)?;
                Record::Sample(r, rest.get(..r.cap as usize)?)
            }
            kind::TRAFFIC => Record::Traffic(view(bytes)?.0),
            kind::EXEC => Record::Exec(view(bytes)?.0),
            kind::FORK => Record::Fork(view(bytes)?.0),
            kind::EXIT => Record::Exit(view(bytes)?.0),
            kind::LISTEN => Record::Listen(view(bytes)?.0),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// The bytes of an end of stream, at a multiple of eight.
    fn at_eight(extra: usize) -> Vec<u64> {
        let words = (size_of::<EndRecord>() + extra).div_ceil(8);
        let mut bytes = vec![0u64; words + 1];
        bytes[0] = u64::from_ne_bytes([kind::END, crate::abi::end::EOF, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_record_is_seen_where_it_lies_whole_and_aligned() {
        let words = at_eight(1);
        let bytes = words.as_slice().as_ptr().cast::<u8>();
        // SAFETY: the bytes of the words.
        let bytes = unsafe { std::slice::from_raw_parts(bytes, words.len() * 8) };
        let Record::End(r) = Record::parse(&bytes[..size_of::<EndRecord>()]).unwrap() else {
            panic!("an end")
        };
        assert_eq!((r.kind, r.what), (kind::END, crate::abi::end::EOF));
        assert!(Record::parse(&bytes[..size_of::<EndRecord>() - 1]).is_none());
        let moved = [&[0][..], &bytes[..size_of::<EndRecord>()]].concat();
        let odd = &moved[1..];
        assert_eq!(Record::parse(odd).is_some(), odd.as_ptr().cast::<EndRecord>().is_aligned());
        assert!(Record::parse(&[]).is_none());
        assert!(Record::parse(&[255; 512]).is_none());
    }
}
