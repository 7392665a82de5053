//! HTTP/1.x framing of a connection whose bytes are only partly captured (RFC 9110, RFC 9112).
//!
//! Both directions are fed in byte order, each for itself; between them nothing is ordered by time. The bytes of heads
//! are there, of bodies mostly only their number. A position that jumps inside a body of known length is harmless; one
//! that swallows a head or a boundary loses the requests it touches, says so, and the connection joins again at the
//! next request.

mod chunked;
mod connection;
mod exchange;
mod fields;
mod head;
mod text;

pub use connection::{Again, Connection, LastHead};
pub use exchange::{Exchange, Outcome, RequestHead};
pub use head::Garbage;

/// Direction of a byte stream, by what flows in it, whichever end was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dir {
    /// From client to server.
    Request,
    /// From server to client.
    Response,
}

/// How a direction or a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer ended its stream.
    Fin,
    /// The peer reset the connection.
    Reset,
    /// The kernel gave up on the peer (`ETIMEDOUT`).
    Timeout,
    /// The watched process closed.
    OwnClose,
}

/// What a connection may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a head that are kept; what is longer is flagged.
    pub head: usize,
    /// Requests without an answer; more mean that the pairing is lost.
    pub open: usize,
    /// Response segments that wait for their request.
    pub held: usize,
    /// Longest text taken from a head (target, header value), in bytes.
    pub text: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { head: 16 * 1024, open: 1024, held: 32, text: 2048 }
    }
}

/// Some bytes of one direction: those of one call.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Which way they flow.
    pub dir: Dir,
    /// What the owner of the connection calls the call; `same` speaks of it.
    pub record: u32,
    /// A request that is its head and has the one of this call: no bytes are captured.
    pub same: Option<u32>,
    /// Position of the first byte in its direction.
    pub pos: u64,
    /// How many they are.
    pub len: u64,
    /// The captured begin of them; may be shorter than `len`, or empty.
    pub data: &'a [u8],
    /// The last eight of them, when they were looked at.
    pub tail: Option<[u8; 8]>,
    /// When the call ended, ns.
    pub ts: u64,
    /// Who made the call: process id in the upper half, thread id in the lower.
    pub exec: u64,
    /// Token that the kernel half drew for the request under way on this connection.
    pub token: u64,
    /// Of a request that is sent: token of the request that its thread had read last, or 0.
    pub caller: u64,
    /// A read that would have waited for these bytes: its thread does nothing else meanwhile.
    pub blocking: bool,
    /// The kernel half saw a message begin with the first byte.
    pub head_start: bool,
    /// No more bytes of the head under way will be captured.
    pub head_cut: bool,
    /// Only the very begin of the head was captured, for want of budget.
    pub brief: bool,
    /// A chunked message as the kernel half counts it: bytes of data so far, and whether it ends with this call.
    pub chunks: Option<(u64, bool)>,
    /// A response of which the kernel half read the head itself: no bytes are captured.
    pub known: Option<KnownHead>,
    /// The other direction as the kernel knew it: next position, time of the last byte.
    pub other: Option<(u64, u64)>,
}

/// What a response's head says, when it was read elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownHead {
    /// Status; not an interim one.
    pub status: u16,
    /// Bytes of the head.
    pub head: u64,
    /// Bytes of the body that follow; 0 where there is none whatever the head says.
    pub length: u64,
    /// Time of the head's first byte, ns.
    pub start: u64,
}

/// A response whose end cannot be seen ends when nothing came for this long, ns.
pub const IDLE_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests;
