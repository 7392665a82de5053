use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use telegen_model::{Attrs, Metric, Signal};

use crate::registry::{Window, attrs, counter_metric, gauge_metric, signed};

/// Different words a table of the ledger holds at most; what comes later counts as `other`.
const MAX_WORDS: usize = 256;

/// The account of every item: what was produced, and what became of it.
///
/// For each signal and each exporter that takes all of it, at rest:
/// `produced = discarded + lost before export + delivered{exporter} + lost{stage="export:NAME"}`.
/// Items are spans, metric data points, log records and Profile messages. Clones share one state; every call
/// is one short critical section per signal, so a snapshot never shows half of a step.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    books: Arc<[Mutex<Book>; 4]>,
}

type Table = BTreeMap<String, u64>;

#[derive(Debug, Default)]
struct Book {
    produced: Table,
    discarded: Table,
    /// By stage, then reason.
    lost: BTreeMap<String, Table>,
    delivered: Table,
    /// Items an exporter has accepted and not settled, by exporter.
    held: Table,
    /// Items a source has produced and not yet handed on.
    upstream: u64,
}

/// What became of items that an exporter held; the parts of one step are counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled<'a> {
    /// Items the peer took.
    pub delivered: u64,
    /// Items that are gone.
    pub lost: u64,
    /// Why they are gone; only looked at when `lost` is not 0.
    pub reason: &'a str,
}

impl Ledger {
    /// `n` items came into being at `source` (`tap`, `self`, `recovered`, ...).
    pub fn produced(&self, signal: Signal, source: &str, n: u64) {
        add(&mut self.book(signal).produced, source, n);
    }

    /// `n` items were dropped because the user asked for it (`sampled`, `filtered`, ...).
    pub fn discarded(&self, signal: Signal, reason: &str, n: u64) {
        add(&mut self.book(signal).discarded, reason, n);
    }

    /// `n` items are gone. Stages before export: `ring`, `tap`, `pipeline`, ...; at an exporter `export:NAME`.
    pub fn lost(&self, signal: Signal, stage: &str, reason: &str, n: u64) {
        self.book(signal).lose(stage, reason, n);
    }

    /// `n` items were taken by the peer of `exporter`.
    pub fn delivered(&self, signal: Signal, exporter: &str, n: u64) {
        add(&mut self.book(signal).delivered, exporter, n);
    }

    /// Makes the exporter's delivered count appear, at 0, before its first item.
    pub fn register_exporter(&self, signal: Signal, exporter: &str) {
        self.book(signal).delivered.entry(exporter.to_string()).or_insert(0);
    }

    /// `exporter` now holds `n` more items.
    pub fn accepted(&self, signal: Signal, exporter: &str, n: u64) {
        add(&mut self.book(signal).held, exporter, n);
    }

    /// `exporter` no longer holds these items: they were delivered or are lost at `export:EXPORTER`.
    pub fn settle(&self, signal: Signal, exporter: &str, what: Settled<'_>) {
        let mut book = self.book(signal);
        if let Some(held) = book.held.get_mut(exporter) {
            *held = held.saturating_sub(what.delivered.saturating_add(what.lost));
        }
        add(&mut book.delivered, exporter, what.delivered);
        if what.lost > 0 {
            book.lose(&format!("export:{exporter}"), what.reason, what.lost);
        }
    }

    /// A source holds `n` more produced items that it has not yet handed on.
    pub fn hold(&self, signal: Signal, n: u64) {
        let mut book = self.book(signal);
        book.upstream = book.upstream.saturating_add(n);
    }

    /// A source handed on, discarded or lost `n` of the items of [`Ledger::hold`].
    pub fn release(&self, signal: Signal, n: u64) {
        let mut book = self.book(signal);
        book.upstream = book.upstream.saturating_sub(n);
    }

    /// The state of all signals; each signal's part is of one instant.
    pub fn snapshot(&self) -> LedgerSnapshot {
        LedgerSnapshot(Signal::ALL.into_iter().map(|s| (s.name(), self.book(s).snapshot())).collect())
    }

