use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crate::session::Access;
use crate::settings::{AuthProtocol, PrivProtocol, SnmpSettings, Version};
use crate::usm::{self, User, UserError};

/// A way to log in, with its name.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its name in the configuration.
    pub name: String,
    /// The way.
    pub access: Arc<Access>,
}

/// A device to poll.
#[derive(Clone, Debug)]
pub struct Target {
    /// `snmp.target`
    pub name: String,
    /// As configured: `HOST` or `HOST:PORT`, with `tcp:` before it for TCP.
    pub address: String,
    /// Ways to log in, version 3 first, then as listed.
    pub credentials: Vec<Credential>,
    /// Time between polls.
    pub interval: Duration,
    /// Profile by name, or `auto`.
    pub profile: String,
    /// Attributes of the resource.
    pub labels: BTreeMap<String, String>,
    /// Most times a minute that another credential is tried.
    pub tries_a_minute: u32,
}

/// Devices to poll.
pub type Targets = Vec<Arc<Target>>;

impl Target {
    /// Whether it is polled over TCP (RFC 3430).
    pub fn is_tcp(&self) -> bool {
        self.address.starts_with("tcp:")
    }

    /// Host and port as written.
    pub fn host_port(&self) -> (&str, u16) {
        let address = without_transport(&self.address);
        if address.parse::<std::net::Ipv6Addr>().is_ok() {
            return (address, 161);
        }
        match address.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => {
                let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
                (host, port.parse().unwrap_or(161))
            }
            _ => (address.trim_start_matches('[').trim_end_matches(']'), 161),
        }
    }

    /// The address; a name is asked for, which may take a while.
    pub fn resolve(&self) -> Option<SocketAddr> {
        let (host, port) = self.host_port();
        if let Ok(ip) = host.parse::<std::net::IpAddr>() {
            return Some((ip, port).into());
        }
        (host, port).to_socket_addrs().ok()?.next()
    }
}

/// An address without `udp:` or `tcp:`, with or without slashes, before it.
pub(crate) fn without_transport(address: &str) -> &str {
    let rest = address.strip_prefix("tcp:").or_else(|| address.strip_prefix("udp:"));
    rest.map_or(address, |r| r.strip_prefix("//").unwrap_or(r))
}

/// The credentials of the settings, made ready.
pub fn credentials(settings: &SnmpSettings) -> Result<BTreeMap<String, Credential>, (String, UserError)> {
    let mut out = BTreeMap::new();
    for (name, c) in &settings.credentials {
        let access = match c.version {
            Version::V1 | Version::V2c => Access::Community {
                version: u8::from(c.version == Version::V2c),
                community: c.community.clone().unwrap_or_default(),
            },
            Version::V3 => {
                let auth = c.auth.as_ref().map(|a| (auth_protocol(a.protocol), a.password.clone()));
                let privacy = c.privacy.as_ref().map(|p| (priv_protocol(p.protocol), p.password.clone()));
                let user = c.user.clone().unwrap_or_default();
                let user = User::new(&user, auth, privacy).map_err(|e| (name.clone(), e))?;
                Access::User { user, context: c.context.clone() }
            }
        };
        out.insert(name.clone(), Credential { name: name.clone(), access: Arc::new(access) });
    }
    Ok(out)
}

/// Credentials by name, version 3 before 2c before 1, else as listed.
pub(crate) fn in_order(names: &[String], all: &BTreeMap<String, Credential>) -> Vec<Credential> {
    let mut out: Vec<Credential> = names.iter().filter_map(|n| all.get(n).cloned()).collect();
    out.sort_by_key(|c| match &*c.access {
        Access::User { .. } => 0,
        Access::Community { version: 1, .. } => 1,
        Access::Community { .. } => 2,
    });
    out
}

impl Target {
    /// The targets of the settings.
    pub(crate) fn of_settings(
        list: &[crate::settings::Target],
        settings: &SnmpSettings,
        all: &BTreeMap<String, Credential>,
    ) -> Targets {
        list.iter()
            .map(|t| {
                Arc::new(Target {
                    name: t.name.clone().unwrap_or_else(|| t.address.clone()),
                    address: t.address.clone(),
                    credentials: in_order(&t.credentials, all),
                    interval: t.interval.unwrap_or(settings.interval).get(),
                    profile: t.profile.clone(),
                    labels: t.labels.clone(),
                    tries_a_minute: settings.credential_tries.get(),
                })
            })
            .collect()
    }
}

fn auth_protocol(p: AuthProtocol) -> usm::AuthProtocol {
    match p {
        AuthProtocol::Md5 => usm::AuthProtocol::Md5,
        AuthProtocol::Sha1 => usm::AuthProtocol::Sha1,
        AuthProtocol::Sha224 => usm::AuthProtocol::Sha224,
        AuthProtocol::Sha256 => usm::AuthProtocol::Sha256,
        AuthProtocol::Sha384 => usm::AuthProtocol::Sha384,
        AuthProtocol::Sha512 => usm::AuthProtocol::Sha512,
    }
}

fn priv_protocol(p: PrivProtocol) -> usm::PrivProtocol {
    match p {
        PrivProtocol::Des => usm::PrivProtocol::Des,
        PrivProtocol::Aes128 => usm::PrivProtocol::Aes128,
        PrivProtocol::Aes192 => usm::PrivProtocol::Aes192,
        PrivProtocol::Aes256 => usm::PrivProtocol::Aes256,
        PrivProtocol::Aes192c => usm::PrivProtocol::Aes192c,
        PrivProtocol::Aes256c => usm::PrivProtocol::Aes256c,
    }
}
