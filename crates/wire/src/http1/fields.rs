//! Header fields: those that frame a body, and those that are taken from a request.

use memchr::memchr;

use super::Limits;
use super::exchange::RequestHead;
use super::head::Garbage;
use super::text::text;
use crate::context::{self, TraceContext};

/// Longest Host that is kept, in bytes (RFC 1035 has 253, and a port may follow).
const HOST_MAX: usize = 260;
/// Longest list of forwarders that is kept, in bytes.
const FORWARDED_MAX: usize = 512;
/// Most headers of the allow list that are kept.
const RECORDED_MAX: usize = 32;
/// Longest name of such a header, in bytes.
const NAME_MAX: usize = 128;
/// `tracestate` headers that are put together.
const STATES_MAX: usize = 4;

/// The lines of a head, up to the empty one that ends it.
pub(crate) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Lines<'a> {
        Lines { bytes, at: 0 }
    }

    /// Bytes of the lines that were taken.
    pub(crate) fn taken(&self) -> usize {
        self.at
    }

    /// The first line without its end, when that is there.
    pub(crate) fn first(&mut self) -> Option<&'a [u8]> {
        let end = self.line()?;
        Some(without_cr(&self.bytes[..end]))
    }

    /// The next header line without its end, with the lines that continue it (obs-fold, RFC 9112 5.2) as they stand;
    /// empty at the end of the head. A line that is cut gives nothing: half a number would be another number.
    #[inline]
    pub(crate) fn header(&mut self) -> Option<&'a [u8]> {
        let from = self.at;
        let mut end = self.line()?;
        let empty = end == from || (end == from + 1 && self.bytes[from] == b'\r');
        if empty {
            return Some(&[]);
        }
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t')) {
            end = self.line()?;
        }
        Some(&self.bytes[from..end])
    }

    /// Goes behind the next line and gives the offset of its end.
    #[inline]
    fn line(&mut self) -> Option<usize> {
        let end = self.at + newline(&self.bytes[self.at..])?;
        self.at = end + 1;
        Some(end)
    }
}

/// Offset of the first line end. Lines of a head are short: eight bytes at a time beats a call for each of them.
#[inline]
fn newline(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        // A byte of zero, and no earlier one, gets its high bit set.
        let x = u64::from_le_bytes(*word) ^ (ONES * b'\n' as u64);
        let zero = x.wrapping_sub(ONES) & !x & (ONES << 7);
        if zero != 0 {
            return Some(i * 8 + zero.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|b| *b == b'\n').map(|n| words.len() * 8 + n)
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The value of a header line when its name is `name`.
#[inline]
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (this, rest) = line.split_at_checked(name.len())?;
    match rest.first()? {
        b':' if this.eq_ignore_ascii_case(name) => Some(rest[1..].trim_ascii()),
        // A space before the colon is an error (RFC 9112 5.1) that many forgive.
        b' ' | b'\t' if this.eq_ignore_ascii_case(name) => {
            rest.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii)
        }
        _ => None,
    }
}

/// Name and value of a header line; what is no header gives nothing.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    (!name.is_empty() && name[0] > b' ').then(|| (name, line[colon + 1..].trim_ascii()))
}

fn is(name: &[u8], expect: &[u8]) -> bool {
    name.eq_ignore_ascii_case(expect)
}

/// What the headers of either message say of its body (RFC 9112 6).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fields {
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
    /// A transfer coding is named, and the last one is not "chunked".
    pub(crate) coded: bool,
    pub(crate) garbage: Option<Garbage>,
}

impl Fields {
    #[inline]
    pub(crate) fn take(&mut self, line: &[u8]) {
        match line.first().map(|b| b | 0x20) {
            Some(b'c') => {
                if let Some(value) = value(line, b"content-length") {
                    self.take_length(value);
                }
            }
            Some(b't') => {
                if let Some(value) = value(line, b"transfer-encoding") {
                    self.take_coding(value);
                }
            }
            _ => {}
        }
    }

    /// Only a final "chunked" frames the body (RFC 9112 6.1).
    fn take_coding(&mut self, value: &[u8]) {
        let last = value.rsplit(|b| *b == b',').next().unwrap_or_default().trim_ascii();
        self.chunked = is(last, b"chunked");
        self.coded = !self.chunked && !is(last, b"identity");
    }

