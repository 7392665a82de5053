//! Brings the kernel half's losses into the ledger: requests begun there that no record told of.

use std::collections::HashMap;

use telegen_bpf::abi::{Counter, ProcState};
use telegen_bpf::{Counters, ProcTable};
use telegen_model::Signal;
use telegen_processes::Table;
use telegen_selfmon::Ledger;

/// What was accounted for so far.
pub(crate) struct KernelLosses {
    counters: Counters,
    total: u64,
    no_entry: u64,
    /// By pid: (no room, over the second bound).
    known: HashMap<u32, (u64, u64)>,
}

impl KernelLosses {
    pub(crate) fn new(counters: Counters) -> KernelLosses {
        KernelLosses { counters, total: 0, no_entry: 0, known: HashMap::new() }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Looks whether anything was lost since the last time, and if so of whom.
    pub(crate) fn account(&mut self, procs: &ProcTable, table: &Table, ledger: &Ledger) {
        let total = self.counters.get(Counter::RequestsLost) + self.counters.get(Counter::OverSecondBound);
        if total == self.total {
            return;
        }
        self.total = total;
        let no_entry = self.counters.get(Counter::RequestsLostNoProc);
        tell(ledger, no_entry - self.no_entry, 0);
        self.no_entry = no_entry;
        for (pid, state) in procs.all() {
            if state.lost + state.unread > 0 {
                self.settle(pid, &state, table, ledger);
            }
        }
    }

    /// Accounts for a process that has left the table.
    pub(crate) fn gone(&mut self, pid: u32, last: &ProcState, table: &Table, ledger: &Ledger) {
        if last.lost + last.unread > 0 {
            self.settle(pid, last, table, ledger);
        }
        self.known.remove(&pid);
    }

    fn settle(&mut self, pid: u32, state: &ProcState, table: &Table, ledger: &Ledger) {
        let known = self.known.entry(pid).or_default();
        let (ring, budget) = (state.lost.saturating_sub(known.0), state.unread.saturating_sub(known.1));
        *known = (state.lost, state.unread);
        // What the user excluded is not Telegen's to lose.
        if table.get(pid).is_none_or(|p| p.selection.selected) {
            tell(ledger, ring, budget);
        }
    }
}

fn tell(ledger: &Ledger, ring: u64, budget: u64) {
    if ring + budget > 0 {
        ledger.produced(Signal::Traces, "trace", ring + budget);
    }
    if ring > 0 {
        ledger.lost(Signal::Traces, "ring", "ring_full", ring);
    }
    if budget > 0 {
        ledger.lost(Signal::Traces, "ring", "over_budget", budget);
    }
}
