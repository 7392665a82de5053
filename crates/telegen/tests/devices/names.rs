//! Devices by name while the name server says nothing: those that have addresses are polled as ever.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use telegen_snmp::simulate::{Conditions, Simulator};

use super::{Telegen, get, tcp_port, wait};

/// Devices that have an address, and that have a name.
const LITERAL: usize = 20;
const NAMED: usize = 12;
/// A host of its own on the loopback device, for port 53.
const SERVER: [u8; 4] = [127, 94, 0, 53];

/// A name server that hears, and answers when it is told to: every name is the first device.
fn server(socket: UdpSocket, answers: Arc<AtomicBool>, heard: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut question = [0; 1500];
    while !stop.load(Ordering::Relaxed) {
        let Ok((n, from)) = socket.recv_from(&mut question) else { continue };
        heard.fetch_add(1, Ordering::Relaxed);
        if !answers.load(Ordering::Relaxed) {
            continue;
        }
        // Behind the header the name's labels, then type and class; further records of the question are not copied.
        let end = 12 + question[12..n].iter().position(|b| *b == 0).unwrap() + 5;
        let is_v4 = question[end - 4..end - 2] == [0, 1];
        let mut answer = question[..end].to_vec();
        answer[2..4].copy_from_slice(&[0x81, 0x80]);
        answer[6..12].copy_from_slice(&[0, u8::from(is_v4), 0, 0, 0, 0]);
        if is_v4 {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(Ipv4Addr::new(127, 94, 1, 1).octets());
        }
        let _sent = socket.send_to(&answer, from);
    }
}

#[test]
fn a_name_server_that_says_nothing_holds_up_no_device_that_has_an_address() {
    let dir = tempfile::tempdir().unwrap();
    let resolv = dir.path().join("resolv.conf");
    std::fs::write(&resolv, format!("nameserver {}\n", Ipv4Addr::from(SERVER))).unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::from(SERVER), 53));
    let mounts = Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|s| s.success());
    let (Ok(socket), true) = (socket, mounts) else {
        eprintln!("SKIPPED names: needs port 53 of the loopback device and a mount namespace");
        return;
    };
    let (answers, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let heard = Arc::new(AtomicUsize::new(0));
    let of_server = (answers.clone(), heard.clone(), stop.clone());
    let serving = std::thread::spawn(move || server(socket, of_server.0, of_server.1, of_server.2));

    let recording = dir.path().join("switch.snmprec");
    std::fs::write(&recording, "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.1\n1.3.6.1.2.1.1.3.0|67|123456\n")
        .unwrap();
    let listen: SocketAddr = ([127, 94, 1, 1], 0).into();
    let conditions = Conditions { live: true, ..Conditions::default() };
    let mut simulator = Simulator::open(&recording, listen, Some(LITERAL), conditions).unwrap();
    let port = simulator.devices().next().unwrap().0.port();
    let mut targets = String::new();
    // Those with names come first: what waited for one of them would hold up all behind it.
    for n in 0..NAMED {
        targets +=
            &format!("- {{ address: \"n{n}.nowhere.test:{port}\", name: a{n}, credentials: [public] }}\n");
    }
    for (n, (address, _)) in simulator.devices().enumerate() {
        targets += &format!("- {{ address: \"{address}\", name: d{n}, credentials: [public] }}\n");
    }
    let log = simulator.log();
    let ended = stop.clone();
    let simulated = std::thread::spawn(move || simulator.run(&ended).unwrap());
    let file = dir.path().join("targets.yaml");
    std::fs::write(&file, targets).unwrap();
    let (own, config) = (tcp_port(), dir.path().join("telegen.yaml"));
    let text = format!(
        "mode: collector\nserver: {{ listen: \"127.0.0.1:{own}\" }}\nexport: {{ file: {{ path: {:?} }} }}\ncollector:\n  \
         snmp:\n    interval: 1s\n    credentials: {{ public: {{ version: 2c, community: public }} }}\n    target_files: \
         [{file:?}]\n",
        dir.path().join("out.jsonl")
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "-m",
        "sh",
        "-c",
        "mount --bind \"$1\" /etc/resolv.conf && exec \"$2\" collector --config \"$3\"",
        "sh",
    ]);
    command.arg(&resolv).arg(env!("CARGO_BIN_EXE_telegen")).arg(&config);
    let telegen = Telegen::spawn(&mut command);

    let polls = |log: &Arc<Mutex<Vec<(usize, u64)>>>| {
        let mut out = [0; LITERAL];
        log.lock().unwrap().iter().for_each(|(device, _)| out[*device] += 1);
        out
    };
    // A lookup without an answer takes ten seconds; twelve of them one after another two minutes.
    wait("ten polls of each device with an address", || polls(&log).iter().all(|p| *p >= 10));
    assert!(heard.load(Ordering::Relaxed) > 0, "no name was asked for");
    let devices = get(own, "/api/v1/devices");
    assert_eq!(devices.matches("\"state\":\"up\"").count(), LITERAL, "{devices}");
    // The server comes back: the others are there too.
    answers.store(true, Ordering::Relaxed);
    wait("the devices with names", || {
        get(own, "/api/v1/devices").matches("\"state\":\"up\"").count() == LITERAL + NAMED
    });
    assert_eq!(telegen.stop(), Some(0));
    stop.store(true, Ordering::Relaxed);
    serving.join().unwrap();
    simulated.join().unwrap();
}
