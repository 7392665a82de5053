//! What is served on `server.listen`: health, `/metrics`, the ledger and features, and with the page its API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::routing::get;
use axum::{Json, Router};
use telegen_config::Listen;
use telegen_export::prometheus::Kept;
use telegen_model::{Resource, ResourceGroup};
use telegen_pipeline::{BatchConfig, Pipeline, QueueConfig, Role, Sink, SinkConfig, WhenFull};
use telegen_selfmon::SelfMon;
use telegen_selfmon::logs::NOTICE;
use telegen_server::settings::ServerSettings;
use telegen_server::{Front, Running, Server, ServerError};
use telegen_sys::{Host, unix_ns};

#[cfg(feature = "view")]
use crate::settings::Mode;
use crate::settings::{Budget, Load, Settings};

/// How often the page is given a reading of all metrics.
#[cfg(feature = "view")]
const READING: Duration = Duration::from_secs(2);

/// Longest time for answers under way when the server ends.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// The page before it is served: its sink goes into the pipeline, which it then reads.
pub(crate) struct Page {
    #[cfg(feature = "view")]
    view: Option<telegen_view::View>,
    /// Network devices, in collector mode.
    #[cfg(feature = "view")]
    devices: Option<telegen_view::DeviceView>,
    /// What `/metrics` shows beside what is read for it.
    scrape: Option<(Kept, QueueConfig)>,
    #[cfg(feature = "view")]
    queue: usize,
}

impl Page {
    /// The page, unless it or the server is switched off.
    #[cfg(feature = "view")]
    pub(crate) fn new(load: &Load, host: &Host, mon: &SelfMon) -> Page {
        let settings = &load.loaded.settings;
        let wanted = settings.view.enabled && settings.server.listen != Listen::Off;
        let view = wanted.then(|| {
            let about = telegen_view::About {
                host: host.name.clone(),
                config: load.source.file.as_ref().map(|f| f.display().to_string()).unwrap_or_default(),
                mode: if settings.mode == Mode::Agent { "agent" } else { "collector" }.to_owned(),
            };
            telegen_view::View::new(Budget(settings).view().as_usize(), mon, about)
        });
        let devices =
            view.as_ref().filter(|_| settings.mode == Mode::Collector).map(telegen_view::DeviceView::new);
        let scrape = scrape(settings, mon);
        Page { view, devices, scrape, queue: Budget(settings).page_queue().as_usize() }
    }

    #[cfg(not(feature = "view"))]
    pub(crate) fn new(load: &Load, _host: &Host, mon: &SelfMon) -> Page {
        Page { scrape: scrape(&load.loaded.settings, mon) }
    }

    /// The stores of the page as sinks.
    #[cfg(feature = "view")]
    pub(crate) fn sinks(&self) -> Vec<(Arc<dyn Sink>, SinkConfig)> {
        // What the page cannot take at once it never shows: it holds up no queue.
        let share = self.queue / if self.devices.is_some() { 2 } else { 1 };
        let queue = QueueConfig { max_size: share, when_full: WhenFull::DropNewest };
        let batch = BatchConfig { timeout: Duration::from_millis(500), ..BatchConfig::default() };
        let config = SinkConfig { role: Role::View, queue, batch, ..SinkConfig::default() };
        let view = self.view.iter().map(|v| Arc::new(v.clone()) as Arc<dyn Sink>);
        let devices = self.devices.iter().map(|d| Arc::new(d.clone()) as Arc<dyn Sink>);
        view.chain(devices).map(|sink| (sink, config.clone())).chain(self.scrape_sink()).collect()
    }

    #[cfg(not(feature = "view"))]
    pub(crate) fn sinks(&self) -> Vec<(Arc<dyn Sink>, SinkConfig)> {
        self.scrape_sink().collect()
    }

    fn scrape_sink(&self) -> impl Iterator<Item = (Arc<dyn Sink>, SinkConfig)> {
        self.scrape.iter().map(|(kept, queue)| {
            let batch = BatchConfig { timeout: Duration::from_millis(500), ..BatchConfig::default() };
            let config = SinkConfig { role: Role::Scrape, queue: *queue, batch, ..SinkConfig::default() };
            (Arc::new(kept.clone()) as Arc<dyn Sink>, config)
        })
    }

