use std::fmt;
use std::str::FromStr;

/// A number of bytes above zero: `64MiB`, `1GiB`, `4MB`, or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 11] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
    ("", 1),
];

const EXPECTED: &str = "expected a size (KiB MiB GiB TiB kB MB GB TB or plain bytes), such as 64MiB";

impl ByteSize {
    /// `n` bytes; one byte when `n` is 0.
    pub const fn bytes(n: u64) -> ByteSize {
        ByteSize(if n == 0 { 1 } else { n })
    }

    /// `n` KiB.
    pub const fn kib(n: u64) -> ByteSize {
        ByteSize::bytes(n << 10)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> ByteSize {
        ByteSize::bytes(n << 20)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory, at most what the machine can address.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteSize, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.strip_prefix(' ').unwrap_or(unit);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(EXPECTED)?;
        if number.is_empty() {
            return Err(EXPECTED.to_owned());
        }
        let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*scale));
        match bytes {
            // A file offset is signed, so is every size that the kernel takes.
            Some(n) if i64::try_from(n).is_err() => Err("larger than 8 EiB".to_owned()),
            Some(0) => Err("0 is not allowed here".to_owned()),
            Some(n) => Ok(ByteSize(n)),
            None => Err("larger than 8 EiB".to_owned()),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS.iter().find(|(_, scale)| self.0.is_multiple_of(*scale));
        let (unit, scale) = exact.copied().unwrap_or(("", 1));
        write!(f, "{}{}", self.0 / scale, if scale == 1 { "" } else { unit })
    }
}

impl<'de> serde::Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<ByteSize, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

// Without a unit it is a number, which YAML and JSON write without quotes.
impl serde::Serialize for ByteSize {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let text = self.to_string();
        match text.parse::<u64>() {
            Ok(n) => s.serialize_u64(n),
            Err(_) => s.serialize_str(&text),
        }
    }
}

impl schemars::JsonSchema for ByteSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"], "format": "size", "examples": ["64MiB"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_and_decimal_units_and_plain_bytes() {
        let n = |t: &str| t.parse::<ByteSize>().map(ByteSize::get);
        assert_eq!(n("64MiB"), Ok(64 << 20));
        assert_eq!(n("1GiB"), Ok(1 << 30));
        assert_eq!(n("4MB"), Ok(4_000_000));
        assert_eq!(n("512"), Ok(512));
        assert_eq!(n("0"), Err("0 is not allowed here".to_owned()));
        assert_eq!(n("99999999TiB"), Err("larger than 8 EiB".to_owned()));
        for wrong in ["", "MiB", "-1", "1.5GiB", "64mib", "1Mb", "1e6"] {
            assert_eq!(n(wrong), Err(EXPECTED.to_owned()), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_written_in_the_largest_exact_unit() {
        for text in ["64MiB", "1GiB", "4MB", "1536", "1KiB", "7"] {
            assert_eq!(text.parse::<ByteSize>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
    }
}
