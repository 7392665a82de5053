/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The core of the tap: what every front end calls with a socket, a direction and a result.
 *
 * A connection that speaks HTTP/1 passes the heads of its messages whole and of everything else only the number of
 * bytes and the last eight of them; any other connection passes a sample once and then counts.
 */
#ifndef TELEGEN_STREAM_H
#define TELEGEN_STREAM_H

#include "budget.h"
#include "classify.h"
#include "conn.h"
#include "end.h"
#include "framing.h"
#include "known.h"

/* One a processor and direction: a tracepoint runs with preemption off, the flag catches kernels where it does not. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* Sends the scratch's piece of a call. */
__noinline int send_data(struct conn *c, struct scratch *s, const struct chunk *k)
{
	if (!c || !s || !k)
		return 0;
	const struct piece *p = &s->piece;
	struct record_data *r = &s->r;
	const struct dir_state *o = &c->dir[!(k->dir & 1)];
	u32 cap = p->cap > CHUNK_MAX ? CHUNK_MAX : p->cap;

	r->type = REC_DATA;
	r->dir = (u8)k->dir;
	r->flags = (u16)(p->flags | (c->flags & CONN_PIPELINED ? DATA_PIPELINED : 0) |
			 (k->dontwait ? DATA_DONTWAIT : 0));
	r->record = next_record(c);
	r->cookie = c->cookie;
	r->ts = k->now;
	r->pos = k->pos + p->off;
	r->seq = k->seq + p->off;
	r->len = p->len;
	r->cap = cap;
	r->lost = c->lost;
	r->tgid = c->tgid;
	r->tid = k->tid;
	r->token = c->token;
	r->caller = p->flags & DATA_REQUEST ? c->caller : 0;
	r->other_pos = o->pos;
	r->other_ts = o->ts;
	r->body = c->dir[k->dir & 1].body;
	if (emit(r, sizeof(*r) + cap, r->record))
		return 1;
	c->lost++;
	if (p->flags & DATA_REQUEST)
		request_is_lost(c, k->now);
	return 0;
}

static __always_inline void send(struct conn *c, struct scratch *s, const struct chunk *k, u32 flags, u32 off, u32 len,
				 u32 cap)
{
	/* Not on the stack: all frames of a call together have 512 bytes. */
	s->piece.flags = flags;
	s->piece.off = off;
	s->piece.len = len;
	s->piece.cap = cap;
	if (c->held.ts)
		tell_held(c, &s->held);
	send_data(c, s, k);
}

#define TOKEN_STEP 0x9e3779b97f4a7c15ull /* odd: a connection's tokens come back after 2^64 requests */

/*
 * A request begins: draws its token, and sets how much of it and of its response is passed. Whether it is held, which
 * only one with the `same` head as the one before can be.
 */
static __always_inline bool begin_request(struct conn *c, struct scratch *s, const struct chunk *k, bool same)
{
	u32 method = *(const u32 *)(s->payload + (s->payload[0] == '\r' ? 2 : 0)), dir = k->dir;

	if (!c->token)
		c->token = ((u64)bpf_get_prandom_u32() << 32) | bpf_get_prandom_u32();
	else
		c->token += TOKEN_STEP;
	c->role = dir == DIR_RX ? ROLE_SERVER : ROLE_CLIENT;
	count(COUNT_REQUESTS);
	c->flags &= ~(CONN_BRIEF | CONN_MUTE | CONN_HEAD | CONN_CONNECT);
	/* A second request before any answer: what comes back may lie many to a call. */
	if (c->asked)
		c->flags |= CONN_PIPELINED;
	c->asked = 1;
	if (method == FOUR('H', 'E', 'A', 'D'))
		c->flags |= CONN_HEAD | CONN_HEADS;
	else if (method == FOUR('C', 'O', 'N', 'N'))
		c->flags |= CONN_CONNECT;
	/* Whatever was believed of the last response: a new one is to come. */
	struct dir_state *answer = &c->dir[!(dir & 1)];

	answer->framing = FRAMING_UNKNOWN;
	if (answer->held_ts)
		tell_response(c, s, !(dir & 1));
	u32 over = budget_per_second ? take_budget(c->tgid, k->now) : 0;

	if (over == 1)
		c->flags |= CONN_BRIEF;
	else if (over == 2)
		c->flags |= CONN_MUTE;
	/* Of other sockets no event tells that their stream has ended. */
	bool alone = (c->flags & (CONN_TCP | CONN_BRIEF | CONN_MUTE | CONN_PIPELINED | CONN_CONNECT)) == CONN_TCP;

	return thread_meets(c, k, same && alone);
}

