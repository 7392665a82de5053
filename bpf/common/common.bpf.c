// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Holds the shared tables and no program: it is loaded first. */
#include "maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
