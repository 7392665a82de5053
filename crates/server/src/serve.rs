use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware::Next};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use telegen_selfmon::{Counter, Gauge, SelfMon};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::ServerError;
use crate::auth::Token;
use crate::connections::{Connections, Place};
use crate::guard::{self, Guard, LocalAddress};
use crate::listen::{Listener, Stream};
use crate::settings::ServerSettings;

/// Connections at one time; beyond it the one that has been idle for longest makes room.
const MAX_CONNECTIONS: usize = 256;
/// Bytes of a request's head.
const MAX_HEAD: usize = 32 << 10;
/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// Longest time for the head of a request to arrive; an idle connection is closed after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time to make an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked for a connection that makes room, while all are being answered.
const ROOM_PAUSE: Duration = Duration::from_millis(50);
/// Wait after the system had no resources for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is read from files.
type Secrets = (Option<Token>, Option<TlsAcceptor>);

/// A server that is being put together.
#[derive(Clone, Debug)]
pub struct Server {
    settings: ServerSettings,
    monitor: SelfMon,
    data: Router,
    shell: Router,
}

impl Server {
    /// A server with nothing but the health checks.
    pub fn new(settings: ServerSettings, monitor: &SelfMon) -> Server {
        Server { settings, monitor: monitor.clone(), data: Router::new(), shell: Router::new() }
    }

    /// Adds paths that give data: they need the token when there is one.
    pub fn merge(mut self, router: Router) -> Server {
        self.data = self.data.merge(router);
        self
    }

    /// Adds paths that hold no data and load without the token.
    pub fn merge_shell(mut self, router: Router) -> Server {
        self.shell = self.shell.merge(router);
        self
    }

    /// The same paths by other settings.
    pub fn by(&self, settings: ServerSettings) -> Server {
        Server { settings, ..self.clone() }
    }

    /// Listens and answers from now on. `None` when `server.listen` is empty.
    pub async fn start(self) -> Result<Option<Running>, ServerError> {
        let secrets = self.secrets()?;
        let Some(listener) = Listener::bind(&self.settings.listen).await? else { return Ok(None) };
        let port = listener.port();
        let front = self.front(secrets, port);
        let address = listener.address();
        let (stop, stopped) = watch::channel(false);
        let (fronts, front) = watch::channel(Arc::new(front));
        let task = tokio::spawn(accept(listener, front, stopped));
        Ok(Some(Running { address, port, stop, fronts, task }))
    }

    fn secrets(&self) -> Result<Secrets, ServerError> {
        let token = self.settings.auth.as_ref().map(|a| Token::read(&a.token_file)).transpose()?;
        let tls = self.settings.tls.as_ref().map(|t| crate::tls::acceptor(t, &[b"http/1.1"])).transpose()?;
        Ok((token, tls))
    }

    fn front(&self, (token, tls): Secrets, port: Option<u16>) -> Front {
        let Server { settings, monitor, data, shell } = self;
        let guard = Guard::new(&settings.listen, port, &settings.hosts, token, monitor);
        let router = data
            .clone()
            .layer(from_fn_with_state(guard.clone(), guard::token))
            .merge(shell.clone())
            .merge(crate::health::router(monitor.health.clone()))
            .fallback(|| async { (StatusCode::NOT_FOUND, "There is nothing at this path.\n") })
            .layer(from_fn(in_time))
            .layer(from_fn_with_state(guard, guard::outer));
        let what = "Connections to the server.";
        let open = monitor.gauge("telegen.server.connections", "{connection}", what, &[]);
        let what = "Connections that were closed to make room for others.";
        let crowded_out =
            monitor.counter("telegen.server.connections.crowded_out", "{connection}", what, &[]);
        Front { router, tls, open, crowded_out, over: watch::channel(false).0 }
    }
}

/// A server at work. Dropping it ends it without waiting for answers under way.
#[derive(Debug)]
pub struct Running {
    address: String,
    port: Option<u16>,
    stop: watch::Sender<bool>,
    fronts: watch::Sender<Arc<Front>>,
    task: JoinHandle<()>,
}

