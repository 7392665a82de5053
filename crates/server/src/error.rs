use std::io;
use std::path::PathBuf;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// The address as configured.
        listen: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something that is no socket stands at the path, or a socket that someone answers on.
    #[error("cannot listen on unix:{path}: {reason}")]
    Occupied {
        /// The path.
        path: PathBuf,
        /// What is there.
        reason: &'static str,
    },
    /// The token cannot be used.
    #[error("{path}: {reason}")]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate or key cannot be used.
    #[error("{path}: {reason}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
