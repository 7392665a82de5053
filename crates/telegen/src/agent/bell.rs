//! How the program speaks to the thread that reads the rings, which may rest for seconds.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::oneshot;

use crate::settings::AgentSettings;

/// Settings to take over.
pub(crate) struct Change {
    pub(crate) settings: AgentSettings,
    /// Told when they are in effect.
    pub(crate) done: oneshot::Sender<()>,
}

/// Tells the thread to end, or of other settings, and wakes it for that.
pub(crate) struct Bell {
    stop: AtomicBool,
    /// Whether there is a change: what the thread looks at between turns costs no lock.
    changed: AtomicBool,
    change: Mutex<Option<Change>>,
    wake: OwnedFd,
}

impl Bell {
    /// Fails when no descriptor is left.
    pub(crate) fn new() -> anyhow::Result<Bell> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let wake = eventfd(0, flags).context("eventfd")?;
        Ok(Bell {
            stop: AtomicBool::new(false),
            changed: AtomicBool::new(false),
            change: Mutex::default(),
            wake,
        })
    }

    /// Tells the thread to end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.ring();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Tells of other settings; one that was not taken yet is over. What comes back is told when they are in effect.
    pub(crate) fn change(&self, settings: AgentSettings) -> oneshot::Receiver<()> {
        let (done, heard) = oneshot::channel();
        *self.change.lock().unwrap_or_else(PoisonError::into_inner) = Some(Change { settings, done });
        self.changed.store(true, Ordering::Release);
        self.ring();
        heard
    }

    /// The change that was told of last, once.
    pub(super) fn take_change(&self) -> Option<Change> {
        if !self.changed.load(Ordering::Acquire) {
            return None;
        }
        self.changed.store(false, Ordering::Release);
        self.change.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn ring(&self) {
        if let Err(error) = rustix::io::write(&self.wake, &1u64.to_ne_bytes()) {
            tracing::debug!(%error, "the tap hears of it with its turn");
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_is_taken_once_and_the_one_before_it_is_never_told_as_done() {
        let bell = Bell::new().unwrap();
        assert!(bell.take_change().is_none());
        let mut first = bell.change(AgentSettings::default());
        let mut last = bell.change(AgentSettings {
            ring_size: telegen_config::ByteSize::mib(1),
            ..AgentSettings::default()
        });
        let taken = bell.take_change().unwrap();
        assert_eq!(taken.settings.ring_size, telegen_config::ByteSize::mib(1));
        assert!(bell.take_change().is_none());
        taken.done.send(()).unwrap();
        assert!(first.try_recv().is_err() && last.try_recv().is_ok());
        let mut woken = [0; 8];
        rustix::io::read(&bell, &mut woken).unwrap();
        assert_eq!((u64::from_ne_bytes(woken), bell.is_stopped()), (2, false));
        bell.stop();
        assert!(bell.is_stopped());
    }
}
