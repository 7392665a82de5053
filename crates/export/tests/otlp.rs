//! The OTLP exporter against a receiver that answers as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is wrong")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use telegen_export::{
    Compression, Endpoint, OtherPeer, OtlpConfig, OtlpSink, OtlpTarget, Protocol, Spread, TlsConfig,
};
use telegen_model::{Records, ResourceGroup, Secret, Signal};
use telegen_pipeline::{Batch, Outcome, SignalSet, Sink};
use telegen_testkit::{Reply, records, sink};

const PROTOCOLS: [(Protocol, &str); 3] =
    [(Protocol::Grpc, "grpc"), (Protocol::HttpProtobuf, "http/protobuf"), (Protocol::HttpJson, "http/json")];

fn target(endpoint: String, protocol: Protocol) -> OtlpTarget {
    let endpoint = Endpoint { url: endpoint, exact: false };
    OtlpTarget { endpoint, protocol, timeout: Duration::from_secs(20), ..OtlpTarget::default() }
}

fn exporter(target: OtlpTarget) -> OtlpSink {
    let name = "otlp".to_string();
    OtlpSink::new(&OtlpConfig { name, signals: SignalSet::ALL, target, overrides: BTreeMap::new() }).unwrap()
}

fn batch(records: Records) -> Arc<Batch> {
    let signal = records.signal();
    Arc::new(Batch::new(signal, vec![records::group(&records::resource("shop"), records)]))
}

fn spans(n: u64) -> Arc<Batch> {
    batch(Records::Spans((0..n).map(records::span).collect()))
}

