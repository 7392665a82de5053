//! Prometheus remote write, 1.0 and 2.0: <https://prometheus.io/docs/specs/prw/>.

mod message;
mod series;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use hyper_util::client::legacy::Client;
use telegen_model::{Secret, Signal};
use telegen_pipeline::{Batch, BoxFuture, Outcome, SignalSet, Sink};

use crate::otlp::{self, Connector, Outgoing, ReadError};
use crate::{ExportError, TlsConfig};
use series::Written;

/// A remote write exporter's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteWriteConfig {
    /// Its name in the ledger.
    pub name: String,
    /// Where to: the whole address.
    pub url: String,
    /// Version of the protocol: 1 or 2.
    pub version: u8,
    /// Sent with every request.
    pub headers: Vec<(String, Secret)>,
    /// For `https`.
    pub tls: TlsConfig,
    /// How long one request may take, connecting included.
    pub timeout: Duration,
}

/// The remote write exporter.
#[derive(Debug)]
pub struct RemoteWriteSink {
    name: String,
    uri: Uri,
    shown: String,
    two: bool,
    headers: HeaderMap,
    timeout: Duration,
    client: Client<Connector, Outgoing>,
}

impl RemoteWriteSink {
    /// Checks the settings and reads the TLS files; nothing is connected yet.
    pub fn new(config: &RemoteWriteConfig) -> Result<RemoteWriteSink, ExportError> {
        let (uri, shown) = otlp::endpoint(&config.url)?;
        let client = otlp::http_client(&uri, &config.tls, config.timeout)?;
        let mut headers = otlp::headers(&config.headers)?;
        let two = config.version != 1;
        let (kind, version) = match two {
            true => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
            false => ("application/x-protobuf", "0.1.0"),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static(version));
        Ok(RemoteWriteSink {
            name: config.name.clone(),
            uri,
            shown,
            two,
            headers,
            timeout: config.timeout,
            client,
        })
    }

    async fn try_send(&self, batch: &Batch) -> Outcome {
        let written = Written::of(&batch.groups);
        let items = batch.items as u64;
        // Summaries were left out when the batch was read.
        let unread = items.saturating_sub(batch.groups.iter().map(|g| g.records.items() as u64).sum());
        let left_out = (written.left_out + unread).min(items);
        let reason = if unread > written.left_out { "unsupported_type" } else { "delta_temporality" };
        if written.series.is_empty() {
            return Outcome::Lost { n: items, reason: reason.into() };
        }
        let body = if self.two { message::version_2(&written) } else { message::version_1(&written) };
        let Ok(body) = snap::raw::Encoder::new().compress_vec(&body) else {
            return Outcome::TooLarge;
        };
        let outcome = match tokio::time::timeout(self.timeout, self.request(body.into())).await {
            Ok(answer) => self.read(answer, items),
            Err(_) => self.again(None, &format!("no answer within {:?}", self.timeout)),
        };
        match outcome {
            Outcome::Delivered if left_out > 0 => Outcome::Lost { n: left_out, reason: reason.into() },
            other => other,
        }
    }

    async fn request(&self, body: Bytes) -> Result<(u16, HeaderMap, String), String> {
        let mut request = Request::new(otlp::outgoing(Bytes::new(), body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = self.client.request(request).await.map_err(|e| otlp::chain(&e))?;
        let (head, body) = response.into_parts();
        let said = match otlp::read(body).await {
            Ok((body, _)) => String::from_utf8_lossy(&body[..body.len().min(512)]).trim().to_owned(),
            Err(ReadError::TooLarge) => String::new(),
            Err(ReadError::Broken(why)) if head.status.is_success() => return Err(why),
            Err(ReadError::Broken(_)) => String::new(),
        };
        Ok((head.status.as_u16(), head.headers, said))
    }

    fn read(&self, answer: Result<(u16, HeaderMap, String), String>, items: u64) -> Outcome {
        let (status, headers, said) = match answer {
            Ok(answer) => answer,
            Err(why) => return self.again(None, &why),
        };
        match status {
            200..=299 => Outcome::Delivered,
            // "Senders MUST retry on 5xx, MAY on 429"; anything else will not get better.
            429 | 500..=599 => {
                let after = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
                let after = after.and_then(|v| otlp::retry_after(v, SystemTime::now()));
                self.again(after, &format!("HTTP status {status}: {said}"))
            }
            413 => Outcome::TooLarge,
            _ => {
                let (exporter, endpoint) = (self.name.as_str(), self.shown.as_str());
                tracing::error!(exporter, endpoint, status, said, "the peer refused a request");
                Outcome::Lost { n: items, reason: format!("http_{status}").into() }
            }
        }
    }

    fn again(&self, after: Option<Duration>, why: &str) -> Outcome {
        let (exporter, endpoint) = (self.name.as_str(), self.shown.as_str());
        tracing::warn!(exporter, endpoint, why, "the peer did not take a request");
        Outcome::Retry { after }
    }
}

impl Sink for RemoteWriteSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn signals(&self) -> SignalSet {
        SignalSet::of(&[Signal::Metrics])
    }

    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move { self.try_send(&batch).await })
    }
}

#[cfg(test)]
mod tests;
