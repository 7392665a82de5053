//! The thread that owns the kernel half, the process table and the engine.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use telegen_bpf::abi::Counter;
use telegen_bpf::{Brought, Counters, Tap, TapSettings};
use telegen_pipeline::{Input, Pipeline};
use telegen_processes::{Discovery, HostIdentity, Process, Table};
use telegen_selfmon::{FeatureState, Gauge, SelfMon};
use telegen_sys::{Host, monotonic_ns, unix_ns};
use telegen_trace::settings::Frontend;
use telegen_trace::{Engine, EngineConfig, Graph, Outputs, Red, RedSettings, Sampling, Unlinked, Unread};

use super::bell::{Bell, Change};
use crate::delivery::Exporters;
use crate::settings::{AgentSettings, Settings};

/// Rings are read this often; one that fills up is read at once.
const TURN: Duration = Duration::from_millis(20);
/// ... and this often while they bring much: what waits for its tree is then still in the processor's cache.
const SHORT_TURN: Duration = Duration::from_millis(4);
/// ... and this often while they bring nothing: then a wakeup is all that a turn costs. The first record ends it.
const LONG_TURN: Duration = Duration::from_millis(500);
/// ... and this often once nothing at all has come for half a minute: all that waited for something has lapsed.
const REST: Duration = Duration::from_secs(4);
/// Turns without a record before they become long, and long ones without a call before they become rests.
const SILENT: u32 = 10;
const RESTED: u32 = 60;
/// Records of a turn from which the next one is short.
const MUCH: usize = 512;
/// Over the capture budget this many times as many requests still pass as 16 bytes.
const BRIEF_FACTOR: u64 = 10;

/// The feature's name in `doctor`, metrics and the page.
const FEATURE: &str = "traces";

/// The processes that are known are told this often while they change, and while they do not.
const TELL: Duration = Duration::from_secs(3);
const TELL_SAME: Duration = Duration::from_secs(15);

/// Hears of every process that is known.
pub(crate) type Tell = Arc<dyn Fn(&mut dyn Iterator<Item = &Process>) + Send + Sync>;

/// Everything that outlives a thread: requests may be watched, left alone and watched again.
pub(crate) struct Tapping {
    host: Host,
    mon: SelfMon,
    input: Input,
    red: Red,
    unread: Unread,
    graph: Graph,
    unlinked: Unlinked,
    counted: Arc<Mutex<Counted>>,
    ties: Ties,
}

/// What binds the thread to the rest of the program.
#[derive(Clone)]
pub(crate) struct Ties {
    /// Hears of processes every few seconds.
    pub(crate) tell: Tell,
    /// Processes that sent spans of their own to the receiver.
    pub(crate) exporters: Arc<Exporters>,
}

impl Tapping {
    /// Makes the metrics that are kept, and has them read.
    pub(crate) fn new(
        settings: &Settings,
        host: &Host,
        pipeline: &Pipeline,
        mon: &SelfMon,
        ties: Ties,
    ) -> Tapping {
        let red = Red::new(
            RedSettings {
                exponential: settings.agent.metrics.exponential_histograms,
                max_series: max_series(&settings.agent),
            },
            super::scope(),
            unix_ns(),
        );
        let unread = Unread::new(super::scope());
        let unlinked = Unlinked::new(super::scope());
        let graph = Graph::new(super::own_resource(settings, host), super::scope(), unix_ns());
        pipeline.add_metric_source(Arc::new(red.clone()));
        pipeline.add_metric_source(Arc::new(unread.clone()));
        pipeline.add_metric_source(Arc::new(unlinked.clone()));
        pipeline.add_metric_source(Arc::new(graph.clone()));
        let counted = Arc::default();
        let (host, mon, input) = (host.clone(), mon.clone(), pipeline.input());
        Tapping { host, mon, input, red, unread, graph, unlinked, counted, ties }
    }

    fn outputs(&self) -> Outputs {
        let input = self.input.clone();
        Outputs {
            spans: Box::new(move |group| input.push(group)),
            red: self.red.clone(),
            unread: self.unread.clone(),
            graph: self.graph.clone(),
            unlinked: self.unlinked.clone(),
        }
    }
}

fn max_series(agent: &AgentSettings) -> usize {
    agent.metrics.max_series_per_service.get() as usize
}

