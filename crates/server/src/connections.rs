//! Which connections are open, and which of them makes room when there are too many.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

/// The open connections.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    all: HashMap<u64, State>,
}

#[derive(Debug)]
struct State {
    /// Since when it waits for a request, or answers one.
    since: Instant,
    answering: bool,
    leave: Arc<Notify>,
}

impl Connections {
    /// A place for one more.
    pub(crate) fn open(self: &Arc<Self>) -> Place {
        let leave = Arc::new(Notify::new());
        let mut open = self.lock();
        let id = open.next;
        open.next += 1;
        open.all.insert(id, State { since: Instant::now(), answering: false, leave: leave.clone() });
        Place { connections: self.clone(), id, leave }
    }

    /// Ends the connection that has waited longest for a request, whole or in part; if none waits, the one that has been
    /// answering for longest, if that is longer than `patience`. Says whether there was one.
    pub(crate) fn make_room(&self, patience: Duration) -> bool {
        let mut open = self.lock();
        let oldest = open.all.iter().min_by_key(|(_, s)| (s.answering, s.since));
        let Some((&id, state)) = oldest else { return false };
        if state.answering && state.since.elapsed() < patience {
            return false;
        }
        if let Some(state) = open.all.remove(&id) {
            state.leave.notify_one();
        }
        true
    }

    fn set(&self, id: u64, answering: bool) {
        if let Some(state) = self.lock().all.get_mut(&id) {
            (state.since, state.answering) = (Instant::now(), answering);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one connection holds as long as it is open.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    id: u64,
    leave: Arc<Notify>,
}

impl Place {
    /// Comes when another connection needs the place.
    pub(crate) async fn needed(&self) {
        self.leave.notified().await;
    }

    /// A request has come; it is answered when the result is dropped.
    pub(crate) fn answering(&self) -> Answering {
        self.connections.set(self.id, true);
        Answering { connections: self.connections.clone(), id: self.id }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().all.remove(&self.id);
    }
}

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Answering {
    connections: Arc<Connections>,
    id: u64,
}

impl Answering {
    /// Goes on until the body has been handed over.
    pub(crate) fn until_sent(self, body: Body) -> Body {
        Body::new(Sent { body, _under_way: self })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.connections.set(self.id, false);
    }
}

struct Sent {
    body: Body,
    _under_way: Answering,
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn left(place: &Place) -> bool {
        !place.connections.lock().all.contains_key(&place.id)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_longest_for_a_request_makes_room_and_an_answer_only_after_its_time() {
        let connections = Arc::new(Connections::default());
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(connections.open());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let first = places[0].answering();
        drop(places[1].answering());
        assert!(connections.make_room(PATIENCE));
        assert_eq!(places.iter().map(left).collect::<Vec<_>>(), [false, false, true]);
        places[2].needed().await;
        assert!(connections.make_room(PATIENCE) && left(&places[1]));
        assert!(!connections.make_room(PATIENCE), "an answer is under way");
        tokio::time::advance(PATIENCE).await;
        assert!(connections.make_room(PATIENCE) && left(&places[0]));
        drop(first);
        assert!(!connections.make_room(PATIENCE), "nobody is left");
    }
}
