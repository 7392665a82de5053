use std::sync::Arc;

use telegen_model::Str;

use crate::context::TraceContext;

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Its response was seen to the end.
    #[default]
    Complete,
    /// The connection became a tunnel: 101, or 2xx to CONNECT.
    Upgraded,
    /// The peer reset the connection before the end.
    PeerReset,
    /// The peer ended its stream before the end.
    PeerClosed,
    /// The kernel gave up on the peer.
    TimedOut,
    /// The watched process closed before the end.
    OwnClose,
    /// Records of it were lost: nothing sure can be said.
    Lost,
}

/// What the head of a request says, but for the caller's trace. Requests of a connection that say the same share one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// As sent; at most 64 bytes.
    pub method: Str,
    /// Request target as sent (any of the four forms), bytes that are not UTF-8 percent-encoded; cut to the limit.
    pub target: Str,
    /// Minor version: 0 or 1.
    pub version: u8,
    /// Host header, or empty.
    pub host: Str,
    /// User-Agent header, or empty.
    pub user_agent: Str,
    /// `X-Forwarded-For`, or empty.
    pub forwarded_for: Str,
    /// `Forwarded` (RFC 7239), or empty.
    pub forwarded: Str,
    /// Headers of the allow list, in order of appearance.
    pub headers: Vec<(Str, Str)>,
    /// Whether the request carries OTLP.
    pub is_otlp: bool,
}

/// One request and its response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exchange {
    /// What the request says.
    pub head: Arc<RequestHead>,
    /// Caller's trace, from `traceparent` or b3.
    pub context: Option<Arc<TraceContext>>,
    /// Time of the request's first byte.
    pub request_start: u64,
    /// Position of its first byte.
    pub request_pos: u64,
    /// Who moved its first byte.
    pub request_exec: u64,
    /// Time of the last byte of its head.
    pub request_head_end: u64,
    /// Who moved the last byte of its head.
    pub request_head_exec: u64,
    /// Bytes of its body without framing, as far as known when the response ended; `None` when not known.
    pub request_body_size: Option<u64>,
    /// Status of the final response.
    pub status: Option<u16>,
    /// Time of the first byte of the final response.
    pub response_start: u64,
    /// Time of the last byte of the response; of the last event when there was none.
    pub response_end: u64,
    /// Bytes of its body without framing; `None` when not known.
    pub response_body_size: Option<u64>,
    /// Who moved the first byte of the response.
    pub response_exec: u64,
    /// Token of the request.
    pub token: u64,
    /// Token of the request that the sending thread had read last, or 0.
    pub caller: u64,
    /// Whether the end of its head was read by a call that waits.
    pub request_blocking: bool,
    /// Whether the first byte of the response was read by a call that waits.
    pub response_blocking: bool,
    /// What the owner of the connection calls it; 0 until it is given a name.
    pub id: u64,
    /// A head was longer than what was captured: headers may be missing.
    pub head_truncated: bool,
    /// Only the first bytes of the head were captured, for want of budget: no target, no headers.
    pub head_brief: bool,
    /// How it ended.
    pub outcome: Outcome,
}

impl Exchange {
    /// A request of which nothing but this is known yet.
    pub(crate) fn new(head: Arc<RequestHead>, context: Option<Arc<TraceContext>>) -> Exchange {
        Exchange {
            head,
            context,
            request_start: 0,
            request_pos: 0,
            request_exec: 0,
            request_head_end: 0,
            request_head_exec: 0,
            request_body_size: None,
            status: None,
            response_start: 0,
            response_end: 0,
            response_body_size: None,
            response_exec: 0,
            token: 0,
            caller: 0,
            request_blocking: false,
            response_blocking: false,
            id: 0,
            head_truncated: false,
            head_brief: false,
            outcome: Outcome::Complete,
        }
    }
}
