//! `telegen doctor`: which features work here, and of the others why not and what to do. Needs no running agent.

use std::fmt::Write;

use telegen_selfmon::FeatureState;

use crate::cli::{DONE, FAILED, USAGE, answer, complain};
use crate::settings::{Load, Unbuilt, unbuilt};

/// Probes and prints; the exit code is 0 when everything wanted works.
pub(crate) fn run(load: &Load, json: bool) -> u8 {
    for line in &load.ignored {
        complain(line);
    }
    let unbuilt = unbuilt(load);
    let mut states = crate::agent::probe(&load.loaded.settings);
    let wanted_works = states.iter().all(|s| s.enabled) && unbuilt.iter().all(|u| !u.wanted);
    states.extend(unbuilt.iter().map(|u| FeatureState {
        name: u.feature,
        enabled: false,
        reason: Unbuilt::REASON.to_owned(),
        remedy: u.remedy(),
    }));
    states.sort_by_key(|s| s.name);
    let text = if json {
        match serde_json::to_string_pretty(&states) {
            Ok(text) => text + "\n",
            Err(e) => {
                complain(&format!("telegen doctor: {e}"));
                return USAGE;
            }
        }
    } else {
        table(&states)
    };
    match answer(&text) {
        DONE if wanted_works => DONE,
        _ => FAILED,
    }
}

fn table(states: &[FeatureState]) -> String {
    let width = states.iter().map(|s| s.name.len()).max().unwrap_or(0).max("FEATURE".len());
    let mut out = format!("{:width$}  STATE  REASON\n", "FEATURE");
    for state in states {
        let word = if state.enabled { "on" } else { "off" };
        let line = format!("{:width$}  {word:5}  {}", state.name, state.reason);
        let _ = writeln!(out, "{}", line.trim_end());
        if !state.enabled && !state.remedy.is_empty() {
            let _ = writeln!(out, "{:width$}         remedy: {}", "", state.remedy);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_is_listed_with_reason_and_remedy() {
        let state = |name, enabled, reason: &str, remedy: &str| FeatureState {
            name,
            enabled,
            reason: reason.to_owned(),
            remedy: remedy.to_owned(),
        };
        let states =
            [state("server", true, "", ""), state("traces", false, "CAP_BPF is missing", "run as root")];
        assert_eq!(
            table(&states),
            "FEATURE  STATE  REASON\n\
             server   on\n\
             traces   off    CAP_BPF is missing\n                remedy: run as root\n"
        );
    }
}
