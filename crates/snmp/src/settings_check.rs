//! What is checked in `collector.snmp` beyond the type of each value.

use std::collections::BTreeSet;
use std::net::IpAddr;

use telegen_config::{Check, HostPort, Report};

use crate::settings::{Credential, SnmpSettings, Version};

/// Shortest password of SNMPv3 (RFC 3414, section 11.2).
const SHORTEST_PASSWORD: usize = 8;

impl Check for SnmpSettings {
    fn check(&self, report: &mut Report) {
        for (name, credential) in &self.credentials {
            report.section(&format!("credentials.{name}"), credential);
        }
        let mut names = BTreeSet::new();
        for (i, target) in self.targets.iter().enumerate() {
            report.under(&format!("targets.{i}"), |report| {
                if !is_address(&target.address) {
                    report.wrong("address", "expected HOST:PORT or HOST, with tcp: before it for TCP");
                }
                if !names.insert(target.name.as_deref().unwrap_or(&target.address)) {
                    report.wrong("name", "another target has this name");
                }
                self.known(&target.credentials, "credentials", report);
            });
        }
        for (i, scan) in self.scan.iter().enumerate() {
            report.under(&format!("scan.{i}"), |report| {
                if !is_network(&scan.subnet) {
                    report.wrong("subnet", "expected ADDRESS/BITS, such as 10.0.0.0/24");
                }
                self.known(&scan.credentials, "credentials", report);
            });
        }
        if let Some(shard) = &self.shard
            && shard.index >= shard.of.get()
        {
            report.wrong("shard.index", "expected less than shard.of");
        }
        let Some(traps) = &self.traps else { return };
        report.under("traps", |report| {
            if traps.listen.is_empty() {
                report.wrong("listen", "expected at least one address");
            }
            for (key, addresses) in [("listen", &traps.listen), ("forward", &traps.forward)] {
                for (i, address) in addresses.iter().enumerate() {
                    if !is_socket(address) {
                        report.wrong(&format!("{key}.{i}"), "expected udp://HOST:PORT or tcp://HOST:PORT");
                    }
                }
            }
            for (i, source) in traps.sources.iter().enumerate() {
                if !is_network(source) && source.parse::<IpAddr>().is_err() {
                    report.wrong(&format!("sources.{i}"), "expected an address or ADDRESS/BITS");
                }
            }
            self.known(&traps.users, "users", report);
        });
    }
}

impl SnmpSettings {
    /// Reports names that no credential has.
    fn known(&self, names: &[String], key: &str, report: &mut Report) {
        for (i, name) in names.iter().enumerate() {
            if !self.credentials.contains_key(name) {
                let known: Vec<&str> = self.credentials.keys().map(String::as_str).collect();
                let what = match known.is_empty() {
                    true => "no such name under collector.snmp.credentials, which is empty".to_owned(),
                    false => format!("no such name under collector.snmp.credentials: {}", known.join(", ")),
                };
                report.wrong(&format!("{key}.{i}"), what);
            }
        }
    }
}

impl Check for Credential {
    fn check(&self, report: &mut Report) {
        if self.version != Version::V3 {
            if self.community.as_ref().is_none_or(|c| c.expose().is_empty()) {
                report.wrong("", "versions 1 and 2c need `community`");
            }
            let three = [
                ("user", self.user.is_some()),
                ("auth", self.auth.is_some()),
                ("priv", self.privacy.is_some()),
                ("context", !self.context.is_empty()),
            ];
            for (key, _) in three.into_iter().filter(|(_, set)| *set) {
                report.wrong(key, "belongs to version 3");
            }
            return;
        }
        if self.user.as_ref().is_none_or(String::is_empty) {
            report.wrong("", "version 3 needs `user`");
        }
        if self.community.is_some() {
            report.wrong("community", "belongs to versions 1 and 2c");
        }
        if self.privacy.is_some() && self.auth.is_none() {
            report.wrong("priv", "needs `auth` beside it");
        }
        let auth = self.auth.as_ref().map(|a| ("auth.password", &a.password));
        let privacy = self.privacy.as_ref().map(|p| ("priv.password", &p.password));
        for (key, password) in auth.into_iter().chain(privacy) {
            if password.expose().chars().count() < SHORTEST_PASSWORD {
                report.wrong(key, "shorter than 8 characters");
            }
        }
    }
}

/// `HOST:PORT`, or a host alone.
fn is_address(text: &str) -> bool {
    let text = text.strip_prefix("tcp:").or_else(|| text.strip_prefix("udp:")).unwrap_or(text);
    let text = text.strip_prefix("//").unwrap_or(text);
    let alone =
        |host: &str| host.parse::<IpAddr>().is_ok() || format!("{host}:161").parse::<HostPort>().is_ok();
    text.parse::<HostPort>().map_or_else(|_| alone(text), |a| a.port != 0)
}

fn is_socket(text: &str) -> bool {
    let rest = text.strip_prefix("udp://").or_else(|| text.strip_prefix("tcp://"));
    rest.is_some_and(|address| address.parse::<HostPort>().is_ok())
}

fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.len() <= 3 && bits.bytes().all(|b| b.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|b| b <= most)
}
