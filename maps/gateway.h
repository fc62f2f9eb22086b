/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps/gateway.h - the contract of the `gateway` datapath (AVES paper 3.2, 5.3).
 *
 * The other end of a waypoint's tunnel: what comes out of it is given the responder's inside
 * address as destination and goes to the inside network, past the machine's own NAT and filters;
 * what a responder sends back is found before them, is given the waypoint's address as source again
 * and goes into the tunnel (or straight, where TUNNEL_STRAIGHT allows it).
 *
 *   map             key                value            written by            full
 *   gateway_conf    0                  gateway_conf     loader, agent         -
 *   gateway_host    index (array)      gateway_host     agent                 refused
 *   gateway_flow    gateway_flow_key   gateway_flow     BPF; agent expires    refused, counted
 *   gateway_pair    gateway_pair_key   gateway_flow     BPF; agent expires    refused, counted
 *   gateway_mask    gateway_mask_key   __be16 port      BPF; agent expires    refused, counted
 *   gateway_frag    gateway_frag_key   gateway_flow     BPF                   LRU
 *   gateway_source  __u32              __u64            BPF                   LRU
 *   gateway_peer    index (array)      tunnel_peer      agent                 refused
 *   gateway_key     __u32 VNI          tunnel_key       agent                 refused
 *   gateway_window  tunnel_window_key  tunnel_window    agent makes, BPF      refused
 *   gateway_seq     index (array), CPU __u64            BPF                   -
 *   gateway_stats   gateway_reason     isthmus_count    BPF, per CPU          -
 *   gateway_event   -                  gateway_event    BPF (ring buffer)     lost, counted
 *
 * How a responder sees an initiator (gateway_host.mode):
 *   PLAIN    by its own address; where the families differ by an address of `prefix64`, which must
 *            be routed to this machine, for an IPv4 initiator of an IPv6 responder
 *   MASKED   multi-homed (3.2): by this machine's inside address and a port or identifier of
 *            `low_port` to `high_port`. An IPv6 initiator of an IPv4 responder is always masked.
 *   AWARE    6.4: the responder has the waypoint's address itself (on a loopback, say); its packets
 *            and the initiator's are not changed at all, so IPsec passes
 *
 * A flow is found by what the responder sends: its own end first, then the end that it believes to
 * talk to. The port-less (ESP, GRE, later fragments) are found by the pair of addresses alone: the
 * last flow that an initiator began. So is a TCP SYN of the responder's own, if it is not masked:
 * FTP's active mode. All else that a responder begins is left to the machine's own NAT.
 *
 * Nobody whose address is inside, by this machine's routes, begins a flow by the tunnel.
 *
 * Byte order: __be16/__be32 and addresses are wire order, everything else is the host's.
 * Time: nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_coarse_ns).
 */
#ifndef ISTHMUS_MAPS_GATEWAY_H
#define ISTHMUS_MAPS_GATEWAY_H

#include "tunnel.h"

#define GATEWAY_ABI 1

#define GATEWAY_ICMP_S	 60 /* idle times as at the waypoint (5.2, 5.3) */
#define GATEWAY_UDP_S	 (15 * 60)
#define GATEWAY_TCP_S	 (30 * 60)
#define GATEWAY_OTHER_S	 (15 * 60)
#define GATEWAY_LINGER_S 120 /* after both FINs or a RST */
#define GATEWAY_FRAG_S	 30

#define GATEWAY_HOSTS	    4096
#define GATEWAY_FLOWS	    131072
#define GATEWAY_PAIRS	    65536
#define GATEWAY_FRAGS	    8192
#define GATEWAY_LOW_PORT    61000 /* masked: outside ip_local_port_range's default */
#define GATEWAY_HIGH_PORT   65535
#define GATEWAY_ERRORS_A_S  10 /* ICMP errors a second to one address */
#define GATEWAY_EVENT_BYTES (1 << 20)

#define GATEWAY_REASONS(X)                                                                         \
	X(OTHER, PASS, "neither of a tunnel nor of a session that came by one")                    \
	X(DELIVERED, SEND, "opened and sent to the responder")                                     \
	X(ANSWERED, SEND, "of a responder, sealed and sent to the waypoint")                       \
	X(STRAIGHT, SEND, "of a responder, sent with the waypoint's source, not by the tunnel")    \
	X(CONTROL, PASS, "the tunnel's handshake: to the agent")                                   \
	X(CUT, SEND, "fragments of a packet too long for the tunnel")                              \
	X(TO_TC, PASS, "left to the tc program, which may cut it")                                 \
	X(VNI_UNKNOWN, DROP, "a tunnel packet under no key that is valid here")                    \
	X(FORGED, DROP, "a tunnel packet whose tag is wrong")                                      \
	X(REPLAYED, DROP, "a tunnel packet that has come before, or is too old to tell")           \
	X(NO_HOST, DROP, "for a number that no responder has")                                     \
	X(SPOOFED, DROP, "from an initiator whose address is inside, so it is not its own")        \
	X(NO_FLOW, DROP, "an ICMP error about no flow that is known")                              \
	X(NO_HOP, DROP, "the responder's MAC is not known yet")                                    \
	X(NO_PEER, DROP, "the waypoint has no tunnel now")                                         \
	X(FLOW_FULL, DROP, "the table of flows is full, or no port is free to mask with")          \
	X(UNTRANSLATABLE, DROP, "has no form in the other family (RFC 7915)")                      \
	X(TOO_LONG, DROP, "too long for the tunnel with DF; its sender was told")                  \
	X(TTL, DROP, "TTL ended here; its sender was told")                                        \
	X(UNFINISHED, DROP, "a GSO packet or an unfinished checksum: it cannot be sealed")         \
	X(MALFORMED, DROP, "lengths or headers contradict each other")                             \
	X(SEND_FAILED, DROP, "the kernel could not change or queue the packet")                    \
	X(ERROR_SENT, NONE, "ICMP frag needed, packet too big or time exceeded sent")              \
	X(ERROR_LIMITED, NONE, "ICMP errors not sent: too many a second")                          \
	X(EVENT_LOST, NONE, "events that the agent was too slow to read")

