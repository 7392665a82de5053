use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use telegen_model::{ResourceGroup, Signal, Temporality};
use telegen_selfmon::{SELF_SCOPE, SelfMon};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

use crate::disk::{self, Recovered};
use crate::exporter::Exporter;
use crate::hub::{Hub, Taker, Wish};
use crate::own::Differences;
use crate::process::Processors;
use crate::settings::ProcessSettings;
use crate::{
    Ack, AckLevel, BatchConfig, MetricSource, PipelineConfig, Reader, Refused, Reservation, Role, Sink,
    SinkConfig,
};

/// How long an exporter that a reload removed may go on to empty its queue.
const REMOVED: Duration = Duration::from_secs(5);

/// What a batch takes beside the bytes that were sent: its resource may grow.
const RESERVE: usize = 2048;

/// Why a pipeline could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The ledger could not tell them apart.
    #[error("two exporters are called `{0}`")]
    SameName(String),
    /// Its tasks need one.
    #[error("the pipeline was started outside a runtime")]
    NoRuntime,
    /// An exporter's queue on disk cannot be used.
    #[error("queue of exporter `{exporter}`: {source}")]
    Queue {
        /// The exporter.
        exporter: String,
        /// What is wrong.
        source: telegen_buffer::OpenError,
    },
    /// It has ended.
    #[error("the pipeline was shut down")]
    Ended,
}

/// The way from sources to sinks. Clones share one pipeline.
#[derive(Clone)]
pub struct Pipeline {
    shared: Arc<Shared>,
}

/// Where sources put records. Clones share one pipeline; usable from any thread, never blocks.
#[derive(Clone)]
pub struct Input {
    shared: Arc<Shared>,
}

struct Shared {
    mon: SelfMon,
    config: PipelineConfig,
    routes: RwLock<Routes>,
    sources: RwLock<Vec<Arc<dyn MetricSource>>>,
    /// How often they are read for exporters.
    interval: watch::Sender<Duration>,
    /// One task a hub.
    tasks: Mutex<JoinSet<()>>,
    reader: Mutex<JoinSet<()>>,
    removed: Mutex<Removed>,
    own: Mutex<Differences>,
    processors: RwLock<Arc<Processors>>,
}

/// How records came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Someone pushed them.
    Itself,
    /// The same, with room that was asked for.
    Reserved,
    /// A metric source was read for exporters.
    Source,
}

#[derive(Default)]
struct Routes {
    exporters: BTreeMap<String, Arc<Exporter>>,
    hubs: Vec<Arc<Hub>>,
    /// Whether anything but the view takes metrics, so that sources are read.
    reads_metrics: bool,
    /// Whether the ledger counts metrics.
    counts_metrics: bool,
    ended: bool,
}

/// Exporters that a reload took away and that still empty their queues.
#[derive(Default)]
struct Removed {
    exporters: Vec<Arc<Exporter>>,
    tasks: JoinSet<()>,
}

impl Pipeline {
    /// Starts a pipeline to these sinks. Must be called within a tokio runtime.
    pub fn start(
        config: PipelineConfig,
        sinks: Vec<(Arc<dyn Sink>, SinkConfig)>,
        mon: &SelfMon,
    ) -> Result<Pipeline, PipelineError> {
        tokio::runtime::Handle::try_current().map_err(|_| PipelineError::NoRuntime)?;
        let interval = watch::Sender::new(config.metrics_interval);
        let shared = Arc::new(Shared {
            mon: mon.clone(),
            config,
            interval,
            routes: RwLock::default(),
            sources: RwLock::default(),
            tasks: Mutex::default(),
            reader: Mutex::default(),
            removed: Mutex::default(),
            own: Mutex::default(),
            processors: RwLock::default(),
        });
        shared.route(sinks)?;
        let reader = Arc::clone(&shared);
        lock(&shared.reader).spawn(async move { reader.read_metrics().await });
        Ok(Pipeline { shared })
    }

    /// Where sources put records.
    pub fn input(&self) -> Input {
        Input { shared: self.shared.clone() }
    }

