//! What tests of the whole program share: the program itself, a sender, and the judge of what arrived.
#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]

pub(crate) mod program;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use telegen_export::{Compression, Endpoint, OtlpConfig, OtlpSink as Exporter, OtlpTarget, Protocol};
use telegen_model::{KeyValue, Records, Signal, Value};
use telegen_pipeline::{Batch, Outcome, SignalSet, Sink};
use telegen_testkit::records;
use telegen_testkit::sink::OtlpSink;

pub(crate) use program::{Telegen, get, port, wait};

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

/// Long form: `TELEGEN_LONG=1`.
pub(crate) fn long() -> bool {
    std::env::var_os("TELEGEN_LONG").is_some()
}
