//! Heads of messages, complete or cut: their first lines, and how they frame the body that follows.

use memchr::{memchr, memrchr};

use super::Limits;
use super::exchange::RequestHead;
use super::fields::{self, Fields, Lines, RequestFields};
use super::text::{target_text, text};
use crate::context::TraceContext;

/// Why a connection is not HTTP/1 after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// The first line is neither a request line nor a status line.
    FirstLine,
    /// Content-Length is no number, or two that differ.
    ContentLength,
    /// A chunk size is no hexadecimal number.
    ChunkSize,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    /// Until the connection ends (responses).
    Close,
    /// The head was cut before it could be told, or codes its body in a way that has no end of its own.
    Unknown,
}

/// Longest method that is believed to be one.
const METHOD_MAX: usize = 63;

/// Offset just behind the empty line that ends a head, searching from `from` on.
pub(crate) fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(n) = memchr(b'\n', bytes.get(at..)?) {
        let next = at + n + 1;
        match bytes.get(next..) {
            Some([b'\n', ..]) => return Some(next + 1),
            Some([b'\r', b'\n', ..]) => return Some(next + 2),
            _ => at = next,
        }
    }
    None
}

/// Whether the bytes may be the begin of a request: a token, a space, a target. Of no bytes nothing is known.
pub(crate) fn looks_like_request(bytes: &[u8]) -> bool {
    match memchr(b' ', &bytes[..bytes.len().min(METHOD_MAX + 1)]) {
        Some(n) => {
            n > 0 && bytes[..n].iter().all(|b| token(*b)) && bytes.get(n + 1).is_none_or(|b| *b > b' ')
        }
        None => bytes.len() <= METHOD_MAX && bytes.iter().all(|b| token(*b)),
    }
}

/// Whether the bytes of a message that began are enough to count it as a request.
pub(crate) fn is_request(bytes: &[u8]) -> bool {
    looks_like_request(bytes) && memchr(b' ', bytes).is_some_and(|n| n + 1 < bytes.len())
}

/// Whether the bytes may be the begin of a response.
pub(crate) fn looks_like_response(bytes: &[u8]) -> bool {
    let n = bytes.len().min(7);
    bytes[..n] == b"HTTP/1."[..n]
}

/// RFC 9110 5.6.2.
fn token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// A request's head, as it stands in the bytes.
pub(crate) struct Request<'a> {
    line: RequestLine<'a>,
    fields: RequestFields<'a>,
    bytes: &'a [u8],
    cut: bool,
}

impl<'a> Request<'a> {
    /// The head at the begin of `bytes`; nothing when its end is not there. `cut` when no more of it will come: then
    /// its last, unfinished line counts only when it is the first.
    #[inline]
    pub(crate) fn read(bytes: &'a [u8], cut: bool) -> Result<Option<Request<'a>>, Garbage> {
        let mut lines = Lines::new(bytes);
        let line = match (lines.first(), cut) {
            (Some(first), _) => RequestLine::read(first, true)?,
            (None, true) => RequestLine::read(bytes, false)?,
            (None, false) => return Ok(None),
        };
        let mut fields = RequestFields::default();
        loop {
            match lines.header() {
                Some([]) => break,
                Some(header) => fields.take(header),
                None if cut => break,
                None => return Ok(None),
            }
        }
        Ok(Some(Request { line, fields, bytes: &bytes[..lines.taken()], cut }))
    }

    /// How its body is framed.
    pub(crate) fn framing(&self) -> Result<Framing, Garbage> {
        match self.fields.body {
            Fields { garbage: Some(garbage), .. } => Err(garbage),
            Fields { chunked: true, .. } => Ok(Framing::Chunked),
            // A server has to refuse this and close (RFC 9112 6.3, rule 4).
            Fields { coded: true, .. } => Ok(Framing::Unknown),
            Fields { length: Some(n), .. } => Ok(Framing::Length(n)),
            _ if self.cut => Ok(Framing::Unknown),
            _ => Ok(Framing::Length(0)),
        }
    }

    /// Whether the connection may leave HTTP with the answer.
    pub(crate) fn switches(&self) -> bool {
        !self.cut && (self.fields.upgrade || self.line.method == b"CONNECT")
    }

    /// What the head says; `wanted` are names of headers to record.
    pub(crate) fn says(&self, limits: &Limits, wanted: &[String]) -> RequestHead {
        let mut head = RequestHead::default();
        self.line.write(limits, &mut head);
        self.fields.write(self.cut, limits, &mut head);
        if !wanted.is_empty() {
            fields::record(self.bytes, wanted, limits, &mut head);
        }
        head
    }

    /// Whether that is what `head` says, headers to record aside. What was made a text stays as it is when it is made one
    /// again, so that bytes which equal a text say the same.
    pub(crate) fn says_as(&self, head: &RequestHead) -> bool {
        self.line.says_as(head) && self.fields.says_as(self.cut, head)
    }

    /// The caller's trace.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        self.fields.context(self.bytes)
    }

