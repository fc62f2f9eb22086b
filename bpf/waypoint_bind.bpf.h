/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who is bound to whom (AVES 3.3): delayed binding as figure 6 has it, the ends of bindings (5.2),
 * and what costs a stranger time (6.2).
 */
#ifndef ISTHMUS_BPF_WAYPOINT_BIND_H
#define ISTHMUS_BPF_WAYPOINT_BIND_H

#include <asm-generic/errno-base.h>

#include "waypoint_ip.bpf.h"

#define NS_PER_S 1000000000ULL

static __always_inline void bind_event(__u8 kind, const struct waypoint_pair *pair,
				       const struct waypoint_wait *wait, __u64 now)
{
	struct waypoint_event *event = bpf_ringbuf_reserve(&waypoint_event, sizeof(*event), 0);

	if (!event) {
		count_packet(&waypoint_stats, WAYPOINT_EVENT_LOST, 1, 0);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = now;
	event->serial = wait->serial;
	event->pair = *pair;
	event->kind = kind;
	event->peer = wait->peer;
	event->host = wait->host;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline bool bind_is_live(const struct waypoint_bind *bind,
					 const struct waypoint_conf *conf, __u64 now)
{
	return bind && waypoint_bind_ends(bind, conf) > now;
}

/* ---- sources */

static __always_inline struct waypoint_source *source_of(__be32 address)
{
	struct waypoint_source *source = bpf_map_lookup_elem(&waypoint_source, &address);
	struct waypoint_source fresh = {};

	if (source)
		return source;
	bpf_map_update_elem(&waypoint_source, &address, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&waypoint_source, &address);
}

/* A new connection to nobody. Sources can be forged: it costs at most a delay later. */
static __always_inline void source_unsolicited(__be32 address, __u64 now)
{
	struct waypoint_source *source = source_of(address);

	if (!source)
		return;
	if (source->bound_ns && now - source->bound_ns < WAYPOINT_EXEMPT_S * NS_PER_S)
		return;
	if (++source->unsolicited < WAYPOINT_SCANS)
		return;
	source->unsolicited = 0;
	source->penalty_ns = now + WAYPOINT_PENALTY_S * NS_PER_S;
}

/* May it bind now? A penalised source may once in a while. */
static __always_inline bool source_may_bind(const struct waypoint_source *source, __u64 now)
{
	return source->penalty_ns <= now || !source->bound_ns ||
	       now - source->bound_ns >= WAYPOINT_PENALTY_GAP_S * NS_PER_S;
}

/* ---- waits */

/* The running wait of the address whose prefix has the initiator, or NULL. */
static __always_inline struct waypoint_wait *wait_find(const struct waypoint_addr *addr,
						       __be32 initiator, __u64 now)
{
	__u32 first = addr->number * WAYPOINT_WAITS;

	if (addr->waits_until_ns <= now)
		return NULL;
	for (__u32 i = 0; i < WAYPOINT_WAITS; i++) {
		__u32 place = first + i;
		struct waypoint_wait *wait = bpf_map_lookup_elem(&waypoint_wait, &place);

		if (wait && wait->until_ns > now && (initiator & wait->mask) == wait->prefix)
			return wait;
	}
	return NULL;
}

/* Bound to another responder: refused for the reject time, from the wait's end on. */
static __always_inline enum waypoint_reason wait_violated(const struct waypoint_pair *pair,
							  const struct waypoint_wait *wait,
							  const struct waypoint_conf *conf,
							  __u64 now)
{
	struct waypoint_reject reject = {
		.from_ns = wait->until_ns,
		.until_ns = wait->until_ns + conf->reject_ns,
	};

	bpf_map_update_elem(&waypoint_reject, pair, &reject, BPF_ANY);
	bind_event(WAYPOINT_EVENT_REJECTED, pair, wait, now);
	return WAYPOINT_VIOLATED;
}

/* One that is over gives its place up, unless another CPU has just put a new one there. */
static __always_inline void bind_clear(const struct waypoint_pair *pair,
				       const struct waypoint_conf *conf, __u64 now)
{
	const struct waypoint_bind *bind = bpf_map_lookup_elem(&waypoint_bind, pair);

	if (bind && !bind_is_live(bind, conf, now))
		bpf_map_delete_elem(&waypoint_bind, pair);
}

/*
 * The initiator that was waited for, perhaps. Of two CPUs with its first packets one makes the
 * binding and the other finds it.
 */
static __always_inline enum waypoint_reason wait_bind(const struct waypoint_pair *pair,
						      struct waypoint_wait *wait,
						      const struct waypoint_conf *conf,
						      const struct waypoint_bind *stale, __u64 now)
{
	struct waypoint_bind bind = { .peer = wait->peer, .host = wait->host, .seen_ns = now };
	struct waypoint_source *source = source_of(pair->initiator);
	long error;

	if (source && !source_may_bind(source, now))
		return WAYPOINT_PENALISED;
	/* The agent may have cleared one away and not yet its connections: any number, then. */
	bind.number = now >> 20;
	if (stale) {
		bind.number = stale->number + 1;
		bind_clear(pair, conf, now);
	}
	bind.fresh_ns = now + conf->fresh_ns;
	error = bpf_map_update_elem(&waypoint_bind, pair, &bind, BPF_NOEXIST);
	if (error)
		return error == -EEXIST ? WAYPOINT_SEALED : WAYPOINT_BIND_FULL;
	if (source) {
		source->bound_ns = now;
		source->unsolicited = 0;
	}
	__sync_fetch_and_add(&wait->bound, 1);
	bind_event(WAYPOINT_EVENT_BOUND, pair, wait, now);
	return WAYPOINT_BOUND;
}

/*
 * Figure 6, for a new connection. BOUND: it has a binding now; SEALED: it has had one, or another
 * CPU has just made it; else what became of it.
 */
static __always_inline enum waypoint_reason bind_admit(const struct waypoint_pair *pair,
						       const struct waypoint_addr *addr,
						       const struct waypoint_bind *bind,
						       const struct waypoint_conf *conf, __u64 now)
{
	struct waypoint_reject *reject = bpf_map_lookup_elem(&waypoint_reject, pair);
	bool live = bind_is_live(bind, conf, now);
	struct waypoint_wait *wait;

	if (unlikely(reject) && reject->from_ns <= now && now < reject->until_ns)
		return WAYPOINT_REFUSED;
	wait = wait_find(addr, pair->initiator, now);
	if (live) {
		if (wait && (bind->peer != wait->peer || bind->host != wait->host))
			return wait_violated(pair, wait, conf, now);
		return WAYPOINT_SEALED;
	}
	if (wait)
		return wait_bind(pair, wait, conf, bind, now);
	source_unsolicited(pair->initiator, now);
	return WAYPOINT_UNSOLICITED;
}

/* ---- what a binding carries, and how it ends */

/* An error is about a packet of another protocol, and none of the session's own. */
static __always_inline __u8 carried_by(const struct ip *p)
{
	if (p->error)
		return 0;
	switch (p->proto) {
	case IPPROTO_ICMP:
		return WAYPOINT_CARRIED_ICMP;
	case IPPROTO_UDP:
		return WAYPOINT_CARRIED_UDP;
	case IPPROTO_TCP:
		return WAYPOINT_CARRIED_TCP;
	}
	return WAYPOINT_CARRIED_OTHER;
}

/* One connection less; the last one's end begins the binding's (5.2). */
static __always_inline void conn_end(struct waypoint_bind *bind,
				     const struct waypoint_conn_key *key)
{
	/* Only who deletes it has ended it: FINs and RSTs are repeated. */
	if (bpf_map_delete_elem(&waypoint_conn, key))
		return;
	if (__sync_fetch_and_add(&bind->conns, -1) == 1)
		bind->ended = 1;
}

static __always_inline void conn_begin(struct waypoint_bind *bind,
				       const struct waypoint_conn_key *key, __u64 now)
{
	struct waypoint_conn conn = { .seen_ns = now, .number = bind->number };
	struct waypoint_conn *old;

	bind->ended = 0;
	if (!bpf_map_update_elem(&waypoint_conn, key, &conn, BPF_NOEXIST)) {
		__sync_fetch_and_add(&bind->conns, 1);
		return;
	}
	old = bpf_map_lookup_elem(&waypoint_conn, key);
	if (!old)
		return;
	/* Repeated, or on the ports of an earlier one, whose FINs are not its own. */
	old->seen_ns = now;
	old->fins = 0;
	conn.number = old->number;
	if (unlikely(conn.number != bind->number) &&
	    __sync_val_compare_and_swap(&old->number, conn.number, (__u32)bind->number) ==
		    conn.number)
		__sync_fetch_and_add(&bind->conns, 1);
}

/*
 * A TCP packet with SYN, FIN or RST. `fin` is which side's FIN it would be; where replies go
 * straight the responder's are not seen, and the initiator's alone ends a connection.
 */
static __always_inline void conn_track(struct waypoint_bind *bind,
				       const struct waypoint_conn_key *key, __u8 tcp_flags,
				       __u32 fin, bool straight, __u64 now)
{
	struct waypoint_conn *conn;
	__u32 fins;

	if (fin == WAYPOINT_FIN_OUT && (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		conn_begin(bind, key, now);
		return;
	}
	conn = bpf_map_lookup_elem(&waypoint_conn, key);
	if (!conn || conn->number != bind->number)
		return;
	conn->seen_ns = now;
	if (tcp_flags & TCP_FIN)
		__sync_fetch_and_or(&conn->fins, fin);
	fins = conn->fins;
	if (straight)
		fins |= WAYPOINT_FIN_IN;
	if (tcp_flags & TCP_RST || fins == (WAYPOINT_FIN_OUT | WAYPOINT_FIN_IN))
		conn_end(bind, key);
}

/* A packet of either direction keeps its binding. Written once a tick: other CPUs read the line. */
static __always_inline void bind_touch(struct waypoint_bind *bind, const struct ip *p, bool http,
				       __u64 now)
{
	__u8 carried = carried_by(p) | (http ? WAYPOINT_CARRIED_HTTP : 0);

	if (bind->seen_ns != now)
		bind->seen_ns = now;
	if (unlikely((bind->carried & carried) != carried))
		bind->carried |= carried;
}

#endif
