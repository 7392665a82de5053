use std::fmt;

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Process id (thread group id) in the host's pid namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub start: u64,
}

impl fmt::Display for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.pid, self.start)
    }
}

/// What runs a piece of work: a thread today; a goroutine, task or virtual thread on it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecKey {
    /// The process.
    pub process: ProcessKey,
    /// Thread id in the host's pid namespace.
    pub thread: u32,
    /// Goroutine, asyncio task or virtual thread; 0 for a plain thread.
    pub context: u64,
}
