//! Old files: numbered, compressed, and only so many of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::NO_LINK;
use crate::Compression;

/// What old files may end with beside their number.
const ENDINGS: [&str; 3] = ["", ".gz", ".zst"];

/// The files that were begun before the one that is written to.
#[derive(Debug)]
pub(super) struct Old {
    /// The file that is written to.
    pub(super) path: PathBuf,
    pub(super) keep: u32,
    pub(super) compression: Compression,
}

impl Old {
    /// `PATH` becomes `PATH.1`, `PATH.1` becomes `PATH.2` and so on; what would become older than `keep` is removed.
    pub(super) fn add(&self) -> io::Result<()> {
        if self.keep == 0 {
            return fs::remove_file(&self.path);
        }
        // Files that are there are moved, from the first gap downwards.
        let gap = (1..=self.keep).find(|n| self.there(*n).is_empty());
        if gap.is_none() {
            for (file, _) in self.there(self.keep) {
                fs::remove_file(file)?;
            }
        }
        for n in (1..gap.unwrap_or(self.keep)).rev() {
            for (file, ending) in self.there(n) {
                fs::rename(file, self.numbered(n + 1, ending))?;
            }
        }
        let newest = self.numbered(1, "");
        fs::rename(&self.path, &newest)?;
        if let Err(error) = self.compress(newest) {
            // It is whole as it is.
            tracing::warn!(path = %self.path.display(), %error, "an old file stays as it is: it cannot be compressed");
        }
        Ok(())
    }

    /// Whole, or not at all: a crash meanwhile leaves the plain file.
    fn compress(&self, plain: PathBuf) -> io::Result<()> {
        let ending = match self.compression {
            Compression::None => return Ok(()),
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        };
        let unfinished = self.numbered(1, ".unfinished");
        let mut from = File::open(&plain)?;
        let to = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(NO_LINK)
            .open(&unfinished)?;
        let done = match self.compression {
            Compression::Zstd => zstd::stream::copy_encode(&mut from, to, 1),
            _ => {
                let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::new(1));
                io::copy(&mut from, &mut encoder).and_then(|_| encoder.finish()?.flush())
            }
        };
        if let Err(error) = done {
            let _best_effort = fs::remove_file(&unfinished);
            return Err(error);
        }
        fs::rename(&unfinished, self.numbered(1, ending))?;
        fs::remove_file(plain)
    }

    fn there(&self, n: u32) -> Vec<(PathBuf, &'static str)> {
        let files = ENDINGS.map(|ending| (self.numbered(n, ending), ending));
        files.into_iter().filter(|(file, _)| file.symlink_metadata().is_ok()).collect()
    }

    pub(super) fn numbered(&self, n: u32, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{n}{ending}"));
        PathBuf::from(name)
    }
}
