//! An OTLP receiver that keeps what it gets and answers as a test tells it: gRPC and HTTP on one port.

mod answer;
mod read;
mod server;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use rustls::ServerConfig;
use telegen_model::{LogRecord, Metric, Records, ResourceGroup, Signal, Span};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How the sink answers one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Takes it.
    Ok,
    /// Takes it but for so many items, with a message.
    Partial {
        /// Items refused.
        rejected: i64,
        /// Why, or a warning.
        message: String,
    },
    /// HTTP: this status, with `Retry-After` if given, and the message as plain text. gRPC: see [`Reply::Grpc`].
    Http {
        /// Status.
        status: u16,
        /// Text of `Retry-After`.
        retry_after: Option<String>,
    },
    /// gRPC: this status, with `RetryInfo` if a wait is given.
    Grpc {
        /// gRPC status code.
        code: i32,
        /// `grpc-message`.
        message: String,
        /// Wait in `RetryInfo`.
        retry_info: Option<Duration>,
        /// In the head of the answer, without a body, as servers do when a call fails at once.
        at_once: bool,
    },
    /// Never answers.
    Hang,
    /// Ends the connection (HTTP/1.1) or the stream (HTTP/2) without an answer.
    Reset,
    /// Takes it, after a while.
    Slow(Duration),
    /// Takes it with an answer of so many bytes.
    Oversized(usize),
    /// Refuses requests with more items than this as too large (413; RESOURCE_EXHAUSTED), takes others.
    AtMost(usize),
}

/// One request as it came, whatever the answer was.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its signal.
    pub signal: Signal,
    /// `grpc`, `http/protobuf` or `http/json`.
    pub protocol: &'static str,
    /// `gzip`, `zstd` or `identity`.
    pub encoding: String,
    /// All headers.
    pub headers: HeaderMap,
    /// Items in it.
    pub items: usize,
    /// Bytes of the request after decompression.
    pub bytes: usize,
    /// The request as protobuf.
    pub body: Bytes,
    /// Whether it was taken, all or in part.
    pub taken: bool,
}

/// What a sink does with the records it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Keep {
    /// Decodes and keeps them.
    #[default]
    Records,
    /// Decodes them for the file and forgets them.
    File,
    /// Only counts them: for measurements.
    Count,
}

/// A receiver on 127.0.0.1 that lives as long as this value.
#[derive(Debug)]
pub struct OtlpSink {
    addr: SocketAddr,
    tls: bool,
    shared: Arc<Shared>,
    /// Dropped with the sink: connections end with it.
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    stop: Notify,
    keep: Keep,
    /// A file that taken records go to, beside memory.
    out: Option<Mutex<std::fs::File>>,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Reply>,
    always: Option<Reply>,
    groups: Vec<ResourceGroup>,
    requests: Vec<Request>,
    taken: BTreeMap<Signal, usize>,
    faults: Vec<String>,
}

impl OtlpSink {
    /// A sink on a free port.
    pub async fn start() -> io::Result<OtlpSink> {
        OtlpSink::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// A sink at an address: for a backend that goes and comes back.
    pub async fn start_at(addr: SocketAddr) -> io::Result<OtlpSink> {
        OtlpSink::serve(addr, Keep::Records, None, None).await
    }

    /// A sink on a free port that speaks TLS.
    pub async fn start_tls(config: ServerConfig) -> io::Result<OtlpSink> {
        OtlpSink::serve(SocketAddr::from(([127, 0, 0, 1], 0)), Keep::Records, None, Some(Arc::new(config)))
            .await
    }

    /// A sink with everything said; `out` gets taken records as OTLP/JSON, one request a line.
    pub async fn serve(
        addr: SocketAddr,
        keep: Keep,
        out: Option<std::fs::File>,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<OtlpSink> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared { keep, out: out.map(Mutex::new), ..Shared::default() });
        let mut tasks = JoinSet::new();
        let encrypted = tls.is_some();
        tasks.spawn(server::accept(listener, shared.clone(), tls));
        Ok(OtlpSink { addr, tls: encrypted, shared, tasks })
    }

    /// Ends all connections and stops to listen; what was taken stays here to be looked at, and nothing more
    /// is taken once this returns.
    pub async fn stop(&mut self) {
        self.shared.stop.notify_one();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://ADDRESS` or `https://ADDRESS`.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.addr)
    }

    /// Answers the next requests, whatever their signal, like this, one each.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.lock().script.extend(replies);
    }

    /// Answers every request that the script does not name like this; at first [`Reply::Ok`].
    pub fn always(&self, reply: Reply) {
        self.shared.lock().always = Some(reply);
    }

    /// Every request so far, in the order of their ends.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Groups taken so far.
    pub fn groups(&self) -> Vec<ResourceGroup> {
        self.shared.lock().groups.clone()
    }

    /// Spans taken so far.
    pub fn spans(&self) -> Vec<Span> {
        self.collect(|r| if let Records::Spans(s) = r { s } else { Vec::new() })
    }

    /// Metrics taken so far.
    pub fn metrics(&self) -> Vec<Metric> {
        self.collect(|r| if let Records::Metrics(m) = r { m } else { Vec::new() })
    }

    /// Log records taken so far.
    pub fn logs(&self) -> Vec<LogRecord> {
        self.collect(|r| if let Records::Logs(l) = r { l } else { Vec::new() })
    }

    /// Number of items taken.
    pub fn taken(&self, signal: Signal) -> usize {
        self.shared.lock().taken.get(&signal).copied().unwrap_or(0)
    }

    /// What was wrong with requests: malformed bodies, unknown paths. A test expects none.
    pub fn faults(&self) -> Vec<String> {
        self.shared.lock().faults.clone()
    }

    /// Waits until so many items of a signal were taken; `false` when 30 s were not enough.
    pub async fn wait_taken(&self, signal: Signal, items: usize) -> bool {
        self.wait(|sink| sink.taken(signal) >= items).await
    }

    /// Waits until so many requests have come, whatever the answers; `false` when 30 s were not enough.
    pub async fn wait_requests(&self, n: usize) -> bool {
        self.wait(|sink| sink.shared.lock().requests.len() >= n).await
    }

    async fn wait(&self, done: impl Fn(&OtlpSink) -> bool) -> bool {
        let waiting = async {
            loop {
                let changed = self.shared.changed.notified();
                if done(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok()
    }

    fn collect<T>(&self, of: impl Fn(Records) -> Vec<T>) -> Vec<T> {
        self.groups().into_iter().flat_map(|g| of(g.records)).collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_reply(&self) -> Reply {
        let mut state = self.lock();
        state.script.pop_front().or_else(|| state.always.clone()).unwrap_or(Reply::Ok)
    }
}
