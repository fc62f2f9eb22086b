/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps/splice.h - the contract of the `splice` datapath (p2p-broker thesis, chapters 4 and 5).
 *
 * A translator (IST) joins two hosts that both connect *to it*. The broker announces the pair; each
 * host is one side of a rendezvous and has a local endpoint (address, port) of the translator to
 * itself. When both sides' first packets have arrived the sides are joined: two legs come into
 * being, one for each direction.
 *
 *   map           key                 value               written by        full
 *   splice_conf   0                   splice_conf         loader, agent     -
 *   splice_local  isthmus_addr        splice_range        loader            attach fails
 *   splice_leg    endpoint's index    splice_leg          BPF makes, agent  no endpoint is free:
 *                 (array)                                 ends               open is refused
 *   splice_side   splice_local_key    splice_side         agent             open is refused
 *   splice_join   __u64 rendezvous    splice_join         agent makes and   open is refused
 *                                                         deletes, BPF fills
 *   splice_frag   splice_frag_key     splice_frag         BPF               LRU: oldest goes
 *   splice_dev    __u32 ifindex       splice_dev          loader            attach fails
 *   splice_stats  splice_reason       isthmus_count       BPF, per CPU      -
 *   splice_event  -                   splice_event        BPF (ring buffer) event lost, counted
 *
 * splice_leg is the IST table of the thesis (5.2). The thesis hashes the whole flow; here a side
 * has its endpoint to itself, so the endpoint is the place: splice_local gives the first index of
 * an address (few entries, always cached), the port the rest, and the remote end is compared. With
 * 1,000,000 sessions memory is the limit, and an array asks it once, a hash three times in a row
 * (bucket, collision, element).
 *
 * Byte order: __be16/__be32 and addresses are wire order, everything else is the host's.
 * Time: nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_coarse_ns).
 * Locks: splice_join.lock guards the rest of its record; every other record has one writer.
 *
 * Lifetime of a rendezvous: the agent makes splice_join, then both splice_side entries. At the end
 * it deletes the sides (nobody new is admitted), sets both legs' state to SPLICE_LEG_FREE, then
 * deletes splice_join; only then may an endpoint be given out again. A side past its expires_ns
 * admits nobody, also when no agent runs. Legs outlive their agent: an agent that starts finds
 * every session by its legs.
 */
#ifndef ISTHMUS_MAPS_SPLICE_H
#define ISTHMUS_MAPS_SPLICE_H

#include "common.h"

#ifndef __bpf__
#include <linux/bpf.h>
#endif

/* Pinned beside the maps; the loader and the agents refuse state of another number. */
#define SPLICE_ABI 1

/* Defaults of splice_conf, seconds. */
#define SPLICE_HALF_OPEN_S   21		  /* thesis 5.2: one SYN waits for the other */
#define SPLICE_TCP_IDLE_S    (7200 + 240) /* RFC 5382 REQ-5: not less than 2 h 4 min */
#define SPLICE_TIME_WAIT_S   120 /* 2 MSL after both FINs; RFC 9293: MSL may be 1 min here */
#define SPLICE_HALF_CLOSED_S (7200 + 240) /* one FIN: the other direction may go on for long */
#define SPLICE_RESET_S	     10		  /* after a RST that later traffic has not disproved */
#define SPLICE_UDP_IDLE_S    300	  /* RFC 4787 REQ-5: not less than 2 min */
#define SPLICE_RECHECK_S     30 /* a leg's next hop is looked up again at latest after this */
#define SPLICE_FRAG_S	     30 /* a datagram's later fragments are known for this long */

#define SPLICE_RENDEZVOUS  16384 /* default of `attach --rendezvous` */
#define SPLICE_FRAGS	   8192
#define SPLICE_LOCALS	   256
#define SPLICE_DEVS	   1024
#define SPLICE_EVENT_BYTES (1 << 20)

