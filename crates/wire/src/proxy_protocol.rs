//! The PROXY protocol prefix, versions 1 and 2 (HAProxy's specification): a proxy tells who its client is.

use std::net::{Ipv4Addr, Ipv6Addr};

use telegen_model::Str;

/// What stands at the begin of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A prefix of `len` bytes; `source` is the client, unless the proxy speaks for itself.
    Found {
        /// Address and port.
        source: Option<(Str, u16)>,
        /// Bytes of the prefix.
        len: usize,
    },
    /// The begin of a prefix, not all of it.
    NeedMore,
    /// No prefix.
    None,
}

const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest version 1 line.
const V1_MAX: usize = 107;

/// Looks at the first bytes of a connection.
pub fn parse(bytes: &[u8]) -> Verdict {
    if bytes.starts_with(&V2[..bytes.len().min(12)]) && !bytes.is_empty() {
        return v2(bytes);
    }
    if bytes.starts_with(&b"PROXY "[..bytes.len().min(6)]) && !bytes.is_empty() {
        return v1(bytes);
    }
    Verdict::None
}

fn v1(bytes: &[u8]) -> Verdict {
    let Some(end) = bytes.windows(2).take(V1_MAX).position(|w| w == b"\r\n") else {
        return if bytes.len() < V1_MAX { Verdict::NeedMore } else { Verdict::None };
    };
    let Ok(line) = std::str::from_utf8(&bytes[..end]) else { return Verdict::None };
    let mut words = line.split(' ').skip(1);
    let len = end + 2;
    let source = match words.next() {
        Some("UNKNOWN") => None,
        Some("TCP4" | "TCP6") => {
            let (Some(address), Some(port)) = (words.next(), words.nth(1)) else { return Verdict::None };
            let valid = address.parse::<std::net::IpAddr>().is_ok();
            match (valid, port.parse()) {
                (true, Ok(port)) => Some((Str::new(address), port)),
                _ => return Verdict::None,
            }
        }
        _ => return Verdict::None,
    };
    Verdict::Found { source, len }
}

fn v2(bytes: &[u8]) -> Verdict {
    let Some(head) = bytes.get(..16) else { return Verdict::NeedMore };
    if head[12] >> 4 != 2 {
        return Verdict::None;
    }
    let len = 16 + usize::from(u16::from_be_bytes([head[14], head[15]]));
    let local = head[12] & 15 == 0;
    let port = |at: usize| bytes.get(at..at + 2).map(|p| u16::from_be_bytes([p[0], p[1]]));
    let source = match head[13] >> 4 {
        _ if local => None,
        1 => match (bytes.get(16..20), port(24)) {
            (Some(a), Some(p)) => Some((Str::from(Ipv4Addr::new(a[0], a[1], a[2], a[3]).to_string()), p)),
            _ => return Verdict::NeedMore,
        },
        2 => match (bytes.get(16..32).and_then(|a| <[u8; 16]>::try_from(a).ok()), port(48)) {
            (Some(a), Some(p)) => Some((Str::from(Ipv6Addr::from(a).to_string()), p)),
            _ => return Verdict::NeedMore,
        },
        _ => None,
    };
    Verdict::Found { source, len }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_give_the_client_and_their_length() {
        let line = b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\nGET /";
        assert_eq!(parse(line), Verdict::Found { source: Some(("192.0.2.7".into(), 56324)), len: 42 });
        assert_eq!(parse(b"PROXY UNKNOWN\r\nGET"), Verdict::Found { source: None, len: 15 });
        let mut v2 = V2.to_vec();
        v2.extend([0x21, 0x11, 0, 12, 192, 0, 2, 7, 192, 0, 2, 1, 0xdc, 0x04, 1, 0xbb]);
        v2.extend(b"GET /");
        assert_eq!(parse(&v2), Verdict::Found { source: Some(("192.0.2.7".into(), 56324)), len: 28 });
    }

    #[test]
    fn what_is_cut_needs_more_and_what_is_none_is_none() {
        assert_eq!(parse(b"PRO"), Verdict::NeedMore);
        assert_eq!(parse(&V2[..5]), Verdict::NeedMore);
        assert_eq!(parse(b"PROXY TCP4 x y 1 2\r\n"), Verdict::None);
        assert_eq!(parse(b"GET / HTTP/1.1"), Verdict::None);
        assert_eq!(parse(b""), Verdict::None);
        assert_eq!(parse(&[b"PROXY ".as_slice(), &[b'a'; 200]].concat()), Verdict::None);
    }
}
