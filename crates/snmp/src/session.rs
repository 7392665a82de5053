//! One side of a conversation with one agent, without IO: requests to bytes, bytes to answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use telegen_model::Secret;

use crate::Fault;
use crate::protocol::{Data, Leniency, Pdu, Raw, Request, V3, Writer, flags, pdu_body, report_cause, tag};
use crate::usm::{Header, Level, LocalKeys, OpenError, User, open, seal};

/// Seconds that an engine's clock may be off (RFC 3414, section 2.2.3).
const WINDOW: i32 = 150;

/// How to log in.
#[derive(Debug)]
pub enum Access {
    /// Versions 1 and 2c.
    Community {
        /// 0 for version 1, 1 for 2c.
        version: u8,
        /// Its name is its password.
        community: Secret,
    },
    /// Version 3.
    User {
        /// Who.
        user: User,
        /// Name of the context; usually empty.
        context: String,
    },
}

impl Access {
    /// Whether it is version 1, which knows no GETBULK and no exceptions.
    pub fn is_v1(&self) -> bool {
        matches!(self, Access::Community { version: 0, .. })
    }
}

/// What is known of an agent's engine.
#[derive(Debug)]
struct Engine {
    id: Box<[u8]>,
    boots: i32,
    time: i32,
    at: Instant,
    /// Whether an authenticated message has confirmed boots and time.
    confirmed: bool,
    keys: LocalKeys,
}

impl Engine {
    fn now(&self, now: Instant) -> i32 {
        let passed = now.saturating_duration_since(self.at).as_secs();
        self.time.saturating_add(i32::try_from(passed).unwrap_or(i32::MAX))
    }
}

/// What came back.
#[derive(Debug)]
pub enum Received<'a> {
    /// The answer.
    Answer(Pdu<'a>),
    /// The agent's engine or its clock is now known: the same question is to be asked again.
    Again,
    /// Not an answer to the question: someone else's, forged, or old. It is ignored.
    Foreign,
}

/// A conversation.
#[derive(Debug)]
pub struct Session {
    access: Arc<Access>,
    engine: Option<Box<Engine>>,
    max_size: i32,
    salt: u64,
    /// Whether the next questions go out unencrypted, to tell a wrong privacy password from silence.
    doubts_privacy: bool,
}

impl Session {
    /// Begins; `max_size` is the largest answer that is taken, as a message of version 3 says it.
    pub fn new(access: Arc<Access>, max_size: u16) -> Session {
        let max_size = i32::from(max_size).max(484);
        Session { access, engine: None, max_size, salt: fastrand::u64(..), doubts_privacy: false }
    }

    /// How it logs in.
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// Logs in another way from now on.
    pub fn set_access(&mut self, access: Arc<Access>) {
        if !Arc::ptr_eq(&self.access, &access) {
            self.access = access;
            self.forget();
        }
    }

    /// An agent that cannot decrypt says nothing, as one that is away. When this one has told its engine and then said no
    /// more, the next question goes out signed and not encrypted: an answer to it, even a refusal, proves that the
    /// password for privacy (or its protocol) is what is wrong. Whether there is anything to doubt.
    pub fn doubt_privacy(&mut self) -> bool {
        let encrypts = matches!(&*self.access, Access::User { user, .. } if user.level() == Level::AuthPriv);
        self.doubts_privacy = encrypts && self.engine.is_some();
        self.doubts_privacy
    }

    /// Encrypts again.
    pub fn trust_privacy(&mut self) {
        self.doubts_privacy = false;
    }

    /// Forgets the agent's engine: it is asked for anew.
    pub fn forget(&mut self) {
        self.engine = None;
        self.doubts_privacy = false;
    }

    /// The agent's engine id, once known.
    pub fn engine_id(&self) -> Option<&[u8]> {
        self.engine.as_ref().map(|e| &e.id[..])
    }