/* Reads the last bytes of the call's buffer: the end of a chunked message is told by them. */
static __always_inline u32 fill_tail(struct scratch *s, const struct chunk *k)
{
	*(u64 *)s->r.tail = 0;
	if (k->len < TAIL_MAX || !k->have)
		return 0;
	if (copy_bytes(&k->src, s, TAIL_ROOM, k->len - TAIL_MAX, TAIL_MAX) != TAIL_MAX)
		return 0;
	*(u64 *)s->r.tail = *(u64 *)(s->payload + TAIL_ROOM);
	return DATA_TAIL;
}

#define PIECES 8 /* of CHUNK_MAX bytes that are passed of a call, where messages may lie many to one */

/*
 * Passes a call's bytes while a head is under way: `first` bytes, then pieces of CHUNK_MAX until the head ends or
 * HEAD_MAX is reached. `filled` bytes of the first piece are in the scratch already.
 */
__noinline int pass_head(struct conn *c, struct scratch *s, struct chunk *k, u32 flags, u32 filled)
{
	if (!c || !s || !k)
		return 0;
	struct dir_state *d = &c->dir[k->dir & 1];
	u32 off = 0, first = (flags & DATA_REQUEST) || d->head_len ? first_request : first_response;

	if (flags & DATA_REQUEST)
		c->same.len = 0;
	if (c->flags & (CONN_BRIEF | CONN_MUTE)) {
		d->phase = PHASE_BODY;
		if (c->flags & CONN_MUTE)
			return 0;
		u32 cap = filled < BRIEF_MAX ? filled : BRIEF_MAX;

		send(c, s, k, flags | fill_tail(s, k) | DATA_HEAD_CUT | DATA_OVER_BUDGET, 0, k->len, cap);
		return 0;
	}
	bool response = !(flags & DATA_REQUEST) && (c->role == ROLE_SERVER) == (k->dir == DIR_TX);

	/* Whoever reads the rest of a request's head is who handles it. */
	if (!response && k->dir == DIR_RX && !(flags & DATA_REQUEST))
		thread_meets(c, k, 0);

	if (!d->head_len)
		d->framing = FRAMING_UNKNOWN;
	/* Whether the piece begins with a head. */
	bool begins = flags & DATA_HEAD_START;

	for (int piece = 0; piece < PIECES; piece++) {
		u32 left = k->len - off;
		u32 n = piece ? CHUNK_MAX : first;

		if (n > left)
			n = left;
		u32 got = filled;

		if (piece || got < n)
			got = copy_bytes(&k->src, s, 0, off, n);
		else if (got > n)
			got = n;
		if (got > CHUNK_MAX)
			got = CHUNK_MAX;
		bool fault = got < n;

		u32 status = response && !d->head_len && got >= 12 ? look_at_status(c, s) : 0;

		scan_head(d, s, got);
		u32 end = s->end;

		if (status && end) {
			if (d->framing == FRAMING_LENGTH)
				keep_head(c, s, k);
			if (take_response(c, s, d, k, status))
				return 0;
		}
		bool more = left > got;
		bool whole = c->flags & CONN_PIPELINED;
		bool cut = fault || piece == PIECES - 1 || (!whole && d->head_len + got >= HEAD_MAX);
		struct counted body = { .flags = 0, .told = 1 };

		if (end && end < got && message_follows(s, end, got)) {
			c->flags |= CONN_PIPELINED;
			whole = true;
		}
		if (cut || (response && (c->flags & CONN_HEAD)))
			d->framing = FRAMING_UNKNOWN;
		if (end && !whole) {
			count_body(d, s, k, off + end, &body);
			if (body.beyond && !response) {
				c->flags |= CONN_PIPELINED;
				whole = true;
			}
		}
		u32 piece_flags = flags | DATA_IN_HEAD;
		bool stop = !more || cut || (end && !whole);

		/* Where many lie in one call the length of a long body leads from head to head. */
		bool leads = begins && end && d->framing == FRAMING_LENGTH &&
			     !(response && (c->flags & CONN_HEADS || status == 204 || status == 304));

		if (!stop && leads && d->left > got - end && d->left < left - end) {
			u32 message = end + (u32)d->left;

			send(c, s, k, piece_flags, off, message, got);
			off += message;
			flags &= ~(DATA_HEAD_START | DATA_REQUEST);
			d->framing = FRAMING_UNKNOWN;
			d->tail = 0;
			continue;
		}
		begins = false;
		if (!stop) {
			/* The next piece begins with a line, so that no header is cut in two. */
			if (s->lines && !whole) {
				got = s->lines;
				d->tail = (u64)'\n' << 56;
			}
			d->head_len += got;
			send(c, s, k, piece_flags, off, got, got);
			off += got;
			flags &= ~(DATA_HEAD_START | DATA_REQUEST);
			continue;
		}
		d->head_len += got;
		if (fault)
			count(COUNT_FAULT);
		/* The last piece stands for all that is left of the call. */
		if (whole)
			d->framing = FRAMING_UNKNOWN;
		if (end && !whole) {
			d->phase = PHASE_BODY;
		} else if (cut) {
			d->phase = PHASE_BODY;
			piece_flags |= DATA_HEAD_CUT;
		}
		if (whole)
			d->head_len = 0;
		piece_flags |= body.flags;
		if (more && d->framing == FRAMING_UNKNOWN)
			piece_flags |= fill_tail(s, k);
		send(c, s, k, piece_flags, off, left, got);
		if (s->r.flags & DATA_REQUEST)
			keep_same(c, s, k);
		break;
	}
	return 0;
}

