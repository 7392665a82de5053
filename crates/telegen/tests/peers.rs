//! Real peers: the OpenTelemetry Collector, official SDKs and Prometheus, as scripts/peers.sh builds them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use common::{Telegen, exporter, port, send, wait};
use serde_json::Value;
use telegen_model::{
    HistogramPoint, KeyValue, Metric, MetricData, NumberPoint, NumberValue, Records, ResourceGroup, Scope,
    Signal, Temporality,
};
use telegen_otlp::{decode_request, json, raw_groups};
use telegen_pipeline::Batch;
use telegen_testkit::records;
use telegen_testkit::sink::OtlpSink;

/// A file below target/peers.
fn peer(name: &str) -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let path = target.join("peers").join(name);
    if !path.exists() {
        eprintln!("SKIPPED peer {name}: run scripts/peers.sh");
        return None;
    }
    Some(path)
}

/// A program that is ended with the test.
struct Running(RefCell<Child>);

impl Running {
    fn start(command: &mut Command, port: u16) -> Running {
        let running = Running(RefCell::new(command.stdin(Stdio::null()).spawn().unwrap()));
        wait("it listens", || {
            assert_eq!(running.0.borrow_mut().try_wait().unwrap(), None, "it ended");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.get_mut().kill();
        let _reaped = self.0.get_mut().wait();
    }
}

/// Telegen with OTLP in, and this under `export`.
struct Between {
    dir: tempfile::TempDir,
    grpc: u16,
    http: u16,
    own: u16,
}

impl Between {
    fn start(export: &str) -> (Between, Telegen) {
        let between = Between { dir: tempfile::tempdir().unwrap(), grpc: port(), http: port(), own: port() };
        let text = format!(
            "server: {{ listen: 127.0.0.1:{} }}\nreceive: {{ otlp: {{ grpc: 127.0.0.1:{}, http: 127.0.0.1:{} }} }}\nexport:\n{export}",
            between.own, between.grpc, between.http
        );
        let file = between.dir.path().join("telegen.yaml");
        std::fs::write(&file, text).unwrap();
        let telegen = Telegen::start(&file);
        (between, telegen)
    }

    fn ledger(&self, signal: Signal) -> Value {
        let all: Value = serde_json::from_str(&common::get(self.own, "/api/v1/ledger")).unwrap();
        all[signal.name()].clone()
    }
}

fn raw(signal: Signal, bytes: &Bytes) -> Arc<Batch> {
    let groups = raw_groups(signal, bytes).unwrap().into_iter().map(|g| ResourceGroup {
        resource: Arc::new(g.resource),
        scope: Scope { name: "".into(), version: "".into() },
        records: Records::Raw(g.records),
    });
    Arc::new(Batch::new(signal, groups.collect()))
}

const PROFILE: &str = r#"{"resourceProfiles":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
"scopeProfiles":[{"scope":{"name":"prof"},"profiles":[{"sampleType":{"typeStrindex":1,"unitStrindex":2},"samples":[{"stackIndex":1,
"attributeIndices":[1],"linkIndex":1,"values":["7","-1"],"timestampsUnixNano":["1","2"]}],"timeUnixNano":"3","durationNano":"4",
"periodType":{"typeStrindex":1,"unitStrindex":2},"period":"5","profileId":"01010101010101010101010101010101","attributeIndices":[1]}]}]}],
"dictionary":{"mappingTable":[{},{"memoryStart":"1","memoryLimit":"2","filenameStrindex":3}],"locationTable":[{},{"mappingIndex":1,"address":"4096",
"lines":[{"functionIndex":1,"line":"9","column":"2"}],"attributeIndices":[1]}],"functionTable":[{},{"nameStrindex":4,"filenameStrindex":3,"startLine":"8"}],
"linkTable":[{},{"traceId":"02020202020202020202020202020202","spanId":"0303030303030303"}],"stringTable":["","cpu","nanoseconds","a.rs","run","thread.name"],
"attributeTable":[{},{"keyStrindex":5,"value":{"stringValue":"main"}}],"stackTable":[{},{"locationIndices":[1,1]}]}}"#;

