use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Why the program is not well, by component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The part of the program, such as `server` or `export:otlp`.
    pub component: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The answer to a health question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// Whether all is well: 200, else 503.
    pub ok: bool,
    /// What is not; empty when `ok`.
    pub reasons: Vec<Problem>,
}

/// What `/healthz` and `/readyz` answer. Clones share one state; a new one is "starting".
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    stopping: bool,
    /// A restart would help.
    broken: BTreeMap<String, String>,
    /// It passes without one.
    refusing: BTreeMap<String, String>,
}

impl Health {
    /// Start-up is complete.
    pub fn started(&self) {
        self.lock().started = true;
    }

    /// Shutdown has begun: no longer ready, still healthy.
    pub fn stopping(&self) {
        self.lock().stopping = true;
    }

    /// A part is broken and a restart would help: neither healthy nor ready.
    pub fn broken(&self, component: &str, reason: impl Into<String>) {
        self.lock().broken.insert(component.to_string(), reason.into());
    }

    /// A part refuses work for now: healthy, not ready.
    pub fn refusing(&self, component: &str, reason: impl Into<String>) {
        self.lock().refusing.insert(component.to_string(), reason.into());
    }

    /// A part is well again.
    pub fn well(&self, component: &str) {
        let mut state = self.lock();
        state.broken.remove(component);
        state.refusing.remove(component);
    }

    /// `/healthz`: not ok only when a restart would help.
    pub fn live(&self) -> HealthReport {
        report(problems(&self.lock().broken).collect())
    }

    /// `/readyz`: ok when started, not stopping, nothing broken and nothing refusing.
    pub fn ready(&self) -> HealthReport {
        let state = self.lock();
        let mut reasons: Vec<Problem> = problems(&state.broken).chain(problems(&state.refusing)).collect();
        let phase = match (state.started, state.stopping) {
            (_, true) => Some("stopping"),
            (false, _) => Some("starting"),
            _ => None,
        };
        reasons.extend(phase.map(|p| Problem { component: "telegen".to_string(), reason: p.to_string() }));
        report(reasons)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn problems(of: &BTreeMap<String, String>) -> impl Iterator<Item = Problem> {
    of.iter().map(|(c, r)| Problem { component: c.clone(), reason: r.clone() })
}

fn report(reasons: Vec<Problem>) -> HealthReport {
    HealthReport { ok: reasons.is_empty(), reasons }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(r: &HealthReport) -> Vec<String> {
        r.reasons.iter().map(|p| format!("{}: {}", p.component, p.reason)).collect()
    }

    #[test]
    fn only_what_a_restart_would_mend_makes_the_program_unhealthy() {
        let h = Health::default();
        assert_eq!((h.live().ok, said(&h.ready())), (true, vec!["telegen: starting".to_string()]));
        h.started();
        assert!(h.ready().ok);
        h.refusing("export:otlp", "queue is full");
        assert_eq!((h.live().ok, said(&h.ready())), (true, vec!["export:otlp: queue is full".to_string()]));
        h.broken("server", "listener ended");
        assert_eq!(said(&h.live()), ["server: listener ended"]);
        assert_eq!(h.ready().reasons.len(), 2);
        h.well("server");
        h.well("export:otlp");
        assert!(h.live().ok && h.ready().ok);
        h.stopping();
        assert_eq!((h.live().ok, said(&h.ready())), (true, vec!["telegen: stopping".to_string()]));
    }
}
