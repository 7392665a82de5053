//! Recorded devices: `.snmprec` files, one `OID|TAG|VALUE` a line.
//!
//! What is not clean is handled by these rules. A line ends at `\n` or `\r\n`; an empty one and one that begins with `#`
//! is nothing. Lines are sorted by OID; of two with one OID the later stands. The tag's number is the BER tag; `x` behind
//! it means the value is in hexadecimal digits, `e` that it has Python's backslash escapes. Dots around an OID are cut.
//! A line whose OID, tag or value is no such thing is left out and counted, as is one with a tag that computes its value.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::protocol::{Oid, Value, Writer, tag};

/// Largest file that is read.
const LARGEST: u64 = 64 << 20;

/// A recorded device: names in order, each with its value as it stands in a message.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    bytes: Vec<u8>,
    /// Where a name begins; it ends where its value begins.
    names: Vec<(u32, u32)>,
    /// Number of lines left out.
    pub refused: usize,
}

impl Recording {
    /// Reads a file.
    pub fn read(path: &Path) -> io::Result<Recording> {
        if fs::metadata(path)?.len() > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 64 MiB"));
        }
        Ok(Recording::parse(&fs::read(path)?))
    }

    /// From the content of a file.
    pub fn parse(text: &[u8]) -> Recording {
        let mut all: BTreeMap<Oid, Vec<u8>> = BTreeMap::new();
        let mut refused = 0;
        for line in text.split(|b| *b == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() || line.starts_with(b"#") {
                continue;
            }
            match parse_line(line) {
                Some((oid, value)) => {
                    all.insert(oid, value);
                }
                None => refused += 1,
            }
        }
        let mut out = Recording { refused, ..Recording::default() };
        for (oid, value) in all {
            let (Ok(name), Ok(at)) =
                (u32::try_from(out.bytes.len()), u32::try_from(out.bytes.len() + oid.len()))
            else {
                break;
            };
            out.bytes.extend_from_slice(&oid);
            out.bytes.extend_from_slice(&value);
            out.names.push((name, at));
        }
        out.bytes.shrink_to_fit();
        out
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Name and encoded value of the object at this place.
    #[inline]
    pub fn at(&self, place: usize) -> Option<(&[u8], &[u8])> {
        let (name, value) = *self.names.get(place)?;
        let end = self.names.get(place + 1).map_or(self.bytes.len(), |n| n.0 as usize);
        Some((self.bytes.get(name as usize..value as usize)?, self.bytes.get(value as usize..end)?))
    }

    /// The place of the first object after this name.
    pub fn after(&self, oid: &[u8]) -> usize {
        use crate::protocol::compare;
        self.names.partition_point(|(name, value)| {
            compare(&self.bytes[*name as usize..*value as usize], oid) != std::cmp::Ordering::Greater
        })
    }

    /// The encoded value of a name.
    pub fn get(&self, oid: &[u8]) -> Option<&[u8]> {
        let place = self.after(oid).checked_sub(1)?;
        let (name, value) = self.at(place)?;
        (name == oid).then_some(value)
    }

    /// All objects in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.len()).filter_map(|i| self.at(i))
    }
}

