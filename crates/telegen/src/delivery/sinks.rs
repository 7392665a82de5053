//! The sinks that the settings ask for.

use std::sync::Arc;

use telegen_config::ByteSize;
use telegen_export::{ConsoleSink, FileSink, KafkaSink, OtlpSink, RemoteWriteSink};
use telegen_model::Signal;
use telegen_pipeline::{BatchConfig, Role, SignalSet, Sink, SinkConfig};
use telegen_selfmon::SelfMon;

use crate::settings::Settings;

/// All sinks with how batches reach them.
pub(crate) fn all(
    settings: &Settings,
    view: &[(Arc<dyn Sink>, SinkConfig)],
    _mon: &SelfMon,
) -> anyhow::Result<Vec<(Arc<dyn Sink>, SinkConfig)>> {
    let mut sinks: Vec<(Arc<dyn Sink>, SinkConfig)> = Vec::new();
    let export = &settings.export;
    let exporters =
        export.otlp().len() + export.files().len() + export.remote_write().len() + export.kafka().len();
    // A quarter of the budget is for queues in memory, shared evenly.
    let share = ByteSize::bytes(settings.limits.memory.get() / 4 / exporters.max(1) as u64);
    for otlp in export.otlp() {
        let config = SinkConfig {
            batch: otlp.batch.config(),
            queue: otlp.queue.config(share),
            disk: otlp.queue.disk(otlp.name()),
            retry: otlp.retry.config(),
            role: Role::Exporter,
        };
        sinks.push((Arc::new(OtlpSink::new(&otlp.config())?), config));
    }
    for remote in export.remote_write() {
        // A histogram is many series: fewer points make a request of the usual size.
        let batch = BatchConfig { max_items: 2000, ..BatchConfig::default() };
        let config = SinkConfig {
            batch,
            queue: remote.queue.config(share),
            disk: remote.queue.disk(remote.name()),
            retry: remote.retry.config(),
            role: Role::Exporter,
        };
        sinks.push((Arc::new(RemoteWriteSink::new(&remote.config())?), config));
    }
    for kafka in export.kafka() {
        let config = SinkConfig {
            batch: BatchConfig::default(),
            queue: kafka.queue.config(share),
            disk: kafka.queue.disk(kafka.name()),
            retry: kafka.retry.config(),
            role: Role::Exporter,
        };
        sinks.push((Arc::new(KafkaSink::new(&kafka.config())?), config));
    }
    for file in export.files() {
        sinks.push((Arc::new(FileSink::new(&file.config())?), SinkConfig::default()));
    }
    for console in export.console.iter().flat_map(|c| c.as_slice()) {
        let name = console.name.as_deref().unwrap_or("console");
        let signals: Vec<Signal> = console.signals.iter().map(|s| Signal::from(*s)).collect();
        let config = SinkConfig { role: Role::Uncounted, ..SinkConfig::default() };
        sinks.push((Arc::new(ConsoleSink::new(name, SignalSet::of(&signals))), config));
    }
    sinks.extend(view.iter().cloned());
    Ok(sinks)
}
