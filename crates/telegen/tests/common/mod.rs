//! What tests of the whole program share: the program itself, a sender, and the judge of what arrived.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use telegen_export::{Compression, Endpoint, OtlpConfig, OtlpSink as Exporter, OtlpTarget, Protocol};
use telegen_model::{KeyValue, Records, Signal, Value};
use telegen_pipeline::{Batch, Outcome, SignalSet, Sink};
use telegen_testkit::records;
use telegen_testkit::sink::OtlpSink;

/// A port that is free now.
pub(crate) fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) struct Telegen {
    pub(crate) child: Child,
    pub(crate) said: Arc<Mutex<String>>,
}

impl Telegen {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(config: &Path) -> Telegen {
        let mut child = Command::new(env!("CARGO_BIN_EXE_telegen"))
            .args(["collector", "--config"])
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (heard, lines) = (said.clone(), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut said = heard.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        let telegen = Telegen { child, said };
        telegen.wait_said(" ready ");
        telegen
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn wait_said(&self, what: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.said().contains(what) {
            assert!(Instant::now() < end, "`{what}` was never said:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// SIGTERM; gives the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().unwrap().code()
    }
}

/// A test that fails leaves nothing behind.
impl Drop for Telegen {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// `GET` on the program's own server.
pub(crate) fn get(port: u16, path: &str) -> String {
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(tcp, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// The ledger of logs.
pub(crate) fn ledger(port: u16) -> serde_json::Value {
    let all: serde_json::Value = serde_json::from_str(&get(port, "/api/v1/ledger")).unwrap();
    all["logs"].clone()
}

pub(crate) fn exporter(to: u16) -> Exporter {
    let endpoint = Endpoint { url: format!("http://127.0.0.1:{to}"), exact: false };
    let target = OtlpTarget {
        endpoint,
        protocol: Protocol::Grpc,
        compression: Compression::None,
        timeout: Duration::from_secs(20),
        ..OtlpTarget::default()
    };
    let config =
        OtlpConfig { name: "in".into(), signals: SignalSet::ALL, target, overrides: BTreeMap::new() };
    Exporter::new(&config).unwrap()
}

/// Log records with these numbers.
pub(crate) fn batch(numbers: std::ops::Range<u64>) -> Arc<Batch> {
    let logs = numbers.map(|n| {
        let mut log = records::log(n);
        log.attrs = vec![KeyValue::new("seq", i64::try_from(n).unwrap())];
        log
    });
    let records = Records::Logs(logs.collect());
    Arc::new(Batch::new(Signal::Logs, vec![records::group(&records::resource("shop"), records)]))
}

/// Sends until it is taken.
pub(crate) async fn send(to: &Exporter, batch: Arc<Batch>) {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        match to.send(batch.clone()).await {
            Outcome::Delivered => return,
            Outcome::Retry { .. } => tokio::time::sleep(Duration::from_millis(20)).await,
            other => panic!("{other:?}"),
        }
        assert!(Instant::now() < end, "it is never taken");
    }
}

/// How often the peer took each number.
pub(crate) fn counts(sink: &OtlpSink, of: u64) -> Vec<u32> {
    let mut seen = vec![0; usize::try_from(of).unwrap()];
    for group in sink.groups() {
        let Records::Logs(logs) = group.records else { continue };
        for log in logs {
            let seq = log.attrs.iter().find(|kv| kv.key == "seq").map(|kv| kv.value.clone());
            let Some(Value::Int(n)) = seq else { panic!("a record without a number") };
            seen[usize::try_from(n).unwrap()] += 1;
        }
    }
    seen
}

pub(crate) fn wait(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "{what}: never");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Long form: `TELEGEN_LONG=1`.
pub(crate) fn long() -> bool {
    std::env::var_os("TELEGEN_LONG").is_some()
}
