use std::time::Duration;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use telegen_model::{Secret, Signal};

use super::body::Outgoing;
use super::connect::Connector;
use super::tls;
use crate::{Compression, ExportError, OtlpTarget, Protocol, TlsConfig};

/// Idle connections are asked whether they are alive, so that a peer that is gone is noticed before a batch
/// waits for it.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Headers that belong to the protocols themselves.
const RESERVED: [&str; 9] = [
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "host",
    "te",
    "user-agent",
    "telegen-batch-id",
];

/// Where and how requests go, ready to use.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) protocol: Protocol,
    pub(super) compression: Compression,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    /// The endpoint as the log may show it.
    pub(super) shown: String,
    pub(super) client: Client<Connector, Outgoing>,
    uris: [Uri; 4],
}

impl Target {
    pub(super) fn new(config: &OtlpTarget) -> Result<Target, ExportError> {
        let (base, shown) = endpoint(&config.endpoint.url)?;
        let encrypted = base.scheme() == Some(&Scheme::HTTPS);
        let grpc = config.protocol == Protocol::Grpc;
        let mut uris = [(); 4].map(|()| base.clone());
        for signal in Signal::ALL {
            let path = match (grpc, config.endpoint.exact) {
                (true, _) => grpc_path(signal).to_string(),
                (false, true) => base.path_and_query().map_or("/", PathAndQuery::as_str).to_string(),
                (false, false) => http_path(&base, signal),
            };
            uris[signal.index()] = with_path(&base, &path).map_err(|reason| wrong(&shown, reason))?;
        }
        let tls = if encrypted { Some(tls::client(&config.tls, grpc)?) } else { None };
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new()).pool_idle_timeout(3 * KEEP_ALIVE);
        if grpc {
            builder
                .http2_only(true)
                .http2_adaptive_window(true)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .http2_keep_alive_timeout(Duration::from_secs(10));
        }
        Ok(Target {
            protocol: config.protocol,
            compression: config.compression,
            headers: headers(&config.headers)?,
            timeout: config.timeout,
            client: builder.build(Connector::new(tls, config.timeout, Matcher::from_env())),
            shown,
            uris,
        })
    }

    pub(super) fn uri(&self, signal: Signal) -> Uri {
        self.uris[signal.index()].clone()
    }
}

/// A client for HTTP/1.1 requests to one address.
pub(crate) fn http_client(
    uri: &Uri,
    config: &TlsConfig,
    timeout: Duration,
) -> Result<Client<Connector, Outgoing>, ExportError> {
    let encrypted = uri.scheme() == Some(&Scheme::HTTPS);
    let tls = if encrypted { Some(tls::client(config, false)?) } else { None };
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new()).pool_idle_timeout(3 * KEEP_ALIVE);
    Ok(builder.build(Connector::new(tls, timeout, Matcher::from_env())))
}

/// Reads an endpoint; the second value is what the log may show of it.
pub(crate) fn endpoint(url: &str) -> Result<(Uri, String), ExportError> {
    // User-info and query may hold secrets.
    let shown = url.split('?').next().unwrap_or_default();
    let shown = match (shown.split_once("://"), shown.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_string(),
        _ => shown.to_string(),
    };
    let uri: Uri = url.parse().map_err(|e| wrong(&shown, format!("not an address: {e}")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong(&shown, "must begin with http:// or https://"));
    }
    match uri.authority() {
        Some(a) if a.as_str().contains('@') => Err(wrong(&shown, "user and password belong into a header")),
        Some(a) if a.host().is_empty() => Err(wrong(&shown, "has no host")),
        Some(_) => Ok((uri, shown)),
        None => Err(wrong(&shown, "has no host")),
    }
}

fn wrong(url: &str, reason: impl Into<String>) -> ExportError {
    ExportError::Endpoint { url: url.to_string(), reason: reason.into() }
}

fn with_path(base: &Uri, path: &str) -> Result<Uri, String> {
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path.parse().map_err(|e| format!("path `{path}`: {e}"))?);
    Uri::from_parts(parts).map_err(|e| e.to_string())
}

