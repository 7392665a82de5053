//! One finished request as a span and as a measurement, by the stable HTTP semantic conventions.

use std::sync::Arc;

use memchr::{memchr, memchr2};
use telegen_model::{Str, semconv as s};
use telegen_otlp::pack::Attributes;
use telegen_wire::http1::{Exchange, Outcome};
use telegen_wire::mask;

use crate::common::Common;
use crate::conn::Endpoints;
use crate::engine::{EngineConfig, cut};
use crate::red::{SeriesKey, Side};

/// Longest text of an attribute, in bytes.
pub(crate) const TEXT_MAX: usize = 2048;

/// What a connection adds to its exchanges.
pub(crate) struct Context<'a> {
    pub(crate) ends: Option<&'a Endpoints>,
    pub(crate) proxied: Option<&'a (Str, u16)>,
    pub(crate) is_server: bool,
    pub(crate) config: &'a EngineConfig,
}

/// What both a span and a measurement need.
pub(crate) struct Measured {
    pub(crate) side: Side,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
    pub(crate) version: &'static str,
    pub(crate) error: Option<&'static str>,
    /// Client side.
    pub(crate) server: (Str, u16),
    /// Server side, where it is known.
    pub(crate) route: Option<Arc<str>>,
}

/// Methods of RFC 9110, PATCH (RFC 5789) and QUERY; any other is `_OTHER`.
fn known_method(method: &str) -> &'static str {
    match method {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        "QUERY" => "QUERY",
        _ => "_OTHER",
    }
}

/// The protocol's version; of a brief head it is not among the bytes that were passed.
pub(crate) fn version(x: &Exchange) -> &'static str {
    match (x.head_brief, x.head.version) {
        (true, _) => "",
        (false, 0) => "1.0",
        (false, _) => "1.1",
    }
}

impl Measured {
    pub(crate) fn of(x: &Exchange, c: &Context<'_>, common: &Common) -> Measured {
        let error = match x.outcome {
            Outcome::PeerReset => Some("connection_reset"),
            Outcome::PeerClosed => Some("connection_closed"),
            Outcome::TimedOut => Some("timeout"),
            Outcome::OwnClose => Some("cancelled"),
            Outcome::Complete | Outcome::Upgraded | Outcome::Lost => None,
        };
        Measured {
            side: if c.is_server { Side::Server } else { Side::Client },
            method: known_method(&x.head.method),
            status: x.status.unwrap_or(0),
            version: version(x),
            error,
            // Only a client's measurements tell it.
            server: if c.is_server { Default::default() } else { common.server.clone() },
            route: None,
        }
    }

    pub(crate) fn failed(&self) -> bool {
        self.error.is_some() || self.status >= 500 || (self.side == Side::Client && self.status >= 400)
    }

    /// Where it is counted.
    pub(crate) fn series(&self) -> SeriesKey {
        SeriesKey {
            side: self.side,
            method: self.method,
            status: self.status,
            version: self.version,
            error: self.error,
            server: (self.side == Side::Client).then(|| self.server.clone()),
            route: self.route.clone(),
        }
    }
}

/// The authority of an absolute-form target.
pub(crate) fn absolute_authority(target: &str) -> Option<&str> {
    let rest = target.get(..7).filter(|p| p.eq_ignore_ascii_case("http://")).map(|_| &target[7..])?;
    Some(&rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())])
}

/// Splits `host:port`; brackets of an IPv6 literal are removed.
pub(crate) fn split_port(authority: &str) -> (&str, Option<u16>) {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((host, after)) = rest.split_once(']') else { return (authority, None) };
        return (host, after.strip_prefix(':').and_then(|p| p.parse().ok()));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse().ok()),
        _ => (authority, None),
    }
}

