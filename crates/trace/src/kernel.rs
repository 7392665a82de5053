//! Brings into the ledger and the metrics what the kernel half counts per process: requests begun that no record told of,
//! and datagrams.

use std::collections::{HashMap, HashSet};

use telegen_bpf::abi::{Counter, ProcState};
use telegen_bpf::{Counters, ProcTable};
use telegen_model::Signal;
use telegen_processes::Table;
use telegen_selfmon::Ledger;

use crate::unread::{Traffic, Unread};

/// What was accounted for of a process so far.
#[derive(Clone, Copy, Default)]
struct Known {
    lost: u64,
    unread: u64,
    datagrams: u64,
}

impl Known {
    /// `None` where there is nothing to account for.
    fn of(state: &ProcState) -> Option<Known> {
        let now = Known { lost: state.lost, unread: state.unread, datagrams: state.udp_rx + state.udp_tx };
        (now.lost + now.unread + now.datagrams > 0).then_some(now)
    }
}

/// Where the counts go.
pub(crate) struct Books<'a> {
    pub(crate) table: &'a mut Table,
    pub(crate) ledger: &'a Ledger,
    pub(crate) unread: &'a Unread,
    /// Wall time, ns.
    pub(crate) now: u64,
}

/// What the kernel half counts per process.
pub(crate) struct KernelCounts {
    counters: Counters,
    lost: u64,
    no_entry: u64,
    datagrams: u64,
    /// By pid; an entry goes with its process.
    known: HashMap<u32, Known>,
    /// Processes with losses that nothing is known of, since the last look: their records may still be on the way.
    strange: HashSet<u32>,
}

impl KernelCounts {
    pub(crate) fn new(counters: Counters) -> KernelCounts {
        KernelCounts {
            counters,
            lost: 0,
            no_entry: 0,
            datagrams: 0,
            known: HashMap::new(),
            strange: HashSet::new(),
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Looks whether anything was lost or sent since the last time, and if so by whom.
    pub(crate) fn account(&mut self, procs: &ProcTable, books: &mut Books<'_>) {
        let lost = self.counters.get(Counter::RequestsLost) + self.counters.get(Counter::OverSecondBound);
        let datagrams = self.counters.get(Counter::UdpBytes);
        if (lost, datagrams) == (self.lost, self.datagrams) && self.strange.is_empty() {
            return;
        }
        (self.lost, self.datagrams) = (lost, datagrams);
        let no_entry = self.counters.get(Counter::RequestsLostNoProc);
        tell(books.ledger, no_entry - self.no_entry, 0);
        self.no_entry = no_entry;
        for (pid, state) in procs.all() {
            if Known::of(&state).is_none() {
                continue;
            }
            // One that was not told of yet is looked for. One that is gone as well has its say with its exit, or, where
            // that was lost, with the next look: what nobody answers for is lost all the same.
            let answers = self.known.contains_key(&pid)
                || books.table.get(pid).is_some()
                || books.table.discover(pid).is_some();
            if answers || self.strange.contains(&pid) {
                self.strange.remove(&pid);
                self.settle(pid, &state, books);
            } else {
                self.strange.insert(pid);
            }
        }
    }

    /// Accounts for a process that has left the table.
    pub(crate) fn gone(&mut self, pid: u32, last: &ProcState, books: &Books<'_>) {
        self.settle(pid, last, books);
        self.known.remove(&pid);
        self.strange.remove(&pid);
    }

    fn settle(&mut self, pid: u32, state: &ProcState, books: &Books<'_>) {
        let Some(now) = Known::of(state) else { return };
        let known = std::mem::replace(self.known.entry(pid).or_default(), now);
        let process = books.table.get(pid);
        // What the user excluded is not Telegen's to lose.
        if process.is_some_and(|p| !p.selection.selected) {
            return;
        }
        tell(books.ledger, now.lost.saturating_sub(known.lost), now.unread.saturating_sub(known.unread));
        let datagrams = now.datagrams.saturating_sub(known.datagrams);
        if let Some(process) = process
            && datagrams > 0
        {
            books.unread.add(&process.instance_resource, Traffic::datagrams(), datagrams, books.now);
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
