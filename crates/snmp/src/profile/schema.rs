use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A profile as its file says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Its name: what `profile: NAME` of a target says.
    pub name: String,
    /// Vendor of the devices: `hw.vendor`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vendor: String,
    /// Profiles whose modules it has too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extends: Vec<String>,
    /// Subtrees of sysObjectID that it is chosen for; the longest of all profiles wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sys_object_ids: Vec<String>,
    /// Regular expressions on sysDescr. With `sys_object_ids` one of them must match too, and the choice counts as longer
    /// than one without; alone they are tried when no sysObjectID is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sys_descr: Vec<String>,
    /// Regular expressions on sysDescr that choose it for devices whose sysObjectID no profile has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sys_descr_alone: Vec<String>,
    /// Objects of which a device of this kind has at least one. They are asked for where the profile that sysObjectID
    /// chose says `ask_probes`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
    /// Its sysObjectID is that of an agent which many vendors build in: the probes of all profiles decide.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ask_probes: bool,
    /// Regular expressions on sysDescr whose first group is the version of the operating system.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub os_version: Vec<String>,
    /// Objects with the model, tried in order, where the ENTITY-MIB has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model: Vec<String>,
    /// Objects with the serial number, tried in order, where the ENTITY-MIB has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub serial: Vec<String>,
    /// Objects with the version, tried in order, where sysDescr has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub version: Vec<String>,
    /// What is polled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Module>,
}

/// Objects of one MIB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Module {
    /// The MIB's name.
    pub mib: String,
    /// Objects with one instance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scalars: Vec<Scalar>,
    /// Tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
}

/// An object with one instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scalar {
    /// Its name in the MIB.
    pub object: String,
    /// Its identifier, with the instance.
    pub oid: String,
    /// Name of the metric. Not set: `snmp.<mib>.<object>`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric: String,
    /// UCUM unit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Factor from the value on the wire to the unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Values by which a device says that it has none; under the MIB's names they leave as they came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub none: Vec<i64>,
    /// Attributes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attrs: BTreeMap<String, String>,
    /// Only where that object of the same module, named before, has no value: a coarse one beside a fine one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unless: String,
}

/// A table, or several with one index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Table {
    /// Its name in the MIB.
    pub table: String,
    /// The parts of its index, `NAME` or `NAME:KIND`; a kind is `int` (also when not set), `ip`, `mac`, `string` (length
    /// first), `rest` (text to the end), `oid` (dotted to the end).
    pub index: Vec<String>,
    /// What names a row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// What is measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// A table of sensors whose type says what is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensor: Option<Sensor>,
    /// Polled with every so manieth poll.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u32>,
}

/// A text that names a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Label {
    /// Its name in the MIB.
    pub object: String,
    /// The column's identifier.
    pub oid: String,
    /// Name of the attribute. Not set: `snmp.<object>`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub attr: String,
    /// The column is one of another table, whose index is this column's value (an object name among the labels) or this
    /// part of the index (its name).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Words for numbers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub words: BTreeMap<i64, String>,
    /// Only looked up by, never an attribute.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

/// A number of a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Column {
    /// Its name in the MIB.
    pub object: String,
    /// The column's identifier.
    pub oid: String,
    /// Name of the metric. Not set: `snmp.<mib>.<object>`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric: String,
    /// UCUM unit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Factor from the value on the wire to the unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Values by which a device says that it has none; under the MIB's names they leave as they came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub none: Vec<i64>,
    /// Attributes beside those of the row.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attrs: BTreeMap<String, String>,
    /// A counter: wraps and resets are followed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub counter: bool,
    /// A label by whose number the value is multiplied: units of so many bytes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub times: String,
    /// Only for rows where that column has no value: a 32-bit counter beside its 64-bit one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unless: String,
    /// `discontinuity`: never a metric, the sysUpTime at which the row's counters last began anew. `presence`: the value
    /// is 1 as long as the row is there.
    #[serde(rename = "use", skip_serializing_if = "String::is_empty")]
    pub usage: String,
}

/// Columns of a table of sensors, by object names among labels and columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sensor {
    /// The measured value.
    pub value: String,
    /// What is measured: EntitySensorDataType (RFC 3433).
    pub kind: String,
    /// Power of ten, as EntitySensorDataScale.
    pub scale: String,
    /// Number of decimal places.
    pub precision: String,
    /// Whether the sensor works: by `works`.
    pub status: String,
    /// Values of `status` by which it works. Not set: 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub works: Vec<i64>,
    /// What the values of `kind` mean where they are not those of RFC 3433.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<i64, SensorKind>,
}

/// What a kind of sensor measures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SensorKind {
    /// Name of the metric.
    pub metric: String,
    /// UCUM unit.
    pub unit: String,
}
