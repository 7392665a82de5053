//! The sinks that the settings ask for.

use std::sync::Arc;

use telegen_config::Rate;
use telegen_export::{ConsoleSink, FileSink, KafkaSink, OtlpSink, RemoteWriteSink};
use telegen_model::Signal;
use telegen_pipeline::settings::BatchSettings;
use telegen_pipeline::{BatchConfig, QueueConfig, Role, SignalSet, Sink, SinkConfig};
use telegen_selfmon::SelfMon;

use crate::settings::{Budget, Settings};

/// All sinks with how batches reach them.
pub(crate) fn all(
    settings: &Settings,
    view: &[(Arc<dyn Sink>, SinkConfig)],
    _mon: &SelfMon,
) -> anyhow::Result<Vec<(Arc<dyn Sink>, SinkConfig)>> {
    let mut sinks: Vec<(Arc<dyn Sink>, SinkConfig)> = Vec::new();
    let export = &settings.export;
    let budget = Budget(settings);
    let (share, on_disk) = (budget.queue(), budget.disk_queue());
    let batch = BatchConfig {
        max_bytes: budget.batch(BatchSettings::default().max_bytes).as_usize(),
        ..BatchConfig::default()
    };
    for otlp in export.otlp() {
        let config = SinkConfig {
            batch: BatchConfig {
                max_bytes: budget.batch(otlp.batch.max_bytes).as_usize(),
                ..otlp.batch.config()
            },
            queue: otlp.queue.config(share),
            disk: otlp.queue.disk(otlp.name(), on_disk),
            retry: otlp.retry.config(),
            rate: otlp.rate.and_then(Rate::get),
            role: Role::Exporter,
        };
        sinks.push((Arc::new(OtlpSink::new(&otlp.config())?), config));
    }
    for remote in export.remote_write() {
        // A histogram is many series: fewer points make a request of the usual size.
        let config = SinkConfig {
            batch: BatchConfig { max_items: 2000, ..batch },
            queue: remote.queue.config(share),
            disk: remote.queue.disk(remote.name(), on_disk),
            retry: remote.retry.config(),
            rate: remote.rate.and_then(Rate::get),
            role: Role::Exporter,
        };
        sinks.push((Arc::new(RemoteWriteSink::new(&remote.config())?), config));
    }
    for kafka in export.kafka() {
        let config = SinkConfig {
            batch,
            queue: kafka.queue.config(share),
            disk: kafka.queue.disk(kafka.name(), on_disk),
            retry: kafka.retry.config(),
            rate: kafka.rate.and_then(Rate::get),
            role: Role::Exporter,
        };
        sinks.push((Arc::new(KafkaSink::new(&kafka.config())?), config));
    }
    for file in export.files() {
        let queue = QueueConfig { max_size: share.as_usize(), ..QueueConfig::default() };
        let config = SinkConfig { batch, queue, ..SinkConfig::default() };
        sinks.push((Arc::new(FileSink::new(&file.config())?), config));
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
