//! Rate, errors, duration: histograms of every request, whether or not its span is kept.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use slotmap::SlotMap;
use telegen_model::{
    Attrs, Exemplar, KeyValue, Metric, MetricData, NumberValue, Records, Resource, ResourceGroup, Scope, Str,
    Temporality, Value, semconv as s,
};
use telegen_pipeline::{MetricSource, Reader};

use crate::hist::{DURATION_BOUNDS, Exemplars, Explicit, Exponential, SIZE_BOUNDS};

/// Series without a request for this long end.
const IDLE_NS: u64 = 600_000_000_000;
/// Service instances at most.
const INSTANCES_MAX: usize = 10_000;

/// Which side of a request a process was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Server,
    Client,
}

impl Side {
    /// The side of the other end.
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Server => Side::Client,
            Side::Client => Side::Server,
        }
    }
}

/// What tells the series of one service instance apart. All parts are from closed or bounded sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeriesKey {
    pub(crate) side: Side,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
    pub(crate) version: &'static str,
    pub(crate) error: Option<&'static str>,
    /// Client side only.
    pub(crate) server: Option<(Str, u16)>,
    /// Server side only.
    pub(crate) route: Option<Arc<str>>,
}

impl Hash for SeriesKey {
    /// Of the words from closed sets length and first letter tell enough.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let word = |text: &str| (text.len() as u64) << 8 | text.bytes().next().map_or(0, u64::from);
        let version = self.version.bytes().last().map_or(0, u64::from);
        let numbers = u64::from(self.status) << 9 | version << 1 | self.side as u64;
        state.write_u64(numbers << 32 | word(self.error.unwrap_or_default()) << 16 ^ word(self.method));
        self.server.hash(state);
        self.route.hash(state);
    }
}

slotmap::new_key_type! {
    /// A series, for as long as it is used.
    pub(crate) struct SeriesId;
}

/// One finished request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) seconds: f64,
    pub(crate) request_body: Option<u64>,
    pub(crate) response_body: Option<u64>,
    /// ns since 1970.
    pub(crate) now: u64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It was counted.
    Counted,
    /// It was, and an exemplar is wanted: most requests are not asked for one.
    WithExemplar,
    /// It was not: its series had no request for long and has ended.
    Ended,
}

/// How metrics are kept.
#[derive(Clone, Copy, Debug)]
pub struct RedSettings {
    /// Exponential instead of explicit histograms.
    pub exponential: bool,
    /// Series of one service instance at most; the rest are one overflow series.
    pub max_series: usize,
}

enum Hist {
    Explicit(Explicit),
    Exponential(Exponential),
}

impl Hist {
    fn record(&mut self, value: f64) {
        match self {
            Hist::Explicit(h) => h.record(value),
            Hist::Exponential(h) => h.record(value),
        }
    }
    fn wants_exemplar(&self, value: f64, now: u64) -> bool {
        match self {
            Hist::Explicit(h) => h.wants_exemplar(value, now),
            Hist::Exponential(h) => h.wants_exemplar(now),
        }
    }
    fn exemplify(&mut self, exemplar: Exemplar, value: f64) {
        match self {
            Hist::Explicit(h) => h.exemplify(exemplar, value),
            Hist::Exponential(h) => h.exemplify(exemplar),
        }
    }
    fn is_empty(&self) -> bool {
        match self {
            Hist::Explicit(h) => h.is_empty(),
            Hist::Exponential(h) => h.is_empty(),
        }
    }
    fn clear(&mut self) {
        match self {
            Hist::Explicit(h) => h.clear(),
            Hist::Exponential(h) => h.clear(),
        }
    }
    fn told(&mut self) {
        match self {
            Hist::Explicit(h) => h.told(),
            Hist::Exponential(h) => h.told(),
        }
    }
}

/// The three histograms of a series. `delta` is kept only while a reader asks for differences.
struct Series {
    attrs: Attrs,
    start: u64,
    used: u64,
    total: [Hist; 3],
    delta: Option<[Hist; 3]>,
}