    /// Takes the processes that are known to the page.
    #[cfg(all(feature = "agent", feature = "view"))]
    pub(crate) fn tell(&self) -> super::tap::Tell {
        let view = self.view.clone();
        Arc::new(move |processes| {
            if let Some(view) = &view {
                view.watched(processes.map(watched).collect());
            }
        })
    }

    #[cfg(all(feature = "agent", not(feature = "view")))]
    pub(crate) fn tell(&self) -> super::tap::Tell {
        Arc::new(|_| {})
    }

    /// Starts to listen; gives where, and the handle to stop it.
    pub(crate) async fn serve(
        self,
        settings: &Settings,
        pipeline: &Pipeline,
        own: Arc<Resource>,
        mon: &SelfMon,
        extra: Router,
    ) -> anyhow::Result<Served> {
        let telemetry = Arc::new(AtomicBool::new(settings.export.scrape()));
        let keeps = self.scrape.is_some();
        let server = Server::new(settings.server.clone(), mon)
            .merge(metrics(self.scrape.as_ref().map(|(kept, _)| kept), telemetry.clone(), pipeline, own, mon))
            .merge(extra);
        let server = self.add(server, pipeline, mon);
        let running = server.clone().start().await.context("server")?;
        let began_off = running.is_none();
        Ok(Served { server, settings: settings.server.clone(), telemetry, keeps, running, began_off })
    }

    /// Adds the page and its API; without the page only what needs no store.
    #[cfg(feature = "view")]
    fn add(&self, server: Server, pipeline: &Pipeline, mon: &SelfMon) -> Server {
        let Some(view) = &self.view else { return server.merge(state(mon)) };
        let (reader, pipeline) = (view.clone(), pipeline.clone());
        tokio::spawn(async move {
            let mut every = tokio::time::interval(READING);
            loop {
                every.tick().await;
                let now = unix_ns();
                reader.metrics(&pipeline.peek_metrics(now), now);
            }
        });
        let server = match &self.devices {
            Some(devices) => server.merge(devices.api()),
            None => server,
        };
        server.merge(view.api()).merge_shell(view.shell())
    }

    #[cfg(not(feature = "view"))]
    fn add(&self, server: Server, _pipeline: &Pipeline, mon: &SelfMon) -> Server {
        server.merge(state(mon))
    }
}

/// A process as the page shows it.
#[cfg(all(feature = "agent", feature = "view"))]
fn watched(process: &telegen_processes::Process) -> telegen_view::Watched {
    telegen_view::Watched {
        pid: process.key.pid,
        exe: process.exe.to_string_lossy().into_owned(),
        service: process.service.name.clone(),
        namespace: process.namespace.clone(),
        named_by: process.service.source.name(),
        runtime: [process.runtime.name, &process.runtime.version].join(" ").trim_end().to_owned(),
        ports: process.ports.clone(),
        container: process.cgroup.container_id.clone().unwrap_or_default(),
        selected: process.selection.selected,
        rule: if process.key.pid == std::process::id() {
            Some("this is Telegen itself".to_owned())
        } else {
            process.selection.rule.clone()
        },
        exports_own: process.exports_traces,
        over_budget_since: process.over_budget_since(unix_ns()),
    }
}

/// The store behind the scrape, where the settings ask for one, and what waits for it.
fn scrape(settings: &Settings, mon: &SelfMon) -> Option<(Kept, QueueConfig)> {
    if !settings.export.scrape() || settings.server.listen == Listen::Off {
        return None;
    }
    let share = Budget(settings).scrape().as_usize();
    // A quarter is for what waits to be kept: where that finds no room, the next poll or report brings it.
    let queue = QueueConfig { max_size: share / 4, when_full: WhenFull::DropNewest };
    Some((Kept::new(share / 4 * 3, mon), queue))
}

