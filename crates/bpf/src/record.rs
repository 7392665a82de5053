use crate::abi::{
    ConnRecord, DataRecord, EndRecord, ExecRecord, ExitRecord, ForkRecord, ListenRecord, SampleRecord,
    TrafficRecord, kind,
};

/// A record as it lies in a ring.
#[derive(Debug)]
pub enum Record<'a> {
    /// Who a connection is.
    Conn(ConnRecord),
    /// Bytes of a connection that is read, and the part of them that was captured.
    Data(DataRecord, &'a [u8]),
    /// End of stream, error or close.
    End(EndRecord),
    /// First bytes of a connection that is not read.
    Sample(SampleRecord, &'a [u8]),
    /// Byte counts of a connection that is not read.
    Traffic(TrafficRecord),
    /// A process began to run a program.
    Exec(Box<ExecRecord>),
    /// A process was forked.
    Fork(ForkRecord),
    /// A process ended.
    Exit(ExitRecord),
    /// A process began to listen.
    Listen(ListenRecord),
}

/// Types of `abi`: C layout, every bit pattern valid.
pub(crate) trait Plain: Copy {}
impl Plain for ConnRecord {}
impl Plain for DataRecord {}
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
impl Plain for crate::abi::LiveSettings {}

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

/// The bytes of a value.
pub(crate) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: the reference is valid for `size_of::<T>()` bytes; the types have no padding that is not named.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }
}

impl<'a> Record<'a> {
    /// Reads a record; `None` when it is shorter than its type says or of no known type.
    pub fn parse(bytes: &'a [u8]) -> Option<Record<'a>> {
        Some(match *bytes.first()? {
            kind::DATA => {
                let (r, rest) = read::<DataRecord>(bytes)?;
                Record::Data(r, rest.get(..r.cap as usize)?)
            }
            kind::CONN => Record::Conn(read(bytes)?.0),
            kind::END => Record::End(read(bytes)?.0),
            kind::SAMPLE => {
                let (r, rest) = read::<SampleRecord>(bytes)?;
                Record::Sample(r, rest.get(..r.cap as usize)?)
            }
            kind::TRAFFIC => Record::Traffic(read(bytes)?.0),
            kind::EXEC => Record::Exec(Box::new(read(bytes)?.0)),
            kind::FORK => Record::Fork(read(bytes)?.0),
            kind::EXIT => Record::Exit(read(bytes)?.0),
            kind::LISTEN => Record::Listen(read(bytes)?.0),
            _ => return None,
        })
    }
}
