//! The architecture as law: what no lint can say is read off the tree.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a test fails by panicking and says why it was skipped"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every file below a folder whose extension is one of `ext`.
fn files(folder: &Path, ext: &[&str], out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if !["target", ".git", "node_modules"].iter().any(|n| name == **n) {
                files(&path, ext, out);
            }
        } else if path.extension().is_some_and(|e| ext.iter().any(|x| e == *x)) {
            out.push(path);
        }
    }
}

fn sources(ext: &[&str]) -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    files(&root(), ext, &mut paths);
    assert!(!paths.is_empty());
    paths
        .into_iter()
        .map(|p| (p.strip_prefix(root()).unwrap().to_owned(), fs::read_to_string(&p).unwrap()))
        .collect()
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn no_file_is_longer_than_a_room_with_a_view() {
    let long: Vec<String> = sources(&["rs", "c", "h"])
        .into_iter()
        .filter_map(|(path, text)| {
            let bound = if path.extension().unwrap() == "rs" { 1000 } else { 600 };
            let lines = text.lines().count();
            (lines > bound).then(|| format!("{} has {lines} lines, {bound} are allowed", path.display()))
        })
        .collect();
    none("files past their bound", &long);
}

/// The layer of each crate; within layer 0 a crate may use those before it in this list.
const LAYERS: [(&str, u8); 18] = [
    ("model", 0),
    ("wire", 0),
    ("otlp", 0),
    ("buffer", 0),
    ("selfmon", 1),
    ("config", 1),
    ("sys", 1),
    ("bpf", 2),
    ("pipeline", 2),
    ("server", 2),
    ("processes", 2),
    ("trace", 3),
    ("receive", 3),
    ("snmp", 3),
    ("export", 3),
    ("view", 3),
    ("testkit", 4),
    ("telegen", 5),
];

fn manifests() -> BTreeMap<String, String> {
    fs::read_dir(root().join("crates"))
        .unwrap()
        .flatten()
        .map(|e| {
            let name = e.file_name().into_string().unwrap();
            (name, fs::read_to_string(e.path().join("Cargo.toml")).unwrap())
        })
        .collect()
}

/// Names of Telegen's crates in `[dependencies]` (dev-dependencies may reach up: tests see everything).
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside && let Some(rest) = line.strip_prefix("telegen-") {
            found.push(rest.split(['.', ' ', '=']).next().unwrap().to_owned());
        }
    }
    found
}

#[test]
fn a_crate_uses_only_lower_layers() {
    let place = |name: &str| LAYERS.iter().position(|(n, _)| *n == name);
    let mut wrong = Vec::new();
    for (name, manifest) in manifests() {
        let Some(at) = place(&name) else {
            wrong.push(format!("{name} has no layer"));
            continue;
        };
        for used in dependencies(&manifest) {
            let fits = place(&used).is_some_and(|u| {
                LAYERS[u].1 < LAYERS[at].1 || (LAYERS[at].1 == 0 && LAYERS[u].1 == 0 && u < at)
            });
            if !fits {
                wrong.push(format!("{name} uses {used}"));
            }
        }
    }
    none("layers", &wrong);
}

#[test]
fn every_crate_says_what_it_is_for_and_takes_the_lints() {
    let mut wrong = Vec::new();
    for (name, manifest) in manifests() {
        if !manifest.contains("\ndescription = \"") {
            wrong.push(format!("{name}: no description"));
        }
        if !manifest.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{name}: does not take the workspace's lints"));
        }
        let package = if name == "telegen" { name.clone() } else { format!("telegen-{name}") };
        if !manifest.contains(&format!("name = \"{package}\"")) {
            wrong.push(format!("{name}: the package is not called {package}"));
        }
        let entry = ["src/lib.rs", "src/main.rs"]
            .iter()
            .find_map(|f| fs::read_to_string(root().join("crates").join(&name).join(f)).ok())
            .unwrap();
        if !entry.starts_with("//! ") {
            wrong.push(format!("{name}: no purpose line"));
        }
    }
    none("crates", &wrong);
}

#[test]
fn unsafe_code_stands_in_bpf_and_sys_alone_and_says_why() {
    let mut wrong = Vec::new();
    for (path, text) in sources(&["rs"]) {
        let allowed = path.starts_with("crates/bpf") || path.starts_with("crates/sys");
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap();
            let keyword = ["unsafe {", "unsafe fn ", "unsafe impl "].iter().any(|k| code.contains(k));
            if !keyword || path.ends_with("tests/tidy.rs") {
                continue;
            }
            let reasoned =
                lines[i.saturating_sub(4)..i].iter().any(|l| l.trim_start().starts_with("// SAFETY:"));
            if !allowed || !reasoned {
                wrong.push(format!("{}:{}", path.display(), i + 1));
            }
        }
    }
    none("unsafe code out of place or without a SAFETY line", &wrong);
}

#[test]
fn only_the_bpf_crate_names_libbpf() {
    let wrong: Vec<String> = manifests()
        .into_iter()
        .filter(|(name, m)| name != "bpf" && m.lines().any(|l| l.starts_with("libbpf")))
        .map(|(name, _)| name)
        .collect();
    none("crates that name libbpf", &wrong);
}

#[test]
fn every_source_of_the_kernel_half_carries_its_licence() {
    let wrong: Vec<String> = sources(&["c", "h"])
        .into_iter()
        .filter(|(path, text)| {
            path.starts_with("bpf") && !text.contains("SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause")
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    none("no SPDX line", &wrong);
}
