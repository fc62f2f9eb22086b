/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps/portarp.h - the contract of the `portarp` datapath (PE-ARP paper; port sets of RFC 7597).
 *
 * Many hosts have one IPv4 address; each has ports of its own. A packet for the address is steered
 * to the MAC of the port's owner; nothing in it changes but TTL. One machine's role is
 *
 *   gateway  routes between uplinks and a LAN of sharers
 *   bridge   stands between an unmodified router (uplink) and a LAN of sharers, in a Linux bridge
 *   host     is a sharer
 *
 *   map             key                value             written by              full
 *   portarp_conf    0                  portarp_conf      loader, agent           -
 *   portarp_addr    __be32             portarp_addr      agent                   address refused
 *   portarp_port    index (array)      __u32             agent                   address refused
 *   portarp_owner   index (array)      portarp_owner     agent; BPF counts       address refused
 *   portarp_sharer  portarp_sharer_key __u32             agent                   claim refused
 *   portarp_mine    __be32             portarp_mine      agent                   set refused
 *   portarp_flow    portarp_flow_key   portarp_flow      BPF; agent expires      learned no more
 *   portarp_ident   portarp_ident_key  portarp_ident     BPF; agent expires      ping refused
 *   portarp_frag    portarp_frag_key   portarp_frag      BPF                     LRU: oldest goes
 *   portarp_use     index (array)      __u64             BPF sets, agent clears  -
 *   portarp_stats   portarp_reason     isthmus_count     BPF, per CPU            -
 *   portarp_event   -                  portarp_event     BPF (ring buffer)       event lost,
 * counted
 *
 * Whose is a port? Three look-ups, however many hosts there are (`owner_find`):
 *   1. portarp_addr[address]             none: not a shared address
 *   2. portarp_port[(block - 1) << 16 | port], if the address has a block of single ports and
 *      ranges: 1 + index of the owner, 0 = by set
 *   3. portarp_owner[first + PSID], or that of 2.
 *
 * Byte order: __be16/__be32 are wire order, everything else is the host's.
 * Time: nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_coarse_ns).
 *
 * Owners. A record is one 64-bit word, read and changed as one: a MAC, flags and how many packets
 * wait. The word makes waiting and answering safe without a lock:
 *   - A packet for an owner that is not KNOWN adds one to `wait` and is handed to the agent in a
 *     HELD event (at most PORTARP_HOLD of them; its number is in the event). Found KNOWN by the
 *     add, it is sent at once.
 *   - The agent asks by PE-ARP. When it has the answer it sends what it holds, in order, and sets
 *     MAC and KNOWN by compare-and-exchange against as many as it has sent. If more have come in
 *     between the exchange fails, and it goes on. So no packet is lost or overtaken.
 *   - Who adds and then does not hand over takes its own one back, KNOWN or not; the agent
 * subtracts what it has sent or dropped and else leaves the count as it is. KNOWN is taken back
 * only when an owner has gone (lease over, released, another has its ports); age alone never does
 * it: the agent marks STALE and asks.
 *
 * With the agent dead all that is known stays known; what is not cannot be asked.
 */
#ifndef ISTHMUS_MAPS_PORTARP_H
#define ISTHMUS_MAPS_PORTARP_H

#include "common.h"
#include "portset.h"

#ifndef __bpf__
#include <linux/bpf.h>
#endif

/* Pinned beside the maps; the loader and the agents refuse state of another number. */
#define PORTARP_ABI 1

#define PORTARP_HOLD	    64 /* packets that wait for one owner; the agent drops them after 1 s */
#define PORTARP_ECHO_S	    60 /* who answers (peer, identifier): an echo without an owner */
#define PORTARP_IDENT_S	    60 /* a ping socket's identifier is mapped for so long after its last */
#define PORTARP_PROTO_S	    600 /* a port-less flow, after its last packet (ESP, AH, GRE, SCTP) */
#define PORTARP_FRAG_S	    30	/* a datagram's later fragments are known for this long */
#define PORTARP_ADDRS	    4096
#define PORTARP_OWNERS	    65536
#define PORTARP_BLOCKS	    16 /* addresses with single ports or ranges; 256 KiB each */
#define PORTARP_FLOWS	    65536
#define PORTARP_IDENTS	    4096
#define PORTARP_FRAGS	    8192
#define PORTARP_LINKS	    8 /* devices of the datapath */
#define PORTARP_RANGES	    16
#define PORTARP_SETS	    8 /* of one address, that one host has */
#define PORTARP_OWN	    8 /* shared addresses of one host */
#define PORTARP_EVENT_BYTES (4 << 20)

