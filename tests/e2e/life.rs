//! Start, stop, and what happens without rights.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Agent, TELEGEN, free_port, get, wait};

#[test]
fn without_rights_the_program_starts_and_says_what_is_off() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED without rights: needs root to drop them");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let said = dir.path().join("stderr");
    let mut child = Command::new("setpriv")
        .args([
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            TELEGEN,
        ])
        .args(["agent", "--set", &format!("server.listen=127.0.0.1:{port}")])
        .stderr(fs::File::create(&said).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while !fs::read_to_string(&said).unwrap().contains("ready") {
        assert!(Instant::now() < end, "{}", fs::read_to_string(&said).unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
    let health = get(port, "/healthz");
    let features = get(port, "/api/v1/features").1;
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(wait(&mut child, Duration::from_secs(10)), Some(0));
    let said = fs::read_to_string(&said).unwrap();
    assert_eq!(health.0, 200, "{}", health.1);
    assert!(said.contains("CAP_BPF"), "{said}");
    assert!(features.contains("CAP_BPF"), "{features}");
}

#[test]
fn nothing_stays_loaded_after_a_kill() {
    let Some(agent) = Agent::start("kill -9", "") else { return };
    let pid = rustix::process::Pid::from_raw(agent.pid() as i32).unwrap();
    let mine = || {
        let out = Command::new("bpftool").args(["prog", "show"]).output();
        let Ok(out) = out else { return None };
        Some(String::from_utf8_lossy(&out.stdout).lines().filter(|l| l.contains("name tap_send")).count())
    };
    let before = mine();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let Some(before) = before else {
        println!("SKIPPED what stays loaded: no bpftool");
        return;
    };
    drop(agent);
    let end = Instant::now() + Duration::from_secs(10);
    while mine() != Some(before - 1) {
        assert!(Instant::now() < end, "{:?} of {before} programs are still there", mine());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn strangers_are_refused() {
    let Some(agent) = Agent::start("hosts", "") else { return };
    let ask = |host: &str| {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = crate::harness::raw(agent.api, request.as_bytes());
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(ask("evil.example"), "403");
    assert_eq!(ask("localhost:1"), "200");
}
