//! The Kafka exporter against Apache Kafka: through a restart of the broker, every record once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use telegen_export::settings::{KafkaCompression, KafkaEncoding, Mechanism};
use telegen_export::{KafkaConfig, KafkaSink, TlsConfig};
use telegen_model::{KeyValue, Records, Secret, Signal};
use telegen_pipeline::{Batch, Outcome, SignalSet, Sink};
use telegen_testkit::{records, tls::Authority};

struct Broker {
    dir: tempfile::TempDir,
    lib: PathBuf,
    ports: [u16; 4],
    child: Option<Child>,
}

impl Broker {
    fn java(&self) -> Command {
        let mut java = Command::new("java");
        java.args(["-Xmx384m", "-cp"]).arg(format!("{}/*", self.lib.display())).current_dir(self.dir.path());
        java.stdout(Stdio::null()).stderr(Stdio::null());
        java
    }

    fn new(lib: PathBuf) -> Broker {
        let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let broker = Broker {
            dir: tempfile::tempdir().unwrap(),
            lib,
            ports: [port(), port(), port(), port()],
            child: None,
        };
        let [plain, controller, sasl, tls] = broker.ports;
        let pem = broker.certificates();
        let mut text = String::new();
        let login = "org.apache.kafka.common.security";
        for line in [
            "process.roles=broker,controller\nnode.id=1\nauto.create.topics.enable=true\nnum.partitions=3"
                .to_owned(),
            format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            format!(
                "listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}"
            ),
            format!("advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}"),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SASL_SSL"
                .to_owned(),
            "controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT".to_owned(),
            "sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN".to_owned(),
            format!(
                "listener.name.sasl.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;"
            ),
            format!(
                "listener.name.sasl.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;"
            ),
            format!(
                "listener.name.sasl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_t=\"pw\";"
            ),
            format!("log.dirs={}/data", broker.dir.path().display()),
            format!("listener.name.tls.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;"),
            "listener.name.tls.sasl.enabled.mechanisms=SCRAM-SHA-512".to_owned(),
            // A certificate is asked of clients too.
            format!("ssl.keystore.type=PEM\nssl.keystore.location={pem}\nssl.client.auth=required"),
            format!("ssl.truststore.type=PEM\nssl.truststore.location={}", broker.file("ca.pem").display()),
        ] {
            writeln!(text, "{line}").unwrap();
        }
        std::fs::write(broker.dir.path().join("server.properties"), text).unwrap();
        let formatted = broker
            .java()
            .args([
                "kafka.tools.StorageTool",
                "format",
                "-t",
                "AAAAAAAAQACAAAAAAAAAAA",
                "-c",
                "server.properties",
            ])
            .args([
                "--add-scram",
                "SCRAM-SHA-512=[name=t,password=pw]",
                "--add-scram",
                "SCRAM-SHA-256=[name=t,password=pw]",
            ])
            .status()
            .unwrap();
        assert!(formatted.success());
        broker
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes an authority, and certificates of the broker and of a client; gives the broker's.
    fn certificates(&self) -> String {
        let ca = Authority::new().unwrap();
        std::fs::write(self.file("ca.pem"), ca.pem()).unwrap();
        for name in ["broker", "client"] {
            let issued = ca.issue("127.0.0.1").unwrap();
            std::fs::write(self.file(&format!("{name}.crt")), &issued.cert).unwrap();
            std::fs::write(self.file(&format!("{name}.key")), &issued.key).unwrap();
            std::fs::write(self.file(&format!("{name}.pem")), format!("{}{}", issued.key, issued.cert))
                .unwrap();
        }
        self.file("broker.pem").display().to_string()
    }

    fn client_tls(&self) -> TlsConfig {
        TlsConfig {
            ca: Some(self.file("ca.pem")),
            cert: Some(self.file("client.crt")),
            key: Some(self.file("client.key")),
            insecure_skip_verify: false,
        }
    }

    fn start(&mut self) {
        let log = std::fs::File::create(self.file("log")).unwrap();
        let mut java = self.java();
        java.stderr(log.try_clone().unwrap()).stdout(log).args(["kafka.Kafka", "server.properties"]);
        self.child = Some(java.spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(120);
        while TcpStream::connect(("127.0.0.1", self.ports[0])).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let said = || std::fs::read_to_string(self.file("log")).unwrap();
            assert!(ended.is_none() && Instant::now() < end, "the broker does not come up:\n{}", said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Payloads of a topic, all partitions.
    fn dump(&self, topic: &str) -> String {
        let mut out = String::new();
        for partition in 0..3 {
            let log = self.dir.path().join(format!("data/{topic}-{partition}/00000000000000000000.log"));
            let dumped = self
                .java()
                .stdout(Stdio::piped())
                .args(["kafka.tools.DumpLogSegments", "--print-data-log", "--files"])
                .arg(log)
                .output()
                .unwrap();
            out.push_str(&String::from_utf8_lossy(&dumped.stdout));
        }
        out
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn library() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let lib = target.join("kafka/lib");
    lib.join(".complete").exists().then(|| lib.canonicalize().ok())?
}

fn sink(port: u16, signal: &str, compression: KafkaCompression, mechanism: Option<Mechanism>) -> KafkaSink {
    secure(port, signal, (compression, mechanism), None)
}

fn secure(
    port: u16,
    signal: &str,
    (compression, mechanism): (KafkaCompression, Option<Mechanism>),
    tls: Option<TlsConfig>,
) -> KafkaSink {
    KafkaSink::new(&KafkaConfig {
        name: "kafka".to_owned(),
        signals: SignalSet::ALL,
        brokers: vec![("127.0.0.1".to_owned(), port)],
        topic: format!("{signal}_{{signal}}"),
        encoding: KafkaEncoding::OtlpJson,
        compression,
        sasl: mechanism.map(|m| (m, "t".to_owned(), Secret::new("pw"))),
        tls,
        timeout: Duration::from_secs(5),
    })
    .unwrap()
}

fn logs(n: u64) -> Arc<Batch> {
    let mut log = records::log(n);
    log.attrs = vec![KeyValue::new("seq", format!("<{n}>"))];
    let group = records::group(&records::resource(&format!("shop-{}", n % 7)), Records::Logs(vec![log]));
    Arc::new(Batch::new(Signal::Logs, vec![group]))
}

async fn send(to: &KafkaSink, batch: Arc<Batch>) {
    let end = Instant::now() + Duration::from_secs(90);
    while to.send(batch.clone()).await != Outcome::Delivered {
        assert!(Instant::now() < end, "it is never taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_kafka_takes_every_record_once_through_a_restart() {
    let Some(lib) = library() else {
        eprintln!("SKIPPED Apache Kafka: run scripts/kafka.sh");
        return;
    };
    let mut broker = Broker::new(lib);
    broker.start();
    let to = sink(broker.ports[0], "through", KafkaCompression::Zstd, None);
    for n in 0..100 {
        send(&to, logs(n)).await;
    }
    broker.kill();
    assert!(matches!(to.send(logs(100)).await, Outcome::Retry { .. }));
    broker.start();
    for n in 100..200 {
        send(&to, logs(n)).await;
    }
    for (name, mechanism, compression) in [
        ("a", Mechanism::ScramSha512, KafkaCompression::Gzip),
        ("b", Mechanism::ScramSha256, KafkaCompression::Snappy),
        ("c", Mechanism::Plain, KafkaCompression::Lz4),
    ] {
        send(&sink(broker.ports[2], name, compression, Some(mechanism)), logs(7)).await;
    }
    let login = (KafkaCompression::Zstd, Some(Mechanism::ScramSha512));
    send(&secure(broker.ports[3], "d", login, Some(broker.client_tls())), logs(7)).await;
    // Without the right authority, or without a certificate of one's own, nothing is sent.
    let wrong = [
        TlsConfig { ca: Some(broker.file("client.crt")), ..broker.client_tls() },
        TlsConfig { cert: None, key: None, ..broker.client_tls() },
    ];
    for tls in wrong {
        let outcome = secure(broker.ports[3], "e", login, Some(tls)).send(logs(7)).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    }
    broker.kill();
    let dumped = broker.dump("through_logs");
    let counts: BTreeMap<usize, u64> =
        (0..200).map(|n| dumped.matches(&format!("<{n}>")).count()).fold(BTreeMap::new(), |mut m, c| {
            *m.entry(c).or_default() += 1;
            m
        });
    assert_eq!(counts, BTreeMap::from([(1, 200)]));
    for name in ["a", "b", "c", "d"] {
        assert_eq!(broker.dump(&format!("{name}_logs")).matches("<7>").count(), 1, "{name}");
    }
}
