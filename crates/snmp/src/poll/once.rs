use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use telegen_model::{Records, ResourceGroup, Scope, Str};

use super::clock::Moment;
use super::device::Device;
use super::engine::PollerError;
use super::status::DeviceStatus;
use super::target::Target;
use crate::profile::Library;
use crate::protocol::{Leniency, Writer, parse};
use crate::session::Received;

/// One device that is polled when asked for, one question at a time: for the command line and tests.
pub struct Single {
    device: Device,
    library: Arc<Library>,
    socket: UdpSocket,
    id: i32,
}

impl Single {
    /// A device; nothing is sent yet.
    pub fn new(target: Arc<Target>, library: Arc<Library>) -> Result<Single, PollerError> {
        let io = |e| PollerError::Io("socket", e);
        let Some(peer) = target.resolve() else {
            return Err(PollerError::Io("address", std::io::ErrorKind::AddrNotAvailable.into()));
        };
        let any: SocketAddr = if peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).map_err(io)?;
        socket.connect(peer).map_err(io)?;
        Ok(Single { device: Device::new(target), library, socket, id: fastrand::i32(1..i32::MAX / 2) })
    }

    /// Polls it as if it were `now` (ns since 1970) when its first answer comes.
    pub fn poll(&mut self, now_unix: u64) -> Result<(DeviceStatus, ResourceGroup), PollerError> {
        self.device.begin(Instant::now(), Duration::ZERO, false);
        let (mut out, mut scratch, mut buffer) = (Writer::new(), Vec::new(), vec![0; 65_535]);
        loop {
            if let Some(outcome) = self.device.advance(&self.library, Instant::now()) {
                let scope = Scope { name: Str::const_new(crate::SCOPE), version: Str::default() };
                let records = Records::Metrics(outcome.metrics);
                let group = ResourceGroup { resource: outcome.resource, scope, records };
                return Ok((self.device.status(), group));
            }
            let Some(task) = self.device.ready() else {
                if self.device.poll.is_some() {
                    // The next stage has begun: it has questions of its own.
                    continue;
                }
                let why = self.device.status().last_error.unwrap_or_else(|| "the poll went nowhere".into());
                return Err(PollerError::Io("poll", std::io::Error::other(why)));
            };
            self.id += 1;
            let Some((message, wait)) = self.device.encode(task, self.id, &mut out, Instant::now()) else {
                return Err(PollerError::Io("poll", std::io::Error::other("no credentials")));
            };
            let sent = self.socket.send(message).is_ok();
            let deadline = Instant::now() + wait;
            while !self.answer(task, sent, deadline, (&mut buffer, &mut scratch), now_unix) {}
        }
    }

    /// Waits for an answer; whether the question is settled.
    fn answer(
        &mut self,
        task: usize,
        sent: bool,
        deadline: Instant,
        (buffer, scratch): (&mut [u8], &mut Vec<u8>),
        now_unix: u64,
    ) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let received = if left.is_zero() || !sent {
            None
        } else {
            let _ = self.socket.set_read_timeout(Some(left));
            self.socket.recv(buffer).ok()
        };
        let Some(length) = received else {
            self.device.failed(task, crate::Fault::Timeout);
            return true;
        };
        let whole = &buffer[..length];
        let raw = match parse(whole, Leniency::POLLED) {
            Ok(raw) => raw,
            Err(e) => {
                self.device.failed(task, crate::Fault::Malformed(e));
                return true;
            }
        };
        let Some(session) = self.device.session() else { return true };
        match session.receive((&raw, whole), self.id, scratch, Instant::now()) {
            Ok(Received::Foreign) => return false,
            Ok(Received::Again) => self.device.again(task),
            Ok(Received::Answer(pdu)) => {
                let moment = Moment { sent: now_unix, came: now_unix, steady: now_unix };
                self.device.answered(task, &pdu, moment);
            }
            Err(fault) => self.device.failed(task, fault),
        }
        true
    }
}