/*
 * Every return of every program is counted under one of these. X(name, verdict, text): the verdict
 * is what becomes of the packet, the text is what `isthmus splice stats` tells an operator.
 */
#define SPLICE_REASONS(X)                                                                          \
	X(OTHER, PASS, "not for an address and port of ours")                                      \
	X(TO_TC, PASS, "handed from XDP to tc: a handshake, or tags that XDP cannot change")       \
	X(FORWARDED, SEND, "packets of joined sessions")                                           \
	X(JOINED, SEND, "a second SYN or datagram joined a session")                               \
	X(SYN_HELD, DROP, "a first SYN is kept until the other side's comes")                      \
	X(SYN_AGAIN, SEND, "a repeated SYN was answered from the stored one")                      \
	X(UDP_HELD, DROP, "a datagram came before the other side's first")                         \
	X(UNANNOUNCED, DROP, "no rendezvous at this address and port")                             \
	X(EXPIRED, DROP, "the rendezvous is over")                                                 \
	X(WRONG_SOURCE, DROP, "not the address that the probe showed")                             \
	X(SIDE_TAKEN, DROP, "another port of the announced address came first")                    \
	X(NO_SESSION, DROP, "not a SYN, and no session at this address and port")                  \
	X(BAD_SYN, DROP, "a SYN with contradicting flags, MD5/AO or broken options")               \
	X(TTL, DROP, "TTL or hop limit ended here")                                                \
	X(FRAGMENT, PASS, "a later fragment whose first one is not known: left to the host")       \
	X(MALFORMED, DROP, "lengths or headers contradict each other")                             \
	X(NO_HOP, DROP, "no next hop: no route, or the neighbour does not answer")                 \
	X(SEND_FAILED, DROP, "the kernel could not build or queue the packet")                     \
	X(EVENT_LOST, NONE, "events that the agent was too slow to read")

enum splice_reason {
#define SPLICE_REASON_ENUM(name, verdict, text) SPLICE_##name,
	SPLICE_REASONS(SPLICE_REASON_ENUM)
#undef SPLICE_REASON_ENUM
		SPLICE_REASON_COUNT,
};

/* splice_conf: one record; written at attach and, for epoch, by the agent. */
struct splice_conf {
	__u64 half_open_ns; /* a stored SYN older than this is forgotten */
	__u64 recheck_ns;   /* SPLICE_RECHECK_S */
	__u64 frag_ns;	    /* SPLICE_FRAG_S */
	__u32 epoch;	    /* raised at each change of a route or neighbour: legs look up again */
	__u32 abi;	    /* SPLICE_ABI */
	__u64 netns;	    /* inode of the network namespace that the datapath is attached in */
	/* Seconds, read by the agent that reaps: */
	__u32 tcp_idle_s, half_closed_s, time_wait_s, reset_s, udp_idle_s;
	__u32 pad;
};

_Static_assert(sizeof(struct splice_conf) == 64, "splice_conf is an ABI");

/*
 * splice_local: ports [low, high] of this address are the datapath's. Its legs are
 * splice_leg[first] and following: those of TCP by port, then those of UDP.
 */
struct splice_range {
	__u16 low, high; /* host byte order */
	__u32 first;
};

_Static_assert(sizeof(struct splice_range) == 8, "splice_range is an ABI");

/* splice_leg indices that one address takes. */
static inline __u32 splice_range_legs(const struct splice_range *range)
{
	return 2 * (range->high - range->low + 1u);
}

/* The index of (port, proto), host byte order; port must be in the range, proto TCP (6) or UDP
 * (17). */
static inline __u32 splice_leg_index(const struct splice_range *range, __u16 port, __u8 proto)
{
	__u32 index = range->first + port - range->low;

	return proto == 17 ? index + (range->high - range->low + 1u) : index;
}

