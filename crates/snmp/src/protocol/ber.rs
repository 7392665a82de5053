use super::oid;

/// Tags of BER as SNMP uses them.
#[allow(missing_docs, reason = "named after the types of RFC 3416")]
pub mod tag {
    pub const INTEGER: u8 = 0x02;
    pub const OCTETS: u8 = 0x04;
    pub const NULL: u8 = 0x05;
    pub const OID: u8 = 0x06;
    pub const SEQUENCE: u8 = 0x30;
    pub const IP: u8 = 0x40;
    pub const COUNTER32: u8 = 0x41;
    pub const GAUGE32: u8 = 0x42;
    pub const TICKS: u8 = 0x43;
    pub const OPAQUE: u8 = 0x44;
    pub const NSAP: u8 = 0x45;
    pub const COUNTER64: u8 = 0x46;
    pub const UINTEGER32: u8 = 0x47;
    pub const NO_SUCH_OBJECT: u8 = 0x80;
    pub const NO_SUCH_INSTANCE: u8 = 0x81;
    pub const END_OF_MIB_VIEW: u8 = 0x82;
    pub const GET: u8 = 0xa0;
    pub const GET_NEXT: u8 = 0xa1;
    pub const RESPONSE: u8 = 0xa2;
    pub const SET: u8 = 0xa3;
    pub const TRAP_V1: u8 = 0xa4;
    pub const GET_BULK: u8 = 0xa5;
    pub const INFORM: u8 = 0xa6;
    pub const TRAP_V2: u8 = 0xa7;
    pub const REPORT: u8 = 0xa8;
}