/*
 * Every return of every program is counted under one of these. X(name, verdict, text): the verdict
 * is what becomes of the packet, the text is what `isthmus portarp stats` tells an operator.
 */
#define PORTARP_REASONS(X)                                                                         \
	X(OTHER, PASS, "neither from nor for a shared address")                                    \
	X(DELIVERED, SEND, "sent to the owner of its port")                                        \
	X(STEERED, PASS, "got the MAC of its port's owner; the bridge forwards it")                \
	X(CHECKED, PASS, "from a shared address, and the port is its sender's")                    \
	X(ADMITTED, PASS, "for a port of this host")                                               \
	X(ARP_ANSWERED, SEND, "a PE-ARP request for a port of this machine was answered")          \
	X(ARP_PROXIED, SEND, "an ordinary ARP request for a shared address was answered")          \
	X(ARP_LEARNED, DROP, "a PE-ARP reply, handed to the agent")                                \
	X(ARP_CLEARED, PASS, "an ARP request's shared sender address was made 0.0.0.0")            \
	X(ARP_SILENCED, DROP, "ordinary ARP that would claim or probe a shared address")           \
	X(ARP_OTHER, PASS, "ARP that is not about a shared address")                               \
	X(HELD, DROP, "waits at the agent until its owner answers")                                \
	X(HELD_FULL, DROP, "as many packets as may wait for this owner already do")                \
	X(HELD_LONG, DROP, "too long to wait for its owner")                                       \
	X(FRAG_HELD, DROP, "a later fragment waits at the agent for its first one")                \
	X(FRAG_UNKNOWN, DROP, "a later fragment whose first one did not come")                     \
	X(NO_OWNER, DROP, "a port that belongs to no set, or to nobody")                           \
	X(SPOOFED, DROP, "from a port that is not its sender's")                                   \
	X(UNVERIFIED, DROP, "from a port whose owner is not known yet; it has been asked")         \
	X(NOT_MINE, DROP, "for a port that is not this host's")                                    \
	X(PORT_DENIED, DROP, "this host sent from a port that is not its own")                     \
	X(BIND_DENIED, NONE, "binds refused: the port is not this host's")                         \
	X(ECHO_MAPPED, PASS, "echo messages whose identifier was mapped into or out of the set")   \
	X(ECHO_DENIED, DROP, "an echo request without an owner, by policy")                        \
	X(ECHO_FULL, DROP, "no identifier of the set is free for this ping")                       \
	X(PROTO_UNKNOWN, DROP, "a protocol without ports, and no host is known to use it")         \
	X(FLOW_FULL, DROP, "the table of what has no ports is full")                               \
	X(TTL, PASS, "TTL ends here: the kernel tells the sender")                                 \
	X(TOO_BIG, PASS, "longer than the LAN's MTU: the kernel fragments or tells the sender")    \
	X(TO_STACK, PASS, "left to the kernel's way: the headers are not plain")                   \
	X(LOOPED, SEND, "this host's own port: sent back to itself")                               \
	X(MALFORMED, DROP, "lengths or headers contradict each other")                             \
	X(SEND_FAILED, DROP, "the kernel could not change or queue the packet")                    \
	X(EVENT_LOST, NONE, "events that the agent was too slow to read")

enum portarp_reason {
#define PORTARP_REASON_ENUM(name, verdict, text) PORTARP_##name,
	PORTARP_REASONS(PORTARP_REASON_ENUM)
#undef PORTARP_REASON_ENUM
		PORTARP_REASON_COUNT,
};

enum portarp_role { PORTARP_GATEWAY = 1, PORTARP_BRIDGE, PORTARP_HOST };

