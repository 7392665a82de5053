//! A running server, asked over a real socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use telegen_selfmon::{BuildInfo, SelfMon};
use telegen_server::settings::{AuthSettings, ServerSettings, TlsSettings};
use telegen_server::{Running, Server, ServerError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

fn settings(listen: &str) -> ServerSettings {
    ServerSettings { listen: listen.parse().unwrap(), ..ServerSettings::default() }
}

async fn start(settings: ServerSettings) -> Result<(Running, SelfMon), ServerError> {
    let monitor = SelfMon::new(BuildInfo::default());
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "late"
    };
    let data = Router::new().route("/api/v1/data", get(|| async { "data" })).route("/slow", get(slow));
    let server = Server::new(settings, &monitor).merge(data);
    let shell = Router::new().route("/", get(|| async { "shell" }));
    Ok((server.merge_shell(shell).start().await?.unwrap(), monitor))
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn ask(server: &Running, method: &str, path: &str, headers: &str) -> String {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    exchange(stream, &format!("{method} {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n")).await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("")
}

#[tokio::test]
async fn another_name_gets_403_with_what_to_do_and_nothing_else() {
    let (server, _) = start(settings("127.0.0.1:0")).await.unwrap();
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    for path in ["/", "/api/v1/data", "/healthz", "/nothing"] {
        let answer = ask(&server, "GET", path, "host: evil.example\r\n").await;
        assert_eq!(status(&answer), "403", "{path}");
        let text = format!(
            "This address is not allowed as Host. Add it to server.hosts, or open http://localhost:{port}.\n"
        );
        assert!(answer.ends_with(&text), "{answer}");
    }
    let origin =
        ask(&server, "GET", "/api/v1/data", "host: localhost\r\norigin: http://evil.example\r\n").await;
    assert_eq!(status(&origin), "403");
    assert_eq!(status(&ask(&server, "GET", "/", "").await), "403");
    let fine =
        ask(&server, "GET", "/api/v1/data", "host: localhost:8080\r\norigin: http://localhost:8080\r\n")
            .await;
    assert_eq!((status(&fine), fine.ends_with("data")), ("200", true));
}

#[tokio::test]
async fn every_answer_forbids_sniffing_caching_and_running() {
    let (server, _) = start(settings("127.0.0.1:0")).await.unwrap();
    for (path, host) in [("/", "localhost"), ("/nothing", "localhost"), ("/", "evil.example")] {
        let answer = ask(&server, "GET", path, &format!("host: {host}\r\n")).await;
        for line in [
            "x-content-type-options: nosniff\r\n",
            "content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n",
            "cache-control: no-store\r\n",
            "referrer-policy: no-referrer\r\n",
            "cross-origin-resource-policy: same-origin\r\n",
        ] {
            assert!(answer.contains(line), "{path} {host} lacks {line}: {answer}");
        }
    }
}

#[tokio::test]
async fn only_get_and_head_are_answered() {
    let (server, _) = start(settings("127.0.0.1:0")).await.unwrap();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        let answer = ask(&server, method, "/api/v1/data", "host: localhost\r\ncontent-length: 0\r\n").await;
        assert_eq!(status(&answer), "405", "{method}");
        assert!(answer.contains("allow: GET, HEAD\r\n"));
    }
    let head = ask(&server, "HEAD", "/api/v1/data", "host: localhost\r\n").await;
    assert!(status(&head) == "200" && head.ends_with("\r\n\r\n"), "{head}");
    let large = ask(&server, "GET", "/", "host: localhost\r\ncontent-length: 8193\r\n").await;
    assert_eq!(status(&large), "413");
}

#[tokio::test]
async fn a_head_that_never_ends_is_refused() {
    let (server, _) = start(settings("127.0.0.1:0")).await.unwrap();
    let long = format!("host: localhost\r\nx: {}\r\n", "a".repeat(64 << 10));
    assert_eq!(status(&ask(&server, "GET", "/", &long).await), "431");
    let many: String = (0..100).map(|i| format!("x-{i}: 1\r\n")).collect();
    assert_eq!(status(&ask(&server, "GET", "/", &format!("host: localhost\r\n{many}")).await), "431");
}

