use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::{ByteSize, Check, Duration, Report};
use telegen_processes::settings::DiscoverySettings;
use telegen_trace::settings::{MetricsSettings, TraceSettings};

/// Watching this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AgentSettings {
    /// Memory of all rings between the kernel and Telegen together. A tiny one loses events, and counts every one.
    pub(crate) ring_size: ByteSize,
    /// Which processes are watched.
    pub(crate) discovery: DiscoverySettings,
    /// Requests seen on sockets.
    pub(crate) traces: TraceSettings,
    /// Metrics made from requests.
    pub(crate) metrics: MetricsSettings,
    /// Where programs spend their time.
    pub(crate) profiles: ProfilesSettings,
    /// Log files and container logs.
    pub(crate) logs: LogsSettings,
    /// Processors, memory, disks and file systems.
    pub(crate) host: Switch,
    /// Flows, TCP and DNS.
    pub(crate) network: Switch,
    /// Graphics processors.
    pub(crate) gpu: Switch,
}

impl Default for AgentSettings {
    fn default() -> AgentSettings {
        AgentSettings {
            ring_size: ByteSize::mib(8),
            discovery: DiscoverySettings::default(),
            traces: TraceSettings::default(),
            metrics: MetricsSettings::default(),
            profiles: ProfilesSettings::default(),
            logs: LogsSettings::default(),
            host: Switch::default(),
            network: Switch::default(),
            gpu: Switch::default(),
        }
    }
}

impl Check for AgentSettings {
    fn check(&self, report: &mut Report) {
        if !(4 << 10..=1 << 30).contains(&self.ring_size.get()) {
            report.wrong("ring_size", "expected 4KiB to 1GiB");
        }
        report.section("discovery", &self.discovery);
        report.section("traces", &self.traces);
        report.section("logs", &self.logs);
        if self.profiles.rate == 0 || self.profiles.rate > 1000 {
            report.wrong("profiles.rate", "expected 1 to 1000 samples a second");
        }
    }
}

/// Something that is on or off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Switch {
    /// Whether it is on.
    pub(crate) enabled: bool,
}

impl Default for Switch {
    fn default() -> Switch {
        Switch { enabled: true }
    }
}

/// Where programs spend their time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProfilesSettings {
    /// Whether samples are taken.
    pub(crate) enabled: bool,
    /// Samples a second and processor.
    pub(crate) rate: u32,
    /// Time between two exports.
    pub(crate) interval: Duration,
}

impl Default for ProfilesSettings {
    fn default() -> ProfilesSettings {
        ProfilesSettings { enabled: true, rate: 19, interval: Duration::secs(10) }
    }
}

/// Log files and container logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogsSettings {
    /// Whether logs are read.
    pub(crate) enabled: bool,
    /// Files to read besides those that are found.
    pub(crate) files: Vec<LogFile>,
}

impl Default for LogsSettings {
    fn default() -> LogsSettings {
        LogsSettings { enabled: true, files: Vec::new() }
    }
}

/// Files to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogFile {
    /// Path; `*` and `?` stand for any characters but `/`.
    #[schemars(example = &"/var/log/app/*.log")]
    pub(crate) path: String,
    /// Paths to leave out.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// Where reading begins in a file that was not read before.
    #[serde(default)]
    pub(crate) start: Start,
    /// How lines become records.
    #[serde(default)]
    pub(crate) multiline: Multiline,
    /// How records are taken apart.
    #[serde(default)]
    pub(crate) parse: Parse,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Start {
    /// Only what is written from now on.
    #[default]
    End,
    /// The whole file.
    Beginning,
}

/// How lines become records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Multiline {
    /// Stack traces and indented lines join what they belong to.
    #[default]
    Auto,
    /// Every line is a record.
    None,
}

/// How records are taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Parse {
    /// By what the lines look like.
    #[default]
    Auto,
    /// One JSON object a record.
    Json,
    /// `key=value` pairs.
    Logfmt,
    /// Not at all.
    None,
}

impl Check for LogsSettings {
    fn check(&self, report: &mut Report) {
        for (i, file) in self.files.iter().enumerate() {
            if file.path.is_empty() {
                report.wrong(&format!("files.{i}.path"), "expected a path");
            }
        }
    }
}