enum portarp_side { PORTARP_UPLINK = 1, PORTARP_LAN };

enum portarp_hook {
	PORTARP_HOOK_NONE,
	PORTARP_HOOK_TC,
	PORTARP_HOOK_XDP,
	PORTARP_HOOK_XDP_GENERIC,
};

/* One device that the programs are on. */
struct portarp_link {
	__u32 ifindex; /* 0 = this place is empty */
	__u8 mac[6];   /* frames to another unicast MAC are not for us */
	__u16 mtu;     /* bytes of an IP packet */
	__u8 side;     /* enum portarp_side */
	__u8 hook;     /* enum portarp_hook */
	__u8 tc_link; /* ingress and egress: 1 = TCX link, 0 = clsact filter, 2 = in a qdisc of ours
		       */
	__u8 pad;
	__u16 tc_prio, egress_prio; /* clsact: priorities and handles, to replace or remove them */
	__u32 tc_handle, egress_handle;
};

_Static_assert(sizeof(struct portarp_link) == 28, "portarp_link is an ABI");

/* portarp_conf: one record; written at attach, MACs and MTUs kept right by the agent. */
struct portarp_conf {
	__u32 abi;  /* PORTARP_ABI */
	__u8 role;  /* enum portarp_role */
	__u8 links; /* places of `link` in use, from the first */
	__u16 pad;
	__be16 op_request, op_reply; /* ARP operations: 24 and 25 (RFC 5494) unless told */
	__u32 generation;	     /* portarp_use: 0 or 1, the half that packets set bits in */
	__u64 netns;		     /* inode of the network namespace that it is attached in */
	__u64 netns_cookie;	     /* the same as bpf_get_netns_cookie() tells it; host */
	__u64 echo_ns, ident_ns, proto_ns, frag_ns;
	struct portarp_link link[PORTARP_LINKS];
	/* Cascade (paper III): the gateway on the uplink, for ports of a shared address that are
	 * not behind us. */
	__u32 up_ifindex;
	__u8 up_mac[6]; /* ours on the uplink */
	__u16 pad2;
	__u32 epoch; /* the agent raises it after each change of portarp_addr: copies are dropped */
	__be32 own[PORTARP_OWN]; /* a host's shared addresses; 0 ends the list */
};

_Static_assert(sizeof(struct portarp_conf) == 336, "portarp_conf is an ABI");

/* portarp_addr.echo: an echo request whose identifier has no owner (RFC 6346 5.3.2, RFC 7596 8.1)
 */
enum portarp_echo {
	PORTARP_ECHO_DROP,  /* by identifier or not at all */
	PORTARP_ECHO_LOCAL, /* the kernel of this machine answers it */
	PORTARP_ECHO_OWNER, /* goes to echo_owner, who is remembered by (peer, identifier) */
};

/* portarp_addr.flags */
#define PORTARP_ADDR_OPEN                                                                          \
	0x01 /* sets are learned from claims; else only given ones are believed                    \
	      */

/* A shared address. a and k are the same for all its hosts (RFC 7597, 5.1). */
struct portarp_addr {
	__u32 first; /* portarp_owner: PSID 0; there are 2^k */
	__u32 block; /* 1 + block of portarp_port; 0 = no single ports and ranges */
	__u32 use;   /* 1 + place in portarp_use, in units of PORTARP_USE_WORDS; 0 = not watched */
	__u32 ifindex;	 /* the LAN */
	__u8 src_mac[6]; /* ours there */
	__u16 mtu;	 /* there, bytes of an IP packet */
	__u8 a, k;
	__u8 echo; /* enum portarp_echo */
	__u8 flags;
	__u32 echo_owner; /* index of portarp_owner */
};

_Static_assert(sizeof(struct portarp_addr) == 32, "portarp_addr is an ABI");

/* An owner; see the top. Aligned: programs and agents change it as one 64-bit word. */
struct portarp_owner {
	__u8 mac[6];
	__u16 wait; /* PORTARP_OWNER_ flags and how many packets wait */
} __attribute__((aligned(8)));

_Static_assert(sizeof(struct portarp_owner) == 8, "portarp_owner is an ABI");

