/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps/tunnel.h - the tunnel between a waypoint and a gateway: its bytes, and the records that both
 * datapaths keep of each other (AVES 3.2, 5; Geneve is RFC 8926, the replay window RFC 6479).
 *
 *	IPv4 or IPv6 | UDP | Geneve (8) | one critical option (24) | inner IP packet
 *
 * The inner packet is the initiator's or the responder's as it is on the Internet: from or to the
 * waypoint's address, TTL one less. Only the gateway knows inside addresses: the option names the
 * responder by a number that the gateway gave it. So a waypoint changes no checksum, any family
 * fits into any, and what must not be changed on its way (IPsec) need not be.
 *
 * The tag is SipHash-2-4 (64 bits) over the 24 bytes from Geneve's first to the host number's last,
 * then the inner packet; its key is told by the VNI, which its receiver chose. Each handshake gives
 * a new VNI and key to each direction, so no sequence is ever repeated under one key.
 *
 * All wire fields are in network byte order.
 */
#ifndef ISTHMUS_MAPS_TUNNEL_H
#define ISTHMUS_MAPS_TUNNEL_H

#include "common.h"

#ifndef __bpf__
#include <linux/bpf.h>
#endif

#define TUNNEL_PORT	    6081   /* RFC 8926; another one may be configured */
#define TUNNEL_OPTION_CLASS 0xff49 /* RFC 8926 3.5: experimental */
#define TUNNEL_OPTION_TYPE  0x81   /* critical: who does not know it must drop */
#define TUNNEL_PEERS	    4096
#define TUNNEL_CPUS	    256 /* of a sender; each has sequences and a window of its own */
#define TUNNEL_WINDOW                                                                              \
	1024 /* sequences of a CPU; 64 fewer may come late: RFC 6479 moves by words                \
	      */
#define TUNNEL_VNI_MAX 0xffffff
/* What a tag covers of the inner packet where only headers are asked for. */
#define TUNNEL_MAC_HEADERS_BYTES 64

struct tunnel_geneve {
	__u8 version_length; /* version 0; length of options in 4 bytes: 6 */
	__u8 flags;	     /* 0x80 O: control, for the agent; 0x40 C: critical options */
	__be16 protocol;     /* ETH_P_IP or ETH_P_IPV6 */
	__u8 vni[3];
	__u8 reserved;
} __attribute__((packed));

#define TUNNEL_CONTROL	0x80
#define TUNNEL_CRITICAL 0x40

struct tunnel_option {
	__be16 option_class;
	__u8 type;
	__u8 length;	  /* of what follows, in 4 bytes: 5 */
	__u8 sequence[8]; /* sender's CPU in the top 16 bits, counter from 1 in the others */
	__be32 host;	  /* number of the responder at the gateway */
	__u8 tag[8];	  /* little-endian, as SipHash's own */
} __attribute__((packed));

_Static_assert(sizeof(struct tunnel_geneve) == 8, "a wire format");
_Static_assert(sizeof(struct tunnel_option) == 24, "a wire format");

/* Bytes before the inner packet, from the outer IP header: IPv4 60, IPv6 80. */
#define TUNNEL_HEADERS_V4 (20 + 8 + 8 + 24)
#define TUNNEL_HEADERS_V6 (40 + 8 + 8 + 24)

/* tunnel_peer.flags, tunnel_key.flags */
#define TUNNEL_UP	   0x01 /* packets may be sent */
#define TUNNEL_MAC_HEADERS 0x02 /* tags cover the inner packet's first 64 bytes only */
#define TUNNEL_STRAIGHT	   0x04 /* replies may leave the gateway straight (AVES 3.2 step 5) */

/*
 * Where to and under which key packets for a peer are sealed. One record for each gateway (at a
 * waypoint) or waypoint (at a gateway), written by the agent, whole, before TUNNEL_UP is set.
 */
struct tunnel_peer {
	__u64 key[2];
	struct isthmus_addr local, remote; /* outer addresses */
	__be16 local_port, remote_port;
	__u32 vni;     /* host byte order; the receiver's */
	__u32 ifindex; /* next hop */
	__u8 dst_mac[6], src_mac[6];
	__u16 mtu;   /* bytes of an outer packet: the path's */
	__u8 flags;  /* TUNNEL_ */
	__u8 number; /* of the handshake, wraps: tells a changed record */
	__u32 pad;
};

_Static_assert(sizeof(struct tunnel_peer) == 80, "tunnel_peer is an ABI");

/* How packets that carry a VNI are opened; the map's key is the VNI, __u32, host byte order. */
struct tunnel_key {
	__u64 key[2];
	__u32 peer; /* index of the sender's tunnel_peer */
	__u16 cpus; /* of the sender: windows (vni, 0) to (vni, cpus - 1) exist */
	__u8 flags; /* TUNNEL_MAC_HEADERS */
	__u8 pad;
	__u64 until_ns; /* 0 = no end; an old key is good for a while after a new handshake */
};

_Static_assert(sizeof(struct tunnel_key) == 32, "tunnel_key is an ABI");

struct tunnel_window_key {
	__u32 vni;
	__u32 cpu;
};

/* Which sequences of one sender's CPU have come. Tested and set under the lock. */
struct tunnel_window {
	struct bpf_spin_lock lock;
	__u32 pad;
	__u64 top;			/* the highest counter that has come */
	__u64 bits[TUNNEL_WINDOW / 64]; /* counter % TUNNEL_WINDOW; valid above top - window */
};

_Static_assert(sizeof(struct tunnel_window) == 16 + TUNNEL_WINDOW / 8, "an ABI");

/* ---- what both datapaths' configurations begin with: the loader writes it */

#define TUNNEL_LINKS 8

enum tunnel_side { TUNNEL_UPLINK = 1, TUNNEL_LAN };

enum tunnel_hook {
	TUNNEL_HOOK_NONE,
	TUNNEL_HOOK_TC,
	TUNNEL_HOOK_XDP,
	TUNNEL_HOOK_XDP_GENERIC,
};

/* One device that the programs are on. With XDP the tc program is there too: it cuts. */
struct tunnel_link {
	__u32 ifindex; /* 0 = this place is empty */
	__u8 mac[6];
	__u16 mtu;    /* bytes of an IP packet */
	__u8 side;    /* enum tunnel_side */
	__u8 hook;    /* enum tunnel_hook */
	__u8 tc_link; /* 1 = TCX link, 0 = clsact filter, 2 = in a qdisc of ours */
	__u8 pad;
	__u16 tc_prio;
	__u16 pad2;
	__u32 tc_handle;
	__be32 inside; /* a gateway's LAN: our address there, to mask with; 0 = none */
	struct isthmus_addr inside6; /* the same in IPv6; :: = none */
};

_Static_assert(sizeof(struct tunnel_link) == 44, "tunnel_link is an ABI");

struct tunnel_conf {
	__u32 abi;  /* WAYPOINT_ABI, GATEWAY_ABI */
	__u8 links; /* places of `link` in use, from the first */
	__u8 pad;
	__be16 port; /* UDP port of the tunnel, here */
	__u64 netns; /* inode of the network namespace that it is attached in */
	struct tunnel_link link[TUNNEL_LINKS];
};

_Static_assert(sizeof(struct tunnel_conf) == 368, "tunnel_conf is an ABI");

#endif
