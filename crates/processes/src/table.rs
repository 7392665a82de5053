use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::fast::RandomState;
use telegen_model::{KeyValue, ProcessKey, Resource, semconv as s};
use telegen_sys::{Cgroup, ProcInfo, cgroup_of, environment, process, read_foreign};

use crate::discovery::{Discovery, Subject};
use crate::identity::{HostIdentity, instance_id, pair, parse_attributes};
use crate::naming::{
    NameSource, Named, Runtime, clean, executable_name, is_spawned_worker, runtime_name, runtime_of,
};

/// Processes at most; the oldest ended one makes room, else the new one stays unknown and is counted.
const PROCESSES_MAX: usize = 32_768;
/// Ended processes at most that are kept for records still under way.
const ENDED_MAX: usize = 4096;
/// How long an ended process is kept, ns.
const ENDED_KEEP_NS: u64 = 30_000_000_000;
/// Ports at most that are kept of a process.
const PORTS_MAX: usize = 64;

/// What an exec event carries.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    /// What was executed: a script's own path.
    pub path: String,
    /// What runs: a script's interpreter.
    pub interp: String,
    /// Arguments, `argv[0]` first.
    pub argv: Vec<String>,
    /// Parent.
    pub ppid: u32,
    /// Which execution this is.
    pub execution: Execution,
}

/// One execution of a process, as the kernel tells it from others: what was decided about a process holds for it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Start of the process, ns since boot; 0 where a scan found it.
    pub start: u64,
    /// The kernel's count of executions (`task_struct::self_exec_id`); `u32::MAX` where a scan found it.
    pub id: u32,
}

impl Default for Execution {
    fn default() -> Execution {
        Execution { start: 0, id: u32::MAX }
    }
}

/// Whether a process is traced, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Whether it is.
    pub selected: bool,
    /// The rule that decided, such as `exclude[0]`; `None` when none did.
    pub rule: Option<String>,
}

/// A process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Who it is.
    pub key: ProcessKey,
    /// Parent.
    pub ppid: u32,
    /// Executable.
    pub exe: PathBuf,
    /// Container and unit.
    pub cgroup: Cgroup,
    /// Service name and where it came from.
    pub service: Named,
    /// Service namespace, or empty.
    pub namespace: String,
    /// Pairs of the process's own `OTEL_RESOURCE_ATTRIBUTES`.
    own: Vec<(String, String)>,
    /// What runs its code.
    pub runtime: Runtime,
    /// TCP ports it listens on, sorted.
    pub ports: Vec<u16>,
    /// `service.instance.id`.
    pub instance: String,
    /// For spans, logs and profiles: with `process.*`.
    pub resource: Arc<Resource>,
    /// For metrics: one for all processes of an instance.
    pub instance_resource: Arc<Resource>,
    /// Whether it is traced.
    pub selection: Selection,
    /// What `selection` is about.
    pub execution: Execution,
    /// Whether it was seen to export OTLP traces itself.
    pub exports_traces: bool,
    /// First and last time, ns since 1970, that one of its requests was over the capture budget, without a pause of more
    /// than [`BUDGET_PAUSE_NS`] between them.
    over_budget: Option<(u64, u64)>,
    ended: Option<u64>,
}

/// A process that was not over its budget for this long is within it again, ns.
const BUDGET_PAUSE_NS: u64 = 10_000_000_000;

impl Process {
    /// Since when it is over its capture budget, ns since 1970; `None` when it is not. `now`: likewise.
    pub fn over_budget_since(&self, now: u64) -> Option<u64> {
        let (since, last) = self.over_budget?;
        (now.abs_diff(last) <= BUDGET_PAUSE_NS).then_some(since)
    }
}

