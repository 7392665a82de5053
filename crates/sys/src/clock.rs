use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock, the one kernel records carry.
pub fn monotonic_ns() -> u64 {
    nanos(ClockId::Monotonic)
}

/// Nanoseconds since 1970.
pub fn unix_ns() -> u64 {
    nanos(ClockId::Realtime)
}

fn nanos(id: ClockId) -> u64 {
    let t = clock_gettime(id);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0)
}

/// Turns monotonic times into wall times by an offset that is measured again every ten seconds.
#[derive(Debug)]
pub struct Clock {
    offset: u64,
    measured: u64,
}

const REMEASURE_NS: u64 = 10_000_000_000;

impl Clock {
    /// Measures the offset.
    pub fn new() -> Clock {
        let (offset, measured) = measure();
        Clock { offset, measured }
    }

    /// Wall time of a monotonic time, ns since 1970.
    pub fn wall(&self, monotonic: u64) -> u64 {
        monotonic.wrapping_add(self.offset)
    }

    /// Measures again when the last measurement is old; `now` is monotonic.
    pub fn tick(&mut self, now: u64) {
        if now.saturating_sub(self.measured) > REMEASURE_NS {
            (self.offset, self.measured) = measure();
        }
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

/// The tightest of a few readings: being descheduled between the two clocks must not move every time by that much.
fn measure() -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..5 {
        let before = monotonic_ns();
        let wall = unix_ns();
        let after = monotonic_ns();
        let width = after - before;
        if width < best.0 {
            let middle = before + width / 2;
            best = (width, wall.wrapping_sub(middle), after);
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_of_now_is_the_wall_clock() {
        let clock = Clock::new();
        let (before, via, after) = (unix_ns(), clock.wall(monotonic_ns()), unix_ns());
        let slack = 50_000_000;
        assert!(via + slack >= before && via <= after + slack, "{before} {via} {after}");
    }
}
