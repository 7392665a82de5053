use std::time::Duration;

/// Nanoseconds of one tick of sysUpTime.
pub(crate) const TICK: u64 = 10_000_000;
/// How far sysUpTime may fall behind the time that passed before it means a restart.
const SLACK: Duration = Duration::from_secs(10);

/// When a device began, told from its sysUpTime: the same to the nanosecond until it restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BootClock {
    /// ns since 1970; 0 before the first reading.
    pub(crate) boot: u64,
    uptime: u32,
    read: u64,
}

impl BootClock {
    /// A reading at `now` (ns since 1970). Whether the device restarted since the last one.
    pub(crate) fn read(&mut self, uptime: u32, now: u64) -> bool {
        let fresh = now.saturating_sub(u64::from(uptime) * TICK);
        let first = self.boot == 0;
        let passed = now.saturating_sub(self.read) / TICK;
        let restarted = if first {
            false
        } else if uptime < self.uptime {
            // After 497 days the counter begins anew and the device has not.
            let around = u64::from(u32::MAX - self.uptime) + u64::from(uptime) + 1;
            around.abs_diff(passed) > slack(passed)
        } else {
            // A clock that stands still is a recording, not a restart.
            let moved = u64::from(uptime - self.uptime);
            moved > 0 && moved + slack(passed) < passed
        };
        (self.uptime, self.read) = (uptime, now);
        if first || restarted {
            self.boot = fresh.max(1);
        }
        restarted
    }

    /// The time of a sysUpTime value that is not newer than the last reading, or nothing.
    pub(crate) fn at(&self, ticks: u32) -> Option<u64> {
        (ticks != 0 && ticks <= self.uptime && self.boot != 0).then(|| self.boot + u64::from(ticks) * TICK)
    }
}

/// Ticks: 10 s, or a twentieth of what passed.
fn slack(passed: u64) -> u64 {
    (SLACK.as_millis() as u64 / 10).max(passed / 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn the_boot_time_stays_until_the_device_restarts() {
        let mut clock = BootClock::default();
        assert!(!clock.read(100 * 100, 1_000 * S));
        assert_eq!(clock.boot, 900 * S);
        // A little off, as answers are.
        assert!(!clock.read(159 * 100, 1_060 * S));
        assert_eq!(clock.boot, 900 * S);
        assert!(clock.read(20 * 100, 1_120 * S));
        assert_eq!(clock.boot, 1_100 * S);
        // Restarted within a long pause: uptime went on growing, but not enough.
        assert!(clock.read(30 * 100, 1_300 * S));
        assert_eq!(
            (clock.boot, clock.at(10 * 100), clock.at(0), clock.at(3001)),
            (1_270 * S, Some(1_280 * S), None, None)
        );
    }

    #[test]
    fn after_497_days_and_while_standing_still_nothing_restarted() {
        let mut clock = BootClock::default();
        let day = 86_400 * S;
        clock.read(u32::MAX - 1000, 1_000 * day);
        let boot = clock.boot;
        assert!(!clock.read(4999, 1_000 * day + 60 * S));
        assert!(!clock.read(4999, 1_000 * day + 120 * S));
        assert!(!clock.read(4999, 1_000 * day + 180 * S));
        assert_eq!(clock.boot, boot);
    }
}
