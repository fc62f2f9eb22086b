/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs of `resoa` share: whose sockets they look at, counters, events. */
#ifndef ISTHMUS_BPF_RESOA_TELL_H
#define ISTHMUS_BPF_RESOA_TELL_H

#include "lib/ctx.bpf.h"
#include "lib/parse.bpf.h"
#include "resoa_kernel.bpf.h"
#include "resoa_maps.bpf.h"

/* As the kernel numbers families. */
#define RESOA_AF_INET  2
#define RESOA_AF_INET6 10

static __always_inline const struct resoa_conf *conf_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&resoa_conf, &zero);
}

/* Not before the daemon has said which namespace is A. */
static __always_inline bool is_client(__u64 netns_cookie)
{
	const struct resoa_conf *conf = conf_get();

	return conf && conf->client && conf->client == netns_cookie;
}

/* Counted beside what becomes of the packet, or where there is none. */
static __always_inline void note(enum resoa_reason reason)
{
	count_packet(&resoa_stats, reason, 1, 0);
}

/* NULL: no room, and counted. */
static __always_inline struct resoa_event *event_begin(enum resoa_event_type type)
{
	struct resoa_event *event = bpf_ringbuf_reserve(&resoa_event, sizeof(*event), 0);

	if (!event) {
		note(RESOA_EVENT_LOST);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->type = type;
	return event;
}

static __always_inline void event_send(struct resoa_event *event)
{
	bpf_ringbuf_submit(event, 0);
}

/* bpf_get_current_pid_tgid() is not for sockops before 6.10. */
static __always_inline __u32 current_pid(void)
{
	return bpf_get_current_task_btf()->tgid;
}

static __always_inline bool address_is_v4(const struct isthmus_addr *address)
{
	const __u32 *word = (const __u32 *)address->b;

	return !(word[0] | word[1] | (word[2] ^ bpf_htonl(0xffff)));
}

/* What travels by a socket of either family, bound or connected to this address. */
static __always_inline __u8 address_family(const struct isthmus_addr *address)
{
	return address_is_v4(address) ? 4 : 6;
}

#endif
