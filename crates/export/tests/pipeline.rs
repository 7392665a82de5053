//! Pipeline, exporter and receiver together: what is produced arrives, once, or is counted.
#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use telegen_export::{Endpoint, FileConfig, FileSink, OtlpConfig, OtlpSink, OtlpTarget, Protocol};
use telegen_model::{Records, Signal, Span, SpanId};
use telegen_pipeline::{
    BatchConfig, Pipeline, PipelineConfig, QueueConfig, RetryConfig, SignalSet, Sink, SinkConfig,
};
use telegen_selfmon::{BuildInfo, SelfMon};
use telegen_testkit::{Reply, records, sink};

const PROTOCOLS: [Protocol; 3] = [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson];

fn otlp(endpoint: String, protocol: Protocol) -> Arc<dyn Sink> {
    let endpoint = Endpoint { url: endpoint, exact: false };
    let target = OtlpTarget { endpoint, protocol, timeout: Duration::from_secs(2), ..OtlpTarget::default() };
    let config =
        OtlpConfig { name: "otlp".to_string(), signals: SignalSet::ALL, target, overrides: BTreeMap::new() };
    Arc::new(OtlpSink::new(&config).unwrap())
}

/// Small batches, quick retries.
fn config() -> SinkConfig {
    SinkConfig {
        batch: BatchConfig { max_items: 50, timeout: Duration::from_millis(20), ..BatchConfig::default() },
        queue: QueueConfig::default(),
        retry: RetryConfig {
            initial: Duration::from_millis(20),
            max: Duration::from_millis(100),
            max_elapsed: Duration::ZERO,
        },
        ..SinkConfig::default()
    }
}

struct Rig {
    mon: SelfMon,
    pipeline: Pipeline,
}

impl Rig {
    fn new(sinks: Vec<(Arc<dyn Sink>, SinkConfig)>) -> Rig {
        let mon = SelfMon::new(BuildInfo::default());
        let pipeline = Pipeline::start(PipelineConfig::default(), sinks, &mon).unwrap();
        Rig { mon, pipeline }
    }

    /// Pushes spans with these numbers, ten a group.
    async fn push(&self, numbers: std::ops::Range<u64>) {
        let resource = records::resource("shop");
        for first in numbers.clone().step_by(10) {
            let spans: Vec<Span> = (first..numbers.end.min(first + 10)).map(records::span).collect();
            self.mon.ledger.produced(Signal::Traces, "test", spans.len() as u64);
            self.pipeline.input().push(records::group(&resource, Records::Spans(spans)));
            tokio::task::yield_now().await;
        }
    }

    fn balances(&self, exporter: &str) -> bool {
        self.mon.ledger.snapshot().signal(Signal::Traces).balances(exporter)
    }

    fn delivered(&self, exporter: &str) -> u64 {
        self.mon.ledger.snapshot().signal(Signal::Traces).delivered[exporter]
    }
}

/// How often each span id is there.
fn multiset(spans: Vec<Span>) -> BTreeMap<SpanId, usize> {
    let mut out = BTreeMap::new();
    spans.into_iter().for_each(|s| *out.entry(s.span_id).or_default() += 1);
    out
}

