//! Records and tables shared with the kernel half: the mirror of `bpf/common/abi.h`.
//!
//! A test compares size and offset of every field with the types that the compiled objects carry.

/// Rings at most.
pub const RINGS_MAX: u32 = 16;

/// Longest head of a request that the kernel half compares with the one before it, bytes.
pub const SAME_MAX: usize = 384;

/// First byte of every record.
pub mod kind {
    #![allow(missing_docs, reason = "each is the type of the record struct of that name")]
    pub const CONN: u8 = 1;
    pub const DATA: u8 = 2;
    pub const END: u8 = 3;
    pub const SAMPLE: u8 = 4;
    pub const TRAFFIC: u8 = 5;
    pub const EXCHANGE: u8 = 6;
    pub const EXEC: u8 = 16;
    pub const FORK: u8 = 17;
    pub const EXIT: u8 = 18;
    pub const LISTEN: u8 = 19;
}

/// `DataRecord::flags`.
pub mod data {
    /// The first byte is the begin of a message head.
    pub const HEAD_START: u16 = 0x0001;
    /// A request was recognised as begun with this record (else, with `HEAD_START`, a response).
    pub const REQUEST: u16 = 0x0002;
    /// The payload belongs to a head under way.
    pub const IN_HEAD: u16 = 0x0004;
    /// No more of this head will come.
    pub const HEAD_CUT: u16 = 0x0008;
    /// Only the first 16 bytes of the head were passed.
    pub const OVER_BUDGET: u16 = 0x0010;
    /// The call's buffer is not known.
    pub const NO_PAYLOAD: u16 = 0x0020;
    /// Whole writes are passed on this connection.
    pub const PIPELINED: u16 = 0x0040;
    /// `tail` is filled.
    pub const TAIL: u16 = 0x0080;
    /// Too few bytes to tell whether a head begins.
    pub const MAYBE: u16 = 0x0100;
    /// `body` counts the data of a chunked message so far.
    pub const CHUNKS: u16 = 0x0200;
    /// The chunked message ends with this call.
    pub const ENDED: u16 = 0x0400;
    /// No bytes but what they say: see [`DataRecord::answer`](super::DataRecord::answer).
    pub const RESPONSE: u16 = 0x0800;
    /// A read that would not have waited for bytes.
    pub const DONTWAIT: u16 = 0x1000;
    /// A request with the head that an earlier record passed: see [`DataRecord::told`](super::DataRecord::told).
    pub const SAME: u16 = 0x2000;
    /// An [`ExchangeRecord`](super::ExchangeRecord) may tell of the same request, by the same number.
    pub const HELD: u16 = 0x4000;
}

/// `EndRecord::what`.
pub mod end {
    /// A read returned 0: the peer's end of stream, in read order.
    pub const EOF: u8 = 1;
    /// A read or write failed with `error`.
    pub const ERROR: u8 = 2;
    /// The connection is gone for its owner.
    pub const CLOSE: u8 = 3;
    /// Flag of a close: the peer had ended its stream.
    pub const PEER_FIN: u8 = 1;
    /// Flag of a unix socket's end: the peer was closed.
    pub const PEER_GONE: u8 = 2;
}

/// What a connection that is not read speaks, as far as the kernel tells.
pub mod protocol {
    #![allow(missing_docs, reason = "the names say it")]
    pub const UNKNOWN: u8 = 0;
    pub const HTTP1: u8 = 1;
    pub const HTTP2: u8 = 2;
    pub const TLS: u8 = 3;
    pub const OTHER: u8 = 4;
}

/// Who a connection is.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ConnRecord {
    /// [`kind::CONN`].
    pub kind: u8,
    /// `AF_*`.
    pub family: u8,
    /// 0 unknown, 1 server, 2 client.
    pub role: u8,
    /// See [`protocol`].
    pub protocol: u8,
    /// `IPPROTO_*`; 0 for unix.
    pub transport: u16,
    /// Whether it was open before the tap.
    pub preexisting: u8,
    /// Bytes of `path`.
    pub path_len: u8,
    /// Socket cookie.
    pub cookie: u64,
    /// Unix: the other end's cookie, 0 when it has none yet.
    pub peer_cookie: u64,
    /// Monotonic ns.
    pub ts: u64,
    /// Start of the owner, ns since boot.
    pub start: u64,
    /// Owner.
    pub tgid: u32,
    /// Network namespace.
    pub netns: u32,
    /// Local port.
    pub lport: u16,
    /// Remote port.
    pub rport: u16,
    /// Number of this record within the connection.
    pub record: u32,
    /// Local address, IPv4 v4-mapped.
    pub laddr: [u8; 16],
    /// Remote address, IPv4 v4-mapped.
    pub raddr: [u8; 16],
    /// Unix: the bound address.
    pub path: [u8; 108],
    /// Records of this connection lost so far.
    pub lost: u32,
}

