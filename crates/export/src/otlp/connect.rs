use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections: directly or through the proxy of the environment (always by CONNECT), with TLS for
/// `https`.
#[derive(Clone)]
pub(crate) struct Connector {
    http: HttpConnector,
    tls: Option<Arc<ClientConfig>>,
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` in either case.
    proxy: Arc<Matcher>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    pub(super) fn new(tls: Option<Arc<ClientConfig>>, timeout: Duration, proxy: Matcher) -> Connector {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(Duration::from_secs(60)));
        http.set_connect_timeout(Some(timeout));
        Connector { http, tls, proxy: Arc::new(proxy) }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        // The clone is not the one that was polled ready; an `HttpConnector` is always ready.
        let mut connector = self.clone();
        Box::pin(async move {
            let proxy = if is_loopback(&to) { None } else { connector.proxy.intercept(&to) };
            let tcp = match proxy {
                Some(via) => {
                    let mut tunnel = Tunnel::new(via.uri().clone(), connector.http);
                    if let Some(auth) = via.basic_auth() {
                        tunnel = tunnel.with_auth(auth.clone());
                    }
                    tunnel.call(to.clone()).await?
                }
                None => connector.http.call(to.clone()).await?,
            };
            match connector.tls {
                Some(config) => {
                    let host = to.host().unwrap_or_default().trim_matches(['[', ']']);
                    let name = ServerName::try_from(host.to_string())?;
                    let tls = TlsConnector::from(config).connect(name, tcp.into_inner()).await?;
                    Ok(Stream::Tls(TokioIo::new(Box::new(tls))))
                }
                None => Ok(Stream::Plain(tcp)),
            }
        })
    }
}

/// Programs on this machine are never reached through a proxy.
fn is_loopback(to: &Uri) -> bool {
    let host = to.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A connection, encrypted or not.
pub(crate) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(TokioIo<Box<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Stream::Plain(io) => io.connected(),
            Stream::Tls(io) => io.inner().get_ref().0.connected(),
        }
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Stream::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Stream::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_flush(cx),
            Stream::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Stream::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(io) => io.is_write_vectored(),
            Stream::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Stream::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// What a proxy hears first when something connects to `to`.
    async fn heard(to: &str, scheme: &str) -> Option<String> {
        let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://user:pass@{}", proxy.local_addr().unwrap());
        let builder = Matcher::builder();
        let matcher = if scheme == "http" { builder.http(url) } else { builder.https(url) }.build();
        let mut connector = Connector::new(None, Duration::from_secs(5), matcher);
        let to: Uri = to.parse().unwrap();
        let connecting = tokio::spawn(async move { connector.call(to).await.map(|_| ()) });
        let accepted = tokio::select! {
            accepted = proxy.accept() => accepted.unwrap().0,
            // It went elsewhere, and failed or not.
            _ = connecting => return None,
        };
        let (mut tcp, mut said) = (accepted, Vec::new());
        while !said.ends_with(b"\r\n\r\n") {
            said.push(tcp.read_u8().await.unwrap());
        }
        tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        Some(String::from_utf8(said).unwrap())
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_a_tunnel_and_told_who_asks() {
        for (to, scheme) in
            [("http://backend.invalid:4318/v1", "http"), ("https://backend.invalid:4318/v1", "https")]
        {
            let said = heard(to, scheme).await.unwrap();
            assert!(said.starts_with("CONNECT backend.invalid:4318 HTTP/1.1\r\n"), "{said}");
            assert!(
                said.to_ascii_lowercase().contains("\r\nproxy-authorization: basic dxnlcjpwyxnz\r\n"),
                "{said}"
            );
        }
    }

    #[tokio::test]
    async fn this_machine_is_reached_directly() {
        assert_eq!(heard("http://127.0.0.1:1/", "http").await, None);
        assert_eq!(heard("http://[::1]:1/", "http").await, None);
        assert!(!is_loopback(&"http://127.0.0.1.example/".parse().unwrap()));
        assert!(is_loopback(&"http://localhost:4318/".parse().unwrap()));
    }
}
