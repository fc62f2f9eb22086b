/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every return of every program is counted under a reason, here and nowhere else. */
#ifndef ISTHMUS_BPF_LIB_COUNT_H
#define ISTHMUS_BPF_LIB_COUNT_H

#include "hook.bpf.h"
#include "maps/common.h"

/* TAKEN: gone without a trace, so that its sender believes that it was sent. */
enum verdict { VERDICT_PASS, VERDICT_SEND, VERDICT_DROP, VERDICT_NONE, VERDICT_TAKEN };

static __always_inline void count_packet(void *stats, __u32 reason, __u32 packets, __u32 bytes)
{
	struct isthmus_count *count = bpf_map_lookup_elem(stats, &reason);

	if (!count)
		return;
	count->packets += packets;
	count->bytes += bytes;
}

/* What a verdict is called at a hook. SEND has its own code, that of the redirect. */
static __always_inline int verdict_code(enum hook hook, enum verdict verdict)
{
	if (verdict == VERDICT_PASS)
		return hook == HOOK_XDP ? XDP_PASS : TC_ACT_UNSPEC;
	return hook == HOOK_XDP ? XDP_DROP : TC_ACT_SHOT;
}

#endif
