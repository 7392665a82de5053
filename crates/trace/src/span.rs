//! One finished request as a span and as a measurement, by the stable HTTP semantic conventions.

use std::sync::Arc;

use telegen_model::{
    KeyValue, Resource, Span, SpanId, SpanKind, SpanStatus, Str, TraceId, Value, semconv as s,
};
use telegen_wire::http1::{Exchange, Outcome};
use telegen_wire::mask;

use crate::conn::Endpoints;
use crate::engine::{EngineConfig, bounded};
use crate::red::{Request, SeriesKey, Side};

/// Longest text of an attribute, in bytes.
const TEXT_MAX: usize = 2048;
/// Longest host name (RFC 1035 has 253).
const HOST_MAX: usize = 256;

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
    /// Monotonic ns, as is the end.
    pub(crate) start: u64,
    pub(crate) end: u64,
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

impl Measured {
    pub(crate) fn of(x: &Exchange, c: &Context<'_>) -> Measured {
        let error = match x.outcome {
            Outcome::PeerReset => Some("connection_reset"),
            Outcome::PeerClosed => Some("connection_closed"),
            Outcome::TimedOut => Some("timeout"),
            Outcome::OwnClose => Some("cancelled"),
            Outcome::Complete | Outcome::Upgraded | Outcome::Lost => None,
        };
        Measured {
            side: if c.is_server { Side::Server } else { Side::Client },
            method: known_method(&x.method),
            status: x.status.unwrap_or(0),
            // Of a brief head the version is not among the bytes that were passed.
            version: if x.head_brief {
                ""
            } else if x.version == 0 {
                "1.0"
            } else {
                "1.1"
            },
            error,
            start: x.request_start,
            // Another thread may have read the answer before the sender's own record was made.
            end: x.response_end.max(x.request_start),
            server: server(x, c),
            route: None,
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1e9
    }

    pub(crate) fn failed(&self) -> bool {
        self.error.is_some() || self.status >= 500 || (self.side == Side::Client && self.status >= 400)
    }

    /// `now`: when it ended, ns since 1970.
    pub(crate) fn request<'a>(&self, resource: &'a Arc<Resource>, x: &Exchange, now: u64) -> Request<'a> {
        Request {
            resource,
            key: SeriesKey {
                side: self.side,
                method: self.method,
                status: self.status,
                version: self.version,
                error: self.error,
                server: (self.side == Side::Client).then(|| self.server.clone()),
                route: self.route.clone(),
            },
            seconds: self.seconds(),
            request_body: x.request_body_size,
            response_body: x.response_body_size,
            now,
        }
    }
}

/// `server.address` and `server.port`: what the request names, else the address the connection goes to.
fn server(x: &Exchange, c: &Context<'_>) -> (Str, u16) {
    let (address, port) = match c.ends {
        Some(e) if c.is_server => (e.local.clone(), e.local_port),
        Some(e) => (e.peer.clone(), e.peer_port),
        None => (Str::default(), 0),
    };
    let named =
        absolute_authority(&x.target).unwrap_or(if x.method == "CONNECT" { &x.target } else { &x.host });
    let named = named.rsplit('@').next().unwrap_or(named);
    let (host, named_port) = split_port(named);
    if host.is_empty() || c.ends.is_some_and(|e| e.transport == "unix" && c.is_server) {
        return (address, port);
    }
    // Without a port in its name a server of http listens on 80, unless the connection says otherwise.
    (bounded(host, HOST_MAX), named_port.unwrap_or(if port != 0 { port } else { 80 }))
}

/// The authority of an absolute-form target.
fn absolute_authority(target: &str) -> Option<&str> {
    let rest = target.get(..7).filter(|p| p.eq_ignore_ascii_case("http://")).map(|_| &target[7..])?;
    Some(&rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())])
}

/// Splits `host:port`; brackets of an IPv6 literal are removed.
fn split_port(authority: &str) -> (&str, Option<u16>) {
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
    let target = target.split('#').next().unwrap_or(target);
    let rest = match absolute_authority(target) {
        Some(authority) => &target[7 + authority.len()..],
        None => target,
    };
    match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    }
}

/// First address of `X-Forwarded-For`, or of `Forwarded`'s first `for=` (RFC 7239), without port.
fn forwarded_for(x: &Exchange) -> Option<&str> {
    let first = if x.forwarded.is_empty() {
        x.forwarded_for.split(',').next()?.trim()
    } else {
        let element = x.forwarded.split(',').next()?;
        let value = element.split(';').find_map(|p| {
            let (key, value) = p.trim().split_once('=')?;
            key.eq_ignore_ascii_case("for").then_some(value)
        })?;
        value.trim_matches('"')
    };
    let (host, _) = split_port(first);
    (!host.is_empty() && host.len() <= HOST_MAX && !host.eq_ignore_ascii_case("unknown")).then_some(host)
}

