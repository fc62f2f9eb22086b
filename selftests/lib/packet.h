/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/packet.h - packets as tables write them, and checksums from scratch.
 *
 * A packet_spec describes one frame; packet_build() lays it out. Fields that are 0 mean "as it
 * should be", so a row names only what is unusual about its packet. Numbers are host order.
 * Nothing here shares code with bpf/: a checksum is always the whole sum, never an update.
 */
#ifndef ISTHMUS_SELFTESTS_PACKET_H
#define ISTHMUS_SELFTESTS_PACKET_H

#include <stdbool.h>
#include <stddef.h>

#include "maps/common.h"

#define PACKET_MAX  3072
#define PACKET_ZERO (-1) /* for fields whose 0 means the default */

/* Initializers of an isthmus_addr. */
#define PACKET_V4(a, b, c, d)                                                                      \
	{                                                                                          \
		{                                                                                  \
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d                       \
		}                                                                                  \
	}
#define PACKET_V6(site, host)                                                                      \
	{                                                                                          \
		{                                                                                  \
			0x20, 0x01, 0x0d, 0xb8, (site) >> 8, (site)&0xff, 0, 0, 0, 0, 0, 0, 0, 0,  \
				(host) >> 8, (host)&0xff                                           \
		}                                                                                  \
	}

enum packet_tcp_flag {
	PACKET_FIN = 0x01,
	PACKET_SYN = 0x02,
	PACKET_RST = 0x04,
	PACKET_PSH = 0x08,
	PACKET_ACK = 0x10,
	PACKET_URG = 0x20,
	PACKET_ECE = 0x40,
	PACKET_CWR = 0x80,
};

struct packet {
	size_t len;
	__u8 b[PACKET_MAX];
};

struct packet_tag {
	__u16 proto, tci;
};

enum packet_check {
	PACKET_CHECK_GOOD,
	PACKET_CHECK_NONE, /* UDP: field 0 */
	PACKET_CHECK_BAD,  /* off by one */
};

struct packet_spec {
	__u8 dst_mac[6], src_mac[6];
	struct packet_tag tag[3]; /* proto 0 ends the list */
	__u16 ethertype;	  /* 0 = by the addresses' family */
	struct isthmus_addr src, dst;
	__u16 sport, dport;
	__u8 proto; /* 0 = TCP */
	__u8 tos;
	__s16 ttl; /* 0 = 64 */
	__u16 id;
	__u16 frag; /* IPv4: flags and offset as in the header */
	__u8 ip_opt_len;
	const char *ip_opt;
	__u8 exts, ext[4]; /* IPv6: types of extension headers, in order */
	__u16 v6_frag;	   /* offset and M of the fragment header among them */
	__u16 flags;	   /* enum packet_tcp_flag */
	__u32 seq, ack;
	__s32 window;		   /* 0 = 64240 */
	__u8 icmp_type, icmp_code; /* proto 1, its 8 bytes of header before `data` */
	__u32 icmp_rest;	   /* bytes 4 to 7: identifier and sequence number */
	__u8 opt_len;
	const char *opt; /* TCP options; padded with EOL to 32 bits */
	__u16 data_len;
	const void *data; /* NULL = a pattern */
	enum packet_check check, ip_check;
	/* Lies. 0 = the truth. */
	__s32 tot_len, ihl, doff, udp_len, version;
	__u16 trailer; /* bytes of link-layer padding after the IP packet */
};

/* Where the parts of a frame are; 0 = not there. */
struct packet_view {
	size_t l2_len, l3, l3_len, l4; /* l3_len: IP header with options or extensions */
	size_t end;		       /* of the IP packet: padding follows */
	bool v6, later;		       /* later: a fragment that is not the first */
	bool fragment;
	__u8 proto;
};

void packet_build(const struct packet_spec *spec, struct packet *packet);

/* Returns false where the frame is not well-formed IPv4 or IPv6 with TCP or UDP. */
bool packet_parse(const struct packet *packet, struct packet_view *view);

/* Folded one's complement sum of big-endian words, added to sum. */
__u16 packet_sum(const void *data, size_t len, __u32 sum);

/* What the checksum fields should be, from scratch; host order. The UDP one is never 0. */
__u16 packet_ip_check(const struct packet *packet, const struct packet_view *view);
__u16 packet_l4_check(const struct packet *packet, const struct packet_view *view);
__u16 packet_get_l4_check(const struct packet *packet, const struct packet_view *view);
void packet_set_l4_check(struct packet *packet, const struct packet_view *view, __u16 check);

/* Both checksums of the frame are what they should be. */
bool packet_checks_good(const struct packet *packet);

/* The header checksum of an untagged IPv4 frame, whatever it carries. */
bool packet_ip4_check_good(const struct packet *packet);

/* Changes the last two bytes (of at least two even-aligned payload bytes) until the right L4
 * checksum is `check`, and writes it. */
void packet_aim_l4_check(struct packet *packet, __u16 check);

/* Cuts bytes [from, to) of the IP payload of a whole packet into a fragment of their own. */
void packet_fragment(const struct packet *whole, size_t from, size_t to, __u32 id,
		     struct packet *piece);

/* Puts the pieces of one datagram together again; false if they leave a hole. */
bool packet_join(const struct packet *pieces, size_t count, struct packet *whole);

__u16 packet_get16(const __u8 *at);
__u32 packet_get32(const __u8 *at);
void packet_put16(__u8 *at, __u16 value);
void packet_put32(__u8 *at, __u32 value);

bool packet_addr_v4(const struct isthmus_addr *addr);

/* Prints both frames as hex with the differing bytes marked, to stderr. */
void packet_print_diff(const struct packet *got, const struct packet *want);

#endif
