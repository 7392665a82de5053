//! Devices that wrap, restart, renumber and lie, polled over loopback.

#![cfg(feature = "engine")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use telegen_model::{MetricData, NumberValue, Records, ResourceGroup, Secret};
use telegen_snmp::poll::{Credential, DeviceState, Single, Target};
use telegen_snmp::profile::{Library, metrics_page};
use telegen_snmp::protocol::{Leniency, Raw, Writer, parse};
use telegen_snmp::recording::Recording;
use telegen_snmp::session::Access;
use telegen_snmp::settings::Names;
use telegen_snmp::simulate::{Agent, Live};

const S: u64 = 1_000_000_000;

/// An agent whose objects a test changes.
struct Device {
    text: Arc<Mutex<String>>,
    questions: Arc<Mutex<u32>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    port: u16,
}

impl Device {
    fn new(text: &str) -> Device {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (stop, text) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(text.to_owned())));
        let questions = Arc::new(Mutex::new(0));
        let (ended, held, count) = (stop.clone(), text.clone(), questions.clone());
        let thread = std::thread::spawn(move || {
            let (mut buffer, mut out) = ([0; 4096], Writer::new());
            while !ended.load(Ordering::Relaxed) {
                let Ok((n, from)) = socket.recv_from(&mut buffer) else { continue };
                *count.lock().unwrap() += 1;
                let recording = Recording::parse(held.lock().unwrap().as_bytes());
                let Ok(Raw::Community(m)) = parse(&buffer[..n], Leniency::STRICT) else { continue };
                let agent = Agent { recording: &recording, max_size: 1472, live: Live::default() };
                if agent.answer(&m, &mut out) {
                    socket.send_to(out.written(), from).unwrap();
                }
            }
        });
        Device { text, questions, stop, thread: Some(thread), port }
    }

    fn set(&self, text: &str) {
        text.clone_into(&mut self.text.lock().unwrap());
    }

    fn poller(&self, names: Names, version: u8) -> Single {
        let access = Arc::new(Access::Community { version, community: Secret::new("public") });
        let target = Target {
            name: "d".into(),
            address: format!("127.0.0.1:{}", self.port),
            credentials: vec![Credential { name: "c".into(), access }],
            interval: Duration::from_secs(60),
            profile: "auto".into(),
            labels: BTreeMap::from([("site".to_owned(), "lab".to_owned())]),
            tries_a_minute: 10,
        };
        Single::new(Arc::new(target), Arc::new(Library::load(&[], names).unwrap())).unwrap()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Points of a metric by the value of one attribute: value and start.
fn points(group: &ResourceGroup, name: &str, by: &str) -> BTreeMap<String, (f64, u64)> {
    let Records::Metrics(metrics) = &group.records else { panic!("no metrics") };
    let mut out = BTreeMap::new();
    for metric in metrics.iter().filter(|m| m.name == name) {
        let (MetricData::Gauge(all) | MetricData::Sum { points: all, .. }) = &metric.data else { continue };
        for p in all {
            let key = p.attrs.iter().find(|kv| kv.key == by).and_then(|kv| kv.value.as_str()).unwrap_or("");
            let value = match p.value {
                NumberValue::Int(i) => i as f64,
                NumberValue::Double(d) => d,
            };
            assert!(out.insert(key.to_owned(), (value, p.start)).is_none(), "{name} {key} twice");
        }
    }
    out
}

fn device(uptime: u32, rows: &[(u32, &str, u32, u64, u32)]) -> String {
    let mut out = format!(
        "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.30065.1\n1.3.6.1.2.1.1.1.0|4|Arista EOS version 4.30.1F x\n1.3.6.1.2.1.1.3.0|67|{uptime}\n"
    );
    for (i, name, errors, octets, discontinuity) in rows {
        out += &format!(
            "1.3.6.1.2.1.2.2.1.2.{i}|4|{name}\n1.3.6.1.2.1.2.2.1.8.{i}|2|1\n1.3.6.1.2.1.2.2.1.14.{i}|65|{errors}\n\
             1.3.6.1.2.1.31.1.1.1.1.{i}|4|{name}\n1.3.6.1.2.1.31.1.1.1.6.{i}|70|{octets}\n\
             1.3.6.1.2.1.31.1.1.1.19.{i}|67|{discontinuity}\n"
        );
    }
    out
}

#[test]
fn wraps_add_up_and_only_a_restart_moves_the_start() {
    let agent = Device::new(&device(100_000, &[(1, "a", u32::MAX - 5, 1000, 0), (2, "b", 7, 50, 0)]));
    let mut single = agent.poller(Names::Mib, 1);
    let (status, first) = single.poll(10_000 * S).unwrap();
    assert_eq!((status.state, status.interfaces), (DeviceState::Up, 2));
    let boot = 9_000 * S;
    let wrapped = f64::from(u32::MAX - 5);
    assert_eq!(
        points(&first, "snmp_ifInErrors", "ifIndex"),
        BTreeMap::from([("1".into(), (wrapped, boot)), ("2".into(), (7.0, boot))])
    );
    agent.set(&device(106_003, &[(1, "a", 4, 2000, 0), (2, "b", 9, 60, 0)]));
    let (_, second) = single.poll(10_060 * S).unwrap();
    let errors = points(&second, "snmp_ifInErrors", "ifIndex");
    assert_eq!(errors["1"], (4_294_967_300.0, boot));
    // A line card was removed and another one put in its place: its counters began anew at a time it tells.
    agent.set(&device(112_000, &[(1, "a", 5, 3000, 0), (2, "b", 1, 3, 110_000)]));
    let (_, third) = single.poll(10_120 * S).unwrap();
    let octets = points(&third, "snmp_ifHCInOctets", "ifIndex");
    assert_eq!(octets["1"], (3000.0, boot));
    assert_eq!(octets["2"], (3.0, boot + 1100 * S));
    assert_eq!(points(&third, "snmp_ifInErrors", "ifIndex")["2"], (1.0, boot + 1100 * S));
    // The device restarts.
    agent.set(&device(2_000, &[(1, "a", 1, 10, 0), (2, "b", 0, 0, 0)]));
    let (_, fourth) = single.poll(10_180 * S).unwrap();
    let octets = points(&fourth, "snmp_ifHCInOctets", "ifIndex");
    assert_eq!(octets, BTreeMap::from([("1".into(), (10.0, 10_160 * S)), ("2".into(), (0.0, 10_160 * S))]));
}

#[test]
fn what_begins_anew_just_after_a_poll_does_not_begin_before_its_values() {
    // It began at a time with a fraction; the start time is the second below.
    let agent = Device::new(&device(100_007, &[(1, "a", 1, 1000, 0)]));
    let mut single = agent.poller(Names::Mib, 1);
    let start = |group: &ResourceGroup| points(group, "snmp_ifHCInOctets", "ifIndex")["1"].1;
    let (_, first) = single.poll(10_000 * S).unwrap();
    assert_eq!(start(&first), 8_999 * S);
    // Three tenths of a second after the first poll by the device, six before it by the start time's second.
    agent.set(&device(106_007, &[(1, "a", 1, 3, 100_037)]));
    let (_, second) = single.poll(10_060 * S).unwrap();
    assert_eq!(start(&second), 10_000 * S);
    agent.set(&device(112_007, &[(1, "a", 1, 5, 100_037)]));
    let (_, third) = single.poll(10_120 * S).unwrap();
    assert_eq!(start(&third), 10_000 * S);
}

#[test]
fn a_64_bit_counter_that_goes_back_begins_anew_and_a_huge_one_stays_positive() {
    let huge = (1 << 63) + (1 << 20);
    let agent = Device::new(&device(100_000, &[(1, "a", 0, 50, 0), (2, "b", 0, huge, 0)]));
    let mut single = agent.poller(Names::Mib, 1);
    let (_, first) = single.poll(10_000 * S).unwrap();
    let octets = points(&first, "snmp_ifHCInOctets", "ifIndex");
    assert_eq!((octets["1"], octets["2"]), ((50.0, 9_000 * S), (huge as f64, 9_000 * S)));
    // Cleared by hand, as some agents allow, and nothing says so: the rest of the line is no wrap.
    agent.set(&device(106_000, &[(1, "a", 0, 3, 0), (2, "b", 0, huge + 4096, 0)]));
    let (_, second) = single.poll(10_060 * S).unwrap();
    let octets = points(&second, "snmp_ifHCInOctets", "ifIndex");
    assert_eq!((octets["1"], octets["2"]), ((3.0, 10_000 * S), ((huge + 4096) as f64, 9_000 * S)));
}

#[test]
fn names_are_read_again_when_rows_change_and_not_otherwise() {
    let agent = Device::new(&device(100_000, &[(1, "a", 1, 1, 0), (2, "b", 1, 1, 0)]));
    let mut single = agent.poller(Names::Mib, 1);
    let count = || std::mem::take(&mut *agent.questions.lock().unwrap());
    single.poll(10_000 * S).unwrap();
    let first = count();
    agent.set(&device(106_000, &[(1, "a", 1, 2, 0), (2, "b", 1, 2, 0)]));
    single.poll(10_060 * S).unwrap();
    let later = count();
    assert!(later * 10 <= first * 6, "{later} of {first} packets");
    // Row 1 is gone, row 3 is new; after a restart the numbers mean others.
    agent.set(&device(112_000, &[(2, "b", 1, 3, 0), (3, "c", 1, 3, 0)]));
    let (_, group) = single.poll(10_120 * S).unwrap();
    let names: Vec<String> = points(&group, "snmp_ifHCInOctets", "ifName").into_keys().collect();
    assert_eq!(names, ["b", "c"]);
    agent.set(&device(100, &[(2, "c", 1, 3, 0), (3, "b", 1, 4, 0)]));
    let (_, group) = single.poll(10_180 * S).unwrap();
    let octets = points(&group, "snmp_ifHCInOctets", "ifName");
    assert_eq!((octets["b"].0, octets["c"].0), (4.0, 3.0));
}

#[test]
fn version_1_and_both_names_give_the_same_values_and_the_resource_says_what_it_is() {
    let agent = Device::new(&device(100_000, &[(1, "a", 3, 1, 0)]));
    let (status, group) = agent.poller(Names::Otel, 1).poll(10_000 * S).unwrap();
    assert_eq!(status.profile.as_deref(), Some("arista"));
    let io = points(&group, "hw.network.io", "network.interface.name");
    assert_eq!(io["a"], (1.0, 9_000 * S));
    assert_eq!(points(&group, "snmp.device.up", "")[""].0, 1.0);
    assert_eq!(points(&group, "system.uptime", "")[""].0, 1000.0);
    let of = |key| group.resource.text(key).unwrap();
    assert_eq!(
        (of("hw.vendor"), of("os.version"), of("site"), of("snmp.target")),
        ("Arista", "4.30.1F", "lab", "d")
    );
    // Version 1 has no Counter64: the 32-bit counters of the same row are read there.
    let (status, group) = agent.poller(Names::Otel, 0).poll(10_000 * S).unwrap();
    assert_eq!((status.state, status.last_error), (DeviceState::Up, None));
    assert_eq!(points(&group, "hw.errors", "network.interface.name")["a"].0, 3.0);
    assert_eq!(points(&group, "hw.network.io", "network.interface.name"), BTreeMap::new());
}

#[test]
fn of_a_fine_and_a_coarse_object_the_fine_one_counts_and_a_value_that_means_none_is_none() {
    let apc = "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.318.1.3.27\n1.3.6.1.2.1.1.3.0|67|100007\n\
               1.3.6.1.4.1.318.1.1.1.2.2.1.0|66|99\n1.3.6.1.4.1.318.1.1.26.6.3.1.5.1|2|54\n\
               1.3.6.1.4.1.318.1.1.26.6.3.1.6.1|2|-1\n";
    let fine = "1.3.6.1.4.1.318.1.1.1.2.3.1.0|66|987\n";
    let charge = |group: &ResourceGroup, name: &str| points(group, name, "").get("").map(|p| p.0);
    let agent = Device::new(apc);
    let (_, coarse) = agent.poller(Names::Otel, 1).poll(10_000 * S).unwrap();
    assert_eq!(charge(&coarse, "hw.battery.charge"), Some(0.99));
    assert_eq!(charge(&coarse, "hw.current"), Some(5.4));
    assert_eq!(charge(&coarse, "hw.voltage"), None);
    agent.set(&format!("{apc}{fine}"));
    let (_, both) = agent.poller(Names::Otel, 1).poll(10_060 * S).unwrap();
    assert_eq!(charge(&both, "hw.battery.charge"), Some(0.987));
    // Under the MIB's names all leave as they came.
    let (_, mib) = agent.poller(Names::Mib, 1).poll(10_060 * S).unwrap();
    let of = |name| charge(&mib, name);
    assert_eq!(
        (
            of("snmp_upsAdvBatteryCapacity"),
            of("snmp_upsHighPrecBatteryCapacity"),
            of("snmp_rPDU2PhaseStatusVoltage")
        ),
        (Some(99.0), Some(987.0), Some(-1.0))
    );
}

#[test]
fn a_device_that_is_silent_is_down_within_four_packets_and_tells_why() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut agent = Device::new("");
    agent.port = silent.local_addr().unwrap().port();
    let (status, group) = agent.poller(Names::Otel, 1).poll(S).unwrap();
    assert_eq!((status.state, status.last_error.as_deref()), (DeviceState::Down, Some("timeout")));
    assert_eq!(points(&group, "snmp.device.up", "")[""].0, 0.0);
    silent.set_nonblocking(true).unwrap();
    let mut packets = 0;
    while silent.recv(&mut [0; 2000]).is_ok() {
        packets += 1;
    }
    assert!((1..=4).contains(&packets), "{packets}");
}

