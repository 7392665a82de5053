//! The response direction.

use super::super::chunked::Chunked;
use super::super::head::{self, Framing};
use super::*;
use crate::http1::KnownHead;

impl Connection {
    pub(super) fn response_bytes(&mut self, seg: &mut Segment<'_>, out: &mut Vec<Exchange>) {
        loop {
            let on = match &mut self.response.state {
                State::Start => {
                    skip_blank(seg);
                    if seg.len == 0 {
                        return;
                    }
                    if !self.awaited(seg, out) {
                        return self.hold(*seg);
                    }
                    if !begins(seg) {
                        // Something answers the request, and cannot be read.
                        self.first_is_lost(out);
                        return self.lose_response();
                    }
                    self.begin_response(seg, out)
                }
                State::Head => self.more_response_head(seg, out),
                State::Fixed(until) => {
                    let until = *until;
                    if seg.pos > until {
                        // A response that waited for its request: what came between went by unseen.
                        self.ends_at(until, out);
                        self.lose_response();
                        continue;
                    }
                    let take = (until - seg.pos).min(seg.len);
                    self.add_body(Dir::Response, take);
                    advance(seg, take);
                    self.last = (seg.pos, seg.ts);
                    if seg.pos == until {
                        self.body_ends(Dir::Response, seg.ts, out);
                    }
                    true
                }
                State::Chunked(_) => self.response_chunks(seg, out),
                State::Close => {
                    self.add_body(Dir::Response, seg.len);
                    self.last = (seg.pos + seg.len, seg.ts);
                    return;
                }
                State::Unframed | State::Lost => self.join_response(seg, out),
            };
            if !on || seg.len == 0 || self.tunnel || self.garbage.is_some() {
                return;
            }
        }
    }

    /// Whether a request waits for an answer. One whose head is still under way is answered before its end when the
    /// server refuses it.
    fn awaited(&mut self, seg: &Segment<'_>, out: &mut Vec<Exchange>) -> bool {
        if self.open.is_empty() && self.server && begins(seg) {
            if self.request_bytes_unseen(seg) {
                self.lose(Dir::Request, out);
            } else {
                self.cut_head(seg.ts, out);
            }
        }
        !self.open.is_empty()
    }

    /// Where the place was lost, or the end of the message under way is not known: whether a response begins here.
    fn join_response(&mut self, seg: &mut Segment<'_>, out: &mut Vec<Exchange>) -> bool {
        let begins = seg.head_start && begins(seg);
        let end = (seg.pos + seg.len, seg.ts);
        if self.answering {
            if !(begins && self.another_asked(seg)) {
                self.last = end;
                return false;
            }
            self.ends_before_next(out);
            if self.open.is_empty() {
                self.lose_response();
                return false;
            }
        } else if !(begins && self.awaited(seg, out)) {
            if !self.server && (begins || !self.waiting.is_empty()) {
                self.hold(*seg);
            }
            return false;
        }
        self.pair(seg, out) && self.begin_response(seg, out)
    }

    /// After bytes went by unseen: drops the requests that were answered among them. `false` when nobody can tell
    /// which they are.
    fn pair(&mut self, seg: &Segment<'_>, out: &mut Vec<Exchange>) -> bool {
        if !std::mem::take(&mut self.gap) {
            return true;
        }
        if self.request_bytes_unseen(seg) || self.request_is_counted() {
            // The request that is answered here may be among them.
            self.lose(Dir::Response, out);
            return false;
        }
        while let [Some(first), Some(second)] = [0, 1].map(|i| self.open.get(i).map(|o| o.before)) {
            match (first, second) {
                // Response bytes between the begins of two requests: the first was answered before the second.
                (Some((a, _)), Some((b, _))) if a < b && b <= seg.pos => self.first_is_lost(out),
                (Some((a, _)), Some((b, _))) if a < b => break,
                _ => {
                    self.lose(Dir::Response, out);
                    return false;
                }
            }
        }
        true
    }

    /// Whether another request than the one under answer began before this segment.
    fn another_asked(&self, seg: &Segment<'_>) -> bool {
        self.open.len() > 1
            || self.request_bytes_unseen(seg)
            || (self.request_is_counted()
                && (self.may_have_ended() || matches!(self.response.state, State::Chunked(c) if c.counted())))
    }

    /// Whether the request under way has a body whose calls are not told one by one: another may have begun unseen.
    pub(super) fn request_is_counted(&self) -> bool {
        matches!(self.request.state, State::Chunked(c) if c.counted())
    }

    /// Whether request bytes moved before this segment that no record told of, and that may have held a request.
    pub(super) fn request_bytes_unseen(&self, seg: &Segment<'_>) -> bool {
        if self.request_gap {
            return true;
        }
        let (Some((pos, _)), Some(next)) = (seg.other, self.request.next) else { return false };
        pos > next && !self.request_is_counted()
    }

