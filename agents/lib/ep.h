/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The Export Protocol (ReSoA 4.1; docs/protocol.md): what a client's daemon asks of its server.
 * Each message is one message of the LHP, and the LHP's stream is the rsockID: 0 for what concerns
 * the client as a whole, 1 to 0x7fffffff for sockets that the client made, with EP_OF_SERVER set
 * for connections that came to the server.
 *
 * Requests are pipelined: nothing waits for an answer that it does not need. An rsockID begins with
 * its first message (delayed creation, 4.3) and ends with CLOSE or RESET of both ends.
 */
#ifndef ISTHMUS_AGENTS_EP_H
#define ISTHMUS_AGENTS_EP_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "../../maps/common.h"

#define EP_VERSION   1
#define EP_OF_SERVER 0x80000000u
#define EP_HEAD_MAX  64 /* what stands before a body, at most */
#define EP_BODY_MAX  65536

/* C: the client sends it, S: the server. Those with a body end with it. */
enum ep_type {
	/* Stream 0. */
	EP_REGISTER = 1, /* C: body = JSON, see docs/protocol.md */
	EP_REGISTERED,	 /* S: body = JSON: addresses, routes, ports, limits, files */
	EP_REFUSED,	 /* S: error, body = one line of text; the connection ends */
	EP_CHANGED,	 /* S: body = JSON: what of REGISTERED is different now */
	EP_PING,	 /* both: number; answered by PONG with the same */
	EP_PONG,
	/* A socket's names. */
	EP_BIND,     /* C: name = what it wants; reserves a port. RESULT. */
	EP_CONNECT,  /* C: name = local, other = remote. RESULT. TCP. */
	EP_LISTEN,   /* C: name = local, number = backlog. RESULT. TCP; UDP: a program is bound
			and may wait for datagrams, local address any: broadcasts, too */
	EP_RESULT,   /* S: error (errno, 0 = done), name = local */
	EP_INCOMING, /* S: on the listener's rsockID; id = that of the connection, name = local,
			other = peer */
	EP_ACCEPTED, /* C: on the connection's rsockID: it stands in the client; else RESET */
	/* A connection. */
	EP_DATA,   /* both: body */
	EP_URGENT, /* both: body; its last byte is urgent (MSG_OOB) */
	EP_FIN,	   /* both: no more DATA; S: number = bytes in all */
	EP_CREDIT, /* both: number = bytes since the beginning that may be sent; read = bytes that
		      the application has read (C), or that the socket has taken (S) */
	EP_DELIVERED, /* C: number = bytes that are in the client's socket: opens R10's gate */
	EP_RESET,     /* both: error = errno for the application; the rsockID has ended */
	EP_CLOSE,     /* both: the rsockID has ended in order */
	/* Options. */
	EP_OPTION, /* C: level, option, body = value. No answer. */
	EP_ASK,	   /* C: level, option, number = room. VALUE. */
	EP_VALUE,  /* S: level, option, error, body = value */
	/* Datagrams: sent semi-reliably. */
	EP_DATAGRAM, /* C: name = local, other = to; S: name = to whom it was sent, other = from;
			ttl, tos (0 = unset); body */
	EP_ERROR, /* S: name, other as in the DATAGRAM; error, icmp_type, icmp_code, number = info;
		     body = who said so (16 bytes, IPv4 mapped), then the payload's beginning */
	EP_GROUP, /* C: name = group, other = source or unspecified; number = 1 join, 0 leave; id =
		     ifindex at the server */
	/* A listener's. */
	EP_KNOCK, /* S: on its rsockID; id, name = local, other = a peer whose SYN waits */
	EP_ADMIT, /* C: on the same; id, error = 0: it is let in, else it is not answered. A
		     listener that is no more has said CLOSE: its peers are refused */
	EP_TYPE_END,
};

/* An address with its port. family 0: none. */
struct ep_name {
	struct isthmus_addr address; /* IPv4 mapped; all zero with family 4 or 6: any */
	__be16 port;
	uint8_t family; /* 0, 4, 6 */
	uint8_t proto;	/* IPPROTO_TCP, IPPROTO_UDP */
	uint32_t scope; /* IPv6 link-local: ifindex at the server */
};

/* In memory; a field that the type has not is 0. */
struct ep_message {
	uint8_t type; /* enum ep_type */
	uint8_t ttl, tos;
	uint8_t icmp_type, icmp_code;
	int32_t error;
	int32_t level, option;
	uint32_t id;
	uint64_t number, read;
	struct ep_name name, other;
	const void *body; /* of the bytes that were parsed */
	size_t body_len;
};

/* Everything before the body, in network byte order: its length, at most EP_HEAD_MAX. */
size_t ep_write_head(const struct ep_message *message, uint8_t head[EP_HEAD_MAX]);
/* 0 or -EINVAL: an unknown type, a length that is not its type's, a value out of range. Outputs
 * untouched on failure. */
int ep_parse(const uint8_t *bytes, size_t len, struct ep_message *message);
const char *ep_type_name(uint8_t type);

/* Between names and the kernel's socket addresses. A length of 0: family unknown. */
socklen_t ep_to_sockaddr(const struct ep_name *name, struct sockaddr_storage *address);
/* 0 or -EAFNOSUPPORT. A mapped address in AF_INET6 is family 4 if `unmap`. */
int ep_from_sockaddr(const struct sockaddr *address, socklen_t len, uint8_t proto, bool unmap,
		     struct ep_name *name);
bool ep_name_equal(const struct ep_name *a, const struct ep_name *b);

struct lhp;
/* ep_write_head() and lhp_send(): DATAGRAM and ERROR semi-reliably, the rest reliably. */
int ep_send(struct lhp *lhp, uint32_t rsock, const struct ep_message *message);

#endif
