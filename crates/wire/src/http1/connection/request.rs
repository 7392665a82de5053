//! The request direction.

use super::super::chunked::Chunked;
use super::super::head::{self, Framing, Request};
use super::*;

/// An answer that was recorded before its request was so by at most this much, ns.
const INVERSION_NS: u64 = 100_000_000;

impl Connection {
    pub(super) fn request_bytes(&mut self, seg: &mut Segment<'_>, out: &mut Vec<Exchange>) {
        loop {
            let on = match &mut self.request.state {
                State::Start => {
                    skip_blank(seg);
                    if seg.len == 0 {
                        return;
                    }
                    let again = self.same_again(seg);
                    if again.is_none() && !begins(seg) {
                        return self.no_request(seg, out);
                    }
                    self.request.tentative = false;
                    self.begin_request(seg, again, out)
                }
                State::Head => self.more_request_head(seg, out),
                State::Fixed(until) => {
                    let until = *until;
                    if seg.pos > until {
                        self.lose(Dir::Request, out);
                        continue;
                    }
                    let take = (until - seg.pos).min(seg.len);
                    self.add_body(Dir::Request, take);
                    advance(seg, take);
                    if seg.pos == until {
                        self.body_ends(Dir::Request, seg.ts, out);
                    }
                    true
                }
                State::Chunked(_) => self.request_chunks(seg, out),
                State::Close | State::Unframed | State::Lost => {
                    // A request that begins with a call: the connection joins here. What follows a request that may
                    // take the connection away from HTTP is believed to be no request before that is answered.
                    let waits = self.switching && !self.open.is_empty();
                    if waits || !seg.head_start || !(begins(seg) || seg.same.is_some()) {
                        return;
                    }
                    self.request.tentative = true;
                    let again = self.same_again(seg);
                    self.begin_request(seg, again, out)
                }
            };
            if !on || seg.len == 0 {
                return;
            }
        }
    }

    /// Where a request is due stands something else.
    fn no_request(&mut self, seg: &Segment<'_>, out: &mut Vec<Exchange>) {
        if self.switching && !self.open.is_empty() {
            // The other protocol, without waiting for the answer.
            self.request.state = State::Lost;
        } else if seg.same.is_some() {
            self.request.begin = self.begin(seg);
            self.head_is_unknown(out);
        } else if seg.data.is_empty() {
            self.lose(Dir::Request, out);
        } else if self.open.is_empty() && seg.head_start {
            self.spoil(Garbage::FirstLine, out);
        } else {
            // All requests before these bytes were seen whole, and will be answered in turn.
            self.request.state = State::Lost;
        }
    }

    /// Reads the head that begins a segment, which may be the last one `again`; `false` when nothing more can be made of
    /// it.
    fn begin_request(
        &mut self,
        seg: &mut Segment<'_>,
        again: Option<(Asked, usize)>,
        out: &mut Vec<Exchange>,
    ) -> bool {
        self.request.begin = self.begin(seg);
        // The end of a counted body is told, unless its record was lost; others may have been lost with it.
        self.request_gap |= self.request_is_counted();
        if self.open.is_empty()
            && self.waiting.is_empty()
            && let (Some((pos, _)), Some(next)) = (seg.other, &mut self.response.next)
        {
            // What went by unseen answered nothing that is open.
            *next = pos.max(*next);
            self.gap = false;
        }
        self.request_body = None;
        let data = seg.data;
        if let Some((asked, len)) = again {
            if let Some(last) = self.last_head.as_mut().filter(|_| seg.same.is_none()) {
                last.told = is_all(seg, len).then_some(seg.record);
            }
            advance(seg, len as u64);
            return self.take_request(asked, &HeadEnd::whole(seg), out);
        }
        if seg.same.is_some() {
            self.head_is_unknown(out);
            return false;
        }
        match Request::read(&data[..data.len().min(self.limits.head)], false) {
            Ok(Some(request)) => {
                let len = request.bytes().len();
                let told = is_all(seg, len).then_some(seg.record);
                advance(seg, len as u64);
                let asked = self.asked(&request, false);
                if let Some(last) = &mut self.last_head {
                    last.told = told;
                }
                self.take_request(asked, &HeadEnd::whole(seg), out)
            }
            Ok(None) => {
                self.request.state = State::Head;
                self.request.head.clear();
                true
            }
            Err(why) => {
                self.bad_request(why, out);
                false
            }
        }
    }

