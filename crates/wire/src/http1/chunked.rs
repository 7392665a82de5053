//! Chunked bodies (RFC 9112 7.1), byte by byte where bytes were captured and by their tails where they were not.

use super::head::Garbage;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    Data(u64),
    DataEnd,
    TrailerStart,
    Trailer,
}

/// Where a chunked body stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunked {
    state: State,
    size: u64,
    digits: u8,
    /// Bytes of data so far.
    body: u64,
    /// The place within the framing is not known any more: only the last chunk's own bytes tell the end.
    blind: bool,
    /// The last eight bytes seen, while blind.
    last: u64,
    /// The kernel half counts, and will tell the end.
    counted: bool,
}

/// "\r\n0\r\n\r\n" as the low seven bytes of a big-endian word.
const LAST_CHUNK: u64 = 0x000d_0a30_0d0a_0d0a;
const SEVEN: u64 = 0x00ff_ffff_ffff_ffff;

impl Chunked {
    pub(crate) fn new() -> Chunked {
        Chunked { state: State::Size, size: 0, digits: 0, body: 0, blind: false, last: 0, counted: false }
    }

    /// Bytes of data, when none went by uncounted.
    pub(crate) fn body(&self) -> Option<u64> {
        (!self.blind).then_some(self.body)
    }

    /// The kernel half counts this message: `body` bytes so far, `ended` when that is all.
    pub(crate) fn count(&mut self, body: u64, ended: bool) -> bool {
        self.counted = true;
        self.blind = false;
        self.body = body;
        ended
    }

    /// A call that the kernel half did not count any more: the place within the framing is lost.
    pub(crate) fn uncounted(&mut self) {
        if self.counted {
            self.counted = false;
            self.blind = true;
            self.last = 0;
        }
    }

    /// Takes captured bytes; gives how many of them belong to the body when it ends among them.
    pub(crate) fn bytes(&mut self, data: &[u8]) -> Result<Option<usize>, Garbage> {
        if self.blind {
            for b in data {
                self.last = self.last << 8 | u64::from(*b);
            }
            return Ok((self.last & SEVEN == LAST_CHUNK).then_some(data.len()));
        }
        let mut i = 0;
        while i < data.len() {
            let b = data[i];
            i += 1;
            match self.state {
                State::Size => match b {
                    b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => {
                        let digit = char::from(b).to_digit(16).map_or(0, u64::from);
                        self.size = self.size << 4 | digit;
                        self.digits += 1;
                        if self.digits > 15 {
                            return Err(Garbage::ChunkSize);
                        }
                    }
                    b'\n' if self.digits > 0 => self.sized(),
                    b'\r' | b' ' | b'\t' if self.digits > 0 => {}
                    b';' if self.digits > 0 => self.state = State::Extension,
                    _ => return Err(Garbage::ChunkSize),
                },
                State::Extension => {
                    if b == b'\n' {
                        self.sized();
                    }
                }
                State::Data(left) => {
                    let take = left.min((data.len() - i + 1) as u64);
                    self.body += take;
                    i += take as usize - 1;
                    self.state = if left == take { State::DataEnd } else { State::Data(left - take) };
                }
                State::DataEnd => match b {
                    b'\r' => {}
                    b'\n' => self.state = State::Size,
                    _ => return Err(Garbage::ChunkSize),
                },
                State::TrailerStart => match b {
                    b'\r' => {}
                    b'\n' => return Ok(Some(i)),
                    _ => self.state = State::Trailer,
                },
                State::Trailer => {
                    if b == b'\n' {
                        self.state = State::TrailerStart;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes `n` bytes that were not captured, of which the last may be known; tells whether the body ends with them.
    pub(crate) fn skip(&mut self, n: u64, tail: Option<[u8; 8]>) -> bool {
        if self.counted {
            return false;
        }
        if let (false, State::Data(left)) = (self.blind, self.state)
            && n < left
        {
            self.body += n;
            self.state = State::Data(left - n);
            return false;
        }
        self.blind = true;
        self.last = tail.map_or(0, u64::from_be_bytes);
        self.last & SEVEN == LAST_CHUNK
    }

    fn sized(&mut self) {
        self.state = if self.size == 0 { State::TrailerStart } else { State::Data(self.size) };
        self.size = 0;
        self.digits = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_at_the_same_byte_however_it_is_cut() {
        let body = b"5;x=y\r\nhello\r\n0A\r\n0123456789\r\n0\r\nTrailer: v\r\n\r\nGET";
        let end = body.len() - 3;
        for cut in 1..end {
            let mut c = Chunked::new();
            assert_eq!(c.bytes(&body[..cut]), Ok(None), "{cut}");
            assert_eq!(c.bytes(&body[cut..]), Ok(Some(end - cut)), "{cut}");
            assert_eq!(c.body(), Some(15));
        }
    }

    #[test]
    fn the_last_chunk_is_seen_by_its_tail_and_over_small_pieces() {
        let mut c = Chunked::new();
        assert!(!c.skip(5000, Some(*b"abcdefgh")));
        assert!(c.skip(100, Some(*b"x\r\n0\r\n\r\n")));
        assert_eq!(c.body(), None);
        let mut c = Chunked::new();
        assert!(!c.skip(5000, Some(*b"abcdef\r\n")));
        assert_eq!(c.bytes(b"0\r\n\r\n"), Ok(Some(5)));
    }

    #[test]
    fn bytes_missing_inside_a_known_chunk_do_no_harm() {
        let mut c = Chunked::new();
        assert_eq!(c.bytes(b"3e8\r\nab"), Ok(None));
        assert!(!c.skip(997, None));
        assert_eq!(c.bytes(b"z\r\n0\r\n\r\n"), Ok(Some(8)));
        assert_eq!(c.body(), Some(1000));
    }

    #[test]
    fn a_size_that_is_no_number_is_garbage() {
        assert_eq!(Chunked::new().bytes(b"xyz\r\n"), Err(Garbage::ChunkSize));
        assert_eq!(Chunked::new().bytes(b"11111111111111111\r\n"), Err(Garbage::ChunkSize));
    }
}
