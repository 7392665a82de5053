use bytes::Bytes;

/// Protobuf wire types.
pub(crate) const VARINT: u32 = 0;
pub(crate) const I64: u32 = 1;
pub(crate) const LEN: u32 = 2;
pub(crate) const I32: u32 = 5;

/// A protobuf writer that fills its buffer from the end to the front: when a message's length is to be
/// written its content stands already, so that one pass is enough and nothing is measured first.
///
/// Callers write the fields of a message, and the items of a list, last first.
pub(crate) struct Writer {
    buf: Vec<u8>,
    /// What is written is `buf[at..]`.
    at: usize,
}

impl Writer {
    /// A writer with room for `capacity` bytes; it grows when that was not enough.
    pub(crate) fn with_capacity(capacity: usize) -> Writer {
        Writer { buf: vec![0; capacity], at: capacity }
    }

    /// Bytes written so far: taken before a message's content is written, for [`Writer::close`].
    pub(crate) fn mark(&self) -> usize {
        self.buf.len() - self.at
    }

    /// Puts tag and length before everything written since `mark`.
    pub(crate) fn close(&mut self, field: u32, mark: usize) {
        let len = self.mark() - mark;
        self.varint(len as u64);
        self.tag(field, LEN);
    }

    #[inline]
    pub(crate) fn tag(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.space(bytes.len()).copy_from_slice(bytes);
    }

    #[inline]
    pub(crate) fn varint(&mut self, mut v: u64) {
        if v < 0x80 {
            self.space(1)[0] = v as u8;
            return;
        }
        let out = self.space(varint_len(v));
        for b in out.iter_mut() {
            *b = v as u8 | 0x80;
            v >>= 7;
        }
        if let Some(last) = out.last_mut() {
            *last &= 0x7f;
        }
    }

    /// A length-delimited field, whatever its content.
    #[inline]
    pub(crate) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.raw(bytes);
        self.varint(bytes.len() as u64);
        self.tag(field, LEN);
    }

    /// A string field; an empty string is the default and not written.
    #[inline]
    pub(crate) fn string(&mut self, field: u32, s: &str) {
        if !s.is_empty() {
            self.bytes(field, s.as_bytes());
        }
    }

    /// A varint field, also when 0.
    #[inline]
    pub(crate) fn uint(&mut self, field: u32, v: u64) {
        self.varint(v);
        self.tag(field, VARINT);
    }

    /// A zigzag field; 0 is the default and not written.
    pub(crate) fn sint(&mut self, field: u32, v: i32) {
        if v != 0 {
            self.uint(field, u64::from((v << 1 ^ v >> 31) as u32));
        }
    }

    /// A 64-bit field, also when 0.
    #[inline]
    pub(crate) fn fixed64(&mut self, field: u32, v: u64) {
        self.raw(&v.to_le_bytes());
        self.tag(field, I64);
    }

    /// A floating point field, also when 0.
    #[inline]
    pub(crate) fn double(&mut self, field: u32, v: f64) {
        self.fixed64(field, v.to_bits());
    }

    /// A 32-bit field; 0 is the default and not written.
    #[inline]
    pub(crate) fn fixed32(&mut self, field: u32, v: u32) {
        if v != 0 {
            self.raw(&v.to_le_bytes());
            self.tag(field, I32);
        }
    }

    /// What was written. A buffer of which an eighth stayed empty gives its room back: requests may wait long.
    pub(crate) fn finish(self) -> Bytes {
        if self.at > self.buf.len() / 8 {
            return Bytes::copy_from_slice(&self.buf[self.at..]);
        }
        Bytes::from(self.buf).slice(self.at..)
    }

    /// The `n` bytes before what is written, now part of it.
    #[inline]
    pub(crate) fn space(&mut self, n: usize) -> &mut [u8] {
        if self.at < n {
            self.grow(n);
        }
        self.at -= n;
        let at = self.at;
        &mut self.buf[at..at + n]
    }

    #[cold]
    fn grow(&mut self, n: usize) {
        let written = self.mark();
        let size = (self.buf.len() * 2).max(written + n).max(256);
        let mut bigger = vec![0; size];
        bigger[size - written..].copy_from_slice(&self.buf[self.at..]);
        self.at = size - written;
        self.buf = bigger;
    }
}

/// Bytes that a varint takes.
#[inline]
pub(crate) fn varint_len(v: u64) -> usize {
    // 7 bits a byte, at least one: ceil(bits / 7), without a division by seven.
    ((64 - (v | 1).leading_zeros()) as usize * 9 + 64) / 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(f: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut w = Writer::with_capacity(0);
        f(&mut w);
        w.finish().to_vec()
    }

    #[test]
    fn varints_are_those_of_the_encoding_guide() {
        assert_eq!(written(|w| w.varint(0)), [0]);
        assert_eq!(written(|w| w.varint(127)), [0x7f]);
        assert_eq!(written(|w| w.varint(128)), [0x80, 0x01]);
        assert_eq!(written(|w| w.varint(150)), [0x96, 0x01]);
        assert_eq!(written(|w| w.varint(u64::MAX)), [[0xff; 9].as_slice(), &[1]].concat());
        for bits in 0..64 {
            let v = 1u64 << bits;
            assert_eq!(varint_len(v), bits / 7 + 1, "{v}");
            assert_eq!(written(|w| w.varint(v)).len(), bits / 7 + 1);
        }
    }

    #[test]
    fn signed_numbers_zigzag_and_defaults_are_not_written() {
        assert_eq!(written(|w| w.sint(6, -1)), [0x30, 1]);
        assert_eq!(written(|w| w.sint(6, 2)), [0x30, 4]);
        assert_eq!(written(|w| w.sint(6, i32::MIN)), [0x30, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(
            written(|w| {
                w.sint(6, 0);
                w.string(1, "");
                w.fixed32(2, 0);
            }),
            [0u8; 0]
        );
    }

    #[test]
    fn a_full_buffer_grows_and_a_half_empty_one_is_given_back() {
        let long = vec![7; 1000];
        let out = written(|w| {
            w.raw(&long);
            w.bytes(1, b"ab");
        });
        assert_eq!(out[..4], [0x0a, 2, b'a', b'b']);
        assert_eq!(out[4..], long);
        let mut w = Writer::with_capacity(1000);
        w.uint(1, 150);
        assert_eq!(w.finish()[..], [0x08, 0x96, 0x01]);
    }
}
