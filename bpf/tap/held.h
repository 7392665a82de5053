/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests that are like the one before them on their connection, as those of pools, proxies and checks are. Their head
 * is neither looked through nor passed again, and one record tells of the request and of its response.
 *
 * Until then the request is held. It is told of before anything that may depend on it: whatever else its connection
 * tells, the end of either stream, and the next request or call of the thread that read it.
 */
#ifndef TELEGEN_HELD_H
#define TELEGEN_HELD_H

#include "budget.h"
#include "payload.h"

/*
 * Tokens of requests that are held, by the thread that read them: eight of a thread in a line of memory. The lowest bit
 * is set once the thread has told of it: then it is not lost, whatever becomes of the record that tells of it with its
 * response. Bound: one whose place is taken is not held.
 */
#define HELD_MAX 4096
#define HELD_TOLD 1ull
static u64 held[HELD_MAX];

/* Eight places a thread: a request that waits long keeps only one in eight of those read meanwhile from being held. */
static __always_inline u64 *held_place(u32 tid, u64 token)
{
	return &held[(tid << 3 | token >> 61) & (HELD_MAX - 1)];
}

/* Ends the holding of a request: whether its thread has told of it. */
static __always_inline bool end_holding(u32 tid, u64 token)
{
	return __sync_lock_test_and_set(held_place(tid, token), 0) & HELD_TOLD;
}

/* The record of a request found no room. */
static __always_inline void request_is_lost(const struct conn *c, u64 now)
{
	struct proc_state *proc = proc_of(c->tgid, now);

	count(COUNT_REQUESTS_LOST);
	if (proc)
		__sync_fetch_and_add(&proc->lost, 1);
	else
		count(COUNT_REQUESTS_LOST_NO_PROC);
}

static __always_inline void fill_held(struct record_data *r, const struct conn *c, u64 ts)
{
	const struct held_request *h = &c->held;

	r->type = REC_DATA;
	r->dir = DIR_RX;
	r->flags = DATA_HEAD_START | DATA_REQUEST | DATA_SAME | DATA_HELD | (h->dontwait ? DATA_DONTWAIT : 0);
	r->record = h->record;
	r->cookie = c->cookie;
	r->ts = ts;
	r->pos = h->pos;
	r->seq = h->seq;
	r->len = h->len;
	r->cap = 0;
	r->lost = c->lost;
	r->tgid = c->tgid;
	r->tid = h->tid;
	r->token = c->token;
	r->caller = 0;
	r->other_pos = h->other_pos;
	r->other_ts = h->other_ts;
	r->body = 0;
	r->told = c->same.told;
	r->answer.since = 0;
}

/* Tells of a held request alone, by way of `r`. */
__noinline int tell_held(struct conn *c, struct record_data *r)
{
	if (!c || !r)
		return 0;
	/* The end of a stream may be told in the middle of a call. */
	u64 ts = __sync_lock_test_and_set(&c->held.ts, 0);

	if (!ts || end_holding(c->held.tid, c->token))
		return 0;
	fill_held(r, c, ts);
	if (!emit(r, sizeof(*r), r->record)) {
		c->lost++;
		request_is_lost(c, ts);
	}
	return 0;
}

/* The same where there is no scratch. */
__noinline int release_held(struct conn *c)
{
	struct record_data r;

	if (!c)
		return 0;
	tell_held(c, &r);
	return 0;
}

/* Tells of a held request and of its response; false where none is held. */
static __always_inline bool tell_exchange(struct conn *c, struct scratch *s)
{
	struct dir_state *d = &c->dir[DIR_TX];
	const struct held_request *h = &c->held;
	u64 since = d->ts - d->held_ts, ts = __sync_lock_test_and_set(&c->held.ts, 0);
	struct record_exchange *x = &s->x;

	if (!ts)
		return false;
	bool told = end_holding(c->held.tid, c->token);

	x->type = REC_EXCHANGE;
	x->pad = 0;
	x->flags = h->dontwait ? DATA_DONTWAIT : 0;
	x->record = h->record;
	x->cookie = c->cookie;
	x->ts = d->ts;
	x->start = ts;
	x->pos = h->pos;
	x->seq = h->seq;
	x->len = h->len;
	x->told = c->same.told;
	x->lost = c->lost;
	x->tgid = c->tgid;
	x->tid = h->tid;
	x->token = c->token;
	x->other_pos = h->other_pos;
	x->other_ts = h->other_ts;
	x->answer_pos = d->held_pos;
	x->answer_len = (u32)(d->pos - d->held_pos);
	x->answer_tid = d->held_tid;
	x->status = d->held_status;
	x->head = d->held_head;
	x->since = since > 0xffffffff ? 0xffffffff : (u32)since;
	x->body = d->held_length;
	d->held_ts = 0;
	next_record(c);
	if (!emit(x, sizeof(*x), x->record)) {
		c->lost += told ? 1 : 2;
		if (!told)
			request_is_lost(c, ts);
	}
	return true;
}

