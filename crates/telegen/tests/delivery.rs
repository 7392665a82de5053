//! The program between a sender and a peer: killed, reloaded, full, and without its peer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Telegen, batch, counts, exporter, get, ledger, long, port, send, wait};
use telegen_model::Signal;
use telegen_pipeline::{Outcome, Sink};
use telegen_testkit::records::field;
use telegen_testkit::sink::{OtlpSink, Reply};

struct Setup {
    dir: tempfile::TempDir,
    otlp: u16,
    own: u16,
}

impl Setup {
    fn new(sink: SocketAddr, acknowledge: &str, queue: &str) -> Setup {
        let setup = Setup { dir: tempfile::tempdir().unwrap(), otlp: port(), own: port() };
        setup.write(sink, acknowledge, queue);
        setup
    }

    fn write(&self, sink: SocketAddr, acknowledge: &str, queue: &str) {
        let path = self.dir.path().join("queue");
        let queue =
            if queue == "memory" { String::new() } else { format!("path: {}, {queue}", path.display()) };
        let text = format!(
            "server: {{ listen: 127.0.0.1:{} }}\n\
             receive: {{ otlp: {{ grpc: 127.0.0.1:{}, acknowledge: {acknowledge} }} }}\n\
             export:\n  otlp:\n    endpoint: http://{sink}\n    compression: none\n    timeout: 5s\n    \
             retry: {{ initial: 50ms, max: 200ms }}\n    batch: {{ timeout: 50ms }}\n    queue: {{ {queue} }}\n",
            self.own, self.otlp
        );
        // As a configuration manager does it: whole, or not at all.
        let (file, new) = (self.config(), self.dir.path().join("new.yaml"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    fn config(&self) -> std::path::PathBuf {
        self.dir.path().join("telegen.yaml")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_loses_nothing_that_it_acknowledged_as_fsynced() {
    let (records, size, kills) = if long() { (1_000_000u64, 500u64, 100) } else { (30_000, 100, 6) };
    let sink = OtlpSink::start().await.unwrap();
    let setup = Setup::new(sink.addr(), "fsynced", "fsync: 10ms");
    let mut telegen = Telegen::start(&setup.config());
    let to = Arc::new(exporter(setup.otlp));
    let (next, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (to, next) = (to.clone(), next.clone());
        senders.spawn(async move {
            loop {
                let from = next.fetch_add(size, Ordering::SeqCst);
                if from >= records {
                    return;
                }
                send(&to, batch(from..from + size)).await;
            }
        });
    }
    let finished = done.clone();
    let sending = tokio::spawn(async move {
        while senders.join_next().await.is_some() {}
        finished.store(true, Ordering::SeqCst);
    });
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.u64(50..400))).await;
        let config = setup.config();
        telegen = tokio::task::spawn_blocking(move || {
            telegen.kill();
            Telegen::start(&config)
        })
        .await
        .unwrap();
    }
    sending.await.unwrap();
    assert!(done.load(Ordering::SeqCst));
    wait("everything arrives", || sink.taken(Signal::Logs) as u64 >= records);
    wait("the queue is empty", || ledger(setup.own)["in_flight"] == 0);
    let counts = counts(&sink, records);
    let missing = counts.iter().filter(|n| **n == 0).count();
    let doubles: u64 = counts.iter().map(|n| u64::from(n.saturating_sub(1))).sum();
    // Twice comes what was sent and not yet recorded as taken, or not yet acknowledged to the sender, at a kill.
    eprintln!("{records} records, {kills} kills: {missing} missing, {doubles} twice");
    assert_eq!(missing, 0);
    assert!(doubles < kills * size * 4 * 30, "{doubles}");
    assert_eq!(telegen.stop(), Some(0));
}

/// Load while nothing listens where the peer should be, then the peer; gives (sent, lost, delivered).
async fn away(queue: &str, load: Duration) -> (u64, u64, u64) {
    const SIZE: u64 = 200;
    let peer: SocketAddr = ([127, 0, 0, 1], port()).into();
    let setup = Setup::new(peer, "memory", queue);
    let telegen = Telegen::start(&setup.config());
    let (to, end) = (exporter(setup.otlp), Instant::now() + load);
    let mut sent = 0;
    while sent < 20_000 || Instant::now() < end {
        send(&to, batch(sent..sent + SIZE)).await;
        sent += SIZE;
        if long() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    wait("all of it is on its way", || ledger(setup.own)["produced"] == sent);
    let before = ledger(setup.own);
    assert_eq!(before["delivered"].get("otlp").and_then(|n| n.as_u64()).unwrap_or(0), 0, "{before}");
    let sink = OtlpSink::start_at(peer).await.unwrap();
    let end = Instant::now() + Duration::from_secs(300);
    while ledger(setup.own)["in_flight"] != 0 {
        assert!(Instant::now() < end, "it never comes to rest: {}", ledger(setup.own));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let ledger = ledger(setup.own);
    let reasons = ledger["lost"].get("export:otlp").cloned().unwrap_or_else(|| serde_json::json!({}));
    let lost = reasons.get("queue_full").and_then(|n| n.as_u64()).unwrap_or(0);
    assert_eq!(reasons.as_object().unwrap().len(), usize::from(lost > 0), "only for this reason: {ledger}");
    let delivered = ledger["delivered"]["otlp"].as_u64().unwrap();
    let counts = counts(&sink, sent);
    assert_eq!(counts.iter().filter(|n| **n > 0).count() as u64, delivered);
    assert!(counts.iter().all(|n| *n <= 1));
    assert_eq!(telegen.stop(), Some(0));
    (sent, lost, delivered)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_away_costs_nothing_within_the_queue_and_what_is_beyond_is_counted() {
    let (load, large) = if long() { (Duration::from_secs(600), "1GiB") } else { (Duration::ZERO, "64MiB") };
    let small = if long() { "16MiB" } else { "1MiB" };
    let (large, small) = (format!("max_size: {large}"), format!("max_size: {small}"));
    let ((sent, lost, delivered), beyond) = tokio::join!(away(&large, load), away(&small, load));
    eprintln!("{} s away: {sent} records, {lost} lost; beyond a small queue: {beyond:?}", load.as_secs());
    assert_eq!((lost, delivered), (0, sent));
    let (sent, lost, delivered) = beyond;
    assert!(lost > 0 && delivered > 0);
    assert_eq!(lost + delivered, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_at_the_end_is_said() {
    let sink = OtlpSink::start().await.unwrap();
    sink.always(Reply::Http { status: 503, retry_after: None });
    let setup = Setup::new(sink.addr(), "memory", "memory");
    let telegen = Telegen::start(&setup.config());
    send(&exporter(setup.otlp), batch(0..500)).await;
    let (code, said) = telegen.stop_saying();
    assert_eq!(code, Some(0));
    let told: Vec<_> = said.lines().filter(|l| l.contains("lost at shutdown: ")).collect();
    assert!(told.len() == 1 && told[0].contains(": 500 logs (export:otlp, shutdown)"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_request_is_sent_again_is_said_and_an_absurd_wish_is_bounded() {
    let sink = OtlpSink::start().await.unwrap();
    let retry_info = Some(Duration::MAX);
    sink.always(Reply::Grpc { code: 14, message: String::new(), retry_info, at_once: true });
    let setup = Setup::new(sink.addr(), "memory", "memory");
    let telegen = Telegen::start(&setup.config());
    send(&exporter(setup.otlp), batch(0..5)).await;
    telegen.wait_said("the request will be sent again in ");
    let said = telegen.said();
    let (_, wait) = said.split_once("the request will be sent again in ").unwrap();
    let seconds: f64 = wait.split(' ').next().unwrap().parse().unwrap();
    assert!((300.0..331.0).contains(&seconds), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_on_disk_is_said_at_the_end_and_is_recovered() {
    let sink = OtlpSink::start().await.unwrap();
    sink.always(Reply::Http { status: 503, retry_after: None });
    let setup = Setup::new(sink.addr(), "written", "fsync: 10ms");
    let telegen = Telegen::start(&setup.config());
    send(&exporter(setup.otlp), batch(0..500)).await;
    // Another process on the same queue is told so.
    let own = port();
    let second = Command::new(env!("CARGO_BIN_EXE_telegen"))
        .args([
            "collector",
            "--set",
            &format!("server.listen=127.0.0.1:{own}"),
            "--set",
            "receive={}",
            "--config",
        ])
        .arg(setup.config())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    let folder = setup.dir.path().join("queue");
    assert!(said.contains(folder.to_str().unwrap()) && said.contains("another process"), "{said}");
    let inspected =
        Command::new(env!("CARGO_BIN_EXE_telegen")).args(["queue", "inspect"]).arg(&folder).output().unwrap();
    let table = String::from_utf8(inspected.stdout).unwrap();
    assert!(inspected.status.success() && table.contains("(500 items)"), "{table}");
    let (code, said) = telegen.stop_saying();
    assert_eq!(code, Some(0));
    assert!(said.contains("left in the queue on disk: 500 logs"), "{said}");
    sink.always(Reply::Ok);
    let telegen = Telegen::start(&setup.config());
    wait("it arrives", || sink.taken(Signal::Logs) == 500);
    wait("it is counted", || ledger(setup.own)["delivered"]["otlp"] == 500);
    let metrics = get(setup.own, "/metrics");
    assert!(
        metrics.contains("telegen_produced_total{signal=\"logs\",source=\"recovered\"} 500"),
        "{metrics}"
    );
    assert_eq!(telegen.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn reloaded_under_load_with_good_and_broken_files_it_loses_nothing() {
    let rounds = if long() { 100 } else { 10 };
    for queue in ["memory", "fsync: 20ms"] {
        let sinks = [OtlpSink::start().await.unwrap(), OtlpSink::start().await.unwrap()];
        let setup = Setup::new(sinks[0].addr(), "memory", queue);
        let telegen = Telegen::start(&setup.config());
        let to = Arc::new(exporter(setup.otlp));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let sending = tokio::spawn(async move {
            let mut n = 0;
            while !stopped.load(Ordering::SeqCst) {
                send(&to, batch(n..n + 50)).await;
                n += 50;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            n
        });
        for round in 1..=rounds {
            let before = telegen.said().matches("the configuration was").count();
            if round % 2 == 0 {
                setup.write(sinks[round / 2 % 2].addr(), "memory", queue);
            } else {
                std::fs::write(setup.config(), "export: { otlp: { endpont: http://127.0.0.1:1 } }\n")
                    .unwrap();
            }
            if round % 3 == 0 {
                telegen.signal(rustix::process::Signal::HUP);
            }
            wait("the file is read", || telegen.said().matches("the configuration was").count() > before);
        }
        stop.store(true, Ordering::SeqCst);
        let sent: u64 = sending.await.unwrap();
        wait("it comes to rest", || ledger(setup.own)["in_flight"] == 0);
        let ledger = ledger(setup.own);
        assert_eq!(
            (&ledger["delivered"]["otlp"], &ledger["lost"]),
            (&sent.into(), &serde_json::json!({})),
            "{ledger}"
        );
        let both: Vec<u32> =
            std::iter::zip(counts(&sinks[0], sent), counts(&sinks[1], sent)).map(|(a, b)| a + b).collect();
        assert_eq!(both.iter().filter(|n| **n == 0).count(), 0);
        assert!(sinks.iter().all(|s| s.taken(Signal::Logs) > 0), "both peers were sent to");
        let said = telegen.said();
        assert!(said.contains("endpont") && said.contains("endpoint"), "{said}");
        assert_eq!(telegen.stop(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_receiver_cannot_listen_changes_nothing_at_all() {
    let sinks = [OtlpSink::start().await.unwrap(), OtlpSink::start().await.unwrap()];
    let setup = Setup::new(sinks[0].addr(), "memory", "memory");
    let telegen = Telegen::start(&setup.config());
    let to = exporter(setup.otlp);
    send(&to, batch(0..10)).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let moved = Setup { dir: setup.dir, otlp: taken.local_addr().unwrap().port(), own: setup.own };
    moved.write(sinks[1].addr(), "memory", "memory");
    telegen.wait_said("the configuration was refused and nothing changed: receive.otlp");
    send(&to, batch(10..20)).await;
    wait("it comes to rest", || ledger(moved.own)["in_flight"] == 0);
    assert_eq!(sinks.each_ref().map(|s| s.taken(Signal::Logs)), [20, 0]);
    // When it can listen, all of the file counts.
    drop(taken);
    telegen.signal(rustix::process::Signal::HUP);
    telegen.wait_said("the configuration was read again");
    send(&exporter(moved.otlp), batch(20..30)).await;
    wait("it comes to rest", || ledger(moved.own)["in_flight"] == 0);
    assert_eq!(sinks.each_ref().map(|s| s.taken(Signal::Logs)), [20, 10]);
    // A file without a receiver says so.
    let text = std::fs::read_to_string(moved.config()).unwrap();
    let without: String =
        text.lines().filter(|l| !l.starts_with("receive")).map(|l| format!("{l}\n")).collect();
    std::fs::write(moved.config(), without).unwrap();
    telegen.wait_said("receive.otlp is not set");
    let (code, said) = telegen.stop_saying();
    assert_eq!(code, Some(0));
    assert_eq!(said.matches("receive.otlp is not set").count(), 1, "{said}");
}

/// Largest resident memory so far, in bytes.
fn peak(of: &Telegen) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", of.child.id())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_too_much_is_refused_within_the_memory_budget_and_the_ledger_closes() {
    const MEMORY: u64 = 128 << 20;
    let sink =
        OtlpSink::serve("127.0.0.1:0".parse().unwrap(), telegen_testkit::sink::Keep::Count, None, None)
            .await
            .unwrap();
    sink.always(Reply::Slow(Duration::from_millis(300)));
    let setup = Setup::new(sink.addr(), "memory", "memory");
    let text = std::fs::read_to_string(setup.config()).unwrap();
    std::fs::write(setup.config(), format!("limits: {{ memory: {MEMORY} }}\n{text}")).unwrap();
    let telegen = Telegen::start(&setup.config());
    let (refused, end) =
        (Arc::new(AtomicU64::new(0)), Instant::now() + Duration::from_secs(if long() { 60 } else { 6 }));
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..8 {
        let (to, refused) = (exporter(setup.otlp), refused.clone());
        senders.spawn(async move {
            let mut n = sender * 1_000_000;
            // A busy machine sends less: until some were refused, a minute at most.
            while Instant::now() < end
                || (refused.load(Ordering::SeqCst) <= 10 && Instant::now() < end + Duration::from_secs(60))
            {
                match to.send(batch(n..n + 2000)).await {
                    Outcome::Delivered => n += 2000,
                    Outcome::Retry { after } => {
                        assert_eq!(after, Some(Duration::from_secs(1)), "a time to come again");
                        refused.fetch_add(1, Ordering::SeqCst);
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended.unwrap();
    }
    let peak = peak(&telegen);
    eprintln!(
        "refused {} times, at most {} MB of {} MB",
        refused.load(Ordering::SeqCst),
        peak >> 20,
        MEMORY >> 20
    );
    assert!(refused.load(Ordering::SeqCst) > 10);
    assert!(peak < MEMORY * 11 / 10, "{peak}");
    sink.always(Reply::Ok);
    wait("it comes to rest", || ledger(setup.own)["in_flight"] == 0);
    let ledger = ledger(setup.own);
    assert_eq!(
        (&ledger["produced"], &ledger["lost"]),
        (&ledger["delivered"]["otlp"], &serde_json::json!({})),
        "{ledger}"
    );
    assert_eq!(ledger["produced"], sink.taken(Signal::Logs) as u64);
    assert_eq!(telegen.stop(), Some(0));
}

/// Until nothing is on its way: requests of millions of records take a while in a build that is not optimized.
async fn wait_rest(own: u16) {
    let end = Instant::now() + Duration::from_secs(180);
    loop {
        let all: serde_json::Value = serde_json::from_str(&get(own, "/api/v1/ledger")).unwrap();
        if ["logs", "traces"].iter().all(|signal| all[signal]["in_flight"] == 0) {
            return;
        }
        assert!(Instant::now() < end, "it never comes to rest: {all}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn short_requests_that_stand_for_much_are_refused_or_passed_on_within_the_memory_budget() {
    const MEMORY: u64 = 256 << 20;
    let sink =
        OtlpSink::serve("127.0.0.1:0".parse().unwrap(), telegen_testkit::sink::Keep::Count, None, None)
            .await
            .unwrap();
    let setup = Setup::new(sink.addr(), "memory", "memory");
    let text = std::fs::read_to_string(setup.config()).unwrap();
    let http = port();
    let both = text.replacen("acknowledge", &format!("http: 127.0.0.1:{http}, acknowledge"), 1);
    std::fs::write(setup.config(), both).unwrap();
    let telegen = Telegen::start(&setup.config());
    let record: &[u8] = &[0x12, 0];
    let of = |resource: &[u8], scope: &[u8], records: &[u8]| {
        field(1, &[field(1, resource), field(2, &[scope, records].concat())].concat())
    };
    let pairs = [0x0a, 0].repeat(15 << 20);
    let digits = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"h","histogram":{{"dataPoints":[{{"bucketCounts":[{}0]}}]}}}}]}}]}}]}}"#,
        "0,".repeat(15 << 20)
    );
    let (bytes, text) = ("application/x-protobuf", "application/json");
    type Case<'a> = (&'a str, &'a str, &'a str, Vec<u8>, u16);
    let cases: [Case<'_>; 6] = [
        ("a resource of empty attributes", "/v1/logs", bytes, of(&pairs, &[], record), 413),
        ("many resources", "/v1/logs", bytes, of(&[], &[], record).repeat(3 << 20), 413),
        (
            "a long scope, many records",
            "/v1/traces",
            bytes,
            of(&[], &field(1, &field(1, &vec![b'n'; 12 << 20])), &record.repeat(4 << 20)),
            200,
        ),
        (
            "many scopes behind long unknown bytes",
            "/v1/traces",
            bytes,
            field(1, &[field(2, record).repeat(2 << 20), field(15, &vec![0; 12 << 20])].concat()),
            200,
        ),
        (
            "one record of empty attributes",
            "/v1/logs",
            bytes,
            of(&[], &[], &field(2, &[0x32, 0].repeat(12 << 20))),
            200,
        ),
        ("a list of digits", "/v1/metrics", text, digits.into_bytes(), 400),
    ];
    for (what, path, kind, body, want) in cases {
        assert!(body.len() < 32 << 20, "{what}: {}", body.len());
        let file = setup.dir.path().join("body");
        std::fs::write(&file, &body).unwrap();
        // What was sent before may still be on its way.
        let end = Instant::now() + Duration::from_secs(60);
        let status = loop {
            let out = Command::new("curl")
                .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "expect:", "-H"])
                .arg(format!("content-type: {kind}"))
                .arg("--data-binary")
                .arg(format!("@{}", file.display()))
                .arg(format!("http://127.0.0.1:{http}{path}"))
                .output()
                .unwrap();
            let status: u16 = String::from_utf8_lossy(&out.stdout).parse().unwrap();
            if status != 503 || Instant::now() > end {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        wait_rest(setup.own).await;
        eprintln!("{what}: {status}, at most {} MB", peak(&telegen) >> 20);
        assert_eq!(status, want, "{what}");
    }
    send(&exporter(setup.otlp), batch(0..10)).await;
    wait_rest(setup.own).await;
    assert!(peak(&telegen) < MEMORY * 11 / 10, "{}", peak(&telegen));
    let all: serde_json::Value = serde_json::from_str(&get(setup.own, "/api/v1/ledger")).unwrap();
    assert_eq!(all["traces"]["produced"], (4u64 << 20) + (2 << 20), "{all}");
    assert_eq!(all["traces"]["delivered"]["otlp"], all["traces"]["produced"], "{all}");
    assert_eq!(all["logs"]["produced"], 11, "{all}");
    assert_eq!(telegen.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_without_space_is_a_full_queue() {
    let sink = OtlpSink::start().await.unwrap();
    sink.always(Reply::Http { status: 503, retry_after: None });
    let setup = Setup::new(sink.addr(), "memory", "max_size: 1GiB");
    let folder = setup.dir.path().join("queue");
    std::fs::create_dir(&folder).unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs"]).arg(&folder).status();
    if !mount.is_ok_and(|s| s.success()) {
        eprintln!("SKIPPED a file system without space: mounting one needs root");
        return;
    }
    let telegen = Telegen::start(&setup.config());
    let to = exporter(setup.otlp);
    let records = 300_000;
    for from in (0..records).step_by(2000) {
        send(&to, batch(from..from + 2000)).await;
    }
    wait("all of it is there", || ledger(setup.own)["produced"] == records);
    tokio::time::sleep(Duration::from_secs(1)).await;
    sink.always(Reply::Ok);
    wait("it comes to rest", || ledger(setup.own)["in_flight"] == 0);
    let ledger = ledger(setup.own);
    let lost = ledger["lost"]["export:otlp"]["disk_full"].as_u64().unwrap_or(0);
    assert!(lost > 0, "{ledger}");
    assert_eq!(lost + ledger["delivered"]["otlp"].as_u64().unwrap(), records, "{ledger}");
    assert_eq!(telegen.stop(), Some(0));
    let unmounted = Command::new("umount").arg("-l").arg(&folder).status().unwrap();
    assert!(unmounted.success());
}

/// A network namespace with a cable to this one; both are gone with it.
struct Space(String);

impl Space {
    const HERE: &str = "10.203.77.1";

    fn new() -> Option<Space> {
        let id = std::process::id() % 10_000;
        let (space, here, there) = (format!("telegen-{id}"), format!("tgh{id}"), format!("tgt{id}"));
        let ip = |words: &str| Command::new("ip").args(words.split(' ')).status().is_ok_and(|s| s.success());
        if !ip(&format!("netns add {space}")) {
            return None;
        }
        let made = Space(space.clone());
        let done = ip(&format!("link add {here} type veth peer name {there} netns {space}"))
            && ip(&format!("addr add {}/30 dev {here}", Space::HERE))
            && ip(&format!("link set {here} up"))
            && ip(&format!("-n {space} addr add 10.203.77.2/30 dev {there}"))
            && ip(&format!("-n {space} link set {there} up"));
        done.then_some(made)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _gone = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_in_a_network_namespace_of_its_own_is_found() {
    let Some(space) = Space::new() else {
        eprintln!("SKIPPED a sender behind a bridge: making a network namespace needs root and ip");
        return;
    };
    let sink = OtlpSink::start().await.unwrap();
    let setup = Setup::new(sink.addr(), "memory", "memory");
    let text = std::fs::read_to_string(setup.config()).unwrap();
    let http = format!("http: {}:{}, insecure: true, acknowledge", Space::HERE, port());
    std::fs::write(setup.config(), text.replacen("acknowledge", &http, 1)).unwrap();
    let telegen = Telegen::start(&setup.config());
    let address = http.split(", ").next().unwrap().trim_start_matches("http: ");
    let body =
        r#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}"#;
    let sent = Command::new("ip")
        .args([
            "netns",
            "exec",
            &space.0,
            "curl",
            "-sf",
            "-m",
            "20",
            "-H",
            "Content-Type: application/json",
            "-d",
            body,
        ])
        .arg(format!("http://{address}/v1/logs"))
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    assert!(sink.wait_taken(Signal::Logs, 1).await);
    let resource = sink.groups()[0].resource.clone();
    assert_eq!(resource.get("process.executable.name"), Some(&"curl".into()), "{resource:?}");
    assert_eq!(telegen.stop(), Some(0));
}
