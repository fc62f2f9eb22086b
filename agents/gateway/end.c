// SPDX-License-Identifier: GPL-3.0-or-later
/* The gateway's end of the tunnels to all waypoints that the name server has told of. */
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "../lib/neighbour.h"
#include "gateway.h"

#define TRY_OTHER_MS 6000

static struct waypoint *find(struct gateway *g, const char *name)
{
	for (uint32_t i = 1; i < WAYPOINTS; i++)
		if (g->waypoint[i].known && !strcmp(g->waypoint[i].name, name))
			return &g->waypoint[i];
	return NULL;
}

static uint32_t index_of(const struct gateway *g, const struct waypoint *waypoint)
{
	return (uint32_t)(waypoint - g->waypoint);
}

/* ---- what the machine wants */

static void use_session(struct gateway *g, struct waypoint *waypoint)
{
	const struct tunnel_session *session = &waypoint->end.session;
	uint32_t index = index_of(g, waypoint);
	char text[ADDRESS_TEXT_LEN];
	int err = tunnel_peers_take(g->peers, index, session->vni_gateway, session->to_gateway,
				    session->cpus_waypoint, session->flags);

	if (!err)
		err = tunnel_peers_use(g->peers, index, &waypoint->place, session->vni_waypoint,
				       session->to_waypoint, session->flags);
	if (err) {
		log_error("%s: keys cannot be written: %s", waypoint->name, strerror(-err));
		return;
	}
	/* The waypoint seals under the one before until it has an ALIVE: that is kept until then.
	 */
	if (waypoint->vni)
		tunnel_peers_retire(g->peers, index, session->vni_gateway, waypoint->vni, false);
	waypoint->vni = session->vni_gateway;
	waypoint->fresh = true;
	g->counters.handshakes++;
	address_port_text(&waypoint->place.address, waypoint->place.port, text);
	log_info("tunnel to waypoint %s at %s", waypoint->name, text);
}

static void act(struct gateway *g, struct waypoint *waypoint, int bits, const uint8_t *out)
{
	if (bits & TUNNEL_USE)
		use_session(g, waypoint);
	if (bits & TUNNEL_LIVE && waypoint->fresh) {
		waypoint->fresh = false;
		tunnel_peers_retire(g->peers, index_of(g, waypoint), waypoint->vni, 0, false);
	}
	if (bits & TUNNEL_GONE) {
		log_warn("waypoint %s is silent", waypoint->name); /* what is bound goes on */
		g->counters.tunnels_lost++;
	}
	if (bits & TUNNEL_SEND)
		tunnel_peers_send(g->peers, &waypoint->place, out);
}

/* By whose waypoint is it? By the address that it came from, then by its key. */
static void take_control(const struct tunnel_place *from, const uint8_t *bytes, size_t len,
			 void *arg)
{
	uint8_t out[TUNNEL_CONTROL_BYTES];
	struct gateway *g = arg;

	for (uint32_t i = 1; i < WAYPOINTS; i++) {
		struct waypoint *waypoint = &g->waypoint[i];
		int bits;

		if (!waypoint->known || !address_equal(&waypoint->place.address, &from->address) ||
		    waypoint->place.port != from->port)
			continue;
		bits = tunnel_gateway_take(&waypoint->end, bytes, len, gateway_now_ms(), out);
		if (!bits)
			continue;
		act(g, waypoint, bits, out);
		return;
	}
	g->counters.control_bad++;
}

/* ---- which of a waypoint's addresses */

static bool has_route(struct gateway *g, const struct tunnel_place *place)
{
	struct neighbour_route route;

	return !neighbour_route(tunnel_peers_query(g->peers), &place->address, &route);
}

/* The first one that there is a route to, from `first` on; that one if there is none. */
static void choose(struct gateway *g, struct waypoint *waypoint, unsigned int first)
{
	for (unsigned int i = 0; i < waypoint->choices; i++) {
		unsigned int place = (first + i) % waypoint->choices;

		if (!has_route(g, &waypoint->choice[place]))
			continue;
		first = place;
		break;
	}
	waypoint->chosen = first % waypoint->choices;
	waypoint->place = waypoint->choice[waypoint->chosen];
	waypoint->began_ms = gateway_now_ms();
}

/* A handshake that nobody answers is tried by the other family. */
static void reconsider(struct gateway *g, struct waypoint *waypoint)
{
	if (!waypoint->end.up && waypoint->choices > 1 && waypoint->end.phase == TUNNEL_ASKING &&
	    gateway_now_ms() - waypoint->began_ms > TRY_OTHER_MS)
		choose(g, waypoint, waypoint->chosen + 1);
}

/* ---- waypoints come and go */

void end_add(struct gateway *g, const char *name, uint32_t id, const struct tunnel_place *choice,
	     unsigned int choices, const uint8_t secret[TUNNEL_SECRET_BYTES])
{
	struct waypoint *waypoint = find(g, name);
	uint32_t vni = tunnel_peers_vni(g->peers);
	int index;

	if (!waypoint) {
		index = numbers_get(g, "waypoints", name, 1, WAYPOINTS);
		if (index < 0) {
			log_error("waypoint %s: there are too many", name);
			return;
		}
		numbers_save(g);
		waypoint = &g->waypoint[index];
		waypoint->known = true;
		snprintf(waypoint->name, sizeof(waypoint->name), "%s", name);
	}
	memcpy(waypoint->choice, choice, choices * sizeof(*choice));
	waypoint->choices = choices;
	choose(g, waypoint, 0);
	waypoint->end.id = id;
	waypoint->end.cpus = tunnel_peers_cpus(g->peers);
	waypoint->end.flags = g->settings.straight ? TUNNEL_STRAIGHT : 0;
	if (vni)
		tunnel_gateway_begin(&waypoint->end, secret, vni, gateway_now_ms());
}

void end_remove(struct gateway *g, const char *name)
{
	struct waypoint *waypoint = find(g, name);

	if (!waypoint)
		return;
	log_info("%s is no waypoint any more", name);
	tunnel_peers_down(g->peers, index_of(g, waypoint));
	tunnel_peers_retire(g->peers, index_of(g, waypoint), 0, 0, true);
	OPENSSL_cleanse(waypoint, sizeof(*waypoint));
}

void end_moved(struct gateway *g, uint32_t index, const struct tunnel_place *place)
{
	if (!index || index >= WAYPOINTS || !g->waypoint[index].known)
		return;
	g->waypoint[index].place = *place;
	tunnel_peers_move(g->peers, index, place);
}

void end_tick(struct gateway *g)
{
	uint64_t now = gateway_now_ms();
	uint8_t out[TUNNEL_CONTROL_BYTES];

	for (uint32_t i = 1; i < WAYPOINTS; i++) {
		struct waypoint *waypoint = &g->waypoint[i];
		uint32_t vni;
		int bits;

		if (!waypoint->known || waypoint->end.due_ms > now)
			continue;
		reconsider(g, waypoint);
		vni = tunnel_peers_vni(g->peers);
		bits = vni ? tunnel_gateway_tick(&waypoint->end, vni, now, out) : 0;
		act(g, waypoint, bits, out);
	}
}

static void changed(void *arg)
{
	hosts_resolve(arg);
}

int end_start(struct gateway *g, char *error)
{
	const struct tunnel_peers_options options = {
		.instance = g->settings.instance,
		.stem = "gateway",
		.abi = GATEWAY_ABI,
		.conf_bytes = sizeof(struct gateway_conf),
		.control = take_control,
		.changed = changed,
		.arg = g,
	};

	return tunnel_peers_new(g->base, &options, &g->peers, error, ERROR_LEN);
}