/// A summary, and a series that ended.
const ODD: &str = r#"{"resourceMetrics":[{"resource":{},"scopeMetrics":[{"scope":{},"metrics":[
{"name":"s","summary":{"dataPoints":[{"timeUnixNano":"1","count":"1","sum":2}]}},
{"name":"gone","gauge":{"dataPoints":[{"timeUnixNano":"1","asInt":"5","flags":1}]}}]}]}]}"#;

/// What is compared of a profiles request. The Collector moves the resource's texts into the dictionary, behind those that
/// are there, and writes out what an entry for nothing is.
fn without_resource(bytes: &Bytes) -> Value {
    let text = json::from_protobuf(Signal::Profiles, bytes).unwrap();
    let mut all: Value = serde_json::from_slice(&text).unwrap();
    all["resourceProfiles"][0]["resource"] = Value::Null;
    all["dictionary"]["stringTable"].as_array_mut().unwrap().truncate(6);
    all["dictionary"]["attributeTable"][0] = Value::Null;
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collector_writes_all_four_signals_as_they_were_sent_over_every_protocol() {
    let Some(collector) = peer("collector") else { return };
    let ports = [("grpc", port()), ("protobuf", port()), ("json", port())];
    let dir = tempfile::tempdir().unwrap();
    let (mut receivers, mut exporters, mut pipelines, mut export) =
        (String::new(), String::new(), String::new(), "  otlp:\n".to_owned());
    for (name, port) in ports {
        let speech = if name == "grpc" { "grpc" } else { "http" };
        receivers +=
            &format!("  otlp/{name}: {{ protocols: {{ {speech}: {{ endpoint: '127.0.0.1:{port}' }} }} }}\n");
        exporters += &format!("  file/{name}: {{ path: {}/{name}.jsonl }}\n", dir.path().display());
        for signal in Signal::ALL {
            pipelines += &format!(
                "    {}/{name}: {{ receivers: [otlp/{name}], exporters: [file/{name}] }}\n",
                signal.name()
            );
        }
        let protocol = if name == "grpc" { name.to_owned() } else { format!("http/{name}") };
        export += &format!(
            "    - {{ name: {name}, endpoint: 'http://127.0.0.1:{port}', protocol: {protocol}, batch: {{ timeout: 20ms }} }}\n"
        );
    }
    let config = dir.path().join("collector.yaml");
    let text = format!(
        "receivers:\n{receivers}exporters:\n{exporters}service:\n  telemetry: {{ metrics: {{ level: none }}, logs: {{ level: warn }} }}\n  pipelines:\n{pipelines}"
    );
    std::fs::write(&config, text).unwrap();
    let running = Running::start(
        Command::new(collector).arg("--config").arg(&config).arg("--feature-gates=service.profilesSupport"),
        ports[2].1,
    );
    let (between, telegen) = Between::start(&export);
    let to = exporter(between.grpc);
    let profile = json::to_protobuf(Signal::Profiles, PROFILE.as_bytes()).unwrap();
    let resource = records::resource("shop");
    let typed = [
        Records::Spans(vec![records::full_span(), records::http_span(2), records::span(3)]),
        Records::Metrics(records::metrics()),
        Records::Logs(vec![records::log(1), records::log(2)]),
    ]
    .map(|r| records::group(&resource, r));
    for group in &typed {
        send(&to, Arc::new(Batch::new(group.records.signal(), vec![group.clone()]))).await;
    }
    send(&to, raw(Signal::Profiles, &profile)).await;
    for signal in Signal::ALL {
        wait("it is delivered", || {
            let ledger = between.ledger(signal);
            ports.iter().all(|(name, _)| ledger["delivered"][name] == ledger["produced"])
                && ledger["produced"] != 0
        });
    }
    for (name, _) in ports {
        let file = dir.path().join(format!("{name}.jsonl"));
        wait("the file is written", || {
            let text = std::fs::read_to_string(&file).unwrap();
            text.ends_with('\n') && text.lines().count() == 4
        });
        let text = std::fs::read_to_string(&file).unwrap();
        let of = |key: &str| {
            text.lines().find(|l| l.contains(key)).unwrap_or_else(|| panic!("{name}: no {key}: {text}"))
        };
        for (group, key) in std::iter::zip(&typed, ["resourceSpans", "resourceMetrics", "resourceLogs"]) {
            let signal = group.records.signal();
            let bytes = json::to_protobuf(signal, of(key).as_bytes()).unwrap();
            let groups = decode_request(signal, bytes).unwrap().groups;
            assert_eq!(groups.len(), 1, "{name} {key}");
            assert_eq!(
                (&groups[0].scope, &groups[0].records),
                (&group.scope, &group.records),
                "{name} {key}"
            );
            for attribute in group.resource.attrs() {
                let overruled = attribute.key.starts_with("host.");
                assert!(
                    overruled || groups[0].resource.attrs().contains(attribute),
                    "{name} {key} {attribute:?}"
                );
            }
        }
        let bytes = json::to_protobuf(Signal::Profiles, of("resourceProfiles").as_bytes()).unwrap();
        assert_eq!(without_resource(&bytes), without_resource(&profile), "{name}");
    }
    assert_eq!(telegen.stop(), Some(0));
    drop(running);
}

/// Without the zeros that protobuf may leave out or not: a value's own kind, and what is optional, stay.
fn plain(value: Value) -> Value {
    const STAY: [&str; 9] =
        ["stringValue", "intValue", "boolValue", "doubleValue", "asInt", "asDouble", "sum", "min", "max"];
    let nothing = |v: &Value| match v {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty() || s == "0",
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    };
    match value {
        Value::Array(list) => list.into_iter().map(plain).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, plain(value)))
            .filter(|(key, value)| STAY.contains(&key.as_str()) || !nothing(value))
            .collect(),
        other => other,
    }
}

