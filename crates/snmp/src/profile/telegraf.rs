//! Telegraf's custom fields and tables (`[[inputs.snmp]]`), imported as a profile.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::import::{ImportError, Imported};
use super::schema::{Column, Label, Module, Profile, Scalar, Table};
use crate::protocol::Oid;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    inputs: Inputs,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inputs {
    snmp: Vec<Snmp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Snmp {
    name: String,
    field: Vec<Field>,
    table: Vec<TelegrafTable>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TelegrafTable {
    name: String,
    oid: String,
    index_as_tag: bool,
    field: Vec<Field>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Field {
    name: String,
    oid: String,
    is_tag: bool,
    conversion: String,
    oid_index_suffix: String,
    oid_index_length: u32,
    secondary_index_use: bool,
}

/// Whether a text is a configuration of Telegraf.
pub fn is_telegraf(text: &str) -> bool {
    text.lines().any(|l| l.trim_start().starts_with("[[inputs.snmp"))
}

/// Imports the `inputs.snmp` of this `name`; it may be left out when there is only one.
pub fn telegraf(text: &str, name: Option<&str>) -> Result<Imported, ImportError> {
    let config: Config = toml::from_str(text).map_err(|e| ImportError::Yaml(e.to_string()))?;
    let names: Vec<&str> = config.inputs.snmp.iter().map(|s| s.name.as_str()).collect();
    let chosen = match (name, config.inputs.snmp.as_slice()) {
        (_, []) => return Err(ImportError::Module("there is no inputs.snmp".into())),
        (None, [one]) => one,
        (None, _) => return Err(ImportError::Module(format!("name one of: {}", names.join(", ")))),
        (Some(name), all) => all.iter().find(|s| s.name == name).ok_or_else(|| {
            ImportError::Module(format!("no inputs.snmp with name {name}; there are: {}", names.join(", ")))
        })?,
    };
    Ok(convert(chosen))
}

/// The object's identifier and the factor to its value; what cannot be is told.
fn usable(field: &Field, left_out: &mut Vec<String>) -> Option<(String, Option<f64>)> {
    let oid = field.oid.trim_matches('.').to_owned();
    let mut no = |what: String| left_out.push(format!("{}: {what}", field.name));
    if oid.parse::<Oid>().is_err() {
        no(format!("{}: a name, and names need their MIB: write the number", field.oid));
        return None;
    }
    if !field.oid_index_suffix.is_empty() || field.oid_index_length != 0 || field.secondary_index_use {
        no("parts of indexes and second indexes have no counterpart".into());
        return None;
    }
    match field.conversion.as_str() {
        "" | "int" | "float" | "float(0)" | "string" | "displayhint" | "enum" => Some((oid, None)),
        // `float(n)` moves the decimal point.
        other => match other.strip_prefix("float(").and_then(|n| n.strip_suffix(')')?.parse::<i32>().ok()) {
            Some(places) => Some((oid, Some(10f64.powi(-places)))),
            None if field.is_tag => Some((oid, None)),
            None => {
                no(format!("conversion {other} has no counterpart"));
                None
            }
        },
    }
}

fn convert(snmp: &Snmp) -> Imported {
    let mut left_out = Vec::new();
    let mut module = Module::default();
    for field in &snmp.field {
        let Some((oid, scale)) = usable(field, &mut left_out) else { continue };
        if field.is_tag {
            left_out.push(format!("{}: a device's own texts are not attributes of its metrics", field.name));
            continue;
        }
        module.scalars.push(Scalar { object: field.name.clone(), oid, scale, ..Scalar::default() });
    }
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for of in &snmp.table {
        if !of.oid.is_empty() && of.field.is_empty() {
            left_out
                .push(format!("{}: the columns of {} need its MIB: write them as fields", of.name, of.oid));
            continue;
        }
        let count = seen.entry(of.name.clone()).or_default();
        *count += 1;
        let name = if *count == 1 { of.name.clone() } else { format!("{} {count}", of.name) };
        let mut table = Table { table: name, index: vec!["index:oid".to_owned()], ..Table::default() };
        for field in &of.field {
            let Some((oid, scale)) = usable(field, &mut left_out) else { continue };
            if field.is_tag {
                table.labels.push(Label { object: field.name.clone(), oid, ..Label::default() });
            } else {
                let object = field.name.clone();
                table.columns.push(Column { object, oid, scale, counter: true, ..Column::default() });
            }
        }
        // Without it rows that have equal tags would look alike, so the index stays in any case.
        let _ = of.index_as_tag;
        if table.columns.is_empty() {
            left_out.push(format!("{}: has tags alone", of.name));
        } else {
            module.tables.push(table);
        }
    }
    let name = if snmp.name.is_empty() { "snmp".to_owned() } else { snmp.name.clone() };
    Imported { profile: Profile { name, modules: vec![module], ..Profile::default() }, left_out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::import::to_yaml;

    const TEXT: &str = r#"
[agent]
interval = "10s"
[[inputs.snmp]]
  agents = ["udp://127.0.0.1:161"]
  name = "system"
  [[inputs.snmp.field]]
    name = "uptime"
    oid = ".1.3.6.1.2.1.1.3.0"
    conversion = "float(2)"
  [[inputs.snmp.field]]
    name = "hostname"
    oid = "RFC1213-MIB::sysName.0"
    is_tag = true
  [[inputs.snmp.table]]
    name = "ports"
    inherit_tags = ["hostname"]
    [[inputs.snmp.table.field]]
      name = "ifName"
      oid = ".1.3.6.1.2.1.31.1.1.1.1"
      is_tag = true
    [[inputs.snmp.table.field]]
      name = "ifHCInOctets"
      oid = ".1.3.6.1.2.1.31.1.1.1.6"
  [[inputs.snmp.table]]
    oid = "IF-MIB::ifTable"
"#;

    #[test]
    fn fields_and_tables_become_scalars_and_tables() {
        assert!(is_telegraf(TEXT) && !is_telegraf("if_mib:\n  walk: []\n"));
        let imported = telegraf(TEXT, None).unwrap();
        assert_eq!(imported.left_out.len(), 2, "{:?}", imported.left_out);
        let module = &imported.profile.modules[0];
        assert_eq!((module.scalars[0].object.as_str(), module.scalars[0].scale), ("uptime", Some(0.01)));
        let table = &module.tables[0];
        assert_eq!(
            (table.labels[0].object.as_str(), table.columns[0].object.as_str()),
            ("ifName", "ifHCInOctets")
        );
        let yaml = to_yaml(&imported.profile).unwrap();
        assert_eq!(serde_saphyr::from_str::<Profile>(&yaml).unwrap(), imported.profile, "{yaml}");
        assert!(telegraf(TEXT, Some("other")).is_err() && telegraf("[agent]\n", None).is_err());
    }
}