#[test]
fn the_table_of_metrics_is_that_of_the_profiles() {
    let (otel, mib) = (Library::load(&[], Names::Otel).unwrap(), Library::load(&[], Names::Mib).unwrap());
    let made = metrics_page(&otel, &mib).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/snmp-metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap();
    assert!(
        there == made,
        "docs/snmp-metrics.md is not what the profiles say: run this test with UPDATE_DOCS=1"
    );
}

#[test]
fn values_are_told_in_their_units_where_another_column_says_them() {
    let head =
        "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.13742.6\n1.3.6.1.2.1.1.1.0|4|PX2 030600\n1.3.6.1.2.1.1.3.0|67|100\n";
    let inlet = |kind: u32, unit: i32, digits: u32, state: i32, value: u32| {
        format!(
            "1.3.6.1.4.1.13742.6.3.3.4.1.6.1.1.{kind}|2|{unit}\n1.3.6.1.4.1.13742.6.3.3.4.1.7.1.1.{kind}|66|{digits}\n\
             1.3.6.1.4.1.13742.6.5.2.3.1.3.1.1.{kind}|2|{state}\n1.3.6.1.4.1.13742.6.5.2.3.1.4.1.1.{kind}|66|{value}\n"
        )
    };
    let storage = |i: u32, units: &str, used: u32| {
        format!(
            "1.3.6.1.2.1.25.2.3.1.3.{i}|4|/{i}\n{units}1.3.6.1.2.1.25.2.3.1.5.{i}|2|100000\n1.3.6.1.2.1.25.2.3.1.6.{i}|2|{used}\n"
        )
    };
    let text = head.to_owned()
        + &inlet(1, 2, 3, 4, 1532)
        + &inlet(4, 1, 0, 4, 231)
        // Not available, and power factor: a number without unit.
        + &inlet(5, 3, 0, -1, 77)
        + &inlet(7, -1, 2, 4, 95)
        + &storage(1, "1.3.6.1.2.1.25.2.3.1.4.1|2|4096\n", 5)
        // Of what size its units are is not said, or in no number: no value rather than a wrong one.
        + &storage(2, "", 6)
        + &storage(3, "1.3.6.1.2.1.25.2.3.1.4.3|4|nan\n", 7);
    let device = Device::new(&text);
    let (_, polled) = device.poller(Names::Otel, 1).poll(10_000 * S).unwrap();
    let of = |name: &str, by: &str| -> Vec<(String, f64)> {
        points(&polled, name, by).into_iter().map(|(k, (v, _))| (k, v)).collect()
    };
    let one = |k: &str, v: f64| vec![(k.to_owned(), v)];
    assert_eq!(of("hw.current", "snmp.sensor_type"), one("1", 1.532));
    assert_eq!(of("hw.voltage", "snmp.sensor_type"), one("4", 231.0));
    assert_eq!(of("hw.power", "snmp.sensor_type"), []);
    assert_eq!(of("snmp.pdu2_mib.plain", "snmp.sensor_type"), one("7", 0.95));
    let used = "snmp.host_resources_mib.hr_storage_used";
    assert_eq!(of(used, "snmp.hr_storage_descr"), one("/1", 20480.0));
    // Under the MIB's names values are those on the wire.
    let (_, polled) = device.poller(Names::Mib, 1).poll(10_000 * S).unwrap();
    let raw = points(&polled, "snmp_hrStorageUsed", "hrStorageDescr");
    assert_eq!(raw.values().map(|v| v.0).collect::<Vec<_>>(), [5.0, 6.0, 7.0]);
}
