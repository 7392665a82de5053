//! Telegen's own metrics, the ledger, feature states, health and logs.
//!
//! Everything here is cheap to clone and safe to use from any thread. A crate that counts something asks
//! [`SelfMon`] once for a [`Counter`] or [`Gauge`] and keeps the handle: counting is one atomic addition.

mod features;
mod health;
mod ledger;
pub mod logs;
mod process;
mod registry;
pub mod settings;

pub use features::{FeatureState, Features};
pub use health::{Health, HealthReport, Problem};
pub use ledger::{Ledger, LedgerSnapshot, Settled, SignalSnapshot};
pub use registry::{Counter, Gauge};

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use telegen_model::{Metric, Records, Resource, ResourceGroup, Scope, Str};

use registry::Registry;

/// Scope name of Telegen's own metrics; what carries it stands outside the ledger.
pub const SELF_SCOPE: &str = "telegen/self";

/// What the program was built from; shown by `telegen.build_info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInfo {
    /// Version, such as `0.1.0`.
    pub version: Str,
    /// Commit, or `unknown`.
    pub commit: Str,
    /// Target triple.
    pub target: Str,
}

/// Everything Telegen knows about itself. Clones share one state.
#[derive(Clone, Debug)]
pub struct SelfMon {
    /// What was produced, discarded, lost, delivered and is in flight, per signal.
    pub ledger: Ledger,
    /// Which features are on, and why the others are not.
    pub features: Features,
    /// What `/healthz` and `/readyz` answer.
    pub health: Health,
    registry: Arc<Registry>,
    build: Arc<BuildInfo>,
    start_unix_ns: u64,
}

impl SelfMon {
    /// An empty state whose counters start now.
    pub fn new(build: BuildInfo) -> SelfMon {
        SelfMon {
            ledger: Ledger::default(),
            features: Features::default(),
            health: Health::default(),
            registry: Arc::default(),
            build: Arc::new(build),
            start_unix_ns: unix_now_ns(),
        }
    }

    /// The counter of this name and these attributes; asking twice gives the same one.
    ///
    /// `name` is an OpenTelemetry name (`telegen.tap.records`), `unit` UCUM or an annotation such as `{record}`.
    /// Attribute values must come from a closed set. Beyond 4,096 series the handle counts into nowhere and
    /// `telegen.self.series_refused` goes up.
    pub fn counter(
        &self,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
        attrs: &[(&'static str, &str)],
    ) -> Counter {
        self.registry.counter(name, unit, help, attrs)
    }

    /// The gauge of this name and these attributes; the same rules as [`SelfMon::counter`].
    pub fn gauge(
        &self,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
        attrs: &[(&'static str, &str)],
    ) -> Gauge {
        self.registry.gauge(name, unit, help, attrs)
    }

    /// A gauge whose value is asked for at every reading. `read` must be quick and must not call into `SelfMon`.
    pub fn gauge_fn(
        &self,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
        attrs: &[(&'static str, &str)],
        read: impl Fn() -> i64 + Send + Sync + 'static,
    ) {
        self.registry.observe(name, unit, help, attrs, false, Box::new(read));
    }

    /// A counter whose value is asked for at every reading; it must never go down.
    pub fn counter_fn(
        &self,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
        attrs: &[(&'static str, &str)],
        read: impl Fn() -> i64 + Send + Sync + 'static,
    ) {
        self.registry.observe(name, unit, help, attrs, true, Box::new(read));
    }

    /// Telegen's own metrics as of `now_unix_ns`: cumulative, one [`Metric`] a name, sorted by name.
    pub fn metrics(&self, now_unix_ns: u64) -> Vec<Metric> {
        let span = registry::Window { start: self.start_unix_ns, now: now_unix_ns };
        let mut out = self.registry.metrics(span);
        self.ledger.metrics(span, &mut out);
        self.features.metrics(span, &mut out);
        process::metrics(span, &mut out);
        out.push(registry::gauge_metric(
            "telegen.build_info",
            "",
            "1, with what the program was built from.",
            span,
            vec![(
                registry::attrs(&[
                    ("version", self.build.version.as_str()),
                    ("commit", self.build.commit.as_str()),
                    ("target", self.build.target.as_str()),
                ]),
                1,
            )],
        ));
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    /// [`SelfMon::metrics`] under the scope that stands outside the ledger.
    pub fn group(&self, resource: &Arc<Resource>, now_unix_ns: u64) -> ResourceGroup {
        ResourceGroup {
            resource: resource.clone(),
            scope: Scope { name: Str::const_new(SELF_SCOPE), version: self.build.version.clone() },
            records: Records::Metrics(self.metrics(now_unix_ns)),
        }
    }

    /// When the counters began, ns since 1970.
    pub fn start_unix_ns(&self) -> u64 {
        self.start_unix_ns
    }

    /// What the program was built from.
    pub fn build(&self) -> &BuildInfo {
        &self.build
    }
}

fn unix_now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}