/* splice_dev: devices that a route may name. A VLAN device is told as its parent and tag. */
struct splice_dev {
	__u32 ifindex;	   /* the device to send on: the parent of a VLAN device, else itself */
	__be16 vlan_proto; /* 0x8100, 0x88a8; 0 = no tag */
	__be16 vlan_tci;
	__u8 hook;     /* enum splice_hook of our programs on this device, 0 = none */
	__u8 tc_link;  /* 1 = TCX link, 0 = clsact filter, 2 = the same in a qdisc that we made */
	__u16 tc_prio; /* clsact: the filter's priority and handle, to replace or remove it */
	__u32 tc_handle;
};

_Static_assert(sizeof(struct splice_dev) == 16, "splice_dev is an ABI");

enum splice_hook {
	SPLICE_HOOK_NONE,
	SPLICE_HOOK_TC,		 /* everything at tc ingress */
	SPLICE_HOOK_XDP,	 /* native XDP, handshakes at tc */
	SPLICE_HOOK_XDP_GENERIC, /* generic XDP, handshakes at tc */
};

/* A local endpoint of the translator, one for each side of a rendezvous. */
struct splice_local_key {
	struct isthmus_addr addr;
	__be16 port;
	__u8 proto; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 pad;
};

_Static_assert(sizeof(struct splice_local_key) == 20, "splice_local_key is an ABI");

/* splice_side: what is announced at a local endpoint. The agent writes whole records only. */
struct splice_side {
	__u64 rendezvous; /* key of splice_join; unique for all time (the session's id) */
	__u64 expires_ns; /* nobody is admitted later */
	struct isthmus_addr expected; /* the address that the probe showed */
	struct splice_local_key
		other; /* the other side's endpoint; port 0 = not chosen yet (pure) */
	__u8 side;     /* 0 = subscriber, 1 = provider */
	__u8 known;    /* 0 = no probe yet: expected is not valid, admit nobody */
	__u8 pad[2];
};

_Static_assert(sizeof(struct splice_side) == 56, "splice_side is an ABI");

/* How to reach a host on the link. */
struct splice_hop {
	__u32 ifindex;
	__u8 dst_mac[6], src_mac[6];
	__be16 vlan_proto; /* 0 = untagged */
	__be16 vlan_tci;
};

_Static_assert(sizeof(struct splice_hop) == 20, "splice_hop is an ABI");

/* splice_syn.options: what the SYN offered. */
#define SPLICE_OPT_MSS	  0x01
#define SPLICE_OPT_WSCALE 0x02
#define SPLICE_OPT_SACK	  0x04
#define SPLICE_OPT_TS	  0x08
#define SPLICE_OPT_ECN	  0x10 /* ECE and CWR were set (RFC 3168, 6.1.1) */

/* One side's SYN (or first datagram), kept to answer the other side and repeated SYNs. */
struct splice_syn {
	__u64 seen_ns; /* last time it arrived; 0 = never */
	__be16 remote_port;
	__be16 window;
	__be32 isn;
	__be32 tsval;
	__u16 mss; /* host order */
	__u8 wscale;
	__u8 options;	       /* SPLICE_OPT_ */
	struct splice_hop hop; /* the way back, as the packet showed it */
	__u32 pad;
};

_Static_assert(sizeof(struct splice_syn) == 48, "splice_syn is an ABI");

/* States of a session, figure 5.2 of the thesis. Those after SYN_RCVD are derived from the legs. */
enum splice_state {
	SPLICE_LISTEN,	   /* announced, nothing has come */
	SPLICE_SYN_LOOKUP, /* one side's SYN is stored */
	SPLICE_SYN_RCVD,   /* both have, two SYNACKs are out */
	SPLICE_ESTABLISHED,
	SPLICE_CLOSE_WAIT, /* one FIN */
	SPLICE_TIME_WAIT,  /* both FINs */
	SPLICE_RESET,	   /* a RST that later traffic has not disproved */
};

