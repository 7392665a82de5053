//! A program that is told to end while something holds it up.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::port;
use rustix::process::{Pid, Signal, kill_process};

/// Starts a collector with this configuration, tells it to end once `when` holds, and gives its exit code.
fn ended(config: &str, when: impl Fn(&str) -> bool) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("telegen.yaml");
    std::fs::write(&file, config.replace("DIR", dir.path().to_str().unwrap())).unwrap();
    let fifo = Command::new("mkfifo").arg(dir.path().join("fifo")).status().unwrap();
    assert!(fifo.success());
    let queue = dir.path().join("queue/otlp/traces");
    std::fs::create_dir_all(&queue).unwrap();
    std::os::unix::fs::symlink(dir.path().join("fifo"), queue.join("progress")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_telegen"));
    let mut child =
        command.args(["collector", "--config"]).arg(&file).stderr(Stdio::piped()).spawn().unwrap();
    let said = common::program::Said::of(child.stderr.take().unwrap());
    let end = Instant::now() + Duration::from_secs(60);
    while !when(&said.text()) {
        assert!(Instant::now() < end, "{}", said.text());
        std::thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code(), said.into_text());
        }
        if Instant::now() >= end {
            child.kill().unwrap();
            panic!("it never ended: {}", said.text());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_start_that_is_held_up_for_ever_can_be_ended() {
    // Whoever opens a FIFO for reading waits for a writer, as one waits for a disk that does not answer.
    let config = format!(
        "server: {{ listen: 127.0.0.1:{} }}\nshutdown: {{ timeout: 100ms }}\nview: {{ enabled: false }}\n\
         export: {{ otlp: {{ endpoint: https://127.0.0.1:9, queue: {{ path: DIR/queue }} }} }}\n",
        port()
    );
    let begun = Instant::now();
    let (code, said) = ended(&config, |_| begun.elapsed() > Duration::from_secs(1));
    assert!(!said.contains(" ready "), "{said}");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("SIGTERM: stopping") && said.contains("shutdown.timeout"), "{said}");
}

#[test]
fn a_file_that_takes_nothing_and_a_backend_that_never_answers_do_not_hold_up_the_end() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "server: {{ listen: 127.0.0.1:{} }}\nshutdown: {{ timeout: 1s }}\n\
         export: {{ otlp: {{ endpoint: http://{} }}, file: {{ path: DIR/fifo }} }}\n",
        port(),
        silent.local_addr().unwrap()
    );
    let (code, said) = ended(&config, |said| said.contains(" ready "));
    assert_eq!(code, Some(0), "{said}");
}
