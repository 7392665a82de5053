//! Resources: who an instance is, and what all telemetry of this host says of the host.

use telegen_model::{KeyValue, Str, Value, semconv as s};
use telegen_sys::Host;
use uuid::Uuid;

/// What every resource of this host begins with.
#[derive(Clone, Debug)]
pub struct HostIdentity {
    /// `host.*`, `os.*`, `telemetry.distro.*`, and what the user added.
    pub(crate) attrs: Vec<KeyValue>,
    pub(crate) host_key: String,
}

impl HostIdentity {
    /// Builds it; `extra` (`resource.attributes` of the configuration) wins over what was found.
    pub fn new(host: &Host, version: &'static str, extra: &[(String, String)]) -> HostIdentity {
        let mut attrs: Vec<KeyValue> = extra.iter().map(|(k, v)| pair(k, v)).collect();
        let mut add = |key: &'static str, value: &str| {
            if !value.is_empty() {
                attrs.push(KeyValue::new(key, value));
            }
        };
        add(s::HOST_NAME, &host.name);
        // Every resource has an id: without a machine id the node name has to tell hosts apart.
        let fallback = Uuid::new_v5(&NAMESPACE, host.name.as_bytes()).to_string();
        add(s::HOST_ID, if host.id.is_empty() { &fallback } else { &host.id });
        add(s::HOST_ARCH, &host.arch);
        add(s::OS_TYPE, "linux");
        add(s::OS_NAME, &host.os_name);
        add(s::OS_VERSION, &host.os_version);
        add(s::OS_DESCRIPTION, &host.os_description);
        add(s::TELEMETRY_DISTRO_NAME, "telegen");
        add(s::TELEMETRY_DISTRO_VERSION, version);
        let host_key = if host.id.is_empty() { host.name.clone() } else { host.id.clone() };
        HostIdentity { attrs, host_key }
    }

    /// A resource of this host; `more` wins over what the host says of itself.
    pub fn resource(&self, mut more: Vec<KeyValue>) -> telegen_model::Resource {
        more.extend(self.attrs.iter().cloned());
        telegen_model::Resource::new(more)
    }

    /// `service.instance.id` of a service of the host itself that listens on nothing.
    pub fn instance_id(&self, service: &str) -> String {
        instance_id(&self.host_key, "", service, &[])
    }
}

/// Name space of Telegen's version 5 ids; never changed, or every instance would get a new id.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c1c_6f0e_2b0d_5a3e_9d5f_0a7e_1f4b_8c21);

/// An instance is a service within a container or on a host; two of one name differ by what they listen on.
pub(crate) fn instance_id(place: &str, namespace: &str, service: &str, ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let name = format!("{place}\u{0}{namespace}\u{0}{service}\u{0}{}", ports.join(","));
    Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
}

/// Pairs of `OTEL_RESOURCE_ATTRIBUTES`: `key=value,key=value`, values percent-encoded (OpenTelemetry SDK environment
/// specification). Pairs that are not of that form are left out.
pub(crate) fn parse_attributes(text: &str) -> Vec<(String, String)> {
    text.split(',')
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = key.trim();
            (!key.is_empty() && key.len() <= 256).then(|| (key.to_owned(), percent_decoded(value.trim())))
        })
        .take(64)
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = bytes.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok());
        match (bytes[i], hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                i += 3;
            }
            (byte, _) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).chars().filter(|c| !c.is_control()).take(1024).collect()
}

pub(crate) fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: Str::new(key), value: Value::from(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_keeps_its_id_and_ports_tell_two_apart() {
        let a = instance_id("host", "", "nginx", &[80]);
        assert_eq!(a, instance_id("host", "", "nginx", &[80]));
        assert_ne!(a, instance_id("host", "", "nginx", &[81]));
        assert_ne!(a, instance_id("other", "", "nginx", &[80]));
        assert_eq!(Uuid::parse_str(&a).unwrap().get_version_num(), 5);
    }

    #[test]
    fn resource_attributes_are_split_and_decoded() {
        assert_eq!(
            parse_attributes("service.name=a%20b,, team = x ,bad,k=%zz"),
            [("service.name", "a b"), ("team", "x"), ("k", "%zz")].map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
    }
}
