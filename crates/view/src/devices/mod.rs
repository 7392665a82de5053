//! Network devices as their metrics and logs tell of them: interfaces with rates, sensors, neighbours, notifications.

mod api;
mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use telegen_model::Signal;
use telegen_pipeline::{Batch, BoxFuture, Outcome, SignalSet, Sink};

use crate::View;
use store::Store;

/// What the page remembers of network devices. Clones share one state.
#[derive(Clone)]
pub struct DeviceView {
    store: Arc<Mutex<Store>>,
    view: View,
}

impl DeviceView {
    /// Beside a view, whose status its answers carry too.
    pub fn new(view: &View) -> DeviceView {
        DeviceView { store: Arc::default(), view: view.clone() }
    }

    /// `/api/v1/view/device`.
    pub fn api(&self) -> Router {
        api::router(self.clone())
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for DeviceView {
    fn name(&self) -> &str {
        "view of devices"
    }

    fn signals(&self) -> SignalSet {
        SignalSet::of(&[Signal::Metrics, Signal::Logs])
    }

    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let mut store = self.store();
            batch.groups.iter().for_each(|group| store.take(group));
            Outcome::Delivered
        })
    }
}
