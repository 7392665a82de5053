use std::collections::VecDeque;

use super::chunked::Chunked;
use super::exchange::{Exchange, Outcome};
use super::head::{self, Framing, Garbage};
use super::{Dir, End, IDLE_NS, KnownHead, Limits, Segment};

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

#[derive(Debug)]
struct Half {
    state: State,
    /// Position of the next byte; `None` before the first.
    next: Option<u64>,
    head: Vec<u8>,
    head_start: (u64, u64, u64),
}

impl Half {
    fn new() -> Half {
        Half { state: State::Start, next: None, head: Vec::new(), head_start: (0, 0, 0) }
    }
}

/// A response segment that came before its request.
#[derive(Debug)]
struct Waiting {
    segment: Segment<'static>,
    bytes: Vec<u8>,
}

/// The exchanges of one connection.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    server: bool,
    wanted: std::sync::Arc<[String]>,
    request: Half,
    response: Half,
    /// Requests without a complete response, oldest first. The first may have a response under way.
    open: VecDeque<Exchange>,
    answering: bool,
    /// Body bytes of the request under way, so far.
    request_body: Option<u64>,
    /// Body bytes of the response under way, so far.
    response_body: u64,
    /// Whether the request under way belongs to the newest of `open`.
    request_open: bool,
    waiting: Vec<Waiting>,
    last_response: u64,
    tunnel: bool,
    garbage: Option<Garbage>,
    pipelined: bool,
}

