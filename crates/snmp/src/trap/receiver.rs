use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use telegen_model::{KeyValue, LogRecord, Records, Resource, ResourceGroup, Scope, Signal};
use telegen_pipeline::{Ack, AckLevel, Acked, Input};
use telegen_selfmon::{Counter, SelfMon};
use telegen_sys::datagram::{Many, readable, receive_buffer, socket_drops};
use telegen_sys::unix_ns;

use super::authority::Authority;
use super::intake::{Allowed, Intake, Verdict};
use super::record;
use crate::Known;
use crate::client::message_len;
use crate::protocol::Writer;

/// Largest message.
const LARGEST: usize = 8192;
/// Receive buffer asked for.
const BUFFER: usize = 32 << 20;
/// Most TCP connections at once.
const MOST_CONNECTIONS: usize = 64;
/// A connection that says nothing for so long is closed.
const SILENCE: Duration = Duration::from_secs(300);
/// Signals to stop and the sockets' losses are looked at so often.
const TURN: Duration = Duration::from_millis(200);
/// Resources of senders that are no targets.
const MOST_SENDERS: usize = 10_000;
/// Informs that are remembered, so that one sent again is not one more.
const MOST_INFORMS: usize = 65_536;
/// How long they are remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What a receiver needs.
pub struct TrapSettings {
    /// `udp://HOST:PORT`, `tcp://HOST:PORT`.
    pub listen: Vec<String>,
    /// Who may send.
    pub allowed: Allowed,
    /// Where accepted messages are sent on to.
    pub forward: Vec<String>,
    /// Whether an exporter that takes logs has a queue on disk: an inform is acknowledged when its record is there.
    pub durable: bool,
    /// A name that makes the engine id: the host's.
    pub name: String,
    /// Polled devices.
    pub known: Known,
    /// Where records go.
    pub input: Input,
    /// Scope of what leaves.
    pub scope: Scope,
    /// Own metrics and the ledger.
    pub mon: SelfMon,
}

/// Why notifications cannot be received.
#[derive(Debug, thiserror::Error)]
pub enum TrapError {
    /// An address.
    #[error("{0}: {1}")]
    Address(String, io::Error),
    /// A thread.
    #[error("trap thread: {0}")]
    Thread(io::Error),
}

/// The receiver at work, on threads of its own.
pub struct TrapReceiver {
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    addresses: Vec<SocketAddr>,
}

/// The way back to a sender.
#[derive(Clone)]
enum Way {
    Udp(Arc<UdpSocket>, SocketAddr),
    Tcp(Arc<Mutex<TcpStream>>),
}

impl Way {
    fn send(&self, bytes: &[u8]) {
        // A sender that went away asks again.
        match self {
            Way::Udp(socket, to) => drop(socket.send_to(bytes, to)),
            Way::Tcp(stream) => {
                drop(stream.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes));
            }
        }
    }
}

/// Informs by sender and request id: when one came, and whether it was acknowledged.
type Informs = HashMap<(SocketAddr, i32), (Instant, bool)>;

struct Shared {
    intake: Mutex<Intake>,
    input: Input,
    scope: Scope,
    mon: SelfMon,
    known: Known,
    senders: Mutex<HashMap<IpAddr, Arc<Resource>>>,
    durable: AtomicBool,
    forward: Vec<Forward>,
    forward_socket: UdpSocket,
    refused: Mutex<BTreeMap<&'static str, Counter>>,
    taken: [Counter; 2],
    /// By sender and request id: when it came, and whether it was acknowledged.
    informs: Arc<Mutex<Informs>>,
    connections: AtomicUsize,
}

enum Forward {
    Udp(SocketAddr),
    Tcp(SocketAddr, Mutex<Option<TcpStream>>),
}

