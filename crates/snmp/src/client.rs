//! A blocking client for one agent, as the command line uses it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Fault;
use crate::protocol::{Leniency, Oid, Pdu, Request, Value, Writer, parse, tag};
use crate::session::{Access, Received, Session, answer_id};
use crate::walk::{Walk, WalkBounds};

/// Largest message that is taken.
const LARGEST: usize = 65_535;
/// How often a version 3 agent may say "again" to one question: discovery, clock, and once more.
const AGAIN: u32 = 3;

/// Where an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether TCP is to be used, not UDP.
    pub tcp: bool,
    /// `HOST:PORT`
    pub host_port: String,
}

/// What is no address of an agent.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}: expected HOST, HOST:PORT or [IPV6]:PORT, with a port from 1 to 65535")]
pub struct NoAddress(String);

impl Address {
    /// From `HOST`, `HOST:PORT`, `[IPV6]:PORT`, with `udp:` or `tcp:` (or `://`) before it. The port is `port` unless
    /// given.
    ///
    /// # Errors
    /// Where there is no host, or a port that is none.
    pub fn parse(text: &str, port: u16) -> Result<Address, NoAddress> {
        let (tcp, rest) = match text.split_once(':') {
            Some(("tcp", rest)) => (true, rest.trim_start_matches("//")),
            Some(("udp", rest)) => (false, rest.trim_start_matches("//")),
            _ => (false, text),
        };
        if rest.parse::<std::net::Ipv6Addr>().is_ok() {
            return Ok(Address { tcp, host_port: format!("[{rest}]:{port}") });
        }
        let (host, given) = match rest.rsplit_once(':') {
            // The colons of an address that stands in brackets.
            Some(_) if rest.ends_with(']') => (rest, None),
            Some((host, given)) => (host, Some(given)),
            None => (rest, None),
        };
        let port = given.map_or(Some(port), |given| given.parse().ok().filter(|port| *port != 0));
        match port {
            Some(port) if !host.is_empty() => Ok(Address { tcp, host_port: format!("{host}:{port}") }),
            _ => Err(NoAddress(text.to_owned())),
        }
    }
}

enum Transport {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

/// How long a client waits and how often it asks.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For each try.
    pub timeout: Duration,
    /// Tries after the first.
    pub retries: u32,
}

/// What went wrong for a client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The agent or the way to it.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The operating system.
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

/// A client of one agent.
pub struct Client {
    transport: Transport,
    session: Session,
    patience: Patience,
    next_id: i32,
    out: Writer,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    largest: u16,
}

impl Client {
    /// Connects to an agent; nothing is sent yet over UDP. `largest` is the largest answer to ask for.
    pub fn connect(
        address: &Address,
        access: Arc<Access>,
        patience: Patience,
        largest: u16,
    ) -> Result<Client, ClientError> {
        let io = |e| ClientError::Io(address.host_port.clone(), e);
        let peer: SocketAddr =
            address.host_port.to_socket_addrs().map_err(io)?.next().ok_or(Fault::NoAddress)?;
        let transport = if address.tcp {
            let stream = TcpStream::connect_timeout(&peer, patience.timeout).map_err(io)?;
            stream.set_read_timeout(Some(patience.timeout)).map_err(io)?;
            stream.set_nodelay(true).map_err(io)?;
            Transport::Tcp(stream, Vec::new())
        } else {
            let any: SocketAddr =
                if peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
            let socket = UdpSocket::bind(any).map_err(io)?;
            socket.connect(peer).map_err(io)?;
            Transport::Udp(socket)
        };
        Ok(Client {
            transport,
            session: Session::new(access, largest),
            patience,
            next_id: fastrand::i32(1..i32::MAX / 2),
            out: Writer::new(),
            buffer: vec![0; LARGEST],
            scratch: Vec::new(),
            largest,
        })
    }

