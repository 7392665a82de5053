//! Which spans are kept. Metrics count every request all the same.

use telegen_model::{Str, TraceId};

/// The rules of `agent.traces.sample`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Share of traces kept, above 0 and up to 1.
    pub ratio: f64,
    /// Failed requests are kept in any case.
    pub keep_errors: bool,
    /// Requests that took longer (ns) are kept in any case.
    pub keep_slower_ns: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { ratio: 1.0, keep_errors: true, keep_slower_ns: 1_000_000_000 }
    }
}

impl Sampling {
    /// `None` to keep the span, else the reason that the ledger is given.
    ///
    /// `parent_sampled` is the decision in the caller's header, which stands when there is one.
    pub(crate) fn discard(
        &self,
        trace: &TraceId,
        parent_sampled: Option<bool>,
        failed: bool,
        nanos: u64,
    ) -> Option<&'static str> {
        match parent_sampled {
            Some(false) => return Some("parent_not_sampled"),
            Some(true) => return None,
            None => {}
        }
        if self.ratio >= 1.0 || (failed && self.keep_errors) || nanos > self.keep_slower_ns {
            return None;
        }
        (randomness(trace) < self.threshold()).then_some("sampled")
    }

    /// Rejection threshold over 56 bits (OpenTelemetry: consistent probability sampling).
    fn threshold(&self) -> u64 {
        let all = (1u64 << 56) as f64;
        ((1.0 - self.ratio.clamp(0.0, 1.0)) * all) as u64
    }

    /// Trace state of a kept span: the caller's, with `ot=th:...` before it where the ratio kept the trace. A trace kept
    /// for what happened in it stands for itself alone, and says nothing of how many it was drawn from.
    pub(crate) fn state(&self, trace: &TraceId, callers: Str) -> Str {
        if self.ratio >= 1.0 || randomness(trace) < self.threshold() || callers.contains("ot=") {
            return callers;
        }
        let digits = format!("{:014x}", self.threshold());
        let short = digits.trim_end_matches('0');
        let own = format!("ot=th:{}", if short.is_empty() { "0" } else { short });
        Str::from(if callers.is_empty() { own } else { format!("{own},{callers}") })
    }
}

/// The last 56 bits of a trace id: all agents draw the same decision from them.
fn randomness(trace: &TraceId) -> u64 {
    trace.0[9..].iter().fold(0, |n, b| (n << 8) | u64::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(low: u64) -> TraceId {
        let mut id = [1; 16];
        id[8..].copy_from_slice(&low.to_be_bytes());
        TraceId(id)
    }

    #[test]
    fn a_quarter_keeps_the_top_quarter_of_the_randomness() {
        let s = Sampling { ratio: 0.25, keep_errors: true, keep_slower_ns: 10 };
        let edge = 3u64 << 54;
        assert_eq!(s.discard(&trace(edge - 1), None, false, 0), Some("sampled"));
        assert_eq!(s.discard(&trace(edge), None, false, 0), None);
        assert_eq!(s.discard(&trace(0), None, true, 0), None);
        assert_eq!(s.discard(&trace(0), None, false, 11), None);
        assert_eq!(s.state(&trace(edge), Str::default()), "ot=th:c");
        assert_eq!(s.state(&trace(edge), "a=b".into()), "ot=th:c,a=b");
        assert_eq!(s.state(&trace(edge - 1), "a=b".into()), "a=b");
    }

    #[test]
    fn the_callers_decision_stands() {
        let s = Sampling { ratio: 0.25, keep_errors: true, keep_slower_ns: 10 };
        assert_eq!(s.discard(&trace(0), Some(true), false, 0), None);
        assert_eq!(s.discard(&trace(u64::MAX), Some(false), true, 11), Some("parent_not_sampled"));
    }
}
