//! What the spans of one connection have in common: where it goes, who is at its ends, and what the client says of itself.
//! It is written once, and not anew with every request.

use std::fmt::Write;

use telegen_model::{Str, semconv as s};
use telegen_otlp::pack::Attributes;
use telegen_wire::http1::Exchange;

use crate::engine::{bounded, cut};
use crate::span::{Context, TEXT_MAX, absolute_authority, split_port, version};

/// Longest host name (RFC 1035 has 253).
const HOST_MAX: usize = 256;
/// Connections at most of which it is remembered: a power of two.
const REMEMBERED: usize = 1024;

/// What a common part holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Key {
    cookie: u64,
    /// How often the connection was introduced: its owner may change.
    introduced: u32,
    is_server: bool,
    version: &'static str,
    host: Str,
    user_agent: Str,
}

/// What spans of one connection have in common.
#[derive(Debug, Default)]
pub(crate) struct Common {
    key: Option<Key>,
    /// `server.address` and `server.port`.
    pub(crate) server: (Str, u16),
    /// Client side: `http://host:port`.
    origin: String,
    attributes: Attributes,
}

impl Common {
    pub(crate) fn attributes(&self) -> &[u8] {
        self.attributes.as_bytes()
    }

    fn fits(&self, cookie: u64, introduced: u32, x: &Exchange, c: &Context<'_>) -> bool {
        self.key.as_ref().is_some_and(|k| {
            k.cookie == cookie
                && k.introduced == introduced
                && k.is_server == c.is_server
                && k.host == x.head.host
                && k.user_agent == x.head.user_agent
                && k.version == version(x)
                && is_plain(x, c)
        })
    }

    fn fill(&mut self, cookie: u64, introduced: u32, x: &Exchange, c: &Context<'_>) {
        self.key = is_plain(x, c).then(|| Key {
            cookie,
            introduced,
            is_server: c.is_server,
            version: version(x),
            host: x.head.host.clone(),
            user_agent: x.head.user_agent.clone(),
        });
        self.server = server(x, c);
        self.origin.clear();
        if !c.is_server {
            origin(&mut self.origin, &self.server);
        }
        self.attributes.clear();
        self.write(x, c);
    }

    fn write(&mut self, x: &Exchange, c: &Context<'_>) {
        let (out, server) = (&mut self.attributes, &self.server);
        if !server.0.is_empty() {
            out.text(s::SERVER_ADDRESS, &server.0);
        }
        if server.1 != 0 {
            out.int(s::SERVER_PORT, i64::from(server.1));
        }
        if let Some(e) = c.ends {
            if c.is_server {
                let proxied = c.proxied.map(|(address, _)| address.as_str());
                // The end of a unix socket that connects has no name: the path is the server's.
                let peer = if e.transport == "unix" { "" } else { &e.peer };
                let client = forwarded_for(x).or(proxied).unwrap_or(peer);
                if !client.is_empty() {
                    out.text(s::CLIENT_ADDRESS, client);
                }
            }
            if !e.peer.is_empty() {
                out.text(s::NETWORK_PEER_ADDRESS, &e.peer);
            }
            if e.peer_port != 0 {
                out.int(s::NETWORK_PEER_PORT, i64::from(e.peer_port));
            }
            out.text(s::NETWORK_TRANSPORT, e.transport);
        }
        out.text(s::NETWORK_PROTOCOL_VERSION, version(x));
        if !x.head.user_agent.is_empty() {
            out.text(s::USER_AGENT_ORIGINAL, cut(&x.head.user_agent, TEXT_MAX));
        }
    }

    /// `http://host[:port]/path?query` as RFC 3986 writes it, user-info never among it.
    pub(crate) fn full_url(&self, path: &str, query: Option<&str>) -> String {
        let parts = [self.origin.as_str(), path, if query.is_some() { "?" } else { "" }, query.unwrap_or("")];
        let mut url = parts.concat();
        url.truncate(cut(&url, TEXT_MAX).len());
        url
    }
}

/// The common parts of the connections that were used last.
pub(crate) struct Commons {
    /// By the lower bits of the cookie: those of connections that live at a time are spread evenly.
    table: Vec<Option<Box<Common>>>,
}

impl Commons {
    pub(crate) fn new() -> Commons {
        Commons { table: (0..REMEMBERED).map(|_| None).collect() }
    }

