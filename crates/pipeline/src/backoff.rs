use std::time::Duration;

use crate::RetryConfig;

/// A peer's own wish is honoured up to this, or up to `retry.max` where that is longer: beyond it the number is a
/// fault, not a wish.
pub const LONGEST_WISH: Duration = Duration::from_secs(300);

/// Waits between tries: exponential, spread so that a fleet does not come back as one.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The peer answered: the next failure begins anew.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }

    /// How long to wait now. A wish of the peer is a lower bound: it is spread upwards only.
    pub(crate) fn next(&mut self, config: &RetryConfig, wish: Option<Duration>) -> Duration {
        let own = config.initial.saturating_mul(1 << self.tries.min(20)).min(config.max);
        self.tries = self.tries.saturating_add(1);
        let spread = fastrand::f64();
        let own = own.mul_f64(0.8 + 0.4 * spread);
        let longest = LONGEST_WISH.max(config.max);
        match wish {
            Some(wish) => own.max(wish.min(longest).mul_f64(1.0 + 0.1 * spread)),
            None => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RetryConfig {
        RetryConfig {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(30),
            max_elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_spread_by_a_fifth() {
        let mut b = Backoff::default();
        for nominal in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let wait = b.next(&config(), None).as_secs_f64();
            assert!((0.8 * nominal..1.2 * nominal).contains(&wait), "{wait} for {nominal}");
        }
        b.reset();
        assert!(b.next(&config(), None) < Duration::from_millis(1200));
    }

    #[test]
    fn the_peers_wish_is_a_lower_bound_and_itself_bounded() {
        let mut b = Backoff::default();
        let wait = b.next(&config(), Some(Duration::from_secs(60)));
        assert!((60.0..66.1).contains(&wait.as_secs_f64()), "{wait:?}");
        let absurd = b.next(&config(), Some(Duration::MAX)).as_secs_f64();
        assert!((300.0..330.1).contains(&absurd), "{absurd}");
        let patient = RetryConfig { max: Duration::from_secs(3600), ..config() };
        let wait = b.next(&patient, Some(Duration::MAX)).as_secs_f64();
        assert!((3600.0..3960.1).contains(&wait), "{wait}");
        let short = b.next(&config(), Some(Duration::ZERO));
        assert!(short >= Duration::from_millis(3200), "own wait still counts: {short:?}");
    }

    #[test]
    fn two_programs_do_not_wait_alike() {
        let waits: Vec<Duration> = (0..8).map(|_| Backoff::default().next(&config(), None)).collect();
        assert!(waits.windows(2).any(|w| w[0] != w[1]));
    }
}
