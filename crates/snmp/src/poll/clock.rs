use std::time::Duration;

/// Nanoseconds of one tick of sysUpTime.
pub(crate) const TICK: u64 = 10_000_000;
/// How far sysUpTime may fall behind the time that passed before it means a restart.
const SLACK: Duration = Duration::from_secs(10);
/// Start times are whole seconds, so that whoever polls finds the same.
const SECOND: u64 = 1_000_000_000;
/// Ticks until sysUpTime begins anew: 497 days.
const AROUND: u64 = 1 << 32;
/// How far snmpEngineTime and sysUpTime may differ, in ticks, where they began together.
const TOGETHER: u64 = 360_000;
/// Most further questions for the begin of a device that lies near a second's border.
const MOST_ASKS: u8 = 4;
/// A further question is timed so that its answer comes this much before the border, by the device's ticks.
const BEFORE: u64 = 1_000_000;
/// An answer that comes so close before the border has met it.
const MET: u64 = 3_000_000;

/// When an answer came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// When its question left, ns since 1970.
    pub(crate) sent: u64,
    /// When it came, ns since 1970.
    pub(crate) came: u64,
    /// When it came by a clock that nobody sets, ns.
    pub(crate) steady: u64,
}

/// When a device began, told from its sysUpTime: the same to the nanosecond until it restarts, and the same for whoever
/// asks.
///
/// An answer proves that the device began after `sent - uptime - a step` and before `came - uptime`. The whole second
/// below is the start time. Where both bounds lie in one second, one answer is enough. Else it is asked again, at a moment
/// that tells on which side of the border the begin lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BootClock {
    /// ns since 1970; 0 before the first reading.
    pub(crate) boot: u64,
    uptime: u32,
    /// How often sysUpTime has begun anew without a restart.
    rounds: u32,
    read: u64,
    /// Upper bound of the begin; delay only adds, so the smallest is the best.
    latest: u64,
    /// Lower bound of the begin, but for a step of sysUpTime.
    earliest: u64,
    /// Ticks by which sysUpTime seems to move: many agents count whole seconds.
    step: u32,
    /// The start time is not before that: the last values from before a restart.
    after: u64,
    asks: u8,
    met: u8,
    settled: bool,
}

impl BootClock {
    /// A reading. Whether the device restarted since the last one. `engine` is snmpEngineTime in seconds where it is
    /// known, `after` the time of the last values.
    pub(crate) fn read(&mut self, uptime: u32, at: Moment, engine: Option<u32>, after: u64) -> bool {
        let first = self.read == 0;
        // By the steady clock: one that is set meanwhile is no restart.
        let passed = at.steady.saturating_sub(self.read) / TICK;
        let mut restarted = false;
        if !first && uptime < self.uptime {
            // After 497 days the counter begins anew and the device has not.
            let around = u64::from(u32::MAX - self.uptime) + u64::from(uptime) + 1;
            restarted = around.abs_diff(passed) > slack(passed);
            self.rounds += u32::from(!restarted);
        } else if !first {
            // A clock that stands still is a recording, not a restart.
            let moved = u64::from(uptime - self.uptime);
            restarted = moved > 0 && moved + slack(passed) < passed;
        }
        (self.uptime, self.read) = (uptime, at.steady.max(1));
        if first || restarted {
            *self = BootClock {
                uptime,
                read: self.read,
                rounds: engine.map_or(0, |e| rounds(uptime, e)),
                latest: u64::MAX,
                step: 100,
                after: if restarted { after } else { 0 },
                ..BootClock::default()
            };
        }
        if !self.settled {
            self.refine(at);
        }
        restarted
    }

    fn refine(&mut self, at: Moment) {
        let lived = (u64::from(self.uptime) + u64::from(self.rounds) * AROUND) * TICK;
        while !self.uptime.is_multiple_of(self.step) {
            self.step /= 10;
        }
        let latest = at.came.saturating_sub(lived);
        let step = u64::from(self.step) * TICK;
        self.met += u8::from(self.asks > 0 && step - latest % step <= MET);
        self.latest = self.latest.min(latest);
        self.earliest = self.earliest.max(at.sent.saturating_sub(lived));
        self.boot = (self.latest - self.latest % SECOND).max(self.after).max(1);
    }

