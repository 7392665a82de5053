// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Holds the shared tables and no program: it is loaded first. */
#include "maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Never used: what only stands on a program's stack has no type information, and a test compares all layouts. */
struct layouts {
	struct record_conn conn;
	struct record_data data;
	struct record_exchange exchange;
	struct record_end end;
	struct record_sample sample;
	struct record_traffic traffic;
	struct record_exec exec;
	struct record_fork fork;
	struct record_exit exit;
	struct record_listen listen;
	struct found_socket found;
	struct proc_state proc;
	struct verdict verdict;
};
struct layouts layouts_of_records = {};
