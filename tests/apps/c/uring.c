// PORT: one HTTP request over io_uring, whose completions run inside calls on another socket: PORT.
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int dial(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(s, (struct sockaddr *)&a, sizeof(a)))
		exit(3);
	return s;
}

static struct io_uring_params p;
static char *sq, *cq;
static struct io_uring_sqe *sqes;
static int ring;

static void submit(int op, int fd, void *buffer, unsigned len)
{
	unsigned tail = *(unsigned *)(sq + p.sq_off.tail), mask = *(unsigned *)(sq + p.sq_off.ring_mask);
	struct io_uring_sqe *e = &sqes[tail & mask];

	memset(e, 0, sizeof(*e));
	e->opcode = op;
	e->fd = fd;
	e->addr = (unsigned long)buffer;
	e->len = len;
	((unsigned *)(sq + p.sq_off.array))[tail & mask] = tail & mask;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0) != 1)
		exit(4);
}

static int done(void)
{
	return __atomic_load_n((unsigned *)(cq + p.cq_off.tail), __ATOMIC_ACQUIRE);
}

int main(int argc, char **argv)
{
	int port = atoi(argv[argc - 1]), s = dial(port), other[2];
	char request[] = "GET /uring HTTP/1.1\r\nHost: h\r\n\r\n", answer[4096];
	/* What the registers would point at while a completion runs: it must be in no record. */
	char decoy[] = "GET /decoy-of-another-buffer HTTP/1.1\r\nHost: h\r\n\r\n";

	ring = syscall(SYS_io_uring_setup, 8, &p);
	if (ring < 0)
		return 77;
	sq = mmap(0, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	cq = mmap(0, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
	sqes = mmap(0, p.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	if (pipe(other))
		return 5;
	submit(IORING_OP_RECV, s, answer, sizeof(answer)); /* waits; completes inside one of the calls below */
	submit(IORING_OP_SEND, s, request, sizeof(request) - 1);
	for (int i = 0; done() < 2 && i < 2000; i++) {
		if (write(other[1], decoy, sizeof(decoy) - 1) < 0 || read(other[0], decoy, sizeof(decoy) - 1) < 0)
			return 6;
		usleep(1000);
	}
	printf("%d\n", done());
	return done() == 2 ? 0 : 7;
}
