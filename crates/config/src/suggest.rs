//! The nearest right word to a wrong one.

/// The first candidate that begins with the whole of `word` and a sign behind it (`http` of `http/protobuf`), else the one
/// with the smallest edit distance; of equals the one that begins alike longest.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let begins = |c: &&str| {
        let rest = c.strip_prefix(word.to_ascii_lowercase().as_str());
        !word.is_empty() && rest.is_some_and(|r| r.starts_with(|sign: char| !sign.is_ascii_alphanumeric()))
    };
    if let Some(first) = candidates.iter().copied().find(|c| begins(c)) {
        return Some(first);
    }
    let alike = |c: &str| word.chars().zip(c.chars()).take_while(|(a, b)| a == b).count();
    candidates.into_iter().min_by_key(|c| (distance(word, c), usize::MAX - alike(c)))
}

/// Fewest insertions, deletions, replacements and swaps of neighbours between two words, without case and
/// with `-` as `_`; only the first 64 characters count.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let fold = |s: &str| -> Vec<char> {
        s.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (fold(a), fold(b));
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_a_letter_more_and_a_letter_less_are_one_step() {
        assert_eq!(distance("endpiont", "endpoint"), 1);
        assert_eq!(distance("endpoints", "endpoint"), 1);
        assert_eq!(distance("ndpoint", "endpoint"), 1);
        assert_eq!(distance("max-size", "MAX_SIZE"), 0);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn the_nearest_word_wins() {
        assert_eq!(nearest("servr", ["resource", "server", "receive"]), Some("server"));
        let protocols = ["grpc", "http/protobuf", "http/json"];
        assert_eq!(nearest("http", protocols), Some("http/protobuf"));
        assert_eq!(nearest("HTTP", protocols), Some("http/protobuf"));
        assert_eq!(nearest("htp/json", protocols), Some("http/json"));
        assert_eq!(nearest("2", ["1", "2c", "3"]), Some("2c"));
        assert_eq!(nearest("x", []), None);
    }
}
