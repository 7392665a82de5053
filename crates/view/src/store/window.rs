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

    /// The step to count in; `None` when it is older than the ring.
    pub(crate) fn at(&mut self, step: u64) -> Option<&mut T> {
        if step > self.last {
            let passed = (step - self.last).min(N as u64);
            for i in 0..passed {
                self.steps[index::<N>(step - i)] = T::default();
            }
            self.last = step;
        }
        if self.last - step >= N as u64 {
            return None;
        }
        Some(&mut self.steps[index::<N>(step)])
    }

    /// The steps from `from` to `to` (both included) that the ring holds or will hold; others are `None`.
    pub(crate) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = Option<&T>> {
        (from..=to).map(|step| {
            let held = step <= self.last && self.last - step < N as u64;
            held.then(|| &self.steps[index::<N>(step)])
        })
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
        *ring.at(10).unwrap() += 1;
        *ring.at(12).unwrap() += 3;
        let seen: Vec<Option<u32>> = ring.range(8, 13).map(|v| v.copied()).collect();
        assert_eq!(seen, [None, Some(0), Some(1), Some(0), Some(3), None]);
        assert_eq!(ring.at(14).copied(), Some(0));
        assert_eq!(ring.at(10), None);
        assert_eq!(ring.range(11, 14).flatten().sum::<u32>(), 3);
        ring.at(1000);
        assert_eq!(ring.range(997, 1000).flatten().sum::<u32>(), 0);
    }
}
