//! What a poll makes of a recorded device: its interfaces, its sensors, and a table by vendor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use telegen_model::{MetricData, NumberValue, Records, ResourceGroup, Secret, Value};
use telegen_snmp::poll::{Credential, DeviceState, DeviceStatus, Single, Target};
use telegen_snmp::profile::Library;
use telegen_snmp::session::Access;
use telegen_snmp::settings::Names;

use super::recorded::{Owned, Recorded, read};
use super::{Simulated, files, walks};

const IF: [u32; 10] = [1, 3, 6, 1, 2, 1, 2, 2, 1, 0];
const IFX: [u32; 11] = [1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 0];
const SENSOR: [u32; 11] = [1, 3, 6, 1, 2, 1, 99, 1, 1, 1, 0];
/// An entry and its column.
type Instead = Option<(&'static [u32], u32)>;
/// Objects of ifTable and ifXTable that are exported, with the one that stands instead where it has a value.
const OBJECTS: [(&str, &[u32], u32, Instead); 23] = [
    ("ifHCInOctets", &IFX, 6, None),
    ("ifHCOutOctets", &IFX, 10, None),
    ("ifInOctets", &IF, 10, Some((&IFX, 6))),
    ("ifOutOctets", &IF, 16, Some((&IFX, 10))),
    ("ifHCInUcastPkts", &IFX, 7, None),
    ("ifHCOutUcastPkts", &IFX, 11, None),
    ("ifInUcastPkts", &IF, 11, Some((&IFX, 7))),
    ("ifOutUcastPkts", &IF, 17, Some((&IFX, 11))),
    ("ifHCInMulticastPkts", &IFX, 8, None),
    ("ifHCOutMulticastPkts", &IFX, 12, None),
    ("ifHCInBroadcastPkts", &IFX, 9, None),
    ("ifHCOutBroadcastPkts", &IFX, 13, None),
    ("ifInNUcastPkts", &IF, 12, Some((&IFX, 8))),
    ("ifOutNUcastPkts", &IF, 18, Some((&IFX, 12))),
    ("ifInErrors", &IF, 14, None),
    ("ifOutErrors", &IF, 20, None),
    ("ifInDiscards", &IF, 13, None),
    ("ifOutDiscards", &IF, 19, None),
    ("ifOperStatus", &IF, 8, None),
    ("ifAdminStatus", &IF, 7, None),
    ("ifHighSpeed", &IFX, 15, None),
    ("ifSpeed", &IF, 5, Some((&IFX, 15))),
    // Never a metric.
    ("ifCounterDiscontinuityTime", &IFX, 19, None),
];

/// A column of a recording, by the rest of the name.
fn column<'a>(recorded: &'a Recorded, entry: &[u32], number: u32) -> BTreeMap<&'a [u32], &'a Owned> {
    let mut from = entry.to_vec();
    *from.last_mut().unwrap() = number;
    let below = recorded.objects.range(from.clone()..).take_while(|o| o.0.starts_with(&from));
    below.filter(|o| *o.1 != Owned::Null).map(|(k, v)| (&k[from.len()..], v)).collect()
}