impl Connection {
    /// A connection nothing is known of. `server`: whether the watched end is the server. `wanted`: names of
    /// headers to record.
    pub fn new(limits: Limits, server: bool, wanted: std::sync::Arc<[String]>) -> Connection {
        Connection {
            limits,
            server,
            wanted,
            request: Half::new(),
            response: Half::new(),
            open: VecDeque::new(),
            answering: false,
            request_body: None,
            response_body: 0,
            request_open: false,
            waiting: Vec::new(),
            last_response: 0,
            tunnel: false,
            garbage: None,
            pipelined: false,
        }
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

    /// When [`Connection::expire`] has something to do, ns.
    pub fn next_deadline(&self) -> Option<u64> {
        let silent = self.answering && matches!(self.response.state, State::Close | State::Unframed);
        (silent || !self.waiting.is_empty()).then_some(self.last_response + IDLE_NS)
    }

    /// Takes the next bytes of a direction.
    pub fn segment(&mut self, seg: Segment<'_>, out: &mut Vec<Exchange>) {
        if self.tunnel || self.garbage.is_some() || seg.len == 0 {
            return;
        }
        if let Some((pos, ts)) = seg.other {
            match seg.dir {
                Dir::Request => self.reached(Dir::Response, pos, ts, out),
                Dir::Response => {}
            }
        }
        let Some(seg) = self.align(seg, out) else { return };
        match seg.dir {
            Dir::Request => self.request_bytes(seg, out),
            Dir::Response => self.response_bytes(seg, out),
        }
    }

    /// The kernel half moved `pos` bytes of a direction, the last at `ts`: ends a body of known length whose last
    /// record was lost.
    pub fn reached(&mut self, dir: Dir, pos: u64, ts: u64, out: &mut Vec<Exchange>) {
        if self.tunnel || self.garbage.is_some() {
            return;
        }
        let half = self.half(dir);
        let (State::Fixed(until), Some(next)) = (&half.state, half.next) else { return };
        let until = *until;
        if pos <= next || next >= until {
            return;
        }
        if pos < until {
            // Calls inside a body of known length are not told one by one.
            half.next = Some(pos);
            match dir {
                Dir::Request => self.add_request_body(pos - next),
                Dir::Response => {
                    self.response_body += pos - next;
                    self.last_response = ts;
                }
            }
            return;
        }
        half.next = Some(until);
        half.state = State::Start;
        match dir {
            Dir::Request => {
                self.add_request_body(until - next);
                self.request_done();
            }
            Dir::Response => {
                self.response_body += until - next;
                self.response_done(Outcome::Complete, ts, Some(self.response_body), out);
            }
        }
    }

    /// A direction ended: the peer's stream, as the watched process read it.
    pub fn end(&mut self, dir: Dir, how: End, ts: u64, out: &mut Vec<Exchange>) {
        // A client may end its stream and still wait for the answer.
        if dir == Dir::Response {
            self.close(how, ts, out);
        }
    }

    /// The connection is gone: everything open ends.
    pub fn close(&mut self, how: End, ts: u64, out: &mut Vec<Exchange>) {
        self.waiting.clear();
        if self.tunnel || self.garbage.is_some() {
            self.open.clear();
            return;
        }
        if matches!(self.request.state, State::Head) && !self.request.head.is_empty() {
            // A head that never ended: what is there of it names the request.
            let at = HeadEnd { pos: 0, ts, exec: self.request.head_start.2, cut: true, brief: false };
            self.take_request_head(&at, out);
        }
        if self.answering {
            let natural = match self.response.state {
                State::Close => how == End::Fin || (how == End::OwnClose && self.server),
                State::Unframed => true,
                _ => false,
            };
            let outcome = if natural { Outcome::Complete } else { outcome_of(how) };
            let end = if natural { self.last_response } else { ts };
            let body = match &self.response.state {
                State::Chunked(c) => c.body(),
                State::Unframed => None,
                _ => Some(self.response_body),
            };
            self.response_done(outcome, end, body, out);
        }
        while let Some(mut x) = self.open.pop_front() {
            x.outcome = outcome_of(how);
            x.response_end = ts;
            out.push(x);
        }
        self.request_open = false;
        self.request.state = State::Lost;
        self.response.state = State::Lost;
    }

    /// Ends a response whose end cannot be seen once nothing has come for [`IDLE_NS`].
    pub fn expire(&mut self, now: u64, out: &mut Vec<Exchange>) {
        if self.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        self.waiting.clear();
        if self.answering && matches!(self.response.state, State::Close | State::Unframed) {
            let body = matches!(self.response.state, State::Close).then_some(self.response_body);
            self.response.state = State::Lost;
            self.response_done(Outcome::Complete, self.last_response, body, out);
        }
    }

    fn half(&mut self, dir: Dir) -> &mut Half {
        match dir {
            Dir::Request => &mut self.request,
            Dir::Response => &mut self.response,
        }
    }

    /// Brings a segment to the position that is next: cuts what was seen, and deals with what is missing.
    fn align<'a>(&mut self, mut seg: Segment<'a>, out: &mut Vec<Exchange>) -> Option<Segment<'a>> {
        let next = *self.half(seg.dir).next.get_or_insert(seg.pos);
        if seg.pos < next {
            let seen = next - seg.pos;
            if seen >= seg.len {
                return None;
            }
            let cut = usize::try_from(seen).unwrap_or(usize::MAX).min(seg.data.len());
            seg =
                Segment { pos: next, len: seg.len - seen, data: &seg.data[cut..], head_start: false, ..seg };
            if (cut as u64) < seen {
                seg.data = &[];
            }
        } else if seg.pos > next {
            self.missing(seg.dir, seg.pos, seg.ts, out);
        }
        self.half(seg.dir).next = Some(seg.pos + seg.len);
        Some(seg)
    }

    /// Bytes up to `pos` of a direction went by unseen.
    fn missing(&mut self, dir: Dir, pos: u64, ts: u64, out: &mut Vec<Exchange>) {
        let half = self.half(dir);
        let next = half.next.unwrap_or(pos);
        let gap = pos - next;
        match &mut half.state {
            State::Fixed(until) if pos <= *until => {
                let ends = pos == *until;
                if ends {
                    half.state = State::Start;
                }
                match dir {
                    Dir::Request => {
                        self.add_request_body(gap);
                        if ends {
                            self.request_done();
                        }
                    }
                    Dir::Response => {
                        self.response_body += gap;
                        if ends {
                            self.response_done(Outcome::Complete, ts, Some(self.response_body), out);
                        }
                    }
                }
            }
            State::Chunked(c) => {
                c.skip(gap, None);
            }
            State::Close => self.response_body += gap,
            State::Unframed | State::Lost => {}
            State::Start | State::Head | State::Fixed(_) => self.lose(out),
        }
    }

    /// The pairing of requests and responses is lost: what is open cannot be told any more.
    fn lose(&mut self, out: &mut Vec<Exchange>) {
        for half in [&mut self.request, &mut self.response] {
            half.state = State::Lost;
            half.head.clear();
        }
        for mut x in self.open.drain(..) {
            x.outcome = Outcome::Lost;
            out.push(x);
        }
        self.waiting.clear();
        self.answering = false;
        self.request_open = false;
    }

    fn spoil(&mut self, why: Garbage, out: &mut Vec<Exchange>) {
        self.lose(out);
        self.garbage = Some(why);
    }

    // === requests

    fn request_bytes(&mut self, mut seg: Segment<'_>, out: &mut Vec<Exchange>) {
        loop {
            match &mut self.request.state {
                State::Start => {
                    // An empty line before a request is ignored (RFC 9112 2.2).
                    let blank = seg.data.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                    advance(&mut seg, blank as u64);
                    if seg.len == 0 {
                        return;
                    }
                    if seg.data.is_empty() || !head::looks_like_request(seg.data) {
                        if self.open.is_empty()
                            && self.request.next == Some(seg.pos + seg.len)
                            && !seg.data.is_empty()
                            && seg.head_start
                        {
                            self.spoil(Garbage::FirstLine, out);
                        } else {
                            self.lose(out);
                        }
                        return;
                    }
                    self.begin_request(&seg);
                }
                State::Head => {
                    let had = self.request.head.len();
                    let room = self.limits.head - had;
                    let taken = seg.data.len().min(room);
                    self.request.head.extend_from_slice(&seg.data[..taken]);
                    let end = head::end_of_head(&self.request.head, had.saturating_sub(3));
                    let Some(end) = end else {
                        let broken = (seg.data.len() as u64) < seg.len;
                        if broken || seg.head_cut || taken == room {
                            self.take_request_head(&HeadEnd::cut(&seg), out);
                        }
                        return;
                    };
                    self.request.head.truncate(end);
                    advance(&mut seg, (end - had) as u64);
                    let at = HeadEnd { pos: seg.pos, ts: seg.ts, exec: seg.exec, cut: false, brief: false };
                    if !self.take_request_head(&at, out) {
                        return;
                    }
                    if seg.len == 0 {
                        return;
                    }
                }
                State::Fixed(until) => {
                    let until = *until;
                    let take = (until - seg.pos).min(seg.len);
                    self.add_request_body(take);
                    advance(&mut seg, take);
                    if seg.pos == until {
                        self.request.state = State::Start;
                        self.request_done();
                    }
                    if seg.len == 0 {
                        return;
                    }
                }
                State::Chunked(c) => {
                    if let Some((body, ended)) = seg.chunks {
                        if c.count(body, ended) {
                            self.request.state = State::Start;
                            self.request_body = Some(body);
                            self.request_done();
                        }
                        return;
                    }
                    c.uncounted();
                    let captured = seg.data;
                    match c.bytes(captured) {
                        Err(why) => return self.spoil(why, out),
                        Ok(Some(n)) => {
                            let body = c.body();
                            advance(&mut seg, n as u64);
                            self.request.state = State::Start;
                            self.request_body = body;
                            self.request_done();
                            if seg.len == 0 {
                                return;
                            }
                        }
                        Ok(None) => {
                            let rest = seg.len - captured.len() as u64;
                            if rest > 0 && c.skip(rest, seg.tail) {
                                self.request.state = State::Start;
                                self.request_body = None;
                                self.request_done();
                            }
                            return;
                        }
                    }
                }
                State::Close | State::Unframed | State::Lost => {
                    if !(seg.head_start && head::looks_like_request(seg.data)) {
                        return;
                    }
                    // A request that begins with a call: the connection joins here. What was answered before it is
                    // told by how far the other direction had come.
                    self.end_unframed(out);
                    if matches!(self.response.state, State::Lost) {
                        self.response.head.clear();
                        if let Some((pos, _)) = seg.other
                            && self.response.next.is_none_or(|n| n < pos)
                        {
                            self.response.next = Some(pos);
                        }
                        self.response.state = State::Start;
                    }
                    self.begin_request(&seg);
                }
            }
        }
    }

    fn begin_request(&mut self, seg: &Segment<'_>) {
        self.request.state = State::Head;
        self.request.head.clear();
        self.request.head_start = (seg.ts, seg.pos, seg.exec);
        self.request_body = None;
    }

    /// A response whose end cannot be seen ends where the next request begins.
    fn end_unframed(&mut self, out: &mut Vec<Exchange>) {
        if self.answering
            && matches!(self.response.state, State::Unframed | State::Chunked(_))
            && self.open.len() == 1
        {
            self.response.state = State::Lost;
            self.response_done(Outcome::Complete, self.last_response, None, out);
        }
    }

    /// Reads the gathered head; `false` when nothing more can be made of the segment.
    fn take_request_head(&mut self, at: &HeadEnd, out: &mut Vec<Exchange>) -> bool {
        let (start, pos, first_exec) = self.request.head_start;
        let mut x = Exchange {
            request_start: start,
            request_pos: pos,
            request_exec: first_exec,
            request_head_end: at.ts,
            request_head_exec: at.exec,
            head_truncated: at.cut,
            head_brief: at.brief,
            ..Exchange::default()
        };
        let head = std::mem::take(&mut self.request.head);
        let framing = head::request(&head, at.cut, &self.limits, &self.wanted, &mut x);
        // The buffer is kept for the next head, unless it grew large.
        self.request.head = head;
        self.request.head.clear();
        if self.request.head.capacity() > 2048 {
            self.request.head = Vec::new();
        }
        let framing = match framing {
            Ok(framing) => framing,
            Err(why) => {
                self.spoil(why, out);
                return false;
            }
        };
        self.end_unframed(out);
        if !self.open.is_empty() {
            self.pipelined = true;
        }
        if self.open.len() >= self.limits.open {
            self.lose(out);
            x.outcome = Outcome::Lost;
            out.push(x);
            return false;
        }
        self.request_open = !at.cut;
        self.request.state = match framing {
            // Where a cut head ends is not known, and so neither is where its body does.
            _ if at.cut => State::Lost,
            Framing::Length(0) => {
                x.request_body_size = Some(0);
                self.request_open = false;
                State::Start
            }
            Framing::Length(n) => {
                x.request_body_size = Some(0);
                self.request_body = Some(0);
                State::Fixed(at.pos.saturating_add(n))
            }
            Framing::Chunked => State::Chunked(Chunked::new()),
            Framing::Close | Framing::Unknown => State::Lost,
        };
        let exec = x.request_head_exec;
        self.open.push_back(x);
        self.take_waiting(exec, at.ts, out);
        !at.cut && self.garbage.is_none() && !self.tunnel
    }

    /// Responses that came before their request. On the client's side a sender's record may be made after the answer
    /// was read, by another thread and at once; anything else belongs to a request that was never seen.
    fn take_waiting(&mut self, exec: u64, ts: u64, out: &mut Vec<Exchange>) {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(first) = waiting.first() else { return };
        if first.segment.exec == exec || ts.saturating_sub(first.segment.ts) > INVERSION_NS {
            return;
        }
        for w in &waiting {
            self.response_bytes(Segment { data: &w.bytes, ..w.segment }, out);
        }
    }

    fn add_request_body(&mut self, n: u64) {
        if let Some(body) = &mut self.request_body {
            *body += n;
            if self.request_open
                && let Some(x) = self.open.back_mut()
            {
                x.request_body_size = Some(*body);
            }
        }
    }

    fn request_done(&mut self) {
        if self.request_open
            && let Some(x) = self.open.back_mut()
        {
            x.request_body_size = self.request_body;
        }
        self.request_open = false;
        self.request_body = None;
    }

    // === responses

    fn response_bytes(&mut self, mut seg: Segment<'_>, out: &mut Vec<Exchange>) {
        loop {
            match &mut self.response.state {
                State::Start => {
                    if self.open.is_empty() {
                        return self.hold(seg, out);
                    }
                    if let Some(known) = seg.known {
                        self.begin_known(&mut seg, &known);
                        continue;
                    }
                    if !head::looks_like_response(seg.data) || seg.data.is_empty() {
                        return self.lose(out);
                    }
                    self.begin_response(&seg);
                }
                State::Head => {
                    let had = self.response.head.len();
                    let room = self.limits.head - had;
                    let taken = seg.data.len().min(room);
                    self.response.head.extend_from_slice(&seg.data[..taken]);
                    self.last_response = seg.ts;
                    let end = head::end_of_head(&self.response.head, had.saturating_sub(3));
                    let Some(end) = end else {
                        let broken = (seg.data.len() as u64) < seg.len;
                        if broken || seg.head_cut || taken == room {
                            self.take_response_head(&HeadEnd::cut(&seg), out);
                        }
                        return;
                    };
                    self.response.head.truncate(end);
                    advance(&mut seg, (end - had) as u64);
                    let at = HeadEnd { pos: seg.pos, ts: seg.ts, exec: seg.exec, cut: false, brief: false };
                    if !self.take_response_head(&at, out) {
                        return;
                    }
                }
                State::Fixed(until) => {
                    let until = *until;
                    let take = (until - seg.pos).min(seg.len);
                    self.response_body += take;
                    advance(&mut seg, take);
                    self.last_response = seg.ts;
                    if seg.pos == until {
                        self.response.state = State::Start;
                        self.response_done(Outcome::Complete, seg.ts, Some(self.response_body), out);
                    }
                }
                State::Chunked(c) => {
                    self.last_response = seg.ts;
                    if let Some((body, ended)) = seg.chunks {
                        if c.count(body, ended) {
                            self.response.state = State::Start;
                            self.response_done(Outcome::Complete, seg.ts, Some(body), out);
                        }
                        return;
                    }
                    c.uncounted();
                    let captured = seg.data;
                    match c.bytes(captured) {
                        Err(why) => return self.spoil(why, out),
                        Ok(Some(n)) => {
                            let body = c.body();
                            advance(&mut seg, n as u64);
                            self.response.state = State::Start;
                            self.response_done(Outcome::Complete, seg.ts, body, out);
                        }
                        Ok(None) => {
                            let rest = seg.len - captured.len() as u64;
                            if rest > 0 && c.skip(rest, seg.tail) {
                                let body = c.body();
                                self.response.state = State::Start;
                                self.response_done(Outcome::Complete, seg.ts, body, out);
                            } else if seg.head_start
                                && self.open.len() > 1
                                && head::looks_like_response(captured)
                            {
                                // A trailer kept the end from being seen: the next response tells it.
                                self.response_done(Outcome::Complete, self.last_response, None, out);
                                self.begin_response(&seg);
                                continue;
                            }
                            return;
                        }
                    }
                }
                State::Close => {
                    self.response_body += seg.len;
                    self.last_response = seg.ts;
                    return;
                }
                State::Unframed | State::Lost => {
                    let begins = seg.known.is_some()
                        || (seg.head_start && head::looks_like_response(seg.data) && !seg.data.is_empty());
                    let expected = if self.answering { self.open.len() > 1 } else { !self.open.is_empty() };
                    if !(begins && expected) {
                        self.last_response = seg.ts;
                        return;
                    }
                    if self.answering {
                        self.response_done(Outcome::Complete, self.last_response, None, out);
                    }
                    match seg.known {
                        Some(known) => {
                            self.begin_known(&mut seg, &known);
                            continue;
                        }
                        None => self.begin_response(&seg),
                    }
                }
            }
            if seg.len == 0 || self.tunnel {
                return;
            }
        }
    }

    fn begin_response(&mut self, seg: &Segment<'_>) {
        self.response.state = State::Head;
        self.response.head.clear();
        self.response.head_start = (seg.ts, seg.pos, seg.exec);
    }

    /// A response whose head was read elsewhere.
    fn begin_known(&mut self, seg: &mut Segment<'_>, known: &KnownHead) {
        let Some(x) = self.open.front_mut() else { return };
        x.status = Some(known.status);
        x.response_start = known.start;
        x.response_exec = seg.exec;
        self.answering = true;
        self.response_body = 0;
        let head = known.head.min(seg.len);
        self.response.state = State::Fixed(seg.pos.saturating_add(known.head).saturating_add(known.length));
        advance(seg, head);
        seg.known = None;
    }

    /// Keeps a response that came before its request.
    fn hold(&mut self, seg: Segment<'_>, out: &mut Vec<Exchange>) {
        // A server cannot answer what it has not read: this is the answer to a request that was not seen.
        if self.server || self.waiting.len() >= self.limits.held || seg.data.len() > self.limits.head {
            self.waiting.clear();
            if matches!(self.request.state, State::Start) {
                self.response.state = State::Lost;
            } else {
                self.lose(out);
            }
            return;
        }
        self.last_response = seg.ts;
        self.waiting.push(Waiting { bytes: seg.data.to_vec(), segment: Segment { data: &[], ..seg } });
    }

    /// Reads the gathered head; `false` when nothing more can be made of the segment.
    fn take_response_head(&mut self, at: &HeadEnd, out: &mut Vec<Exchange>) -> bool {
        let (start, _, exec) = self.response.head_start;
        let parsed = head::response(&self.response.head, at.cut);
        self.response.head.clear();
        if self.response.head.capacity() > 2048 {
            self.response.head = Vec::new();
        }
        let (status, framing) = match parsed {
            Ok(parsed) => parsed,
            Err(why) => {
                self.spoil(why, out);
                return false;
            }
        };
        let Some(x) = self.open.front_mut() else { return false };
        if (100..200).contains(&status) && status != 101 {
            // Interim: the final response is still to come.
            self.response.state = if at.cut { State::Unframed } else { State::Start };
            return !at.cut;
        }
        let connect = x.method == "CONNECT" && (200..300).contains(&status);
        let bodiless = x.method == "HEAD" || status == 204 || status == 304;
        x.status = Some(status);
        x.response_start = start;
        x.response_exec = exec;
        x.head_truncated |= at.cut;
        self.answering = true;
        self.response_body = 0;
        self.last_response = at.ts;
        if status == 101 || connect {
            self.response_done(Outcome::Upgraded, at.ts, Some(0), out);
            self.tunnel = true;
            for mut x in self.open.drain(..) {
                x.outcome = Outcome::Lost;
                out.push(x);
            }
            return false;
        }
        let framing = if bodiless { Framing::Length(0) } else { framing };
        self.response.state = match framing {
            _ if at.cut => State::Unframed,
            Framing::Length(0) => State::Start,
            Framing::Length(n) => State::Fixed(at.pos.saturating_add(n)),
            Framing::Chunked => State::Chunked(Chunked::new()),
            Framing::Close => State::Close,
            Framing::Unknown => State::Unframed,
        };
        if !at.cut && framing == Framing::Length(0) {
            self.response_done(Outcome::Complete, at.ts, Some(0), out);
        }
        !at.cut
    }

    /// The oldest open request is answered.
    fn response_done(&mut self, outcome: Outcome, end: u64, body: Option<u64>, out: &mut Vec<Exchange>) {
        self.answering = false;
        self.response_body = 0;
        self.last_response = end;
        let Some(mut x) = self.open.pop_front() else { return };
        if self.open.is_empty() {
            // What is still to come of its body is nobody's.
            self.request_open = false;
        }
        x.outcome = outcome;
        x.response_end = end;
        x.response_body_size = body;
        out.push(x);
    }
}

/// Where and how a head ended.
struct HeadEnd {
    pos: u64,
    ts: u64,
    exec: u64,
    cut: bool,
    brief: bool,
}

impl HeadEnd {
    fn cut(seg: &Segment<'_>) -> HeadEnd {
        HeadEnd { pos: seg.pos + seg.len, ts: seg.ts, exec: seg.exec, cut: true, brief: seg.brief }
    }
}

/// An answer that was recorded before its request was so by at most this much, ns.
const INVERSION_NS: u64 = 100_000_000;

fn outcome_of(how: End) -> Outcome {
    match how {
        End::Fin => Outcome::PeerClosed,
        End::Reset => Outcome::PeerReset,
        End::Timeout => Outcome::TimedOut,
        End::OwnClose => Outcome::OwnClose,
    }
}

/// Moves the begin of a segment.
fn advance(seg: &mut Segment<'_>, n: u64) {
    seg.pos += n;
    seg.len -= n;
    let captured = usize::try_from(n).unwrap_or(usize::MAX).min(seg.data.len());
    seg.data = &seg.data[captured..];
    seg.head_start = false;
}