/* Takes the bytes of a call into the begin of a message that may be under way. */
__noinline u32 look_further(struct dir_state *d, const struct prefix *more, u32 n)
{
	if (!d || !more)
		return LOOK_NO;
	u64 filled = d->prefix_len;

	for (u32 i = 0; i < PREFIX_MAX; i++) {
		u64 at = filled + i;

		if (i >= n || at >= PREFIX_MAX)
			break;
		keep(at);
		at &= PREFIX_MAX - 1;
		d->prefix[at] = more->bytes[i];
		d->prefix_len = (u8)(filled + i + 1);
	}
	return look_at((const struct prefix *)d->prefix, d->prefix_len);
}

/* Whether a head of this look may begin in this direction, by the role the connection has shown. */
static __always_inline bool look_fits(const struct conn *c, u32 dir, u32 look)
{
	if (c->role == ROLE_UNKNOWN)
		return look == LOOK_REQUEST || look == LOOK_RESPONSE;
	bool request_direction = (c->role == ROLE_SERVER) == (dir == DIR_RX);

	return look == (request_direction ? LOOK_REQUEST : LOOK_RESPONSE);
}

static __always_inline void send_sample(struct conn *c, struct scratch *s, const struct chunk *k)
{
	u32 mark = k->dir == DIR_RX ? CONN_SAMPLED_RX : CONN_SAMPLED_TX;

	if (c->flags & mark)
		return;
	c->flags |= mark;
	u32 n = k->len > SAMPLE_MAX ? SAMPLE_MAX : k->len;
	/* Within the payload area a sample's header stands right before its bytes. */
	struct record_sample *r = (struct record_sample *)s->payload;

	r->type = REC_SAMPLE;
	r->dir = (u8)k->dir;
	r->protocol = c->protocol;
	r->pad = 0;
	r->pad2 = 0;
	r->lost = c->lost;
	r->cookie = c->cookie;
	r->ts = k->now;
	r->tgid = c->tgid;
	r->record = next_record(c);
	r->cap = k->have ? copy_bytes(&k->src, s, sizeof(*r), 0, n) : 0;
	u32 size = sizeof(*r) + r->cap;

	if (size > sizeof(*r) + SAMPLE_MAX)
		size = sizeof(*r) + SAMPLE_MAX;
	if (!emit(r, size, r->record))
		c->lost++;
}

/* A connection that is not read: name it once, then count. */
__noinline int pass_unread(struct conn *c, struct scratch *s, const struct chunk *k)
{
	if (!c || !s || !k)
		return 0;
	send_sample(c, s, k);
	if (k->now - c->reported > TRAFFIC_INTERVAL)
		tell_traffic(c, k->now, 0);
	return 0;
}

