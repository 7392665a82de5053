use std::path::Path;

/// Something the kernel half cannot do without, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// What is missing.
    pub reason: String,
    /// How to get it.
    pub remedy: String,
}

/// Capabilities the socket tap needs, by bit in `/proc/self/status`' `CapEff`.
const CAPABILITIES: [(u32, &str); 2] = [(39, "CAP_BPF"), (38, "CAP_PERFMON")];
const CAP_SYS_ADMIN: u32 = 21;

/// Looks for what the socket tap and the process probes need, without loading anything.
pub fn probe() -> Result<(), Need> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|l| l.strip_prefix("CapEff:"))
        .and_then(|v| u64::from_str_radix(v.trim(), 16).ok())
        .unwrap_or(0);
    let has = |bit: u32| effective & (1 << bit) != 0;
    let missing: Vec<&str> = CAPABILITIES
        .iter()
        .filter(|(bit, _)| !has(*bit) && !has(CAP_SYS_ADMIN))
        .map(|(_, name)| *name)
        .collect();
    if !missing.is_empty() {
        return Err(Need {
            reason: reason(&missing),
            remedy: format!("run as root, or give the program {}", missing.join(",").to_lowercase()),
        });
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Err(Need {
            reason: "the kernel has no BTF (/sys/kernel/btf/vmlinux)".into(),
            remedy: "run a kernel built with CONFIG_DEBUG_INFO_BTF".into(),
        });
    }
    Ok(())
}

fn reason(missing: &[&str]) -> String {
    format!("{} {} missing", missing.join(" and "), if missing.len() == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_in_plain_english() {
        assert_eq!(reason(&["CAP_BPF"]), "CAP_BPF is missing");
        assert_eq!(reason(&["CAP_BPF", "CAP_PERFMON"]), "CAP_BPF and CAP_PERFMON are missing");
    }
}
