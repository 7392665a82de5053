//! The exchanges of one connection: where both directions stand, and which response answers which request.
//!
//! The n-th final response answers the n-th request as long as nothing is missing. Where bytes are missing that may
//! have held a message, what is open is given up as lost rather than paired on a guess.

mod again;
mod end;
mod request;
mod response;

pub use again::Again;

use std::collections::VecDeque;
use std::sync::Arc;

use super::chunked::Chunked;
use super::exchange::{Exchange, Outcome, RequestHead};
use super::head::{self, Framing, Garbage};
use super::{Dir, IDLE_NS, Limits, Segment};
use crate::context::TraceContext;

/// Where a direction stands.
#[derive(Debug)]
enum State {
    /// Between messages: the next byte begins one.
    Start,
    /// In a head; its bytes so far are in `Half::head`.
    Head,
    /// In a body that ends before this position.
    Fixed(u64),
    /// In a chunked body.
    Chunked(Chunked),
    /// In a body that ends with the connection.
    Close,
    /// In a message whose framing is not known: it ends where the next one begins.
    Unframed,
    /// The place in the stream is lost: a message that begins with a call is waited for.
    Lost,
}

/// The first byte of a message.
#[derive(Clone, Copy, Debug, Default)]
struct Begin {
    ts: u64,
    pos: u64,
    exec: u64,
    token: u64,
    caller: u64,
    blocking: bool,
    /// The other direction at that moment: next position, time of the last byte.
    other: Option<(u64, u64)>,
    /// Nothing had moved for [`IDLE_NS`].
    quiet: bool,
}

#[derive(Debug)]
struct Half {
    state: State,
    /// Position of the next byte; `None` when any will do.
    next: Option<u64>,
    /// The head under way, when it did not come in one piece.
    head: Vec<u8>,
    begin: Begin,
    /// The head under way was met while the place was lost: it may turn out to be none.
    tentative: bool,
}

impl Half {
    fn new(next: Option<u64>) -> Half {
        Half { state: State::Start, next, head: Vec::new(), begin: Begin::default(), tentative: false }
    }

    /// Empties the buffer for the next head; one that grew is given back, there may be thousands.
    fn clear_head(&mut self) {
        self.head.clear();
        if self.head.capacity() > KEPT_HEAD {
            self.head = Vec::new();
        }
    }
}

/// A request without a complete response.
#[derive(Debug)]
struct Open {
    x: Exchange,
    /// The response direction when the request began: next position, time of the last byte.
    before: Option<(u64, u64)>,
}

/// A response segment that came before its request.
#[derive(Debug)]
struct Waiting {
    segment: Segment<'static>,
    bytes: Vec<u8>,
}

/// Where and how a head ended.
struct HeadEnd {
    pos: u64,
    ts: u64,
    exec: u64,
    blocking: bool,
    cut: bool,
    brief: bool,
    /// The kernel half counts the chunks that follow.
    counted: bool,
}

impl HeadEnd {
    fn whole(seg: &Segment<'_>) -> HeadEnd {
        let counted = seg.chunks.is_some();
        HeadEnd {
            pos: seg.pos,
            ts: seg.ts,
            exec: seg.exec,
            blocking: seg.blocking,
            cut: false,
            brief: false,
            counted,
        }
    }

    fn cut(seg: &Segment<'_>) -> HeadEnd {
        let pos = seg.pos + seg.len;
        HeadEnd {
            pos,
            ts: seg.ts,
            exec: seg.exec,
            blocking: seg.blocking,
            cut: true,
            brief: seg.brief,
            counted: false,
        }
    }
}

/// What was read of a request's head.
#[derive(Clone, Debug)]
struct Asked {
    head: Arc<RequestHead>,
    context: Option<Arc<TraceContext>>,
    framing: Result<Framing, Garbage>,
    /// The connection may leave HTTP with the answer.
    switches: bool,
}

impl Asked {
    /// The request, of which nothing is known yet but its begin and the end of its head.
    fn exchange(&self, begin: &Begin, at: &HeadEnd) -> Exchange {
        let mut x = Exchange::new(self.head.clone(), self.context.clone());
        x.request_start = begin.ts;
        x.request_pos = begin.pos;
        x.request_exec = begin.exec;
        x.request_head_end = at.ts;
        x.request_head_exec = at.exec;
        x.request_blocking = at.blocking;
        x.token = begin.token;
        x.caller = begin.caller;
        x.head_truncated = at.cut;
        x.head_brief = at.brief;
        x
    }
}