struct Instance {
    resource: Arc<Resource>,
    series: HashMap<SeriesKey, SeriesId, RandomState>,
    /// By side.
    overflow: [Option<SeriesId>; 2],
}

struct State {
    settings: RedSettings,
    bounds: [Arc<[f64]>; 3],
    instances: HashMap<usize, Instance, RandomState>,
    series: SlotMap<SeriesId, Series>,
    /// Time of the last export collection: where a difference begins.
    exported: u64,
    wants_delta: bool,
    overflowed: u64,
    refused: u64,
}

/// Shared between the thread that records and the readers.
#[derive(Clone)]
pub struct Red {
    state: Arc<Mutex<State>>,
    scope: Scope,
}

const NAMES: [[(&str, &str, &str); 3]; 2] = [
    [
        (s::HTTP_SERVER_REQUEST_DURATION, "s", "Duration of HTTP server requests."),
        (s::HTTP_SERVER_REQUEST_BODY_SIZE, "By", "Size of HTTP server request bodies."),
        (s::HTTP_SERVER_RESPONSE_BODY_SIZE, "By", "Size of HTTP server response bodies."),
    ],
    [
        (s::HTTP_CLIENT_REQUEST_DURATION, "s", "Duration of HTTP client requests."),
        (s::HTTP_CLIENT_REQUEST_BODY_SIZE, "By", "Size of HTTP client request bodies."),
        (s::HTTP_CLIENT_RESPONSE_BODY_SIZE, "By", "Size of HTTP client response bodies."),
    ],
];

impl Red {
    /// No series yet; `now` (ns since 1970) is where the first differences begin.
    pub fn new(settings: RedSettings, scope: Scope, now: u64) -> Red {
        let size: Arc<[f64]> = SIZE_BOUNDS.into();
        let state = State {
            settings,
            bounds: [DURATION_BOUNDS.into(), size.clone(), size],
            instances: HashMap::default(),
            series: SlotMap::with_key(),
            exported: now,
            wants_delta: false,
            overflowed: 0,
            refused: 0,
        };
        Red { state: Arc::new(Mutex::new(state)), scope }
    }

    /// From now on a service instance has this many series at most; those that it has beyond stay until they end.
    pub fn set_max_series(&self, max: usize) {
        self.lock().settings.max_series = max;
    }

    /// Requests counted in an overflow series, and requests of instances that found no room.
    pub fn overflowed(&self) -> (u64, u64) {
        let state = self.lock();
        (state.overflowed, state.refused)
    }

    /// The series of a service instance's requests, made where there is none; `true` when it is one of its own, which
    /// may be remembered. Nothing where there is no room for the instance. `now`: ns since 1970.
    pub(crate) fn series(
        &self,
        resource: &Arc<Resource>,
        key: &SeriesKey,
        now: u64,
    ) -> Option<(SeriesId, bool)> {
        self.lock().series(resource, key, now)
    }

    /// Counts a request.
    pub(crate) fn record(&self, series: SeriesId, request: &Request) -> Recorded {
        match self.lock().series.get_mut(series) {
            Some(series) => series.record(request),
            None => Recorded::Ended,
        }
    }

