use super::ber::{DecodeError, Leniency, Reader, Writer, tag};
use super::value::Value;

/// Bits of `msgFlags` (RFC 3412, section 6.4).
pub mod flags {
    /// The message is authenticated.
    pub const AUTH: u8 = 1;
    /// The scoped PDU is encrypted.
    pub const PRIV: u8 = 2;
    /// A report may be sent back.
    pub const REPORTABLE: u8 = 4;
}

/// A message, its parts where they lie.
#[derive(Clone, Copy, Debug)]
pub enum Raw<'a> {
    /// Versions 1 and 2c.
    Community(Community<'a>),
    /// Version 3.
    V3(V3<'a>),
}

/// A message of version 1 or 2c.
#[derive(Clone, Copy, Debug)]
pub struct Community<'a> {
    /// 0 for version 1, 1 for 2c.
    pub version: u8,
    /// The community.
    pub community: &'a [u8],
    /// What it carries.
    pub data: Data<'a>,
}

/// What a message carries.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// All but the trap of version 1.
    Pdu(Pdu<'a>),
    /// The trap of version 1, which has a form of its own.
    TrapV1(TrapV1<'a>),
}

/// A protocol data unit.
#[derive(Clone, Copy, Debug)]
pub struct Pdu<'a> {
    /// Its tag: [`tag::GET`] and so on.
    pub kind: u8,
    /// Chosen by who asks; the answer carries the same.
    pub request_id: i32,
    /// Error status; `non-repeaters` of a GETBULK.
    pub error_status: i32,
    /// Which variable it concerns, from 1; `max-repetitions` of a GETBULK.
    pub error_index: i32,
    /// The variables.
    pub varbinds: VarBinds<'a>,
}

/// A trap of version 1 (RFC 1157, section 4.1.6).
#[derive(Clone, Copy, Debug)]
pub struct TrapV1<'a> {
    /// Type of the object that sends it.
    pub enterprise: &'a [u8],
    /// Address of the object that sends it.
    pub agent: [u8; 4],
    /// 0 coldStart to 5 egpNeighborLoss, 6 enterpriseSpecific.
    pub generic: i32,
    /// Code under the enterprise.
    pub specific: i32,
    /// sysUpTime, hundredths of a second.
    pub uptime: u32,
    /// The variables.
    pub varbinds: VarBinds<'a>,
}

/// A message of version 3, its data possibly still encrypted.
#[derive(Clone, Copy, Debug)]
pub struct V3<'a> {
    /// Chosen by who asks; the answer carries the same.
    pub id: i32,
    /// Largest message that the sender takes.
    pub max_size: i32,
    /// See [`flags`].
    pub flags: u8,
    /// The authoritative engine.
    pub engine: &'a [u8],
    /// How often that engine has started.
    pub boots: i32,
    /// Seconds since it last did.
    pub time: i32,
    /// Who asks.
    pub user: &'a [u8],
    /// The proof, cut to 12 to 48 bytes.
    pub auth: &'a [u8],
    /// Where `auth` lies in the message.
    pub auth_at: usize,
    /// The salt.
    pub salt: &'a [u8],
    /// The scoped PDU, whole, or the encrypted bytes.
    pub data: &'a [u8],
}

/// What a message of version 3 carries, decrypted.
#[derive(Clone, Copy, Debug)]
pub struct ScopedPdu<'a> {
    /// Engine that the context belongs to.
    pub context_engine: &'a [u8],
    /// Name of the context.
    pub context: &'a [u8],
    /// The unit.
    pub pdu: Pdu<'a>,
}

/// Variables, read as they are asked for.
#[derive(Clone, Copy, Debug)]
pub struct VarBinds<'a>(Reader<'a>);

impl<'a> Iterator for VarBinds<'a> {
    type Item = Result<(&'a [u8], Value<'a>), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.rest().is_empty() {
            return None;
        }
        let mut one = || {
            let mut inner = self.0.enter(tag::SEQUENCE)?;
            let oid = inner.oid()?;
            let value = Value::read(&mut inner)?;
            inner.end()?;
            Ok((oid, value))
        };
        let read = one();
        if read.is_err() {
            self.0 = self.0.within(&[]);
        }
        Some(read)
    }
}