    /// How long to wait with one question more, counted from the last answer; nothing: the start time stands.
    /// `longest` bounds the wait.
    pub(crate) fn ask_again(&mut self, at: Moment, longest: Duration) -> Option<Duration> {
        let step = u64::from(self.step) * TICK;
        let border = self.latest - self.latest % SECOND;
        let known = self.earliest.saturating_sub(step) >= border;
        // A clock of whole seconds is met once: each time takes up to a second.
        let enough = if self.step == 100 { 1 } else { 2 };
        if self.settled || known || self.asks >= MOST_ASKS || self.met >= enough {
            self.settled = true;
            return None;
        }
        let took = at.came.saturating_sub(at.sent);
        // Steps divide a second: at the border by the device's clock is at the border by ours.
        let soonest = at.came + took + BEFORE;
        let wait = step - soonest % step + took;
        if Duration::from_nanos(wait) > longest {
            self.settled = true;
            return None;
        }
        self.asks += 1;
        Some(Duration::from_nanos(wait - took))
    }

    /// The time of a value of sysUpTime that is not newer than the last reading, or nothing. `kept` is the time that an
    /// earlier value of the same object gave, 0 for none; `seen` whether the object was looked at before.
    pub(crate) fn at(&self, ticks: u32, kept: u64, seen: bool) -> Option<u64> {
        if ticks == 0 || self.boot == 0 {
            return None;
        }
        let moment = |round: u32| self.boot + (u64::from(round) * AROUND + u64::from(ticks)) * TICK;
        if kept >= self.boot && ((kept - self.boot) / TICK) as u32 == ticks {
            return Some(kept);
        }
        let last = if ticks <= self.uptime { Some(self.rounds) } else { self.rounds.checked_sub(1) };
        // In which round of sysUpTime it was cannot be told at the first look; the first it is, for everyone.
        last.map(|last| moment(if seen { last } else { 0 }))
    }
}

/// How often sysUpTime began anew before the first look, if it began together with the engine.
fn rounds(uptime: u32, engine: u32) -> u32 {
    let engine = u64::from(engine) * 100;
    let rounds = (engine.saturating_sub(u64::from(uptime)) + AROUND / 2) / AROUND;
    let lived = u64::from(uptime) + rounds * AROUND;
    if lived.abs_diff(engine) <= TOGETHER { u32::try_from(rounds).unwrap_or(0) } else { 0 }
}

