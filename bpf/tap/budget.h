/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a process may cost, and what is counted of it. */
#ifndef TELEGEN_BUDGET_H
#define TELEGEN_BUDGET_H

#include "conn.h"

/* The entry of a process, made when there is none and there is room. */
static __always_inline struct proc_state *proc_of(u32 tgid, u64 now)
{
	struct proc_state *p = bpf_map_lookup_elem(&procs, &tgid);

	if (p)
		return p;
	struct proc_state fresh = {
		.refilled = now,
		.credit = budget_per_second / 10 + 1,
		.brief = budget_brief_per_second / 10 + 1,
	};

	bpf_map_update_elem(&procs, &tgid, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&procs, &tgid);
}

/* Whether half of this processor's ring is taken: what is over its budget leaves the rest to the others. */
__noinline u32 ring_is_short(void)
{
	u32 which = bpf_get_smp_processor_id() & ring_mask;
	void *ring = bpf_map_lookup_elem(&rings, &which);

	/* A reader is woken at a quarter. */
	return ring && bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) > 2 * ring_wake;
}

/* Refills and takes from the owner's budget: 0 in it, 1 over it (brief), 2 over the second bound or without room. */
__noinline u32 take_budget(u32 tgid, u64 now)
{
	if (!budget_per_second)
		return 0;
	struct proc_state *p = proc_of(tgid, now);

	if (!p)
		return 0;
	u64 past = now - p->refilled;

	if ((s64)past > 10000000) {
		if (past > 1000000000)
			past = 1000000000;
		p->refilled = now;
		s64 credit = p->credit + (s64)(past * budget_per_second / 1000000000);
		s64 brief = p->brief + (s64)(past * budget_brief_per_second / 1000000000);

		/* A tenth of a second may be saved up. */
		s64 most = budget_per_second / 10 + 1, most_brief = budget_brief_per_second / 10 + 1;

		p->credit = credit > most ? most : credit;
		p->brief = brief > most_brief ? most_brief : brief;
	}
	if (p->credit > 0) {
		__sync_fetch_and_add(&p->credit, -1);
		return 0;
	}
	if (p->brief > 0 && !ring_is_short()) {
		__sync_fetch_and_add(&p->brief, -1);
		count(COUNT_OVER_BUDGET);
		return 1;
	}
	__sync_fetch_and_add(&p->unread, 1);
	count(COUNT_OVER_SECOND_BOUND);
	return 2;
}

/* Datagrams are counted per process: most of their sockets live for a question and an answer. */
__noinline int count_datagram(u32 tgid, u32 dir, u32 len)
{
	struct proc_state *p = proc_of(tgid, bpf_ktime_get_ns());

	if (p)
		__sync_fetch_and_add(dir == DIR_RX ? &p->udp_rx : &p->udp_tx, len);
	count_add(COUNT_UDP_BYTES, len);
	return 0;
}

#endif
