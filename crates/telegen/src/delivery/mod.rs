//! The delivery half, assembled for either mode: exporters, receivers, and what a reload changes of them.

mod reload;
mod senders;
mod sinks;
mod trial;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use telegen_model::{Resource, Temporality};
use telegen_pipeline::{Pipeline, PipelineConfig, Sink, SinkConfig};
use telegen_receive::{OtlpReceiver, Receiving};
use telegen_selfmon::{FeatureState, LedgerSnapshot, SelfMon};
use telegen_sys::Host;
use telegen_trace::settings::TemporalityPreference;
use tokio::time::Instant;

pub(crate) use reload::Watch;
#[cfg(feature = "agent")]
pub(crate) use senders::Exporters;
pub(crate) use trial::trial;

use crate::settings::{Budget, Load, Settings};

/// Name of the OTLP receiver in `doctor`, metrics and the page.
const RECEIVER: &str = "receive.otlp";

/// Exporters, receivers and the pipeline between them.
pub(crate) struct Delivery {
    pub(crate) pipeline: Pipeline,
    settings: Settings,
    view: Vec<(Arc<dyn Sink>, SinkConfig)>,
    receiving: Option<Receiving>,
    host: Host,
    mon: SelfMon,
    /// Who exports spans itself, for the tap.
    #[cfg_attr(not(feature = "agent"), allow(dead_code, reason = "only the tap asks"))]
    pub(crate) exporters: Arc<senders::Exporters>,
}

impl Delivery {
    /// Starts the pipeline to all exporters, and to the page's stores when there are any.
    pub(crate) fn start(
        settings: &Settings,
        own: Arc<Resource>,
        host: &Host,
        view: Vec<(Arc<dyn Sink>, SinkConfig)>,
        mon: &SelfMon,
    ) -> anyhow::Result<Delivery> {
        let sinks = sinks::all(settings, &view, mon).context("export")?;
        let pipeline = Pipeline::start(pipeline_config(settings, own), sinks, mon)?;
        pipeline.process(&settings.process);
        let (settings, host, mon) = (settings.clone(), host.clone(), mon.clone());
        let exporters = Arc::default();
        Ok(Delivery { pipeline, settings, view, receiving: None, host, mon, exporters })
    }

    /// Starts to take in what others send.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<()> {
        let Some(otlp) = &self.settings.receive.otlp else { return Ok(()) };
        let memory = Budget(&self.settings).receive().as_usize();
        let senders = Arc::new(senders::Processes::new(&self.settings, &self.host, self.exporters.clone()));
        let receiver = OtlpReceiver::new(otlp, self.pipeline.input(), memory, senders, &self.mon)?;
        let receiving = receiver.start().await?;
        for (protocol, address) in [("grpc", receiving.grpc), ("http", receiving.http)] {
            if let Some(address) = address {
                tracing::info!(protocol, %address, "OTLP is received");
            }
        }
        self.mon.features.on(RECEIVER);
        self.receiving = Some(receiving);
        Ok(())
    }

    /// Takes over what changed. When this fails, nothing has.
    pub(crate) async fn reload(&mut self, load: &Load) -> anyhow::Result<()> {
        let new = &load.loaded.settings;
        let sinks = sinks::all(new, &self.view, &self.mon).context("export")?;
        let old = std::mem::replace(&mut self.settings, new.clone());
        // What may fail comes first, and is undone.
        let anew = old.receive != new.receive
            || new.receive.otlp.as_ref().is_some_and(|o| o.tls.is_some() || o.auth.is_some());
        let mut taken = if anew { self.receive_anew().await } else { Ok(()) };
        if taken.is_ok() {
            taken = self.pipeline.reload(sinks).map_err(Into::into);
        }
        if let Err(error) = taken {
            self.settings = old;
            if anew {
                self.receive_anew().await.context("the former receiver could not be started again")?;
            }
            return Err(error);
        }
        self.pipeline.process(&new.process);
        self.pipeline.read_metrics_every(new.agent.metrics.interval.get());
        telegen_selfmon::logs::set_level(new.log.level);
        Ok(())
    }

    /// Ends the receiver and starts it as the settings now say.
    async fn receive_anew(&mut self) -> anyhow::Result<()> {
        let received = self.receiving.is_some();
        self.stop_receiving(Instant::now() + Duration::from_secs(1)).await;
        self.receive().await?;
        if received && self.receiving.is_none() {
            self.mon.features.off(
                RECEIVER,
                "receive.otlp is not set",
                "set receive.otlp.grpc or receive.otlp.http",
            );
        }
        Ok(())
    }

    async fn stop_receiving(&mut self, deadline: Instant) {
        if let Some(receiving) = self.receiving.take() {
            receiving.stop(deadline).await;
        }
    }

    /// Takes nothing more in, then sends what is here until the time is over, and says what stays on disk.
    pub(crate) async fn stop(mut self, timeout: Duration) {
        let started = Instant::now();
        // Those who wait for an acknowledgement need the pipeline for it.
        self.stop_receiving(started + timeout / 4).await;
        let before = self.mon.ledger.snapshot();
        self.pipeline.shutdown(timeout.saturating_sub(started.elapsed())).await;
        for loss in losses(&before, &self.mon.ledger.snapshot()) {
            tracing::warn!("lost at shutdown: {loss}");
        }
    }
}

/// What was lost from one snapshot to the next, a line for each signal, stage and reason.
fn losses(before: &LedgerSnapshot, after: &LedgerSnapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for (signal, now) in &after.0 {
        for (stage, reasons) in &now.lost {
            for (reason, n) in reasons {
                let then = before.0.get(signal).and_then(|s| s.lost.get(stage)?.get(reason)).copied();
                let lost = n - then.unwrap_or(0).min(*n);
                if lost > 0 {
                    lines.push(format!("{lost} {signal} ({stage}, {reason})"));
                }
            }
        }
    }
    lines
}

/// What `doctor` says of the receivers.
pub(crate) fn probe(settings: &Settings) -> Option<FeatureState> {
    settings.receive.otlp.as_ref().map(|_| FeatureState {
        name: RECEIVER,
        enabled: true,
        reason: String::new(),
        remedy: String::new(),
    })
}

fn pipeline_config(settings: &Settings, own: Arc<Resource>) -> PipelineConfig {
    let temporality = match settings.agent.metrics.temporality {
        TemporalityPreference::Cumulative => Temporality::Cumulative,
        TemporalityPreference::Delta | TemporalityPreference::LowMemory => Temporality::Delta,
    };
    PipelineConfig {
        metrics_interval: settings.agent.metrics.interval.get(),
        temporality,
        self_resource: Some(own),
    }
}
