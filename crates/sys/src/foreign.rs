use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// Reads at most `max` bytes of a file as another process sees it.
///
/// The path is resolved below the process's root and cannot leave it, neither by `..` nor by a link; magic links are
/// refused; only a regular file is read, and a FIFO in its place does not block. `None` for anything else.
pub fn read_foreign(pid: u32, path: &Path, max: u64) -> Option<Vec<u8>> {
    let root = File::open(format!("/proc/{pid}/root")).ok()?;
    let fd = openat2(
        &root,
        path.strip_prefix("/").unwrap_or(path),
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
    .ok()?;
    let file = File::from(fd);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_file_is_read_to_its_bound_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, b"0123456789").unwrap();
        let me = std::process::id();
        assert_eq!(read_foreign(me, &file, 4).unwrap(), b"0123");
        assert!(read_foreign(me, dir.path(), 4).is_none());
        assert!(read_foreign(me, Path::new("/dev/zero"), 4).is_none());
        assert!(read_foreign(me, Path::new("/proc/self/fd/0"), 4).is_none());
    }
}
