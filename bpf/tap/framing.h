/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How far the kernel half follows the framing of HTTP/1: where a head ends, and how long its body is. What it knows
 * spares a record for each call inside a body; what it does not know is told call by call, and user space decides.
 */
#ifndef TELEGEN_FRAMING_H
#define TELEGEN_FRAMING_H

#include "classify.h"
#include "held.h"

#define EIGHT(a, b, c, d, e, f, g, h) ((u64)FOUR(a, b, c, d) | (u64)FOUR(e, f, g, h) << 32)
#define LOWER 0x2020202020202020ull

/* A header line that frames the body: its name is told by eight bytes at a time, letters without case. */
__noinline int look_at_header(struct dir_state *d, const struct scratch *s, u64 at)
{
	if (!d || !s)
		return 0;
	keep(at);
	at &= OFFSET_MASK;
	const u8 *p = s->payload + at;
	u64 name = *(const u64 *)p | LOWER;

	if (name == EIGHT('t', 'r', 'a', 'n', 's', 'f', 'e', 'r')) {
		if ((*(const u64 *)(p + 8) | LOWER) == EIGHT('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n')) {
			d->framing = FRAMING_CHUNKED;
			d->left = 0;
			d->body = 0;
			d->chunk = 0;
			d->digits = 0;
			d->line = LINE_SIZE;
		}
	} else if (name == EIGHT('c', 'o', 'n', 't', 'e', 'n', 't', '-') && d->framing != FRAMING_CHUNKED) {
		u64 rest = *(const u64 *)(p + 8) | LOWER;

		/* "length: " also when the space is missing, whose place the first digit then takes. */
		if ((rest & 0x00ffffffffffffffull) != (EIGHT('l', 'e', 'n', 'g', 't', 'h', ':', 0)))
			return 0;
		u64 value = 0;
		u32 digits = 0;

		for (u32 i = 0; i < 16; i++) {
			u8 c = p[15 + i];

			if (c == ' ' && !digits)
				continue;
			if (c < '0' || c > '9')
				break;
			value = value * 10 + (c - '0');
			digits++;
		}
		if (digits && digits < 15) {
			d->framing = FRAMING_LENGTH;
			d->left = value;
		}
	}
	return 0;
}

/*
 * Looks through a piece of a head, eight bytes at a time: where it ends ("\n\r\n" or "\n\n"), and how its body is
 * framed. Eight zero bytes are written behind the piece; `tail` carries the last eight over to the next one.
 */
__noinline int scan_head(struct dir_state *d, struct scratch *s, u32 got)
{
	const u64 ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;

	if (!d || !s)
		return 0;
	if (got > CHUNK_MAX)
		got = CHUNK_MAX;
	u64 behind = got;

	keep(behind);
	behind &= OFFSET_MASK;
	*(u64 *)(s->payload + behind) = 0;
	s->end = 0;
	s->lines = 0;
	u64 x = d->tail ^ (ones * '\n');
	u64 before = (x - ones) & ~x & highs;

	for (u32 i = 0; i < CHUNK_MAX / 8; i++) {
		if (i * 8 >= got)
			break;
		x = *(const u64 *)(s->payload + i * 8) ^ (ones * '\n');
		u64 at = (x - ones) & ~x & highs;

		if (at) {
			/* bit k set: byte k is '\n' and so is byte k-2 ("\n?\n"), or byte k-1 ("\n\n") */
			u64 ends = at & ((at << 16) | (before >> 48) | (at << 8) | (before >> 56));
			u64 bits = ends ? ends : at;

			/* The lowest set byte, counted from one: below it all bits are set once one is taken away. */
			bits &= -bits;
			u32 line = i * 8 + (u32)((((bits - 1) & ones) * ones) >> 56);

			if (ends) {
				s->end = line <= got ? line : 0;
				break;
			}
			s->lines = line;
			u64 where = line;

			keep(where);
			where &= OFFSET_MASK;
			u64 name = *(const u64 *)(s->payload + where) | LOWER;

			if (name == EIGHT('c', 'o', 'n', 't', 'e', 'n', 't', '-') ||
			    name == EIGHT('t', 'r', 'a', 'n', 's', 'f', 'e', 'r'))
				look_at_header(d, s, line);
		}
		before = at;
	}
	if (got >= 8) {
		behind = got - 8;
		keep(behind);
		behind &= OFFSET_MASK;
		d->tail = *(u64 *)(s->payload + behind);
	} else if (got) {
		d->tail = (d->tail >> (got * 8)) | (*(u64 *)s->payload << (64 - got * 8));
	}
	return 0;
}

