use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use super::text_type;

/// Events a second, written `20000/s`; `0` means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u64);

impl Rate {
    /// `n` a second; 0 for no limit.
    pub const fn per_second(n: u64) -> Rate {
        Rate(n)
    }

    /// Events a second, `None` for no limit.
    pub const fn get(self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.0)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let number = match text.strip_suffix("/s") {
            Some(number) => number,
            None if text == "0" => text,
            None => return Err("expected a rate such as 20000/s, or 0 for none".to_owned()),
        };
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let value = if digits { number.parse().ok() } else { None };
        value.map(Rate).ok_or_else(|| "expected a rate such as 20000/s, or 0 for none".to_owned())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            n => write!(f, "{n}/s"),
        }
    }
}

text_type!(Rate, "rate", "20000/s");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_names_its_second_and_zero_switches_it_off() {
        let n = |t: &str| t.parse::<Rate>().map(|r| (r.get().map(NonZeroU64::get), r.to_string()));
        assert_eq!(n("20000/s"), Ok((Some(20_000), "20000/s".to_owned())));
        assert_eq!(n("0"), Ok((None, "0".to_owned())));
        for wrong in ["20000", "", "/s", "-1/s", "+1/s", "1/m", "99999999999999999999/s"] {
            assert!(n(wrong).is_err(), "{wrong}");
        }
    }
}
