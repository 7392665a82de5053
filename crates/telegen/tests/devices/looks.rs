//! A device over TCP, whose notifications name the interface and have it looked at again.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use telegen_model::{MetricData, NumberValue, Records};
use telegen_testkit::sink::OtlpSink;

use super::notifications::Daemon;
use super::{Telegen, get, tcp_port, udp_port, wait};

fn counter(text: &str, name: &str) -> u64 {
    let lines = text.lines().filter(|l| l.starts_with(name));
    lines.filter_map(|l| l.rsplit_once(' ')).map(|(_, n)| n.parse::<f64>().unwrap() as u64).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_names_its_interface_and_has_it_looked_at_again() {
    if Command::new("snmpd").arg("-v").output().is_err() {
        eprintln!("SKIPPED looks: snmpd is missing");
        return;
    }
    let sink = OtlpSink::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (agent, own, traps) = (tcp_port(), tcp_port(), udp_port());
    let conf = dir.path().join("snmpd.conf");
    std::fs::write(&conf, format!("agentaddress tcp:127.0.0.1:{agent}\nrocommunity public\n")).unwrap();
    let child = Command::new("snmpd")
        .args(["-f", "-C", "-Lf"])
        .arg(dir.path().join("log"))
        .arg("-c")
        .arg(&conf)
        .env("SNMP_PERSISTENT_DIR", dir.path())
        .env("MIBS", "")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _agent = Daemon(child);
    wait("snmpd", || TcpStream::connect(("127.0.0.1", agent)).is_ok());
    let config = dir.path().join("telegen.yaml");
    let text = format!(
        "mode: collector\nserver: {{ listen: \"127.0.0.1:{own}\" }}\nexport: {{ otlp: {{ endpoint: \"http://{}\", batch: \
         {{ timeout: 100ms }} }} }}\ncollector:\n  snmp:\n    interval: 1h\n    credentials: {{ public: {{ version: 2c, \
         community: public }} }}\n    targets: [ {{ address: \"tcp:127.0.0.1:{agent}\", name: host, credentials: [public] \
         }} ]\n    traps: {{ listen: [\"udp://127.0.0.1:{traps}\"], communities: [public] }}\n",
        sink.addr()
    );
    std::fs::write(&config, text).unwrap();
    let telegen = Telegen::start(&config);
    let states = || get(own, "/api/v1/devices");
    wait("the first poll", || states().contains("\"state\":\"up\""));
    let up: Vec<f64> = sink
        .groups()
        .into_iter()
        .filter(|g| g.resource.text("snmp.target") == Some("host"))
        .filter_map(|g| match g.records {
            Records::Metrics(metrics) => Some(metrics),
            _ => None,
        })
        .flatten()
        .filter(|m| m.name == "snmp.device.up")
        .map(|m| match m.data {
            MetricData::Gauge(points) => match points[0].value {
                NumberValue::Int(i) => i as f64,
                NumberValue::Double(d) => d,
            },
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(up.iter().all(|v| *v == 1.0), "{up:?}");
    let looks = || counter(&get(own, "/metrics"), "telegen_snmp_looks_total");
    assert_eq!(looks(), 0);
    let to = format!("udp:127.0.0.1:{traps}");
    let sent = Command::new("snmptrap")
        .args(["-v2c", "-c", "public", &to, "42", "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.2.1.2.2.1.1.1", "i", "1"])
        .env("MIBS", "")
        .status()
        .unwrap();
    assert!(sent.success());
    wait("the look", || looks() == 1);
    assert!(sink.wait_taken(telegen_model::Signal::Logs, 1).await);
    let log = sink.logs().into_iter().find(|l| l.event_name == "snmp.trap").unwrap();
    let attrs: BTreeMap<String, String> = log
        .attrs
        .iter()
        .map(|kv| (kv.key.to_string(), kv.value.as_str().unwrap_or_default().to_owned()))
        .collect();
    assert_eq!(attrs["snmp.trap.oid"], "1.3.6.1.6.3.1.1.5.3");
    assert_eq!(attrs["network.interface.name"], "lo");
    // The page's view of it: what came is there, an interface with its name among it.
    let device = || get(own, "/api/v1/view/device?name=host");
    wait("the page", || device().contains("\"name\":\"linkDown\"") && device().contains("\"name\":\"lo\""));
    assert!(get(own, "/api/v1/view/device?name=other").contains("\"gone\""));
    // At once again: once in ten seconds is enough.
    for _ in 0..3 {
        let again = Command::new("snmptrap")
            .args([
                "-v2c",
                "-c",
                "public",
                &to,
                "42",
                "1.3.6.1.6.3.1.1.5.4",
                "1.3.6.1.2.1.2.2.1.1.1",
                "i",
                "1",
            ])
            .env("MIBS", "")
            .status();
        assert!(again.unwrap().success());
    }
    assert!(sink.wait_taken(telegen_model::Signal::Logs, 4).await);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(looks(), 1);
    assert_eq!(telegen.stop(), Some(0));
}
