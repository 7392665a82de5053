use std::fmt;
use std::str::FromStr;

use super::text_type;

/// A length of time above zero, written with units: `10s`, `1m30s`, `100ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(std::time::Duration);

/// A length of time that may be zero, where zero has a meaning of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationOrZero(std::time::Duration);

const UNITS: [(&str, u128); 8] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// A hundred years: what is longer is a slip of the pen, and sums of settings must not overflow.
const LONGEST: u128 = 100 * 365 * 86_400_000_000_000;

const EXPECTED: &str = "expected a duration with units (d h m s ms us ns), such as 10s or 1m30s";

impl Duration {
    /// A duration of `n` seconds; one second when `n` is 0.
    pub const fn secs(n: u64) -> Duration {
        Duration(std::time::Duration::from_secs(if n == 0 { 1 } else { n }))
    }

    /// A duration of `n` milliseconds; one millisecond when `n` is 0.
    pub const fn millis(n: u64) -> Duration {
        Duration(std::time::Duration::from_millis(if n == 0 { 1 } else { n }))
    }

    /// The value.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl DurationOrZero {
    /// No time at all.
    pub const ZERO: DurationOrZero = DurationOrZero(std::time::Duration::ZERO);

    /// The value, `None` for zero.
    pub fn get(self) -> Option<std::time::Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Duration, String> {
        let value = parse(text)?;
        if value.is_zero() { Err("0 is not allowed here".to_owned()) } else { Ok(Duration(value)) }
    }
}

impl FromStr for DurationOrZero {
    type Err = String;

    fn from_str(text: &str) -> Result<DurationOrZero, String> {
        if text == "0" { Ok(DurationOrZero::ZERO) } else { parse(text).map(DurationOrZero) }
    }
}

/// Numbers with units, largest unit first, each at most once; a fraction is allowed.
fn parse(text: &str) -> Result<std::time::Duration, String> {
    let mut rest = text;
    let mut nanos: u128 = 0;
    let mut smallest = u128::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(EXPECTED)?;
        if *scale >= smallest {
            return Err(EXPECTED.to_owned());
        }
        smallest = *scale;
        nanos = scaled(number, *scale).and_then(|n| nanos.checked_add(n)).ok_or(EXPECTED)?;
        rest = tail;
    }
    if text.is_empty() {
        return Err(EXPECTED.to_owned());
    }
    if nanos > LONGEST {
        return Err("longer than 100 years".to_owned());
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).map_err(|_| EXPECTED)?;
    let part = u32::try_from(nanos % 1_000_000_000).map_err(|_| EXPECTED)?;
    Ok(std::time::Duration::new(seconds, part))
}

/// `number * scale`, where the number may have a fraction of at most nine digits.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || number.ends_with('.') {
        return None;
    }
    let mut value = whole.parse::<u128>().ok()?.checked_mul(scale)?;
    let mut step = scale;
    for digit in fraction.chars() {
        step /= 10;
        value += u128::from(digit.to_digit(10)?) * step;
    }
    Some(value)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DurationOrZero(self.0).fmt(f)
    }
}

impl fmt::Display for DurationOrZero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        // Up to two minutes people think in seconds.
        if nanos.is_multiple_of(1_000_000_000) && nanos <= 120_000_000_000 {
            return write!(f, "{}s", nanos / 1_000_000_000);
        }
        for (unit, scale) in UNITS {
            let n = nanos / scale;
            if n > 0 && unit != "µs" {
                write!(f, "{n}{unit}")?;
                nanos %= scale;
            }
        }
        Ok(())
    }
}

text_type!(Duration, "duration", "10s");
text_type!(DurationOrZero, "duration, 0s allowed", "0s");

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Option<u128> {
        text.parse::<DurationOrZero>().ok().and_then(|d| d.get()).map(|d| d.as_millis())
    }

    #[test]
    fn units_add_up_from_large_to_small() {
        assert_eq!(ms("10s"), Some(10_000));
        assert_eq!(ms("1m30s"), Some(90_000));
        assert_eq!(ms("100ms"), Some(100));
        assert_eq!(ms("1.5s"), Some(1_500));
        assert_eq!(ms("1d2h"), Some(93_600_000));
        for wrong in ["", "10", "s", "30s1m", "1s1s", "-1s", "1 s", "1.s", "1e3s", "10x", "99999999d"] {
            assert!(wrong.parse::<DurationOrZero>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn zero_stands_only_where_it_is_allowed() {
        assert_eq!("0s".parse::<Duration>(), Err("0 is not allowed here".to_owned()));
        assert_eq!("0s".parse::<DurationOrZero>(), Ok(DurationOrZero::ZERO));
        assert_eq!("0".parse::<DurationOrZero>(), Ok(DurationOrZero::ZERO));
    }

    #[test]
    fn what_is_written_reads_back_as_the_same() {
        for text in ["10s", "90s", "5m30s", "100ms", "1d2h", "1s500ms", "7ns"] {
            assert_eq!(text.parse::<Duration>().map(|d| d.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(DurationOrZero::ZERO.to_string(), "0s");
    }
}