    /// Gathers a head that does not come in one piece.
    fn more_request_head(&mut self, seg: &mut Segment<'_>, out: &mut Vec<Exchange>) -> bool {
        let had = self.request.head.len();
        if had > 0 && self.request.tentative && seg.head_start {
            // The kernel half saw a message begin: what came before was none.
            self.request.state = State::Lost;
            return true;
        }
        let room = self.limits.head - had;
        let taken = seg.data.len().min(room);
        self.request.head.extend_from_slice(&seg.data[..taken]);
        if had < 64 && !head::looks_like_request(&self.request.head) {
            if self.request.tentative {
                self.request.state = State::Lost;
            } else {
                self.request.clear_head();
                self.no_request(&Segment { head_start: true, ..*seg }, out);
            }
            return false;
        }
        let at = match head::end_of_head(&self.request.head, had.saturating_sub(3)) {
            Some(end) => {
                self.request.head.truncate(end);
                advance(seg, (end - had) as u64);
                HeadEnd::whole(seg)
            }
            None if (seg.data.len() as u64) < seg.len || seg.head_cut || taken == room => HeadEnd::cut(seg),
            None => return false,
        };
        let head = std::mem::take(&mut self.request.head);
        let on = self.read_request(&head, &at, out);
        self.request.head = head;
        self.request.clear_head();
        on
    }

    fn request_chunks(&mut self, seg: &mut Segment<'_>, out: &mut Vec<Exchange>) -> bool {
        // Response bytes moved that no record told of.
        let unseen =
            self.gap || matches!((seg.other, self.response.next), (Some((pos, _)), Some(next)) if pos > next);
        let State::Chunked(c) = &mut self.request.state else { return false };
        // A body whose end may have gone by unseen, of a request that is answered or was: another request may begin.
        let answered =
            !self.request_open || unseen || (self.answering && (c.counted() || c.may_have_ended()));
        let begins = head::is_request(seg.data) || seg.same.is_some();
        if c.unsure() && answered && seg.head_start && begins {
            self.request.tentative = true;
            let again = self.same_again(seg);
            return self.begin_request(seg, again, out);
        }
        let taken = match seg.chunks {
            Some((body, ended)) => Ok(c.count(body, ended).then_some(seg.len)),
            None => {
                // Not counted any more: the rest of this body, or of a request that went by unseen.
                self.request_gap |= c.counted();
                c.take(seg.data, seg.len, seg.tail)
            }
        };
        let end = match taken {
            Ok(Some(end)) => end,
            Ok(None) => return false,
            Err(why) => {
                self.spoil(why, out);
                return false;
            }
        };
        self.request_body = c.body();
        if c.counted() && (self.answering || unseen) {
            // The end of a body that is answered already, or that of a request whose head went by unseen.
            self.request_body = None;
            self.request_gap = true;
        }
        advance(seg, end);
        self.request.state = State::Start;
        self.request_done();
        true
    }

    /// Reads a head that was gathered; `false` when nothing more can be made of the segment.
    pub(super) fn read_request(&mut self, bytes: &[u8], at: &HeadEnd, out: &mut Vec<Exchange>) -> bool {
        match Request::read(bytes, at.cut) {
            Ok(Some(request)) => {
                let asked = self.asked(&request, at.cut);
                self.take_request(asked, at, out)
            }
            // Cut before it could be told to be a request.
            Err(_) if at.cut && !head::is_request(bytes) => {
                self.request.state = State::Lost;
                false
            }
            Ok(None) => false,
            Err(why) => {
                self.bad_request(why, out);
                false
            }
        }
    }

    /// Where a segment begins with the head that was read last: what was read of it, and how long it is.
    fn same_again(&self, seg: &Segment<'_>) -> Option<(Asked, usize)> {
        let last = self.last_head.as_ref()?;
        let again = match seg.same {
            Some(_) => seg.same == last.told && seg.len == last.bytes.len() as u64,
            // A head ends with an empty line, so that no other one begins with these bytes.
            None => seg.data.starts_with(&last.bytes),
        };
        again.then(|| (last.asked.clone(), last.bytes.len()))
    }

    /// The head of a request that begins is that of a call that was not seen, or is forgotten.
    fn head_is_unknown(&mut self, out: &mut Vec<Exchange>) {
        self.lose(Dir::Request, out);
        out.push(self.lost_head());
    }

    /// What a head says; `cut` when it is not whole.
    fn asked(&mut self, request: &Request<'_>, cut: bool) -> Asked {
        let same = self.last_head.as_ref().map(|last| &last.asked.head);
        let head = match same.filter(|head| self.wanted.is_empty() && request.says_as(head)) {
            Some(head) => head.clone(),
            None => Arc::new(request.says(&self.limits, &self.wanted)),
        };
        let asked = Asked {
            head,
            context: request.context().map(Arc::new),
            framing: request.framing(),
            switches: request.switches(),
        };
        if cut {
            return asked;
        }
        if request.bytes().len() > KEPT_HEAD {
            self.last_head = None;
            return asked;
        }
        let none = || Box::new(Last { bytes: Vec::new(), told: None, asked: asked.clone() });
        let last = self.last_head.get_or_insert_with(none);
        last.told = None;
        last.bytes.clear();
        last.bytes.extend_from_slice(request.bytes());
        last.asked = asked.clone();
        asked
    }