/// Path and query of a target in any of its four forms, unmasked.
pub(crate) fn path_and_query(target: &str) -> (&str, Option<&str>) {
    let rest = match absolute_authority(target) {
        Some(authority) => &target[7 + authority.len()..],
        None => target,
    };
    // Bytes of a character that takes several are never those of '?' or '#'.
    let fragment = |text: &str| memchr(b'#', text.as_bytes()).unwrap_or(text.len());
    match memchr2(b'?', b'#', rest.as_bytes()) {
        Some(at) if rest.as_bytes()[at] == b'?' => {
            let query = &rest[at + 1..];
            (&rest[..at], Some(&query[..fragment(query)]))
        }
        Some(at) => (&rest[..at], None),
        None => (rest, None),
    }
}

/// Lays down the sizes of the bodies.
pub(crate) fn sizes(out: &mut Attributes, request: Option<u64>, response: Option<u64>) {
    if let Some(n) = request {
        out.int(s::HTTP_REQUEST_BODY_SIZE, i64::try_from(n).unwrap_or(i64::MAX));
    }
    if let Some(n) = response {
        out.int(s::HTTP_RESPONSE_BODY_SIZE, i64::try_from(n).unwrap_or(i64::MAX));
    }
}

/// Lays down the attributes that requests of one shape have in common.
pub(crate) fn attributes(out: &mut Attributes, x: &Exchange, c: &Context<'_>, m: &Measured, common: &Common) {
    out.text(s::HTTP_REQUEST_METHOD, m.method);
    if m.method == "_OTHER" {
        out.text(s::HTTP_REQUEST_METHOD_ORIGINAL, cut(&x.head.method, 64));
    }
    let (path, query) = path_and_query(&x.head.target);
    let query = query.map(|q| mask::query(q, &c.config.mask_keys));
    out.text(s::URL_SCHEME, "http");
    let path = if x.head.method == "CONNECT" { "" } else { path };
    if !c.is_server {
        // `OPTIONS *` is about the server itself (RFC 9112 3.2.4).
        let path = if path == "*" { "" } else { path };
        out.text(s::URL_FULL, &common.full_url(path, query.as_deref()));
    }
    if !path.is_empty() {
        out.text(s::URL_PATH, cut(path, TEXT_MAX));
    }
    if let Some(q) = query.as_deref().filter(|q| !q.is_empty()) {
        out.text(s::URL_QUERY, cut(q, TEXT_MAX));
    }
    if m.status != 0 {
        out.int(s::HTTP_RESPONSE_STATUS_CODE, i64::from(m.status));
    }
    out.extend(common.attributes());
    if let Some(error) = m.error {
        out.text(s::ERROR_TYPE, error);
    } else if m.failed() {
        out.text(s::ERROR_TYPE, &m.status.to_string());
    }
    // A connection goes on recording what was wanted when it was first seen.
    let wanted = |name: &str| c.config.headers.iter().any(|w| w.eq_ignore_ascii_case(name));
    for (name, value) in x.head.headers.iter().filter(|(name, _)| wanted(name)) {
        let key = format!("http.request.header.{}", name.to_ascii_lowercase());
        out.one_text(&key, cut(value, TEXT_MAX));
    }
    if x.head_truncated {
        out.bool("telegen.http.head_truncated", true);
    }
    if let Some(route) = &m.route {
        out.text(s::HTTP_ROUTE, route);
        out.text(s::TELEGEN_ROUTE_SOURCE, "inferred");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_all_forms_give_path_and_query() {
        for (target, path, query) in [
            ("/a?b=c#d", "/a", Some("b=c")),
            ("http://u:p@h:1/a/b", "/a/b", None),
            ("http://h?x", "", Some("x")),
            ("/a#b?c", "/a", None),
            ("http://h#x", "", None),
            ("/?", "/", Some("")),
            ("*", "*", None),
        ] {
            assert_eq!(path_and_query(target), (path, query), "{target}");
        }
    }

    #[test]
    fn authorities_are_split() {
        assert_eq!(split_port("h:80"), ("h", Some(80)));
        assert_eq!(split_port("[::1]:80"), ("::1", Some(80)));
        assert_eq!(split_port("::1"), ("::1", None));
        assert_eq!(split_port("h"), ("h", None));
        assert_eq!(absolute_authority("HTTP://u@h:1?x"), Some("u@h:1"));
    }
}
