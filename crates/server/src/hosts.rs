//! Which names a request may use for this server. A page of another site that makes its own name point here (DNS
//! rebinding) sends that name in `Host`; a page that only asks across sites sends its own in `Origin`.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};
use telegen_config::Listen;

/// The names this server goes by, lower case, without ports.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    names: Vec<String>,
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// It names another server, or none.
    Host,
    /// It was sent by the page of another.
    Origin,
}

impl Hosts {
    pub(crate) fn new(listen: &Listen, more: &[String]) -> Hosts {
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into();
        if let Listen::Tcp(address) = listen {
            names.extend(name(&address.to_string()));
        }
        names.extend(more.iter().filter_map(|h| name(h).or_else(|| name(&format!("[{h}]")))));
        Hosts { names }
    }

    /// Checks a request that came in at the address `local`.
    ///
    /// Where the server listens on all addresses, the one that the connection was made to counts as its name: an
    /// address cannot be rebound.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap, local: Option<IpAddr>) -> Result<(), Foreign> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (first, second) = (hosts.next(), hosts.next());
        let host = first.and_then(|h| h.to_str().ok()).and_then(name);
        // A target in absolute form overrides `Host` (RFC 9112, section 3.2.2); both must be right.
        let target = match uri.authority() {
            Some(authority) => Some(name(authority.as_str()).ok_or(Foreign::Host)?),
            None => None,
        };
        let known = |n: &String| self.names.contains(n) || local.is_some_and(|ip| *n == literal(ip));
        if second.is_some() || !host.is_some_and(|h| known(&h)) || !target.is_none_or(|t| known(&t)) {
            return Err(Foreign::Host);
        }
        for origin in headers.get_all(header::ORIGIN) {
            let text = origin.to_str().unwrap_or("");
            let from = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).and_then(name);
            if !from.is_some_and(|n| known(&n)) {
                return Err(Foreign::Origin);
            }
        }
        Ok(())
    }
}

fn literal(ip: IpAddr) -> String {
    match ip {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => format!("[{v6}]"),
        },
        IpAddr::V4(v4) => v4.to_string(),
    }
}

/// The name of `NAME`, `NAME:PORT` or `[ADDRESS]:PORT`, lower case, without the dot that may end it.
fn name(text: &str) -> Option<String> {
    let end = match text.starts_with('[') {
        true => text.find(']')? + 1,
        false => text.find(':').unwrap_or(text.len()),
    };
    let (name, port) = text.split_at(end);
    let digits = port.strip_prefix(':').is_none_or(|p| p.bytes().all(|b| b.is_ascii_digit()));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
    if name.is_empty() || !(port.is_empty() || port.starts_with(':')) || !digits || !name.bytes().all(plain) {
        return None;
    }
    Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listen: &str, host: &str, origin: Option<&str>) -> Result<(), Foreign> {
        let hosts = Hosts::new(&listen.parse().unwrap(), &["Telegen.Example".into(), "2001:db8::1".into()]);
        let mut headers = HeaderMap::new();
        if !host.is_empty() {
            headers.insert(header::HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        hosts.check(&Uri::from_static("/"), &headers, Some(IpAddr::from([192, 0, 2, 7])))
    }

    #[test]
    fn names_are_compared_without_ports() {
        for fine in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "127.0.0.1:1",
            "[::1]:9",
            "10.1.2.3:19090",
            "192.0.2.7",
            "telegen.example:80",
            "[2001:db8::1]",
        ] {
            assert_eq!(check("10.1.2.3:19090", fine, None), Ok(()), "{fine}");
        }
        for foreign in [
            "",
            "evil.example",
            "evil.example:19090",
            "localhost.evil.example",
            "localhost:x",
            "localhost@evil.example",
            "127.0.0.1.evil.example",
            "10.1.2.4",
            "[::2]",
            "[::1]x",
            ":80",
        ] {
            assert_eq!(check("10.1.2.3:19090", foreign, None), Err(Foreign::Host), "{foreign}");
        }
    }

    #[test]
    fn the_origin_must_be_this_server_too() {
        for fine in ["http://localhost:8080", "https://127.0.0.1", "http://telegen.example"] {
            assert_eq!(check("127.0.0.1:1", "localhost", Some(fine)), Ok(()), "{fine}");
        }
        for foreign in
            ["null", "http://evil.example", "localhost", "file://localhost", "http://localhost/x", ""]
        {
            assert_eq!(check("127.0.0.1:1", "localhost", Some(foreign)), Err(Foreign::Origin), "{foreign}");
        }
    }

    #[test]
    fn a_target_in_absolute_form_and_a_second_host_are_checked() {
        let hosts = Hosts::new(&"127.0.0.1:1".parse().unwrap(), &[]);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        let evil = Uri::from_static("http://evil.example/x");
        assert_eq!(hosts.check(&evil, &headers, None), Err(Foreign::Host));
        assert_eq!(hosts.check(&Uri::from_static("http://localhost:9/x"), &headers, None), Ok(()));
        headers.append(header::HOST, "localhost".parse().unwrap());
        assert_eq!(hosts.check(&Uri::from_static("/"), &headers, None), Err(Foreign::Host));
    }
}
