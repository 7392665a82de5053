/*
 * CALL PORT: two HTTP requests on one connection; the first is sent, or its answer of BODY bytes read, by the named call.
 * Exit: 0, 77 where the kernel lacks the call, else a failure.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define BODY 70000
#define CHECK(what) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "line %d: %s: %s\n", __LINE__, #what, strerror(errno)); \
			exit(1); \
		} \
	} while (0)

static char buffer[2 * BODY];

static void send_all(int s, const char *bytes, size_t n)
{
	CHECK(send(s, bytes, n, MSG_NOSIGNAL) == (ssize_t)n);
}

/* Reads the head byte by byte, so that the body is left whole. */
static void read_head(int s)
{
	size_t n = 0;

	while (n < 4 || memcmp(buffer + n - 4, "\r\n\r\n", 4)) {
		CHECK(recv(s, buffer + n, 1, 0) == 1);
		n++;
	}
}

static void read_body(int s, size_t left)
{
	while (left) {
		ssize_t n = recv(s, buffer, left < sizeof(buffer) ? left : sizeof(buffer), 0);

		CHECK(n > 0);
		left -= n;
	}
}

static void by_splice(int s)
{
	int out[2], null = open("/dev/null", O_WRONLY);
	size_t left = BODY;

	CHECK(pipe(out) == 0 && null >= 0);
	while (left) {
		ssize_t n = splice(s, NULL, out[1], NULL, left, 0);

		CHECK(n > 0);
		left -= n;
		while (n > 0) {
			ssize_t m = splice(out[0], NULL, null, NULL, n, 0);

			CHECK(m > 0);
			n -= m;
		}
	}
}

static void by_truncation(int s)
{
	size_t left = BODY;

	while (left) {
		ssize_t n = recv(s, NULL, left, MSG_TRUNC);

		CHECK(n > 0);
		left -= n;
	}
}

static void by_zerocopy(int s)
{
	size_t left = BODY, size = 1 << 20;
	void *window = mmap(NULL, size, PROT_READ, MAP_SHARED, s, 0);

	if (window == MAP_FAILED)
		exit(77);
	while (left) {
		struct pollfd p = { .fd = s, .events = POLLIN };
		struct tcp_zerocopy_receive z = { .address = (unsigned long)window, .length = 1 << 16 };
		socklen_t n = sizeof(z);

		CHECK(poll(&p, 1, 10000) == 1);
		z.copybuf_address = (unsigned long)buffer;
		z.copybuf_len = 4096;
		if (getsockopt(s, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &z, &n))
			exit(77);
		if (z.length)
			CHECK(madvise(window, size, MADV_DONTNEED) == 0);
		size_t got = z.length + (z.copybuf_len > 0 ? z.copybuf_len : 0);

		left -= got;
		if (z.recv_skip_hint && left) {
			size_t take = z.recv_skip_hint < left ? z.recv_skip_hint : left;

			read_body(s, take);
			left -= take;
		} else {
			CHECK(got);
		}
	}
}

static void by_recvmmsg(int s)
{
	struct iovec v[2] = { { buffer, BODY - 10 }, { buffer, 10 } };
	struct mmsghdr m[2] = { { .msg_hdr = { .msg_iov = v, .msg_iovlen = 1 } },
				{ .msg_hdr = { .msg_iov = v + 1, .msg_iovlen = 1 } } };
	int n = recvmmsg(s, m, 2, MSG_WAITALL, NULL);

	CHECK(n == 2 && m[0].msg_len == BODY - 10 && m[1].msg_len == 10);
}

/* The head in two elements, the longer one first: only in a call that waits is the second proven. */
static void send_by_sendmmsg(int s, const char *path)
{
	char head[256];
	char rest[] = "X: y\r\n\r\n";
	int n = snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: h\r\n", path);
	struct iovec v[3] = { { head, 10 }, { head + 10, n - 10 }, { rest, sizeof(rest) - 1 } };
	struct mmsghdr m[2] = { { .msg_hdr = { .msg_iov = v, .msg_iovlen = 2 } },
				{ .msg_hdr = { .msg_iov = v + 2, .msg_iovlen = 1 } } };

	CHECK(sendmmsg(s, m, 2, MSG_NOSIGNAL) == 2);
}

/* A send whose completion comes over the error queue: what is read there is none of the stream. */
static void send_by_zerocopy(int s, const char *request, size_t n)
{
	int one = 1;
	char control[128];
	struct msghdr m = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct pollfd p = { .fd = s };

	if (setsockopt(s, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		exit(77);
	CHECK(send(s, request, n, MSG_ZEROCOPY | MSG_NOSIGNAL) == (ssize_t)n);
	CHECK(poll(&p, 1, 10000) == 1);
	CHECK(recvmsg(s, &m, MSG_ERRQUEUE) >= 0);
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int s = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(argc == 3);
	const char *call = argv[1];

	a.sin_port = htons(atoi(argv[2]));
	CHECK(connect(s, (struct sockaddr *)&a, sizeof(a)) == 0);
	for (int i = 0; i < 2; i++) {
		char path[64], request[256];

		snprintf(path, sizeof(path), "/%s/%d", call, i);
		int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);

		if (i == 0 && !strcmp(call, "sendmmsg"))
			send_by_sendmmsg(s, path);
		else if (i == 0 && !strcmp(call, "errqueue"))
			send_by_zerocopy(s, request, n);
		else
			send_all(s, request, n);
		read_head(s);
		if (i == 0 && !strcmp(call, "splice"))
			by_splice(s);
		else if (i == 0 && !strcmp(call, "trunc"))
			by_truncation(s);
		else if (i == 0 && !strcmp(call, "zerocopy"))
			by_zerocopy(s);
		else if (i == 0 && !strcmp(call, "recvmmsg"))
			by_recvmmsg(s);
		else
			read_body(s, BODY);
	}
	return 0;
}