/// How requests become spans, by these settings.
fn engine_config(agent: &AgentSettings) -> EngineConfig {
    let (traces, sample) = (&agent.traces, &agent.traces.sample);
    EngineConfig {
        sampling: Sampling {
            ratio: sample.ratio.get(),
            keep_errors: sample.keep_errors,
            keep_slower_ns: u64::try_from(sample.keep_slower_than.get().as_nanos()).unwrap_or(u64::MAX),
        },
        mask_keys: traces.mask.query_keys.clone(),
        headers: traces.headers.clone(),
        spans: true,
        instrumented: traces.instrumented,
        max_routes: agent.metrics.max_routes.get() as usize,
        scope: super::scope(),
    }
}

/// Whether requests can be watched here, without trying.
pub(crate) fn probe(settings: &Settings) -> FeatureState {
    let state = |enabled, reason: &str, remedy: &str| FeatureState {
        name: FEATURE,
        enabled,
        reason: reason.to_owned(),
        remedy: remedy.to_owned(),
    };
    let traces = &settings.agent.traces;
    if !traces.enabled {
        return state(false, "agent.traces.enabled is false", "set it to true");
    }
    if !matches!(traces.frontend, Frontend::Auto | Frontend::SocketTracepoint) {
        return state(false, "this front end is not part of this version", "set agent.traces.frontend: auto");
    }
    match telegen_bpf::probe() {
        Ok(()) => state(true, "", ""),
        Err(need) => state(false, &need.reason, &need.remedy),
    }
}

/// Says that requests are not watched, where they cannot or shall not be.
pub(crate) fn tell_off(tapping: &Tapping, settings: &Settings) -> bool {
    let probed = probe(settings);
    if !probed.enabled {
        tapping.mon.features.off(FEATURE, probed.reason.clone(), probed.remedy.clone());
        tracing::warn!(feature = FEATURE, remedy = probed.remedy, "is off: {}", probed.reason);
    }
    !probed.enabled
}

/// Loads the kernel half and starts its thread. What is missing is told; the program goes on without.
pub(crate) fn start(tapping: &Tapping, settings: &Settings, bell: Arc<Bell>) -> Option<JoinHandle<()>> {
    if tell_off(tapping, settings) {
        return None;
    }
    // They outlive a thread, and may have been made by other settings.
    tapping.red.set_max_series(max_series(&settings.agent));
    let (ties, red) = (tapping.ties.clone(), tapping.red.clone());
    let watch = Watch {
        settings: settings.clone(),
        host: tapping.host.clone(),
        mon: tapping.mon.clone(),
        out: tapping.outputs(),
        counted: tapping.counted.clone(),
    };
    let (told, hear) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("telegen-tap".into()).spawn(move || {
        watch.run(&(bell, ties, red), &|outcome| {
            // The other side waits for exactly one word.
            let _heard = told.send(outcome);
        });
    });
    let thread = match thread {
        Ok(thread) => thread,
        Err(error) => {
            tracing::error!(%error, "the tap's thread could not be started");
            return None;
        }
    };
    // The kernel half is in place before the program says that it is up: what comes after is seen.
    if hear.recv().unwrap_or(false) { Some(thread) } else { None }
}

/// What the thread looks at between turns, and whose bound on series it moves.
type With = (Arc<Bell>, Ties, Red);

struct Watch {
    settings: Settings,
    host: Host,
    mon: SelfMon,
    out: Outputs,
    counted: Arc<Mutex<Counted>>,
}

impl Watch {
    fn run(self, with: &With, told: &dyn Fn(bool)) {
        let mon = self.mon.clone();
        match self.load() {
            Ok((tap, engine, pump)) => {
                mon.features.on(FEATURE);
                told(true);
                turn(&tap, &engine, &pump, (with, &Fill::new(&mon, &pump)));
            }
            Err(error) => {
                let remedy = "see `telegen doctor`; the kernel's own words are in the log";
                tracing::error!(feature = FEATURE, "is off: {}", crate::cli::told(&error));
                mon.features.off(FEATURE, crate::cli::told(&error), remedy);
                told(false);
            }
        }
    }

