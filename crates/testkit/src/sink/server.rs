use std::io;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::answer::{self, Body};
use super::read::{self, Head, Parsed};
use super::{Reply, Shared};

/// Serves connections until dropped; they end with it.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<Arc<ServerConfig>>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.notified() => return connections.shutdown().await,
        };
        let Ok((tcp, _)) = accepted else { continue };
        let _ = tcp.set_nodelay(true);
        let shared = shared.clone();
        match tls.clone() {
            None => connections.spawn(serve(tcp, shared)),
            Some(config) => connections.spawn(async move {
                match TlsAcceptor::from(config).accept(tcp).await {
                    Ok(stream) => serve(stream, shared).await,
                    Err(e) => shared.lock().faults.push(format!("tls: {e}")),
                }
            }),
        };
    }
}

async fn serve(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| handle(shared.clone(), request));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http2()
        .max_frame_size(1 << 20)
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(8 << 20);
    // A client that goes away is its own business.
    let _ = builder.serve_connection(TokioIo::new(io), service).await;
}

async fn handle(
    shared: Arc<Shared>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let head = match read::head(parts.uri.path(), &parts.headers) {
        Ok(head) => head,
        Err(fault) => return Ok(refuse(&shared, None, fault)),
    };
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let parsed = match read::body(&head, &parts.headers, body, shared.keep) {
        Ok(parsed) => parsed,
        Err(fault) => return Ok(refuse(&shared, Some(head), fault)),
    };
    let reply = match shared.next_reply() {
        Reply::AtMost(n) if parsed.request.items > n => too_large(&head),
        Reply::AtMost(_) => Reply::Ok,
        other => other,
    };
    if let Reply::Slow(wait) = reply {
        tokio::time::sleep(wait).await;
    }
    take(&shared, parsed, &reply);
    match reply {
        Reply::Hang => std::future::pending().await,
        Reply::Reset => Err(io::Error::other("scripted")),
        reply => Ok(answer::answer(&head, &reply)),
    }
}

fn take(shared: &Shared, parsed: Parsed, reply: &Reply) {
    let Parsed { mut request, groups } = parsed;
    request.taken = matches!(reply, Reply::Ok | Reply::Partial { .. } | Reply::Slow(_) | Reply::Oversized(_));
    let mut state = shared.lock();
    if request.taken {
        if let Err(e) = read::write_out(shared, request.signal, &groups) {
            state.faults.push(format!("cannot write: {e}"));
        }
        *state.taken.entry(request.signal).or_default() += request.items;
        if shared.keep == super::Keep::Records {
            state.groups.extend(groups);
        }
    }
    if shared.keep == super::Keep::Records {
        state.requests.push(request);
    }
    drop(state);
    shared.changed.notify_waiters();
}

fn too_large(head: &Head) -> Reply {
    match head.protocol {
        "grpc" => Reply::Grpc {
            code: 8,
            message: "grpc: received message larger than max".to_string(),
            retry_info: None,
            at_once: true,
        },
        _ => Reply::Http { status: 413, retry_after: None },
    }
}

fn refuse(shared: &Shared, head: Option<Head>, fault: String) -> http::Response<Body> {
    shared.lock().faults.push(fault.clone());
    let head = head.unwrap_or(Head { signal: telegen_model::Signal::Traces, protocol: "http/protobuf" });
    let reply = match head.protocol {
        "grpc" => Reply::Grpc { code: 3, message: fault, retry_info: None, at_once: true },
        _ => Reply::Http { status: 400, retry_after: None },
    };
    answer::answer(&head, &reply)
}
