//! Programs whose buffers cannot be known: their bytes are counted, and no payload is taken for theirs.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Agent, root, same};

/// Compiles a program of `tests/apps/c`; `None`, after printing why, where that cannot be done.
pub fn compile(name: &str, flags: &[&str], out: &str) -> Option<PathBuf> {
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(out);
    let built = Command::new("gcc")
        .args(flags)
        .arg("-o")
        .arg(&to)
        .arg(root().join("tests/apps/c").join(name))
        .output();
    match built {
        Ok(b) if b.status.success() => Some(to),
        Ok(b) => {
            let said = String::from_utf8_lossy(&b.stderr).lines().next().unwrap_or_default().to_owned();
            println!("SKIPPED {out}: gcc: {said}");
            None
        }
        Err(e) => {
            println!("SKIPPED {out}: gcc: {e}");
            None
        }
    }
}

/// Bytes that `telegen.traffic.unread` counts for a service.
pub fn unread(told: &crate::harness::Told, service: &str) -> u64 {
    let mut last = 0;
    for m in &told.metrics {
        for r in m["resourceMetrics"].as_array().unwrap() {
            let named = r["resource"].to_string().contains(&format!("\"stringValue\":\"{service}\""));
            for s in r["scopeMetrics"].as_array().unwrap() {
                for metric in s["metrics"].as_array().unwrap() {
                    if named && metric["name"] == "telegen.traffic.unread" {
                        let points = metric["sum"]["dataPoints"].as_array().unwrap();
                        last =
                            points.iter().map(|p| p["asInt"].as_str().unwrap().parse::<u64>().unwrap()).sum();
                    }
                }
            }
        }
    }
    last
}

fn run(test: &str, program: &Path, service: &str, request_len: u64, client_spans: usize) {
    let config = format!(
        "agent: {{ discovery: {{ include: [ {{ exe: \"*/deps/e2e-*\" }}, {{ exe: \"{}\" }} ] }} }}\n",
        program.display()
    );
    let Some(agent) = Agent::start(test, &config) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let server = std::thread::spawn(move || {
        let mut s = listener.accept().unwrap().0;
        let mut buffer = [0; 4096];
        let n = s.read(&mut buffer).unwrap();
        // Late, so that the other side is in another call when the answer comes.
        std::thread::sleep(std::time::Duration::from_millis(60));
        s.write_all(OK).unwrap();
        let _end = s.read(&mut buffer);
        n as u64
    });
    let status = Command::new(program).arg(port.to_string()).output().unwrap().status;
    if status.code() == Some(77) {
        println!("SKIPPED {test}: the kernel has no io_uring");
        // The server waits for a client.
        drop(std::net::TcpStream::connect(("127.0.0.1", port)));
        return;
    }
    assert!(status.success(), "{status}");
    assert_eq!(server.join().unwrap(), request_len);
    let told = agent.stop();
    let path = if client_spans > 0 || service != "uring" { "/plain" } else { "/uring" };
    let expect =
        std::iter::once((2u64, path.to_owned())).chain((0..client_spans).map(|_| (3u64, path.to_owned())));
    same(test, told.spans.iter().map(|s| (s.kind, s.attr("url.path").to_owned())), expect);
    assert!(!format!("{told:?}").contains("decoy"));
    if client_spans == 0 {
        assert_eq!(unread(&told, service), request_len + OK.len() as u64);
    }
}

#[test]
fn io_uring_completions_inside_other_calls_are_counted_and_not_read() {
    let Some(program) = compile("uring.c", &[], "uring") else { return };
    run("io_uring", &program, "uring", 32, 0);
}

#[test]
fn a_32_bit_program_is_counted_and_not_read() {
    let Some(program) = compile("plain.c", &["-m32"], "plain32") else { return };
    run("32-bit", &program, "plain32", 32, 0);
}

#[test]
fn the_same_program_in_64_bits_is_read() {
    let Some(program) = compile("plain.c", &[], "plain64") else { return };
    run("64-bit", &program, "plain64", 32, 1);
}
