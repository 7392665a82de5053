use std::collections::{BTreeMap, VecDeque};

use telegen_model::{
    Attrs, KeyValue, Metric, MetricData, NumberPoint, NumberValue, Records, ResourceGroup, Value,
};

/// Devices that are remembered.
const MOST_DEVICES: usize = 2000;
/// Interfaces that are remembered, of all devices together: about 15 MB.
const MOST_INTERFACES: usize = 30_000;
/// Sensors and neighbours of one device.
const MOST_ROWS: usize = 500;
/// Rates of an interface.
const RATES: usize = 30;
/// Notifications of one device.
const MOST_TRAPS: usize = 50;

/// Bytes of a text of a device, of a notification: a device may send 64 KiB as a name.
const MOST_TEXT: usize = 256;
const MOST_TRAP_TEXT: usize = 600;

/// Names of the number of an interface, after both namings.
const INDEX: [&str; 2] = ["snmp.if_index", "ifIndex"];
/// Metrics of sensors.
const SENSORS: [&str; 12] = [
    "hw.temperature",
    "hw.voltage",
    "hw.current",
    "hw.power",
    "hw.frequency",
    "hw.humidity",
    "hw.fan.speed",
    "hw.optical.power",
    "hw.airflow",
    "hw.battery.charge",
    "hw.battery.time_left",
    "hw.utilization",
];

/// Which number of an interface a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    In,
    Out,
    Errors,
    Status,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) devices: BTreeMap<String, Device>,
    interfaces: usize,
    /// Devices, interfaces and rows that found no room.
    pub(super) passed_over: u64,
}

/// A device.
#[derive(Debug, Default)]
pub(super) struct Device {
    pub(super) attrs: Vec<(String, String)>,
    /// By number.
    pub(super) interfaces: BTreeMap<u64, Interface>,
    /// By what and where.
    pub(super) sensors: BTreeMap<(String, String), Sensor>,
    pub(super) neighbours: BTreeMap<Vec<String>, u64>,
    pub(super) traps: VecDeque<Trap>,
    /// Time of the last metrics, ns since 1970.
    pub(super) last: u64,
    pub(super) packets: Option<f64>,
    pub(super) duration: Option<f64>,
}

/// An interface.
#[derive(Debug, Default)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) alias: String,
    pub(super) status: Option<i64>,
    /// Bytes a second.
    pub(super) received: Rate,
    pub(super) sent: Rate,
    /// Both directions, a second.
    pub(super) errors: [Rate; 2],
    pub(super) seen: u64,
}

/// A counter's last value and what it moved by.
#[derive(Debug, Default)]
pub(super) struct Rate {
    last: Option<(f64, u64, u64)>,
    pub(super) now: Option<f64>,
    pub(super) before: VecDeque<f32>,
}

/// A sensor.
#[derive(Debug)]
pub(super) struct Sensor {
    pub(super) value: f64,
    pub(super) unit: String,
    pub(super) seen: u64,
}

/// A notification.
#[derive(Debug)]
pub(super) struct Trap {
    pub(super) time: u64,
    pub(super) name: String,
    pub(super) text: String,
}

/// The begin of a text.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

fn text(value: &Value) -> String {
    match value {
        Value::Str(s) => cut(s, MOST_TEXT).to_owned(),
        Value::Int(i) => i.to_string(),
        Value::Double(d) => d.to_string(),
        Value::Bool(b) => b.to_string(),
        _ => String::new(),
    }
}

fn get<'a>(attrs: &'a [KeyValue], names: &[&str]) -> Option<&'a str> {
    let found = attrs.iter().find(|kv| names.contains(&&*kv.key)).and_then(|kv| kv.value.as_str());
    found.map(|text| cut(text, MOST_TEXT))
}

fn number(point: &NumberPoint) -> f64 {
    match point.value {
        NumberValue::Int(i) => i as f64,
        NumberValue::Double(d) => d,
    }
}