/* Steps of the walk through one call: a byte of framing each, with the data before it. */
#define CHUNK_STEPS_MAX 16384

/* Where the walk through a call's chunks stands. */
struct walk {
	struct dir_state *d;
	struct scratch *s;
	const struct source *src;
	u32 off; /* of the next byte, and how many are left from there on */
	u32 len;
	u32 window; /* offset of the bytes that were read, and how many they are */
	u32 filled;
	u32 lost; /* the place within the framing */
};

/* Takes a byte of framing (RFC 9112 7.1): false where it is none. Bare line ends are left to user space. */
static __always_inline bool step_line(struct dir_state *d, u8 c)
{
	u8 low = c | 0x20;

	switch (d->line) {
	case LINE_SIZE:
		if (c == '\r')
			d->line = LINE_SIZE_END;
		else if (c == ';' || c == ' ' || c == '\t')
			d->line = LINE_EXTENSION;
		else if (d->digits == 8)
			return false;
		else if (c >= '0' && c <= '9')
			d->chunk = d->chunk << 4 | (c - '0'), d->digits++;
		else if (low >= 'a' && low <= 'f')
			d->chunk = d->chunk << 4 | (low - 'a' + 10), d->digits++;
		else
			return false;
		return d->digits;
	case LINE_EXTENSION:
		if (c == '\r')
			d->line = LINE_SIZE_END;
		return c != '\n';
	case LINE_SIZE_END:
		d->body += d->chunk;
		d->left = d->chunk ? (u64)d->chunk + 2 : 0;
		d->line = d->chunk ? LINE_SIZE : LINE_TRAILERS;
		d->chunk = 0;
		d->digits = 0;
		return c == '\n';
	case LINE_TRAILERS:
		d->line = c == '\r' ? LINE_LAST : LINE_TRAILER;
		return c != '\n';
	case LINE_TRAILER:
		if (c == '\n')
			d->line = LINE_TRAILERS;
		return true;
	case LINE_LAST:
		d->line = LINE_ENDED;
		return c == '\n';
	}
	/* More behind the end. */
	return false;
}

static long walk_step(u32 i, void *context)
{
	struct walk *w = context;
	struct dir_state *d = w->d;
	struct scratch *s = w->s;
	u64 take = d->left < w->len ? d->left : w->len;

	d->left -= take;
	w->off += (u32)take;
	w->len -= (u32)take;
	if (!w->len)
		return 1;
	u64 at = w->off - w->window;

	if (at >= w->filled) {
		u32 n = w->len < CHUNK_WINDOW ? w->len : CHUNK_WINDOW;

		at = 0;
		w->window = w->off;
		w->filled = n;
		if (copy_bytes(w->src, s, TAIL_ROOM, w->off, n) != n) {
			w->lost = 1;
			return 1;
		}
	}
	keep(at);
	at &= CHUNK_WINDOW - 1;
	if (!step_line(d, s->payload[TAIL_ROOM + at])) {
		w->lost = 1;
		return 1;
	}
	w->off++;
	w->len--;
	return 0;
}

/*
 * Walks the chunks of `len` bytes from offset `off` of the call: sizes are added to `body`. Gives whether the message
 * ends with the call. What is no framing, and calls of very many chunks, end the counting: from there user space goes
 * by the tails.
 */
__noinline int walk_chunks(struct dir_state *d, struct scratch *s, const struct source *src, u32 off, u32 len)
{
	if (!d || !s || !src)
		return 0;
	struct walk w = { .d = d, .s = s, .src = src, .off = off, .len = len };

	bpf_loop(CHUNK_STEPS_MAX, walk_step, &w, 0);
	if (w.lost || w.len)
		d->framing = FRAMING_UNKNOWN;
	return d->line == LINE_ENDED;
}