#[tokio::test]
async fn what_is_sent_arrives_field_by_field_in_every_protocol_and_compression() {
    for (protocol, name) in PROTOCOLS {
        for (compression, encoding) in
            [(Compression::None, "identity"), (Compression::Gzip, "gzip"), (Compression::Zstd, "zstd")]
        {
            let peer = sink::OtlpSink::start().await.unwrap();
            let to = exporter(OtlpTarget { compression, ..target(peer.endpoint(), protocol) });
            let mut sent = Vec::new();
            for records in [
                Records::Spans(vec![records::span(1), records::full_span(), records::http_span(2)]),
                Records::Metrics(records::metrics()),
                Records::Logs(vec![records::log(1), records::log(2)]),
            ] {
                let batch = batch(records);
                assert_eq!(to.send(batch.clone()).await, Outcome::Delivered, "{name} {encoding}");
                sent.extend(batch.groups.iter().map(|g| ResourceGroup::clone(g)));
            }
            assert_eq!(peer.groups(), sent, "{name} {encoding}");
            let requests = peer.requests();
            let seen: Vec<_> =
                requests.iter().map(|r| (r.signal, r.protocol, r.encoding.as_str(), r.items)).collect();
            let want = [(Signal::Traces, 3), (Signal::Metrics, 8), (Signal::Logs, 2)];
            assert_eq!(seen, want.map(|(signal, items)| (signal, name, encoding, items)));
            assert_eq!(peer.faults(), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn headers_go_with_every_request_and_the_batch_keeps_its_name() {
    for (protocol, name) in PROTOCOLS {
        let peer = sink::OtlpSink::start().await.unwrap();
        let headers = vec![
            ("authorization".to_string(), Secret::new("Bearer t")),
            ("x-a".to_string(), Secret::new("1")),
        ];
        let to = exporter(OtlpTarget { headers, ..target(peer.endpoint(), protocol) });
        peer.script([Reply::Reset]);
        let batch = spans(1);
        assert_eq!(to.send(batch.clone()).await, Outcome::Retry { after: None }, "{name}");
        assert_eq!(to.send(batch).await, Outcome::Delivered, "{name}");
        assert_eq!(to.send(spans(1)).await, Outcome::Delivered, "{name}");
        let requests = peer.requests();
        let ids: Vec<_> = requests.iter().map(|r| r.headers["telegen-batch-id"].clone()).collect();
        assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
        for r in &requests {
            assert_eq!(
                (&r.headers["authorization"], &r.headers["x-a"]),
                (&"Bearer t".parse().unwrap(), &"1".parse().unwrap())
            );
            assert!(r.headers["user-agent"].to_str().unwrap().starts_with("telegen/"));
        }
    }
}

#[tokio::test]
async fn answers_over_grpc_mean_what_the_specification_says() {
    let peer = sink::OtlpSink::start().await.unwrap();
    let to = exporter(target(peer.endpoint(), Protocol::Grpc));
    let second = Some(Duration::from_secs(1));
    let grpc = |code, message: &str, retry_info, at_once| Reply::Grpc {
        code,
        message: message.to_string(),
        retry_info,
        at_once,
    };
    let lost = |reason: &'static str| Outcome::Lost { n: 5, reason: reason.into() };
    let partial = |rejected| Reply::Partial { rejected, message: "m\u{1b}é%".to_string() };
    for (reply, want) in [
        (Reply::Ok, Outcome::Delivered),
        (partial(2), Outcome::Rejected { n: 2 }),
        (partial(0), Outcome::Delivered),
        (partial(-1), Outcome::Delivered),
        (partial(99), Outcome::Rejected { n: 5 }),
        (grpc(14, "busy %é\n", None, true), Outcome::Retry { after: None }),
        (grpc(14, "busy", None, false), Outcome::Retry { after: None }),
        (grpc(14, "busy", second, false), Outcome::Retry { after: second }),
        (grpc(8, "quota", None, true), lost("grpc_8")),
        (grpc(8, "quota", second, true), Outcome::Retry { after: second }),
        (grpc(8, "quota", second, false), Outcome::Retry { after: second }),
        (grpc(3, "bad", None, true), lost("grpc_3")),
        (grpc(16, "who", None, false), lost("grpc_16")),
        (Reply::AtMost(4), Outcome::TooLarge),
        (Reply::AtMost(5), Outcome::Delivered),
        (Reply::Http { status: 503, retry_after: None }, Outcome::Retry { after: None }),
        (Reply::Http { status: 404, retry_after: None }, lost("grpc_12")),
        (Reply::Http { status: 200, retry_after: None }, lost("grpc_2")),
        (Reply::Oversized((4 << 20) - 64), Outcome::Delivered),
        (Reply::Oversized(4 << 20), lost("response_too_large")),
        (Reply::Reset, Outcome::Retry { after: None }),
    ] {
        peer.script([reply.clone()]);
        assert_eq!(to.send(spans(5)).await, want, "{reply:?}");
    }
}

#[tokio::test]
async fn answers_over_http_mean_what_the_specification_says() {
    for (protocol, name) in &PROTOCOLS[1..] {
        let peer = sink::OtlpSink::start().await.unwrap();
        let to = exporter(target(peer.endpoint(), *protocol));
        let http = |status, retry_after: Option<&str>| Reply::Http {
            status,
            retry_after: retry_after.map(str::to_string),
        };
        let lost = |reason: &'static str| Outcome::Lost { n: 5, reason: reason.into() };
        let partial = |rejected| Reply::Partial { rejected, message: "m".to_string() };
        let past = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        for (reply, want) in [
            (Reply::Ok, Outcome::Delivered),
            (partial(2), Outcome::Rejected { n: 2 }),
            (partial(0), Outcome::Delivered),
            (http(503, None), Outcome::Retry { after: None }),
            (http(503, Some("7")), Outcome::Retry { after: Some(Duration::from_secs(7)) }),
            (http(429, past), Outcome::Retry { after: Some(Duration::ZERO) }),
            (http(500, Some("7")), lost("http_500")),
            (http(400, None), lost("http_400")),
            (http(301, None), lost("http_301")),
            (http(204, None), Outcome::Delivered),
            (Reply::AtMost(4), Outcome::TooLarge),
            (Reply::Oversized(4 << 20), lost("response_too_large")),
            (Reply::Reset, Outcome::Retry { after: None }),
        ] {
            peer.script([reply.clone()]);
            assert_eq!(to.send(spans(5)).await, want, "{name} {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_peer_that_does_not_answer_is_left_after_the_timeout() {
    for (protocol, name) in PROTOCOLS {
        let peer = sink::OtlpSink::start().await.unwrap();
        let to =
            exporter(OtlpTarget { timeout: Duration::from_millis(200), ..target(peer.endpoint(), protocol) });
        peer.script([Reply::Hang]);
        assert_eq!(to.send(spans(1)).await, Outcome::Retry { after: None }, "{name}");
        assert_eq!(to.send(spans(1)).await, Outcome::Delivered, "{name}");
    }
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_tried_again_and_found_when_it_comes_back() {
    for (protocol, name) in PROTOCOLS {
        let mut peer = sink::OtlpSink::start().await.unwrap();
        let (addr, to) = (peer.addr(), exporter(target(peer.endpoint(), protocol)));
        assert_eq!(to.send(spans(1)).await, Outcome::Delivered, "{name}");
        peer.stop().await;
        assert_eq!(to.send(spans(1)).await, Outcome::Retry { after: None }, "{name}");
        let peer = sink::OtlpSink::start_at(addr).await.unwrap();
        assert_eq!(to.send(spans(2)).await, Outcome::Delivered, "{name}");
        assert_eq!(peer.taken(Signal::Traces), 2);
    }
}

#[tokio::test]
async fn tls_trusts_only_whom_it_is_told_to_trust() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (ours, others) =
        (telegen_testkit::tls::Authority::new().unwrap(), telegen_testkit::tls::Authority::new().unwrap());
    let (ca, other_ca) = (Some(write("ca", &ours.pem())), Some(write("other", &others.pem())));
    let client = ours.issue("client").unwrap();
    let (cert, key) = (Some(write("cert", &client.cert)), Some(write("key", &client.key)));
    let open = sink::OtlpSink::start_tls(ours.server("127.0.0.1", false).unwrap()).await.unwrap();
    let closed = sink::OtlpSink::start_tls(ours.server("127.0.0.1", true).unwrap()).await.unwrap();
    let misnamed = sink::OtlpSink::start_tls(ours.server("elsewhere.example", false).unwrap()).await.unwrap();
    let trusting = TlsConfig { ca: ca.clone(), ..TlsConfig::default() };
    let known = TlsConfig { cert, key, ..trusting.clone() };
    let blind = TlsConfig { insecure_skip_verify: true, ..TlsConfig::default() };
    let mistaken = TlsConfig { ca: other_ca, ..TlsConfig::default() };
    let (yes, no) = (Outcome::Delivered, Outcome::Retry { after: None });
    for (protocol, name) in PROTOCOLS {
        for (case, peer, tls, want) in [
            ("its own authority", &open, &trusting, &yes),
            ("another authority", &open, &mistaken, &no),
            ("no check", &open, &blind, &yes),
            ("another name", &misnamed, &trusting, &no),
            ("another name, no check", &misnamed, &blind, &yes),
            ("no certificate of its own", &closed, &trusting, &no),
            ("a certificate of its own", &closed, &known, &yes),
        ] {
            let to = exporter(OtlpTarget { tls: tls.clone(), ..target(peer.endpoint(), protocol) });
            assert_eq!(to.send(spans(1)).await, *want, "{name}: {case}");
        }
    }
}

#[tokio::test]
async fn tls_files_that_cannot_be_used_are_named_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (missing, empty) = (dir.path().join("missing"), dir.path().join("empty"));
    std::fs::write(&empty, "").unwrap();
    let fails = |tls: TlsConfig| {
        let target = OtlpTarget { tls, ..target("https://127.0.0.1:1".to_string(), Protocol::Grpc) };
        let config =
            OtlpConfig { name: "otlp".into(), signals: SignalSet::ALL, target, overrides: BTreeMap::new() };
        OtlpSink::new(&config).unwrap_err().to_string()
    };
    let ca = |path: &std::path::Path| TlsConfig { ca: Some(path.to_path_buf()), ..TlsConfig::default() };
    assert!(fails(ca(&missing)).starts_with(&format!("{}: ", missing.display())));
    assert_eq!(fails(ca(&empty)), format!("{}: holds no certificate in PEM form", empty.display()));
    for path in ["/dev/zero", "/"].map(std::path::Path::new) {
        assert_eq!(fails(ca(path)), format!("{}: it is no regular file", path.display()));
    }
    let half = TlsConfig { cert: Some(empty), insecure_skip_verify: true, ..TlsConfig::default() };
    assert_eq!(fails(half), "tls: `cert` and `key` go together");
}

#[tokio::test]
async fn a_signal_with_settings_of_its_own_goes_its_own_way() {
    let (a, b) = (sink::OtlpSink::start().await.unwrap(), sink::OtlpSink::start().await.unwrap());
    let exact = Endpoint { url: format!("{}/own/path/metrics", b.endpoint()), exact: true };
    let own = OtlpTarget { endpoint: exact, ..target(String::new(), Protocol::HttpProtobuf) };
    let to = OtlpSink::new(&OtlpConfig {
        name: "otlp".to_string(),
        signals: SignalSet::ALL,
        target: target(a.endpoint(), Protocol::Grpc),
        overrides: BTreeMap::from([(Signal::Metrics, own)]),
    })
    .unwrap();
    assert!(!to.needs_records());
    assert_eq!(to.send(spans(1)).await, Outcome::Delivered);
    assert_eq!(to.send(batch(Records::Metrics(records::metrics()))).await, Outcome::Delivered);
    assert_eq!((a.taken(Signal::Traces), a.taken(Signal::Metrics)), (1, 0));
    assert_eq!((b.taken(Signal::Traces), b.taken(Signal::Metrics)), (0, 8));
}

#[tokio::test]
async fn another_peer_takes_what_the_first_cannot_and_the_first_is_asked_again_later() {
    let mut peers = Vec::new();
    for _ in 0..2 {
        peers.push(sink::OtlpSink::start().await.unwrap());
    }
    let other = |url: String, name: &str| OtherPeer {
        endpoint: Endpoint { url, exact: false },
        headers: vec![("x-to".to_string(), Secret::new(name))],
    };
    for spread in [Spread::Failover, Spread::Balance] {
        let others = vec![other("http://127.0.0.1:1".into(), "none"), other(peers[1].endpoint(), "b")];
        let to = exporter(OtlpTarget { others, spread, ..target(peers[0].endpoint(), Protocol::Grpc) });
        let before: Vec<usize> = peers.iter().map(|p| p.requests().len()).collect();
        let seen =
            || std::iter::zip(&peers, &before).map(|(p, b)| p.requests().len() - b).collect::<Vec<_>>();
        if spread == Spread::Balance {
            // Of three in turn one is not there: its turn goes to the next, and then it is left alone.
            for _ in 0..6 {
                assert_eq!(to.send(spans(1)).await, Outcome::Delivered);
            }
            assert_eq!(seen().iter().sum::<usize>(), 6);
            assert!(seen().iter().all(|n| *n >= 2), "{:?}", seen());
            continue;
        }
        assert_eq!(to.send(spans(1)).await, Outcome::Delivered);
        assert_eq!(seen(), [1, 0]);
        let busy = Reply::Http { status: 503, retry_after: None };
        peers[0].script([busy.clone()]);
        let batch = spans(1);
        assert_eq!(to.send(batch.clone()).await, Outcome::Delivered);
        assert_eq!(to.send(spans(1)).await, Outcome::Delivered);
        assert_eq!(seen(), [2, 2]);
        let (first, second) = (peers[0].requests(), peers[1].requests());
        assert_eq!(first[1].headers["telegen-batch-id"], second[0].headers["telegen-batch-id"]);
        assert_eq!((first[1].headers.get("x-to"), &second[0].headers["x-to"]), (None, &"b".parse().unwrap()));
        // An answer for good is one, whoever gives it.
        peers[1].script([Reply::Http { status: 400, retry_after: None }]);
        assert!(matches!(to.send(spans(1)).await, Outcome::Lost { .. }));
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(to.send(spans(1)).await, Outcome::Delivered);
        assert_eq!(seen(), [3, 3]);
        // Nobody can: it is tried again by the one who asked, at the earliest time that was named.
        let later = |s: &str| Reply::Http { status: 503, retry_after: Some(s.to_owned()) };
        peers[0].script([later("9")]);
        peers[1].script([later("7")]);
        let outcome = to.send(spans(1)).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    }
}
