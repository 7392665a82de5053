//! The page, embedded. Its parts live under a path that names their content and never change; the page itself is asked
//! for every time, and answered with "not modified" when it is the same.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// One embedded file.
#[derive(Debug)]
struct File {
    name: &'static str,
    kind: &'static str,
    raw: &'static [u8],
    gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// What the page may do: load its own parts and ask its own server. No markup becomes code, nothing is framed.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                   base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                   trusted-types 'none'";

const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

pub(crate) fn router() -> Router {
    Router::new()
        .route("/", get(page))
        .route("/favicon.svg", get(icon))
        .route("/favicon.ico", get(icon))
        .route("/ui/{hash}/{*name}", get(part))
}

async fn page(headers: HeaderMap) -> Response {
    answer("index.html", &headers, ASK_AGAIN)
}

async fn icon(headers: HeaderMap) -> Response {
    answer("favicon.svg", &headers, ASK_AGAIN)
}

async fn part(Path((hash, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    if hash != HASH || name == "index.html" {
        return StatusCode::NOT_FOUND.into_response();
    }
    answer(&name, &headers, FOR_EVER)
}

fn answer(name: &str, asked: &HeaderMap, keep: &'static str) -> Response {
    let Some(file) = FILES.iter().find(|f| f.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let has = |key: HeaderName, word: &str| {
        asked
            .get_all(key)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .any(|v| v.split(',').any(|w| w.trim() == word))
    };
    let tag = format!("\"{HASH}\"");
    let mut headers = HeaderMap::new();
    let mut set = |key: HeaderName, value: &'static str| {
        headers.insert(key, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, CSP);
    set(header::CACHE_CONTROL, keep);
    set(header::VARY, "accept-encoding");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    if let Ok(value) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, value);
    }
    if has(header::IF_NONE_MATCH, &tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    let body = if has(header::ACCEPT_ENCODING, "gzip") {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        file.gzip
    } else {
        file.raw
    };
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the page as it travels.
    const LARGEST_PACKED: usize = 60 << 10;
    const LARGEST: usize = 220 << 10;

    #[test]
    fn the_page_is_small() {
        let (raw, packed) = FILES.iter().fold((0, 0), |(r, p), f| (r + f.raw.len(), p + f.gzip.len()));
        assert!(raw <= LARGEST, "{raw} bytes");
        assert!(packed <= LARGEST_PACKED, "{packed} bytes packed");
        assert!(FILES.iter().filter(|f| f.name.starts_with("js/")).count() <= 17);
    }

    #[test]
    fn nothing_in_the_page_turns_text_into_markup_or_code() {
        let banned = [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "Function(",
            "setAttribute('style",
            "style=",
            "javascript:",
            "cssText",
            "DOMParser",
            "createContextualFragment",
            "srcdoc",
        ];
        for file in FILES {
            let text = std::str::from_utf8(file.raw).unwrap();
            for word in banned {
                assert!(!text.contains(word), "{} has {word}", file.name);
            }
            let handler = text.match_indices(" on").any(|(i, _)| {
                let rest: String = text[i + 3..].chars().take_while(char::is_ascii_lowercase).collect();
                file.name.ends_with(".html")
                    && !rest.is_empty()
                    && text[i + 3 + rest.len()..].starts_with('=')
            });
            assert!(!handler, "{} has an inline handler", file.name);
        }
    }

    #[test]
    fn the_page_names_only_files_that_are_there() {
        let page = FILES.iter().find(|f| f.name == "index.html").unwrap();
        let text = std::str::from_utf8(page.raw).unwrap();
        let base = format!("/ui/{HASH}/");
        let mut named = 0;
        for (i, _) in text.match_indices(&base) {
            let name = text[i + base.len()..].split('"').next().unwrap();
            assert!(FILES.iter().any(|f| f.name == name), "{name}");
            named += 1;
        }
        // The style, the theme, main.js twice, and what it imports: a first look is two round trips, not three.
        assert!((10..=12).contains(&named), "{named}");
        assert!(text.contains("js/services.js\">") && !text.contains("js/waterfall.js"));
        assert!(!text.contains("{{") && !text.contains("http://") && !text.contains("https://"));
    }
}
