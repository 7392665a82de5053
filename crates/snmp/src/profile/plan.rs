use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use telegen_model::{KeyValue, Str, Value};

use super::schema::{Column, Label, Profile, Scalar, Table};
use crate::protocol::Oid;
use crate::settings::Names;

/// How metrics are named.
pub type Naming = Names;

/// An attribute of every point of a column.
pub type Attribute = (&'static str, &'static str);

/// What is polled of a device, and how it is named.
#[derive(Debug, Default)]
pub struct Plan {
    /// Name of the profile.
    pub profile: String,
    /// Vendor, or empty.
    pub vendor: String,
    /// Objects with one instance.
    pub scalars: Vec<ScalarPlan>,
    /// Tables.
    pub tables: Vec<TablePlan>,
    /// Metrics that points go to.
    pub metrics: Vec<MetricPlan>,
    /// Expressions on sysDescr for the version.
    pub os_version: Vec<regex_lite::Regex>,
    /// Objects with model, serial number, version.
    pub identity: [Vec<Oid>; 3],
}

/// A metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPlan {
    /// Its name.
    pub name: &'static str,
    /// The object and its MIB, as description.
    pub description: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// Whether its points may look alike: several tables or objects give it, or one whose indexes are told as texts.
    pub alike: bool,
}

/// An object with one instance.
#[derive(Debug)]
pub struct ScalarPlan {
    /// Its identifier.
    pub oid: Oid,
    /// Place in [`Plan::metrics`].
    pub metric: usize,
    /// Factor.
    pub scale: f64,
    /// Values that mean that there is none.
    pub none: Vec<i64>,
    /// Scalar that stands instead where it has a value.
    pub unless: Option<usize>,
    /// Attributes.
    pub attrs: Vec<Attribute>,
}

/// A table.
#[derive(Debug)]
pub struct TablePlan {
    /// Its name.
    pub name: String,
    /// The index's parts: name and kind.
    pub index: Vec<(&'static str, IndexKind)>,
    /// Names of rows.
    pub labels: Vec<LabelPlan>,
    /// Numbers.
    pub columns: Vec<ColumnPlan>,
    /// Distinct sets of attributes of columns; the first is empty.
    pub attr_sets: Vec<Vec<Attribute>>,
    /// Sensors.
    pub sensor: Option<SensorPlan>,
    /// Polled with every so manieth poll.
    pub every: u32,
    /// Its rows are neighbours that this protocol found.
    pub edges: Option<&'static str>,
}

/// Kind of a part of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// One arc.
    Int,
    /// Four arcs.
    Ip,
    /// Six arcs.
    Mac,
    /// A text whose first arc is its length.
    Text,
    /// A text to the end.
    Rest,
    /// Numbers to the end.
    Dotted,
}

/// A name of rows.
#[derive(Debug)]
pub struct LabelPlan {
    /// Object.
    pub object: &'static str,
    /// Attribute; empty for one that is only looked up by.
    pub attr: &'static str,
    /// Where it comes from.
    pub source: LabelSource,
    /// Words for numbers.
    pub words: BTreeMap<i64, String>,
}

/// Where a label comes from.
#[derive(Debug)]
pub enum LabelSource {
    /// A column with the table's own index.
    Own(Oid),
    /// A column of another table, found by the value of a label of this one.
    ByLabel(Oid, usize),
    /// A column of another table, found by a part of the index.
    ByPart(Oid, usize),
}

/// A number of rows.
#[derive(Debug)]
pub struct ColumnPlan {
    /// Object.
    pub object: &'static str,
    /// Identifier.
    pub oid: Oid,
    /// Place in [`Plan::metrics`].
    pub metric: usize,
    /// Place in [`TablePlan::attr_sets`].
    pub attr_set: usize,
    /// Values that mean that there is none.
    pub none: Vec<i64>,
    /// Factor.
    pub scale: f64,
    /// Label by whose number it is multiplied.
    pub times: Option<usize>,
    /// Whether wraps and resets are followed.
    pub counter: bool,
    /// Column that stands instead where it has a value.
    pub unless: Option<usize>,
    /// Whether it is the row's discontinuity time.
    pub discontinuity: bool,
    /// Whether only that the row is there counts: the value is 1.
    pub presence: bool,
}

