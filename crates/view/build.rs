//! Embeds the page: every file of `web/`, plain and packed, under a path that names its content.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let web = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("../../web");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    println!("cargo::rerun-if-changed={}", web.display());
    let mut files = Vec::new();
    collect(&web, &web, &mut files)?;
    files.sort();
    let mut hash = Fnv::default();
    for (name, bytes) in &files {
        hash.add(name.as_bytes());
        hash.add(bytes);
    }
    let hash = format!("{:016x}", hash.0);
    let base = format!("/ui/{hash}/");
    let mut table = format!("const HASH: &str = \"{hash}\";\nstatic FILES: &[File] = &[\n");
    for (i, (name, bytes)) in files.iter().enumerate() {
        let bytes = if name == "index.html" { page(bytes, &base, &files) } else { travelling(name, bytes) };
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&bytes)?;
        fs::write(out.join(format!("{i}.raw")), &bytes)?;
        fs::write(out.join(format!("{i}.gz")), packed.finish()?)?;
        let kind = kind(name);
        let include = |end| format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{i}.{end}\"))");
        writeln!(
            table,
            "    File {{ name: {name:?}, kind: {kind:?}, raw: {}, gzip: {} }},",
            include("raw"),
            include("gz")
        )
        .map_err(io::Error::other)?;
    }
    table.push_str("];\n");
    fs::write(out.join("files.rs"), table)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        println!("cargo::rerun-if-changed={}", path.display());
        if path.is_dir() {
            collect(root, &path, files)?;
        } else {
            let name = path.strip_prefix(root).map_err(io::Error::other)?.to_string_lossy().into_owned();
            files.push((name, fs::read(&path)?));
        }
    }
    Ok(())
}

/// The page with the paths of its parts; all modules are named, so that none waits for another to be read.
fn page(html: &[u8], base: &str, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let modules = files.iter().filter(|(name, _)| name.starts_with("js/") && name.ends_with(".js"));
    let preload: Vec<String> =
        modules.map(|(name, _)| format!("<link rel=\"modulepreload\" href=\"{base}{name}\">")).collect();
    let html = String::from_utf8_lossy(html);
    html.replace("{{preload}}", &preload.join("\n")).replace("{{base}}", base).into_bytes()
}

/// A part as it travels: without comments that fill lines and without indentation, which are a sixth of it packed. Lines
/// stay lines, so that errors name what the sources say. No text of the page runs over several lines.
fn travelling(name: &str, bytes: &[u8]) -> Vec<u8> {
    if !name.ends_with(".js") && !name.ends_with(".css") {
        return bytes.to_vec();
    }
    let text = String::from_utf8_lossy(bytes);
    let (mut out, mut comment) = (String::with_capacity(text.len()), false);
    for line in text.lines().map(str::trim) {
        comment |= line.starts_with("/*");
        if !comment && !line.starts_with("//") {
            out.push_str(line);
        }
        if comment && line.ends_with("*/") {
            comment = false;
        }
        out.push('\n');
    }
    out.into_bytes()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// FNV-1a, 64 bits: names a version, protects nothing.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