    /// The common part of a request's span.
    pub(crate) fn of(&mut self, (cookie, introduced): (u64, u32), x: &Exchange, c: &Context<'_>) -> &Common {
        let place = &mut self.table[cookie as usize % REMEMBERED];
        let common = place.get_or_insert_with(Box::default);
        if !common.fits(cookie, introduced, x, c) {
            common.fill(cookie, introduced, x, c);
        }
        common
    }
}

/// Whether nothing but host and agent of a request is in the common part.
fn is_plain(x: &Exchange, c: &Context<'_>) -> bool {
    x.head.target.starts_with('/')
        && x.head.method != "CONNECT"
        && c.proxied.is_none()
        && x.head.forwarded.is_empty()
        && x.head.forwarded_for.is_empty()
}

fn origin(url: &mut String, server: &(Str, u16)) {
    url.push_str("http://");
    let (open, close) = if server.0.contains(':') { ("[", "]") } else { ("", "") };
    url.extend([open, &server.0, close]);
    if server.1 != 0 && server.1 != 80 {
        // Writing to a string cannot fail.
        let _ignored = write!(url, ":{}", server.1);
    }
}

/// `server.address` and `server.port`: what the request names, else the address the connection goes to.
fn server(x: &Exchange, c: &Context<'_>) -> (Str, u16) {
    let (address, port) = match c.ends {
        Some(e) if c.is_server => (e.local.clone(), e.local_port),
        Some(e) => (e.peer.clone(), e.peer_port),
        None => (Str::default(), 0),
    };
    let absolute = absolute_authority(&x.head.target);
    let named = absolute.unwrap_or(if x.head.method == "CONNECT" { &x.head.target } else { &x.head.host });
    let named = named.rsplit('@').next().unwrap_or(named);
    let (host, named_port) = split_port(named);
    if host.is_empty() || c.ends.is_some_and(|e| e.transport == "unix" && c.is_server) {
        return (address, port);
    }
    // Without a port in its name a server of http listens on 80, unless the connection says otherwise; that of an
    // absolute target goes to a proxy.
    let known = port != 0 && absolute.is_none();
    (bounded(host, HOST_MAX), named_port.unwrap_or(if known { port } else { 80 }))
}

