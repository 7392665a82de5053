//! Secrets planted wherever a user may write one: none of them is seen again but by the peer that it is for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use common::{Telegen, batch, exporter, port, send, wait};
use telegen_testkit::sink::{OtlpSink, Reply};

/// Makes secrets and remembers them.
struct Planted {
    random: fastrand::Rng,
    all: Vec<String>,
    environment: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

impl Planted {
    fn new() -> Planted {
        let (random, folder) = (fastrand::Rng::with_seed(11), tempfile::tempdir().unwrap());
        Planted { random, all: Vec::new(), environment: Vec::new(), folder }
    }

    /// A secret as it is.
    fn plain(&mut self) -> String {
        let secret = format!("cnry{:03}x{:016x}", self.all.len(), self.random.u64(..));
        self.all.push(secret.clone());
        secret
    }

    /// A secret in a file; its path.
    fn file(&mut self) -> String {
        let secret = self.plain();
        let path = self.folder.path().join(format!("secret-{}", self.all.len()));
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        path.display().to_string()
    }

    /// A secret as a user writes it: as it is, as a reference to the environment, or to a file.
    fn written(&mut self) -> String {
        match self.all.len() % 3 {
            0 => self.plain(),
            1 => {
                let (name, secret) = (format!("PLANTED_{}", self.all.len()), self.plain());
                self.environment.push((name.clone(), secret));
                format!("${{{name}}}")
            }
            _ => format!("${{file:{}}}", self.file()),
        }
    }

