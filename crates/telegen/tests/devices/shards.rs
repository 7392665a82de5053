//! Devices shared out over one, two and three processes: each is polled once an interval, whoever does it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use telegen_model::MetricData;
use telegen_snmp::simulate::{Conditions, Simulator};
use telegen_testkit::sink::OtlpSink;

use super::Telegen;

const DEVICES: usize = 1000;
const INTERVAL: u64 = 5;
/// Whole intervals between two changes.
const REST: u64 = 2;

/// A switch with one port.
const SWITCH: &str = "1.3.6.1.2.1.1.1.0|4|A switch\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.1\n1.3.6.1.2.1.1.3.0|67|123456\n\
    1.3.6.1.2.1.2.2.1.2.1|4|Ethernet1\n1.3.6.1.2.1.31.1.1.1.1.1|4|Et1\n1.3.6.1.2.1.31.1.1.1.6.1|70|1000\n";

struct Shards {
    dir: tempfile::TempDir,
    sink: SocketAddr,
    running: Vec<Telegen>,
}

impl Shards {
    fn config(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("shard{index}.yaml"))
    }

    fn write(&self, index: usize, of: usize) {
        let text = format!(
            "mode: collector\nserver: {{ listen: \"\" }}\nexport: {{ otlp: {{ endpoint: \"http://{}\" }} }}\ncollector:\n  \
             snmp:\n    interval: {INTERVAL}s\n    names: mib\n    shard: {{ index: {index}, of: {of} }}\n    \
             credentials: {{ public: {{ version: 2c, community: public }} }}\n    target_files: [\"{}\"]\n",
            self.sink,
            self.dir.path().join("targets.yaml").display()
        );
        let new = self.dir.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, self.config(index)).unwrap();
    }

    /// One process more; those that run see it too, at their next look at their file.
    fn grow(&mut self) {
        let of = self.running.len() + 1;
        for index in 0..of {
            self.write(index, of);
        }
        let config = self.config(of - 1);
        self.running.push(Telegen::start(&config));
    }
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// Each device's polls by number of interval, counted from the device's own moment in it.
fn by_interval(log: &[(usize, u64)], moments: &[u64]) -> Vec<BTreeMap<u64, u32>> {
    let interval = INTERVAL * 1_000_000_000;
    let mut out = vec![BTreeMap::new(); DEVICES];
    for (device, at) in log {
        // The nearest of its moments: a poll may be a little late.
        let number = (at + interval / 2 - moments[*device]) / interval;
        *out[*device].entry(number).or_insert(0) += 1;
    }
    out
}

fn starts(sink: &OtlpSink) -> BTreeMap<String, BTreeSet<u64>> {
    let mut out: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for group in sink.groups() {
        let Some(target) = group.resource.text("snmp.target").map(str::to_owned) else { continue };
        let telegen_model::Records::Metrics(metrics) = &group.records else { continue };
        for metric in metrics.iter().filter(|m| m.name == "snmp_ifHCInOctets") {
            let MetricData::Sum { points, .. } = &metric.data else { panic!("{metric:?}") };
            out.entry(target.clone()).or_default().extend(points.iter().map(|p| p.start));
        }
    }
    out
}

fn targets(simulator: &Simulator, to: &Path) {
    let mut text = String::new();
    for (n, (address, _)) in simulator.devices().enumerate() {
        text +=
            &format!("- {{ address: \"{address}\", name: d{n}, credentials: [public], profile: if-mib }}\n");
    }
    std::fs::write(to, text).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_device_is_polled_once_an_interval_by_one_two_and_three_shards() {
    let sink = OtlpSink::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("switch.snmprec");
    std::fs::write(&recording, SWITCH).unwrap();
    let listen: SocketAddr = ([127, 90, 0, 1], 0).into();
    let conditions = Conditions { live: true, ..Conditions::default() };
    let mut simulator = Simulator::open(&recording, listen, Some(DEVICES), conditions).unwrap();
    let log = simulator.log();
    targets(&simulator, &dir.path().join("targets.yaml"));
    let stop = Arc::new(AtomicBool::new(false));
    let ended = stop.clone();
    let simulated = std::thread::spawn(move || simulator.run(&ended).unwrap());
    let mut shards = Shards { dir, sink: sink.addr(), running: Vec::new() };
    let mut changes = Vec::new();
    let interval = INTERVAL * 1_000_000_000;
    for _ in 0..3 {
        let begun = now();
        shards.grow();
        // Seen within 2 s, in effect with the next interval.
        changes.push((begun, now() + 2_000_000_000 + interval));
        tokio::time::sleep(Duration::from_secs((REST + 2) * INTERVAL)).await;
    }
    let end = now();
    for telegen in shards.running.drain(..) {
        assert_eq!(telegen.stop(), Some(0));
    }
    stop.store(true, Ordering::Relaxed);
    simulated.join().unwrap();
    let log = log.lock().unwrap().clone();
    // A device's moment: where the least late of its last polls stands.
    let settled = changes[2].1;
    let mut moments = vec![None; DEVICES];
    for (device, at) in log.iter().filter(|(_, at)| (settled..end).contains(at)) {
        let at = at % interval;
        let earlier = |than: u64| (than + interval - at) % interval < interval / 2;
        if moments[*device].is_none_or(earlier) {
            moments[*device] = Some(at);
        }
    }
    let moments: Vec<u64> = moments.into_iter().map(|m| m.unwrap()).collect();
    let (mut counted, mut at_change) = (0, BTreeMap::new());
    for (device, polls) in by_interval(&log, &moments).into_iter().enumerate() {
        let moment = |number: u64| number * interval + moments[device];
        let first = changes[0].1 / interval + 1;
        for number in first.. {
            let at = moment(number);
            if at + interval > end {
                break;
            }
            let polls = polls.get(&number).copied().unwrap_or(0);
            if changes
                .iter()
                .any(|(from, to)| (*from..*to).contains(&(at + interval / 2)) || (*from..*to).contains(&at))
            {
                *at_change.entry(polls).or_insert(0) += 1;
                assert!(polls <= 2, "d{device}: {polls} polls in an interval of the change");
            } else {
                assert_eq!(polls, 1, "d{device}, interval {number}: changes {changes:?}, at {at}");
                counted += 1;
            }
        }
    }
    eprintln!(
        "{counted} intervals of {DEVICES} devices with one poll each; at changes, polls and how often: {at_change:?}"
    );
    assert!(counted >= DEVICES * REST as usize, "{counted}");
    let starts = starts(&sink);
    assert_eq!(starts.len(), DEVICES);
    // A process that takes a device over reads its sysUpTime anew, and finds the same second. The devices began at a
    // thousand fractions of a second; only where two looks lie on two sides of a second's border, by as much as answers'
    // ways differ, may it find the other.
    let moved = starts.values().filter(|of| of.len() > 1).count();
    eprintln!("over two changes the start times of {moved} of {DEVICES} devices moved");
    for (target, of) in &starts {
        assert!(
            of.len() <= 2 && of.last().unwrap() - of.first().unwrap() <= 1_000_000_000,
            "{target}: {of:?}"
        );
        assert!(of.iter().all(|s| s % 1_000_000_000 == 0), "{target}: {of:?}");
    }
    assert!(moved <= 5, "{moved} moved");
}
