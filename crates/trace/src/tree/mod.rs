//! Requests on their way to being spans: which belong together, and whether they are kept.
//!
//! A request is a node from the end of its head on. Its other end, when that is on this host, and the request that its
//! thread was serving make a tree of it. A tree leaves when its root has ended; until then its spans wait, within the
//! bounds below. Nodes are opened and ended in the order of the records; everything is decided at the end of a turn,
//! when all rings have been read, because records of two connections may come in any order.

mod join;
mod judge;
mod link;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;
use slotmap::{Key, KeyData, SlotMap};
use smallvec::SmallVec;
use telegen_model::{Resource, SpanId, Str, TraceId};
use telegen_wire::context::TraceContext;

use crate::ids::Ids;
use crate::red::Side;
use crate::sample::Sampling;
use crate::shape::Shape;

pub(crate) use join::Place;
pub(crate) use judge::{Answer, Reason};
use judge::{Call, Habit, Served, judge};
pub(crate) use link::Found;
use link::{Link, names_trace};

/// Requests at most that are open or wait; a new one beyond is a span by itself.
const NODES_MAX: usize = 65_536;
/// Ended requests at most that wait for their tree; the oldest beyond leaves as it is.
const WAITING_MAX: usize = 8192;
/// Turns that a request waits at least, for records of its other end.
const TURNS: u64 = 2;
/// How long an ended request waits for its parent's end at most, ns.
const WINDOW_NS: u64 = 10_000_000_000;
/// How long a root waits for the ends of the requests below it, ns.
const GRACE_NS: u64 = 500_000_000;
/// How often requests that wait for others are looked at, ns: turns are shorter when there is much to do.
const LOOK_NS: u64 = 20_000_000;
/// Threads at most of which the last request is known.
const THREADS_MAX: usize = 65_536;
/// Requests at most that a thread is known to have read and not answered; one beyond stands in a crowd.
const OPEN_MAX: usize = 4;
/// Processes at most whose habit is known.
const HABITS_MAX: usize = 32_768;
/// Links between a node and the root that are followed.
const DEPTH_MAX: usize = 64;

slotmap::new_key_type! { struct Id; }

/// A request whose head was read.
pub(crate) struct Opened<'a> {
    pub(crate) side: Side,
    pub(crate) cookie: u64,
    /// Process in the upper half, thread in the lower: who moved the end of the head.
    pub(crate) exec: u64,
    pub(crate) token: u64,
    pub(crate) caller: u64,
    /// First byte, end of the head: monotonic ns.
    pub(crate) start: u64,
    pub(crate) head_end: u64,
    pub(crate) blocking: bool,
    pub(crate) context: Option<&'a Arc<TraceContext>>,
    pub(crate) place: Place,
    /// Hash of method and target.
    pub(crate) head: u64,
}

/// A request that has ended. Times are monotonic: a clock that was set meanwhile must not tear a tree apart.
pub(crate) struct Finished {
    /// What it has in common with others.
    pub(crate) shape: Arc<Shape>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) request_body: Option<u64>,
    pub(crate) response_body: Option<u64>,
    /// An exemplar is wanted.
    pub(crate) exemplar: bool,
    /// How long it took as it was measured, ns.
    pub(crate) nanos: u64,
    /// Its response was seen to the end.
    pub(crate) complete: bool,
}

/// A span that leaves.
pub(crate) struct Ready<'a> {
    pub(crate) request: &'a Finished,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent_id: SpanId,
    pub(crate) trace_state: &'a Str,
    pub(crate) flags: u32,
    /// How its parent was found.
    pub(crate) found: Found,
}

/// What a tree decided for a node that was still open.
#[derive(Clone, Debug)]
struct Decision {
    trace_id: TraceId,
    parent: SpanId,
    keep: Keep,
}

/// Whether a tree's spans are kept.
#[derive(Clone, Debug)]
struct Keep {
    /// Why not.
    discard: Option<&'static str>,
    state: Str,
}

/// What is needed of an end that has left to tell the edge once the other leaves.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    pub(crate) shape: Arc<Shape>,
    pub(crate) nanos: u64,
}

