//! Ends: of a direction, of the connection, and by silence.

use super::super::End;
use super::super::head;
use super::*;

impl Connection {
    /// When [`Connection::expire`] has something to do, ns.
    pub fn next_deadline(&self) -> Option<u64> {
        let silent = (self.answering && self.end_unseen()).then_some(self.last.1);
        let waiting = self.waiting.first().map(|w| w.segment.ts);
        [silent, waiting].into_iter().flatten().min().map(|ts| ts.saturating_add(IDLE_NS))
    }

    /// Ends a response whose end cannot be seen once nothing has come for [`IDLE_NS`].
    pub fn expire(&mut self, now: u64, out: &mut Vec<Exchange>) {
        let due = |ts: u64| ts.saturating_add(IDLE_NS) <= now;
        if self.waiting.first().is_some_and(|w| due(w.segment.ts)) && !self.cut_head(now, out) {
            self.drop_waiting();
        }
        if self.answering && self.end_unseen() && due(self.last.1) {
            let body = matches!(self.response.state, State::Close).then_some(self.response_body);
            self.response.state = State::Lost;
            self.response_done(Outcome::Complete, self.last.1, body, out);
        }
    }

    /// A direction ended, as the watched process saw it: the peer's stream at its end, an error, or its own doing.
    pub fn end(&mut self, dir: Dir, how: End, ts: u64, out: &mut Vec<Exchange>) {
        match (dir, how) {
            // A client may end its stream and still wait for the answer.
            (Dir::Request, End::Fin) => self.peer_fin |= self.server,
            (Dir::Request, End::OwnClose) => {}
            // The server has sent all it will.
            (Dir::Response, End::Fin) if self.server => self.close(End::OwnClose, ts, out),
            _ => self.close(how, ts, out),
        }
    }

    /// The connection is gone: everything open ends.
    pub fn close(&mut self, how: End, ts: u64, out: &mut Vec<Exchange>) {
        if self.tunnel || self.garbage.is_some() {
            return;
        }
        let unseen = self.take_final_counts(out);
        // A head that never ended: what is there of it names the request.
        self.cut_head(ts, out);
        if self.tunnel || self.garbage.is_some() {
            return;
        }
        let how = if how == End::OwnClose && self.peer_fin { End::Fin } else { how };
        // A response whose record the kernel half held back until then has been told by an own close, and only by that.
        self.gap |= unseen && how == End::OwnClose;
        if self.answering {
            let natural = match &self.response.state {
                State::Close => how == End::Fin || (how == End::OwnClose && self.server),
                _ => self.may_have_ended(),
            };
            let (outcome, end) = match natural {
                true => (Outcome::Complete, self.last.1),
                // Its end may be among bytes that went by unseen.
                false if self.gap => (Outcome::Lost, ts),
                false => (outcome_of(how), ts),
            };
            let body = match &self.response.state {
                State::Chunked(c) => c.body(),
                State::Unframed => None,
                _ => Some(self.response_body),
            };
            self.response_done(outcome, end, body, out);
        } else if matches!(self.response.state, State::Head) {
            self.answer_with_part_of_a_head();
        }
        // What went by unseen may have been the answer.
        let outcome = if self.gap { Outcome::Lost } else { outcome_of(how) };
        while !self.open.is_empty() {
            self.response_done(outcome, ts, None, out);
        }
        for half in [&mut self.request, &mut self.response] {
            half.state = State::Lost;
            half.head = Vec::new();
        }
        self.waiting = Vec::new();
    }

    /// What the final counts tell of bytes that went by unseen; `true` when the answer to what is open may have been
    /// among them.
    fn take_final_counts(&mut self, out: &mut Vec<Exchange>) -> bool {
        if self.request.next.is_some_and(|next| next < self.final_request.0) {
            if matches!(self.request.state, State::Head) && head::is_request(&self.request.head) {
                out.push(self.lost_head());
                self.request.state = State::Lost;
                self.request.clear_head();
            }
            self.request_gap |= !self.request_is_counted();
        }
        let (pos, ts) = self.final_response;
        let Some(unseen) = self.response.next.and_then(|next| pos.checked_sub(next)).filter(|n| *n > 0)
        else {
            return false;
        };
        match self.response.state {
            State::Start | State::Lost => return true,
            State::Head | State::Fixed(_) => {
                self.first_is_lost(out);
                self.lose_response();
                return true;
            }
            State::Close | State::Unframed | State::Chunked(_) => {}
        }
        let asked = self.request_gap || (self.request_is_counted() && self.may_have_ended());
        if self.answering && self.ended_before(self.response.next, pos, asked) {
            self.ends_before_next(out);
        }
        if !self.answering || asked {
            return true;
        }
        if let State::Chunked(c) = &mut self.response.state {
            c.missing(unseen);
        }
        self.add_body(Dir::Response, unseen);
        self.last = (pos, ts);
        false
    }

    /// A response that ends within its head has a status when its first line is there.
    fn answer_with_part_of_a_head(&mut self) {
        if let (Ok(Some((status, ..))), Some(Open { x, .. })) =
            (head::response(&self.response.head, true), self.open.front_mut())
            && status >= 200
        {
            x.status = Some(status);
            x.response_start = self.response.begin.ts.max(x.request_start);
            x.response_exec = self.response.begin.exec;
            x.head_truncated = true;
        }
    }

    /// Takes what there is of a request's head, of which no more will come or is of interest; `false` when there is
    /// not enough of it.
    pub(super) fn cut_head(&mut self, ts: u64, out: &mut Vec<Exchange>) -> bool {
        if !matches!(self.request.state, State::Head) || !head::is_request(&self.request.head) {
            return false;
        }
        let bytes = std::mem::take(&mut self.request.head);
        let Begin { pos, exec, blocking, .. } = self.request.begin;
        let at = HeadEnd {
            pos: pos + bytes.len() as u64,
            ts,
            exec,
            blocking,
            cut: true,
            brief: false,
            counted: false,
        };
        self.read_request(&bytes, &at, out);
        true
    }

    /// A response whose end cannot be seen ended before the next request begins.
    pub(super) fn end_unframed(&mut self, other: Option<(u64, u64)>, out: &mut Vec<Exchange>) {
        let unseen = other.is_some_and(|(pos, _)| pos > self.last.0);
        let ended = self.may_have_ended()
            || (unseen && matches!(self.response.state, State::Chunked(c) if !c.counted()));
        if !(ended && self.answering && self.open.len() == 1) {
            return;
        }
        let (outcome, end) = match other {
            // Its last bytes went by unseen, or those of an exchange of which nothing was seen.
            Some((_, ts)) if unseen && !self.request_gap => (Outcome::Complete, ts.max(self.last.1)),
            _ if unseen && !self.may_have_ended() => (Outcome::Lost, self.last.1),
            _ => (Outcome::Complete, self.last.1),
        };
        self.response.state = State::Lost;
        self.gap = false;
        self.response_done(outcome, end, None, out);
    }

    /// Whether the end of the response under way may go by unseen.
    fn end_unseen(&self) -> bool {
        match &self.response.state {
            State::Close | State::Unframed => true,
            State::Chunked(c) => c.blind(),
            _ => false,
        }
    }
}

fn outcome_of(how: End) -> Outcome {
    match how {
        End::Fin => Outcome::PeerClosed,
        End::Reset => Outcome::PeerReset,
        End::Timeout => Outcome::TimedOut,
        End::OwnClose => Outcome::OwnClose,
    }
}
