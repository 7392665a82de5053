use std::fmt;
use std::str::FromStr;

use super::{HostPort, text_type};

/// An `http` or `https` address. `Display` and serialisation print its user-info as `REDACTED`.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether the scheme is `https`.
    pub tls: bool,
    /// User name and password as written before `@`, not percent-decoded.
    pub user_info: Option<telegen_model::Secret>,
    /// Host and port; the port is 80 or 443 when not written.
    pub host: HostPort,
    /// Path and query as written, empty or beginning with `/`.
    pub path: String,
}

impl Url {
    /// The address without user-info, to be sent to.
    pub fn target(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.host, self.path)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

const EXPECTED: &str = "expected a URL such as http://127.0.0.1:4317 or https://host/path";

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Url, String> {
        let (scheme, rest) = text.split_once("://").ok_or(EXPECTED)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err("expected http:// or https://".to_owned()),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if path.starts_with(['?', '#']) || path.contains('#') || !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(EXPECTED.to_owned());
        }
        let (user_info, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(telegen_model::Secret::new(user)), host),
            None => (None, authority),
        };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let host: HostPort = match has_port {
            true => host.parse().map_err(|_| EXPECTED)?,
            false => format!("{host}:{}", if tls { 443 } else { 80 }).parse().map_err(|_| EXPECTED)?,
        };
        if host.port == 0 {
            return Err("port 0 cannot be reached".to_owned());
        }
        Ok(Url { tls, user_info, host, path: path.to_owned() })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.user_info.is_some() { "REDACTED@" } else { "" };
        write!(f, "{}://{user}{}{}", self.scheme(), self.host, self.path)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_type!(Url, "url", "http://127.0.0.1:4317");

/// The text with the user-info of a URL in it replaced by `REDACTED`. Where the part before the first `/` is
/// not a host and a port, that `/` may belong to a password: then all up to the last `@` goes.
pub fn without_user_info(text: &str) -> String {
    let Some(start) = text.find("://").map(|at| at + 3) else { return text.to_owned() };
    let rest = &text[start..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let whole = match host.rsplit_once(':') {
        Some((_, port)) => port.ends_with(']') || port.bytes().all(|b| b.is_ascii_digit()),
        None => true,
    };
    match if whole { authority } else { rest }.rfind('@') {
        Some(at) => format!("{}REDACTED{}", &text[..start], &rest[at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_ports_and_hide_who_uses_them() {
        let url: Url = "https://me:pa%40ss@h.example/v1?x=1".parse().unwrap();
        assert_eq!(url.to_string(), "https://REDACTED@h.example:443/v1?x=1");
        assert_eq!(format!("{url:?}"), "https://REDACTED@h.example:443/v1?x=1");
        assert_eq!(url.user_info.as_ref().map(|s| s.expose().to_owned()), Some("me:pa%40ss".to_owned()));
        assert_eq!(url.target(), "https://h.example:443/v1?x=1");
        assert_eq!("http://[::1]:4317".parse::<Url>().unwrap().to_string(), "http://[::1]:4317");
        assert_eq!("http://[::1]".parse::<Url>().unwrap().to_string(), "http://[::1]:80");
        for wrong in
            ["", "h:1", "ftp://h", "http://", "http://h:0", "http://h/ x", "http://h#f", "http://h:x"]
        {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn user_info_goes_from_any_text() {
        assert_eq!(without_user_info("http://u:p@h/a@b"), "http://REDACTED@h/a@b");
        assert_eq!(without_user_info("http://u:p@q@h"), "http://REDACTED@h");
        assert_eq!(without_user_info("http://u:p/w@h"), "http://REDACTED@h");
        assert_eq!(without_user_info("http://h:80/a@b"), "http://h:80/a@b");
        assert_eq!(without_user_info("mail@host"), "mail@host");
    }
}