/// Builds the span, in monotonic time; its ids, its parent and its trace state follow from the tree that it belongs to,
/// and so does its wall time: a clock that was set meanwhile must not tear a tree apart.
pub(crate) fn build(x: &Exchange, c: &Context<'_>, m: &Measured) -> Span {
    let mut attrs = Vec::with_capacity(22);
    let constant = |k, v: &'static str| KeyValue { key: Str::const_new(k), value: Value::constant(v) };
    attrs.push(constant(s::HTTP_REQUEST_METHOD, m.method));
    if m.method == "_OTHER" {
        attrs.push(KeyValue::new(s::HTTP_REQUEST_METHOD_ORIGINAL, bounded(&x.method, 64)));
    }
    let (path, query) = path_and_query(&x.target);
    let query = query.map(|q| mask::query(q, &c.config.mask_keys));
    attrs.push(constant(s::URL_SCHEME, "http"));
    let path = if x.method == "CONNECT" { "" } else { path };
    if c.is_server {
        if !path.is_empty() {
            attrs.push(KeyValue::new(s::URL_PATH, bounded(path, TEXT_MAX)));
        }
        if let Some(q) = query.as_deref().filter(|q| !q.is_empty()) {
            attrs.push(KeyValue::new(s::URL_QUERY, bounded(q, TEXT_MAX)));
        }
    } else {
        attrs.push(KeyValue::new(s::URL_FULL, full_url(m, path, query.as_deref())));
        if !path.is_empty() {
            attrs.push(KeyValue::new(s::URL_PATH, bounded(path, TEXT_MAX)));
        }
        if let Some(q) = query.as_deref().filter(|q| !q.is_empty()) {
            attrs.push(KeyValue::new(s::URL_QUERY, bounded(q, TEXT_MAX)));
        }
    }
    if m.status != 0 {
        attrs.push(KeyValue::new(s::HTTP_RESPONSE_STATUS_CODE, m.status));
    }
    if !m.server.0.is_empty() {
        attrs.push(KeyValue::new(s::SERVER_ADDRESS, m.server.0.clone()));
    }
    if m.server.1 != 0 {
        attrs.push(KeyValue::new(s::SERVER_PORT, m.server.1));
    }
    if let Some(e) = c.ends {
        if c.is_server {
            let client = forwarded_for(x)
                .map(Str::from)
                .or_else(|| c.proxied.map(|(address, _)| address.clone()))
                .unwrap_or_else(|| e.peer.clone());
            if !client.is_empty() {
                attrs.push(KeyValue::new(s::CLIENT_ADDRESS, client));
            }
        }
        if !e.peer.is_empty() {
            attrs.push(KeyValue::new(s::NETWORK_PEER_ADDRESS, e.peer.clone()));
        }
        if e.peer_port != 0 {
            attrs.push(KeyValue::new(s::NETWORK_PEER_PORT, e.peer_port));
        }
        attrs.push(constant(s::NETWORK_TRANSPORT, e.transport));
    }
    attrs.push(constant(s::NETWORK_PROTOCOL_VERSION, m.version));
    if !x.user_agent.is_empty() {
        attrs.push(KeyValue::new(s::USER_AGENT_ORIGINAL, bounded(&x.user_agent, TEXT_MAX)));
    }
    if let Some(n) = x.request_body_size {
        attrs.push(KeyValue::new(s::HTTP_REQUEST_BODY_SIZE, i64::try_from(n).unwrap_or(i64::MAX)));
    }
    if let Some(n) = x.response_body_size {
        attrs.push(KeyValue::new(s::HTTP_RESPONSE_BODY_SIZE, i64::try_from(n).unwrap_or(i64::MAX)));
    }
    if let Some(error) = m.error {
        attrs.push(constant(s::ERROR_TYPE, error));
    } else if m.failed() {
        attrs.push(KeyValue::new(s::ERROR_TYPE, m.status.to_string()));
    }
    for (name, value) in &x.headers {
        let key = Str::from(format!("http.request.header.{}", name.to_ascii_lowercase()));
        attrs.push(KeyValue { key, value: Value::Array(vec![Value::Str(bounded(value, TEXT_MAX))]) });
    }
    if x.head_truncated {
        attrs.push(KeyValue::new("telegen.http.head_truncated", true));
    }
    let method = if m.method == "_OTHER" { "HTTP" } else { m.method };
    let name = match &m.route {
        Some(route) => {
            attrs.push(KeyValue::new(s::HTTP_ROUTE, route.as_ref()));
            attrs.push(constant(s::TELEGEN_ROUTE_SOURCE, "inferred"));
            Str::from([method, route].join(" "))
        }
        None => Str::const_new(method),
    };
    Span {
        trace_id: TraceId::ZERO,
        span_id: SpanId::ZERO,
        parent_id: SpanId::ZERO,
        trace_state: Str::default(),
        flags: 0,
        name,
        kind: if c.is_server { SpanKind::Server } else { SpanKind::Client },
        start: m.start,
        end: m.end,
        attrs,
        events: Vec::new(),
        links: Vec::new(),
        status: if m.failed() { SpanStatus::Error } else { SpanStatus::Unset },
        status_message: Str::default(),
    }
}

/// `http://host[:port]/path?query` as RFC 3986 writes it, user-info never among it.
fn full_url(m: &Measured, path: &str, query: Option<&str>) -> Str {
    let mut url = String::with_capacity(32 + path.len() + query.map_or(0, str::len));
    url.push_str("http://");
    if m.server.0.contains(':') {
        url.push('[');
        url.push_str(&m.server.0);
        url.push(']');
    } else {
        url.push_str(&m.server.0);
    }
    if m.server.1 != 0 && m.server.1 != 80 {
        url.push(':');
        url.push_str(&m.server.1.to_string());
    }
    url.push_str(path);
    if let Some(q) = query {
        url.push('?');
        url.push_str(q);
    }
    bounded(&url, TEXT_MAX)
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
