use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use telegen_model::LogRecord;

use super::authority::{Authority, Refusal};
use super::record;
use crate::protocol::{Community, Data, Leniency, Raw, V3, Writer, flags, parse, pdu_body, tag};
use crate::session::Access;
use crate::usm::{Level, OpenError, User, open};

/// Devices whose rates and last notifications are kept.
const MOST_DEVICES: usize = 100_000;

/// A network: address and number of leading bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpAddr, u8);

impl Network {
    /// From `ADDRESS` or `ADDRESS/BITS`.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let ip: IpAddr = address.parse().ok()?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |b| b.parse().ok())?;
        (bits <= most).then_some(Network(ip, bits))
    }

    /// Whether the address lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.0, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.1)).unwrap_or(0);
                u32::from(a) & mask == u32::from(b) & mask
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.1)).unwrap_or(0);
                u128::from(a) & mask == u128::from(b) & mask
            }
            _ => false,
        }
    }
}

/// Who may send notifications, and how many.
#[derive(Debug, Default)]
pub struct Allowed {
    /// Networks; empty: everywhere.
    pub sources: Vec<Network>,
    /// Communities.
    pub communities: Vec<Vec<u8>>,
    /// Users of version 3.
    pub users: Vec<Arc<Access>>,
    /// Most a second from one device; 0: no limit.
    pub per_device: u32,
    /// Equal ones within this time are one; zero keeps all.
    pub dedup: Duration,
}

impl Allowed {
    fn user(&self, name: &[u8]) -> Option<&User> {
        self.users.iter().find_map(|a| match &**a {
            Access::User { user, .. } if user.name.as_bytes() == name => Some(user),
            _ => None,
        })
    }
}

/// What became of a message.
pub(crate) enum Verdict {
    /// A trap.
    Trap(LogRecord),
    /// An inform with its request id; `out` holds its acknowledgement.
    Inform(LogRecord, i32),
    /// Refused, and why; `out` holds a report when the flag says so.
    Refused(&'static str, bool),
}

struct Seen {
    second: Instant,
    count: u32,
    last: u64,
    last_at: Instant,
}

/// Decides on messages. Pure but for its memory.
pub(crate) struct Intake {
    allowed: Allowed,
    authority: Authority,
    seen: HashMap<IpAddr, Seen>,
    scratch: Vec<u8>,
}

impl Intake {
    pub(crate) fn new(allowed: Allowed, authority: Authority) -> Intake {
        Intake { allowed, authority, seen: HashMap::new(), scratch: Vec::new() }
    }

    /// Looks at a message from an address. What is to be sent back is written to `out`.
    pub(crate) fn take(&mut self, bytes: &[u8], from: IpAddr, now: Instant, out: &mut Writer) -> Verdict {
        let from = from.to_canonical();
        if !self.allowed.sources.is_empty() && !self.allowed.sources.iter().any(|n| n.contains(from)) {
            return Verdict::Refused("source", false);
        }
        let verdict = match parse(bytes, Leniency::STRICT) {
            Ok(Raw::Community(m)) => self.community(&m, from, out),
            Ok(Raw::V3(m)) => self.v3(&m, bytes, from, now, out),
            Err(_) => Verdict::Refused("malformed", false),
        };
        match verdict {
            Verdict::Trap(_) | Verdict::Inform(..) => {
                self.limited(&verdict, from, now).map_or(verdict, |why| Verdict::Refused(why, false))
            }
            refused => refused,
        }
    }

    fn community(&self, m: &Community<'_>, from: IpAddr, out: &mut Writer) -> Verdict {
        // All are compared, and each as a whole: how long it takes tells nothing.
        let known = self.allowed.communities.iter().fold(false, |any, c| any | same(c, m.community));
        if !known {
            return Verdict::Refused("community", false);
        }
        let made = match &m.data {
            Data::TrapV1(trap) if m.version == 0 => record::of_v1(trap, from).map(Verdict::Trap),
            Data::Pdu(pdu) if m.version == 1 && pdu.kind == tag::TRAP_V2 => {
                record::of_pdu(pdu, from).map(Verdict::Trap)
            }
            Data::Pdu(pdu) if m.version == 1 && pdu.kind == tag::INFORM => {
                out.clear();
                out.raw(pdu.varbinds.bytes());
                pdu_body(out, 0, tag::RESPONSE, [pdu.request_id, 0, 0]);
                out.field(tag::OCTETS, m.community);
                out.signed(tag::INTEGER, 1);
                out.close(tag::SEQUENCE, 0);
                record::of_pdu(pdu, from).map(|r| Verdict::Inform(r, pdu.request_id))
            }
            _ => return Verdict::Refused("no_notification", false),
        };
        made.unwrap_or(Verdict::Refused("malformed", false))
    }