/// `/metrics`: always Telegen's own, with telemetry where the settings ask for it.
fn metrics(
    scrape: Option<&Kept>,
    telemetry: Arc<AtomicBool>,
    pipeline: &Pipeline,
    own: Arc<Resource>,
    mon: &SelfMon,
) -> Router {
    let (pipeline, mon, kept) = (pipeline.clone(), mon.clone(), scrape.cloned());
    telegen_export::prometheus::router(move || {
        let now = unix_ns();
        let mut groups: Vec<ResourceGroup> = vec![mon.group(&own, now)];
        if telemetry.load(Ordering::Relaxed) {
            groups.extend(pipeline.peek_metrics(now));
            groups.extend(kept.iter().flat_map(Kept::groups));
        }
        groups
    })
}

/// What needs no store: the ledger and the features.
fn state(mon: &SelfMon) -> Router {
    let (ledger, features) = (mon.ledger.clone(), mon.features.clone());
    Router::new()
        .route("/api/v1/ledger", get(move || std::future::ready(Json(ledger.snapshot()))))
        .route("/api/v1/features", get(move || std::future::ready(Json(features.snapshot()))))
}

/// The server at work, when there is one.
pub(crate) struct Served {
    /// Its paths.
    server: Server,
    settings: ServerSettings,
    /// Whether `/metrics` has telemetry too.
    telemetry: Arc<AtomicBool>,
    /// Whether what comes by itself is kept for it.
    keeps: bool,
    running: Option<Running>,
    /// Whether nothing was listened on at the start: the page's memory was not made then.
    began_off: bool,
}

/// What a reload makes of the server; until it is taken nothing has changed.
pub(crate) enum Next {
    /// It stays as it is.
    Same,
    /// It goes on where it is.
    Here(Front),
    /// It listens elsewhere, already, or nowhere.
    Moved(Option<Running>),
}

impl Served {
    /// Where it listens, or `nowhere`.
    pub(crate) fn address(&self) -> &str {
        self.running.as_ref().map_or("nowhere", Running::address)
    }

    /// What it listens without, as its memory was not made at the start.
    pub(crate) fn waits(&self, settings: &Settings) -> Vec<String> {
        let mut keys = Vec::new();
        if self.began_off && self.running.is_some() && cfg!(feature = "view") && settings.view.enabled {
            keys.push("view.enabled".to_owned());
        }
        if !self.keeps && self.running.is_some() && settings.export.scrape() {
            keys.push("export.prometheus (what comes from devices and over OTLP)".to_owned());
        }
        keys
    }

    /// Makes everything that may fail. The error names the key.
    pub(crate) async fn prepare(&self, new: &ServerSettings) -> anyhow::Result<Next> {
        let server = self.server.by(new.clone());
        match &self.running {
            Some(running) if new.listen == self.settings.listen => {
                // What files say may have changed where the settings have not.
                let same = *new == self.settings && new.auth.is_none() && new.tls.is_none();
                if same { Ok(Next::Same) } else { running.front(&server).map(Next::Here).map_err(keyed) }
            }
            None if new.listen == self.settings.listen => Ok(Next::Same),
            _ => server.start().await.map(Next::Moved).map_err(keyed),
        }
    }

    /// Takes it over.
    pub(crate) fn take(&mut self, next: Next, new: &Settings) {
        self.telemetry.store(new.export.scrape(), Ordering::Relaxed);
        self.settings = new.server.clone();
        match (next, &self.running) {
            (Next::Here(front), Some(running)) => running.replace(front),
            (Next::Moved(running), _) => {
                if let Some(old) = std::mem::replace(&mut self.running, running) {
                    // Its last answers hold up nothing else.
                    tokio::spawn(old.stop(LAST_ANSWERS));
                }
                tracing::info!(target: NOTICE, address = self.address(), "server.listen: it moved");
            }
            (Next::Same | Next::Here(_), _) => {}
        }
    }

    /// Finishes the answers under way, within `longest`.
    pub(crate) async fn stop(self, longest: Duration) {
        if let Some(running) = self.running {
            running.stop(longest).await;
        }
    }
}

fn keyed(error: ServerError) -> anyhow::Error {
    let key = match &error {
        ServerError::Listen { .. } | ServerError::Occupied { .. } => "server.listen",
        ServerError::Token { .. } => "server.auth.token_file",
        ServerError::Tls { .. } => "server.tls",
    };
    anyhow::Error::new(error).context(key)
}
