//! Heads of messages, complete or cut.

use memchr::memchr;
use telegen_model::Str;

use super::Limits;
use super::exchange::Exchange;
use crate::context::{self, TraceContext};

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
    /// The head was cut before it could be told.
    Unknown,
}

/// What the headers of either message say of its body and connection.
#[derive(Clone, Copy, Debug, Default)]
struct Fields {
    length: Option<u64>,
    chunked: bool,
    coded: bool,
    garbage: Option<Garbage>,
}

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

/// Lines of a head without their ends; the last may be cut when the head is.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l))
}

/// Whether the bytes may be the begin of a request: a token, a space, a target.
pub(crate) fn looks_like_request(bytes: &[u8]) -> bool {
    match memchr(b' ', &bytes[..bytes.len().min(64)]) {
        Some(0) => false,
        Some(n) => bytes[..n].iter().all(|b| token(*b)) && bytes.get(n + 1).is_none_or(|b| *b > b' '),
        None => bytes.len() < 64 && bytes.iter().all(|b| token(*b)),
    }
}

/// Whether the bytes may be the begin of a response.
pub(crate) fn looks_like_response(bytes: &[u8]) -> bool {
    let n = bytes.len().min(7);
    bytes[..n].eq_ignore_ascii_case(&b"HTTP/1."[..n])
}

fn token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// A request's head: what it says goes into `x`; gives the framing of its body. `cut` when the end is missing.
pub(crate) fn request(
    bytes: &[u8],
    cut: bool,
    limits: &Limits,
    wanted: &[String],
    x: &mut Exchange,
) -> Result<Framing, Garbage> {
    let mut lines = lines(bytes);
    let first = lines.next().unwrap_or_default();
    let line_cut = cut && memchr(b'\n', bytes).is_none();
    let space = memchr(b' ', first).ok_or(Garbage::FirstLine)?;
    let (method, rest) = (&first[..space], &first[space + 1..]);
    if method.is_empty() || !method.iter().all(|b| token(*b)) {
        return Err(Garbage::FirstLine);
    }
    x.method = text(method, 64);
    let target = match rest.iter().rposition(|b| *b == b' ') {
        Some(n) if rest[n + 1..].starts_with(b"HTTP/1.") => {
            x.version = rest.get(n + 8).map_or(1, |v| u8::from(*v != b'0'));
            &rest[..n]
        }
        _ if line_cut => {
            x.version = 1;
            rest
        }
        _ => return Err(Garbage::FirstLine),
    };
    x.target = target_text(target, limits.text);
    let mut fields = Fields::default();
    let mut trace = Traces::default();
    let mut content_type: &[u8] = b"";
    for line in lines {
        let Some((name, value)) = split(line) else { continue };
        fields.take(name, value);
        match name.len() {
            2 if is(name, b"b3") => trace.b3 = Some(value),
            4 if is(name, b"host") => x.host = text(value, 256),
            9 if is(name, b"forwarded") => x.forwarded = text(value, 512),
            10 if is(name, b"user-agent") => x.user_agent = text(value, limits.text),
            10 if is(name, b"tracestate") => trace.state = Some(value),
            11 if is(name, b"traceparent") => trace.parent.push(value),
            11 if is(name, b"x-b3-spanid") => trace.b3_span = Some(value),
            12 if is(name, b"x-b3-traceid") => trace.b3_trace = Some(value),
            12 if is(name, b"x-b3-sampled") => trace.b3_sampled = Some(value),
            10 if is(name, b"x-b3-flags") => trace.b3_flags = Some(value),
            12 if is(name, b"content-type") => content_type = value,
            15 if is(name, b"x-forwarded-for") => x.forwarded_for = text(value, 512),
            _ => {}
        }
        if !wanted.is_empty() && wanted.iter().any(|w| is(name, w.as_bytes())) && x.headers.len() < 32 {
            x.headers.push((text(name, 128), text(value, limits.text)));
        }
    }
    x.context = trace.read();
    x.is_otlp = carries_otlp(&x.method, &x.target, content_type);
    if let Some(garbage) = fields.garbage {
        return Err(garbage);
    }
    Ok(match (fields.chunked || fields.coded, fields.length) {
        (true, _) => Framing::Chunked,
        (false, Some(n)) => Framing::Length(n),
        (false, None) if cut => Framing::Unknown,
        (false, None) => Framing::Length(0),
    })
}

