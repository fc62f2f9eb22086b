/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a link learns of a pool's addresses (paper III.A, UNCERTAIN; RFC 4861, 4862). The kernel
 * answers no solicitation for an AnyIP address, so this does; for IPv4 it answers every one, so
 * ARP is let through for addresses in use alone.
 *
 *	                   detection (from ::)   resolution, reachability   advertised by another
 *	free, dead         silent, told          silent                     told
 *	RESERVED           answered              silent                     told, DEAD
 *	PENDING            answered              answered                   told, DEAD
 *	TAKING .. CLOSING  answered              answered                   told, the session goes
 *on
 *
 * An answer would deny a free address to all of the link, for it looks as if it were taken. What is
 * told is an event for the agent. No message about an address of a pool reaches the kernel.
 *
 * Answers have the router flag clear: it is about the address that was asked for, and nobody has
 * one of a pool as its router. Every checksum is verified: the kernel's own neighbour messages are
 * finished when they leave its sockets, so they are on a veth pair too.
 */
#ifndef ISTHMUS_BPF_ONETIME_ND_H
#define ISTHMUS_BPF_ONETIME_ND_H

#include "lib/finish.bpf.h"
#include "onetime_state.bpf.h"

#define ND_SOLICIT   135
#define ND_ADVERTISE 136
#define ND_HOPS	     255
#define ND_BYTES     24 /* of a message without options */
#define ND_OPTIONS   16 /* of a message: SEND (RFC 3971) has the most, 5 */
#define ND_SOURCE    1	/* options: the link-layer address of the sender, of the target */
#define ND_TARGET    2
#define ND_SOLICITED bpf_htonl(0x40000000)
#define ND_OVERRIDE  bpf_htonl(0x20000000)

#define ARP_ETHERNET  1
#define ARPOP_REQUEST 1 /* linux/if_arp.h includes what BPF has not */
#define TOLD_SECOND   1000000000ull

struct nd_ethernet {
	__u8 dst[6], src[6];
};

struct nd_message {
	struct ipv6hdr ip;
	__u8 type, code;
	__be16 check;
	__be32 flags;
	struct isthmus_addr target;
};

struct nd_option {
	__u8 type, units; /* of 8 bytes */
	__u8 mac[6];
};

struct nd_answer {
	struct nd_message message;
	struct nd_option option;
};

struct nd_arp {
	__be16 hardware, protocol;
	__u8 hardware_len, protocol_len;
	__be16 operation;
	__u8 sender_mac[6], sender[4], target_mac[6], target[4];
};

/* Who asks for an address of a pool, or says that it is its own. */
struct neighbour {
	const struct onetime_conf *conf;
	__u32 link, ifindex;
	__u64 now_ns;
	struct isthmus_addr about, from;
	__u8 mac[6];
};