/// Sensors: places of labels and columns.
#[derive(Debug)]
pub struct SensorPlan {
    /// Column with the value.
    pub value: usize,
    /// Label with the kind.
    pub kind: usize,
    /// Label with the scale, when there is one.
    pub scale: Option<usize>,
    /// Label with the precision, when there is one.
    pub precision: Option<usize>,
    /// Column with the status, when there is one.
    pub status: Option<usize>,
    /// Values of the status by which it works.
    pub works: Vec<i64>,
    /// Metric by kind (EntitySensorDataType, or the profile's own).
    pub metrics: BTreeMap<i64, usize>,
}

/// Metric and unit of a kind of sensor, by EntitySensorDataType (RFC 3433; 14 is Cisco's dBm).
const SENSORS: [(&str, &str); 15] = [
    ("", ""),
    ("", ""),
    ("", ""),
    ("hw.voltage", "V"),
    ("hw.voltage", "V"),
    ("hw.current", "A"),
    ("hw.power", "W"),
    ("hw.frequency", "Hz"),
    ("hw.temperature", "Cel"),
    ("hw.humidity", "%"),
    ("hw.fan.speed", "rpm"),
    ("hw.airflow", "m3/min"),
    ("hw.state", "1"),
    ("", ""),
    ("hw.optical.power", "dB[mW]"),
];

/// A text that lives as long as the program. Profiles are few and of bounded size, and reading one again adds nothing.
fn keep(text: &str) -> &'static str {
    static KEPT: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
    let mut kept = KEPT.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(there) = kept.get(text) {
        return there;
    }
    let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
    kept.insert(text);
    text
}

/// `snmp.<mib>.<object>` in lower case with underscores: `IF-MIB`, `ifMtu` is `snmp.if_mib.if_mtu`.
pub fn otel_name(mib: &str, object: &str) -> String {
    let mut out = String::from("snmp.");
    out.extend(mib.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }));
    if !mib.is_empty() {
        out.push('.');
    }
    let mut before_lower = false;
    for c in object.chars() {
        if c.is_ascii_uppercase() && before_lower {
            out.push('_');
        }
        before_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        out.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    }
    out
}

impl Plan {
    /// The plan of a profile and all it extends, in this order. What is wrong is told as a text.
    pub fn new(profile: &Profile, chain: &[&Profile], naming: Naming) -> Result<Plan, String> {
        let mut plan =
            Plan { profile: profile.name.clone(), vendor: profile.vendor.clone(), ..Plan::default() };
        let mut builder = Builder { naming, metrics: BTreeMap::new() };
        for of in chain {
            for module in &of.modules {
                for scalar in &module.scalars {
                    let at = |e| format!("{}: {}: {e}", of.name, scalar.object);
                    let instead = module.scalars.iter().find(|s| s.object == scalar.unless);
                    let scalar = builder.scalar(&mut plan, &module.mib, (scalar, instead)).map_err(at)?;
                    if !plan.scalars.iter().any(|s| s.oid == scalar.oid) {
                        plan.scalars.push(scalar);
                    }
                }
                for table in &module.tables {
                    let at = |e| format!("{}: {}: {e}", of.name, table.table);
                    let table = builder.table(&mut plan, &module.mib, table).map_err(at)?;
                    if !plan
                        .tables
                        .iter()
                        .any(|t| t.name == table.name && t.columns.len() == table.columns.len())
                    {
                        plan.tables.push(table);
                    }
                }
            }
            for text in &of.os_version {
                plan.os_version.push(regex_lite::Regex::new(text).map_err(|e| format!("{}: {e}", of.name))?);
            }
            for (to, from) in plan.identity.iter_mut().zip([&of.model, &of.serial, &of.version]) {
                for text in from {
                    to.push(text.parse().map_err(|e| format!("{}: {text}: {e}", of.name))?);
                }
            }
        }
        // Places are kept in 16 bits, device by device.
        let most = plan.tables.iter().map(|t| t.columns.len()).chain([plan.scalars.len()]).max();
        if most > Some(usize::from(u16::MAX)) {
            return Err("more than 65535 objects side by side".into());
        }
        plan.find_alike();
        Ok(plan)
    }

    fn find_alike(&mut self) {
        let mut sources: Vec<u32> = vec![0; self.metrics.len()];
        let lossy = |kind: &IndexKind| matches!(kind, IndexKind::Text | IndexKind::Rest);
        for scalar in &self.scalars {
            sources[scalar.metric] += 1;
        }
        for table in &self.tables {
            let of_sensors = table.sensor.iter().flat_map(|s| s.metrics.values());
            let told = table.columns.iter().filter(|c| !c.discontinuity).map(|c| c.metric);
            let metrics: HashSet<usize> = told.chain(of_sensors.copied()).collect();
            let more = if table.index.is_empty() || table.index.iter().any(|i| lossy(&i.1)) { 2 } else { 1 };
            metrics.into_iter().for_each(|m| sources[m] += more);
        }
        for (metric, sources) in self.metrics.iter_mut().zip(sources) {
            metric.alike = sources > 1;
        }
    }
}

