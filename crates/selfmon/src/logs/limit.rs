use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::Metadata;
use tracing::callsite::Identifier;

use super::format::Fields;

/// Lines a call site may write in one window.
const BURST: u32 = 10;
/// Length of a window.
const WINDOW: Duration = Duration::from_secs(10);

/// Whether a line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Show,
    HoldBack,
}

/// What a call site held back in a window that is over.
pub(super) struct Held {
    pub(super) meta: &'static Metadata<'static>,
    lines: u64,
}

impl Held {
    pub(super) fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        let site = self.meta.line().unwrap_or(0);
        let file = self.meta.file().unwrap_or("?");
        fields.message = format!("{} more lines suppressed from {file}:{site}", self.lines);
        fields
    }
}

struct Site {
    meta: &'static Metadata<'static>,
    since: Instant,
    shown: u32,
    held: u64,
}

/// Counts lines per call site; there are as many sites as the program text has.
#[derive(Default)]
pub(super) struct Limiter {
    sites: HashMap<Identifier, Site>,
    /// Sites with lines held back: none is the rule, and then nothing is looked through.
    holding: usize,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Limiter({} sites)", self.sites.len())
    }
}

impl Limiter {
    pub(super) fn ask(&mut self, meta: &'static Metadata<'static>, now: Instant) -> Verdict {
        let site = self.sites.entry(meta.callsite()).or_insert(Site { meta, since: now, shown: 0, held: 0 });
        if now.duration_since(site.since) >= WINDOW && site.held == 0 {
            (site.since, site.shown) = (now, 0);
        }
        if site.shown < BURST {
            site.shown += 1;
            return Verdict::Show;
        }
        self.holding += usize::from(site.held == 0);
        site.held += 1;
        Verdict::HoldBack
    }

    /// What was held back in windows that are over; those sites begin a new one.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Held> {
        if self.holding == 0 {
            return Vec::new();
        }
        let over = self.sites.values_mut().filter(|s| s.held > 0 && now.duration_since(s.since) >= WINDOW);
        let due: Vec<Held> = over
            .map(|s| {
                let held = Held { meta: s.meta, lines: s.held };
                (s.since, s.shown, s.held) = (now, 0, 0);
                held
            })
            .collect();
        self.holding -= due.len();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::callsite::Callsite;

    fn site() -> &'static Metadata<'static> {
        tracing::callsite! { name: "here", kind: tracing::metadata::Kind::EVENT, fields: message }.metadata()
    }

    #[test]
    fn a_call_site_says_ten_things_in_ten_seconds_and_then_how_many_it_held_back() {
        let (mut l, t0) = (Limiter::default(), Instant::now());
        let shown = (0..25).filter(|_| l.ask(site(), t0) == Verdict::Show).count();
        assert_eq!(shown, 10);
        assert!(l.due(t0 + WINDOW / 2).is_empty());
        let due = l.due(t0 + WINDOW);
        assert_eq!(due.len(), 1);
        assert!(due[0].fields().message.starts_with("15 more lines suppressed from "));
        assert!(l.due(t0 + WINDOW * 2).is_empty());
        assert_eq!(l.ask(site(), t0 + WINDOW * 2), Verdict::Show);
    }

    #[test]
    fn a_quiet_site_begins_a_new_window() {
        let (mut l, t0) = (Limiter::default(), Instant::now());
        for _ in 0..10 {
            l.ask(site(), t0);
        }
        for _ in 0..10 {
            assert_eq!(l.ask(site(), t0 + WINDOW), Verdict::Show);
        }
        assert_eq!(l.ask(site(), t0 + WINDOW), Verdict::HoldBack);
    }
}
