/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What tc.c, xdp.c and their programs tell each other. */
#ifndef ISTHMUS_ASSUME_HOOK_H
#define ISTHMUS_ASSUME_HOOK_H

#include <linux/types.h>

#define HOOK_TYPE 0x88b5 /* the test's packets: local experimental ethertype (IEEE 802) */

enum hook_program { HOOK_FIRST, HOOK_SECOND, HOOK_PROGRAMS };

struct hook_state {
	__u32 out;		   /* XDP: ifindex to redirect to */
	__u32 seen[HOOK_PROGRAMS]; /* packets of the test */
};

#endif