impl Running {
    /// Where it listens: `ADDRESS:PORT` with the port that was chosen, or `unix:PATH`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What connections are given by other settings of the same address; nothing changes yet.
    pub fn front(&self, server: &Server) -> Result<Front, ServerError> {
        Ok(server.front(server.secrets()?, self.port))
    }

    /// From now on connections are given this; those that are there end with the answer under way.
    pub fn replace(&self, front: Front) {
        self.fronts.send_replace(Arc::new(front)).over.send_replace(true);
    }

    /// Takes no more connections, finishes the answers under way, and ends at the latest after `longest`.
    pub async fn stop(mut self, longest: Duration) {
        // Nobody listens any more when the task has ended by itself.
        let _ = self.stop.send(true);
        self.fronts.borrow().over.send_replace(true);
        if tokio::time::timeout(longest, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer that takes too long is given up.
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let retry = [(header::RETRY_AFTER, "5")];
            (StatusCode::SERVICE_UNAVAILABLE, retry, "The answer took too long.\n").into_response()
        }
    }
}

/// What every connection needs.
pub struct Front {
    router: Router,
    tls: Option<TlsAcceptor>,
    open: Gauge,
    crowded_out: Counter,
    /// Whether connections shall end.
    over: watch::Sender<bool>,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").finish_non_exhaustive()
    }
}

async fn accept(listener: Listener, front: watch::Receiver<Arc<Front>>, mut stopped: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (open, mut connections) = (Arc::new(Connections::default()), JoinSet::new());
    loop {
        let accepted = tokio::select! {
            _ = stopped.wait_for(|s| *s) => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, local)) => {
                let slot = tokio::select! {
                    _ = stopped.wait_for(|s| *s) => break,
                    slot = slot(&slots, &open) => slot,
                };
                let (front, place) = (front.borrow().clone(), Arc::new(open.open()));
                let stopped = front.over.subscribe();
                connections.spawn(async move {
                    front.open.add(1);
                    tokio::select! {
                        () = connection(&front, stream, local, &place, stopped) => {}
                        () = place.needed() => front.crowded_out.inc(),
                    }
                    front.open.add(-1);
                    drop(slot);
                });
            }
            Err(e) => {
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // No new connection from here on, and the socket's file is gone before the last answers are.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A slot for one more connection, for which an idle one makes room if need be.
async fn slot(slots: &Arc<Semaphore>, open: &Connections) -> Option<OwnedSemaphorePermit> {
    if let Ok(slot) = slots.clone().try_acquire_owned() {
        return Some(slot);
    }
    // What came before may have sent its request already: it is looked at first, and is then not idle.
    tokio::task::yield_now().await;
    while !open.make_room(ANSWER_TIMEOUT) {
        if let Ok(slot) = tokio::time::timeout(ROOM_PAUSE, slots.clone().acquire_owned()).await {
            return slot.ok();
        }
    }
    slots.clone().acquire_owned().await.ok()
}

async fn connection(
    front: &Front,
    stream: Stream,
    local: Option<IpAddr>,
    place: &Arc<Place>,
    stopped: watch::Receiver<bool>,
) {
    let router = front.router.clone().layer(axum::Extension(LocalAddress(local)));
    let Some(tls) = &front.tls else {
        return http(router, stream, place, stopped).await;
    };
    // Who gives up a handshake is not worth a line.
    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        http(router, stream, place, stopped).await;
    }
}

async fn http<S>(router: Router, stream: S, place: &Arc<Place>, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (router, place) = (TowerToHyperService::new(router), place.clone());
    let service = service_fn(move |request| {
        let (under_way, answer) = (place.answering(), router.call(request));
        async move { answer.await.map(|response| response.map(|body| under_way.until_sent(body))) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // A peer that goes away or sends nonsense ends its connection, nothing else.
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|s| *s) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
