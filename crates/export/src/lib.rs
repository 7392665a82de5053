//! Sinks: OTLP (gRPC, HTTP), OTLP/JSON file, Prometheus exposition.

mod config;
mod console;
mod file;
mod kafka;
mod otlp;
pub mod prometheus;
mod remote_write;
pub mod settings;
mod settings_check;
mod settings_config;

pub use config::{
    Compression, Endpoint, ExportError, FileConfig, OtherPeer, OtlpConfig, OtlpTarget, Protocol, Spread,
    TlsConfig,
};
pub use console::ConsoleSink;
pub use file::FileSink;
pub use kafka::{KafkaConfig, KafkaSink};
pub use otlp::OtlpSink;
pub use remote_write::{RemoteWriteConfig, RemoteWriteSink};
