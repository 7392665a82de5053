//! What a segment of a path is by its look alone: a word of the route, or one of many values.

/// A part of a route that stands for any value of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Id,
    Uuid,
    Hex,
    Date,
    Email,
    Ip,
    Token,
    /// Too many words were seen there: learned, not told by the look.
    Name,
}

impl Kind {
    /// As it stands in a route.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Kind::Id => "{id}",
            Kind::Uuid => "{uuid}",
            Kind::Hex => "{hex}",
            Kind::Date => "{date}",
            Kind::Email => "{email}",
            Kind::Ip => "{ip}",
            Kind::Token => "{token}",
            Kind::Name => "{name}",
        }
    }
}

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    Word(&'a str),
    /// A word that names a file: there may be any number of them.
    File(&'a str),
    /// A value, and what follows it (a file's extension, or nothing).
    Value(Kind, &'a str),
}

/// Extensions of files that are themselves, however their names look.
const STATIC: [&str; 32] = [
    "avif",
    "bmp",
    "css",
    "eot",
    "gif",
    "gz",
    "htm",
    "html",
    "ico",
    "jpeg",
    "jpg",
    "js",
    "map",
    "md",
    "mjs",
    "mp3",
    "mp4",
    "otf",
    "pdf",
    "png",
    "svg",
    "tar",
    "ttf",
    "txt",
    "wasm",
    "webm",
    "webmanifest",
    "webp",
    "woff",
    "woff2",
    "xml",
    "zip",
];
/// Longest word.
const WORD_MAX: usize = 64;

/// Classifies a segment.
pub(crate) fn classify(segment: &str) -> Segment<'_> {
    if let Some(kind) = kind_of(segment, "@") {
        return Segment::Value(kind, "");
    }
    if let Some((stem, extension)) = segment.rsplit_once('.').filter(|(s, e)| !s.is_empty() && !e.is_empty())
    {
        if STATIC.binary_search(&extension.to_ascii_lowercase().as_str()).is_ok() {
            return if segment.len() > WORD_MAX {
                Segment::Value(Kind::Token, "")
            } else {
                Segment::File(segment)
            };
        }
        if extension.len() <= 5
            && extension.bytes().all(|b| b.is_ascii_alphanumeric())
            && let Some(kind) = kind_of(stem, "@.")
        {
            return Segment::Value(kind, &segment[stem.len()..]);
        }
    }
    if has_static_extension(segment) {
        return Segment::File(segment);
    }
    match token(segment) {
        true => Segment::Value(Kind::Token, ""),
        false => Segment::Word(segment),
    }
}

fn has_static_extension(segment: &str) -> bool {
    segment.rsplit_once('.').is_some_and(|(_, e)| STATIC.binary_search(&e).is_ok())
}

/// The kinds with a form of their own. Characters of `without` end the search: a file's name is not an address.
fn kind_of(s: &str, without: &str) -> Option<Kind> {
    let bytes = s.as_bytes();
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    if digits > 0 {
        let number = s.strip_prefix('-').unwrap_or(s);
        if number.bytes().all(|b| b.is_ascii_digit()) {
            return Some(Kind::Id);
        }
        if uuid(bytes) {
            return Some(Kind::Uuid);
        }
        if date(s) {
            return Some(Kind::Date);
        }
        if s.parse::<std::net::Ipv4Addr>().is_ok()
            || (s.contains(':') && s.parse::<std::net::Ipv6Addr>().is_ok())
        {
            return Some(Kind::Ip);
        }
        if bytes.iter().all(u8::is_ascii_hexdigit) && (bytes.len() >= 7 && digits < bytes.len()) {
            return Some(Kind::Hex);
        }
        // A word and a number: order-1234, user_000017.
        if let Some((word, number)) = s.rsplit_once(['-', '_', ':'])
            && number.len() >= 3
            && number.bytes().all(|b| b.is_ascii_digit())
            && !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_alphabetic())
        {
            return Some(Kind::Id);
        }
    } else if bytes.len() >= 16 && bytes.iter().all(u8::is_ascii_hexdigit) {
        return Some(Kind::Hex);
    }
    (without == "@" && email(s)).then_some(Kind::Email)
}

fn uuid(b: &[u8]) -> bool {
    b.len() == 36
        && b.iter().enumerate().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => *c == b'-',
            _ => c.is_ascii_hexdigit(),
        })
}

/// `2026-11`, `2026-11-25`, `20261125T101500Z` and what ISO 8601 lets follow a day.
fn date(s: &str) -> bool {
    let b = s.as_bytes();
    let two = |at: usize, max: u8| {
        b.get(at..at + 2)
            .is_some_and(|d| d.iter().all(u8::is_ascii_digit) && (d[0] - b'0') * 10 + (d[1] - b'0') <= max)
    };
    let year =
        b.len() >= 4 && b[..4].iter().all(u8::is_ascii_digit) && matches!(&b[..2], b"19" | b"20" | b"21");
    if !year {
        return false;
    }
    let time = |at: usize| {
        b[at..].iter().all(|c| c.is_ascii_digit() || matches!(c, b':' | b'.' | b'Z' | b'+' | b'-' | b'%'))
    };
    match b.get(4) {
        Some(sep @ (b'-' | b'_' | b'.')) => {
            two(5, 12)
                && (b.len() == 7
                    || (b.get(7) == Some(sep)
                        && two(8, 31)
                        && (b.len() == 10 || (matches!(b[10], b'T' | b't' | b'_' | b' ') && time(11)))))
        }
        Some(_) => b.len() > 8 && two(4, 12) && two(6, 31) && b[8] == b'T' && time(9),
        None => false,
    }
}

