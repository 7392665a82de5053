use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use telegen_model::{Records, ResourceGroup, Scope, Signal};
use telegen_pipeline::Input;
use telegen_selfmon::{Counter, SelfMon};
use telegen_sys::datagram::{BATCH, Many, Outgoing, ready, receive_buffer, send_many};
use telegen_sys::unix_ns;

use super::budget::{Bucket, Sites};
use super::clock::Moment;
use super::device::Device;
use super::resolve::{Found, Resolver};
use super::status::Devices;
use super::target::{Target, Targets};
use crate::client::message_len;
use crate::profile::Library;
use crate::protocol::{Leniency, Writer, parse};
use crate::session::{Received, answer_id};
use crate::settings::Budget;
use crate::{Fault, Known};

/// Sockets of a kind; answers spread over their buffers.
const SOCKETS: usize = 4;
/// Receive buffer asked for, each.
const BUFFER: usize = 8 << 20;
/// What an answer takes of a receive buffer at most, overhead included.
const ANSWER_COST: usize = 4608;
/// Longest sleep: signals to stop and new targets are looked at so often.
const TURN: Duration = Duration::from_millis(100);
/// Most questions under way at once, whatever the buffers hold.
const MOST_PENDING: usize = 4096;
/// First polls are spread by this much a device: they ask for more than later ones, and all that they make must be sent.
const FIRST_SPREAD: Duration = Duration::from_millis(5);
/// A device is looked at again at most so often because it said that it changed.
const LOOKED_AGAIN: Duration = Duration::from_secs(10);
/// Devices that are looked at again in one turn, at most.
const MOST_LOOKS: usize = 32;
/// Largest message over TCP.
const LARGEST_STREAMED: usize = 65_535;

/// What a poller needs.
pub struct PollerSettings {
    /// Devices, those of this shard.
    pub targets: Targets,
    /// Profiles.
    pub library: Library,
    /// Where metrics go.
    pub input: Input,
    /// Scope of what leaves.
    pub scope: Scope,
    /// Own metrics and the ledger.
    pub mon: SelfMon,
    /// Resources by address, kept for notifications.
    pub known: Known,
    /// Packets a second.
    pub budget: Budget,
    /// Whether other processes may poll these devices at this moment: then the first poll of each stands at its moment
    /// too, and not as soon as can be.
    pub shared: bool,
}

/// Why the poller cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PollerError {
    /// A socket or thread.
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
}

/// The poller at work, on a thread of its own.
pub struct Poller {
    shared: Arc<Shared>,
    devices: Devices,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    stop: AtomicBool,
    /// New targets, and from when on they count: ns since 1970, or at once.
    targets: Mutex<Option<(Targets, Option<u64>)>>,
}

impl Poller {
    /// Starts to poll.
    pub fn start(settings: PollerSettings) -> Result<Poller, PollerError> {
        let devices = Devices::default();
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            targets: Mutex::new(Some((settings.targets.clone(), settings.shared.then(unix_ns)))),
        });
        let mut engine = Engine::new(settings, devices.clone())?;
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("telegen-snmp".into())
            .spawn(move || engine.run(&of_thread))
            .map_err(|e| PollerError::Io("poller thread", e))?;
        Ok(Poller { shared, devices, thread: Mutex::new(Some(thread)) })
    }

    /// The devices as they stand.
    pub fn devices(&self) -> Devices {
        self.devices.clone()
    }

    /// Polls these devices from now on. Those that stay keep all that is known of them.
    pub fn set_targets(&self, targets: Targets) {
        *self.shared.targets.lock().unwrap_or_else(PoisonError::into_inner) = Some((targets, None));
    }

    /// Polls these devices from a moment on (ns since 1970). All shards change at the same one, the begin of an interval:
    /// a device's polls stand at the same moments whoever makes them, so none is left out and none made twice.
    pub fn set_targets_at(&self, targets: Targets, from: u64) {
        *self.shared.targets.lock().unwrap_or_else(PoisonError::into_inner) = Some((targets, Some(from)));
    }

    /// Ends; polls under way are left.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// A question under way.
