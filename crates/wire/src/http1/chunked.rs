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

/// How the end of the body will be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Every byte of framing was seen so far.
    Exact,
    /// The kernel half counts, and will tell the end.
    Counted,
    /// The place within the framing is lost: only the last chunk's own bytes tell the end.
    Blind,
}

/// Where a chunked body stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunked {
    mode: Mode,
    state: State,
    size: u64,
    digits: u8,
    /// Bytes of data so far.
    body: u64,
    /// The last bytes seen while blind, the newest in the lowest byte, and how many of them are known.
    last: u64,
    known: u8,
}

/// What ends a message of which nothing more is known.
const LAST_CHUNK: &[u8; 5] = b"0\r\n\r\n";

impl Chunked {
    /// A body of which nothing was seen; `counted` when the kernel half says that it counts.
    pub(crate) fn new(counted: bool) -> Chunked {
        let mode = if counted { Mode::Counted } else { Mode::Exact };
        Chunked { mode, state: State::Size, size: 0, digits: 0, body: 0, last: 0, known: 0 }
    }

    /// Bytes of data, when none went by uncounted.
    pub(crate) fn body(&self) -> Option<u64> {
        (self.mode != Mode::Blind).then_some(self.body)
    }

    /// Whether the end may go by unseen.
    pub(crate) fn unsure(&self) -> bool {
        self.mode != Mode::Exact
    }

    /// Whether the kernel half counts: then it does not tell of each call.
    pub(crate) fn counted(&self) -> bool {
        self.mode == Mode::Counted
    }

    /// Whether the place within the framing is lost.
    pub(crate) fn blind(&self) -> bool {
        self.mode == Mode::Blind
    }

    /// Whether the message may have ended with the last byte: trailers end with an empty line too.
    pub(crate) fn may_have_ended(&self) -> bool {
        let known = usize::from(self.known.min(4));
        let window = self.last.to_be_bytes();
        self.blind() && window[8 - known..] == b"\r\n\r\n"[4 - known..]
    }

    /// The kernel half counts this message: `body` bytes so far, `ended` when that is all.
    pub(crate) fn count(&mut self, body: u64, ended: bool) -> bool {
        self.mode = Mode::Counted;
        self.body = body;
        ended
    }

    /// Takes a segment of `len` bytes: `data` is its captured begin, `tail` its last eight bytes. Gives how many of
    /// them belong to the body when it ends among them.
    pub(crate) fn take(
        &mut self,
        data: &[u8],
        len: u64,
        tail: Option<[u8; 8]>,
    ) -> Result<Option<u64>, Garbage> {
        if self.mode == Mode::Counted {
            // A call that the kernel half did not count any more.
            self.lose_place();
        }
        if self.mode == Mode::Exact {
            if let Some(end) = self.bytes(data)? {
                return Ok(Some(end as u64));
            }
        } else {
            self.see(data);
        }
        let dark = len - data.len() as u64;
        if dark > 0 {
            return Ok(self.dark(dark, tail)?.map(|end| data.len() as u64 + end));
        }
        Ok(self.ends_blind().then_some(len))
    }

    /// Bytes of which nothing is known went by.
    pub(crate) fn missing(&mut self, n: u64) {
        match (self.mode, self.state) {
            // Calls inside a counted body are not told one by one.
            (Mode::Counted, _) => {}
            (Mode::Exact, State::Data(left)) if n < left => self.data(left, n),
            _ => self.lose_place(),
        }
    }

    /// Takes `n` bytes that were not captured; `tail` are the last eight before the segment's end.
    fn dark(&mut self, n: u64, tail: Option<[u8; 8]>) -> Result<Option<u64>, Garbage> {
        if self.mode == Mode::Exact {
            let seen = if tail.is_some() { n.min(8) } else { 0 };
            let unseen = n - seen;
            let known = tail.unwrap_or_default();
            let known = &known[8 - seen as usize..];
            match self.state {
                State::Data(left) if unseen <= left => self.data(left, unseen),
                _ if unseen == 0 => {}
                _ => {
                    self.lose_place();
                    return Ok(self.dark_end(n, tail));
                }
            }
            return Ok(self.bytes(known)?.map(|end| unseen + end as u64));
        }
        Ok(self.dark_end(n, tail))
    }

