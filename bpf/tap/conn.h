/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* State of a connection, and the records that tell of its life. */
#ifndef TELEGEN_CONN_H
#define TELEGEN_CONN_H

#include "ring.h"

enum phase {
	PHASE_BODY = 0, /* not in a head; one may begin with any call */
	PHASE_MAYBE,    /* the bytes of `prefix` may be the begin of one */
	PHASE_HEAD,     /* in a head: every byte is passed until it ends */
};

enum framing {
	FRAMING_UNKNOWN = 0, /* every call is told */
	FRAMING_LENGTH,	     /* calls inside the body are counted only */
	FRAMING_CHUNKED,
};

/* The next byte of a chunked body's framing. */
enum line {
	LINE_SIZE = 0,
	LINE_EXTENSION,
	LINE_SIZE_END, /* '\n' */
	LINE_TRAILERS, /* begin of a trailer, or the empty line */
	LINE_TRAILER,
	LINE_LAST, /* the last '\n' */
	LINE_ENDED,
};

#define CONN_IGNORED 0x01     /* its process is excluded */
#define CONN_ANNOUNCED 0x02   /* its REC_CONN is in the ring */
#define CONN_TCP 0x04         /* tcp_sock fields may be read */
#define CONN_PIPELINED 0x08   /* whole writes are passed */
#define CONN_BRIEF 0x10       /* over budget: BRIEF_MAX bytes a head */
#define CONN_MUTE 0x20        /* over the second bound: nothing until the next request */
#define CONN_PREEXISTING 0x40 /* was open before the tap */
#define CONN_CLOSED 0x80      /* its end was told; nothing more is */
#define CONN_PEER_FIN 0x100   /* the peer ended its stream */
#define CONN_SAMPLED_RX 0x200 /* its first bytes were passed for a name */
#define CONN_SAMPLED_TX 0x400
#define CONN_HEAD 0x800     /* the request under way is a HEAD: its response has no body */
#define CONN_UDP 0x4000     /* counted per process */
#define CONN_TUNNEL 0x2000  /* not HTTP any more */
#define CONN_CONNECT 0x1000 /* ... a CONNECT: after a 2xx the connection is a tunnel */
#define CONN_UNIX 0x8000    /* no event tells that it is closed */
#define CONN_HEADS 0x10000  /* it was asked by HEAD: a length may stand for no body */

#define SAME_MIN 16
#define SAME_INTERVAL 30000000000ull /* ns after which a head is passed again: user space forgets after a minute */

#define TRIES_MAX 32                   /* calls looked at before a connection is called unknown for good */
#define TRAFFIC_INTERVAL 1000000000ull /* ns between two counts of an unread connection */

/* The first half is a line of memory, which is all that most messages touch; so is the second. */
struct dir_state {
	u64 pos; /* next byte */
	u64 ts;  /* of the last byte */
	u64 left; /* FRAMING_LENGTH: bytes of the body to come; FRAMING_CHUNKED: of the chunk and its line end */
	u64 held_ts; /* a response whose head is read and whose body is still to come: time of its first byte, else 0 */
	u64 held_pos;
	u64 held_length;
	u16 held_status;
	u16 held_head;
	u32 held_tid; /* who moved its first byte */
	u32 next_seq;
	u8 phase;
	u8 framing;
	u8 seen;
	u8 held_dontwait;
	u64 tail;
	u64 body; /* FRAMING_CHUNKED: sum of the chunk sizes so far */
	u32 head_len;
	u32 chunk; /* FRAMING_CHUNKED: a size under way */
	u8 digits; /* ... and how many digits of it were seen */
	u8 line;   /* enum line */
	u8 prefix_len;
	u8 pad[5];
	u8 prefix[PREFIX_MAX];
};

/* The head of a connection's last request, where it came in one call of its own and no body followed. */
struct same_head {
	u64 ts;	    /* when it was passed */
	u32 len;    /* 0: none */
	u32 told;   /* number of the record that passed it */
	u32 lost;   /* records of the connection lost until then: a later loss may have been that of a head */
	u32 misses; /* heads since that were others */
	u8 bytes[SAME_MAX];
};

/* A request that waits for its response, to be told of with it. */
struct held_request {
	u64 ts; /* of its call; 0: none waits */
	u64 pos;
	u64 other_pos;
	u64 other_ts;
	u32 seq;
	u32 len;
	u32 tid;
	u32 record;
	u32 dontwait;
	u32 pad;
};

