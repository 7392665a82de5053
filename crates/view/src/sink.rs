use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use telegen_model::Signal;
use telegen_pipeline::{Batch, BoxFuture, Outcome, SignalSet, Sink};

use crate::View;

impl Sink for View {
    fn name(&self) -> &str {
        "view"
    }

    fn signals(&self) -> SignalSet {
        SignalSet::of(&[Signal::Traces])
    }

    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            self.spans(&batch.groups, unix_now());
            Outcome::Delivered
        })
    }
}

/// The time, ns since 1970.
pub(crate) fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
