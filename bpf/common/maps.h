/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tables that all objects share: `common` creates them, the others are given its file descriptors at load. */
#ifndef TELEGEN_MAPS_H
#define TELEGEN_MAPS_H

#include "abi.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

/* Kernel 6.2: memory seen as this kernel type, read as such, without a call. */
extern void *bpf_rdonly_cast(const void *obj, u32 btf_id) __ksym __weak;

#define seen_as(type, p) ((type *)bpf_rdonly_cast((const void *)(p), bpf_core_type_id_kernel(type)))

struct ring_template {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};

/* Stream records: one ring for about four processors, sized by user space. Bound: RINGS_MAX rings. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, RINGS_MAX);
	__type(key, u32);
	__array(values, struct ring_template);
} rings SEC(".maps") = {};

/* Process records: their own ring, so that traffic cannot push them out. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
} control SEC(".maps");

/* What user space decided about a process. Bound: 32768 processes; one that has no room is traced. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct verdict);
} verdicts SEC(".maps");

/* Capture budgets and losses. Bound: 32768 processes, then no budget is kept. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct proc_state);
} procs SEC(".maps");

struct thread_state {
	u64 token; /* request that this thread began to read last */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread_state);
} threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNT_MAX);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

/* Settings that change while running. */
struct live_settings {
	u32 filter_generation; /* moves whenever a verdict changes */
	u32 ring_mask;	       /* number of rings - 1, a power of two less one */
	u64 ring_wake;	       /* bytes waiting at which a ring's reader is woken */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct live_settings);
	__uint(map_flags, BPF_F_MMAPABLE);
} live SEC(".maps");

static __always_inline void count_add(u32 which, u64 n)
{
	u64 *slot = bpf_map_lookup_elem(&counters, &which);

	if (slot)
		*slot += n;
}

static __always_inline void count(u32 which)
{
	count_add(which, 1);
}

static __always_inline struct live_settings *live_settings(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&live, &zero);
}

/*
 * Puts a stream record into this processor's ring; wakes the reader only when the ring fills up, which is looked at
 * with every eighth record of a connection.
 */
static __always_inline bool emit(const struct live_settings *settings, void *record, u64 size, u32 number)
{
	u32 which = bpf_get_smp_processor_id() & settings->ring_mask;
	void *ring = bpf_map_lookup_elem(&rings, &which);

	if (!ring)
		return false;
	u64 flags = BPF_RB_NO_WAKEUP;

	if (!(number & 7) && bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) > settings->ring_wake)
		flags = BPF_RB_FORCE_WAKEUP;
	if (bpf_ringbuf_output(ring, record, size, flags)) {
		count(COUNT_RING_FULL);
		return false;
	}
	count(COUNT_RECORDS);
	return true;
}

#endif