/// Why bytes are no SNMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A length goes beyond what is there.
    #[error("truncated")]
    Truncated,
    /// A length in a form that SNMP does not use, or of more than 31 bits.
    #[error("bad length")]
    BadLength,
    /// Another tag was due.
    #[error("expected tag {expected:#04x}, found {found:#04x}")]
    WrongTag {
        /// What was due.
        expected: u8,
        /// What is there.
        found: u8,
    },
    /// A value of a type that SNMP does not have.
    #[error("unknown type {0:#04x}")]
    UnknownType(u8),
    /// The content is too long or too short for the type.
    #[error("wrong length of {0}")]
    WrongLength(&'static str),
    /// An object identifier with a broken or oversized arc.
    #[error("bad object identifier")]
    BadOid,
    /// Something follows the end.
    #[error("trailing bytes")]
    Trailing,
    /// A version other than 1, 2c and 3.
    #[error("unknown version {0}")]
    UnknownVersion(i64),
    /// A field of the header has a value that it cannot have.
    #[error("bad {0}")]
    BadField(&'static str),
}

/// Deviations from the standard that real agents show and that can be read without doubt. Each has a bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leniency(pub u8);

impl Leniency {
    /// Nothing is forgiven.
    pub const STRICT: Leniency = Leniency(0);
    /// All of the below.
    pub const POLLED: Leniency = Leniency(0b1_1111);
    /// An integer in more bytes than it needs, up to nine.
    pub const OVERLONG_INTEGER: Leniency = Leniency(1);
    /// An unsigned value whose highest bit is set without a zero byte before it.
    pub const UNPADDED_UNSIGNED: Leniency = Leniency(1 << 1);
    /// A number without any byte, meaning zero.
    pub const EMPTY_NUMBER: Leniency = Leniency(1 << 2);
    /// `noSuchObject` and its like with a content.
    pub const EXCEPTION_WITH_CONTENT: Leniency = Leniency(1 << 3);
    /// Bytes behind the message.
    pub const TRAILING_BYTES: Leniency = Leniency(1 << 4);

    fn contains(self, other: Leniency) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Reads BER from bytes that may be cut anywhere and lie about lengths. Nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    allowed: Leniency,
}

impl<'a> Reader<'a> {
    /// Reads these bytes.
    pub fn new(bytes: &'a [u8], allowed: Leniency) -> Reader<'a> {
        Reader { rest: bytes, allowed }
    }

    /// A reader of part of what this one reads.
    pub fn within(&self, bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, allowed: self.allowed }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on despite a deviation when it is to be forgiven.
    pub fn forgive(&self, what: Leniency, error: DecodeError) -> Result<(), DecodeError> {
        if self.allowed.contains(what) { Ok(()) } else { Err(error) }
    }

    /// The next element, whatever it is: tag and content.
    #[inline]
    pub fn any(&mut self) -> Result<(u8, &'a [u8]), DecodeError> {
        let [kind, length, rest @ ..] = self.rest else { return Err(DecodeError::Truncated) };
        let (length, rest) = match *length {
            short @ 0..=0x7f => (usize::from(short), rest),
            long @ 0x81..=0x84 => {
                let bytes = usize::from(long & 0x7f);
                let (head, rest) = rest.split_at_checked(bytes).ok_or(DecodeError::Truncated)?;
                (head.iter().fold(0usize, |n, b| n << 8 | usize::from(*b)), rest)
            }
            _ => return Err(DecodeError::BadLength),
        };
        if length > i32::MAX as usize {
            return Err(DecodeError::BadLength);
        }
        let (content, rest) = rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok((*kind, content))
    }

    /// The content of the next element, which has this tag.
    #[inline]
    pub fn expect(&mut self, expected: u8) -> Result<&'a [u8], DecodeError> {
        let (found, content) = self.any()?;
        if found == expected { Ok(content) } else { Err(DecodeError::WrongTag { expected, found }) }
    }

    /// A reader of the next element's content, which has this tag.
    pub fn enter(&mut self, expected: u8) -> Result<Reader<'a>, DecodeError> {
        let content = self.expect(expected)?;
        Ok(self.within(content))
    }

    /// An `INTEGER` of 32 bits.
    pub fn int(&mut self) -> Result<i32, DecodeError> {
        let content = self.expect(tag::INTEGER)?;
        i32::try_from(self.signed(content)?).map_err(|_| DecodeError::WrongLength("INTEGER"))
    }

    /// An object identifier.
    #[inline]
    pub fn oid(&mut self) -> Result<&'a [u8], DecodeError> {
        let content = self.expect(tag::OID)?;
        self.sound_oid(content)
    }

    /// This content when it is a sound object identifier.
    #[inline]
    pub fn sound_oid(&self, content: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        if oid::is_valid(content) { Ok(content) } else { Err(DecodeError::BadOid) }
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    /// A signed number from its content.
    #[inline]
    pub fn signed(&self, content: &[u8]) -> Result<i64, DecodeError> {
        let error = DecodeError::WrongLength("INTEGER");
        let Some(first) = content.first() else {
            self.forgive(Leniency::EMPTY_NUMBER, error)?;
            return Ok(0);
        };
        let overlong = matches!(content, [0, b, ..] if b & 0x80 == 0)
            || matches!(content, [0xff, b, ..] if b & 0x80 != 0);
        if overlong || content.len() > 4 {
            self.forgive(Leniency::OVERLONG_INTEGER, error)?;
        }
        if content.len() > 8 {
            return Err(error);
        }
        let sign = if first & 0x80 == 0 { 0 } else { -1i64 };
        Ok(content.iter().fold(sign, |n, b| n << 8 | i64::from(*b)))
    }

    /// An unsigned number of 64 bits from its content.
    #[inline]
    pub fn unsigned(&self, content: &[u8]) -> Result<u64, DecodeError> {
        let error = DecodeError::WrongLength("unsigned number");
        match content {
            [] => self.forgive(Leniency::EMPTY_NUMBER, error)?,
            [0, second, ..] if second & 0x80 == 0 => self.forgive(Leniency::OVERLONG_INTEGER, error)?,
            [first, ..] if first & 0x80 != 0 => self.forgive(Leniency::UNPADDED_UNSIGNED, error)?,
            _ => {}
        }
        let digits = match content {
            [0, rest @ ..] => rest,
            all => all,
        };
        if digits.len() > 8 {
            return Err(error);
        }
        Ok(digits.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    /// An unsigned number of 32 bits from its content. Agents that extend the sign to more bytes are understood.
    #[inline]
    pub fn unsigned32(&self, content: &[u8]) -> Result<u32, DecodeError> {
        let error = DecodeError::WrongLength("number of 32 bits");
        let wide = self.unsigned(content)?;
        if let Ok(v) = u32::try_from(wide) {
            return Ok(v);
        }
        // 0xffffffff and a negative number of 32 bits: the low half is the value.
        let extended = content.len() > 4 && content[..content.len() - 4].iter().all(|b| *b == 0xff);
        if extended {
            self.forgive(Leniency::UNPADDED_UNSIGNED, error)?;
            return Ok(wide as u32);
        }
        Err(error)
    }
}

/// Writes BER from the end to the beginning, so that lengths are known when they are due. Reused, it allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    buf: Vec<u8>,
    at: usize,
}

impl Writer {
    /// An empty one.
    pub fn new() -> Writer {
        Writer { buf: vec![0; 2048], at: 2048 }
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.at = self.buf.len();
    }

    /// What was written so far.
    pub fn written(&self) -> &[u8] {
        &self.buf[self.at..]
    }

    /// What was written so far, to be changed in place.
    pub fn written_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.at..]
    }

    /// Number of bytes written so far: a place to measure a length from.
    #[inline]
    pub fn mark(&self) -> usize {
        self.buf.len() - self.at
    }

    /// Forgets what was written after this mark.
    pub fn drop_back_to(&mut self, mark: usize) {
        self.at = self.buf.len() - mark.min(self.mark());
    }

    /// Bytes before what is written.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        if self.at < bytes.len() {
            self.grow(bytes.len());
        }
        let from = self.at - bytes.len();
        self.buf[from..self.at].copy_from_slice(bytes);
        self.at = from;
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let written = self.mark();
        let size = (self.buf.len() * 2).max(written + more).max(2048);
        let mut bigger = vec![0; size];
        bigger[size - written..].copy_from_slice(&self.buf[self.at..]);
        self.at = size - written;
        self.buf = bigger;
    }

    /// Length and tag before the `length` bytes just written.
    #[inline]
    pub fn head(&mut self, kind: u8, length: usize) {
        match length {
            0..=0x7f => self.raw(&[kind, length as u8]),
            0x80..=0xff => self.raw(&[kind, 0x81, length as u8]),
            0x100..=0xffff => self.raw(&[kind, 0x82, (length >> 8) as u8, length as u8]),
            _ => {
                let [a, b, c, d] = (length as u32).to_be_bytes();
                self.raw(&[kind, 0x84, a, b, c, d]);
            }
        }
    }

    /// Length and tag before everything written since the mark.
    #[inline]
    pub fn close(&mut self, kind: u8, since: usize) {
        self.head(kind, self.mark() - since);
    }

    /// An element.
    #[inline]
    pub fn field(&mut self, kind: u8, content: &[u8]) {
        self.raw(content);
        self.head(kind, content.len());
    }

    /// A signed number in its shortest form.
    pub fn signed(&mut self, kind: u8, v: i64) {
        let bytes = v.to_be_bytes();
        let spare = if v < 0 { (!v).leading_zeros() } else { v.leading_zeros() };
        let skip = ((spare.saturating_sub(1)) / 8) as usize;
        self.field(kind, &bytes[skip.min(7)..]);
    }

    /// An unsigned number in its shortest form.
    pub fn unsigned(&mut self, kind: u8, v: u64) {
        let mut bytes = [0; 9];
        bytes[1..].copy_from_slice(&v.to_be_bytes());
        let skip = v.leading_zeros().div_ceil(8) as usize;
        self.field(kind, &bytes[skip.min(8)..]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Value;
    use super::*;

    fn round(v: Value<'_>) -> Vec<u8> {
        let mut out = Writer::default();
        v.write(&mut out);
        assert_eq!(Value::read(&mut Reader::new(out.written(), Leniency::STRICT)), Ok(v));
        out.written().to_vec()
    }

    #[test]
    fn numbers_take_their_shortest_form_and_come_back() {
        assert_eq!(round(Value::Int(0)), [2, 1, 0]);
        assert_eq!(round(Value::Int(-1)), [2, 1, 0xff]);
        assert_eq!(round(Value::Int(128)), [2, 2, 0, 0x80]);
        assert_eq!(round(Value::Int(-128)), [2, 1, 0x80]);
        assert_eq!(round(Value::Int(-129)), [2, 2, 0xff, 0x7f]);
        assert_eq!(round(Value::Int(i64::from(i32::MIN))), [2, 4, 0x80, 0, 0, 0]);
        assert_eq!(round(Value::Counter32(u32::MAX)), [0x41, 5, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(round(Value::Gauge32(0)), [0x42, 1, 0]);
        assert_eq!(round(Value::Counter64(u64::MAX)).len(), 11);
        assert_eq!(round(Value::Counter64(1 << 31)), [0x46, 5, 0, 0x80, 0, 0, 0]);
        round(Value::Ticks(127));
        round(Value::Octets(&[7; 300]));
        round(Value::EndOfMibView);
    }

    #[test]
    fn each_deviation_has_a_name_and_is_an_error_without_it() {
        for (bytes, need, value) in [
            (&[0x02u8, 2, 0, 1][..], Leniency::OVERLONG_INTEGER, Value::Int(1)),
            (&[0x02, 5, 0xff, 0xff, 0xff, 0xff, 0xfe], Leniency::OVERLONG_INTEGER, Value::Int(-2)),
            (&[0x41, 4, 0xff, 0, 0, 0], Leniency::UNPADDED_UNSIGNED, Value::Counter32(0xff00_0000)),
            (
                &[0x41, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 1],
                Leniency::UNPADDED_UNSIGNED,
                Value::Counter32(0xff00_0001),
            ),
            (&[0x46, 0], Leniency::EMPTY_NUMBER, Value::Counter64(0)),
            (&[0x80, 1, 9], Leniency::EXCEPTION_WITH_CONTENT, Value::NoSuchObject),
        ] {
            let with = |l| Value::read(&mut Reader::new(bytes, l));
            assert_eq!(with(need), Ok(value), "{bytes:x?}");
            assert_eq!(with(Leniency::POLLED), Ok(value), "{bytes:x?}");
            assert!(with(Leniency::STRICT).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn lying_lengths_are_errors() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 5, 0],
            &[0x30, 0x80],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x04, 0x82, 1],
            &[0x02, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1],
            &[0x41, 5, 1, 0, 0, 0, 0],
            &[0x46, 10, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1],
            &[0x40, 3, 1, 2, 3],
            &[0x06, 2, 0x2b, 0x80],
            &[0x13, 0],
        ] {
            assert!(Value::read(&mut Reader::new(bytes, Leniency::POLLED)).is_err(), "{bytes:x?}");
        }
    }
}