fn email(s: &str) -> bool {
    let (user, host) = match s.split_once('@') {
        Some(parts) => parts,
        None => match s.split_once("%40") {
            Some(parts) => parts,
            None => return false,
        },
    };
    !user.is_empty() && host.split('.').count() >= 2 && host.split('.').all(|label| !label.is_empty())
}

/// Whether a segment looks drawn rather than written: characters of several classes in turn, or letters that no one
/// pronounces.
fn token(s: &str) -> bool {
    if s.len() > WORD_MAX {
        return true;
    }
    let class = |b: u8| match b {
        b'0'..=b'9' => 1,
        b'a'..=b'z' => 2,
        b'A'..=b'Z' => 3,
        _ => 0,
    };
    let b = s.as_bytes();
    let (mut turns, mut digits, mut letters, mut upper) = (0, 0, 0, 0);
    for pair in b.windows(2) {
        let (a, c) = (class(pair[0]), class(pair[1]));
        // One capital before small letters is how words begin.
        turns += usize::from(a != c && a != 0 && c != 0 && !(a == 3 && c == 2));
    }
    for c in b {
        digits += usize::from(c.is_ascii_digit());
        letters += usize::from(c.is_ascii_alphabetic());
        upper += usize::from(c.is_ascii_uppercase());
    }
    if digits > 0 && letters > 0 && b.len() >= 8 {
        let plain = b.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'=' | b'~'));
        let drawn = turns >= 3 && (turns * 5 >= b.len() || b.len() >= 16 && digits >= 2);
        if plain && (drawn || digits * 3 >= b.len() && b.len() >= 12) {
            return true;
        }
    }
    if digits == 0 && upper > 0 && upper < letters && b.len() >= 12 && turns * 4 >= b.len() {
        return true;
    }
    // Longest run of consonants, and how many vowels there are.
    let (mut run, mut longest, mut vowels) = (0, 0, 0);
    for c in b {
        match c.to_ascii_lowercase() {
            b'a' | b'e' | b'i' | b'o' | b'u' | b'y' => {
                vowels += 1;
                run = 0;
            }
            c if c.is_ascii_alphabetic() => {
                run += 1;
                longest = longest.max(run);
            }
            _ => run = 0,
        }
    }
    letters >= 10 && letters == b.len() && (longest >= 7 || vowels * 8 < letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_from_words_by_their_look() {
        for (segment, kind) in [
            ("42", Kind::Id),
            ("-7", Kind::Id),
            ("order-1234", Kind::Id),
            ("user_000017", Kind::Id),
            ("123e4567-e89b-12d3-a456-426614174000", Kind::Uuid),
            ("9f86d081884c7d65", Kind::Hex),
            ("3f2a9c1", Kind::Hex),
            ("deadbeefcafebabe", Kind::Hex),
            ("2026-11-25", Kind::Date),
            ("2026-11", Kind::Date),
            ("2026-11-25T10:15:00Z", Kind::Date),
            ("20261125T101500Z", Kind::Date),
            ("ann@example.org", Kind::Email),
            ("ann%40example.org", Kind::Email),
            ("192.0.2.7", Kind::Ip),
            ("2001:db8::1", Kind::Ip),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", Kind::Token),
            ("dQw4w9WgXcQ", Kind::Token),
            ("a8Kd93jfLq0PzX", Kind::Token),
            ("cus_9s6XKzkNRiz8i3", Kind::Token),
            ("qXvBnMkLpZtRwS", Kind::Token),
            ("xkcdqwrtplmnbvz", Kind::Token),
        ] {
            assert_eq!(classify(segment), Segment::Value(kind, ""), "{segment}");
        }
    }

    #[test]
    fn words_stay_words() {
        for word in [
            "users",
            "v1",
            "v2beta1",
            "api",
            "oauth2",
            "s3",
            "getUserProfile",
            "UserProfileSettings",
            "ipv4",
            "iso-8859-1",
            "metrics",
            "checkout",
            "health_check",
            "java.lang.String",
            "strengths",
            "k8s-pods",
            "feed",
            "decade",
            "caf%C3%A9",
            "",
            "*",
            ".well-known",
            "rhythms",
            "EC2Instances",
            "log4j2",
            "sha256",
            "index",
            "2fa",
            "3d-models",
        ] {
            assert_eq!(classify(word), Segment::Word(word), "{word}");
        }
    }

    #[test]
    fn files_stay_themselves_and_values_keep_their_extension() {
        for file in ["app.js", "img-00123.png", "3f2a9c1b.css", "42.html", "app.3f2a9c1b.js"] {
            assert_eq!(classify(file), Segment::File(file), "{file}");
        }
        assert_eq!(classify("42.json"), Segment::Value(Kind::Id, ".json"));
        assert_eq!(classify("openapi.json"), Segment::Word("openapi.json"));
    }
}
