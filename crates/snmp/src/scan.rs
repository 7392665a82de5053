//! Searching networks for agents, within a budget of packets.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::poll::Credential;
use crate::protocol::{Leniency, Oid, Request, Writer, parse, tag};
use crate::session::{Session, answer_id};

/// Port of agents.
const PORT: u16 = 161;
/// Most addresses of one network that are tried.
const MOST: u64 = 1 << 20;
/// A network is searched again after this time.
const AGAIN: Duration = Duration::from_secs(3600);
/// Most agents that are kept.
const MOST_FOUND: usize = 1_000_000;

/// A network to search.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its first address.
    pub first: IpAddr,
    /// Leading bits that its addresses share.
    pub bits: u8,
    /// Port of its agents.
    pub port: u16,
    /// Ways to log in; nothing else is tried.
    pub credentials: Vec<Credential>,
    /// Budget.
    pub packets_per_second: u32,
}

/// Agents that answered, shared with who searches.
pub type Found = Arc<Mutex<BTreeSet<SocketAddr>>>;

impl Network {
    /// From `ADDRESS/BITS`.
    pub fn parse(subnet: &str, credentials: Vec<Credential>, packets_per_second: u32) -> Option<Network> {
        let (address, bits) = subnet.split_once('/')?;
        let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
        let first = match address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32u32.checked_sub(u32::from(bits))?).unwrap_or(0);
                IpAddr::V4((u32::from(a) & mask).into())
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128u32.checked_sub(u32::from(bits))?).unwrap_or(0);
                IpAddr::V6((u128::from(a) & mask).into())
            }
        };
        Some(Network { first, bits, port: PORT, credentials, packets_per_second })
    }

    /// Its addresses, without network and broadcast address of an IPv4 network of more than two.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let width = if self.first.is_ipv4() { 32 } else { 128 };
        let free = width - u32::from(self.bits).min(width);
        let count = if free >= 20 { MOST } else { 1 << free };
        let edges = self.first.is_ipv4() && free >= 2;
        (u64::from(edges)..count - u64::from(edges)).map(|n| match self.first {
            IpAddr::V4(a) => IpAddr::V4((u32::from(a).wrapping_add(n as u32)).into()),
            IpAddr::V6(a) => IpAddr::V6((u128::from(a).wrapping_add(u128::from(n))).into()),
        })
    }

    /// Searches until `stop`; what answers goes to `found`.
    pub fn search(&self, found: &Found, stop: &AtomicBool) -> io::Result<()> {
        let any: SocketAddr =
            if self.first.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any)?;
        let pause = Duration::from_secs(1) / self.packets_per_second.max(1);
        let mut next = Instant::now();
        while !stop.load(Ordering::Acquire) {
            let begun = Instant::now();
            for ip in self.addresses() {
                let to = SocketAddr::new(ip, self.port);
                for credential in &self.credentials {
                    if stop.load(Ordering::Acquire) {
                        return Ok(());
                    }
                    next += pause;
                    self.listen(&socket, next, found);
                    if found.lock().unwrap_or_else(PoisonError::into_inner).contains(&to) {
                        break;
                    }
                    // What cannot be reached does not answer either.
                    let _ = socket.send_to(&question(credential), to);
                }
            }
            while !stop.load(Ordering::Acquire) && begun.elapsed() < AGAIN {
                next = Instant::now() + Duration::from_millis(200);
                self.listen(&socket, next, found);
            }
        }
        Ok(())
    }

    /// Takes answers until a moment; only those of this network count.
    fn listen(&self, socket: &UdpSocket, until: Instant, found: &Found) {
        let mut buffer = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let _ = socket.set_read_timeout(Some(left));
            let Ok((n, from)) = socket.recv_from(&mut buffer) else { continue };
            let sound = parse(&buffer[..n], Leniency::POLLED).is_ok_and(|raw| answer_id(&raw).is_some());
            let inside = from.port() == self.port && self.addresses().any(|a| a == from.ip());
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            if sound && inside && found.len() < MOST_FOUND {
                found.insert(from);
            }
        }
    }
}

/// A first question: sysUpTime, or for version 3 who the agent is, which tells no secret.
fn question(credential: &Credential) -> Vec<u8> {
    let Ok(uptime) = Oid::from_arcs(&[1, 3, 6, 1, 2, 1, 1, 3, 0]) else { return Vec::new() };
    let request =
        Request { kind: tag::GET, id: fastrand::i32(1..i32::MAX), repetitions: 0, oids: &[&uptime] };
    let mut out = Writer::new();
    Session::new(credential.access.clone(), 1472).encode(&mut out, &request, Instant::now()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_addresses_without_its_edges() {
        let all = |subnet: &str| {
            Network::parse(subnet, Vec::new(), 1)
                .unwrap()
                .addresses()
                .map(|a| a.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(all("10.0.0.7/30"), ["10.0.0.5", "10.0.0.6"]);
        assert_eq!(all("10.0.0.7/32"), ["10.0.0.7"]);
        assert_eq!(all("10.0.0.6/31"), ["10.0.0.6", "10.0.0.7"]);
        assert_eq!(all("fd00::1/127"), ["fd00::", "fd00::1"]);
        assert_eq!(all("10.0.0.0/8").len() as u64, MOST - 2);
        assert!(Network::parse("10.0.0.0/33", Vec::new(), 1).is_none());
    }
}