    /// Reads the head that begins a segment; `false` when nothing more can be made of it.
    fn begin_response(&mut self, seg: &mut Segment<'_>, out: &mut Vec<Exchange>) -> bool {
        if let Some(known) = seg.known {
            return self.begin_known(seg, &known, out);
        }
        self.response.begin = self.begin(seg);
        let data = seg.data;
        match head::response(&data[..data.len().min(self.limits.head)], false) {
            Ok(Some((status, framing, len))) => {
                advance(seg, len as u64);
                self.take_response(status, framing, &HeadEnd::whole(seg), out)
            }
            Ok(None) => {
                self.response.state = State::Head;
                self.response.head.clear();
                true
            }
            Err(why) => {
                self.spoil(why, out);
                false
            }
        }
    }

    /// Gathers a head that does not come in one piece.
    fn more_response_head(&mut self, seg: &mut Segment<'_>, out: &mut Vec<Exchange>) -> bool {
        let had = self.response.head.len();
        let room = self.limits.head - had;
        let taken = seg.data.len().min(room);
        self.response.head.extend_from_slice(&seg.data[..taken]);
        let at = match head::end_of_head(&self.response.head, had.saturating_sub(3)) {
            Some(end) => {
                self.response.head.truncate(end);
                advance(seg, (end - had) as u64);
                HeadEnd::whole(seg)
            }
            None if (seg.data.len() as u64) < seg.len || seg.head_cut || taken == room => HeadEnd::cut(seg),
            None => return false,
        };
        let head = std::mem::take(&mut self.response.head);
        let on = self.read_response(&head, &at, out);
        self.response.head = head;
        self.response.clear_head();
        on
    }

    fn response_chunks(&mut self, seg: &mut Segment<'_>, out: &mut Vec<Exchange>) -> bool {
        let begins = seg.head_start && begins(seg);
        let unsure = matches!(self.response.state, State::Chunked(c) if c.unsure());
        if unsure && begins && self.another_asked(seg) {
            // The end went by unseen, in a trailer or in a record that was lost: the next response tells it.
            self.ends_before_next(out);
            if self.open.is_empty() {
                self.lose_response();
                return false;
            }
            return self.pair(seg, out) && self.begin_response(seg, out);
        }
        let counted = matches!(self.response.state, State::Chunked(c) if c.counted());
        if counted && self.open.len() == 1 && self.request_bytes_unseen(seg) {
            // Another request began: the end went by unseen, and so did the head of the response that this is of.
            self.first_is_lost(out);
            self.lose_response();
            return false;
        }
        let State::Chunked(c) = &mut self.response.state else { return false };
        let taken = match seg.chunks {
            Some((body, ended)) => Ok(c.count(body, ended).then_some(seg.len)),
            None => c.take(seg.data, seg.len, seg.tail),
        };
        let body = c.body();
        match taken {
            Ok(Some(end)) => {
                advance(seg, end);
                self.response.state = State::Start;
                self.response_done(Outcome::Complete, seg.ts, body, out);
                true
            }
            Ok(None) => {
                self.last = (seg.pos + seg.len, seg.ts);
                false
            }
            Err(why) => {
                self.spoil(why, out);
                false
            }
        }
    }

    /// Keeps a response that came before its request.
    fn hold(&mut self, seg: Segment<'_>) {
        // A server cannot answer what it has not read: this is the answer to a request that was not seen.
        if self.server || self.waiting.len() >= self.limits.held || seg.data.len() > self.limits.head {
            self.waiting.clear();
            self.response.state = State::Lost;
            return;
        }
        self.waiting.push(Waiting { bytes: seg.data.to_vec(), segment: Segment { data: &[], ..seg } });
    }

    /// Reads a head that was gathered; `false` when nothing more can be made of the segment.
    fn read_response(&mut self, bytes: &[u8], at: &HeadEnd, out: &mut Vec<Exchange>) -> bool {
        match head::response(bytes, at.cut) {
            Ok(Some((status, framing, _))) => self.take_response(status, framing, at, out),
            Ok(None) => false,
            // Cut before its status: it answers a request, nobody knows how.
            Err(Garbage::FirstLine) if at.cut && bytes.len() < 12 => {
                self.first_is_lost(out);
                self.lose_response();
                false
            }
            Err(why) => {
                self.spoil(why, out);
                false
            }
        }
    }

