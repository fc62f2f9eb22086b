/* SPDX-License-Identifier: GPL-3.0-or-later */
/* UDP datagrams with what their headers say: who, to whom, TTL, TOS; and ICMP errors. */
#ifndef ISTHMUS_AGENTS_DATAGRAM_H
#define ISTHMUS_AGENTS_DATAGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ep.h"

#define DATAGRAM_TURN 16 /* of one socket before others have theirs */
#define DATAGRAM_MAX  65535

struct datagram {
	struct ep_name from, to;
	unsigned int ifindex; /* where it came in, or should go out; 0 = any */
	uint8_t ttl, tos;     /* or hop limit, traffic class; ttl 0 = the socket's */
	const uint8_t *bytes;
	size_t len;
};

struct datagram_error {
	struct ep_name local, to; /* of the datagram; the local address may be any */
	struct isthmus_addr by;	  /* who said so; all zero: this host */
	int error;		  /* errno */
	uint8_t type, code;	  /* of ICMP or ICMPv6 */
	uint32_t info;		  /* MTU */
	const uint8_t *bytes;	  /* the payload's beginning, of a static buffer */
	size_t len;
};

/* What the two below need to be told; `steered`: the socket receives for other addresses. */
int datagram_prepare(int fd, uint8_t family, bool steered);
/* One datagram, in a static buffer, for who takes more than it can forward loses it. 0 or -errno.
 * The socket's own port is not in `to` if it is not `steered`. */
int datagram_receive(int fd, struct datagram *datagram);
/* The oldest error of the socket's queue: 0, or -EAGAIN. */
int datagram_error(int fd, struct datagram_error *error);
/* `parts` to datagram->to. From datagram->from's address, unless that is any. 0 or -errno. */
int datagram_send(int fd, const struct datagram *datagram, const struct iovec *parts, int count);

/* All zero, or the mapped 0.0.0.0. */
bool ep_name_is_any(const struct ep_name *name);
bool ep_name_is_loopback(const struct ep_name *name);
/* A group's or the limited broadcast's address: no single host's. */
bool ep_name_is_many(const struct ep_name *name);

#endif
