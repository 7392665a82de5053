use crate::protocol::Value;

/// A value of a row or a scalar, texts kept elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Cell {
    #[default]
    None,
    Int(i64),
    Unsigned(u64),
    Counter32(u32),
    Counter64(u64),
    Float(f64),
    /// Place and length of octets.
    Octets(u32, u32),
    /// Place and length of an object identifier's content.
    Oid(u32, u32),
}

impl Cell {
    /// Keeps a value; its octets go to `text`.
    pub(crate) fn keep(value: Value<'_>, text: &mut Vec<u8>) -> Cell {
        let mut put = |bytes: &[u8]| {
            // An answer has at most 64 KiB, and a poll's texts are bounded by its rows.
            let at = u32::try_from(text.len()).unwrap_or(u32::MAX);
            let kept = &bytes[..bytes.len().min(1024)];
            text.extend_from_slice(kept);
            (at, kept.len() as u32)
        };
        match value {
            Value::Int(i) => Cell::Int(i),
            Value::Gauge32(v) | Value::Ticks(v) => Cell::Unsigned(u64::from(v)),
            Value::Counter32(v) => Cell::Counter32(v),
            Value::Counter64(v) => Cell::Counter64(v),
            Value::Opaque(b) => value.number().map_or_else(
                || {
                    let (at, len) = put(b);
                    Cell::Octets(at, len)
                },
                Cell::Float,
            ),
            Value::Octets(b) => {
                let (at, len) = put(b);
                Cell::Octets(at, len)
            }
            Value::Oid(b) => {
                let (at, len) = put(b);
                Cell::Oid(at, len)
            }
            Value::Ip(ip) => {
                let (at, len) = put(std::net::Ipv4Addr::from(ip).to_string().as_bytes());
                Cell::Octets(at, len)
            }
            Value::Null | Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView => Cell::None,
        }
    }

    /// Whether it is one of these whole numbers.
    pub(crate) fn is_one_of(self, values: &[i64]) -> bool {
        let own = match self {
            Cell::Int(i) => Some(i),
            Cell::Unsigned(v) => i64::try_from(v).ok(),
            _ => None,
        };
        own.is_some_and(|own| values.contains(&own))
    }

    /// The octets or the identifier's content.
    pub(crate) fn bytes(self, text: &[u8]) -> Option<&[u8]> {
        match self {
            Cell::Octets(at, len) | Cell::Oid(at, len) => text.get(at as usize..at as usize + len as usize),
            _ => None,
        }
    }

    /// The number, also one written as text, as some agents do.
    pub(crate) fn number(self, text: &[u8]) -> Option<f64> {
        match self {
            Cell::Int(i) => Some(i as f64),
            Cell::Unsigned(v) | Cell::Counter64(v) => Some(v as f64),
            Cell::Counter32(v) => Some(f64::from(v)),
            Cell::Float(f) => Some(f),
            Cell::Octets(..) => {
                let text = std::str::from_utf8(self.bytes(text)?).ok()?.trim();
                let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+'));
                text[..end.unwrap_or(text.len())].parse().ok().filter(|f: &f64| f.is_finite())
            }
            Cell::None | Cell::Oid(..) => None,
        }
    }
}

/// Longest text of a device that becomes an attribute, in bytes.
const LONGEST: usize = 255;

/// A device's octets as a text: UTF-8 without control characters, cut to 255 bytes; what is no text becomes hexadecimal
/// with colons, as addresses are written.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let trimmed = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    let printable = |t: &str| t.chars().all(|c| !c.is_control() || c.is_ascii_whitespace());
    match std::str::from_utf8(trimmed) {
        Ok(t) if printable(t) => {
            let mut out: String = t.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let mut end = out.len().min(LONGEST);
            while !out.is_char_boundary(end) {
                end -= 1;
            }
            out.truncate(end);
            out
        }
        _ => {
            let mut out = String::with_capacity(bytes.len().min(64) * 3);
            for (i, b) in bytes.iter().take(64).enumerate() {
                if i > 0 {
                    out.push(':');
                }
                crate::show::hex(&mut out, &[*b]);
            }
            out
        }
    }
}
