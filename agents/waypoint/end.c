// SPDX-License-Identifier: GPL-3.0-or-later
/* The waypoint's end of the tunnels to all gateways that the name server has told of. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "../lib/log.h"
#include "waypoint.h"

bool end_is_up(const struct waypoint *w, uint32_t id)
{
	return w->gateway[id].known && !w->gateway[id].silent && tunnel_peers_is_up(w->peers, id);
}

static void tell(struct waypoint *w, uint32_t id)
{
	struct gateway *gateway = &w->gateway[id];
	bool up = end_is_up(w, id);

	if (gateway->told_up == up || !member_is_logged_in(w->member))
		return;
	gateway->told_up = up;
	server_tunnel(w, id, up);
}

/* ---- control packets */

static bool cookie_of(const struct waypoint *w, const struct tunnel_place *from,
		      const struct tunnel_message *message, uint8_t cookie[TUNNEL_NONCE_BYTES])
{
	uint8_t where[18];

	memcpy(where, from->address.b, 16);
	memcpy(where + 16, &from->port, 2);
	return !tunnel_cookie(w->cookie_secret, where, sizeof(where), message, cookie);
}

static void take_hello(struct waypoint *w, const struct tunnel_place *from,
		       const struct tunnel_message *message)
{
	uint8_t cookie[TUNNEL_NONCE_BYTES], out[TUNNEL_CONTROL_BYTES];

	if (cookie_of(w, from, message, cookie) && !tunnel_answer_hello(message, cookie, out))
		tunnel_peers_send(w->peers, from, out);
}

/* New keys to open with; those before stay until the handshake is completed. */
static bool open_under(struct waypoint *w, uint32_t id)
{
	struct tunnel_waypoint *end = &w->gateway[id].end;
	int err = tunnel_peers_take(w->peers, id, end->next.vni_waypoint, end->next.to_waypoint,
				    end->next.cpus_gateway, end->next.flags);

	if (err) {
		log_error("%s: keys cannot be written: %s", w->gateway[id].name, strerror(-err));
		end->opening = false;		/* a copy of this OPEN must not be answered */
	} else if (end->session.vni_waypoint) { /* else those of an agent before are in use */
		tunnel_peers_retire(w->peers, id, end->session.vni_waypoint, end->next.vni_waypoint,
				    false);
	}
	return !err;
}

static void seal_under(struct waypoint *w, uint32_t id, const struct tunnel_place *from)
{
	const struct tunnel_session *session = &w->gateway[id].end.session;
	char text[ADDRESS_TEXT_LEN];

	if (tunnel_peers_use(w->peers, id, from, session->vni_gateway, session->to_gateway,
			     session->flags))
		return;
	tunnel_peers_retire(w->peers, id, session->vni_waypoint, 0, false);
	w->gateway[id].place = *from;
	w->counters.handshakes++;
	address_port_text(&from->address, from->port, text);
	log_info("tunnel to %s at %s", w->gateway[id].name, text);
}

static void take_verified(struct waypoint *w, const struct tunnel_place *from, const uint8_t *bytes,
			  const struct tunnel_message *message)
{
	struct gateway *gateway = &w->gateway[message->gateway];
	uint8_t out[TUNNEL_CONTROL_BYTES];
	uint32_t vni = message->type == TUNNEL_OPEN ? tunnel_peers_vni(w->peers) : 0;
	int bits;

	if (message->type == TUNNEL_OPEN && !vni)
		return;
	bits = tunnel_waypoint_take(&gateway->end, bytes, message, vni,
				    waypoint_now_ns() / NS_PER_MS, out);
	w->counters.control_bad += !bits;
	if (bits & (TUNNEL_LIVE | TUNNEL_USE))
		gateway->silent = false;
	if (bits & TUNNEL_TAKE && !open_under(w, message->gateway))
		bits = 0;
	if (bits & TUNNEL_USE)
		seal_under(w, message->gateway, from);
	else if (bits & TUNNEL_LIVE)
		end_moved(w, message->gateway, from);
	if (bits & TUNNEL_GONE)
		tunnel_peers_down(w->peers, message->gateway);
	if (bits & TUNNEL_SEND)
		tunnel_peers_send(w->peers, from, out);
	tell(w, message->gateway);
}

