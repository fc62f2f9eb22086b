/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef ISTHMUS_SELFTESTS_ASSUME_WORD_H
#define ISTHMUS_SELFTESTS_ASSUME_WORD_H

#include <linux/types.h>

#define WORD_STEP  64	/* additions of a run */
#define WORD_FRAME 4096 /* longest copy behind an event */

struct word_event {
	__u32 length, pad; /* bytes that follow */
	__u8 frame[WORD_FRAME];
};

/* What a run is told: .bss */
struct word_state {
	__u32 length;
};

#endif
