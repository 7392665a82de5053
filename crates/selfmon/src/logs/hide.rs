use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

const REDACTED: &str = "REDACTED";
/// Values that are hidden at most: the newest.
const VALUES_MAX: usize = 1024;
/// A shorter value says too little to be worth what hiding it would do to every line.
const SHORTEST: usize = 4;
/// A shorter value is hidden only where it stands by itself: `info` is no part of `information`.
const ANYWHERE: usize = 8;

static HIDDEN: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// From now on these texts print as `REDACTED` in every line of the log, and in what [`redact`] is given. Case does not
/// count, as host names change it.
pub fn hide(values: Vec<String>) {
    let mut hidden = HIDDEN.write().unwrap_or_else(PoisonError::into_inner);
    let mut all: Vec<String> = values.into_iter().filter(|v| v.len() >= SHORTEST).collect();
    all.append(&mut hidden);
    let mut seen = std::collections::HashSet::new();
    all.retain(|v| seen.insert(v.clone()));
    all.truncate(VALUES_MAX);
    // One may be part of another.
    all.sort_by_key(|v| std::cmp::Reverse(v.len()));
    *hidden = all;
}

/// A text without what must not be told.
pub fn redact(text: &str) -> Cow<'_, str> {
    redact_all(text, &HIDDEN.read().unwrap_or_else(PoisonError::into_inner))
}

fn redact_all<'a>(text: &'a str, values: &[String]) -> Cow<'a, str> {
    let mut out = Cow::Borrowed(text);
    for value in values {
        let mut from = 0;
        while let Some(at) = find(&out, from, value) {
            out.to_mut().replace_range(at..at + value.len(), REDACTED);
            from = at + REDACTED.len();
        }
    }
    out
}

/// Where a value stands in a text, from an offset on.
fn find(text: &str, from: usize, value: &str) -> Option<usize> {
    let (bytes, len) = (text.as_bytes(), value.len());
    let word = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    (from..(bytes.len() + 1).saturating_sub(len)).find(|at| {
        let end = at + len;
        bytes[*at..end].eq_ignore_ascii_case(value.as_bytes())
            && (len >= ANYWHERE
                || !(word(at.checked_sub(1).and_then(|b| bytes.get(b))) || word(bytes.get(end))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden_wherever_they_stand_and_short_ones_as_words() {
        let values =
            ["backend.example", "hush", "backend.example.org", "\u{e4}\u{f6}\u{fc}x"].map(str::to_owned);
        let mut longest = values.to_vec();
        longest.sort_by_key(|v| std::cmp::Reverse(v.len()));
        for (text, expect) in [
            ("http://backend.example:4317/x", "http://REDACTED:4317/x"),
            ("to BACKEND.example.org and backend.example", "to REDACTED and REDACTED"),
            ("xbackend.examplex", "xREDACTEDx"),
            ("hush, hushed, hush", "REDACTED, hushed, REDACTED"),
            ("hushhush", "hushhush"),
            ("\u{e4}\u{f6}\u{fc}x \u{e4}", "REDACTED \u{e4}"),
            ("nothing", "nothing"),
            ("", ""),
        ] {
            assert_eq!(redact_all(text, &longest), expect, "{text}");
        }
    }

    #[test]
    fn what_was_hidden_stays_hidden() {
        hide(vec!["first-secret-value".into(), "abc".into()]);
        hide(vec!["second-secret-value".into(), "first-secret-value".into()]);
        assert_eq!(redact("abc first-secret-value second-secret-value"), "abc REDACTED REDACTED");
        assert_eq!(HIDDEN.read().unwrap().len(), 2);
    }
}
