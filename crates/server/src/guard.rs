//! What every request passes, and what every answer says.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use telegen_config::Listen;
use telegen_selfmon::{Counter, SelfMon};

use crate::auth::Token;
use crate::hosts::{Foreign, Hosts};

/// Content security policy of everything that is no page: nothing in it may run, load or be framed.
pub const API_CSP: &str = "default-src 'none'; frame-ancestors 'none'";

/// Largest body that a request may announce: none is ever read.
const MAX_BODY: u64 = 8 << 10;

/// The address that a connection was made to; absent for unix sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalAddress(pub(crate) Option<IpAddr>);

/// The state of the checks.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    hosts: Arc<Hosts>,
    port: Option<u16>,
    token: Option<Arc<Token>>,
    refused: Refused,
}

#[derive(Clone, Debug)]
struct Refused {
    method: Counter,
    host: Counter,
    origin: Counter,
    token: Counter,
    body: Counter,
}

impl Guard {
    pub(crate) fn new(
        listen: &Listen,
        port: Option<u16>,
        more: &[String],
        token: Option<Token>,
        monitor: &SelfMon,
    ) -> Guard {
        let counter = |reason| {
            let what = "Requests that the server refused.";
            monitor.counter("telegen.server.refused", "{request}", what, &[("reason", reason)])
        };
        Guard {
            hosts: Arc::new(Hosts::new(listen, more)),
            port,
            token: token.map(Arc::new),
            refused: Refused {
                method: counter("method"),
                host: counter("host"),
                origin: counter("origin"),
                token: counter("token"),
                body: counter("body"),
            },
        }
    }

    fn foreign(&self, header: &str) -> Response {
        let open = match self.port {
            Some(port) => format!("open http://localhost:{port}"),
            None => "use localhost".to_owned(),
        };
        let text = format!("This address is not allowed as {header}. Add it to server.hosts, or {open}.\n");
        (StatusCode::FORBIDDEN, text).into_response()
    }
}

/// Before everything else: method, Host, Origin, size; after it: headers of the answer.
pub(crate) async fn outer(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match refuse(&guard, &request) {
        Some(response) => response,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let same_origin = HeaderValue::from_static("same-origin");
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), same_origin);
    // Pages have a policy of their own, and what never changes may be kept.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(API_CSP));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refuse(guard: &Guard, request: &Request) -> Option<Response> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        guard.refused.method.add(1);
        let allow = [(header::ALLOW, "GET, HEAD")];
        return Some((StatusCode::METHOD_NOT_ALLOWED, allow, "Only GET and HEAD.\n").into_response());
    }
    let local = request.extensions().get::<LocalAddress>().and_then(|l| l.0);
    match guard.hosts.check(request.uri(), request.headers(), local) {
        Ok(()) => {}
        Err(Foreign::Host) => {
            guard.refused.host.add(1);
            return Some(guard.foreign("Host"));
        }
        Err(Foreign::Origin) => {
            guard.refused.origin.add(1);
            return Some(guard.foreign("Origin"));
        }
    }
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|n| n > MAX_BODY) {
        guard.refused.body.add(1);
        return Some((StatusCode::PAYLOAD_TOO_LARGE, "A request needs no body.\n").into_response());
    }
    None
}

/// Before data: the token, where there is one.
pub(crate) async fn token(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match &guard.token {
        Some(token) if !token.admits(request.headers()) => {
            guard.refused.token.add(1);
            let headers = [(header::WWW_AUTHENTICATE, "Bearer"), (header::CONTENT_TYPE, "application/json")];
            let body = r#"{"error":"This address needs the token."}"#;
            (StatusCode::UNAUTHORIZED, headers, body).into_response()
        }
        _ => next.run(request).await,
    }
}
