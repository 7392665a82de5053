//! The peers of an exporter: who is asked first, and who is left alone for a while.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use telegen_pipeline::LONGEST_WISH;
use tokio::time::Instant;

use super::target::Target;
use crate::{ExportError, OtlpTarget, Spread};

/// The first time that a peer is left alone after it failed; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);
/// The longest time that a peer is left alone, unless it asks for more, which is heard up to [`LONGEST_WISH`].
const LONGEST: Duration = Duration::from_secs(30);

/// The peers that take the same.
#[derive(Debug)]
pub(super) struct Peers {
    peers: Vec<Peer>,
    spread: Spread,
    turn: AtomicUsize,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) target: Target,
    away: Mutex<Away>,
}

#[derive(Debug, Default)]
struct Away {
    until: Option<Instant>,
    tries: u32,
}

impl Peers {
    pub(super) fn new(config: &OtlpTarget) -> Result<Peers, ExportError> {
        let mut targets = vec![Target::new(config)?];
        for other in &config.others {
            let own = OtlpTarget {
                endpoint: other.endpoint.clone(),
                headers: other.headers.clone(),
                others: Vec::new(),
                ..config.clone()
            };
            targets.push(Target::new(&own)?);
        }
        let peers = targets.into_iter().map(|target| Peer { target, away: Mutex::default() }).collect();
        Ok(Peers { peers, spread: config.spread, turn: AtomicUsize::new(0) })
    }

    /// The peers in the order in which one request is offered to them. Those that failed lately are left out; when all
    /// did, the one whose time is over first is asked.
    pub(super) fn asked(&self, now: Instant) -> Vec<&Peer> {
        let first = match self.spread {
            Spread::Failover => 0,
            Spread::Balance => self.turn.fetch_add(1, Ordering::Relaxed) % self.peers.len(),
        };
        let (before, after) = self.peers.split_at(first);
        let in_order = || after.iter().chain(before);
        let here: Vec<&Peer> = in_order().filter(|p| p.until().is_none_or(|until| until <= now)).collect();
        match here.is_empty() {
            true => in_order().min_by_key(|p| p.until()).into_iter().collect(),
            false => here,
        }
    }
}

impl Peer {
    fn until(&self) -> Option<Instant> {
        self.away().until
    }

    /// It could not take a request: it is left alone for a while.
    pub(super) fn failed(&self, now: Instant, after: Option<Duration>) {
        let mut away = self.away();
        let wait = LONGEST.min(FIRST.saturating_mul(1 << away.tries.min(10)));
        away.tries = away.tries.saturating_add(1);
        away.until = Some(now + after.map_or(wait, |wish| wish.min(LONGEST_WISH)));
    }

    /// It answered.
    pub(super) fn answered(&self) {
        *self.away() = Away::default();
    }

    fn away(&self) -> std::sync::MutexGuard<'_, Away> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Endpoint, OtherPeer};

    fn peers(spread: Spread) -> Peers {
        let other = |url: &str| OtherPeer {
            endpoint: Endpoint { url: url.to_owned(), exact: false },
            headers: Vec::new(),
        };
        let endpoint = Endpoint { url: "http://a".to_owned(), exact: false };
        let others = vec![other("http://b"), other("http://c")];
        Peers::new(&OtlpTarget { endpoint, others, spread, ..OtlpTarget::default() }).unwrap()
    }

    fn order(peers: &Peers, now: Instant) -> String {
        peers.asked(now).iter().map(|p| p.target.shown.trim_start_matches("http://")).collect()
    }

    #[tokio::test]
    async fn the_first_is_asked_unless_it_failed_lately() {
        let (peers, now) = (peers(Spread::Failover), Instant::now());
        assert_eq!((order(&peers, now), order(&peers, now)), ("abc".into(), "abc".into()));
        peers.peers[0].failed(now, None);
        assert_eq!(order(&peers, now), "bc");
        assert_eq!(order(&peers, now + FIRST), "abc");
        peers.peers[0].failed(now, None);
        assert_eq!(order(&peers, now + FIRST), "bc");
        peers.peers[0].failed(now, Some(Duration::from_secs(100)));
        assert_eq!(order(&peers, now + LONGEST), "bc");
        peers.peers[0].answered();
        assert_eq!(order(&peers, now), "abc");
    }

    #[tokio::test]
    async fn of_peers_that_all_failed_the_one_whose_time_is_over_first_is_asked() {
        let (peers, now) = (peers(Spread::Failover), Instant::now());
        for (at, seconds) in [(0, 9), (1, 5), (2, 7)] {
            peers.peers[at].failed(now, Some(Duration::from_secs(seconds)));
        }
        assert_eq!(order(&peers, now), "b");
    }

    #[tokio::test]
    async fn a_peer_that_asks_for_an_absurd_wait_is_asked_again_after_five_minutes() {
        let (peers, now) = (peers(Spread::Failover), Instant::now());
        peers.peers[0].failed(now, Some(Duration::MAX));
        assert_eq!(order(&peers, now + Duration::from_secs(299)), "bc");
        assert_eq!(order(&peers, now + Duration::from_secs(300)), "abc");
    }

    #[tokio::test]
    async fn balanced_peers_take_turns() {
        let (peers, now) = (peers(Spread::Balance), Instant::now());
        let turns: Vec<String> = (0..4).map(|_| order(&peers, now)).collect();
        assert_eq!(turns, ["abc", "bca", "cab", "abc"]);
    }
}
