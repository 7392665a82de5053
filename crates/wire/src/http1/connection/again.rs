//! Requests that are like the one before them: request and response, told of as one.

use super::super::KnownHead;
use super::*;

/// A request that is nothing but the head of call `told`, and its whole response.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    /// What the call is called that brought the head.
    pub told: u32,
    /// Position of the request.
    pub pos: u64,
    /// Bytes of the request.
    pub len: u64,
    /// When it came, ns.
    pub ts: u64,
    /// Process and thread, as in [`Segment::exec`].
    pub exec: u64,
    /// Whether its thread waited for it.
    pub blocking: bool,
    /// Token that the kernel half drew for it.
    pub token: u64,
    /// The other direction when it came, as in [`Segment::other`].
    pub other: Option<(u64, u64)>,
    /// Of the response: position.
    pub answer_pos: u64,
    /// Bytes of the response.
    pub answer_len: u64,
    /// When its last byte moved, ns.
    pub answer_ts: u64,
    /// Who moved its first byte.
    pub answer_exec: u64,
    /// What its head says.
    pub answer: KnownHead,
}

impl Connection {
    /// Takes a request that is like the one before it, with its response, where nothing else is open or in doubt; else
    /// nothing is taken, and [`Connection::segment`] has to be asked with either.
    pub fn again(&mut self, a: &Again) -> Option<Exchange> {
        let last = self.last_head.as_ref()?;
        let asked = &last.asked;
        let known = last.told == Some(a.told)
            && last.bytes.len() as u64 == a.len
            && matches!(asked.framing, Ok(Framing::Length(0)))
            && !asked.switches;
        let idle = matches!((&self.request.state, &self.response.state), (State::Start, State::Start))
            && self.open.is_empty()
            && self.waiting.is_empty()
            && !self.muddled
            && !self.tunnel
            && self.garbage.is_none();
        // Nothing went by unseen in either direction.
        let next = self.request.next == Some(a.pos)
            && self.response.next == Some(a.answer_pos)
            && a.other.is_none_or(|(pos, _)| pos == a.answer_pos);
        let whole = a.answer.status >= 200 && a.answer_len == a.answer.head + a.answer.length;
        if !(known && idle && next && whole) {
            return None;
        }
        let (ts, exec, blocking) = (a.ts, a.exec, a.blocking);
        let begin = Begin { ts, pos: a.pos, exec, token: a.token, blocking, ..Begin::default() };
        let end = a.pos + a.len;
        let at = HeadEnd { pos: end, ts, exec, blocking, cut: false, brief: false, counted: false };
        let mut x = asked.exchange(&begin, &at);
        x.request_body_size = Some(0);
        x.status = Some(a.answer.status);
        x.response_start = a.answer.start.max(a.ts);
        x.response_exec = a.answer_exec;
        x.response_end = a.answer_ts.max(a.ts);
        x.response_body_size = Some(a.answer.length);
        self.request.next = Some(end);
        self.response.next = Some(a.answer_pos + a.answer_len);
        self.request.tentative = false;
        self.request_body = None;
        self.gap = false;
        self.request_gap = false;
        self.last = (a.answer_pos + a.answer_len, a.answer_ts);
        self.seen = self.seen.max(a.ts).max(a.answer_ts);
        Some(x)
    }
}