fn once_each(numbers: std::ops::Range<u64>) -> BTreeMap<SpanId, usize> {
    multiset(numbers.map(records::span).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_goes_and_comes_back_misses_nothing() {
    for protocol in PROTOCOLS {
        let mut before = sink::OtlpSink::start().await.unwrap();
        let addr = before.addr();
        let rig = Rig::new(vec![(otlp(before.endpoint(), protocol), config())]);
        rig.push(0..500).await;
        // A request that was taken and not answered would rightly come a second time.
        while rig.delivered("otlp") < 500 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        before.stop().await;
        let first = before.spans();
        rig.push(500..2000).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let after = sink::OtlpSink::start_at(addr).await.unwrap();
        rig.push(2000..2500).await;
        rig.pipeline.shutdown(Duration::from_secs(10)).await;
        let all = first.into_iter().chain(after.spans()).collect();
        assert_eq!(multiset(all), once_each(0..2500), "{protocol:?}");
        assert!(rig.balances("otlp") && rig.delivered("otlp") == 2500, "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_refuses_for_now_gets_every_span_once() {
    let busy = |n: usize, protocol: Protocol| match (protocol, n % 2) {
        (Protocol::Grpc, 0) => {
            Reply::Grpc { code: 14, message: "busy".into(), retry_info: None, at_once: n.is_multiple_of(4) }
        }
        (Protocol::Grpc, _) => Reply::Grpc {
            code: 8,
            message: "quota".into(),
            retry_info: Some(Duration::from_millis(5)),
            at_once: false,
        },
        (_, 0) => Reply::Http { status: 503, retry_after: None },
        _ => Reply::Http { status: 429, retry_after: Some("0".to_string()) },
    };
    for protocol in PROTOCOLS {
        let peer = sink::OtlpSink::start().await.unwrap();
        peer.script((0..20).map(|n| if n % 3 == 2 { Reply::Ok } else { busy(n, protocol) }));
        let rig = Rig::new(vec![(otlp(peer.endpoint(), protocol), config())]);
        rig.push(0..1000).await;
        rig.pipeline.shutdown(Duration::from_secs(30)).await;
        assert_eq!(multiset(peer.spans()), once_each(0..1000), "{protocol:?}");
        assert!(rig.balances("otlp") && rig.delivered("otlp") == 1000, "{protocol:?}");
        assert_eq!(peer.faults(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_too_large_for_the_peer_are_split_until_they_fit() {
    for protocol in PROTOCOLS {
        let peer = sink::OtlpSink::start().await.unwrap();
        peer.always(Reply::AtMost(7));
        let rig = Rig::new(vec![(otlp(peer.endpoint(), protocol), config())]);
        rig.push(0..200).await;
        rig.pipeline.shutdown(Duration::from_secs(30)).await;
        assert_eq!(multiset(peer.spans()), once_each(0..200), "{protocol:?}");
        assert!(peer.requests().iter().all(|r| r.taken == (r.items <= 7)));
        assert!(rig.balances("otlp") && rig.delivered("otlp") == 200, "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_peer_rejects_and_what_it_takes_add_up() {
    for protocol in PROTOCOLS {
        let peer = sink::OtlpSink::start().await.unwrap();
        let refused = match protocol {
            Protocol::Grpc => Reply::Grpc { code: 3, message: "no".into(), retry_info: None, at_once: true },
            _ => Reply::Http { status: 400, retry_after: None },
        };
        peer.script([Reply::Partial { rejected: 3, message: "three".to_string() }, refused, Reply::Ok]);
        let rig = Rig::new(vec![(otlp(peer.endpoint(), protocol), config())]);
        rig.push(0..150).await;
        rig.pipeline.shutdown(Duration::from_secs(30)).await;
        let ledger = rig.mon.ledger.snapshot().signal(Signal::Traces);
        let reason = if protocol == Protocol::Grpc { "grpc_3" } else { "http_400" };
        let want = BTreeMap::from([("rejected_by_peer".to_string(), 3), (reason.to_string(), 50)]);
        assert_eq!((&ledger.lost["export:otlp"], ledger.delivered["otlp"]), (&want, 97), "{protocol:?}");
        assert!(rig.balances("otlp"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_has_every_record_beside_a_peer_that_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    let file = FileConfig { path: path.clone(), ..FileConfig::default() };
    let away = otlp("http://127.0.0.1:1".to_string(), Protocol::Grpc);
    let rig = Rig::new(vec![(Arc::new(FileSink::new(&file).unwrap()), config()), (away, config())]);
    rig.push(0..120).await;
    rig.pipeline.shutdown(Duration::from_millis(500)).await;
    let text = std::fs::read_to_string(path).unwrap();
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    for line in text.lines() {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        for of_resource in request["resourceSpans"].as_array().unwrap() {
            for span in of_resource["scopeSpans"][0]["spans"].as_array().unwrap() {
                *ids.entry(span["spanId"].as_str().unwrap().to_string()).or_default() += 1;
            }
        }
    }
    let want: BTreeMap<String, usize> =
        once_each(0..120).into_iter().map(|(id, n)| (id.to_hex(), n)).collect();
    assert_eq!(ids, want);
    assert!(rig.balances("file") && rig.balances("otlp"));
    let lost = rig.mon.ledger.snapshot().signal(Signal::Traces).lost_at("export:otlp");
    assert_eq!((rig.delivered("file"), lost), (120, 120));
}