struct Pending {
    device: usize,
    task: usize,
    poll: u64,
    sent: Instant,
    first: bool,
    peer: SocketAddr,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A device's next poll.
    Due(usize, u64),
    /// A question's last moment.
    Late(i32),
    /// The budget of a device or its site allows the next packet.
    Allowed(usize, u64),
}

struct Slot {
    device: Device,
    phase: u64,
    /// Number of the device's place in the table: what is meant for another one is ignored.
    generation: u64,
    /// Number of the poll under way.
    poll: u64,
    due: u64,
    queued: bool,
    /// Its address is being asked for.
    resolving: bool,
    site: Option<usize>,
    bucket: Option<Bucket>,
    /// When it was last looked at because it said that it changed.
    looked: Option<Instant>,
}

/// A connection.
struct Stream {
    stream: TcpStream,
    peer: SocketAddr,
    generation: u64,
    /// The begin of a message whose end is still to come.
    kept: Vec<u8>,
}

struct Stats {
    polls: Counter,
    failed: Counter,
    overrun: Counter,
    packets: Counter,
    answers: Counter,
    timeouts: Counter,
    foreign: Counter,
    malformed: Counter,
    duplicates: Counter,
    looks: Counter,
    delayed: Counter,
}

struct Engine {
    /// From when on time is counted that nobody sets.
    begun: Instant,
    slots: Vec<Option<Slot>>,
    by_name: BTreeMap<String, usize>,
    v4: Vec<UdpSocket>,
    v6: Vec<UdpSocket>,
    pending: HashMap<i32, Pending, foldhash::fast::FixedState>,
    timers: BinaryHeap<Reverse<(Instant, Timer)>>,
    waiting: VecDeque<usize>,
    capacity: usize,
    next_id: i32,
    generation: u64,
    writer: Writer,
    bytes: Vec<u8>,
    outgoing: Vec<(usize, SocketAddr, usize)>,
    scratch: Vec<u8>,
    library: Library,
    input: Input,
    scope: Scope,
    mon: SelfMon,
    devices: Devices,
    known: Known,
    stats: Stats,
    sites: Sites,
    resolver: Resolver,
    /// Connections of devices that are polled over TCP, by place.
    streams: BTreeMap<usize, Stream>,
    /// Targets that count from a later moment on.
    coming: Option<(Targets, u64)>,
}

impl Engine {
    fn new(settings: PollerSettings, devices: Devices) -> Result<Engine, PollerError> {
        let open = |address: SocketAddr| -> io::Result<(UdpSocket, usize)> {
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            let granted = receive_buffer(&socket, BUFFER)?;
            Ok((socket, granted))
        };
        let mut granted = 0;
        let mut v4 = Vec::new();
        for _ in 0..SOCKETS {
            let (socket, size) =
                open(([0, 0, 0, 0], 0).into()).map_err(|e| PollerError::Io("socket for IPv4", e))?;
            granted += size;
            v4.push(socket);
        }
        // A host without IPv6 polls over IPv4 alone.
        let v6 = open(([0u16; 8], 0).into()).map(|(s, _)| vec![s]).unwrap_or_default();
        let mon = settings.mon.clone();
        let poll = |outcome| {
            mon.counter(
                "telegen.snmp.polls",
                "{poll}",
                "Polls of devices by what became of them.",
                &[("outcome", outcome)],
            )
        };
        let packet = |kind| {
            mon.counter("telegen.snmp.packets", "{packet}", "Messages of polls by kind.", &[("kind", kind)])
        };
        let stats = Stats {
            polls: poll("done"),
            failed: poll("failed"),
            overrun: poll("overrun"),
            packets: packet("question"),
            answers: packet("answer"),
            timeouts: packet("timeout"),
            foreign: packet("foreign"),
            malformed: packet("malformed"),
            delayed: packet("delayed_by_budget"),
            looks: mon.counter(
                "telegen.snmp.looks",
                "{poll}",
                "Polls of interfaces because a notification said that one changed.",
                &[],
            ),
            duplicates: mon.counter(
                "telegen.snmp.duplicates",
                "{value}",
                "Values of rows that cannot be told from another of the same poll; the first stands.",
                &[],
            ),
        };
        Ok(Engine {
            begun: Instant::now(),
            slots: Vec::new(),
            by_name: BTreeMap::new(),
            v4,
            v6,
            pending: HashMap::default(),
            timers: BinaryHeap::new(),
            waiting: VecDeque::new(),
            capacity: (granted / ANSWER_COST).clamp(16, MOST_PENDING),
            next_id: fastrand::i32(1..i32::MAX / 2),
            generation: 0,
            writer: Writer::new(),
            bytes: Vec::new(),
            outgoing: Vec::new(),
            scratch: Vec::new(),
            library: settings.library,
            input: settings.input,
            scope: settings.scope,
            mon: settings.mon,
            devices,
            known: settings.known,
            stats,
            sites: Sites::new(settings.budget),
            resolver: Resolver::start().map_err(|e| PollerError::Io("resolver thread", e))?,
            streams: BTreeMap::new(),
            coming: None,
        })
    }

