use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of requests that are being read or wait for their queues, all connections together.
#[derive(Debug)]
pub(crate) struct Budget {
    max: usize,
    used: AtomicUsize,
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Arc<Budget> {
        Arc::new(Budget { max, used: AtomicUsize::new(0) })
    }

    /// Whether so much fits when nothing else is there.
    pub(crate) fn ever(&self, bytes: usize) -> bool {
        bytes <= self.max
    }

    pub(crate) fn share(self: &Arc<Budget>) -> Share {
        Share { of: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Takes more; `false` when the budget is spent: nothing was taken then.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.of.max);
        let taken = self.of.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits).is_ok();
        self.bytes += if taken { bytes } else { 0 };
        taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_budget_and_come_back() {
        let budget = Budget::new(10);
        let (mut a, mut b) = (budget.share(), budget.share());
        assert!(a.grow(6) && !b.grow(5) && b.grow(4) && !a.grow(1));
        drop(b);
        assert!(a.grow(4) && !a.grow(usize::MAX));
        drop(a);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
