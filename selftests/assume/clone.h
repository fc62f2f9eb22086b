/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What clone.c and its programs tell each other. */
#ifndef ISTHMUS_ASSUME_CLONE_H
#define ISTHMUS_ASSUME_CLONE_H

#include <linux/types.h>

struct clone_state {
	__u32 out;    /* ifindex to send to */
	__u32 failed; /* bits of the calls that failed */
};

#endif
