//! What is served on `server.listen`: health, `/metrics`, the ledger and features, and with the page its API.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::routing::get;
use axum::{Json, Router};
use telegen_model::{Resource, ResourceGroup};
use telegen_pipeline::{Pipeline, Sink, SinkConfig};
use telegen_selfmon::SelfMon;
use telegen_server::{Running, Server};
use telegen_sys::unix_ns;

use crate::settings::Settings;

/// The page before it is served: its sink goes into the pipeline, which it then reads.
pub(crate) struct Page {}

impl Page {
    pub(crate) fn new(_settings: &Settings, _mon: &SelfMon) -> Page {
        Page {}
    }

    /// The store of the page as a sink.
    pub(crate) fn sink(&self) -> Option<(Arc<dyn Sink>, SinkConfig)> {
        None
    }

    /// Starts to listen; gives where, and the handle to stop it.
    pub(crate) async fn serve(
        self,
        settings: &Settings,
        pipeline: &Pipeline,
        own: Arc<Resource>,
        mon: &SelfMon,
    ) -> anyhow::Result<Served> {
        let server = Server::new(settings.server.clone(), mon)
            .merge(metrics(settings, pipeline, own, mon))
            .merge(state(mon));
        let running = server.start().await.context("server")?;
        Ok(Served { running })
    }
}

/// `/metrics`: always Telegen's own, with telemetry where the settings ask for it.
fn metrics(settings: &Settings, pipeline: &Pipeline, own: Arc<Resource>, mon: &SelfMon) -> Router {
    let (pipeline, mon, telemetry) = (pipeline.clone(), mon.clone(), settings.export.scrape());
    telegen_export::prometheus::router(move || {
        let now = unix_ns();
        let mut groups: Vec<ResourceGroup> = vec![mon.group(&own, now)];
        if telemetry {
            groups.extend(pipeline.peek_metrics(now));
        }
        groups
    })
}

/// What needs no store: the ledger and the features.
fn state(mon: &SelfMon) -> Router {
    let (ledger, features) = (mon.ledger.clone(), mon.features.clone());
    Router::new()
        .route("/api/v1/ledger", get(move || std::future::ready(Json(ledger.snapshot()))))
        .route("/api/v1/features", get(move || std::future::ready(Json(features.snapshot()))))
}

/// The server at work, when there is one.
pub(crate) struct Served {
    running: Option<Running>,
}

impl Served {
    /// Where it listens, or `nowhere`.
    pub(crate) fn address(&self) -> &str {
        self.running.as_ref().map_or("nowhere", Running::address)
    }

    /// Finishes the answers under way.
    pub(crate) async fn stop(self) {
        if let Some(running) = self.running {
            running.stop(Duration::from_millis(500)).await;
        }
    }
}
