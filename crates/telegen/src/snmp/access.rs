//! Options that say who asks, spelled as net-snmp spells them.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use telegen_model::Secret;
use telegen_snmp::session::Access;
use telegen_snmp::usm::{AuthProtocol, Level, PrivProtocol, User};

/// A version of SNMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    #[value(name = "1")]
    V1,
    #[value(name = "2c")]
    V2c,
    #[value(name = "3")]
    V3,
}

/// Who asks.
#[derive(Clone, Debug, Args)]
pub(crate) struct AccessArgs {
    /// Version of SNMP; 3 when a user is given.
    #[arg(short = 'v', long = "snmp-version", value_enum)]
    pub(crate) version: Option<Version>,
    /// Community, for versions 1 and 2c.
    #[arg(short = 'c', long, default_value = "public")]
    pub(crate) community: String,
    /// User, for version 3.
    #[arg(short = 'u', long)]
    pub(crate) user: Option<String>,
    /// noAuthNoPriv, authNoPriv or authPriv; the highest that the passwords allow unless given.
    #[arg(short = 'l', long)]
    pub(crate) level: Option<String>,
    /// md5, sha1, sha224, sha256, sha384 or sha512.
    #[arg(short = 'a', long = "auth-protocol", default_value = "sha1")]
    pub(crate) auth_protocol: AuthProtocol,
    /// Authentication password.
    #[arg(short = 'A', long = "auth-password")]
    pub(crate) auth_password: Option<String>,
    /// des, aes128, aes192, aes256, aes192c or aes256c.
    #[arg(short = 'x', long = "priv-protocol", default_value = "aes128")]
    pub(crate) priv_protocol: PrivProtocol,
    /// Privacy password.
    #[arg(short = 'X', long = "priv-password")]
    pub(crate) priv_password: Option<String>,
    /// Name of the context, for version 3.
    #[arg(short = 'n', long, default_value = "")]
    pub(crate) context: String,
}

impl AccessArgs {
    /// The way to log in, or what is wrong with the options.
    pub(crate) fn access(&self) -> Result<Arc<Access>, String> {
        let version = self.version.unwrap_or(if self.user.is_some() { Version::V3 } else { Version::V2c });
        if version != Version::V3 {
            let version = if version == Version::V1 { 0 } else { 1 };
            return Ok(Arc::new(Access::Community { version, community: Secret::new(&self.community) }));
        }
        Ok(Arc::new(Access::User { user: self.user()?, context: self.context.clone() }))
    }

    /// The user of version 3.
    pub(crate) fn user(&self) -> Result<User, String> {
        let name = self.user.as_deref().ok_or("version 3 needs a user (-u)")?;
        let given = match (&self.auth_password, &self.priv_password) {
            (None, _) => Level::NoAuthNoPriv,
            (Some(_), None) => Level::AuthNoPriv,
            (Some(_), Some(_)) => Level::AuthPriv,
        };
        let level = match self.level.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None => given,
            Some("noauthnopriv" | "noauth" | "nanp") => Level::NoAuthNoPriv,
            Some("authnopriv" | "auth" | "anp") => Level::AuthNoPriv,
            Some("authpriv" | "priv" | "ap") => Level::AuthPriv,
            Some(other) => {
                return Err(format!("level {other}: expected noAuthNoPriv, authNoPriv or authPriv"));
            }
        };
        let need = |password: &Option<String>, what: &str| {
            password.as_ref().map(Secret::new).ok_or(format!("this level needs {what}"))
        };
        let auth = match level {
            Level::NoAuthNoPriv => None,
            _ => Some((self.auth_protocol, need(&self.auth_password, "an authentication password (-A)")?)),
        };
        let privacy = match level {
            Level::AuthPriv => {
                Some((self.priv_protocol, need(&self.priv_password, "a privacy password (-X)")?))
            }
            _ => None,
        };
        User::new(name, auth, privacy).map_err(|e| format!("-u {name}: {e}"))
    }
}
