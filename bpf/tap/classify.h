/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the first bytes of a message tell. Conservative: user space confirms and names the rest. */
#ifndef TELEGEN_CLASSIFY_H
#define TELEGEN_CLASSIFY_H

#include "../common/kernel.h"
#include "../common/abi.h"

enum look {
	LOOK_NO = 0,
	LOOK_MORE,     /* fits so far, too short to tell */
	LOOK_REQUEST,  /* method, space, target */
	LOOK_RESPONSE, /* HTTP/1. */
	LOOK_TLS,
	LOOK_HTTP2,
};

#define FOUR(a, b, c, d) ((u32)(a) | (u32)(b) << 8 | (u32)(c) << 16 | (u32)(d) << 24)

static __always_inline bool method_byte(u8 c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_' || (c >= '0' && c <= '9');
}

/* Any method of letters, digits, '-' and '_' up to 23 bytes, then a target that begins with '/', '*' or "http". */
static __always_inline u32 look_at_method(const u8 *p, u32 n)
{
	for (u32 i = 0; i < 24; i++) {
		if (i >= n)
			return LOOK_MORE;
		u8 c = p[i];

		if (c == ' ') {
			if (i == 0)
				return LOOK_NO;
			if (i + 1 >= n)
				return LOOK_MORE;
			u8 t = p[i + 1];

			if (t == '/' || t == '*')
				return LOOK_REQUEST;
			if (t != 'h' && t != 'H')
				return LOOK_NO;
			if (i + 4 >= n)
				return LOOK_MORE;
			return (p[i + 2] | 0x20) == 't' && (p[i + 3] | 0x20) == 't' && (p[i + 4] | 0x20) == 'p' ?
				       LOOK_REQUEST :
				       LOOK_NO;
		}
		if (!method_byte(c))
			return LOOK_NO;
	}
	return LOOK_NO;
}

/* The first bytes of a call or message: `n` of them filled, the others zero. */
struct prefix {
	u8 bytes[PREFIX_MAX];
};

/* Not static: the verifier looks at it once, not once a call. So are the other functions without that word. */
__noinline u32 look_at(const struct prefix *prefix, u32 n)
{
	if (!prefix)
		return LOOK_NO;
	const u8 *p = prefix->bytes;

	/* An empty line may stand before a request (RFC 9112 2.2). */
	if (p[0] == '\r' && n < 4)
		return n < 2 || p[1] == '\n' ? LOOK_MORE : LOOK_NO;
	if (p[0] == '\r' && p[1] == '\n') {
		u32 look = look_at_method(p + 2, n - 2);

		return look == LOOK_REQUEST || look == LOOK_MORE ? look : LOOK_NO;
	}
	u32 w = *(const u32 *)p;

	if (n >= 4) {
		switch (w) {
		case FOUR('G', 'E', 'T', ' '):
			if (n >= 5 && p[4] == '/')
				return LOOK_REQUEST;
			break;
		case FOUR('P', 'O', 'S', 'T'):
			if (n >= 6 && p[4] == ' ' && p[5] == '/')
				return LOOK_REQUEST;
			break;
		case FOUR('H', 'T', 'T', 'P'):
			if (n < 7)
				return LOOK_MORE;
			if (p[4] == '/' && p[5] == '1' && p[6] == '.')
				return LOOK_RESPONSE;
			return LOOK_NO;
		case FOUR('C', 'O', 'N', 'N'):
			/* CONNECT has a host and port as its target. */
			if (n < 9)
				return LOOK_MORE;
			if (p[4] == 'E' && p[5] == 'C' && p[6] == 'T' && p[7] == ' ')
				return p[8] > ' ' ? LOOK_REQUEST : LOOK_NO;
			break;
		case FOUR('P', 'R', 'I', ' '):
			if (n < 8)
				return LOOK_MORE;
			if (p[4] == '*' && p[5] == ' ' && p[6] == 'H')
				return LOOK_HTTP2;
			break;
		}
		/* A TLS record: handshake (ClientHello, ServerHello), or application data met in mid-stream. */
		if (p[1] == 3 && p[2] <= 4) {
			if (p[0] == 22)
				return n < 6 ? LOOK_MORE : (p[5] == 1 || p[5] == 2) ? LOOK_TLS : LOOK_NO;
			if (p[0] == 23 && p[2] == 3)
				return LOOK_TLS;
		}
	} else if (n && (p[0] == 22 || p[0] == 23)) {
		return LOOK_MORE;
	}
	return look_at_method(p, n);
}

/* The same of PREFIX_MAX bytes: the two that nearly all messages begin with are told without a call. */
static __always_inline u32 look_at_begin(const u8 *p, u32 n)
{
	u64 w = *(const u64 *)p;

	if ((w & 0xffffffffffull) == (FOUR('G', 'E', 'T', ' ') | (u64)'/' << 32))
		return LOOK_REQUEST;
	if ((w & 0xffffffffffffffull) == (FOUR('H', 'T', 'T', 'P') | (u64)FOUR('/', '1', '.', 0) << 32))
		return LOOK_RESPONSE;
	return look_at((const struct prefix *)p, n);
}

/* A PROXY protocol prefix (v1 text, v2 signature) stands before the first message of a connection. */
static __always_inline bool look_at_proxy(const u8 *p, u32 n)
{
	if (n < 6)
		return false;
	u32 w = *(const u32 *)p;

	return (w == FOUR('P', 'R', 'O', 'X') && p[4] == 'Y' && p[5] == ' ') ||
	       (w == FOUR('\r', '\n', '\r', '\n') && p[4] == 0 && p[5] == '\r');
}

#endif