    fn run(&mut self, shared: &Shared) {
        let mut many = Many::new(16_384);
        while !shared.stop.load(Ordering::Acquire) {
            let fresh = shared.targets.lock().unwrap_or_else(PoisonError::into_inner).take();
            match fresh {
                Some((targets, None)) => {
                    self.coming = None;
                    self.set_targets(&targets, None);
                }
                Some((targets, Some(from))) => self.coming = Some((targets, from)),
                None => {}
            }
            if self.coming.as_ref().is_some_and(|(_, from)| unix_ns() >= *from)
                && let Some((targets, from)) = self.coming.take()
            {
                self.set_targets(&targets, Some(from));
            }
            self.resolved();
            self.look_again();
            self.due();
            self.send();
            let wait = self.timers.peek().map_or(TURN, |Reverse((at, timer))| {
                let wait = at.saturating_duration_since(Instant::now()).min(TURN);
                // What may be a little late is done together; what is timed is not late.
                if matches!(timer, Timer::Allowed(..)) { wait } else { whole_millis(wait) }
            });
            let udp = self.v4.iter().chain(&self.v6).map(AsFd::as_fd);
            let connected: Vec<usize> = self.streams.keys().copied().collect();
            let tcp = connected.iter().filter_map(|at| self.streams.get(at)).map(|s| s.stream.as_fd());
            let all: Vec<BorrowedFd<'_>> = udp.chain(tcp).collect();
            let datagrams = self.v4.len() + self.v6.len();
            for place in ready(&all, wait).unwrap_or_default() {
                match place.checked_sub(datagrams) {
                    None => self.receive(place, &mut many),
                    Some(n) => self.receive_stream(connected[n]),
                }
            }
        }
    }