/// Bytes of a connection that is read; `cap` bytes of payload follow.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DataRecord {
    /// [`kind::DATA`].
    pub kind: u8,
    /// 0 received, 1 sent.
    pub dir: u8,
    /// See [`data`].
    pub flags: u16,
    /// Number of this record within the connection.
    pub record: u32,
    /// Socket cookie.
    pub cookie: u64,
    /// Monotonic ns.
    pub ts: u64,
    /// Position of the first byte in its direction.
    pub pos: u64,
    /// The same as TCP numbers it; 0 where there is none.
    pub seq: u32,
    /// Bytes moved.
    pub len: u32,
    /// Payload bytes that follow.
    pub cap: u32,
    /// Records of this connection lost so far.
    pub lost: u32,
    /// Process of the call.
    pub tgid: u32,
    /// Thread of the call.
    pub tid: u32,
    /// Request token of the connection.
    pub token: u64,
    /// Of a request that is sent: token of the request that its thread read last, or 0.
    pub caller: u64,
    /// The other direction: next byte.
    pub other_pos: u64,
    /// The other direction: time of the last byte.
    pub other_ts: u64,
    /// Last bytes of the call's buffer.
    pub tail: [u8; 8],
    /// Data of a chunked message so far, or the Content-Length of a `RESPONSE`.
    pub body: u64,
}

/// What the kernel half read off a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Bytes of the head.
    pub head: u16,
    /// From the first byte of the response to the record's time, ns.
    pub since: u32,
    /// Bytes of the body.
    pub length: u64,
}

impl DataRecord {
    /// Number of the record that passed the head of a `SAME` one.
    pub fn told(&self) -> Option<u32> {
        let [a, b, c, d, ..] = self.tail;
        (self.flags & data::SAME != 0).then(|| u32::from_ne_bytes([a, b, c, d]))
    }

    /// What a `RESPONSE` record says.
    pub fn answer(&self) -> Option<Answer> {
        let [a, b, c, d, e, f, g, h] = self.tail;
        (self.flags & data::RESPONSE != 0).then(|| Answer {
            status: u16::from_ne_bytes([a, b]),
            head: u16::from_ne_bytes([c, d]),
            since: u32::from_ne_bytes([e, f, g, h]),
            length: self.body,
        })
    }
}

/// A request with the head that an earlier record passed, and its response: it stands for two records, and has their
/// numbers.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct ExchangeRecord {
    /// [`kind::EXCHANGE`].
    pub kind: u8,
    /// Unused.
    pub pad: u8,
    /// Of the request: [`data::DONTWAIT`].
    pub flags: u16,
    /// Number of the request's record; the response's is the next.
    pub record: u32,
    /// Socket cookie.
    pub cookie: u64,
    /// Last byte of the response, monotonic ns.
    pub ts: u64,
    /// The request, monotonic ns.
    pub start: u64,
    /// Position of the request in its direction.
    pub pos: u64,
    /// The same as TCP numbers it; 0 where there is none.
    pub seq: u32,
    /// Bytes of the request.
    pub len: u32,
    /// Number of the record that passed its head.
    pub told: u32,
    /// Records of this connection lost so far.
    pub lost: u32,
    /// Process.
    pub tgid: u32,
    /// Thread that read the request.
    pub tid: u32,
    /// Token of the request.
    pub token: u64,
    /// The direction of responses when the request came: next byte.
    pub other_pos: u64,
    /// The direction of responses when the request came: time of the last byte.
    pub other_ts: u64,
    /// Position of the response in its direction.
    pub answer_pos: u64,
    /// Bytes of the response.
    pub answer_len: u32,
    /// Thread that sent its first byte.
    pub answer_tid: u32,
    /// Status.
    pub status: u16,
    /// Bytes of the response's head.
    pub head: u16,
    /// From the first byte of the response to `ts`, ns.
    pub since: u32,
    /// Bytes of the response's body.
    pub body: u64,
}

