//! Files that are large or no files at all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::{Check, Layers, Report, System};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Root {
    labels: BTreeMap<String, String>,
}

impl Check for Root {
    fn check(&self, _: &mut Report) {}
}

fn load(text: &str) -> Result<usize, Vec<String>> {
    let loaded = Layers::new().text("f", text, &System).load::<Root>(&System);
    loaded
        .map(|l| l.settings.labels.len())
        .map_err(|e| e.problems().iter().map(ToString::to_string).collect())
}

fn keys(n: usize) -> String {
    (0..n).fold(String::from("labels:\n"), |mut text, i| {
        let _ = writeln!(text, "  k{i}: v");
        text
    })
}

fn fastest(text: &str, runs: usize) -> Duration {
    let run = |_| {
        let begun = Instant::now();
        // Two layers, which are joined key by key.
        Layers::new().text("f", text, &System).text("g", text, &System).load::<Root>(&System).unwrap();
        begun.elapsed()
    };
    (0..runs).map(run).min().unwrap()
}

#[test]
fn sixteen_times_the_keys_take_about_sixteen_times_as_long() {
    let (few, many) = (fastest(&keys(2_000), 5), fastest(&keys(32_000), 2));
    assert!(many < few * 64, "{few:?} for 2000 keys, {many:?} for 32000");
}

#[test]
fn of_very_many_unknown_keys_the_first_hundred_are_told() {
    let text = (0..5_000).fold(String::new(), |text, i| text + &format!("k{i}: v\n"));
    let told = load(&text).unwrap_err();
    assert_eq!(told.len(), 100);
    assert_eq!(told[0], "f:1:1 k0: unknown key (nearest: labels)");
}

/// What is said of a file, off this thread: a FIFO that is opened waits for ever.
fn told(path: PathBuf) -> Vec<String> {
    let (tell, told) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let loaded = Layers::new().file(&path, &System).load::<Root>(&System);
        let told = loaded.unwrap_err().problems().iter().map(ToString::to_string).collect();
        let _ = tell.send(told);
    });
    told.recv_timeout(Duration::from_secs(60)).unwrap()
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (fifo, file) = (dir.path().join("fifo"), dir.path().join("f.yaml"));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let shown = fifo.display();
    assert_eq!(told(fifo.clone()), [format!("{shown}: cannot be read: it is no regular file")]);
    for at in [&fifo, Path::new("/dev/zero"), dir.path()] {
        let at = at.display();
        std::fs::write(&file, format!("labels: {{ a: \"${{file:{at}}}\" }}\n")).unwrap();
        let want = format!(":1:14 labels.a: file {at} cannot be read: it is no regular file");
        let told = told(file.clone());
        assert!(told.len() == 1 && told[0].ends_with(&want), "{told:?}");
    }
}

#[test]
fn a_configuration_may_come_by_a_descriptor() {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    let (given, mut writes) = std::io::pipe().unwrap();
    writes.write_all(b"nothing_such: 1\n").unwrap();
    drop(writes);
    let path = PathBuf::from(format!("/dev/fd/{}", given.as_raw_fd()));
    let said = told(path);
    assert!(said.len() == 1 && said[0].contains("nothing_such: unknown key"), "{said:?}");
}
