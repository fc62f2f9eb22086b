/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a client's UDP socket has here. */
#ifndef ISTHMUS_RESOAD_UDP_H
#define ISTHMUS_RESOAD_UDP_H

#include "../lib/datagram.h"
#include "resoad.h"

#define UDP_QUOTE  1024 /* of a datagram, with its error, at most: RFC 4443 quotes up to 1280 */
#define UDP_EXTRAS 32	/* of one socket */

/*
 * One more socket, for what the first cannot receive, as it is bound to the client's address:
 * a group, a broadcast address, or answers of the name server on loopback.
 */
struct udp_extra {
	struct ep_name name; /* what it is bound to; the name server: connected to */
	struct sock *sock;
	int fd;
	struct event *event;
	unsigned int members; /* joins, for programs may share a port */
	struct udp_extra *next;
};

struct udp {
	struct udp_extra *extras;
	unsigned int extra_count;
	unsigned int ifindex; /* that has its address; 0: not known */
	struct event *idle;
	bool paused; /* until the LHP has room */
};

/* To the client, as from `sock`'s peer; name: to whom it was sent. */
void udp_to_client(struct sock *sock, const struct ep_name *name, const struct datagram *datagram);
/* Errors of fd, which is `sock`'s or one of its extras'. */
void udp_tell_errors(struct sock *sock, int fd);
/* False: the LHP has no room, and nothing is received until it has. */
bool udp_may_receive(struct sock *sock);

/* ---- group.c */
void group_message(struct sock *sock, const struct ep_message *message);
/* The program has bound any address: broadcasts are for it, too. */
void group_broadcasts(struct sock *sock);
/* The socket for the name server on loopback, or -errno. */
int group_resolver(struct sock *sock, const struct ep_name *server);
void group_pause(struct udp *udp, bool pause);
void group_end(struct udp *udp);
unsigned int group_interface(const struct ep_name *local);

#endif