static void take_control(const struct tunnel_place *from, const uint8_t *bytes, size_t len,
			 void *arg)
{
	uint8_t cookie[TUNNEL_NONCE_BYTES];
	struct tunnel_message message;
	struct waypoint *w = arg;

	if (tunnel_read(bytes, len, &message) || !w->gateway[message.gateway].known) {
		w->counters.control_bad++;
		return;
	}
	if (message.type == TUNNEL_HELLO) {
		take_hello(w, from, &message);
		return;
	}
	if (message.type == TUNNEL_OPEN &&
	    (!cookie_of(w, from, &message, cookie) ||
	     CRYPTO_memcmp(cookie, message.nonce_waypoint, TUNNEL_NONCE_BYTES))) {
		w->counters.control_bad++;
		return;
	}
	take_verified(w, from, bytes, &message);
}

/* W10, W18: a verified packet, the newest, tells where the gateway is now. */
void end_moved(struct waypoint *w, uint32_t id, const struct tunnel_place *place)
{
	struct gateway *gateway = &w->gateway[id];
	char text[ADDRESS_TEXT_LEN];

	if (!tunnel_peers_is_up(w->peers, id) ||
	    (address_equal(&gateway->place.address, &place->address) &&
	     gateway->place.port == place->port))
		return;
	address_port_text(&place->address, place->port, text);
	log_info("%s is at %s now", gateway->name, text);
	w->counters.moved++;
	gateway->place = *place;
	tunnel_peers_move(w->peers, id, place);
}

/* ---- gateways come and go */

/*
 * With the secret of a new login a new handshake comes; what an earlier one, or an agent before,
 * has agreed on stays in use until then.
 */
void end_add(struct waypoint *w, uint32_t id, const char *name,
	     const uint8_t secret[TUNNEL_SECRET_BYTES])
{
	struct gateway *gateway = &w->gateway[id];

	if (gateway->known && !CRYPTO_memcmp(gateway->end.secret, secret, TUNNEL_SECRET_BYTES))
		return;
	gateway->known = true;
	snprintf(gateway->name, sizeof(gateway->name), "%s", name);
	gateway->end.opening = false;
	gateway->end.cpus = tunnel_peers_cpus(w->peers);
	gateway->end.flags = w->settings.straight ? TUNNEL_STRAIGHT : 0;
	memcpy(gateway->end.secret, secret, TUNNEL_SECRET_BYTES);
	tell(w, id);
}

void end_remove(struct waypoint *w, uint32_t id)
{
	if (!w->gateway[id].known)
		return;
	log_info("%s is no gateway any more", w->gateway[id].name);
	tunnel_peers_down(w->peers, id);
	tunnel_peers_retire(w->peers, id, 0, 0, true);
	OPENSSL_cleanse(&w->gateway[id], sizeof(w->gateway[id]));
}

void end_tick(struct waypoint *w)
{
	uint64_t now_ms = waypoint_now_ns() / NS_PER_MS;

	tunnel_peers_tick(w->peers);
	for (uint32_t id = 1; id < GATEWAYS; id++) {
		struct gateway *gateway = &w->gateway[id];

		if (!gateway->known)
			continue;
		if (tunnel_waypoint_silent(&gateway->end, now_ms)) {
			log_warn("%s is silent: nothing new is bound to it", gateway->name);
			gateway->end.up = false;
			gateway->silent = true;
		}
		tell(w, id);
	}
}

int end_start(struct waypoint *w, char *error)
{
	struct tunnel_peers_options options = {
		.instance = w->settings.instance,
		.stem = "waypoint",
		.abi = WAYPOINT_ABI,
		.conf_bytes = sizeof(struct waypoint_conf),
		.from_count = w->settings.tunnel.count,
		.control = take_control,
		.arg = w,
	};

	memcpy(options.from, w->settings.tunnel_address, sizeof(options.from));
	if (auth_random(w->cookie_secret, sizeof(w->cookie_secret)))
		return -EIO;
	return tunnel_peers_new(w->base, &options, &w->peers, error, ERROR_LEN);
}