fn dotted(index: &[u32]) -> String {
    index.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// Points of a metric by the value of an attribute, with all their attributes.
fn points(group: &ResourceGroup, name: &str, by: &str) -> BTreeMap<String, (f64, BTreeMap<String, String>)> {
    let Records::Metrics(metrics) = &group.records else { panic!("no metrics") };
    let mut out = BTreeMap::new();
    for metric in metrics.iter().filter(|m| m.name == name) {
        let (MetricData::Gauge(all) | MetricData::Sum { points: all, .. }) = &metric.data else { continue };
        for p in all {
            let text = |v: &Value| v.as_str().map_or_else(|| format!("{v:?}"), str::to_owned);
            let attrs: BTreeMap<String, String> =
                p.attrs.iter().map(|kv| (kv.key.to_string(), text(&kv.value))).collect();
            let value = match p.value {
                NumberValue::Int(i) => i as f64,
                NumberValue::Double(d) => d,
            };
            let key = attrs.get(by).cloned().unwrap_or_default();
            assert!(out.insert(key.clone(), (value, attrs)).is_none(), "{name} {key} twice");
        }
    }
    out
}

pub(super) fn poll(address: &str, library: &Arc<Library>) -> (DeviceStatus, ResourceGroup) {
    let access = Arc::new(Access::Community { version: 1, community: Secret::new("public") });
    let target = Target {
        name: "d".into(),
        address: address.to_owned(),
        credentials: vec![Credential { name: "c".into(), access }],
        interval: Duration::from_secs(60),
        profile: "auto".into(),
        labels: BTreeMap::new(),
        tries_a_minute: 10,
    };
    Single::new(Arc::new(target), library.clone()).unwrap().poll(1_000_000_000_000_000_000).unwrap()
}

/// A label as it is exported: trimmed text, or hexadecimal where it is none.
fn label(value: &Owned) -> Option<String> {
    let Owned::Octets(b) = value else { return None };
    let text = std::str::from_utf8(b.strip_suffix(&[0]).unwrap_or(b)).ok()?;
    let plain = text.chars().all(|c| !c.is_control() || c.is_ascii_whitespace());
    plain.then(|| text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

fn interfaces(recorded: &Recorded, group: &ResourceGroup) -> Vec<String> {
    let mut wrong = Vec::new();
    let names: [(&str, BTreeMap<&[u32], &Owned>); 3] = [
        ("ifDescr", column(recorded, &IF, 2)),
        ("ifName", column(recorded, &IFX, 1)),
        ("ifAlias", column(recorded, &IFX, 18)),
    ];
    let mut rows: BTreeSet<String> = BTreeSet::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (object, entry, number, instead) in OBJECTS {
        let values = column(recorded, entry, number);
        let instead = instead.map(|(entry, number)| column(recorded, entry, number)).unwrap_or_default();
        let got = points(group, &format!("snmp_{object}"), "ifIndex");
        seen.extend(got.keys().cloned());
        if object == "ifCounterDiscontinuityTime" {
            continue;
        }
        let mut expected = BTreeMap::new();
        for (index, value) in values.iter().filter(|v| !instead.contains_key(v.0)) {
            if let Some(number) = value.number() {
                expected.insert(dotted(index), number);
            }
        }
        rows.extend(expected.keys().cloned());
        let given: BTreeMap<String, f64> = got.iter().map(|(k, v)| (k.clone(), v.0)).collect();
        if given != expected {
            let keys: BTreeSet<&String> = given.keys().chain(expected.keys()).collect();
            let at = keys.into_iter().find(|k| given.get(*k) != expected.get(*k)).unwrap();
            wrong.push(format!("{object}.{at}: {:?}, recorded {:?}", given.get(at), expected.get(at)));
        }
        for (index, (_, attrs)) in &got {
            for (attr, of) in &names {
                let recorded = of.iter().find(|o| dotted(o.0) == *index).and_then(|o| label(o.1));
                let recorded = recorded.filter(|t| !t.is_empty() && t.len() <= 255);
                if recorded.is_some() && attrs.get(*attr) != recorded.as_ref() {
                    wrong.push(format!("{attr}.{index}: {:?}, recorded {recorded:?}", attrs.get(*attr)));
                }
            }
        }
    }
    if seen != rows {
        wrong.push(format!("rows {seen:?}, recorded {rows:?}"));
    }
    wrong
}

/// Rows with a value whose status is ok or not there are series; others are none.
fn sensors(recorded: &Recorded, group: &ResourceGroup) -> Vec<String> {
    let status = column(recorded, &SENSOR, 5);
    let works = |i: &[u32]| status.get(i).is_none_or(|s| **s == Owned::Int(1));
    let expected: BTreeMap<String, f64> = column(recorded, &SENSOR, 4)
        .into_iter()
        .filter(|(i, _)| works(i))
        .filter_map(|(i, v)| Some((dotted(i), v.number()?)))
        .collect();
    let got = points(group, "snmp_entPhySensorValue", "entPhysicalIndex");
    let given: BTreeMap<String, f64> = got.into_iter().map(|(k, v)| (k, v.0)).collect();
    if given == expected { Vec::new() } else { vec![format!("sensors {given:?}, recorded {expected:?}")] }
}

#[derive(Default)]
struct Tally {
    devices: usize,
    profiles: BTreeSet<String>,
    interfaces: usize,
    points: usize,
    refused: usize,
    degraded: usize,
}

#[test]
fn interfaces_and_sensors_of_every_walk_are_what_was_recorded() {
    let all = files("polls of recorded devices");
    if all.is_empty() {
        return;
    }
    let simulated = Simulated::new(walks().unwrap(), [127, 89, 0, 1]);
    let library = Arc::new(Library::load(&[], Names::Mib).unwrap());
    let mut wrong = Vec::new();
    let mut by_vendor: BTreeMap<String, Tally> = BTreeMap::new();
    for (name, path) in &all {
        let recorded = read(path);
        let (status, group) = poll(&simulated.address(name).to_string(), &library);
        if status.state == DeviceState::Down {
            // Without anything that a first question asks for there is no device.
            let system = recorded.objects.keys().any(|o| o.starts_with(&[1, 3, 6, 1, 2, 1, 1]));
            assert!(!system, "{name}: {:?}", status.last_error);
        }
        let found = interfaces(&recorded, &group).into_iter().chain(sensors(&recorded, &group));
        wrong.extend(found.map(|w| format!("{name}: {w}")));
        let tally = by_vendor.entry(status.vendor.clone().unwrap_or_default()).or_default();
        tally.devices += 1;
        tally.profiles.extend(status.profile.clone());
        tally.interfaces += status.interfaces;
        tally.points += group.records.items();
        tally.refused += recorded.refused;
        tally.degraded += usize::from(status.state != DeviceState::Up);
    }
    eprintln!(
        "{:<28} {:>7} {:>10} {:>8} {:>8} {:>8}  profiles",
        "vendor", "devices", "interfaces", "points", "refused", "not up"
    );
    for (vendor, t) in &by_vendor {
        let vendor = if vendor.is_empty() { "(not known)" } else { vendor };
        let profiles = t.profiles.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        eprintln!(
            "{vendor:<28} {:>7} {:>10} {:>8} {:>8} {:>8}  {profiles}",
            t.devices, t.interfaces, t.points, t.refused, t.degraded
        );
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
