//! The collector, assembled: what is polled, and what is told about it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::routing::get;
use axum::{Json, Router};
use telegen_model::{Scope, Str};
use telegen_pipeline::Pipeline;
use telegen_selfmon::{FeatureState, SelfMon};
use telegen_snmp::poll::{Devices, Poller, PollerSettings};
use telegen_snmp::profile::Library;
use telegen_snmp::targets::TargetSource;

use crate::agent::VERSION;
use crate::settings::Settings;

/// The feature's name in `doctor`, metrics and the page.
const FEATURE: &str = "snmp";
/// Files with targets are looked at so often.
const RELOOK: Duration = Duration::from_secs(1);

/// The collector at work.
pub(crate) struct Collector {
    poller: Option<Arc<Poller>>,
    watcher: Option<tokio::task::JoinHandle<()>>,
}

impl Collector {
    /// Starts what the settings ask for. What is wrong with profiles or sockets ends the program: nothing would be polled.
    pub(crate) fn start(settings: &Settings, pipeline: &Pipeline, mon: &SelfMon) -> anyhow::Result<Collector> {
        let snmp = &settings.collector.snmp;
        let library = Library::load(&snmp.profiles, snmp.names).context("collector.snmp.profiles")?;
        let mut source = TargetSource::new(snmp.clone()).context("collector.snmp")?;
        let targets = source.read();
        for target in &targets {
            if target.profile != "auto" && library.get(&target.profile).is_none() {
                anyhow::bail!("collector.snmp.targets: {}: no profile {}", target.name, target.profile);
            }
        }
        let scope = Scope { name: Str::const_new(telegen_snmp::SCOPE), version: Str::const_new(VERSION) };
        let poller = Poller::start(PollerSettings {
            targets,
            library,
            input: pipeline.input(),
            scope,
            mon: mon.clone(),
        })
        .context("collector.snmp")?;
        let poller = Arc::new(poller);
        mon.features.on(FEATURE);
        let watcher = source.watches().then(|| {
            let poller = poller.clone();
            tokio::spawn(async move {
                let mut every = tokio::time::interval(RELOOK);
                loop {
                    every.tick().await;
                    let read = tokio::task::spawn_blocking(move || {
                        let changed = source.read_if_changed();
                        (source, changed)
                    });
                    let Ok((back, changed)) = read.await else { return };
                    source = back;
                    if let Some(targets) = changed {
                        poller.set_targets(targets);
                    }
                }
            })
        });
        Ok(Collector { poller: Some(poller), watcher })
    }

    /// `/api/v1/devices`.
    pub(crate) fn router(&self) -> Router {
        let devices = self.poller.as_ref().map(|p| p.devices()).unwrap_or_default();
        devices_router(devices)
    }

    /// Ends polling.
    pub(crate) async fn stop(self) {
        if let Some(watcher) = self.watcher {
            watcher.abort();
        }
        if let Some(poller) = self.poller {
            let _ = tokio::task::spawn_blocking(move || poller.stop()).await;
        }
    }
}

fn devices_router(devices: Devices) -> Router {
    Router::new().route("/api/v1/devices", get(move || std::future::ready(Json(devices.all()))))
}

/// Whether devices can be polled here.
pub(crate) fn probe(settings: &Settings) -> FeatureState {
    let snmp = &settings.collector.snmp;
    let off = |reason: String, remedy: &str| FeatureState {
        name: FEATURE,
        enabled: false,
        reason,
        remedy: remedy.to_owned(),
    };
    match Library::load(&snmp.profiles, snmp.names) {
        Ok(_) => FeatureState { name: FEATURE, enabled: true, reason: String::new(), remedy: String::new() },
        Err(e) => off(e.to_string(), "correct the profile, or remove its folder from collector.snmp.profiles"),
    }
}
