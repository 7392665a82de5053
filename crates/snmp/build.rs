//! Lists the device profiles of `/profiles`, so that they are part of the program.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles").canonicalize()?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut paths: Vec<_> = fs::read_dir(&folder)?.flatten().map(|e| e.path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    let mut out = String::from(
        "/// The profiles that are built in: file name without ending, and text.\npub(crate) const BUILT_IN: &[(&str, &str)] = &[\n",
    );
    for path in &paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let _ = writeln!(out, "    ({name:?}, include_str!({:?})),", path.display().to_string());
    }
    out.push_str("];\n");
    let to = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    fs::write(Path::new(&to).join("profiles.rs"), out)
}
