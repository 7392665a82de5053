//! Settings under `server`, and the parts that everything that listens has in common.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::{Check, HostPort, Listen, Report};

/// The server of the page, the API, `/metrics` and the health checks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Where to listen: `HOST:PORT`, `unix:PATH` (mode 0660), or empty for no server at all. Beyond loopback
    /// `server.auth` is needed.
    pub listen: Listen,
    /// Who may read. Not set: everyone who can reach the address.
    pub auth: Option<AuthSettings>,
    /// Certificate and key for HTTPS. Not set: plain HTTP.
    pub tls: Option<TlsSettings>,
    /// Further names that requests may carry in `Host` and `Origin`, without ports. The listen address, localhost,
    /// 127.0.0.1 and [::1] always may.
    #[schemars(example = ["telegen.example"])]
    pub hosts: Vec<String>,
}

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// File with the token, which requests carry as `Authorization: Bearer TOKEN`. Trailing newlines are cut.
    #[schemars(example = &"/etc/telegen/server-token")]
    pub token_file: PathBuf,
}

/// Certificate and key of something that listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// Certificate chain, PEM.
    #[schemars(example = &"/etc/telegen/server.crt")]
    pub cert: PathBuf,
    /// Private key, PEM.
    #[schemars(example = &"/etc/telegen/server.key")]
    pub key: PathBuf,
}

impl Default for ServerSettings {
    fn default() -> ServerSettings {
        let listen = Listen::Tcp(HostPort { host: "127.0.0.1".to_owned(), port: 19090 });
        ServerSettings { listen, auth: None, tls: None, hosts: Vec::new() }
    }
}

impl Check for ServerSettings {
    fn check(&self, report: &mut Report) {
        if let Listen::Tcp(address) = &self.listen
            && !address.is_loopback()
            && self.auth.is_none()
        {
            report.wrong("listen", "beyond loopback server.auth.token_file must be set");
        }
        for (i, host) in self.hosts.iter().enumerate() {
            let name = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            let v6 = name.parse::<std::net::Ipv6Addr>().is_ok();
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if name.is_empty() || !(v6 || name.chars().all(plain)) {
                report.wrong(&format!("hosts.{i}"), "expected a host name or address without a port");
            }
        }
    }
}