impl Rate {
    fn take(&mut self, point: &NumberPoint) {
        let value = number(point);
        let rate = self.last.and_then(|(before, start, time)| {
            // A counter that began anew says nothing of the time between.
            let same = start == point.start && value >= before && point.time > time;
            same.then(|| (value - before) / ((point.time - time) as f64 / 1e9))
        });
        self.last = Some((value, point.start, point.time));
        self.now = rate;
        if let Some(rate) = rate {
            if self.before.len() >= RATES {
                self.before.pop_front();
            }
            self.before.push_back(rate as f32);
        }
    }
}

fn what(name: &str, attrs: &Attrs) -> Option<(What, bool)> {
    let received = get(attrs, &["network.io.direction"]) == Some("receive");
    Some(match name {
        "hw.network.io" if received => (What::In, true),
        "hw.network.io" => (What::Out, false),
        "hw.errors" => (What::Errors, received),
        "snmp.if_mib.if_oper_status" | "snmp_ifOperStatus" => (What::Status, true),
        "snmp_ifHCInOctets" | "snmp_ifInOctets" => (What::In, true),
        "snmp_ifHCOutOctets" | "snmp_ifOutOctets" => (What::Out, false),
        "snmp_ifInErrors" => (What::Errors, true),
        "snmp_ifOutErrors" => (What::Errors, false),
        _ => return None,
    })
}

impl Store {
    /// Takes what a group says, where it is of a device.
    pub(super) fn take(&mut self, group: &ResourceGroup) {
        let Some(target) = group.resource.text("snmp.target") else { return };
        if !self.devices.contains_key(target) && self.devices.len() >= MOST_DEVICES {
            self.passed_over += 1;
            return;
        }
        let device = self.devices.entry(target.to_owned()).or_default();
        match &group.records {
            Records::Metrics(metrics) => {
                device.attrs =
                    group.resource.attrs().iter().map(|kv| (kv.key.to_string(), text(&kv.value))).collect();
                for metric in metrics {
                    device.metric(metric, &mut self.interfaces, &mut self.passed_over);
                }
                device.forget(&mut self.interfaces);
            }
            Records::Logs(logs) => {
                for log in logs.iter().filter(|l| l.event_name == "snmp.trap") {
                    if device.traps.len() >= MOST_TRAPS {
                        device.traps.pop_back();
                    }
                    let shown = log.attrs.iter().filter(|kv| !kv.key.starts_with("1.3.6.1.2.1.1.3"));
                    let text: Vec<String> =
                        shown.map(|kv| format!("{} {}", kv.key, text(&kv.value))).collect();
                    let text = cut(&text.join(", "), MOST_TRAP_TEXT).to_owned();
                    let name = self::text(&log.body);
                    device.traps.push_front(Trap { time: log.observed, name, text });
                }
            }
            _ => {}
        }
    }
}

impl Device {
    fn metric(&mut self, metric: &Metric, interfaces: &mut usize, passed_over: &mut u64) {
        let (MetricData::Gauge(points) | MetricData::Sum { points, .. }) = &metric.data else { return };
        for point in points {
            self.last = self.last.max(point.time);
            if let Some((what, received)) = what(&metric.name, &point.attrs) {
                let Some(index) = get(&point.attrs, &INDEX).and_then(|i| i.parse().ok()) else { continue };
                if !self.interfaces.contains_key(&index) {
                    if *interfaces >= MOST_INTERFACES {
                        *passed_over += 1;
                        continue;
                    }
                    *interfaces += 1;
                }
                self.interfaces.entry(index).or_default().take(what, received, point);
            } else if metric.name == "snmp.topology.neighbor" {
                let texts = point.attrs.iter().filter(|kv| !kv.key.starts_with("snmp.lldp_rem"));
                let key = texts.map(|kv| format!("{}={}", kv.key, text(&kv.value))).collect();
                if self.neighbours.len() < MOST_ROWS || self.neighbours.contains_key(&key) {
                    self.neighbours.insert(key, point.time);
                } else {
                    *passed_over += 1;
                }
            } else if SENSORS.contains(&&*metric.name) {
                let named = get(&point.attrs, &["hw.name"]).map(str::to_owned);
                let texts = || point.attrs.iter().map(|kv| text(&kv.value)).collect::<Vec<_>>().join(" ");
                let key = (metric.name.to_string(), named.unwrap_or_else(texts));
                if self.sensors.len() < MOST_ROWS || self.sensors.contains_key(&key) {
                    let unit = metric.unit.to_string();
                    self.sensors.insert(key, Sensor { value: number(point), unit, seen: point.time });
                } else {
                    *passed_over += 1;
                }
            } else if metric.name == "snmp.device.poll.packets" {
                self.packets = Some(number(point));
            } else if metric.name == "snmp.device.poll.duration" {
                self.duration = Some(number(point));
            }
        }
    }

