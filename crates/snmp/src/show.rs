//! Values as text: as net-snmp prints them without MIBs, as `.snmprec` lines, as JSON.

use std::fmt::Write;

use crate::protocol::{Value, display, tag};

/// A line as `snmpwalk -On` prints it when no MIB is loaded, without its newline. Long hexadecimal breaks into lines.
pub fn net_snmp(out: &mut String, oid: &[u8], value: Value<'_>) {
    let _ = write!(out, ".{} = ", display(oid));
    match value {
        Value::Null => out.push_str("NULL"),
        Value::Int(i) => {
            let _ = write!(out, "INTEGER: {i}");
        }
        Value::Octets([]) => out.push_str("\"\""),
        Value::Octets(b) if b.iter().all(|c| is_text(*c)) => {
            out.push_str("STRING: \"");
            for c in b {
                if matches!(c, b'"' | b'\\') {
                    out.push('\\');
                }
                out.push(char::from(*c));
            }
            out.push('"');
        }
        Value::Octets(b) => {
            out.push_str("Hex-STRING: ");
            hex_lines(out, b);
        }
        Value::Oid(o) => {
            let _ = write!(out, "OID: .{}", display(o));
        }
        Value::Ip([a, b, c, d]) => {
            let _ = write!(out, "IpAddress: {a}.{b}.{c}.{d}");
        }
        Value::Counter32(v) => {
            let _ = write!(out, "Counter32: {v}");
        }
        Value::Gauge32(v) => {
            let _ = write!(out, "Gauge32: {v}");
        }
        Value::Ticks(v) => {
            let (days, hours) = (v / 8_640_000, v / 360_000 % 24);
            let (minutes, seconds, hundredths) = (v / 6000 % 60, v / 100 % 60, v % 100);
            let _ = write!(out, "Timeticks: ({v}) ");
            match days {
                0 => {}
                1 => out.push_str("1 day, "),
                _ => {
                    let _ = write!(out, "{days} days, ");
                }
            }
            let _ = write!(out, "{hours}:{minutes:02}:{seconds:02}.{hundredths:02}");
        }
        Value::Opaque(b) => match (value.number(), b.get(1)) {
            (Some(f), Some(0x78)) => {
                let _ = write!(out, "Opaque: Float: {f:.6}");
            }
            (Some(f), _) => {
                let _ = write!(out, "Opaque: Double: {f:.6}");
            }
            _ => {
                out.push_str("OPAQUE: ");
                hex_lines(out, b);
            }
        },
        Value::Counter64(v) => {
            let _ = write!(out, "Counter64: {v}");
        }
        Value::NoSuchObject => out.push_str("No Such Object available on this agent at this OID"),
        Value::NoSuchInstance => out.push_str("No Such Instance currently exists at this OID"),
        Value::EndOfMibView => {
            out.push_str("No more variables left in this MIB View (It is past the end of the MIB tree)");
        }
    }
}

