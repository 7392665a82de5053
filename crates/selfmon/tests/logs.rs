//! Log lines as a process writes them: each test runs itself once more as the process that logs.
#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::process::Command;

use telegen_selfmon::logs::{self, LogFormat, LogLevel, NOTICE};

/// Runs `test` of this file as a child that logs in a format, and returns its log lines.
fn lines_of(test: &str, format: &str) -> Vec<String> {
    let exe = std::env::current_exe().unwrap();
    let child =
        Command::new(exe).args(["--exact", test, "--nocapture"]).env("LOG_FORMAT", format).output().unwrap();
    assert!(child.status.success());
    String::from_utf8(child.stderr).unwrap().lines().map(str::to_string).collect()
}

/// The format, if this process is the child.
fn as_child(level: LogLevel) -> bool {
    let format = match std::env::var("LOG_FORMAT").as_deref() {
        Ok("json") => LogFormat::Json,
        Ok(_) => LogFormat::Text,
        Err(_) => return false,
    };
    logs::init_logs(level, format).unwrap();
    true
}

/// A line without its time.
fn untimed(line: &str) -> &str {
    line.split_once(' ').unwrap().1
}

#[test]
fn one_line_tells_that_start_up_is_complete_and_no_earlier_one_has_its_word() {
    if as_child(LogLevel::Error) {
        tracing::error!("already there, Ready or not");
        tracing::info!("not shown");
        logs::ready("127.0.0.1:19090");
        logs::ready("twice");
        tracing::error!("already");
        return;
    }
    let test = "one_line_tells_that_start_up_is_complete_and_no_earlier_one_has_its_word";
    let text = lines_of(test, "text");
    assert_eq!(
        text.iter().map(|l| untimed(l)).collect::<Vec<_>>(),
        [
            "ERROR logs: there, Rea-dy or not",
            "INFO telegen: ready event=ready listen=127.0.0.1:19090",
            "ERROR logs: already"
        ]
    );
    let json = lines_of(test, "json");
    assert_eq!(json.iter().position(|l| l.to_ascii_lowercase().contains("ready")), Some(1));
    assert!(json[1].contains(r#""event":"ready""#));
    let messages: Vec<_> = json
        .iter()
        .map(|l| {
            serde_json::from_str::<serde_json::Value>(l).unwrap()["message"].as_str().unwrap().to_string()
        })
        .collect();
    assert_eq!(messages, ["already there, Ready or not", "ready", "already"]);
}

#[test]
fn a_site_that_repeats_itself_is_held_back_and_notices_are_not() {
    if as_child(LogLevel::Debug) {
        for n in 0..30 {
            tracing::warn!(target: "telegen_test", n, "limited");
            tracing::warn!(target: NOTICE, "not limited");
            tracing::debug!(target: "telegen_test", "not limited either");
            tracing::debug!(target: "hyper", "of another crate, and too fine");
        }
        assert_eq!(logs::suppressed(), 20);
        return;
    }
    let lines = lines_of("a_site_that_repeats_itself_is_held_back_and_notices_are_not", "text");
    let count = |end: &str| lines.iter().filter(|l| untimed(l).starts_with(end)).count();
    assert_eq!(count("WARN telegen_test: limited n="), 10);
    assert_eq!(count("WARN telegen::notice: not limited"), 30);
    assert_eq!(count("DEBUG telegen_test: not limited either"), 30);
    assert_eq!(lines.len(), 70);
}

#[test]
fn a_level_can_change_while_the_program_runs_and_no_value_forges_a_line() {
    if as_child(LogLevel::Info) {
        let say =
            |n: u8| tracing::debug!(target: "telegen_test", path = "/a\nWARN telegen: forged", n, "seen");
        say(1);
        logs::set_level(LogLevel::Debug);
        say(2);
        logs::set_level(LogLevel::Error);
        say(3);
        return;
    }
    let test = "a_level_can_change_while_the_program_runs_and_no_value_forges_a_line";
    let lines = lines_of(test, "text");
    let lines: Vec<_> = lines.iter().map(|l| untimed(l)).collect();
    assert_eq!(lines, ["DEBUG telegen_test: seen path=\"/a\\nWARN telegen: forged\" n=2"]);
}
