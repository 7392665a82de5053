use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_model::{Secret, Signal};
use telegen_pipeline::SignalSet;

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    /// Protobuf bodies over HTTP.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// JSON bodies over HTTP.
    #[serde(rename = "http/json")]
    HttpJson,
}

/// How request bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, level 1.
    #[default]
    Gzip,
    /// Zstandard, level 1.
    Zstd,
}

/// How the peer is trusted and how Telegen proves who it is; used for `https` endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TlsConfig {
    /// PEM file with the authorities to trust; without it those of the system.
    pub ca: Option<PathBuf>,
    /// PEM file with the certificate chain to show, together with `key`.
    pub cert: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
    /// Trust whoever answers: only for tests.
    pub insecure_skip_verify: bool,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `http://` or `https://`, host, port (else 80 or 443, for gRPC and HTTP alike), and for HTTP a path.
    pub url: String,
    /// HTTP: `url` is the whole address, as `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is. Otherwise `v1/traces`,
    /// `v1/metrics` or `v1/logs` is appended to its path.
    pub exact: bool,
}

/// Who gets a request where several peers take the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// The first that is not failing, in their order; a peer that failed is asked again after 1 s, 2 s, up to 30 s.
    #[default]
    Failover,
    /// They take turns; one that fails is passed over.
    Balance,
}

/// A further peer that takes the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherPeer {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Its headers: an address may hold user and password.
    pub headers: Vec<(String, Secret)>,
}

/// How one signal, or all of them, leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpTarget {
    /// Where to.
    pub endpoint: Endpoint,
    /// How it is spoken.
    pub protocol: Protocol,
    /// How bodies are compressed.
    pub compression: Compression,
    /// Sent with every request: names in lower case, values kept out of every log.
    pub headers: Vec<(String, Secret)>,
    /// For `https`.
    pub tls: TlsConfig,
    /// How long one request may take, connecting included.
    pub timeout: Duration,
    /// Further peers.
    pub others: Vec<OtherPeer>,
    /// Which of the peers gets a request.
    pub spread: Spread,
}

impl Default for OtlpTarget {
    /// gRPC with gzip to `http://127.0.0.1:4317`, 10 s.
    fn default() -> OtlpTarget {
        OtlpTarget {
            endpoint: Endpoint { url: "http://127.0.0.1:4317".to_string(), exact: false },
            protocol: Protocol::default(),
            compression: Compression::default(),
            headers: Vec::new(),
            tls: TlsConfig::default(),
            timeout: Duration::from_secs(10),
            others: Vec::new(),
            spread: Spread::default(),
        }
    }
}

/// An OTLP exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Its name in the ledger.
    pub name: String,
    /// What it takes.
    pub signals: SignalSet,
    /// How signals leave that `overrides` does not name.
    pub target: OtlpTarget,
    /// How single signals leave: `OTEL_EXPORTER_OTLP_{TRACES,METRICS,LOGS}_*`.
    pub overrides: BTreeMap<Signal, OtlpTarget>,
}

/// A file of OTLP/JSON lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// Its name in the ledger.
    pub name: String,
    /// What it takes.
    pub signals: SignalSet,
    /// The file; made with mode 0600, appended to.
    pub path: PathBuf,
    /// Size at which a new file is begun; `PATH` becomes `PATH.1`, `PATH.1` becomes `PATH.2`, ...
    pub max_size: u64,
    /// Old files kept; 0: none.
    pub keep: u32,
    /// How old files are compressed: `PATH.1.gz`, `PATH.1.zst`.
    pub compression: Compression,
}

impl Default for FileConfig {
    /// `telemetry.jsonl`, all signals, 100 MiB, 5 old files.
    fn default() -> FileConfig {
        FileConfig {
            name: "file".to_string(),
            signals: SignalSet::ALL,
            path: PathBuf::from("telemetry.jsonl"),
            max_size: 100 << 20,
            keep: 5,
            compression: Compression::None,
        }
    }
}

/// Why an exporter could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The endpoint is no address that this exporter can use.
    #[error("endpoint `{url}`: {reason}")]
    Endpoint {
        /// What was given, without user-info and query.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header cannot be sent.
    #[error("header `{name}`: {reason}")]
    Header {
        /// Its name; the value may be a secret.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file of the TLS settings cannot be used.
    #[error("{path}: {reason}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS settings do not go together.
    #[error("tls: {0}")]
    TlsConfig(String),
    /// The file cannot be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