    /// A list of equal values is what a merging proxy makes of a repeated header (RFC 9110 8.6).
    fn take_length(&mut self, value: &[u8]) {
        for part in value.split(|b| *b == b',') {
            match number(part.trim_ascii()) {
                Some(n) if self.length.is_none_or(|l| l == n) => self.length = Some(n),
                _ => self.garbage = Some(Garbage::ContentLength),
            }
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, b| match b {
        b'0'..=b'9' => n.checked_mul(10)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

/// What is taken from a request's headers. Of a header that must not be repeated, the first counts.
#[derive(Default)]
pub(crate) struct RequestFields<'a> {
    pub(crate) body: Fields,
    pub(crate) upgrade: bool,
    host: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    forwarded: Option<&'a [u8]>,
    forwarded_for: Option<&'a [u8]>,
    content_type: &'a [u8],
    trace: Traces<'a>,
}

impl<'a> RequestFields<'a> {
    #[inline]
    pub(crate) fn take(&mut self, line: &'a [u8]) {
        match line.first().map(|b| b | 0x20) {
            Some(b'h') => keep(&mut self.host, value(line, b"host")),
            Some(b'u') => match value(line, b"user-agent") {
                None => self.upgrade |= value(line, b"upgrade").is_some(),
                agent => keep(&mut self.user_agent, agent),
            },
            Some(b'c') => match value(line, b"content-type") {
                None => self.body.take(line),
                Some(kind) => self.content_type = kind,
            },
            Some(b't') => {
                if let Some(value) = value(line, b"traceparent") {
                    self.trace.add_parent(value);
                } else if let Some(value) = value(line, b"tracestate") {
                    self.trace.add_state(value);
                } else {
                    self.body.take(line);
                }
            }
            Some(b'f') => keep(&mut self.forwarded, value(line, b"forwarded")),
            Some(b'x') => match value(line, b"x-forwarded-for") {
                None => self.trace.take_b3(line),
                list => keep(&mut self.forwarded_for, list),
            },
            Some(b'b') => keep(&mut self.trace.b3, value(line, b"b3")),
            _ => {}
        }
    }

    /// Writes what was taken into `head`, whose method and target are known.
    pub(crate) fn write(&self, cut: bool, limits: &Limits, head: &mut RequestHead) {
        let kept = |value: Option<&[u8]>, max| value.map(|v| text(v, max)).unwrap_or_default();
        head.host = kept(self.host, HOST_MAX);
        head.user_agent = kept(self.user_agent, limits.text);
        head.forwarded = kept(self.forwarded, FORWARDED_MAX);
        head.forwarded_for = kept(self.forwarded_for, FORWARDED_MAX);
        head.is_otlp = self.is_otlp(cut, head);
    }

    /// Whether that is what `head` says, of the same method and target.
    pub(crate) fn says_as(&self, cut: bool, head: &RequestHead) -> bool {
        let same = |value: Option<&[u8]>, text: &str| value.unwrap_or_default() == text.as_bytes();
        same(self.host, &head.host)
            && same(self.user_agent, &head.user_agent)
            && same(self.forwarded, &head.forwarded)
            && same(self.forwarded_for, &head.forwarded_for)
            && head.is_otlp == self.is_otlp(cut, head)
    }

    fn is_otlp(&self, cut: bool, head: &RequestHead) -> bool {
        // As the specification asks of exporters, and Telegen's own.
        let exporters: [&[u8]; 2] = [b"OTel-OTLP-Exporter-", b"telegen/"];
        let by_exporter = self.user_agent.is_some_and(|a| exporters.iter().any(|e| a.starts_with(e)));
        carries_otlp(&head.method, &head.target, self.content_type, by_exporter, cut)
    }

    /// The caller's trace.
    pub(crate) fn context(&self, head: &[u8]) -> Option<TraceContext> {
        self.trace.read(head)
    }
}

#[inline]
fn keep<'a>(slot: &mut Option<&'a [u8]>, value: Option<&'a [u8]>) {
    if slot.is_none() {
        *slot = value;
    }
}

#[derive(Default)]
struct Traces<'a> {
    parent: Option<&'a [u8]>,
    parents: u32,
    state: Option<&'a [u8]>,
    states: u32,
    b3: Option<&'a [u8]>,
    b3_trace: Option<&'a [u8]>,
    b3_span: Option<&'a [u8]>,
    b3_sampled: Option<&'a [u8]>,
    b3_flags: Option<&'a [u8]>,
}

impl<'a> Traces<'a> {
    fn add_parent(&mut self, value: &'a [u8]) {
        self.parent = Some(value);
        self.parents += 1;
    }

