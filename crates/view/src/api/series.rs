//! Counts and durations over time, in steps that fit the range.

use serde_json::{Value, json};

use super::answer::rounded;
use super::range::Range;
use crate::store::quantile::quantile;
use crate::store::services::{LONG_S, MIDDLE_S, SHORT_S, Service, Step};

/// Steps of a range, some 30 to 60 of them.
pub(super) struct Series {
    /// Length of a step, s.
    step: u64,
    /// Length of the stored steps that it is made of.
    stored: u64,
    first: u64,
    last: u64,
    now_s: u64,
    started_s: u64,
}

/// Requests of one step.
pub(super) struct Point {
    pub(super) count: u32,
    errors: u32,
    durations: Option<Step>,
}

/// The steps that fit a range: as fine as they are held for its beginning.
pub(super) fn series(range: &Range) -> Series {
    let (length, age) = (range.to_s - range.from_s, range.now_s.saturating_sub(range.from_s));
    let (step, stored) = match (length, age) {
        (0..=301, 0..=300) => (10, SHORT_S),
        (_, 0..=930) => (MIDDLE_S, MIDDLE_S),
        _ => (LONG_S, LONG_S),
    };
    let (first, last) = (range.from_s.div_ceil(step).min((range.to_s - 1) / step), (range.to_s - 1) / step);
    Series { step, stored, first, last, now_s: range.now_s, started_s: range.started_s }
}

impl Series {
    /// `None` where nothing could be seen: before the program began.
    pub(super) fn points<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = Option<Point>> + 'a {
        (self.first..=self.last).map(move |step| {
            // Before the program began nothing is known; afterwards nothing means none.
            ((step + 1) * self.step > self.started_s).then(|| self.point(service, step))
        })
    }

    fn point(&self, service: &Service, step: u64) -> Point {
        let (from, to) = (step * self.step / self.stored, ((step + 1) * self.step / self.stored).max(1) - 1);
        if self.stored == SHORT_S {
            let steps = service.short.range(from, to).flatten();
            let (count, errors) =
                steps.fold((0u32, 0u32), |(c, e), s| (c.saturating_add(s[0]), e.saturating_add(s[1])));
            // Durations are held in longer steps than counts: each is shown by the step it belongs to.
            let at = step * self.step / MIDDLE_S;
            return Point {
                count,
                errors,
                durations: service.middle.range(at, at).flatten().next().cloned(),
            };
        }
        let mut all = Step::default();
        if self.stored == MIDDLE_S {
            service.middle.range(from, to).flatten().for_each(|s| all.add(s));
        } else {
            service.long.range(from, to).flatten().for_each(|s| all.add(s));
        }
        Point { count: all.count(), errors: all.errors, durations: Some(all) }
    }

    /// `[count, errors, p50, p95, p99]` a step; the last one has lasted `elapsed_s` so far.
    pub(super) fn json(&self, service: &Service) -> Value {
        let row = |p: Point| {
            let at = |share| {
                let seconds =
                    p.durations.as_ref().and_then(|d| quantile(&d.durations, share, &service.shape));
                seconds.filter(|_| p.count > 0).map(|s| rounded(s * 1e3))
            };
            json!([p.count, p.errors, at(0.50), at(0.95), at(0.99)])
        };
        let points: Vec<Value> = self.points(service).map(|p| p.map_or(Value::Null, row)).collect();
        json!({
            "step_s": self.step,
            "from_s": self.first * self.step,
            "elapsed_s": (self.now_s + 1).saturating_sub(self.last * self.step).min(self.step),
            "points": points,
        })
    }
}
