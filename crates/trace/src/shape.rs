//! What the requests of a connection that ask the same and are answered alike have in common. Most of what a span says is
//! of this kind: it is made once and shared.

use std::sync::Arc;

use telegen_model::{Resource, Str};
use telegen_processes::Process;
use telegen_wire::http1::{Exchange, Outcome, RequestHead};

use crate::conn::Conn;
use crate::red::{SeriesId, Side};

/// Bytes of attributes at most of a shape that is remembered: there may be one a connection.
pub(crate) const KEPT_BYTES: usize = 2048;

/// What a shape was made of.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    head: Arc<RequestHead>,
    status: Option<u16>,
    outcome: Outcome,
    truncated: bool,
    brief: bool,
    /// How often the connection was introduced: its ends and its owner may change.
    introduced: u32,
    is_server: bool,
    exports_traces: bool,
}

impl Origin {
    pub(crate) fn of(x: &Exchange, conn: &Conn, process: &Process) -> Origin {
        Origin {
            head: x.head.clone(),
            status: x.status,
            outcome: x.outcome,
            truncated: x.head_truncated,
            brief: x.head_brief,
            introduced: conn.introduced,
            is_server: conn.is_server,
            exports_traces: process.exports_traces,
        }
    }
}

/// What requests have in common.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) origin: Origin,
    /// Of method and target.
    pub(crate) hash: u64,
    pub(crate) side: Side,
    /// The span's name.
    pub(crate) name: Box<str>,
    /// Those of the span but for its own numbers, as they are laid down.
    pub(crate) attributes: Box<[u8]>,
    pub(crate) failed: bool,
    /// Why there is no span.
    pub(crate) without: Option<&'static str>,
    pub(crate) resource: Arc<Resource>,
    /// Whose metrics it is counted in.
    pub(crate) instance: Arc<Resource>,
    /// Where it is counted, if it is.
    pub(crate) series: Option<SeriesId>,
    /// For the service graph.
    pub(crate) service: Str,
    /// The other end as this one names it.
    pub(crate) peer: Str,
}

impl Shape {
    /// Whether it is of requests with this head.
    pub(crate) fn asks(&self, head: &Arc<RequestHead>) -> bool {
        Arc::ptr_eq(&self.origin.head, head)
    }

    /// Whether another request of the same connection is of it.
    pub(crate) fn fits(&self, x: &Exchange, conn: &Conn, process: &Process) -> bool {
        let o = &self.origin;
        self.asks(&x.head)
            && o.status == x.status
            && o.outcome == x.outcome
            && o.truncated == x.head_truncated
            && o.brief == x.head_brief
            && o.introduced == conn.introduced
            && o.is_server == conn.is_server
            && o.exports_traces == process.exports_traces
            && Arc::ptr_eq(&self.resource, &process.resource)
            && Arc::ptr_eq(&self.instance, &process.instance_resource)
    }

    /// Whether both are of the same service and the same peer.
    pub(crate) fn is_of_the_same(self: &Arc<Shape>, other: &Arc<Shape>) -> bool {
        Arc::ptr_eq(self, other)
            || (Arc::ptr_eq(&self.instance, &other.instance) || self.service == other.service)
                && self.peer == other.peer
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn shape() -> Shape {
        Shape {
            origin: Origin::default(),
            hash: 0,
            side: Side::Server,
            name: "GET".into(),
            attributes: Box::default(),
            failed: false,
            without: None,
            resource: Arc::default(),
            instance: Arc::default(),
            series: None,
            service: Str::default(),
            peer: Str::default(),
        }
    }

    #[test]
    fn whatever_a_shape_was_made_of_makes_another_one() {
        let host = telegen_sys::Host::read();
        let identity = telegen_processes::HostIdentity::new(&host, "1", &[]);
        let mut table = telegen_processes::Table::new(identity, telegen_processes::Discovery::default());
        let process = table.discover(std::process::id()).unwrap().clone();
        let x = Exchange { status: Some(200), ..Exchange::default() };
        let shape = Shape {
            origin: Origin::of(&x, &Conn::new(1, 0), &process),
            resource: process.resource.clone(),
            instance: process.instance_resource.clone(),
            ..shape()
        };
        let fits = |change: fn(&mut Exchange, &mut Conn, &mut Process)| {
            let (mut x, mut conn, mut process) = (x.clone(), Conn::new(1, 0), process.clone());
            change(&mut x, &mut conn, &mut process);
            shape.fits(&x, &conn, &process)
        };
        assert!(fits(|_, _, _| {}));
        assert!(fits(|x, conn, _| {
            (x.response_body_size, x.request_start, conn.seen) = (Some(7), 9, 9);
        }));
        let others: [fn(&mut Exchange, &mut Conn, &mut Process); 10] = [
            // The same words read anew: nobody compares them again.
            |x, _, _| x.head = Arc::new(RequestHead::clone(&x.head)),
            |x, _, _| x.status = Some(404),
            |x, _, _| x.outcome = Outcome::PeerReset,
            |x, _, _| x.head_truncated = true,
            |x, _, _| x.head_brief = true,
            |_, conn, _| conn.introduced += 1,
            |_, conn, _| conn.is_server = true,
            |_, _, process| process.exports_traces = true,
            |_, _, process| process.resource = Arc::default(),
            |_, _, process| process.instance_resource = Arc::default(),
        ];
        assert_eq!(others.map(fits), [false; 10]);
    }
}