    fn dark_end(&mut self, n: u64, tail: Option<[u8; 8]>) -> Option<u64> {
        (self.last, self.known) = tail.map_or((0, 0), |t| (u64::from_be_bytes(t), 8));
        self.ends_blind().then_some(n)
    }

    /// Counts `n` of the `left` bytes of the chunk's data.
    fn data(&mut self, left: u64, n: u64) {
        self.body = self.body.saturating_add(n);
        self.state = if left == n { State::DataEnd } else { State::Data(left - n) };
    }

    fn lose_place(&mut self) {
        self.mode = Mode::Blind;
        (self.last, self.known) = (0, 0);
    }

    /// Keeps the last bytes seen while blind.
    fn see(&mut self, data: &[u8]) {
        for b in &data[data.len().saturating_sub(8)..] {
            self.last = self.last << 8 | u64::from(*b);
            self.known = (self.known + 1).min(8);
        }
    }

    /// Whether the bytes seen end with a line of zeros and an empty line; what lies before the known ones is believed
    /// to be the end of the line before.
    fn ends_blind(&self) -> bool {
        let window = self.last.to_be_bytes();
        let known = &window[8 - usize::from(self.known)..];
        let Some(before) = known.strip_suffix(LAST_CHUNK.as_slice()) else { return false };
        self.blind() && before.iter().rev().find(|b| **b != b'0').is_none_or(|b| *b == b'\n')
    }

