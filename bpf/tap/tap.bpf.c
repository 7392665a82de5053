// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Front end A: the socket tracepoints. They tax socket calls alone and need neither kprobes nor trampolines. */
#include "../common/maps.h"
#include <bpf/bpf_endian.h>
#include "stream.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/sock_send_length")
int BPF_PROG(tap_send, struct sock *sk, int ret, int flags)
{
	return on_data(sk, DIR_TX, ret, flags);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(tap_recv, struct sock *sk, int ret, int flags)
{
	return on_data(sk, DIR_RX, ret, flags);
}

/* May run in softirq in the middle of tap_send: it uses no scratch. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tap_state, struct sock *sk, int old, int new)
{
	if (new == TCP_LISTEN) {
		struct task_struct *task = bpf_get_current_task_btf();
		struct record_listen r = {
			.type = REC_LISTEN,
			.family = (u8)sk->__sk_common.skc_family,
			.port = sk->__sk_common.skc_num,
			.tgid = task->tgid,
			.start = task->group_leader->start_boottime,
			.ts = bpf_ktime_get_ns(),
		};

		if (bpf_ringbuf_output(&control, &r, sizeof(r), BPF_RB_FORCE_WAKEUP))
			count(COUNT_CONTROL_FULL);
		return 0;
	}
	if (new != TCP_CLOSE && new != TCP_FIN_WAIT1 && new != TCP_LAST_ACK && new != TCP_CLOSE_WAIT &&
	    new != TCP_SYN_SENT)
		return 0;
	struct conn *c = bpf_sk_storage_get(&conns, sk, NULL, 0);

	if (!c)
		return 0;
	if (new == TCP_SYN_SENT) {
		/* A socket that was disconnected begins anew. */
		conn_is_over(c, 0, c->error);
		bpf_sk_storage_delete(&conns, sk);
		return 0;
	}
	if (c->flags & (CONN_IGNORED | CONN_CLOSED))
		return 0;
	/* The client may have given up. */
	if (c->held.ts)
		release_held(c);
	if (new == TCP_CLOSE) {
		/* MPTCP tells of it more than once. */
		bool both = old == TCP_FIN_WAIT2 || old == TCP_CLOSING || old == TCP_LAST_ACK || old == TCP_CLOSE;

		/*
		 * The peer ended it, perhaps in the middle of a call, while what it sent before waits to be read: its
		 * owner meets the end with a read or a write, or closes it, which tap_destroy sees.
		 */
		if (sk->sk_socket && (c->flags & CONN_TCP ? both || sk->sk_err : both && has_unread(c, sk))) {
			if (!c->error)
				c->error = (u8)sk->sk_err;
			return 0;
		}
	} else {
		if (new == TCP_CLOSE_WAIT)
			return 0;
		/* shutdown(SHUT_WR) also leaves ESTABLISHED; only a full close ends the connection for its owner. */
		if ((sk->sk_shutdown & (RCV_SHUTDOWN | SEND_SHUTDOWN)) != (RCV_SHUTDOWN | SEND_SHUTDOWN))
			return 0;
		/* So does shutdown(SHUT_WR) behind the peer's FIN: a close has thrown away what was not read. */
		if (has_unread(c, sk))
			return 0;
	}
	catch_up(c, sk);
	conn_is_over(c, fin_was_next(c, sk, old), sk->sk_err);
	return 0;
}

/* The owner closed a connection that was over. Of one that it ended itself tap_state has told. */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(tap_destroy, struct sock *sk)
{
	struct conn *c = bpf_sk_storage_get(&conns, sk, NULL, 0);

	if (c && !(c->flags & (CONN_IGNORED | CONN_CLOSED))) {
		catch_up(c, sk);
		conn_is_over(c, fin_was_next(c, sk, TCP_CLOSE), c->error);
	}
	return 0;
}

/* Start-up pass over every open descriptor: marks sockets that were open before, tells who listens. */
SEC("iter/task_file")
int tap_scan(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	if (!task || !file)
		return 0;
	struct socket *socket = bpf_sock_from_file(file);

	if (!socket)
		return 0;
	struct sock *sk = BPF_CORE_READ(socket, sk);

	if (!sk)
		return 0;
	struct found_socket f = {};

	f.tgid = task->tgid;
	f.start = BPF_CORE_READ(task, group_leader, start_boottime);
	f.fd = ctx->fd;
	f.family = (u8)BPF_CORE_READ(sk, __sk_common.skc_family);
	f.state = BPF_CORE_READ(sk, __sk_common.skc_state);
	f.port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (f.family != AF_INET && f.family != AF_INET6)
		return 0;
	if (f.state == TCP_LISTEN)
		bpf_seq_write(ctx->meta->seq, &f, sizeof(f));
	return 0;
}

/* A pass like that one: cookies of the unix sockets that are there, as no event tells that one is closed. */
SEC("iter/task_file")
int tap_unix(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct socket *socket = file ? bpf_sock_from_file(file) : NULL;
	struct sock *sk = socket ? BPF_CORE_READ(socket, sk) : NULL;

	if (!sk || BPF_CORE_READ(sk, __sk_common.skc_family) != AF_UNIX)
		return 0;
	u64 cookie = (u64)BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);

	/* The tap knows none without. */
	if (cookie)
		bpf_seq_write(ctx->meta->seq, &cookie, sizeof(cookie));
	return 0;
}

/* The same over those of the own network namespace: also the ones that no descriptor stands for, as they are passed on. */
SEC("iter/unix")
int tap_unix_here(struct bpf_iter__unix *ctx)
{
	struct unix_sock *u = ctx->unix_sk;

	if (!u)
		return 0;
	u64 cookie = (u64)BPF_CORE_READ((struct sock *)u, __sk_common.skc_cookie.counter);

	if (cookie && BPF_CORE_READ((struct sock *)u, sk_socket))
		bpf_seq_write(ctx->meta->seq, &cookie, sizeof(cookie));
	return 0;
}