/* splice_join: the meeting of two sides. */
struct splice_join {
#ifdef __bpf__
	struct bpf_spin_lock lock;
#else
	__u32 lock;
#endif
	__u8 state; /* LISTEN, SYN_LOOKUP or SYN_RCVD */
	__u8 pad[3];
	__u64 joined_ns;
	struct splice_syn syn[2]; /* by side */
};

_Static_assert(sizeof(struct splice_join) == 112, "splice_join is an ABI");

/* splice_leg.flags */
#define SPLICE_LEG_PURE	    0x01 /* ports stay (pure splice): only addresses change */
#define SPLICE_LEG_ACKED    0x02 /* this side has answered its SYNACK */
#define SPLICE_LEG_FIN	    0x04 /* this side has sent FIN */
#define SPLICE_LEG_RST	    0x08 /* this side has sent RST, nothing after it */
#define SPLICE_LEG_PROVIDER 0x10 /* packets of this leg come from side 1 */
#define SPLICE_LEG_ROUTED                                                                          \
	0x20 /* the routing table gave its hop; else it is the way the SYN came                    \
	      */

enum splice_leg_state { SPLICE_LEG_FREE, SPLICE_LEG_LIVE };

/*
 * splice_leg: one direction of a session, at the index of the endpoint where its packets arrive.
 * Each side may be of either family. The other direction's leg is at the endpoint { new_src,
 * new_sport }, of the same protocol; both are made together and end together. Two cache lines, and
 * what each packet reads is in the first one but for the hop. The map may be mapped into user space
 * (BPF_F_MMAPABLE); an agent writes `state` only.
 */
struct splice_leg {
	struct isthmus_addr remote;  /* who sends here */
	struct isthmus_addr new_src; /* the other leg's local address */
	struct isthmus_addr new_dst; /* the other leg's remote address */
	__be16 remote_port;
	__be16 new_sport, new_dport;
	__u16 addr_delta; /* RFC 1624 sum of ~old + new over both addresses, not complemented */
	__u16 port_delta; /* the same over both ports; 0 for pure */
	__u8 state;	  /* enum splice_leg_state; set last */
	__u8 flags;	  /* SPLICE_LEG_ */
	__u32 epoch;	  /* splice_conf.epoch when hop was looked up */

	struct splice_hop hop; /* towards new_dst */
	__u32 pad;
	__u64 checked_ns; /* when hop was looked up */
	__u64 rendezvous; /* the session's id */
	__u64 seen_ns;	  /* last packet */
	__u64 packets;
	__u64 bytes; /* IP packets' bytes: from the IP header on */
};

_Static_assert(sizeof(struct splice_leg) == 128, "splice_leg is an ABI");

/* splice_frag: later fragments of a datagram have no ports; the first one's leg is remembered. */
struct splice_frag_key {
	struct isthmus_addr remote, local;
	__be32 id; /* IPv4: 16 bits, in the low half of the wire order */
	__u8 proto;
	__u8 pad[3];
};

_Static_assert(sizeof(struct splice_frag_key) == 40, "splice_frag_key is an ABI");

struct splice_frag {
	__u64 expires_ns;
	__be16 remote_port, local_port;
	__u32 pad;
};

_Static_assert(sizeof(struct splice_frag) == 16, "splice_frag is an ABI");

/* splice_event: for the agent; losing one loses no session, the maps tell the same. */
enum splice_event_kind {
	SPLICE_EVENT_SYN = 1, /* a side's first SYN or datagram was stored */
	SPLICE_EVENT_JOINED,  /* both legs exist */
	SPLICE_EVENT_REFUSED, /* reason tells why an announced rendezvous was not joined */
};

struct splice_event {
	__u64 rendezvous;
	__u64 time_ns;
	struct isthmus_addr remote;
	__be16 remote_port;
	__u8 kind;
	__u8 side;
	__u32 reason; /* enum splice_reason, for REFUSED */
};

_Static_assert(sizeof(struct splice_event) == 40, "splice_event is an ABI");

#endif