#[tokio::test]
async fn data_needs_the_token_and_the_shell_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "s3cret\n").unwrap();
    let auth = Some(AuthSettings { token_file });
    let (server, monitor) = start(ServerSettings { auth, ..settings("127.0.0.1:0") }).await.unwrap();
    let get =
        async |path: &str, more: &str| ask(&server, "GET", path, &format!("host: localhost\r\n{more}")).await;
    for wrong in ["", "authorization: Bearer s3cre\r\n", "authorization: Basic s3cret\r\n"] {
        let answer = get("/api/v1/data", wrong).await;
        assert_eq!(status(&answer), "401");
        assert!(answer.contains("www-authenticate: Bearer\r\n") && !answer.contains("s3cret"));
    }
    assert_eq!(status(&get("/api/v1/data", "authorization: Bearer s3cret\r\n").await), "200");
    for open in ["/", "/healthz"] {
        assert_eq!(status(&get(open, "").await), "200", "{open}");
    }
    let refused = monitor.counter("telegen.server.refused", "{request}", "", &[("reason", "token")]);
    assert_eq!(refused.get(), 3);
}

#[tokio::test]
async fn a_token_file_that_cannot_be_used_keeps_the_server_from_starting() {
    let auth = Some(AuthSettings { token_file: "/nonexistent/token".into() });
    let error = start(ServerSettings { auth, ..settings("127.0.0.1:0") }).await.unwrap_err().to_string();
    assert_eq!(error, "/nonexistent/token: No such file or directory (os error 2)");
}

