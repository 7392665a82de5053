//! Who sends: the process at the other end of a connection on this machine.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use telegen_model::{ProcessKey, Signal};
use telegen_processes::{Discovery, Exec, HostIdentity, Table};
use telegen_receive::{Peer, Sender, Senders};
use telegen_sys::{Host, SocketOwners, monotonic_ns};

use crate::settings::Settings;

/// Processes at most that wait to be told as exporters; more are told with their next request.
const EXPORTERS_MAX: usize = 4096;
/// Addresses of other machines that are remembered at most; then all are forgotten.
const STRANGERS_MAX: usize = 4096;
/// How long an address counts as another machine's.
const STRANGER: Duration = Duration::from_secs(60);

/// Processes that sent spans of their own and that the tap has not heard of yet.
#[derive(Default)]
pub(crate) struct Exporters(Mutex<HashSet<u32>>);

impl Exporters {
    fn add(&self, pid: u32) {
        let mut pids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pids.len() < EXPORTERS_MAX {
            pids.insert(pid);
        }
    }

    /// Those since the last time.
    #[cfg(feature = "agent")]
    pub(crate) fn take(&self) -> HashSet<u32> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A table of the processes that send, filled as they come.
pub(super) struct Processes {
    table: Mutex<Table>,
    /// Addresses that were on no network of this machine, and until when they are not looked for again.
    strangers: Mutex<HashMap<IpAddr, Instant>>,
    owners: SocketOwners,
    exporters: Arc<Exporters>,
}

impl Processes {
    pub(super) fn new(settings: &Settings, host: &Host, exporters: Arc<Exporters>) -> Processes {
        let extra: Vec<(String, String)> =
            settings.resource.attributes.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let identity = HostIdentity::new(host, crate::agent::VERSION, &extra);
        let table = Table::new(identity, Discovery::from(&settings.agent.discovery));
        Processes {
            table: Mutex::new(table),
            strangers: Mutex::default(),
            owners: SocketOwners::default(),
            exporters,
        }
    }
}

impl Processes {
    /// The sender's process when it is in a container behind a bridge. Looking is dear: an address that was found nowhere
    /// is taken for another machine's for a while.
    fn contained(&self, from: IpAddr, peer: Peer) -> Option<u32> {
        let now = Instant::now();
        if self.strangers().get(&from).is_some_and(|until| now < *until) {
            return None;
        }
        let found = telegen_sys::socket_owner_elsewhere(peer.remote, peer.local);
        if found.is_none() {
            let mut strangers = self.strangers();
            if strangers.len() >= STRANGERS_MAX {
                strangers.clear();
            }
            strangers.insert(from, now + STRANGER);
        }
        found
    }

    fn strangers(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Senders for Processes {
    fn find(&self, peer: Peer) -> Option<Sender> {
        let from = peer.remote.ip().to_canonical();
        // Another machine's connections are not in the table of sockets: no need to look.
        let pid = match from == peer.local.ip().to_canonical() || from.is_loopback() {
            true => self.owners.find(peer.remote, peer.local)?,
            false => self.contained(from, peer)?,
        };
        let start = telegen_sys::start_ticks(pid)?;
        let key = ProcessKey { pid, start };
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let now = monotonic_ns();
        table.tick(now);
        if table.get_exact(key).is_none() {
            table.exec(key, &Exec::default(), now)?;
        }
        let process = table.get_exact(key)?;
        Some(Sender { pid, resource: process.resource.clone(), instance: process.instance_resource.clone() })
    }

    fn sent(&self, pid: u32, signal: Signal) {
        if signal == Signal::Traces {
            self.exporters.add(pid);
        }
    }
}
