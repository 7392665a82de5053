/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the bytes of a socket operation lie in user memory.
 *
 * The registers describe the system call that the task is in, not the socket operation that fired. They are believed
 * only for a user task, inside a native call of the known list, whose descriptor argument is this very socket.
 */
#ifndef TELEGEN_PAYLOAD_H
#define TELEGEN_PAYLOAD_H

#include "../common/arch.h"
#include "../common/maps.h"

#define IOV_WALK 32 /* iovec elements looked at; what lies behind them is counted, not copied */

#define SCRATCH_PAYLOAD (3 * CHUNK_MAX + 64)
#define OFFSET_MASK (2 * CHUNK_MAX - 1)
#define TAIL_ROOM (CHUNK_MAX + 8) /* behind the piece being sent: where the tail is read to */
#define CHUNK_WINDOW 256		  /* bytes of framing read at a time to there, a power of two */

/* Keeps the compiler from undoing a bound that the verifier needs to see. */
#define keep(v) asm volatile("" : "+r"(v))

#define KNOWN_HEADS 16	 /* a power of two */
#define KNOWN_HEAD_MAX 512 /* bytes of one, a power of two and a multiple of 64 */
#define KNOWN_HEAD_MIN 64

/*
 * A response's head that was looked through, and what it says of its body: most responses of a program differ from the
 * one before in nothing, for as long as the date stands.
 */
struct known_head {
	u64 left;   /* Content-Length */
	u32 end;    /* its bytes; 0: none is known */
	u32 misses; /* heads looked up here that were others, since the last that was this one */
	u8 bytes[KNOWN_HEAD_MAX];
};

/* Which bytes of the call a record stands for, and how many of them it carries. */
struct piece {
	u32 flags;
	u32 off;
	u32 len;
	u32 cap;
};

/* A record under construction, its payload right behind it. */
struct scratch {
	struct record_data r;
	u8 payload[SCRATCH_PAYLOAD];
	struct user_iovec iov[IOV_WALK];
	u32 busy;
	u32 end;   /* of the head just scanned: offset behind it, or 0 */
	u32 lines; /* of the same: offset behind the last whole line */
	u32 pad;
	struct piece piece;
	struct record_data held;
	struct record_exchange x;
	struct known_head known[KNOWN_HEADS];
};

struct source {
	u64 flat;    /* buffer; 0: the scratch holds the iovec array */
	u32 iov_len; /* elements of it */
	u32 pad;
};

/* The bytes that one call moved. */
struct chunk {
	struct source src;
	u64 now;
	u64 pos;
	u32 len;
	u32 seq;
	u32 tid;
	u8 dir;
	u8 have;     /* src is filled */
	u8 dontwait; /* a read that would not have waited */
	u8 pad;
};

/* Whether 64 bytes differ. */
static __always_inline u64 differ(const u8 *a, const u8 *b)
{
	const u64 *x = (const u64 *)a, *y = (const u64 *)b;

	return (x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) | (x[5] ^ y[5]) |
	       (x[6] ^ y[6]) | (x[7] ^ y[7]);
}

static __always_inline bool descriptor_is(struct task_struct *task, u32 fd, struct sock *sk)
{
	struct socket *socket = sk->sk_socket;

	if (!socket)
		return false;
	struct fdtable *table = task->files->fdt;

	if (fd >= table->max_fds)
		return false;
	struct file **slot = table->fd + fd;
	struct file *file = NULL;

	/* A pointer like the table's own: read as that, its offset taken off before. */
	if (bpf_ksym_exists(bpf_rdonly_cast))
		file = (struct file *)seen_as(struct fdtable,
					      (u64)slot - bpf_core_field_offset(struct fdtable, fd))->fd;
	else if (bpf_probe_read_kernel(&file, sizeof(file), slot))
		return false;
	return file && file == socket->file;
}

static __always_inline bool read_iov(struct source *src, struct scratch *s, u64 from, u64 count, u32 len)
{
	u64 n = count > IOV_WALK ? IOV_WALK : count;

	src->iov_len = (u32)n;
	keep(n);
	if (n > IOV_WALK || !n)
		return false;
	if (bpf_probe_read_user(s->iov, n * sizeof(struct user_iovec), (void *)from))
		return false;
	/* All that moved lies in the first: read as one buffer. */
	if (len <= s->iov[0].len)
		src->flat = s->iov[0].base;
	return true;
}

static __always_inline bool read_message(struct source *src, struct scratch *s, u64 from, u32 len)
{
	struct user_message m;

	if (bpf_probe_read_user(&m, sizeof(m), (void *)from))
		return false;
	return read_iov(src, s, m.iov, m.iov_len, len);
}

