//! The collector, assembled: what is polled, and what is told about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::routing::get;
use axum::{Json, Router};
use telegen_model::{Scope, Str};
use telegen_pipeline::{AckLevel, Pipeline};
use telegen_selfmon::{FeatureState, SelfMon};
use telegen_snmp::poll::credentials;
use telegen_snmp::poll::{Devices, Poller, PollerSettings};
use telegen_snmp::profile::Library;
use telegen_snmp::session::Access;
use telegen_snmp::settings::Traps;
use telegen_snmp::targets::TargetSource;
use telegen_snmp::trap::{Allowed, Known, Network, TrapReceiver, TrapSettings};

use crate::agent::VERSION;
use crate::settings::Settings;

/// The feature's name in `doctor`, metrics and the page.
const FEATURE: &str = "snmp";
/// Files with targets are looked at so often.
const RELOOK: Duration = Duration::from_secs(1);

/// The collector at work.
pub(crate) struct Collector {
    poller: Option<Arc<Poller>>,
    traps: Option<Arc<TrapReceiver>>,
    stop_search: Arc<AtomicBool>,
    watcher: Option<tokio::task::JoinHandle<()>>,
}

impl Collector {
    /// Starts what the settings ask for. What is wrong with profiles or sockets ends the program: nothing would be polled.
    pub(crate) fn start(
        settings: &Settings,
        pipeline: &Pipeline,
        mon: &SelfMon,
    ) -> anyhow::Result<Collector> {
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
        let known = Known::default();
        let traps = match &snmp.traps {
            Some(traps) => Some(Arc::new(receive(settings, traps, &scope, &known, pipeline, mon)?)),
            None => None,
        };
        let poller = Poller::start(PollerSettings {
            targets,
            library,
            input: pipeline.input(),
            scope,
            mon: mon.clone(),
            known,
        })
        .context("collector.snmp")?;
        let poller = Arc::new(poller);
        mon.features.on(FEATURE);
        let stop_search = Arc::new(AtomicBool::new(false));
        for (network, found) in source.networks() {
            let stop = stop_search.clone();
            std::thread::Builder::new()
                .name("telegen-scan".into())
                .spawn(move || {
                    if let Err(e) = network.search(&found, &stop) {
                        tracing::error!(network = %network.first, "collector.snmp.scan: {e}");
                    }
                })
                .context("collector.snmp.scan")?;
        }
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
        Ok(Collector { poller: Some(poller), traps, stop_search, watcher })
    }

    /// `/api/v1/devices`.
    pub(crate) fn router(&self) -> Router {
        let devices = self.poller.as_ref().map(|p| p.devices()).unwrap_or_default();
        devices_router(devices)
    }

    /// Ends polling.
    pub(crate) async fn stop(self) {
        self.stop_search.store(true, Ordering::Release);
        if let Some(watcher) = self.watcher {
            watcher.abort();
        }
        if let Some(traps) = self.traps {
            let _ = tokio::task::spawn_blocking(move || traps.stop()).await;
        }
        if let Some(poller) = self.poller {
            let _ = tokio::task::spawn_blocking(move || poller.stop()).await;
        }
    }
}

/// Starts to receive traps and informs.
fn receive(
    settings: &Settings,
    traps: &Traps,
    scope: &Scope,
    known: &Known,
    pipeline: &Pipeline,
    mon: &SelfMon,
) -> anyhow::Result<TrapReceiver> {
    let all = credentials(&settings.collector.snmp)
        .map_err(|(name, e)| anyhow::anyhow!("collector.snmp.credentials.{name}: {e}"))?;
    let users: Vec<Arc<Access>> =
        traps.users.iter().filter_map(|n| all.get(n)).map(|c| c.access.clone()).collect();
    let allowed = Allowed {
        sources: traps.sources.iter().filter_map(|s| Network::parse(s)).collect(),
        communities: traps.communities.iter().map(|c| c.expose().as_bytes().to_vec()).collect(),
        users,
        per_device: traps.limits.per_device,
        dedup: traps.limits.dedup.get().unwrap_or_default(),
    };
    // Without a queue on disk a record is as safe as it gets once it waits for its exporters.
    let on_disk = settings.export.otlp().iter().any(|o| o.queue.path.is_some());
    TrapReceiver::start(TrapSettings {
        listen: traps.listen.clone(),
        allowed,
        forward: traps.forward.clone(),
        safe: if on_disk { AckLevel::Fsynced } else { AckLevel::Memory },
        name: telegen_sys::Host::read().name,
        known: known.clone(),
        input: pipeline.input(),
        scope: scope.clone(),
        mon: mon.clone(),
    })
    .context("collector.snmp.traps")
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
        Err(e) => {
            off(e.to_string(), "correct the profile, or remove its folder from collector.snmp.profiles")
        }
    }
}