    /// A response's head was read; `false` when nothing more can be made of the segment.
    fn take_response(
        &mut self,
        status: u16,
        framing: Framing,
        at: &HeadEnd,
        out: &mut Vec<Exchange>,
    ) -> bool {
        let begin = self.response.begin;
        let Some(Open { x, .. }) = self.open.front_mut() else { return false };
        if (100..200).contains(&status) && status != 101 {
            // Interim: the final response is still to come.
            self.response.state = if at.cut { State::Unframed } else { State::Start };
            return !at.cut;
        }
        x.head_truncated |= at.cut;
        let whole = (!at.cut).then_some(framing);
        self.answered(status, whole, &begin, at, out) && !at.cut
    }

    /// The first open request has its final response, whose head ended at `at`. `framing` as its headers tell it, when
    /// the head is whole. `false` when the connection is a tunnel now.
    fn answered(
        &mut self,
        status: u16,
        framing: Option<Framing>,
        begin: &Begin,
        at: &HeadEnd,
        out: &mut Vec<Exchange>,
    ) -> bool {
        let Some(Open { x, .. }) = self.open.front_mut() else { return false };
        let connected = x.head.method == "CONNECT" && (200..300).contains(&status);
        let bodiless = x.head.method == "HEAD" || status == 204 || status == 304;
        x.status = Some(status);
        x.response_start = begin.ts.max(x.request_start);
        x.response_exec = begin.exec;
        x.response_blocking = begin.blocking;
        self.answering = true;
        self.response_body = 0;
        self.last = (at.pos, at.ts);
        if status == 101 || connected {
            self.response_done(Outcome::Upgraded, at.ts, Some(0), out);
            self.lose(Dir::Request, out);
            self.tunnel = true;
            return false;
        }
        let framing = match framing {
            Some(_) if bodiless => Framing::Length(0),
            Some(framing) => framing,
            None => Framing::Unknown,
        };
        self.response.state = match framing {
            Framing::Length(0) => State::Start,
            Framing::Length(n) => State::Fixed(at.pos.saturating_add(n)),
            Framing::Chunked => State::Chunked(Chunked::new(at.counted)),
            Framing::Close => State::Close,
            Framing::Unknown => State::Unframed,
        };
        if framing == Framing::Length(0) {
            self.response_done(Outcome::Complete, at.ts, Some(0), out);
        }
        true
    }

    /// A response whose head was read by the kernel half.
    fn begin_known(&mut self, seg: &mut Segment<'_>, known: &KnownHead, out: &mut Vec<Exchange>) -> bool {
        let begin = Begin { ts: known.start, ..self.begin(seg) };
        advance(seg, known.head.min(seg.len));
        // It is told once, also where it claims to have no bytes.
        seg.known = None;
        self.answered(known.status, Some(Framing::Length(known.length)), &begin, &HeadEnd::whole(seg), out)
    }

    /// The response under way ended before the next request began: with its last byte, which may have gone by unseen.
    pub(super) fn ends_before_next(&mut self, out: &mut Vec<Exchange>) {
        let (pos, ts) = self.last;
        let (outcome, end) = match self.open.get(1).and_then(|next| next.before) {
            Some((reached, at)) if reached > pos => (Outcome::Complete, at.max(ts)),
            None if self.gap || !self.may_have_ended() => (Outcome::Lost, ts),
            _ => (Outcome::Complete, ts),
        };
        self.response_done(outcome, end, None, out);
    }

    /// Whether the last byte seen may have been the last of the response under way.
    pub(super) fn may_have_ended(&self) -> bool {
        match &self.response.state {
            State::Unframed => true,
            State::Chunked(c) => c.may_have_ended(),
            _ => false,
        }
    }

    /// The response under way ended at `until`, which went by unseen.
    pub(super) fn ends_at(&mut self, until: u64, out: &mut Vec<Exchange>) {
        match self.open.get(1).and_then(|next| next.before) {
            Some((pos, ts)) if pos == until => {
                self.response_done(Outcome::Complete, ts, Some(self.response_body), out);
            }
            _ => self.first_is_lost(out),
        }
    }

    /// The oldest open request is answered.
    pub(super) fn response_done(
        &mut self,
        outcome: Outcome,
        end: u64,
        body: Option<u64>,
        out: &mut Vec<Exchange>,
    ) {
        self.answering = false;
        self.response_body = 0;
        let Some(Open { x, .. }) = self.open.front_mut() else { return };
        x.outcome = outcome;
        x.response_end = if outcome == Outcome::Lost { 0 } else { end.max(x.request_start) };
        x.response_body_size = body;
        if let Some(open) = self.open.pop_front() {
            out.push(open.x);
        }
        if self.open.is_empty() {
            // What is still to come of its body is nobody's.
            self.request_open = false;
            self.switching = false;
            if self.open.capacity() > KEPT_OPEN {
                self.open = VecDeque::new();
            }
        }
    }
}

/// Whether a response may begin with a segment.
fn begins(seg: &Segment<'_>) -> bool {
    seg.known.is_some() || (!seg.data.is_empty() && head::looks_like_response(seg.data))
}