/// All processes that live, and for a while those that ended.
pub struct Table {
    host: HostIdentity,
    discovery: Discovery,
    own_unit: Cgroup,
    own_pid: u32,
    /// Asked once a request.
    live: HashMap<u32, Process, RandomState>,
    ended: VecDeque<Process>,
    instances: HashMap<String, Arc<Resource>>,
    refused: u64,
    changes: u64,
    /// When it was scanned, ns on the monotonic clock.
    scanned: u64,
}

impl Table {
    /// An empty table.
    pub fn new(host: HostIdentity, discovery: Discovery) -> Table {
        let own_pid = std::process::id();
        Table {
            host,
            discovery,
            own_unit: cgroup_of(own_pid),
            own_pid,
            live: HashMap::default(),
            ended: VecDeque::new(),
            instances: HashMap::new(),
            refused: 0,
            changes: 0,
            scanned: 0,
        }
    }

    /// Enters every process that runs now. `listeners` are (pid, port) pairs, looked for after `now`: what happened to a
    /// process before it, and is told of only later, is in what is found.
    pub fn scan(&mut self, listeners: &[(u32, u16)], now: u64) {
        self.scanned = now;
        for pid in telegen_sys::pids() {
            if let Some(info) = process(pid)
                && !info.kernel
            {
                let ports = listeners.iter().filter(|(p, _)| *p == pid).map(|(_, port)| *port).collect();
                self.enter(info, ports, Execution::default());
            }
        }
    }

    /// A process began to run a program. Gives the process as it is now known.
    pub fn exec(&mut self, key: ProcessKey, exec: &Exec, now: u64) -> Option<&Process> {
        if self.has_seen(key, exec.execution, now) {
            return self.live.get(&key.pid);
        }
        let before = self.live.get(&key.pid).map(|p| p.exe.clone());
        self.retire(key.pid, now);
        let mut info = process(key.pid).filter(|p| p.start == key.start).unwrap_or_default();
        // Of a process that has ended, and waits for its parent, /proc keeps the number alone.
        if info.exe.as_os_str().is_empty() {
            info = ProcInfo {
                pid: key.pid,
                ppid: exec.ppid,
                start: key.start,
                exe: PathBuf::from(if exec.interp.is_empty() { &exec.path } else { &exec.interp }),
                argv: exec.argv.clone(),
                kernel: false,
            };
            // A program that starts itself anew by this path is what it was.
            if let (Some(before), true) = (before, info.exe == Path::new("/proc/self/exe")) {
                info.exe = before;
            }
        }
        self.enter(info, Vec::new(), exec.execution)
    }

    /// Whether the scan found what happened at `now`; which execution it found is known only by this.
    fn has_seen(&mut self, key: ProcessKey, execution: Execution, now: u64) -> bool {
        let found = self.live.get_mut(&key.pid).filter(|p| p.key == key && now < self.scanned);
        found.map(|p| p.execution = execution).is_some()
    }

    /// A process was forked: until it executes something it is what its parent is.
    pub fn fork(&mut self, key: ProcessKey, parent: u32, execution: Execution, now: u64) -> Option<&Process> {
        if self.has_seen(key, execution, now) {
            return self.live.get(&key.pid);
        }
        self.retire(key.pid, now);
        let Some(parent) = self.live.get(&parent) else {
            let info = process(key.pid).filter(|p| p.start == key.start && !p.kernel)?;
            return self.enter(info, Vec::new(), execution);
        };
        let mut child = parent.clone();
        child.ppid = parent.key.pid;
        child.key = key;
        child.execution = execution;
        child.ended = None;
        child.resource = self.process_resource(&child);
        self.insert(child)
    }

    /// A process ended; it is kept a while for records still under way.
    pub fn exit(&mut self, key: ProcessKey, now: u64) {
        if self.live.get(&key.pid).is_some_and(|p| p.key == key) {
            self.retire(key.pid, now);
        }
    }

