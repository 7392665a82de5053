//! Names what a connection speaks by its first bytes. A wrong name is worse than none.

use telegen_model::Str;

/// A protocol that can be told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.x.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// TLS.
    Tls,
    /// PostgreSQL.
    Postgres,
    /// MySQL.
    Mysql,
    /// Redis (RESP).
    Redis,
    /// MongoDB.
    Mongo,
    /// Kafka.
    Kafka,
}

impl Protocol {
    /// The name used in metrics and on the page.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Http1 => "http1",
            Protocol::Http2 => "http2",
            Protocol::Tls => "tls",
            Protocol::Postgres => "postgresql",
            Protocol::Mysql => "mysql",
            Protocol::Redis => "redis",
            Protocol::Mongo => "mongodb",
            Protocol::Kafka => "kafka",
        }
    }
}

/// What the first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They fit a protocol so far.
    NeedMore,
    /// They are of this one.
    Known(Protocol),
    /// They are of none that is known.
    Unknown,
}

/// Looks at the first bytes of either direction.
pub fn classify(bytes: &[u8]) -> Verdict {
    use Protocol::{Http1, Http2, Kafka, Mongo, Mysql, Postgres, Redis, Tls};
    let be32 = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let le32 = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let Some(first) = bytes.first() else { return Verdict::NeedMore };
    if bytes.len() >= 6 && matches!(first, 20..=23) && bytes[1] == 3 && bytes[2] <= 4 {
        return Verdict::Known(Tls);
    }
    if bytes.starts_with(b"PRI * HTTP/2.0") {
        return Verdict::Known(Http2);
    }
    if bytes.starts_with(b"HTTP/1.") || is_request_line(bytes) {
        return Verdict::Known(Http1);
    }
    if let (Some(len), Some(code)) = (be32(0), be32(4)) {
        // Startup with protocol 3.x, SSLRequest, GSSENCRequest, CancelRequest (PostgreSQL manual 55.7).
        if (8..=10_000).contains(&len)
            && (code >> 16 == 3 && code & 0xffff <= 2 || (80_877_102..=80_877_104).contains(&code))
        {
            return Verdict::Known(Postgres);
        }
    }
    if matches!(first, b'Q' | b'P' | b'R')
        && be32(1).is_some_and(|len| (4..1 << 24).contains(&len) && len as usize + 1 == bytes.len())
    {
        return Verdict::Known(Postgres);
    }
    // Initial handshake of protocol 10: length, sequence 0, version, then a NUL-ended server version.
    if let Some(len) = le32(0)
        && len >> 24 == 0
        && len as usize + 4 == bytes.len()
        && bytes.get(4) == Some(&10)
        && bytes.get(5).is_some_and(u8::is_ascii_digit)
    {
        return Verdict::Known(Mysql);
    }
    if is_resp(bytes) {
        return Verdict::Known(Redis);
    }
    // OP_QUERY, OP_COMPRESSED, OP_MSG.
    if let (Some(len), Some(code)) = (le32(0), le32(12))
        && matches!(code, 2004 | 2012 | 2013)
        && (16..48_000_000).contains(&len)
    {
        return Verdict::Known(Mongo);
    }
    if is_kafka_request(bytes) {
        return Verdict::Known(Kafka);
    }
    if bytes.len() < 8 { Verdict::NeedMore } else { Verdict::Unknown }
}

fn is_request_line(bytes: &[u8]) -> bool {
    let Some(space) = bytes.iter().take(24).position(|b| *b == b' ') else { return false };
    space > 0
        && bytes[..space].iter().all(u8::is_ascii_uppercase)
        && bytes.get(space + 1).is_some_and(|b| matches!(b, b'/' | b'*'))
}

/// An array of bulk strings, as every command is sent, or one of the plain answers.
fn is_resp(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"+OK\r\n") || bytes.starts_with(b"+PONG\r\n") || bytes.starts_with(b"-ERR ") {
        return true;
    }
    let Some(rest) = bytes.strip_prefix(b"*") else { return false };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    (1..7).contains(&digits) && rest[digits..].starts_with(b"\r\n$")
}