impl TrapReceiver {
    /// Starts to receive.
    pub fn start(settings: TrapSettings) -> Result<TrapReceiver, TrapError> {
        let mut forward = Vec::new();
        for text in &settings.forward {
            let (tcp, address) = resolve(text)?;
            forward.push(if tcp { Forward::Tcp(address, Mutex::new(None)) } else { Forward::Udp(address) });
        }
        let any: SocketAddr = ([0, 0, 0, 0], 0).into();
        let kind = |k| {
            settings.mon.counter(
                "telegen.snmp.traps.taken",
                "{notification}",
                "Notifications taken, by kind.",
                &[("kind", k)],
            )
        };
        let taken = [kind("trap"), kind("inform")];
        let authority = Authority::new(&settings.name, unix_ns() / 1_000_000_000);
        let shared = Arc::new(Shared {
            intake: Mutex::new(Intake::new(settings.allowed, authority)),
            input: settings.input,
            scope: settings.scope,
            mon: settings.mon,
            known: settings.known,
            senders: Mutex::default(),
            durable: AtomicBool::new(settings.durable),
            forward,
            forward_socket: UdpSocket::bind(any).map_err(|e| TrapError::Address("forward".into(), e))?,
            refused: Mutex::default(),
            taken,
            informs: Arc::default(),
            connections: AtomicUsize::new(0),
        });
        let stop = Arc::new(AtomicBool::new(false));
        let (mut threads, mut addresses) = (Vec::new(), Vec::new());
        for text in &settings.listen {
            let (tcp, address) = resolve(text)?;
            let wrong = |e| TrapError::Address(text.clone(), e);
            let (shared, stop) = (shared.clone(), stop.clone());
            let builder = std::thread::Builder::new().name("telegen-traps".into());
            let thread = if tcp {
                let listener = TcpListener::bind(address).map_err(wrong)?;
                listener.set_nonblocking(true).map_err(wrong)?;
                addresses.push(listener.local_addr().map_err(wrong)?);
                builder.spawn(move || accept(&listener, &shared, &stop))
            } else {
                let socket = UdpSocket::bind(address).map_err(wrong)?;
                socket.set_nonblocking(true).map_err(wrong)?;
                receive_buffer(&socket, BUFFER).map_err(wrong)?;
                addresses.push(socket.local_addr().map_err(wrong)?);
                builder.spawn(move || datagrams(&Arc::new(socket), &shared, &stop))
            };
            threads.push(thread.map_err(TrapError::Thread)?);
        }
        Ok(TrapReceiver { shared, stop, threads: Mutex::new(threads), addresses })
    }

    /// Where it listens, in the order of the settings.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Exporters came or went: whether one with a queue on disk is among them.
    pub fn set_durable(&self, durable: bool) {
        self.shared.durable.store(durable, Ordering::SeqCst);
    }

    /// Ends.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        for thread in std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)) {
            let _ = thread.join();
        }
    }
}

fn resolve(text: &str) -> Result<(bool, SocketAddr), TrapError> {
    let (tcp, rest) = match text.strip_prefix("tcp://") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix("udp://").unwrap_or(text)),
    };
    let wrong = |e| TrapError::Address(text.to_owned(), e);
    let first = rest.to_socket_addrs().map_err(wrong)?.next();
    Ok((tcp, first.ok_or_else(|| wrong(io::ErrorKind::AddrNotAvailable.into()))?))
}

/// Records of one turn, by resource.
#[derive(Default)]
struct Gathered(Vec<(Arc<Resource>, Vec<LogRecord>)>);

