//! A connection as user space knows it: who it is, and its records back in order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::Ipv6Addr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use slotmap::SlotMap;
use telegen_bpf::abi::{ConnRecord, DataRecord, EndRecord, ExchangeRecord, SAME_MAX};
use telegen_model::{ProcessKey, Str};
use telegen_sys::TICK_NS;
use telegen_wire::http1;

use crate::shape::Shape;
use crate::tree;
use crate::unread::Traffic;

/// Records of one connection at most that wait for an earlier one.
const HELD_MAX: usize = 64;
/// Connections at most that remember what they were asked last, which takes up to some KiB each. While there are more, the
/// others keep only [`SAME_MAX`] bytes that the kernel half may speak of.
const REMEMBERING_MAX: usize = 8192;
/// Connections looked at, most, for one that may forget.
const SPARED_MAX: usize = 8;

/// Ends of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Endpoints {
    /// `tcp`, `unix`.
    pub(crate) transport: &'static str,
    pub(crate) local: Str,
    pub(crate) local_port: u16,
    pub(crate) peer: Str,
    pub(crate) peer_port: u16,
    pub(crate) netns: u32,
    pub(crate) cookie: u64,
    pub(crate) peer_cookie: u64,
}

impl Endpoints {
    pub(crate) fn of(r: &ConnRecord) -> Endpoints {
        const AF_UNIX: u8 = 1;
        if r.family == AF_UNIX {
            let path = &r.path[..(r.path_len as usize).min(r.path.len())];
            // An abstract address begins with NUL, which tools print as '@'; a path may end with one.
            let path: Vec<u8> = match path {
                [0, rest @ ..] => [b"@", rest].concat(),
                _ => path.iter().copied().take_while(|b| *b != 0).collect(),
            };
            let path = Str::from(String::from_utf8_lossy(&path));
            return Endpoints {
                transport: "unix",
                local: path.clone(),
                peer: path,
                netns: r.netns,
                cookie: r.cookie,
                peer_cookie: r.peer_cookie,
                ..Endpoints::default()
            };
        }
        Endpoints {
            transport: if r.transport == 17 { "udp" } else { "tcp" },
            local: address(&r.laddr),
            local_port: r.lport,
            peer: address(&r.raddr),
            peer_port: r.rport,
            netns: r.netns,
            cookie: r.cookie,
            peer_cookie: r.peer_cookie,
        }
    }
}

/// Where a request that begins at `pos` stands, for finding its other end; `seq`: TCP's number of position 0.
pub(crate) fn place_of(ends: Option<&Endpoints>, seq: Option<u32>, pos: u64) -> tree::Place {
    match (ends, seq) {
        (Some(e), _) if e.transport == "unix" => {
            tree::Place::Unix { cookie: e.cookie, peer: e.peer_cookie, pos }
        }
        (Some(e), Some(base)) => tree::Place::Tcp {
            // Positions and sequence numbers move together; the latter wrap.
            seq: base.wrapping_add(pos as u32),
            local: e.local_port,
            peer: e.peer_port,
        },
        _ => tree::Place::None,
    }
}

/// Text of an address; IPv4 in its own form however it was carried.
fn address(bytes: &[u8; 16]) -> Str {
    let v6 = Ipv6Addr::from(*bytes);
    match v6.to_ipv4_mapped() {
        Some(v4) => compact(&v4),
        None => compact(&v6),
    }
}

fn compact(value: &dyn std::fmt::Display) -> Str {
    use std::fmt::Write;
    let mut s = Str::default();
    // Writing to a string cannot fail.
    let _ignored = write!(s, "{value}");
    s
}

/// A record that can wait.
pub(crate) enum Held {
    Data(DataRecord, Vec<u8>),
    Exchange(ExchangeRecord),
    End(EndRecord),
    /// A record of which only the number matters.
    Passed(u32, u32),
}

impl Held {
    fn number(&self) -> u32 {
        match self {
            Held::Data(r, _) => r.record,
            Held::Exchange(r) => r.record,
            Held::End(r) => r.record,
            Held::Passed(n, _) => *n,
        }
    }

