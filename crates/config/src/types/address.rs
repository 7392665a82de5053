use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use super::text_type;

/// `HOST:PORT`; an IPv6 address stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// Port; 0 lets the kernel choose one, where something listens.
    pub port: u16,
}

const EXPECTED: &str = "expected HOST:PORT, such as 127.0.0.1:4317 or [::1]:4317";

impl HostPort {
    /// Whether only this machine can reach what listens there. A name other than `localhost` may point anywhere.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) => v6.to_ipv4_mapped().map_or(v6.is_loopback(), |v4| v4.is_loopback()),
            Ok(IpAddr::V4(v4)) => v4.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<HostPort, String> {
        let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port = if digits { port.parse().ok() } else { None }.ok_or("expected a port from 0 to 65535")?;
        let host = match host.strip_prefix('[') {
            Some(v6) => {
                let inner = v6.strip_suffix(']').ok_or(EXPECTED)?;
                inner.parse::<Ipv6Addr>().map_err(|_| EXPECTED)?;
                inner
            }
            None => host,
        };
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let v6 = host.parse::<Ipv6Addr>().is_ok();
        if host.is_empty() {
            return Err("expected a host before the port; 0.0.0.0 or [::] for all addresses".to_owned());
        }
        if v6 != text.starts_with('[') || (!v6 && !host.chars().all(name)) {
            return Err(EXPECTED.to_owned());
        }
        Ok(HostPort { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere: written as the empty text.
    Off,
    /// A TCP address.
    Tcp(HostPort),
    /// A unix socket: `unix:PATH`.
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("expected a path after unix:".to_owned()),
            Some(path) => Ok(Listen::Unix(PathBuf::from(path))),
            None if text.is_empty() => Ok(Listen::Off),
            None => text.parse().map(Listen::Tcp),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Off => Ok(()),
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

text_type!(HostPort, "address", "127.0.0.1:4317");
text_type!(Listen, "address, unix:PATH or empty", "127.0.0.1:19090");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_and_write_themselves() {
        for text in ["127.0.0.1:4317", "[::1]:80", "localhost:0", "my-host.example:65535"] {
            assert_eq!(text.parse::<HostPort>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
        for wrong in
            ["", "127.0.0.1", ":80", "::1:80", "[::1]", "[x]:1", "h:65536", "h:+1", "a b:1", "http://h:1"]
        {
            assert!(wrong.parse::<HostPort>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_addresses_of_this_machine_are_loopback() {
        let is = |t: &str| t.parse::<HostPort>().unwrap().is_loopback();
        for yes in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "LocalHost:1"] {
            assert!(is(yes), "{yes}");
        }
        for no in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "localhost.example:1", "[::ffff:10.0.0.1]:1"] {
            assert!(!is(no), "{no}");
        }
    }

    #[test]
    fn a_server_listens_on_tcp_on_a_unix_socket_or_nowhere() {
        assert_eq!("".parse(), Ok(Listen::Off));
        assert_eq!("unix:/run/t.sock".parse(), Ok(Listen::Unix("/run/t.sock".into())));
        assert_eq!("unix:".parse::<Listen>(), Err("expected a path after unix:".to_owned()));
    }
}