/// Length, a known API key and version, and a client id of printable ASCII.
fn is_kafka_request(bytes: &[u8]) -> bool {
    let Some(head) = bytes.get(..14) else { return false };
    let be16 = |at: usize| i16::from_be_bytes([head[at], head[at + 1]]);
    let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let (key, version, id_len) = (be16(4), be16(6), be16(12));
    if !(10..100_000_000).contains(&len) || !(0..=92).contains(&key) || !(0..=18).contains(&version) {
        return false;
    }
    match usize::try_from(id_len) {
        Ok(n) if n > 0 && n <= 256 => {
            bytes.get(14..14 + n).is_some_and(|id| id.iter().all(u8::is_ascii_graphic))
        }
        _ => false,
    }
}

/// Server name of a ClientHello (RFC 8446 4.1.2, RFC 6066 3), which may be cut.
pub fn sni(bytes: &[u8]) -> Option<Str> {
    let mut r = Reader(bytes);
    r.skip(5)?;
    if r.take(1)? != [1] {
        return None;
    }
    r.skip(3 + 2 + 32)?;
    let session = r.u8()?;
    r.skip(session)?;
    let suites = r.u16()?;
    r.skip(suites)?;
    let methods = r.u8()?;
    r.skip(methods)?;
    r.u16()?;
    loop {
        let (kind, len) = (r.u16()?, r.u16()?);
        if kind != 0 {
            r.skip(len)?;
            continue;
        }
        r.skip(2)?;
        let name_type = r.u8()?;
        let name_len = r.u16()?;
        let name = r.take(name_len)?;
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if name_type != 0 || name.is_empty() || name.len() > 253 || !name.iter().all(plain) {
            return None;
        }
        return std::str::from_utf8(name).ok().map(Str::new);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    fn skip(&mut self, n: usize) -> Option<()> {
        self.take(n).map(|_| ())
    }
    fn u8(&mut self) -> Option<usize> {
        self.take(1).map(|b| usize::from(b[0]))
    }
    fn u16(&mut self) -> Option<usize> {
        self.take(2).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: Verdict) {
        assert_eq!(classify(bytes), expect, "{}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn first_bytes_name_their_protocol() {
        use Protocol::*;
        check(b"GET / HTTP/1.1\r\n", Verdict::Known(Http1));
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Verdict::Known(Http2));
        check(&[22, 3, 1, 2, 0, 1, 0, 1], Verdict::Known(Tls));
        check(&[0, 0, 0, 8, 4, 210, 22, 47], Verdict::Known(Postgres));
        check(b"Q\0\0\0\x0dselect 1\0", Verdict::Known(Postgres));
        check(b"*1\r\n$4\r\nPING\r\n", Verdict::Known(Redis));
        check(&[[14, 0, 0, 0, 10].as_slice(), b"8.0.36\0abcdef"].concat()[..18], Verdict::Known(Mysql));
        let mut mongo = vec![20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        mongo.extend(2013u32.to_le_bytes());
        check(&mongo, Verdict::Known(Mongo));
        check(b"\0\0\0\x10\0\x12\0\x03\0\0\0\x01\0\x06client", Verdict::Known(Kafka));
        check(b"EHLO example.org\r\n", Verdict::Unknown);
        check(b"SSH-2.0-OpenSSH_9.2\r\n", Verdict::Unknown);
        check(b"G", Verdict::NeedMore);
    }

    #[test]
    fn the_server_name_is_read_and_a_cut_hello_gives_none() {
        let name = b"shop.example.org";
        let mut ext = vec![0, 0, 0, name.len() as u8 + 5, 0, name.len() as u8 + 3, 0, 0, name.len() as u8];
        ext.extend(name);
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend([0, ext.len() as u8]);
        body.extend(&ext);
        let mut hello = vec![22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
        hello.extend(&body);
        assert_eq!(sni(&hello).as_deref(), Some("shop.example.org"));
        for cut in 0..hello.len() {
            assert_eq!(sni(&hello[..cut]), None, "{cut}");
        }
    }
}
