//! What the operating system tells: procfs, cgroups, clocks, namespaces, hostname. With `bpf` the only crate where `unsafe` may stand.
