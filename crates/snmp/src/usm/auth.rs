use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// A hash and its HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthProtocol {
    /// HMAC-MD5-96
    Md5,
    /// HMAC-SHA-96
    Sha1,
    /// HMAC-128-SHA-224
    Sha224,
    /// HMAC-192-SHA-256
    Sha256,
    /// HMAC-256-SHA-384
    Sha384,
    /// HMAC-384-SHA-512
    Sha512,
}

/// Octets that a password is stretched to (RFC 3414, A.2).
const STRETCHED: usize = 1 << 20;

fn hash_of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = D::new();
    parts.iter().for_each(|p| hash.update(p));
    hash.finalize().to_vec()
}

fn stretch<D: Digest>(password: &[u8]) -> Vec<u8> {
    // A run of whole passwords longer than a block, so that few calls do the million octets.
    let run: Vec<u8> =
        password.iter().copied().cycle().take(password.len() * (4096 / password.len() + 1)).collect();
    let (mut hash, mut left) = (D::new(), STRETCHED);
    while left > 0 {
        let now = left.min(run.len());
        hash.update(&run[..now]);
        left -= now;
    }
    hash.finalize().to_vec()
}

fn sign<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]], out: &mut [u8]) {
    // An HMAC takes keys of any length.
    let Ok(mut mac) = M::new_from_slice(key) else { return };
    parts.iter().for_each(|p| mac.update(p));
    let whole = mac.finalize().into_bytes();
    let length = out.len().min(whole.len());
    out[..length].copy_from_slice(&whole[..length]);
}

macro_rules! by_hash {
    ($self:expr, $call:ident, $wrap:ident, ($($arg:expr),*)) => {
        match $self {
            AuthProtocol::Md5 => $call::<$wrap!(Md5)>($($arg),*),
            AuthProtocol::Sha1 => $call::<$wrap!(Sha1)>($($arg),*),
            AuthProtocol::Sha224 => $call::<$wrap!(Sha224)>($($arg),*),
            AuthProtocol::Sha256 => $call::<$wrap!(Sha256)>($($arg),*),
            AuthProtocol::Sha384 => $call::<$wrap!(Sha384)>($($arg),*),
            AuthProtocol::Sha512 => $call::<$wrap!(Sha512)>($($arg),*),
        }
    };
}
macro_rules! plain {
    ($d:ident) => {
        $d
    };
}
macro_rules! mac {
    ($d:ident) => { Hmac<$d> };
}

impl AuthProtocol {
    /// All of them.
    pub const ALL: [AuthProtocol; 6] = [
        AuthProtocol::Md5,
        AuthProtocol::Sha1,
        AuthProtocol::Sha224,
        AuthProtocol::Sha256,
        AuthProtocol::Sha384,
        AuthProtocol::Sha512,
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            AuthProtocol::Md5 => "md5",
            AuthProtocol::Sha1 => "sha1",
            AuthProtocol::Sha224 => "sha224",
            AuthProtocol::Sha256 => "sha256",
            AuthProtocol::Sha384 => "sha384",
            AuthProtocol::Sha512 => "sha512",
        }
    }

    /// Octets of a proof in a message.
    pub fn proof_len(self) -> usize {
        match self {
            AuthProtocol::Md5 | AuthProtocol::Sha1 => 12,
            AuthProtocol::Sha224 => 16,
            AuthProtocol::Sha256 => 24,
            AuthProtocol::Sha384 => 32,
            AuthProtocol::Sha512 => 48,
        }
    }

    /// The hash of these octets.
    pub(super) fn hash(self, parts: &[&[u8]]) -> Vec<u8> {
        by_hash!(self, hash_of, plain, (parts))
    }

    /// A password stretched to a million octets, and hashed. An empty one is refused by the caller.
    pub(super) fn stretch(self, password: &[u8]) -> Vec<u8> {
        by_hash!(self, stretch, plain, (password))
    }

    /// Writes the proof of the octets, which lie in parts, to `out`.
    pub fn sign(self, key: &[u8], parts: &[&[u8]], out: &mut [u8]) {
        by_hash!(self, sign, mac, (key, parts, out));
    }

    /// Whether a proof is right. `message` holds it at `at`; it counts as zeroes there.
    pub fn verify(self, key: &[u8], message: &[u8], at: usize) -> bool {
        let length = self.proof_len();
        let zeroes = [0; 48];
        let Some(end) = at.checked_add(length).filter(|e| *e <= message.len()) else { return false };
        let mut right = [0; 48];
        self.sign(key, &[&message[..at], &zeroes[..length], &message[end..]], &mut right[..length]);
        // In constant time: all octets are looked at.
        message[at..end].iter().zip(&right).fold(0, |d, (a, b)| d | (a ^ b)) == 0
    }
}

impl fmt::Display for AuthProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AuthProtocol {
    type Err = &'static str;

    /// The configuration's name or net-snmp's spelling, case ignored.
    fn from_str(word: &str) -> Result<AuthProtocol, &'static str> {
        let folded: String = word.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        let folded = if folded == "sha" { "sha1" } else { folded.as_str() };
        AuthProtocol::ALL
            .into_iter()
            .find(|p| p.name() == folded)
            .ok_or("expected one of md5, sha1, sha224, sha256, sha384, sha512")
    }
}