    /// A process began to listen on a TCP port. Gives the process when that was news.
    pub fn listen(&mut self, pid: u32, port: u16) -> Option<&Process> {
        let p = self.live.get_mut(&pid)?;
        let Err(at) = p.ports.binary_search(&port) else { return None };
        if p.ports.len() >= PORTS_MAX {
            return None;
        }
        p.ports.insert(at, port);
        let p = p.clone();
        let p = self.complete(p);
        self.insert(p)
    }

    /// A living process, or one that ended lately.
    pub fn get(&self, pid: u32) -> Option<&Process> {
        self.live.get(&pid).or_else(|| self.ended.iter().rev().find(|p| p.key.pid == pid))
    }

    /// A process that is exactly this one.
    pub fn get_exact(&self, key: ProcessKey) -> Option<&Process> {
        match self.live.get(&key.pid) {
            Some(p) if p.key.start == key.start => Some(p),
            _ => self.ended.iter().rev().find(|p| p.key == key),
        }
    }

    /// Reads a process that no event told of.
    pub fn discover(&mut self, pid: u32) -> Option<&Process> {
        let info = process(pid).filter(|p| !p.kernel)?;
        self.enter(info, Vec::new(), Execution::default())
    }

    /// A process was seen to export OTLP traces itself; `true` when that is news.
    pub fn mark_exporter(&mut self, pid: u32) -> bool {
        let news = self.live.get_mut(&pid).is_some_and(|p| !std::mem::replace(&mut p.exports_traces, true));
        self.changes += u64::from(news);
        news
    }

    /// A request of a process was over the capture budget at a time, ns since 1970.
    pub fn mark_over_budget(&mut self, pid: u32, now: u64) {
        if let Some(p) = self.live.get_mut(&pid) {
            p.over_budget = Some((p.over_budget_since(now).unwrap_or(now), now));
            self.changes += 1;
        }
    }

    /// Judges every process by other rules, and gives those about which another verdict came out.
    pub fn judge_anew(&mut self, discovery: Discovery) -> Vec<u32> {
        self.discovery = discovery;
        let mut moved = Vec::new();
        // Of those that ended records may still be under way.
        for p in self.live.values_mut().chain(&mut self.ended) {
            let selection = judge(&self.discovery, self.own_pid, p);
            if selection.selected != p.selection.selected && p.ended.is_none() {
                moved.push(p.key.pid);
            }
            p.selection = selection;
        }
        self.changes += 1;
        moved
    }

