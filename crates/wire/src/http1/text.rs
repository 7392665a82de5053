//! Bytes from the wire as bounded, valid UTF-8.

use telegen_model::Str;

/// Whether all bytes are printable ASCII; `space` counts as such when `low` is 0x20.
fn printable(bytes: &[u8], low: u8) -> bool {
    // Without an early exit: the compiler then looks at many bytes at once.
    bytes.iter().fold(true, |all, b| all & (b.wrapping_sub(low) < 0x7f - low))
}

/// A header's text: valid UTF-8, without control characters, cut to `max` bytes.
pub(crate) fn text(bytes: &[u8], max: usize) -> Str {
    let bytes = &bytes[..bytes.len().min(max)];
    if printable(bytes, 0x20) {
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

/// A target's text: what is not printable ASCII is percent-encoded, so that nothing of it is lost; cut to `max` bytes.
pub(crate) fn target_text(bytes: &[u8], max: usize) -> Str {
    if bytes.len() <= max && printable(bytes, 0x21) {
        return std::str::from_utf8(bytes).map(Str::new).unwrap_or_default();
    }
    let mut out = Str::with_capacity(bytes.len().min(max));
    for b in bytes {
        let plain = (0x21..0x7f).contains(b);
        if out.len() + if plain { 1 } else { 3 } > max {
            break;
        }
        if plain {
            out.push(char::from(*b));
        } else {
            out.push('%');
            out.push(char::from(b"0123456789ABCDEF"[usize::from(b >> 4)]));
            out.push(char::from(b"0123456789ABCDEF"[usize::from(b & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_replaced_in_headers_and_encoded_in_targets() {
        assert_eq!(text(b"a\xc3\xa9\xffb\x1b\tc", 64), "a\u{e9}\u{fffd}bc");
        assert_eq!(target_text(b"/a\xc3\xa9\xff b\x7f", 64), "/a%C3%A9%FF%20b%7F");
        assert_eq!(text(&[0xff; 10], 7), "\u{fffd}\u{fffd}");
        assert_eq!(target_text(b"/\xff\xff", 6), "/%FF");
        assert_eq!(target_text(b"/abc", 3), "/ab");
    }
}
