//! Listening, and connections within bounds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use telegen_config::Rate;
use telegen_pipeline::{Input, Pace};
use telegen_selfmon::SelfMon;
use telegen_server::{ServerError, Token};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::budget::Budget;
use crate::doubles::Doubles;
use crate::request::Shared;
use crate::senders::{Peer, Sender, Senders};
use crate::settings::OtlpReceiverSettings;

/// Connections at most, all addresses together.
const CONNECTIONS: usize = 4096;
/// Requests at a time on one connection.
const STREAMS: u32 = 128;
/// Headers of a request, at most.
const HEADER_BYTES: u32 = 16 << 10;
/// A connection without a request is closed after this.
const IDLE: Duration = Duration::from_secs(300);
/// Longest time for a head to arrive, or for a handshake.
const HEAD: Duration = Duration::from_secs(10);
/// Senders that are looked for at a time: each takes a thread, and finds what the ones before it found.
const FINDERS: usize = 4;
/// Streams that a peer may reset before they were looked at: beyond it the connection ends.
const RESETS: usize = 32;

/// Why the receiver could not start.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// It cannot listen there.
    #[error("receive.otlp: {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificate, key or token cannot be used.
    #[error("receive.otlp: {0}")]
    Server(#[from] ServerError),
}

/// The OTLP receiver before it listens.
pub struct OtlpReceiver {
    settings: OtlpReceiverSettings,
    shared: Arc<Shared>,
}

/// The receiver at work.
#[derive(Debug)]
pub struct Receiving {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// Where gRPC is spoken, if it is.
    pub grpc: Option<SocketAddr>,
    /// Where HTTP is spoken, if it is.
    pub http: Option<SocketAddr>,
}

impl OtlpReceiver {
    /// A receiver for these settings; `memory` bounds the requests that are being read.
    pub fn new(
        settings: &OtlpReceiverSettings,
        input: Input,
        memory: usize,
        senders: Arc<dyn Senders>,
        mon: &SelfMon,
    ) -> Result<OtlpReceiver, ReceiveError> {
        let token = settings.auth.as_ref().map(|a| Token::read(&a.token_file)).transpose()?;
        let shared = Shared {
            input,
            mon: mon.clone(),
            level: settings.acknowledge.level(),
            token,
            rate: settings.rate.and_then(Rate::get),
            pace: Pace::default(),
            budget: Budget::new(memory),
            doubles: Doubles::default(),
            senders,
            finders: Arc::new(Semaphore::new(FINDERS)),
        };
        Ok(OtlpReceiver { settings: settings.clone(), shared: Arc::new(shared) })
    }

    /// Begins to listen.
    pub async fn start(self) -> Result<Receiving, ReceiveError> {
        let tls = self.settings.tls.as_ref();
        let tls = tls.map(|t| telegen_server::acceptor(t, &[b"h2", b"http/1.1"])).transpose()?;
        let (stop, stopped) = watch::channel(false);
        let (mut tasks, mut at) = (JoinSet::new(), [None, None]);
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        for (n, address) in [&self.settings.grpc, &self.settings.http].into_iter().enumerate() {
            let Some(address) = address else { continue };
            let wrong = |source| ReceiveError::Listen { address: address.to_string(), source };
            let listener = TcpListener::bind((address.host.as_str(), address.port)).await.map_err(wrong)?;
            at[n] = Some(listener.local_addr().map_err(wrong)?);
            let (shared, permits) = (self.shared.clone(), permits.clone());
            tasks.spawn(accept(listener, shared, permits, tls.clone(), stopped.clone()));
        }
        let [grpc, http] = at;
        Ok(Receiving { stop, tasks, grpc, http })
    }
}

impl Receiving {
    /// Takes nothing more in, and answers what is under way until `deadline`.
    pub async fn stop(mut self, deadline: Instant) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _late = tokio::time::timeout_at(deadline, ended).await;
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    tls: Option<TlsAcceptor>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|s| *s) => break,
        };
        let tcp = match accepted {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            shared
                .mon
                .counter(
                    "telegen.receive.connections_refused",
                    "{connection}",
                    "Connections that were closed at once: there are too many.",
                    &[("protocol", "otlp")],
                )
                .inc();
            continue;
        };
        let _delayed = tcp.set_nodelay(true);
        let (shared, tls, stopped) = (shared.clone(), tls.clone(), stopped.clone());
        connections.spawn(async move {
            let _permit = permit;
            let Some(peer) = ends(&tcp) else { return };
            match tls {
                None => serve(tcp, peer, shared, stopped).await,
                // Whoever cannot shake hands hears it from TLS.
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HEAD, tls.accept(tcp)).await {
                        serve(stream, peer, shared, stopped).await;
                    }
                }
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn ends(tcp: &TcpStream) -> Option<Peer> {
    Some(Peer { remote: tcp.peer_addr().ok()?, local: tcp.local_addr().ok()? })
}

/// What a connection is doing.
#[derive(Default)]
struct Activity {
    requests: AtomicUsize,
    all: AtomicUsize,
    sender: OnceCell<Option<Arc<Sender>>>,
}

async fn serve(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: Peer,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let activity = Arc::new(Activity::default());
    let seen = activity.clone();
    let service = service_fn(move |request| {
        let (shared, activity) = (shared.clone(), activity.clone());
        async move {
            activity.requests.fetch_add(1, Ordering::Relaxed);
            activity.all.fetch_add(1, Ordering::Relaxed);
            let done = scopeguard(&activity);
            let senders = shared.senders.clone();
            let finders = shared.finders.clone();
            let find = || async move {
                let _place = finders.acquire().await;
                let found = tokio::task::spawn_blocking(move || senders.find(peer)).await;
                found.ok().flatten().map(Arc::new)
            };
            let sender = activity.sender.get_or_init(find).await.clone();
            let response = shared.serve(request, sender).await;
            drop(done);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(64)
        .max_buf_size(HEADER_BYTES as usize * 4);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES)
        .max_frame_size(1 << 20)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20));
    let connection = builder.serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    let (mut idle_since, mut count) = (Instant::now(), 0);
    loop {
        tokio::select! {
            // A peer that goes away, or speaks nonsense, is its own business.
            _ = connection.as_mut() => return,
            _ = stopped.wait_for(|s| *s) => break,
            () = tokio::time::sleep(IDLE / 4) => {
                let all = seen.all.load(Ordering::Relaxed);
                if all != count || seen.requests.load(Ordering::Relaxed) > 0 {
                    (idle_since, count) = (Instant::now(), all);
                } else if idle_since.elapsed() >= IDLE {
                    break;
                }
            }
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ended = connection.await;
}

/// Counts a request as done when it is dropped, however it ends.
fn scopeguard(activity: &Activity) -> impl Drop + '_ {
    struct Done<'a>(&'a Activity);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
    Done(activity)
}
