/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records and tables shared with user space; crates/bpf/src/abi.rs mirrors them and a test compares the layouts. */
#ifndef TELEGEN_ABI_H
#define TELEGEN_ABI_H

#include "kernel.h"

#define RINGS_MAX 16
#define PREFIX_MAX 32  /* bytes looked at to tell the begin of a message */
#define CHUNK_MAX 4096 /* payload bytes of one record */
#define HEAD_MAX 16384 /* payload bytes of one message head */
#define TAIL_MAX 8
#define BRIEF_MAX 16   /* payload bytes of a head over budget */
#define SAME_MAX 384   /* bytes of a request's head that is compared with the one before it */
#define SAMPLE_MAX 512 /* payload bytes that name a protocol */
#define UNIX_PATH_MAX 108
#define ARGV_MAX 512
#define PATH_LEN_MAX 256

enum record_type {
	REC_CONN = 1,    /* who a connection is */
	REC_DATA = 2,    /* bytes of a connection that is read */
	REC_END = 3,     /* end of stream, error, own close */
	REC_SAMPLE = 4,  /* first bytes of a connection that is not read */
	REC_TRAFFIC = 5, /* byte counts of a connection that is not read */
	REC_EXCHANGE = 6, /* a request like the one before it, with its response */
	REC_EXEC = 16,
	REC_FORK = 17,
	REC_EXIT = 18,
	REC_LISTEN = 19,
};

enum direction {
	DIR_RX = 0,
	DIR_TX = 1,
};

enum role {
	ROLE_UNKNOWN = 0,
	ROLE_SERVER = 1,
	ROLE_CLIENT = 2,
};

enum protocol {
	PROTO_UNKNOWN = 0,
	PROTO_HTTP1 = 1,
	PROTO_HTTP2 = 2,
	PROTO_TLS = 3,
	PROTO_OTHER = 4,
};

/* record_data.flags */
#define DATA_HEAD_START 0x0001  /* the first byte is the begin of a message head */
#define DATA_REQUEST 0x0002     /* ... of a request (else of a response) */
#define DATA_IN_HEAD 0x0004     /* payload belongs to a head under way */
#define DATA_HEAD_CUT 0x0008    /* no more of this head will come (16 KiB bound or budget) */
#define DATA_OVER_BUDGET 0x0010 /* brief: BRIEF_MAX bytes of the head only */
#define DATA_NO_PAYLOAD 0x0020  /* the call's buffer is not known (sendfile, io_uring, 32-bit, ...) */
#define DATA_PIPELINED 0x0040   /* whole writes are passed on this connection */
#define DATA_TAIL 0x0080        /* tail[] is filled */
#define DATA_MAYBE 0x0100       /* too few bytes to tell whether a head begins */
#define DATA_CHUNKS 0x0200      /* `body` counts the data of a chunked message so far */
#define DATA_ENDED 0x0400       /* the chunked message ends with this call */
#define DATA_DONTWAIT 0x1000    /* a read that would not have waited: the thread may do other things meanwhile */
#define DATA_SAME 0x2000        /* a request with the head that record `told` passed: no bytes */
#define DATA_HELD 0x4000        /* ... which REC_EXCHANGE may tell of as well, by the same number */
#define DATA_RESPONSE 0x0800    /* no bytes but what they say: `answer` and `body`, the Content-Length */

/* record_end.what */
enum end_what {
	END_EOF = 1,   /* a read returned 0: the peer's end of stream, in read order */
	END_ERROR = 2, /* a read or write failed with `error` */
	END_CLOSE = 3, /* the connection is gone for its owner */
};

/* record_end.flags */
#define CLOSE_PEER_FIN 1 /* the peer had ended its stream */
#define END_PEER_GONE 2  /* unix: the peer was closed, which nothing else tells */

struct record_conn {
	u8 type;
	u8 family;
	u8 role;
	u8 protocol;
	u16 transport; /* IPPROTO_*, 0 for unix */
	u8 preexisting;
	u8 path_len;
	u64 cookie;
	u64 peer_cookie; /* unix: the other end, when it has one already */
	u64 ts;
	u64 start;       /* start of the owner, ns since boot */
	u32 tgid;
	u32 netns;
	u16 lport;
	u16 rport;
	u32 record;
	u8 laddr[16]; /* IPv4 is kept v4-mapped */
	u8 raddr[16];
	char path[UNIX_PATH_MAX]; /* unix: the bound address, own or peer's; a leading NUL marks an abstract one */
	u32 lost; /* records of this connection lost so far */
};

struct record_data {
	u8 type;
	u8 dir;
	u16 flags;
	u32 record; /* number of this record within the connection */
	u64 cookie;
	u64 ts;
	u64 pos; /* of the first byte, from the connection's first seen byte of this direction */
	u32 seq; /* the same as TCP numbers it, 0 where there is none */
	u32 len; /* bytes moved */
	u32 cap; /* bytes of payload that follow */
	u32 lost; /* records of this connection lost so far */
	u32 tgid;
	u32 tid;
	u64 token;
	u64 caller; /* a request sent: token of the request that its thread read last, or 0 */
	u64 other_pos; /* the other direction: next byte and time of the last */
	u64 other_ts;
	union {
		u8 tail[TAIL_MAX]; /* last bytes of the call's buffer */
		struct {
			u16 status;
			u16 head;  /* bytes of the head */
			u32 since; /* ns from the first byte of the response to `ts`, or the most that fits */
		} answer;
		u32 told; /* DATA_SAME: number of the record that passed the head */
	};
	u64 body; /* data of a chunked message so far, or the length of DATA_RESPONSE */
};