    /// Writes the message of a request. As long as the engine of a version 3 agent is unknown it asks for that.
    pub fn encode<'w>(&mut self, out: &'w mut Writer, request: &Request<'_>, now: Instant) -> &'w [u8] {
        out.clear();
        match &*self.access {
            Access::Community { version, community } => {
                request.write(out);
                out.field(tag::OCTETS, community.expose().as_bytes());
                out.signed(tag::INTEGER, i64::from(*version));
                out.close(tag::SEQUENCE, 0);
            }
            Access::User { user, context } => {
                self.salt = self.salt.wrapping_add(1);
                let base = Header {
                    id: request.id,
                    max_size: self.max_size,
                    flags: flags::REPORTABLE,
                    engine: &[],
                    place: (0, 0),
                    user: &[],
                    salt: self.salt,
                };
                match &self.engine {
                    None => {
                        pdu_body(out, 0, tag::GET, [request.id, 0, 0]);
                        scope(out, &[], "");
                        seal(out, 0, &base, None, &LocalKeys::default());
                    }
                    Some(engine) => {
                        request.write(out);
                        scope(out, &engine.id, context);
                        let level = if self.doubts_privacy { Level::AuthNoPriv } else { user.level() };
                        let place = match level {
                            Level::NoAuthNoPriv => (0, 0),
                            _ => (engine.boots, engine.now(now)),
                        };
                        let header = Header {
                            flags: level.flags() | flags::REPORTABLE,
                            engine: &engine.id,
                            place,
                            user: user.name.as_bytes(),
                            ..base
                        };
                        seal(out, 0, &header, Some(user), &engine.keys);
                    }
                }
            }
        }
        out.written()
    }

    /// Looks at what came for the question `id`. `raw` was read from `whole`; decrypted data go to `scratch`.
    pub fn receive<'a>(
        &mut self,
        (raw, whole): (&Raw<'a>, &[u8]),
        id: i32,
        scratch: &'a mut Vec<u8>,
        now: Instant,
    ) -> Result<Received<'a>, Fault> {
        match (&*self.access, raw) {
            (Access::Community { version, community }, Raw::Community(m)) => {
                if m.version != *version || m.community != community.expose().as_bytes() {
                    return Ok(Received::Foreign);
                }
                match m.data {
                    Data::Pdu(pdu) if pdu.kind == tag::RESPONSE && pdu.request_id == id => {
                        Ok(Received::Answer(pdu))
                    }
                    _ => Ok(Received::Foreign),
                }
            }
            (Access::User { .. }, Raw::V3(m)) if m.id == id => self.receive_v3(m, whole, scratch, now),
            _ => Ok(Received::Foreign),
        }
    }

    fn receive_v3<'a>(
        &mut self,
        m: &V3<'a>,
        whole: &[u8],
        scratch: &'a mut Vec<u8>,
        now: Instant,
    ) -> Result<Received<'a>, Fault> {
        let access = self.access.clone();
        let Access::User { user, .. } = &*access else { return Ok(Received::Foreign) };
        let level = Level::of_flags(m.flags);
        if level != Level::NoAuthNoPriv {
            let ours = self.engine.as_ref().is_some_and(|e| *e.id == *m.engine);
            if !ours || m.user != user.name.as_bytes() {
                return Ok(Received::Foreign);
            }
        }
        let keys = self.engine.as_ref().map(|e| (user, &e.keys));
        let scoped = match open(m, whole, keys, scratch, Leniency::POLLED) {
            Ok(scoped) => scoped,
            // Whoever does not know the password cannot end the question.
            Err(OpenError::WrongDigest | OpenError::UnsupportedLevel) => return Ok(Received::Foreign),
            Err(OpenError::Decryption) => return Err(Fault::Decryption),
            Err(OpenError::Malformed(e)) => return Err(Fault::Malformed(e)),
        };
        let pdu = scoped.pdu;
        if pdu.kind == tag::REPORT {
            return match self.report(&pdu, m, level, now) {
                // That it wants more than a signature tells nothing about the password.
                Err(Fault::UnsupportedLevel) if self.doubts_privacy => Err(Fault::Timeout),
                other => other,
            };
        }
        if self.doubts_privacy && pdu.kind == tag::RESPONSE && level == Level::AuthNoPriv {
            return Err(Fault::Decryption);
        }
        if pdu.kind != tag::RESPONSE || pdu.request_id != m.id || level < user.level() {
            return Ok(Received::Foreign);
        }
        if level != Level::NoAuthNoPriv
            && let Some(engine) = &mut self.engine
        {
            let old = m.boots < engine.boots
                || (m.boots == engine.boots && m.time.saturating_add(WINDOW) < engine.now(now));
            if old && engine.confirmed {
                return Err(Fault::NotInTimeWindow);
            }
            engine.set_clock(m, now, true);
        }
        Ok(Received::Answer(pdu))
    }

    fn report(
        &mut self,
        pdu: &Pdu<'_>,
        m: &V3<'_>,
        level: Level,
        now: Instant,
    ) -> Result<Received<'static>, Fault> {
        match report_cause(pdu) {
            Some([15, 1, 1, 4]) => {
                let known = self.engine.as_ref().is_some_and(|e| *e.id == *m.engine);
                if m.engine.len() < 5 || known {
                    return Err(Fault::UnknownEngine);
                }
                self.learn(m, now);
                Ok(Received::Again)
            }
            Some([15, 1, 1, 2]) => match &mut self.engine {
                // Unauthenticated it is only a hint, as good as the one that discovery gave.
                Some(engine) if level != Level::NoAuthNoPriv || !engine.confirmed => {
                    engine.set_clock(m, now, level != Level::NoAuthNoPriv);
                    Ok(Received::Again)
                }
                _ => Err(Fault::NotInTimeWindow),
            },
            Some([15, 1, 1, 1]) => Err(Fault::UnsupportedLevel),
            Some([15, 1, 1, 3]) => Err(Fault::UnknownUser),
            Some([15, 1, 1, 5]) => Err(Fault::WrongDigest),
            Some([15, 1, 1, 6]) => Err(Fault::Decryption),
            Some([12, 1, ..]) => Err(Fault::UnknownContext),
            _ => Err(Fault::Report),
        }
    }

    fn learn(&mut self, m: &V3<'_>, now: Instant) {
        let keys = match &*self.access {
            Access::User { user, .. } => user.localise(m.engine),
            Access::Community { .. } => LocalKeys::default(),
        };
        self.engine = Some(Box::new(Engine {
            id: m.engine.into(),
            boots: m.boots,
            time: m.time,
            at: now,
            confirmed: false,
            keys,
        }));
    }
}

