/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Heads of responses that were looked through before. Looking through one costs three times as much as all else that
 * is done about a response; comparing it with the last of its size costs a tenth of that.
 */
#ifndef TELEGEN_KNOWN_H
#define TELEGEN_KNOWN_H

#include "framing.h"

/* Responses of one size from one process lie in one place. */
static __always_inline struct known_head *known_place(struct scratch *s, const struct conn *c, const struct chunk *k)
{
	return &s->known[(c->tgid + k->len) & (KNOWN_HEADS - 1)];
}

/* Whether the scratch's `got` bytes begin with the head known for this call: then its end and framing are set. */
__noinline int is_known(struct conn *c, struct scratch *s, const struct chunk *k, u32 got)
{
	if (!c || !s || !k)
		return 0;
	struct known_head *known = known_place(s, c, k);
	struct dir_state *d = &c->dir[k->dir & 1];
	u64 end = known->end;

	if (end < KNOWN_HEAD_MIN || end > got)
		return 0;
	for (u32 i = 0; i < KNOWN_HEAD_MAX / 64; i++) {
		if (i * 64 + 64 > end)
			break;
		if (differ(s->payload + i * 64, known->bytes + i * 64))
			goto other;
	}
	/* The last 64 bytes overlap the others. */
	u64 last = end - 64;

	keep(last);
	last &= KNOWN_HEAD_MAX - 1;
	if (last > KNOWN_HEAD_MAX - 64)
		return 0;
	if (differ(s->payload + last, known->bytes + last))
		goto other;
	s->end = (u32)end;
	d->framing = FRAMING_LENGTH;
	d->left = known->left;
	known->misses = 0;
	return 1;
other:
	known->misses++;
	return 0;
}

/* Keeps a head that was looked through: it ended within the scratch's bytes and told its body's length. */
__noinline int keep_head(struct conn *c, struct scratch *s, const struct chunk *k)
{
	if (!c || !s || !k)
		return 0;
	struct known_head *known = known_place(s, c, k);
	struct dir_state *d = &c->dir[k->dir & 1];
	u64 end = s->end;

	/* Where no two heads are alike, keeping each would cost more than is ever won. */
	if (known->misses > 4 && (known->misses & 15))
		return 0;
	if (end < KNOWN_HEAD_MIN || end > KNOWN_HEAD_MAX)
		return 0;
	known->end = 0;
	keep(end);
	if (end > KNOWN_HEAD_MAX || bpf_probe_read_kernel(known->bytes, end, s->payload))
		return 0;
	known->end = (u32)end;
	known->left = d->left;
	return 0;
}

/* A response that is known, or not: 1 when nothing is left to do about it. */
__noinline int pass_known(struct conn *c, struct scratch *s, const struct chunk *k, u32 got)
{
	if (!c || !s || !k || got < 12 || c->flags & (CONN_BRIEF | CONN_MUTE | CONN_PIPELINED))
		return 0;
	struct dir_state *d = &c->dir[k->dir & 1];
	u32 status = look_at_status(c, s);

	return status && is_known(c, s, k, got) && take_response(c, s, d, k, status);
}

#endif