    /// Takes the exemplar of a request that was counted, now that its span is kept.
    pub(crate) fn exemplify(&self, series: SeriesId, exemplar: Exemplar) {
        let NumberValue::Double(value) = exemplar.value else { return };
        let mut state = self.lock();
        let Some(series) = state.series.get_mut(series) else { return };
        if let Some(delta) = &mut series.delta {
            delta[0].exemplify(exemplar.clone(), value);
        }
        series.total[0].exemplify(exemplar, value);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Counters stay usable after a panic elsewhere: no invariant spans two of them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn series(&mut self, resource: &Arc<Resource>, key: &SeriesKey, now: u64) -> Option<(SeriesId, bool)> {
        // Instances share one resource: its address is its identity while the instance holds it.
        let id = Arc::as_ptr(resource) as usize;
        let full = self.instances.len() >= INSTANCES_MAX;
        let instance = match self.instances.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if full => {
                self.refused += 1;
                return None;
            }
            Entry::Vacant(free) => free.insert(Instance {
                resource: resource.clone(),
                series: HashMap::default(),
                overflow: [None, None],
            }),
        };
        let (bounds, exponential, delta) = (&self.bounds, self.settings.exponential, self.wants_delta);
        let new = |attrs| Series::new(attrs, now, bounds, exponential, delta);
        if let Some(id) = instance.series.get(key) {
            // It is about to be used: it does not end meanwhile.
            if let Some(series) = self.series.get_mut(*id) {
                series.used = series.used.max(now);
            }
            return Some((*id, true));
        }
        if instance.series.len() >= self.settings.max_series {
            self.overflowed += 1;
            let attrs = || Attrs::from([KeyValue::new("otel.metric.overflow", true)]);
            let all = &mut self.series;
            let id = instance.overflow[key.side as usize].get_or_insert_with(|| all.insert(new(attrs())));
            return Some((*id, false));
        }
        let id = self.series.insert(new(attributes(key)));
        instance.series.insert(key.clone(), id);
        Some((id, true))
    }

    fn collect(&mut self, scope: &Scope, reader: Reader, now: u64) -> Vec<ResourceGroup> {
        let export = match reader {
            Reader::Export { temporality } => Some(temporality),
            Reader::Peek => None,
        };
        let delta = export == Some(Temporality::Delta);
        if delta && !self.wants_delta {
            // From here on differences are kept; the first one is all there was so far.
            self.wants_delta = true;
        }
        let exemplars = if export.is_some() { Exemplars::New } else { Exemplars::Last };
        let window = Window { delta, from: self.exported, now, exemplars };
        let mut groups: Vec<ResourceGroup> = Vec::new();
        // Two resources of one content are one writer: an instance whose process table entry was made anew.
        for instance in self.instances.values_mut() {
            let metrics = instance.metrics(&self.series, &window);
            if !metrics.is_empty() {
                groups.push(ResourceGroup {
                    resource: instance.resource.clone(),
                    scope: scope.clone(),
                    records: Records::Metrics(metrics),
                });
            }
        }
        if export.is_some() {
            self.exported = now;
            for s in self.series.values_mut() {
                s.exported(delta, &self.bounds, self.settings.exponential);
            }
            let all = &mut self.series;
            let idle = |s: Option<&Series>| s.is_none_or(|s| now.saturating_sub(s.used) >= IDLE_NS);
            self.instances.retain(|_, i| {
                i.series.retain(|_, id| {
                    let ends = idle(all.get(*id));
                    if ends {
                        all.remove(*id);
                    }
                    !ends
                });
                // What is beyond the bound is told of until nothing of the instance is in use.
                let ends = i.series.is_empty() && i.overflow.iter().flatten().all(|id| idle(all.get(*id)));
                if ends {
                    i.overflow.iter().flatten().for_each(|id| drop(all.remove(*id)));
                }
                !ends
            });
        }
        groups
    }
}

impl Instance {
    fn metrics(&self, all: &SlotMap<SeriesId, Series>, window: &Window) -> Vec<Metric> {
        let mut out = Vec::new();
        for (side, names) in [(Side::Server, &NAMES[0]), (Side::Client, &NAMES[1])] {
            for (i, (name, unit, help)) in names.iter().enumerate() {
                let own = self.series.iter().filter(|(k, _)| k.side == side).map(|(_, id)| id);
                let ids = own.chain(&self.overflow[side as usize]);
                if let Some(data) = points(ids.filter_map(|id| all.get(*id)), i, window) {
                    out.push(Metric {
                        name: Str::const_new(name),
                        description: Str::const_new(help),
                        unit: Str::const_new(unit),
                        data,
                    });
                }
            }
        }
        out
    }
}

/// What a reader asked for.
struct Window {
    /// Differences since `from`, instead of totals.
    delta: bool,
    from: u64,
    now: u64,
    exemplars: Exemplars,
}

