//! Settings under `export`: each kind is off until it is set, and takes one object or a list of objects.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::{ByteSize, Duration, HostPort, OneOrMany, Rate, SecretText, Url};
use telegen_model::{Secret, Signal};
use telegen_pipeline::settings::{BatchSettings, QueueSettings, RetrySettings};

use crate::{Compression, Protocol, Spread};

/// Where telemetry goes. Nothing leaves the machine until one of these is set, or OTEL_EXPORTER_OTLP_ENDPOINT.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExportSettings {
    /// OTLP over gRPC or HTTP.
    pub otlp: Option<OneOrMany<OtlpSettings>>,
    /// OTLP/JSON in a file, one export request a line.
    pub file: Option<OneOrMany<FileSettings>>,
    /// Telemetry on `server.listen` at `/metrics`, for Prometheus to scrape.
    pub prometheus: Option<OneOrMany<PrometheusSettings>>,
    /// Prometheus remote write.
    pub remote_write: Option<OneOrMany<RemoteWriteSettings>>,
    /// Kafka topics.
    pub kafka: Option<OneOrMany<KafkaSettings>>,
    /// Every record on standard output, for trying things out.
    pub console: Option<OneOrMany<ConsoleSettings>>,
}

/// A signal, as configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum SignalName {
    Traces,
    Metrics,
    Logs,
    Profiles,
}

impl From<SignalName> for Signal {
    fn from(name: SignalName) -> Signal {
        match name {
            SignalName::Traces => Signal::Traces,
            SignalName::Metrics => Signal::Metrics,
            SignalName::Logs => Signal::Logs,
            SignalName::Profiles => Signal::Profiles,
        }
    }
}

fn all_signals() -> Vec<SignalName> {
    vec![SignalName::Traces, SignalName::Metrics, SignalName::Logs, SignalName::Profiles]
}

fn ten_seconds() -> Duration {
    Duration::secs(10)
}

/// An OTLP exporter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtlpSettings {
    /// Name in the ledger and in metrics. Not set: `otlp`.
    #[serde(default)]
    #[schemars(example = &"otlp")]
    pub name: Option<String>,
    /// Where to send to. Plain `http` is not encrypted.
    #[schemars(example = &"http://127.0.0.1:4317")]
    pub endpoint: Url,
    /// Further peers that take the same, with the settings of the first.
    #[serde(default)]
    #[schemars(example = ["http://127.0.0.2:4317"])]
    pub more_endpoints: Vec<Url>,
    /// Which of several peers gets a request.
    #[serde(default)]
    pub spread: Spread,
    /// How to send.
    #[serde(default)]
    pub protocol: Protocol,
    /// Whether `/v1/traces` and its like are added to the endpoint's path; HTTP only.
    #[serde(default = "yes")]
    pub append_path: bool,
    /// Compression of requests; gzip and zstd at level 1.
    #[serde(default)]
    pub compression: Compression,
    /// Headers (gRPC: metadata) of every request. Values are never printed.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, SecretText>")]
    #[schemars(example = [("authorization", "${file:/etc/telegen/token}")].into_iter().collect::<BTreeMap<_, _>>())]
    pub headers: BTreeMap<String, Secret>,
    /// Certificates, for `https`.
    #[serde(default)]
    pub tls: ClientTls,
    /// Longest wait for the answer to one request.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
    /// Most spans, data points, log records or profiles a second. What is too much waits in the queue. Not set: no limit.
    #[serde(default)]
    #[schemars(example = &"50000/s")]
    pub rate: Option<Rate>,
    /// When a failed request is sent again.
    #[serde(default)]
    pub retry: RetrySettings,
    /// What is put together into one request.
    #[serde(default)]
    pub batch: BatchSettings,
    /// What waits while the peer is away.
    #[serde(default)]
    pub queue: QueueSettings,
    /// Signals to send.
    #[serde(default = "all_signals")]
    pub signals: Vec<SignalName>,
}

fn yes() -> bool {
    true
}

/// Certificates of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientTls {
    /// Authorities to trust, PEM. Not set: those of the system.
    #[schemars(example = &"/etc/telegen/ca.crt")]
    pub ca: Option<PathBuf>,
    /// Own certificate chain, PEM, for a peer that asks for one.
    #[schemars(example = &"/etc/telegen/client.crt")]
    pub cert: Option<PathBuf>,
    /// Private key of `cert`, PEM.
    #[schemars(example = &"/etc/telegen/client.key")]
    pub key: Option<PathBuf>,
    /// Takes any certificate: anyone on the way can then read and change everything.
    pub insecure_skip_verify: bool,
}

/// A file of OTLP/JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// Name in the ledger and in metrics. Not set: `file`.
    #[serde(default)]
    #[schemars(example = &"file")]
    pub name: Option<String>,
    /// The file; it is appended to.
    #[schemars(example = &"telemetry.jsonl")]
    pub path: PathBuf,
    /// When a new file is begun.
    #[serde(default)]
    pub rotate: RotateSettings,
    /// Signals to write.
    #[serde(default = "all_signals")]
    pub signals: Vec<SignalName>,
}

/// When a file makes room for the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RotateSettings {
    /// Size at which a new file is begun.
    pub max_size: ByteSize,
    /// Number of old files kept.
    pub keep: NonZeroU32,
    /// Compression of old files; gzip and zstd at level 1.
    pub compression: Compression,
}

