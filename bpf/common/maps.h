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

/* Stream records: a ring for each processor, sized by user space. Bound: RINGS_MAX rings, which they then share. */
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
	u32 calls; /* it has made calls: its requests are told of before them */
	u32 pad;
	struct record_data held; /* tells of that request, if nothing did yet */
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

#endif