#define MANY_WALK 8 /* elements of a sendmmsg or recvmmsg looked at */
#define MANY_IOV 4  /* buffers of each */
#define MMSGHDR 64  /* sizeof(struct mmsghdr) */

#define MANY_SENT 1
#define MANY_PARTLY 2 /* the call does not wait for room */

/*
 * The element of an mmsghdr array that moved `len` bytes, or 0 where that is not proven: a sent one is as long as the
 * result and no earlier one may have been sent in part; a received one is the only one that has the room.
 */
__noinline u64 find_element(struct scratch *s, u64 from, u64 elements, u32 len, u32 how)
{
	u64 found = 0;

	if (elements == 1)
		return from;
	if (!s || !elements || elements > MANY_WALK)
		return 0;
	for (u32 i = 0; i < MANY_WALK; i++) {
		struct user_message m;
		u64 at = from + i * MMSGHDR, size = 0;

		if (i >= elements)
			break;
		if (bpf_probe_read_user(&m, sizeof(m), (void *)at))
			return 0;
		u64 n = m.iov_len;

		keep(n);
		if (!n || n > MANY_IOV)
			return 0;
		if (bpf_probe_read_user(s->iov, n * sizeof(struct user_iovec), (void *)m.iov))
			return 0;
		for (u32 j = 0; j < MANY_IOV; j++)
			if (j < n)
				size += s->iov[j].len;
		if (how & MANY_SENT ? size == len : size >= len) {
			if (found)
				return 0;
			found = at;
		} else if (how == (MANY_SENT | MANY_PARTLY) && !found && size > len) {
			return 0;
		}
	}
	return found;
}

static __always_inline bool may_be_partly(struct sock *sk, const struct call *call)
{
	struct socket *socket = sk->sk_socket;

	return call->dontwait || !socket || (BPF_CORE_READ(socket, file, f_flags) & O_NONBLOCK);
}

/* Fills `src` for a call that moved `len` bytes; a false answer is counted by its cause. */
static __always_inline bool find_source(struct task_struct *task, struct sock *sk, bool sending, u32 len,
					struct source *src, struct scratch *s)
{
	struct call call = {};

	if (task->flags & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER)) {
		count(COUNT_NO_PAYLOAD_KERNEL_TASK);
		return false;
	}
	if (!arch_current_call(task, sending, &call)) {
		count(COUNT_NO_PAYLOAD_CALL);
		return false;
	}
	if (!descriptor_is(task, call.fd, sk)) {
		count(COUNT_NO_PAYLOAD_FD);
		return false;
	}
	src->flat = 0;
	src->iov_len = 0;
	switch (call.kind) {
	case CALL_FLAT:
		src->flat = call.arg1;
		return src->flat != 0;
	case CALL_IOV:
		return read_iov(src, s, call.arg1, call.arg2, len);
	case CALL_MESSAGE:
		return read_message(src, s, call.arg1, len);
	case CALL_MANY:
		call.arg1 = find_element(s, call.arg1, call.arg2, len,
					 (sending ? MANY_SENT : 0) | (may_be_partly(sk, &call) ? MANY_PARTLY : 0));
		if (call.arg1)
			return read_message(src, s, call.arg1, len);
	}
	count(COUNT_NO_PAYLOAD_CALL);
	return false;
}

/*
 * Copies `n` (<= CHUNK_MAX) bytes from offset `off` of the source to offset `at` (<= TAIL_ROOM) of the payload. Gives
 * the number copied: less than `n` on a fault or behind IOV_WALK elements.
 */
__noinline u32 copy_bytes(const struct source *src, struct scratch *s, u32 at, u32 off, u32 n)
{
	u32 done = 0;

	if (!src || !s || at > TAIL_ROOM)
		return 0;
	if (n > CHUNK_MAX)
		n = CHUNK_MAX;
	if (src->flat) {
		u64 where = at, size = n;

		keep(where);
		keep(size);
		where &= OFFSET_MASK;
		if (size > CHUNK_MAX)
			return 0;
		return bpf_probe_read_user(s->payload + where, size, (void *)(src->flat + off)) ? 0 : n;
	}
	for (u32 i = 0; i < IOV_WALK; i++) {
		if (i >= src->iov_len || done >= n)
			break;
		struct user_iovec v = s->iov[i];

		if (off >= v.len) {
			off -= (u32)v.len;
			continue;
		}
		u64 take = v.len - off;

		if (take > n - done)
			take = n - done;
		u64 where = (u64)at + done;

		if (where > TAIL_ROOM + CHUNK_WINDOW)
			break;
		keep(where);
		keep(take);
		where &= OFFSET_MASK;
		if (take > CHUNK_MAX)
			break;
		if (bpf_probe_read_user(s->payload + where, take, (void *)(v.base + off)))
			break;
		done += (u32)take;
		off = 0;
	}
	return done;
}

#endif