    pub(crate) fn metrics(&self, window: Window, out: &mut Vec<Metric>) {
        let (mut produced, mut discarded, mut lost, mut delivered, mut in_flight) =
            (vec![], vec![], vec![], vec![], vec![]);
        for signal in Signal::ALL {
            let book = self.book(signal);
            let rows = |table: &Table, key: &'static str, rows: &mut Vec<(Attrs, i64)>| {
                rows.extend(
                    table
                        .iter()
                        .map(|(word, n)| (attrs(&[("signal", signal.name()), (key, word)]), signed(*n))),
                );
            };
            rows(&book.produced, "source", &mut produced);
            rows(&book.discarded, "reason", &mut discarded);
            rows(&book.delivered, "exporter", &mut delivered);
            for (stage, table) in &book.lost {
                lost.extend(table.iter().map(|(reason, n)| {
                    (attrs(&[("signal", signal.name()), ("stage", stage), ("reason", reason)]), signed(*n))
                }));
            }
            in_flight.push((attrs(&[("signal", signal.name())]), signed(book.in_flight())));
        }
        out.push(counter_metric(
            "telegen.produced",
            "{item}",
            "Items that came into being.",
            window,
            produced,
        ));
        out.push(counter_metric(
            "telegen.discarded",
            "{item}",
            "Items dropped because the user asked for it.",
            window,
            discarded,
        ));
        out.push(counter_metric("telegen.lost", "{item}", "Items that are gone, and why.", window, lost));
        out.push(counter_metric(
            "telegen.delivered",
            "{item}",
            "Items that the peer of an exporter took.",
            window,
            delivered,
        ));
        out.push(gauge_metric(
            "telegen.in_flight",
            "{item}",
            "Items on their way: held by sources, and by the exporter that is furthest behind.",
            window,
            in_flight,
        ));
    }

    fn book(&self, signal: Signal) -> MutexGuard<'_, Book> {
        self.books[signal.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn lose(&mut self, stage: &str, reason: &str, n: u64) {
        if n == 0 {
            return;
        }
        let stage =
            if self.lost.len() < MAX_WORDS || self.lost.contains_key(stage) { stage } else { "other" };
        match self.lost.get_mut(stage) {
            Some(table) => add(table, reason, n),
            None => add(self.lost.entry(stage.to_string()).or_default(), reason, n),
        }
    }

    fn in_flight(&self) -> u64 {
        self.upstream.saturating_add(self.held.values().copied().max().unwrap_or(0))
    }

    fn snapshot(&self) -> SignalSnapshot {
        SignalSnapshot {
            produced: self.produced.values().fold(0, |a, n| a.saturating_add(*n)),
            discarded: self.discarded.clone(),
            lost: self.lost.clone(),
            delivered: self.delivered.clone(),
            in_flight: self.in_flight(),
            produced_by_source: self.produced.clone(),
        }
    }
}

/// Adds to a word's count; an empty word is `unknown`, words beyond the bound are `other`.
fn add(table: &mut Table, word: &str, n: u64) {
    if n == 0 {
        return;
    }
    let word = match word {
        "" => "unknown",
        w if table.len() < MAX_WORDS || table.contains_key(w) => w,
        _ => "other",
    };
    match table.get_mut(word) {
        Some(count) => *count = count.saturating_add(n),
        None => {
            table.insert(word.to_string(), n);
        }
    }
}

/// The ledger as `/api/v1/ledger` shows it, keyed by signal name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerSnapshot(pub BTreeMap<&'static str, SignalSnapshot>);

impl LedgerSnapshot {
    /// The part of one signal.
    pub fn signal(&self, signal: Signal) -> SignalSnapshot {
        self.0.get(signal.name()).cloned().unwrap_or_default()
    }
}

/// The account of one signal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SignalSnapshot {
    /// Items that came into being, all sources.
    pub produced: u64,
    /// Items dropped on the user's wish, by reason.
    pub discarded: BTreeMap<String, u64>,
    /// Items gone, by stage and reason.
    pub lost: BTreeMap<String, BTreeMap<String, u64>>,
    /// Items taken, by exporter.
    pub delivered: BTreeMap<String, u64>,
    /// Items on their way: held by sources, and by the exporter that is furthest behind.
    pub in_flight: u64,
    /// `produced` by source; not part of the public form.
    #[serde(skip)]
    pub produced_by_source: BTreeMap<String, u64>,
}

impl SignalSnapshot {
    /// Items gone at one stage, all reasons.
    pub fn lost_at(&self, stage: &str) -> u64 {
        self.lost.get(stage).map_or(0, |t| t.values().sum())
    }

