//! A reader of recordings that is not the program's own, so that the two can be compared.
//!
//! The rule for dirt: a line is `OID|TAG|VALUE` and ends at a newline, a carriage return before it does not count. Empty
//! lines and those that begin with `#` are nothing. Dots around an OID do not count. Of two lines with one OID the later
//! stands. A tag is a number, `x` behind it means hexadecimal digits, `e` backslash escapes; tags with `:` compute their
//! value and are left out, as are lines whose OID, tag or value is none.

use std::collections::BTreeMap;
use std::path::Path;

use telegen_snmp::protocol::{Oid, Value};

/// A value with its own bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Owned {
    Int(i64),
    Octets(Vec<u8>),
    Null,
    Oid(Oid),
    Ip([u8; 4]),
    Counter32(u32),
    Gauge32(u32),
    Ticks(u32),
    Opaque(Vec<u8>),
    Counter64(u64),
}

impl Owned {
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Owned::Int(i) => Value::Int(*i),
            Owned::Octets(b) => Value::Octets(b),
            Owned::Null => Value::Null,
            Owned::Oid(o) => Value::Oid(o),
            Owned::Ip(a) => Value::Ip(*a),
            Owned::Counter32(v) => Value::Counter32(*v),
            Owned::Gauge32(v) => Value::Gauge32(*v),
            Owned::Ticks(v) => Value::Ticks(*v),
            Owned::Opaque(b) => Value::Opaque(b),
            Owned::Counter64(v) => Value::Counter64(*v),
        }
    }

    /// As a number, also one that is written as a text.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Owned::Int(i) => Some(*i as f64),
            Owned::Counter32(v) | Owned::Gauge32(v) | Owned::Ticks(v) => Some(f64::from(*v)),
            Owned::Counter64(v) => Some(*v as f64),
            Owned::Octets(b) => {
                let text = std::str::from_utf8(b).ok()?.trim();
                let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+'));
                text[..end.unwrap_or(text.len())].parse().ok()
            }
            _ => None,
        }
    }
}

/// Objects by their arcs, and how many lines were left out.
pub(crate) struct Recorded {
    pub(crate) objects: BTreeMap<Vec<u32>, Owned>,
    pub(crate) refused: usize,
}

pub(crate) fn read(path: &Path) -> Recorded {
    let text = std::fs::read(path).unwrap();
    let mut out = Recorded { objects: BTreeMap::new(), refused: 0 };
    for line in text.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(u8::is_ascii_whitespace) || line[0] == b'#' {
            continue;
        }
        match object(line) {
            Some((arcs, value)) => {
                out.objects.insert(arcs, value);
            }
            None => out.refused += 1,
        }
    }
    out
}

fn arcs(text: &str) -> Option<Vec<u32>> {
    let arcs: Vec<u32> =
        text.trim().trim_matches('.').split('.').map(|a| a.parse().ok()).collect::<Option<_>>()?;
    // What an encoded name can hold: two arcs at least, the first at most 2.
    (Oid::from_arcs(&arcs).is_ok()).then_some(arcs)
}

fn object(line: &[u8]) -> Option<(Vec<u32>, Owned)> {
    let first = line.iter().position(|b| *b == b'|')?;
    let second = first + 1 + line[first + 1..].iter().position(|b| *b == b'|')?;
    let name = arcs(std::str::from_utf8(&line[..first]).ok()?)?;
    let mut tag = std::str::from_utf8(&line[first + 1..second]).ok()?.trim();
    let raw = &line[second + 1..];
    let (mut octets, mut hexadecimal) = (raw.to_vec(), false);
    if let Some(number) = tag.strip_suffix('x') {
        let digits = std::str::from_utf8(raw.trim_ascii()).ok()?;
        if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
            return None;
        }
        let pair = |i: usize| u8::from_str_radix(&digits[i..i + 2], 16).ok();
        let sign = digits.bytes().any(|b| b == b'+');
        octets = (0..digits.len()).step_by(2).map(pair).collect::<Option<_>>().filter(|_| !sign)?;
        (tag, hexadecimal) = (number, true);
    } else if let Some(number) = tag.strip_suffix('e') {
        octets = escaped(raw);
        tag = number;
    }
    let text = || Some(std::str::from_utf8(&octets).ok()?.trim());
    let value = match tag {
        "2" => Owned::Int(text()?.parse().ok()?),
        "4" => Owned::Octets(octets),
        "5" => Owned::Null,
        "6" => Owned::Oid(Oid::from_arcs(&arcs(text()?)?).ok()?),
        "64" if hexadecimal => Owned::Ip(octets.try_into().ok()?),
        "64" => Owned::Ip(text()?.parse::<std::net::Ipv4Addr>().ok()?.octets()),
        "65" => Owned::Counter32(text()?.parse().ok()?),
        "66" | "71" => Owned::Gauge32(text()?.parse().ok()?),
        "67" => Owned::Ticks(text()?.parse().ok()?),
        "68" => Owned::Opaque(octets),
        "70" => Owned::Counter64(text()?.parse().ok()?),
        _ => return None,
    };
    Some((name, value))
}

fn escaped(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let byte = |text: &[u8]| u8::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok();
        let (octet, width) = match &raw[at..] {
            [b'\\', b'x', a, b, ..] if byte(&[*a, *b]).is_some() && *a != b'+' => {
                (byte(&[*a, *b]).unwrap(), 4)
            }
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', c @ (b'\\' | b'\'' | b'"'), ..] => (*c, 2),
            [c, ..] => (*c, 1),
            [] => break,
        };
        out.push(octet);
        at += width;
    }
    out
}
