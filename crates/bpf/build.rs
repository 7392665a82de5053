//! Compiles the objects of `/bpf` and makes their skeletons.

#![allow(clippy::expect_used, clippy::panic, reason = "a build script fails by panicking")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use libbpf_cargo::SkeletonBuilder;

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo")).join("../../bpf");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let arch = match env::var("CARGO_CFG_TARGET_ARCH").expect("set by cargo").as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        other => panic!("no tap for {other}"),
    };
    let clang = clang();
    for (folder, name) in [("common", "common"), ("process", "process"), ("tap", "tap")] {
        SkeletonBuilder::new()
            .source(root.join(folder).join(format!("{name}.bpf.c")))
            .clang(&clang)
            // Kept: a test compares the layouts.
            .obj(out.join(format!("{name}.bpf.o")))
            // v3 has atomic fetch-and-add, which front end A's kernels (6.3 and newer) all run; the compiler's own
            // default moves with its version.
            .clang_args([
                "-mcpu=v3",
                "-O2",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-Wno-unused-parameter",
                &format!("-D__TARGET_ARCH_{arch}"),
                &format!(
                    "-I/usr/include/{}-linux-gnu",
                    env::var("CARGO_CFG_TARGET_ARCH").expect("set by cargo")
                ),
            ])
            .build_and_generate(out.join(format!("{name}.skel.rs")))
            .unwrap_or_else(|e| panic!("bpf/{folder}/{name}.bpf.c: {e:?}"));
    }
    watch(&root);
}

/// Debian installs clang under its version's name alone.
fn clang() -> PathBuf {
    if let Some(named) = env::var_os("CLANG") {
        return named.into();
    }
    for name in ["clang-19", "clang-20", "clang-18", "clang-17", "clang-16", "clang"] {
        if Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success()) {
            return name.into();
        }
    }
    panic!("no clang found: run `make setup`, or set CLANG")
}

fn watch(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("bpf/ is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            watch(&path);
        }
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!("cargo::rerun-if-env-changed=CLANG");
}
