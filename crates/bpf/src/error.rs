/// What kept the kernel half from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libbpf or the kernel refused.
    #[error("{what}: {source}")]
    Libbpf {
        /// What was tried.
        what: &'static str,
        /// What it answered.
        source: libbpf_rs::Error,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What it answered.
        source: std::io::Error,
    },
}

pub(crate) trait Context<T> {
    fn context(self, what: &'static str) -> Result<T, Error>;
}

impl<T> Context<T> for Result<T, libbpf_rs::Error> {
    fn context(self, what: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Libbpf { what, source })
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, what: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Io { what, source })
    }
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn context(self, what: &'static str) -> Result<T, Error> {
        self.map_err(|e| Error::Io { what, source: e.into() })
    }
}
