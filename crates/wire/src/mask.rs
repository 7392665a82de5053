//! What is hidden in URLs: values of query keys that are known to hold secrets.

use std::borrow::Cow;

/// What stands in the place of a secret.
pub const REDACTED: &str = "REDACTED";

/// Keys that are always hidden, compared percent-decoded, without case, `-` as `_`.
const KEYS: [&str; 21] = [
    "password",
    "passwd",
    "pwd",
    "token",
    "api_key",
    "apikey",
    "key",
    "secret",
    "sig",
    "signature",
    "private_key",
    "code",
    "credential",
    "credentials",
    "session",
    "sessionid",
    "x_amz_signature",
    "x_amz_security_token",
    "x_amz_credential",
    "x_goog_signature",
    "awsaccesskeyid",
];

/// Endings that make any key a secret one.
const ENDINGS: [&str; 2] = ["_token", "_secret"];

/// A query with the values of secret keys replaced; the same text when there is none. A value that was cut is replaced
/// all the same.
pub fn query<'a>(query: &'a str, extra: &[String]) -> Cow<'a, str> {
    let mut out = String::new();
    let mut copied = 0;
    for (start, end) in pairs(query) {
        let pair = &query[start..end];
        let Some(eq) = pair.find('=') else { continue };
        if eq + 1 < pair.len() && is_secret(&pair[..eq], extra) {
            out.push_str(&query[copied..=start + eq]);
            out.push_str(REDACTED);
            copied = end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(query);
    }
    out.push_str(&query[copied..]);
    Cow::Owned(out)
}

/// A URL or target with its user-info removed and its query masked.
pub fn url<'a>(url: &'a str, extra: &[String]) -> Cow<'a, str> {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let authority = url.find("://").map(|n| n + 3).filter(|n| *n <= end);
    let user = authority.and_then(|from| {
        let to = url[from..end].find('/').map_or(end, |n| from + n);
        url[from..to].rfind('@').map(|at| (from, from + at + 1))
    });
    let masked = match url.get(end..) {
        Some(rest) if rest.starts_with('?') => {
            let to = rest.find('#').unwrap_or(rest.len());
            match query(&rest[1..to], extra) {
                Cow::Owned(q) => Some(format!("?{q}{}", &rest[to..])),
                Cow::Borrowed(_) => None,
            }
        }
        _ => None,
    };
    match (user, masked) {
        (None, None) => Cow::Borrowed(url),
        (user, masked) => {
            let (from, to) = user.unwrap_or((0, 0));
            let rest = masked.unwrap_or_else(|| url[end..].to_owned());
            Cow::Owned(format!("{}{}{rest}", &url[..from], &url[to..end]))
        }
    }
}

/// Start and end of each pair.
fn pairs(query: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut start = 0;
    query.split(['&', ';']).map(move |pair| {
        let at = start;
        start += pair.len() + 1;
        (at, at + pair.len())
    })
}

/// Whether the value of a key is hidden.
pub fn is_secret(key: &str, extra: &[String]) -> bool {
    if key.len() > 256 {
        // Longer than any known key even when every byte is percent-encoded; only the endings could fit.
        let tail = normal(&key[floor(key, key.len() - 60)..]);
        return ENDINGS.iter().any(|e| tail.ends_with(e));
    }
    let key = normal(key);
    KEYS.contains(&key.as_str())
        || ENDINGS.iter().any(|e| key.ends_with(e))
        || extra.iter().any(|e| normal(e) == key)
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Percent-decoded as often as it is encoded (three times at most), lower case, `-` as `_`.
fn normal(key: &str) -> String {
    let mut text = key.trim_matches('+').to_owned();
    for _ in 0..3 {
        if !text.contains('%') {
            break;
        }
        text = decoded(&text);
    }
    text.trim().to_ascii_lowercase().replace('-', "_")
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let pair = bytes.get(i + 1..i + 3).and_then(|p| std::str::from_utf8(p).ok());
        match pair.and_then(|p| u8::from_str_radix(p, 16).ok()) {
            Some(b) if bytes[i] == b'%' => {
                out.push(b);
                i += 3;
            }
            _ => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        assert_eq!(query(text, &["customer-id".to_owned()]), expect, "{text}");
    }

    #[test]
    fn values_of_secret_keys_are_replaced_and_all_else_stays() {
        check("a=1&token=abc&b=2", "a=1&token=REDACTED&b=2");
        check("TOKEN=a;pass%77ord=b", "TOKEN=REDACTED;pass%77ord=REDACTED");
        check(
            "X-Amz-Signature=s&access-token=t&Client_Secret=u",
            "X-Amz-Signature=REDACTED&access-token=REDACTED&Client_Secret=REDACTED",
        );
        check("customer_id=7&api%255fkey=8", "customer_id=REDACTED&api%255fkey=REDACTED");
        check("tokens=1&monkey=2&keys=3&token&key=", "tokens=1&monkey=2&keys=3&token&key=");
        check("sessionid=cut-by-the-cap", "sessionid=REDACTED");
        assert!(matches!(query("a=1", &[]), Cow::Borrowed("a=1")));
    }

    #[test]
    fn user_info_never_stays_in_a_url() {
        assert_eq!(url("http://u:p@h:1/a@b?token=x#f", &[]), "http://h:1/a@b?token=REDACTED#f");
        assert_eq!(url("http://u@h", &[]), "http://h");
        assert_eq!(url("/a?next=http://u@h", &[]), "/a?next=http://u@h");
        assert_eq!(url("http://h/a?x=y", &[]), "http://h/a?x=y");
    }
}
