//! The filter of all lists: words are substrings; `key:value`, `key>value`, `key<value`; `-` in front negates; quotes
//! keep spaces together.

/// What a row offers to be looked at.
pub(crate) trait Row {
    /// Whether a word is part of what the row shows.
    fn contains(&self, word: &str) -> bool;
    /// Whether the text under a key contains a value; `None` when rows of this kind do not have the key.
    fn text(&self, key: &str, value: &str) -> Option<bool>;
    /// The number under a key: durations in ms, shares in %, rates in 1/s. Outer `None` when rows of this kind do not have
    /// the key, inner `None` when this row has no such number.
    fn number(&self, key: &str) -> Option<Option<f64>>;
}

/// Longest filter, in bytes.
const MAX: usize = 500;

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Word(String),
    Is(String, String),
    Over(String, f64),
    Under(String, f64),
}

/// A parsed filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    terms: Vec<(bool, Test)>,
}

impl Filter {
    /// Parses a filter; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Filter, String> {
        if text.len() > MAX {
            return Err(format!("a filter has at most {MAX} bytes"));
        }
        let mut terms = Vec::new();
        for term in words(text)? {
            let (negated, term) = match term.strip_prefix('-') {
                Some(rest) if !rest.is_empty() => (true, rest),
                _ => (false, term.as_str()),
            };
            terms.push((negated, test(term)?));
        }
        Ok(Filter { terms })
    }

    /// Whether a row passes. The error names a key that rows of this kind do not have.
    pub(crate) fn passes(&self, row: &impl Row) -> Result<bool, String> {
        for (negated, test) in &self.terms {
            let passes = match test {
                Test::Word(word) => row.contains(word),
                Test::Is(key, value) => match row.text(key, value) {
                    Some(is) => is,
                    None => return Err(format!("{key}: there is no such key here")),
                },
                Test::Over(key, bound) => number(row, key)?.is_some_and(|n| n > *bound),
                Test::Under(key, bound) => number(row, key)?.is_some_and(|n| n < *bound),
            };
            if passes == *negated {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn number(row: &impl Row, key: &str) -> Result<Option<f64>, String> {
    row.number(key).ok_or_else(|| format!("{key}: there is no such number here"))
}

/// The terms: split at spaces outside quotes, quotes removed.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

fn test(term: &str) -> Result<Test, String> {
    let Some(at) = term.find([':', '>', '<']) else { return Ok(Test::Word(term.to_lowercase())) };
    let (key, rest) = term.split_at(at);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    // `http://x` and `12:30` are words.
    if key.is_empty()
        || !key.starts_with(|c: char| c.is_ascii_alphabetic())
        || !key.chars().all(plain)
        || rest.starts_with("://")
    {
        return Ok(Test::Word(term.to_lowercase()));
    }
    let (sign, value) = rest.split_at(1);
    if value.is_empty() {
        return Err(format!("{term} a value is needed"));
    }
    match sign {
        ":" => Ok(Test::Is(key.to_owned(), value.to_lowercase())),
        ">" => Ok(Test::Over(key.to_owned(), quantity(key, value).map_err(|why| format!("{term}: {why}"))?)),
        _ => Ok(Test::Under(key.to_owned(), quantity(key, value).map_err(|why| format!("{term}: {why}"))?)),
    }
}

/// A number with the unit its key needs.
fn quantity(key: &str, value: &str) -> Result<f64, &'static str> {
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let number: f64 = number.parse().map_err(|_| expected(key))?;
    let scale = match (key, unit) {
        ("dur" | "p50" | "p95" | "p99", "us" | "µs") => 0.001,
        ("dur" | "p50" | "p95" | "p99", "" | "ms") => 1.0,
        ("dur" | "p50" | "p95" | "p99", "s") => 1_000.0,
        ("dur" | "p50" | "p95" | "p99", "m" | "min") => 60_000.0,
        ("error", "" | "%") | ("rate", "" | "/s") => 1.0,
        ("rate", "k" | "k/s") => 1_000.0,
        (_, "") => 1.0,
        _ => return Err(expected(key)),
    };
    Ok(number * scale)
}

fn expected(key: &str) -> &'static str {
    match key {
        "dur" | "p50" | "p95" | "p99" => "a duration such as 200ms is needed",
        "error" => "a share such as 1% is needed",
        "rate" => "a rate such as 10/s is needed",
        _ => "a number is needed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;
    impl Row for One {
        fn contains(&self, word: &str) -> bool {
            "checkout service".contains(word)
        }
        fn text(&self, key: &str, value: &str) -> Option<bool> {
            (key == "service").then(|| "checkout".contains(value))
        }
        fn number(&self, key: &str) -> Option<Option<f64>> {
            match key {
                "p95" => Some(Some(480.0)),
                "error" => Some(None),
                _ => None,
            }
        }
    }

    fn passes(text: &str) -> Result<bool, String> {
        Filter::parse(text)?.passes(&One)
    }

    #[test]
    fn all_terms_must_hold_and_a_dash_turns_one_around() {
        for yes in [
            "",
            "check",
            "CHECK",
            "check -cart",
            "\"out serv\"",
            "service:checkout p95>200ms",
            "p95<1s",
            "-p95>1s",
        ] {
            assert_eq!(passes(yes), Ok(true), "{yes}");
        }
        for no in ["cart", "check -out", "service:cart", "p95>0.5s", "error>1%", "-service:check"] {
            assert_eq!(passes(no), Ok(false), "{no}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_told() {
        assert_eq!(passes("dur>fast"), Err("dur>fast: a duration such as 200ms is needed".to_owned()));
        assert_eq!(passes("rate>5ms"), Err("rate>5ms: a rate such as 10/s is needed".to_owned()));
        assert_eq!(passes("service:"), Err("service: a value is needed".to_owned()));
        assert_eq!(passes("colour:red"), Err("colour: there is no such key here".to_owned()));
        assert_eq!(passes("dur>1s"), Err("dur: there is no such number here".to_owned()));
        assert_eq!(passes("\"open"), Err("a quote is not closed".to_owned()));
        assert!(Filter::parse(&"x".repeat(501)).is_err());
    }
}
