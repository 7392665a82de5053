//! Loads and attaches every program of an object file for some seconds: `load FILE SECONDS`. What a program costs by itself.
#![allow(clippy::unwrap_used, reason = "a tool for benchmarks")]

fn main() {
    let file = std::env::args().nth(1).unwrap();
    let seconds = std::env::args().nth(2).and_then(|s| s.parse().ok()).unwrap_or(60);
    let object = libbpf_rs::ObjectBuilder::default().open_file(file).unwrap().load().unwrap();
    let links: Vec<_> = object.progs_mut().map(|p| p.attach().unwrap()).collect();
    std::thread::sleep(std::time::Duration::from_secs(seconds));
    drop(links);
}
