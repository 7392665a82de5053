//! Calls that got no parent, counted per service instance and reason.

use std::sync::{Arc, Mutex, PoisonError};

use telegen_model::{KeyValue, Resource, ResourceGroup, Scope};
use telegen_pipeline::{MetricSource, Reader};

use crate::sums::{Name, Sums};
use crate::tree::Reason;

const NAME: Name = Name {
    name: "telegen.spans.unlinked",
    unit: "{span}",
    description: "Calls of a server that could not be linked to the request that they were made for.",
};

/// Shared between the thread that counts and the readers.
#[derive(Clone)]
pub struct Unlinked {
    sums: Arc<Mutex<Sums<Reason>>>,
    scope: Scope,
}

impl Unlinked {
    /// Nothing counted yet.
    pub fn new(scope: Scope) -> Unlinked {
        Unlinked { sums: Arc::new(Mutex::new(Sums::new())), scope }
    }

    pub(crate) fn add(&self, resource: &Arc<Resource>, reason: Reason, now: u64) {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).add(resource, reason, 1, now);
    }
}

impl MetricSource for Unlinked {
    fn collect(&self, reader: Reader, now_unix_ns: u64) -> Vec<ResourceGroup> {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.collect(&NAME, &self.scope, (reader, now_unix_ns), |reason| {
            vec![KeyValue::new("telegen.reason", reason.name())]
        })
    }
}
