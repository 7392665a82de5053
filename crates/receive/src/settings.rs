//! Settings under `receive`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::{Check, HostPort, Rate, Report};
use telegen_pipeline::AckLevel;
use telegen_server::settings::{AuthSettings, TlsSettings};

/// What others send to Telegen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiveSettings {
    /// OTLP from others. Off until set.
    pub otlp: Option<OtlpReceiverSettings>,
}

/// OTLP from others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpReceiverSettings {
    /// Address for gRPC.
    #[schemars(example = &"127.0.0.1:4317")]
    pub grpc: Option<HostPort>,
    /// Address for HTTP.
    #[schemars(example = &"127.0.0.1:4318")]
    pub http: Option<HostPort>,
    /// What must be true before the sender is told that its data arrived.
    pub acknowledge: Acknowledge,
    /// Most spans, data points, log records or profiles a second, all senders together. What is too much is refused
    /// with a time to come again. Not set: no limit.
    #[schemars(example = &"50000/s")]
    pub rate: Option<Rate>,
    /// Certificate and key. Not set: not encrypted.
    pub tls: Option<TlsSettings>,
    /// Who may send. Not set: everyone who can reach the address.
    pub auth: Option<AuthSettings>,
    /// Allows an address beyond loopback without `tls` and `auth`.
    pub insecure: bool,
}

/// What must be true before a sender is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledge {
    /// It is in memory.
    #[default]
    Memory,
    /// It is written to the queue on disk.
    Written,
    /// It is on the disk, also if the power fails now.
    Fsynced,
    /// Every exporter has delivered it.
    Delivered,
}

impl Acknowledge {
    /// The level as the pipeline knows it.
    pub fn level(self) -> AckLevel {
        match self {
            Acknowledge::Memory => AckLevel::Memory,
            Acknowledge::Written => AckLevel::Written,
            Acknowledge::Fsynced => AckLevel::Fsynced,
            Acknowledge::Delivered => AckLevel::Delivered,
        }
    }
}

impl Check for ReceiveSettings {
    fn check(&self, report: &mut Report) {
        let Some(otlp) = &self.otlp else { return };
        report.under("otlp", |report| {
            if otlp.rate.is_some_and(|rate| rate.get().is_none()) {
                report.wrong("rate", "expected a rate such as 20000/s; leave it out for none");
            }
            if otlp.grpc.is_none() && otlp.http.is_none() {
                report.wrong("", "expected grpc or http, or both");
            }
            if otlp.http.as_ref().is_some_and(|http| http.port != 0 && otlp.grpc.as_ref() == Some(http)) {
                report.wrong("http", "is the address of grpc too: each needs one of its own");
            }
            for (key, address) in [("grpc", &otlp.grpc), ("http", &otlp.http)] {
                let open = address.as_ref().is_some_and(|a| !a.is_loopback());
                if open && !otlp.insecure && (otlp.tls.is_none() || otlp.auth.is_none()) {
                    report.wrong(key, "beyond loopback tls and auth must be set, or insecure: true");
                }
            }
        });
    }
}
