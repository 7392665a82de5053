use std::net::IpAddr;

use telegen_model::{KeyValue, LogRecord, Severity, SpanId, Str, TraceId, Value as Attr};

use crate::protocol::{DecodeError, Oid, Pdu, TrapV1, Value, VarBinds, display};
use crate::show::hex;

/// Most variables of a notification.
const MOST_VARIABLES: usize = 256;
/// Most octets of a value.
const MOST_OCTETS: usize = 1024;
/// sysUpTime.0
const UPTIME: &str = "1.3.6.1.2.1.1.3.0";
/// snmpTrapOID.0
const TRAP_OID: &str = "1.3.6.1.6.3.1.1.4.1.0";
/// snmpTrapAddress.0
const TRAP_ADDRESS: &str = "1.3.6.1.6.3.18.1.3.0";
/// snmpTrapEnterprise.0
const TRAP_ENTERPRISE: &str = "1.3.6.1.6.3.1.1.4.3.0";
/// snmpTraps: the generic ones follow.
const GENERIC: [u32; 9] = [1, 3, 6, 1, 6, 3, 1, 1, 5];
/// Names and severities of the generic traps, from 1.
const NAMES: [(&str, u8); 6] = [
    ("coldStart", 13),
    ("warmStart", 9),
    ("linkDown", 13),
    ("linkUp", 9),
    ("authenticationFailure", 13),
    ("egpNeighborLoss", 13),
];

/// A notification as a log record without its times.
pub(crate) fn of_pdu(pdu: &Pdu<'_>, from: IpAddr) -> Result<LogRecord, DecodeError> {
    let mut attrs = Vec::with_capacity(8);
    let mut trap = String::new();
    variables(pdu.varbinds, &mut attrs, &mut trap)?;
    if trap.is_empty() {
        return Err(DecodeError::BadField("snmpTrapOID"));
    }
    Ok(record(trap, attrs, from))
}

/// A trap of version 1, as RFC 2576 (section 3.1) maps it.
pub(crate) fn of_v1(trap: &TrapV1<'_>, from: IpAddr) -> Result<LogRecord, DecodeError> {
    let oid = match trap.generic {
        0..=5 => {
            let mut arcs = GENERIC.to_vec();
            arcs.push(trap.generic as u32 + 1);
            Oid::from_arcs(&arcs)
        }
        6 => {
            let Some(enterprise) = Oid::from_ber(trap.enterprise) else { return Err(DecodeError::BadOid) };
            Ok(enterprise.child(&[0, trap.specific as u32]))
        }
        _ => return Err(DecodeError::BadField("generic-trap")),
    };
    let oid = oid.map_err(|_| DecodeError::BadOid)?.to_string();
    let text = |s: String| Attr::Str(Str::from(s));
    let mut attrs = vec![
        KeyValue::new(UPTIME, i64::from(trap.uptime)),
        KeyValue { key: Str::const_new(TRAP_OID), value: text(oid.clone()) },
    ];
    variables(trap.varbinds, &mut attrs, &mut String::new())?;
    for (key, value) in [
        (TRAP_ADDRESS, std::net::Ipv4Addr::from(trap.agent).to_string()),
        (TRAP_ENTERPRISE, display(trap.enterprise).to_string()),
    ] {
        if attrs.iter().all(|kv| kv.key != key) {
            attrs.push(KeyValue { key: Str::const_new(key), value: text(value) });
        }
    }
    Ok(record(oid, attrs, from))
}

fn record(trap: String, mut attrs: Vec<KeyValue>, from: IpAddr) -> LogRecord {
    let generic = trap.strip_prefix("1.3.6.1.6.3.1.1.5.").and_then(|n| n.parse::<usize>().ok());
    let (name, severity) =
        generic.and_then(|n| NAMES.get(n.wrapping_sub(1))).copied().unwrap_or((trap.as_str(), 9));
    let body = Attr::Str(Str::new(name));
    attrs.push(KeyValue { key: Str::const_new("source.address"), value: Attr::from(from.to_string()) });
    attrs.push(KeyValue { key: Str::const_new("snmp.trap.oid"), value: Attr::Str(Str::from(trap)) });
    LogRecord {
        time: 0,
        observed: 0,
        severity: Severity(severity),
        severity_text: Str::const_new(if severity < 13 { "INFO" } else { "WARN" }),
        body,
        attrs,
        trace_id: TraceId::default(),
        span_id: SpanId::default(),
        event_name: Str::const_new("snmp.trap"),
    }
}