/*
 * A connection may be served by another processor with each request, and every line of memory that is written comes
 * over from there: a request that is like the one before it writes four, and reads those of its head. The kernel puts
 * eight bytes of its own in front.
 */
struct conn {
	u64 cookie;
	u64 token;
	u64 caller;
	u32 tgid;
	u32 generation;
	u32 record;
	u32 lost;
	u32 flags;
	u32 exec; /* task_struct::self_exec_id of the owner */
	u8 protocol;
	u8 role;
	u8 tries;
	u8 last_dir;
	u8 asked; /* a request was begun and nothing has come back */
	u8 error; /* errno that the connection was ended with, which its owner may not have met yet */
	u8 pad[2];
	struct dir_state dir[2];
	struct held_request held;
	u64 reported; /* time of the last traffic record */
	struct same_head same;
};
_Static_assert(sizeof(struct dir_state) == 128, "two lines of memory");
_Static_assert(__builtin_offsetof(struct conn, dir) == 56, "a line of memory with what is in front");
_Static_assert(__builtin_offsetof(struct conn, held) % 64 == 56, "begins a line of memory");
_Static_assert(__builtin_offsetof(struct conn, same) % 64 == 56, "begins a line of memory");

/* Freed with its socket by the kernel. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct conn);
} conns SEC(".maps");

const volatile u32 self_tgid = 0;
const volatile u32 first_request = 512;
const volatile u32 first_response = 256;
const volatile u64 budget_per_second = 20000;       /* heads a second and process; 0: no budget */
const volatile u64 budget_brief_per_second = 200000; /* brief heads a second and process */

/* Whether a verdict is about the program that the current task runs. */
static __always_inline bool verdict_holds(const struct verdict *v, struct task_struct *task)
{
	return (!v->start || v->start == task->group_leader->start_boottime) &&
	       (v->exec == EXEC_ANY || v->exec == task->self_exec_id);
}

/*
 * Executions known to be excluded, by their process: what they do costs no look-up. Bound: SKIPPED_MAX, of which the
 * last with a place stays; the others are found excluded by their connections.
 */
#define SKIPPED_MAX 256
struct execution {
	u64 start; /* of the process, with the generation of the verdicts in its high bits */
	u64 id;	   /* process and execution */
};
static struct execution skipped[SKIPPED_MAX];

static __always_inline struct execution execution_of(struct task_struct *task, u32 generation)
{
	struct execution e = {
		.start = task->group_leader->start_boottime ^ ((u64)generation << 44),
		.id = (u64)task->self_exec_id << 32 | (u32)task->tgid,
	};

	return e;
}

static __always_inline bool is_skipped(struct task_struct *task, u32 generation)
{
	const struct execution *known = &skipped[(u32)task->tgid & (SKIPPED_MAX - 1)];
	u64 id = (u64)task->self_exec_id << 32 | (u32)task->tgid;

	/* Nearly all are told by the first comparison. */
	return known->id == id && known->start == execution_of(task, generation).start;
}

static __always_inline void conn_owner(struct conn *c, struct task_struct *task, u32 generation)
{
	u32 tgid = task->tgid;
	struct verdict *v = bpf_map_lookup_elem(&verdicts, &tgid);

	c->generation = generation;
	if (c->tgid != tgid)
		c->flags &= ~CONN_ANNOUNCED;
	c->tgid = tgid;
	c->exec = task->self_exec_id;
	if (tgid == self_tgid || (v && (v->flags & VERDICT_EXCLUDED) && verdict_holds(v, task))) {
		c->flags |= CONN_IGNORED;
		skipped[tgid & (SKIPPED_MAX - 1)] = execution_of(task, generation);
	} else {
		c->flags &= ~CONN_IGNORED;
	}
}

