use std::fmt;
use std::sync::OnceLock;

use telegen_model::Secret;

use super::{AuthProtocol, Level, PrivProtocol};

/// A password stretched for one hash: made once, then cheap to localise for any engine.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    auth: AuthProtocol,
    key: Vec<u8>,
}

impl MasterKey {
    /// Stretches a password; costs a hash of a million octets. An empty password gives no key.
    pub fn new(auth: AuthProtocol, password: &[u8]) -> Option<MasterKey> {
        (!password.is_empty()).then(|| MasterKey { auth, key: auth.stretch(password) })
    }

    /// The key for one engine.
    pub fn localise(&self, engine: &[u8]) -> Vec<u8> {
        self.auth.hash(&[&self.key, engine, &self.key])
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, REDACTED)", self.auth)
    }
}

/// A user with its passwords. The keys are made when they are first needed.
#[derive(Debug)]
pub struct User {
    /// Its name.
    pub name: String,
    auth: Option<(AuthProtocol, Secret)>,
    privacy: Option<(PrivProtocol, Secret)>,
    masters: OnceLock<Masters>,
}

#[derive(Debug)]
struct Masters {
    auth: Option<MasterKey>,
    privacy: Option<MasterKey>,
}

/// Why a user cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A user name has 1 to 32 octets.
    #[error("a user name has 1 to 32 octets")]
    Name,
    /// Encryption needs a proof of who asks.
    #[error("encryption needs authentication")]
    PrivWithoutAuth,
    /// RFC 3414, section 11.2.
    #[error("a password has at least 8 octets")]
    ShortPassword,
}

impl User {
    /// A user.
    pub fn new(
        name: &str,
        auth: Option<(AuthProtocol, Secret)>,
        privacy: Option<(PrivProtocol, Secret)>,
    ) -> Result<User, UserError> {
        if name.is_empty() || name.len() > 32 {
            return Err(UserError::Name);
        }
        if privacy.is_some() && auth.is_none() {
            return Err(UserError::PrivWithoutAuth);
        }
        let passwords = auth.iter().map(|a| &a.1).chain(privacy.iter().map(|p| &p.1));
        if passwords.into_iter().any(|p| p.expose().len() < 8) {
            return Err(UserError::ShortPassword);
        }
        Ok(User { name: name.to_owned(), auth, privacy, masters: OnceLock::new() })
    }

    /// What its messages are secured with.
    pub fn level(&self) -> Level {
        match (&self.auth, &self.privacy) {
            (None, _) => Level::NoAuthNoPriv,
            (Some(_), None) => Level::AuthNoPriv,
            (Some(_), Some(_)) => Level::AuthPriv,
        }
    }

    /// The hash, when it has one.
    pub fn auth(&self) -> Option<AuthProtocol> {
        self.auth.as_ref().map(|a| a.0)
    }

    /// The cipher, when it has one.
    pub fn privacy(&self) -> Option<PrivProtocol> {
        self.privacy.as_ref().map(|p| p.0)
    }

    /// Its keys for one engine.
    pub fn localise(&self, engine: &[u8]) -> LocalKeys {
        let masters = self.masters.get_or_init(|| {
            let hash = self.auth();
            let master = |s: &Secret| hash.and_then(|h| MasterKey::new(h, s.expose().as_bytes()));
            Masters {
                auth: self.auth.as_ref().and_then(|a| master(&a.1)),
                privacy: self.privacy.as_ref().and_then(|p| master(&p.1)),
            }
        });
        let auth = masters.auth.as_ref().map(|m| m.localise(engine)).unwrap_or_default();
        let privacy = match (&masters.privacy, self.privacy(), self.auth()) {
            (Some(m), Some(p), Some(a)) => p.extend(m.localise(engine), a, engine),
            _ => Vec::new(),
        };
        LocalKeys { auth: auth.into(), privacy: privacy.into() }
    }
}

/// Keys of one user at one engine; empty where the user has none.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct LocalKeys {
    /// For the proof.
    pub auth: Box<[u8]>,
    /// For the cipher.
    pub privacy: Box<[u8]>,
}

impl fmt::Debug for LocalKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKeys(REDACTED)")
    }
}
