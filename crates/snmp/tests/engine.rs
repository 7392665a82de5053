//! The poller at work over loopback: its budgets, its tries of credentials, rows that look alike, a dead device among others.

#![cfg(feature = "engine")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use telegen_model::{MetricData, NumberValue, Records, ResourceGroup, Scope, Secret, Str};
use telegen_pipeline::{
    Batch, BatchConfig, BoxFuture, Outcome, Pipeline, PipelineConfig, SignalSet, Sink, SinkConfig,
};
use telegen_selfmon::{BuildInfo, SelfMon};
use telegen_snmp::Known;
use telegen_snmp::poll::{Credential, DeviceStatus, Poller, PollerSettings, Target};
use telegen_snmp::profile::Library;
use telegen_snmp::protocol::{Data, Leniency, Oid, Raw, Writer, parse};
use telegen_snmp::recording::Recording;
use telegen_snmp::session::Access;
use telegen_snmp::settings::{Budget, Names, SnmpSettings};
use telegen_snmp::simulate::{Agent, Live};
use telegen_snmp::targets::TargetSource;

/// A question as it came: when, and how it logged in: a community, or `v3`.
type Question = (Instant, String);

/// An agent that answers one community and keeps what it was asked.
struct Device {
    heard: Arc<Mutex<Vec<Question>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    port: u16,
}

impl Device {
    fn new(text: &str, community: &'static str) -> Device {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let port = socket.local_addr().unwrap().port();
        let recording = Recording::parse(text.as_bytes());
        let (stop, heard) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (ended, kept) = (stop.clone(), heard.clone());
        let thread = std::thread::spawn(move || {
            let (mut buffer, mut out) = ([0; 4096], Writer::new());
            while !ended.load(Ordering::Relaxed) {
                let Ok((n, from)) = socket.recv_from(&mut buffer) else { continue };
                match parse(&buffer[..n], Leniency::STRICT) {
                    Ok(Raw::Community(m)) => {
                        let name = String::from_utf8_lossy(m.community).into_owned();
                        let known = name == community;
                        kept.lock().unwrap().push((Instant::now(), name));
                        let agent = Agent { recording: &recording, max_size: 1472, live: Live::default() };
                        if known && agent.answer(&m, &mut out) {
                            socket.send_to(out.written(), from).unwrap();
                        }
                    }
                    Ok(Raw::V3(_)) => kept.lock().unwrap().push((Instant::now(), "v3".to_owned())),
                    Err(_) => panic!("not a message"),
                }
            }
        });
        Device { heard, stop, thread: Some(thread), port }
    }

    fn heard(&self) -> Vec<Question> {
        self.heard.lock().unwrap().clone()
    }

