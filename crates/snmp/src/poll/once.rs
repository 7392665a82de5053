use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use telegen_model::{Records, ResourceGroup, Scope, Str};
use telegen_sys::unix_ns;

use super::device::Device;
use super::engine::PollerError;
use super::status::DeviceStatus;
use super::target::Target;
use crate::profile::Library;
use crate::protocol::{Leniency, Writer, parse};
use crate::session::Received;

/// Polls one device once, one question at a time, waiting for it: for the command line and tests.
pub fn poll_once(target: Arc<Target>, library: Library) -> Result<(DeviceStatus, ResourceGroup), PollerError> {
    let io = |e| PollerError::Io("socket", e);
    let Some(peer) = target.resolve() else {
        return Err(PollerError::Io("address", std::io::ErrorKind::AddrNotAvailable.into()));
    };
    let any: std::net::SocketAddr = if peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).map_err(io)?;
    socket.connect(peer).map_err(io)?;
    let mut device = Device::new(target);
    device.begin(Instant::now(), Duration::ZERO);
    let (mut out, mut scratch, mut buffer) = (Writer::new(), Vec::new(), vec![0; 65_535]);
    let mut id = fastrand::i32(1..i32::MAX / 2);
    loop {
        let now = Instant::now();
        if let Some(outcome) = device.advance(&library, now) {
            let scope = Scope { name: Str::const_new(crate::SCOPE), version: Str::default() };
            let records = Records::Metrics(outcome.metrics);
            return Ok((device.status(), ResourceGroup { resource: outcome.resource, scope, records }));
        }
        let Some(task) = device.ready() else {
            let status = device.status();
            let why = status.last_error.unwrap_or_else(|| "the poll went nowhere".into());
            return Err(PollerError::Io("poll", std::io::Error::other(why)));
        };
        id += 1;
        let Some((message, wait)) = device.encode(task, id, &mut out, now) else {
            return Err(PollerError::Io("poll", std::io::Error::other("no credentials")));
        };
        let sent = socket.send(message);
        let deadline = now + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let received = if left.is_zero() || sent.is_err() {
                None
            } else {
                let _ = socket.set_read_timeout(Some(left));
                socket.recv(&mut buffer).ok()
            };
            let Some(length) = received else {
                device.failed(task, crate::Fault::Timeout);
                break;
            };
            let whole = &buffer[..length];
            let raw = match parse(whole, Leniency::POLLED) {
                Ok(raw) => raw,
                Err(e) => {
                    device.failed(task, crate::Fault::Malformed(e));
                    break;
                }
            };
            let Some(session) = device.session() else { break };
            match session.receive((&raw, whole), id, &mut scratch, Instant::now()) {
                Ok(Received::Foreign) => continue,
                Ok(Received::Again) => device.again(task),
                Ok(Received::Answer(pdu)) => device.answered(task, &pdu, unix_ns()),
                Err(fault) => device.failed(task, fault),
            }
            break;
        }
    }
}