/// The last whole head of a request: clients ask the same again and again.
#[derive(Debug)]
pub struct LastHead(Box<Last>);

#[derive(Debug)]
struct Last {
    /// Its bytes, [`KEPT_HEAD`] at most.
    bytes: Vec<u8>,
    /// The call that brought it, where it brought nothing else.
    told: Option<u32>,
    asked: Asked,
}

/// Largest head buffer that is kept from one message to the next, bytes.
const KEPT_HEAD: usize = 1024;
/// Most places for open requests that are kept when none is open.
const KEPT_OPEN: usize = 4;

/// The exchanges of one connection.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    wanted: Arc<[String]>,
    request: Half,
    response: Half,
    /// Requests without a complete response, oldest first. The first may have a response under way.
    open: VecDeque<Open>,
    /// Body bytes of the request under way, so far.
    request_body: Option<u64>,
    /// Body bytes of the response under way, so far.
    response_body: u64,
    /// Responses that came before their request, oldest first.
    waiting: Vec<Waiting>,
    /// The request's head that was read last.
    last_head: Option<Box<Last>>,
    /// The last byte seen of the response under way: position behind it, time.
    last: (u64, u64),
    /// How far the directions came in all, as [`Connection::reached`] told: position, time.
    final_request: (u64, u64),
    final_response: (u64, u64),
    /// Time of the newest segment.
    seen: u64,
    garbage: Option<Garbage>,
    server: bool,
    /// The first of `open` has its final response under way.
    answering: bool,
    /// The request under way is the newest of `open`.
    request_open: bool,
    /// The newest of `open` may take the connection away from HTTP.
    switching: bool,
    /// Response bytes went by unseen that may have held whole messages.
    gap: bool,
    /// Request bytes went by unseen since the newest request, and may have held another one.
    request_gap: bool,
    /// Requests were lost while several were open: until a pause nobody can tell whose answer comes next.
    muddled: bool,
    pipelined: bool,
    peer_fin: bool,
    tunnel: bool,
    /// Requests that were ever among `open`.
    opened: u32,
}

impl Connection {
    /// A connection whose positions begin at 0; the first message may begin later. `server`: whether the watched end
    /// is the server. `wanted`: names of headers to record.
    pub fn new(limits: Limits, server: bool, wanted: Arc<[String]>) -> Connection {
        Connection {
            limits,
            wanted,
            request: Half::new(Some(0)),
            response: Half::new(Some(0)),
            open: VecDeque::new(),
            request_body: None,
            response_body: 0,
            waiting: Vec::new(),
            last_head: None,
            last: (0, 0),
            final_request: (0, 0),
            final_response: (0, 0),
            seen: 0,
            garbage: None,
            server,
            answering: false,
            request_open: false,
            switching: false,
            gap: false,
            request_gap: false,
            muddled: false,
            pipelined: false,
            peer_fin: false,
            tunnel: false,
            opened: 0,
        }
    }

    /// Requests whose head was read so far and whose answer is or was waited for; wraps.
    pub fn opened(&self) -> u32 {
        self.opened
    }

    /// The newest `n` requests that are open, newest first.
    pub fn newest(&mut self, n: usize) -> impl Iterator<Item = &mut Exchange> {
        self.open.iter_mut().rev().take(n).map(|open| &mut open.x)
    }

    /// The same with the head that another one read last: bytes that were no HTTP do not make it another.
    pub fn remembering(mut self, last: Option<LastHead>) -> Connection {
        self.last_head = last.map(|last| last.0);
        self
    }

    /// The head that was read last.
    pub fn into_last_head(self) -> Option<LastHead> {
        self.last_head.map(LastHead)
    }

    /// Forgets what is kept of requests that have ended: there may be many connections, and most may be idle.
    pub fn forget(&mut self) {
        self.last_head = None;
    }

    /// The same of heads that are longer than `most` bytes.
    pub fn forget_long(&mut self, most: usize) {
        self.last_head.take_if(|last| last.bytes.len() > most);
    }

    /// The first message begins at this position, behind a prefix that is none of HTTP.
    pub fn start_at(&mut self, dir: Dir, pos: u64) {
        self.half(dir).next = Some(pos);
    }

    /// Requests begun and not finished.
    pub fn open_requests(&self) -> usize {
        self.open.len() + usize::from(matches!(self.request.state, State::Head))
    }

    /// Whether the connection is a tunnel now, and left alone.
    pub fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// Why the connection is no HTTP/1, once that is known; nothing more comes of it.
    pub fn garbage(&self) -> Option<Garbage> {
        self.garbage
    }

