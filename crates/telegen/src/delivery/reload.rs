//! When settings are read again: on SIGHUP, and when a file that they name changes.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::settings::Load;

/// How often files are looked at. A look is one `stat`, and sees what replaces a file by a link too.
const LOOK: Duration = Duration::from_millis(500);

/// Identity of a file's contents, as far as a `stat` tells.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// Waits for a reason to read settings again.
pub(crate) struct Watch {
    hangup: Signal,
    looks: Interval,
    files: BTreeSet<PathBuf>,
    stamps: Vec<Stamp>,
}

impl Watch {
    pub(crate) fn new(load: &Load) -> std::io::Result<Watch> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Watch {
            hangup: signal(SignalKind::hangup())?,
            looks,
            files: BTreeSet::new(),
            stamps: Vec::new(),
        };
        watch.follow(load);
        Ok(watch)
    }

    /// From now on these settings' files count.
    pub(crate) fn follow(&mut self, load: &Load) {
        let settings = &load.loaded.settings;
        let mut files: BTreeSet<PathBuf> = load.source.file.iter().cloned().collect();
        let export = &settings.export;
        let kafka = export.kafka().iter().filter_map(|kafka| kafka.tls.as_ref());
        let remote = export.remote_write().iter().map(|remote| &remote.tls);
        for tls in export.otlp().iter().map(|otlp| &otlp.tls).chain(remote).chain(kafka) {
            files.extend([&tls.ca, &tls.cert, &tls.key].into_iter().flatten().cloned());
        }
        files.extend(settings.server.tls.iter().flat_map(|t| [t.cert.clone(), t.key.clone()]));
        files.extend(settings.server.auth.iter().map(|a| a.token_file.clone()));
        if let Some(otlp) = &settings.receive.otlp {
            files.extend(otlp.tls.iter().flat_map(|t| [t.cert.clone(), t.key.clone()]));
            files.extend(otlp.auth.iter().map(|a| a.token_file.clone()));
        }
        self.stamps = files.iter().map(stamp).collect();
        self.files = files;
    }

    /// Comes back when settings are to be read again; says why.
    pub(crate) async fn due(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    self.stamps = self.files.iter().map(stamp).collect();
                    return "SIGHUP";
                }
                // Without a file there is nothing to wake up for.
                _ = self.looks.tick(), if !self.files.is_empty() => {}
            }
            let stamps: Vec<Stamp> = self.files.iter().map(stamp).collect();
            if stamps != self.stamps {
                // A file that is being replaced may be away for a moment, or half written.
                tokio::time::sleep(LOOK / 5).await;
                self.stamps = self.files.iter().map(stamp).collect();
                return "a file changed";
            }
        }
    }
}

fn stamp(path: &PathBuf) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}
