//! `/metrics` of a collector: what devices and others send, where `export.prometheus` is written.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use telegen_snmp::simulate::{Conditions, Simulator};

use super::{Telegen, get, tcp_port, wait};

/// A metric of a service that only names itself, as JSON.
const SENT: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s1"}}]},
"scopeMetrics":[{"metrics":[{"name":"orders","gauge":{"dataPoints":[{"timeUnixNano":"1","asInt":"41"}]}}]}]}]}"#;

fn post(port: u16, body: &str) -> String {
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        tcp,
        "POST /v1/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_scrape_of_a_collector_shows_devices_and_what_others_send() {
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("switch.snmprec");
    std::fs::write(&recording, "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.1\n1.3.6.1.2.1.1.3.0|67|123456\n")
        .unwrap();
    let conditions = Conditions { live: true, ..Conditions::default() };
    let mut simulator =
        Simulator::open(&recording, ([127, 95, 1, 1], 0).into(), Some(1), conditions).unwrap();
    let simulated = simulator.devices().next().unwrap().0;
    let stop = Arc::new(AtomicBool::new(false));
    let ended = stop.clone();
    let device = std::thread::spawn(move || simulator.run(&ended).unwrap());
    for (section, shows) in [("{}", true), ("{ enabled: true }", true), ("{ enabled: false }", false)] {
        let (own, http, file) = (tcp_port(), tcp_port(), dir.path().join("telegen.yaml"));
        let text = format!(
            "server: {{ listen: 127.0.0.1:{own} }}\nreceive: {{ otlp: {{ http: 127.0.0.1:{http} }} }}\n\
             export: {{ prometheus: {section}, file: {{ path: {}, signals: [metrics] }} }}\n\
             collector: {{ snmp: {{ interval: 1s, credentials: {{ public: {{ version: 2c, community: public }} }},\n  \
             targets: [ {{ address: {simulated}, name: core-1, credentials: [public] }} ] }} }}\n",
            dir.path().join("out.jsonl").display()
        );
        std::fs::write(&file, text).unwrap();
        let telegen = Telegen::start(&file);
        let answer = post(http, SENT);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let polled = "snmp_device_up_ratio{job=\"snmp\",instance=\"core-1\"";
        let other = "orders{job=\"s1\",instance=\"\"} 41";
        match shows {
            true => wait("telemetry is shown", || {
                let text = get(own, "/metrics");
                text.contains(polled) && text.contains(other)
            }),
            false => {
                wait("telemetry leaves", || {
                    let left = std::fs::read_to_string(dir.path().join("out.jsonl")).unwrap_or_default();
                    left.contains("snmp.device.up") && left.contains("orders")
                });
                let text = get(own, "/metrics");
                assert!(text.contains("telegen_build_info") && !text.contains(polled), "{text}");
                assert!(!text.contains(other), "{text}");
            }
        }
        std::fs::remove_file(dir.path().join("out.jsonl")).ok();
        assert_eq!(telegen.stop(), Some(0));
    }
    stop.store(true, Ordering::Relaxed);
    device.join().unwrap();
}
