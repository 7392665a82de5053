//! Settings under `agent.traces` and `agent.metrics`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::{ByteSize, Check, Duration, Rate, Ratio, Report};

/// Longest head of a message, in bytes: what is beyond is flagged and not read.
pub const MAX_HEAD: u64 = 16 << 10;

/// Requests seen on sockets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TraceSettings {
    /// Whether sockets are watched at all.
    pub enabled: bool,
    /// Which spans are kept. Metrics always count every request.
    pub sample: SampleSettings,
    /// How sockets are watched. `auto` takes the first that the kernel allows, in the order given here.
    pub frontend: Frontend,
    /// How much of a message is copied at first. More is read when the head is longer.
    pub head: HeadSettings,
    /// Messages a second and process that are read; over it metrics only, without routes. 0 is no budget.
    pub capture_budget: Rate,
    /// What is hidden in URLs, besides what always is.
    pub mask: MaskSettings,
    /// Names of headers to record on spans. None by default.
    #[schemars(example = ["x-request-id"])]
    pub headers: Vec<String>,
    /// What is made of processes that export OTLP traces themselves.
    pub instrumented: Instrumented,
}

impl Default for TraceSettings {
    fn default() -> TraceSettings {
        TraceSettings {
            enabled: true,
            sample: SampleSettings::default(),
            frontend: Frontend::default(),
            head: HeadSettings::default(),
            capture_budget: Rate::per_second(20_000),
            mask: MaskSettings::default(),
            headers: Vec::new(),
            instrumented: Instrumented::default(),
        }
    }
}

/// Which spans are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SampleSettings {
    /// Share of traces kept, above 0 and up to 1.
    pub ratio: Ratio,
    /// Whether spans of failed requests are kept in any case.
    pub keep_errors: bool,
    /// Spans that took longer are kept in any case.
    pub keep_slower_than: Duration,
}

impl Default for SampleSettings {
    fn default() -> SampleSettings {
        SampleSettings { ratio: Ratio::ONE, keep_errors: true, keep_slower_than: Duration::secs(1) }
    }
}

/// How sockets are watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Frontend {
    /// The first of the others that works.
    #[default]
    Auto,
    /// The kernel's socket tracepoints.
    SocketTracepoint,
    /// Trampolines on socket functions.
    Fentry,
    /// Kprobes on socket functions.
    Kprobe,
    /// Tracepoints of system calls: works everywhere, costs most.
    SyscallTracepoint,
}

/// How much of a message is copied at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeadSettings {
    /// Bytes of a request.
    pub request: ByteSize,
    /// Bytes of a response.
    pub response: ByteSize,
}

impl Default for HeadSettings {
    fn default() -> HeadSettings {
        HeadSettings { request: ByteSize::bytes(512), response: ByteSize::bytes(256) }
    }
}

/// What is hidden in URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MaskSettings {
    /// Further query keys whose values become `REDACTED`, without case, `-` as `_`.
    #[schemars(example = ["customer_id"])]
    pub query_keys: Vec<String>,
}

/// What is made of processes that export OTLP traces themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Instrumented {
    /// Metrics, no spans: they have their own.
    #[default]
    Metrics,
    /// Spans and metrics.
    All,
    /// Nothing.
    None,
}

impl Check for TraceSettings {
    fn check(&self, report: &mut Report) {
        for (key, size) in [("head.request", self.head.request), ("head.response", self.head.response)] {
            if !(16..=MAX_HEAD).contains(&size.get()) {
                report.wrong(key, "expected 16 bytes to 16KiB");
            }
        }
        for (i, name) in self.headers.iter().enumerate() {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(token) {
                report.wrong(&format!("headers.{i}"), "expected the name of a header");
            }
        }
        for (i, key) in self.mask.query_keys.iter().enumerate() {
            if key.is_empty() {
                report.wrong(&format!("mask.query_keys.{i}"), "expected the name of a query key");
            }
        }
    }
}

/// Metrics made from requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSettings {
    /// Time between two exports.
    pub interval: Duration,
    /// Whether durations and sizes are exponential histograms instead of conventional buckets.
    pub exponential_histograms: bool,
    /// How sums and histograms leave: since the start, or since the last export.
    pub temporality: TemporalityPreference,
    /// Most routes a service; the rest is counted under one.
    pub max_routes: NonZeroU32,
    /// Most series a service; the rest is counted under one.
    pub max_series_per_service: NonZeroU32,
}

impl Default for MetricsSettings {
    fn default() -> MetricsSettings {
        MetricsSettings {
            interval: Duration::secs(10),
            exponential_histograms: false,
            temporality: TemporalityPreference::default(),
            max_routes: NonZeroU32::MIN.saturating_add(199),
            max_series_per_service: NonZeroU32::MIN.saturating_add(1999),
        }
    }
}

/// The values of OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TemporalityPreference {
    /// Everything since the start.
    #[default]
    Cumulative,
    /// Counters and histograms since the last export, up-down counters since the start.
    Delta,
    /// Counters and histograms of direct measurements since the last export, everything else since the start.
    LowMemory,
}