fn datagrams(socket: &Arc<UdpSocket>, shared: &Shared, stop: &AtomicBool) {
    let mut many = Many::new(LARGEST);
    let mut out = Writer::new();
    let mut dropped = socket_drops(socket).unwrap_or(0);
    let mut looked = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let ready = readable(&[socket], TURN).unwrap_or(0) != 0;
        if ready {
            let now = Instant::now();
            let mut gathered = Gathered::default();
            let mut intake = shared.intake.lock().unwrap_or_else(PoisonError::into_inner);
            let came = many.receive(socket, |d| {
                if d.cut {
                    shared.refuse("too_large");
                    return;
                }
                let way = || Way::Udp(socket.clone(), d.from);
                let verdict = intake.take(d.bytes, d.from.ip(), now, &mut out);
                shared.apply(verdict, d.bytes, d.from, way, &mut out, &mut gathered);
            });
            drop(intake);
            if came.is_err() {
                std::thread::sleep(TURN);
            }
            shared.push(gathered);
        }
        // Also while nothing comes: what a burst cost is told soon.
        if looked.elapsed() >= TURN || !ready {
            looked = Instant::now();
            let all = socket_drops(socket).unwrap_or(dropped);
            let lost = u64::from(all.wrapping_sub(dropped));
            dropped = all;
            if lost > 0 {
                shared.mon.ledger.produced(Signal::Logs, "snmp", lost);
                shared.mon.ledger.lost(Signal::Logs, "socket", "socket_full", lost);
            }
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, stop: &Arc<AtomicBool>) {
    while !stop.load(Ordering::Acquire) {
        let Ok((stream, from)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        if shared.connections.fetch_add(1, Ordering::SeqCst) >= MOST_CONNECTIONS {
            shared.connections.fetch_sub(1, Ordering::SeqCst);
            shared.refuse("too_many_connections");
            continue;
        }
        let (of_thread, stop) = (shared.clone(), stop.clone());
        let spawned = std::thread::Builder::new().name("telegen-trap-tcp".into()).spawn(move || {
            let _ = connection(stream, from, &of_thread, &stop);
            of_thread.connections.fetch_sub(1, Ordering::SeqCst);
        });
        if spawned.is_err() {
            shared.connections.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn connection(stream: TcpStream, from: SocketAddr, shared: &Shared, stop: &AtomicBool) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(TURN))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let back = Arc::new(Mutex::new(stream.try_clone()?));
    let mut stream = stream;
    let (mut kept, mut out, mut heard) = (Vec::new(), Writer::new(), Instant::now());
    let mut part = [0; 4096];
    while !stop.load(Ordering::Acquire) && heard.elapsed() < SILENCE {
        match stream.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(n) => kept.extend_from_slice(&part[..n]),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
            Err(e) => return Err(e),
        }
        heard = Instant::now();
        let mut gathered = Gathered::default();
        let mut at = 0;
        while let Some(length) = message_len(&kept[at..]) {
            if length > LARGEST {
                shared.refuse("too_large");
                return Ok(());
            }
            let Some(message) = kept.get(at..at + length) else { break };
            let verdict = shared.intake.lock().unwrap_or_else(PoisonError::into_inner).take(
                message,
                from.ip(),
                heard,
                &mut out,
            );
            shared.apply(verdict, message, from, || Way::Tcp(back.clone()), &mut out, &mut gathered);
            at += length;
        }
        kept.drain(..at);
        shared.push(gathered);
    }
    Ok(())
}

impl Shared {
    fn refuse(&self, why: &'static str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused
            .entry(why)
            .or_insert_with(|| {
                self.mon.counter(
                    "telegen.snmp.traps.refused",
                    "{notification}",
                    "Notifications that were not taken, by reason.",
                    &[("reason", why)],
                )
            })
            .inc();
    }

    fn apply(
        &self,
        verdict: Verdict,
        bytes: &[u8],
        from: SocketAddr,
        way: impl Fn() -> Way,
        out: &mut Writer,
        gathered: &mut Gathered,
    ) {
        match verdict {
            Verdict::Refused(why, report) => {
                if !why.is_empty() {
                    self.refuse(why);
                }
                if report {
                    way().send(out.written());
                }
            }
            Verdict::Trap(record) => {
                self.taken[0].inc();
                self.send_on(bytes);
                let resource = self.resource(from.ip());
                let record = self.named(stamped(record), from.ip());
                match gathered.0.iter_mut().find(|(r, _)| Arc::ptr_eq(r, &resource)) {
                    Some((_, records)) => records.push(record),
                    None => gathered.0.push((resource, vec![record])),
                }
            }
            Verdict::Inform(record, id) => {
                let key = (from, id);
                match self.remember(key) {
                    Some(true) => return way().send(out.written()),
                    // Its acknowledgement is on its way.
                    Some(false) => return,
                    None => {}
                }
                self.taken[1].inc();
                self.send_on(bytes);
                let (way, answer, informs) = (way(), out.written().to_vec(), self.informs.clone());
                self.mon.ledger.produced(Signal::Logs, "snmp", 1);
                let record = self.named(stamped(record), from.ip());
                let group = self.group(self.resource(from.ip()), vec![record]);
                let settle = move |acked| {
                    let mut informs = informs.lock().unwrap_or_else(PoisonError::into_inner);
                    // What was lost is not acknowledged: it will be sent again.
                    if !matches!(acked, Acked::Reached(_)) {
                        informs.remove(&key);
                        return;
                    }
                    if let Some(entry) = informs.get_mut(&key) {
                        entry.1 = true;
                    }
                    drop(informs);
                    way.send(&answer);
                };
                if self.durable.load(Ordering::SeqCst) {
                    self.input.push_acked(group, Ack::durable(settle));
                } else {
                    // Without a queue on disk a record is as safe as it gets once it waits for its exporters.
                    self.input.push(group);
                    settle(Acked::Reached(AckLevel::Memory));
                }
            }
        }
    }

    /// Whether this inform came before, and if so whether it was acknowledged; from now on it did.
    fn remember(&self, key: (SocketAddr, i32)) -> Option<bool> {
        let mut informs = self.informs.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((at, acknowledged)) = informs.get(&key)
            && now.duration_since(*at) < REMEMBERED
        {
            return Some(*acknowledged);
        }
        if informs.len() >= MOST_INFORMS {
            informs.retain(|_, (at, _)| now.duration_since(*at) < REMEMBERED);
            if informs.len() >= MOST_INFORMS {
                informs.clear();
            }
        }
        informs.insert(key, (now, false));
        None
    }

    fn push(&self, gathered: Gathered) {
        for (resource, records) in gathered.0 {
            self.mon.ledger.produced(Signal::Logs, "snmp", records.len() as u64);
            self.input.push(self.group(resource, records));
        }
    }

    fn group(&self, resource: Arc<Resource>, records: Vec<LogRecord>) -> ResourceGroup {
        ResourceGroup { resource, scope: self.scope.clone(), records: Records::Logs(records) }
    }

    /// The resource of a polled device, or one with the address alone.
    fn resource(&self, from: IpAddr) -> Arc<Resource> {
        let from = from.to_canonical();
        if let Some(known) = self.known.resource(from) {
            return known;
        }
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if senders.len() >= MOST_SENDERS && !senders.contains_key(&from) {
            senders.clear();
        }
        let make = || Arc::new(Resource::new(vec![KeyValue::new("server.address", from.to_string())]));
        senders.entry(from).or_insert_with(make).clone()
    }

    /// Adds what the interface is called that a notification is about, and has the device looked at again where it says
    /// that it or an interface changed.
    fn named(&self, mut record: LogRecord, from: IpAddr) -> LogRecord {
        if let Some(number) = record::interface(&record) {
            for kv in self.known.interface(from, number) {
                if record.attrs.iter().all(|there| there.key != kv.key) {
                    record.attrs.push(kv);
                }
            }
        }
        if record::tells_change(&record) && !self.known.changed(from) {
            let what = "Devices that told of a change and were not looked at: too many waited for that.";
            self.mon.counter("telegen.snmp.looks.dropped", "{poll}", what, &[]).inc();
        }
        record
    }

    fn send_on(&self, bytes: &[u8]) {
        for forward in &self.forward {
            match forward {
                Forward::Udp(to) => drop(self.forward_socket.send_to(bytes, to)),
                Forward::Tcp(to, stream) => {
                    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
                    if stream.is_none() {
                        *stream = TcpStream::connect_timeout(to, Duration::from_millis(500)).ok();
                    }
                    if stream.as_mut().is_some_and(|s| s.write_all(bytes).is_err()) {
                        *stream = None;
                    }
                }
            }
        }
    }
}

fn stamped(mut record: LogRecord) -> LogRecord {
    record.observed = unix_ns();
    record.time = record.observed;
    record
}