/// One resource's part of a request.
struct Part {
    resource: Vec<KeyValue>,
    signal: Signal,
    /// What stands below the resource, in words and as bytes.
    said: Value,
    body: Bytes,
}

/// The parts that a sink took, by service.
fn by_service(sink: &OtlpSink) -> BTreeMap<String, Vec<Part>> {
    let mut out: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for request in sink.requests() {
        for group in raw_groups(request.signal, &request.body).unwrap() {
            let attributes = group.resource.attrs().to_vec();
            let name =
                attributes.iter().find(|kv| kv.key == "service.name").map(|kv| format!("{:?}", kv.value));
            let alone = ResourceGroup {
                resource: records::resource("x"),
                scope: Scope { name: "".into(), version: "".into() },
                records: Records::Raw(group.records.clone()),
            };
            let text = json::from_protobuf(request.signal, &telegen_otlp::encode_request(&[alone])).unwrap();
            let said = plain(serde_json::from_slice(&text).unwrap());
            let part = Part { resource: attributes, signal: request.signal, said, body: group.records.body };
            out.entry(name.unwrap()).or_default().push(part);
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn what_official_sdks_send_through_telegen_arrives_unchanged_but_for_the_resource() {
    let direct = OtlpSink::start().await.unwrap();
    let via = OtlpSink::start().await.unwrap();
    let (between, telegen) = Between::start(&format!(
        "  otlp: {{ endpoint: '{}', batch: {{ timeout: 20ms }} }}\n",
        via.endpoint()
    ));
    let mut programs = Vec::new();
    for (name, program, arguments) in [
        ("sdk-python", "python/bin/python", vec!["tests/peers/sdk/python/main.py".to_owned()]),
        ("sdk-node", "node/main.mjs", vec![]),
        ("sdk-go", "sdk-go", vec![]),
        ("sdk-java", "java", vec![]),
    ] {
        let Some(path) = peer(program) else { continue };
        let mut command = match name {
            "sdk-node" => Command::new("node"),
            "sdk-java" => Command::new("java"),
            _ => Command::new(&path),
        };
        match name {
            "sdk-node" => command.arg(&path),
            "sdk-java" => {
                let classes = format!("{0}:{0}/lib/*", path.display());
                command.args(["-Xmx128m", "-cp", &classes, "Main"])
            }
            _ => command.args(arguments),
        };
        command
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
            .env("DIRECT", direct.endpoint())
            .env("VIA_GRPC", format!("http://127.0.0.1:{}", between.grpc))
            .env("VIA_HTTP", format!("http://127.0.0.1:{}", between.http))
            .stdout(Stdio::piped());
        programs.push((name, command.spawn().unwrap()));
    }
    for (name, program) in &mut programs {
        let mut said = String::new();
        program.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(program.wait().unwrap().success() && said.contains("sent"), "{name}: {said}");
    }
    for signal in Signal::ALL {
        wait("all has passed", || via.taken(signal) >= direct.taken(signal));
    }
    assert_eq!((direct.faults(), via.faults()), (Vec::<String>::new(), Vec::new()));
    let (sent, arrived) = (by_service(&direct), by_service(&via));
    assert_eq!(sent.len(), programs.len());
    for (service, groups) in &sent {
        let arrived = &arrived[service];
        assert_eq!(groups.len(), arrived.len(), "{service}");
        for part in groups {
            // What came as JSON is the same in words; what came as protobuf is the same to the byte.
            let json = service.contains("node");
            let same = arrived
                .iter()
                .find(|p| p.signal == part.signal && (p.body == part.body || (json && p.said == part.said)))
                .unwrap_or_else(|| panic!("{service}: {} did not arrive", part.said));
            for attribute in &part.resource {
                assert!(
                    same.resource.contains(attribute),
                    "{service}: {attribute:?} is not in {:?}",
                    same.resource
                );
            }
        }
        for signal in [Signal::Traces, Signal::Metrics] {
            assert!(groups.iter().any(|p| p.signal == signal), "{service} sent no {signal}");
        }
    }
    assert_eq!(telegen.stop(), Some(0));
}

/// `GET` of Prometheus' API.
fn ask(port: u16, path: &str) -> Value {
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(tcp, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    serde_json::from_str(body).unwrap_or(Value::Null)
}

/// Labels and value of every series of an instant query.
fn series(port: u16, query: &str) -> Vec<(BTreeMap<String, String>, String)> {
    let answer = ask(port, &format!("/api/v1/query?query={query}"));
    let list = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let mut out: Vec<_> = list
        .iter()
        .map(|one| {
            let labels = one["metric"].as_object().unwrap().iter();
            let labels = labels.map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect();
            (labels, one["value"][1].as_str().unwrap().to_owned())
        })
        .collect();
    out.sort();
    out
}

fn prometheus(program: &Path, dir: &Path, more: &[&str]) -> (Running, u16) {
    let (port, config) = (port(), dir.join("prometheus.yaml"));
    std::fs::write(&config, "global: { scrape_interval: 1h }\n").unwrap();
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(["--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage", "--log.level=warn"])
        .args(more)
        .stderr(Stdio::null());
    (Running::start(&mut command, port), port)
}

fn number(value: NumberValue, kind: &'static str, now: u64) -> NumberPoint {
    NumberPoint {
        attrs: [KeyValue::new("kind", kind)].to_vec().into(),
        start: now - 60_000_000_000,
        time: now,
        value,
        exemplars: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_returns_the_values_that_were_written() {
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let metric = |name: &str, unit: &str, data| Metric {
        name: name.to_owned().into(),
        unit: unit.to_owned().into(),
        description: "A test.".into(),
        data,
    };
    let points = vec![number(NumberValue::Int(41), "a", now), number(NumberValue::Int(7), "b", now)];
    let sum = MetricData::Sum { points, monotonic: true, temporality: Temporality::Cumulative };
    let histogram = HistogramPoint {
        attrs: vec![KeyValue::new("route", "/x y")].into(),
        start: now - 60_000_000_000,
        time: now,
        count: 10,
        sum: 12.5,
        min: None,
        max: None,
        bounds: vec![0.5, 1.0, 5.0].into(),
        counts: vec![1, 2, 3, 4],
        exemplars: Vec::new(),
    };
    let metrics = vec![
        metric("orders.taken", "{order}", sum),
        metric(
            "room.temperature",
            "Cel",
            MetricData::Gauge(vec![number(NumberValue::Double(-1.5e-3), "é\"\\", now)]),
        ),
        metric(
            "took",
            "s",
            MetricData::Histogram { points: vec![histogram], temporality: Temporality::Cumulative },
        ),
    ];
    for (version, program) in [
        (1, Path::new("/usr/bin/prometheus").exists().then(|| "/usr/bin/prometheus".into())),
        (2, peer("prometheus")),
    ] {
        let Some(program): Option<PathBuf> = program else {
            eprintln!("SKIPPED remote write {version}: there is no Prometheus");
            continue;
        };
        let dir = tempfile::tempdir().unwrap();
        let (running, at) = prometheus(&program, dir.path(), &[]);
        let (between, telegen) = Between::start(&format!(
            "  remote_write: {{ endpoint: 'http://127.0.0.1:{at}/api/v1/write', version: {version} }}\n"
        ));
        let group = records::group(&records::resource("shop"), Records::Metrics(metrics.clone()));
        send(&exporter(between.grpc), Arc::new(Batch::new(Signal::Metrics, vec![group]))).await;
        wait("it is written", || between.ledger(Signal::Metrics)["in_flight"] == 0);
        let ledger = between.ledger(Signal::Metrics);
        assert_eq!(
            (&ledger["delivered"]["remote_write"], &ledger["lost"]),
            (&4.into(), &serde_json::json!({})),
            "{ledger}"
        );
        // What remote write has no form for is counted, not dropped in silence.
        let odd = json::to_protobuf(Signal::Metrics, ODD.as_bytes()).unwrap();
        send(&exporter(between.grpc), raw(Signal::Metrics, &odd)).await;
        wait("it is counted", || between.ledger(Signal::Metrics)["in_flight"] == 0);
        let lost = between.ledger(Signal::Metrics)["lost"].clone();
        assert_eq!(lost, serde_json::json!({ "export:remote_write": { "unsupported_type": 2 } }));
        let values = |query: &str, label: &str| -> Vec<(String, String)> {
            series(at, query)
                .into_iter()
                .map(|(labels, v)| (labels.get(label).cloned().unwrap_or_default(), v))
                .collect()
        };
        let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        wait("it can be asked", || !series(at, "orders_taken_total").is_empty());
        assert_eq!(
            values("orders_taken_total", "kind"),
            own(&[("a", "41"), ("b", "7")]),
            "version {version}"
        );
        assert_eq!(values("room_temperature_celsius", "kind"), own(&[("é\"\\", "-0.0015")]));
        let buckets = own(&[("+Inf", "10"), ("0.5", "1"), ("1", "3"), ("5", "6")]);
        let mut got = values("took_seconds_bucket", "le");
        got.iter_mut().for_each(|(le, _)| *le = le.trim_end_matches(".0").to_owned());
        got.sort();
        assert_eq!(got, buckets);
        assert_eq!(values("took_seconds_sum", "route"), own(&[("/x y", "12.5")]));
        assert_eq!(values("took_seconds_count", "route"), own(&[("/x y", "10")]));
        assert_eq!(
            values("target_info", "job"),
            values("orders_taken_total{kind=\"a\"}", "job")
                .into_iter()
                .map(|(job, _)| (job, "1".to_owned()))
                .collect::<Vec<_>>()
        );
        assert_eq!(telegen.stop(), Some(0));
        drop(running);
    }
}
