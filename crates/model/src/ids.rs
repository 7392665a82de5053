use std::fmt;

/// A 16-byte trace id (W3C Trace Context). All zero is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TraceId(pub [u8; 16]);

/// An 8-byte span id (W3C Trace Context). All zero is invalid, and stands for "no parent".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SpanId(pub [u8; 8]);

macro_rules! id {
    ($name:ident, $len:literal) => {
        impl $name {
            /// The invalid id.
            pub const ZERO: $name = $name([0; $len]);

            /// Whether the id is not all zero.
            pub fn is_valid(&self) -> bool {
                self.0 != [0; $len]
            }

            /// Parses exactly `2 *` length hexadecimal digits of either case; `None` otherwise and for the zero id.
            pub fn from_hex(hex: &[u8]) -> Option<$name> {
                if hex.len() != 2 * $len {
                    return None;
                }
                let mut out = [0u8; $len];
                for (o, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
                    *o = (nibble(pair[0])? << 4) | nibble(pair[1])?;
                }
                let id = $name(out);
                id.is_valid().then_some(id)
            }

            /// Lower-case hexadecimal digits.
            pub fn to_hex(&self) -> String {
                let mut s = String::with_capacity(2 * $len);
                for b in self.0 {
                    s.push(char::from(DIGITS[usize::from(b >> 4)]));
                    s.push(char::from(DIGITS[usize::from(b & 15)]));
                }
                s
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }
    };
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

id!(TraceId, 16);
id!(SpanId, 8);

fn nibble(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_rejects_what_is_not_an_id() {
        let id = TraceId::from_hex(b"4BF92f3577b34da6a3ce929d0e0e4736").unwrap();
        assert_eq!(id.to_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(TraceId::from_hex(b"00000000000000000000000000000000"), None);
        assert_eq!(TraceId::from_hex(b"4bf92f3577b34da6a3ce929d0e0e473"), None);
        assert_eq!(SpanId::from_hex(b"00f067aa0ba902bg"), None);
    }
}