    fn set_targets(&mut self, targets: &Targets, from: Option<u64>) {
        let mut gone: BTreeMap<String, usize> = std::mem::take(&mut self.by_name);
        let now = unix_ns();
        let spread = FIRST_SPREAD * u32::try_from(targets.len()).unwrap_or(u32::MAX).min(30_000);
        for target in targets {
            if let Some(at) = gone.remove(&target.name) {
                let same = self.slots[at].as_ref().is_some_and(|s| {
                    let old = &s.device.target;
                    old.address == target.address
                        && old.profile == target.profile
                        && old.labels == target.labels
                        && old.interval == target.interval
                        && old.credentials.len() == target.credentials.len()
                        && old
                            .credentials
                            .iter()
                            .zip(&target.credentials)
                            .all(|(a, b)| Arc::ptr_eq(&a.access, &b.access))
                });
                if same {
                    self.by_name.insert(target.name.clone(), at);
                    continue;
                }
                self.slots[at] = None;
                self.known.remove(&target.name);
            }
            let at = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
            if at == self.slots.len() {
                self.slots.push(None);
            }
            self.generation += 1;
            let hash = hash_of(&target.name);
            let interval = target.interval.as_nanos() as u64;
            let first = match from {
                None => now + hash % (spread.as_nanos() as u64).clamp(1, interval),
                // Taken over: its polls stand where they stood. What is past by now is made up for at once.
                Some(from) => next_of(hash, interval, from).max(now),
            };
            let (site, bucket) = (self.sites.of(&target.labels), self.sites.device());
            let slot = Slot {
                device: Device::new(target.clone()),
                phase: hash % interval,
                generation: self.generation,
                poll: 0,
                due: first,
                queued: false,
                resolving: false,
                site,
                bucket,
                looked: None,
            };
            self.devices.set(slot.device.status());
            self.slots[at] = Some(slot);
            self.by_name.insert(target.name.clone(), at);
            let when = Instant::now() + Duration::from_nanos(first - now);
            self.timers.push(Reverse((when, Timer::Due(at, self.generation))));
        }
        for (name, at) in gone {
            self.slots[at] = None;
            self.devices.remove(&name);
            self.known.remove(&name);
        }
    }

