use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use telegen_model::{ResourceGroup, Signal, Temporality};

use crate::Batch;

/// A future behind a pointer, so that sinks of different kinds stand in one list.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A set of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct SignalSet(u8);

impl SignalSet {
    /// No signal.
    pub const NONE: SignalSet = SignalSet(0);
    /// All four signals.
    pub const ALL: SignalSet = SignalSet(0b1111);

    /// The set of these signals.
    pub fn of(signals: &[Signal]) -> SignalSet {
        signals.iter().fold(SignalSet::NONE, |set, s| SignalSet(set.0 | 1 << s.index()))
    }

    /// Whether the signal is in the set.
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & 1 << signal.index() != 0
    }

    /// The signals of the set, in [`Signal::ALL`]'s order.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::ALL.into_iter().filter(move |s| self.contains(*s))
    }
}

/// What became of a batch that a sink was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The peer took all of it.
    Delivered,
    /// The peer took it but for `n` items, which it will never take (OTLP partial success).
    Rejected {
        /// Items refused.
        n: u64,
    },
    /// Not now: the same batch is to be sent again, not before `after` if the peer said so.
    Retry {
        /// The peer's own wish.
        after: Option<Duration>,
    },
    /// The request is too large for the peer: it is to be sent again in halves. One item alone is lost.
    TooLarge,
    /// `n` items are gone, the others were taken.
    Lost {
        /// Items gone.
        n: u64,
        /// Why, in the ledger's words: `grpc_3`, `http_400`, `response_too_large`, ...
        reason: Cow<'static, str>,
    },
}

/// Where batches go: an exporter, the view, the console.
pub trait Sink: Send + Sync + 'static {
    /// Its name in the ledger (`export:NAME`); unique.
    fn name(&self) -> &str;

    /// What it takes.
    fn signals(&self) -> SignalSet;

    /// Whether it reads [`Batch::groups`]. A sink that answers `false` gets batches with the encoded request
    /// alone, which is a third of the memory while they wait.
    fn needs_records(&self) -> bool {
        true
    }

    /// Whether it does without typed records where there are none: it reads [`Batch::encoded`] or
    /// [`Batch::encoded_json`] alone.
    fn takes_raw(&self) -> bool {
        false
    }

    /// Sends one batch. Called again with the same batch after [`Outcome::Retry`]. For each signal one call
    /// at a time; different signals concurrently. May be dropped at any `await` when the program ends.
    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome>;
}

/// Who reads metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The exporters. With `Delta` this moves the series' start; ended series are given a last time.
    Export {
        /// How sums and histograms are to count.
        temporality: Temporality,
    },
    /// A scrape or the view: cumulative, and changes nothing.
    Peek,
}

/// Something that has metrics.
pub trait MetricSource: Send + Sync + 'static {
    /// The metrics as of `now_unix_ns`. Called from a runtime thread: quick, no waiting.
    fn collect(&self, reader: Reader, now_unix_ns: u64) -> Vec<ResourceGroup>;
}
