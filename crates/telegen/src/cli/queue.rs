//! `telegen queue`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use telegen_buffer::{Inspected, inspect};

use super::{FAILED, answer, complain};

/// Folders below the one that was named that are looked at: exporter, then signal.
const DEPTH: usize = 2;

#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// Shows what waits in queues on disk: segments, ages, records, damage. Changes nothing; a running Telegen is not
    /// disturbed.
    Inspect {
        /// Folder of a queue, or one that holds queues.
        dir: PathBuf,
    },
}

pub(super) fn run(command: QueueCommand) -> u8 {
    let QueueCommand::Inspect { dir } = command;
    let mut queues = Vec::new();
    if let Err(error) = std::fs::read_dir(&dir) {
        complain(&format!("telegen queue: {}: {error}", dir.display()));
        return FAILED;
    }
    if let Err(error) = collect(&dir, DEPTH, &mut queues) {
        complain(&format!("telegen queue: {error}"));
        return FAILED;
    }
    if queues.is_empty() {
        complain(&format!("telegen queue: {}: no queue here", dir.display()));
        return FAILED;
    }
    let now = Duration::from_nanos(telegen_sys::unix_ns());
    let text: String = queues.iter().map(|q| table(q, &dir, now)).collect();
    answer(&text)
}

fn collect(dir: &Path, depth: usize, out: &mut Vec<Inspected>) -> Result<(), telegen_buffer::OpenError> {
    if dir.join("progress").exists() || dir.join("tail").exists() {
        out.push(inspect(dir)?);
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    let mut below: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_dir())
        .collect();
    below.sort();
    below.iter().try_for_each(|dir| collect(dir, depth - 1, out))
}

fn table(queue: &Inspected, from: &Path, now: Duration) -> String {
    let name = queue.folder.strip_prefix(from).unwrap_or(&queue.folder).display().to_string();
    let name = if name.is_empty() { queue.folder.display().to_string() } else { name };
    let bytes: u64 = queue.segments.iter().map(|s| s.bytes).sum();
    let mut out = format!(
        "{name}: {} segments, {bytes} bytes, {} records waiting ({} items)\n",
        queue.segments.len(),
        queue.waiting_records,
        queue.waiting_items
    );
    if let Some(what) = &queue.progress_damage {
        let _ = writeln!(out, "  progress: {what}: everything is sent again");
    }
    if !queue.segments.is_empty() {
        let _ = writeln!(
            out,
            "  {:50} {:6} {:>9} {:>11} {:>8} {:>8} {:>8}  DAMAGE",
            "SEGMENT", "STATE", "AGE", "BYTES", "RECORDS", "TAKEN", "ITEMS"
        );
    }
    for s in &queue.segments {
        let damage = match &s.damage {
            Some((what, items)) => format!("{what} ({items} items behind it)"),
            None => "none".to_owned(),
        };
        let state = if s.sealed { "sealed" } else { "open" };
        let age = match s.created_unix_ns {
            0 => "?".to_owned(),
            at => format!("{}s", now.saturating_sub(Duration::from_nanos(at)).as_secs()),
        };
        let _ = writeln!(
            out,
            "  {:50} {state:6} {age:>9} {:>11} {:>8} {:>8} {:>8}  {damage}",
            s.name, s.bytes, s.records, s.taken, s.items
        );
    }
    for (file, bytes) in &queue.set_aside {
        let _ = writeln!(out, "  set aside as damaged: {file}, {bytes} bytes");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use telegen_buffer::{Options, Queue};

    #[test]
    fn segments_ages_counts_and_damage_are_shown() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("otlp/logs");
        let (queue, _) = Queue::open(&folder, Options { segment_bytes: 200 }).unwrap();
        for _ in 0..5 {
            queue.append(b"head", &[7; 60], 3).unwrap();
        }
        let mut found = Vec::new();
        collect(dir.path(), DEPTH, &mut found).unwrap();
        let text = table(&found[0], dir.path(), Duration::from_nanos(telegen_sys::unix_ns()));
        assert!(
            text.starts_with("otlp/logs: 5 segments, 640 bytes, 5 records waiting (15 items)\n"),
            "{text}"
        );
        assert_eq!(text.matches(" sealed ").count(), 4, "{text}");
        assert_eq!(text.matches("  none\n").count(), 5, "{text}");
        let file = folder.join(&found[0].segments[1].name);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[90] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let text = table(&inspect(&folder).unwrap(), dir.path(), Duration::ZERO);
        assert!(text.contains("record 0 at byte 32 is cut or damaged (3 items behind it)"), "{text}");
    }
}
