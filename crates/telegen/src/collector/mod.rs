//! The collector, assembled: what is polled, and what is told about it.

mod membership;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::routing::get;
use axum::{Json, Router};
use telegen_config::Report;
use telegen_export::settings::SignalName;
use telegen_model::{Scope, Str};
use telegen_pipeline::Pipeline;
use telegen_selfmon::{FeatureState, SelfMon};
use telegen_snmp::Known;
use telegen_snmp::poll::{Devices, Poller, PollerSettings, Targets, credentials};
use telegen_snmp::profile::Library;
use telegen_snmp::session::Access;
use telegen_snmp::settings::{SnmpSettings, Traps};
use telegen_snmp::targets::TargetSource;
use telegen_snmp::trap::{Allowed, Network, TrapReceiver, TrapSettings};

use self::membership::{Cluster, Membership};
use crate::agent::VERSION;
use crate::settings::Settings;

/// The feature's name in `doctor`, metrics and the page.
const FEATURE: &str = "snmp";
/// Files with targets are looked at so often.
const RELOOK: Duration = Duration::from_secs(1);
/// With every so manieth look freed memory goes back to the kernel.
const GIVE_BACK: u64 = 10;
/// So many first looks, with each of them.
const FIRST: u64 = 120;

/// The collector at work.
pub(crate) struct Collector {
    poller: Arc<Poller>,
    traps: Option<Arc<TrapReceiver>>,
    stop: Arc<AtomicBool>,
    targets: Arc<Mutex<Watched>>,
    watcher: tokio::task::JoinHandle<()>,
}

/// Where targets come from, and what else decides which of them are polled here.
struct Watched {
    source: TargetSource,
    settings: SnmpSettings,
    membership: Option<Membership>,
    /// The moment from which the present shard counts, ns since 1970.
    from: u64,
}

impl Watched {
    /// Hands over what changed by itself.
    fn look(&mut self, poller: &Poller) {
        let shard = self.membership.as_ref().map(Membership::shard);
        if let Some(shard) = shard
            && self.source.set_shard(shard)
        {
            self.from = boundary(self.settings.interval.get());
            tracing::info!(shard = ?shard, "the members changed: the devices are shared out anew at the next interval");
            let targets = self.source.read();
            poller.set_targets_at(targets, self.from);
        } else if let Some(targets) = self.source.read_if_changed() {
            self.hand_over(poller, targets);
        }
    }

    fn hand_over(&self, poller: &Poller, targets: Targets) {
        // What comes while the shares are about to change waits with them.
        match self.from > telegen_sys::unix_ns() {
            true => poller.set_targets_at(targets, self.from),
            false => poller.set_targets(targets),
        }
    }
}

/// The next moment at which an interval begins: the same on all machines whose clocks agree.
fn boundary(interval: Duration) -> u64 {
    let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
    (telegen_sys::unix_ns() / interval + 1).saturating_mul(interval)
}

/// Reports what a start would refuse of profiles and of the devices that name them.
pub(crate) fn trial(settings: &Settings, report: &mut Report) {
    let snmp = &settings.collector.snmp;
    let library = match Library::load(&snmp.profiles, snmp.names) {
        Ok(library) => library,
        Err(error) => return report.wrong("collector.snmp.profiles", error.to_string()),
    };
    for (i, target) in snmp.targets.iter().enumerate() {
        if target.profile != "auto" && library.get(&target.profile).is_none() {
            let key = format!("collector.snmp.targets.{i}.profile");
            report.wrong(&key, format!("no profile {}", target.profile));
        }
    }
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
        let stop = Arc::new(AtomicBool::new(false));
        let membership = match &snmp.shard {
            Some(_) => None,
            None => Cluster::of_environment().map(|c| Membership::watch(c, stop.clone())).transpose()?,
        };
        if let Some(membership) = &membership {
            let _changed = source.set_shard(membership.shard());
        }
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
            budget: snmp.budget.clone(),
            shared: source.is_shared(),
        })
        .context("collector.snmp")?;
        let poller = Arc::new(poller);
        mon.features.on(FEATURE);
        for (network, found) in source.networks() {
            let stop = stop.clone();
            std::thread::Builder::new()
                .name("telegen-scan".into())
                .spawn(move || {
                    if let Err(e) = network.search(&found, &stop) {
                        tracing::error!(network = %network.first, "collector.snmp.scan: {e}");
                    }
                })
                .context("collector.snmp.scan")?;
        }
        let targets = Arc::new(Mutex::new(Watched { source, settings: snmp.clone(), membership, from: 0 }));
        let watcher = {
            let (poller, targets) = (poller.clone(), targets.clone());
            tokio::spawn(async move {
                let mut every = tokio::time::interval(RELOOK);
                for turn in 0u64.. {
                    every.tick().await;
                    let (poller, targets) = (poller.clone(), targets.clone());
                    let looked = tokio::task::spawn_blocking(move || {
                        targets.lock().unwrap_or_else(PoisonError::into_inner).look(&poller);
                        // A poll makes and frees much at once, most of all the first of every device.
                        if turn < FIRST || turn % GIVE_BACK == 0 {
                            telegen_sys::memory::give_back();
                        }
                    });
                    if looked.await.is_err() {
                        return;
                    }
                }
            })
        };
        Ok(Collector { poller, traps, stop, targets, watcher })
    }

    /// Takes over what changed of targets, credentials and the shard. Devices that stay keep all that is known of them.
    pub(crate) fn reload(&self, settings: &Settings) -> anyhow::Result<()> {
        if let Some(traps) = &self.traps {
            traps.set_durable(is_durable(settings));
        }
        let new = &settings.collector.snmp;
        let mut watched = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if *new == watched.settings {
            return Ok(());
        }
        let fixed = |s: &SnmpSettings| SnmpSettings {
            targets: Vec::new(),
            target_files: Vec::new(),
            credentials: Default::default(),
            shard: None,
            interval: telegen_config::Duration::secs(1),
            credential_tries: std::num::NonZeroU32::MIN,
            ..s.clone()
        };
        if fixed(new) != fixed(&watched.settings) {
            tracing::warn!(
                "of collector.snmp targets, target_files, credentials, shard, interval and credential_tries are taken \
                 over; other changes take effect at the next start"
            );
        }
        let moved = watched.source.replace(new.clone()).context("collector.snmp")?;
        watched.settings = new.clone();
        if new.shard.is_some() {
            watched.membership = None;
        }
        if moved {
            watched.from = boundary(new.interval.get());
        }
        let targets = watched.source.read();
        watched.hand_over(&self.poller, targets);
        Ok(())
    }

    /// `/api/v1/devices`.
    pub(crate) fn router(&self) -> Router {
        devices_router(self.poller.devices())
    }

    /// Ends polling.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.watcher.abort();
        if let Some(traps) = self.traps {
            let _ = tokio::task::spawn_blocking(move || traps.stop()).await;
        }
        let poller = self.poller;
        let _ = tokio::task::spawn_blocking(move || poller.stop()).await;
    }
}

/// Whether an exporter that takes logs has a queue on disk.
fn is_durable(settings: &Settings) -> bool {
    let export = &settings.export;
    let otlp = export.otlp().iter().any(|o| o.queue.path.is_some() && o.signals.contains(&SignalName::Logs));
    let kafka =
        export.kafka().iter().any(|k| k.queue.path.is_some() && k.signals.contains(&SignalName::Logs));
    otlp || kafka
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
    TrapReceiver::start(TrapSettings {
        listen: traps.listen.clone(),
        allowed,
        forward: traps.forward.clone(),
        durable: is_durable(settings),
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