    /// Whether requests came before earlier ones were answered.
    pub fn pipelined(&self) -> bool {
        self.pipelined
    }

    /// Takes the next bytes of a direction.
    pub fn segment(&mut self, mut seg: Segment<'_>, out: &mut Vec<Exchange>) {
        if self.tunnel || self.garbage.is_some() || seg.len == 0 {
            return;
        }
        if let Some((pos, ts)) = seg.other {
            let other = match seg.dir {
                Dir::Request => Dir::Response,
                Dir::Response => Dir::Request,
            };
            self.counted(other, pos, ts, out);
        }
        if !self.align(&mut seg, out) {
            return;
        }
        match seg.dir {
            Dir::Request => self.request_bytes(&mut seg, out),
            Dir::Response => self.response_bytes(&mut seg, out),
        }
        self.seen = self.seen.max(seg.ts);
    }

    /// The kernel half moved `pos` bytes of a direction so far, the last at `ts`: ends a body of known length whose last
    /// record was lost, and tells [`Connection::close`] what went by unseen.
    pub fn reached(&mut self, dir: Dir, pos: u64, ts: u64, out: &mut Vec<Exchange>) {
        if !self.tunnel && self.garbage.is_none() {
            self.counted(dir, pos, ts, out);
            *(if dir == Dir::Request { &mut self.final_request } else { &mut self.final_response }) =
                (pos, ts);
        }
    }

    /// A direction had come to `pos` at `ts`.
    fn counted(&mut self, dir: Dir, pos: u64, ts: u64, out: &mut Vec<Exchange>) {
        let half = self.half(dir);
        let (State::Fixed(until), Some(next)) = (&half.state, half.next.filter(|next| *next < pos)) else {
            return;
        };
        // Behind the end stands another message, and `ts` is a time of that one.
        if pos > *until {
            return;
        }
        let ends = pos == *until;
        half.next = Some(pos);
        self.add_body(dir, pos - next);
        if ends {
            self.body_ends(dir, ts, out);
        } else if dir == Dir::Response {
            // Calls inside a body of known length are not told one by one.
            self.last = (pos, ts);
        }
    }

    fn half(&mut self, dir: Dir) -> &mut Half {
        match dir {
            Dir::Request => &mut self.request,
            Dir::Response => &mut self.response,
        }
    }

    /// Brings a segment to the position that is next: cuts what was seen, and deals with what is missing. `false` when
    /// all of it was seen.
    fn align(&mut self, seg: &mut Segment<'_>, out: &mut Vec<Exchange>) -> bool {
        let next = *self.half(seg.dir).next.get_or_insert(seg.pos);
        if seg.pos < next {
            let seen = next - seg.pos;
            if seen >= seg.len {
                return false;
            }
            advance(seg, seen);
        } else if seg.pos > next {
            self.missing(seg, out);
        }
        self.half(seg.dir).next = Some(seg.pos.saturating_add(seg.len));
        true
    }

    /// Bytes before a segment went by unseen.
    fn missing(&mut self, seg: &Segment<'_>, out: &mut Vec<Exchange>) {
        let (dir, pos) = (seg.dir, seg.pos);
        let response = dir == Dir::Response;
        if response && self.ended_before(self.response.next, pos, self.request_bytes_unseen(seg)) {
            self.ends_before_next(out);
            return self.lose_response();
        }
        let half = self.half(dir);
        let gap = pos - half.next.unwrap_or(pos);
        match &mut half.state {
            State::Fixed(until) if pos <= *until => {
                let ends = pos == *until;
                self.add_body(dir, gap);
                if ends {
                    // When the last byte moved is not known: the last one that was seen comes nearest.
                    self.body_ends(dir, self.last.1, out);
                }
            }
            State::Chunked(c) => {
                c.missing(gap);
                let blind = c.blind();
                *(if response { &mut self.gap } else { &mut self.request_gap }) |= blind;
            }
            State::Close => self.add_body(dir, gap),
            State::Fixed(until) if response => {
                let until = *until;
                self.add_body(dir, until - (pos - gap));
                self.ends_at(until, out);
                self.lose_response();
            }
            State::Head if response => {
                self.first_is_lost(out);
                self.lose_response();
            }
            State::Start | State::Unframed | State::Lost if response => {
                self.gap = true;
                if matches!(self.response.state, State::Start) {
                    self.lose_response();
                }
            }
            // What waits may answer a request that was among them.
            State::Unframed | State::Lost => {
                self.request_gap = true;
                self.drop_waiting();
            }
            State::Start | State::Head | State::Fixed(_) => self.lose(dir, out),
        }
    }