static __always_inline struct conn *conn_make(struct sock *sk, struct task_struct *task, u32 generation)
{
	u16 family = sk->__sk_common.skc_family, protocol = sk->sk_protocol, type = sk->sk_type;

	if (family == AF_INET || family == AF_INET6) {
		if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP && protocol != IPPROTO_UDP)
			return NULL;
	} else if (family != AF_UNIX) {
		return NULL;
	}
	struct conn *c = bpf_sk_storage_get(&conns, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!c) {
		count(COUNT_NO_STORAGE);
		return NULL;
	}
	count(COUNT_CONNS);
	c->cookie = bpf_get_socket_cookie(sk);
	c->last_dir = 2;
	if (family == AF_UNIX)
		c->flags |= CONN_UNIX;
	else if (protocol == IPPROTO_TCP)
		c->flags |= CONN_TCP;
	else if (protocol == IPPROTO_UDP)
		c->flags |= CONN_UDP;
	if (type != SOCK_STREAM)
		c->protocol = PROTO_OTHER;
	conn_owner(c, task, generation);
	return c;
}

/* Whether the peer's FIN has come. */
static __always_inline bool has_fin(struct sock *sk)
{
	return sk->__sk_common.skc_flags & (1ul << SOCK_DONE);
}

static __always_inline struct tcp_sock *tcp_of(struct sock *sk)
{
	return bpf_ksym_exists(bpf_rdonly_cast) ? seen_as(struct tcp_sock, sk) : bpf_skc_to_tcp_sock(sk);
}

/* TCP's number of the next byte to be read. A read that reaches the peer's FIN counts it as a byte. */
static __always_inline u32 next_read(struct sock *sk, const struct tcp_sock *tp)
{
	u32 seq = tp->copied_seq;

	return has_fin(sk) && seq == tp->rcv_nxt ? seq - 1 : seq;
}

/* Absolute position of the `len` bytes just moved; a jump over bytes that no call told of is kept. */
static __always_inline u64 conn_advance(struct conn *c, struct sock *sk, u32 dir, u32 len, u64 now, u32 *seq_out)
{
	struct dir_state *d = &c->dir[dir & 1];
	u64 pos = d->pos;

	if (c->flags & CONN_TCP) {
		struct tcp_sock *tp = tcp_of(sk);

		if (tp) {
			u32 seq = (dir == DIR_TX ? tp->write_seq : next_read(sk, tp)) - len;

			if (d->seen) {
				u32 jump = seq - d->next_seq;

				/* Another thread's bytes may have been counted first: a small step back. */
				if (jump > 0xff000000)
					pos -= (u32)-jump;
				else
					pos += jump;
			}
			d->next_seq = seq + len;
			*seq_out = seq;
		}
	}
	d->seen = 1;
	if (pos + len > d->pos)
		d->pos = pos + len;
	d->ts = now;
	return pos;
}

static __always_inline u32 next_record(struct conn *c)
{
	return __sync_fetch_and_add(&c->record, 1);
}

static __always_inline void read_unix_name(struct record_conn *r, struct unix_sock *u)
{
	/* The peer is reached by a walk, so nothing vouches for its type: read it as memory. */
	struct unix_address *a = BPF_CORE_READ(u, addr);

	if (!a)
		return;
	int len = BPF_CORE_READ(a, len) - 2;

	if (len <= 0)
		return;
	if (len > UNIX_PATH_MAX)
		len = UNIX_PATH_MAX;
	if (!bpf_probe_read_kernel(r->path, len & 127, (const void *)a->name[0].sun_path))
		r->path_len = (u8)len;
}

