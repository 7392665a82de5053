//! How a request is linked to the one that it belongs to, and what its span says of that.

use telegen_model::semconv as s;
use telegen_otlp::pack::Attributes;
use telegen_wire::context::TraceContext;

use super::{Id, Reason};

/// How the parent of a span was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found {
    /// It is a root, or the caller's header says it.
    Root,
    /// By this method, with this confidence.
    By(&'static str, f64),
    /// It was not, though it may have one.
    Not(Reason),
}

impl Found {
    pub(super) fn of(link: Link, reason: Option<Reason>) -> Found {
        match link {
            Link::Seq(_) => Found::By("tcp_seq", 1.0),
            Link::Unix(_) => Found::By("unix_peer", 0.99),
            Link::Thread(_, confidence) => Found::By("thread", confidence),
            Link::Root | Link::Header | Link::Candidate(_) => reason.map_or(Found::Root, Found::Not),
        }
    }

    /// Says it on the span.
    pub(crate) fn write(self, out: &mut Attributes) {
        match self {
            Found::Root => {}
            Found::By(method, confidence) => {
                out.text(s::TELEGEN_LINK_METHOD, method);
                out.double(s::TELEGEN_LINK_CONFIDENCE, confidence);
            }
            Found::Not(reason) => out.text(s::TELEGEN_LINK_REASON, reason.name()),
        }
    }
}

/// How a node got its parent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Link {
    /// It has none.
    Root,
    /// The caller's header.
    Header,
    /// The same bytes at both ends; the other end's node.
    Seq(Id),
    Unix(Id),
    /// The thread's request, not decided yet.
    Candidate(Id),
    /// The thread's request, with confidence.
    Thread(Id, f64),
}

/// Whether the caller's header names a trace to join.
pub(super) fn names_trace(header: Option<&TraceContext>) -> bool {
    header.is_some_and(TraceContext::names_trace)
}

impl Link {
    pub(super) fn of(header: Option<&TraceContext>) -> Link {
        if names_trace(header) { Link::Header } else { Link::Root }
    }

    pub(super) fn parent(self) -> Option<Id> {
        match self {
            Link::Root | Link::Header => None,
            Link::Seq(id) | Link::Unix(id) | Link::Candidate(id) | Link::Thread(id, _) => Some(id),
        }
    }
}