    /// Items gone before any exporter.
    pub fn lost_before_export(&self) -> u64 {
        self.lost
            .iter()
            .filter(|(stage, _)| !stage.starts_with("export:"))
            .flat_map(|(_, t)| t.values())
            .sum()
    }

    /// Whether every item is accounted for with regard to one exporter: the ledger's identity at rest.
    pub fn balances(&self, exporter: &str) -> bool {
        let discarded: u64 = self.discarded.values().sum();
        let delivered = self.delivered.get(exporter).copied().unwrap_or(0);
        let lost = self.lost_before_export() + self.lost_at(&format!("export:{exporter}"));
        self.produced == discarded + delivered + lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_the_public_shape() {
        let l = Ledger::default();
        l.produced(Signal::Traces, "tap", 10);
        l.discarded(Signal::Traces, "sampled", 2);
        l.lost(Signal::Traces, "ring", "ring_full", 1);
        l.register_exporter(Signal::Traces, "otlp");
        l.accepted(Signal::Traces, "otlp", 7);
        l.settle(Signal::Traces, "otlp", Settled { delivered: 4, lost: 1, reason: "rejected_by_peer" });
        let json = serde_json::to_value(l.snapshot()).unwrap();
        assert_eq!(
            json["traces"],
            serde_json::json!({
                "produced": 10, "discarded": {"sampled": 2},
                "lost": {"ring": {"ring_full": 1}, "export:otlp": {"rejected_by_peer": 1}},
                "delivered": {"otlp": 4}, "in_flight": 2
            })
        );
        let empty =
            serde_json::json!({"produced": 0, "discarded": {}, "lost": {}, "delivered": {}, "in_flight": 0});
        assert_eq!(json["metrics"], empty);
        assert_eq!(json.as_object().unwrap().len(), 4);
        assert!(!l.snapshot().signal(Signal::Traces).balances("otlp"));
        l.settle(Signal::Traces, "otlp", Settled { delivered: 2, ..Settled::default() });
        assert!(l.snapshot().signal(Signal::Traces).balances("otlp"));
    }

    #[test]
    fn in_flight_is_what_sources_hold_and_the_exporter_furthest_behind() {
        let l = Ledger::default();
        l.hold(Signal::Logs, 5);
        l.release(Signal::Logs, 2);
        l.accepted(Signal::Logs, "a", 10);
        l.accepted(Signal::Logs, "b", 10);
        l.settle(Signal::Logs, "a", Settled { delivered: 9, ..Settled::default() });
        assert_eq!(l.snapshot().signal(Signal::Logs).in_flight, 13);
        assert_eq!(l.snapshot().signal(Signal::Traces).in_flight, 0);
    }

    #[test]
    fn a_reason_is_never_empty_and_the_number_of_words_is_bounded() {
        let l = Ledger::default();
        l.lost(Signal::Logs, "pipeline", "", 3);
        for i in 0..300 {
            l.lost(Signal::Logs, "tap", &format!("r{i}"), 1);
        }
        let s = l.snapshot().signal(Signal::Logs);
        assert_eq!(s.lost["pipeline"]["unknown"], 3);
        assert_eq!(s.lost["tap"].len(), MAX_WORDS + 1);
        assert_eq!(s.lost["tap"]["other"], 300 - 256);
    }

    #[test]
    fn a_snapshot_never_shows_half_of_a_step() {
        let l = Ledger::default();
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let l = l.clone();
                std::thread::spawn(move || {
                    for _ in 0..2000 {
                        l.accepted(Signal::Traces, "a", 5);
                        l.settle(Signal::Traces, "a", Settled { delivered: 3, lost: 2, reason: "x" });
                    }
                })
            })
            .collect();
        while workers.iter().any(|w| !w.is_finished()) {
            let s = l.snapshot().signal(Signal::Traces);
            let delivered = s.delivered.get("a").copied().unwrap_or(0);
            assert_eq!(2 * delivered, 3 * s.lost_at("export:a"));
            assert!(s.in_flight.is_multiple_of(5) && s.in_flight <= 15);
        }
        workers.into_iter().for_each(|w| w.join().unwrap());
        let s = l.snapshot().signal(Signal::Traces);
        assert_eq!((s.delivered["a"], s.lost_at("export:a"), s.in_flight), (18_000, 12_000, 0));
    }
}