/* Tells who the connection is; again when the owner changes or the record found no room. */
static __noinline int announce(struct conn *c, struct sock *sk)
{
	if (!c || !sk)
		return 0;
	struct record_conn r;

	__builtin_memset(&r, 0, sizeof(r));
	r.type = REC_CONN;
	r.family = (u8)sk->__sk_common.skc_family;
	r.role = c->role;
	r.protocol = c->protocol;
	r.transport = r.family == AF_UNIX ? 0 : sk->sk_protocol;
	r.preexisting = !!(c->flags & CONN_PREEXISTING);
	r.cookie = c->cookie;
	r.ts = bpf_ktime_get_ns();
	struct task_struct *task = bpf_get_current_task_btf();

	r.start = task->group_leader->start_boottime;
	r.tgid = c->tgid;
	r.netns = sk->__sk_common.skc_net.net->ns.inum;
	r.lport = sk->__sk_common.skc_num;
	/* Where it was reset before it was first read from, the port is given back already. */
	if (!r.lport && r.family != AF_UNIX)
		r.lport = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	r.rport = bpf_ntohs(sk->__sk_common.skc_dport);
	if (r.family == AF_INET) {
		r.laddr[10] = r.laddr[11] = r.raddr[10] = r.raddr[11] = 0xff;
		u32 l = sk->__sk_common.skc_rcv_saddr, d = sk->__sk_common.skc_daddr;

		__builtin_memcpy(r.laddr + 12, &l, 4);
		__builtin_memcpy(r.raddr + 12, &d, 4);
	} else if (r.family == AF_INET6) {
		BPF_CORE_READ_INTO(&r.laddr, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&r.raddr, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	} else {
		struct unix_sock *u = bpf_skc_to_unix_sock(sk);

		if (u) {
			read_unix_name(&r, u);
			struct sock *peer = u->peer;

			if (peer) {
				/*
				 * It is given one, so that both ends know each other whichever is met first. Of a stream
				 * alone: the peer of others may go away meanwhile.
				 */
				r.peer_cookie = sk->sk_type == SOCK_STREAM ?
							bpf_get_socket_cookie(peer) :
							(u64)BPF_CORE_READ(peer, __sk_common.skc_cookie.counter);
				if (!r.path_len)
					read_unix_name(&r, (struct unix_sock *)peer);
			}
		}
	}
	r.lost = c->lost;
	r.record = next_record(c);
	if (emit(&r, sizeof(r), c->record))
		c->flags |= CONN_ANNOUNCED;
	else
		c->lost++;
	return 0;
}

/* A response told by what its head said, instead of by its bytes. */
static __always_inline void fill_response(struct record_data *r, struct conn *c, u32 dir)
{
	struct dir_state *d = &c->dir[dir & 1];
	const struct dir_state *o = &c->dir[!(dir & 1)];
	u64 since = d->ts - d->held_ts;

	r->type = REC_DATA;
	r->dir = (u8)dir;
	r->flags = DATA_RESPONSE | DATA_HEAD_START | (d->held_dontwait ? DATA_DONTWAIT : 0);
	r->record = next_record(c);
	r->cookie = c->cookie;
	r->ts = d->ts;
	r->pos = d->held_pos;
	r->seq = 0;
	r->len = (u32)(d->pos - d->held_pos);
	r->cap = 0;
	r->lost = c->lost;
	r->tgid = c->tgid;
	r->tid = d->held_tid;
	r->token = c->token;
	r->caller = 0;
	r->other_pos = o->pos;
	r->other_ts = o->ts;
	r->answer.status = d->held_status;
	r->answer.head = d->held_head;
	r->answer.since = since > 0xffffffff ? 0xffffffff : (u32)since;
	r->body = d->held_length;
	d->held_ts = 0;
}

/* A frame of its own, as all that builds a record on the stack: stacks are 512 bytes deep over all calls. */
__noinline int tell_cut_response(struct conn *c, u32 dir)
{
	if (!c || !c->dir[dir & 1].held_ts)
		return 0;
	struct record_data r;

	fill_response(&r, c, dir);
	if (!emit(&r, sizeof(r), r.record))
		c->lost++;
	return 0;
}

/* As above. */
__noinline int tell_end(struct conn *c, u32 what, u32 flags, int error)
{
	if (!c)
		return 0;
	struct record_end r = {
		.type = REC_END,
		.what = what,
		.flags = flags,
		.error = error,
		.cookie = c->cookie,
		.ts = bpf_ktime_get_ns(),
		.rx_pos = c->dir[DIR_RX].pos,
		.tx_pos = c->dir[DIR_TX].pos,
		.rx_ts = c->dir[DIR_RX].ts,
		.tx_ts = c->dir[DIR_TX].ts,
		.record = next_record(c),
		.lost = c->lost,
	};

	/* What is open ends with it: where the stream's ring has no room, the processes' has. */
	if (!emit(&r, sizeof(r), c->record) &&
	    bpf_ringbuf_output(&control, &r, sizeof(r), BPF_RB_NO_WAKEUP))
		c->lost++;
	return 0;
}

__noinline int tell_traffic(struct conn *c, u64 now, u32 final)
{
	if (!c)
		return 0;
	struct record_traffic r = {
		.type = REC_TRAFFIC,
		.protocol = c->protocol,
		.final = final,
		.tgid = c->tgid,
		.cookie = c->cookie,
		.ts = now,
		.rx = c->dir[DIR_RX].pos,
		.tx = c->dir[DIR_TX].pos,
	};

	c->reported = now;
	emit(&r, sizeof(r), c->record);
	return 0;
}

#endif
