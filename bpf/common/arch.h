/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What differs between processors: the system call a task is in, and its arguments. */
#ifndef TELEGEN_ARCH_H
#define TELEGEN_ARCH_H

#include "kernel.h"

enum call_kind {
	CALL_NONE = 0,
	CALL_FLAT,    /* second argument is the buffer */
	CALL_IOV,     /* second argument is an iovec array, third its length */
	CALL_MESSAGE, /* second argument is a msghdr */
	CALL_MANY,    /* second argument is an mmsghdr array, third its length, fourth flags */
};

struct call {
	u32 kind;
	u32 fd;
	u64 arg1;
	u64 arg2;
	bool dontwait; /* CALL_MANY */
};

#if defined(__TARGET_ARCH_x86)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct pt_regs {
	unsigned long ax;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
	unsigned long r10;
};
#pragma clang attribute pop

/* arch/x86/include/asm/thread_info.h: the task is in a 32-bit system call */
#define TS_COMPAT 0x0002

/*
 * The entry code stores -ENOSYS as the result before a call runs and replaces it when the call returns: work that
 * runs on the way back to user space (io_uring completions, signals) is told apart from the call itself by it.
 */
static __always_inline bool arch_current_call(struct task_struct *task, bool sending, struct call *call)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	if (!regs || (task->thread_info.status & TS_COMPAT))
		return false;
	if ((s64)regs->ax != -ENOSYS)
		return false;
	u64 nr = regs->orig_ax;

	if (sending) {
		switch (nr) {
		case 1:  /* write */
		case 44: /* sendto */
			call->kind = CALL_FLAT;
			break;
		case 20: /* writev */
			call->kind = CALL_IOV;
			break;
		case 46: /* sendmsg */
			call->kind = CALL_MESSAGE;
			break;
		case 307: /* sendmmsg */
			call->kind = CALL_MANY;
			break;
		default:
			return false;
		}
	} else {
		switch (nr) {
		case 0:  /* read */
		case 45: /* recvfrom */
			call->kind = CALL_FLAT;
			break;
		case 19: /* readv */
			call->kind = CALL_IOV;
			break;
		case 47: /* recvmsg */
			call->kind = CALL_MESSAGE;
			break;
		case 299: /* recvmmsg */
			call->kind = CALL_MANY;
			break;
		default:
			return false;
		}
	}
	call->fd = (u32)regs->di;
	call->arg1 = regs->si;
	/* Each of these reads is checked: most calls need no more. */
	if (call->kind == CALL_FLAT)
		return true;
	call->arg2 = regs->dx;
	if (call->kind == CALL_MANY)
		call->dontwait = regs->r10 & MSG_DONTWAIT;
	return true;
}

#else

/* Without a reader for this processor the tap gives byte counts and no payload. */
static __always_inline bool arch_current_call(struct task_struct *task, bool sending, struct call *call)
{
	(void)task;
	(void)sending;
	(void)call;
	return false;
}

#endif
#endif
