use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use telegen_sys::datagram::{BATCH, Many, Outgoing, bind_to_loopback, readable, receive_buffer, send_many};

use super::agent::{Agent, Live};
use crate::protocol::{Data, Leniency, Raw, Writer, parse, tag};
use crate::recording::Recording;

/// Answers that may wait for their delay to pass.
const MOST_DELAYED: usize = 65_536;
/// sysUpTime.0
const UPTIME: &[u8] = &[0x2b, 6, 1, 2, 1, 1, 3, 0];

/// What the network between is like.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Time from question to answer.
    pub delay: Duration,
    /// Part of the questions that gets no answer, 0 to 1.
    pub loss: f64,
    /// Largest answer in bytes.
    pub max_size: usize,
    /// Whether sysUpTime and counters go on from where the recording ended.
    pub live: bool,
}

impl Default for Conditions {
    fn default() -> Conditions {
        Conditions { delay: Duration::ZERO, loss: 0.0, max_size: 1472, live: false }
    }
}

/// Why devices cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// A file or folder.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    File(PathBuf, io::Error),
    /// There is nothing to simulate.
    #[error("{path}: no .snmprec file", path = .0.display())]
    Empty(PathBuf),
    /// The socket.
    #[error("{0}: {1}")]
    Socket(SocketAddr, io::Error),
}

/// Virtual devices behind one socket.
pub struct Simulator {
    socket: UdpSocket,
    listen: SocketAddr,
    recordings: Vec<(String, Recording)>,
    by_name: BTreeMap<String, usize>,
    devices: usize,
    conditions: Conditions,
    polls: Vec<u64>,
    packets: u64,
    /// Every poll with its moment, for who wants to know.
    log: Option<PollLog>,
}

/// Polls as they came: the device's place and ns since 1970.
pub type PollLog = Arc<Mutex<Vec<(usize, u64)>>>;

/// Polls that a log holds at most.
const MOST_LOGGED: usize = 1 << 20;

/// End of an answer in the bytes, who gets it, and the address it comes from.
type Answer = (usize, SocketAddr, Option<Ipv4Addr>);

struct Delayed {
    at: Instant,
    bytes: Vec<u8>,
    to: SocketAddr,
    from: Option<Ipv4Addr>,
}

impl Simulator {
    /// Reads the recordings of a folder (or one file) and opens the socket. `devices` is how many there are; `None`:
    /// one a file.
    pub fn open(
        from: &Path,
        listen: SocketAddr,
        devices: Option<usize>,
        conditions: Conditions,
    ) -> Result<Simulator, SimulatorError> {
        let io = |e| SimulatorError::File(from.to_owned(), e);
        let mut paths = vec![from.to_owned()];
        if from.is_dir() {
            paths = fs::read_dir(from).map_err(io)?.flatten().map(|e| e.path()).collect();
            paths.retain(|p| p.extension().is_some_and(|e| e == "snmprec"));
            paths.sort();
        }
        let mut recordings = Vec::new();
        for path in paths {
            let recording = Recording::read(&path).map_err(|e| SimulatorError::File(path.clone(), e))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if recording.refused > 0 {
                tracing::warn!(file = %path.display(), lines = recording.refused, "lines that are not sound are left out");
            }
            recordings.push((name, recording));
        }
        if recordings.is_empty() {
            return Err(SimulatorError::Empty(from.to_owned()));
        }
        let devices = devices.unwrap_or(recordings.len()).max(1);
        // More than one address: all of 127/8 through the loopback device, and nothing from elsewhere.
        let many = devices > 1 && matches!(listen, SocketAddr::V4(a) if a.ip().is_loopback());
        let bind = if many { SocketAddr::from(([0, 0, 0, 0], listen.port())) } else { listen };
        let socket_error = |e| SimulatorError::Socket(listen, e);
        let socket = UdpSocket::bind(bind).map_err(socket_error)?;
        socket.set_nonblocking(true).map_err(socket_error)?;
        receive_buffer(&socket, 32 << 20).map_err(socket_error)?;
        if many {
            bind_to_loopback(&socket).map_err(socket_error)?;
            Many::want_local_address(&socket).map_err(socket_error)?;
        }
        let listen = SocketAddr::new(listen.ip(), socket.local_addr().map_err(socket_error)?.port());
        let by_name = recordings.iter().enumerate().map(|(i, (n, _))| (n.clone(), i)).collect();
        let polls = vec![0; devices];
        Ok(Simulator {
            socket,
            listen,
            recordings,
            by_name,
            devices,
            conditions,
            polls,
            packets: 0,
            log: None,
        })
    }

    /// Where each device is, and what it is: address and file name.
    pub fn devices(&self) -> impl Iterator<Item = (SocketAddr, &str)> {
        (0..self.devices).map(|i| {
            let ip = match self.listen {
                SocketAddr::V4(a) => Ipv4Addr::from(u32::from(*a.ip()).wrapping_add(i as u32)).into(),
                SocketAddr::V6(a) => (*a.ip()).into(),
            };
            (SocketAddr::new(ip, self.listen.port()), self.recordings[i % self.recordings.len()].0.as_str())
        })
    }