/// A response's head: status, and framing of its body as far as its own headers tell it (not 1xx, 204, 304, HEAD).
pub(crate) fn response(bytes: &[u8], cut: bool) -> Result<(u16, Framing), Garbage> {
    let mut lines = lines(bytes);
    let first = lines.next().unwrap_or_default();
    if first.len() < 12 || !looks_like_response(first) || first[8] != b' ' {
        return Err(Garbage::FirstLine);
    }
    let mut status = 0;
    for b in &first[9..12] {
        if !b.is_ascii_digit() {
            return Err(Garbage::FirstLine);
        }
        status = status * 10 + u16::from(b - b'0');
    }
    let mut fields = Fields::default();
    for line in lines {
        if let Some((name, value)) = split(line) {
            fields.take(name, value);
        }
    }
    if let Some(garbage) = fields.garbage {
        return Err(garbage);
    }
    let framing = match (fields.chunked, fields.coded, fields.length) {
        (true, _, _) => Framing::Chunked,
        (false, true, _) => Framing::Close,
        (false, false, Some(n)) => Framing::Length(n),
        (false, false, None) if cut => Framing::Unknown,
        (false, false, None) => Framing::Close,
    };
    Ok((status, framing))
}

impl Fields {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        if name.len() == 14 && is(name, b"content-length") {
            // A list of equal values is what a merging proxy makes of a repeated header (RFC 9110 8.6).
            for part in value.split(|b| *b == b',') {
                match number(part.trim_ascii()) {
                    Some(n) if self.length.is_none_or(|l| l == n) => self.length = Some(n),
                    _ => self.garbage = Some(Garbage::ContentLength),
                }
            }
        } else if name.len() == 17 && is(name, b"transfer-encoding") {
            // Only a final "chunked" frames the body (RFC 9112 6.1).
            let last = value.rsplit(|b| *b == b',').next().unwrap_or_default().trim_ascii();
            self.chunked = last.eq_ignore_ascii_case(b"chunked");
            self.coded = !self.chunked && !last.eq_ignore_ascii_case(b"identity");
        }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn is(name: &[u8], expect: &[u8]) -> bool {
    name.eq_ignore_ascii_case(expect)
}

/// Name and value of a header line; folded lines (obs-fold) and what is no header give nothing.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    (!name.is_empty() && name[0] > b' ').then(|| (name, line[colon + 1..].trim_ascii()))
}

#[derive(Default)]
struct Traces<'a> {
    parent: Vec<&'a [u8]>,
    state: Option<&'a [u8]>,
    b3: Option<&'a [u8]>,
    b3_trace: Option<&'a [u8]>,
    b3_span: Option<&'a [u8]>,
    b3_sampled: Option<&'a [u8]>,
    b3_flags: Option<&'a [u8]>,
}

impl Traces<'_> {
    /// W3C first. Two `traceparent` headers are as good as none.
    fn read(&self) -> Option<TraceContext> {
        if let [parent] = self.parent[..] {
            return context::traceparent(parent, self.state.unwrap_or_default());
        }
        match self.b3 {
            Some(single) => context::b3_single(single),
            None => context::b3_multi(self.b3_trace?, self.b3_span?, self.b3_sampled, self.b3_flags),
        }
    }
}

/// OTLP over HTTP by its default paths and content types.
fn carries_otlp(method: &str, target: &str, content_type: &[u8]) -> bool {
    if method != "POST" {
        return false;
    }
    let path = target.split('?').next().unwrap_or(target);
    let known = ["/v1/traces", "/v1/metrics", "/v1/logs", "/v1development/profiles"]
        .iter()
        .any(|p| path.ends_with(p));
    let kind = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    known
        && (kind.eq_ignore_ascii_case(b"application/x-protobuf")
            || kind.eq_ignore_ascii_case(b"application/json"))
}

/// A header's text: valid UTF-8, without control characters, cut to `max` bytes.
fn text(bytes: &[u8], max: usize) -> Str {
    let bytes = &bytes[..bytes.len().min(max)];
    if bytes.iter().all(|b| (0x20..0x7f).contains(b)) {
        return std::str::from_utf8(bytes).map(Str::new).unwrap_or_default();
    }
    let mut out = Str::default();
    for c in String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()) {
        if out.len() + c.len_utf8() > max {
            break;
        }
        out.push(c);
    }
    out
}

/// A target's text: what is not printable ASCII is percent-encoded, so that nothing of it is lost.
fn target_text(bytes: &[u8], max: usize) -> Str {
    if bytes.len() <= max && bytes.iter().all(|b| (0x21..0x7f).contains(b)) {
        return std::str::from_utf8(bytes).map(Str::new).unwrap_or_default();
    }
    let mut out = Str::with_capacity(bytes.len().min(max));
    for b in bytes {
        if out.len() + 3 > max {
            break;
        }
        if (0x21..0x7f).contains(b) {
            out.push(char::from(*b));
        } else {
            out.push('%');
            out.push(char::from(b"0123456789ABCDEF"[usize::from(b >> 4)]));
            out.push(char::from(b"0123456789ABCDEF"[usize::from(b & 15)]));
        }
    }
    out
}
