/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way of stream records to user space. */
#ifndef TELEGEN_RING_H
#define TELEGEN_RING_H

#include "../common/maps.h"

const volatile u32 ring_mask = 0; /* number of rings - 1, a power of two less one */
const volatile u64 ring_wake = 0; /* bytes waiting at which a ring's reader is woken */

/* A table of its own, which user space writes: moves whenever a verdict changes. */
volatile u32 filter_generation SEC(".data.live") = 1;

/* Another: user space sets it before it waits long; the next record wakes it, and takes it back. */
volatile u32 reader_away SEC(".data.reader") = 0;

/*
 * Puts a stream record into this processor's ring; wakes the reader only when it waits long or when the ring fills
 * up, which is looked at with every eighth record of a connection.
 */
static __always_inline bool emit(void *record, u64 size, u32 number)
{
	u32 which = bpf_get_smp_processor_id() & ring_mask;
	void *ring = bpf_map_lookup_elem(&rings, &which);

	if (!ring)
		return false;
	u64 flags = BPF_RB_NO_WAKEUP;

	if (reader_away) {
		reader_away = 0;
		flags = BPF_RB_FORCE_WAKEUP;
	} else if (!(number & 7) && bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) > ring_wake)
		flags = BPF_RB_FORCE_WAKEUP;
	if (bpf_ringbuf_output(ring, record, size, flags)) {
		count(COUNT_RING_FULL);
		return false;
	}
	count(COUNT_RECORDS);
	return true;
}

#endif