    /// Begins the polls whose time has come, ends the questions whose time is up.
    fn due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, _))) = self.timers.peek() {
            if *at > now {
                return;
            }
            let Some(Reverse((_, timer))) = self.timers.pop() else { return };
            match timer {
                Timer::Due(at, generation) => self.begin(at, generation, now),
                Timer::Allowed(at, generation) => {
                    if self.slots.get(at).and_then(Option::as_ref).is_some_and(|s| s.generation == generation)
                    {
                        self.queue(at);
                    }
                }
                Timer::Late(id) => {
                    if let Some(pending) = self.pending.remove(&id) {
                        self.stats.timeouts.inc();
                        self.fail(pending.device, pending.task, pending.poll, Fault::Timeout);
                    }
                }
            }
        }
    }

    fn begin(&mut self, at: usize, generation: u64, now: Instant) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        if slot.generation != generation {
            return;
        }
        let interval = (slot.device.target.interval.as_nanos() as u64).max(1);
        let unix = unix_ns();
        let late = Duration::from_nanos(unix.saturating_sub(slot.due));
        // One poll in each interval, at this device's moment of it: the same for whoever polls it.
        slot.due = slot.due - slot.due % interval + interval + slot.phase;
        if slot.due <= unix {
            slot.due = next_of(slot.phase, interval, unix + 1);
        }
        let next = now + Duration::from_nanos(slot.due - unix);
        self.timers.push(Reverse((next, Timer::Due(at, generation))));
        if let Some(poll) = &slot.device.poll {
            self.stats.overrun.inc();
            if now.saturating_duration_since(poll.begun) < slot.device.target.interval * 2 {
                return;
            }
            // It will not end by itself in time: what it has is told.
            slot.device.give_up();
            self.advance(at, now);
            let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
            slot.device.poll = None;
        }
        self.start(at, now, late, false);
    }

    fn start(&mut self, at: usize, now: Instant, late: Duration, interfaces_alone: bool) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        slot.poll += 1;
        let target = &slot.device.target;
        let unconnected = target.is_tcp() && !self.streams.contains_key(&at);
        if slot.device.peer.is_none() && target.is_literal() && !unconnected {
            slot.device.peer = target.resolve();
        } else if (slot.device.peer.is_none() || unconnected) && !slot.resolving {
            slot.device.peer = None;
            slot.resolving = self.resolver.ask(at, slot.generation, &slot.device.target);
        }
        slot.device.begin(now, late, interfaces_alone);
        self.queue(at);
    }

    /// Takes over addresses that were asked for.
    fn resolved(&mut self) {
        for Found { at: (at, generation), address, stream } in self.resolver.take() {
            let slot = self.slots.get_mut(at).and_then(Option::as_mut);
            if let Some(slot) = slot.filter(|s| s.generation == generation) {
                slot.resolving = false;
                slot.device.peer = address;
                if let (Some(stream), Some(peer)) = (stream, address) {
                    self.streams.insert(at, Stream { stream, peer, generation, kept: Vec::new() });
                }
                self.queue(at);
            }
        }
    }

    /// Polls the interfaces of devices that told of a change.
    fn look_again(&mut self) {
        let changed = self.known.take_changed();
        if changed.is_empty() {
            return;
        }
        let now = Instant::now();
        let of_them = |s: &Slot| s.device.peer.is_some_and(|p| changed.contains(&p.ip().to_canonical()));
        let places: Vec<usize> = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, s)| s.as_ref().is_some_and(of_them))
            .map(|(at, _)| at)
            .collect();
        for (n, at) in places.into_iter().enumerate() {
            let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { continue };
            if slot.looked.is_some_and(|l| now.duration_since(l) < LOOKED_AGAIN) {
                continue;
            }
            if slot.device.poll.is_some() || n >= MOST_LOOKS {
                // Later: what is being read may be from before the change.
                if let Some(peer) = slot.device.peer {
                    self.known.changed(peer.ip());
                }
                continue;
            }
            slot.looked = Some(now);
            self.stats.looks.inc();
            self.start(at, now, Duration::ZERO, true);
        }
    }

    fn queue(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut)
            && !slot.queued
        {
            slot.queued = true;
            self.waiting.push_back(at);
        }
    }

    /// Sends what may be sent.
    fn send(&mut self) {
        while self.pending.len() < self.capacity {
            let Some(at) = self.waiting.pop_front() else { break };
            if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) {
                slot.queued = false;
                self.ask(at);
            }
            if self.outgoing.len() >= BATCH {
                self.flush();
            }
        }
        self.flush();
    }

    fn ask(&mut self, at: usize) {
        let now = Instant::now();
        while let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) {
            let Some(task) = slot.device.ready() else { return };
            if let Some(then) = slot.device.not_before().filter(|then| *then > now) {
                self.timers.push(Reverse((then, Timer::Allowed(at, slot.generation))));
                return;
            }
            if slot.resolving && slot.device.peer.is_none() {
                return;
            }
            let Some(peer) = slot.device.peer else {
                let poll = slot.poll;
                self.fail(at, task, poll, Fault::NoAddress);
                return;
            };
            let v6 = peer.is_ipv6();
            if v6 && self.v6.is_empty() {
                let poll = slot.poll;
                self.fail(at, task, poll, Fault::Unreachable);
                return;
            }
            if let Some(wait) = self.sites.take(slot.site, slot.bucket.as_mut(), now) {
                self.stats.delayed.inc();
                let again = Timer::Allowed(at, slot.generation);
                self.timers.push(Reverse((now + wait.max(Duration::from_millis(1)), again)));
                return;
            }
            self.next_id = if self.next_id == i32::MAX { 1 } else { self.next_id + 1 };
            let id = self.next_id;
            let first = slot.device.is_first_try(task);
            let Some((message, wait)) = slot.device.encode(task, id, &mut self.writer, now) else { return };
            if slot.device.target.is_tcp() {
                // A message is small against a connection's buffer: one that does not take it is none.
                let generation = slot.generation;
                let of = self.streams.get_mut(&at).filter(|s| s.generation == generation);
                if of.is_none_or(|s| s.stream.write_all(message).is_err()) {
                    self.streams.remove(&at);
                    let poll = slot.poll;
                    self.fail(at, task, poll, Fault::Refused);
                    return;
                }
            } else {
                self.bytes.extend_from_slice(message);
                let socket = if v6 { SOCKETS } else { at % SOCKETS };
                self.outgoing.push((self.bytes.len(), peer, socket));
            }
            self.stats.packets.inc();
            let pending = Pending { device: at, task, poll: slot.poll, sent: now, first, peer };
            self.pending.insert(id, pending);
            self.timers.push(Reverse((now + wait, Timer::Late(id))));
        }
    }

    fn flush(&mut self) {
        for number in 0..=SOCKETS {
            let socket = if number == SOCKETS { self.v6.first() } else { self.v4.get(number) };
            let Some(socket) = socket else { continue };
            let mut from = 0;
            let mut batch: Vec<Outgoing<'_>> = Vec::new();
            for (end, to, of) in &self.outgoing {
                if *of == number {
                    batch.push(Outgoing { bytes: &self.bytes[from..*end], to: Some(*to), from: None });
                }
                from = *end;
            }
            let mut rest = &batch[..];
            while !rest.is_empty() {
                // What the kernel does not take now is asked again when its time is up.
                rest = match send_many(socket, rest) {
                    Ok(0) => break,
                    Ok(n) => &rest[n..],
                    Err(_) => &rest[1..],
                };
            }
        }
        self.outgoing.clear();
        self.bytes.clear();
    }

    fn receive(&mut self, number: usize, many: &mut Many) {
        // The socket is taken out while its datagrams are handed to the engine.
        let v6 = number >= self.v4.len();
        let socket = if v6 { self.v6.pop() } else { Some(self.v4.swap_remove(number)) };
        let Some(socket) = socket else { return };
        let _ = many.receive(&socket, |d| self.take(d.bytes, d.from));
        if v6 {
            self.v6.push(socket);
        } else {
            self.v4.push(socket);
            let last = self.v4.len() - 1;
            self.v4.swap(number, last);
        }
    }

    /// What came over a connection, message by message.
    fn receive_stream(&mut self, at: usize) {
        let Some(mut of) = self.streams.remove(&at) else { return };
        let mut part = [0; 16_384];
        let open = loop {
            match of.stream.read(&mut part) {
                Ok(0) => break false,
                Ok(n) => of.kept.extend_from_slice(&part[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break e.kind() == io::ErrorKind::WouldBlock,
            }
            if of.kept.len() > LARGEST_STREAMED {
                break false;
            }
        };
        let mut from = 0;
        let mut sound = true;
        while let Some(length) = message_len(&of.kept[from..]) {
            sound = length <= LARGEST_STREAMED;
            let Some(message) = of.kept.get(from..from.saturating_add(length)).filter(|_| sound) else {
                break;
            };
            self.take(message, of.peer);
            from += length;
        }
        of.kept.drain(..from);
        // A connection that ended is made anew with the next poll; what was asked over it runs out of time.
        let same = |s: &Slot| s.generation == of.generation;
        if open && sound && self.slots.get(at).and_then(Option::as_ref).is_some_and(same) {
            self.streams.insert(at, of);
        }
    }

    fn take(&mut self, bytes: &[u8], from: SocketAddr) {
        self.stats.answers.inc();
        let raw = match parse(bytes, Leniency::POLLED) {
            Ok(raw) => raw,
            Err(e) => {
                self.stats.malformed.inc();
                self.malformed(from, e);
                return;
            }
        };
        let Some(pending) = answer_id(&raw).and_then(|id| self.pending.get(&id).map(|p| (id, p))) else {
            self.stats.foreign.inc();
            return;
        };
        let (id, Pending { device, task, poll, sent, first, peer }) = pending;
        let (device, task, poll, sent, first) = (*device, *task, *poll, *sent, *first);
        let slot = self.slots.get_mut(device).and_then(Option::as_mut).filter(|s| s.poll == poll);
        let Some(slot) = slot.filter(|_| *peer == from) else {
            self.stats.foreign.inc();
            return;
        };
        let now = Instant::now();
        let Some(session) = slot.device.session() else { return };
        // The scratch buffer is out of the engine while an answer may lie in it.
        let mut scratch = std::mem::take(&mut self.scratch);
        let received = session.receive((&raw, bytes), id, &mut scratch, now);
        match received {
            Ok(Received::Foreign) => {
                self.stats.foreign.inc();
                self.scratch = scratch;
                return;
            }
            Ok(Received::Again) => slot.device.again(task),
            Ok(Received::Answer(pdu)) => {
                if first {
                    slot.device.rtt.took(now - sent);
                }
                let (came, took) = (unix_ns(), nanos(now - sent));
                let steady = nanos(now - self.begun);
                slot.device.answered(task, &pdu, Moment { sent: came.saturating_sub(took), came, steady });
            }
            Err(fault) => slot.device.failed(task, fault),
        }
        self.scratch = scratch;
        self.pending.remove(&id);
        self.advance(device, now);
    }

    /// What is no message ends the question that is under way to its sender, if there is one alone.
    fn malformed(&mut self, from: SocketAddr, e: crate::protocol::DecodeError) {
        let mut of = self.pending.iter().filter(|(_, p)| p.peer == from).map(|(id, _)| *id);
        let (Some(id), None) = (of.next(), of.next()) else { return };
        if let Some(p) = self.pending.remove(&id) {
            self.fail(p.device, p.task, p.poll, Fault::Malformed(e));
        }
    }

    fn fail(&mut self, at: usize, task: usize, poll: u64, fault: Fault) {
        let slot = self.slots.get_mut(at).and_then(Option::as_mut).filter(|s| s.poll == poll);
        let Some(slot) = slot else { return };
        slot.device.failed(task, fault);
        if fault == Fault::Timeout || fault == Fault::NoAddress {
            // A name may have moved.
            slot.device.peer = slot.device.peer.filter(|_| slot.device.target.is_literal());
        }
        self.advance(at, Instant::now());
    }

    fn advance(&mut self, at: usize, now: Instant) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        if let Some(outcome) = slot.device.advance(&self.library, now) {
            let down = slot.device.state == super::status::DeviceState::Down;
            if down {
                self.stats.failed.inc()
            } else {
                self.stats.polls.inc()
            }
            let status = slot.device.status();
            if let Some(peer) = slot.device.peer {
                let interfaces = slot.device.interfaces();
                self.known.set(peer.ip(), &slot.device.target, &outcome.resource, interfaces);
            }
            if outcome.duplicates > 0 {
                self.stats.duplicates.add(outcome.duplicates);
            }
            if !outcome.events.is_empty() {
                let records = Records::Logs(outcome.events);
                self.mon.ledger.produced(Signal::Logs, "snmp", records.items() as u64);
                let (resource, scope) = (outcome.resource.clone(), self.scope.clone());
                self.input.push(ResourceGroup { resource, scope, records });
            }
            let records = Records::Metrics(outcome.metrics);
            self.mon.ledger.produced(Signal::Metrics, "snmp", records.items() as u64);
            self.input.push(ResourceGroup { resource: outcome.resource, scope: self.scope.clone(), records });
            self.devices.set(status);
        } else if slot.device.poll.is_some() {
            self.queue(at);
        }
    }
}

impl Target {
    fn is_literal(&self) -> bool {
        self.host_port().0.parse::<std::net::IpAddr>().is_ok()
    }
}

fn whole_millis(of: Duration) -> Duration {
    Duration::from_millis(of.as_micros().div_ceil(1000) as u64)
}

fn nanos(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

/// A hash that is the same in every process of every machine.
fn hash_of(name: &str) -> u64 {
    let mut hasher = foldhash::quality::FixedState::with_seed(0x7465_6c65_6765_6e00).build_hasher();
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// The first moment at or after `from` that lies `phase` behind the begin of an interval.
fn next_of(phase: u64, interval: u64, from: u64) -> u64 {
    let moment = from - from % interval + phase % interval;
    if moment >= from { moment } else { moment + interval }
}

/// Whether a device belongs to this shard: the highest hash of name and shard wins, so that one shard more takes only its
/// part and moves nothing else.
pub fn is_ours(name: &str, index: u32, of: u32) -> bool {
    let weight = |shard: u32| {
        let mut hasher = foldhash::quality::FixedState::with_seed(u64::from(shard) + 1).build_hasher();
        hasher.write(name.as_bytes());
        hasher.finish()
    };
    (0..of).max_by_key(|s| weight(*s)) == Some(index)
}