struct Builder {
    naming: Naming,
    metrics: BTreeMap<&'static str, usize>,
}

impl Builder {
    fn metric(&mut self, plan: &mut Plan, mib: &str, object: &str, (name, unit): (&str, &str)) -> usize {
        let (name, unit) = match self.naming {
            Names::Mib => (format!("snmp_{object}"), ""),
            Names::Otel if name.is_empty() => (otel_name(mib, object), unit),
            Names::Otel => (name.to_owned(), unit),
        };
        let name = keep(&name);
        *self.metrics.entry(name).or_insert_with(|| {
            plan.metrics.push(MetricPlan {
                name,
                description: keep(&format!("{mib}::{object}")),
                unit: keep(unit),
                alike: false,
            });
            plan.metrics.len() - 1
        })
    }

    fn attrs(&self, attrs: &BTreeMap<String, String>) -> Vec<Attribute> {
        match self.naming {
            Names::Mib => Vec::new(),
            Names::Otel => attrs.iter().map(|(k, v)| (keep(k), keep(v))).collect(),
        }
    }

    fn none(&self, values: &[i64]) -> Vec<i64> {
        if self.naming == Names::Mib { Vec::new() } else { values.to_vec() }
    }

    fn factor(&self, scale: Option<f64>) -> f64 {
        // Under the MIB's names values are those on the wire.
        if self.naming == Names::Mib { 1.0 } else { scale.unwrap_or(1.0) }
    }

    fn scalar(
        &mut self,
        plan: &mut Plan,
        mib: &str,
        (s, instead): (&Scalar, Option<&Scalar>),
    ) -> Result<ScalarPlan, String> {
        let unless = match (s.unless.is_empty(), instead) {
            (true, _) => None,
            (false, None) => return Err(format!("unless {}: no such object in this module", s.unless)),
            (false, Some(of)) => {
                let oid: Oid = of.oid.parse().map_err(|e| format!("{}: {e}", of.oid))?;
                let at = plan.scalars.iter().position(|s| s.oid == oid);
                // Under the MIB's names they are two metrics.
                Some(at.ok_or_else(|| format!("unless {}: not before it", s.unless))?)
                    .filter(|_| self.naming == Names::Otel)
            }
        };
        Ok(ScalarPlan {
            oid: s.oid.parse().map_err(|e| format!("{}: {e}", s.oid))?,
            metric: self.metric(plan, mib, &s.object, (&s.metric, &s.unit)),
            scale: self.factor(s.scale),
            none: self.none(&s.none),
            unless,
            attrs: self.attrs(&s.attrs),
        })
    }

    fn table(&mut self, plan: &mut Plan, mib: &str, t: &Table) -> Result<TablePlan, String> {
        let mut table = TablePlan {
            name: t.table.clone(),
            index: Vec::new(),
            labels: Vec::new(),
            columns: Vec::new(),
            attr_sets: vec![Vec::new()],
            sensor: None,
            every: t.every.unwrap_or(1).max(1),
            edges: t.columns.iter().find_map(|c| c.attrs.get("snmp.topology.protocol")).map(|p| keep(p)),
        };
        for part in &t.index {
            let (name, kind) = part.split_once(':').unwrap_or((part, "int"));
            let kind = match kind {
                "int" => IndexKind::Int,
                "ip" => IndexKind::Ip,
                "mac" => IndexKind::Mac,
                "string" => IndexKind::Text,
                "rest" => IndexKind::Rest,
                "oid" => IndexKind::Dotted,
                other => {
                    return Err(format!("index kind {other}: expected int, ip, mac, string, rest or oid"));
                }
            };
            let name = match self.naming {
                Names::Mib => keep(name),
                Names::Otel => keep(&otel_name("", name)),
            };
            table.index.push((name, kind));
        }
        for label in &t.labels {
            let label = self.label(label, &t.index, &table.labels)?;
            table.labels.push(label);
        }
        for column in &t.columns {
            let column = self.column(plan, mib, column, &mut table)?;
            table.columns.push(column);
        }
        if let Some(s) = &t.sensor {
            let column = |name: &str| t.columns.iter().position(|c| c.object == name);
            let label = |name: &str| t.labels.iter().position(|l| l.object == name);
            let value = column(&s.value).ok_or_else(|| format!("sensor: no column {}", s.value))?;
            let kind = label(&s.kind).ok_or_else(|| format!("sensor: no label {}", s.kind))?;
            let standard = (0..).zip(SENSORS).filter(|(_, (name, _))| s.kinds.is_empty() && !name.is_empty());
            let own = s.kinds.iter().map(|(kind, k)| (*kind, (k.metric.as_str(), k.unit.as_str())));
            let mut metrics = BTreeMap::new();
            // Under the MIB's names all are values of one object, as they are on the wire.
            if self.naming == Names::Otel {
                for (kind, name) in standard.chain(own) {
                    metrics.insert(kind, self.metric(plan, mib, &s.value, name));
                }
            }
            table.sensor = Some(SensorPlan {
                value,
                kind,
                scale: label(&s.scale),
                precision: label(&s.precision),
                status: column(&s.status),
                works: if s.works.is_empty() { vec![1] } else { s.works.clone() },
                metrics,
            });
        }
        Ok(table)
    }