    fn take_b3(&mut self, line: &'a [u8]) {
        let names: [(&[u8], &mut Option<&'a [u8]>); 4] = [
            (b"x-b3-traceid", &mut self.b3_trace),
            (b"x-b3-spanid", &mut self.b3_span),
            (b"x-b3-sampled", &mut self.b3_sampled),
            (b"x-b3-flags", &mut self.b3_flags),
        ];
        for (name, slot) in names {
            keep(slot, value(line, name));
        }
    }

    fn add_state(&mut self, value: &'a [u8]) {
        self.state.get_or_insert(value);
        self.states += 1;
    }

    /// W3C first: an invalid `traceparent`, and so two of them, begins a new trace whatever else is there.
    fn read(&self, head: &[u8]) -> Option<TraceContext> {
        match (self.parent, self.parents) {
            (Some(parent), 1) if self.states <= 1 => {
                context::traceparent(parent, self.state.unwrap_or_default())
            }
            (Some(parent), 1) => context::traceparent(parent, &all(head, b"tracestate").join(&b","[..])),
            (Some(_), _) => None,
            (None, _) => match self.b3 {
                Some(single) => context::b3_single(single),
                None => context::b3_multi(self.b3_trace, self.b3_span, self.b3_sampled, self.b3_flags),
            },
        }
    }
}

/// The values of a header that came several times: they are one list (RFC 9110 5.3).
fn all<'a>(head: &'a [u8], name: &[u8]) -> Vec<&'a [u8]> {
    let mut lines = Lines::new(head);
    lines.first();
    std::iter::from_fn(|| lines.header().filter(|line| !line.is_empty()))
        .filter_map(|line| value(line, name))
        .take(STATES_MAX)
        .collect()
}

/// Whether a request carries OTLP, by path and content type. JSON is posted to paths like `/api/v1/logs` by others too:
/// with it logs and metrics need a path of the specification's own, a prefix that speaks of OpenTelemetry, or to come
/// from an exporter.
fn carries_otlp(method: &str, target: &str, content_type: &[u8], by_exporter: bool, cut: bool) -> bool {
    if method != "POST" {
        return false;
    }
    let path = target.split('?').next().unwrap_or(target);
    if path.starts_with("/opentelemetry.proto.collector.") && path.ends_with("/Export") {
        return true;
    }
    let signals = ["/v1/traces", "/v1development/profiles", "/v1/metrics", "/v1/logs"];
    let Some((i, prefix)) = signals.iter().enumerate().find_map(|(i, s)| Some((i, path.strip_suffix(s)?)))
    else {
        return false;
    };
    let speaks = || ["/otlp", "/otel", "/collector"].iter().any(|p| prefix.ends_with(p));
    let own = i < 2 || prefix.is_empty() || by_exporter || speaks();
    let kind = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    is(kind, b"application/x-protobuf")
        || (own && is(kind, b"application/json"))
        || (cut && kind.is_empty() && prefix.is_empty())
}

/// Headers whose names are `wanted`, in order of appearance.
pub(crate) fn record(bytes: &[u8], wanted: &[String], limits: &Limits, head: &mut RequestHead) {
    let mut lines = Lines::new(bytes);
    lines.first();
    while let Some(line) = lines.header().filter(|line| !line.is_empty()) {
        let Some((name, value)) = split(line) else { continue };
        if head.headers.len() < RECORDED_MAX && wanted.iter().any(|w| is(name, w.as_bytes())) {
            head.headers.push((text(name, NAME_MAX), text(value, limits.text)));
        }
    }
}
