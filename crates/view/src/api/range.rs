//! The range that all panels of the page follow, and the numbers that tables show of it.

use serde_json::{Value, json};

use super::answer::{Ask, Wrong, rounded};
use crate::store::quantile::{Shape, quantile};
use crate::store::services::Step;
use crate::store::window::{HELD_S, Stretch};

/// What is asked about: `range=5m|15m|60m|all`, or `from` and `to` in ms since 1970.
pub(super) struct Range {
    /// What tables sum over.
    pub(super) stretch: Stretch,
    /// As asked for, in seconds, `to` excluded.
    pub(super) from_s: u64,
    pub(super) to_s: u64,
    /// Whether it ends now and moves on.
    pub(super) moving: bool,
    pub(super) now_s: u64,
    pub(super) started_s: u64,
}

impl Range {
    pub(super) fn of(ask: &Ask, now: u64, started: u64) -> Result<Range, Wrong> {
        let (now_s, started_s) = (now / 1_000_000_000, started / 1_000_000_000);
        if let Some(from) = ask.number::<u64>("from")? {
            let to = ask.number::<u64>("to")?.unwrap_or(now_s * 1_000);
            if to <= from {
                return Err(Wrong::asked("to: a time after from is needed"));
            }
            let (from_s, to_s) = (from / 1_000, to.div_ceil(1_000).min(now_s + 1));
            let stretch = Stretch::between(from_s, to_s, now_s);
            let from_s = from_s.clamp(now_s.saturating_sub(HELD_S), now_s);
            let to_s = to_s.max(from_s + 1);
            return Ok(Range { stretch, from_s, to_s, moving: false, now_s, started_s });
        }
        let seconds = match ask.text("range").unwrap_or("15m") {
            "5m" => 300,
            "15m" => 900,
            "60m" => HELD_S,
            "all" => now_s.saturating_sub(started_s).clamp(60, HELD_S),
            _ => return Err(Wrong::asked("range: 5m, 15m, 60m or all is needed")),
        };
        let (from_s, to_s) = (now_s.saturating_sub(seconds), now_s + 1);
        Ok(Range { stretch: Stretch::last(seconds, now_s), from_s, to_s, moving: true, now_s, started_s })
    }

    /// Seconds that tables sum over, as far as the program was there.
    pub(super) fn seconds(&self) -> f64 {
        self.stretch.seconds(self.started_s)
    }

    /// Whether an instant in ns since 1970 is within.
    pub(super) fn holds(&self, nanos: u64) -> bool {
        let second = nanos / 1_000_000_000;
        second >= self.from_s && (self.moving || second < self.to_s)
    }

    /// What every answer about a range says of it: ms since 1970 that tables sum over, and how many seconds that is.
    pub(super) fn told(&self, answer: &mut Value) {
        answer["from"] = json!(self.stretch.from * 1_000);
        answer["to"] = json!(self.stretch.to.min(self.now_s + 1) * 1_000);
        answer["seconds"] = json!(self.seconds());
        answer["moving"] = json!(self.moving);
    }
}

/// Count, rate, failed a second, error share, p50, p95, p99 in ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) count: u32,
    pub(super) failed: u32,
    pub(super) rate: f64,
    pub(super) errors: f64,
    pub(super) ratio: Option<f64>,
    pub(super) quantiles: [Option<f64>; 3],
}

impl Figures {
    pub(super) fn of(step: &Step, shape: &Shape, seconds: f64) -> Figures {
        let (count, failed) = (step.count(), step.errors);
        let some = count > 0;
        let at = |share| quantile(&step.durations, share, shape).filter(|_| some).map(|s| rounded(s * 1e3));
        Figures {
            count,
            failed,
            rate: f64::from(count) / seconds,
            errors: f64::from(failed) / seconds,
            ratio: some.then(|| f64::from(failed) / f64::from(count)),
            quantiles: [0.50, 0.95, 0.99].map(at),
        }
    }

    /// Fails enough to stand on top: 1 % of its requests, and at least five.
    pub(super) fn failing(&self) -> bool {
        self.failed >= 5 && self.ratio.is_some_and(|r| r >= 0.01)
    }

    pub(super) fn json(&self) -> Value {
        let [p50, p95, p99] = self.quantiles;
        json!({
            "count": self.count,
            "failed": self.failed,
            "rate": rounded(self.rate),
            "errors": rounded(self.errors),
            "error_ratio": self.ratio,
            "p50": p50,
            "p95": p95,
            "p99": p99,
            "failing": self.failing(),
        })
    }
}