    fn label(&self, l: &Label, index: &[String], before: &[LabelPlan]) -> Result<LabelPlan, String> {
        let oid: Oid = l.oid.parse().map_err(|e| format!("{}: {e}", l.oid))?;
        let source = if l.by.is_empty() {
            LabelSource::Own(oid)
        } else if let Some(at) = before.iter().position(|b| b.object == l.by) {
            LabelSource::ByLabel(oid, at)
        } else if let Some(at) = index.iter().position(|p| p.split(':').next() == Some(&l.by)) {
            LabelSource::ByPart(oid, at)
        } else {
            return Err(format!("by {}: no such label before it, and no such part of the index", l.by));
        };
        let attr = match (self.naming, l.hidden) {
            (_, true) => "",
            (Names::Mib, _) => keep(&l.object),
            (Names::Otel, _) if l.attr.is_empty() => keep(&otel_name("", &l.object)),
            (Names::Otel, _) => keep(&l.attr),
        };
        let words = if self.naming == Names::Mib { BTreeMap::new() } else { l.words.clone() };
        Ok(LabelPlan { object: keep(&l.object), attr, source, words })
    }

    fn column(
        &mut self,
        plan: &mut Plan,
        mib: &str,
        c: &Column,
        table: &mut TablePlan,
    ) -> Result<ColumnPlan, String> {
        let unless = match c.unless.as_str() {
            "" => None,
            name => Some(
                table
                    .columns
                    .iter()
                    .position(|b| b.object == name)
                    .ok_or_else(|| format!("unless {name}: no such column before it"))?,
            ),
        };
        let times = match (c.times.as_str(), self.naming) {
            ("", _) | (_, Names::Mib) => None,
            (name, Names::Otel) => Some(
                table
                    .labels
                    .iter()
                    .position(|l| l.object == name)
                    .ok_or_else(|| format!("times {name}: no such label"))?,
            ),
        };
        let discontinuity = match c.usage.as_str() {
            "" | "presence" => false,
            "discontinuity" => true,
            other => return Err(format!("use {other}: expected discontinuity or presence")),
        };
        let attrs = self.attrs(&c.attrs);
        let attr_set = table.attr_sets.iter().position(|s| *s == attrs).unwrap_or_else(|| {
            table.attr_sets.push(attrs);
            table.attr_sets.len() - 1
        });
        Ok(ColumnPlan {
            object: keep(&c.object),
            oid: c.oid.parse().map_err(|e| format!("{}: {e}", c.oid))?,
            metric: if discontinuity { 0 } else { self.metric(plan, mib, &c.object, (&c.metric, &c.unit)) },
            attr_set,
            scale: self.factor(c.scale),
            none: self.none(&c.none),
            times,
            counter: c.counter,
            unless,
            discontinuity,
            presence: c.usage == "presence" && self.naming == Names::Otel,
        })
    }
}

/// Attributes as pairs of a point.
pub(crate) fn pairs(attrs: &[Attribute]) -> impl Iterator<Item = KeyValue> + '_ {
    attrs.iter().map(|(k, v)| KeyValue { key: Str::const_new(k), value: Value::constant(v) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_mib_and_object() {
        assert_eq!(otel_name("IF-MIB", "ifMtu"), "snmp.if_mib.if_mtu");
        assert_eq!(otel_name("UCD-SNMP-MIB", "ssCpuRawIdle"), "snmp.ucd_snmp_mib.ss_cpu_raw_idle");
        assert_eq!(otel_name("", "ifHCInOctets"), "snmp.if_hcin_octets");
    }
}