    /// How it was asked, each way once, in the order of the first time.
    fn ways(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for (_, way) in self.heard() {
            if !out.contains(&way) {
                out.push(way);
            }
        }
        out
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Keeps all that leaves.
#[derive(Default)]
struct Kept(Mutex<Vec<Arc<ResourceGroup>>>);

impl Sink for Kept {
    fn name(&self) -> &'static str {
        "kept"
    }

    fn signals(&self) -> SignalSet {
        SignalSet::ALL
    }

    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome> {
        self.0.lock().unwrap().extend(batch.groups.iter().cloned());
        Box::pin(std::future::ready(Outcome::Delivered))
    }
}

/// A poller and what leaves of it.
struct Running {
    poller: Poller,
    kept: Arc<Kept>,
    mon: SelfMon,
    _pipeline: Pipeline,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Running {
    fn new(targets: Vec<Target>, library: Library, budget: Budget) -> Running {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mon = SelfMon::new(BuildInfo {
            version: Str::const_new("0"),
            commit: Str::const_new("0"),
            target: Str::const_new("t"),
        });
        let kept = Arc::new(Kept::default());
        let batch = BatchConfig { timeout: Duration::from_millis(20), ..BatchConfig::default() };
        let sink: Arc<dyn Sink> = kept.clone();
        let config = SinkConfig { batch, ..SinkConfig::default() };
        let guard = runtime.enter();
        let pipeline = Pipeline::start(PipelineConfig::default(), vec![(sink, config)], &mon).unwrap();
        drop(guard);
        let poller = Poller::start(PollerSettings {
            targets: targets.into_iter().map(Arc::new).collect(),
            library,
            input: pipeline.input(),
            scope: Scope { name: Str::const_new("t"), version: Str::default() },
            mon: mon.clone(),
            known: Known::default(),
            budget,
            shared: false,
        })
        .unwrap();
        Running { poller, kept, mon, _pipeline: pipeline, runtime: Some(runtime) }
    }

    /// The devices, once the poller knows of them.
    fn devices(&self) -> Vec<DeviceStatus> {
        self.poller.devices().all()
    }

    /// A counter of its own.
    fn counter(&self, name: &str, attribute: Option<&str>) -> f64 {
        let metrics = self.mon.metrics(1);
        let of = metrics.iter().find(|m| m.name == name).unwrap_or_else(|| panic!("no {name}"));
        let MetricData::Sum { points, .. } = &of.data else { panic!("{name} is no sum") };
        let wanted = |p: &&telegen_model::NumberPoint| {
            attribute.is_none_or(|a| p.attrs.iter().any(|kv| kv.value.as_str() == Some(a)))
        };
        points.iter().filter(wanted).map(|p| number(&p.value)).sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.poller.stop();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn number(of: &NumberValue) -> f64 {
    match of {
        NumberValue::Int(i) => *i as f64,
        NumberValue::Double(d) => *d,
    }
}

fn wait(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn community(name: &str) -> Credential {
    let access = Access::Community { version: 1, community: Secret::new(name) };
    Credential { name: name.to_owned(), access: Arc::new(access) }
}

fn target(name: &str, device: &Device, site: &str, interval: Duration) -> Target {
    Target {
        name: name.to_owned(),
        address: format!("127.0.0.1:{}", device.port),
        credentials: vec![community("public")],
        interval,
        profile: "auto".to_owned(),
        labels: BTreeMap::from([("site".to_owned(), site.to_owned())]),
        tries_a_minute: 10,
    }
}

/// A switch of so many ports.
fn switch(ports: u32) -> String {
    let mut out = "1.3.6.1.2.1.1.1.0|4|A switch\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.1\n1.3.6.1.2.1.1.3.0|67|123456\n"
        .to_owned();
    for i in 1..=ports {
        out += &format!(
            "1.3.6.1.2.1.2.2.1.2.{i}|4|Ethernet{i}\n1.3.6.1.2.1.2.2.1.8.{i}|2|1\n1.3.6.1.2.1.31.1.1.1.1.{i}|4|Et{i}\n\
             1.3.6.1.2.1.31.1.1.1.6.{i}|70|{i}\n1.3.6.1.2.1.31.1.1.1.10.{i}|70|{i}\n"
        );
    }
    out
}

/// How many packets a rate allows between the first and the last of these, with room for answers that wait for a thread.
fn allowed(rate: u32, heard: &[Question]) -> f64 {
    let all = heard.iter().map(|h| h.0);
    let time = all.clone().max().unwrap() - all.min().unwrap();
    f64::from(rate) * (time.as_secs_f64() + 0.5) + 1.0
}

#[test]
fn a_device_gets_no_more_packets_than_its_budget() {
    let device = Device::new(&switch(400), "public");
    let budget = Budget { per_device: NonZeroU32::new(20), ..Budget::default() };
    let targets = vec![target("d", &device, "a", Duration::from_secs(600))];
    let running = Running::new(targets, Library::load(&[], Names::Mib).unwrap(), budget);
    wait("the poll", || running.devices().first().is_some_and(|d| d.last_poll.is_some()));
    let heard = device.heard();
    assert!(heard.len() > 50, "{}", heard.len());
    assert!(heard.len() as f64 <= allowed(20, &heard), "{} packets, {}", heard.len(), allowed(20, &heard));
    assert!(running.counter("telegen.snmp.packets", Some("delayed_by_budget")) > 0.0);
    let status = running.devices().remove(0);
    assert_eq!((status.interfaces, status.last_error), (400, None));
}

#[test]
fn devices_of_a_site_share_its_packets_and_others_do_not() {
    let devices = [0; 3].map(|_| Device::new(&switch(200), "public"));
    let budget = Budget { per_site: NonZeroU32::new(20), ..Budget::default() };
    let mut targets: Vec<Target> = ["a", "b", "c"]
        .iter()
        .zip(&devices)
        .map(|(name, d)| target(name, d, "far", Duration::from_secs(600)))
        .collect();
    // Without the label that names a site there is none.
    targets[2].labels.clear();
    let running = Running::new(targets, Library::load(&[], Names::Mib).unwrap(), budget);
    wait("the polls", || running.devices().iter().filter(|s| s.last_poll.is_some()).count() == 3);
    let of_site: Vec<Question> = devices[..2].iter().flat_map(Device::heard).collect();
    assert!(of_site.len() > 50, "{}", of_site.len());
    assert!(of_site.len() as f64 <= allowed(20, &of_site), "{}, {}", of_site.len(), allowed(20, &of_site));
    let free = devices[2].heard();
    assert!(free.len() as f64 > 2.0 * allowed(20, &free), "{} packets, {}", free.len(), allowed(20, &free));
}

#[test]
fn version_3_is_tried_before_a_community_and_what_worked_is_remembered() {
    let device = Device::new(&switch(1), "right");
    let settings: SnmpSettings = serde_json::from_value(serde_json::json!({
        "interval": "1s",
        "credentials": {
            "wrong": { "version": "2c", "community": "wrong" },
            "ops": { "version": "3", "user": "ops" },
            "right": { "version": "2c", "community": "right" },
        },
        "targets": [{
            "address": format!("127.0.0.1:{}", device.port), "name": "d", "credentials": ["wrong", "ops", "right"],
        }],
    }))
    .unwrap();
    let targets = TargetSource::new(settings).unwrap().read().iter().map(|t| (**t).clone()).collect();
    let running = Running::new(targets, Library::load(&[], Names::Mib).unwrap(), Budget::default());
    wait("the device", || running.devices().first().is_some_and(|d| d.interfaces == 1));
    assert_eq!(device.ways(), ["v3", "wrong", "right"]);
    let before = device.heard().len();
    wait("three polls more", || {
        device.heard().len() >= before + 6 && running.counter("telegen.snmp.polls", Some("done")) >= 4.0
    });
    let later: BTreeSet<String> = device.heard().split_off(before).into_iter().map(|h| h.1).collect();
    assert_eq!(later, BTreeSet::from(["right".to_owned()]));
}

#[test]
fn credentials_are_tried_no_more_often_a_minute_than_allowed() {
    let device = Device::new(&switch(1), "none of them");
    let mut of = target("d", &device, "a", Duration::from_secs(1));
    of.credentials = (0..20).map(|n| community(&format!("c{n:02}"))).collect();
    of.tries_a_minute = 3;
    let begun = Instant::now();
    let running = Running::new(vec![of], Library::load(&[], Names::Mib).unwrap(), Budget::default());
    wait("polls that fail", || running.counter("telegen.snmp.polls", Some("failed")) >= 5.0);
    // Another one at most three times a minute, besides the first.
    let minutes = 1 + begun.elapsed().as_secs() as usize / 60;
    assert!(device.ways().len() <= 1 + 3 * minutes, "{:?}", device.ways());
    assert_eq!(device.ways()[..4], ["c00", "c01", "c02", "c03"]);
    assert_eq!(running.devices()[0].last_error.as_deref(), Some("timeout"));
}

/// Answers a switch of so many ports whenever no more questions come, until it has `done`. The most questions for numbers of
/// interfaces that waited at once.
fn in_turns(socket: &UdpSocket, ports: u32, done: &AtomicBool) -> usize {
    let recording = Recording::parse(switch(ports).as_bytes());
    let agent = Agent { recording: &recording, max_size: 1472, live: Live::default() };
    let numbers: Vec<Oid> = ["1.3.6.1.2.1.2.2.1.8", "1.3.6.1.2.1.31.1.1.1.6", "1.3.6.1.2.1.31.1.1.1.10"]
        .map(|o| o.parse().unwrap())
        .into();
    let (mut buffer, mut out) = ([0; 4096], Writer::new());
    let (mut held, mut most) = (Vec::new(), 0);
    while !done.load(Ordering::Relaxed) {
        if let Ok((n, from)) = socket.recv_from(&mut buffer) {
            held.push((buffer[..n].to_vec(), from));
            continue;
        }
        let mut of_numbers = 0;
        for (question, from) in held.drain(..) {
            let Ok(Raw::Community(m)) = parse(&question, Leniency::STRICT) else { panic!("not a message") };
            if let Data::Pdu(pdu) = &m.data {
                let asks = |v: (&[u8], _)| numbers.iter().any(|n| v.0.starts_with(n));
                of_numbers += usize::from({ pdu.varbinds }.flatten().any(asks));
            }
            if agent.answer(&m, &mut out) {
                socket.send_to(out.written(), from).unwrap();
            }
        }
        most = most.max(of_numbers);
    }
    most
}

#[test]
fn a_table_that_turns_out_to_be_long_is_asked_for_by_several_questions_at_once() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let device = Device::new("", "nobody");
    let mut of = target("d", &device, "a", Duration::from_secs(600));
    of.address = socket.local_addr().unwrap().to_string();
    let done = Arc::new(AtomicBool::new(false));
    let ended = done.clone();
    let answering = std::thread::spawn(move || in_turns(&socket, 2500, &ended));
    let running = Running::new(vec![of], Library::load(&[], Names::Mib).unwrap(), Budget::default());
    wait("the poll", || running.devices().first().is_some_and(|d| d.last_poll.is_some()));
    done.store(true, Ordering::Relaxed);
    let status = running.devices().remove(0);
    assert_eq!((status.interfaces, status.last_error), (2500, None));
    // Three columns of numbers, each by itself in the end.
    assert_eq!(answering.join().unwrap(), 3);
    let values = || {
        let mut values = BTreeSet::new();
        for group in running.kept.0.lock().unwrap().iter() {
            let Records::Metrics(metrics) = &group.records else { continue };
            for metric in metrics.iter().filter(|m| m.name == "snmp_ifHCOutOctets") {
                let MetricData::Sum { points, .. } = &metric.data else { panic!("no sum") };
                for p in points {
                    let index =
                        p.attrs.iter().find(|kv| kv.key == "ifIndex").and_then(|kv| kv.value.as_str());
                    assert_eq!(index.unwrap(), number(&p.value).to_string());
                    values.insert(number(&p.value) as u32);
                }
            }
        }
        values
    };
    wait("all values", || values().into_iter().eq(1..=2500));
}

#[test]
fn a_coarse_object_beside_a_fine_one_is_no_duplicate() {
    let text = "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.318.1.3.27\n1.3.6.1.2.1.1.3.0|67|100007\n\
                1.3.6.1.4.1.318.1.1.1.2.2.1.0|66|99\n1.3.6.1.4.1.318.1.1.1.2.3.1.0|66|987\n";
    let device = Device::new(text, "public");
    let of = target("d", &device, "a", Duration::from_secs(600));
    let running = Running::new(vec![of], Library::load(&[], Names::Otel).unwrap(), Budget::default());
    wait("the poll", || running.devices().first().is_some_and(|d| d.last_poll.is_some()));
    assert_eq!(running.devices()[0].profile.as_deref(), Some("apc"));
    assert_eq!(running.counter("telegen.snmp.duplicates", None), 0.0);
}

#[test]
fn of_rows_that_look_alike_the_first_stands_and_the_others_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let profile = "name: pools\nmodules:\n- mib: POOL-MIB\n  tables:\n  - table: poolTable\n    index: \
                   [\"pool:string\"]\n    columns:\n    - { object: poolUsed, oid: 1.3.6.1.4.1.99999.2.1.3 }\n    - { \
                   object: poolHits, oid: 1.3.6.1.4.1.99999.2.1.4, counter: true }\n";
    std::fs::write(folder.path().join("pools.yaml"), profile).unwrap();
    let library = Library::load(&[folder.path().to_str().unwrap().to_owned()], Names::Mib).unwrap();
    // `a`, and `a` with a blank behind it, which no one can tell apart; and `b`.
    let text = "1.3.6.1.2.1.1.3.0|67|123456\n1.3.6.1.4.1.99999.2.1.3.1.97|66|1\n1.3.6.1.4.1.99999.2.1.3.1.98|66|3\n\
                1.3.6.1.4.1.99999.2.1.3.2.97.32|66|2\n1.3.6.1.4.1.99999.2.1.4.1.97|65|10\n\
                1.3.6.1.4.1.99999.2.1.4.1.98|65|30\n1.3.6.1.4.1.99999.2.1.4.2.97.32|65|20\n";
    let device = Device::new(text, "public");
    let mut of = target("d", &device, "a", Duration::from_secs(600));
    of.profile = "pools".to_owned();
    let running = Running::new(vec![of], library, Budget::default());
    let values = |name: &str| {
        let mut out = Vec::new();
        for group in running.kept.0.lock().unwrap().iter() {
            let Records::Metrics(metrics) = &group.records else { continue };
            for metric in metrics.iter().filter(|m| m.name == name) {
                let (MetricData::Gauge(points) | MetricData::Sum { points, .. }) = &metric.data else {
                    continue;
                };
                out.extend(points.iter().map(|p| {
                    let pool = p.attrs.iter().find(|kv| kv.key == "pool").and_then(|kv| kv.value.as_str());
                    (pool.unwrap_or("").to_owned(), number(&p.value))
                }));
            }
        }
        out
    };
    wait("the values", || !values("snmp_poolHits").is_empty());
    assert_eq!(values("snmp_poolUsed"), [("a".to_owned(), 1.0), ("b".to_owned(), 3.0)]);
    assert_eq!(values("snmp_poolHits"), [("a".to_owned(), 10.0), ("b".to_owned(), 30.0)]);
    assert_eq!(running.counter("telegen.snmp.duplicates", None), 2.0);
    let status = running.devices().remove(0);
    assert_eq!(status.last_error, None);
}
