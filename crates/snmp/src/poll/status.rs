use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// How a device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// Not polled yet.
    #[default]
    Unknown,
    /// The last poll brought everything.
    Up,
    /// The last poll brought part.
    Degraded,
    /// It does not answer, or refuses.
    Down,
}

/// A device as `/api/v1/devices` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeviceStatus {
    /// The target's name.
    pub name: String,
    /// `HOST:PORT`
    pub address: String,
    /// How it is.
    pub state: DeviceState,
    /// Name of its profile, once known.
    pub profile: Option<String>,
    /// Why it is not up, or why a subtree is missing.
    pub last_error: Option<String>,
    /// End of the last poll, RFC 3339.
    pub last_poll: Option<String>,
    /// Usual time of an answer.
    pub rtt_ms: Option<f64>,
    /// Number of interfaces.
    pub interfaces: usize,
    /// Vendor, where known.
    pub vendor: Option<String>,
    /// Model, where known.
    pub model: Option<String>,
}

/// All devices as they stand; shared between the poller and who shows them.
#[derive(Clone, Debug, Default)]
pub struct Devices(Arc<Mutex<BTreeMap<String, DeviceStatus>>>);

impl Devices {
    /// Sorted by name.
    pub fn all(&self) -> Vec<DeviceStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn set(&self, status: DeviceStatus) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(status.name.clone(), status);
    }

    pub(crate) fn remove(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// ns since 1970 as RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since 1970-01-01 (Howard Hinnant's algorithm, eras of 400 years).
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    let millis = ns / 1_000_000 % 1000;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_000_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_623_845_678_000_000), "2026-11-25T16:24:05.678Z");
    }
}
