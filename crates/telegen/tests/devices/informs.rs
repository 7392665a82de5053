//! An inform that was acknowledged is on the disk, whatever happens next.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use telegen_model::Value as Attr;
use telegen_snmp::protocol::{Leniency, Oid, Raw, Value, Writer, parse, pdu_body, tag, write_varbind};
use telegen_snmp::session::answer_id;
use telegen_testkit::sink::OtlpSink;

use super::{Telegen, tcp_port, udp_port, wait};

/// The variable that tells informs apart.
const NUMBER: &str = "1.3.6.1.4.1.99999.1.0";

/// An inform of version 2c with a number.
fn inform(id: i32, number: i32) -> Vec<u8> {
    let oid = |text: &str| text.parse::<Oid>().unwrap();
    let mut out = Writer::new();
    write_varbind(&mut out, &oid(NUMBER), Value::Int(i64::from(number)));
    write_varbind(&mut out, &oid("1.3.6.1.6.3.1.1.4.1.0"), Value::Oid(&oid("1.3.6.1.4.1.99999.0.1")));
    write_varbind(&mut out, &oid("1.3.6.1.2.1.1.3.0"), Value::Ticks(1));
    pdu_body(&mut out, 0, tag::INFORM, [id, 0, 0]);
    out.field(tag::OCTETS, b"public");
    out.signed(tag::INTEGER, 1);
    out.close(tag::SEQUENCE, 0);
    out.written().to_vec()
}

/// Sends informs until it is stopped, each until it is acknowledged; several at a time.
fn storm(port: u16, first: i32, stop: &AtomicBool, acknowledged: &Mutex<BTreeSet<i32>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut open: Vec<(i32, Instant)> = Vec::new();
    let mut next = first;
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        while open.len() < 32 {
            // Nobody may listen just now: it is sent again.
            let _sent = socket.send(&inform(next, next));
            open.push((next, Instant::now()));
            next += 1;
        }
        while let Ok(n) = socket.recv(&mut buffer) {
            let raw: Raw<'_> = parse(&buffer[..n], Leniency::STRICT).unwrap();
            let id = answer_id(&raw).unwrap();
            open.retain(|(number, _)| *number != id);
            acknowledged.lock().unwrap().insert(id);
            if open.len() < 8 {
                break;
            }
        }
        for (number, sent) in &mut open {
            if sent.elapsed() > Duration::from_millis(300) {
                let _sent = socket.send(&inform(*number, *number));
                *sent = Instant::now();
            }
        }
    }
}

fn numbers(sink: &OtlpSink) -> BTreeSet<i32> {
    let number = |log: &telegen_model::LogRecord| {
        let kv = log.attrs.iter().find(|kv| kv.key == NUMBER).unwrap();
        let Attr::Int(n) = kv.value else { panic!("{kv:?}") };
        i32::try_from(n).unwrap()
    };
    sink.logs().iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_inform_is_lost_when_the_collector_is_killed() {
    let sink = OtlpSink::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (traps, config) = (udp_port(), dir.path().join("telegen.yaml"));
    let queue = dir.path().join("queue");
    // Beside the queue on disk one in memory whose peer is away: it holds up no acknowledgement.
    let text = format!(
        "mode: collector\nserver: {{ listen: \"\" }}\nexport:\n  otlp:\n    - {{ name: there, endpoint: \"http://{}\", \
         batch: {{ timeout: 50ms }}, retry: {{ initial: 50ms, max: 200ms }}, queue: {{ path: {} }} }}\n    \
         - {{ name: away, endpoint: \"http://127.0.0.1:{}\", queue: {{ when_full: drop_oldest }} }}\n\
         collector: {{ snmp: {{ traps: {{ listen: [\"udp://127.0.0.1:{traps}\"], communities: [public] }} }} }}\n",
        sink.addr(),
        queue.display(),
        tcp_port()
    );
    std::fs::write(&config, text).unwrap();
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
    let mut telegen = Telegen::start(&config);
    let senders: Vec<_> = (0..3)
        .map(|n| {
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            std::thread::spawn(move || storm(traps, 1 + n * 1_000_000, &stop, &acknowledged))
        })
        .collect();
    let count = || acknowledged.lock().unwrap().len();
    for _ in 0..4 {
        let before = count();
        wait("acknowledgements", || count() > before + 200);
        telegen.kill();
        telegen = Telegen::start(&config);
    }
    let before = count();
    wait("acknowledgements", || count() > before + 200);
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|s| s.join().unwrap());
    let acknowledged = acknowledged.lock().unwrap().clone();
    wait("what was acknowledged", || acknowledged.is_subset(&numbers(&sink)));
    eprintln!("{} informs acknowledged through 4 kills, all of them delivered", acknowledged.len());
    telegen.kill();
}

/// Records in a queue's folder, as the program tells.
fn queued(dir: &Path) -> String {
    let out =
        Command::new(env!("CARGO_BIN_EXE_telegen")).args(["queue", "inspect"]).arg(dir).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn an_inform_for_kafka_alone_is_on_the_disk_before_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (traps, config, queue) = (udp_port(), dir.path().join("telegen.yaml"), dir.path().join("queue"));
    let text = format!(
        "mode: collector\nserver: {{ listen: \"\" }}\nexport: {{ kafka: {{ brokers: [\"127.0.0.1:{}\"], queue: {{ path: {} \
         }} }} }}\ncollector: {{ snmp: {{ traps: {{ listen: [\"udp://127.0.0.1:{traps}\"], communities: [public] }} }} }}\n",
        tcp_port(),
        queue.display()
    );
    std::fs::write(&config, text).unwrap();
    let telegen = Telegen::start(&config);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", traps)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for number in 1..=50 {
        socket.send(&inform(number, number)).unwrap();
    }
    let mut buffer = [0; 2048];
    for _ in 1..=50 {
        socket.recv(&mut buffer).unwrap();
    }
    telegen.kill();
    let text = queued(&queue);
    assert!(text.contains("(50 items)"), "{text}");
}
