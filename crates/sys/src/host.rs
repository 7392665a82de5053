use std::fs;

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Node name.
    pub name: String,
    /// `/etc/machine-id`, else D-Bus's, else the firmware's product id; empty when there is none.
    pub id: String,
    /// As OpenTelemetry spells it: `amd64`, `arm64`, ...
    pub arch: String,
    /// `PRETTY_NAME` of `os-release`.
    pub os_description: String,
    /// `ID` of `os-release`.
    pub os_name: String,
    /// `VERSION_ID` of `os-release`.
    pub os_version: String,
    /// Boot id.
    pub boot_id: String,
}

impl Host {
    /// Reads it.
    pub fn read() -> Host {
        let uname = rustix::system::uname();
        let text = |path: &str| fs::read_to_string(path).map(|s| s.trim().to_owned()).unwrap_or_default();
        let id = ["/etc/machine-id", "/var/lib/dbus/machine-id", "/sys/class/dmi/id/product_uuid"]
            .iter()
            .map(|p| text(p))
            .find(|s| !s.is_empty() && s != "uninitialized")
            .unwrap_or_default();
        let release = [text("/etc/os-release"), text("/usr/lib/os-release")].join("\n");
        let field = |key: &str| {
            release
                .lines()
                .find_map(|l| l.strip_prefix(key)?.strip_prefix('='))
                .map(|v| v.trim_matches('"').to_owned())
                .unwrap_or_default()
        };
        let machine = uname.machine().to_string_lossy();
        let arch = match machine.as_ref() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "i686" | "i386" => "x86",
            other => other,
        };
        Host {
            name: uname.nodename().to_string_lossy().into_owned(),
            id,
            arch: arch.to_owned(),
            os_description: field("PRETTY_NAME"),
            os_name: field("ID"),
            os_version: field("VERSION_ID"),
            boot_id: text("/proc/sys/kernel/random/boot_id"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_a_name_and_an_architecture() {
        let host = Host::read();
        assert!(!host.name.is_empty() && !host.arch.is_empty() && !host.boot_id.is_empty());
    }
}
