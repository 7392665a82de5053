//! A bound on items a second.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may come at once after a quiet time.
const BURST: Duration = Duration::from_secs(1);

/// Holds items back to a rate: exact over time, with the items of one second at once after a quiet one. What is larger
/// than that passes whole, and is waited for afterwards.
#[derive(Debug, Default)]
pub struct Pace {
    /// When all that passed would have passed at an even rate.
    even: Mutex<Option<Instant>>,
}

impl Pace {
    /// How long to wait before anything passes; `None`: not at all.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let even = *self.even.lock().unwrap_or_else(PoisonError::into_inner);
        even.and_then(|at| at.checked_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// So many items pass, whatever [`Pace::wait`] says.
    pub fn spend(&self, rate: NonZeroU64, items: u64, now: Instant) {
        let mut even = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        pass(&mut even, rate, items, now);
    }

    /// The items pass, or are to come again after this time.
    pub fn admit(&self, rate: NonZeroU64, items: u64, now: Instant) -> Result<(), Duration> {
        let mut even = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        match even.and_then(|at| at.checked_duration_since(now)).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(wait),
            None => {
                pass(&mut even, rate, items, now);
                Ok(())
            }
        }
    }
}

fn pass(even: &mut Option<Instant>, rate: NonZeroU64, items: u64, now: Instant) {
    let earliest = now.checked_sub(BURST).unwrap_or(now);
    let from = even.map_or(earliest, |at| at.max(earliest));
    let nanos = u128::from(items) * 1_000_000_000 / u128::from(rate.get());
    *even = Some(from + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_passes_at_once_and_then_the_rate_holds() {
        let (pace, rate, now) = (Pace::default(), NonZeroU64::new(100).unwrap(), Instant::now());
        let at = |ms| now + Duration::from_millis(ms);
        for _ in 0..10 {
            assert_eq!(pace.admit(rate, 10, now), Ok(()));
        }
        assert_eq!(pace.admit(rate, 10, now), Ok(()));
        assert_eq!(pace.admit(rate, 10, now), Err(Duration::from_millis(100)));
        assert_eq!(pace.wait(at(40)), Some(Duration::from_millis(60)));
        assert_eq!(pace.wait(at(100)), None);
        // More than a second's worth passes whole; the debt is paid before anything else passes.
        assert_eq!(pace.admit(rate, 1000, at(100)), Ok(()));
        assert_eq!(pace.admit(rate, 1, at(101)), Err(Duration::from_millis(9999)));
        assert_eq!(pace.admit(rate, 1, at(10_100)), Ok(()));
    }

    #[tokio::test]
    async fn over_time_no_more_passes_than_the_rate_and_one_second() {
        let (pace, rate, now) = (Pace::default(), NonZeroU64::new(50).unwrap(), Instant::now());
        let mut passed = 0;
        for ms in 0..60_000 {
            let at = now + Duration::from_millis(ms);
            if pace.wait(at).is_none() {
                pace.spend(rate, 7, at);
                passed += 7;
            }
        }
        assert!((3000..=3000 + 50 + 7).contains(&passed), "{passed}");
    }
}
