//! net-snmp sends, we receive; we send on, net-snmp receives.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use telegen_testkit::sink::OtlpSink;

use super::{Telegen, udp_port, wait};

/// Of a trap of each kind.
const EACH: usize = 5;
const ENGINE: &str = "0x8000000005aabbccdd";

/// A program of net-snmp's.
pub(crate) struct Daemon(pub(crate) Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn send(program: &str, args: &[&str], home: &std::path::Path) -> bool {
    let out =
        Command::new(program).args(args).env("MIBS", "").env("SNMP_PERSISTENT_DIR", home).output().unwrap();
    out.status.success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_of_all_versions_are_counted_and_sent_on_to_snmptrapd() {
    if Command::new("snmptrapd").arg("-v").output().is_err()
        || Command::new("snmptrap").arg("-V").output().is_err()
    {
        eprintln!("SKIPPED notifications: snmptrap or snmptrapd is missing");
        return;
    }
    let sink = OtlpSink::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (udp_port(), udp_port());
    let log = dir.path().join("traps");
    let trapd = dir.path().join("snmptrapd.conf");
    std::fs::write(
        &trapd,
        format!(
            "authCommunity log public\ncreateUser -e {ENGINE} ops SHA-256 \"authentic-1\" AES \"private-22\"\n\
             authUser log ops priv\nformat1 T %P %v\\n\nformat2 T %P %v\\n\n"
        ),
    )
    .unwrap();
    let child = Command::new("snmptrapd")
        .args(["-f", "-C", "-n", "-On", "-m", "", "-c"])
        .arg(&trapd)
        .arg("-Lf")
        .arg(&log)
        .arg(format!("udp:127.0.0.1:{theirs}"))
        .env("SNMP_PERSISTENT_DIR", dir.path().join("trapd"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _trapd = Daemon(child);
    wait("snmptrapd", || std::fs::read_to_string(&log).is_ok_and(|t| t.contains("NET-SNMP version")));
    let config = dir.path().join("telegen.yaml");
    let text = format!(
        "mode: collector\nserver: {{ listen: \"\" }}\nexport: {{ otlp: {{ endpoint: \"http://{}\", batch: {{ timeout: \
         100ms }} }} }}\ncollector:\n  snmp:\n    credentials:\n      ops: {{ version: 3, user: ops, auth: {{ protocol: \
         sha256, password: authentic-1 }}, priv: {{ protocol: aes128, password: private-22 }} }}\n    traps: {{ listen: \
         [\"udp://127.0.0.1:{ours}\"], communities: [public], users: [ops], forward: [\"udp://127.0.0.1:{theirs}\"] }}\n",
        sink.addr()
    );
    std::fs::write(&config, text).unwrap();
    let telegen = Telegen::start(&config);
    let to = format!("udp:127.0.0.1:{ours}");
    let home = dir.path().join("sender");
    let user = [
        "-v3",
        "-u",
        "ops",
        "-l",
        "authPriv",
        "-a",
        "SHA-256",
        "-A",
        "authentic-1",
        "-x",
        "AES",
        "-X",
        "private-22",
    ];
    // Each kind has its own enterprise object, 1 to 5.
    let event = |n: usize| format!("1.3.6.1.4.1.99999.0.{n}");
    for _ in 0..EACH {
        assert!(send(
            "snmptrap",
            &["-v1", "-c", "public", &to, "1.3.6.1.4.1.99999", "127.0.0.1", "6", "1", "42"],
            &home
        ));
        assert!(send("snmptrap", &["-v2c", "-c", "public", &to, "42", &event(2)], &home));
        assert!(send("snmpinform", &["-v2c", "-c", "public", &to, "42", &event(3)], &home));
        assert!(send("snmptrap", &[&user[..], &["-e", ENGINE, &to, "42", &event(4)]].concat(), &home));
        assert!(send("snmpinform", &[&user[..], &[&to, "42", &event(5)]].concat(), &home));
        // Strangers.
        assert!(send("snmptrap", &["-v2c", "-c", "secret", &to, "42", &event(6)], &home));
    }
    assert!(sink.wait_taken(telegen_model::Signal::Logs, 5 * EACH).await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut counts = BTreeMap::new();
    for log in sink.logs() {
        let oid = log.attrs.iter().find(|kv| kv.key == "snmp.trap.oid").unwrap();
        *counts.entry(oid.value.as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    let expected: BTreeMap<String, usize> = (1..=5).map(|n| (event(n), EACH)).collect();
    assert_eq!(counts, expected);
    // What was sent on came as it was. An inform of version 3 is for our engine alone: net-snmp does not take it.
    let received = |n: usize| {
        let text = std::fs::read_to_string(&log).unwrap();
        let line = format!(".{}", event(n));
        match n {
            1 => text.lines().filter(|l| l.contains("TRAP, SNMP v1")).count(),
            _ => text.lines().filter(|l| l.contains(&line) && l.starts_with("T ")).count(),
        }
    };
    wait("all that was sent on", || (1..=4).all(|n| received(n) >= EACH));
    assert_eq!((1..=4).map(received).collect::<Vec<_>>(), [EACH; 4]);
    assert_eq!(telegen.stop(), Some(0));
}
