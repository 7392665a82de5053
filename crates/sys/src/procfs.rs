use std::fs;
use std::io::Read;
use std::path::PathBuf;

/// Nanoseconds of a clock tick as `/proc` counts them (USER_HZ is 100 on every Linux).
pub const TICK_NS: u64 = 10_000_000;

/// Largest part of a command line that is read.
const CMDLINE_MAX: u64 = 4096;
/// Largest part of an environment that is searched.
const ENVIRON_MAX: u64 = 128 * 1024;

/// What `/proc/PID` tells of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcInfo {
    /// Process id.
    pub pid: u32,
    /// Parent.
    pub ppid: u32,
    /// Start in clock ticks since boot (field 22 of `stat`).
    pub start: u64,
    /// Executable; empty for kernel threads and where reading it is not allowed.
    pub exe: PathBuf,
    /// Arguments, lossily decoded.
    pub argv: Vec<String>,
    /// Whether it is a kernel thread.
    pub kernel: bool,
}

/// All process ids.
pub fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// Reads a process; `None` when it is gone.
pub fn process(pid: u32) -> Option<ProcInfo> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (ppid, start, flags) = parse_stat(&stat)?;
    // include/linux/sched.h: PF_KTHREAD
    let kernel = flags & 0x0020_0000 != 0;
    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let argv = split_argv(&read_bounded(&format!("/proc/{pid}/cmdline"), CMDLINE_MAX));
    Some(ProcInfo { pid, ppid, start, exe: strip_deleted(exe), argv, kernel })
}

/// Start of a process in clock ticks since boot; `None` when it is gone.
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat).map(|(_, start, _)| start)
}

/// Values of the named keys in a process's environment, in the order of `keys`; nothing else of it is kept.
pub fn environment(pid: u32, keys: &[&str]) -> Vec<Option<String>> {
    let bytes = read_bounded(&format!("/proc/{pid}/environ"), ENVIRON_MAX);
    let mut found = vec![None; keys.len()];
    for entry in bytes.split(|b| *b == 0) {
        for (slot, key) in found.iter_mut().zip(keys) {
            if let Some(value) = entry.strip_prefix(key.as_bytes()).and_then(|r| r.strip_prefix(b"=")) {
                *slot = Some(String::from_utf8_lossy(value).into_owned());
            }
        }
    }
    found
}

/// Splits what the kernel keeps of the arguments; an argument cut at the end is kept as it is.
pub(crate) fn split_argv(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|b| *b == 0).map(|a| String::from_utf8_lossy(a).into_owned()).collect()
}

fn strip_deleted(exe: PathBuf) -> PathBuf {
    match exe.to_str().and_then(|s| s.strip_suffix(" (deleted)")) {
        Some(s) => PathBuf::from(s),
        None => exe,
    }
}

pub(crate) fn read_bounded(path: &str, max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(path)
        && file.take(max).read_to_end(&mut bytes).is_err()
    {
        bytes.clear();
    }
    bytes
}

/// Parent, start and flags. The name is in parentheses and may itself hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<(u32, u64, u64)> {
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut fields = rest.split_ascii_whitespace();
    let ppid = fields.nth(1)?.parse().ok()?;
    let flags = fields.nth(4)?.parse().ok()?;
    let start = fields.nth(12)?.parse().ok()?;
    Some((ppid, start, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1 2";
        assert_eq!(parse_stat(stat), Some((7, 123_456, 4_194_560)));
    }

    #[test]
    fn this_process_is_found_with_its_start_and_arguments() {
        let me = process(std::process::id()).unwrap();
        assert_eq!(Some(me.start), start_ticks(me.pid));
        assert_eq!(me.exe, std::env::current_exe().unwrap());
        assert!(!me.kernel && !me.argv.is_empty());
        assert!(pids().contains(&me.pid));
    }

    #[test]
    fn only_the_named_keys_of_an_environment_are_given() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(environment(std::process::id(), &["PATH", "TELEGEN_NO_SUCH_KEY"]), vec![Some(path), None]);
    }

    #[test]
    fn an_argument_may_be_empty_and_the_last_may_be_cut() {
        assert_eq!(split_argv(b"a\0\0bc\0"), ["a", "", "bc"]);
        assert_eq!(split_argv(b"a\0bc"), ["a", "bc"]);
        assert!(split_argv(b"").is_empty());
    }
}