    /// A request's head was read; `false` when nothing more can be made of the segment.
    fn take_request(&mut self, asked: Asked, at: &HeadEnd, out: &mut Vec<Exchange>) -> bool {
        let begin = self.request.begin;
        let mut open = Open {
            x: asked.exchange(&begin, at),
            // Before its first byte a direction has no time to tell.
            before: begin.other.or((self.response.next == Some(0)).then_some((0, 0))),
        };
        let framing = match asked.framing {
            Ok(framing) => framing,
            Err(why) => {
                // Its own head is not under way any more: it is counted here.
                self.request.state = State::Lost;
                self.spoil(why, out);
                open.x.outcome = Outcome::Lost;
                out.push(open.x);
                return false;
            }
        };
        self.end_unframed(begin.other, out);
        self.request_gap = false;
        self.request.state = match framing {
            // Where a cut head ends is not known, and so neither is where its body does.
            _ if at.cut => State::Lost,
            Framing::Length(0) => State::Start,
            Framing::Length(n) => State::Fixed(at.pos.saturating_add(n)),
            Framing::Chunked => State::Chunked(Chunked::new(at.counted)),
            Framing::Close | Framing::Unknown => State::Lost,
        };
        if let (false, Framing::Length(n)) = (at.cut, framing) {
            open.x.request_body_size = Some(0);
            self.request_body = (n > 0).then_some(0);
        }
        if self.answer_can_be_told(open.before, out) {
            self.request_open = matches!(self.request.state, State::Fixed(_) | State::Chunked(_));
            self.switching = asked.switches;
            self.open.push_back(open);
            self.opened = self.opened.wrapping_add(1);
            if !self.waiting.is_empty() {
                self.take_waiting(at, out);
            }
        } else {
            self.request_open = false;
            open.x.outcome = Outcome::Lost;
            out.push(open.x);
        }
        !at.cut && self.garbage.is_none() && !self.tunnel
    }

    /// Whether the answer to a request that begins now will be told from others.
    fn answer_can_be_told(&mut self, before: Option<(u64, u64)>, out: &mut Vec<Exchange>) -> bool {
        self.muddled &= !self.request.begin.quiet;
        if self.open.is_empty() {
            if self.open.capacity() == 0 {
                // One place is enough for a connection that does not pipeline.
                self.open.reserve_exact(1);
            }
        } else {
            let unseen = before.is_some_and(|(pos, _)| self.response.next.is_none_or(|next| pos > next));
            self.pipelined |= !unseen;
            if self.open.len() >= self.limits.open {
                self.lose(Dir::Response, out);
                self.muddled = true;
            }
        }
        !self.muddled
    }

    /// What begins like a request has no request line.
    fn bad_request(&mut self, why: Garbage, out: &mut Vec<Exchange>) {
        self.request.state = State::Lost;
        if !self.request.tentative {
            self.spoil(why, out);
        }
    }

    /// Responses that came before their request. On the client's side a sender's record may be made after the answer
    /// was read, by another thread and at once; anything else belongs to a request that was never seen. A head that
    /// is cut was answered before its end.
    fn take_waiting(&mut self, at: &HeadEnd, out: &mut Vec<Exchange>) {
        let Some(first) = self.waiting.first().map(|w| w.segment) else { return };
        if !at.cut && (first.exec == at.exec || at.ts.saturating_sub(first.ts) > INVERSION_NS) {
            return self.drop_waiting();
        }
        for w in std::mem::take(&mut self.waiting) {
            self.response_bytes(&mut Segment { data: &w.bytes, ..w.segment }, out);
        }
    }

    /// What waited for its request belongs to one that was not seen.
    pub(super) fn drop_waiting(&mut self) {
        if !self.waiting.is_empty() {
            self.waiting.clear();
            self.response.state = State::Lost;
            self.response.clear_head();
        }
    }

    pub(super) fn request_done(&mut self) {
        if self.request_open
            && let Some(open) = self.open.back_mut()
        {
            open.x.request_body_size = self.request_body;
        }
        self.request_open = false;
        self.request_body = None;
    }
}

/// Whether a request may begin with the bytes of a segment.
fn begins(seg: &Segment<'_>) -> bool {
    !seg.data.is_empty() && head::looks_like_request(seg.data)
}

/// Whether a head of so many bytes is all of a call.
fn is_all(seg: &Segment<'_>, len: usize) -> bool {
    seg.head_start && seg.len == len as u64
}
