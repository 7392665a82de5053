//! Random trace and span ids.

use telegen_model::{SpanId, TraceId};

/// A generator of ids, seeded by the operating system; one a thread.
pub(crate) struct Ids(fastrand::Rng);

impl Ids {
    pub(crate) fn new() -> Ids {
        Ids(fastrand::Rng::new())
    }

    pub(crate) fn trace(&mut self) -> TraceId {
        loop {
            let id = TraceId(self.0.u128(..).to_be_bytes());
            if id.is_valid() {
                return id;
            }
        }
    }

    pub(crate) fn span(&mut self) -> SpanId {
        SpanId(self.0.u64(1..).to_be_bytes())
    }
}