    /// Living processes.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.live.values()
    }

    /// How often something about a living process has changed: what was told of them holds while this does. That one is
    /// within its budget again is no change.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Processes that found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Forgets processes that ended long ago, and gives their pids.
    pub fn tick(&mut self, now: u64) {
        while let Some(p) = self.ended.front() {
            if self.ended.len() <= ENDED_MAX && p.ended.is_some_and(|e| now.saturating_sub(e) < ENDED_KEEP_NS)
            {
                break;
            }
            self.ended.pop_front();
        }
        if self.instances.len() > PROCESSES_MAX {
            self.instances.clear();
        }
    }

    fn retire(&mut self, pid: u32, now: u64) {
        if let Some(mut p) = self.live.remove(&pid) {
            self.changes += 1;
            p.ended = Some(now);
            self.ended.push_back(p);
            if self.ended.len() > ENDED_MAX {
                self.ended.pop_front();
            }
        }
    }

    fn enter(&mut self, info: ProcInfo, mut ports: Vec<u16>, execution: Execution) -> Option<&Process> {
        ports.sort_unstable();
        ports.dedup();
        ports.truncate(PORTS_MAX);
        let mut env = environment(info.pid, &["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"]).into_iter();
        let env_name = env.next().flatten();
        let own = parse_attributes(&env.next().flatten().unwrap_or_default());
        let mut cgroup = cgroup_of(info.pid);
        if cgroup.unit == self.own_unit.unit {
            // What was started from the same service as Telegen itself is not that service.
            cgroup.unit = None;
        }
        let mut service = name_of(&info, env_name, &own, &cgroup, &self.own_unit);
        if service.source == NameSource::Executable
            && is_spawned_worker(&info.exe, &info.argv)
            && let Some(parent) = self.live.get(&info.ppid)
        {
            // A master and its workers are one.
            service = parent.service.clone();
            ports.clone_from(&parent.ports);
        }
        let namespace = value_of(&own, s::SERVICE_NAMESPACE).unwrap_or_default();
        let runtime = runtime_of(&info.exe);
        let p = Process {
            key: ProcessKey { pid: info.pid, start: info.start },
            ppid: info.ppid,
            exe: info.exe,
            cgroup,
            service,
            namespace,
            own,
            runtime,
            ports,
            instance: String::new(),
            resource: Arc::default(),
            instance_resource: Arc::default(),
            selection: Selection { selected: true, rule: None },
            execution,
            exports_traces: false,
            over_budget: None,
            ended: None,
        };
        let p = self.complete(p);
        self.insert(p)
    }

    /// Fills in what follows from the rest.
    fn complete(&mut self, mut p: Process) -> Process {
        p.selection = judge(&self.discovery, self.own_pid, &p);
        let place = p.cgroup.container_id.as_deref().unwrap_or(&self.host.host_key);
        p.instance = value_of(&p.own, s::SERVICE_INSTANCE_ID)
            .unwrap_or_else(|| instance_id(place, &p.namespace, &p.service.name, &p.ports));
        let key = format!("{}\u{0}{}\u{0}{}", p.instance, p.service.name, p.namespace);
        p.instance_resource = match self.instances.get(&key) {
            Some(r) => r.clone(),
            None => {
                let r = Arc::new(self.instance_resource(&p));
                self.instances.insert(key, r.clone());
                r
            }
        };
        p.resource = self.process_resource(&p);
        p
    }

    fn instance_resource(&self, p: &Process) -> Resource {
        let mut attrs = vec![
            KeyValue::new(s::SERVICE_NAME, p.service.name.as_str()),
            KeyValue::new(s::SERVICE_INSTANCE_ID, p.instance.as_str()),
        ];
        if !p.namespace.is_empty() {
            attrs.push(KeyValue::new(s::SERVICE_NAMESPACE, p.namespace.as_str()));
        }
        if let Some(id) = &p.cgroup.container_id {
            attrs.push(KeyValue::new(s::CONTAINER_ID, id.as_str()));
        }
        attrs.extend(self.host.attrs.iter().cloned());
        // The process's own words come last: of pairs with one key the first stands.
        attrs.extend(p.own.iter().map(|(k, v)| pair(k, v)));
        Resource::new(attrs)
    }

    fn process_resource(&self, p: &Process) -> Arc<Resource> {
        let mut attrs = vec![KeyValue::new(s::PROCESS_PID, p.key.pid)];
        if let Some(exe) = p.exe.to_str().filter(|e| !e.is_empty()) {
            attrs.push(KeyValue::new(s::PROCESS_EXECUTABLE_PATH, exe));
            attrs.push(KeyValue::new(s::PROCESS_EXECUTABLE_NAME, executable_name(Path::new(exe))));
        }
        if !p.runtime.name.is_empty() {
            attrs.push(KeyValue::new(s::PROCESS_RUNTIME_NAME, p.runtime.name));
        }
        if !p.runtime.version.is_empty() {
            attrs.push(KeyValue::new(s::PROCESS_RUNTIME_VERSION, p.runtime.version.as_str()));
        }
        Arc::new(p.instance_resource.with(attrs))
    }

    fn insert(&mut self, p: Process) -> Option<&Process> {
        let pid = p.key.pid;
        if self.live.len() >= PROCESSES_MAX && !self.live.contains_key(&pid) {
            self.refused += 1;
            return None;
        }
        self.changes += 1;
        self.live.insert(pid, p);
        self.live.get(&pid)
    }
}

