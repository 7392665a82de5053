//! Profiles of other programs: modules of snmp_exporter's `snmp.yml`, in both its forms, and Telegraf's custom tables.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::schema::{Column, Label, Module, Profile, Scalar, Table};
use crate::protocol::Oid;

/// Why a text cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no YAML of that form.
    #[error("{0}")]
    Yaml(String),
    /// It has no module of that name, or several and none was named.
    #[error("{0}")]
    Module(String),
}

/// What an import made, and what it left out.
#[derive(Debug)]
pub struct Imported {
    /// The profile.
    pub profile: Profile,
    /// What has no counterpart, a line each.
    pub left_out: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ExporterModule {
    walk: Vec<String>,
    get: Vec<String>,
    metrics: Vec<ExporterMetric>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ExporterMetric {
    name: String,
    oid: String,
    #[serde(rename = "type")]
    kind: String,
    help: String,
    indexes: Vec<ExporterIndex>,
    lookups: Vec<ExporterLookup>,
    enum_values: BTreeMap<i64, String>,
    scale: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct ExporterIndex {
    labelname: String,
    #[serde(rename = "type")]
    kind: String,
    fixed_size: u32,
    implied: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct ExporterLookup {
    labels: Vec<String>,
    labelname: String,
    oid: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Imports one module of `snmp.yml`. `module` may be left out when there is only one.
pub fn snmp_exporter(text: &str, module: Option<&str>) -> Result<Imported, ImportError> {
    let yaml = |e: serde_saphyr::Error| ImportError::Yaml(e.to_string());
    let mut all: BTreeMap<String, serde_json::Value> = serde_saphyr::from_str(text).map_err(yaml)?;
    // From 0.23 on modules stand under `modules`, beside `auths`.
    if all.contains_key("auths") || all.get("modules").is_some_and(|m| !is_module(m)) {
        let modules = all.remove("modules").unwrap_or_default();
        all = serde_json::from_value(modules).map_err(|e| ImportError::Yaml(format!("modules: {e}")))?;
    }
    let names: Vec<String> = all.keys().cloned().collect();
    let name = match (module, names.as_slice()) {
        (Some(name), _) => name.to_owned(),
        (None, [name]) => name.clone(),
        (None, []) => return Err(ImportError::Module("there is no module".into())),
        (None, several) => {
            return Err(ImportError::Module(format!("name one of the modules: {}", several.join(", "))));
        }
    };
    let Some(found) = all.remove(&name) else {
        return Err(ImportError::Module(format!("no module {name}; there are: {}", names.join(", "))));
    };
    let module: ExporterModule =
        serde_json::from_value(found).map_err(|e| ImportError::Yaml(format!("{name}: {e}")))?;
    Ok(convert(&name, module))
}

fn is_module(value: &serde_json::Value) -> bool {
    ["walk", "get", "metrics"].iter().any(|k| value.get(k).is_some_and(serde_json::Value::is_array))
}

fn convert(name: &str, module: ExporterModule) -> Imported {
    let mut left_out = Vec::new();
    let mut out = Module::default();
    // Metrics with one index and the same lookups are columns of one table.
    let mut tables: Vec<(Vec<ExporterIndex>, Vec<ExporterLookup>, String, Table)> = Vec::new();
    for m in &module.metrics {
        if m.oid.parse::<Oid>().is_err() {
            left_out.push(format!("{}: no object identifier: {}", m.name, m.oid));
            continue;
        }
        let (counter, numeric) = match m.kind.as_str() {
            "counter" => (true, true),
            "gauge" | "Float" | "Double" | "EnumAsInfo" | "EnumAsStateSet" | "DateAndTime" => (false, true),
            _ => (false, false),
        };
        if !numeric {
            left_out.push(format!("{}: {} is a text, and a text is no metric", m.name, m.kind));
            continue;
        }
        if m.indexes.is_empty() {
            out.scalars.push(Scalar {
                object: m.name.clone(),
                oid: if m.oid.ends_with(".0") { m.oid.clone() } else { format!("{}.0", m.oid) },
                scale: m.scale,
                ..Scalar::default()
            });
            continue;
        }
        let parent = m.oid.rsplit_once('.').map_or(m.oid.as_str(), |p| p.0).to_owned();
        let at = tables
            .iter()
            .position(|(i, l, p, _)| *i == m.indexes && *l == m.lookups && *p == parent)
            .unwrap_or_else(|| {
                let table = table(m, &parent, &mut left_out);
                tables.push((m.indexes.clone(), m.lookups.clone(), parent, table));
                tables.len() - 1
            });
        let _ = (&m.help, &m.enum_values);
        tables[at].3.columns.push(Column {
            object: m.name.clone(),
            oid: m.oid.clone(),
            counter,
            scale: m.scale,
            ..Column::default()
        });
    }
    out.tables = tables.into_iter().map(|t| t.3).collect();
    let _ = (&module.walk, &module.get);
    let profile = Profile { name: name.to_owned(), modules: vec![out], ..Profile::default() };
    Imported { profile, left_out }
}

fn table(m: &ExporterMetric, parent: &str, left_out: &mut Vec<String>) -> Table {
    let index = m
        .indexes
        .iter()
        .map(|i| {
            let kind = match i.kind.as_str() {
                "gauge" | "counter" | "Integer" | "" => "int",
                "InetAddressIPv4" | "IpAddr" => "ip",
                "PhysAddress48" => "mac",
                _ if i.implied => "rest",
                "DisplayString" | "OctetString" | "LldpPortId" if i.fixed_size == 0 => "string",
                _ => "oid",
            };
            format!("{}:{kind}", i.labelname)
        })
        .collect();
    let mut labels = Vec::new();
    for l in &m.lookups {
        // A lookup without an object drops a label.
        if l.oid.is_empty() {
            continue;
        }
        let own = l.labels.len() == m.indexes.len()
            && l.labels.iter().zip(&m.indexes).all(|(a, b)| *a == b.labelname);
        let by = match l.labels.as_slice() {
            _ if own => String::new(),
            [one] => one.clone(),
            several => {
                left_out.push(format!("{}: a lookup by {} parts", l.labelname, several.len()));
                continue;
            }
        };
        let _ = &l.kind;
        let known =
            m.indexes.iter().any(|i| i.labelname == by) || labels.iter().any(|b: &Label| b.object == by);
        if !by.is_empty() && !known {
            left_out.push(format!("{}: looked up by {by}, which is no part of the index", l.labelname));
            continue;
        }
        labels.push(Label { object: l.labelname.clone(), oid: l.oid.clone(), by, ..Label::default() });
    }
    Table { table: format!("{parent} by {}", labels.len()), index, labels, ..Table::default() }
}

/// The profile as YAML.
pub fn to_yaml(profile: &Profile) -> Result<String, serde_json::Error> {
    // JSON in flow style is YAML; block style for the outline keeps it readable.
    let value = serde_json::to_value(profile)?;
    let mut out = String::new();
    write_block(&value, 0, &mut out)?;
    Ok(out)
}

fn write_block(value: &serde_json::Value, depth: usize, out: &mut String) -> Result<(), serde_json::Error> {
    use serde_json::Value as Json;
    let pad = "  ".repeat(depth);
    match value {
        Json::Object(map) => {
            for (key, of) in map {
                let nested = matches!(of, Json::Array(a) if a.iter().any(Json::is_object));
                if nested {
                    out.push_str(&format!("{pad}{key}:\n"));
                    write_block(of, depth, out)?;
                } else {
                    out.push_str(&format!("{pad}{key}: {}\n", serde_json::to_string(of)?));
                }
            }
        }
        Json::Array(items) => {
            for item in items {
                let flat = !matches!(item, Json::Object(m) if m.values().any(Json::is_array));
                if flat {
                    out.push_str(&format!("{pad}- {}\n", serde_json::to_string(item)?));
                } else {
                    let mut inner = String::new();
                    write_block(item, depth + 1, &mut inner)?;
                    out.push_str(&format!("{pad}- {}", inner.trim_start()));
                }
            }
        }
        other => out.push_str(&format!("{pad}{}\n", serde_json::to_string(other)?)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "
walk: [1.3.6.1.2.1.2]
get: [1.3.6.1.2.1.1.3.0]
metrics:
- { name: sysUpTime, oid: 1.3.6.1.2.1.1.3, type: gauge, help: up }
- { name: sysDescr, oid: 1.3.6.1.2.1.1.1, type: DisplayString }
- name: ifInOctets
  oid: 1.3.6.1.2.1.2.2.1.10
  type: counter
  indexes: [ { labelname: ifIndex, type: gauge } ]
  lookups: [ { labels: [ifIndex], labelname: ifDescr, oid: 1.3.6.1.2.1.2.2.1.2, type: DisplayString }, { labels: [], labelname: ifIndex } ]
- name: ifOutOctets
  oid: 1.3.6.1.2.1.2.2.1.16
  type: counter
  indexes: [ { labelname: ifIndex, type: gauge } ]
  lookups: [ { labels: [ifIndex], labelname: ifDescr, oid: 1.3.6.1.2.1.2.2.1.2, type: DisplayString }, { labels: [], labelname: ifIndex } ]
";

    #[test]
    fn both_forms_give_the_same_profile_and_it_can_be_read_back() {
        let indented = MODULE.replace('\n', "\n  ");
        let flat = format!("if_mib:{indented}");
        let deeper = MODULE.replace('\n', "\n    ");
        let new =
            format!("auths:\n  public_v2: {{ community: public, version: 2 }}\nmodules:\n  if_mib:{deeper}");
        let a = snmp_exporter(&flat, None).unwrap();
        let b = snmp_exporter(&new, Some("if_mib")).unwrap();
        assert_eq!(a.profile, b.profile);
        assert_eq!(a.left_out, ["sysDescr: DisplayString is a text, and a text is no metric"]);
        let module = &a.profile.modules[0];
        assert_eq!((module.scalars.len(), module.tables.len()), (1, 1));
        let table = &module.tables[0];
        assert_eq!(table.index, ["ifIndex:int"]);
        assert_eq!(table.labels[0].object, "ifDescr");
        let columns: Vec<_> = table.columns.iter().map(|c| (c.object.as_str(), c.counter)).collect();
        assert_eq!(columns, [("ifInOctets", true), ("ifOutOctets", true)]);
        let text = to_yaml(&a.profile).unwrap();
        assert_eq!(serde_saphyr::from_str::<Profile>(&text).unwrap(), a.profile, "{text}");
        let err = snmp_exporter(&new, Some("nothing")).unwrap_err().to_string();
        assert_eq!(err, "no module nothing; there are: if_mib");
    }
}