impl Engine {
    fn set_clock(&mut self, m: &V3<'_>, now: Instant, confirmed: bool) {
        (self.boots, self.time, self.at) = (m.boots, m.time, now);
        self.confirmed |= confirmed;
    }
}

/// Writes context engine and name before a PDU, and closes the scoped PDU.
pub(crate) fn scope(out: &mut Writer, engine: &[u8], context: &str) {
    out.field(tag::OCTETS, context.as_bytes());
    out.field(tag::OCTETS, engine);
    out.close(tag::SEQUENCE, 0);
}

/// The number that an answer carries and its question is found by, or nothing for what is no answer.
pub fn answer_id(raw: &Raw<'_>) -> Option<i32> {
    match raw {
        Raw::V3(m) => Some(m.id),
        Raw::Community(m) => match m.data {
            Data::Pdu(pdu) if pdu.kind == tag::RESPONSE => Some(pdu.request_id),
            _ => None,
        },
    }
}

/// How long an answer is waited for, from what answers have taken (RFC 6298's estimator).
#[derive(Clone, Copy, Debug)]
pub struct RoundTrip {
    smoothed: f32,
    variation: f32,
}

impl Default for RoundTrip {
    fn default() -> RoundTrip {
        RoundTrip { smoothed: 0.0, variation: 0.0 }
    }
}

impl RoundTrip {
    /// Shortest and longest wait for one try.
    const SHORTEST: f32 = 0.5;
    const LONGEST: f32 = 5.0;

    /// An answer to a first try took so long.
    pub fn took(&mut self, time: Duration) {
        let t = time.as_secs_f32();
        if self.smoothed == 0.0 {
            (self.smoothed, self.variation) = (t, t / 2.0);
        } else {
            self.variation += ((t - self.smoothed).abs() - self.variation) / 4.0;
            self.smoothed += (t - self.smoothed) / 8.0;
        }
    }

    /// The wait for try number `attempt`, from 0.
    pub fn wait(&self, attempt: u32) -> Duration {
        // Agents stall now and then for long against their usual time: ten times that, at least half a second.
        let base = if self.smoothed == 0.0 {
            1.0
        } else {
            (self.smoothed * 10.0 + 4.0 * self.variation).max(Self::SHORTEST)
        };
        Duration::from_secs_f32((base * (1u32 << attempt.min(4)) as f32).min(Self::LONGEST))
    }

    /// The usual time of an answer, in milliseconds; 0 when none came yet.
    pub fn millis(&self) -> f64 {
        f64::from(self.smoothed) * 1e3
    }
}