/// `v1/SIGNAL` below the endpoint's path, its query kept: OTLP specification, "OTLP/HTTP Request".
fn http_path(base: &Uri, signal: Signal) -> String {
    let version = if signal == Signal::Profiles { "v1development" } else { "v1" };
    let path = format!("{}/{version}/{}", base.path().trim_end_matches('/'), signal.name());
    match base.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

fn grpc_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Profiles => "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
    }
}

/// Headers of every request, checked.
pub(crate) fn headers(list: &[(String, Secret)]) -> Result<HeaderMap, ExportError> {
    let mut out = HeaderMap::new();
    for (name, value) in list {
        let wrong = |reason| ExportError::Header { name: name.clone(), reason };
        let lower = name.to_ascii_lowercase();
        if RESERVED.contains(&lower.as_str()) || lower.starts_with("grpc-") {
            return Err(wrong("is set by the exporter itself"));
        }
        let key = HeaderName::try_from(lower.as_str()).map_err(|_| wrong("is not a header's name"))?;
        let mut value =
            HeaderValue::try_from(value.expose()).map_err(|_| wrong("its value cannot be sent"))?;
        value.set_sensitive(true);
        out.append(key, value);
    }
    out.insert(
        http::header::USER_AGENT,
        HeaderValue::from_static(concat!("telegen/", env!("CARGO_PKG_VERSION"))),
    );
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;

    fn uris(url: &str, protocol: Protocol, exact: bool) -> Result<[String; 4], String> {
        let endpoint = Endpoint { url: url.to_string(), exact };
        let target = OtlpTarget { endpoint, protocol, ..OtlpTarget::default() };
        let target = Target::new(&target).map_err(|e| e.to_string())?;
        Ok(Signal::ALL.map(|s| target.uri(s).to_string()))
    }

    #[test]
    fn http_appends_the_signals_path_to_a_base_and_takes_an_exact_address_as_it_is() {
        let http = |url, exact| uris(url, Protocol::HttpProtobuf, exact).unwrap();
        assert_eq!(
            http("http://h:4318", false),
            [
                "http://h:4318/v1/traces",
                "http://h:4318/v1/metrics",
                "http://h:4318/v1/logs",
                "http://h:4318/v1development/profiles"
            ]
        );
        assert_eq!(http("http://h/a/b/?k=v", false)[1], "http://h/a/b/v1/metrics?k=v");
        assert_eq!(http("http://h/x", true)[0], "http://h/x");
        assert_eq!(http("http://h", true)[2], "http://h/");
        assert_eq!(
            uris("http://[::1]:4317/ignored", Protocol::Grpc, false).unwrap()[2],
            "http://[::1]:4317/opentelemetry.proto.collector.logs.v1.LogsService/Export"
        );
    }

    #[test]
    fn an_endpoint_that_cannot_be_used_is_refused_without_showing_its_secrets() {
        for (url, want) in [
            ("h:4317", "endpoint `h:4317`: must begin with http:// or https://"),
            ("ftp://h", "endpoint `ftp://h`: must begin with http:// or https://"),
            ("http://u:pass@h/x?token=t", "endpoint `http://h/x`: user and password belong into a header"),
            ("http://h h", "endpoint `http://h h`: not an address: invalid uri character"),
        ] {
            assert_eq!(uris(url, Protocol::Grpc, false).unwrap_err(), want);
        }
    }

    #[test]
    fn headers_are_secret_and_those_of_the_protocol_are_refused() {
        let one = |name: &str, value: &str| headers(&[(name.to_string(), Secret::new(value))]);
        let map = one("Authorization", "Bearer x").unwrap();
        assert_eq!(map["authorization"], "Bearer x");
        assert!(map["authorization"].is_sensitive());
        assert!(map["user-agent"].to_str().unwrap().starts_with("telegen/"));
        for (name, value, want) in [
            ("Content-Type", "a", "header `Content-Type`: is set by the exporter itself"),
            ("grpc-timeout", "a", "header `grpc-timeout`: is set by the exporter itself"),
            ("a b", "a", "header `a b`: is not a header's name"),
            ("a", "x\ny", "header `a`: its value cannot be sent"),
        ] {
            assert_eq!(one(name, value).unwrap_err().to_string(), want);
        }
    }
}