#[tokio::test]
async fn health_is_told_with_its_reasons() {
    let (server, monitor) = start(settings("127.0.0.1:0")).await.unwrap();
    let get = async |path: &str| ask(&server, "GET", path, "host: localhost\r\n").await;
    assert_eq!(status(&get("/healthz").await), "200");
    let starting = get("/readyz").await;
    assert_eq!(status(&starting), "503");
    assert!(starting.ends_with(r#"{"ok":false,"reasons":[{"component":"telegen","reason":"starting"}]}"#));
    monitor.health.started();
    assert!(get("/readyz").await.ends_with(r#"{"ok":true,"reasons":[]}"#));
    monitor.health.broken("tap", "ring ended");
    assert_eq!((status(&get("/healthz").await), status(&get("/readyz").await)), ("503", "503"));
}

#[tokio::test]
async fn a_unix_socket_has_mode_0660_and_goes_away_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.sock");
    let listen = format!("unix:{}", path.display());
    // A socket that nobody answers on is left over from a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (server, _) = start(settings(&listen)).await.unwrap();
    assert_eq!(server.address(), listen);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let stream = UnixStream::connect(&path).await.unwrap();
    let answer =
        exchange(stream, "GET /api/v1/data HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("data"));
    let second = start(settings(&listen)).await.unwrap_err().to_string();
    assert!(second.ends_with("another process listens there"), "{second}");
    server.stop(Duration::from_secs(5)).await;
    assert!(!Path::new(&path).exists());
    std::fs::write(&path, "a file").unwrap();
    assert!(matches!(start(settings(&listen)).await, Err(ServerError::Occupied { .. })));
}

#[tokio::test]
async fn stopping_finishes_the_answers_under_way_and_takes_no_more() {
    let (server, _) = start(settings("127.0.0.1:0")).await.unwrap();
    let address = server.address().to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let idle = TcpStream::connect(&address).await.unwrap();
    // The slow answer is under way once the server took the connection after it.
    let probe = TcpStream::connect(&address).await.unwrap();
    exchange(probe, "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    server.stop(Duration::from_secs(10)).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("late"), "{answer}");
    assert!(TcpStream::connect(&address).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let error = start(settings(&listen)).await.unwrap_err().to_string();
    assert_eq!(error, format!("cannot listen on {listen}: Address already in use (os error 98)"));
}

#[tokio::test]
async fn idle_connections_and_half_sent_heads_make_room_for_a_request() {
    for begin in
        ["", "GET /healthz HTTP/1.1\r\nhost: local", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"]
    {
        let (server, monitor) = start(settings("127.0.0.1:0")).await.unwrap();
        let mut slow = TcpStream::connect(server.address()).await.unwrap();
        slow.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut held = Vec::new();
        for _ in 0..300 {
            let mut stream = TcpStream::connect(server.address()).await.unwrap();
            // The oldest are closed by now.
            stream.write_all(begin.as_bytes()).await.unwrap();
            held.push(stream);
        }
        let asked = ask(&server, "GET", "/healthz", "host: localhost\r\n");
        let answer = tokio::time::timeout(Duration::from_secs(20), asked).await.expect("no room was made");
        assert_eq!(status(&answer), "200", "{begin}");
        let mut answer = String::new();
        slow.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("late"), "an answer under way was cut off: {answer}");
        let closed = monitor.counter("telegen.server.connections.crowded_out", "{connection}", "", &[]);
        assert!(closed.get() >= 300 + 2 - 256, "{}", closed.get());
    }
}

#[tokio::test]
async fn an_empty_address_switches_the_server_off() {
    let monitor = SelfMon::new(BuildInfo::default());
    assert!(Server::new(settings(""), &monitor).start().await.unwrap().is_none());
}

#[test]
fn a_certificate_or_key_that_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let good = folder.path().join("crt");
    std::fs::write(&good, made.cert.pem()).unwrap();
    let zero = std::path::PathBuf::from("/dev/zero");
    for tls in [TlsSettings { cert: zero.clone(), key: good.clone() }, TlsSettings { cert: good, key: zero }]
    {
        let Err(error) = telegen_server::acceptor(&tls, &[]) else { panic!("{tls:?}") };
        let said = error.to_string();
        assert!(said.contains("/dev/zero") && said.ends_with("it is no regular file"), "{said}");
    }
}

#[tokio::test]
async fn with_a_certificate_only_https_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = TlsSettings { cert: folder.path().join("crt"), key: folder.path().join("key") };
    std::fs::write(&tls.cert, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    let (server, _) =
        start(ServerSettings { tls: Some(tls.clone()), ..settings("127.0.0.1:0") }).await.unwrap();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let answer =
        exchange(stream, "GET /api/v1/data HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("data"), "{answer}");

    let mut plain = TcpStream::connect(server.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // It may be cut with a reset: no answer in either case.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));

    std::fs::write(&tls.key, "no key").unwrap();
    let refused = start(ServerSettings { tls: Some(tls.clone()), ..settings("127.0.0.1:0") }).await;
    assert!(matches!(refused, Err(ServerError::Tls { path, .. }) if path == tls.key));
}

#[tokio::test]
async fn other_settings_hold_for_the_next_request_and_answers_under_way_are_finished() {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "new").unwrap();
    let monitor = SelfMon::new(BuildInfo::default());
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "late"
    };
    let data = Router::new().route("/api/v1/data", get(|| async { "data" })).route("/slow", get(slow));
    let open = Server::new(settings("127.0.0.1:0"), &monitor).merge(data);
    let running = open.clone().start().await.unwrap().unwrap();
    let address = running.address().to_owned();
    let host = "host: telegen.example\r\n";
    assert_eq!(status(&ask(&running, "GET", "/api/v1/data", host).await), "403");
    let mut kept = TcpStream::connect(&address).await.unwrap();
    kept.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    while !monitor_says(&monitor, "telegen.server.connections", 1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let auth = Some(AuthSettings { token_file: token_file.clone() });
    let closed =
        open.by(ServerSettings { auth, hosts: vec!["telegen.example".into()], ..settings("127.0.0.1:0") });
    let front = running.front(&closed).unwrap();
    // Nothing has changed yet, and what cannot be made changes nothing.
    assert_eq!(status(&ask(&running, "GET", "/api/v1/data", "host: localhost\r\n").await), "200");
    std::fs::write(&token_file, "").unwrap();
    assert!(running.front(&closed).is_err());
    running.replace(front);
    assert_eq!(status(&ask(&running, "GET", "/api/v1/data", host).await), "401");
    let with = format!("{host}authorization: Bearer new\r\n");
    assert_eq!(status(&ask(&running, "GET", "/api/v1/data", &with).await), "200");
    // The connection that was there ends with its answer: it knows no token.
    let mut rest = String::new();
    kept.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("late") && rest.contains("connection: close"), "{rest}");
    running.stop(Duration::from_secs(5)).await;
    assert!(TcpStream::connect(&address).await.is_err());
}

/// Whether a gauge of Telegen's own has this value.
fn monitor_says(monitor: &SelfMon, name: &str, value: i64) -> bool {
    monitor.metrics(1).iter().any(|m| {
        let telegen_model::MetricData::Gauge(points) = &m.data else { return false };
        m.name == name && points.iter().any(|p| p.value == telegen_model::NumberValue::Int(value))
    })
}
