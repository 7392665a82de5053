use crate::protocol::{DecodeError, error_status};

/// What went wrong with a device, in the words of `last_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No answer came in time, to any try.
    #[error("timeout")]
    Timeout,
    /// The host says that nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The message could not be sent.
    #[error("unreachable")]
    Unreachable,
    /// The name has no address.
    #[error("name does not resolve")]
    NoAddress,
    /// `usmStatsUnknownUserNames`
    #[error("unknown user")]
    UnknownUser,
    /// `usmStatsWrongDigests`
    #[error("wrong digest (password)")]
    WrongDigest,
    /// `usmStatsDecryptionErrors`
    #[error("decryption error (privacy password)")]
    Decryption,
    /// `usmStatsNotInTimeWindows`, and asking again did not help.
    #[error("not in time window")]
    NotInTimeWindow,
    /// `usmStatsUnsupportedSecLevels`
    #[error("unsupported security level")]
    UnsupportedLevel,
    /// `usmStatsUnknownEngineIDs`, and asking again did not help.
    #[error("unknown engine")]
    UnknownEngine,
    /// `snmpUnknownContexts`, `snmpUnavailableContexts`
    #[error("unknown context")]
    UnknownContext,
    /// Error status `authorizationError` or `noAccess`.
    #[error("authorization error")]
    Authorization,
    /// Another error status.
    #[error("{}", error_status(*.0))]
    Status(i32),
    /// A walk was led back or in a circle.
    #[error("OID not increasing")]
    NotIncreasing,
    /// A value has another type than its object.
    #[error("wrong type")]
    WrongType,
    /// A table has more rows than the bound.
    #[error("too many rows")]
    TooManyRows,
    /// The answer is no SNMP message.
    #[error("malformed")]
    Malformed(DecodeError),
    /// A report with a cause that has no name here.
    #[error("unknown report")]
    Report,
}
