/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The peers of a tunnel in the maps of a datapath (maps/tunnel.h), for both ends: records to seal
 * by, keys to open with, next hops that follow the kernel's routes and neighbours, and the socket
 * of control packets.
 *
 * The maps are pinned: with the agent dead, what is there stays in use.
 */
#ifndef ISTHMUS_AGENTS_TUNNEL_PEERS_H
#define ISTHMUS_AGENTS_TUNNEL_PEERS_H

#include "tunnel.h"
#include "tunnel_socket.h"

struct event_base;
struct mnl_socket;
struct tunnel_peers;

#define TUNNEL_FROM 2 /* one of each family */

struct tunnel_peers_options {
	const char *instance, *stem; /* "waypoint", "gateway" */
	uint32_t abi;
	size_t conf_bytes; /* of the stem's configuration */
	/* Our outer addresses, of which packets to a peer have the one of its family; none: as the
	 * kernel chooses. */
	struct isthmus_addr from[TUNNEL_FROM];
	unsigned int from_count;
	tunnel_control control;
	void (*changed)(void *arg); /* routes, links or neighbours; may be NULL */
	void *arg;
};

/* -ENOENT: not attached; -EPROTO: of another version; -EXDEV: in another network namespace. */
int tunnel_peers_new(struct event_base *base, const struct tunnel_peers_options *options,
		     struct tunnel_peers **peers, char *error, size_t error_len);
void tunnel_peers_free(struct tunnel_peers *peers);
/* As it was when the datapath was attached. */
const struct tunnel_conf *tunnel_peers_conf(const struct tunnel_peers *peers);
/* For questions about routes and neighbours. */
struct mnl_socket *tunnel_peers_query(struct tunnel_peers *peers);
/* A device's MAC, and the bytes of its longest IP packet. -EMEDIUMTYPE: no Ethernet. */
int tunnel_peers_device(struct tunnel_peers *peers, uint32_t ifindex, uint8_t mac[6],
			uint16_t *mtu);
uint16_t tunnel_peers_cpus(const struct tunnel_peers *peers);

/* 0 or a negative errno of sendto(2). */
int tunnel_peers_send(struct tunnel_peers *peers, const struct tunnel_place *to,
		      const uint8_t bytes[TUNNEL_CONTROL_BYTES]);
/* One that nothing is received under; 0 = no randomness. */
uint32_t tunnel_peers_vni(struct tunnel_peers *peers);

/* Packets under `vni` are opened with `key`, as those of peer `index`. */
int tunnel_peers_take(struct tunnel_peers *peers, uint32_t index, uint32_t vni,
		      const uint8_t key[16], uint16_t cpus, uint8_t flags);
/* Keys of the peer, but for these two VNIs (0 = none), end after TUNNEL_OLD_MS; `now`: at once. */
void tunnel_peers_retire(struct tunnel_peers *peers, uint32_t index, uint32_t vni,
			 uint32_t other_vni, bool now);
/* Packets to the peer are sealed with `key` under `vni`, and sent to `place`. */
int tunnel_peers_use(struct tunnel_peers *peers, uint32_t index, const struct tunnel_place *place,
		     uint32_t vni, const uint8_t key[16], uint8_t flags);
int tunnel_peers_move(struct tunnel_peers *peers, uint32_t index, const struct tunnel_place *place);
void tunnel_peers_down(struct tunnel_peers *peers, uint32_t index);
bool tunnel_peers_is_up(const struct tunnel_peers *peers, uint32_t index);
/* Each second: ends keys whose time is over. */
void tunnel_peers_tick(struct tunnel_peers *peers);

#endif
