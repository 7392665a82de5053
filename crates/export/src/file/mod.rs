//! A file of OTLP/JSON: one export request a line, whole lines only, rotated by size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use telegen_pipeline::{Batch, BoxFuture, Outcome, SignalSet, Sink};
use tokio::sync::Mutex;

use crate::{ExportError, FileConfig};

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
    keep: u32,
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
        let (path, max_size, keep) = (config.path.clone(), config.max_size, config.keep);
        let out = Arc::new(Mutex::new(Output { path, max_size, keep, open: Some(open) }));
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
            self.rotate()?;
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

    /// `PATH.1` becomes `PATH.2` and so on; what would become older than `keep` is overwritten.
    fn rotate(&self) -> io::Result<()> {
        if self.keep == 0 {
            return fs::remove_file(&self.path);
        }
        let mut newest_free = self.keep;
        // Files that are there are moved, from the first gap downwards.
        for n in 1..=self.keep {
            if !self.numbered(n).exists() {
                newest_free = n;
                break;
            }
        }
        for n in (1..newest_free).rev() {
            fs::rename(self.numbered(n), self.numbered(n + 1))?;
        }
        fs::rename(&self.path, self.numbered(1))
    }

    fn numbered(&self, n: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    }
}

impl Open {
    /// Opens for appending; a last line that a crash left unfinished is ended, so that ours stays whole.
    fn at(path: &Path) -> io::Result<Open> {
        let mut file = OpenOptions::new().append(true).read(true).create(true).mode(0o600).open(path)?;
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
        match (self.file.metadata(), fs::metadata(path)) {
            (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