enum gateway_reason {
#define GATEWAY_REASON_ENUM(name, verdict, text) GATEWAY_##name,
	GATEWAY_REASONS(GATEWAY_REASON_ENUM)
#undef GATEWAY_REASON_ENUM
		GATEWAY_REASON_COUNT,
};

struct gateway_conf {
	struct tunnel_conf common;
	__u64 icmp_ns, udp_ns, tcp_ns, other_ns, linger_ns, frag_ns; /* idle times */
	__u16 low_port, high_port; /* masked flows; host byte order */
	__u8 prefix64[12];	   /* RFC 6052 /96; all zero = none */
};

_Static_assert(sizeof(struct gateway_conf) == 432, "gateway_conf is an ABI");

enum gateway_mode { GATEWAY_PLAIN = 1, GATEWAY_MASKED, GATEWAY_AWARE };

/* A responder: its number is the index. Written by the agent. */
struct gateway_host {
	struct isthmus_addr addr; /* inside */
	__u32 ifindex;		  /* the LAN; 0 = this place is empty */
	__u8 dst_mac[6];	  /* next hop; all zero = not known yet */
	__u8 src_mac[6];
	__u16 mtu;  /* there, bytes of an IP packet */
	__u8 mode;  /* enum gateway_mode */
	__u8 asked; /* BPF sets it when it drops for want of a MAC, the agent clears it */
};

_Static_assert(sizeof(struct gateway_host) == 36, "gateway_host is an ABI");

/* A flow as the responder's packets show it. */
struct gateway_flow_key {
	struct isthmus_addr inside, outside; /* responder; whom it believes to talk to */
	__be16 inside_port, outside_port;    /* ICMP echo: identifier, twice */
	__u8 proto;
	__u8 pad[3];
};

_Static_assert(sizeof(struct gateway_flow_key) == 40, "gateway_flow_key is an ABI");

/* The same in the other direction, and where its packets go. */
struct gateway_flow {
	struct isthmus_addr initiator, waypoint; /* as they are outside */
	__be16 initiator_port;			 /* masked: before that; else as in the key */
	__u8 fins;				 /* GATEWAY_FIN_, GATEWAY_RST */
	__u8 mode;				 /* enum gateway_mode */
	__u32 peer, host;
	__u32 pad;
	__u64 seen_ns;
};

_Static_assert(sizeof(struct gateway_flow) == 56, "gateway_flow is an ABI");

#define GATEWAY_FIN_INITIATOR 0x01
#define GATEWAY_FIN_RESPONDER 0x02
#define GATEWAY_RST	      0x04

/* When a flow is over (5.3). `proto` is its key's; 0 = a pair's, whose packets have no ports. */
static inline __u64 gateway_flow_ends(const struct gateway_flow *flow, __u8 proto,
				      const struct gateway_conf *conf)
{
	__u64 idle = conf->other_ns;

	if (proto == 6) /* TCP */
		idle = flow->fins & GATEWAY_RST || (flow->fins & 3) == 3 ? conf->linger_ns
									 : conf->tcp_ns;
	else if (proto == 17)
		idle = conf->udp_ns;
	else if (proto == 1 || proto == 58)
		idle = conf->icmp_ns;
	return flow->seen_ns + idle;
}

/* gateway_flow of masked flows is found from outside by this: key is (inside, initiator, ports). */
struct gateway_mask_key {
	struct isthmus_addr initiator, waypoint;
	__be16 initiator_port, waypoint_port;
	__u8 proto;
	__u8 pad[3];
};

_Static_assert(sizeof(struct gateway_mask_key) == 40, "gateway_mask_key is an ABI");

/* `inside` is AWARE's waypoint address, and everyone else's host. */
struct gateway_pair_key {
	struct isthmus_addr inside, outside;
};

struct gateway_frag_key {
	struct isthmus_addr inside, outside;
	__be32 id;
	__u32 proto;
};

enum gateway_event_kind {
	GATEWAY_EVENT_ASK = 1, /* the MAC of `host` is wanted */
	GATEWAY_EVENT_MOVED,   /* a verified, newest packet of `peer` came from another address */
};

struct gateway_event {
	__u64 time_ns;
	struct isthmus_addr addr;
	__be16 port;
	__u8 kind;
	__u8 pad;
	__u32 peer, host;
	__u32 pad2;
};

_Static_assert(sizeof(struct gateway_event) == 40, "gateway_event is an ABI");

#endif
