use super::{Level, LocalKeys, User};
use crate::protocol::{DecodeError, Leniency, ScopedPdu, V3, Writer, flags, scoped, tag};

/// What stands before the scoped PDU of a message of version 3.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// `msgID`
    pub id: i32,
    /// Largest answer that is taken.
    pub max_size: i32,
    /// How it is secured, and whether a report may come back.
    pub flags: u8,
    /// The authoritative engine.
    pub engine: &'a [u8],
    /// Its boots and time.
    pub place: (i32, i32),
    /// Who asks.
    pub user: &'a [u8],
    /// A number that is never used twice with one key.
    pub salt: u64,
}

/// Why a message of version 3 is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The proof is wrong.
    #[error("wrong digest")]
    WrongDigest,
    /// It cannot be decrypted, or what comes out is no PDU.
    #[error("decryption error")]
    Decryption,
    /// The user has no keys for this level.
    #[error("unsupported security level")]
    UnsupportedLevel,
    /// It is no message.
    #[error("malformed: {0}")]
    Malformed(DecodeError),
}

/// Makes a whole message of the scoped PDU that `out` holds since `end`.
pub fn seal(out: &mut Writer, end: usize, header: &Header<'_>, user: Option<&User>, keys: &LocalKeys) {
    let mut salt = [0; 8];
    let mut salt_len = 0;
    if header.flags & flags::PRIV != 0
        && let Some(cipher) = user.and_then(User::privacy)
    {
        salt = header.salt.to_be_bytes();
        if cipher == super::PrivProtocol::Des {
            salt[..4].copy_from_slice(&header.place.0.to_be_bytes());
        }
        salt_len = salt.len();
        let mut data = out.written()[..out.mark() - end].to_vec();
        cipher.encrypt(&keys.privacy, header.place, salt, &mut data);
        out.drop_back_to(end);
        out.field(tag::OCTETS, &data);
    }
    let auth = user.and_then(User::auth).filter(|_| header.flags & flags::AUTH != 0);
    let proof_len = auth.map_or(0, super::AuthProtocol::proof_len);
    let parameters = out.mark();
    out.field(tag::OCTETS, &salt[..salt_len]);
    out.raw(&[0; 48][..proof_len]);
    let proof_from_end = out.mark();
    out.head(tag::OCTETS, proof_len);
    out.field(tag::OCTETS, header.user);
    out.signed(tag::INTEGER, i64::from(header.place.1));
    out.signed(tag::INTEGER, i64::from(header.place.0));
    out.field(tag::OCTETS, header.engine);
    out.close(tag::SEQUENCE, parameters);
    out.close(tag::OCTETS, parameters);
    let global = out.mark();
    out.signed(tag::INTEGER, 3);
    out.field(tag::OCTETS, &[header.flags]);
    out.signed(tag::INTEGER, i64::from(header.max_size));
    out.signed(tag::INTEGER, i64::from(header.id));
    out.close(tag::SEQUENCE, global);
    out.signed(tag::INTEGER, 3);
    out.close(tag::SEQUENCE, 0);
    if let Some(auth) = auth {
        let mut proof = [0; 48];
        auth.sign(&keys.auth, &[out.written()], &mut proof[..proof_len]);
        let message = out.written_mut();
        let at = message.len() - proof_from_end;
        message[at..at + proof_len].copy_from_slice(&proof[..proof_len]);
    }
}

/// Checks the proof of a message and decrypts it into `scratch` where it is encrypted. Engine, user and time are the
/// caller's to check. `whole` is the message that `v3` was read from.
pub fn open<'a>(
    v3: &V3<'a>,
    whole: &[u8],
    user: Option<(&User, &LocalKeys)>,
    scratch: &'a mut Vec<u8>,
    allowed: Leniency,
) -> Result<ScopedPdu<'a>, OpenError> {
    let level = Level::of_flags(v3.flags);
    if level == Level::NoAuthNoPriv {
        return scoped(v3.data, allowed).map_err(OpenError::Malformed);
    }
    let (user, keys) = user.ok_or(OpenError::UnsupportedLevel)?;
    let auth = user.auth().ok_or(OpenError::UnsupportedLevel)?;
    if v3.auth.len() != auth.proof_len() || !auth.verify(&keys.auth, whole, v3.auth_at) {
        return Err(OpenError::WrongDigest);
    }
    if level == Level::AuthNoPriv {
        return scoped(v3.data, allowed).map_err(OpenError::Malformed);
    }
    let cipher = user.privacy().ok_or(OpenError::UnsupportedLevel)?;
    scratch.clear();
    scratch.extend_from_slice(v3.data);
    cipher
        .decrypt(&keys.privacy, (v3.boots, v3.time), v3.salt, scratch)
        .map_err(|_| OpenError::Decryption)?;
    scoped(scratch, allowed).map_err(|_| OpenError::Decryption)
}