/// Whether a process is traced; Telegen itself never is.
fn judge(discovery: &Discovery, own_pid: u32, p: &Process) -> Selection {
    let (selected, rule) = discovery.decide(&Subject {
        ports: &p.ports,
        exe: &p.exe.to_string_lossy(),
        service: &p.service.name,
        container: p.cgroup.container_id.as_deref(),
        namespace: &p.namespace,
    });
    Selection { selected: selected && p.key.pid != own_pid, rule }
}

fn value_of(pairs: &[(String, String)], key: &str) -> Option<String> {
    pairs.iter().find(|(k, _)| k == key).map(|(_, v)| clean(v)).filter(|v| !v.is_empty())
}

fn name_of(
    info: &ProcInfo,
    env_name: Option<String>,
    own: &[(String, String)],
    cgroup: &Cgroup,
    own_cgroup: &Cgroup,
) -> Named {
    let from =
        |name: Option<String>, source| name.filter(|n| !n.is_empty()).map(|name| Named { name, source });
    let container = cgroup
        .container_id
        .as_ref()
        // A 64-digit id is not a name; Telegen's own container's name is not that of its neighbours in it.
        .filter(|id| id.len() != 64 && own_cgroup.container_id.as_ref() != Some(id))
        .map(|id| clean(id));
    from(env_name.map(|n| clean(&n)), NameSource::Environment)
        .or_else(|| from(value_of(own, s::SERVICE_NAME), NameSource::Environment))
        .or_else(|| from(container, NameSource::Container))
        .or_else(|| from(cgroup.unit.as_deref().map(clean), NameSource::Unit))
        .or_else(|| {
            from(
                runtime_name(&info.exe, &info.argv, |script| package_name(info.pid, script)),
                NameSource::Runtime,
            )
        })
        .or_else(|| from(Some(executable_name(&info.exe)), NameSource::Executable))
        .or_else(|| from(info.argv.first().map(|a| executable_name(Path::new(a))), NameSource::Executable))
        .unwrap_or_else(|| Named { name: "unknown".into(), source: NameSource::Executable })
}

/// `name` of the nearest `package.json` above a script, within three folders.
fn package_name(pid: u32, script: &str) -> Option<String> {
    let script = Path::new(script);
    let absolute = if script.is_absolute() {
        script.to_owned()
    } else {
        std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?.join(script)
    };
    absolute.ancestors().skip(1).take(3).find_map(|folder| {
        let text = read_foreign(pid, &folder.join("package.json"), 64 * 1024)?;
        let text = String::from_utf8(text).ok()?;
        json_name(&text)
    })
}

/// The text of the top-level `"name"` of a package description: the first such key that no nested object holds.
fn json_name(text: &str) -> Option<String> {
    let (mut depth, mut chars) = (0, text.char_indices());
    while let Some((_, c)) = chars.next() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            '"' => {
                let word = string(&mut chars)?;
                if depth == 1 && word == "name" {
                    let rest = text[chars.clone().next()?.0..].trim_start().strip_prefix(':')?.trim_start();
                    return rest.starts_with('"').then(|| string(&mut rest[1..].char_indices())).flatten();
                }
            }
            _ => {}
        }
    }
    None
}

