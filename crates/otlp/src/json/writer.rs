use std::fmt::Display;
use std::io::Write;

use bytes::Bytes;

/// A JSON writer: closures nest as the values do, commas come by themselves.
#[derive(Default)]
pub(super) struct Writer {
    out: Vec<u8>,
    /// Whether the next key or element is not the first of its object or array.
    more: bool,
}

impl Writer {
    pub(super) fn finish(self) -> Bytes {
        Bytes::from(self.out)
    }

    pub(super) fn object(&mut self, content: impl FnOnce(&mut Writer)) {
        self.nest(b'{', b'}', content);
    }

    pub(super) fn array(&mut self, content: impl FnOnce(&mut Writer)) {
        self.nest(b'[', b']', content);
    }

    /// One element of an array.
    pub(super) fn element(&mut self, content: impl FnOnce(&mut Writer)) {
        self.comma();
        content(self);
        self.more = true;
    }

    /// A member whose value is an array.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Writer, T),
    ) {
        self.key(key);
        self.array(|w| items.into_iter().for_each(|item| w.element(|w| each(w, item))));
    }

    /// A member's name, which is a constant that needs no escapes; its value follows.
    pub(super) fn key(&mut self, key: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.more = true;
    }

    /// A member with a text; an empty one is left out.
    pub(super) fn text(&mut self, key: &str, s: &str) {
        if !s.is_empty() {
            self.key(key);
            self.string(s);
        }
    }

    /// A member with a small number; 0 is left out.
    pub(super) fn number(&mut self, key: &str, n: i64) {
        if n != 0 {
            self.key(key);
            self.display(n);
        }
    }

    /// A member with a 64-bit number.
    pub(super) fn long(&mut self, key: &str, n: u64) {
        self.key(key);
        self.quoted_int(n);
    }

    pub(super) fn plain(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(super) fn int(&mut self, n: i64) {
        self.display(n);
    }

    pub(super) fn quoted_int(&mut self, n: impl Display) {
        self.out.push(b'"');
        self.display(n);
        self.out.push(b'"');
    }

    pub(super) fn double(&mut self, d: f64) {
        match d {
            d if d.is_nan() => self.plain("\"NaN\""),
            f64::INFINITY => self.plain("\"Infinity\""),
            f64::NEG_INFINITY => self.plain("\"-Infinity\""),
            // `Debug` writes the shortest form that reads back as the same number, with an exponent if long.
            d => self.display(format_args!("{d:?}")),
        }
    }

    /// Bytes in lower-case hexadecimal: ids.
    pub(super) fn hex(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.out.push(b'"');
        for b in bytes {
            self.out.push(DIGITS[usize::from(b >> 4)]);
            self.out.push(DIGITS[usize::from(b & 15)]);
        }
        self.out.push(b'"');
    }

    /// Bytes in base64 with padding (RFC 4648, section 4).
    pub(super) fn base64(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        self.out.push(b'"');
        for chunk in bytes.chunks(3) {
            let group = chunk.iter().fold(0usize, |n, b| n << 8 | usize::from(*b)) << (8 * (3 - chunk.len()));
            for place in 0..4 {
                let digit = DIGITS[group >> (18 - 6 * place) & 63];
                self.out.push(if place <= chunk.len() { digit } else { b'=' });
            }
        }
        self.out.push(b'"');
    }

    pub(super) fn string(&mut self, s: &str) {
        self.out.push(b'"');
        let bytes = s.as_bytes();
        // Nearly all texts need no escapes. Without an early exit many bytes are looked at at once.
        if !bytes.iter().fold(false, |any, b| any | (*b < 0x20) | (*b == b'"') | (*b == b'\\')) {
            self.out.extend_from_slice(bytes);
            return self.out.push(b'"');
        }
        let mut plain = 0;
        for (i, b) in bytes.iter().enumerate() {
            let escape: &[u8] = match b {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                0..0x20 => b"",
                _ => continue,
            };
            self.out.extend_from_slice(&bytes[plain..i]);
            plain = i + 1;
            if escape.is_empty() {
                self.display(format_args!("\\u{b:04x}"));
            } else {
                self.out.extend_from_slice(escape);
            }
        }
        self.out.extend_from_slice(&bytes[plain..]);
        self.out.push(b'"');
    }

    fn nest(&mut self, open: u8, close: u8, content: impl FnOnce(&mut Writer)) {
        self.out.push(open);
        self.more = false;
        content(self);
        self.out.push(close);
        self.more = true;
    }

    fn comma(&mut self) {
        if self.more {
            self.out.push(b',');
        }
        self.more = false;
    }

    fn display(&mut self, v: impl Display) {
        // Writing to a vector cannot fail.
        let _ = write!(self.out, "{v}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(f: impl FnOnce(&mut Writer)) -> String {
        let mut w = Writer::default();
        f(&mut w);
        String::from_utf8(w.finish().to_vec()).unwrap()
    }

    #[test]
    fn strings_escape_what_json_requires_and_nothing_else() {
        assert_eq!(
            written(|w| w.string("a\"\\\n\r\t\u{0}\u{1f}é\u{2028}</")),
            "\"a\\\"\\\\\\n\\r\\t\\u0000\\u001fé\u{2028}</\""
        );
        assert_eq!(written(|w| w.string("")), "\"\"");
    }

    #[test]
    fn numbers_that_json_lacks_are_strings() {
        let all = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1, 1.0, 1e300, 5e-324];
        let want = ["\"NaN\"", "\"Infinity\"", "\"-Infinity\"", "-0.0", "0.1", "1.0", "1e300", "5e-324"];
        assert_eq!(all.map(|d| written(|w| w.double(d))), want);
    }

    #[test]
    fn base64_pads() {
        for (bytes, want) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("\u{ff}?", "w78/")] {
            assert_eq!(written(|w| w.base64(bytes.as_bytes())), format!("\"{want}\""));
        }
    }

    #[test]
    fn commas_stand_between_members_and_elements_at_every_depth() {
        let out = written(|w| {
            w.object(|w| {
                w.list("a", [1, 2], |w, n| w.object(|w| w.number("n", n)));
                w.list("b", [0i64; 0], |w, n| w.quoted_int(n));
                w.text("c", "");
                w.key("d");
                w.object(|_| {});
                w.long("e", u64::MAX);
            });
        });
        assert_eq!(out, r#"{"a":[{"n":1},{"n":2}],"b":[],"d":{},"e":"18446744073709551615"}"#);
    }
}
