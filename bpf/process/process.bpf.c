// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Life of processes. What names one travels in the exec record: /proc of a short-lived process is gone before it is read. */
#include "../common/maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* An exec record is too large for the stack; exec runs with preemption off inside a tracepoint. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct record_exec);
} exec_scratch SEC(".maps");

/* Process records are rare and names depend on them: the reader is woken at once. */
static __always_inline void emit_control(void *record, u64 size)
{
	if (bpf_ringbuf_output(&control, record, size, BPF_RB_FORCE_WAKEUP))
		count(COUNT_CONTROL_FULL);
}

#define HANDED_ON 16 /* descriptors looked at: supervisors hand on sockets in the lowest ones */

/* Sockets that listen already: systemd, inetd and servers that replace themselves hand them on over an exec. */
static __always_inline void tell_handed_on(struct task_struct *task, const struct record_exec *exec)
{
	struct fdtable *table = task->files->fdt;
	struct file **slots = table->fd;
	u32 most = table->max_fds;

	for (u32 fd = 0; fd < HANDED_ON && fd < most; fd++) {
		struct file *file = NULL;

		if (bpf_probe_read_kernel(&file, sizeof(file), slots + fd) || !file)
			continue;
		if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
			continue;
		struct socket *socket = BPF_CORE_READ(file, private_data);
		struct sock *sk = socket ? BPF_CORE_READ(socket, sk) : NULL;

		if (!sk || BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_LISTEN)
			continue;
		struct record_listen r = {
			.type = REC_LISTEN,
			.family = (u8)BPF_CORE_READ(sk, __sk_common.skc_family),
			.port = BPF_CORE_READ(sk, __sk_common.skc_num),
			.tgid = exec->pid,
			.start = exec->start,
			.ts = exec->ts,
		};

		if (r.family == AF_INET || r.family == AF_INET6)
			emit_control(&r, sizeof(r));
	}
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	u32 zero = 0;
	struct record_exec *r = bpf_map_lookup_elem(&exec_scratch, &zero);

	if (!r)
		return 0;
	(void)old_pid;
	u32 pid = task->tgid;
	const struct verdict *v = bpf_map_lookup_elem(&verdicts, &pid);

	/* A verdict of a scan names no execution: it was about the program before this one. */
	if (v && v->exec == EXEC_ANY)
		bpf_map_delete_elem(&verdicts, &pid);
	r->type = REC_EXEC;
	r->pid = task->tgid;
	r->ppid = task->real_parent->tgid;
	r->uid = (u32)bpf_get_current_uid_gid();
	r->start = task->group_leader->start_boottime;
	r->exec = task->self_exec_id;
	r->pad2 = 0;
	r->ts = bpf_ktime_get_ns();
	r->cgroup = bpf_get_current_cgroup_id();
	struct nsproxy *ns = task->nsproxy;

	r->pid_ns = BPF_CORE_READ(ns, pid_ns_for_children, ns.inum);
	r->mnt_ns = BPF_CORE_READ(ns, mnt_ns, ns.inum);
	r->net_ns = BPF_CORE_READ(ns, net_ns, ns.inum);

	long n = bpf_probe_read_kernel_str(r->path, sizeof(r->path), bprm->filename);

	r->path_len = n > 0 ? n - 1 : 0;
	n = bpf_probe_read_kernel_str(r->interp, sizeof(r->interp), bprm->interp);
	r->interp_len = n > 0 ? n - 1 : 0;

	unsigned long from = task->mm->arg_start, to = task->mm->arg_end;
	u32 len = to - from;

	if (len > ARGV_MAX)
		len = ARGV_MAX;
	r->argv_len = bpf_probe_read_user(r->argv, len, (void *)from) ? 0 : len;
	emit_control(r, sizeof(*r));
	tell_handed_on(task, r);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	if (child->pid != child->tgid)
		return 0;
	struct record_fork r = {
		.type = REC_FORK,
		.pid = child->tgid,
		.ppid = parent->tgid,
		.exec = child->self_exec_id,
		.start = child->start_boottime,
		.parent_start = parent->group_leader->start_boottime,
		.ts = bpf_ktime_get_ns(),
	};

	emit_control(&r, sizeof(r));
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	/* Only the leader's exit is told: a process whose leader left early ends for us when its threads stop to act. */
	if (task->pid != task->tgid)
		return 0;
	struct record_exit r = {
		.type = REC_EXIT,
		.pid = task->tgid,
		.start = task->start_boottime,
		.ts = bpf_ktime_get_ns(),
	};

	emit_control(&r, sizeof(r));
	return 0;
}