    fn headers(&mut self, n: usize) -> String {
        let pairs: Vec<String> = (0..n).map(|i| format!("x-{i}: '{}'", self.written())).collect();
        format!("{{ {} }}", pairs.join(", "))
    }
}

struct Ports {
    own: u16,
    otlp: u16,
    /// Nobody listens there.
    closed: u16,
}

/// A whole configuration with a secret at every place that may hold one.
fn configuration(planted: &mut Planted, ports: &Ports, sink: u16) -> String {
    let mut text = format!(
        "log: {{ level: trace }}\nshutdown: {{ timeout: 1s }}\nserver: {{ listen: 127.0.0.1:{}, auth: {{ token_file: ",
        ports.own
    );
    writeln!(text, "{} }} }}", planted.file()).unwrap();
    writeln!(
        text,
        "receive: {{ otlp: {{ grpc: 127.0.0.1:{}, acknowledge: memory }} }}\nexport:\n  otlp:",
        ports.otlp
    )
    .unwrap();
    let queue = planted.folder.path().join("queue").display().to_string();
    for n in 0..8 {
        let to = if n == 0 { sink } else { ports.closed };
        let (user, password) = (planted.plain(), planted.plain());
        let more = format!("http://{}:{}@127.0.0.1:{}/more", planted.plain(), planted.plain(), ports.closed);
        let protocol = ["grpc", "http/protobuf", "http/json"][n % 3];
        writeln!(
            text,
            "    - {{ name: o{n}, endpoint: 'http://{user}:{password}@127.0.0.1:{to}', more_endpoints: ['{more}'], protocol: {protocol}, timeout: 1s, retry: {{ initial: 50ms, max: 500ms }}, batch: {{ timeout: 20ms }}, queue: {{ path: '{queue}' }}, headers: {} }}",
            planted.headers(10)
        )
        .unwrap();
    }
    text.push_str("  remote_write:\n");
    for n in 0..2 {
        let (user, password) = (planted.plain(), planted.plain());
        writeln!(
            text,
            "    - {{ name: r{n}, endpoint: 'http://{user}:{password}@127.0.0.1:{}/api', retry: {{ initial: 50ms, max: 500ms }}, headers: {} }}",
            ports.closed,
            planted.headers(5)
        )
        .unwrap();
    }
    text.push_str("  kafka:\n");
    for (n, mechanism) in ["plain", "scram-sha-256", "scram-sha-512"].into_iter().enumerate() {
        writeln!(
            text,
            "    - {{ name: k{n}, brokers: ['127.0.0.1:{}'], timeout: 1s, retry: {{ initial: 50ms, max: 500ms }}, sasl: {{ mechanism: {mechanism}, username: u, password: '{}' }} }}",
            ports.closed,
            planted.written()
        )
        .unwrap();
    }
    text.push_str("collector:\n  snmp:\n    interval: 1s\n    credentials:\n");
    for n in 0..20 {
        writeln!(text, "      c{n}: {{ version: 2c, community: '{}' }}", planted.written()).unwrap();
    }
    for n in 0..15 {
        writeln!(
            text,
            "      u{n}: {{ version: 3, user: u{n}, auth: {{ protocol: sha256, password: '{}' }}, priv: {{ protocol: aes128, password: '{}' }} }}",
            planted.written(),
            planted.written()
        )
        .unwrap();
    }
    let names =
        |letter: char, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect::<Vec<_>>().join(", ");
    writeln!(
        text,
        "    targets: [ {{ address: 127.0.0.1:{}, name: core-1, credentials: [{}, {}] }} ]",
        ports.closed,
        names('u', 15),
        names('c', 20)
    )
    .unwrap();
    let communities: Vec<String> = (0..10).map(|_| format!("'{}'", planted.written())).collect();
    writeln!(
        text,
        "    traps: {{ listen: ['udp://127.0.0.1:{}'], communities: [{}], users: [{}] }}",
        ports.closed,
        communities.join(", "),
        names('u', 15)
    )
    .unwrap();
    text
}

/// Mistakes around secrets, as users make them.
fn broken(planted: &mut Planted) -> String {
    let mut secret = || planted.plain();
    format!(
        "export:\n  otlp:\n    endpoint: 'ftp://{}:{}@h'\n    headers: {{ a: ['{}'], b: \"x\\n{}\" }}\n    header: {{ authorization: '{}' }}\n  \
         kafka: {{ brokers: ['h:1'], sasl: {{ mechanism: plain, username: u, password: {{ a: '{}' }}, pasword: '{}' }} }}\n\
         collector:\n  snmp:\n    credentials:\n      a: {{ version: 2c, community: ['{}'] }}\n      b: {{ version: 2c, comunity: '{}' }}\n      \
         c: {{ version: 3, user: u, auth: {{ protocol: sha256, password: 'x{}', passwort: '{}' }} }}\n      d: {{ version: 3, user: u, auth: {{ protocol: sha256, password: {{ of: '{}' }} }} }}\n",
        secret(),
        secret(),
        secret(),
        secret(),
        secret(),
        secret(),
        secret(),
        secret(),
        secret(),
        secret(),
        secret(),
        secret()
    )
}

fn get(port: u16, path: &str, token: &str, accept: &str) -> String {
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(tcp, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    tcp.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn names(folder: &Path, out: &mut String) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        writeln!(out, "{}", entry.path().display()).unwrap();
        names(&entry.path(), out);
    }
}

fn telegen(planted: &Planted) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_telegen"));
    command.envs(planted.environment.iter().cloned());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_planted_secrets_are_in_no_log_metric_page_command_or_file_name() {
    let sink = OtlpSink::start().await.unwrap();
    sink.always(Reply::Http { status: 503, retry_after: None });
    let mut planted = Planted::new();
    for name in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
        let pairs: Vec<String> = (0..5).map(|n| format!("h{n}={}", planted.plain())).collect();
        planted.environment.push((name.to_owned(), pairs.join(",")));
    }
    for name in ["AWS_SECRET_ACCESS_KEY", "DATABASE_PASSWORD", "KAFKA_PASSWORD"] {
        let secret = planted.plain();
        planted.environment.push((name.to_owned(), secret));
    }
    let proxy = format!("http://{}:{}@127.0.0.1:1", planted.plain(), planted.plain());
    planted.environment.push(("HTTPS_PROXY".to_owned(), proxy));
    let ports = Ports { own: port(), otlp: port(), closed: port() };
    let token = planted.all.len();
    let text = configuration(&mut planted, &ports, sink.addr().port());
    let token = planted.all[token].clone();
    let wrong = broken(&mut planted);
    let planted = planted;
    assert!(planted.all.len() >= 200, "{}", planted.all.len());
    let (good, bad) = (planted.folder.path().join("telegen.yaml"), planted.folder.path().join("bad.yaml"));
    std::fs::write(&good, &text).unwrap();
    std::fs::write(&bad, &wrong).unwrap();

