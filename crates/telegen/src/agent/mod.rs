//! The agent, assembled.

use telegen_selfmon::{BuildInfo, FeatureState, SelfMon};

use crate::settings::{Load, Settings, Unbuilt, unbuilt};

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(load: Load) -> anyhow::Result<()> {
    let monitor = SelfMon::new(BuildInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: env!("TELEGEN_COMMIT").into(),
        target: env!("TELEGEN_TARGET").into(),
    });
    for section in unbuilt(&load) {
        monitor.features.off(section.feature, Unbuilt::REASON, section.remedy());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async { tokio::signal::ctrl_c().await })?;
    Ok(())
}

/// What the kernel and the machine allow.
pub(crate) fn probe(_settings: &Settings) -> Vec<FeatureState> {
    Vec::new()
}
