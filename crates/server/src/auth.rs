//! The bearer token (RFC 6750).

use std::path::Path;

use axum::http::{HeaderMap, header};
use telegen_model::Secret;

use crate::ServerError;

/// Longest token file, in bytes.
const MAX_TOKEN: u64 = 4096;

/// The token that requests must carry.
#[derive(Clone, Debug)]
pub struct Token(Secret);

impl Token {
    /// Reads a file; newlines at its end do not belong to the token.
    pub fn read(path: &Path) -> Result<Token, ServerError> {
        let wrong = |reason: String| ServerError::Token { path: path.to_owned(), reason };
        let text = telegen_config::read_text(path, MAX_TOKEN).map_err(|e| wrong(e.to_string()))?;
        let token = text.trim_end_matches(['\n', '\r']);
        // What cannot stand in a header could never be sent.
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong("expected a token of printable ASCII characters without spaces".to_owned()));
        }
        Ok(Token(Secret::new(token)))
    }

    /// Whether the request carries the token.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return false };
        let bytes = value.as_bytes();
        let Some((scheme, token)) = bytes.split_at_checked("Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && equal(token, self.0.expose().as_bytes())
    }
}

/// Whether two texts are equal, in a time that does not tell where they differ.
fn equal(a: &[u8], b: &[u8]) -> bool {
    let mut difference = u8::from(a.len() != b.len());
    for (i, byte) in a.iter().enumerate() {
        difference |= byte ^ b.get(i).copied().unwrap_or(!byte);
    }
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_admitted() {
        let token = Token(Secret::new("abc"));
        let admits = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            token.admits(&headers)
        };
        assert!(admits("Bearer abc") && admits("bearer abc"));
        for wrong in ["", "Bearer", "Bearer ", "Bearer ab", "Bearer abcd", "Bearer abd", "Basic abc", "abc"] {
            assert!(!admits(wrong), "{wrong}");
        }
        assert!(!token.admits(&HeaderMap::new()));
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let path = folder.path().join("t");
            std::fs::write(&path, text).unwrap();
            Token::read(&path).map(|t| t.0.expose().to_owned())
        };
        assert_eq!(read("abc\r\n\n").unwrap(), "abc");
        for wrong in ["", "\n", "a b", "a\nb", "\u{e9}"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(read(&"x".repeat(4096)).unwrap().len(), 4096);
        assert!(read(&"x".repeat(4097)).is_err());
        assert!(
            Token::read(Path::new("/dev/null")).unwrap_err().to_string().ends_with("it is no regular file")
        );
        assert!(Token::read(&folder.path().join("none")).is_err());
    }
}