    /// Gets these objects; `each` sees every variable of the answer.
    pub fn get(&mut self, oids: &[Oid], mut each: impl FnMut(&[u8], Value<'_>)) -> Result<(), Fault> {
        let oids: Vec<&[u8]> = oids.iter().map(|o| &o[..]).collect();
        self.ask(tag::GET, 0, &oids, |pdu| {
            match pdu.error_status {
                0 => {}
                6 | 16 => return Err(Fault::Authorization),
                status => return Err(Fault::Status(status)),
            }
            for variable in pdu.varbinds {
                let (oid, value) = variable.map_err(Fault::Malformed)?;
                each(oid, value);
            }
            Ok(())
        })?
    }

    /// Walks a subtree; `each` sees every object in order. A subtree without objects below it may be an object itself.
    pub fn walk(&mut self, root: &Oid, mut each: impl FnMut(&[u8], Value<'_>)) -> Result<(), Fault> {
        let bounds = WalkBounds { answer: self.largest, rows: u32::MAX, v1: self.session.access().is_v1() };
        let mut walk = Walk::new([root.clone()], None, bounds);
        let mut name = Vec::new();
        let mut any = false;
        while !walk.is_done() {
            let mut oids = Vec::new();
            let (kind, repetitions) = walk.question(&mut oids);
            let from: Vec<Vec<u8>> = oids.iter().map(|o| o.to_vec()).collect();
            let from: Vec<&[u8]> = from.iter().map(|o| &o[..]).collect();
            self.ask(kind, repetitions, &from, |pdu| {
                walk.answer(pdu, |_, rest, value| {
                    any = true;
                    name.clear();
                    name.extend_from_slice(root);
                    name.extend_from_slice(rest);
                    each(&name, value);
                });
            })?;
        }
        if let Some((_, fault)) = walk.faults().next() {
            return Err(fault);
        }
        if !any {
            let got = self.get(std::slice::from_ref(root), |oid, value| {
                if !value.is_exception() {
                    each(oid, value);
                }
            });
            match got {
                // Version 1's way to say that it is not there.
                Err(Fault::Status(2)) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Asks, and asks again in time; gives the answer to `read`.
    fn ask<R>(
        &mut self,
        kind: u8,
        repetitions: u32,
        oids: &[&[u8]],
        read: impl FnOnce(&Pdu<'_>) -> R,
    ) -> Result<R, Fault> {
        let (mut tries, mut again) = (0, 0);
        loop {
            self.next_id = if self.next_id == i32::MAX { 1 } else { self.next_id + 1 };
            let id = self.next_id;
            let request = Request { kind, id, repetitions, oids };
            let message = self.session.encode(&mut self.out, &request, Instant::now());
            self.transport.send(message)?;
            let deadline = Instant::now() + self.patience.timeout;
            loop {
                let now = Instant::now();
                let left = deadline.saturating_duration_since(now);
                let Some(length) = self.transport.receive(&mut self.buffer, left)? else {
                    tries += 1;
                    // One more question, which finds out whether it is the password that it cannot read.
                    if tries > self.patience.retries + 1
                        || (tries > self.patience.retries && !self.session.doubt_privacy())
                    {
                        self.session.trust_privacy();
                        return Err(Fault::Timeout);
                    }
                    break;
                };
                let whole = &self.buffer[..length];
                let raw = parse(whole, Leniency::POLLED).map_err(Fault::Malformed)?;
                if answer_id(&raw) != Some(id) {
                    continue;
                }
                match self.session.receive((&raw, whole), id, &mut self.scratch, Instant::now())? {
                    Received::Answer(pdu) => return Ok(read(&pdu)),
                    Received::Again => {
                        again += 1;
                        if again > AGAIN {
                            return Err(Fault::NotInTimeWindow);
                        }
                        break;
                    }
                    Received::Foreign => {}
                }
            }
        }
    }
}

impl Transport {
    fn send(&mut self, message: &[u8]) -> Result<(), Fault> {
        let sent = match self {
            Transport::Udp(socket) => socket.send(message).map(|_| ()),
            Transport::Tcp(stream, _) => stream.write_all(message),
        };
        sent.map_err(|e| fault_of(&e))
    }

    /// The next message, or nothing in time.
    fn receive(&mut self, buffer: &mut [u8], left: Duration) -> Result<Option<usize>, Fault> {
        if left.is_zero() {
            return Ok(None);
        }
        match self {
            Transport::Udp(socket) => {
                let _ = socket.set_read_timeout(Some(left));
                match socket.recv(buffer) {
                    Ok(n) => Ok(Some(n)),
                    Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
                    Err(e) => Err(fault_of(&e)),
                }
            }
            Transport::Tcp(stream, kept) => {
                let _ = stream.set_read_timeout(Some(left));
                loop {
                    if let Some(length) = message_len(kept).filter(|l| *l <= kept.len()) {
                        let Some(to) = buffer.get_mut(..length) else {
                            return Err(Fault::Malformed(crate::protocol::DecodeError::BadLength));
                        };
                        to.copy_from_slice(&kept[..length]);
                        kept.drain(..length);
                        return Ok(Some(length));
                    }
                    if kept.len() > LARGEST {
                        return Err(Fault::Malformed(crate::protocol::DecodeError::BadLength));
                    }
                    let mut part = [0; 16_384];
                    match stream.read(&mut part) {
                        Ok(0) => return Err(Fault::Refused),
                        Ok(n) => kept.extend_from_slice(&part[..n]),
                        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                            return Ok(None);
                        }
                        Err(e) => return Err(fault_of(&e)),
                    }
                }
            }
        }
    }
}

fn fault_of(e: &io::Error) -> Fault {
    match e.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Fault::Refused,
        _ => Fault::Unreachable,
    }
}

/// Length of the message at the beginning of a stream (RFC 3430): its head says it.
pub fn message_len(stream: &[u8]) -> Option<usize> {
    let [kind, length, rest @ ..] = stream else { return None };
    if *kind != tag::SEQUENCE {
        // Not SNMP: a length that no buffer has ends the connection.
        return Some(usize::MAX);
    }
    match *length {
        short @ 0..=0x7f => Some(2 + usize::from(short)),
        long @ 0x81..=0x84 => {
            let bytes = usize::from(long & 0x7f);
            let head = rest.get(..bytes)?;
            Some(2 + bytes + head.iter().fold(0usize, |n, b| n << 8 | usize::from(*b)))
        }
        _ => Some(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    fn parsed(text: &str) -> Option<String> {
        Address::parse(text, 161).ok().map(|a| format!("{}{}", if a.tcp { "tcp " } else { "" }, a.host_port))
    }

    #[test]
    fn an_address_has_a_host_and_may_have_a_port() {
        for (text, expect) in [
            ("host", "host:161"),
            ("host:1161", "host:1161"),
            ("10.0.0.1", "10.0.0.1:161"),
            ("tcp:host", "tcp host:161"),
            ("tcp://host:99", "tcp host:99"),
            ("udp:host", "host:161"),
            ("::1", "[::1]:161"),
            ("[::1]", "[::1]:161"),
            ("[::1]:99", "[::1]:99"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(expect), "{text}");
        }
        for text in ["", ":161", "tcp:", "host:", "host:0", "host:99999", "host:x", "host:-1"] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }
}