    fn lost(&self) -> u32 {
        match self {
            Held::Data(r, _) => r.lost,
            Held::Exchange(r) => r.lost,
            Held::End(r) => r.lost,
            Held::Passed(_, l) => *l,
        }
    }
}

/// Where a record stands in the order of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the next.
    Next,
    /// It is the next, and records before it are known to be lost.
    AfterGap,
    /// An earlier one may still come.
    Early,
    /// It comes after a gap was declared in its place.
    Late,
}

slotmap::new_key_type! {
    /// A connection, for as long as it is known.
    pub(crate) struct ConnId;
}

/// The connections that are known.
#[derive(Default)]
pub(crate) struct Conns {
    by_cookie: HashMap<u64, ConnId, RandomState>,
    all: SlotMap<ConnId, Conn>,
    /// Those of them that are unix sockets.
    unix: HashSet<ConnId, RandomState>,
    /// In the order they came, some of them gone: who makes room first, unless it is read.
    came: VecDeque<ConnId>,
    /// How many made room, since that was last taken.
    made_room: u64,
    /// Those that remember, the next that may have to forget in front; some may be gone.
    remembering: VecDeque<ConnId>,
}

impl Conns {
    /// The connection with a cookie, made where it is not known; nothing when it would be one beyond `max`. Where it would,
    /// the oldest that is not read makes room: those that only count bytes may be many, and short.
    pub(crate) fn enter(&mut self, cookie: u64, now: u64, max: usize) -> Option<ConnId> {
        if let Some(id) = self.by_cookie.get(&cookie) {
            return Some(*id);
        }
        while self.all.len() >= max {
            let first = self.came.pop_front()?;
            if self.all.get(first).is_some_and(|c| c.http.is_none() && c.last_head.is_none()) {
                self.remove(first);
                self.made_room += 1;
            }
        }
        let id = self.all.insert(Conn::new(cookie, now));
        self.by_cookie.insert(cookie, id);
        if self.came.len() > 2 * self.all.len() + 1024 {
            self.came.retain(|id| self.all.contains_key(*id));
        }
        self.came.push_back(id);
        Some(id)
    }

    /// How many made room for another, since this was last asked.
    pub(crate) fn take_made_room(&mut self) -> u64 {
        std::mem::take(&mut self.made_room)
    }

    pub(crate) fn find(&self, cookie: u64) -> Option<ConnId> {
        self.by_cookie.get(&cookie).copied()
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.all.get_mut(id)
    }

    pub(crate) fn remove(&mut self, id: ConnId) {
        if let Some(conn) = self.all.remove(id) {
            self.by_cookie.remove(&conn.cookie);
            self.unix.remove(&id);
        }
    }

    /// Takes the word of who a connection is.
    pub(crate) fn introduce(&mut self, id: ConnId, r: &ConnRecord) {
        let Some(conn) = self.all.get_mut(id) else { return };
        conn.introduce(r);
        if conn.ends.as_ref().is_some_and(|e| e.transport == "unix") {
            self.unix.insert(id);
        }
    }

