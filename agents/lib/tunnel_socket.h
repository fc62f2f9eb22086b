/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The UDP socket of a tunnel's control packets. */
#ifndef ISTHMUS_AGENTS_TUNNEL_SOCKET_H
#define ISTHMUS_AGENTS_TUNNEL_SOCKET_H

#include "tunnel.h"

struct event;
struct event_base;

struct tunnel_place {
	struct isthmus_addr address;
	__be16 port;
};

/* A control packet, of any length and form. */
typedef void (*tunnel_control)(const struct tunnel_place *from, const uint8_t *bytes, size_t len,
			       void *arg);

struct tunnel_socket {
	struct isthmus_addr from; /* :: = all */
	int fd;			  /* -1 = closed */
	bool mapped;		  /* IPv4 addresses are IPv4-mapped: it takes both families */
	tunnel_control control;
	void *arg;
	struct event *readable;
};

/* from: NULL = every address, of both families. 0 or a negative errno, then to be closed too. */
int tunnel_socket_open(struct tunnel_socket *socket, struct event_base *base,
		       const struct isthmus_addr *from, __be16 port, tunnel_control control,
		       void *arg);
void tunnel_socket_close(struct tunnel_socket *socket);
/* 0, -EAFNOSUPPORT (of the other family, or closed) or a negative errno of sendto(2). */
int tunnel_socket_send(const struct tunnel_socket *socket, const struct tunnel_place *to,
		       const uint8_t bytes[TUNNEL_CONTROL_BYTES]);

#endif