    fn v3(&mut self, m: &V3<'_>, whole: &[u8], from: IpAddr, now: Instant, out: &mut Writer) -> Verdict {
        let reportable = m.flags & flags::REPORTABLE != 0;
        // A message that may be answered by a report is an inform or a discovery: this side is authoritative.
        if reportable && m.engine != self.authority.id {
            self.authority.report(m, 0, Refusal::UnknownEngine, None, out);
            // Discovery is how informs begin, not something that went wrong.
            let why = if m.engine.is_empty() { "" } else { Refusal::UnknownEngine.word() };
            return Verdict::Refused(why, true);
        }
        let Some(user) = self.allowed.user(m.user) else {
            return self.refuse(m, Refusal::UnknownUser, reportable, out);
        };
        if Level::of_flags(m.flags) < user.level() || m.engine.is_empty() {
            return self.refuse(m, Refusal::UnsupportedLevel, reportable, out);
        }
        let keys = self.authority.keys(user, m.engine);
        let scoped = match open(m, whole, Some((user, &keys)), &mut self.scratch, Leniency::STRICT) {
            Ok(scoped) => scoped,
            Err(OpenError::Malformed(_)) => return Verdict::Refused("malformed", false),
            Err(e) => {
                let why = match e {
                    OpenError::WrongDigest => Refusal::WrongDigest,
                    OpenError::Decryption => Refusal::Decryption,
                    _ => Refusal::UnsupportedLevel,
                };
                if reportable {
                    self.authority.report(m, 0, why, None, out);
                }
                return Verdict::Refused(why.word(), reportable);
            }
        };
        let (pdu, timed) = (scoped.pdu, Level::of_flags(m.flags) != Level::NoAuthNoPriv);
        if timed && !self.authority.is_fresh(m, now) {
            if reportable {
                self.authority.report(m, pdu.request_id, Refusal::NotInTimeWindow, Some((user, &keys)), out);
            }
            return Verdict::Refused(Refusal::NotInTimeWindow.word(), reportable);
        }
        let made = match pdu.kind {
            tag::TRAP_V2 => record::of_pdu(&pdu, from).map(Verdict::Trap),
            tag::INFORM if m.engine == self.authority.id => {
                self.authority.acknowledge(m, &scoped, (user, &keys), out);
                record::of_pdu(&pdu, from).map(|r| Verdict::Inform(r, pdu.request_id))
            }
            _ => return Verdict::Refused("no_notification", false),
        };
        made.unwrap_or(Verdict::Refused("malformed", false))
    }

    fn refuse(&mut self, m: &V3<'_>, why: Refusal, reportable: bool, out: &mut Writer) -> Verdict {
        if reportable {
            self.authority.report(m, 0, why, None, out);
        }
        Verdict::Refused(why.word(), reportable)
    }

    /// Why a notification is one too many.
    fn limited(&mut self, verdict: &Verdict, from: IpAddr, now: Instant) -> Option<&'static str> {
        let (per_device, dedup) = (self.allowed.per_device, self.allowed.dedup);
        if per_device == 0 && dedup.is_zero() {
            return None;
        }
        let (Verdict::Trap(record) | Verdict::Inform(record, _)) = verdict else { return None };
        if self.seen.len() >= MOST_DEVICES && !self.seen.contains_key(&from) {
            self.seen.retain(|_, s| now.duration_since(s.second) < Duration::from_secs(60));
            if self.seen.len() >= MOST_DEVICES {
                return Some("too_many_devices");
            }
        }
        let print = fingerprint(record);
        let first = !self.seen.contains_key(&from);
        let seen = self.seen.entry(from).or_insert(Seen { second: now, count: 0, last: print, last_at: now });
        if !dedup.is_zero() && !first && seen.last == print && now.duration_since(seen.last_at) < dedup {
            return Some("duplicate");
        }
        (seen.last, seen.last_at) = (print, now);
        if now.duration_since(seen.second) >= Duration::from_secs(1) {
            (seen.second, seen.count) = (now, 0);
        }
        seen.count += 1;
        (per_device != 0 && seen.count > per_device).then_some("rate")
    }
}

/// A hash of what a notification says, without sysUpTime, which always moves.
fn fingerprint(record: &LogRecord) -> u64 {
    let mut hasher = foldhash::quality::FixedState::with_seed(1).build_hasher();
    for kv in record.attrs.iter().filter(|kv| kv.key != "1.3.6.1.2.1.1.3.0") {
        hasher.write(kv.key.as_bytes());
        hasher.write(format!("{:?}", kv.value).as_bytes());
    }
    hasher.finish()
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |d, (x, y)| d | (x ^ y)) == 0
}