fn points<'a>(series: impl Iterator<Item = &'a Series>, which: usize, window: &Window) -> Option<MetricData> {
    let &Window { delta, from, now, exemplars } = window;
    let temporality = if delta { Temporality::Delta } else { Temporality::Cumulative };
    let (mut explicit, mut exponential) = (Vec::new(), Vec::new());
    for s in series {
        let (hist, start) = match (&s.delta, delta) {
            (Some(d), true) => (&d[which], from.max(s.start)),
            _ => (&s.total[which], s.start),
        };
        if hist.is_empty() {
            continue;
        }
        match hist {
            Hist::Explicit(h) => explicit.push(h.point(s.attrs.clone(), start, now, exemplars)),
            Hist::Exponential(h) => exponential.push(h.point(s.attrs.clone(), start, now, exemplars)),
        }
    }
    if !explicit.is_empty() {
        Some(MetricData::Histogram { temporality, points: explicit })
    } else if !exponential.is_empty() {
        Some(MetricData::ExponentialHistogram { temporality, points: exponential })
    } else {
        None
    }
}

impl Series {
    fn new(attrs: Attrs, now: u64, bounds: &[Arc<[f64]>; 3], exponential: bool, delta: bool) -> Series {
        Series {
            attrs,
            start: now,
            used: now,
            total: Series::hists(bounds, exponential),
            delta: delta.then(|| Series::hists(bounds, exponential)),
        }
    }

    fn record(&mut self, r: &Request) -> Recorded {
        self.used = r.now;
        let wanted = self.total[0].wants_exemplar(r.seconds, r.now);
        let values = [Some(r.seconds), r.request_body.map(|b| b as f64), r.response_body.map(|b| b as f64)];
        for (i, value) in values.into_iter().enumerate() {
            let Some(value) = value else { continue };
            if let Some(delta) = &mut self.delta {
                delta[i].record(value);
            }
            self.total[i].record(value);
        }
        if wanted { Recorded::WithExemplar } else { Recorded::Counted }
    }

    /// An export has told of it.
    fn exported(&mut self, delta: bool, bounds: &[Arc<[f64]>; 3], exponential: bool) {
        self.total.iter_mut().for_each(Hist::told);
        if delta {
            match &mut self.delta {
                Some(d) => d.iter_mut().for_each(Hist::clear),
                None => self.delta = Some(Series::hists(bounds, exponential)),
            }
        }
    }

    fn hists(bounds: &[Arc<[f64]>; 3], exponential: bool) -> [Hist; 3] {
        std::array::from_fn(|i| {
            if exponential {
                Hist::Exponential(Exponential::new())
            } else {
                Hist::Explicit(Explicit::new(bounds[i].clone()))
            }
        })
    }
}

fn attributes(key: &SeriesKey) -> Attrs {
    let constant = |k, v: &'static str| KeyValue { key: Str::const_new(k), value: Value::constant(v) };
    let mut attrs = vec![constant(s::HTTP_REQUEST_METHOD, key.method), constant(s::URL_SCHEME, "http")];
    if key.status != 0 {
        attrs.push(KeyValue::new(s::HTTP_RESPONSE_STATUS_CODE, key.status));
    }
    if !key.version.is_empty() {
        attrs.push(constant(s::NETWORK_PROTOCOL_VERSION, key.version));
    }
    if let Some(error) = key.error {
        attrs.push(constant(s::ERROR_TYPE, error));
    } else if key.status >= 500 || (key.side == Side::Client && key.status >= 400) {
        attrs.push(KeyValue::new(s::ERROR_TYPE, key.status.to_string()));
    }
    if let Some(route) = &key.route {
        attrs.push(KeyValue::new(s::HTTP_ROUTE, route.as_ref()));
    }
    if let Some((address, port)) = &key.server {
        attrs.push(KeyValue::new(s::SERVER_ADDRESS, address.clone()));
        attrs.push(KeyValue::new(s::SERVER_PORT, *port));
    }
    attrs.into()
}

impl MetricSource for Red {
    fn collect(&self, reader: Reader, now_unix_ns: u64) -> Vec<ResourceGroup> {
        self.lock().collect(&self.scope, reader, now_unix_ns)
    }
}

#[cfg(test)]
mod tests;
