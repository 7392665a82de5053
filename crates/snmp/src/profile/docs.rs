//! The table of metric names, from the profiles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::Library;
use super::library::LibraryError;

/// What `docs/snmp-metrics.md` holds: every metric of every built-in profile, by both names.
pub fn metrics_page(otel: &Library, mib: &Library) -> Result<String, LibraryError> {
    let mut rows: BTreeMap<(String, String), (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    let mut vendors: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for name in otel.names() {
        let (a, b) = (otel.plan(name)?, mib.plan(name)?);
        let mut add = |i: usize, j: usize, attrs: &[super::Attribute]| {
            let (of, to) = (&a.metrics[i], &b.metrics[j]);
            let row = rows.entry((of.name.to_owned(), of.unit.to_owned())).or_default();
            row.0.insert(to.name.to_owned());
            row.1.extend(attrs.iter().map(|(k, v)| format!("{k}={v}")));
        };
        for (s, t) in a.scalars.iter().zip(&b.scalars) {
            add(s.metric, t.metric, &s.attrs);
        }
        for (s, t) in a.tables.iter().zip(&b.tables) {
            for (c, d) in s.columns.iter().zip(&t.columns).filter(|(c, _)| !c.discontinuity) {
                add(c.metric, d.metric, &s.attr_sets[c.attr_set]);
            }
            if let Some(sensor) = &s.sensor {
                let to = t.columns[sensor.value].metric;
                sensor.metrics.values().for_each(|m| add(*m, to, &[]));
            }
        }
        vendors.insert(name.to_owned(), (a.vendor.clone(), a.scalars.len() + a.tables.len()));
    }
    let mut out = String::from(
        "# Metrics of network devices\n\n\
         Made from the profiles in `profiles/`; a test keeps it true. Under `names: otel` a metric has the name of the first\n\
         column, under `names: mib` that of the last. Counters are cumulative monotonic sums, everything else is a gauge.\n\
         Rows of tables carry their index and the names of the row as attributes. A value that is NULL is none. OTLP's whole\n\
         numbers have 63 bits: a Counter64 beyond 9223372036854775807 leaves as a double, true to one part in 2^53.\n\n\
         | metric | unit | attributes beside those of the row | `names: mib` |\n|---|---|---|---|\n",
    );
    for ((name, unit), (objects, attrs)) in rows {
        let list = |of: &BTreeSet<String>| of.iter().map(|o| format!("`{o}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "| `{name}` | {unit} | {} | {} |", list(&attrs), list(&objects));
    }
    out.push_str(
        "\nBeside these, for every device: `snmp.device.up` (1 or 0), `snmp.device.rtt` (s), `snmp.device.poll.duration` (s),\n\
         `snmp.device.poll.lateness` (s), `snmp.device.poll.packets`.\n\n\
         | profile | vendor | scalars and tables |\n|---|---|---|\n",
    );
    for (name, (vendor, count)) in vendors {
        let _ = writeln!(out, "| {name} | {vendor} | {count} |");
    }
    Ok(out)
}
