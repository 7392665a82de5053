use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// Most arcs of an object identifier (RFC 3416, section 4.1).
const MAX_ARCS: usize = 128;

/// An object identifier, kept as the content of its BER encoding.
///
/// In that form a subtree is a byte prefix: the last byte of an arc has its high bit clear, so the next byte begins the
/// next arc. Only the order of two identifiers needs a look at the arcs, see [`compare`].
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Oid(Box<[u8]>);

/// Why a text is no object identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidError {
    /// An arc is not a number of 32 bits.
    #[error("an arc is not a number from 0 to 4294967295")]
    Arc,
    /// The first two arcs cannot be encoded.
    #[error("the first arc is 0, 1 or 2, the second below 40 under 0 and 1")]
    Root,
    /// It has fewer than two or more than 128 arcs.
    #[error("it has fewer than 2 or more than 128 arcs")]
    Length,
}

impl Oid {
    /// From the arcs.
    pub fn from_arcs(arcs: &[u32]) -> Result<Oid, OidError> {
        let [first, second, rest @ ..] = arcs else { return Err(OidError::Length) };
        if arcs.len() > MAX_ARCS {
            return Err(OidError::Length);
        }
        if *first > 2 || (*first < 2 && *second >= 40) {
            return Err(OidError::Root);
        }
        let root = first.checked_mul(40).and_then(|f| f.checked_add(*second)).ok_or(OidError::Root)?;
        let mut out = Vec::with_capacity(arcs.len() + 2);
        write_arc(&mut out, root);
        rest.iter().for_each(|a| write_arc(&mut out, *a));
        Ok(Oid(out.into()))
    }

    /// From the content of a BER encoding; `None` when that is not a valid one.
    pub fn from_ber(content: &[u8]) -> Option<Oid> {
        is_valid(content).then(|| Oid(content.into()))
    }

    /// This identifier with more arcs.
    #[must_use]
    pub fn child(&self, arcs: &[u32]) -> Oid {
        let mut out = self.0.to_vec();
        arcs.iter().for_each(|a| write_arc(&mut out, *a));
        Oid(out.into())
    }
}

/// Appends one arc.
pub fn write_arc(out: &mut Vec<u8>, arc: u32) {
    let bits = 32 - (arc | 1).leading_zeros();
    for i in (0..bits.div_ceil(7)).rev() {
        let more = if i == 0 { 0 } else { 0x80 };
        out.push((arc >> (7 * i)) as u8 & 0x7f | more);
    }
}

impl Deref for Oid {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Oid {
    type Err = OidError;

    fn from_str(text: &str) -> Result<Oid, OidError> {
        let text = text.trim().trim_start_matches('.');
        let text = text.strip_prefix("iso.").map_or_else(|| text.to_owned(), |rest| format!("1.{rest}"));
        let arcs: Result<Vec<u32>, OidError> =
            text.split('.').map(|a| a.parse().map_err(|_| OidError::Arc)).collect();
        Oid::from_arcs(&arcs?)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&display(self), f)
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Ord for Oid {
    fn cmp(&self, other: &Oid) -> Ordering {
        compare(self, other)
    }
}

impl PartialOrd for Oid {
    fn partial_cmp(&self, other: &Oid) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The arcs behind the root byte as numbers; the first item of a whole identifier is `40 * first + second`.
pub fn arcs(content: &[u8]) -> impl Iterator<Item = u32> + Clone + '_ {
    let mut rest = content.iter();
    std::iter::from_fn(move || {
        let mut arc: u32 = 0;
        loop {
            let byte = *rest.next()?;
            arc = arc << 7 | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Some(arc);
            }
        }
    })
}

/// A content of BER as dotted text.
pub fn display(content: &[u8]) -> impl fmt::Display + '_ {
    struct Dotted<'a>(&'a [u8]);
    impl fmt::Display for Dotted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let mut all = arcs(self.0);
            let Some(root) = all.next() else { return Ok(()) };
            let first = (root / 40).min(2);
            write!(f, "{first}.{}", root - 40 * first)?;
            all.try_for_each(|a| write!(f, ".{a}"))
        }
    }
    Dotted(content)
}

/// Whether a content is a sound object identifier: whole arcs of at most 32 bits, in their shortest form, at most 128.
pub fn is_valid(content: &[u8]) -> bool {
    let (mut count, mut length, mut arc) = (0, 0, 0u64);
    for byte in content {
        if length == 0 && *byte == 0x80 {
            return false;
        }
        arc = arc << 7 | u64::from(byte & 0x7f);
        length += 1;
        if length > 5 || arc > u64::from(u32::MAX) {
            return false;
        }
        if byte & 0x80 == 0 {
            (count, length, arc) = (count + 1, 0, 0);
        }
    }
    length == 0 && count > 0 && count < MAX_ARCS
}

/// The order of two contents: arc by arc, as numbers.
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let Some(at) = a.iter().zip(b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    // Back to the beginning of the arc in which they part.
    let begin = a[..at].iter().rposition(|x| x & 0x80 == 0).map_or(0, |p| p + 1);
    arcs(&a[begin..]).next().cmp(&arcs(&b[begin..]).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(text: &str) -> Oid {
        text.parse().unwrap()
    }

    #[test]
    fn text_and_bytes_are_two_forms_of_one_thing() {
        for text in ["1.3.6.1.2.1.1.3.0", "1.0", "2.999.4294967295", "0.39.128", "1.3.6.1.4.1.2021.16384.0"] {
            assert_eq!(oid(text).to_string(), text);
            assert!(is_valid(&oid(text)), "{text}");
        }
        assert_eq!(oid("1.3.6.1.4.1.2021")[..], [0x2b, 6, 1, 4, 1, 0x8f, 0x65]);
        assert_eq!(oid(".1.3").to_string(), "1.3");
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for (text, why) in [
            ("", OidError::Arc),
            ("1", OidError::Length),
            ("1.40", OidError::Root),
            ("3.1", OidError::Root),
            ("1.3.4294967296", OidError::Arc),
            ("1.3.-1", OidError::Arc),
            ("2.4294967295", OidError::Root),
        ] {
            assert_eq!(text.parse::<Oid>(), Err(why), "{text}");
        }
        assert!(
            ![&[][..], &[0x2b, 0x80, 1], &[0x2b, 0x81], &[0x2b, 0x90, 0x80, 0x80, 0x80, 0], &[1; 128]]
                .iter()
                .any(|b| is_valid(b))
        );
    }

    #[test]
    fn the_order_is_that_of_the_numbers_not_of_the_bytes() {
        let sorted =
            ["1.3", "1.3.0", "1.3.127", "1.3.128", "1.3.16383", "1.3.16384", "1.3.2097152.1", "1.4", "2.0"];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(compare(&oid(a), &oid(b)), i.cmp(&j), "{a} {b}");
            }
        }
    }
}