static __always_inline bool nd_mac_equal(const __u8 *a, const __u8 *b)
{
	__u8 differ = 0;

#pragma unroll
	for (int i = 0; i < 6; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

static __always_inline bool nd_mac_is_group(const __u8 *mac)
{
	return mac[0] & 1;
}

static __always_inline bool nd_is_unspecified(const struct isthmus_addr *addr)
{
	const __u32 *word = (const __u32 *)addr->b;

	return !(word[0] | word[1] | word[2] | word[3]);
}

static __always_inline const struct onetime_link *nd_link(const struct neighbour *n)
{
	return n->link < ONETIME_LINKS ? &n->conf->link[n->link] : NULL;
}

/* A switch may send to all what is for another host. */
static __always_inline bool nd_is_for_us(const struct nd_ethernet *eth,
					 const struct onetime_link *link)
{
	return nd_mac_is_group(eth->dst) || nd_mac_equal(eth->dst, link->mac);
}

/* Of the device, in n->link. False: it is none of ours. */
static __always_inline bool nd_find_link(struct neighbour *n)
{
	for (__u32 i = 0; i < ONETIME_LINKS; i++) {
		if (n->conf->link[i].ifindex == n->ifindex) {
			n->link = i;
			return true;
		}
	}
	return false;
}

/* ---- conflicts */

/* May the agent be told of one more in this second? CPUs that begin one together tell more. */
static __always_inline bool may_tell(const struct neighbour *n, bool others)
{
	struct onetime_told *told = bpf_map_lookup_elem(&onetime_told, &n->link);

	if (!told)
		return false;
	if (n->now_ns - told->since_ns[others] >= TOLD_SECOND) {
		told->since_ns[others] = n->now_ns;
		told->told[others] = 0;
	}
	return told->told[others] < ONETIME_CONFLICTS &&
	       __sync_fetch_and_add(&told->told[others], 1) < ONETIME_CONFLICTS;
}

/* Written where the agent reads it: the stack has no room for another. */
static __always_inline void tell_conflict(const struct neighbour *n, __u32 state)
{
	struct onetime_event *event;

	if (!may_tell(n, state != ONETIME_STATE_FREE && state != ONETIME_STATE_DEAD)) {
		note(ONETIME_ND_UNTOLD);
		return;
	}
	event = bpf_ringbuf_reserve(&onetime_event, sizeof(*event), 0);
	if (!event) {
		note(ONETIME_EVENT_LOST);
		return;
	}
	event->time_ns = n->now_ns;
	event->kind = ONETIME_EVENT_CONFLICT;
	event->state = state;
	__builtin_memcpy(event->mac, n->mac, 6);
	event->addr = n->about;
	event->peer = n->from;
	event->listener = 0;
	event->ifindex = n->ifindex;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

static __always_inline __u32 nd_state(const struct neighbour *n, struct onetime_addr **addr)
{
	*addr = bpf_map_lookup_elem(&onetime_addr, &n->about);
	return *addr ? onetime_state_at(*addr, n->now_ns) : ONETIME_STATE_FREE;
}

/* Another host says that it has the address. A session of ours goes on: RFC 4862, 5.4.5 would give
 * it up, and so would anybody on the link end it. */
static __always_inline enum onetime_reason nd_claimed(const struct neighbour *n)
{
	struct onetime_addr *addr;
	__u32 state = nd_state(n, &addr);

	if (addr && (state == ONETIME_STATE_RESERVED || state == ONETIME_STATE_PENDING) &&
	    state_step(addr, state, ONETIME_STATE_DEAD))
		addr->since_ns = n->now_ns;
	tell_conflict(n, state);
	return ONETIME_ND_CONFLICT;
}

static __always_inline bool is_in_use(__u32 state)
{
	return state >= ONETIME_STATE_PENDING && state <= ONETIME_STATE_CLOSING;
}

/* Detection asks whether the address is anyone's, resolution for where it is. */
static __always_inline bool is_answered(const struct neighbour *n, bool detection)
{
	struct onetime_addr *addr;
	__u32 state = nd_state(n, &addr);

	if (is_in_use(state) || (detection && state == ONETIME_STATE_RESERVED))
		return true;
	/* The address will be that host's. */
	if (detection)
		tell_conflict(n, state);
	return false;
}

/* ---- neighbour discovery */

/*
 * RFC 4861, 7.1.1 and 7.1.2: each option has a length, and it is within the message. Returns how
 * many there are of wanted->type, or -1; the first one's MAC becomes wanted's, unless it is a
 * group's. Not inlined: the verifier follows its loop once.
 */
__noinline int nd_options(struct __sk_buff *skb, __u32 at, __u32 left, struct nd_option *wanted)
{
	struct nd_option option;
	int found = 0;

	if (!wanted)
		return -1;
	for (int i = 0; i < ND_OPTIONS && left; i++) {
		if (left < sizeof(option) || bpf_skb_load_bytes(skb, at, &option, sizeof(option)) ||
		    !option.units || option.units * 8u > left)
			return -1;
		if (option.type == wanted->type) {
			/* RFC 2464, 6 */
			if (option.units != 1)
				return -1;
			if (!found++ && !nd_mac_is_group(option.mac))
				__builtin_memcpy(wanted->mac, option.mac, 6);
		}
		at += option.units * 8;
		left -= option.units * 8;
	}
	return left ? -1 : found;
}

static __always_inline bool nd_sum_is_right(struct __sk_buff *skb, __u32 at,
					    const struct nd_message *m, __u32 bytes)
{
	__s64 sum = bpf_csum_diff(NULL, 0, (void *)&m->ip.saddr, 32,
				  bpf_htonl(bytes) + bpf_htonl(IPPROTO_ICMPV6));
	int message = finish_sum(skb, at + sizeof(m->ip), bytes);

	return message >= 0 && csum_fold(csum_fold(sum) + (__u32)message) == 0xffff;
}

static __always_inline bool nd_is_solicited_node(const struct in6_addr *addr)
{
	const __u32 *word = addr->in6_u.u6_addr32;

	return word[0] == bpf_htonl(0xff020000) && !word[1] && word[2] == bpf_htonl(1) &&
	       (word[3] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
}

/* The rules of RFC 4861, 7.1 but for those of options and checksum. */
static __always_inline bool nd_head_is_right(const struct nd_message *m)
{
	bool to_group = m->ip.daddr.in6_u.u6_addr8[0] == 0xff;

	if (m->ip.hop_limit != ND_HOPS || m->code || m->target.b[0] == 0xff ||
	    m->ip.saddr.in6_u.u6_addr8[0] == 0xff)
		return false;
	if (m->type == ND_ADVERTISE)
		return !to_group || !(m->flags & ND_SOLICITED);
	return !nd_is_unspecified((const struct isthmus_addr *)&m->ip.saddr) ||
	       nd_is_solicited_node(&m->ip.daddr);
}

/* And they. n->mac is the sender's, by its frame, and becomes that of its option if it has one. */
static __always_inline bool nd_is_right(struct __sk_buff *skb, __u32 at, const struct nd_message *m,
					struct neighbour *n)
{
	struct nd_option option = { .type = m->type == ND_SOLICIT ? ND_SOURCE : ND_TARGET };
	__u32 bytes = bpf_ntohs(m->ip.payload_len);
	int options;

	if (!nd_head_is_right(m) || at + sizeof(m->ip) + bytes > skb->len)
		return false;
	__builtin_memcpy(option.mac, n->mac, 6);
	options = nd_options(skb, at + sizeof(*m), bytes - ND_BYTES, &option);
	if (options < 0)
		return false;
	if (options && m->type == ND_SOLICIT && nd_is_unspecified(&n->from))
		return false;
	__builtin_memcpy(n->mac, option.mac, 6);
	return nd_sum_is_right(skb, at, m, bytes);
}

/* RFC 4861, 7.2.4: to all if the asker has no address yet. */
static __always_inline void nd_answer_make(struct nd_answer *a, const struct neighbour *n,
					   const __u8 *mac, bool detection)
{
	struct nd_message *m = &a->message;
	__u32 bytes = sizeof(*a) - sizeof(m->ip);
	__s64 sum;

	__builtin_memset(a, 0, sizeof(*a));
	m->ip.version = 6;
	m->ip.payload_len = bpf_htons(bytes);
	m->ip.nexthdr = IPPROTO_ICMPV6;
	m->ip.hop_limit = ND_HOPS;
	__builtin_memcpy(&m->ip.saddr, &n->about, 16);
	__builtin_memcpy(&m->ip.daddr, &n->from, 16);
	if (detection) {
		m->ip.daddr.in6_u.u6_addr32[0] = bpf_htonl(0xff020000);
		m->ip.daddr.in6_u.u6_addr32[3] = bpf_htonl(1);
	}
	m->type = ND_ADVERTISE;
	m->flags = ND_OVERRIDE | (detection ? 0 : ND_SOLICITED);
	m->target = n->about;
	a->option.type = ND_TARGET;
	a->option.units = 1;
	__builtin_memcpy(a->option.mac, mac, 6);
	sum = bpf_csum_diff(NULL, 0, (void *)&m->ip.saddr, 32 + bytes,
			    bpf_htonl(bytes) + bpf_htonl(IPPROTO_ICMPV6));
	m->check = ~csum_fold(sum);
}

/* The question becomes its answer, behind the tags that it has. */
static __always_inline enum onetime_reason nd_answer(struct __sk_buff *skb, __u32 at,
						     const struct neighbour *n,
						     struct nd_answer *answer, bool detection)
{
	struct nd_ethernet eth = { .dst = { 0x33, 0x33, 0, 0, 0, 1 } };
	const struct onetime_link *link = nd_link(n);

	if (!link)
		return ONETIME_SEND_FAILED;
	if (!detection)
		__builtin_memcpy(eth.dst, n->mac, 6);
	__builtin_memcpy(eth.src, link->mac, 6);
	nd_answer_make(answer, n, link->mac, detection);
	if (bpf_skb_change_tail(skb, at + sizeof(*answer), 0) ||
	    bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_store_bytes(skb, at, answer, sizeof(*answer), BPF_F_RECOMPUTE_CSUM))
		return ONETIME_SEND_FAILED;
	return detection ? ONETIME_ND_DEFENDED : ONETIME_ND_ANSWERED;
}

/* An IPv4 pool's keys are no addresses on the wire. */
static __always_inline const struct onetime_pool *nd_pool_of(const struct isthmus_addr *addr)
{
	const struct onetime_pool *pool = pool_of(addr);

	return pool && !(pool->flags & ONETIME_POOL_V4) ? pool : NULL;
}

/* Which pool's address it is about, in n->about; *claim: the sender says that this is its own. */
static __always_inline const struct onetime_pool *nd_pool(const struct nd_message *m,
							  struct neighbour *n, bool *claim)
{
	const struct onetime_pool *pool;

	*claim = true;
	n->about = m->type == ND_ADVERTISE ? m->target : n->from;
	pool = nd_pool_of(&n->about);
	if (pool || m->type == ND_ADVERTISE)
		return pool;
	*claim = false;
	n->about = m->target;
	return nd_pool_of(&n->about);
}

/* A neighbour solicitation or advertisement (ICMPv6 type 135, 136): OTHER if about no pool. */
static __always_inline enum onetime_reason nd_in(struct __sk_buff *skb, const struct packet *p,
						 const struct onetime_conf *conf,
						 struct egress *egress, __u64 now_ns)
{
	struct neighbour n = { .conf = conf, .ifindex = skb->ifindex, .now_ns = now_ns };
	__u32 at = sizeof(struct ethhdr) + p->tags * sizeof(struct vlan_tag);
	const struct onetime_pool *pool;
	const struct onetime_link *link;
	struct nd_answer question; /* becomes the answer */
	struct nd_message *m = &question.message;
	struct nd_ethernet eth;
	bool claim, detection;

	if (bpf_skb_load_bytes(skb, at, m, sizeof(*m)) ||
	    (m->type != ND_SOLICIT && m->type != ND_ADVERTISE) ||
	    bpf_ntohs(m->ip.payload_len) < ND_BYTES)
		return ONETIME_OTHER;
	__builtin_memcpy(&n.from, &m->ip.saddr, 16);
	pool = nd_pool(m, &n, &claim);
	if (!pool)
		return ONETIME_OTHER;
	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)) || nd_mac_is_group(eth.src))
		return ONETIME_ND_BAD;
	__builtin_memcpy(n.mac, eth.src, 6);
	if (!nd_is_right(skb, at, m, &n))
		return ONETIME_ND_BAD;
	if (pool->ifindex != n.ifindex || !nd_find_link(&n))
		return ONETIME_ND_SILENT;
	link = nd_link(&n);
	/* Our own, which the link has sent back. */
	if (!link || nd_mac_equal(eth.src, link->mac) || nd_mac_equal(n.mac, link->mac))
		return ONETIME_ND_SILENT;
	if (claim)
		return nd_claimed(&n);
	detection = nd_is_unspecified(&n.from);
	if (!nd_is_for_us(&eth, link) || !is_answered(&n, detection))
		return ONETIME_ND_SILENT;
	return nd_answer(skb, at, &n, &question, detection);
}

/* ---- ARP */

/* RFC 826, 5227. A question passes to the kernel where an answer is due; it answers those without a
 * sender's address too. What others say of their own addresses is not for us to judge. */
static __always_inline enum onetime_reason arp_in(struct __sk_buff *skb, const struct packet *p,
						  __u64 now_ns)
{
	struct neighbour n = { .conf = conf_get(), .ifindex = skb->ifindex, .now_ns = now_ns };
	__u32 at = sizeof(struct ethhdr) + p->tags * sizeof(struct vlan_tag);
	const struct onetime_pool *pool;
	const struct onetime_link *link;
	struct nd_ethernet eth;
	__be32 sender, target;
	struct nd_arp arp;

	if (!n.conf || bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)) ||
	    bpf_skb_load_bytes(skb, at, &arp, sizeof(arp)) ||
	    arp.hardware != bpf_htons(ARP_ETHERNET) || arp.protocol != bpf_htons(ETH_P_IP) ||
	    arp.hardware_len != 6 || arp.protocol_len != 4)
		return ONETIME_OTHER;
	__builtin_memcpy(&sender, arp.sender, 4);
	__builtin_memcpy(&target, arp.target, 4);
	__builtin_memcpy(n.mac, arp.sender_mac, 6);
	address_map_v4(&n.from, sender);
	n.about = n.from;
	pool = pool_of(&n.about);
	if (!pool && arp.operation == bpf_htons(ARPOP_REQUEST)) {
		address_map_v4(&n.about, target);
		pool = pool_of(&n.about);
	}
	if (!pool)
		return ONETIME_OTHER;
	if (pool->ifindex != n.ifindex || !nd_find_link(&n))
		return ONETIME_ND_SILENT;
	link = nd_link(&n);
	if (!link || nd_mac_equal(eth.src, link->mac) || nd_mac_equal(n.mac, link->mac))
		return ONETIME_ND_SILENT;
	if (address_equal(&n.about, &n.from))
		return nd_claimed(&n);
	if (!nd_is_for_us(&eth, link))
		return ONETIME_ND_SILENT;
	return is_answered(&n, !sender) ? ONETIME_ARP_PASSED : ONETIME_ND_SILENT;
}

#endif
