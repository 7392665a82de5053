//! Who sends: the process at the other end of a connection on this machine.

use std::sync::{Mutex, PoisonError};

use telegen_model::ProcessKey;
use telegen_processes::{Discovery, Exec, HostIdentity, Table};
use telegen_receive::{Peer, Sender, Senders};
use telegen_sys::{Host, monotonic_ns};

use crate::settings::Settings;

/// A table of the processes that send, filled as they come.
pub(super) struct Processes(Mutex<Table>);

impl Processes {
    pub(super) fn new(settings: &Settings, host: &Host) -> Processes {
        let extra: Vec<(String, String)> =
            settings.resource.attributes.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let identity = HostIdentity::new(host, crate::agent::VERSION, &extra);
        Processes(Mutex::new(Table::new(identity, Discovery::from(&settings.agent.discovery))))
    }
}

impl Senders for Processes {
    fn find(&self, peer: Peer) -> Option<Sender> {
        // Another machine's connections are not in the table of sockets: no need to look.
        if peer.remote.ip() != peer.local.ip() && !peer.remote.ip().to_canonical().is_loopback() {
            return None;
        }
        let pid = telegen_sys::socket_owner(peer.remote, peer.local)?;
        let start = telegen_sys::start_ticks(pid)?;
        let key = ProcessKey { pid, start };
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = monotonic_ns();
        table.tick(now);
        if table.get_exact(key).is_none() {
            table.exec(key, &Exec::default(), now)?;
        }
        let process = table.get_exact(key)?;
        Some(Sender { pid, resource: process.resource.clone(), instance: process.instance_resource.clone() })
    }
}
