use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::protocol::{Oid, ScopedPdu, V3, Value, Writer, flags, pdu_body, tag, write_varbind};
use crate::session::scope;
use crate::usm::{Header, Level, LocalKeys, User, seal};

/// Seconds that a clock may be off (RFC 3414, section 2.2.3).
const WINDOW: i64 = 150;
/// Engines whose clocks and keys are kept.
const MOST_ENGINES: usize = 10_000;
/// 2020-01-01: boots count seconds from here, so that every start has a higher number without a file.
const EPOCH: u64 = 1_577_836_800;
/// Largest message that is taken.
const LARGEST: i32 = 8192;

/// The authoritative engine that informs are sent to, and what is known of engines that traps come from.
pub(crate) struct Authority {
    pub(crate) id: Vec<u8>,
    boots: i32,
    began: Instant,
    salt: u64,
    counters: [u32; 6],
    /// By engine and user: keys; by engine: the newest clock seen.
    keys: HashMap<(Vec<u8>, String), Arc<LocalKeys>>,
    clocks: HashMap<Vec<u8>, (i32, i32, Instant)>,
}

/// Which of usmStats a message is refused for: its last arc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnsupportedLevel = 1,
    NotInTimeWindow = 2,
    UnknownUser = 3,
    UnknownEngine = 4,
    WrongDigest = 5,
    Decryption = 6,
}

impl Refusal {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Refusal::UnsupportedLevel => "unsupported_level",
            Refusal::NotInTimeWindow => "not_in_time_window",
            Refusal::UnknownUser => "unknown_user",
            Refusal::UnknownEngine => "unknown_engine",
            Refusal::WrongDigest => "wrong_digest",
            Refusal::Decryption => "decryption",
        }
    }
}

impl Authority {
    /// `name` makes the engine id the same after a restart.
    pub(crate) fn new(name: &str, unix_seconds: u64) -> Authority {
        use std::hash::{BuildHasher, Hasher};
        let mut hasher = foldhash::quality::FixedState::with_seed(161).build_hasher();
        hasher.write(name.as_bytes());
        // Format 5: octets that the administrator chose (RFC 3411, SnmpEngineID).
        let mut id = vec![0x80, 0, 0, 0, 5];
        id.extend_from_slice(&hasher.finish().to_be_bytes());
        Authority {
            id,
            boots: i32::try_from(unix_seconds.saturating_sub(EPOCH)).unwrap_or(i32::MAX - 1),
            began: Instant::now(),
            salt: fastrand::u64(..),
            counters: [0; 6],
            keys: HashMap::new(),
            clocks: HashMap::new(),
        }
    }

    fn time(&self) -> i32 {
        i32::try_from(self.began.elapsed().as_secs()).unwrap_or(i32::MAX)
    }

    /// Keys of a user at an engine; made once.
    pub(crate) fn keys(&mut self, user: &User, engine: &[u8]) -> Arc<LocalKeys> {
        if let Some(keys) = self.keys.get(&(engine.to_vec(), user.name.clone())) {
            return keys.clone();
        }
        if self.keys.len() >= MOST_ENGINES {
            self.keys.clear();
        }
        let keys = Arc::new(user.localise(engine));
        self.keys.insert((engine.to_vec(), user.name.clone()), keys.clone());
        keys
    }

    /// Whether an authenticated message is fresh; the clock of its engine is taken over.
    pub(crate) fn is_fresh(&mut self, m: &V3<'_>, now: Instant) -> bool {
        if m.engine == self.id {
            return m.boots == self.boots && (i64::from(m.time) - i64::from(self.time())).abs() <= WINDOW;
        }
        if let Some((boots, time, at)) = self.clocks.get(m.engine) {
            let expected = i64::from(*time) + now.duration_since(*at).as_secs() as i64;
            let old = m.boots < *boots || (m.boots == *boots && i64::from(m.time) + WINDOW < expected);
            if old || *boots == i32::MAX {
                return false;
            }
            if m.boots == *boots && m.time <= *time {
                return true;
            }
        } else if self.clocks.len() >= MOST_ENGINES {
            self.clocks.clear();
        }
        self.clocks.insert(m.engine.to_vec(), (m.boots, m.time, now));
        true
    }

    /// The report that tells why a message was refused, for messages that may be answered so.
    pub(crate) fn report(
        &mut self,
        m: &V3<'_>,
        request_id: i32,
        why: Refusal,
        user: Option<(&User, &LocalKeys)>,
        out: &mut Writer,
    ) {
        let counter = &mut self.counters[why as usize - 1];
        *counter = counter.wrapping_add(1);
        let count = *counter;
        out.clear();
        let Ok(oid) = Oid::from_arcs(&[1, 3, 6, 1, 6, 3, 15, 1, 1, why as u32, 0]) else { return };
        write_varbind(out, &oid, Value::Counter32(count));
        pdu_body(out, 0, tag::REPORT, [request_id, 0, 0]);
        scope(out, &self.id, "");
        // Only a clock that is off may be told under a proof: the sender needs to trust it.
        let user = user.filter(|_| why == Refusal::NotInTimeWindow);
        let level = if user.is_some() { flags::AUTH } else { 0 };
        self.salt = self.salt.wrapping_add(1);
        let header = Header {
            id: m.id,
            max_size: LARGEST,
            flags: level,
            engine: &self.id,
            place: (self.boots, self.time()),
            user: m.user,
            salt: self.salt,
        };
        let none = LocalKeys::default();
        seal(out, 0, &header, user.map(|u| u.0), user.map_or(&none, |u| u.1));
    }

    /// The acknowledgement of an inform: its variables, context engine and name come back.
    pub(crate) fn acknowledge(
        &mut self,
        m: &V3<'_>,
        of: &ScopedPdu<'_>,
        (user, keys): (&User, &LocalKeys),
        out: &mut Writer,
    ) {
        out.clear();
        out.raw(of.pdu.varbinds.bytes());
        pdu_body(out, 0, tag::RESPONSE, [of.pdu.request_id, 0, 0]);
        out.field(tag::OCTETS, of.context);
        out.field(tag::OCTETS, of.context_engine);
        out.close(tag::SEQUENCE, 0);
        self.salt = self.salt.wrapping_add(1);
        let header = Header {
            id: m.id,
            max_size: LARGEST,
            flags: Level::of_flags(m.flags).flags(),
            engine: &self.id,
            place: (self.boots, self.time()),
            user: m.user,
            salt: self.salt,
        };
        seal(out, 0, &header, Some(user), keys);
    }
}
