//! The agent, assembled: the kernel half on its own thread, everything behind it on a small runtime.

#[cfg(feature = "agent")]
mod bell;
mod ending;
mod page;
#[cfg(feature = "agent")]
mod tap;
#[cfg(feature = "agent")]
mod watcher;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use telegen_model::{KeyValue, Resource, Scope, Str, semconv as s};
use telegen_selfmon::{BuildInfo, FeatureState, SelfMon, logs};
use telegen_sys::Host;

use crate::delivery::{self, Delivery};
use crate::settings::{Load, Mode, Settings, Unbuilt, restart, unbuilt};

/// Telegen's version, as it stands in scopes and resources.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(load: &Load) -> anyhow::Result<()> {
    let settings = &load.loaded.settings;
    logs::init_logs(settings.log.level, settings.log.format).context("log")?;
    for line in &load.ignored {
        tracing::warn!("{line}");
    }
    let mon = SelfMon::new(BuildInfo {
        version: VERSION.into(),
        commit: env!("TELEGEN_COMMIT").into(),
        target: env!("TELEGEN_TARGET").into(),
    });
    for section in unbuilt(load) {
        mon.features.off(section.feature, Unbuilt::REASON, section.remedy());
        if section.wanted {
            tracing::warn!(feature = section.feature, "is off: {}", Unbuilt::REASON);
        }
    }
    harden();
    if settings.mode == Mode::Collector || settings.receive.otlp.is_some() {
        // Before there are threads, each of which would keep an arena of its own.
        telegen_sys::memory::few_arenas();
        telegen_sys::memory::large_blocks_apart();
    }
    // Two threads: what the page or a slow peer asks for does not hold up a batch.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .thread_name("telegen-io")
        .thread_stack_size(512 * 1024)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let outcome = runtime.block_on(serve(load, mon));
    // A write to a file system that hangs does not hold up the end.
    runtime.shutdown_timeout(*outcome.as_ref().unwrap_or(&Duration::ZERO));
    outcome.map(drop)
}

/// Memory, which holds secrets, is not written out when the program ends badly; and as many files as are allowed may
/// be open.
fn harden() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the program may leave a core dump");
    }
    let _none =
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum });
    let files = getrlimit(Resource::Nofile);
    let _as_before = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
}

/// Runs to the end; gives the time that is left for it.
async fn serve(load: &Load, mon: SelfMon) -> anyhow::Result<Duration> {
    let settings = &load.loaded.settings;
    // First of all: a start that is held up can be ended too.
    let mut stopping = ending::Stopping::watch(settings.shutdown.timeout.get())?;
    let host = Host::read();
    let own = own_resource(settings, &host);
    let page = page::Page::new(load, &host, &mon);
    let watch = delivery::Watch::new(load).context("SIGHUP")?;
    let mut delivery = Delivery::start(settings, own.clone(), &host, page.sinks(), &mon)?;
    let pipeline = delivery.pipeline.clone();
    #[cfg(feature = "agent")]
    let watcher = (settings.mode == Mode::Agent).then(|| {
        let ties = tap::Ties { tell: page.tell(), exporters: delivery.exporters.clone() };
        watcher::Watcher::start(tap::Tapping::new(settings, &host, &pipeline, &mon, ties), settings)
    });
    #[cfg(not(feature = "agent"))]
    let _unused = (Mode::Agent, scope());

    #[cfg(feature = "collector")]
    let collector = match settings.mode {
        Mode::Collector => Some(crate::collector::Collector::start(settings, &pipeline, &mon)?),
        Mode::Agent => None,
    };
    #[cfg(feature = "collector")]
    let extra = collector.as_ref().map_or_else(no_devices, crate::collector::Collector::router);
    #[cfg(not(feature = "collector"))]
    let extra = no_devices();

    let mut server = None;
    let opening = async {
        server = Some(page.serve(settings, &pipeline, own, &mon, extra).await?);
        delivery.receive().await
    };
    let opened = tokio::select! {
        biased;
        _ = stopping.came() => false,
        opened = opening => opened.map(|()| true)?,
    };
    if let Some(server) = server.as_ref().filter(|_| opened) {
        mon.health.started();
        logs::ready(server.address());
    }

    let mut program = Program {
        load,
        watch,
        delivery,
        server,
        in_effect: settings.clone(),
        #[cfg(feature = "agent")]
        watcher,
    };
    let ending = loop {
        tokio::select! {
            biased;
            ending = stopping.came() => break ending,
            why = program.watch.due() => {
                let new = program.reload(why).await;
                if let Some(new) = &new {
                    stopping.within(new.loaded.settings.shutdown.timeout.get());
                }
                #[cfg(feature = "collector")]
                if let (Some(new), Some(collector)) = (&new, &collector)
                    && let Err(error) = collector.reload(&new.loaded.settings)
                {
                    tracing::error!(target: logs::NOTICE, why, "targets stay as they were: {error:#}");
                }
                #[cfg(not(feature = "collector"))]
                drop(new);
            }
        }
    };
    mon.health.stopping();
    #[cfg(feature = "agent")]
    if let Some(watcher) = &mut program.watcher {
        watcher.end(ending.left()).await;
    }
    #[cfg(feature = "collector")]
    if let Some(collector) = collector
        && tokio::time::timeout(ending.left(), collector.stop()).await.is_err()
    {
        tracing::warn!("the collector did not end in time");
    }
    drop(pipeline);
    program.delivery.stop(ending.for_flush()).await;
    if let Some(server) = program.server {
        server.stop(ending.for_rest()).await;
    }
    Ok(ending.for_rest())
}