    /// Adds something that has metrics; read from the next interval on.
    pub fn add_metric_source(&self, source: Arc<dyn MetricSource>) {
        self.shared.sources.write().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// Reads metric sources for exporters this often, counted anew from now on where it is another interval than before.
    pub fn read_metrics_every(&self, interval: Duration) {
        self.shared.interval.send_if_modified(|now| std::mem::replace(now, interval) != interval);
    }

    /// Replaces the sinks while the program runs. What waits for an exporter whose name stays goes to the new
    /// sink at once; one that is gone has 5 s to empty its queue, the rest is lost (`removed`).
    pub fn reload(&self, sinks: Vec<(Arc<dyn Sink>, SinkConfig)>) -> Result<(), PipelineError> {
        self.shared.route(sinks)
    }

    /// What is done from now on to everything before it leaves.
    pub fn process(&self, settings: &ProcessSettings) {
        let processors = Arc::new(Processors::new(settings));
        *self.shared.processors.write().unwrap_or_else(PoisonError::into_inner) = processors;
    }

    /// The metrics of all sources as of now, cumulative: for a scrape and the view.
    pub fn peek_metrics(&self, now_unix_ns: u64) -> Vec<ResourceGroup> {
        let processors = self.shared.processors();
        let groups = self.shared.sources().into_iter().flat_map(|s| s.collect(Reader::Peek, now_unix_ns));
        groups.map(|group| processors.apply(group)).collect()
    }

    /// Ends the pipeline: reads metrics once more, sends everything that is here, and counts what could not
    /// be sent within `timeout` as lost (`shutdown`). Sources should have ended before.
    pub async fn shutdown(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut reader = std::mem::take(&mut *lock(&self.shared.reader));
        reader.shutdown().await;
        self.shared.export_metrics();
        let (exporters, hubs) = {
            let mut routes = self.shared.routes.write().unwrap_or_else(PoisonError::into_inner);
            routes.ended = true;
            (routes.exporters.values().cloned().collect::<Vec<_>>(), std::mem::take(&mut routes.hubs))
        };
        hubs.iter().for_each(|h| h.close());
        let mut tasks = std::mem::take(&mut *lock(&self.shared.tasks));
        while tasks.join_next().await.is_some() {}
        let mut stopping = JoinSet::new();
        for exporter in exporters {
            stopping.spawn(async move { exporter.stop(deadline, "shutdown").await });
        }
        while stopping.join_next().await.is_some() {}
        let Removed { exporters, mut tasks } = std::mem::take(&mut *lock(&self.shared.removed));
        let emptied = async { while tasks.join_next().await.is_some() {} };
        if timeout_at(deadline, emptied).await.is_err() {
            tasks.shutdown().await;
        }
        exporters.iter().for_each(|e| e.end("shutdown"));
    }
}

impl Input {
    /// Hands records on to every exporter that takes their signal. The source has counted them as produced.
    pub fn push(&self, group: ResourceGroup) {
        self.shared.push(group, None, Origin::Itself);
    }

    /// Asks for room for so many encoded bytes, before a source that can wait takes them in. What it stands for is
    /// pushed with [`Input::push_reserved`].
    pub fn admit(&self, signal: Signal, bytes: usize) -> Result<Reservation, Refused> {
        let routes = self.shared.routes.read().unwrap_or_else(PoisonError::into_inner);
        if routes.ended {
            return Err(Refused::Ended);
        }
        let takers = routes.hubs.iter().flat_map(|h| h.exporters(signal));
        Reservation::of(takers.collect(), bytes + RESERVE)
    }

    /// [`Input::push_acked`] with room that was asked for: it is let go when the records are in the queues.
    pub fn push_reserved(&self, group: ResourceGroup, reservation: Reservation, ack: Option<Ack>) {
        let queued = Ack::new(AckLevel::Memory, move |_| drop(reservation));
        self.shared.push(group, Ack::join(ack.into_iter().chain([queued])), Origin::Reserved);
    }