/// First address of `X-Forwarded-For`, or of `Forwarded`'s first `for=` (RFC 7239), without port.
fn forwarded_for(x: &Exchange) -> Option<&str> {
    let first = if x.head.forwarded.is_empty() {
        x.head.forwarded_for.split(',').next()?.trim()
    } else {
        let element = x.head.forwarded.split(',').next()?;
        let value = element.split(';').find_map(|p| {
            let (key, value) = p.trim().split_once('=')?;
            key.eq_ignore_ascii_case("for").then_some(value)
        })?;
        value.trim_matches('"')
    };
    let (host, _) = split_port(first);
    // An address, a name or an identifier (RFC 7239 6): anybody may write anything there.
    let fits = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b));
    let named = !host.is_empty() && !host.eq_ignore_ascii_case("unknown");
    (fits && named && host.len() <= HOST_MAX).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Endpoints;
    use crate::engine::EngineConfig;
    use crate::sample::Sampling;
    use crate::settings::Instrumented;
    use std::sync::Arc;
    use telegen_model::Scope;
    use telegen_wire::http1::RequestHead;

    fn config() -> EngineConfig {
        EngineConfig {
            sampling: Sampling::default(),
            mask_keys: Vec::new(),
            headers: Vec::new(),
            spans: true,
            instrumented: Instrumented::All,
            max_routes: 1,
            scope: Scope { name: "s".into(), version: "1".into() },
        }
    }

    fn ends() -> Endpoints {
        Endpoints {
            transport: "tcp",
            local: "10.0.0.1".into(),
            local_port: 8080,
            peer: "10.0.0.2".into(),
            peer_port: 40_000,
            ..Endpoints::default()
        }
    }

    fn request() -> Exchange {
        let head = RequestHead {
            method: "GET".into(),
            target: "/a".into(),
            version: 1,
            host: "shop:80".into(),
            user_agent: "curl".into(),
            ..RequestHead::default()
        };
        Exchange { head: head.into(), ..Exchange::default() }
    }

    /// What a table that knows one request says of another, and what one says that knows nothing.
    fn after(first: &Exchange, x: &Exchange, c: &Context<'_>, introduced: u32) -> [(Vec<u8>, String); 2] {
        let known = &mut Commons::new();
        known.of((1, 0), first, c);
        [known, &mut Commons::new()].map(|commons| {
            let common = commons.of((1, introduced), x, c);
            (common.attributes().to_vec(), common.full_url("/a", Some("b")))
        })
    }

    #[test]
    fn what_a_request_says_itself_is_never_that_of_the_one_before() {
        let (config, ends) = (config(), ends());
        for is_server in [false, true] {
            let context = Context { ends: Some(&ends), proxied: None, is_server, config: &config };
            let changed: [fn(&mut RequestHead); 7] = [
                |h| h.host = "other".into(),
                |h| h.user_agent = "wget".into(),
                |h| h.version = 0,
                // Brief, below.
                |_| {},
                |h| h.forwarded_for = "192.0.2.1".into(),
                |h| h.forwarded = "for=192.0.2.2".into(),
                |h| h.target = "http://absolute:81/a".into(),
            ];
            for (i, change) in changed.into_iter().enumerate() {
                let mut other = request();
                change(Arc::make_mut(&mut other.head));
                other.head_brief = i == 3;
                for (first, x) in [(&request(), &other), (&other, &request())] {
                    let [known, fresh] = after(first, x, &context, 0);
                    assert_eq!(known, fresh, "{is_server} {i}");
                }
            }
        }
    }

    #[test]
    fn a_connection_that_changed_hands_begins_anew_and_another_one_is_another() {
        let (config, mut ends) = (config(), ends());
        let mut commons = Commons::new();
        let mut of = |key, ends: &Endpoints, is_server, proxied| {
            let context = Context { ends: Some(ends), proxied, is_server, config: &config };
            commons.of(key, &request(), &context).attributes().to_vec()
        };
        let before = of((1, 0), &ends, true, None);
        // It is remembered: nobody looks at the ends of a connection that was not introduced again.
        ends.peer = "10.0.0.3".into();
        assert_eq!(of((1, 0), &ends, true, None), before);
        let after = of((1, 1), &ends, true, None);
        assert_ne!(after, before);
        ends.peer = "10.0.0.4".into();
        let place_taken = of((1 + REMEMBERED as u64, 1), &ends, true, None);
        assert_ne!(place_taken, after);
        let client = of((1, 1), &ends, false, None);
        assert_ne!(of((1, 1), &ends, true, None), client);
        let proxied = ("192.0.2.9".into(), 1);
        let prefixed = of((1, 1), &ends, true, Some(&proxied));
        assert!(prefixed.windows(9).any(|w| w == b"192.0.2.9"));
    }

    #[test]
    fn an_absolute_target_names_its_server_and_a_forwarded_client_has_a_name() {
        let (config, ends) = (config(), ends());
        let context = |is_server| Context { ends: Some(&ends), proxied: None, is_server, config: &config };
        let mut x = request();
        Arc::make_mut(&mut x.head).target = "http://far.example/a".into();
        assert_eq!(server(&x, &context(false)), ("far.example".into(), 80));
        Arc::make_mut(&mut x.head).target = "http://far.example:81/a".into();
        assert_eq!(server(&x, &context(false)), ("far.example".into(), 81));
        Arc::make_mut(&mut x.head).target = "/a".into();
        Arc::make_mut(&mut x.head).host = "near".into();
        assert_eq!(server(&x, &context(false)), ("near".into(), 40_000));
        for (list, client) in [
            ("192.0.2.1, 10.0.0.1", Some("192.0.2.1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("_hidden", Some("_hidden")),
            ("evil<script>, 10.0.0.1", None),
            ("unknown", None),
        ] {
            Arc::make_mut(&mut x.head).forwarded_for = list.into();
            assert_eq!(forwarded_for(&x), client, "{list}");
        }
    }

    #[test]
    fn a_url_names_the_port_unless_it_is_80() {
        let (config, ends) = (config(), ends());
        let context = Context { ends: Some(&ends), proxied: None, is_server: false, config: &config };
        let url = |host: &str| {
            let mut commons = Commons::new();
            let mut x = request();
            Arc::make_mut(&mut x.head).host = host.into();
            commons.of((1, 0), &x, &context).full_url("/a", None)
        };
        assert_eq!(url("shop:80"), "http://shop/a");
        assert_eq!(url("shop:81"), "http://shop:81/a");
        assert_eq!(url("[::1]:81"), "http://[::1]:81/a");
    }
}
