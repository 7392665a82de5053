//! The end: it is asked for at any time, also while the program starts, and has one deadline for all its stages.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

/// What is kept of the time for the stages after the last flush: a tenth of it, this at most.
const RESERVE: Duration = Duration::from_millis(500);
/// The shortest time for the last flush, when starting took all of it.
const SHORTEST: Duration = Duration::from_millis(200);
/// So long after the deadline a stage that hangs is given up, and the program with it.
const GRACE: Duration = Duration::from_secs(2);

/// Waits for SIGTERM and SIGINT. Clones wait for the same.
#[derive(Clone)]
pub(super) struct Stopping {
    told: watch::Receiver<Option<Ending>>,
    /// `shutdown.timeout`, which a reload may change.
    timeout: watch::Sender<Duration>,
}

/// When the program is to have ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    at: Instant,
    timeout: Duration,
}

impl Stopping {
    /// Takes the signals over; must be called within a runtime. `timeout` counts from the signal.
    pub(super) fn watch(timeout: Duration) -> anyhow::Result<Stopping> {
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let (tell, told) = watch::channel(None);
        let (timeout, within) = watch::channel(timeout);
        // A task of its own: whoever starts or stops may be held up by a file or a disk that hangs.
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            let timeout = *within.borrow();
            let ending = Ending { at: Instant::now(), timeout };
            tell.send_replace(Some(ending));
            tracing::info!("{name}: stopping");
            tokio::time::sleep(timeout + GRACE).await;
            tracing::error!("it did not end within shutdown.timeout: given up");
            std::process::exit(i32::from(crate::cli::FAILED));
        });
        Ok(Stopping { told, timeout })
    }

    /// How long the end may take from now on.
    pub(super) fn within(&self, timeout: Duration) {
        self.timeout.send_replace(timeout);
    }

    /// Comes back when the program is to end, at once when that is so already.
    pub(super) async fn came(&mut self) -> Ending {
        match self.told.wait_for(Option::is_some).await {
            Ok(ending) => ending.unwrap_or_else(Ending::now),
            // Nobody listens for signals any more.
            Err(_) => Ending::now(),
        }
    }
}

impl Ending {
    fn now() -> Ending {
        Ending { at: Instant::now(), timeout: Duration::ZERO }
    }

    /// What is left of the time.
    pub(super) fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.at.elapsed())
    }

    /// What the last flush may take.
    pub(super) fn for_flush(&self) -> Duration {
        self.left().saturating_sub(RESERVE.min(self.timeout / 10)).max(SHORTEST)
    }

    /// What a stage after the last flush may take.
    pub(super) fn for_rest(&self) -> Duration {
        self.left().clamp(RESERVE / 10, RESERVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[tokio::test(start_paused = true)]
    async fn all_stages_share_the_time_from_the_signal_on() {
        let ending = Ending { at: Instant::now(), timeout: ms(5000) };
        assert_eq!((ending.left(), ending.for_flush(), ending.for_rest()), (ms(5000), ms(4500), ms(500)));
        tokio::time::advance(ms(3000)).await;
        assert_eq!((ending.left(), ending.for_flush(), ending.for_rest()), (ms(2000), ms(1500), ms(500)));
        tokio::time::advance(ms(1900)).await;
        assert_eq!((ending.left(), ending.for_flush(), ending.for_rest()), (ms(100), ms(200), ms(100)));
        tokio::time::advance(ms(3000)).await;
        assert_eq!((ending.left(), ending.for_flush(), ending.for_rest()), (ms(0), ms(200), ms(50)));
        let short = Ending { at: Instant::now(), timeout: ms(1000) };
        assert_eq!(short.for_flush(), ms(900));
    }
}