    fn load(self) -> anyhow::Result<(Tap, Rc<RefCell<Engine>>, telegen_bpf::Pump)> {
        let traces = &self.settings.agent.traces;
        let budget = traces.capture_budget.get().map_or(0, std::num::NonZeroU64::get);
        let tap = Tap::load(TapSettings {
            ring_bytes: self.settings.agent.ring_size.get(),
            first_request: u32::try_from(traces.head.request.get()).unwrap_or(512),
            first_response: u32::try_from(traces.head.response.get()).unwrap_or(256),
            budget,
            brief_budget: budget.saturating_mul(BRIEF_FACTOR),
        })?;
        let extra: Vec<(String, String)> =
            self.settings.resource.attributes.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let identity = HostIdentity::new(&self.host, super::VERSION, &extra);
        let mut table = Table::new(identity, Discovery::from(&self.settings.agent.discovery));
        let now = monotonic_ns();
        let listeners: Vec<(u32, u16)> = tap.listeners()?.iter().map(|l| (l.tgid, l.port)).collect();
        table.scan(&listeners, now);
        let config = engine_config(&self.settings.agent);
        let counters = tap.counters()?;
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).loaded(counters);
        kernel_counters(&self.counted, &self.mon);
        let engine = Engine::new(config, table, (tap.procs()?, tap.counters()?), self.out, self.mon);
        let engine = Rc::new(RefCell::new(engine));
        let handler = engine.clone();
        let pump = tap.pump(move |record| handler.borrow_mut().handle(record))?;
        Ok((tap, engine, pump))
    }
}

/// How full the rings are, as Telegen's own metrics.
struct Fill {
    used: Gauge,
}

impl Fill {
    fn new(mon: &SelfMon, pump: &telegen_bpf::Pump) -> Fill {
        let gauge = |name, help| mon.gauge(name, "By", help, &[]);
        let size = gauge("telegen.tap.ring.size", "Bytes that the rings of the kernel half hold.");
        size.set(i64::try_from(pump.size()).unwrap_or(i64::MAX));
        let help = "Most bytes that waited in the rings of the kernel half within three seconds.";
        Fill { used: gauge("telegen.tap.ring.used", help) }
    }
}

/// How long turns take: by what they bring.
struct Pace {
    turn: Duration,
    /// Turns without a record, one after the other.
    silent: u32,
    /// Long ones of them, since anything ended a wait.
    rested: u32,
}

impl Pace {
    fn new() -> Pace {
        Pace { turn: TURN, silent: 0, rested: 0 }
    }

    fn brought(&mut self, Brought { read, woken, called }: Brought) {
        // What woke the reader may be too young to be read in this turn.
        let silent = read == 0 && !woken;
        self.silent = if silent { self.silent.saturating_add(1) } else { 0 };
        let rests = silent && !called && self.turn >= LONG_TURN;
        self.rested = if rests { self.rested.saturating_add(1) } else { 0 };
        // A turn of a fifth of the length brings a fifth of the records.
        let much = if self.turn <= SHORT_TURN { MUCH / 5 } else { MUCH };
        self.turn = if read >= telegen_bpf::MOST {
            // More is there already.
            Duration::ZERO
        } else if read >= much {
            SHORT_TURN
        } else if self.rested >= RESTED {
            REST
        } else if self.silent >= SILENT {
            LONG_TURN
        } else {
            TURN
        };
    }
}

fn turn(tap: &Tap, engine: &Rc<RefCell<Engine>>, pump: &telegen_bpf::Pump, (with, fill): (&With, &Fill)) {
    let (bell, ties, red) = with;
    let mut told: Option<(Instant, u64)> = None;
    let mut filled = Instant::now();
    let mut pace = Pace::new();
    if let Err(error) = pump.listen(bell) {
        tracing::debug!(%error, "the tap ends with its turn");
    }
    while !bell.is_stopped() {
        let changes = engine.borrow().process_changes();
        let every = |told: u64| if told == changes { TELL_SAME } else { TELL };
        if told.is_none_or(|(at, told)| at.elapsed() >= every(told)) {
            (ties.tell)(&mut engine.borrow().processes());
            told = Some((Instant::now(), changes));
        }
        if filled.elapsed() >= TELL {
            fill.used.set(i64::try_from(pump.take_most()).unwrap_or(i64::MAX));
            filled = Instant::now();
        }
        match pump.turn(pace.turn) {
            Ok(brought) => pace.brought(brought),
            Err(error) => {
                tracing::error!(%error, "reading the rings");
                std::thread::sleep(TURN);
            }
        }
        let mut engine = engine.borrow_mut();
        for pid in ties.exporters.take() {
            engine.mark_exporter(pid);
        }
        if let Some(Change { settings, done }) = bell.take_change() {
            engine.configure(engine_config(&settings), Discovery::from(&settings.discovery));
            red.set_max_series(max_series(&settings));
            // Who asked may have stopped waiting.
            let _heard = done.send(());
        }
        let now = monotonic_ns();
        if engine.wants_unix_sockets(now) {
            match tap.unix_sockets() {
                Ok(Some(there)) => engine.unix_sockets(&there, now, monotonic_ns() - now),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "looking for unix sockets"),
            }
        }
        engine.turn(now);
    }
    if let Err(error) = pump.drain() {
        tracing::error!(%error, "reading the rings");
    }
    let mut engine = engine.borrow_mut();
    match tap.unix_sockets() {
        Ok(Some(there)) => engine.last_unix_sockets(&there, monotonic_ns()),
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "looking for unix sockets"),
    }
    engine.finish(monotonic_ns());
}

