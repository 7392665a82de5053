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

#[test]
fn what_the_start_would_refuse_the_check_refuses_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (file, token) = (dir.path().join("c.yaml"), dir.path().join("token"));
    std::fs::write(&token, "").unwrap();
    let there = dir.path().display();
    let text = format!(
        "server: {{ listen: \"\" }}\nreceive: {{ otlp: {{ grpc: 127.0.0.1:0, auth: {{ token_file: {there}/token }} }} }}\nexport:\n  \
         otlp: {{ endpoint: 'https://h:1', tls: {{ ca: {there}/none }} }}\n  file: {{ path: {there} }}\n\
         collector: {{ snmp: {{ credentials: {{ c: {{ version: 2c, community: x }} }}, targets: [ {{ address: 127.0.0.1, credentials: [c], profile: none }} ] }} }}\n"
    );
    std::fs::write(&file, &text).unwrap();
    let name = file.to_str().unwrap();
    let (code, _, said) = telegen(&["config", "check", name]);
    assert_eq!(code, Some(2), "{said}");
    for what in [
        format!("{name}:2:"),
        "receive.otlp.auth.token_file".to_owned(),
        format!("{name}:4:"),
        format!("{there}/none"),
        format!("{name}:5:"),
        "export.file".to_owned(),
        format!("{name}:6:"),
        "collector.snmp.targets.0.profile: \"none\"".to_owned(),
    ] {
        assert!(said.contains(&what), "{what} in {said}");
    }
    // And so does the start.
    let (code, _, said) = telegen(&["collector", "--config", name]);
    assert!(code == Some(2) && said.contains(&format!("{name}:5:")), "{code:?} {said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "the check makes nothing");
}

#[test]
fn what_was_substituted_is_in_no_log_and_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let folder = dir.path().join("a-folder-of-their-own");
    std::fs::write(dir.path().join("c.yaml"), "server: { listen: \"${WHERE}\" }\n").unwrap();
    let text =
        "export: { file: { path: \"${FOLDER}/none/out\" }, otlp: { endpoint: \"http://${HOST}:1\" } }\n";
    std::fs::write(dir.path().join("d.yaml"), text).unwrap();
    for (file, code) in [("c.yaml", 1), ("d.yaml", 2)] {
        let out = Command::new(TELEGEN)
            .args(["collector", "--config"])
            .arg(dir.path().join(file))
            .env("WHERE", &at)
            .env("FOLDER", &folder)
            .env("HOST", "Their-Host.invalid")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{said}");
        assert!(said.contains("REDACTED"), "{said}");
        for value in [at.as_str(), folder.to_str().unwrap(), "heir-"] {
            assert!(!said.contains(value), "{value} in {said}");
        }
    }
}
