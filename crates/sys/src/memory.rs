//! What the C library keeps of freed memory.

/// Gives memory that was freed back to the kernel where the C library kept it: after a burst, and from time to time.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes a number of bytes to keep and has no other condition; it may run beside other threads.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has all threads share two arenas of the C library: each keeps what it has freed for itself.
pub fn few_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes a parameter's number and its value, and only refuses what it does not know.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Has blocks of a MiB and more lie apart, so that they go back to the kernel when they are freed. Otherwise the C library
/// raises that bound by itself to what was freed last, and the holes that batches leave are kept.
pub fn large_blocks_apart() {
    #[cfg(target_env = "gnu")]
    // SAFETY: as above.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
    }
}