fn string(chars: &mut std::str::CharIndices<'_>) -> Option<String> {
    let mut out = String::new();
    loop {
        match chars.next()?.1 {
            '"' => return Some(out),
            '\\' => out.push(chars.next()?.1),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Rule;
    use telegen_sys::Host;

    fn table(discovery: Discovery) -> Table {
        let host = Host { name: "h".into(), id: "0123".into(), arch: "amd64".into(), ..Host::default() };
        Table::new(HostIdentity::new(&host, "1.2.3", &[("team".into(), "a".into())]), discovery)
    }

    fn exec(path: &str, argv: &[&str]) -> Exec {
        Exec {
            path: path.into(),
            interp: path.into(),
            argv: argv.iter().map(|a| (*a).to_owned()).collect(),
            ppid: 1,
            execution: Execution::default(),
        }
    }

    // A pid that no process can have (the limit is 4194304).
    const GONE: u32 = 5_000_000;

    #[test]
    fn what_is_told_after_the_scan_and_was_before_it_takes_nothing_back() {
        let mut t = table(Discovery::default());
        let pid = std::process::id();
        t.scan(&[(pid, 8080)], 100);
        let (key, exe) = t.get(pid).map(|p| (p.key, p.exe.clone())).unwrap();
        let told = |id| Exec { execution: Execution { start: 7, id }, ..exec("/bin/sh", &["sh"]) };
        let ports = |p: Option<&Process>| p.map(|p| (p.ports.clone(), p.execution.id, p.exe == exe));
        assert_eq!(ports(t.fork(key, 1, Execution { start: 7, id: 1 }, 98)), Some((vec![8080], 1, true)));
        assert_eq!(ports(t.exec(key, &told(2), 99)), Some((vec![8080], 2, true)));
        assert_eq!(ports(t.exec(key, &told(3), 100)), Some((vec![], 3, true)));
    }

    #[test]
    fn workers_that_python_spawns_are_the_service_of_their_master() {
        let mut t = table(Discovery::default());
        let (master, worker) = (ProcessKey { pid: GONE, start: 77 }, ProcessKey { pid: GONE + 1, start: 78 });
        t.exec(master, &exec("/usr/bin/python3.11", &["python3.11", "-m", "uvicorn", "shop:app"]), 100);
        t.listen(master.pid, 8080);
        let code = "from multiprocessing.spawn import spawn_main; spawn_main(7)";
        let told = Exec { ppid: GONE, ..exec("/usr/bin/python3.11", &["python3.11", "-c", code]) };
        let worker = t.exec(worker, &told, 101).map(|p| (p.service.name.clone(), p.instance.clone()));
        let master = t.get(master.pid).map(|p| (p.service.name.clone(), p.instance.clone()));
        assert_eq!(worker, master);
        assert_eq!(worker.map(|w| w.0).as_deref(), Some("shop"));
    }

    #[test]
    fn a_process_that_is_gone_is_named_by_its_exec_event() {
        let mut t = table(Discovery::default());
        let key = ProcessKey { pid: GONE, start: 77 };
        t.exec(key, &exec("/usr/bin/python3.11", &["python3", "/srv/worker.py"]), 0);
        t.exit(key, 1);
        let p = t.get_exact(key).unwrap();
        assert_eq!((p.service.name.as_str(), p.service.source), ("worker", NameSource::Runtime));
        assert_eq!(p.resource.text(s::PROCESS_EXECUTABLE_NAME), Some("python3.11"));
        assert_eq!(p.resource.text(s::PROCESS_RUNTIME_NAME), Some("cpython"));
        assert_eq!(p.instance_resource.text(s::PROCESS_EXECUTABLE_NAME), None);
        assert_eq!(p.instance_resource.text("team"), Some("a"));
        assert_eq!(t.get_exact(ProcessKey { pid: GONE, start: 78 }).map(|p| p.key), None);
    }

    #[test]
    fn a_process_is_over_its_budget_until_it_was_within_for_ten_seconds() {
        let mut t = table(Discovery::default());
        let key = ProcessKey { pid: GONE, start: 77 };
        t.exec(key, &exec("/usr/bin/flood", &["flood"]), 0);
        let since = |t: &Table, at: u64| t.get(GONE).unwrap().over_budget_since(at * 1_000_000_000);
        assert_eq!(since(&t, 100), None);
        t.mark_over_budget(GONE, 100_000_000_000);
        t.mark_over_budget(GONE, 109_000_000_000);
        assert_eq!((since(&t, 119), since(&t, 120)), (Some(100_000_000_000), None));
        t.mark_over_budget(GONE, 130_000_000_000);
        assert_eq!(since(&t, 131), Some(130_000_000_000));
    }

    #[test]
    fn a_zombie_is_named_by_its_exec_event() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let key = loop {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            if stat.contains(") Z ") {
                break ProcessKey { pid, start: telegen_sys::start_ticks(pid).unwrap() };
            }
            std::thread::yield_now();
        };
        let mut t = table(Discovery::default());
        let named = t.exec(key, &exec("/usr/bin/true", &["true"]), 0).unwrap().service.name.clone();
        child.wait().unwrap();
        assert_eq!(named, "true");
    }

    #[test]
    fn a_thousand_one_shot_processes_are_one_instance() {
        let mut t = table(Discovery::default());
        let mut seen = std::collections::HashSet::new();
        for i in 0..1000 {
            let p =
                t.exec(ProcessKey { pid: GONE + i, start: 1 }, &exec("/usr/bin/curl", &["curl"]), 0).unwrap();
            seen.insert(Arc::as_ptr(&p.instance_resource));
        }
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn a_fork_is_its_parent_until_it_executes() {
        let mut t = table(Discovery::default());
        t.exec(ProcessKey { pid: GONE, start: 1 }, &exec("/usr/sbin/nginx", &["nginx"]), 0);
        t.listen(GONE, 80);
        let parent = t.get(GONE).unwrap().instance.clone();
        let child = t.fork(ProcessKey { pid: GONE + 1, start: 2 }, GONE, Execution::default(), 0).unwrap();
        assert_eq!((child.instance.as_str(), child.ports.as_slice()), (parent.as_str(), &[80u16][..]));
        assert_eq!(child.resource.get(s::PROCESS_PID).unwrap().as_int(), Some(i64::from(GONE) + 1));
    }

    #[test]
    fn a_port_rule_selects_once_the_process_listens() {
        let rule = Rule { ports: Some((80, 80)), ..Rule::default() };
        let mut t = table(Discovery { include: vec![rule], exclude: vec![] });
        let p = t.exec(ProcessKey { pid: GONE, start: 1 }, &exec("/usr/sbin/nginx", &["nginx"]), 0).unwrap();
        assert!(!p.selection.selected);
        assert!(t.listen(GONE, 80).unwrap().selection.selected);
        assert!(t.listen(GONE, 80).is_none());
    }

    #[test]
    fn other_rules_judge_every_process_anew() {
        let rule = |service: &str| Rule { service: Some(service.into()), ..Rule::default() };
        let mut t = table(Discovery::default());
        for (pid, name) in [(GONE, "a"), (GONE + 1, "b"), (GONE + 2, "b")] {
            t.exec(ProcessKey { pid, start: 1 }, &exec(&format!("/x/{name}"), &[name]), 0);
        }
        t.exit(ProcessKey { pid: GONE + 2, start: 1 }, 1);
        let before = t.changes();
        let moved = t.judge_anew(Discovery { include: vec![], exclude: vec![rule("b")] });
        assert_eq!((moved, t.changes() > before), (vec![GONE + 1], true));
        let selection = |t: &Table, pid| t.get(pid).unwrap().selection.clone();
        assert_eq!(selection(&t, GONE), Selection { selected: true, rule: None });
        for pid in [GONE + 1, GONE + 2] {
            assert_eq!(selection(&t, pid), Selection { selected: false, rule: Some("exclude[0]".into()) });
        }
        // The same verdict by another rule is none that the kernel must be told.
        assert!(t.judge_anew(Discovery { include: vec![rule("a")], exclude: vec![] }).is_empty());
        assert_eq!(selection(&t, GONE).rule.as_deref(), Some("include[0]"));
    }

    #[test]
    fn a_package_is_named_by_its_own_name_not_a_nested_one() {
        assert_eq!(json_name(r#"{"author":{"name":"x"}, "name" : "@a/b\"c"}"#).as_deref(), Some("@a/b\"c"));
        assert_eq!(json_name(r#"{"a":["name"]}"#), None);
    }
}