    /// [`Input::push`] for a source that can send again: `ack` tells it how far the records came.
    pub fn push_acked(&self, group: ResourceGroup, ack: Ack) {
        self.shared.push(group, Some(ack), Origin::Itself);
    }
}

impl Shared {
    fn push(&self, group: ResourceGroup, ack: Option<Ack>, from: Origin) {
        let (signal, items) = (group.records.signal(), group.records.items() as u64);
        if items == 0 {
            return;
        }
        let group = self.processors().apply(group);
        let own = group.scope.name == SELF_SCOPE;
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let mut hubs = routes.hubs.iter().filter(|h| h.wants(signal, own, from == Origin::Source)).peekable();
        if hubs.peek().is_none() && !own {
            match routes.ended {
                true => {
                    self.mon.ledger.lost(signal, "pipeline", "shutdown", items);
                    drop(ack.map(|ack| ack.hold()));
                }
                false => self.mon.ledger.discarded(signal, "no_exporter", items),
            }
            return;
        }
        let (size, group) = (telegen_otlp::measure(&group), Arc::new(group));
        let mut rest = Some((group, ack));
        while let Some(hub) = hubs.next() {
            let Some((group, ack)) = rest.take() else { return };
            if hubs.peek().is_some() {
                rest = Some((group.clone(), ack.as_ref().map(Ack::share)));
            }
            // Hubs are closed only when they are no longer in the routes, under the write lock.
            if hub.push(group, size, Wish { ack, own, reserved: from == Origin::Reserved }).is_err() && !own {
                self.mon.ledger.lost(signal, "pipeline", "shutdown", items);
            }
        }
    }

