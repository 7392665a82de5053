//! Counts over time in rings of fixed size.

/// A ring of `N` steps of equal length; step numbers are time divided by that length. What is older than the ring is
/// forgotten, steps in which nothing came are the default.
#[derive(Clone, Debug)]
pub(crate) struct Ring<T, const N: usize> {
    steps: Box<[T; N]>,
    /// The newest step.
    last: u64,
}

impl<T: Clone + Default, const N: usize> Ring<T, N> {
    /// An empty ring at a step.
    pub(crate) fn new(step: u64) -> Ring<T, N> {
        Ring { steps: Box::new(std::array::from_fn(|_| T::default())), last: step }
    }

    /// The step to count in now. Readings come in order: where the clock was set back, what lies ahead of it is forgotten.
    pub(crate) fn at(&mut self, step: u64) -> &mut T {
        if step + 1 < self.last {
            let ahead = (self.last - step).min(N as u64);
            for i in 0..ahead {
                self.steps[index::<N>(self.last - i)] = T::default();
            }
            self.last = step;
        }
        if step > self.last {
            let passed = (step - self.last).min(N as u64);
            for i in 0..passed {
                self.steps[index::<N>(step - i)] = T::default();
            }
            self.last = step;
        }
        &mut self.steps[index::<N>(step)]
    }

    /// The steps from `from` to `to` (both included) that the ring holds or will hold; others are `None`.
    pub(crate) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = Option<&T>> {
        (from..=to).map(|step| {
            let held = step <= self.last && self.last - step < N as u64;
            held.then(|| &self.steps[index::<N>(step)])
        })
    }
}

/// A stretch of time that tables sum over, in whole steps of a minute, or of five where minutes are no longer held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// First second.
    pub(crate) from: u64,
    /// Second after the last: the one under way when the stretch ends now.
    pub(crate) to: u64,
    /// Length of its steps, s.
    pub(crate) step: u64,
}

/// Seconds of which single minutes are held everywhere.
pub(crate) const FINE_S: u64 = 15 * MINUTE_S;
/// Length of a fine step of a table's row.
pub(crate) const MINUTE_S: u64 = 60;
/// Length of a coarse one.
pub(crate) const FIVE_S: u64 = 300;
/// Seconds of which anything is held.
pub(crate) const HELD_S: u64 = 3_600;

impl Stretch {
    /// The last `seconds` before now.
    pub(crate) fn last(seconds: u64, now_s: u64) -> Stretch {
        let seconds = seconds.clamp(MINUTE_S, HELD_S);
        let step = if seconds <= FINE_S { MINUTE_S } else { FIVE_S };
        // A minute that has just begun would leave a hole at the other end: the stretch is a little longer instead.
        let from = now_s.saturating_sub(seconds) / step * step;
        Stretch { from, to: now_s + 1, step }
    }

    /// From one second to another, widened to whole steps.
    pub(crate) fn between(from: u64, to: u64, now_s: u64) -> Stretch {
        let from = from.max(now_s.saturating_sub(HELD_S)).min(now_s);
        let to = to.clamp(from + 1, now_s + 1);
        let step = if now_s - from <= FINE_S { MINUTE_S } else { FIVE_S };
        Stretch { from: from / step * step, to: (to.div_ceil(step) * step).min(now_s + 1), step }
    }

    /// Seconds of it in which the program was there.
    pub(crate) fn seconds(&self, started_s: u64) -> f64 {
        let from = self.from.max(started_s);
        (self.to.saturating_sub(from) as f64).max(1.0)
    }

    /// First and last step, both included.
    pub(crate) fn steps(&self, step: u64) -> (u64, u64) {
        (self.from / step, (self.to - 1) / step)
    }
}

fn index<const N: usize>(step: u64) -> usize {
    usize::try_from(step % N as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_forgets_what_is_older_than_itself() {
        let mut ring: Ring<u32, 4> = Ring::new(10);
        *ring.at(10) += 1;
        *ring.at(12) += 3;
        let seen: Vec<Option<u32>> = ring.range(8, 13).map(|v| v.copied()).collect();
        assert_eq!(seen, [None, Some(0), Some(1), Some(0), Some(3), None]);
        assert_eq!(*ring.at(14), 0);
        assert_eq!(ring.range(11, 14).flatten().sum::<u32>(), 3);
        ring.at(1000);
        assert_eq!(ring.range(997, 1000).flatten().sum::<u32>(), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_hides_nothing_that_comes_after() {
        let mut ring: Ring<u32, 4> = Ring::new(10);
        for step in 10..14 {
            *ring.at(step) += 1;
        }
        // A reader that was a moment late is no step of the clock.
        *ring.at(12) += 1;
        assert_eq!(ring.range(10, 13).flatten().copied().collect::<Vec<_>>(), [1, 1, 2, 1]);
        *ring.at(11) += 5;
        assert_eq!(
            ring.range(10, 13).map(|v| v.copied()).collect::<Vec<_>>(),
            [Some(1), Some(6), None, None]
        );
        *ring.at(12) += 1;
        assert_eq!(ring.range(10, 12).flatten().copied().collect::<Vec<_>>(), [1, 6, 1]);
        // Further back than it reaches.
        *ring.at(3) += 2;
        assert_eq!(ring.range(0, 3).flatten().sum::<u32>(), 2);
    }

    #[test]
    fn stretches_are_whole_steps_and_end_now() {
        let now = 100_000_030;
        let last = Stretch::last(900, now);
        assert_eq!((last.from % 60, now - last.from, last.to, last.step), (0, 910, now + 1, 60));
        assert_eq!(last.seconds(now - 10), 11.0);
        let hour = Stretch::last(3_600, now);
        assert_eq!((hour.from % 300, hour.step), (0, 300));
        let past = Stretch::between(now - 200, now - 100, now);
        assert_eq!((past.from % 60, past.to % 60, past.step), (0, 0, 60));
        assert!(past.from <= now - 200 && past.to >= now - 100);
        let old = Stretch::between(now - 3_000, now - 2_900, now);
        assert_eq!((old.from % 300, old.to % 300, old.step), (0, 0, 300));
        assert_eq!(Stretch::between(0, u64::MAX, now).to, now + 1);
    }
}
