//! The caller's trace: W3C Trace Context (level 2) and B3 headers.

use telegen_model::{SpanId, Str, TraceId};

/// Longest trace state that is carried on, in bytes.
const STATE_MAX: usize = 512;

/// What a caller's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; all zero where the caller decided without naming one (`b3: 0`).
    pub trace_id: TraceId,
    /// The caller's span; zero with the trace.
    pub span_id: SpanId,
    /// The caller's decision; `None` when it left it open (b3 without a flag).
    pub sampled: Option<bool>,
    /// `tracestate`, or empty.
    pub state: Str,
}

impl TraceContext {
    /// What says nothing but whether to sample.
    fn decision(sampled: bool) -> TraceContext {
        TraceContext {
            trace_id: TraceId::ZERO,
            span_id: SpanId::ZERO,
            sampled: Some(sampled),
            state: Str::default(),
        }
    }

    /// Whether it names a trace to join.
    pub fn names_trace(&self) -> bool {
        self.trace_id != TraceId::ZERO
    }
}

/// `traceparent` (W3C Trace Context, section 3.2). Version ff, a wrong length, digits that are not lower-case
/// hexadecimal and zero ids are invalid; of a later version the known part is read.
pub fn traceparent(header: &[u8], state: &[u8]) -> Option<TraceContext> {
    let known = header.get(..55)?;
    let [v1, v2, b'-', ..] = known else { return None };
    let version = hex_byte(*v1, *v2)?;
    let rest = &header[55..];
    if version == 0xff
        || (version == 0 && !rest.is_empty())
        || (version > 0 && !rest.is_empty() && rest[0] != b'-')
    {
        return None;
    }
    if known[35] != b'-' || known[52] != b'-' || known[3..].iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let flags = hex_byte(known[53], known[54])?;
    let state =
        std::str::from_utf8(state).ok().filter(|s| s.len() <= STATE_MAX && !s.chars().any(char::is_control));
    Some(TraceContext {
        trace_id: TraceId::from_hex(&known[3..35])?,
        span_id: SpanId::from_hex(&known[36..52])?,
        sampled: Some(flags & 1 != 0),
        state: Str::from(state.unwrap_or_default()),
    })
}

/// `b3: {trace}-{span}[-{sampled}[-{parent}]]`, or the decision alone.
pub fn b3_single(header: &[u8]) -> Option<TraceContext> {
    match header {
        b"0" => return Some(TraceContext::decision(false)),
        b"1" | b"d" => return Some(TraceContext::decision(true)),
        _ => {}
    }
    let mut parts = header.split(|b| *b == b'-');
    let (trace, span) = (parts.next()?, parts.next()?);
    let sampled = match parts.next() {
        None => None,
        Some(b"1" | b"d") => Some(true),
        Some(b"0") => Some(false),
        Some(_) => return None,
    };
    if let Some(parent) = parts.next() {
        SpanId::from_hex(parent)?;
    }
    if parts.next().is_some() {
        return None;
    }
    Some(TraceContext {
        trace_id: b3_trace_id(trace)?,
        span_id: SpanId::from_hex(span)?,
        sampled,
        state: Str::default(),
    })
}

/// `X-B3-TraceId`, `X-B3-SpanId`, `X-B3-Sampled`, `X-B3-Flags`; without the first two the decision alone.
pub fn b3_multi(
    trace: Option<&[u8]>,
    span: Option<&[u8]>,
    sampled: Option<&[u8]>,
    flags: Option<&[u8]>,
) -> Option<TraceContext> {
    let sampled = match (flags, sampled) {
        (Some(b"1"), _) | (_, Some(b"1" | b"true")) => Some(true),
        (_, Some(b"0" | b"false")) => Some(false),
        _ => None,
    };
    let (trace, span) = match (trace, span) {
        (None, None) => return sampled.map(TraceContext::decision),
        (trace, span) => (trace?, span?),
    };
    Some(TraceContext {
        trace_id: b3_trace_id(trace)?,
        span_id: SpanId::from_hex(span)?,
        sampled,
        state: Str::default(),
    })
}

/// 16 or 32 digits; the short form is the low half.
fn b3_trace_id(digits: &[u8]) -> Option<TraceId> {
    if digits.len() == 16 {
        let low = SpanId::from_hex(digits)?;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&low.0);
        return Some(TraceId(id));
    }
    TraceId::from_hex(digits)
}

fn hex_byte(a: u8, b: u8) -> Option<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).filter(|_| !c.is_ascii_uppercase());
    u8::try_from(digit(a)? << 4 | digit(b)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const S: &str = "00f067aa0ba902b7";

    #[test]
    fn traceparents_are_read_or_refused_as_the_specification_says() {
        for (header, sampled) in [
            (format!("00-{T}-{S}-01"), Some(Some(true))),
            (format!("00-{T}-{S}-00"), Some(Some(false))),
            (format!("cc-{T}-{S}-03-more"), Some(Some(true))),
            (format!("cc-{T}-{S}-01.more"), None),
            (format!("ff-{T}-{S}-01"), None),
            (format!("00-{T}-{S}-01-"), None),
            (format!("00-{T}-{S}-0"), None),
            (format!("00-{}-{S}-01", "0".repeat(32)), None),
            (format!("00-{T}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-{S}-01", T.to_uppercase()), None),
            (format!("00-{}-{S}-01", T.replace('4', "g")), None),
        ] {
            assert_eq!(traceparent(header.as_bytes(), b"").map(|c| c.sampled), sampled, "{header}");
        }
    }

    #[test]
    fn both_forms_of_b3_are_read() {
        let single = b3_single(format!("{T}-{S}-1-05e3ac9a4f6e3b90").as_bytes()).unwrap();
        assert_eq!((single.trace_id.to_hex(), single.sampled), (T.to_owned(), Some(true)));
        assert_eq!(b3_single(format!("{T}-{S}-1-zz").as_bytes()), None);
        assert_eq!(b3_single(format!("{T}-{S}-1-05e3ac9a4f6e3b90-").as_bytes()), None);
        let (trace, span) = (Some(&T.as_bytes()[16..]), Some(S.as_bytes()));
        let multi = b3_multi(trace, span, Some(b"0"), None).unwrap();
        assert_eq!(
            (multi.trace_id.to_hex(), multi.sampled),
            (format!("{}{}", "0".repeat(16), &T[16..]), Some(false))
        );
        let debug = b3_multi(Some(T.as_bytes()), span, None, Some(b"1"));
        assert_eq!(debug.map(|c| (c.sampled, c.names_trace())), Some((Some(true), true)));
        assert_eq!(b3_multi(trace, None, Some(b"0"), None), None);
    }

    #[test]
    fn a_decision_may_come_alone() {
        let said = |c: Option<TraceContext>| c.map(|c| (c.sampled, c.names_trace()));
        for (header, sampled) in [("0", false), ("1", true), ("d", true)] {
            assert_eq!(said(b3_single(header.as_bytes())), Some((Some(sampled), false)), "{header}");
        }
        assert_eq!(said(b3_multi(None, None, Some(b"0"), None)), Some((Some(false), false)));
        assert_eq!(b3_multi(None, None, None, None), None);
        assert_eq!(b3_single(b"2"), None);
    }
}
