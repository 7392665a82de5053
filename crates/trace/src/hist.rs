//! Histograms of one series: explicit buckets, or base-2 exponential ones.

use std::sync::Arc;

use telegen_model::{Attrs, Exemplar, ExponentialHistogramPoint, HistogramPoint};

/// Bucket bounds that the semantic conventions advise for durations, in seconds.
pub(crate) const DURATION_BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Bucket bounds for body sizes, in bytes.
pub(crate) const SIZE_BOUNDS: [f64; 10] =
    [0.0, 32.0, 128.0, 512.0, 2048.0, 8192.0, 32_768.0, 131_072.0, 1_048_576.0, 10_485_760.0];

/// Buckets of an exponential histogram at most (the OpenTelemetry SDK's default).
const EXPONENTIAL_MAX: usize = 160;
const SCALE_MAX: i32 = 20;

/// An exemplar makes room for a newer one after this long, ns, also where nothing is exported.
const EXEMPLAR_NS: u64 = 10_000_000_000;

/// Which exemplars a reader gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exemplars {
    /// Those that no export has told of.
    New,
    /// The last one of each bucket: a scrape may come long after an export.
    Last,
}

#[derive(Clone, Debug)]
struct Held {
    exemplar: Exemplar,
    /// An export has told of it.
    told: bool,
}

impl Held {
    fn new(exemplar: Exemplar) -> Held {
        Held { exemplar, told: false }
    }

    fn is_old(&self, now: u64) -> bool {
        self.told || now.saturating_sub(self.exemplar.time) > EXEMPLAR_NS
    }

    fn of<'a>(held: impl Iterator<Item = &'a Held>, which: Exemplars) -> Vec<Exemplar> {
        held.filter(|h| which == Exemplars::Last || !h.told).map(|h| h.exemplar.clone()).collect()
    }
}

#[derive(Clone, Debug, Default)]
struct Totals {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Totals {
    fn add(&mut self, value: f64) {
        if self.count == 0 || value < self.min {
            self.min = value;
        }
        if self.count == 0 || value > self.max {
            self.max = value;
        }
        self.count += 1;
        self.sum += value;
    }
}

/// Measurements with fixed bounds.
#[derive(Clone, Debug)]
pub(crate) struct Explicit {
    bounds: Arc<[f64]>,
    totals: Totals,
    counts: Vec<u64>,
    exemplars: Vec<Option<Held>>,
}

impl Explicit {
    pub(crate) fn new(bounds: Arc<[f64]>) -> Explicit {
        let buckets = bounds.len() + 1;
        Explicit { bounds, totals: Totals::default(), counts: vec![0; buckets], exemplars: Vec::new() }
    }

    /// The bucket of a value. Most are small: looking at one bound after the other is quicker than halving.
    fn bucket(&self, value: f64) -> usize {
        self.bounds.iter().position(|b| *b >= value).unwrap_or(self.bounds.len())
    }

    /// Counts a measurement.
    pub(crate) fn record(&mut self, value: f64) {
        let bucket = self.bucket(value);
        self.totals.add(value);
        self.counts[bucket] += 1;
    }

    /// Whether the bucket of a value has no exemplar of late; `now` is ns since 1970.
    pub(crate) fn wants_exemplar(&self, value: f64, now: u64) -> bool {
        let bucket = self.bucket(value);
        self.exemplars.get(bucket).and_then(Option::as_ref).is_none_or(|held| held.is_old(now))
    }

    pub(crate) fn exemplify(&mut self, exemplar: Exemplar, value: f64) {
        if self.exemplars.is_empty() {
            self.exemplars = vec![None; self.counts.len()];
        }
        let bucket = self.bucket(value);
        self.exemplars[bucket] = Some(Held::new(exemplar));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.totals.count == 0
    }

    pub(crate) fn point(&self, attrs: Attrs, start: u64, time: u64, which: Exemplars) -> HistogramPoint {
        let some = self.totals.count > 0;
        HistogramPoint {
            attrs,
            start,
            time,
            count: self.totals.count,
            sum: self.totals.sum,
            min: some.then_some(self.totals.min),
            max: some.then_some(self.totals.max),
            bounds: self.bounds.clone(),
            counts: self.counts.clone(),
            exemplars: Held::of(self.exemplars.iter().flatten(), which),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.totals = Totals::default();
        self.counts.fill(0);
        self.exemplars.clear();
    }

    /// An export has told of the exemplars.
    pub(crate) fn told(&mut self) {
        self.exemplars.iter_mut().flatten().for_each(|held| held.told = true);
    }
}

/// Measurements in buckets whose width grows with the value; resolution falls when the range grows.
#[derive(Clone, Debug)]
pub(crate) struct Exponential {
    totals: Totals,
    scale: i32,
    zero: u64,
    offset: i32,
    counts: Vec<u64>,
    exemplar: Option<Held>,
}

impl Exponential {
    pub(crate) fn new() -> Exponential {
        Exponential {
            totals: Totals::default(),
            scale: SCALE_MAX,
            zero: 0,
            offset: 0,
            counts: Vec::new(),
            exemplar: None,
        }
    }

