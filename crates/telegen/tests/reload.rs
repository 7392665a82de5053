//! A reload of what the program itself is: where it listens, who may ask, and what waits for the next start.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use common::{Telegen, port, wait};
use rustix::process::Signal;

struct Setup {
    dir: tempfile::TempDir,
}

impl Setup {
    fn config(&self) -> PathBuf {
        self.dir.path().join("config.yaml")
    }

    /// Puts a configuration in the place of the one before.
    fn write(&self, text: &str) {
        let new = self.dir.path().join("new.yaml");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.config()).unwrap();
    }

    fn start(text: &str) -> (Setup, Telegen) {
        let setup = Setup { dir: tempfile::tempdir().unwrap() };
        setup.write(text);
        let telegen = Telegen::start(&setup.config());
        (setup, telegen)
    }

    /// Writes, sends SIGHUP and waits for the answer; gives it.
    fn reload(&self, telegen: &Telegen, text: &str) -> String {
        let before = telegen.said().len();
        self.write(text);
        telegen.signal(Signal::HUP);
        wait("it is read", || telegen.said()[before..].contains("the configuration was"));
        telegen.said().split_off(before)
    }
}

/// The status of an answer, or nothing where nobody listens.
fn status(port: u16, headers: &str) -> Option<String> {
    let mut s = TcpStream::connect(("127.0.0.1", port)).ok()?;
    s.write_all(format!("GET /api/v1/ledger HTTP/1.1\r\nconnection: close\r\n{headers}\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    s.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).map(str::to_owned)
}

const HERE: &str = "host: localhost\r\n";

#[test]
fn a_server_moves_to_another_address_or_stays_whole_where_it_is() {
    let [first, second] = [port(), port()];
    let at = |port: u16, more: &str| format!("server: {{ listen: \"127.0.0.1:{port}\", {more} }}\n");
    let (setup, telegen) = Setup::start(&at(first, ""));
    let there = "host: telegen.example\r\n";
    assert_eq!(status(first, there).as_deref(), Some("403"));
    setup.reload(&telegen, &at(first, "hosts: [ telegen.example ]"));
    assert_eq!(status(first, there).as_deref(), Some("200"));
    // A taken address: nothing of the file is in effect.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let said = setup.reload(&telegen, &at(taken.local_addr().unwrap().port(), "hosts: []"));
    let (refused, address) = ("refused and nothing changed: server.listen: ", taken.local_addr().unwrap());
    assert!(said.contains(refused) && said.contains(&address.to_string()), "{said}");
    assert_eq!(status(first, there).as_deref(), Some("200"));
    let said = setup.reload(&telegen, &at(second, "hosts: []"));
    assert!(said.contains(&second.to_string()), "{said}");
    assert_eq!(status(second, HERE).as_deref(), Some("200"));
    assert_eq!(status(second, there).as_deref(), Some("403"));
    wait("nobody listens there", || status(first, HERE).is_none());
    setup.reload(&telegen, "server: { listen: \"\" }\n");
    wait("nobody listens", || status(second, HERE).is_none());
    // An address that a file names wrongly gives way to no other part of it either.
    let broken = format!("{}export: {{ file: {{ path: /nowhere/at/all }} }}\n", at(first, ""));
    assert!(setup.reload(&telegen, &broken).contains("nothing changed: export"));
    assert_eq!(status(first, HERE), None);
    setup.reload(&telegen, &at(first, ""));
    assert_eq!(status(first, HERE).as_deref(), Some("200"));
    assert_eq!(telegen.stop(), Some(0));
}

#[test]
fn a_token_that_is_set_or_changed_holds_from_the_next_request_on() {
    let own = port();
    let open = format!("server: {{ listen: \"127.0.0.1:{own}\" }}\n");
    let (setup, telegen) = Setup::start(&open);
    let token = setup.dir.path().join("token");
    std::fs::write(&token, "one").unwrap();
    let guarded =
        format!("server: {{ listen: \"127.0.0.1:{own}\", auth: {{ token_file: {} }} }}\n", token.display());
    setup.reload(&telegen, &guarded);
    let with = |token: &str| status(own, &format!("{HERE}authorization: Bearer {token}\r\n"));
    assert_eq!((status(own, HERE).as_deref(), with("one").as_deref()), (Some("401"), Some("200")));
    // The file is looked at by itself.
    std::fs::write(&token, "another").unwrap();
    wait("the new one holds", || with("another").as_deref() == Some("200"));
    assert_eq!(with("one").as_deref(), Some("401"));
    std::fs::write(&token, "").unwrap();
    telegen.wait_said("nothing changed: server.auth.token_file: ");
    assert_eq!(with("another").as_deref(), Some("200"));
    assert_eq!(telegen.stop(), Some(0));
}

#[test]
fn what_waits_for_the_next_start_is_named_and_nothing_else() {
    let base = format!("server: {{ listen: \"127.0.0.1:{}\" }}\n", port());
    let (setup, telegen) = Setup::start(&base);
    let more = "limits: { memory: 128MiB }\nresource: { attributes: { a: b } }\nlog: { level: debug, format: json }\nshutdown: { timeout: 2s }\n";
    let said = setup.reload(&telegen, &format!("{base}{more}"));
    assert!(said.contains("at the next start: limits.memory, log.format, resource.attributes.a\n"), "{said}");
    assert!(!setup.reload(&telegen, &base).contains("next start"));
    // What comes by itself is kept from the start on, or not.
    let said = setup.reload(&telegen, &format!("{base}export: {{ prometheus: {{}} }}\n"));
    assert!(said.contains("at the next start: export.prometheus "), "{said}");
    assert_eq!(telegen.stop(), Some(0));
    // The page of a server that was off has no memory to show.
    let (setup, telegen) = Setup::start("server: { listen: \"\" }\n");
    let said = setup.reload(&telegen, &base);
    assert!(said.contains("at the next start: view.enabled\n"), "{said}");
    assert_eq!(telegen.stop(), Some(0));
}

#[test]
fn metrics_leave_at_the_interval_that_a_reload_sets() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let every = |interval: &str| {
        format!(
            "server: {{ listen: \"\" }}\nexport: {{ file: {{ path: {} }} }}\nagent: {{ metrics: {{ interval: {interval} }} }}\n",
            out.display()
        )
    };
    let (setup, telegen) = Setup::start(&every("30d"));
    let exports = || std::fs::read_to_string(&out).unwrap_or_default().matches("telegen.build_info").count();
    assert!(!setup.reload(&telegen, &every("100ms")).contains("next start"));
    wait("metrics leave", || exports() > 1);
    assert_eq!(telegen.stop(), Some(0));
}

/// Takes every request of its connections two seconds after its last byte.
fn slow_backend() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            std::thread::spawn(move || {
                let (mut room, mut asked) = ([0; 4096], false);
                loop {
                    match stream.read(&mut room) {
                        Ok(0) => return,
                        Ok(_) => asked = true,
                        Err(_) if asked => {
                            asked = false;
                            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                            if stream.write_all(answer.as_bytes()).is_err() {
                                return;
                            }
                        }
                        Err(_) => {}
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_may_take_as_long_as_the_last_reload_says() {
    let (to, take) = (slow_backend(), port());
    let within = |timeout: &str| {
        format!(
            "server: {{ listen: \"\" }}\nshutdown: {{ timeout: {timeout} }}\nreceive: {{ otlp: {{ grpc: 127.0.0.1:{take} }} }}\n\
             export: {{ otlp: {{ endpoint: \"http://{to}\", protocol: http/protobuf }} }}\n"
        )
    };
    for (first, then, lost) in [("100ms", "30s", false), ("30s", "100ms", true)] {
        let (setup, telegen) = Setup::start(&within(first));
        setup.reload(&telegen, &within(then));
        common::send(&common::exporter(take), common::batch(0..3)).await;
        let (code, said) = telegen.stop_saying();
        assert_eq!((code, said.contains("lost at shutdown: 3 logs")), (Some(0), lost), "{said}");
    }
}
