/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ends of connections, as their owners meet them.
 *
 * The kernel may know earlier: what the peer sent before it went away is still to be read then, or the call that sent to
 * it is not over. So an end is told with the read or the write that meets it, or with the close of the socket.
 */
#ifndef TELEGEN_END_H
#define TELEGEN_END_H

#include "held.h"

/* Whether bytes that have come were not read yet: then its owner has not met what came behind them. */
static __always_inline bool has_unread(const struct conn *c, struct sock *sk)
{
	if (!(c->flags & CONN_TCP))
		return sk->sk_receive_queue.qlen != 0;
	struct tcp_sock *tp = tcp_of(sk);

	/* The peer's FIN counts as a byte. */
	return tp && tp->rcv_nxt - tp->copied_seq > (has_fin(sk) ? 1 : 0);
}

/* Bytes that were read without a call that tells of it, as splice does, count as well. */
static __always_inline void catch_up(struct conn *c, struct sock *sk)
{
	struct dir_state *d = &c->dir[DIR_RX];
	struct tcp_sock *tp = c->flags & CONN_TCP && d->seen ? tcp_of(sk) : NULL;

	if (!tp)
		return;
	u32 seq = next_read(sk, tp), jump = seq - d->next_seq;

	if (jump && jump < 0x80000000) {
		d->pos += jump;
		d->next_seq = seq;
		d->ts = bpf_ktime_get_ns();
	}
}

/* CLOSE_PEER_FIN where the owner would have met the peer's end of stream next, or did. */
static __always_inline u32 fin_was_next(const struct conn *c, struct sock *sk, int state)
{
	bool fin = c->flags & CONN_TCP ? has_fin(sk) && !has_unread(c, sk) :
					 state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK;

	return fin || c->flags & CONN_PEER_FIN ? CLOSE_PEER_FIN : 0;
}

/* Tells the end of a connection for its owner. Behind catch_up() where there is a socket to ask. */
__noinline int conn_is_over(struct conn *c, u32 flags, int error)
{
	if (!c || c->flags & (CONN_IGNORED | CONN_CLOSED))
		return 0;
	c->flags |= CONN_CLOSED;
	if (c->held.ts)
		release_held(c);
	for (u32 dir = 0; dir < 2; dir++)
		tell_cut_response(c, dir);
	if (c->protocol == PROTO_HTTP1)
		tell_end(c, END_CLOSE, flags, error);
	else if (c->flags & CONN_ANNOUNCED)
		tell_traffic(c, bpf_ktime_get_ns(), 1);
	return 0;
}

/*
 * Whether the other end of a unix socket was closed, and not only its stream ended. No event tells of that, so its end is
 * told here: nobody else uses it any more.
 */
static __noinline int unix_peer_is_gone(struct sock *sk)
{
	/* The peer of others may be another any moment. */
	struct unix_sock *u = sk && sk->sk_type == SOCK_STREAM ? bpf_skc_to_unix_sock(sk) : NULL;
	struct sock *peer = u ? u->peer : NULL;

	if (!peer || BPF_CORE_READ(peer, sk_socket))
		return 0;
	conn_is_over(bpf_sk_storage_get(&conns, peer, NULL, 0), 0, 0);
	return 1;
}

/* A call moved nothing: the end of a stream, or one that its owner meets by it. */
static __noinline int on_end(struct conn *c, struct sock *sk, u32 dir, int ret)
{
	if (!c || !sk)
		return 0;
	int error = -ret;
	u32 flags = 0;

	if (!ret) {
		/* A read of no bytes is an end only when the peer has ended its stream, and not where its reader did. */
		bool ended = c->flags & CONN_TCP ? has_fin(sk) || sk->__sk_common.skc_state == TCP_CLOSE :
						   sk->sk_shutdown & RCV_SHUTDOWN;

		if (dir != DIR_RX || !ended || c->flags & CONN_PEER_FIN)
			return 0;
		c->flags |= CONN_PEER_FIN;
		/* An error that was met by other means, as a write or getsockopt; a reset behind the FIN is none. */
		error = c->error == EPIPE ? 0 : c->error;
	} else if (error != ECONNRESET && error != EPIPE && error != ETIMEDOUT && error != c->error) {
		return 0;
	}
	/* The answer that the peer sent before it went away is still to be read. */
	if (dir == DIR_TX && has_unread(c, sk)) {
		if (!c->error)
			c->error = (u8)error;
		return 0;
	}
	catch_up(c, sk);
	/* Nothing more will come of a response that was read in part, nor will more go out behind an error. */
	tell_cut_response(c, DIR_RX);
	if (error)
		tell_cut_response(c, DIR_TX);
	if (c->flags & CONN_UNIX && unix_peer_is_gone(sk))
		flags |= END_PEER_GONE;
	tell_end(c, error ? END_ERROR : END_EOF, flags, error);
	return 0;
}

#endif