    /// What a device has no more goes after an hour.
    fn forget(&mut self, interfaces: &mut usize) {
        let old = self.last.saturating_sub(3600 * 1_000_000_000);
        let before = self.interfaces.len();
        self.interfaces.retain(|_, i| i.seen >= old);
        *interfaces -= before - self.interfaces.len();
        self.sensors.retain(|_, s| s.seen >= old);
        self.neighbours.retain(|_, seen| *seen >= old);
    }
}

impl Interface {
    fn take(&mut self, what: What, received: bool, point: &NumberPoint) {
        let name = get(&point.attrs, &["network.interface.name", "ifName"]).filter(|n| !n.is_empty());
        let name = name.or_else(|| get(&point.attrs, &["network.interface.description", "ifDescr"]));
        let alias = get(&point.attrs, &["network.interface.alias", "ifAlias"]).unwrap_or_default();
        if let Some(name) = name.filter(|n| *n != self.name) {
            name.clone_into(&mut self.name);
        }
        if alias != self.alias {
            alias.clone_into(&mut self.alias);
        }
        self.seen = point.time;
        match what {
            What::In => self.received.take(point),
            What::Out => self.sent.take(point),
            What::Errors => self.errors[usize::from(received)].take(point),
            What::Status => self.status = Some(number(point) as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use telegen_model::{LogRecord, Resource, Scope, Severity, SpanId, TraceId};

    use super::*;

    #[test]
    fn what_a_device_calls_itself_is_cut() {
        // A letter of two bytes would be cut in its middle.
        let long = format!("x{}", "\u{e9}".repeat(32_000));
        let kv = |key, value: &str| KeyValue::new(key, value);
        let resource = Arc::new(Resource::new(vec![kv("snmp.target", "core-1"), kv("hw.model", &long)]));
        let point = |attrs: Vec<KeyValue>| NumberPoint {
            attrs: attrs.into(),
            start: 1,
            time: 2,
            value: NumberValue::Int(3),
            exemplars: Vec::new(),
        };
        let metric = |name: &'static str, attrs| Metric {
            name: name.into(),
            description: "".into(),
            unit: "".into(),
            data: MetricData::Gauge(vec![point(attrs)]),
        };
        let metrics = vec![
            metric("snmp_ifOperStatus", vec![kv("ifIndex", "1"), kv("ifName", &long), kv("ifAlias", &long)]),
            metric("hw.temperature", vec![kv("hw.name", &long)]),
        ];
        let trap = LogRecord {
            event_name: "snmp.trap".into(),
            body: Value::from(long.as_str()),
            attrs: vec![kv("1.3.6.1.4.1.1", &long), kv("1.3.6.1.4.1.2", &long), kv("1.3.6.1.4.1.3", &long)],
            time: 0,
            observed: 2,
            severity: Severity(0),
            severity_text: "".into(),
            trace_id: TraceId::ZERO,
            span_id: SpanId::ZERO,
        };
        let mut store = Store::default();
        for records in [Records::Metrics(metrics), Records::Logs(vec![trap])] {
            let scope = Scope { name: "telegen/snmp".into(), version: "1".into() };
            store.take(&ResourceGroup { resource: resource.clone(), scope, records });
        }
        let device = &store.devices["core-1"];
        let (interface, trap) = (&device.interfaces[&1], &device.traps[0]);
        let sensor = device.sensors.keys().next().unwrap();
        let model = device.attrs.iter().find(|(k, _)| k == "hw.model").unwrap();
        let lengths = [&interface.name, &interface.alias, &sensor.1, &model.1, &trap.name].map(String::len);
        assert_eq!(lengths, [255; 5]);
        assert!(trap.text.len() <= MOST_TRAP_TEXT && trap.text.len() > 500);
    }
}
