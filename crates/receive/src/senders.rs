use std::net::SocketAddr;
use std::sync::Arc;

use telegen_model::{KeyValue, Resource, Signal};

/// Both ends of the connection that a request came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The sender's end.
    pub remote: SocketAddr,
    /// Telegen's end.
    pub local: SocketAddr,
}

/// The process at the other end, as the kernel tells.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Its process id.
    pub pid: u32,
    /// What spans, logs and profiles of it carry.
    pub resource: Arc<Resource>,
    /// What metrics of its instance carry.
    pub instance: Arc<Resource>,
}

/// Who finds the process at the other end of a connection.
pub trait Senders: Send + Sync + 'static {
    /// The process; `None` when it is on another machine, or gone. May wait for the disk: called off the runtime's
    /// threads, once a connection.
    fn find(&self, peer: Peer) -> Option<Sender>;

    /// Items of a signal came from a process.
    fn sent(&self, _pid: u32, _signal: Signal) {}
}

/// Finds nobody.
#[derive(Debug)]
pub struct NoSenders;

impl Senders for NoSenders {
    fn find(&self, _peer: Peer) -> Option<Sender> {
        None
    }
}

/// What only the kernel is believed: the sender's own words for these are overruled.
fn is_identity(key: &str) -> bool {
    matches!(key, "host.id" | "host.name" | "container.id" | "process.pid")
        || key.starts_with("k8s.pod.")
        || matches!(key, "k8s.namespace.name" | "k8s.node.name")
}

/// The resource that leaves: what the sender says, what is missing in it, and what the kernel knows better. Also gives
/// how many attributes were overruled.
pub(crate) fn resolved(said: &Resource, sender: &Sender, signal: Signal) -> (Resource, u64) {
    let known = if signal == Signal::Metrics { &sender.instance } else { &sender.resource };
    let names_itself = said.get("service.name").is_some_and(|name| known.get("service.name") != Some(name));
    let mut overruled = 0;
    let mut attrs: Vec<KeyValue> = Vec::with_capacity(said.attrs().len() + known.attrs().len());
    for kv in known.attrs() {
        match said.get(&kv.key) {
            Some(theirs) if *theirs != kv.value && is_identity(&kv.key) => {
                overruled += 1;
                attrs.push(kv.clone());
            }
            Some(_) => {}
            // A service of another name is not an instance of the one that Telegen names.
            None if names_itself && kv.key.starts_with("service.") => {}
            None => attrs.push(kv.clone()),
        }
    }
    attrs.extend(said.attrs().iter().cloned());
    (Resource::new(attrs), overruled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(pairs: &[(&'static str, &str)]) -> Resource {
        Resource::new(pairs.iter().map(|(k, v)| KeyValue::new(k, *v)).collect())
    }

    #[test]
    fn what_is_missing_is_filled_in_and_identity_is_the_kernels() {
        let known = resource(&[
            ("host.id", "h1"),
            ("container.id", "c1"),
            ("service.name", "found"),
            ("service.namespace", "ns"),
            ("service.instance.id", "i1"),
            ("service.version", "1"),
            ("k8s.pod.uid", "p"),
            ("os.type", "linux"),
        ]);
        let sender =
            Sender { pid: 7, resource: Arc::new(known), instance: Arc::new(resource(&[("host.id", "h1")])) };
        let said =
            resource(&[("service.name", "own"), ("container.id", "lie"), ("os.type", "other"), ("x", "y")]);
        let (out, overruled) = resolved(&said, &sender, Signal::Traces);
        let want = [
            ("container.id", "c1"),
            ("host.id", "h1"),
            ("k8s.pod.uid", "p"),
            ("os.type", "other"),
            ("service.name", "own"),
            ("x", "y"),
        ];
        assert_eq!(out, resource(&want));
        assert_eq!(overruled, 1);
        for name in [&[("service.name", "found")][..], &[]] {
            let (same, _) = resolved(&resource(name), &sender, Signal::Traces);
            assert_eq!(same, *sender.resource, "{name:?}");
        }
        let (metrics, _) = resolved(&resource(&[]), &sender, Signal::Metrics);
        assert_eq!(metrics, resource(&[("host.id", "h1")]));
    }
}
