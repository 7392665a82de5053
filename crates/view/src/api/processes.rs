//! Which processes were found, which are watched, and why others are not.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Ask, Wrong};
use super::filter::{Filter, Row};
use crate::Inner;
use crate::sink::unix_now;
use crate::watched::Watched;

/// Lines of one answer, unless `limit` says otherwise, and at most.
const LINES: usize = 50;
const LINES_MAX: usize = 200;

const COLS: [&str; 12] = [
    "pid",
    "exe",
    "service",
    "namespace",
    "named_by",
    "runtime",
    "ports",
    "container",
    "selected",
    "rule",
    "exports_own",
    "over_budget_since",
];

pub(super) fn row(w: &Watched) -> Value {
    json!([
        w.pid,
        w.exe,
        w.service,
        w.namespace,
        w.named_by,
        w.runtime,
        w.ports,
        w.container,
        w.selected,
        w.rule,
        w.exports_own,
        w.over_budget_since.map(super::answer::ms),
    ])
}

impl Row for Watched {
    fn contains(&self, word: &str) -> bool {
        [&self.exe, &self.service, &self.namespace, &self.container]
            .iter()
            .any(|t| t.to_lowercase().contains(word))
            || self.pid.to_string() == word
    }

    fn text(&self, key: &str, value: &str) -> Option<bool> {
        let yes = matches!(value, "true" | "yes" | "1");
        match key {
            "service" => Some(self.service.to_lowercase().contains(value)),
            "exe" => Some(self.exe.to_lowercase().contains(value)),
            "container" => Some(self.container.to_lowercase().contains(value)),
            "rule" => Some(self.rule.as_ref().is_some_and(|r| r.contains(value))),
            "port" => Some(self.ports.iter().any(|p| p.to_string() == value)),
            "watched" => Some(self.selected == yes),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<Option<f64>> {
        (key == "pid").then(|| Some(f64::from(self.pid)))
    }
}

pub(super) async fn processes(State(inner): State<Arc<Inner>>, ask: Ask) -> Result<Response, Wrong> {
    let filter = Filter::parse(ask.text("q").unwrap_or(""))?;
    let offset = ask.number("offset")?.unwrap_or(0);
    let limit = ask.number("limit")?.unwrap_or(LINES).min(LINES_MAX);
    let list = inner.watched();
    let mut found = Vec::new();
    for one in &list.processes {
        if filter.passes(one)? {
            found.push(one);
        }
    }
    let answer = json!({
        "known": list.known,
        "total": list.processes.len() + list.refused,
        "watched": list.processes.iter().filter(|w| w.selected).count(),
        "refused": list.refused,
        "matching": found.len(),
        "cols": COLS,
        "rows": found.into_iter().skip(offset).take(limit).map(row).collect::<Vec<_>>(),
    });
    Ok(ask.json(&super::with_status(&inner, unix_now(), answer)))
}
