//! What is wrong with a configuration, and what the program prints.

use std::process::Command;

use crate::harness::TELEGEN;

fn telegen(args: &[&str]) -> (Option<i32>, String, String) {
    let out = Command::new(TELEGEN).args(args).output().unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn a_wrong_key_is_answered_with_its_place_and_the_nearest_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yaml");
    std::fs::write(&file, "agent:\n  traces:\n    enabld: true\n").unwrap();
    let file = file.to_str().unwrap();
    let (code, out, err) = telegen(&["config", "check", file]);
    assert_eq!(code, Some(2), "{out}{err}");
    let all = out + &err;
    assert!(
        all.contains(&format!("{file}:3:5"))
            && all.contains("agent.traces.enabld")
            && all.contains("enabled"),
        "{all}"
    );
    let (code, _, err) = telegen(&["agent", "--config", file]);
    assert_eq!(code, Some(2), "{err}");
}

#[test]
fn the_default_file_is_valid_and_the_version_says_what_was_built() {
    let dir = tempfile::tempdir().unwrap();
    let (code, text, _) = telegen(&["config", "default"]);
    assert_eq!(code, Some(0));
    let file = dir.path().join("c.yaml");
    std::fs::write(&file, text).unwrap();
    assert_eq!(telegen(&["config", "check", file.to_str().unwrap()]).0, Some(0));
    let (code, version, _) = telegen(&["--version"]);
    assert_eq!(code, Some(0));
    assert!(version.starts_with("telegen ") && version.contains("built for "), "{version}");
    assert_eq!(telegen(&["nonsense"]).0, Some(2));
}