    /// Whether there is no exemplar of late; `now` is ns since 1970.
    pub(crate) fn wants_exemplar(&self, now: u64) -> bool {
        self.exemplar.as_ref().is_none_or(|held| held.is_old(now))
    }

    pub(crate) fn exemplify(&mut self, exemplar: Exemplar) {
        self.exemplar = Some(Held::new(exemplar));
    }

    pub(crate) fn record(&mut self, value: f64) {
        self.totals.add(value);
        if value <= 0.0 {
            self.zero += 1;
            return;
        }
        let mut index = index_of(value, self.scale);
        if self.counts.is_empty() {
            self.offset = index;
            self.counts.push(1);
            return;
        }
        loop {
            let low = index.min(self.offset);
            let high = index.max(self.offset + self.counts.len() as i32 - 1);
            if ((high - low) as usize) < EXPONENTIAL_MAX {
                break;
            }
            self.halve();
            index = index_of(value, self.scale);
        }
        if index < self.offset {
            let more = (self.offset - index) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.offset = index;
        }
        let at = (index - self.offset) as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
    }

    /// Merges pairs of neighbouring buckets: one scale lower.
    fn halve(&mut self) {
        let mut merged: Vec<u64> = Vec::with_capacity(self.counts.len() / 2 + 1);
        let first = self.offset.div_euclid(2);
        for (i, n) in self.counts.iter().enumerate() {
            let at = ((self.offset + i as i32).div_euclid(2) - first) as usize;
            if at >= merged.len() {
                merged.resize(at + 1, 0);
            }
            merged[at] += n;
        }
        self.offset = first;
        self.counts = merged;
        self.scale -= 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.totals.count == 0
    }

    pub(crate) fn point(
        &self,
        attrs: Attrs,
        start: u64,
        time: u64,
        which: Exemplars,
    ) -> ExponentialHistogramPoint {
        let some = self.totals.count > 0;
        ExponentialHistogramPoint {
            attrs,
            start,
            time,
            count: self.totals.count,
            sum: self.totals.sum,
            min: some.then_some(self.totals.min),
            max: some.then_some(self.totals.max),
            scale: self.scale,
            zero_count: self.zero,
            positive_offset: self.offset,
            positive: self.counts.clone(),
            exemplars: Held::of(self.exemplar.iter(), which),
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Exponential::new();
    }

    /// An export has told of the exemplar.
    pub(crate) fn told(&mut self) {
        self.exemplar.iter_mut().for_each(|held| held.told = true);
    }
}

/// Bucket of a positive value: the largest `i` with `2^(i * 2^-scale) < value` (OTLP data model).
fn index_of(value: f64, scale: i32) -> i32 {
    let exact = value.log2() * f64::from(scale).exp2();
    exact.ceil() as i32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_below_it() {
        let mut h = Explicit::new(DURATION_BOUNDS.into());
        for v in [0.0, 0.005, 0.006, 10.0, 11.0] {
            h.record(v);
        }
        let p = h.point([].into(), 1, 2, Exemplars::New);
        let mut expect = vec![0; 15];
        (expect[0], expect[1], expect[13], expect[14]) = (2, 1, 1, 1);
        assert_eq!(p.counts, expect);
        assert_eq!((p.count, p.min, p.max), (5, Some(0.0), Some(11.0)));
    }

    #[test]
    fn exponential_buckets_hold_what_their_bounds_say_at_any_range() {
        let mut h = Exponential::new();
        let values: Vec<f64> = (1..=2000).map(|i| f64::from(i) * f64::from(i) * 1e-6).chain([0.0]).collect();
        for v in &values {
            h.record(*v);
        }
        let p = h.point([].into(), 0, 0, Exemplars::New);
        assert!(p.positive.len() <= EXPONENTIAL_MAX);
        assert_eq!((p.count, p.zero_count), (2001, 1));
        assert_eq!(p.positive.iter().sum::<u64>(), 2000);
        let base = f64::from(-p.scale).exp2().exp2();
        for (i, n) in p.positive.iter().enumerate() {
            let low = base.powi(p.positive_offset + i as i32);
            let high = low * base;
            let near = |x: f64, v: f64| (x / v - 1.0).abs() < 1e-9;
            let sure = values
                .iter()
                .filter(|v| **v > low && **v <= high && !near(low, **v) && !near(high, **v))
                .count();
            let edge = values.iter().filter(|v| **v > 0.0 && (near(low, **v) || near(high, **v))).count();
            assert!(*n as usize >= sure && *n as usize <= sure + edge, "bucket {i}: {n} {sure} {edge}");
        }
    }
}