#define PORTARP_OWNER_KNOWN 0x8000
#define PORTARP_OWNER_STALE 0x4000 /* its last question was not answered; still served */
#define PORTARP_OWNER_NONE  0x2000 /* nobody is asked: not given to anyone */
#define PORTARP_OWNER_UP    0x1000 /* beyond the uplink (cascade): mac is the gateway's there */
#define PORTARP_OWNER_WAIT  0x0fff /* mask of the count */

/* One more packet waits: what is added to the word. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PORTARP_OWNER_ONE (1ULL << 48)
#else
#define PORTARP_OWNER_ONE 1ULL
#endif

/* portarp_sharer: the MACs that have any port of an address. The value is one of its owners. */
struct portarp_sharer_key {
	__be32 addr;
	__u8 mac[6];
	__u16 pad;
};

_Static_assert(sizeof(struct portarp_sharer_key) == 12, "portarp_sharer_key is an ABI");

struct portarp_range {
	__u16 low, high; /* inclusive */
};

/*
 * portarp_mine: ports of a shared address that are this machine's: a host's own, or the set that a
 * cascaded gateway has from the gateway above. PE-ARP requests for them are answered here.
 */
struct portarp_mine {
	struct portset set;		 /* the first one; valid if `sets` */
	__u16 further[PORTARP_SETS - 1]; /* PSIDs of further ones; a and k are the same */
	__u8 sets, ranges;		 /* how many there are */
	struct portarp_range range[PORTARP_RANGES]; /* besides; single ports included */
	__u16 lifetime_s;			    /* told in answers; 0 = not limited */
	__u16 pad;
	__u32 ifindex; /* the device that it is shared on */
	__u32 pad2;
	__u64 expires_ns; /* 0 = never; later nothing is answered, sent or admitted */
};

_Static_assert(sizeof(struct portarp_mine) == 104, "portarp_mine is an ABI");

/* Set number i of them. */
static inline struct portset portarp_mine_set(const struct portarp_mine *mine, __u32 i)
{
	struct portset set = mine->set;

	if (i && i < PORTARP_SETS)
		set.psid = mine->further[i - 1];
	return set;
}

/* portarp_flow.kind */
enum portarp_flow_kind {
	PORTARP_FLOW_ECHO = 1, /* id: identifier; who answers a peer's echo requests */
	PORTARP_FLOW_PROTO,    /* id: pseudo-port; SPI of ESP and AH, key of GRE, port of SCTP */
	PORTARP_FLOW_SENT, /* the same of what was sent, where the directions' differ: ESP, AH */
};

/* What has no port that tells its owner: learned, with an expiry. */
struct portarp_flow_key {
	__be32 addr, peer;
	__be32 id; /* 0 = the last one that began to speak this protocol with this peer */
	__u8 proto;
	__u8 kind; /* enum portarp_flow_kind */
	__u16 pad;
};

_Static_assert(sizeof(struct portarp_flow_key) == 16, "portarp_flow_key is an ABI");

struct portarp_flow {
	__u32 owner;
	__u32 pad;
	__u64 expires_ns;
};

_Static_assert(sizeof(struct portarp_flow) == 16, "portarp_flow is an ABI");

/* portarp_ident_key.way */
enum portarp_ident_way {
	PORTARP_IDENT_OUT,   /* id is the socket's, the value has the network's */
	PORTARP_IDENT_IN,    /* the reverse */
	PORTARP_IDENT_ASKED, /* another sharer's ping: the value has its MAC */
};

/* portarp_ident: a host's ping sockets have identifiers that no hook can choose. Two records each.
 */
struct portarp_ident_key {
	__be32 addr, peer;
	__be16 id;
	__u8 way; /* enum portarp_ident_way */
	__u8 pad;
};

_Static_assert(sizeof(struct portarp_ident_key) == 12, "portarp_ident_key is an ABI");

struct portarp_ident {
	__u64 expires_ns;
	__be16 id; /* the other one */
	__u8 mac[6];
};

_Static_assert(sizeof(struct portarp_ident) == 16, "portarp_ident is an ABI");