/// What C's `isprint` and `isspace` take in the C locale.
fn is_text(c: u8) -> bool {
    matches!(c, 0x20..=0x7e | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn hex_lines(out: &mut String, bytes: &[u8]) {
    for (i, line) in bytes.chunks(16).enumerate() {
        if i > 0 {
            out.push('\n');
        }
        for b in line {
            let _ = write!(out, "{b:02X} ");
        }
    }
}

/// A line of a `.snmprec` file, without its newline. Octets that are not printable ASCII are hexadecimal, tag `4x`.
pub fn snmprec(out: &mut String, oid: &[u8], value: Value<'_>) {
    let _ = write!(out, "{}|", display(oid));
    let mut number = |kind: u8, v: &dyn std::fmt::Display| {
        let _ = write!(out, "{kind}|{v}");
    };
    match value {
        Value::Int(v) => number(tag::INTEGER, &v),
        Value::Counter32(v) => number(tag::COUNTER32, &v),
        Value::Gauge32(v) => number(tag::GAUGE32, &v),
        Value::Ticks(v) => number(tag::TICKS, &v),
        Value::Counter64(v) => number(tag::COUNTER64, &v),
        Value::Oid(o) => number(tag::OID, &display(o)),
        Value::Ip(ip) => number(tag::IP, &std::net::Ipv4Addr::from(ip)),
        Value::Octets(b) => octets(out, tag::OCTETS, b),
        Value::Opaque(b) => octets(out, tag::OPAQUE, b),
        Value::Null => number(tag::NULL, &""),
        Value::NoSuchObject => number(tag::NO_SUCH_OBJECT, &""),
        Value::NoSuchInstance => number(tag::NO_SUCH_INSTANCE, &""),
        Value::EndOfMibView => number(tag::END_OF_MIB_VIEW, &""),
    }
}

fn octets(out: &mut String, kind: u8, bytes: &[u8]) {
    if bytes.iter().all(|c| matches!(c, 0x20..=0x7e)) && kind == tag::OCTETS {
        let _ = write!(out, "{kind}|{}", String::from_utf8_lossy(bytes));
        return;
    }
    let _ = write!(out, "{kind}x|");
    hex(out, bytes);
}

/// Octets as lower-case hexadecimal digits.
pub fn hex(out: &mut String, bytes: &[u8]) {
    for b in bytes {
        let _ = write!(out, "{b:02x}");
    }
}

/// An object `{"oid": ..., "type": ..., "value": ...}`.
pub fn json(oid: &[u8], value: Value<'_>) -> serde_json::Value {
    use serde_json::{Value as Json, json};
    let text = |b: &[u8]| {
        if b.iter().all(|c| is_text(*c)) {
            Json::from(String::from_utf8_lossy(b))
        } else {
            let mut digits = String::from("0x");
            hex(&mut digits, b);
            Json::from(digits)
        }
    };
    let (kind, value) = match value {
        Value::Null => ("null", Json::Null),
        Value::Int(v) => ("integer", json!(v)),
        Value::Octets(b) => ("octets", text(b)),
        Value::Oid(o) => ("oid", json!(display(o).to_string())),
        Value::Ip(ip) => ("ip", json!(std::net::Ipv4Addr::from(ip).to_string())),
        Value::Counter32(v) => ("counter32", json!(v)),
        Value::Gauge32(v) => ("gauge32", json!(v)),
        Value::Ticks(v) => ("timeticks", json!(v)),
        Value::Opaque(b) => ("opaque", value.number().map_or_else(|| text(b), |n| json!(n))),
        Value::Counter64(v) => ("counter64", json!(v)),
        Value::NoSuchObject => ("noSuchObject", Json::Null),
        Value::NoSuchInstance => ("noSuchInstance", Json::Null),
        Value::EndOfMibView => ("endOfMibView", Json::Null),
    };
    json!({ "oid": display(oid).to_string(), "type": kind, "value": value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Oid;

    fn three(value: Value<'_>) -> [String; 3] {
        let oid: Oid = "1.3.6.1".parse().unwrap();
        let (mut a, mut b) = (String::new(), String::new());
        net_snmp(&mut a, &oid, value);
        snmprec(&mut b, &oid, value);
        [a, b, json(&oid, value)["value"].to_string()]
    }

    #[test]
    fn each_type_has_its_three_forms() {
        let line = |v, a: &str, b: &str, c: &str| {
            assert_eq!(three(v), [format!(".1.3.6.1 = {a}"), format!("1.3.6.1|{b}"), c.to_owned()])
        };
        line(Value::Int(-5), "INTEGER: -5", "2|-5", "-5");
        line(Value::Octets(b"a \"b\""), "STRING: \"a \\\"b\\\"\"", "4|a \"b\"", "\"a \\\"b\\\"\"");
        line(Value::Octets(b""), "\"\"", "4|", "\"\"");
        line(Value::Octets(b"a\nb"), "STRING: \"a\nb\"", "4x|610a62", "\"a\\nb\"");
        line(Value::Octets(&[0, 0xff]), "Hex-STRING: 00 FF ", "4x|00ff", "\"0x00ff\"");
        line(Value::Ip([10, 0, 0, 1]), "IpAddress: 10.0.0.1", "64|10.0.0.1", "\"10.0.0.1\"");
        line(Value::Ticks(8_640_123), "Timeticks: (8640123) 1 day, 0:00:01.23", "67|8640123", "8640123");
        line(
            Value::Opaque(&[0x9f, 0x78, 4, 0x3f, 0x80, 0, 0]),
            "Opaque: Float: 1.000000",
            "68x|9f78043f800000",
            "1.0",
        );
        line(
            Value::Counter64(u64::MAX),
            "Counter64: 18446744073709551615",
            "70|18446744073709551615",
            "18446744073709551615",
        );
    }
}
