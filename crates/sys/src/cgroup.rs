use crate::procfs::read_bounded;

/// What the cgroup paths of a process tell of where it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Container id: the runtime's hexadecimal id, or the name where the runtime uses names.
    pub container_id: Option<String>,
    /// systemd service, without `.service`.
    pub unit: Option<String>,
}

/// Reads `/proc/PID/cgroup` (v1 and v2 lines alike).
pub fn cgroup_of(pid: u32) -> Cgroup {
    let bytes = read_bounded(&format!("/proc/{pid}/cgroup"), 64 * 1024);
    parse(&String::from_utf8_lossy(&bytes))
}

fn parse(text: &str) -> Cgroup {
    let mut found = Cgroup::default();
    for line in text.lines() {
        let Some(path) = line.splitn(3, ':').nth(2) else { continue };
        if found.container_id.is_none() {
            found.container_id = container_id(path);
        }
        if found.unit.is_none() {
            found.unit = unit(path);
        }
    }
    found
}

/// The last 64 hexadecimal digits of a path's segments, bare or with a runtime's prefix (`docker-`, `crio-`,
/// `cri-containerd-`, `libpod-`) and suffix (`.scope`); else the name of a plain containerd container, whose path is
/// `/NAMESPACE/NAME`.
fn container_id(path: &str) -> Option<String> {
    for segment in path.rsplit('/') {
        let bare = segment.strip_suffix(".scope").unwrap_or(segment);
        let id = bare.rsplit(['-', ':']).next().unwrap_or(bare);
        if id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Some(id.to_ascii_lowercase());
        }
    }
    let mut segments = path.strip_prefix('/')?.split('/');
    match (segments.next(), segments.next(), segments.next()) {
        (Some("default" | "moby" | "k8s.io"), Some(name), None)
            if !name.is_empty() && !name.contains('.') =>
        {
            Some(name.to_owned())
        }
        _ => None,
    }
}

/// The innermost `NAME.service`, unless it is a session's or a user manager's.
fn unit(path: &str) -> Option<String> {
    path.rsplit('/')
        .filter_map(|s| s.strip_suffix(".service"))
        .find(|name| !name.starts_with("user@") && !name.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, container: Option<&str>, unit: Option<&str>) {
        let found = parse(text);
        assert_eq!((found.container_id.as_deref(), found.unit.as_deref()), (container, unit), "{text}");
    }

    #[test]
    fn container_ids_of_all_runtimes_and_both_hierarchies() {
        let id = "3b1e5c2f0a9d8e7c6b5a493827161504f3e2d1c0b9a8978685746352413f2e1d";
        check(&format!("0::/system.slice/docker-{id}.scope"), Some(id), None);
        check(&format!("12:memory:/docker/{id}\n0::/"), Some(id), None);
        check(
            &format!("0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-{id}.scope"),
            Some(id),
            None,
        );
        check(&format!("0::/kubepods/besteffort/pod1234/{id}"), Some(id), None);
        check(&format!("0::/machine.slice/libpod-{id}.scope/container"), Some(id), None);
        check(
            &format!("0::/system.slice/containerd.service/kubepods:cri-containerd:{id}"),
            Some(id),
            Some("containerd"),
        );
        check("5:cpu:/default/web\n0::/default/web", Some("web"), None);
    }

    #[test]
    fn units_are_the_innermost_service() {
        check("0::/system.slice/nginx.service", None, Some("nginx"));
        check("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app.service", None, Some("app"));
        check("0::/user.slice/user-1000.slice/user@1000.service/init.scope", None, None);
        check("0::/", None, None);
        check("0::/system.slice/template@a.service/x", None, Some("template@a"));
    }
}
