//! All settings: the sections of every crate composed, and where they come from.

mod agent;
mod budget;
mod collector;
mod env;
pub(crate) mod restart;
mod source;
#[cfg(test)]
mod tests;
mod unbuilt;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::{ByteSize, Check, Duration, Report};
use telegen_export::settings::ExportSettings;
use telegen_pipeline::settings::{ProcessSettings, QueueSettings};
use telegen_receive::settings::ReceiveSettings;
use telegen_selfmon::settings::LogSettings;
use telegen_server::settings::ServerSettings;

pub(crate) use agent::AgentSettings;
pub(crate) use budget::Budget;
pub(crate) use collector::CollectorSettings;
pub(crate) use source::{Load, Source};
pub(crate) use unbuilt::{Unbuilt, unbuilt};

/// The file that `telegen config default` prints.
pub(crate) fn default_file() -> String {
    telegen_config::default_file::<Settings>(
        "Telegen's configuration. Every key has its default here; lines that begin with \"# \" and a key show what is\n\
         not set by default. ${NAME} (environment) and ${file:PATH} may stand anywhere in a text.",
    )
}

/// The text that `telegen config docs` prints.
pub(crate) fn reference() -> String {
    let keys = restart::AT_START.map(|key| format!("`{key}`")).join(", ");
    telegen_config::reference::<Settings>(&include_str!("reference.md").replace("{{AT_START}}", &keys))
}

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// What Telegen does: watch this machine (`agent`), or poll what it cannot run on (`collector`). The subcommand wins.
    pub(crate) mode: Mode,
    /// What Telegen says about itself on standard error.
    pub(crate) log: LogSettings,
    /// What is added to the resource of everything that leaves.
    pub(crate) resource: ResourceSettings,
    /// The server of the page, the API, `/metrics` and the health checks.
    pub(crate) server: ServerSettings,
    /// Bounds of the whole program.
    pub(crate) limits: LimitsSettings,
    /// The end.
    pub(crate) shutdown: ShutdownSettings,
    /// What others send to Telegen. Off until set.
    pub(crate) receive: ReceiveSettings,
    /// Where telemetry goes. Nothing leaves the machine until one of these is set, or OTEL_EXPORTER_OTLP_ENDPOINT.
    /// Each kind takes one object, or a list of objects with a `name`.
    pub(crate) export: ExportSettings,
    /// What is done to every record before it leaves.
    pub(crate) process: ProcessSettings,
    /// The page on `server.listen` and what it remembers.
    pub(crate) view: ViewSection,
    /// Watching this machine.
    pub(crate) agent: AgentSettings,
    /// Polling what Telegen cannot run on.
    pub(crate) collector: CollectorSettings,
}

#[cfg(feature = "view")]
pub(crate) use telegen_view::settings::ViewSettings as ViewSection;

/// Stands for the page's settings in a program without the page: they are accepted and do nothing.
#[cfg(not(feature = "view"))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ViewSection {
    /// Whether the page and its API are served; this program has none.
    pub(crate) enabled: bool,
    /// Memory for recent spans and series, inside `limits.memory`.
    pub(crate) memory: ByteSize,
}

#[cfg(not(feature = "view"))]
impl Default for ViewSection {
    fn default() -> ViewSection {
        ViewSection { enabled: true, memory: ByteSize::mib(16) }
    }
}

/// What the program does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Watches the machine it runs on.
    #[default]
    Agent,
    /// Polls devices, arrays, clouds and databases.
    Collector,
}

/// What is added to the resource of everything that leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ResourceSettings {
    /// Attributes for everything. What Telegen finds out by itself wins over them. OTEL_RESOURCE_ATTRIBUTES adds to
    /// them.
    #[schemars(example = [("deployment.environment.name", "prod")].into_iter().collect::<BTreeMap<_, _>>())]
    pub(crate) attributes: BTreeMap<String, String>,
    /// `service.name` of Telegen's own telemetry; OTEL_SERVICE_NAME sets it.
    pub(crate) service_name: String,
}

impl Default for ResourceSettings {
    fn default() -> ResourceSettings {
        ResourceSettings { attributes: BTreeMap::new(), service_name: "telegen".to_owned() }
    }
}

/// Bounds of the whole program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsSettings {
    /// The budget that queues in memory, caches and batches are carved from.
    pub(crate) memory: ByteSize,
}

impl Default for LimitsSettings {
    fn default() -> LimitsSettings {
        LimitsSettings { memory: ByteSize::mib(256) }
    }
}

/// The end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ShutdownSettings {
    /// Longest time to send what is left; what is not sent by then is counted as lost.
    pub(crate) timeout: Duration,
}

impl Default for ShutdownSettings {
    fn default() -> ShutdownSettings {
        ShutdownSettings { timeout: Duration::secs(5) }
    }
}

impl Settings {
    /// Writes down what queues do where nothing is set: their bound and what they do when they are full.
    pub(crate) fn fill_in_queues(&mut self) {
        let memory = Budget(self).queue();
        let fill = |queue: &mut QueueSettings| {
            let max_size = queue.config(memory).max_size as u64;
            (queue.max_size, queue.when_full) = (Some(ByteSize::bytes(max_size)), Some(queue.when_full()));
        };
        let export = &mut self.export;
        let otlp = export.otlp.iter_mut().flat_map(|e| e.as_mut_slice()).map(|e| &mut e.queue);
        let remote = export.remote_write.iter_mut().flat_map(|e| e.as_mut_slice()).map(|e| &mut e.queue);
        let kafka = export.kafka.iter_mut().flat_map(|e| e.as_mut_slice()).map(|e| &mut e.queue);
        otlp.chain(remote).chain(kafka).for_each(fill);
    }
}

impl Check for Settings {
    fn check(&self, report: &mut Report) {
        for (name, value) in &self.resource.attributes {
            if name.is_empty() || value.len() > 4096 {
                let what = "an attribute has a name, and a value of up to 4096 bytes";
                report.wrong("resource.attributes", what);
            }
        }
        report.section("server", &self.server);
        report.section("receive", &self.receive);
        report.section("export", &self.export);
        report.section("process", &self.process);
        report.section("agent", &self.agent);
        report.section("collector", &self.collector);
        Budget(self).check(report);
    }
}
