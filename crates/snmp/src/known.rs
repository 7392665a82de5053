//! What the poller knows of devices by their address: notifications carry it too, and ask the poller to look again.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use telegen_model::{KeyValue, Resource, Str, Value};

use crate::poll::{Names, Target};
use crate::profile::Plan;
use crate::protocol::write_arc;

/// Most devices that wait to be looked at again.
const MOST_CHANGED: usize = 1024;

/// Polled devices, shared between the poller and the receiver of notifications.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    devices: RwLock<HashMap<IpAddr, Device>>,
    changed: Mutex<BTreeSet<IpAddr>>,
}

/// The names of a device's interfaces, with the plan that says what they are called.
#[derive(Clone, Debug)]
pub(crate) struct Interfaces {
    pub(crate) plan: Arc<Plan>,
    /// Place of the table in the plan.
    pub(crate) table: usize,
    pub(crate) names: Arc<Names>,
}

impl Interfaces {
    /// The attributes of an interface: its number and its names, as its metrics have them.
    fn attributes(&self, number: u32) -> Vec<KeyValue> {
        let Some(table) = self.plan.tables.get(self.table) else { return Vec::new() };
        let mut index = Vec::new();
        write_arc(&mut index, number);
        let Some(row) = self.names.row_of(&index) else { return Vec::new() };
        let number = table.index.first().map(|(name, _)| (*name, number.to_string()));
        let labels =
            table.labels.iter().enumerate().map(|(i, l)| (l.attr, self.names.label(row, i).to_owned()));
        number
            .into_iter()
            .chain(labels)
            .filter(|(key, text)| !key.is_empty() && !text.is_empty())
            .map(|(key, text)| KeyValue { key: Str::const_new(key), value: Value::Str(Str::from(text)) })
            .collect()
    }
}

#[derive(Debug)]
struct Device {
    target: Arc<Target>,
    resource: Arc<Resource>,
    interfaces: Option<Interfaces>,
    /// Another target has this address too: whose a notification is cannot be told.
    shared: bool,
}

impl Known {
    /// A device as it stands after a poll.
    pub(crate) fn set(
        &self,
        ip: IpAddr,
        target: &Arc<Target>,
        resource: &Arc<Resource>,
        interfaces: Option<Interfaces>,
    ) {
        let ip = ip.to_canonical();
        let same = |d: &Device| {
            let names = |i: &Option<Interfaces>| i.as_ref().map(|i| Arc::as_ptr(&i.names));
            Arc::ptr_eq(&d.target, target)
                && Arc::ptr_eq(&d.resource, resource)
                && names(&d.interfaces) == names(&interfaces)
        };
        let there = self.0.devices.read().unwrap_or_else(PoisonError::into_inner).get(&ip).map(|d| {
            // Of two with one address the first stays, and says that it is not alone.
            (same(d), d.target.name != target.name, d.shared)
        });
        if let Some((true, ..) | (_, true, true)) = there {
            return;
        }
        let mut devices = self.0.devices.write().unwrap_or_else(PoisonError::into_inner);
        match devices.get_mut(&ip) {
            Some(device) if device.target.name != target.name => device.shared = true,
            Some(device) => {
                (device.target, device.resource) = (target.clone(), resource.clone());
                device.interfaces = interfaces;
            }
            None => {
                let (target, resource) = (target.clone(), resource.clone());
                devices.insert(ip, Device { target, resource, interfaces, shared: false });
            }
        }
    }

    /// A device is polled no more.
    pub(crate) fn remove(&self, name: &str) {
        let mut devices = self.0.devices.write().unwrap_or_else(PoisonError::into_inner);
        devices.retain(|_, d| d.target.name != name);
    }

    /// The resource of the one device with this address.
    pub(crate) fn resource(&self, ip: IpAddr) -> Option<Arc<Resource>> {
        let devices = self.0.devices.read().unwrap_or_else(PoisonError::into_inner);
        devices.get(&ip.to_canonical()).filter(|d| !d.shared).map(|d| d.resource.clone())
    }

    /// What an interface of the one device with this address is called.
    pub(crate) fn interface(&self, ip: IpAddr, number: u32) -> Vec<KeyValue> {
        let devices = self.0.devices.read().unwrap_or_else(PoisonError::into_inner);
        let device = devices.get(&ip.to_canonical()).filter(|d| !d.shared);
        device.and_then(|d| d.interfaces.as_ref()).map_or_else(Vec::new, |i| i.attributes(number))
    }

    /// The device with this address, if it is polled, told that it changed: it is to be looked at again. False when too
    /// many wait for that already.
    pub(crate) fn changed(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        if !self.0.devices.read().unwrap_or_else(PoisonError::into_inner).contains_key(&ip) {
            return true;
        }
        let mut changed = self.0.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let room = changed.len() < MOST_CHANGED || changed.contains(&ip);
        if room {
            changed.insert(ip);
        }
        room
    }

    /// Those that are to be looked at again.
    pub(crate) fn take_changed(&self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut *self.0.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
