/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/neighbour.h - messages of neighbour discovery (RFC 4861) and ARP (RFC 826) as
 * tables write them, the answers that they are due, and what they mean.
 *
 * Nothing here shares code with bpf/. Numbers are host order, fields that are 0 mean "as it should
 * be".
 */
#ifndef ISTHMUS_SELFTESTS_NEIGHBOUR_H
#define ISTHMUS_SELFTESTS_NEIGHBOUR_H

#include "selftests/lib/packet.h"

#define NB_SOLICIT   135
#define NB_ADVERTISE 136
#define NB_SOLICITED 0x40
#define NB_OVERRIDE  0x20
#define NB_OPTIONS   160 /* bytes */

struct nb_message {
	__u8 dst_mac[6], src_mac[6];
	struct packet_tag tag[2];
	struct isthmus_addr src, dst, target;
	__u8 type, code, flags;
	__s16 hops; /* 0 = 255 */
	__u8 option[NB_OPTIONS];
	__u16 option_len;
	/* Lies. */
	__s16 length; /* added to the payload's */
	__u16 cut;    /* bytes of the message that are not there, nor in its lengths */
	__u16 check;  /* added to the checksum */
	__u16 trailer;
};

void nb_build(const struct nb_message *message, struct packet *frame);
/* Adds an option of `units` * 8 bytes that begins with the MAC. */
void nb_option(struct nb_message *message, __u8 type, __u8 units, const __u8 mac[6]);
/* ff02::1:ffXX:XXXX of an address, and its MAC. */
struct isthmus_addr nb_group(const struct isthmus_addr *addr);
void nb_group_mac(const struct isthmus_addr *group, __u8 mac[6]);

struct nb_arp {
	__u8 dst_mac[6], src_mac[6];
	struct packet_tag tag[2];
	__u16 hardware, protocol, op; /* 0 = 1, 0x0800, 1 */
	__u8 hardware_len, protocol_len;
	__u8 sender_mac[6], target_mac[6]; /* sender_mac 0 = src_mac */
	__u8 sender[4], target[4];
	size_t len; /* 0 = 60 and the tags */
};

void nb_arp_build(const struct nb_arp *arp, struct packet *frame);

/* The advertisement that answers `question`: from mac, of `about`; to NULL = all nodes. */
void nb_answer(const struct packet *question, const __u8 mac[6], const struct isthmus_addr *about,
	       const struct isthmus_addr *to, const __u8 to_mac[6], struct packet *frame);

/* Writes the checksum that the message of the frame should have; false: it has none. */
bool nb_mend(struct packet *frame);

/* What a frame means to the owner of pools. */
enum nb_kind {
	NB_NOTHING, /* no neighbour message, or about no pool */
	NB_BAD,	    /* RFC 4861, 7.1 */
	NB_ASKS,
	NB_DETECTS,
	NB_CLAIMS,
};

struct nb_meaning {
	enum nb_kind kind;
	bool ours;   /* we sent it */
	bool others; /* it is for another host's MAC */
	struct isthmus_addr about, from;
	__u8 mac[6]; /* of who asks or claims */
};

typedef bool nb_in_pool(const struct isthmus_addr *addr);
void nb_judge(const struct packet *frame, const __u8 mac[6], nb_in_pool *in_pool,
	      struct nb_meaning *meaning);

#endif