impl ExchangeRecord {
    /// The record that would have told of the request alone.
    pub fn request(&self) -> DataRecord {
        let [a, b, c, d] = self.told.to_ne_bytes();
        DataRecord {
            kind: kind::DATA,
            dir: 0,
            flags: data::HEAD_START | data::REQUEST | data::SAME | data::HELD | self.flags,
            record: self.record,
            cookie: self.cookie,
            ts: self.start,
            pos: self.pos,
            seq: self.seq,
            len: self.len,
            cap: 0,
            lost: self.lost,
            tgid: self.tgid,
            tid: self.tid,
            token: self.token,
            caller: 0,
            other_pos: self.other_pos,
            other_ts: self.other_ts,
            tail: [a, b, c, d, 0, 0, 0, 0],
            body: 0,
        }
    }

    /// The record that would have told of the response alone.
    pub fn response(&self) -> DataRecord {
        let ([a, b], [c, d], [e, f, g, h]) =
            (self.status.to_ne_bytes(), self.head.to_ne_bytes(), self.since.to_ne_bytes());
        DataRecord {
            kind: kind::DATA,
            dir: 1,
            flags: data::HEAD_START | data::RESPONSE,
            record: self.record.wrapping_add(1),
            cookie: self.cookie,
            ts: self.ts,
            pos: self.answer_pos,
            seq: 0,
            len: self.answer_len,
            cap: 0,
            lost: self.lost,
            tgid: self.tgid,
            tid: self.answer_tid,
            token: self.token,
            caller: 0,
            other_pos: self.pos + u64::from(self.len),
            other_ts: self.start,
            tail: [a, b, c, d, e, f, g, h],
            body: self.body,
        }
    }
}

/// End of stream, error or close.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EndRecord {
    /// [`kind::END`].
    pub kind: u8,
    /// See [`end`].
    pub what: u8,
    /// See [`end`].
    pub flags: u8,
    /// Unused.
    pub pad: u8,
    /// Positive errno.
    pub error: i32,
    /// Socket cookie.
    pub cookie: u64,
    /// Monotonic ns.
    pub ts: u64,
    /// Next byte to be received.
    pub rx_pos: u64,
    /// Next byte to be sent.
    pub tx_pos: u64,
    /// Time of the last byte received.
    pub rx_ts: u64,
    /// Time of the last byte sent.
    pub tx_ts: u64,
    /// Number of this record within the connection.
    pub record: u32,
    /// Records of this connection lost so far.
    pub lost: u32,
}

/// First bytes of a connection that is not read; `cap` bytes follow.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SampleRecord {
    /// [`kind::SAMPLE`].
    pub kind: u8,
    /// 0 received, 1 sent.
    pub dir: u8,
    /// See [`protocol`].
    pub protocol: u8,
    /// Unused.
    pub pad: u8,
    /// Payload bytes that follow.
    pub cap: u32,
    /// Socket cookie.
    pub cookie: u64,
    /// Monotonic ns.
    pub ts: u64,
    /// Owner.
    pub tgid: u32,
    /// Number of this record within the connection.
    pub record: u32,
    /// Records of this connection lost so far.
    pub lost: u32,
    /// Unused.
    pub pad2: u32,
}

/// Byte counts, since its begin, of a connection that is not read.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct TrafficRecord {
    /// [`kind::TRAFFIC`].
    pub kind: u8,
    /// See [`protocol`].
    pub protocol: u8,
    /// Whether the connection has ended.
    pub last: u8,
    /// Unused.
    pub pad: u8,
    /// Owner.
    pub tgid: u32,
    /// Socket cookie.
    pub cookie: u64,
    /// Monotonic ns.
    pub ts: u64,
    /// Bytes received.
    pub rx: u64,
    /// Bytes sent.
    pub tx: u64,
}

/// A process began to run a program.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ExecRecord {
    /// [`kind::EXEC`].
    pub kind: u8,
    /// Unused.
    pub pad: [u8; 3],
    /// Process.
    pub pid: u32,
    /// Parent.
    pub ppid: u32,
    /// User.
    pub uid: u32,
    /// Start, ns since boot.
    pub start: u64,
    /// Monotonic ns.
    pub ts: u64,
    /// cgroup v2 id.
    pub cgroup: u64,
    /// Namespace.
    pub pid_ns: u32,
    /// Namespace.
    pub mnt_ns: u32,
    /// Namespace.
    pub net_ns: u32,
    /// Which execution of the process this is: `task_struct::self_exec_id`.
    pub exec: u32,
    /// Bytes of `path`.
    pub path_len: u32,
    /// Bytes of `argv`.
    pub argv_len: u32,
    /// Bytes of `interp`.
    pub interp_len: u32,
    /// Unused.
    pub pad2: u32,
    /// What was executed: a script's own path.
    pub path: [u8; 256],
    /// What runs: a script's interpreter.
    pub interp: [u8; 256],
    /// Arguments, NUL between them.
    pub argv: [u8; 512],
}

