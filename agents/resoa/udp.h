/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of datagrams have in common. */
#ifndef ISTHMUS_RESOA_UDP_H
#define ISTHMUS_RESOA_UDP_H

#include "../lib/datagram.h"
#include "option.h"
#include "resoa.h"

/* By family: 0 is IPv4, 1 IPv6. */
#define UDP_INDEX(family) ((family) == 6)

/* One port of A, in one family: what sockets there are bound to it share. */
struct udp_port {
	struct ep_name local;	   /* that it was last sent from, or was bound to */
	struct ep_name peer;	   /* to whom */
	bool bound;		   /* by bind(): the server must have it before it is used */
	bool orphan;		   /* its socket had ended when its datagram was seen */
	unsigned int registration; /* of udp's: the server that knows it */
	uint64_t used_ms;
};

struct udp {
	struct resoa *resoa;
	int all[2];  /* receive all datagrams of A */
	int many[2]; /* AF_PACKET: what A sends to groups, and to the limited broadcast */
	int raw[2];  /* send datagrams into A, with any source */
	int icmp[2]; /* and errors */
	int diag;    /* NETLINK_SOCK_DIAG of A */
	struct event *event[4], *sweep, *orphans;
	unsigned int registration; /* how many there were */
	bool paused;
	uint64_t sent, received, errors, dropped;
};

/* False: the LHP has no room, and nothing is read until it has. Events that were before the
 * datagrams have been taken. */
bool udp_may_read(struct udp *udp);
/* The same socket's rsock of the other family, or NULL. */
struct rsock *udp_twin(const struct rsock *rsock);
/* A datagram of A goes to the server. */
void udp_forward(struct udp *udp, const struct datagram *datagram);
uint64_t udp_now_ms(void);

/* ---- udp_wire.c: what goes into A. 0 or -errno. */
int udp_wire_open(struct udp *udp);
void udp_wire_close(struct udp *udp);
int udp_wire_send(struct udp *udp, const struct datagram *datagram);
/* `datagram` as A sent it; payload of at least its quoted beginning. */
int udp_wire_error(struct udp *udp, const struct datagram *datagram, const struct ep_message *error,
		   const struct isthmus_addr *by);

/* ---- udp_diag.c */
/* Cookie of the socket of A that this datagram is of, 0: it has ended. */
uint64_t udp_diag_cookie(struct udp *udp, const struct ep_name *local, const struct ep_name *peer);
/* Bits of the ports that sockets of A have, IPv4 and IPv6 together. 0 or -errno. */
int udp_diag_ports(struct udp *udp, uint8_t ports[65536 / 8]);

/* ---- fragment.c */
/* The datagram's bytes with its UDP header, in a static buffer, and their length, with the last of
 * its fragments; else NULL. `bytes` begin with the fragment header; `datagram` has the addresses.
 */
const uint8_t *fragment_take(const struct datagram *datagram, const uint8_t *bytes, size_t *len);

/* ---- group.c */
int group_open(struct udp *udp);
void group_close(struct udp *udp);
bool group_is_option(int level, int name);
bool group_is_leave(const struct option *option);
/* The older one counts no more: the same option, or the join that this leaves. */
bool group_replaces(const struct option *option, const struct option *older);
/* Joins or leaves at the server: false, if the option is none of a group. */
bool group_tell(struct rsock *rsock, const struct option *option);
/* All that the rsock's socket is in; and whether there are any. */
void group_send(struct rsock *rsock);
bool group_any(struct rsock *rsock);

#endif
