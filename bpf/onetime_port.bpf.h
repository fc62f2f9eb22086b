/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Port ignore (paper II.B.2, III.C): the ports of a session's packets are those of its socket when
 * they come in, and those of the last packet that came when they go out. That holds for every
 * packet, not for the first alone: table I, L0 to L2. In ONETIME_AWARE the guard has compared them.
 *
 * Packets that GRO has joined had the same ports, and a GSO packet's ports become those of each of
 * its segments. Who alternates ports within a session is not joined: that costs speed alone.
 */
#ifndef ISTHMUS_BPF_ONETIME_PORT_H
#define ISTHMUS_BPF_ONETIME_PORT_H

#include "onetime_state.bpf.h"

/* As they lie in a TCP or UDP header. */
union ports {
	struct {
		__be16 source, dest;
	};
	__u32 word;
};

/* onetime_addr's wire ports are read and written as one such word, those of a packet that leaves:
 * both are always of one packet. */
_Static_assert(offsetof(struct onetime_addr, wire_port) % 4 == 0 &&
		       offsetof(struct onetime_addr, wire_peer_port) ==
			       offsetof(struct onetime_addr, wire_port) + 2,
	       "a packet's wire ports are one word");

static __always_inline union ports ports_of(const struct packet *p)
{
	/* To the parser a packet's source is `remote`, whichever way it goes. */
	return (union ports){ .source = p->flow.remote_port, .dest = p->flow.local_port };
}

/* Those of an EA are known with its first packet. 0 is a port like others of a SSA. */
static __always_inline bool ports_are_known(const struct onetime_addr *addr)
{
	return addr->use != ONETIME_EA || (addr->port && addr->wire_peer_port);
}

static __always_inline bool ports_are_kept(const struct packet *p, const struct onetime_addr *addr)
{
	return p->fragment == FRAGMENT_LATER || addr->mode == ONETIME_AWARE ||
	       !ports_are_known(addr);
}

/*
 * The helper leaves the field of an unfinished checksum (CHECKSUM_PARTIAL) as it is, for it covers
 * no ports yet, and what a device has summed up (CHECKSUM_COMPLETE), for field and ports cancel
 * out: selftests/assume/csum.c. UDP: no checksum stays none (RFC 768). Packet pointers are not
 * valid afterwards.
 */
static __always_inline int ports_write(struct __sk_buff *skb, const struct packet *p,
				       union ports from, union ports to)
{
	bool udp = p->flow.proto == IPPROTO_UDP;
	__u32 at = p->l4 - (void *)p->eth;
	__u32 check = at + (udp ? offsetof(struct udphdr, check) : offsetof(struct tcphdr, check));

	if (bpf_l4_csum_replace(skb, check, from.word, to.word,
				sizeof(to.word) | (udp ? BPF_F_MARK_MANGLED_0 : 0)))
		return -1;
	if (bpf_skb_store_bytes(skb, at, &to.word, sizeof(to.word), 0))
		return -1;
	note(ONETIME_REWRITTEN);
	return 0;
}

/* Written only where they differ: other CPUs read the same line with each packet. */
static __always_inline void ports_note(struct onetime_addr *addr, union ports came)
{
	union ports back = { .source = came.dest, .dest = came.source };
	volatile __u32 *wire = (volatile __u32 *)&addr->wire_port;

	if (*wire != back.word)
		*wire = back.word;
}

/* A packet that the guard takes as the session's: -1 if its ports could not be set. */
static __always_inline int port_in(struct __sk_buff *skb, const struct packet *p,
				   struct onetime_addr *addr)
{
	union ports came = ports_of(p);
	union ports own = { .source = addr->peer_port, .dest = addr->port };

	if (ports_are_kept(p, addr))
		return 0;
	if (came.word != own.word && ports_write(skb, p, came, own))
		return -1;
	ports_note(addr, came);
	return 0;
}

/*
 * Has the session's socket sent this? What the kernel answers for no socket has other ports, and
 * must not become a reset of the session.
 */
static __always_inline bool port_is_sockets(const struct packet *p, const struct onetime_addr *addr)
{
	if (p->flow.proto != addr->proto || !address_equal(&p->flow.local, &addr->peer))
		return false;
	if (p->fragment == FRAGMENT_LATER)
		return true;
	return p->flow.local_port == addr->peer_port && p->flow.remote_port == addr->port;
}

static __always_inline int port_out(struct __sk_buff *skb, const struct packet *p,
				    const struct onetime_addr *addr)
{
	union ports wire = { .word = *(volatile const __u32 *)&addr->wire_port };
	union ports own = ports_of(p);

	if (ports_are_kept(p, addr) || wire.word == own.word)
		return 0;
	return ports_write(skb, p, own, wire);
}

#endif