/* A request that DATA_SAME would tell of and the response that DATA_RESPONSE would, as one. It has two numbers. */
struct record_exchange {
	u8 type;
	u8 pad;
	u16 flags; /* of the request: DATA_DONTWAIT */
	u32 record; /* number of the request; the response has the next */
	u64 cookie;
	u64 ts;	   /* of the response's last byte */
	u64 start; /* of the request */
	u64 pos;
	u32 seq;
	u32 len;
	u32 told;
	u32 lost;
	u32 tgid;
	u32 tid;
	u64 token;
	u64 other_pos; /* the direction of responses when the request came: next byte and time of the last */
	u64 other_ts;
	u64 answer_pos;
	u32 answer_len;
	u32 answer_tid;
	u16 status;
	u16 head;  /* bytes of the response's head */
	u32 since; /* ns from the first byte of the response to `ts`, or the most that fits */
	u64 body;  /* its Content-Length */
};

struct record_end {
	u8 type;
	u8 what;
	u8 flags;
	u8 pad;
	s32 error; /* positive errno */
	u64 cookie;
	u64 ts;
	u64 rx_pos;
	u64 tx_pos;
	u64 rx_ts;
	u64 tx_ts;
	u32 record;
	u32 lost;
};

struct record_sample {
	u8 type;
	u8 dir;
	u8 protocol;
	u8 pad;
	u32 cap;
	u64 cookie;
	u64 ts;
	u32 tgid;
	u32 record;
	u32 lost; /* records of this connection lost so far */
	u32 pad2;
};

struct record_traffic {
	u8 type;
	u8 protocol;
	u8 final;
	u8 pad;
	u32 tgid;
	u64 cookie;
	u64 ts;
	u64 rx;
	u64 tx;
};

struct record_exec {
	u8 type;
	u8 pad[3];
	u32 pid;
	u32 ppid;
	u32 uid;
	u64 start; /* ns since boot */
	u64 ts;
	u64 cgroup;
	u32 pid_ns;
	u32 mnt_ns;
	u32 net_ns;
	u32 exec; /* task_struct::self_exec_id */
	u32 path_len;
	u32 argv_len;
	u32 interp_len;
	u32 pad2;
	char path[PATH_LEN_MAX];
	char interp[PATH_LEN_MAX];
	char argv[ARGV_MAX];
};

struct record_fork {
	u8 type;
	u8 pad[3];
	u32 pid;
	u32 ppid;
	u32 exec; /* task_struct::self_exec_id, the parent's */
	u64 start;
	u64 parent_start;
	u64 ts;
};

struct record_exit {
	u8 type;
	u8 pad[3];
	u32 pid;
	u64 start;
	u64 ts;
};

struct record_listen {
	u8 type;
	u8 family;
	u16 port;
	u32 tgid;
	u64 start;
	u64 ts;
};

/* One a socket of the start-up pass, written to the iterator's file. */
struct found_socket {
	u64 cookie;
	u64 start;
	u32 tgid;
	u32 fd;
	u16 port;
	u8 family;
	u8 state;
	u32 pad;
};

/*
 * verdicts: what user space decided about a process, as the program that it ran then: `start` and `exec` are those of
 * the task. A process that has executed something else since is undecided, and undecided ones are traced.
 */
#define VERDICT_EXCLUDED 1
#define EXEC_ANY 0xffffffff /* found by a scan: good until the process executes something */
struct verdict {
	u64 start; /* ns since boot; 0: any */
	u32 exec;  /* task_struct::self_exec_id */
	u32 flags;
};

/* procs: the capture budget of a process, and what was lost of it. Written by the kernel half alone. */
struct proc_state {
	u64 refilled; /* when `credit` was last raised, ns */
	s64 credit;   /* heads that may still be captured */
	s64 brief;    /* further heads that may still pass as 16 bytes */
	u64 lost;     /* requests begun whose record found no room */
	u64 unread;   /* requests begun over the second bound */
	u64 udp_rx;   /* bytes of datagrams */
	u64 udp_tx;
};

/* counters: one slot a cause, summed over processors by user space. */
enum counter {
	COUNT_RECORDS = 0,
	COUNT_RING_FULL,
	COUNT_REQUESTS,
	COUNT_REQUESTS_LOST,
	COUNT_REQUESTS_LOST_NO_PROC,
	COUNT_OVER_BUDGET,
	COUNT_OVER_SECOND_BOUND,
	COUNT_NO_PAYLOAD_CALL,
	COUNT_NO_PAYLOAD_FD,
	COUNT_NO_PAYLOAD_KERNEL_TASK,
	COUNT_NO_STORAGE,
	COUNT_BUSY,
	COUNT_FAULT,
	COUNT_CONNS,
	COUNT_CONTROL_FULL,
	COUNT_UDP_BYTES,
	COUNT_AFTER_END,
	COUNT_MAX = 32,
};

#endif
