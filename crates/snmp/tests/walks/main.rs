//! Recorded walks of real devices: what net-snmp reads of the simulated device, what our walk reads, and what a poll makes
//! of it are the recording. They are other projects' data, used where they lie and never copied into the project:
//! `../shared/acceptance/snmp-walks.tar.xz` beside the project's folder, unpacked under the target folder.

#![cfg(feature = "engine")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod interfaces;
mod recorded;
mod same;
mod telemetry;
mod vendors;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use telegen_snmp::simulate::{Conditions, Simulator};

/// Where the walks are, unpacked; nothing where there are none.
fn walks() -> Option<&'static Path> {
    static DIR: OnceLock<Option<PathBuf>> = OnceLock::new();
    DIR.get_or_init(|| {
        let archive =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/acceptance/snmp-walks.tar.xz");
        let archive = archive.canonicalize().ok()?;
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("snmp-walks");
        if !to.join("whole").exists() {
            fs::create_dir_all(&to).ok()?;
            let done = Command::new("tar").arg("xJf").arg(&archive).arg("-C").arg(&to).status().ok()?;
            assert!(done.success(), "{} cannot be unpacked", archive.display());
            fs::write(to.join("whole"), "").ok()?;
        }
        let inner = to.join("snmp-walks");
        Some(if inner.is_dir() { inner } else { to })
    })
    .as_deref()
}

/// The walks with their names, sorted; says so and gives none where there are none.
fn files(what: &str) -> Vec<(String, PathBuf)> {
    let Some(dir) = walks() else {
        eprintln!("SKIPPED {what}: ../shared/acceptance/snmp-walks.tar.xz is not there");
        return Vec::new();
    };
    let mut out: Vec<(String, PathBuf)> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "snmprec"))
        .map(|p| (p.file_stem().unwrap().to_str().unwrap().to_owned(), p))
        .collect();
    out.sort();
    assert!(out.len() > 400, "only {} walks", out.len());
    out
}

/// All walks as devices, on a thread of their own.
struct Simulated {
    devices: Vec<(SocketAddr, String)>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Simulated {
    /// `first` is the address of the first device; each test has its own.
    fn new(dir: &Path, first: [u8; 4]) -> Simulated {
        let mut simulator = Simulator::open(dir, (first, 0).into(), None, Conditions::default()).unwrap();
        let devices = simulator.devices().map(|(a, n)| (a, n.to_owned())).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let ended = stop.clone();
        let thread = std::thread::spawn(move || simulator.run(&ended).unwrap());
        Simulated { devices, stop, thread: Some(thread) }
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.devices.iter().find(|d| d.1 == name).unwrap().0
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}
