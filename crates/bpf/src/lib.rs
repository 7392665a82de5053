//! Skeletons, feature probes, loader and ring pumps: the only crate that names libbpf.