    /// The bytes of the head.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Method, target and minor version.
struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version: u8,
}

impl<'a> RequestLine<'a> {
    /// `whole` when the line's end was there.
    fn read(line: &'a [u8], whole: bool) -> Result<RequestLine<'a>, Garbage> {
        let space = memchr(b' ', line).ok_or(Garbage::FirstLine)?;
        let (method, rest) = (&line[..space], &line[space + 1..]);
        if method.is_empty() || method.len() > METHOD_MAX || !method.iter().all(|b| token(*b)) {
            return Err(Garbage::FirstLine);
        }
        match memrchr(b' ', rest) {
            Some(n) if rest[n + 1..].starts_with(b"HTTP/1.") => {
                let version = rest.get(n + 8).map_or(1, |v| u8::from(*v != b'0'));
                Ok(RequestLine { method, target: &rest[..n], version })
            }
            _ if !whole => Ok(RequestLine { method, target: known_target(rest), version: 1 }),
            _ => Err(Garbage::FirstLine),
        }
    }

    fn write(&self, limits: &Limits, head: &mut RequestHead) {
        head.method = text(self.method, METHOD_MAX);
        head.target = target_text(self.target, limits.text);
        head.version = self.version;
    }

    fn says_as(&self, head: &RequestHead) -> bool {
        self.target == head.target.as_bytes()
            && self.method == head.method.as_bytes()
            && self.version == head.version
    }
}

/// The target of a request line that is cut. One that is cut within its authority gives none: nobody can tell user-info
/// from a host there.
fn known_target(rest: &[u8]) -> &[u8] {
    if let Some(end) = memchr(b' ', rest) {
        return &rest[..end];
    }
    let authority = rest.windows(3).position(|w| w == b"://").map(|n| &rest[n + 3..]);
    match (rest.first(), authority) {
        (Some(b'/' | b'*'), _) => rest,
        (_, Some(authority)) if authority.iter().any(|b| matches!(b, b'/' | b'?' | b'#')) => rest,
        _ => b"",
    }
}

/// A response's head at the begin of `bytes`: status, framing of its body as far as its own headers tell it (not 1xx,
/// 204, 304, HEAD), and its length; nothing when its end is not there. `cut` when no more of it will come.
pub(crate) fn response(bytes: &[u8], cut: bool) -> Result<Option<(u16, Framing, usize)>, Garbage> {
    let mut lines = Lines::new(bytes);
    let first = match (lines.first(), cut) {
        (Some(first), _) => first,
        (None, true) => bytes,
        (None, false) => return Ok(None),
    };
    let status = match first.get(7..12) {
        Some([_, b' ', digits @ ..])
            if looks_like_response(first) && digits.iter().all(u8::is_ascii_digit) =>
        {
            digits.iter().fold(0, |status, b| status * 10 + u16::from(b - b'0'))
        }
        _ => 0,
    };
    if status < 100 {
        return Err(Garbage::FirstLine);
    }
    let mut fields = Fields::default();
    loop {
        match lines.header() {
            Some([]) => break,
            Some(line) => fields.take(line),
            None if cut => break,
            None => return Ok(None),
        }
    }
    let framing = match fields {
        Fields { garbage: Some(garbage), .. } => return Err(garbage),
        Fields { chunked: true, .. } => Framing::Chunked,
        Fields { coded: true, .. } => Framing::Close,
        Fields { length: Some(n), .. } => Framing::Length(n),
        _ if cut => Framing::Unknown,
        _ => Framing::Close,
    };
    Ok(Some((status, framing, lines.taken())))
}
