//! What the program knows about processes that is no record. The program fills it, the page shows it.

/// A process that was found, and what was decided about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Its number on this host.
    pub pid: u32,
    /// Path of its executable.
    pub exe: String,
    /// Name of the service it belongs to.
    pub service: String,
    /// Namespace of that service, or empty.
    pub namespace: String,
    /// Where the name came from: `environment`, `unit`, `executable`, ...
    pub named_by: &'static str,
    /// What runs its code, such as `cpython`; empty for native code.
    pub runtime: String,
    /// TCP ports it listens on.
    pub ports: Vec<u16>,
    /// Its container, or empty.
    pub container: String,
    /// Whether it is watched.
    pub selected: bool,
    /// The rule of `agent.discovery` that decided, such as `exclude[0]`, or a reason; `None` when no rule did.
    pub rule: Option<String>,
    /// Whether it exports OTLP traces itself, so that its spans would be doubled.
    pub exports_own: bool,
    /// Since when it is over its capture budget, ns since 1970; `None` when it is not.
    pub over_budget_since: Option<u64>,
}

/// Processes that are remembered.
const MOST: usize = 4_096;
/// Ports of one process that are remembered.
const PORTS: usize = 16;
/// Longest text of a field, in bytes.
const TEXT: usize = 256;

/// The newest list, and how many found no room in it.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) processes: Vec<Watched>,
    /// Processes that found no room.
    pub(crate) refused: usize,
    /// Whether a list was ever given.
    pub(crate) known: bool,
}

impl List {
    /// Takes a whole new list, cut to what is remembered: what is watched and what listens comes first.
    pub(crate) fn take(&mut self, mut processes: Vec<Watched>) {
        processes.sort_by(|a, b| {
            let key = |w: &Watched| (w.ports.is_empty(), !w.selected, w.pid);
            key(a).cmp(&key(b))
        });
        self.refused = processes.len().saturating_sub(MOST);
        processes.truncate(MOST);
        for one in &mut processes {
            one.ports.truncate(PORTS);
            for text in [&mut one.exe, &mut one.service, &mut one.namespace, &mut one.container] {
                text.truncate(text.floor_char_boundary(TEXT));
            }
        }
        processes.shrink_to_fit();
        self.processes = processes;
        self.known = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_bounded_and_keeps_what_listens() {
        let mut list = List::default();
        let one = |pid: u32| Watched {
            pid,
            exe: "é".repeat(200),
            ports: if pid == 9_999 { vec![80; 40] } else { Vec::new() },
            ..Watched::default()
        };
        list.take((0..10_000).map(one).collect());
        assert_eq!((list.processes.len(), list.refused), (MOST, 10_000 - MOST));
        assert_eq!((list.processes[0].pid, list.processes[0].ports.len()), (9_999, PORTS));
        assert_eq!(list.processes[0].exe, "é".repeat(128));
    }
}
