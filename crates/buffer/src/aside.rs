//! Where damaged segments go: kept for who wants to look, within bounds.

use std::fs;
use std::io;
use std::path::Path;

use crate::folder;

/// Files kept at most; the oldest go first.
const MAX_FILES: usize = 4;

/// Moves a segment away; `keep` bytes stay there at most. When that cannot be, it is removed: a queue goes on.
pub(crate) fn whole(dir: &Path, name: &str, keep: u64) {
    let to = dir.join("damaged");
    let from = dir.join(name);
    let moved = folder::make(&to).is_ok() && fs::rename(&from, to.join(name)).is_ok();
    if !moved {
        let _gone = fs::remove_file(&from);
    }
    bound(&to, keep);
}

/// Keeps a copy of the end of a segment that is cut.
pub(crate) fn rest(dir: &Path, name: &str, bytes: &[u8], keep: u64) {
    let to = dir.join("damaged");
    let path = to.join(format!("{name}.rest"));
    let write = || -> io::Result<()> {
        use std::io::Write;
        folder::make(&to).map_err(io::Error::other)?;
        folder::private().create(true).truncate(true).write(true).open(&path)?.write_all(bytes)
    };
    if write().is_err() {
        let _half = fs::remove_file(&path);
    }
    bound(&to, keep);
}

/// Bytes that damaged segments take.
pub(crate) fn bytes(dir: &Path) -> u64 {
    list(&dir.join("damaged")).iter().map(|(_, bytes)| bytes).sum()
}

/// The damaged files by name, with their length.
pub(crate) fn list(damaged: &Path) -> Vec<(String, u64)> {
    let Ok(entries) = fs::read_dir(damaged) else { return Vec::new() };
    let mut out: Vec<(String, u64)> = entries
        .flatten()
        .filter_map(|e| Some((e.file_name().into_string().ok()?, e.metadata().ok()?.len())))
        .collect();
    out.sort();
    out
}

fn bound(damaged: &Path, keep: u64) {
    let files = list(damaged);
    let (mut count, mut bytes) = (files.len(), files.iter().map(|(_, b)| b).sum::<u64>());
    for (name, length) in files {
        if count <= MAX_FILES && bytes <= keep {
            return;
        }
        let _gone = fs::remove_file(damaged.join(name));
        count -= 1;
        bytes -= length;
    }
}
