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

#define IOV_WALK 16 /* iovec elements looked at; what lies behind them is counted, not copied */

#define SCRATCH_PAYLOAD (3 * CHUNK_MAX + 64)
#define OFFSET_MASK (2 * CHUNK_MAX - 1)
#define TAIL_ROOM (CHUNK_MAX + 8) /* behind the piece being sent: where the tail is read to */

/* Keeps the compiler from undoing a bound that the verifier needs to see. */
#define keep(v) asm volatile("" : "+r"(v))

/* A record under construction with its payload. */
struct scratch {
	struct record_data r;
	u8 payload[SCRATCH_PAYLOAD];
	u32 busy;
};

struct source {
	u64 flat; /* buffer, or 0 */
	u64 iov;  /* iovec array, when flat is 0 */
	u32 iov_len;
};

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

	if (bpf_probe_read_kernel(&file, sizeof(file), slot))
		return false;
	return file && file == socket->file;
}

static __noinline bool source_of_message(u64 message, struct source *src)
{
	struct user_message m;

	if (!src || bpf_probe_read_user(&m, sizeof(m), (void *)message))
		return false;
	src->iov = m.iov;
	src->iov_len = m.iov_len > IOV_WALK ? IOV_WALK : (u32)m.iov_len;
	return m.iov != 0;
}

/* Fills `src`; a false answer is counted by its cause. */
static __always_inline bool find_source(struct sock *sk, bool sending, struct source *src)
{
	struct task_struct *task = bpf_get_current_task_btf();
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
	src->iov = 0;
	src->iov_len = 0;
	switch (call.kind) {
	case CALL_FLAT:
		src->flat = call.arg1;
		return src->flat != 0;
	case CALL_IOV:
		src->iov = call.arg1;
		src->iov_len = call.arg2 > IOV_WALK ? IOV_WALK : (u32)call.arg2;
		return src->iov != 0;
	case CALL_MESSAGE:
		return source_of_message(call.arg1, src);
	case CALL_MANY:
		/* Which element fired is proven only when the call has one. */
		if (call.arg2 != 1)
			break;
		return source_of_message(call.arg1, src);
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
		struct user_iovec v;

		if (i >= src->iov_len || done >= n)
			break;
		if (bpf_probe_read_user(&v, sizeof(v), (void *)(src->iov + i * sizeof(v))))
			break;
		if (off >= v.len) {
			off -= (u32)v.len;
			continue;
		}
		u64 take = v.len - off;

		if (take > n - done)
			take = n - done;
		u64 where = (u64)at + done;

		if (where > TAIL_ROOM)
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
