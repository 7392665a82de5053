//! The user-based security model: keys, proofs, encryption (RFC 3414, RFC 3826, RFC 7860). No IO, no clock.

mod auth;
mod keys;
mod privacy;
mod seal;

pub use auth::AuthProtocol;
pub use keys::{LocalKeys, MasterKey, User, UserError};
pub use privacy::{PrivError, PrivProtocol, SALT};
pub use seal::{Header, OpenError, open, seal};

/// How much of a message is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing.
    NoAuthNoPriv,
    /// Who sent it, and that it is whole and fresh.
    AuthNoPriv,
    /// That, and nobody else can read it.
    AuthPriv,
}

impl Level {
    /// From the bits of `msgFlags`.
    pub fn of_flags(flags: u8) -> Level {
        use crate::protocol::flags::{AUTH, PRIV};
        match flags & (AUTH | PRIV) {
            0 => Level::NoAuthNoPriv,
            AUTH => Level::AuthNoPriv,
            _ => Level::AuthPriv,
        }
    }

    /// The bits of `msgFlags`.
    pub fn flags(self) -> u8 {
        use crate::protocol::flags::{AUTH, PRIV};
        match self {
            Level::NoAuthNoPriv => 0,
            Level::AuthNoPriv => AUTH,
            Level::AuthPriv => AUTH | PRIV,
        }
    }
}

#[cfg(test)]
mod tests;