/* portarp_frag: only a datagram's first fragment has ports. */
struct portarp_frag_key {
	__be32 src, dst;
	__be16 id;
	__u8 proto;
	__u8 sent; /* 0: whom it is for; 1: who sent it, for ICMP errors about it */
};

_Static_assert(sizeof(struct portarp_frag_key) == 12, "portarp_frag_key is an ABI");

struct portarp_frag {
	__u64 expires_ns;
	__u32 owner; /* PORTARP_FRAG_LOCAL: this machine's kernel */
	__u8 known;  /* 0: later fragments wait at the agent for the first */
	__u8 pad[3];
};

#define PORTARP_FRAG_LOCAL 0xfffffffe

_Static_assert(sizeof(struct portarp_frag) == 16, "portarp_frag is an ABI");

/*
 * portarp_use: which ports of an address have sent since the agent last looked, a bit each. Two
 * halves (portarp_conf.generation); in each TCP, then UDP.
 */
#define PORTARP_USE_HALF  (2 * 65536 / 64)
#define PORTARP_USE_WORDS (2 * PORTARP_USE_HALF)

enum portarp_event_kind {
	PORTARP_EVENT_HELD = 1,	  /* a packet waits for `owner`; `number` of those waiting */
	PORTARP_EVENT_HELD_OWN,	  /* the same, sent by this machine itself: TTL stays */
	PORTARP_EVENT_FRAG,	  /* a later fragment waits for its first one */
	PORTARP_EVENT_FRAG_KNOWN, /* the first one has come: `owner` */
	PORTARP_EVENT_ASK,	  /* `owner` is not known and should be asked; no packet */
	PORTARP_EVENT_ARP,	  /* a PE-ARP reply or announcement, whole */
};

/*
 * An event; `length` bytes of the frame follow, from its Ethernet header. The record ends there.
 */
struct portarp_event {
	__u64 time_ns;
	__be32 addr;
	__be16 port; /* or identifier */
	__u8 kind;
	__u8 proto;
	__u32 owner;
	__u32 ifindex; /* where the frame came from; HELD and FRAG: to be sent on
			  portarp_addr.ifindex */
	__u16 number;  /* FRAG: 1 = sent by this machine itself, TTL stays */
	__u16 length;
	struct portarp_frag_key frag; /* FRAG, FRAG_KNOWN */
};

_Static_assert(sizeof(struct portarp_event) == 40, "portarp_event is an ABI");

#define PORTARP_EVENT_FRAME 9728 /* bytes; a longer frame does not wait */

/*
 * A PE-ARP frame: ordinary ARP of 28 bytes with an experimental operation, then a trailer where
 * Ethernet pads anyway. Hosts that know nothing of it ignore the operation. The sender's protocol
 * address is always 0.0.0.0 and the target's always the shared address, in requests and replies, so
 * that a stack that learns from any ARP learns nothing. All fields are in wire order.
 */
#define PORTARP_OP_REQUEST 24 /* OP_EXP1, RFC 5494 */
#define PORTARP_OP_REPLY   25 /* OP_EXP2 */
#define PORTARP_MAGIC	   0x5045
#define PORTARP_VERSION	   1

#define PORTARP_ARP_SET	     0x01 /* a, k, psid are the sender's set */
#define PORTARP_ARP_RANGE    0x02 /* low, high are a range of the sender's that has `port` */
#define PORTARP_ARP_ANNOUNCE 0x04 /* unasked */
#define PORTARP_ARP_RELEASE  0x08 /* the sender gives these ports up */

struct portarp_arp {
	__be16 hardware, protocol; /* 1, 0x0800 */
	__u8 hardware_len, protocol_len;
	__be16 operation;
	__u8 sender_mac[6];
	__be32 sender; /* 0 */
	__u8 target_mac[6];
	__be32 target; /* the shared address */
	__be16 magic;
	__u8 version;
	__u8 flags; /* PORTARP_ARP_ */
	__be16 port;
	__u8 a, k;
	__be16 psid; /* in the k leftmost bits */
	__be16 low, high;
	__be16 lifetime_s; /* 0 = not limited */
} __attribute__((packed));

_Static_assert(sizeof(struct portarp_arp) == 44, "portarp_arp is a wire format");

#endif
