use std::fmt;
use std::str::FromStr;

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::{Block, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use des::Des;

use super::AuthProtocol;

/// Octets of the salt in a message.
pub const SALT: usize = 8;

/// A cipher, and how its key is made long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrivProtocol {
    /// CBC-DES (RFC 3414)
    Des,
    /// CFB128-AES-128 (RFC 3826)
    Aes128,
    /// CFB128-AES-192, key extended as Blumenthal's draft says.
    Aes192,
    /// CFB128-AES-256, key extended as Blumenthal's draft says.
    Aes256,
    /// CFB128-AES-192, key extended as Reeder's draft says.
    Aes192c,
    /// CFB128-AES-256, key extended as Reeder's draft says.
    Aes256c,
}

/// Why data cannot be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the salt or the length of encrypted data is wrong")]
pub struct PrivError;

impl PrivProtocol {
    /// All of them.
    pub const ALL: [PrivProtocol; 6] = [
        PrivProtocol::Des,
        PrivProtocol::Aes128,
        PrivProtocol::Aes192,
        PrivProtocol::Aes256,
        PrivProtocol::Aes192c,
        PrivProtocol::Aes256c,
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            PrivProtocol::Des => "des",
            PrivProtocol::Aes128 => "aes128",
            PrivProtocol::Aes192 => "aes192",
            PrivProtocol::Aes256 => "aes256",
            PrivProtocol::Aes192c => "aes192c",
            PrivProtocol::Aes256c => "aes256c",
        }
    }

    fn key_len(self) -> usize {
        match self {
            PrivProtocol::Des | PrivProtocol::Aes128 => 16,
            PrivProtocol::Aes192 | PrivProtocol::Aes192c => 24,
            PrivProtocol::Aes256 | PrivProtocol::Aes256c => 32,
        }
    }

    /// The key of this cipher from a localised key of the hash, made longer where it is too short.
    pub(super) fn extend(self, mut key: Vec<u8>, auth: AuthProtocol, engine: &[u8]) -> Vec<u8> {
        let reeder = matches!(self, PrivProtocol::Aes192c | PrivProtocol::Aes256c);
        while key.len() < self.key_len() {
            let more = if reeder {
                let master = auth.stretch(&key);
                auth.hash(&[&master, engine, &master])
            } else {
                auth.hash(&[&key])
            };
            key.extend(more);
        }
        key.truncate(self.key_len());
        key
    }

    /// Encrypts what follows; `place` says when the message was made: boots and time of the authoritative engine.
    pub fn encrypt(self, key: &[u8], place: (i32, i32), salt: [u8; SALT], data: &mut Vec<u8>) {
        if self == PrivProtocol::Des {
            data.resize(data.len().next_multiple_of(8), 0);
            let iv = des_iv(key, &salt);
            if let Ok(mut mode) = cbc::Encryptor::<Des>::new_from_slices(&key[..8], &iv) {
                blocks(data, |b| mode.encrypt_block(b));
            }
            return;
        }
        let iv = aes_iv(place, &salt);
        match key.len() {
            16 => encrypt_with::<Aes128>(key, &iv, data),
            24 => encrypt_with::<Aes192>(key, &iv, data),
            _ => encrypt_with::<Aes256>(key, &iv, data),
        }
    }

    /// Decrypts in place.
    pub fn decrypt(
        self,
        key: &[u8],
        place: (i32, i32),
        salt: &[u8],
        data: &mut [u8],
    ) -> Result<(), PrivError> {
        let salt: [u8; SALT] = salt.try_into().map_err(|_| PrivError)?;
        if self == PrivProtocol::Des {
            if data.is_empty() || !data.len().is_multiple_of(8) {
                return Err(PrivError);
            }
            let iv = des_iv(key, &salt);
            let mut mode = cbc::Decryptor::<Des>::new_from_slices(&key[..8], &iv).map_err(|_| PrivError)?;
            blocks(data, |b| mode.decrypt_block(b));
            return Ok(());
        }
        let iv = aes_iv(place, &salt);
        match key.len() {
            16 => decrypt_with::<Aes128>(key, &iv, data),
            24 => decrypt_with::<Aes192>(key, &iv, data),
            _ => decrypt_with::<Aes256>(key, &iv, data),
        }
        Ok(())
    }
}

fn blocks(data: &mut [u8], mut each: impl FnMut(&mut Block<Des>)) {
    for chunk in data.chunks_exact_mut(8) {
        if let Ok(block) = <&mut Block<Des>>::try_from(chunk) {
            each(block);
        }
    }
}

fn encrypt_with<C>(key: &[u8], iv: &[u8; 16], data: &mut [u8])
where
    cfb_mode::Encryptor<C>: KeyIvInit,
    C: cfb_mode::cipher::BlockCipherEncrypt,
{
    // Lengths are those of the cipher: key_len() and one block.
    if let Ok(mode) = cfb_mode::Encryptor::<C>::new_from_slices(key, iv) {
        mode.encrypt(data);
    }
}

fn decrypt_with<C>(key: &[u8], iv: &[u8; 16], data: &mut [u8])
where
    cfb_mode::Decryptor<C>: KeyIvInit,
    C: cfb_mode::cipher::BlockCipherEncrypt,
{
    if let Ok(mode) = cfb_mode::Decryptor::<C>::new_from_slices(key, iv) {
        mode.decrypt(data);
    }
}

fn des_iv(key: &[u8], salt: &[u8; SALT]) -> [u8; 8] {
    std::array::from_fn(|i| key[8 + i] ^ salt[i])
}

fn aes_iv((boots, time): (i32, i32), salt: &[u8; SALT]) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[..4].copy_from_slice(&boots.to_be_bytes());
    iv[4..8].copy_from_slice(&time.to_be_bytes());
    iv[8..].copy_from_slice(salt);
    iv
}

impl fmt::Display for PrivProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PrivProtocol {
    type Err = &'static str;

    /// The configuration's name or net-snmp's spelling, case ignored.
    fn from_str(word: &str) -> Result<PrivProtocol, &'static str> {
        let folded: String = word.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        let folded = if folded == "aes" { "aes128" } else { folded.as_str() };
        PrivProtocol::ALL
            .into_iter()
            .find(|p| p.name() == folded)
            .ok_or("expected one of des, aes128, aes192, aes256, aes192c, aes256c")
    }
}