impl Gone {
    fn of(f: &Finished) -> Gone {
        Gone { shape: f.shape.clone(), nanos: f.nanos }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.nanos as f64 / 1e9
    }

    /// The edge of which only this end is known.
    fn alone(self, side: Side) -> Edge {
        match side {
            Side::Server => Edge { client: None, server: Some(self) },
            Side::Client => Edge { client: Some(self), server: None },
        }
    }
}

/// What a thread has read.
#[derive(Default)]
struct Reader {
    /// The two requests that it read last, for calls whose records come late.
    last: [Id; 2],
    /// Requests that may be open.
    open: [Id; OPEN_MAX],
}

/// Most requests have one or two, or none.
type Children = SmallVec<[Id; 2]>;

struct Node {
    side: Side,
    cookie: u64,
    start: u64,
    served: Served,
    /// Requests of other connections that its thread held open when it read this one.
    beside: Option<Box<[Id; OPEN_MAX]>>,
    place: Place,
    head: u64,
    token: u64,
    caller: u64,
    link: Link,
    reason: Option<Reason>,
    /// The other end, whether or not it is the parent.
    other: Option<Id>,
    /// What the other end was, when it left first.
    left: Option<Gone>,
    children: Children,
    span_id: SpanId,
    header: Option<Arc<TraceContext>>,
    decision: Option<Box<Decision>>,
    /// The turn in which it was read; of a call that found no other end, in which it ended.
    turn: u64,
    done: Option<Finished>,
}