    /// Requests that named sysUpTime, by device: a poll has one.
    pub fn polls(&self) -> &[u64] {
        &self.polls
    }

    /// From now on keeps when each device was polled, a million times at most.
    pub fn log(&mut self) -> PollLog {
        self.log.get_or_insert_default().clone()
    }

    /// Questions that came.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Answers until `stop` is set; it is looked at every 200 ms.
    pub fn run(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let begun = Instant::now();
        let mut many = Many::new(4096);
        let mut out = Writer::new();
        let mut delayed: VecDeque<Delayed> = VecDeque::new();
        let (mut bytes, mut answers): (Vec<u8>, Vec<Answer>) = (Vec::new(), Vec::new());
        while !stop.load(Ordering::Relaxed) {
            let wait = delayed
                .front()
                .map_or(Duration::from_millis(200), |d| d.at.saturating_duration_since(Instant::now()));
            let ready = readable(&[&self.socket], wait.min(Duration::from_millis(200)))? != 0;
            if ready {
                bytes.clear();
                answers.clear();
                let lived = begun.elapsed();
                let this = &mut *self;
                // An answer to a port that closed meanwhile comes back as an error of the socket: none of ours.
                let _ = many.receive(&this.socket, |d| {
                    this.packets += 1;
                    if this.conditions.loss > 0.0 && fastrand::f64() < this.conditions.loss {
                        return;
                    }
                    let Ok(Raw::Community(message)) = parse(d.bytes, Leniency::POLLED) else { return };
                    let Some(device) = device_of(this.listen, this.devices, d.to) else { return };
                    let named = std::str::from_utf8(message.community).ok().and_then(|c| this.by_name.get(c));
                    let which = named.copied().unwrap_or(device % this.recordings.len());
                    if let Data::Pdu(pdu) = &message.data
                        && pdu.kind == tag::GET
                        && { pdu.varbinds }.any(|v| v.is_ok_and(|v| v.0 == UPTIME))
                    {
                        this.polls[device] += 1;
                        if let Some(log) = &this.log {
                            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                            if log.len() < MOST_LOGGED {
                                log.push((device, telegen_sys::unix_ns()));
                            }
                        }
                    }
                    let ticks = if this.conditions.live { ticks_of(lived, device) } else { 0 };
                    let agent = Agent {
                        recording: &this.recordings[which].1,
                        max_size: this.conditions.max_size.max(484),
                        live: Live { ticks },
                    };
                    if agent.answer(&message, &mut out) {
                        bytes.extend_from_slice(out.written());
                        answers.push((bytes.len(), d.from, d.to));
                    }
                });
                let mut from = 0;
                let mut outgoing: Vec<Outgoing<'_>> = Vec::with_capacity(answers.len());
                for (end, to, local) in &answers {
                    outgoing.push(Outgoing { bytes: &bytes[from..*end], to: Some(*to), from: *local });
                    from = *end;
                }
                if self.conditions.delay.is_zero() {
                    send_all(&self.socket, &outgoing);
                } else {
                    let at = Instant::now() + self.conditions.delay;
                    for o in outgoing {
                        if let Some(to) = o.to
                            && delayed.len() < MOST_DELAYED
                        {
                            delayed.push_back(Delayed { at, bytes: o.bytes.to_vec(), to, from: o.from });
                        }
                    }
                }
            }
            let now = Instant::now();
            while delayed.front().is_some_and(|d| d.at <= now) {
                let ripe: Vec<Delayed> =
                    (0..BATCH).map_while(|_| delayed.pop_front_if(|d| d.at <= now)).collect();
                let outgoing: Vec<Outgoing<'_>> =
                    ripe.iter().map(|d| Outgoing { bytes: &d.bytes, to: Some(d.to), from: d.from }).collect();
                send_all(&self.socket, &outgoing);
            }
        }
        Ok(())
    }
}

/// Ticks that a device has lived beyond its recording: no two began at the same fraction of a second.
fn ticks_of(lived: Duration, device: usize) -> u64 {
    let earlier = Duration::from_micros(1_236_067) * u32::try_from(device).unwrap_or(u32::MAX);
    (lived + earlier).as_millis() as u64 / 10 + 1
}

/// The device at a local address; the first when the socket does not tell.
fn device_of(listen: SocketAddr, devices: usize, to: Option<Ipv4Addr>) -> Option<usize> {
    let (SocketAddr::V4(first), Some(to)) = (listen, to) else { return Some(0) };
    let at = u32::from(to).checked_sub(u32::from(*first.ip()))? as usize;
    (at < devices).then_some(at)
}

/// Sends what the kernel takes; a peer that went away costs its own answer only.
fn send_all(socket: &UdpSocket, mut all: &[Outgoing<'_>]) {
    while !all.is_empty() {
        let sent = match send_many(socket, all) {
            Ok(0) => return,
            Ok(n) => n,
            Err(_) => 1,
        };
        all = &all[sent..];
    }
}
