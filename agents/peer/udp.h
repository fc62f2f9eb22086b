/* SPDX-License-Identifier: GPL-3.0-or-later */
/* UDP sessions: each source address of a local client is one; so is its socket at the provider. */
#ifndef ISTHMUS_PEER_UDP_H
#define ISTHMUS_PEER_UDP_H

#include <stdbool.h>
#include <stdint.h>

struct session;
struct subscription;
struct udp_path;

struct udp_path *udp_provide(struct session *session);
void udp_local_readable(struct subscription *subscription, int bind); /* clients' datagrams */
/* Takes a path from a session that is about to end; then a new session for its client. */
void udp_detach(struct udp_path *path);
void udp_subscribe_again(struct subscription *subscription, struct udp_path *path,
			 unsigned int tries);
void udp_connect(struct session *session); /* after the probe */
void udp_tick(struct session *session);	   /* PROVE and RELAY: the session's timer */
void udp_free(struct udp_path *path, bool say_bye);
uint64_t udp_bytes_in(const struct udp_path *path);
uint64_t udp_bytes_out(const struct udp_path *path);

#endif