/// A process was forked.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ForkRecord {
    /// [`kind::FORK`].
    pub kind: u8,
    /// Unused.
    pub pad: [u8; 3],
    /// Process.
    pub pid: u32,
    /// Parent.
    pub ppid: u32,
    /// Which execution of the parent this is a copy of: `task_struct::self_exec_id`.
    pub exec: u32,
    /// Start, ns since boot.
    pub start: u64,
    /// Start of the parent, ns since boot.
    pub parent_start: u64,
    /// Monotonic ns.
    pub ts: u64,
}

/// A process ended.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ExitRecord {
    /// [`kind::EXIT`].
    pub kind: u8,
    /// Unused.
    pub pad: [u8; 3],
    /// Process.
    pub pid: u32,
    /// Start, ns since boot.
    pub start: u64,
    /// Monotonic ns.
    pub ts: u64,
}

/// A process began to listen.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ListenRecord {
    /// [`kind::LISTEN`].
    pub kind: u8,
    /// `AF_*`.
    pub family: u8,
    /// Port.
    pub port: u16,
    /// Process.
    pub tgid: u32,
    /// Start of the process, ns since boot.
    pub start: u64,
    /// Monotonic ns.
    pub ts: u64,
}

/// A listening socket met by the start-up pass.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FoundSocket {
    /// Unused.
    pub cookie: u64,
    /// Start of the owner, ns since boot.
    pub start: u64,
    /// Owner.
    pub tgid: u32,
    /// Descriptor.
    pub fd: u32,
    /// Port.
    pub port: u16,
    /// `AF_*`.
    pub family: u8,
    /// TCP state.
    pub state: u8,
    /// Unused.
    pub pad: u32,
}

/// `Verdict::exec` of a process that a scan found: good until it executes something.
pub const EXEC_ANY: u32 = u32::MAX;

/// What user space decided about a process, as the program that it ran then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Verdict {
    /// Start, ns since boot; 0: any.
    pub start: u64,
    /// `task_struct::self_exec_id`, or [`EXEC_ANY`].
    pub exec: u32,
    /// Bit 0: excluded.
    pub flags: u32,
}

impl Verdict {
    /// Flag: the process is not traced.
    pub const EXCLUDED: u32 = 1;
}

/// The capture budget of a process, and what was lost of it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct ProcState {
    /// When `credit` was last raised.
    pub refilled: u64,
    /// Heads that may still be captured.
    pub credit: i64,
    /// Further heads that may still pass as 16 bytes.
    pub brief: i64,
    /// Requests begun whose record found no room.
    pub lost: u64,
    /// Requests begun over the second bound.
    pub unread: u64,
    /// Bytes of datagrams received.
    pub udp_rx: u64,
    /// Bytes of datagrams sent.
    pub udp_tx: u64,
}

/// Slots of the kernel half's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Records put into a ring.
    Records = 0,
    /// Records that found no room.
    RingFull,
    /// Requests begun.
    Requests,
    /// Requests begun whose record found no room.
    RequestsLost,
    /// Of these, those whose process has no table entry.
    RequestsLostNoProc,
    /// Requests passed as 16 bytes.
    OverBudget,
    /// Requests not passed at all.
    OverSecondBound,
    /// Operations whose call is not of the known list.
    NoPayloadCall,
    /// Operations whose descriptor is not the socket.
    NoPayloadFd,
    /// Operations of kernel threads and io workers.
    NoPayloadKernelTask,
    /// Connections for which there was no memory.
    NoStorage,
    /// Operations met while the scratch was in use.
    Busy,
    /// Payload that could not be read.
    Fault,
    /// Connections seen.
    Conns,
    /// Process records that found no room.
    ControlFull,
    /// Bytes over UDP.
    UdpBytes,
    /// Calls that moved bytes of a connection whose end was told.
    AfterEnd,
}

impl Counter {
    /// Number of slots in the table.
    pub const SLOTS: usize = 32;
}