/// An agent polls no devices.
fn no_devices() -> axum::Router {
    let none: [(); 0] = [];
    axum::Router::new()
        .route("/api/v1/devices", axum::routing::get(move || std::future::ready(axum::Json(none))))
}

/// What the kernel and the machine allow.
pub(crate) fn probe(settings: &Settings) -> Vec<FeatureState> {
    let mut states = Vec::new();
    #[cfg(feature = "agent")]
    if settings.mode == Mode::Agent {
        states.push(tap::probe(settings));
    }
    states.extend(delivery::probe(settings));
    #[cfg(feature = "collector")]
    if settings.mode == Mode::Collector {
        states.push(crate::collector::probe(settings));
    }
    #[cfg(not(any(feature = "agent", feature = "collector")))]
    let _unused = settings;
    states
}

/// What a reload changes.
struct Program<'a> {
    /// As at the start.
    load: &'a Load,
    watch: delivery::Watch,
    delivery: Delivery,
    /// None where the end came before it was there.
    server: Option<page::Served>,
    /// Of what only a start takes over: what it took.
    in_effect: Settings,
    #[cfg(feature = "agent")]
    watcher: Option<watcher::Watcher>,
}

impl Program<'_> {
    /// Reads the settings again. What is wrong with them is told, whole, and changes nothing.
    async fn reload(&mut self, why: &str) -> Option<Load> {
        use telegen_selfmon::logs::NOTICE;
        let new = match self.load.source.load() {
            Ok(new) => new,
            Err(errors) => {
                for line in errors.to_string().lines() {
                    tracing::error!(target: NOTICE, why, "the configuration was refused and nothing changed: {line}");
                }
                return None;
            }
        };
        if let Err(error) = self.take(&new).await {
            tracing::error!(target: NOTICE, why, "the configuration was refused and nothing changed: {error:#}");
            return None;
        }
        self.watch.follow(&new);
        let mut keys = restart::waiting(&self.in_effect, &new.loaded.settings);
        keys.extend(self.server.iter().flat_map(|s| s.waits(&new.loaded.settings)));
        keys.dedup();
        if !keys.is_empty() {
            tracing::warn!(target: NOTICE, "these changes take effect at the next start: {}", keys.join(", "));
        }
        tracing::info!(target: NOTICE, why, "the configuration was read again");
        Some(new)
    }

    /// Takes over what changed. When this fails, nothing has.
    async fn take(&mut self, new: &Load) -> anyhow::Result<()> {
        let settings = &new.loaded.settings;
        let Some(server) = &mut self.server else { return Ok(()) };
        let next = server.prepare(&settings.server).await?;
        self.delivery.reload(new).await?;
        server.take(next, settings);
        #[cfg(feature = "agent")]
        if let Some(watcher) = &mut self.watcher {
            let loaded = watcher.is_running();
            watcher.reload(settings).await;
            // A tap that is not there, or was loaded just now, waits for nothing.
            if !(loaded && watcher.is_running()) {
                restart::tap_loaded(&mut self.in_effect, settings);
            }
        }
        Ok(())
    }
}

/// The resource of Telegen's own metrics.
fn own_resource(settings: &Settings, host: &Host) -> Arc<Resource> {
    let extra: Vec<(String, String)> =
        settings.resource.attributes.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let identity = telegen_processes::HostIdentity::new(host, VERSION, &extra);
    let name = settings.resource.service_name.as_str();
    Arc::new(identity.resource(vec![
        KeyValue::new(s::SERVICE_NAME, name),
        KeyValue::new(s::SERVICE_VERSION, VERSION),
        KeyValue::new(s::SERVICE_INSTANCE_ID, identity.instance_id(name)),
    ]))
}

/// The scope of what the trace source makes.
pub(crate) fn scope() -> Scope {
    Scope { name: Str::const_new(telegen_trace::SCOPE), version: Str::const_new(VERSION) }
}