/// Ticks: 10 s, or a twentieth of what passed.
fn slack(passed: u64) -> u64 {
    (SLACK.as_millis() as u64 / 10).max(passed / 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const MS: u64 = 1_000_000;

    fn at(now: u64) -> Moment {
        Moment { sent: now, came: now, steady: now }
    }

    /// Reads until the start time stands: a device that began at `boot` and moves sysUpTime by `step` ticks, whose
    /// answers take as long as `delay` says there and back. The start time and the questions it took.
    fn settle(boot: u64, step: u64, from: u64, mut delay: impl FnMut() -> (u64, u64)) -> (u64, u32) {
        let (mut clock, mut now, mut asked) = (BootClock::default(), from, 0);
        loop {
            let (there, back) = delay();
            let uptime = (now + there - boot) / TICK / step * step;
            let moment = Moment { sent: now, came: now + there + back, steady: now + there + back };
            clock.read(uptime as u32, moment, None, 0);
            asked += 1;
            match clock.ask_again(moment, Duration::from_secs(2)) {
                None => return (clock.boot, asked),
                Some(wait) => now = moment.came + u64::try_from(wait.as_nanos()).unwrap(),
            }
        }
    }

    #[test]
    fn whoever_asks_finds_the_same_start() {
        let mut random = fastrand::Rng::with_seed(7);
        for step in [1, 10, 100] {
            let (mut moved, mut asked, mut wrong) = (0, 0, 0);
            for n in 0..20_000u64 {
                let boot = 1_000 * S + random.u64(0..1_000 * S);
                let mut one = || {
                    let from = 3_000 * S + n * 7 * MS + random.u64(0..60 * S);
                    let mut other = fastrand::Rng::with_seed(random.u64(..));
                    settle(boot, step, from, || (other.u64(100_000..300_000), other.u64(100_000..300_000)))
                };
                let (a, b) = (one(), one());
                moved += u32::from(a.0 != b.0);
                asked += a.1 + b.1;
                wrong += u32::from(a.0 > boot + MET || boot - a.0.min(boot) > S);
            }
            // Both looked within a fifth of a millisecond of a border: one of five thousand, and a little more.
            assert!(moved <= 15, "{moved} of 20000 moved, step {step}");
            assert_eq!(wrong, 0, "step {step}");
            let most = if step == 1 { 41_600 } else { 80_400 };
            assert!(asked <= most, "{asked} questions for 40000 looks, step {step}");
        }
    }

    #[test]
    fn the_questions_are_bounded_however_answers_wander() {
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..1000 {
            let boot = 1_000 * S + random.u64(0..1_000 * S);
            let mut other = fastrand::Rng::with_seed(random.u64(..));
            let (start, asked) =
                settle(boot, 100, 3_000 * S, || (other.u64(0..400 * MS), other.u64(0..400 * MS)));
            assert!(asked <= 1 + u32::from(MOST_ASKS), "{asked}");
            assert!(start + 2 * S > boot && start <= boot + 2 * S, "{start} for {boot}");
        }
    }

    #[test]
    fn the_boot_time_stays_until_the_device_restarts() {
        let mut clock = BootClock::default();
        assert!(!clock.read(100 * 100 + 7, at(1_000 * S), None, 0));
        assert_eq!(clock.boot, 899 * S);
        assert_eq!(clock.ask_again(at(1_000 * S), Duration::from_secs(2)), None);
        // A little off, as clocks are: it drifts by a second a minute, and stands.
        assert!(!clock.read(159 * 100, at(1_060 * S), None, 1_000 * S));
        assert!(!clock.read(221 * 100, at(1_120 * S), None, 1_060 * S));
        assert_eq!(clock.boot, 899 * S);
        assert!(clock.read(20 * 100, at(1_180 * S), None, 1_120 * S));
        assert_eq!(clock.boot, 1_160 * S);
        // Restarted within a long pause: uptime went on growing, but not enough.
        assert!(clock.read(30 * 100, at(1_300 * S), None, 1_180 * S));
        assert_eq!(
            (clock.boot, clock.at(10 * 100, 0, false), clock.at(0, 0, false), clock.at(3001, 0, false)),
            (1_270 * S, Some(1_280 * S), None, None)
        );
        // It began half a second after the last values: the second below is before them.
        assert!(clock.read(
            5950,
            Moment { came: 1_400 * S, sent: 1_400 * S, steady: 1_500 * S },
            None,
            1_340 * S + S / 4
        ));
        assert_eq!(clock.boot, 1_340 * S + S / 4);
    }

    #[test]
    fn a_clock_of_the_host_that_is_set_is_no_restart() {
        let mut clock = BootClock::default();
        clock.read(100_007, at(10_000 * S), None, 0);
        let boot = clock.boot;
        let set = Moment { sent: 90_000 * S, came: 90_000 * S, steady: 10_060 * S };
        assert!(!clock.read(106_007, set, None, 0));
        assert_eq!(clock.boot, boot);
    }

    #[test]
    fn after_497_days_and_while_standing_still_nothing_restarted() {
        let mut clock = BootClock::default();
        let day = 86_400 * S;
        clock.read(u32::MAX - 1000, at(1_000 * day), None, 0);
        clock.ask_again(at(1_000 * day), Duration::ZERO);
        let boot = clock.boot;
        assert!(!clock.read(4999, at(1_000 * day + 60 * S), None, 0));
        assert!(!clock.read(4999, at(1_000 * day + 120 * S), None, 0));
        assert!(!clock.read(4999, at(1_000 * day + 180 * S), None, 0));
        assert_eq!(clock.boot, boot);
        // Who looks for the first time now learns of the rounds from the engine's time.
        let seconds = (u64::from(u32::MAX) + 5000) / 100;
        let mut other = BootClock::default();
        other.read(4999, at(1_000 * day + 60 * S), Some(seconds as u32 + 40), 0);
        assert!(other.boot.abs_diff(boot) <= S, "{} and {boot}", other.boot);
        // An engine that began at another time says nothing.
        let mut third = BootClock::default();
        third.read(4999, at(1_000 * day + 60 * S), Some(20_000_000), 0);
        assert!(third.boot > boot + 400 * day);
        // What an object said before the round ended it still means; what is new is of this round.
        let before = boot + 77 * TICK;
        assert_eq!(clock.at(77, before, true), Some(before));
        assert_eq!(clock.at(78, before, true), Some(boot + (AROUND + 78) * TICK));
        assert_eq!(clock.at(78, 0, false), Some(boot + 78 * TICK));
        assert_eq!(clock.at(60_000, before, true), Some(boot + 60_000 * TICK));
    }
}
