//! What leaves of recorded devices under OpenTelemetry's names: no series twice, one unit a name, values that can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use telegen_model::{MetricData, NumberValue, Records};
use telegen_snmp::poll::DeviceState;
use telegen_snmp::profile::Library;
use telegen_snmp::settings::Names;

use super::interfaces::poll;
use super::{Simulated, files, walks};

/// What a physical quantity can be, in its unit, on a device that answers.
const BOUNDS: [(&str, f64, f64); 12] = [
    ("hw.temperature", -60.0, 250.0),
    ("hw.battery.charge", 0.0, 1.0),
    ("hw.memory.utilization", 0.0, 1.0),
    ("system.cpu.utilization", 0.0, 1.0),
    ("hw.humidity", 0.0, 100.0),
    ("hw.fan.speed", 0.0, 100_000.0),
    ("hw.voltage", -1_000.0, 100_000.0),
    ("hw.current", -1_000.0, 10_000.0),
    ("hw.power", -1_000.0, 1_000_000.0),
    ("hw.frequency", 0.0, 1e12),
    ("hw.optical.power", -100.0, 60.0),
    ("hw.battery.time_left", 0.0, 1e7),
];

#[test]
fn no_series_of_a_recorded_device_is_there_twice_or_cannot_be() {
    let all = files("telemetry of recorded devices");
    if all.is_empty() {
        return;
    }
    let simulated = Simulated::new(walks().unwrap(), [127, 87, 0, 1]);
    let library = Arc::new(Library::load(&[], Names::Otel).unwrap());
    let (mut twice, mut wild) = (Vec::new(), Vec::new());
    let mut units: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, _) in &all {
        let (status, group) = poll(&simulated.address(name).to_string(), &library);
        let Records::Metrics(metrics) = &group.records else { panic!("no metrics") };
        assert!(status.state == DeviceState::Down || !metrics.is_empty());
        let mut seen = BTreeSet::new();
        for metric in metrics {
            let (sum, points) = match &metric.data {
                MetricData::Gauge(points) => (false, points),
                MetricData::Sum { points, .. } => (true, points),
                other => panic!("{}: {other:?}", metric.name),
            };
            units.entry(metric.name.to_string()).or_default().insert(metric.unit.to_string());
            for p in points {
                let mut attrs: Vec<String> = p
                    .attrs
                    .iter()
                    .map(|kv| format!("{}={}", kv.key, kv.value.as_str().unwrap_or("?")))
                    .collect();
                attrs.sort();
                let keys: BTreeSet<&str> = p.attrs.iter().map(|kv| &*kv.key).collect();
                assert_eq!(keys.len(), attrs.len(), "{name}: {} {attrs:?}", metric.name);
                let value = match p.value {
                    NumberValue::Int(i) => i as f64,
                    NumberValue::Double(d) => d,
                };
                assert!(value.is_finite() && (!sum || value >= 0.0), "{name}: {} {attrs:?}", metric.name);
                if let Some((_, low, high)) = BOUNDS.iter().find(|b| b.0 == metric.name)
                    && !(*low..=*high).contains(&value)
                {
                    wild.push(format!("{name}: {} {attrs:?} {value}", metric.name));
                }
                if !seen.insert((metric.name.to_string(), attrs.clone())) {
                    twice.push(format!("{name}: {} {attrs:?}", metric.name));
                }
            }
        }
    }
    let units: Vec<_> = units.iter().filter(|u| u.1.len() > 1).collect();
    assert!(units.is_empty(), "{units:?}");
    assert!(twice.is_empty(), "{} series twice:\n{}", twice.len(), twice.join("\n"));
    assert!(wild.is_empty(), "{} values that cannot be:\n{}", wild.len(), wild.join("\n"));
}