    /// Takes captured bytes; gives how many of them belong to the body when it ends among them.
    fn bytes(&mut self, data: &[u8]) -> Result<Option<usize>, Garbage> {
        let mut i = 0;
        while i < data.len() {
            let b = data[i];
            i += 1;
            match self.state {
                State::Size => match b {
                    b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => {
                        let digit = char::from(b).to_digit(16).map_or(0, u64::from);
                        if self.size >> 60 != 0 || self.digits == u8::MAX {
                            return Err(Garbage::ChunkSize);
                        }
                        self.size = self.size << 4 | digit;
                        self.digits += 1;
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
                    self.data(left, take);
                    i += take as usize - 1;
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

    fn sized(&mut self) {
        self.state = if self.size == 0 { State::TrailerStart } else { State::Data(self.size) };
        self.size = 0;
        self.digits = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(c: &mut Chunked, data: &[u8]) -> Result<Option<u64>, Garbage> {
        c.take(data, data.len() as u64, None)
    }

    fn dark(c: &mut Chunked, len: u64, tail: Option<[u8; 8]>) -> Option<u64> {
        c.take(b"", len, tail).unwrap()
    }

    #[test]
    fn a_body_ends_at_the_same_byte_however_it_is_cut() {
        let body = b"5;x=y\r\nhello\r\n0A\r\n0123456789\r\n0\r\nTrailer: v\r\n\r\nGET";
        let end = body.len() - 3;
        for cut in 1..end {
            let mut c = Chunked::new(false);
            assert_eq!(whole(&mut c, &body[..cut]), Ok(None), "{cut}");
            assert_eq!(whole(&mut c, &body[cut..]), Ok(Some((end - cut) as u64)), "{cut}");
            assert_eq!(c.body(), Some(15));
        }
    }

    #[test]
    fn the_last_chunk_is_seen_by_its_tail_and_over_small_pieces() {
        let mut c = Chunked::new(false);
        assert_eq!(dark(&mut c, 5000, Some(*b"abcdefgh")), None);
        assert_eq!(dark(&mut c, 100, Some(*b"x\r\n0\r\n\r\n")), Some(100));
        assert_eq!(c.body(), None);
        for cut in 1..5 {
            let mut c = Chunked::new(false);
            assert_eq!(dark(&mut c, 5000, Some(*b"abcdef\r\n")), None);
            assert_eq!(whole(&mut c, &LAST_CHUNK[..cut]), Ok(None));
            assert_eq!(whole(&mut c, &LAST_CHUNK[cut..]), Ok(Some(5 - cut as u64)));
        }
    }

    #[test]
    fn a_last_chunk_behind_bytes_that_nobody_saw_ends_the_body() {
        let mut c = Chunked::new(false);
        assert_eq!(dark(&mut c, 5000, None), None);
        assert_eq!(whole(&mut c, b"0\r\n\r\n"), Ok(Some(5)));
    }

    #[test]
    fn data_that_ends_like_a_last_chunk_does_not_end_a_dark_body() {
        for (tail, ends) in [
            (b"yy10\r\n\r\n", false),
            (b"x0\r\n\r\n\r\n", false),
            (b"\n000\r\n\r\n", true),
            (b"a\r\n0\r\n\r\n", true),
        ] {
            assert_eq!(dark(&mut Chunked::new(false), 5000, Some(*tail)), ends.then_some(5000), "{tail:?}");
        }
    }

    #[test]
    fn a_captured_begin_that_looks_like_the_end_is_none_when_more_follows_in_the_dark() {
        let mut c = Chunked::new(false);
        dark(&mut c, 5000, Some(*b"abcdefgh"));
        assert_eq!(c.take(b"x\r\n0\r\n\r\n", 900, Some(*b"ijklmnop")), Ok(None));
    }

    #[test]
    fn bytes_missing_inside_a_known_chunk_do_no_harm() {
        let mut c = Chunked::new(false);
        assert_eq!(whole(&mut c, b"3e8\r\nab"), Ok(None));
        assert_eq!(dark(&mut c, 90, None), None);
        c.missing(907);
        assert_eq!(whole(&mut c, b"z\r\n0\r\n\r\n"), Ok(Some(8)));
        assert_eq!(c.body(), Some(1000));
    }

    #[test]
    fn a_tail_that_holds_all_the_framing_keeps_the_size_exact() {
        let mut c = Chunked::new(false);
        assert_eq!(c.take(b"3e8\r\nab", 5 + 1000 + 7, Some(*b"z\r\n0\r\n\r\n")), Ok(Some(1012)));
        assert_eq!(c.body(), Some(1000));
        let mut c = Chunked::new(false);
        assert_eq!(c.take(b"3e8\r\nab", 5 + 1000 + 2, Some(*b"abcdef\r\n")), Ok(None));
        assert_eq!(whole(&mut c, b"0\r\n\r\n"), Ok(Some(5)));
        assert_eq!(c.body(), Some(1000));
    }

    #[test]
    fn only_an_empty_line_or_an_unseen_end_may_have_ended_a_dark_body() {
        for (tail, ended) in [(Some(*b"r: x\r\n\r\n"), true), (Some(*b"abcdef\r\n"), false), (None, true)] {
            let mut c = Chunked::new(false);
            dark(&mut c, 5000, tail);
            assert_eq!(c.may_have_ended(), ended, "{tail:?}");
        }
        let mut c = Chunked::new(false);
        c.count(7, false);
        assert!(!c.may_have_ended() && c.unsure() && c.body() == Some(7));
    }

    #[test]
    fn a_size_that_is_no_number_is_garbage() {
        assert_eq!(whole(&mut Chunked::new(false), b"xyz\r\n"), Err(Garbage::ChunkSize));
        assert_eq!(whole(&mut Chunked::new(false), b"11111111111111111\r\n"), Err(Garbage::ChunkSize));
        assert_eq!(
            whole(&mut Chunked::new(false), b"000000000000000000005\r\nhello\r\n0\r\n\r\n"),
            Ok(Some(35))
        );
    }
}