impl Default for RotateSettings {
    fn default() -> RotateSettings {
        let keep = NonZeroU32::MIN.saturating_add(4);
        RotateSettings { max_size: ByteSize::mib(100), keep, compression: Compression::None }
    }
}

/// The Prometheus scrape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrometheusSettings {
    /// Name in the log. Not set: `prometheus`.
    #[schemars(example = &"prometheus")]
    pub name: Option<String>,
    /// Whether `/metrics` has telemetry beside Telegen's own metrics.
    pub enabled: bool,
}

impl Default for PrometheusSettings {
    fn default() -> PrometheusSettings {
        PrometheusSettings { name: None, enabled: true }
    }
}

/// A remote write exporter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoteWriteSettings {
    /// Name in the ledger and in metrics. Not set: `remote_write`.
    #[serde(default)]
    #[schemars(example = &"remote_write")]
    pub name: Option<String>,
    /// Where to send to.
    #[schemars(example = &"http://127.0.0.1:9090/api/v1/write")]
    pub endpoint: Url,
    /// Version of the protocol: 1 or 2.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 2))]
    pub version: u8,
    /// Headers of every request. Values are never printed.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, SecretText>")]
    pub headers: BTreeMap<String, Secret>,
    /// Certificates, for `https`.
    #[serde(default)]
    pub tls: ClientTls,
    /// Longest wait for the answer to one request.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
    /// Most spans, data points, log records or profiles a second. What is too much waits in the queue. Not set: no limit.
    #[serde(default)]
    #[schemars(example = &"50000/s")]
    pub rate: Option<Rate>,
    /// When a failed request is sent again.
    #[serde(default)]
    pub retry: RetrySettings,
    /// What waits while the peer is away.
    #[serde(default)]
    pub queue: QueueSettings,
}

fn two() -> u8 {
    2
}

/// A Kafka exporter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Name in the ledger and in metrics. Not set: `kafka`.
    #[serde(default)]
    #[schemars(example = &"kafka")]
    pub name: Option<String>,
    /// Brokers to begin with; the others are learned from them.
    #[schemars(example = ["127.0.0.1:9092"])]
    pub brokers: Vec<HostPort>,
    /// Topic; `{signal}` stands for `traces`, `metrics`, `logs` or `profiles`.
    #[serde(default = "per_signal_topic")]
    pub topic: String,
    /// What a message holds.
    #[serde(default)]
    pub encoding: KafkaEncoding,
    /// Compression of messages.
    #[serde(default)]
    pub compression: KafkaCompression,
    /// User name and password. Not set: none.
    #[serde(default)]
    pub sasl: Option<SaslSettings>,
    /// Certificates; setting it switches encryption on.
    #[serde(default)]
    pub tls: Option<ClientTls>,
    /// Longest wait for the answer to one request.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
    /// Most spans, data points, log records or profiles a second. What is too much waits in the queue. Not set: no limit.
    #[serde(default)]
    #[schemars(example = &"50000/s")]
    pub rate: Option<Rate>,
    /// When a failed request is sent again.
    #[serde(default)]
    pub retry: RetrySettings,
    /// What waits while the brokers are away.
    #[serde(default)]
    pub queue: QueueSettings,
    /// Signals to send.
    #[serde(default = "all_signals")]
    pub signals: Vec<SignalName>,
}

fn per_signal_topic() -> String {
    "otlp_{signal}".to_owned()
}

/// What a Kafka message holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KafkaEncoding {
    /// An OTLP export request as protobuf.
    #[default]
    OtlpProto,
    /// An OTLP export request as JSON.
    OtlpJson,
}

/// How Kafka messages are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum KafkaCompression {
    #[default]
    Zstd,
    Gzip,
    Snappy,
    Lz4,
    None,
}

/// How to log in at a Kafka broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SaslSettings {
    /// How the password is proven: plain, scram-sha-256 or scram-sha-512, in any case.
    #[schemars(example = &"scram-sha-512")]
    pub mechanism: Mechanism,
    /// User name.
    #[schemars(example = &"telegen")]
    pub username: String,
    /// Password; never printed.
    #[schemars(with = "SecretText", example = &"${KAFKA_PASSWORD}")]
    pub password: Secret,
}

/// How a password is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Mechanism {
    #[serde(rename = "plain")]
    Plain,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl TryFrom<String> for Mechanism {
    type Error = &'static str;

    fn try_from(word: String) -> Result<Mechanism, &'static str> {
        match word.to_ascii_lowercase().as_str() {
            "plain" => Ok(Mechanism::Plain),
            "scram-sha-256" => Ok(Mechanism::ScramSha256),
            "scram-sha-512" => Ok(Mechanism::ScramSha512),
            _ => Err("expected one of plain, scram-sha-256, scram-sha-512"),
        }
    }
}

/// Records on standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleSettings {
    /// Name in the log. Not set: `console`.
    #[schemars(example = &"console")]
    pub name: Option<String>,
    /// Signals to print.
    pub signals: Vec<SignalName>,
}

impl Default for ConsoleSettings {
    fn default() -> ConsoleSettings {
        ConsoleSettings { name: None, signals: all_signals() }
    }
}