__noinline int pass_chunk(struct conn *c, struct scratch *s, struct chunk *k)
{
	if (!c || !s || !k)
		return 0;
	struct dir_state *d = &c->dir[k->dir & 1];

	if (d->phase == PHASE_BODY && d->framing != FRAMING_UNKNOWN) {
		struct counted body;
		/* A body that was all there with its head, or of length 0, has nothing behind it. */
		bool open = d->framing == FRAMING_CHUNKED ? d->line != LINE_ENDED : d->left > 0;

		count_body(d, s, k, 0, &body);
		if (body.beyond && open && (c->role == ROLE_SERVER) == (k->dir == DIR_RX))
			c->flags |= CONN_PIPELINED;
		if (d->held_ts && (body.told || d->framing == FRAMING_UNKNOWN)) {
			bool whole = d->framing == FRAMING_LENGTH;

			d->framing = FRAMING_UNKNOWN;
			tell_response(c, s, k->dir);
			if (whole)
				return 0;
		}
		if (d->framing != FRAMING_UNKNOWN) {
			if (body.told) {
				d->framing = FRAMING_UNKNOWN;
				if (!(c->flags & CONN_MUTE))
					send(c, s, k, body.flags | (k->have ? 0 : DATA_NO_PAYLOAD), 0, k->len, 0);
			}
			return 0;
		}
	}
	if (!k->have) {
		d->phase = PHASE_BODY;
		if (c->protocol == PROTO_HTTP1 && !(c->flags & CONN_MUTE))
			send(c, s, k, DATA_NO_PAYLOAD, 0, k->len, 0);
		return 0;
	}
	if (d->phase == PHASE_HEAD || (c->flags & CONN_PIPELINED && c->protocol == PROTO_HTTP1)) {
		u32 n = k->len < PREFIX_MAX ? k->len : PREFIX_MAX;
		u32 flags = 0, got = 0;

		if (d->phase != PHASE_HEAD || d->head_len == 0) {
			/* A pipelining connection: does this call begin with a message? */
			*(u64 *)s->payload = 0;
			got = copy_bytes(&k->src, s, 0, 0, n);
			u32 look = look_at_begin(s->payload, got);

			d->head_len = 0;
			d->tail = 0;
			if (look_fits(c, k->dir, look)) {
				flags = DATA_HEAD_START;
				if (look == LOOK_REQUEST) {
					flags |= DATA_REQUEST;
					begin_request(c, s, k, false);
				}
			}
		}
		pass_head(c, s, k, flags, got);
		return 0;
	}

	bool turn = c->last_dir != k->dir;
	u32 first = k->dir == DIR_RX ? (c->role == ROLE_CLIENT ? first_response : first_request) :
				       (c->role == ROLE_SERVER ? first_response : first_request);
	u32 n = turn ? first : PREFIX_MAX;

	if (n > k->len)
		n = k->len;
	u64 *zero = (u64 *)s->payload;

	zero[0] = zero[1] = zero[2] = zero[3] = 0;
	u32 got = copy_bytes(&k->src, s, 0, 0, n);
	u32 shown = got < PREFIX_MAX ? got : PREFIX_MAX;
	bool going = d->phase == PHASE_MAYBE;
	bool same = !going && k->len == c->same.len && is_same(c, s, k, got);
	u32 look;

	if (same) {
		look = LOOK_REQUEST;
	} else if (going) {
		look = look_further(d, (struct prefix *)s->payload, shown);
	} else {
		look = look_at_begin(s->payload, shown);
		if (look == LOOK_MORE) {
			__builtin_memset(d->prefix, 0, PREFIX_MAX);
			d->prefix_len = 0;
			look = look_further(d, (struct prefix *)s->payload, shown);
		}
	}
	if (look == LOOK_NO && c->role == ROLE_UNKNOWN && look_at_proxy(s->payload, shown)) {
		look = LOOK_REQUEST;
		if (s->payload[0] == '\r')
			c->flags |= CONN_PIPELINED;
	}

	if (look_fits(c, k->dir, look)) {
		bool request = look == LOOK_REQUEST;
		u32 flags = going ? 0 : DATA_HEAD_START;

		if (request && begin_request(c, s, k, same))
			return 0;
		if (same && !(c->flags & (CONN_BRIEF | CONN_MUTE | CONN_PIPELINED))) {
			s->r.told = c->same.told;
			s->r.answer.since = 0;
			send(c, s, k, DATA_HEAD_START | DATA_REQUEST | DATA_SAME, 0, k->len, 0);
			return 0;
		}
		if (!request && c->role == ROLE_UNKNOWN)
			c->role = k->dir == DIR_RX ? ROLE_CLIENT : ROLE_SERVER;
		c->protocol = PROTO_HTTP1;
		if (!request && !going && pass_known(c, s, k, got))
			return 0;
		d->phase = PHASE_HEAD;
		d->head_len = 0;
		d->tail = 0;
		pass_head(c, s, k, flags | (request ? DATA_REQUEST : 0), got);
		return 0;
	}
	if (look == LOOK_MORE) {
		d->phase = PHASE_MAYBE;
		if (!(c->flags & CONN_MUTE))
			send(c, s, k, DATA_MAYBE | (going ? 0 : DATA_HEAD_START), 0, k->len, got);
		return 0;
	}
	d->phase = PHASE_BODY;
	if (c->protocol == PROTO_HTTP1) {
		if (!(c->flags & CONN_MUTE)) {
			/* A few bytes pass whole: the last chunk of a chunked body is often a call of its own. */
			u32 cap = going || k->len <= PREFIX_MAX ? got : 0;

			send(c, s, k, fill_tail(s, k), 0, k->len, cap);
		}
		return 0;
	}
	/* Not HTTP/1, or not yet: a connection met in mid-stream gets more tries. */
	if (look == LOOK_TLS)
		c->protocol = PROTO_TLS;
	else if (look == LOOK_HTTP2)
		c->protocol = PROTO_HTTP2;
	else if (++c->tries >= TRIES_MAX)
		c->protocol = PROTO_OTHER;
	pass_unread(c, s, k);
	return 0;
}