/// Columns of ifTable and ifXTable.
const INTERFACES: [&str; 2] = ["1.3.6.1.2.1.2.2.1.", "1.3.6.1.2.1.31.1.1.1."];
/// Notifications that say that a device or an interface of it changed: coldStart, warmStart, linkDown, linkUp,
/// entConfigChange.
const CHANGES: [&str; 5] = [
    "1.3.6.1.6.3.1.1.5.1",
    "1.3.6.1.6.3.1.1.5.2",
    "1.3.6.1.6.3.1.1.5.3",
    "1.3.6.1.6.3.1.1.5.4",
    "1.3.6.1.2.1.47.2.0.1",
];

/// The number of the one interface whose objects a notification carries.
pub(crate) fn interface(record: &LogRecord) -> Option<u32> {
    let mut found = None;
    for kv in &record.attrs {
        let Some(rest) = INTERFACES.iter().find_map(|entry| kv.key.strip_prefix(entry)) else { continue };
        let number = rest.split_once('.').and_then(|(_, index)| index.parse().ok());
        if number.is_none() || found.is_some_and(|f| Some(f) != number) {
            return None;
        }
        found = number;
    }
    found
}

/// Whether what is known of the device may be old now.
pub(crate) fn tells_change(record: &LogRecord) -> bool {
    let trap = record.attrs.iter().find(|kv| kv.key == "snmp.trap.oid").and_then(|kv| kv.value.as_str());
    trap.is_some_and(|t| CHANGES.contains(&t))
}

fn variables(all: VarBinds<'_>, attrs: &mut Vec<KeyValue>, trap: &mut String) -> Result<(), DecodeError> {
    for (n, variable) in all.enumerate() {
        let (oid, value) = variable?;
        if n >= MOST_VARIABLES {
            return Err(DecodeError::BadField("number of variables"));
        }
        let key = Str::from(display(oid).to_string());
        let value = match value {
            Value::Int(i) => Attr::Int(i),
            Value::Counter32(v) | Value::Gauge32(v) | Value::Ticks(v) => Attr::Int(i64::from(v)),
            Value::Counter64(v) => i64::try_from(v).map_or(Attr::Double(v as f64), Attr::Int),
            Value::Octets(b) => octets(b),
            Value::Opaque(b) => match Value::Opaque(b).number() {
                Some(f) => Attr::Double(f),
                None => octets(b),
            },
            Value::Oid(o) => {
                let text = display(o).to_string();
                if key == TRAP_OID && trap.is_empty() {
                    trap.clone_from(&text);
                }
                Attr::Str(Str::from(text))
            }
            Value::Ip(ip) => Attr::Str(Str::from(std::net::Ipv4Addr::from(ip).to_string())),
            Value::Null | Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView => {
                Attr::constant("")
            }
        };
        // Keys are unique: of two variables with one name the first stands.
        if attrs.iter().all(|kv| kv.key != key) {
            attrs.push(KeyValue { key, value });
        }
    }
    Ok(())
}

/// Printable octets as text, others as hexadecimal digits.
fn octets(b: &[u8]) -> Attr {
    let b = &b[..b.len().min(MOST_OCTETS)];
    let printable = |t: &&str| t.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r'));
    if let Some(text) = std::str::from_utf8(b).ok().filter(printable) {
        return Attr::Str(Str::new(text));
    }
    let mut out = String::with_capacity(2 * b.len());
    hex(&mut out, b);
    Attr::Str(Str::from(out))
}