/// What leaves.
pub(crate) enum Left<'a> {
    /// A kept span, and the exemplar that it may be.
    Span(Ready<'a>),
    /// A span that is not kept, with the reason.
    Discarded(&'static str),
    /// A request between two services.
    Edge(Edge),
    /// A call without a parent, of the service instance with this resource.
    Unlinked(&'a Arc<Resource>, Reason),
}

/// Takes what leaves.
pub(crate) trait Leave {
    /// Takes one.
    fn take(&mut self, left: Left<'_>);
}

/// One request between two services: its ends that were seen.
pub(crate) struct Edge {
    pub(crate) client: Option<Gone>,
    pub(crate) server: Option<Gone>,
}

impl Edge {
    /// Client and server. An end that was not seen has the name that the other one has for it.
    pub(crate) fn names(&self) -> (&Str, &Str) {
        const NOBODY: &Str = &Str::const_new("");
        match (&self.client, &self.server) {
            (Some(client), Some(server)) => (&client.shape.service, &server.shape.service),
            (Some(client), None) => (&client.shape.service, &client.shape.peer),
            (None, Some(server)) => (&server.shape.peer, &server.shape.service),
            (None, None) => (NOBODY, NOBODY),
        }
    }

    /// A failure is what the server says, where it was seen.
    pub(crate) fn failed(&self) -> bool {
        self.server.as_ref().or(self.client.as_ref()).is_some_and(|end| end.shape.failed)
    }

    /// Whether two requests are counted together: the same services, and the same ends seen.
    pub(crate) fn is_between_the_same(&self, other: &Edge) -> bool {
        fn same(a: Option<&Gone>, b: Option<&Gone>) -> bool {
            match (a, b) {
                (Some(a), Some(b)) => a.shape.is_of_the_same(&b.shape),
                (None, None) => true,
                _ => false,
            }
        }
        same(self.client.as_ref(), other.client.as_ref()) && same(self.server.as_ref(), other.server.as_ref())
    }
}

/// What was given up, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lapses {
    /// Requests that found no room to be linked.
    pub(crate) no_room: u64,
    /// Ends that came when the other had left.
    pub(crate) late: u64,
    /// Requests with more than one possible other end.
    pub(crate) ambiguous: u64,
}

/// All requests that are open or wait.
pub(crate) struct Trees {
    nodes: SlotMap<Id, Node>,
    sent: join::Sent<Id>,
    /// Requests read lately whose other end may still be told.
    unjoined: Vec<Id>,
    /// Requests that are still open and whose other end was not told in time: a sender that is not scheduled for long tells
    /// of it late.
    read: join::Sent<Id>,
    /// Requests sent lately whose thread's request may still be told.
    uncalled: Vec<Id>,
    /// Requests that have ended and were read long enough ago to leave; most need no other to do so.
    ended: Vec<Id>,
    /// Requests that have ended and wait for records of their other end, by the turn in which they may leave.
    young: [Vec<Id>; TURNS as usize + 1],
    /// Requests that ended before and wait for others, oldest first.
    waiting: VecDeque<Id>,
    /// When those were looked at, monotonic ns.
    looked: u64,
    threads: HashMap<u64, Reader, RandomState>,
    habits: HashMap<u32, Habit, RandomState>,
    /// Processes that have ended, with the time, oldest first: their last calls may still be judged.
    gone: VecDeque<(u64, u32)>,
    /// Of the last turn, monotonic ns.
    now: u64,
    /// Edges whose other end was lost after the first had left.
    owed: Vec<Edge>,
    turn: u64,
    ids: Ids,
    sampling: Sampling,
    /// Of the tree that leaves: its requests and their parents. Empty between.
    leaving: (Vec<Id>, Vec<SpanId>),
    pub(crate) lapses: Lapses,
}

impl Trees {
    pub(crate) fn new(sampling: Sampling) -> Trees {
        Trees {
            nodes: SlotMap::with_key(),
            sent: join::Sent::new(),
            unjoined: Vec::new(),
            read: join::Sent::new(),
            uncalled: Vec::new(),
            ended: Vec::new(),
            young: Default::default(),
            waiting: VecDeque::new(),
            looked: 0,
            threads: HashMap::default(),
            habits: HashMap::default(),
            gone: VecDeque::new(),
            now: 0,
            owed: Vec::new(),
            turn: 0,
            ids: Ids::new(),
            sampling,
            leaving: Default::default(),
            lapses: Lapses::default(),
        }
    }

    /// From now on trees that leave are judged by this.
    pub(crate) fn set_sampling(&mut self, sampling: Sampling) {
        self.sampling = sampling;
    }

    /// Requests that are open or wait.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A process has ended. What it did wrong counts until its last calls have been judged.
    pub(crate) fn exit(&mut self, pid: u32) {
        if self.habits.contains_key(&pid) {
            self.exec(pid);
            self.gone.push_back((self.now, pid));
        }
    }

    /// A process runs another program: what was proven of the old one proves nothing of it.
    pub(crate) fn exec(&mut self, pid: u32) {
        if let Some(habit) = self.habits.get_mut(&pid) {
            habit.proven = 0;
        }
    }

    /// Takes a request whose head was read; gives what to call it by, 0 where there is no room.
    pub(crate) fn open(&mut self, o: &Opened<'_>) -> u64 {
        if self.nodes.len() >= NODES_MAX {
            self.lapses.no_room += 1;
            return 0;
        }
        let header = o.context.cloned();
        let id = self.nodes.insert(Node {
            side: o.side,
            cookie: o.cookie,
            start: o.start,
            served: Served {
                exec: o.exec,
                head_end: o.head_end,
                blocking: o.blocking,
                overlap: None,
                shared: false,
                answer: None,
            },
            beside: None,
            place: o.place,
            head: o.head,
            token: o.token,
            caller: o.caller,
            link: Link::of(header.as_deref()),
            reason: None,
            other: None,
            left: None,
            children: Children::new(),
            span_id: self.ids.span(),
            header,
            decision: None,
            turn: self.turn,
            done: None,
        });
        match o.side {
            Side::Server => {
                self.thread_reads(id, o);
                self.unjoined.push(id);
            }
            Side::Client => {
                self.sent.insert(o.place, id);
                if !self.read.is_empty() {
                    let late = self.read.candidates(o.place).to_vec();
                    late.iter().for_each(|server| self.forget_read(*server));
                    self.unjoined.extend(late);
                }
                if o.caller == 0 {
                    self.unlinked(id, Reason::NoRequestOnThread);
                } else if !self.find_caller(id) {
                    self.uncalled.push(id);
                }
            }
        }
        id.data().as_ffi()
    }

    /// Takes the end of a request and how it was answered; `context` is the caller's where the request has no name.
    pub(crate) fn finish(
        &mut self,
        id: u64,
        context: Option<&Arc<TraceContext>>,
        answer: Answer,
        finished: Finished,
    ) {
        let mut id = Id::from(KeyData::from_ffi(id));
        let node = match self.nodes.get_mut(id) {
            Some(node) => node,
            None => {
                id = self.nodes.insert(Node::alone(context.cloned(), self.ids.span(), self.turn));
                &mut self.nodes[id]
            }
        };
        node.served.answer = Some(answer);
        node.done = Some(finished);
        if node.may_be_joined() {
            // What was called may be told of with its answer, and the record of that may be made after it was read.
            node.turn = self.turn;
        }
        let leaves = node.turn + TURNS;
        if node.side == Side::Server {
            let (pid, served) = ((node.served.exec >> 32) as u32, node.served);
            if let Some(habit) = self.habits.get_mut(&pid) {
                habit.learn(&served);
            } else if self.habits.len() < HABITS_MAX {
                self.habits.entry(pid).or_default().learn(&served);
            }
        }
        self.wait(id, leaves);
    }

    /// Keeps a request that has ended until the turn in which it may leave.
    fn wait(&mut self, id: Id, leaves: u64) {
        if leaves > self.turn + 1 {
            self.young[leaves as usize % (TURNS as usize + 1)].push(id);
        } else {
            self.ended.push(id);
        }
    }

    /// Requests that have ended and not left.
    fn stayed(&self) -> usize {
        self.ended.len() + self.waiting.len() + self.young.iter().map(Vec::len).sum::<usize>()
    }

    /// Forgets a request of which nothing sure can be said.
    pub(crate) fn lose(&mut self, id: u64) {
        let node = self.remove(Id::from(KeyData::from_ffi(id)));
        if let Some(Node { side, left: Some(other), .. }) = node {
            self.owed.push(other.alone(side.other()));
        }
    }

    /// Ends a turn: finds other ends and callers, and gives what need not wait any longer.
    pub(crate) fn turn(&mut self, now: u64, out: &mut impl Leave) {
        self.turn += 1;
        self.now = now;
        while let Some((_, pid)) = self.gone.pop_front_if(|(at, _)| now.saturating_sub(*at) > WINDOW_NS) {
            self.habits.remove(&pid);
        }
        let mut uncalled = std::mem::take(&mut self.uncalled);
        uncalled.retain(|id| {
            let open = !self.find_caller(*id) && self.may_wait(*id);
            if !open && self.nodes.get(*id).is_some_and(|n| n.link == Link::Root) {
                self.unlinked(*id, Reason::NoRequestOnThread);
            }
            open
        });
        self.uncalled = uncalled;
        let mut unjoined = std::mem::take(&mut self.unjoined);
        unjoined.retain(|id| {
            if self.join(*id) {
                return false;
            }
            if self.may_wait(*id) {
                return true;
            }
            if let Some(node) = self.nodes.get(*id).filter(|n| n.served.answer.is_none()) {
                self.read.insert(node.place, *id);
            }
            false
        });
        self.unjoined = unjoined;
        // So many leave as they are, the oldest first.
        let mut excess = (self.stayed() + 1).saturating_sub(WAITING_MAX);
        if excess > 0 || now.saturating_sub(self.looked) >= LOOK_NS {
            self.looked = now;
            for _ in 0..self.waiting.len() {
                let Some(id) = self.waiting.pop_front() else { break };
                if !self.try_leave(id, now, &mut excess, out) {
                    self.waiting.push_back(id);
                }
            }
        }
        let mut ended = std::mem::take(&mut self.ended);
        ended.append(&mut self.young[self.turn as usize % (TURNS as usize + 1)]);
        for id in ended.drain(..) {
            if !self.try_leave(id, now, &mut excess, out) {
                self.waiting.push_back(id);
            }
        }
        self.ended = ended;
        for after in 1..=TURNS {
            let young = &mut self.young[(self.turn + after) as usize % (TURNS as usize + 1)];
            for id in young.drain(..excess.min(young.len())).collect::<Vec<_>>() {
                if !self.try_leave(id, now, &mut excess, out) {
                    self.waiting.push_back(id);
                }
            }
        }
        self.owed.drain(..).for_each(|edge| out.take(Left::Edge(edge)));
    }

    /// Lets the tree of an ended request leave if it may, or must because there are too many; `false` when the request
    /// stays.
    fn try_leave(&mut self, id: Id, now: u64, excess: &mut usize, out: &mut impl Leave) -> bool {
        if let Some(ended) = self.nodes.get(id).and_then(|n| n.served.answer) {
            let root = self.root(id);
            if *excess > 0 || now.saturating_sub(ended.end) > WINDOW_NS || self.may_leave(root, now) {
                self.leave(root, out);
            }
            if *excess > 0 && root != id {
                // It was found to be no child of what has not ended.
                self.leave(id, out);
            }
        }
        let left = !self.nodes.contains_key(id);
        if left {
            *excess = excess.saturating_sub(1);
        }
        left
    }

    /// Gives everything that has ended, whatever it waits for.
    pub(crate) fn flush(&mut self, out: &mut impl Leave) {
        let all = self.waiting.drain(..).chain(self.ended.drain(..));
        let all: Vec<Id> = all.chain(self.young.iter_mut().flat_map(|ids| ids.drain(..))).collect();
        for id in all {
            if self.nodes.contains_key(id) {
                let root = self.root(id);
                self.leave(root, out);
                if root != id {
                    // It was found to be no child of what has not ended.
                    self.leave(id, out);
                }
            }
        }
        // What is still open will not be told of any more; its other end was.
        let open = self.nodes.values_mut().filter_map(|n| Some(n.left.take()?.alone(n.side.other())));
        open.chain(self.owed.drain(..)).for_each(|edge| out.take(Left::Edge(edge)));
    }

    fn forget_read(&mut self, id: Id) {
        if let Some(node) = self.nodes.get(id) {
            self.read.remove(node.place, id);
        }
    }

    fn may_wait(&self, id: Id) -> bool {
        self.nodes.get(id).is_some_and(|n| self.turn < n.turn + TURNS)
    }

    /// A thread is at another request than before.
    fn thread_reads(&mut self, id: Id, o: &Opened<'_>) {
        if self.threads.len() >= THREADS_MAX && !self.threads.contains_key(&o.exec) {
            // No event tells that a thread has ended: begin anew.
            self.threads.clear();
        }
        let reader = self.threads.entry(o.exec).or_default();
        reader.last = [id, reader.last[0]];
        let before = std::mem::take(&mut reader.open);
        let (mut beside, mut shared, mut open, mut n) = (None, false, [Id::null(); OPEN_MAX], 0);
        for other in before {
            let Some(b) = self.nodes.get_mut(other) else { continue };
            if b.served.answer.is_some_and(|a| a.end <= o.start) {
                continue;
            }
            if b.cookie == o.cookie {
                // The client did not wait for the answer: of what the thread then does nobody knows for which.
                b.served.shared = true;
                shared = true;
            } else {
                b.served.overlap = Some(b.served.overlap.unwrap_or(u64::MAX).min(o.start));
                beside.get_or_insert_with(|| Box::new([Id::null(); OPEN_MAX]))[n] = other;
            }
            open[n] = other;
            n += 1;
        }
        match open.get_mut(n) {
            Some(free) => *free = id,
            None => shared = true,
        }
        reader.open = open;
        if n > 0
            && let Some(node) = self.nodes.get_mut(id)
        {
            node.served.shared = shared;
            node.beside = beside;
        }
    }

    /// Whether a thread held a request of another connection besides the one that it read last, when it made a call.
    fn held_another(&self, request: Id, call: Id) -> bool {
        let (Some(request), Some(call)) = (self.nodes.get(request), self.nodes.get(call)) else {
            return false;
        };
        let others = request.beside.iter().flat_map(|b| b.iter());
        // One that has left told the habits whether it was open.
        others
            .filter_map(|id| self.nodes.get(*id))
            .any(|o| o.served.answer.is_none_or(|a| a.end > call.start))
    }

    /// Looks for the request that a call's thread had read last; `true` when there is nothing more to look for.
    fn find_caller(&mut self, id: Id) -> bool {
        let Some(node) = self.nodes.get(id) else { return true };
        if node.link != Link::Root || node.reason.is_some() {
            return true;
        }
        let caller = node.caller;
        let Some(last) = self.threads.get(&node.served.exec) else { return false };
        let parent =
            last.last.iter().copied().find(|p| self.nodes.get(*p).is_some_and(|p| p.token == caller));
        let Some(parent) = parent else { return false };
        // It was answered before: so they do not wait for one another, over ever more requests of the same thread.
        let answered = self.nodes[parent].served.answer.is_some_and(|a| a.end < self.nodes[id].start);
        if answered {
            self.unlinked(id, Reason::NoRequestOnThread);
        } else {
            self.adopt(id, parent, Link::Candidate(parent));
        }
        true
    }

    /// Looks for the other end of a request that was read; `true` when there is nothing more to look for.
    fn join(&mut self, id: Id) -> bool {
        if self.sent.is_empty() {
            return false;
        }
        let Some(node) = self.nodes.get(id) else { return true };
        let read = node.as_side();
        let (mut same, mut alike) = (None, None);
        let (mut several_same, mut several_alike) = (false, false);
        for sent in self.sent.candidates(node.place) {
            let Some(s) = self.nodes.get(*sent) else { continue };
            // One that was answered before this one was read is another.
            let ended = s.served.answer.is_some_and(|a| a.end < node.start);
            let side = s.as_side();
            if s.other.is_some() || ended || s.cookie == node.cookie || !join::fits(&side, &read) {
                continue;
            }
            if join::same_byte(&side, &read) {
                several_same |= same.replace(*sent).is_some();
            } else if s.start <= node.start {
                several_alike |= alike.replace(*sent).is_some();
            }
        }
        if several_same || (same.is_none() && several_alike) {
            self.lapses.ambiguous += 1;
            return true;
        }
        let Some(client) = same.or(alike) else { return false };
        let unix = matches!(node.place, Place::Unix { .. });
        self.nodes[id].other = Some(client);
        self.nodes[client].other = Some(id);
        // What the application said of its trace stands alone.
        if !names_trace(self.nodes[client].header.as_deref()) {
            self.adopt(id, client, if unix { Link::Unix(client) } else { Link::Seq(client) });
        }
        true
    }

    fn adopt(&mut self, id: Id, parent: Id, link: Link) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        // What has been told of it already cannot be taken back.
        if node.link != Link::Root || node.decision.is_some() {
            return;
        }
        node.link = link;
        if let Some(p) = self.nodes.get_mut(parent) {
            p.children.push(id);
        }
    }

    fn unlinked(&mut self, id: Id, reason: Reason) {
        if let Some(node) = self.nodes.get_mut(id)
            && node.link != Link::Header
        {
            node.link = Link::Root;
            node.reason = Some(reason);
        }
    }

    /// The root of a node's tree as far as it is known. A parent that is gone is none, nor is one too far up.
    fn root(&mut self, id: Id) -> Id {
        let mut at = id;
        for depth in 0..=DEPTH_MAX {
            let Some(node) = self.nodes.get(at) else { break };
            if node.decision.is_some() {
                break;
            }
            let Some(parent) = node.link.parent() else { break };
            if depth == DEPTH_MAX || !self.nodes.contains_key(parent) {
                match node.link {
                    Link::Candidate(_) => self.unlinked(at, Reason::Late),
                    _ => {
                        self.lapses.late += 1;
                        self.nodes[at].link = Link::Root;
                    }
                }
                break;
            }
            at = parent;
        }
        at
    }

    fn may_leave(&self, root: Id, now: u64) -> bool {
        let Some(node) = self.nodes.get(root) else { return true };
        if node.decision.is_some() {
            return true;
        }
        let Some(answer) = node.served.answer else { return false };
        if self.turn < node.turn + TURNS {
            return false;
        }
        let all_ended = node.children.is_empty() || self.all_ended(root);
        all_ended || now.saturating_sub(answer.end) > GRACE_NS
    }

    fn all_ended(&self, root: Id) -> bool {
        let mut stack = Children::from_slice(&[root]);
        while let Some(id) = stack.pop() {
            let Some(node) = self.nodes.get(id) else { continue };
            if node.done.is_none() || (node.may_be_joined() && self.turn < node.turn + TURNS) {
                return false;
            }
            stack.extend(node.children.iter().copied().filter(|c| self.is_child(*c, id)));
        }
        true
    }

    fn is_child(&self, id: Id, parent: Id) -> bool {
        self.nodes.get(id).is_some_and(|n| n.link.parent() == Some(parent))
    }

    /// Decides about the calls of a request, and adds those that are its children for sure.
    fn children(&mut self, id: Id, sure: &mut Vec<Id>) {
        for child in std::mem::take(&mut self.nodes[id].children) {
            if !self.is_child(child, id) {
                continue;
            }
            if let Link::Candidate(_) = self.nodes[child].link {
                let mut served = self.nodes[id].served;
                served.shared |= self.held_another(id, child);
                let call = self.nodes[child].as_call();
                let habit = self.habits.get(&((served.exec >> 32) as u32)).copied().unwrap_or_default();
                match judge(&call, &served, &habit) {
                    Ok(confidence) => self.nodes[child].link = Link::Thread(id, confidence),
                    Err(reason) => {
                        self.unlinked(child, reason);
                        continue;
                    }
                }
            }
            sure.push(child);
        }
    }

    /// Lets a tree leave: what has ended is given, what is open learns what was decided.
    fn leave(&mut self, root: Id, out: &mut impl Leave) {
        let Some(node) = self.nodes.get(root) else { return };
        if node.children.is_empty() && node.decision.is_none() && node.done.is_some() {
            let (trace_id, parent) = self.head_of(root);
            let keep = self.keep(trace_id, root, &[root]);
            return self.depart(root, trace_id, parent, &keep, out);
        }
        let (mut all, mut parents) = std::mem::take(&mut self.leaving);
        // Parents come before their children.
        all.push(root);
        let mut at = 0;
        while at < all.len() {
            self.children(all[at], &mut all);
            at += 1;
        }
        let decided = self.nodes[root].decision.as_deref().cloned();
        let (trace_id, root_parent, keep) = match decided {
            Some(d) => (d.trace_id, d.parent, d.keep),
            None => {
                let (trace_id, parent) = self.head_of(root);
                (trace_id, parent, self.keep(trace_id, root, &all))
            }
        };
        parents.extend(all.iter().map(|id| {
            let parent = self.nodes[*id].link.parent().filter(|_| *id != root);
            parent.and_then(|p| self.nodes.get(p)).map_or(root_parent, |p| p.span_id)
        }));
        for id in &all {
            self.order_ends(*id);
        }
        for (id, parent) in all.drain(..).zip(parents.drain(..)) {
            if self.nodes[id].done.is_some() {
                self.depart(id, trace_id, parent, &keep, out);
            } else {
                let decision = Decision { trace_id, parent, keep: keep.clone() };
                self.nodes[id].decision = Some(Box::new(decision));
            }
        }
        self.leaving = (all, parents);
    }

    /// Trace and parent of a root.
    fn head_of(&mut self, root: Id) -> (TraceId, SpanId) {
        match &self.nodes[root].header {
            Some(h) if h.names_trace() => (h.trace_id, h.span_id),
            _ => (self.ids.trace(), SpanId::ZERO),
        }
    }

    fn keep(&self, trace_id: TraceId, root: Id, all: &[Id]) -> Keep {
        let header = self.nodes[root].header.as_deref();
        let ended = all.iter().filter_map(|id| self.nodes.get(*id)?.done.as_ref());
        let (mut failed, mut nanos) = (false, 0);
        for f in ended {
            failed |= f.shape.failed;
            nanos = nanos.max(f.nanos);
        }
        let sampled = header.and_then(|h| h.sampled);
        let discard = self.sampling.discard(&trace_id, sampled, failed, nanos);
        let state = header.map(|h| h.state.clone()).unwrap_or_default();
        let state = if sampled.is_none() { self.sampling.state(&trace_id, state) } else { state };
        Keep { discard, state }
    }

    /// A byte was sent no later than it was received, whatever the order of the records.
    fn order_ends(&mut self, id: Id) {
        let Some(node) = self.nodes.get(id) else { return };
        let (Some(other), Side::Server) = (node.other, node.side) else { return };
        let Some([read, sent]) = self.nodes.get_disjoint_mut([id, other]) else { return };
        let (Some(read), Some(sent)) = (&mut read.done, &mut sent.done) else { return };
        if read.shape.without.is_some() || sent.shape.without.is_some() {
            return;
        }
        sent.start = sent.start.min(read.start);
        // Who gave up received no end: the server may have gone on.
        if sent.complete {
            read.end = read.end.min(sent.end).max(read.start);
        }
    }

    /// One request leaves.
    fn depart(&mut self, id: Id, trace_id: TraceId, parent_id: SpanId, keep: &Keep, out: &mut impl Leave) {
        let Some(mut node) = self.remove(id) else { return };
        let Some(request) = node.done.take() else { return };
        self.tell_edge(&mut node, &request, out);
        // A process that serves nothing has nothing to be linked to.
        let serves = || self.habits.contains_key(&((node.served.exec >> 32) as u32));
        let reason = node.reason.filter(|r| *r != Reason::NoRequestOnThread || serves());
        if let Some(reason) = reason {
            out.take(Left::Unlinked(&request.shape.instance, reason));
        }
        if let Some(why) = request.shape.without.or(keep.discard) {
            return out.take(Left::Discarded(why));
        }
        out.take(Left::Span(Ready {
            request: &request,
            trace_id,
            span_id: node.span_id,
            parent_id,
            trace_state: &keep.state,
            // Bit 0: sampled. Bits 8 and 9: whether the parent is known to be remote.
            flags: 1 | if node.link == Link::Header { 0x300 } else { 0x100 },
            found: Found::of(node.link, reason),
        }));
    }

    /// A request between two services is told once: by the end that leaves last, where both are seen.
    fn tell_edge(&mut self, node: &mut Node, f: &Finished, out: &mut impl Leave) {
        if f.shape.without == Some("otlp") {
            return;
        }
        let mine = Gone::of(f);
        let edge = match (node.left.take(), node.other.and_then(|id| self.nodes.get_mut(id))) {
            (Some(theirs), _) if node.side == Side::Server => {
                Edge { client: Some(theirs), server: Some(mine) }
            }
            (Some(theirs), _) => Edge { client: Some(mine), server: Some(theirs) },
            (None, Some(other)) => {
                other.left = Some(mine);
                return;
            }
            (None, None) => mine.alone(node.side),
        };
        out.take(Left::Edge(edge));
    }

    fn remove(&mut self, id: Id) -> Option<Node> {
        let node = self.nodes.remove(id)?;
        match node.side {
            Side::Client => self.sent.remove(node.place, id),
            Side::Server if !self.read.is_empty() => self.read.remove(node.place, id),
            Side::Server => {}
        }
        Some(node)
    }
}

impl Node {
    /// A request that found no room while it was open.
    fn alone(header: Option<Arc<TraceContext>>, span_id: SpanId, turn: u64) -> Node {
        Node {
            side: Side::Client,
            cookie: 0,
            start: 0,
            served: Served::default(),
            beside: None,
            place: Place::None,
            head: 0,
            token: 0,
            caller: 0,
            link: Link::of(header.as_deref()),
            reason: (!names_trace(header.as_deref())).then_some(Reason::NoRoom),
            other: None,
            left: None,
            children: Children::new(),
            span_id,
            header,
            decision: None,
            turn,
            done: None,
        }
    }

    /// Whether it is a call whose other end was not seen and may be.
    fn may_be_joined(&self) -> bool {
        self.side == Side::Client && self.other.is_none() && self.place != Place::None
    }

    fn as_side(&self) -> join::Side {
        join::Side { place: self.place, head: self.head, start: self.start }
    }

    fn as_call(&self) -> Call {
        Call { exec: self.served.exec, start: self.start, answer: self.served.answer }
    }
}