/* Whether the call's bytes, all of them in the scratch, are the head of the connection's last request. */
__noinline int is_same(struct conn *c, struct scratch *s, const struct chunk *k, u32 got)
{
	if (!c || !s || !k)
		return 0;
	struct same_head *same = &c->same;
	u64 len = same->len;

	if (len != got || len < SAME_MIN || len > SAME_MAX)
		return 0;
	if (same->lost != c->lost || k->now - same->ts > SAME_INTERVAL || !(c->flags & CONN_ANNOUNCED))
		return 0;
	/* As behind the other one, so that whole blocks are compared. */
	u64 behind = len;

	keep(behind);
	behind &= OFFSET_MASK;
	u64 *zero = (u64 *)(s->payload + behind);

	zero[0] = zero[1] = zero[2] = zero[3] = zero[4] = zero[5] = zero[6] = zero[7] = 0;
	for (u32 i = 0; i < SAME_MAX / 64; i++) {
		if (i * 64 >= len)
			break;
		if (differ(s->payload + i * 64, same->bytes + i * 64))
			goto other;
	}
	if (same->misses)
		same->misses = 0;
	return 1;
other:
	same->misses++;
	return 0;
}

/* Keeps a request's head, if the record just sent passed it whole and it was all of the call. */
__noinline int keep_same(struct conn *c, struct scratch *s, const struct chunk *k)
{
	if (!c || !s || !k)
		return 0;
	const u32 whole = DATA_REQUEST | DATA_HEAD_START;
	struct same_head *same = &c->same;
	const struct dir_state *d = &c->dir[k->dir & 1];
	const struct record_data *r = &s->r;
	u64 len = k->len;

	if ((r->flags & (whole | DATA_HEAD_CUT | DATA_PIPELINED)) != whole || r->cap != len || s->end != len)
		return 0;
	/* It found no room. */
	if (r->lost != c->lost)
		return 0;
	/* What follows is body or another protocol; a prefix is sent once. */
	if (d->framing || (c->flags & CONN_CONNECT) || s->payload[0] == '\r' || look_at_proxy(s->payload, PREFIX_MAX))
		return 0;
	/* Where no two heads are alike, keeping each would cost more than is ever won. */
	if (same->misses > 4 && (same->misses & 15)) {
		same->misses++;
		return 0;
	}
	if (len < SAME_MIN || len > SAME_MAX)
		return 0;
	keep(len);
	__builtin_memset(same->bytes, 0, SAME_MAX);
	if (len > SAME_MAX || bpf_probe_read_kernel(same->bytes, len, s->payload))
		return 0;
	same->len = (u32)len;
	same->told = s->r.record;
	same->lost = c->lost;
	same->ts = k->now;
	return 0;
}

/*
 * The current thread is at the request that it reads; of one that it sends, the request that it read last is told. With
 * `hold` the request waits for its response, and 1 is given, unless the thread makes calls.
 */
__noinline int thread_meets(struct conn *c, const struct chunk *k, u32 hold)
{
	if (!c || !k)
		return 0;
	struct thread_state *t = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), NULL,
						      k->dir == DIR_RX ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);

	c->caller = 0;
	if (!t)
		return 0;
	/* Requests of a thread are told of in the order in which it read them, and before its calls. */
	if (t->held.type) {
		u64 *place = held_place(k->tid, t->token), untold = t->token & ~HELD_TOLD;

		/* Where there is no room, its connection tells of it. */
		if (*place == untold && emit(&t->held, sizeof(t->held), t->held.record))
			__sync_val_compare_and_swap(place, untold, untold | HELD_TOLD);
		t->held.type = 0;
	}
	if (k->dir != DIR_RX) {
		c->caller = t->token;
		t->calls = 1;
		return 0;
	}
	t->token = c->token;
	if (!hold || t->calls || c->token <= HELD_TOLD ||
	    __sync_val_compare_and_swap(held_place(k->tid, c->token), 0, c->token & ~HELD_TOLD))
		return 0;
	struct held_request *h = &c->held;
	const struct dir_state *o = &c->dir[DIR_TX];

	h->pos = k->pos;
	h->seq = k->seq;
	h->len = k->len;
	h->tid = k->tid;
	h->dontwait = k->dontwait;
	h->other_pos = o->pos;
	h->other_ts = o->ts;
	h->record = next_record(c);
	h->ts = k->now;
	fill_held(&t->held, c, k->now);
	return 1;
}

#endif