    let running = Telegen::spawn(telegen(&planted).args(["collector", "--config"]).arg(&good));

    let mut seen = String::new();
    send(&exporter(ports.otlp), batch(0..100)).await;
    wait("exporters fail and say so", || running.said().matches("will be sent again").count() > 10);
    for path in ["/metrics", "/api/v1/services", "/api/v1/traces", "/api/v1/features", "/api/v1/ledger"] {
        seen.push_str(&get(ports.own, path, &token, "*/*"));
    }
    for page in ["agent", "map", "overview", "processes", "service", "span", "trace", "traces"] {
        seen.push_str(&get(ports.own, &format!("/api/v1/view/{page}"), &token, "*/*"));
    }
    for path in ["/", "/healthz", "/readyz", "/api/v1/devices"] {
        seen.push_str(&get(ports.own, path, &token, "*/*"));
    }
    seen.push_str(&get(ports.own, "/metrics", &token, "application/openmetrics-text"));
    assert!(seen.contains("telegen_produced_total") && seen.contains("core-1"), "{seen}");
    // Read again: changed, then broken in every way.
    std::fs::write(&good, text.replacen("level: trace", "level: debug", 1)).unwrap();
    running.signal(rustix::process::Signal::HUP);
    wait("the file is read", || running.said().contains("the configuration was read again"));
    let before = running.said().len();
    std::fs::write(&good, &wrong).unwrap();
    running.signal(rustix::process::Signal::HUP);
    wait("the broken file is refused", || running.said()[before..].contains("header"));
    std::fs::write(&good, &text).unwrap();
    names(planted.folder.path(), &mut seen);
    for arguments in [
        vec!["config", "show", "--config", good.to_str().unwrap()],
        vec!["config", "check", good.to_str().unwrap()],
        vec!["config", "check", bad.to_str().unwrap()],
        vec!["doctor", "--json", "--config", good.to_str().unwrap()],
        vec!["queue", "inspect", planted.folder.path().join("queue").to_str().unwrap()],
    ] {
        let out = telegen(&planted).args(&arguments).output().unwrap();
        let text = [out.stdout, out.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
        match arguments[1] {
            "show" => assert!(text.matches("REDACTED").count() > 150, "{text}"),
            "check" => {
                assert_eq!(out.status.code() == Some(2), arguments[2] == bad.to_str().unwrap(), "{text}")
            }
            _ => {}
        }
        seen.push_str(&text);
    }
    let (code, said) = running.stop_saying();
    assert_eq!(code, Some(0));
    seen.push_str(&said);
    // The one that they are for has them.
    let requests = sink.requests();
    let given = requests.iter().flat_map(|r| r.headers.values());
    assert!(given.filter(|v| planted.all.iter().any(|s| v.as_bytes() == s.as_bytes())).count() > 0);
    let leaked: Vec<&String> = planted.all.iter().filter(|secret| seen.contains(*secret)).collect();
    let lines: Vec<&str> = seen.lines().filter(|l| leaked.iter().any(|s| l.contains(*s))).take(20).collect();
    assert!(leaked.is_empty(), "{} of {}: {leaked:?}\n{}", leaked.len(), planted.all.len(), lines.join("\n"));
    eprintln!(
        "{} secrets, {} bytes of logs, metrics, page and commands: none is there",
        planted.all.len(),
        seen.len()
    );
}
