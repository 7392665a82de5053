use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::OpenError;

/// A folder that no second queue opens while this lives.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Makes the folder if it is not there (mode 0700, its parents too), and locks it.
    pub fn acquire(folder: &Path) -> Result<Lock, OpenError> {
        make(folder)?;
        let path = folder.join("lock");
        let file = private().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(OpenError::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it locked while a child between fork and exec has the file too.
        let _closed_anyway = self.file.unlock();
    }
}

/// Makes a folder for the owner alone; one that is there must be a folder of this user, and no link.
pub(crate) fn make(folder: &Path) -> Result<(), OpenError> {
    let wrong = |reason: &str| OpenError::Folder { path: folder.to_owned(), reason: reason.to_owned() };
    let missing = |f: &&Path| !f.as_os_str().is_empty() && fs::symlink_metadata(f).is_err();
    let made: Vec<&Path> = folder.ancestors().take_while(missing).collect();
    match DirBuilder::new().mode(0o700).recursive(true).create(folder) {
        Ok(()) => {
            // What is synced in a folder is found again only if the folder's own name is durable.
            for parent in made.iter().filter_map(|f| f.parent()) {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                // One that may not be read cannot be synced: that is no reason not to start.
                let _best_effort = sync(parent);
            }
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(OpenError::Io { path: folder.to_owned(), source }),
    }
    let there = fs::symlink_metadata(folder).map_err(OpenError::io(folder))?;
    if there.file_type().is_symlink() {
        return Err(wrong("is a symbolic link"));
    }
    if !there.is_dir() {
        return Err(wrong("is no folder"));
    }
    if there.uid() != rustix::process::geteuid().as_raw() {
        return Err(wrong("belongs to another user"));
    }
    Ok(())
}

/// Options for files of a queue: mode 0600, and no link is followed.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// Makes names durable: what was created, renamed or removed in a folder.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
