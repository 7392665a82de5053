//! How a password is proven: PLAIN (RFC 4616) and SCRAM (RFC 5802, 7677).

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

use crate::settings::Mechanism;

/// Rounds that a broker may ask for at most: more would be an attack on this machine.
const MAX_ROUNDS: u32 = 1_000_000;

pub(super) fn name(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Plain => "PLAIN",
        Mechanism::ScramSha256 => "SCRAM-SHA-256",
        Mechanism::ScramSha512 => "SCRAM-SHA-512",
    }
}

pub(super) fn plain(user: &str, password: &str) -> Vec<u8> {
    format!("\0{user}\0{password}").into_bytes()
}

/// A SCRAM exchange from the client's side.
pub(super) struct Scram {
    wide: bool,
    user: String,
    nonce: String,
}

impl Scram {
    pub(super) fn new(mechanism: Mechanism, user: &str, nonce: String) -> Scram {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Scram { wide: mechanism == Mechanism::ScramSha512, user, nonce }
    }

    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare())
    }

    fn bare(&self) -> String {
        format!("n={},r={}", self.user, self.nonce)
    }

    /// The answer to the broker's first message, and what its last one must be.
    pub(super) fn last(&self, server: &str, password: &str) -> Result<(String, String), &'static str> {
        let field = |key: &str| server.split(',').find_map(|f| f.strip_prefix(key)?.strip_prefix('='));
        let nonce = field("r")
            .filter(|n| n.starts_with(&self.nonce) && *n != self.nonce)
            .ok_or("a nonce that is not ours")?;
        let salt = field("s").and_then(unbase64).ok_or("no salt")?;
        let rounds: u32 = field("i").and_then(|i| i.parse().ok()).ok_or("no number of rounds")?;
        if !(1..=MAX_ROUNDS).contains(&rounds) {
            return Err("an unreasonable number of rounds");
        }
        let without = format!("c=biws,r={nonce}");
        let message = format!("{},{server},{without}", self.bare());
        let salted = self.salted(password.as_bytes(), &salt, rounds);
        let client = self.hmac(&salted, b"Client Key");
        let stored =
            if self.wide { Sha512::digest(&client).to_vec() } else { Sha256::digest(&client).to_vec() };
        let signature = self.hmac(&stored, message.as_bytes());
        let proof: Vec<u8> = std::iter::zip(&client, &signature).map(|(a, b)| a ^ b).collect();
        let server_key = self.hmac(&salted, b"Server Key");
        let proven = self.hmac(&server_key, message.as_bytes());
        Ok((format!("{without},p={}", base64(&proof)), format!("v={}", base64(&proven))))
    }

    /// PBKDF2 with one block.
    fn salted(&self, password: &[u8], salt: &[u8], rounds: u32) -> Vec<u8> {
        let mut u = self.hmac(password, &[salt, &1u32.to_be_bytes()].concat());
        let mut out = u.clone();
        for _ in 1..rounds {
            u = self.hmac(password, &u);
            out.iter_mut().zip(&u).for_each(|(o, u)| *o ^= u);
        }
        out
    }

    fn hmac(&self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        fn with<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Vec<u8> {
            // HMAC takes keys of any length.
            let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
            mac.update(bytes);
            mac.finalize().into_bytes().to_vec()
        }
        if self.wide { with::<Hmac<Sha512>>(key, bytes) } else { with::<Hmac<Sha256>>(key, bytes) }
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0usize, |n, b| n << 8 | usize::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[group >> (18 - 6 * place) & 63];
            out.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn unbase64(s: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for chunk in s.trim_end_matches('=').as_bytes().chunks(4) {
        let mut group = 0u32;
        for c in chunk {
            group = group << 6 | u32::try_from(DIGITS.iter().position(|d| d == c)?).ok()?;
        }
        let bits = chunk.len() * 6;
        if bits < 8 {
            return None;
        }
        out.extend_from_slice(&(group << (32 - bits)).to_be_bytes()[..bits / 8]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7677_comes_out() {
        let scram = Scram::new(Mechanism::ScramSha256, "user", "rOprNGfwEbeRWgbNEkqO".to_owned());
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, proven) = scram.last(server, "pencil").unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(proven, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        for bad in [
            "",
            "r=other,s=AAAA,i=1",
            "r=rOprNGfwEbeRWgbNEkqO1,s=AAAA,i=0",
            "r=rOprNGfwEbeRWgbNEkqO1,s=AAAA,i=99999999",
        ] {
            assert!(scram.last(bad, "pencil").is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(Scram::new(Mechanism::ScramSha512, "a=b,c", "n".to_owned()).first(), "n,,n=a=3Db=2Cc,r=n");
        assert_eq!(plain("u", "p"), b"\0u\0p");
    }
}