    /// The unix sockets among them.
    pub(crate) fn unix(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.unix.iter().filter_map(|id| Some((*id, self.all.get(*id)?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are more than can remember.
    pub(crate) fn are_many(&self) -> bool {
        self.all.len() > REMEMBERING_MAX
    }

    /// A connection remembers what it was asked last; another that was not asked the same lately may have to forget.
    pub(crate) fn remember(&mut self, id: ConnId, shape: Arc<Shape>) {
        let Some(conn) = self.all.get_mut(id) else { return };
        conn.shape = Some(shape);
        if std::mem::replace(&mut conn.remembers, true) {
            return;
        }
        let mut spared = 0;
        while self.remembering.len() >= REMEMBERING_MAX {
            let Some(first) = self.remembering.pop_front() else { break };
            let Some(conn) = self.all.get_mut(first) else { continue };
            if spared < SPARED_MAX && std::mem::take(&mut conn.asked_again) {
                spared += 1;
                self.remembering.push_back(first);
            } else {
                conn.remembers = false;
                conn.forget_most();
            }
        }
        self.remembering.push_back(id);
    }

    /// Those without a record since `then` forget what they were asked last.
    pub(crate) fn forget(&mut self, then: u64) {
        self.all.values_mut().filter(|c| c.seen < then).for_each(Conn::forget);
    }

    /// Every connection, to change it.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Conn> {
        self.all.values_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.all.iter()
    }

    pub(crate) fn clear(&mut self) {
        self.by_cookie.clear();
        self.all.clear();
        self.unix.clear();
        self.came.clear();
        self.remembering.clear();
    }
}

/// One connection.
pub(crate) struct Conn {
    pub(crate) cookie: u64,
    pub(crate) ends: Option<Endpoints>,
    pub(crate) owner: ProcessKey,
    /// How often its ends and its owner were told.
    pub(crate) introduced: u32,
    pub(crate) http: Option<Box<http1::Connection>>,
    /// The head that was read last, while there is no `http`.
    pub(crate) last_head: Option<http1::LastHead>,
    /// What it speaks, once a sample named it.
    pub(crate) traffic: Option<Traffic>,
    pub(crate) unread: u64,
    pub(crate) is_server: bool,
    pub(crate) seen: u64,
    pub(crate) deadline: u64,
    /// A unix socket that was found closed: when; else 0.
    pub(crate) missing: u64,
    pub(crate) proxy_done: bool,
    /// `client.address` told by a PROXY protocol prefix.
    pub(crate) proxied: Option<(Str, u16)>,
    /// TCP sequence number of position 0 of the request direction, once one was told.
    pub(crate) seq: Option<u32>,
    /// What the last request that ended says.
    pub(crate) shape: Option<Arc<Shape>>,
    /// It was asked the same again, since that was last looked at.
    pub(crate) asked_again: bool,
    /// It is among those that remember.
    remembers: bool,
    expected: u32,
    lost: u32,
    held: Vec<Held>,
}

impl Conn {
    pub(crate) fn new(cookie: u64, now: u64) -> Conn {
        Conn {
            cookie,
            ends: None,
            owner: ProcessKey { pid: 0, start: 0 },
            introduced: 0,
            http: None,
            last_head: None,
            traffic: None,
            unread: 0,
            is_server: false,
            seen: now,
            deadline: 0,
            missing: 0,
            proxy_done: false,
            proxied: None,
            seq: None,
            shape: None,
            asked_again: false,
            remembers: false,
            expected: 0,
            lost: 0,
            held: Vec::new(),
        }
    }

    /// Whether it may remember what it is asked.
    pub(crate) fn remembers(&self) -> bool {
        self.remembers
    }

    /// Forgets what the last request that ended says, and what it was asked last where that takes much.
    pub(crate) fn forget_most(&mut self) {
        self.shape = None;
        if let Some(http) = &mut self.http {
            http.forget_long(SAME_MAX);
        }
    }

    /// Forgets what it was asked last.
    pub(crate) fn forget(&mut self) {
        self.shape = None;
        self.last_head = None;
        if let Some(http) = &mut self.http {
            http.forget();
        }
    }

    fn introduce(&mut self, r: &ConnRecord) {
        self.ends = Some(Endpoints::of(r));
        self.introduced = self.introduced.wrapping_add(1);
        self.owner = ProcessKey { pid: r.tgid, start: r.start / TICK_NS };
    }

    /// Decides on a record by its number and the number of records lost before it.
    pub(crate) fn place(&mut self, number: u32, lost: u32) -> Place {
        let ahead = number.wrapping_sub(self.expected);
        if ahead > u32::MAX / 2 {
            return Place::Late;
        }
        let missing = lost.wrapping_sub(self.lost);
        if ahead > missing {
            return Place::Early;
        }
        self.expected = number.wrapping_add(1);
        self.lost = lost;
        if ahead > 0 { Place::AfterGap } else { Place::Next }
    }

    /// Keeps a record that is early; `true` when no more can be kept.
    pub(crate) fn hold(&mut self, held: Held) -> bool {
        // A request that was told of alone is told of with its response as well, and that says more.
        match self.held.iter_mut().find(|h| h.number() == held.number()) {
            Some(Held::Exchange(_)) => {}
            Some(other) => *other = held,
            None => self.held.push(held),
        }
        self.held.len() >= HELD_MAX
    }

    /// Whether the kernel half had no room for some of its records.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost > 0
    }

    /// Whether any record waits for an earlier one.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// The held record that is next in order, if any.
    pub(crate) fn next_held(&mut self) -> Option<Held> {
        let at = self.held.iter().position(|h| {
            let ahead = h.number().wrapping_sub(self.expected);
            ahead <= h.lost().wrapping_sub(self.lost)
        })?;
        Some(self.held.swap_remove(at))
    }

    /// Gives up waiting: the earliest held record is taken as the next.
    pub(crate) fn force_held(&mut self) -> Option<Held> {
        let at = (0..self.held.len()).min_by_key(|i| self.held[*i].number().wrapping_sub(self.expected))?;
        let held = self.held.swap_remove(at);
        self.expected = held.number();
        self.lost = held.lost();
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::tests::shape;

    #[test]
    fn records_out_of_order_wait_and_lost_ones_do_not() {
        let mut c = Conn::new(1, 0);
        assert_eq!(c.place(0, 0), Place::Next);
        assert_eq!(c.place(2, 0), Place::Early);
        assert!(!c.hold(Held::Passed(2, 0)));
        assert!(c.next_held().is_none());
        assert_eq!(c.place(1, 0), Place::Next);
        let held = c.next_held().unwrap();
        assert_eq!(c.place(held.number(), held.lost()), Place::Next);
        assert_eq!(c.place(5, 2), Place::AfterGap);
        assert_eq!(c.place(4, 2), Place::Late);
    }

    #[test]
    fn of_what_is_told_of_twice_the_one_with_the_response_waits() {
        let exchange = ExchangeRecord { record: 1, ..ExchangeRecord::default() };
        for alone_first in [true, false] {
            let mut c = Conn::new(1, 0);
            for alone in [alone_first, !alone_first] {
                assert_eq!(c.place(1, 0), Place::Early);
                let held =
                    if alone { Held::Data(exchange.request(), Vec::new()) } else { Held::Exchange(exchange) };
                assert!(!c.hold(held));
            }
            assert_eq!(c.place(0, 0), Place::Next);
            assert!(matches!(c.next_held(), Some(Held::Exchange(_))));
            assert!(!c.holds());
        }
    }

    #[test]
    fn what_cannot_wait_any_longer_is_taken_in_order() {
        let mut c = Conn::new(1, 0);
        assert_eq!(c.place(0, 0), Place::Next);
        for number in 2..2 + HELD_MAX as u32 {
            assert_eq!(c.place(number, 0), Place::Early);
            assert_eq!(c.hold(Held::Passed(number, 0)), number as usize == 1 + HELD_MAX);
        }
        let taken: Vec<u32> = std::iter::from_fn(|| {
            let held = c.next_held().or_else(|| c.force_held())?;
            assert_eq!(c.place(held.number(), held.lost()), Place::Next);
            Some(held.number())
        })
        .collect();
        assert_eq!(taken, (2..2 + HELD_MAX as u32).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_asked_last_is_forgotten_by_the_idle() {
        let mut conns = Conns::default();
        let ids = [10, 20].map(|at| conns.enter(at, at, 2).unwrap());
        assert_eq!((conns.find(10), conns.find(30)), (Some(ids[0]), None));
        for id in ids {
            conns.get_mut(id).unwrap().shape = Some(Arc::new(shape()));
        }
        conns.forget(20);
        assert_eq!(ids.map(|id| conns.get_mut(id).unwrap().shape.is_some()), [false, true]);
        conns.remove(ids[0]);
        assert_eq!((conns.find(10), conns.get_mut(ids[0]).is_none(), conns.len()), (None, true, 1));
    }

    #[test]
    fn one_that_is_not_read_makes_room_and_one_that_is_does_not() {
        let mut conns = Conns::default();
        let enter = |conns: &mut Conns, cookie| conns.enter(cookie, 0, 3);
        let read = enter(&mut conns, 1).unwrap();
        let http = http1::Connection::new(http1::Limits::default(), true, Vec::new().into());
        conns.get_mut(read).unwrap().http = Some(Box::new(http));
        let (old, new) = (enter(&mut conns, 2), enter(&mut conns, 3));
        assert_eq!((enter(&mut conns, 4).is_some(), conns.find(2), conns.find(3)), (true, None, new));
        assert!(enter(&mut conns, 5).is_some() && old.is_some_and(|old| conns.get_mut(old).is_none()));
        assert_eq!((conns.find(1), conns.find(3), conns.len()), (Some(read), None, 3));
        assert_eq!((conns.take_made_room(), conns.take_made_room()), (2, 0));
        // The one that is read was passed over for good; where there is no other nothing makes room.
        for cookie in [4, 5] {
            let id = conns.find(cookie).unwrap();
            let http = http1::Connection::new(http1::Limits::default(), true, Vec::new().into());
            conns.get_mut(id).unwrap().http = Some(Box::new(http));
        }
        assert_eq!((enter(&mut conns, 6), conns.len()), (None, 3));
        conns.remove(read);
        assert!(enter(&mut conns, 7).is_some());
    }

    #[test]
    fn who_came_is_forgotten_with_the_connections() {
        let mut conns = Conns::default();
        for cookie in 1..10_000 {
            let id = conns.enter(cookie, 0, 10).unwrap();
            conns.remove(id);
        }
        assert!(conns.came.len() <= 1026, "{}", conns.came.len());
    }

    /// Of each connection that is there, whether it remembers, and whether it has what it would.
    fn remembers(conns: &mut Conns, ids: &[ConnId]) -> Vec<Option<(bool, bool)>> {
        ids.iter().map(|id| conns.get_mut(*id).map(|c| (c.remembers(), c.shape.is_some()))).collect()
    }

    #[test]
    fn of_too_many_those_that_are_asked_the_same_remember() {
        let mut conns = Conns::default();
        let shape = Arc::new(shape());
        let ids: Vec<ConnId> = (1..REMEMBERING_MAX as u64 + 4)
            .map(|cookie| {
                assert_eq!(conns.are_many(), cookie > REMEMBERING_MAX as u64 + 1);
                conns.enter(cookie, 0, usize::MAX).unwrap()
            })
            .collect();
        let (first, more) = ids.split_at(REMEMBERING_MAX);
        first.iter().for_each(|id| conns.remember(*id, shape.clone()));
        // The first is asked again, the third is gone.
        conns.get_mut(first[0]).unwrap().asked_again = true;
        conns.remove(first[2]);
        conns.remember(first[0], shape.clone());
        conns.remember(more[0], shape.clone());
        let (yes, no) = (Some((true, true)), Some((false, false)));
        assert_eq!(remembers(&mut conns, &first[..4]), [yes, no, None, yes]);
        assert_eq!(remembers(&mut conns, more), [yes, no, no]);
        // The place of the one that is gone, then that of the fourth.
        conns.remember(more[1], shape.clone());
        conns.remember(more[2], shape.clone());
        assert_eq!(remembers(&mut conns, &first[..4]), [yes, no, None, no]);
        assert_eq!(remembers(&mut conns, more), [yes, yes, yes]);
        assert_eq!(conns.remembering.len(), REMEMBERING_MAX);
        // Where all are asked again one forgets nevertheless.
        ids.iter().for_each(|id| {
            if let Some(c) = conns.get_mut(*id) {
                c.asked_again = true;
            }
        });
        conns.remember(first[1], shape);
        assert_eq!(conns.remembering.len(), REMEMBERING_MAX);
    }

    #[test]
    fn mapped_addresses_print_as_ipv4() {
        let mut a = [0; 16];
        a[10..].copy_from_slice(&[255, 255, 127, 0, 0, 1]);
        assert_eq!(address(&a), "127.0.0.1");
        assert_eq!(address(&[0; 16]), "::");
    }
}
