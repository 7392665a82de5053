//! Neighbours as entities: told when they come, from time to time while they stay, and when they go.

use std::collections::BTreeSet;
use std::time::Duration;

use telegen_model::{KeyValue, LogRecord, Severity, SpanId, Str, TraceId, Value};

use super::kept::Names;
use crate::profile::TablePlan;

/// A neighbour that stays is told again about so often.
pub(crate) const TOLD_AGAIN: Duration = Duration::from_secs(3600);

/// The events of a table of neighbours: what it holds now against what it held. `all` tells those that stayed too. A
/// neighbour is known by all that it says of itself, not by its row, whose number moves.
pub(crate) fn events(
    table: &TablePlan,
    device: &str,
    (old, new): (&Names, &Names),
    (all, time): (bool, u64),
) -> Vec<LogRecord> {
    let Some(protocol) = table.edges else { return Vec::new() };
    let neighbours = |names: &Names| -> BTreeSet<Vec<String>> {
        let labels = |row| (0..table.labels.len()).map(move |l| names.label(row, l).to_owned()).collect();
        (0..names.rows()).map(labels).collect()
    };
    let (old, new) = (neighbours(old), neighbours(new));
    let event = |kind: &'static str, labels: &Vec<String>| {
        let mut id = vec![
            KeyValue::new("snmp.target", device),
            KeyValue { key: Str::const_new("snmp.topology.protocol"), value: Value::constant(protocol) },
        ];
        for (label, text) in
            table.labels.iter().zip(labels).filter(|(l, t)| !l.attr.is_empty() && !t.is_empty())
        {
            if id.iter().all(|kv| kv.key != label.attr) {
                id.push(KeyValue { key: Str::const_new(label.attr), value: Value::Str(Str::new(text)) });
            }
        }
        let mut attrs = vec![
            KeyValue { key: Str::const_new("otel.entity.event.type"), value: Value::constant(kind) },
            KeyValue { key: Str::const_new("otel.entity.type"), value: Value::constant("network.neighbor") },
            KeyValue { key: Str::const_new("otel.entity.id"), value: Value::Map(id) },
        ];
        if kind == "entity_state" {
            let interval = i64::try_from(TOLD_AGAIN.as_millis()).unwrap_or(i64::MAX);
            attrs.push(KeyValue { key: Str::const_new("otel.entity.interval"), value: Value::Int(interval) });
        }
        LogRecord {
            time,
            observed: time,
            severity: Severity(9),
            severity_text: Str::const_new("INFO"),
            body: Value::constant(""),
            attrs,
            trace_id: TraceId::default(),
            span_id: SpanId::default(),
            event_name: Str::const_new(kind),
        }
    };
    let states = new.iter().filter(|n| all || !old.contains(*n)).map(|n| event("entity_state", n));
    let gone = old.difference(&new).map(|n| event("entity_delete", n));
    states.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::super::kept::Kept;
    use super::*;
    use crate::profile::Library;
    use crate::settings::Names as Naming;

    #[test]
    fn neighbours_are_told_when_they_come_stay_and_go_whatever_their_row() {
        let library = Library::load(&[], Naming::Otel).unwrap();
        let plan = library.plan("lldp").unwrap();
        let table = plan.tables.iter().find(|t| t.edges == Some("lldp")).unwrap();
        let rows = |of: &[(u8, &str)]| {
            let mut kept = Kept::new(table.labels.len(), &[]);
            for (index, name) in of {
                let label = |l: &crate::profile::LabelPlan| match l.attr {
                    "snmp.neighbor.name" => (*name).to_owned(),
                    _ => String::new(),
                };
                let labels: Vec<String> = table.labels.iter().map(label).collect();
                kept.push(&[*index], labels.iter().map(String::as_str));
            }
            kept.names().clone()
        };
        let told = |old: &Names, new: &Names, all: bool| -> Vec<(String, String)> {
            let name = |log: &LogRecord| {
                let id = log.attrs.iter().find(|kv| kv.key == "otel.entity.id").unwrap();
                let Value::Map(id) = &id.value else { panic!("{id:?}") };
                let name = id.iter().find(|kv| kv.key == "snmp.neighbor.name").unwrap();
                name.value.as_str().unwrap().to_owned()
            };
            let events = events(table, "d", (old, new), (all, 7));
            events.iter().map(|log| (log.event_name.to_string(), name(log))).collect()
        };
        let event = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
        let (first, moved, other) =
            (rows(&[(1, "a"), (2, "b")]), rows(&[(5, "a"), (6, "b")]), rows(&[(5, "c")]));
        assert_eq!(told(&rows(&[]), &first, false), [event("entity_state", "a"), event("entity_state", "b")]);
        assert_eq!(told(&first, &moved, false), []);
        assert_eq!(told(&first, &moved, true), [event("entity_state", "a"), event("entity_state", "b")]);
        let gone = [event("entity_state", "c"), event("entity_delete", "a"), event("entity_delete", "b")];
        assert_eq!(told(&moved, &other, false), gone);
    }
}