impl<'a> VarBinds<'a> {
    /// The bytes, a sequence's content.
    pub fn bytes(&self) -> &'a [u8] {
        self.0.rest()
    }
}

/// Takes a message apart. Variables are looked at only when they are asked for, encrypted data not at all.
pub fn parse(bytes: &[u8], allowed: Leniency) -> Result<Raw<'_>, DecodeError> {
    let mut outer = Reader::new(bytes, allowed);
    let mut all = outer.enter(tag::SEQUENCE)?;
    if !outer.rest().is_empty() {
        outer.forgive(Leniency::TRAILING_BYTES, DecodeError::Trailing)?;
    }
    match all.int()? {
        version @ (0 | 1) => {
            let community = all.expect(tag::OCTETS)?;
            let data = data(&mut all)?;
            all.end()?;
            Ok(Raw::Community(Community { version: version as u8, community, data }))
        }
        3 => v3(bytes, &mut all).map(Raw::V3),
        other => Err(DecodeError::UnknownVersion(i64::from(other))),
    }
}

fn v3<'a>(whole: &'a [u8], all: &mut Reader<'a>) -> Result<V3<'a>, DecodeError> {
    let mut global = all.enter(tag::SEQUENCE)?;
    let (id, max_size) = (global.int()?, global.int()?);
    let [bits] = global.expect(tag::OCTETS)? else { return Err(DecodeError::BadField("msgFlags")) };
    let model = global.int()?;
    global.end()?;
    if id < 0 {
        return Err(DecodeError::BadField("msgID"));
    }
    if max_size < 484 {
        return Err(DecodeError::BadField("msgMaxSize"));
    }
    if model != 3 {
        return Err(DecodeError::BadField("msgSecurityModel"));
    }
    if bits & (flags::AUTH | flags::PRIV) == flags::PRIV {
        return Err(DecodeError::BadField("msgFlags"));
    }
    let parameters = all.expect(tag::OCTETS)?;
    let mut outer = all.within(parameters);
    let mut usm = outer.enter(tag::SEQUENCE)?;
    outer.end()?;
    let engine = usm.expect(tag::OCTETS)?;
    let (boots, time) = (usm.int()?, usm.int()?);
    let user = usm.expect(tag::OCTETS)?;
    let auth = usm.expect(tag::OCTETS)?;
    // `auth` is a part of `whole`: its place is the distance from the end.
    let auth_at = whole.len() - all.rest().len() - (usm.rest().len() + auth.len());
    let salt = usm.expect(tag::OCTETS)?;
    usm.end()?;
    if engine.len() > 32 || user.len() > 32 {
        return Err(DecodeError::BadField("msgSecurityParameters"));
    }
    if boots < 0 || time < 0 {
        return Err(DecodeError::BadField("msgAuthoritativeEngineTime"));
    }
    let data = if bits & flags::PRIV != 0 {
        all.expect(tag::OCTETS)?
    } else {
        let data = all.rest();
        all.expect(tag::SEQUENCE)?;
        &data[..data.len() - all.rest().len()]
    };
    all.end()?;
    Ok(V3 { id, max_size, flags: *bits, engine, boots, time, user, auth, auth_at, salt, data })
}

/// Takes a decrypted scoped PDU apart. Padding behind it, as block ciphers leave it, is left alone.
pub fn scoped(bytes: &[u8], allowed: Leniency) -> Result<ScopedPdu<'_>, DecodeError> {
    let mut all = Reader::new(bytes, allowed).enter(tag::SEQUENCE)?;
    let context_engine = all.expect(tag::OCTETS)?;
    let context = all.expect(tag::OCTETS)?;
    let Data::Pdu(pdu) = data(&mut all)? else { return Err(DecodeError::BadField("PDU")) };
    all.end()?;
    Ok(ScopedPdu { context_engine, context, pdu })
}

