//! Traffic that is recognised but not read, counted per service instance, protocol and reason.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use telegen_model::{KeyValue, Resource, ResourceGroup, Scope, Str, semconv::TLS_CLIENT_SERVER_NAME};
use telegen_pipeline::{MetricSource, Reader};

use crate::sums::{Name, Sums};

/// Server names at most that are told apart of one service; the others are one.
const NAMES_MAX: usize = 50;
/// Stands for all server names beyond.
const OTHER_NAMES: &str = "_OTHER";

const NAME: Name = Name {
    name: "telegen.traffic.unread",
    unit: "By",
    description: "Bytes of connections that are seen but not read.",
};

/// What a connection that is not read speaks, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Traffic {
    pub(crate) protocol: &'static str,
    pub(crate) reason: &'static str,
    /// Of TLS: the server name that the client asked for, or empty.
    pub(crate) server_name: Str,
}

impl Traffic {
    pub(crate) fn new(protocol: &'static str, reason: &'static str) -> Traffic {
        Traffic { protocol, reason, server_name: Str::default() }
    }

    pub(crate) fn datagrams() -> Traffic {
        Traffic::new("udp", "not_read_yet")
    }
}

struct State {
    sums: Sums<Traffic>,
    /// How many server names each resource has.
    names: HashMap<usize, usize, RandomState>,
}

/// Shared between the thread that counts and the readers.
#[derive(Clone)]
pub struct Unread {
    state: Arc<Mutex<State>>,
    scope: Scope,
}

impl Unread {
    /// Nothing counted yet.
    pub fn new(scope: Scope) -> Unread {
        let state = State { sums: Sums::new(), names: HashMap::default() };
        Unread { state: Arc::new(Mutex::new(state)), scope }
    }

    /// Bytes that were counted under no series, for want of room.
    pub fn refused(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).sums.refused()
    }

    pub(crate) fn add(&self, resource: &Arc<Resource>, mut traffic: Traffic, bytes: u64, now: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        if !traffic.server_name.is_empty() && !state.sums.contains(resource, traffic.clone()) {
            let names = state.names.entry(Arc::as_ptr(resource) as usize).or_default();
            if *names < NAMES_MAX {
                *names += 1;
            } else {
                traffic.server_name = Str::const_new(OTHER_NAMES);
            }
        }
        state.sums.add(resource, traffic, bytes, now);
    }
}

impl MetricSource for Unread {
    fn collect(&self, reader: Reader, now_unix_ns: u64) -> Vec<ResourceGroup> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sums.collect(&NAME, &self.scope, (reader, now_unix_ns), |traffic| {
            let mut attrs = vec![
                KeyValue::new("telegen.protocol", traffic.protocol),
                KeyValue::new("telegen.reason", traffic.reason),
            ];
            if !traffic.server_name.is_empty() {
                attrs.push(KeyValue::new(TLS_CLIENT_SERVER_NAME, traffic.server_name.clone()));
            }
            attrs
        })
    }
}
