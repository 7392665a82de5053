//! Settings under `agent.discovery`: which processes are watched.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::{Check, Report};

/// Which processes are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoverySettings {
    /// Processes that match one of these rules; empty is everything.
    #[schemars(example = DiscoveryRule::examples())]
    pub include: Vec<DiscoveryRule>,
    /// Processes that match one of these rules are left out, also where `include` has them.
    #[schemars(example = DiscoveryRule::exclude_examples())]
    pub exclude: Vec<DiscoveryRule>,
}

/// A rule selects the processes that match all of its keys. `*` stands for any characters, `?` for one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoveryRule {
    /// A port, or a range `8000-8999`, that the process listens on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub port: Option<PortRange>,
    /// Path of the executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// Service name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Container id or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Service or Kubernetes namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl DiscoveryRule {
    fn examples() -> Vec<DiscoveryRule> {
        let port = Some(PortRange { first: 8000, last: 8999 });
        vec![DiscoveryRule { port, exe: Some("/usr/*".to_owned()), ..DiscoveryRule::default() }]
    }

    fn exclude_examples() -> Vec<DiscoveryRule> {
        vec![DiscoveryRule { service: Some("load-generator".to_owned()), ..DiscoveryRule::default() }]
    }
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

impl PortRange {
    /// Whether a port is in the range.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl FromStr for PortRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<PortRange, &'static str> {
        const EXPECTED: &str = "expected a port or a range of ports, such as 8080 or 8000-8999";
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |t: &str| t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse::<u16>().ok())?;
        match (port(first), port(last)) {
            (Some(first), Some(last)) if 0 < first && first <= last => Ok(PortRange { first, last }),
            _ => Err(EXPECTED),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl TryFrom<String> for PortRange {
    type Error = &'static str;

    fn try_from(text: String) -> Result<PortRange, &'static str> {
        text.parse()
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> String {
        range.to_string()
    }
}

impl Check for DiscoverySettings {
    fn check(&self, report: &mut Report) {
        for (list, rules) in [("include", &self.include), ("exclude", &self.exclude)] {
            for (i, rule) in rules.iter().enumerate() {
                if *rule == DiscoveryRule::default() {
                    let what = "a rule needs one of port, exe, service, container, namespace";
                    report.wrong(&format!("{list}.{i}"), what);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_includes_both_ends() {
        let range: PortRange = "8000-8999".parse().unwrap();
        assert!(range.contains(8000) && range.contains(8999));
        assert!(!range.contains(7999) && !range.contains(9000));
        assert_eq!("80".parse(), Ok(PortRange { first: 80, last: 80 }));
        for wrong in ["", "0", "9-8", "x", "1-", "70000", "1-2-3"] {
            assert!(wrong.parse::<PortRange>().is_err(), "{wrong}");
        }
    }
}
