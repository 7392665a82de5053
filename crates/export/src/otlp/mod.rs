//! OTLP over gRPC and HTTP: the request goes out as it was encoded once, answers are verdict by the
//! specification's table, and nothing here waits for longer than the timeout.

mod body;
mod connect;
mod grpc;
mod http;
mod target;
mod tls;
mod verdict;

use std::sync::Arc;

use telegen_model::Signal;
use telegen_pipeline::{Batch, BoxFuture, Outcome, SignalSet, Sink};

use crate::{ExportError, OtlpConfig, Protocol};
pub(crate) use body::{ReadError, chain, read};
pub(crate) use connect::Connector;
pub(crate) use target::{endpoint, headers, http_client};
pub(crate) use tls::plain as tls_client;
pub(crate) use verdict::retry_after;

use target::Target;
use verdict::Verdict;

/// Answers are read up to this size (4 MiB): a peer cannot fill memory with one.
const MAX_ANSWER: usize = 4 << 20;

/// An OTLP exporter.
#[derive(Debug)]
pub struct OtlpSink {
    name: String,
    signals: SignalSet,
    /// By [`Signal::index`]; signals with the same settings share one and its connections.
    targets: [Arc<Target>; 4],
}

impl OtlpSink {
    /// Checks the settings and reads the TLS files; nothing is connected yet.
    pub fn new(config: &OtlpConfig) -> Result<OtlpSink, ExportError> {
        let common = Arc::new(Target::new(&config.target)?);
        let mut targets = [(); 4].map(|()| common.clone());
        for (signal, own) in config.overrides.iter().filter(|(_, own)| **own != config.target) {
            targets[signal.index()] = Arc::new(Target::new(own)?);
        }
        Ok(OtlpSink { name: config.name.clone(), signals: config.signals, targets })
    }

    async fn try_send(&self, batch: &Batch) -> Outcome {
        let target = &self.targets[batch.signal.index()];
        let verdict = match tokio::time::timeout(target.timeout, request(target, batch)).await {
            Ok(verdict) => verdict,
            Err(_) => Verdict::retry(format!("no answer within {:?}", target.timeout)),
        };
        self.tell(batch.signal, target, &verdict);
        verdict.outcome(batch.items as u64)
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
                tracing::warn!(exporter, endpoint, signal, why, "the request will be sent again");
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
        let json = |s: Signal| self.targets[s.index()].protocol == Protocol::HttpJson;
        self.signals.iter().any(json)
    }

    fn takes_raw(&self) -> bool {
        true
    }

    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move { self.try_send(&batch).await })
    }
}
