//! The receiver between a real exporter and a real peer, and before senders that mean no good.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where something is wrong")]

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use telegen_config::HostPort;
use telegen_export::{Compression, Endpoint, OtlpConfig, OtlpSink as Exporter, OtlpTarget, Protocol};
use telegen_model::{KeyValue, Records, Resource, Signal};
use telegen_otlp::encode_request;
use telegen_pipeline::{
    Batch, BatchConfig, Outcome, Pipeline, PipelineConfig, QueueConfig, SignalSet, Sink, SinkConfig, WhenFull,
};
use telegen_receive::settings::{Acknowledge, OtlpReceiverSettings};
use telegen_receive::{OtlpReceiver, Peer, Receiving, Sender, Senders};
use telegen_selfmon::{BuildInfo, SelfMon};
use telegen_testkit::records;
use telegen_testkit::sink::{OtlpSink, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Rig {
    mon: SelfMon,
    sink: OtlpSink,
    receiving: Receiving,
    _pipeline: Pipeline,
}

/// Says that every sender is process 7 in a container.
struct Container;

impl Senders for Container {
    fn find(&self, _peer: Peer) -> Option<Sender> {
        let resource = Arc::new(Resource::new(vec![
            KeyValue::new("container.id", "c1"),
            KeyValue::new("host.name", "node-7"),
            KeyValue::new("os.type", "linux"),
        ]));
        Some(Sender { pid: 7, resource: resource.clone(), instance: resource })
    }
}

async fn rig(acknowledge: Acknowledge, senders: Arc<dyn Senders>, queue: usize) -> Rig {
    rig_of(OtlpReceiverSettings { acknowledge, ..Default::default() }, senders, queue).await
}

async fn rig_of(settings: OtlpReceiverSettings, senders: Arc<dyn Senders>, queue: usize) -> Rig {
    let mon = SelfMon::new(BuildInfo::default());
    let sink = OtlpSink::start().await.unwrap();
    let exporter = exporter("out", &format!("http://{}", sink.addr()), Protocol::Grpc, Compression::None);
    let config = SinkConfig {
        batch: BatchConfig { timeout: Duration::from_millis(20), ..BatchConfig::default() },
        queue: QueueConfig { max_size: queue, when_full: WhenFull::Block },
        ..SinkConfig::default()
    };
    let pipeline =
        Pipeline::start(PipelineConfig::default(), vec![(Arc::new(exporter) as Arc<dyn Sink>, config)], &mon)
            .unwrap();
    let any = || Some(HostPort { host: "127.0.0.1".to_owned(), port: 0 });
    let settings = OtlpReceiverSettings { grpc: any(), http: any(), ..settings };
    let receiver = OtlpReceiver::new(&settings, pipeline.input(), 64 << 20, senders, &mon).unwrap();
    let receiving = receiver.start().await.unwrap();
    Rig { mon, sink, receiving, _pipeline: pipeline }
}

async fn plain_rig() -> Rig {
    rig(Acknowledge::Memory, Arc::new(telegen_receive::NoSenders), 32 << 20).await
}

fn exporter(name: &str, url: &str, protocol: Protocol, compression: Compression) -> Exporter {
    let endpoint = Endpoint { url: url.to_owned(), exact: false };
    let target = OtlpTarget { endpoint, protocol, compression, ..OtlpTarget::default() };
    Exporter::new(&OtlpConfig {
        name: name.to_owned(),
        signals: SignalSet::ALL,
        target,
        overrides: Default::default(),
    })
    .unwrap()
}

fn batch(signal: Signal, n: u64) -> Arc<Batch> {
    let records = match signal {
        Signal::Traces => Records::Spans(vec![records::full_span(), records::span(n)]),
        Signal::Metrics => Records::Metrics(records::metrics()),
        _ => Records::Logs(vec![records::log(n)]),
    };
    Arc::new(Batch::new(signal, vec![records::group(&records::resource("shop"), records)]))
}

const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

#[tokio::test(flavor = "multi_thread")]
async fn every_signal_arrives_unchanged_by_every_protocol_and_packing() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let rig = plain_rig().await;
            let to = if protocol == Protocol::Grpc { rig.receiving.grpc } else { rig.receiving.http };
            let sender = exporter("in", &format!("http://{}", to.unwrap()), protocol, compression);
            for signal in SIGNALS {
                let batch = batch(signal, 3);
                assert_eq!(
                    sender.send(batch.clone()).await,
                    Outcome::Delivered,
                    "{protocol:?} {compression:?}"
                );
                assert!(rig.sink.wait_taken(signal, batch.items).await);
                let got: Vec<_> =
                    rig.sink.groups().into_iter().filter(|g| g.records.signal() == signal).collect();
                let want: Vec<_> = batch.groups.iter().map(|g| g.as_ref().clone()).collect();
                assert_eq!(got, want, "{protocol:?} {compression:?}");
                let ledger = rig.mon.ledger.snapshot().signal(signal);
                assert_eq!(ledger.produced_by_source["otlp"], batch.items as u64);
            }
            assert_eq!(rig.sink.faults(), Vec::<String>::new());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_comes_twice_is_taken_once() {
    let rig = plain_rig().await;
    let sender =
        exporter("in", &format!("http://{}", rig.receiving.grpc.unwrap()), Protocol::Grpc, Compression::None);
    let twice = batch(Signal::Logs, 1);
    for _ in 0..2 {
        assert_eq!(sender.send(twice.clone()).await, Outcome::Delivered);
    }
    assert_eq!(sender.send(batch(Signal::Logs, 2)).await, Outcome::Delivered);
    assert!(rig.sink.wait_taken(Signal::Logs, 2).await);
    assert_eq!(rig.mon.ledger.snapshot().signal(Signal::Logs).produced, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_resource_is_completed_by_what_the_kernel_knows() {
    let rig = rig(Acknowledge::Memory, Arc::new(Container), 32 << 20).await;
    let sender =
        exporter("in", &format!("http://{}", rig.receiving.grpc.unwrap()), Protocol::Grpc, Compression::None);
    assert_eq!(sender.send(batch(Signal::Logs, 1)).await, Outcome::Delivered);
    assert!(rig.sink.wait_taken(Signal::Logs, 1).await);
    let resource = rig.sink.groups()[0].resource.clone();
    let said = ["service.name", "container.id", "host.name", "os.type"]
        .map(|k| resource.text(k).unwrap_or("-").to_owned());
    assert_eq!(said, ["shop", "c1", "node-7", "linux"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_is_told_when_the_peer_took_it_and_not_before() {
    let rig = rig(Acknowledge::Delivered, Arc::new(telegen_receive::NoSenders), 32 << 20).await;
    rig.sink.script([Reply::Slow(Duration::from_millis(400))]);
    let sender =
        exporter("in", &format!("http://{}", rig.receiving.grpc.unwrap()), Protocol::Grpc, Compression::None);
    assert_eq!(sender.send(batch(Signal::Logs, 1)).await, Outcome::Delivered);
    assert_eq!(rig.sink.taken(Signal::Logs), 1, "it was there before the answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_with_a_time_to_come_again_and_counts_nothing_as_produced() {
    let rig = rig(Acknowledge::Memory, Arc::new(telegen_receive::NoSenders), 64 << 10).await;
    rig.sink.always(Reply::Hang);
    let second = Some(Duration::from_secs(1));
    for (protocol, to) in [(Protocol::Grpc, rig.receiving.grpc), (Protocol::HttpProtobuf, rig.receiving.http)]
    {
        let sender = exporter("in", &format!("http://{}", to.unwrap()), protocol, Compression::None);
        let mut accepted = 0;
        let outcome = loop {
            match sender.send(batch(Signal::Traces, accepted)).await {
                Outcome::Delivered => accepted += 1,
                other => break other,
            }
        };
        assert_eq!(outcome, Outcome::Retry { after: second }, "{protocol:?}");
    }
    let ledger = rig.mon.ledger.snapshot().signal(Signal::Traces);
    assert_eq!((ledger.produced, ledger.lost_at("export:out")), (ledger.in_flight, 0));
    assert!(ledger.produced > 10);
    let ready = rig.mon.health.ready();
    assert!(ready.reasons.iter().any(|r| r.component == "export:out"), "{ready:?}");
}

/// One HTTP/1.1 request; gives the status.
async fn post(to: SocketAddr, path: &str, headers: &str, body: &[u8]) -> u16 {
    let mut tcp = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    tcp.write_all(head.as_bytes()).await.unwrap();
    // A refusal may come before the end of the body.
    let _cut = tcp.write_all(body).await;
    let mut answer = Vec::new();
    let _reset = tcp.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    text.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0)
}

const PROTOBUF: &str = "content-type: application/x-protobuf\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_refused_as_the_specification_says() {
    let rig = plain_rig().await;
    let to = rig.receiving.http.unwrap();
    let good = batch(Signal::Traces, 1).encoded().to_vec();
    let gzip = {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(&vec![0; 40 << 20]).unwrap();
        e.finish().unwrap()
    };
    let deep = format!(r#"{{"resourceSpans":{}"#, "[".repeat(10_000));
    let json = "content-type: application/json\r\n";
    let cases: [(&str, &str, &[u8], u16); 12] = [
        ("/v1/traces", PROTOBUF, &good, 200),
        ("/v1/traces", PROTOBUF, b"", 200),
        ("/v1/traces", PROTOBUF, &good[..good.len() - 1], 400),
        ("/v1/traces", PROTOBUF, b"\x0a\xff\xff\xff\xff\x0f", 400),
        ("/v1/traces", json, deep.as_bytes(), 400),
        ("/v1/traces", json, b"{}", 200),
        ("/v1/traces", "content-type: text/plain\r\n", &good, 415),
        ("/v1/none", PROTOBUF, &good, 404),
        ("/v1/traces", "content-type: application/x-protobuf\r\ncontent-encoding: br\r\n", &good, 415),
        ("/v1/traces", "content-type: application/x-protobuf\r\ncontent-encoding: gzip\r\n", &good, 400),
        ("/v1/traces", "content-type: application/x-protobuf\r\ncontent-encoding: gzip\r\n", &gzip, 413),
        ("/v1/traces", "content-type: application/x-protobuf; charset=utf-8\r\n", &good, 200),
    ];
    for (path, headers, body, want) in cases {
        assert_eq!(post(to, path, headers, body).await, want, "{path} {headers:?} {} bytes", body.len());
    }
    let mut tcp = TcpStream::connect(to).await.unwrap();
    tcp.write_all(b"GET /v1/traces HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.to_lowercase().contains("allow: post"), "{answer}");
    assert_eq!(
        post(to, "/v1/traces", &format!("{PROTOBUF}x: {}\r\n", "y".repeat(100_000)), &good).await,
        431
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nothing_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "s3cret\n").unwrap();
    let mon = SelfMon::new(BuildInfo::default());
    let pipeline = Pipeline::start(PipelineConfig::default(), Vec::new(), &mon).unwrap();
    let settings = OtlpReceiverSettings {
        http: Some(HostPort { host: "127.0.0.1".to_owned(), port: 0 }),
        auth: Some(telegen_server::settings::AuthSettings { token_file }),
        ..Default::default()
    };
    let receiver =
        OtlpReceiver::new(&settings, pipeline.input(), 1 << 20, Arc::new(telegen_receive::NoSenders), &mon)
            .unwrap();
    let receiving = receiver.start().await.unwrap();
    let to = receiving.http.unwrap();
    let good = batch(Signal::Logs, 1).encoded().to_vec();
    assert_eq!(post(to, "/v1/logs", PROTOBUF, &good).await, 401);
    assert_eq!(post(to, "/v1/logs", &format!("{PROTOBUF}authorization: Bearer wrong\r\n"), &good).await, 401);
    assert_eq!(
        post(to, "/v1/logs", &format!("{PROTOBUF}authorization: Bearer s3cret\r\n"), &good).await,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_idle_connections_leave_room_for_others() {
    use rustix::process::{Resource as Limit, Rlimit, getrlimit, setrlimit};
    let files = getrlimit(Limit::Nofile);
    setrlimit(Limit::Nofile, Rlimit { current: files.maximum, ..files }).unwrap();
    let rig = plain_rig().await;
    let to = rig.receiving.http.unwrap();
    let mut idle = Vec::new();
    for _ in 0..2000 {
        idle.push(TcpStream::connect(to).await.unwrap());
    }
    let good = batch(Signal::Logs, 1).encoded().to_vec();
    assert_eq!(post(to, "/v1/logs", PROTOBUF, &good).await, 200);
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mutation_of_a_request_does_harm_and_every_answer_is_the_right_one() {
    let rig = plain_rig().await;
    let to = rig.receiving.http.unwrap();
    let good = encode_request(&[records::group(
        &records::resource("shop"),
        Records::Spans(vec![records::full_span(), records::span(1)]),
    )])
    .to_vec();
    let mut random = fastrand::Rng::with_seed(7);
    let mut connection = Connection::open(to).await;
    let (mut taken, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] ^= 1 << random.u8(..8),
                1 => bytes[at] = random.u8(..),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, random.u8(..)),
            }
        }
        let status = connection.post("/v1/traces", &bytes).await;
        // What another implementation reads is taken; it is laxer with groups, which no field of OTLP is.
        let theirs = ExportTraceServiceRequest::decode(Bytes::from(bytes.clone())).is_ok();
        match status {
            200 => taken += 1,
            400 => refused += 1,
            other => panic!("round {round}: {other}"),
        }
        if status == 200 {
            assert!(theirs, "round {round}: taken, but no reader could use it");
        }
    }
    assert!(taken > 1000 && refused > 5000, "{taken} {refused}");
    assert_eq!(connection.post("/v1/traces", &good).await, 200);
}

/// A connection that is kept.
struct Connection(tokio::io::BufReader<TcpStream>);

impl Connection {
    async fn open(to: SocketAddr) -> Connection {
        let tcp = TcpStream::connect(to).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        Connection(tokio::io::BufReader::new(tcp))
    }

    async fn post(&mut self, path: &str, body: &[u8]) -> u16 {
        use tokio::io::AsyncBufReadExt;
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\n{PROTOBUF}content-length: {}\r\n\r\n", body.len());
        self.0.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(n) = line.strip_prefix("content-length: ") {
                length = n.parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        status
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_rate_is_refused_with_a_time_to_come_again() {
    let rate = Some(telegen_config::Rate::per_second(4));
    let settings = OtlpReceiverSettings { rate, ..Default::default() };
    let rig = rig_of(settings, Arc::new(telegen_receive::NoSenders), 32 << 20).await;
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let to = if protocol == Protocol::Grpc { rig.receiving.grpc } else { rig.receiving.http };
        let sender = exporter("in", &format!("http://{}", to.unwrap()), protocol, Compression::None);
        // Twelve at once are three seconds' worth, one of which was free.
        let logs = Records::Logs((0..12).map(records::log).collect());
        let many = Arc::new(Batch::new(Signal::Logs, vec![records::group(&records::resource("shop"), logs)]));
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        while sender.send(many.clone()).await != Outcome::Delivered {
            assert!(tokio::time::Instant::now() < end, "it is never taken");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        match sender.send(batch(Signal::Logs, 50)).await {
            Outcome::Retry { after: Some(after) } => {
                assert!((Duration::from_millis(1000)..Duration::from_secs(4)).contains(&after), "{after:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    // What was refused was never produced.
    assert_eq!(rig.mon.ledger.snapshot().signal(Signal::Logs).produced_by_source["otlp"], 24);
}
