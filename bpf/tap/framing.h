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
			d->last_chunk = 0;
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

#define CHUNKS_A_CALL 32

/*
 * Walks the chunks of `len` bytes from offset `off` of the call: sizes are added to `body`. Chunk lines that do not lie
 * whole in one call, and trailers, end the counting: from there user space goes by the tails.
 */
__noinline int walk_chunks(struct dir_state *d, struct scratch *s, const struct source *src, u32 off, u32 len)
{
	if (!d || !s || !src)
		return 0;
	for (u32 i = 0; i < CHUNKS_A_CALL; i++) {
		if (d->left) {
			u64 take = d->left < len ? d->left : len;

			d->left -= take;
			off += (u32)take;
			len -= (u32)take;
		}
		if (!len)
			return d->last_chunk && !d->left;
		if (d->last_chunk)
			break; /* more behind the end: a message, or trailers that were taken for it */
		u32 n = len < 16 ? len : 16;
		u64 *room = (u64 *)(s->payload + TAIL_ROOM);

		room[0] = room[1] = 0;
		if (copy_bytes(src, s, TAIL_ROOM, off, n) != n)
			break;
		u64 size = 0;
		u32 at = 0;

		for (; at < 9; at++) {
			u8 c = s->payload[TAIL_ROOM + at];
			u8 low = c | 0x20;

			if (c >= '0' && c <= '9')
				size = size << 4 | (c - '0');
			else if (low >= 'a' && low <= 'f')
				size = size << 4 | (low - 'a' + 10);
			else
				break;
		}
		if (!at || at > 8)
			break;
		u8 cr = s->payload[TAIL_ROOM + at], lf = s->payload[TAIL_ROOM + at + 1];

		if (cr != '\r' || lf != '\n')
			break;
		at += 2;
		off += at;
		len -= at;
		d->body += size;
		d->left = size + 2;
		if (!size) {
			/* An empty line ends the message; anything else there is a trailer. */
			if (len >= 2 && (s->payload[TAIL_ROOM + at] != '\r' || s->payload[TAIL_ROOM + at + 1] != '\n'))
				break;
			d->last_chunk = 1;
		}
	}
	d->framing = FRAMING_UNKNOWN;
	return 0;
}

/* Counts body bytes of a call: whether the call needs to be told, and its flags. */
struct counted {
	u32 flags;
	u32 told;
};

static __always_inline void count_body(struct dir_state *d, struct scratch *s, const struct chunk *k, u32 off,
				       struct counted *out)
{
	u32 len = k->len - off;

	out->flags = 0;
	out->told = 1;
	if (d->framing == FRAMING_LENGTH) {
		if (len > d->left) {
			d->framing = FRAMING_UNKNOWN;
			return;
		}
		d->left -= len;
		out->told = d->left == 0;
	} else if (d->framing == FRAMING_CHUNKED) {
		if (!k->have) {
			d->framing = FRAMING_UNKNOWN;
			return;
		}
		u32 ended = walk_chunks(d, s, &k->src, off, len);

		if (d->framing != FRAMING_CHUNKED)
			return;
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
