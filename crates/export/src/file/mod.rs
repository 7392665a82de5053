//! A file of OTLP/JSON: one export request a line, whole lines only, rotated by size, old ones compressed.

mod old;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use telegen_pipeline::{Batch, BoxFuture, Outcome, SignalSet, Sink};
use tokio::sync::Mutex;

use crate::{ExportError, FileConfig};
use old::Old;

/// A link in the place of the file is refused: who may write to its folder must not choose what Telegen writes to.
const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// The file exporter.
#[derive(Debug)]
pub struct FileSink {
    name: String,
    signals: SignalSet,
    out: Arc<Mutex<Output>>,
}

#[derive(Debug)]
struct Output {
    path: PathBuf,
    max_size: u64,
    old: Old,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
}

impl FileSink {
    /// Opens the file, which is made with mode 0600 if it is not there.
    pub fn new(config: &FileConfig) -> Result<FileSink, ExportError> {
        let open = Open::at(&config.path)
            .map_err(|source| ExportError::File { path: config.path.clone(), source })?;
        let (path, max_size) = (config.path.clone(), config.max_size);
        let old = Old { path: path.clone(), keep: config.keep, compression: config.compression };
        let out = Arc::new(Mutex::new(Output { path, max_size, old, open: Some(open) }));
        Ok(FileSink { name: config.name.clone(), signals: config.signals, out })
    }
}

impl Sink for FileSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn signals(&self) -> SignalSet {
        self.signals
    }

    fn takes_raw(&self) -> bool {
        true
    }

    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome> {
        let out = self.out.clone();
        Box::pin(async move {
            // One thread waits for a disk that hangs, however many signals there are.
            let mut out = out.lock_owned().await;
            let written = tokio::task::spawn_blocking(move || {
                let line = batch.encoded_json();
                out.write(line).map_err(|e| (out.path.clone(), e))
            });
            match written.await {
                Ok(Ok(())) => Outcome::Delivered,
                Ok(Err((path, error))) => {
                    let exporter = self.name.as_str();
                    tracing::warn!(exporter, path = %path.display(), %error, "cannot write; will try again");
                    Outcome::Retry { after: None }
                }
                Err(_) => Outcome::Retry { after: None },
            }
        })
    }
}

impl Output {
    /// Appends one line, all of it or nothing.
    fn write(&mut self, json: &[u8]) -> io::Result<()> {
        let length = json.len() as u64 + 1;
        if self.open.as_ref().is_some_and(|open| !open.is_at(&self.path)) {
            self.open = None;
        }
        let full = |open: &Open| open.size > 0 && open.size + length > self.max_size;
        if self.open.as_ref().is_some_and(full) {
            self.open = None;
            self.old.add()?;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::at(&self.path)?,
        };
        let result = open.file.write_all(json).and_then(|()| open.file.write_all(b"\n"));
        if result.is_ok() {
            open.size += length;
        }
        // What a full disk took of the line is cut off again; if that fails too, opening anew mends it.
        if result.is_ok() || open.file.set_len(open.size).is_ok() {
            self.open = Some(open);
        }
        result
    }
}

impl Open {
    /// Opens for appending; a last line that a crash left unfinished is ended, so that ours stays whole.
    fn at(path: &Path) -> io::Result<Open> {
        let mut file = OpenOptions::new()
            .append(true)
            .read(true)
            .create(true)
            .mode(0o600)
            .custom_flags(NO_LINK)
            .open(path)?;
        let mut size = file.metadata()?.len();
        if size > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                size += 1;
            }
        }
        Ok(Open { file, size })
    }

    /// Whether the path still names this file: another program may have moved or removed it.
    fn is_at(&self, path: &Path) -> bool {
        match (self.file.metadata(), fs::symlink_metadata(path)) {
            (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