/* Counts body bytes of a call: whether the call needs to be told, and its flags. */
struct counted {
	u32 flags;
	u32 told;
	u32 beyond; /* another message begins behind the body */
};

static __always_inline void count_body(struct dir_state *d, struct scratch *s, const struct chunk *k, u32 off,
				       struct counted *out)
{
	u32 len = k->len - off;

	out->flags = 0;
	out->told = 1;
	out->beyond = 0;
	if (d->framing == FRAMING_LENGTH) {
		if (len > d->left) {
			d->framing = FRAMING_UNKNOWN;
			out->beyond = 1;
			return;
		}
		d->left -= len;
		out->told = d->left == 0;
	} else if (d->framing == FRAMING_CHUNKED) {
		if (len <= d->left) {
			d->left -= len;
			out->flags = DATA_CHUNKS;
			out->told = 0;
			return;
		}
		if (!k->have) {
			d->framing = FRAMING_UNKNOWN;
			return;
		}
		u32 ended = walk_chunks(d, s, &k->src, off, len);

		if (d->framing != FRAMING_CHUNKED) {
			out->beyond = ended;
			return;
		}
		out->flags = DATA_CHUNKS | (ended ? DATA_ENDED : 0);
		out->told = ended;
	}
}

/* Tells of a response in the scratch's record: stacks are 512 bytes deep over all calls. */
__noinline int tell_response(struct conn *c, struct scratch *s, u32 dir)
{
	if (!c || !s)
		return 0;
	if (dir == DIR_TX && c->held.ts && tell_exchange(c, s))
		return 0;
	fill_response(&s->r, c, dir);
	if (!emit(&s->r, sizeof(s->r), s->r.record))
		c->lost++;
	return 0;
}

/* A response's status, or 0. A tunnel is left alone from here on. */
static __always_inline u32 look_at_status(struct conn *c, const struct scratch *s)
{
	u32 first = s->payload[9] - '0', second = s->payload[10] - '0', third = s->payload[11] - '0';

	if (first > 9 || second > 9 || third > 9)
		return 0;
	u32 status = first * 100 + second * 10 + third;

	if (status == 101 || (first == 2 && c->flags & CONN_CONNECT))
		c->flags |= CONN_TUNNEL;
	return status;
}

/*
 * A response whose head lies whole in the scratch and says how long its body is: one record tells of it, once its last
 * byte has moved. Gives false where the head has to be passed itself.
 */
static __always_inline bool take_response(struct conn *c, struct scratch *s, struct dir_state *d, const struct chunk *k,
					  u32 status)
{
	if (status < 200 || c->flags & (CONN_TUNNEL | CONN_PIPELINED | CONN_BRIEF | CONN_MUTE))
		return false;
	if (c->flags & CONN_HEAD || status == 204 || status == 304) {
		d->framing = FRAMING_LENGTH;
		d->left = 0;
	}
	u64 body = k->len - s->end;

	if (d->framing != FRAMING_LENGTH || body > d->left)
		return false;
	/* Where no event may tell the end it cannot wait for its last byte. */
	if (c->flags & CONN_UNIX && body < d->left)
		return false;
	d->held_ts = k->now;
	d->held_pos = k->pos;
	d->held_length = d->left;
	d->held_status = (u16)status;
	d->held_head = (u16)s->end;
	d->held_tid = k->tid;
	d->held_dontwait = !!k->dontwait;
	d->left -= body;
	d->phase = PHASE_BODY;
	if (!d->left) {
		d->framing = FRAMING_UNKNOWN;
		tell_response(c, s, k->dir);
	}
	return true;
}

/* Whether another message begins right behind a head, in the same bytes. A frame of its own: stacks are 512 bytes. */
__noinline u32 message_follows(struct scratch *s, u32 end, u32 got)
{
	struct prefix next = {};
	u32 rest = got - end;

	if (!s || end >= got)
		return 0;
	if (rest > PREFIX_MAX)
		rest = PREFIX_MAX;
	if (end < CHUNK_MAX)
		bpf_probe_read_kernel(&next, PREFIX_MAX, s->payload + end);
	u32 look = look_at(&next, rest);

	return look == LOOK_REQUEST || look == LOOK_RESPONSE;
}

#endif
