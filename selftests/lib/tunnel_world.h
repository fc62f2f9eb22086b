/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/tunnel_world.h - a waypoint and a gateway, with a network between them that loses,
 * repeats, delays and mixes up, in a time of its own.
 *
 *	tunnel_gateway --- agent --- keys, seal        name server: secrets
 *	      |              packets in flight
 *	tunnel_waypoint -- agent --- keys, seal        an attacker may read all and add his own
 *
 * The agents do with TUNNEL_TAKE, TUNNEL_USE, TUNNEL_LIVE and TUNNEL_GONE what
 *agents/waypoint/end.c and agents/gateway/end.c do; keys and what is sealed by are here instead of
 *in maps, and they outlive an agent, too. At all times what one end seals the other end must open,
 *or the test fails and tells the seed: but for a handshake that is not completed for TUNNEL_OLD_MS.
 *
 * Random numbers, those of auth_random() too, come from the seed.
 */
#ifndef ISTHMUS_SELFTESTS_TUNNEL_WORLD_H
#define ISTHMUS_SELFTESTS_TUNNEL_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "agents/lib/tunnel.h"

#define WORLD_ID      7
#define WORLD_KEYS    32
#define WORLD_FLIGHT  512
#define WORLD_TAPPED  4096
#define WORLD_TICK_MS 50 /* the gateway's agent looks so often */

enum world_end { WORLD_GATEWAY = 1, WORLD_WAYPOINT = 2, WORLD_BOTH = 3 };

struct world_key {
	uint32_t vni; /* 0 = this place is empty */
	uint8_t key[16];
	uint64_t until_ms; /* 0 = no end */
};

/* What the maps of an end have. */
struct world_maps {
	struct world_key key[WORLD_KEYS];
	bool up;
	uint32_t vni;
	uint8_t seal[16];
};

struct world_packet {
	enum world_end to;
	uint32_t gateway_place; /* where it is from or where it goes */
	uint64_t at_ms;
	size_t len;
	uint8_t bytes[TUNNEL_CONTROL_BYTES + 8];
};

struct world_counts {
	unsigned int taken, used, handshakes, gone_gateway, gone_waypoint, moved, bad_cookie;
	unsigned int keys_most;
	unsigned int black_ms; /* what was sealed would not have been opened, in long handshakes */
};

struct world {
	uint64_t seed, random, now_ms;
	unsigned int loss, twice, delay_min, delay_max; /* percent, percent, ms, ms */
	int cut;					/* to these ends nothing comes */
	bool gateway_stopped;				/* its agent gets no time */
	struct tunnel_gateway gateway;
	struct tunnel_waypoint waypoint;
	uint8_t cookie_secret[TUNNEL_SECRET_BYTES];
	bool waypoint_known;
	uint32_t gateway_place, known_place; /* as it is, as the waypoint thinks */
	uint32_t vni_waypoint, vni_gateway;  /* of the gateway's newest session */
	struct world_maps maps_gateway, maps_waypoint;
	uint64_t unsettled_ms; /* since when a handshake runs; 0 = none */
	uint64_t checked_ms;
	bool lost; /* an end's maps, until the next handshake is completed */
	struct world_counts counts;
	struct world_packet flight[WORLD_FLIGHT];
	unsigned int flying;
	struct world_packet tapped[WORLD_TAPPED]; /* all that was sent, a ring */
	unsigned int tapped_count;
};

/* No secrets yet. now_ms is any time, as a clock's. */
void world_start(struct world *w, uint64_t seed);
uint32_t world_random(struct world *w, uint32_t below);
/* The name server gives these ends a secret: 32 times `number`, or so. */
void world_secret(struct world *w, int ends, uint32_t number);
/* The agent ends and begins without what it knew; with `maps`, the machine. */
void world_restart(struct world *w, int ends, bool maps);
void world_run(struct world *w, uint64_t ms);
/* Until both are up under one session: after how many ms, or ms if they are not. */
uint64_t world_settle(struct world *w, uint64_t ms);
bool world_settled(const struct world *w);
/* The attacker's packet is there at once. `place`: of a gateway, that it pretends to come from. */
void world_inject(struct world *w, enum world_end to, uint32_t place, const uint8_t *bytes,
		  size_t len);

#endif
