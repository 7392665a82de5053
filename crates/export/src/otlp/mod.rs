//! OTLP over gRPC and HTTP: the request goes out as it was encoded once, answers are verdict by the
//! specification's table, and nothing here waits for longer than the timeout.

mod body;
mod connect;
mod grpc;
mod http;
mod peers;
mod target;
mod tls;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use telegen_model::Signal;
use telegen_pipeline::{Batch, BoxFuture, Outcome, SignalSet, Sink};
use tokio::time::Instant;

use crate::{ExportError, OtlpConfig, Protocol};
pub(crate) use body::{Outgoing, ReadError, chain, outgoing, read};
pub(crate) use connect::Connector;
pub(crate) use target::{endpoint, headers, http_client};
pub(crate) use tls::plain as tls_client;
pub(crate) use verdict::retry_after;

use peers::Peers;
use target::Target;
use verdict::Verdict;

/// Answers are read up to this size (4 MiB): a peer cannot fill memory with one.
const MAX_ANSWER: usize = 4 << 20;

/// An OTLP exporter.
#[derive(Debug)]
pub struct OtlpSink {
    name: String,
    signals: SignalSet,
    /// By [`Signal::index`]; signals with the same settings share them and their connections.
    peers: [Arc<Peers>; 4],
    json: SignalSet,
}

impl OtlpSink {
    /// Checks the settings and reads the TLS files; nothing is connected yet.
    pub fn new(config: &OtlpConfig) -> Result<OtlpSink, ExportError> {
        let common = Arc::new(Peers::new(&config.target)?);
        let mut peers = [(); 4].map(|()| common.clone());
        for (signal, own) in config.overrides.iter().filter(|(_, own)| **own != config.target) {
            peers[signal.index()] = Arc::new(Peers::new(own)?);
        }
        let protocol = |s: &Signal| config.overrides.get(s).unwrap_or(&config.target).protocol;
        let json: Vec<Signal> =
            Signal::ALL.into_iter().filter(|s| protocol(s) == Protocol::HttpJson).collect();
        Ok(OtlpSink { name: config.name.clone(), signals: config.signals, peers, json: SignalSet::of(&json) })
    }

    async fn try_send(&self, batch: &Batch) -> Outcome {
        // When the first of the peers wants to be asked again, if all of them said so.
        let mut again: Option<Option<Duration>> = None;
        for peer in self.peers[batch.signal.index()].asked(Instant::now()) {
            let target = &peer.target;
            let verdict = match tokio::time::timeout(target.timeout, request(target, batch)).await {
                Ok(verdict) => verdict,
                Err(_) => Verdict::retry(format!("no answer within {:?}", target.timeout)),
            };
            self.tell(batch.signal, target, &verdict);
            match verdict.outcome(batch.items as u64) {
                Outcome::Retry { after } => {
                    peer.failed(Instant::now(), after);
                    again = Some(again.map_or(after, |before| before.zip(after).map(|(a, b)| a.min(b))));
                }
                outcome => {
                    peer.answered();
                    return outcome;
                }
            }
        }
        Outcome::Retry { after: again.flatten() }
    }

    /// Puts into the log what a user should know; values of headers never come here.
    fn tell(&self, signal: Signal, target: &Target, verdict: &Verdict) {
        let (exporter, endpoint) = (self.name.as_str(), target.shown.as_str());
        let signal = signal.name();
        match verdict {
            Verdict::Delivered { warning } if warning.is_empty() => {}
            Verdict::Delivered { warning } => {
                tracing::warn!(exporter, endpoint, signal, warning, "the peer took a request with a warning");
            }
            Verdict::Rejected { n, why } => {
                tracing::warn!(
                    exporter,
                    endpoint,
                    signal,
                    rejected = n,
                    why,
                    "the peer rejected a part of a request"
                );
            }
            Verdict::Retry { why, .. } => {
                tracing::warn!(exporter, endpoint, signal, why, "the peer did not take a request");
            }
            Verdict::TooLarge { why } => {
                tracing::info!(exporter, endpoint, signal, why, "the request is too large and will be split");
            }
            Verdict::Lost { reason, why } => {
                tracing::error!(
                    exporter,
                    endpoint,
                    signal,
                    reason = reason.as_ref(),
                    why,
                    "the peer refused a request"
                );
            }
        }
    }
}

async fn request(target: &Target, batch: &Batch) -> Verdict {
    match target.protocol {
        Protocol::Grpc => grpc::send(target, batch).await,
        Protocol::HttpProtobuf | Protocol::HttpJson => http::send(target, batch).await,
    }
}

impl Sink for OtlpSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn signals(&self) -> SignalSet {
        self.signals
    }

    fn needs_records(&self) -> bool {
        self.signals.iter().any(|s| self.json.contains(s))
    }

    fn takes_raw(&self) -> bool {
        true
    }

    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move { self.try_send(&batch).await })
    }
}
