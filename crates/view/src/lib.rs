//! The embedded store, its API and the web page. Knows OTLP records, features and the ledger, never a source.
//!
//! [`View`] is a sink for spans, is given a reading of all metrics every few seconds ([`View::metrics`]), and hands the
//! server two routers: [`View::api`] with data, [`View::shell`] with the page, which holds none. Nothing it remembers
//! leaves the machine, and all of it is bounded by [`settings::ViewSettings::memory`].

mod api;
mod assets;
mod devices;
pub mod settings;
mod sink;
mod store;
mod watched;

use std::borrow::Borrow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use telegen_model::ResourceGroup;
use telegen_selfmon::SelfMon;

use store::Store;

pub use devices::DeviceView;
pub use watched::Watched;

/// What the page says about the program and the machine.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Name of the host.
    pub host: String,
    /// Configuration file, or empty.
    pub config: String,
    /// What is watched or polled: `agent` or `collector`.
    pub mode: String,
}

/// The page and what it remembers. Clones share one state.
#[derive(Clone, Debug)]
pub struct View {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) monitor: SelfMon,
    pub(crate) about: About,
    watched: Mutex<watched::List>,
}

impl Inner {
    pub(crate) fn watched(&self) -> MutexGuard<'_, watched::List> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// A view that remembers at most `memory` bytes.
    pub fn new(memory: usize, monitor: &SelfMon, about: About) -> View {
        let store = Store::new(memory, sink::unix_now());
        View { inner: Arc::new(Inner { store, monitor: monitor.clone(), about, watched: Mutex::default() }) }
    }

    /// Takes one reading of all metrics: cumulative, as a scrape would see them. To be called every 2 to 5 s.
    ///
    /// Read are `http.server.request.duration`, `http.client.request.duration`, `telegen.traffic.unread` (By) with
    /// `telegen.protocol` and `telegen.reason`, `telegen.spans.unlinked` with `telegen.reason`, and of the service graph
    /// `traces_service_graph_request_{client,server}_seconds` and `traces_service_graph_request_failed_total` with
    /// `client` and `server`.
    pub fn metrics(&self, groups: &[ResourceGroup], now_unix_ns: u64) {
        self.inner.store.metrics(groups, now_unix_ns);
    }

    /// Takes spans; ordinary ones may be passed over when there are many.
    pub fn spans<G: Borrow<ResourceGroup>>(&self, groups: &[G], now_unix_ns: u64) {
        self.inner.store.spans(groups, now_unix_ns);
    }

    /// Takes a whole new list of the processes that are known, watched or not. To be called every few seconds.
    pub fn watched(&self, processes: Vec<Watched>) {
        self.inner.watched().take(processes);
    }

    /// `/api/v1/{services,traces,features,ledger}` and `/api/v1/view/...`.
    pub fn api(&self) -> Router {
        api::router(self.inner.clone())
    }

    /// `/`, its assets and its icon.
    pub fn shell(&self) -> Router {
        assets::router()
    }
}
