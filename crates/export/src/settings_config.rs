//! From what was written to what exporters are made from.

use std::collections::BTreeMap;

use telegen_config::Url;
use telegen_model::{Secret, Signal};
use telegen_pipeline::SignalSet;

use crate::settings::{
    ClientTls, ExportSettings, FileSettings, KafkaSettings, OtlpSettings, RemoteWriteSettings, SignalName,
};
use crate::{
    Endpoint, FileConfig, KafkaConfig, OtherPeer, OtlpConfig, OtlpTarget, RemoteWriteConfig, TlsConfig,
};

impl ExportSettings {
    /// The OTLP exporters.
    pub fn otlp(&self) -> &[OtlpSettings] {
        self.otlp.as_ref().map_or(&[], |o| o.as_slice())
    }

    /// The files.
    pub fn files(&self) -> &[FileSettings] {
        self.file.as_ref().map_or(&[], |f| f.as_slice())
    }

    /// The Kafka exporters.
    pub fn kafka(&self) -> &[KafkaSettings] {
        self.kafka.as_ref().map_or(&[], |k| k.as_slice())
    }

    /// The remote write exporters.
    pub fn remote_write(&self) -> &[RemoteWriteSettings] {
        self.remote_write.as_ref().map_or(&[], |r| r.as_slice())
    }

    /// Whether `/metrics` has telemetry beside Telegen's own metrics.
    pub fn scrape(&self) -> bool {
        self.prometheus.iter().flat_map(|p| p.as_slice()).any(|p| p.enabled)
    }
}

impl OtlpSettings {
    /// Its name in the ledger.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("otlp")
    }

    /// The exporter as it is made from these settings.
    pub fn config(&self) -> OtlpConfig {
        let at = |url: &Url| Endpoint { url: url.target(), exact: !self.append_path };
        let other = |url| OtherPeer { endpoint: at(url), headers: headers(&self.headers, url) };
        OtlpConfig {
            name: self.name().to_owned(),
            signals: signal_set(&self.signals),
            target: OtlpTarget {
                endpoint: at(&self.endpoint),
                protocol: self.protocol,
                compression: self.compression,
                headers: headers(&self.headers, &self.endpoint),
                tls: self.tls.config(),
                timeout: self.timeout.get(),
                others: self.more_endpoints.iter().map(other).collect(),
                spread: self.spread,
            },
            overrides: BTreeMap::new(),
        }
    }
}

/// Headers in lower case, with what the address says of user and password.
fn headers(set: &BTreeMap<String, Secret>, endpoint: &Url) -> Vec<(String, Secret)> {
    let mut headers: Vec<(String, Secret)> =
        set.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    // User-info in the address is the user's way to write this header (RFC 7617).
    if let Some(user) = &endpoint.user_info
        && !headers.iter().any(|(name, _)| name == "authorization")
    {
        let value = format!("Basic {}", base64(&percent_decoded(user.expose())));
        headers.push(("authorization".to_owned(), Secret::new(value)));
    }
    headers
}

impl RemoteWriteSettings {
    /// Its name in the ledger.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("remote_write")
    }

    /// The exporter as it is made from these settings.
    pub fn config(&self) -> RemoteWriteConfig {
        RemoteWriteConfig {
            name: self.name().to_owned(),
            url: self.endpoint.target(),
            version: self.version,
            headers: headers(&self.headers, &self.endpoint),
            tls: self.tls.config(),
            timeout: self.timeout.get(),
        }
    }
}

impl KafkaSettings {
    /// Its name in the ledger.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("kafka")
    }

    /// The exporter as it is made from these settings.
    pub fn config(&self) -> KafkaConfig {
        KafkaConfig {
            name: self.name().to_owned(),
            signals: signal_set(&self.signals),
            brokers: self.brokers.iter().map(|b| (b.host.clone(), b.port)).collect(),
            topic: self.topic.clone(),
            encoding: self.encoding,
            compression: self.compression,
            sasl: self.sasl.as_ref().map(|s| (s.mechanism, s.username.clone(), s.password.clone())),
            tls: self.tls.as_ref().map(ClientTls::config),
            timeout: self.timeout.get(),
        }
    }
}

impl ClientTls {
    /// The files as connections take them.
    pub fn config(&self) -> TlsConfig {
        let ClientTls { ca, cert, key, insecure_skip_verify } = self.clone();
        TlsConfig { ca, cert, key, insecure_skip_verify }
    }
}

impl FileSettings {
    /// Its name in the ledger.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("file")
    }

    /// The file as it is written from these settings.
    pub fn config(&self) -> FileConfig {
        FileConfig {
            name: self.name().to_owned(),
            signals: signal_set(&self.signals),
            path: self.path.clone(),
            max_size: self.rotate.max_size.get(),
            keep: self.rotate.keep.get(),
            compression: self.rotate.compression,
        }
    }
}

/// The set of signals that a list names.
pub(crate) fn signal_set(names: &[SignalName]) -> SignalSet {
    SignalSet::of(&names.iter().map(|n| Signal::from(*n)).collect::<Vec<_>>())
}

/// `%XX` as the byte it stands for; anything else as it is.
fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = text.get(i + 1..i + 3).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (bytes[i], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                i += 3;
            }
            (byte, _) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    out
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = group >> (18 - 6 * place) & 63;
            let present = place <= chunk.len();
            out.push(if present { char::from(DIGITS[digit as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_and_percent_signs_decode() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(percent_decoded("a%3Ab%zz%4"), b"a:b%zz%4");
    }
}
