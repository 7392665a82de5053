//! The tap as the rest of the program holds it: started, told of other settings, ended, and started anew.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use telegen_selfmon::logs::NOTICE;

use super::bell::Bell;
use super::tap::{self, Tapping};
use crate::settings::{AgentSettings, Settings};

/// Longest wait until the thread has taken over other settings: a reload is in effect within 2 s.
const TAKEN: Duration = Duration::from_millis(1500);
/// Longest wait until the thread has ended because it is switched off.
const ENDED: Duration = Duration::from_secs(5);

/// Watches requests while it is wanted.
pub(crate) struct Watcher {
    tapping: Tapping,
    /// What it was told last.
    told: AgentSettings,
    running: Option<Running>,
}

struct Running {
    thread: JoinHandle<()>,
    bell: Arc<Bell>,
}

impl Watcher {
    /// Begins to watch, where that is wanted and possible; what is missing is told.
    pub(crate) fn start(tapping: Tapping, settings: &Settings) -> Watcher {
        let mut watcher = Watcher { tapping, told: settings.agent.clone(), running: None };
        watcher.begin(settings);
        watcher
    }

    fn begin(&mut self, settings: &Settings) {
        let bell = match Bell::new() {
            Ok(bell) => Arc::new(bell),
            Err(error) => return tracing::error!("requests are not watched: {error:#}"),
        };
        self.running =
            tap::start(&self.tapping, settings, bell.clone()).map(|thread| Running { thread, bell });
    }

    /// Whether requests are watched.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Takes over other settings, and comes back when they are in effect.
    pub(crate) async fn reload(&mut self, settings: &Settings) {
        if settings.agent == self.told {
            return;
        }
        self.told = settings.agent.clone();
        match &self.running {
            Some(_) if !self.told.traces.enabled => {
                self.end(ENDED).await;
                tap::tell_off(&self.tapping, settings);
            }
            Some(running) => {
                let taken = running.bell.change(self.told.clone());
                if !matches!(tokio::time::timeout(TAKEN, taken).await, Ok(Ok(()))) {
                    tracing::warn!(target: NOTICE, "the tap has not taken over changes of `agent` yet");
                }
            }
            None => self.begin(settings),
        }
    }

    /// Ends it, with a last look at all rings.
    pub(crate) async fn end(&mut self, longest: Duration) {
        let Some(Running { thread, bell }) = self.running.take() else { return };
        bell.stop();
        // The thread ends within a turn; it is joined off the runtime's threads.
        let joined = tokio::task::spawn_blocking(move || thread.join());
        if tokio::time::timeout(longest, joined).await.is_err() {
            tracing::warn!("the tap did not end in time");
        }
    }
}
