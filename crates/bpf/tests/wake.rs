//! A reader that waits long is woken by the first record.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use telegen_bpf::{Tap, TapSettings};

/// A client in a process of its own, as the tap leaves out the one that loads it: one request after the other, each
/// answered after half a second, without starting another process.
const CLIENT: &str = r#"
exec 3<>"/dev/tcp/127.0.0.1/$0"
while printf 'GET / HTTP/1.1\r\nHost: test\r\n\r\n' >&3; do
  while read -r -u 3 line && [[ $line != $'\r' ]]; do :; done
done
"#;

fn answer(listener: &TcpListener) {
    let (mut server, _) = listener.accept().unwrap();
    let mut bytes = [0; 256];
    while server.read(&mut bytes).is_ok_and(|n| n > 0) {
        std::thread::sleep(Duration::from_millis(500));
        // The client may have been ended.
        let _gone = server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
}

#[test]
fn the_first_record_ends_a_long_wait() {
    if let Err(need) = telegen_bpf::probe() {
        eprintln!("SKIPPED the_first_record_ends_a_long_wait: {}", need.reason);
        return;
    }
    // Bash reads byte by byte, a record each: within a minute they fill no quarter of these rings.
    let tap = Tap::load(TapSettings::default()).unwrap();
    let pump = tap.pump(|_record| {}).unwrap();
    // The connections that were open, and what else is there.
    while pump.turn(Duration::from_millis(50)).unwrap().read > 0 {}

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server = std::thread::spawn(move || answer(&listener));
    let mut client = Command::new("bash").args(["-c", CLIENT, &port]).spawn().unwrap();

    // Twice: it can be told again. A wait that is not ended by a record ends after a minute, and is none that was woken.
    for _ in 0..2 {
        loop {
            let brought = pump.turn(Duration::from_mins(1)).unwrap();
            // A process that begins or ends calls as well.
            if brought.woken || !brought.called {
                assert!(brought.woken);
                break;
            }
        }
        // What woke is too young for its turn; until it was read nobody asks to be woken again.
        while pump.turn(Duration::from_millis(20)).unwrap().read == 0 {}
    }
    client.kill().unwrap();
    client.wait().unwrap();
    server.join().unwrap();
}
