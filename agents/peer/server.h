/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A provider's connection to its server: the name is resolved in the worker, then each address is
 * tried. */
#ifndef ISTHMUS_PEER_SERVER_H
#define ISTHMUS_PEER_SERVER_H

struct peer;
struct server;

/* fd: connected and non-blocking, the receiver's; or a negative errno. Free the server here or
 * later. */
typedef void (*server_done)(int fd, void *arg);

/* proto: IPPROTO_TCP or IPPROTO_UDP. NULL: out of memory, or the worker's queue is full. done is
 * not called from inside. */
struct server *server_connect(struct peer *peer, int proto, const char *host, const char *port,
			      server_done done, void *arg);
void server_free(struct server *server);

#endif
