//! Brings into the ledger and the metrics what the kernel half counts per process: requests begun that no record told of,
//! and datagrams.

use std::collections::HashMap;

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
}

impl KernelCounts {
    pub(crate) fn new(counters: Counters) -> KernelCounts {
        KernelCounts { counters, lost: 0, no_entry: 0, datagrams: 0, known: HashMap::new() }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Looks whether anything was lost or sent since the last time, and if so by whom.
    pub(crate) fn account(&mut self, procs: &ProcTable, books: &mut Books<'_>) {
        let lost = self.counters.get(Counter::RequestsLost) + self.counters.get(Counter::OverSecondBound);
        let datagrams = self.counters.get(Counter::UdpBytes);
        if (lost, datagrams) == (self.lost, self.datagrams) {
            return;
        }
        (self.lost, self.datagrams) = (lost, datagrams);
        let no_entry = self.counters.get(Counter::RequestsLostNoProc);
        tell(books.ledger, no_entry - self.no_entry, 0);
        self.no_entry = no_entry;
        for (pid, state) in procs.all() {
            // One that was not told of yet is looked at; one that is gone already is told of by its exit.
            if books.table.get(pid).is_some() || books.table.discover(pid).is_some() {
                self.settle(pid, &state, books);
            }
        }
    }

    /// Accounts for a process that has left the table.
    pub(crate) fn gone(&mut self, pid: u32, last: &ProcState, books: &Books<'_>) {
        self.settle(pid, last, books);
        self.known.remove(&pid);
    }

    fn settle(&mut self, pid: u32, state: &ProcState, books: &Books<'_>) {
        let now = Known { lost: state.lost, unread: state.unread, datagrams: state.udp_rx + state.udp_tx };
        if now.lost + now.unread + now.datagrams == 0 {
            return;
        }
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