    fn processors(&self) -> Arc<Processors> {
        self.processors.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn sources(&self) -> Vec<Arc<dyn MetricSource>> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the routes to these sinks, keeping the exporters whose names stay.
    fn route(self: &Arc<Shared>, sinks: Vec<(Arc<dyn Sink>, SinkConfig)>) -> Result<(), PipelineError> {
        let mut names = BTreeSet::new();
        if let Some((twice, _)) = sinks.iter().find(|(s, _)| !names.insert(s.name().to_string())) {
            return Err(PipelineError::SameName(twice.name().to_string()));
        }
        let (removed, old_hubs) = {
            let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
            if routes.ended {
                return Err(PipelineError::Ended);
            }
            // One whose queue lies elsewhere now is another exporter of the same name.
            let stays = |e: &Exporter| {
                let with = sinks.iter().find(|(sink, _)| sink.name() == e.name);
                with.is_some_and(|(_, config)| config.disk == e.disk())
            };
            // What may fail comes first: then nothing has changed.
            let mut fresh: BTreeMap<String, (Arc<Exporter>, Recovered)> = BTreeMap::new();
            for (sink, config) in &sinks {
                if !routes.exporters.get(sink.name()).is_some_and(|e| stays(e)) {
                    let opened = Exporter::open(sink.clone(), config.clone(), &self.mon)?;
                    fresh.insert(opened.0.name.clone(), opened);
                }
            }
            let removed: Vec<Arc<Exporter>> =
                routes.exporters.values().filter(|e| !stays(e)).cloned().collect();
            routes.exporters.retain(|_, e| stays(e));
            self.count_recovered(&sinks, &fresh);
            fresh.values().for_each(|(exporter, _)| exporter.work());
            routes.exporters.extend(fresh.into_iter().map(|(name, (exporter, _))| (name, exporter)));
            for old in &removed {
                if let Some(new) = routes.exporters.get(&old.name) {
                    old.hand_over(new);
                }
            }
            let by_batch = self.takers(&mut routes, sinks);
            let hubs = by_batch.into_iter().map(|(config, takers)| {
                let hub = Arc::new(Hub::new(config, takers, self.mon.ledger.clone()));
                lock(&self.tasks).spawn(Arc::clone(&hub).run());
                hub
            });
            let hubs = hubs.collect();
            (removed, std::mem::replace(&mut routes.hubs, hubs))
        };
        old_hubs.iter().for_each(|h| h.close());
        let mut gone = lock(&self.removed);
        gone.exporters.retain(|e| !e.has_ended());
        for exporter in removed {
            let deadline = Instant::now() + REMOVED;
            gone.exporters.push(exporter.clone());
            gone.tasks.spawn(async move { exporter.stop(deadline, "removed").await });
        }
        Ok(())
    }

    /// The exporters of these sinks, by the bounds of their batches.
    fn takers(
        &self,
        routes: &mut Routes,
        sinks: Vec<(Arc<dyn Sink>, SinkConfig)>,
    ) -> Vec<(BatchConfig, Vec<Taker>)> {
        let taken = |s: Signal, role: fn(Role) -> bool| {
            sinks.iter().any(|(sink, c)| role(c.role) && sink.signals().contains(s))
        };
        let exported = Signal::ALL.map(|s| taken(s, |r| r == Role::Exporter));
        routes.reads_metrics = taken(Signal::Metrics, |r| !matches!(r, Role::View | Role::Scrape));
        routes.counts_metrics = exported[Signal::Metrics.index()];
        let mut out: Vec<(BatchConfig, Vec<Taker>)> = Vec::new();
        for (sink, config) in sinks {
            let (signals, needs_records) = (sink.signals(), sink.needs_records());
            let counted = Signal::ALL.map(|s| {
                signals.contains(s)
                    && match config.role {
                        Role::Exporter => true,
                        Role::View => !exported[s.index()] && s != Signal::Metrics,
                        Role::Uncounted | Role::Scrape => false,
                    }
            });
            for s in Signal::ALL.into_iter().filter(|s| counted[s.index()]) {
                self.mon.ledger.register_exporter(s, sink.name());
            }
            let Some(exporter) = routes.exporters.get(sink.name()).cloned() else { continue };
            let (batch, role, max_size) = (config.batch, config.role, config.queue.max_size);
            let longest = if config.disk.is_some() { disk::longest(max_size) } else { max_size / 2 };
            exporter.replace(sink, config);
            let takes = Signal::ALL.map(|s| signals.contains(s));
            let taker = Taker {
                exporter,
                takes,
                counted,
                takes_own: matches!(role, Role::Exporter | Role::Uncounted),
                needs_records,
                asked: role == Role::Exporter,
                scrape: role == Role::Scrape,
            };
            // A batch larger than its queue could never be sent.
            let max_bytes = batch.max_bytes.min(longest).max(1);
            let bounds = BatchConfig { max_bytes, ..batch };
            let alike = |takers: &[Taker]| takers.iter().all(|t| t.scrape == taker.scrape);
            match out.iter_mut().find(|(b, takers)| *b == bounds && alike(takers)) {
                Some((_, takers)) => takers.push(taker),
                None => out.push((bounds, vec![taker])),
            }
        }
        out
    }

    /// What a restart finds in queues is produced once, however many of them hold it.
    fn count_recovered(
        &self,
        sinks: &[(Arc<dyn Sink>, SinkConfig)],
        fresh: &BTreeMap<String, (Arc<Exporter>, Recovered)>,
    ) {
        for signal in Signal::ALL {
            let mut most = 0;
            for (sink, config) in sinks.iter().filter(|(_, config)| config.role == Role::Exporter) {
                let Some((exporter, recovered)) = fresh.get(sink.name()) else { continue };
                let (waiting, damaged) = recovered[signal.index()];
                if waiting + damaged == 0 || config.disk.is_none() {
                    continue;
                }
                most = most.max(waiting + damaged);
                self.mon.ledger.accepted(signal, &exporter.name, waiting + damaged);
                exporter.lose_unbatched(signal, damaged, "damaged");
            }
            self.mon.ledger.produced(signal, "recovered", most);
        }
    }

    async fn read_metrics(&self) {
        let mut changes = self.interval.subscribe();
        loop {
            let interval = (*changes.borrow_and_update()).max(Duration::from_millis(1));
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first tick comes at once: there is nothing to report yet.
            ticks.tick().await;
            // The sender lives as long as `self`, so that `changed` does not fail.
            while tokio::select! { _ = changes.changed() => false, _ = ticks.tick() => true } {
                self.export_metrics();
            }
        }
    }

    fn export_metrics(&self) {
        let (reads, counts) = {
            let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
            (routes.reads_metrics, routes.counts_metrics)
        };
        if !reads {
            return;
        }
        let (now, reader) = (now_unix_ns(), Reader::Export { temporality: self.config.temporality });
        for group in self.sources().iter().flat_map(|s| s.collect(reader, now)) {
            if counts && group.scope.name != SELF_SCOPE {
                let source = group.scope.name.strip_prefix("telegen/").unwrap_or(&group.scope.name);
                self.mon.ledger.produced(Signal::Metrics, source, group.records.items() as u64);
            }
            self.push(group, None, Origin::Source);
        }
        if let Some(resource) = &self.config.self_resource {
            let mut own = self.mon.group(resource, now);
            if self.config.temporality == Temporality::Delta {
                own = lock(&self.own).of(own, now);
            }
            self.push(own, None, Origin::Source);
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}