/* A call on `sk` moved `ret` bytes, or failed with it. */
static __always_inline int on_data(struct sock *sk, u32 dir, int ret, int msg_flags)
{
	if (ret == -EAGAIN || (msg_flags & (MSG_PEEK | MSG_ERRQUEUE)))
		return 0;
	struct task_struct *task = bpf_get_current_task_btf();
	u32 tgid = task->tgid;

	u32 generation = filter_generation;

	if (is_skipped(task, generation))
		return 0;
	struct conn *c = bpf_sk_storage_get(&conns, sk, NULL, 0);

	if (!c) {
		if (ret <= 0)
			return 0;
		c = conn_make(sk, task, generation);
		if (!c)
			return 0;
	} else if (c->tgid != tgid || c->exec != task->self_exec_id || c->generation != generation) {
		if (c->held.ts)
			release_held(c);
		conn_owner(c, task, generation);
	}
	if (c->flags & (CONN_IGNORED | CONN_CLOSED)) {
		if (ret > 0 && !(c->flags & CONN_IGNORED))
			count(COUNT_AFTER_END);
		return 0;
	}
	if (c->held.ts && (dir == DIR_RX || ret <= 0))
		release_held(c);
	if (c->flags & CONN_UDP) {
		if (ret > 0)
			count_datagram(c->tgid, dir, (u32)ret);
		return 0;
	}
	if (ret <= 0) {
		if (c->protocol == PROTO_HTTP1)
			on_end(c, sk, dir, ret);
		else if (c->flags & CONN_UNIX && unix_peer_is_gone(sk))
			conn_is_over(c, 0, 0);
		return 0;
	}

	struct chunk k = {
		.now = bpf_ktime_get_ns(),
		.len = ret,
		.tid = task->pid,
		.dir = dir,
		.dontwait = dir == DIR_RX && (msg_flags & MSG_DONTWAIT),
	};

	k.pos = conn_advance(c, sk, dir, ret, k.now, &k.seq);
	if (!(c->flags & CONN_ANNOUNCED))
		announce(c, sk);
	if (c->protocol > PROTO_HTTP1 && (c->flags & (dir == DIR_RX ? CONN_SAMPLED_RX : CONN_SAMPLED_TX))) {
		if (k.now - c->reported > TRAFFIC_INTERVAL)
			tell_traffic(c, k.now, 0);
		return 0;
	}
	if (c->role != ROLE_UNKNOWN && (c->role == ROLE_SERVER) == (dir == DIR_TX))
		c->asked = 0;
	u32 which = dir & 1;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &which);

	if (!s)
		return 0;
	if (s->busy) {
		count(COUNT_BUSY);
		return 0;
	}
	s->busy = 1;
	struct dir_state *d = &c->dir[dir & 1];

	/* Inside a body of known length, or a chunk, nothing is looked at. */
	if (!(msg_flags & MSG_TRUNC) && !(d->phase == PHASE_BODY && d->framing && (u64)ret <= d->left))
		k.have = find_source(task, sk, dir == DIR_TX, (u32)ret, &k.src, s);
	if (c->protocol > PROTO_HTTP1)
		pass_unread(c, s, &k);
	else
		pass_chunk(c, s, &k);
	c->last_dir = dir;
	if (c->flags & CONN_TUNNEL) {
		c->protocol = PROTO_OTHER;
		c->flags |= CONN_SAMPLED_RX | CONN_SAMPLED_TX;
	}
	s->busy = 0;
	return 0;
}

#endif
