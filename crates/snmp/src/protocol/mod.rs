//! The messages of SNMPv1, v2c and v3 as pure functions over bytes (RFC 1157, RFC 3416, RFC 3412).

mod ber;
mod message;
mod oid;
mod value;

pub use ber::{DecodeError, Leniency, Reader, Writer, tag};
pub use message::{
    Community, Data, Pdu, Raw, Request, ScopedPdu, TrapV1, V3, VarBinds, error_status, flags, parse,
    pdu_body, report_cause, scoped, write_varbind,
};
pub use oid::{Oid, OidError, arcs, compare, display, is_valid, write_arc};
pub use value::Value;