fn parse_line(line: &[u8]) -> Option<(Oid, Vec<u8>)> {
    let mut parts = line.splitn(3, |b| *b == b'|');
    let (name, kind, text) = (parts.next()?, parts.next()?, parts.next()?);
    let oid: Oid = std::str::from_utf8(name).ok()?.trim().trim_matches('.').parse().ok()?;
    let kind = std::str::from_utf8(kind).ok()?.trim();
    let (number, form) = match kind.as_bytes().last()? {
        b'x' => (&kind[..kind.len() - 1], 'x'),
        b'e' => (&kind[..kind.len() - 1], 'e'),
        _ => (kind, ' '),
    };
    let number: u8 = number.parse().ok()?;
    let octets = match form {
        'x' => unhex(text)?,
        'e' => unescape(text),
        _ => text.to_vec(),
    };
    let as_text = || std::str::from_utf8(&octets).ok().map(str::trim);
    let id;
    let value = match number {
        tag::INTEGER => Value::Int(as_text()?.parse().ok()?),
        tag::OCTETS => Value::Octets(&octets),
        tag::NULL => Value::Null,
        tag::OID => {
            id = as_text()?.trim_matches('.').parse::<Oid>().ok()?;
            Value::Oid(&id)
        }
        tag::IP if form == 'x' => Value::Ip(octets.as_slice().try_into().ok()?),
        tag::IP => Value::Ip(as_text()?.parse::<std::net::Ipv4Addr>().ok()?.octets()),
        tag::COUNTER32 => Value::Counter32(as_text()?.parse().ok()?),
        tag::GAUGE32 | tag::UINTEGER32 => Value::Gauge32(as_text()?.parse().ok()?),
        tag::TICKS => Value::Ticks(as_text()?.parse().ok()?),
        tag::OPAQUE => Value::Opaque(&octets),
        tag::COUNTER64 => Value::Counter64(as_text()?.parse().ok()?),
        _ => return None,
    };
    let mut out = Writer::new();
    value.write(&mut out);
    Some((oid, out.written().to_vec()))
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    text.chunks(2).map(|p| Some(digit(p[0])? << 4 | digit(p[1])?)).collect()
}

/// Python's backslash escapes, as `repr` of bytes writes them.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [head, tail @ ..] = rest {
        let first;
        (first, rest) = match tail {
            [b'x', a, b, after @ ..] if *head == b'\\' => match unhex(&[*a, *b]).as_deref() {
                Some([byte]) => {
                    out.push(*byte);
                    rest = after;
                    continue;
                }
                _ => (head, tail),
            },
            [c, after @ ..] if *head == b'\\' => match c {
                b'n' => (&b'\n', after),
                b't' => (&b'\t', after),
                b'r' => (&b'\r', after),
                b'\\' | b'\'' | b'"' => (c, after),
                _ => (head, tail),
            },
            _ => (head, tail),
        };
        out.push(*first);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Leniency, Reader};

    #[test]
    fn dirt_is_handled_by_the_rules() {
        let text = b"# a device\r\n1.3.6.1.2|4|later\r\n\n.1.3.6.1.1.|2|7\n1.3.6.1.2|4|stands | here\n1.3.6.1.3|4x|0aFF\n\
            1.3.6.1.4|4e|\\x07\\t(\\\\\n1.3.6.1.5|4x|<private>\n1.3.6.1.6|2|0.0\nnonsense\n1.3.6.1.7|65|4294967296\n\
            1.3.6.1.8|64x|0a000001\n1.3.6.1.9|6|1.3.6.1.4.\n1.3.6.1.10|2:numeric|rate=1\n";
        let r = Recording::parse(text);
        assert_eq!(r.refused, 5);
        let mut seen = String::new();
        for (oid, value) in r.iter() {
            let value = Value::read(&mut Reader::new(value, Leniency::STRICT)).unwrap();
            crate::show::snmprec(&mut seen, oid, value);
            seen.push('\n');
        }
        assert_eq!(
            seen,
            "1.3.6.1.1|2|7\n1.3.6.1.2|4|stands | here\n1.3.6.1.3|4x|0aff\n1.3.6.1.4|4x|0709285c\n1.3.6.1.8|64|10.0.0.1\n\
             1.3.6.1.9|6|1.3.6.1.4\n"
        );
        let oid = |t: &str| t.parse::<Oid>().unwrap();
        assert_eq!(r.after(&oid("1.3")), 0);
        assert_eq!(r.after(&oid("1.3.6.1.2")), 2);
        assert!(r.get(&oid("1.3.6.1.9")).is_some() && r.get(&oid("1.3.6.1.9.0")).is_none());
        assert_eq!((r.after(&oid("2.0")), r.at(6)), (6, None));
    }
}