/// What the kernel half counts, and as what it is told.
const KINDS: [(Counter, &str); 15] = [
    (Counter::Records, "records"),
    (Counter::RingFull, "records_lost_ring_full"),
    (Counter::Requests, "requests"),
    (Counter::RequestsLost, "requests_lost_ring_full"),
    (Counter::OverBudget, "requests_over_budget"),
    (Counter::OverSecondBound, "requests_over_second_bound"),
    (Counter::NoPayloadCall, "no_payload_call"),
    (Counter::NoPayloadFd, "no_payload_descriptor"),
    (Counter::NoPayloadKernelTask, "no_payload_kernel_task"),
    (Counter::NoStorage, "connections_without_memory"),
    (Counter::Busy, "operations_missed_busy"),
    (Counter::Fault, "payload_faults"),
    (Counter::Conns, "connections"),
    (Counter::ControlFull, "process_records_lost"),
    (Counter::AfterEnd, "operations_after_end"),
];

/// The kernel half's own counters, over all times that it was loaded.
#[derive(Default)]
struct Counted {
    before: [u64; KINDS.len()],
    now: Option<Counters>,
}

impl Counted {
    fn get(&self, i: usize) -> u64 {
        self.before[i] + self.now.as_ref().map_or(0, |now| now.get(KINDS[i].0))
    }

    fn loaded(&mut self, now: Counters) {
        self.before = std::array::from_fn(|i| self.get(i));
        self.now = Some(now);
    }
}

/// They as Telegen's metrics.
fn kernel_counters(counted: &Arc<Mutex<Counted>>, mon: &SelfMon) {
    for (i, (_, kind)) in KINDS.iter().enumerate() {
        let counted = counted.clone();
        mon.counter_fn(
            "telegen.tap.events",
            "{event}",
            "What the kernel half counted.",
            &[("kind", kind)],
            move || {
                let counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
                i64::try_from(counted.get(i)).unwrap_or(i64::MAX)
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paced(brought: impl IntoIterator<Item = Brought>) -> Vec<Duration> {
        let mut pace = Pace::new();
        let turn = |brought| {
            pace.brought(brought);
            pace.turn
        };
        brought.into_iter().map(turn).collect()
    }

    fn turns(rates: &[usize]) -> Vec<Duration> {
        paced(rates.iter().map(|read| Brought { read: *read, ..Brought::default() }))
    }

    #[test]
    fn turns_are_short_while_they_bring_much_and_long_again_after() {
        let all = telegen_bpf::MOST;
        let turns = turns(&[0, 511, 512, 110, 102, 101, 511, all, all, 102, 0]);
        let (none, short) = (Duration::ZERO, SHORT_TURN);
        assert_eq!(turns, [TURN, TURN, short, short, short, TURN, TURN, none, none, short, TURN]);
    }

    #[test]
    fn after_some_silence_turns_are_long_until_the_first_record() {
        let silent = SILENT as usize;
        let mut rates = vec![0; silent + 2];
        rates.extend([1, 0, MUCH]);
        let mut expect = vec![TURN; silent - 1];
        expect.extend([LONG_TURN, LONG_TURN, LONG_TURN, TURN, TURN, SHORT_TURN]);
        assert_eq!(turns(&rates), expect);
    }

    #[test]
    fn after_long_silence_turns_are_rests_until_anything_calls() {
        let (nothing, silent) = (Brought::default(), (SILENT + RESTED) as usize);
        let called = Brought { called: true, ..nothing };
        let woken = Brought { woken: true, ..nothing };
        let of = |last: Brought| {
            let mut all = vec![nothing; silent];
            all.extend([nothing, last, nothing]);
            paced(all).split_off(silent - 2)
        };
        assert_eq!(of(nothing), [LONG_TURN, REST, REST, REST, REST]);
        assert_eq!(of(called), [LONG_TURN, REST, REST, LONG_TURN, LONG_TURN]);
        assert_eq!(of(woken), [LONG_TURN, REST, REST, TURN, TURN]);
    }
}