    /// Whether the response under way, whose end may go by unseen, ended in the bytes that are missing before `to`:
    /// another request began meanwhile, or may have (`asked`).
    fn ended_before(&self, from: Option<u64>, to: u64, asked: bool) -> bool {
        let from = from.unwrap_or(to);
        let may_go_by = match self.response.state {
            State::Chunked(mut c) => {
                c.missing(to - from);
                c.blind() || self.open.len() > 1
            }
            State::Unframed => true,
            _ => false,
        };
        let another = match self.open.get(1).map(|next| next.before) {
            Some(before) => before.is_some_and(|(at, _)| from < at && at < to),
            None => asked,
        };
        self.answering && may_go_by && another
    }

    /// The response direction lost its place between messages: what was answered meanwhile is told by the next one.
    fn lose_response(&mut self) {
        self.response.state = State::Lost;
        self.response.clear_head();
        self.gap = true;
    }

    /// What the first open request was answered with cannot be told.
    fn first_is_lost(&mut self, out: &mut Vec<Exchange>) {
        self.response_done(Outcome::Lost, 0, None, out);
    }

    /// Bytes were missing where a message of this direction may have begun: what is open is given up.
    fn lose(&mut self, dir: Dir, out: &mut Vec<Exchange>) {
        for open in self.open.drain(..) {
            out.push(Exchange { outcome: Outcome::Lost, ..open.x });
        }
        self.response.state = State::Lost;
        self.response.clear_head();
        self.waiting.clear();
        self.answering = false;
        self.request_open = false;
        self.switching = false;
        self.gap = false;
        self.muddled |= self.pipelined;
        if dir == Dir::Request {
            if matches!(self.request.state, State::Head) && head::is_request(&self.request.head) {
                out.push(self.lost_head());
            }
            self.request.state = State::Lost;
            self.request.clear_head();
        }
    }

    /// The request whose head is under way, as lost.
    fn lost_head(&self) -> Exchange {
        let Begin { ts, pos, exec, token, caller, .. } = self.request.begin;
        let mut x = Exchange {
            token,
            caller,
            request_start: ts,
            request_pos: pos,
            request_exec: exec,
            head_truncated: true,
            outcome: Outcome::Lost,
            ..Exchange::default()
        };
        // What is wrong with the head makes it no less lost.
        if let Ok(Some(request)) = head::Request::read(&self.request.head, true) {
            x.head = Arc::new(request.says(&self.limits, &self.wanted));
            x.context = request.context().map(Arc::new);
        }
        x
    }

    /// The connection is no HTTP/1.
    fn spoil(&mut self, why: Garbage, out: &mut Vec<Exchange>) {
        self.lose(Dir::Request, out);
        self.garbage = Some(why);
    }

    fn add_body(&mut self, dir: Dir, n: u64) {
        match dir {
            Dir::Response => self.response_body = self.response_body.saturating_add(n),
            Dir::Request => {
                let Some(body) = &mut self.request_body else { return };
                *body = body.saturating_add(n);
                if self.request_open
                    && let Some(open) = self.open.back_mut()
                {
                    open.x.request_body_size = Some(*body);
                }
            }
        }
    }

    /// A body of known length was seen to its end.
    fn body_ends(&mut self, dir: Dir, ts: u64, out: &mut Vec<Exchange>) {
        self.half(dir).state = State::Start;
        match dir {
            Dir::Request => self.request_done(),
            Dir::Response => self.response_done(Outcome::Complete, ts, Some(self.response_body), out),
        }
    }

    fn begin(&self, seg: &Segment<'_>) -> Begin {
        let quiet = seg.ts >= self.seen.saturating_add(IDLE_NS);
        Begin {
            ts: seg.ts,
            pos: seg.pos,
            exec: seg.exec,
            token: seg.token,
            caller: seg.caller,
            blocking: seg.blocking,
            other: seg.other,
            quiet,
        }
    }
}

/// Moves the begin of a segment.
fn advance(seg: &mut Segment<'_>, n: u64) {
    if n == 0 {
        return;
    }
    seg.pos += n;
    seg.len -= n;
    let captured = usize::try_from(n).unwrap_or(usize::MAX).min(seg.data.len());
    seg.data = &seg.data[captured..];
    seg.head_start = false;
    seg.known = None;
}

/// Empty lines before a message are none of it (RFC 9112 2.2).
fn skip_blank(seg: &mut Segment<'_>) {
    let blank = seg.data.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    advance(seg, blank as u64);
}
