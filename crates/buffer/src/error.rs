use std::io;
use std::path::PathBuf;

/// Why a queue could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or this one, has it open.
    #[error("the queue folder {0} is held by another process")]
    InUse(PathBuf),
    /// The path is a link, no folder, or belongs to someone else.
    #[error("{path}: {reason}")]
    Folder {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> OpenError {
        let path = path.into();
        move |source| OpenError::Io { path, source }
    }
}

/// Why a record was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// No space, no quota, or the largest file of the file system is reached: as good as a full queue.
    #[error("no space: {0}")]
    Full(io::Error),
    /// Longer than a record can be ([`crate::Queue::MAX_RECORD`]).
    #[error("a record of {0} bytes is too long")]
    TooLong(usize),
    /// The system refused.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for AppendError {
    fn from(e: io::Error) -> AppendError {
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                AppendError::Full(e)
            }
            _ => AppendError::Io(e),
        }
    }
}
