//! Admission: a source that can wait asks before it takes something in.

use std::sync::Arc;

use crate::exporter::Exporter;

/// Why something was not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A queue is full: it may fit later.
    #[error("the queue of exporter `{0}` is full")]
    Full(String),
    /// It is larger than a queue: it will never fit.
    #[error("it is larger than the queue of exporter `{0}`")]
    TooLarge(String),
    /// The program is ending.
    #[error("the program is ending")]
    Ended,
}

/// Room in the queues, kept until this is dropped: when what it was for has reached them.
#[derive(Default)]
pub struct Reservation {
    exporters: Vec<Arc<Exporter>>,
    bytes: usize,
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reservation({} bytes)", self.bytes)
    }
}

impl Reservation {
    /// Asks every exporter; all of them have room, or none is asked to keep any.
    pub(crate) fn of(exporters: Vec<Arc<Exporter>>, bytes: usize) -> Result<Reservation, Refused> {
        let mut kept = Reservation { exporters: Vec::with_capacity(exporters.len()), bytes };
        for exporter in exporters {
            if exporter.bound().is_some_and(|bound| bytes > bound) {
                return Err(Refused::TooLarge(exporter.name.clone()));
            }
            if !exporter.reserve(bytes) {
                exporter.tell_health(true);
                return Err(Refused::Full(exporter.name.clone()));
            }
            kept.exporters.push(exporter);
        }
        Ok(kept)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.exporters.iter().for_each(|e| e.unreserve(self.bytes));
    }
}
