use std::fs;

use telegen_model::{Metric, MetricData, NumberPoint, NumberValue, Temporality};

use crate::registry::{Window, attrs, gauge_metric, metric};

/// Clock ticks a second in `/proc` files: fixed at 100 for user space on every Linux architecture.
const TICKS: f64 = 100.0;

/// What the kernel says of this process; fields it does not tell are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    cpu_seconds: Option<f64>,
    start_seconds: Option<f64>,
    resident: Option<i64>,
    virtual_: Option<i64>,
    open_fds: Option<i64>,
    max_fds: Option<i64>,
    threads: Option<i64>,
}

pub(crate) fn metrics(window: Window, out: &mut Vec<Metric>) {
    usage().metrics(window, out);
}

fn usage() -> Usage {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut u = parse(&read("/proc/self/stat"), &read("/proc/self/status"), &read("/proc/self/limits"));
    // One entry is the descriptor that the listing itself uses.
    u.open_fds = fs::read_dir("/proc/self/fd")
        .ok()
        .and_then(|d| i64::try_from(d.count()).ok())
        .map(|n| (n - 1).max(0));
    let boot = read("/proc/stat");
    let btime =
        boot.lines().find_map(|l| l.strip_prefix("btime ")).and_then(|t| t.trim().parse::<f64>().ok());
    u.start_seconds = u.start_seconds.zip(btime).map(|(since_boot, boot)| boot + since_boot);
    u
}

/// Reads the three files as proc(5) describes them. `start_seconds` is since boot here.
fn parse(stat: &str, status: &str, limits: &str) -> Usage {
    // The command name may hold spaces and parentheses: fields count from the last ')'; the first is field 3.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, r)| r).split_ascii_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|v| v.parse::<f64>().ok()).map(|t| t / TICKS);
    let kib = |key: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(key))?;
        line.trim_start_matches(':').split_ascii_whitespace().next()?.parse::<i64>().ok()
    };
    let max = limits.lines().find_map(|l| l.strip_prefix("Max open files"));
    Usage {
        cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, system)| user + system),
        start_seconds: ticks(22),
        resident: kib("VmRSS").map(|k| k * 1024),
        virtual_: kib("VmSize").map(|k| k * 1024),
        open_fds: None,
        max_fds: max.and_then(|m| m.split_ascii_whitespace().next()?.parse().ok()),
        threads: kib("Threads"),
    }
}

impl Usage {
    fn metrics(&self, window: Window, out: &mut Vec<Metric>) {
        let double = |v: f64, start: u64| NumberPoint {
            attrs: attrs(&[]),
            start,
            time: window.now,
            value: NumberValue::Double(v),
            exemplars: Vec::new(),
        };
        if let Some(cpu) = self.cpu_seconds {
            let points = vec![double(cpu, window.start)];
            let data = MetricData::Sum { temporality: Temporality::Cumulative, monotonic: true, points };
            out.push(metric("process.cpu", "s", "Processor time of this process, user and system.", data));
        }
        if let Some(start) = self.start_seconds {
            let data = MetricData::Gauge(vec![double(start, 0)]);
            out.push(metric(
                "process.start_time",
                "s",
                "When this process began, in seconds since 1970.",
                data,
            ));
        }
        for (name, unit, help, value) in [
            ("process.resident_memory", "By", "Memory of this process that is resident.", self.resident),
            ("process.virtual_memory", "By", "Address space of this process.", self.virtual_),
            ("process.open_fds", "", "Open file descriptors of this process.", self.open_fds),
            ("process.max_fds", "", "File descriptors this process may open.", self.max_fds),
            ("process.threads", "", "Threads of this process.", self.threads),
        ] {
            if let Some(v) = value {
                out.push(gauge_metric(name, unit, help, window, vec![(attrs(&[]), v)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 7 0 12345 1000000 300 18446744073709551615 0";
        let status = "Name:\tx\nVmSize:\t   2048 kB\nVmRSS:\t    1024 kB\nThreads:\t7\n";
        let limits = "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(
            parse(stat, status, limits),
            Usage {
                cpu_seconds: Some(3.0),
                start_seconds: Some(123.45),
                resident: Some(1024 * 1024),
                virtual_: Some(2048 * 1024),
                open_fds: None,
                max_fds: Some(1024),
                threads: Some(7),
            }
        );
    }

    #[test]
    fn files_that_cannot_be_read_leave_their_values_out() {
        assert_eq!(parse("", "", ""), Usage::default());
        let mut out = Vec::new();
        Usage::default().metrics(Window { start: 1, now: 2 }, &mut out);
        assert_eq!(out, []);
    }

    #[test]
    fn this_process_has_descriptors_memory_and_a_start() {
        let u = usage();
        assert!(u.open_fds.unwrap() >= 3 && u.resident.unwrap() > 100_000 && u.start_seconds.unwrap() > 1e9);
    }
}
