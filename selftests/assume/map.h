/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What map.c and its programs tell each other. */
#ifndef ISTHMUS_ASSUME_MAP_H
#define ISTHMUS_ASSUME_MAP_H

#include <linux/bpf.h>

#define MAP_KEYS 65536
#define MAP_STEP 128 /* keys that one run claims */

struct map_locked {
#ifdef __bpf__
	struct bpf_spin_lock lock;
#else
	__u32 lock;
#endif
	__u32 pad;
	__u64 first, second;
};

struct map_state {
	__u32 from;
};

#endif
