/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors of this machine's own, at most GATEWAY_ERRORS_A_S a second to one address. */
#ifndef ISTHMUS_BPF_GATEWAY_TELL_H
#define ISTHMUS_BPF_GATEWAY_TELL_H

#include "lib/count.bpf.h"
#include "gateway_head.bpf.h"

#define SECOND_NS 1000000000ull

/* May one more be sent to this address in this second? */
static __always_inline bool tell_allowed(const struct isthmus_addr *to, __u64 now)
{
	const __u32 *word = (const __u32 *)to->b;
	__u32 key = word[0] ^ word[1] ^ word[2] ^ word[3];
	__u64 second = now / SECOND_NS << 32, fresh = second | 1, *known;

	known = bpf_map_lookup_elem(&gateway_source, &key);
	if (!known)
		return !bpf_map_update_elem(&gateway_source, &key, &fresh, BPF_ANY);
	if ((*known ^ second) >> 32) {
		*known = fresh;
		return true;
	}
	return (__u32)__sync_fetch_and_add(known, 1) < GATEWAY_ERRORS_A_S;
}

/* An event to fill and submit; NULL: lost. */
static __always_inline struct gateway_event *event_begin(__u8 kind, __u64 now)
{
	struct gateway_event *event = bpf_ringbuf_reserve(&gateway_event, sizeof(*event), 0);

	if (!event) {
		count_packet(&gateway_stats, GATEWAY_EVENT_LOST, 1, 0);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = now;
	event->kind = kind;
	return event;
}

#endif
