//! The caller's trace: W3C Trace Context (level 2) and B3 headers.

use telegen_model::{SpanId, Str, TraceId};

/// Longest trace state that is carried on, in bytes.
const STATE_MAX: usize = 512;

/// What a caller's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span.
    pub span_id: SpanId,
    /// The caller's decision; `None` when it left it open (b3 without a flag).
    pub sampled: Option<bool>,
    /// `tracestate`, or empty.
    pub state: Str,
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

/// `b3: {trace}-{span}[-{sampled}[-{parent}]]`.
pub fn b3_single(header: &[u8]) -> Option<TraceContext> {
    let mut parts = header.split(|b| *b == b'-');
    let (trace, span) = (parts.next()?, parts.next()?);
    let sampled = match parts.next() {
        None => None,
        Some(b"1" | b"d") => Some(true),
        Some(b"0") => Some(false),
        Some(_) => return None,
    };
    Some(TraceContext {
        trace_id: b3_trace_id(trace)?,
        span_id: SpanId::from_hex(span)?,
        sampled,
        state: Str::default(),
    })
}

/// `X-B3-TraceId`, `X-B3-SpanId`, `X-B3-Sampled`, `X-B3-Flags`.
pub fn b3_multi(
    trace: &[u8],
    span: &[u8],
    sampled: Option<&[u8]>,
    flags: Option<&[u8]>,
) -> Option<TraceContext> {
    let sampled = match (flags, sampled) {
        (Some(b"1"), _) | (_, Some(b"1" | b"true")) => Some(true),
        (_, Some(b"0" | b"false")) => Some(false),
        _ => None,
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
        assert_eq!(b3_single(b"0"), None);
        let multi = b3_multi(&T.as_bytes()[16..], S.as_bytes(), Some(b"0"), None).unwrap();
        assert_eq!(
            (multi.trace_id.to_hex(), multi.sampled),
            (format!("{}{}", "0".repeat(16), &T[16..]), Some(false))
        );
        assert_eq!(b3_multi(T.as_bytes(), S.as_bytes(), None, Some(b"1")).unwrap().sampled, Some(true));
    }
}
