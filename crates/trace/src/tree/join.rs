//! Which two requests, one sent and one read, are the two ends of the same one.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

/// What both ends of a request on one connection have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// TCP numbers every byte alike at both ends, also through address translation and network namespaces.
    Tcp {
        /// Sequence number of the request's first byte.
        seq: u32,
        /// Ports, as this end names them.
        local: u16,
        peer: u16,
    },
    /// A unix socket is known by its cookie, and its peer's.
    Unix {
        cookie: u64,
        peer: u64,
        /// Of the request's first byte: the same at both ends, unless bytes were under way when either was first seen.
        pos: u64,
    },
    /// The ends have nothing to be known by.
    #[default]
    None,
}

/// A request's end, for finding the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub(crate) place: Place,
    /// Hash of method and target.
    pub(crate) head: u64,
    pub(crate) start: u64,
}

/// The receiver's record may be made before the sender's by at most this much, ns: the sender's thread may have been
/// preempted behind the call.
const INVERSION_NS: u64 = 1_000_000_000;

/// Whether a request that was sent may be the one that was read.
pub(crate) fn fits(sent: &Side, read: &Side) -> bool {
    if sent.head != read.head || sent.start > read.start.saturating_add(INVERSION_NS) {
        return false;
    }
    match (sent.place, read.place) {
        // Address translation changes the port of one end at most.
        (Place::Tcp { seq: a, local, peer }, Place::Tcp { seq: b, local: at, peer: by }) => {
            a == b && (local == by || peer == at)
        }
        (Place::Unix { cookie: a, peer: b, .. }, Place::Unix { cookie: c, peer: d, .. }) => {
            (b == 0 || b == c) && (d == 0 || a == d) && (b != 0 || d != 0)
        }
        _ => false,
    }
}

/// Whether two that fit begin with the same byte for certain.
pub(crate) fn same_byte(sent: &Side, read: &Side) -> bool {
    match (sent.place, read.place) {
        (Place::Unix { pos: a, .. }, Place::Unix { pos: b, .. }) => a == b,
        _ => true,
    }
}

/// Requests that were sent and wait for their other end. Bounded by the nodes that own them.
#[derive(Default)]
pub(crate) struct Sent<I> {
    by_seq: HashMap<u32, Alike<I>, RandomState>,
    by_cookie: HashMap<u64, Alike<I>, RandomState>,
}

/// Nearly always one.
type Alike<I> = SmallVec<[I; 1]>;

impl<I: Copy + PartialEq> Sent<I> {
    pub(crate) fn new() -> Sent<I> {
        Sent { by_seq: HashMap::default(), by_cookie: HashMap::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_seq.is_empty() && self.by_cookie.is_empty()
    }

    pub(crate) fn insert(&mut self, place: Place, id: I) {
        match place {
            Place::Tcp { seq, .. } => self.by_seq.entry(seq).or_default().push(id),
            Place::Unix { cookie, peer, .. } => {
                self.by_cookie.entry(cookie).or_default().push(id);
                if peer != 0 {
                    self.by_cookie.entry(peer).or_default().push(id);
                }
            }
            Place::None => {}
        }
    }

    pub(crate) fn remove(&mut self, place: Place, id: I) {
        match place {
            Place::Tcp { seq, .. } => remove(&mut self.by_seq, &seq, id),
            Place::Unix { cookie, peer, .. } => {
                remove(&mut self.by_cookie, &cookie, id);
                remove(&mut self.by_cookie, &peer, id);
            }
            Place::None => {}
        }
    }

    /// Those that may be the other end of a request that was read.
    pub(crate) fn candidates(&self, place: Place) -> &[I] {
        let found = match place {
            Place::Tcp { seq, .. } => self.by_seq.get(&seq),
            Place::Unix { cookie, peer, .. } => {
                self.by_cookie.get(&cookie).or_else(|| self.by_cookie.get(&peer))
            }
            Place::None => None,
        };
        found.map_or(&[], SmallVec::as_slice)
    }
}

fn remove<K: std::hash::Hash + Eq, I: PartialEq>(
    map: &mut HashMap<K, Alike<I>, RandomState>,
    key: &K,
    id: I,
) {
    if let Some(ids) = map.get_mut(key) {
        ids.retain(|i| *i != id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(seq: u32, local: u16, peer: u16) -> Place {
        Place::Tcp { seq, local, peer }
    }

    fn side(place: Place, start: u64) -> Side {
        Side { place, head: 7, start }
    }

    #[test]
    fn the_same_bytes_between_fitting_ports_are_one_request() {
        let sent = tcp(5, 1000, 80);
        for (read, expect) in [
            (tcp(5, 80, 1000), true),
            // The destination was translated, then the source.
            (tcp(5, 8080, 1000), true),
            (tcp(5, 80, 61000), true),
            // Both ports differ; another byte; the ends swapped.
            (tcp(5, 8080, 61000), false),
            (tcp(6, 80, 1000), false),
            (tcp(5, 1000, 80), false),
        ] {
            assert_eq!(fits(&side(sent, 0), &side(read, 0)), expect, "{read:?}");
        }
        let read = tcp(5, 80, 1000);
        assert!(!fits(&Side { head: 8, ..side(sent, 0) }, &side(read, 0)));
        assert!(!fits(&side(sent, INVERSION_NS + 1), &side(read, 0)));
    }

    #[test]
    fn unix_sockets_are_known_by_their_peers() {
        let unix = |cookie, peer| Place::Unix { cookie, peer, pos: 0 };
        for (sent, read, expect) in [
            (unix(1, 2), unix(2, 1), true),
            (unix(1, 0), unix(2, 1), true),
            (unix(1, 2), unix(2, 0), true),
            (unix(1, 0), unix(2, 0), false),
            (unix(1, 3), unix(2, 1), false),
        ] {
            assert_eq!(fits(&side(sent, 0), &side(read, 0)), expect, "{sent:?} {read:?}");
        }
    }
}