fn data<'a>(from: &mut Reader<'a>) -> Result<Data<'a>, DecodeError> {
    let (kind, content) = from.any()?;
    let mut inner = from.within(content);
    if kind == tag::TRAP_V1 {
        let enterprise = inner.oid()?;
        let agent = inner.expect(tag::IP)?.try_into().map_err(|_| DecodeError::WrongLength("IpAddress"))?;
        let (generic, specific) = (inner.int()?, inner.int()?);
        let ticks = inner.expect(tag::TICKS)?;
        let uptime = inner.unsigned32(ticks)?;
        let varbinds = VarBinds(inner.enter(tag::SEQUENCE)?);
        inner.end()?;
        return Ok(Data::TrapV1(TrapV1 { enterprise, agent, generic, specific, uptime, varbinds }));
    }
    if !(tag::GET..=tag::REPORT).contains(&kind) {
        return Err(DecodeError::UnknownType(kind));
    }
    let (request_id, error_status, error_index) = (inner.int()?, inner.int()?, inner.int()?);
    let varbinds = VarBinds(inner.enter(tag::SEQUENCE)?);
    inner.end()?;
    Ok(Data::Pdu(Pdu { kind, request_id, error_status, error_index, varbinds }))
}

/// A question.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// [`tag::GET`], [`tag::GET_NEXT`] or [`tag::GET_BULK`].
    pub kind: u8,
    /// Comes back with the answer.
    pub id: i32,
    /// Rows that a GETBULK asks for.
    pub repetitions: u32,
    /// What is asked for.
    pub oids: &'a [&'a [u8]],
}

impl Request<'_> {
    /// Writes the unit, tag and length included.
    pub fn write(&self, out: &mut Writer) {
        let end = out.mark();
        for oid in self.oids.iter().rev() {
            write_varbind(out, oid, Value::Null);
        }
        out.close(tag::SEQUENCE, end);
        let third = if self.kind == tag::GET_BULK { i64::from(self.repetitions) } else { 0 };
        out.signed(tag::INTEGER, third);
        out.signed(tag::INTEGER, 0);
        out.signed(tag::INTEGER, i64::from(self.id));
        out.close(self.kind, end);
    }
}

/// Writes one variable before what is written.
#[inline]
pub fn write_varbind(out: &mut Writer, oid: &[u8], value: Value<'_>) {
    let end = out.mark();
    value.write(out);
    out.field(tag::OID, oid);
    out.close(tag::SEQUENCE, end);
}

/// Writes a unit around variables that are already written since `end`.
pub fn pdu_body(out: &mut Writer, end: usize, kind: u8, fields: [i32; 3]) {
    out.close(tag::SEQUENCE, end);
    fields.iter().rev().for_each(|f| out.signed(tag::INTEGER, i64::from(*f)));
    out.close(kind, end);
}

/// The word for an error status (RFC 3416, section 3).
pub fn error_status(status: i32) -> &'static str {
    const WORDS: [&str; 19] = [
        "noError",
        "tooBig",
        "noSuchName",
        "badValue",
        "readOnly",
        "genErr",
        "noAccess",
        "wrongType",
        "wrongLength",
        "wrongEncoding",
        "wrongValue",
        "noCreation",
        "inconsistentValue",
        "resourceUnavailable",
        "commitFailed",
        "undoFailed",
        "authorizationError",
        "notWritable",
        "inconsistentName",
    ];
    usize::try_from(status).ok().and_then(|s| WORDS.get(s)).copied().unwrap_or("unknown error status")
}

/// Which counter a report names: the last arcs under `snmpModules` (1.3.6.1.6.3), such as `15.1.1.4`.
pub fn report_cause(pdu: &Pdu<'_>) -> Option<&'static [u8]> {
    /// usmStats.1 to 6, snmpUnavailableContexts and snmpUnknownContexts, snmpUnknownPDUHandlers.
    const CAUSES: [&[u8]; 9] = [
        &[15, 1, 1, 1],
        &[15, 1, 1, 2],
        &[15, 1, 1, 3],
        &[15, 1, 1, 4],
        &[15, 1, 1, 5],
        &[15, 1, 1, 6],
        &[12, 1, 4],
        &[12, 1, 5],
        &[11, 2, 1, 3],
    ];
    let mut varbinds = pdu.varbinds;
    let (oid, _) = varbinds.next()?.ok()?;
    let rest = oid.strip_prefix(&[0x2b, 6, 1, 6, 3])?;
    CAUSES.into_iter().find(|c| rest.starts_with(c))
}
