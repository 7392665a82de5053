use std::fmt;

/// One of the four OpenTelemetry signals. The ledger, queues and routing are kept per signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metric data points.
    Metrics,
    /// Log records.
    Logs,
    /// Profile messages.
    Profiles,
}

impl Signal {
    /// All signals, in the order used by tables indexed with [`Signal::index`].
    pub const ALL: [Signal; 4] = [Signal::Traces, Signal::Metrics, Signal::Logs, Signal::Profiles];

    /// The name used in configuration, metrics and the ledger: `traces`, `metrics`, `logs`, `profiles`.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
            Signal::Profiles => "profiles",
        }
    }

    /// Position in [`Signal::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The signal with this [`name`](Signal::name), if any.
    pub fn from_name(name: &str) -> Option<Signal> {
        Signal::ALL.into_iter().find(|s| s.name() == name)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
