use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telegen_model::{Attrs, KeyValue, Metric, MetricData, NumberPoint, NumberValue, Str, Temporality};

/// Series the registry holds at most: its names are constants, so reaching this is a fault in the program.
const MAX_SERIES: usize = 4096;

/// A number that only goes up. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, n: i64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The time a reading covers, ns since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) start: u64,
    pub(crate) now: u64,
}

type Read = Box<dyn Fn() -> i64 + Send + Sync>;

enum Cell {
    Counter(Counter),
    Gauge(Gauge),
    Read(Read),
}

/// Series of one name.
struct Family {
    unit: &'static str,
    help: &'static str,
    monotonic: bool,
    series: BTreeMap<Vec<(&'static str, String)>, (Attrs, Cell)>,
}

#[derive(Default)]
struct State {
    families: BTreeMap<&'static str, Family>,
    series: usize,
    refused: u64,
}

/// All counters and gauges that crates asked for.
#[derive(Default)]
pub(crate) struct Registry {
    state: Mutex<State>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({} series)", self.lock().series)
    }
}

impl Registry {
    pub(crate) fn counter(
        &self,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
        attrs: &[(&'static str, &str)],
    ) -> Counter {
        let mut state = self.lock();
        let cell = state.cell(name, unit, help, attrs, true, || Cell::Counter(Counter::default()));
        match cell {
            Some(Cell::Counter(c)) => c.clone(),
            _ => {
                state.refused += 1;
                Counter::default()
            }
        }
    }

    pub(crate) fn gauge(
        &self,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
        attrs: &[(&'static str, &str)],
    ) -> Gauge {
        let mut state = self.lock();
        let cell = state.cell(name, unit, help, attrs, false, || Cell::Gauge(Gauge::default()));
        match cell {
            Some(Cell::Gauge(g)) => g.clone(),
            _ => {
                state.refused += 1;
                Gauge::default()
            }
        }
    }

    pub(crate) fn observe(
        &self,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
        attrs: &[(&'static str, &str)],
        monotonic: bool,
        read: Read,
    ) {
        let mut state = self.lock();
        let mut read = Some(read);
        let new = || read.take().map_or_else(|| Cell::Gauge(Gauge::default()), Cell::Read);
        if state.cell(name, unit, help, attrs, monotonic, new).is_none() {
            state.refused += 1;
        }
    }

    pub(crate) fn metrics(&self, window: Window) -> Vec<Metric> {
        let state = self.lock();
        let mut out: Vec<Metric> = state
            .families
            .iter()
            .map(|(name, f)| {
                let values = f.series.values().map(|(attrs, cell)| (attrs.clone(), cell.value())).collect();
                if f.monotonic {
                    counter_metric(name, f.unit, f.help, window, values)
                } else {
                    gauge_metric(name, f.unit, f.help, window, values)
                }
            })
            .collect();
        out.push(counter_metric(
            "telegen.self.series_refused",
            "{series}",
            "Own series that were asked for and not made: too many, or a name of another kind.",
            window,
            vec![(attrs(&[]), signed(state.refused))],
        ));
        out
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The cell of a series, made if new; `None` when there is no room or the name is of the other kind.
    fn cell(
        &mut self,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
        pairs: &[(&'static str, &str)],
        monotonic: bool,
        new: impl FnOnce() -> Cell,
    ) -> Option<&Cell> {
        let key: Vec<(&'static str, String)> = pairs.iter().map(|(k, v)| (*k, (*v).to_string())).collect();
        let room = self.series < MAX_SERIES;
        let family = self.families.entry(name).or_insert_with(|| Family {
            unit,
            help,
            monotonic,
            series: BTreeMap::new(),
        });
        if family.monotonic != monotonic {
            return None;
        }
        if !family.series.contains_key(&key) {
            if !room {
                return None;
            }
            self.series += 1;
            family.series.insert(key.clone(), (attrs(pairs), new()));
        }
        family.series.get(&key).map(|(_, cell)| cell)
    }
}

impl Cell {
    fn value(&self) -> i64 {
        match self {
            Cell::Counter(c) => signed(c.get()),
            Cell::Gauge(g) => g.get(),
            Cell::Read(f) => f(),
        }
    }
}

/// A count as OTLP holds it; one that is too large for it stays at the largest.
pub(crate) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(crate) fn attrs(pairs: &[(&'static str, &str)]) -> Attrs {
    pairs.iter().map(|(k, v)| KeyValue::new(k, *v)).collect()
}

pub(crate) fn gauge_metric(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    window: Window,
    values: Vec<(Attrs, i64)>,
) -> Metric {
    metric(name, unit, help, MetricData::Gauge(points(values, unit, 0, window.now)))
}

pub(crate) fn counter_metric(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    window: Window,
    values: Vec<(Attrs, i64)>,
) -> Metric {
    let points = points(values, unit, window.start, window.now);
    metric(
        name,
        unit,
        help,
        MetricData::Sum { temporality: Temporality::Cumulative, monotonic: true, points },
    )
}

/// Times are counted in whole milliseconds, and told in seconds as every time is.
const COUNTED: &str = "ms";
const TOLD: &str = "s";

pub(crate) fn metric(name: &'static str, unit: &'static str, help: &'static str, data: MetricData) -> Metric {
    let unit = if unit == COUNTED { TOLD } else { unit };
    Metric { name: Str::const_new(name), description: Str::const_new(help), unit: Str::const_new(unit), data }
}

fn points(values: Vec<(Attrs, i64)>, unit: &str, start: u64, time: u64) -> Vec<NumberPoint> {
    let told = |v: i64| {
        if unit == COUNTED { NumberValue::Double(v as f64 / 1e3) } else { NumberValue::Int(v) }
    };
    values
        .into_iter()
        .map(|(attrs, v)| NumberPoint { attrs, start, time, value: told(v), exemplars: Vec::new() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { start: 5, now: 9 };

    /// Values of a metric, in the order of its attributes.
    fn values(r: &Registry, name: &str) -> Vec<i64> {
        let metrics = r.metrics(WINDOW);
        let metric = metrics.iter().find(|m| m.name == name).unwrap();
        let (MetricData::Gauge(points) | MetricData::Sum { points, .. }) = &metric.data else {
            unreachable!()
        };
        let value = |p: &NumberPoint| if let NumberValue::Int(i) = p.value { i } else { unreachable!() };
        points.iter().map(value).collect()
    }

    #[test]
    fn the_same_name_and_attributes_are_the_same_series() {
        let r = Registry::default();
        let (a, b) = (r.counter("c", "", "", &[("k", "1")]), r.counter("c", "", "", &[("k", "2")]));
        a.add(2);
        b.inc();
        r.counter("c", "", "", &[("k", "1")]).inc();
        let g = r.gauge("g", "By", "", &[]);
        g.set(7);
        g.add(-9);
        r.observe("o", "", "", &[], true, Box::new(|| 42));
        assert_eq!((values(&r, "c"), values(&r, "g"), values(&r, "o")), (vec![3, 1], vec![-2], vec![42]));
    }

    #[test]
    fn milliseconds_are_told_in_seconds() {
        let r = Registry::default();
        r.counter("c", "ms", "", &[]).add(1250);
        let metric = &r.metrics(WINDOW)[0];
        let MetricData::Sum { points, .. } = &metric.data else { unreachable!() };
        assert_eq!((metric.unit.as_str(), &points[0].value), ("s", &NumberValue::Double(1.25)));
    }

    #[test]
    fn counters_begin_with_the_program_and_gauges_do_not() {
        let r = Registry::default();
        r.counter("c", "{x}", "H.", &[]);
        r.gauge("g", "", "", &[]);
        let metrics = r.metrics(WINDOW);
        let MetricData::Sum { temporality: Temporality::Cumulative, monotonic: true, points } =
            &metrics[0].data
        else {
            unreachable!()
        };
        assert_eq!((points[0].start, points[0].time), (5, 9));
        assert_eq!((metrics[0].unit.as_str(), metrics[0].description.as_str()), ("{x}", "H."));
        let MetricData::Gauge(points) = &metrics[1].data else { unreachable!() };
        assert_eq!((points[0].start, points[0].time), (0, 9));
    }

    #[test]
    fn a_name_of_another_kind_and_series_beyond_the_bound_count_into_nowhere() {
        let r = Registry::default();
        r.counter("c", "", "", &[]).inc();
        r.gauge("c", "", "", &[]).set(99);
        for n in 0..MAX_SERIES {
            r.counter("many", "", "", &[("n", &n.to_string())]).inc();
        }
        assert_eq!(values(&r, "c"), [1]);
        assert_eq!(values(&r, "many").len(), MAX_SERIES - 1);
        assert_eq!(values(&r, "telegen.self.series_refused"), [2]);
    }
}
