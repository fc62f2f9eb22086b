/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What fib.c and its program tell each other. */
#ifndef ISTHMUS_ASSUME_FIB_H
#define ISTHMUS_ASSUME_FIB_H

#include <linux/bpf.h>

struct fib_state {
	struct bpf_fib_lookup fib;
	int result;
};

#endif
