// SPDX-License-Identifier: GPL-3.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "agents/lib/auth.h"
#include "selftests/lib/tunnel_world.h"

#define PLACE 100 /* a gateway's first address */

static struct world *current; /* whose random numbers the machines use */

/* ---- random numbers: SplitMix64 */

static uint64_t next_random(struct world *w)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint32_t world_random(struct world *w, uint32_t below)
{
	return (uint32_t)((next_random(w) >> 32) * below >> 32);
}

int auth_random(void *bytes, size_t len)
{
	uint8_t *to = bytes;

	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)(next_random(current) >> 32);
	return 0;
}

/* ---- maps, as agents/lib/tunnel_peers.c uses them */

static struct world_key *find_key(struct world_maps *maps, uint32_t vni)
{
	for (int i = 0; i < WORLD_KEYS; i++)
		if (maps->key[i].vni == vni)
			return &maps->key[i];
	return NULL;
}

static uint32_t new_vni(struct world *w, struct world_maps *maps)
{
	uint32_t vni;

	do
		vni = 1 + world_random(w, TUNNEL_VNI_MAX);
	while (find_key(maps, vni));
	return vni;
}

static void take_key(struct world *w, struct world_maps *maps, uint32_t vni, const uint8_t *key)
{
	struct world_key *place = find_key(maps, 0);
	unsigned int count = 0;

	if (!place || find_key(maps, vni))
		fail_msg("seed %llu: VNI %u is taken, or there are too many",
			 (unsigned long long)w->seed, vni);
	place->vni = vni;
	place->until_ms = 0;
	memcpy(place->key, key, 16);
	for (int i = 0; i < WORLD_KEYS; i++)
		count += maps->key[i].vni != 0;
	if (count > w->counts.keys_most)
		w->counts.keys_most = count;
}

static void retire(struct world *w, struct world_maps *maps, uint32_t keep, uint32_t keep_too)
{
	uint64_t until_ms = w->now_ms + TUNNEL_OLD_MS;

	for (int i = 0; i < WORLD_KEYS; i++) {
		struct world_key *key = &maps->key[i];

		if (key->vni == keep || key->vni == keep_too ||
		    (key->until_ms && key->until_ms <= until_ms))
			continue;
		key->until_ms = until_ms;
	}
}

static void use_key(struct world_maps *maps, uint32_t vni, const uint8_t *key)
{
	maps->up = true;
	maps->vni = vni;
	memcpy(maps->seal, key, 16);
}

static void drop_expired(struct world *w, struct world_maps *maps)
{
	for (int i = 0; i < WORLD_KEYS; i++)
		if (maps->key[i].until_ms && maps->key[i].until_ms < w->now_ms)
			maps->key[i] = (struct world_key){ 0 };
}

static bool opens(struct world *w, struct world_maps *maps, const struct world_maps *of)
{
	const struct world_key *key = find_key(maps, of->vni);

	return key && !memcmp(key->key, of->seal, 16) &&
	       (!key->until_ms || w->now_ms <= key->until_ms);
}

/* ---- what must be at all times */

bool world_settled(const struct world *w)
{
	return w->maps_gateway.up && w->maps_waypoint.up && w->gateway.up && w->waypoint.up &&
	       w->gateway.phase == TUNNEL_IDLE && w->maps_gateway.vni == w->vni_waypoint &&
	       w->maps_waypoint.vni == w->vni_gateway &&
	       !memcmp(&w->gateway.session, &w->waypoint.session, sizeof(w->gateway.session));
}

static bool in_step(const struct world *w)
{
	return w->maps_gateway.up && w->maps_waypoint.up &&
	       w->maps_gateway.vni == w->vni_waypoint && w->maps_waypoint.vni == w->vni_gateway;
}

static void check(struct world *w)
{
	bool to_waypoint = !w->maps_gateway.up || opens(w, &w->maps_waypoint, &w->maps_gateway);
	bool to_gateway = !w->maps_waypoint.up || opens(w, &w->maps_gateway, &w->maps_waypoint);
	uint64_t ms = w->now_ms - w->checked_ms;

	w->checked_ms = w->now_ms;
	if (to_waypoint && to_gateway)
		return;
	w->counts.black_ms += (unsigned int)ms;
	if (w->lost)
		return;
	if (!w->unsettled_ms || w->now_ms - w->unsettled_ms < TUNNEL_OLD_MS)
		fail_msg("seed %llu, at %llu ms: what the %s seals is not opened",
			 (unsigned long long)w->seed, (unsigned long long)w->now_ms,
			 to_waypoint ? "waypoint" : "gateway");
}

static void unsettle(struct world *w)
{
	if (!w->unsettled_ms)
		w->unsettled_ms = w->now_ms;
}

/* ---- the network */

static void put(struct world *w, enum world_end to, uint32_t place, const uint8_t *bytes,
		size_t len, uint64_t at_ms)
{
	struct world_packet *packet = &w->flight[w->flying];

	if (w->flying == WORLD_FLIGHT)
		return;
	w->flying++;
	*packet = (struct world_packet){ to, place, at_ms, len, { 0 } };
	memcpy(packet->bytes, bytes, len);
}

static void send(struct world *w, enum world_end to, uint32_t place, const uint8_t *bytes)
{
	struct world_packet *tapped = &w->tapped[w->tapped_count++ % WORLD_TAPPED];
	int times = world_random(w, 100) < w->twice ? 2 : 1;

	*tapped = (struct world_packet){ to, place, w->now_ms, TUNNEL_CONTROL_BYTES, { 0 } };
	memcpy(tapped->bytes, bytes, TUNNEL_CONTROL_BYTES);
	for (; times; times--) {
		uint32_t delay = w->delay_min + world_random(w, w->delay_max - w->delay_min + 1);

		if (world_random(w, 100) >= w->loss && !(w->cut & to))
			put(w, to, place, bytes, TUNNEL_CONTROL_BYTES, w->now_ms + delay);
	}
}

/* ---- agents/gateway/end.c */

static void gateway_act(struct world *w, int bits, const uint8_t *out)
{
	const struct tunnel_session *session = &w->gateway.session;

	if (bits & TUNNEL_USE) {
		assert_true(bits & TUNNEL_TAKE);
		take_key(w, &w->maps_gateway, session->vni_gateway, session->to_gateway);
		use_key(&w->maps_gateway, session->vni_waypoint, session->to_waypoint);
		retire(w, &w->maps_gateway, session->vni_gateway, 0);
		w->vni_waypoint = session->vni_waypoint;
		w->vni_gateway = session->vni_gateway;
		w->counts.used++;
		unsettle(w);
	}
	if (bits & TUNNEL_GONE) {
		w->counts.gone_gateway++;
		w->maps_gateway.up = false;
	}
	if (bits & TUNNEL_SEND)
		send(w, WORLD_WAYPOINT, w->gateway_place, out);
}

static void gateway_take(struct world *w, const struct world_packet *packet)
{
	uint8_t out[TUNNEL_CONTROL_BYTES];

	gateway_act(w, tunnel_gateway_take(&w->gateway, packet->bytes, packet->len, w->now_ms, out),
		    out);
}

static void gateway_tick(struct world *w)
{
	uint8_t out[TUNNEL_CONTROL_BYTES];
	uint32_t vni;

	if (!w->gateway.id || w->gateway.due_ms > w->now_ms)
		return;
	vni = new_vni(w, &w->maps_gateway);
	gateway_act(w, tunnel_gateway_tick(&w->gateway, vni, w->now_ms, out), out);
}

/* ---- agents/waypoint/end.c */

static void waypoint_act(struct world *w, int bits, uint32_t place, const uint8_t *out)
{
	const struct tunnel_session *session = &w->waypoint.session, *next = &w->waypoint.next;

	if (bits & TUNNEL_TAKE) {
		take_key(w, &w->maps_waypoint, next->vni_waypoint, next->to_waypoint);
		retire(w, &w->maps_waypoint, session->vni_waypoint, next->vni_waypoint);
		w->counts.taken++;
		unsettle(w);
	}
	if (bits & TUNNEL_USE) {
		use_key(&w->maps_waypoint, session->vni_gateway, session->to_gateway);
		retire(w, &w->maps_waypoint, session->vni_waypoint, 0);
		w->known_place = place;
		w->counts.handshakes++;
		if (in_step(w)) {
			w->unsettled_ms = 0;
			w->lost = false;
		}
	} else if (bits & TUNNEL_LIVE && w->maps_waypoint.up && w->known_place != place) {
		w->known_place = place;
		w->counts.moved++;
	}
	if (bits & TUNNEL_GONE)
		w->maps_waypoint.up = false;
	if (bits & TUNNEL_SEND)
		send(w, WORLD_GATEWAY, place, out);
}

static void waypoint_take(struct world *w, const struct world_packet *packet)
{
	uint8_t cookie[TUNNEL_NONCE_BYTES], out[TUNNEL_CONTROL_BYTES];
	uint32_t place = packet->gateway_place;
	struct tunnel_message message;

	if (tunnel_read(packet->bytes, packet->len, &message) || message.gateway != WORLD_ID ||
	    !w->waypoint_known)
		return;
	if (message.type == TUNNEL_HELLO || message.type == TUNNEL_OPEN)
		assert_int_equal(tunnel_cookie(w->cookie_secret, &place, 4, &message, cookie), 0);
	if (message.type == TUNNEL_HELLO) {
		assert_int_equal(tunnel_answer_hello(&message, cookie, out), 0);
		send(w, WORLD_GATEWAY, place, out);
		return;
	}
	if (message.type == TUNNEL_OPEN && memcmp(cookie, message.nonce_waypoint, 16)) {
		w->counts.bad_cookie++;
		return;
	}
	waypoint_act(w,
		     tunnel_waypoint_take(&w->waypoint, packet->bytes, &message,
					  new_vni(w, &w->maps_waypoint), w->now_ms, out),
		     place, out);
}

static void waypoint_tick(struct world *w)
{
	if (!tunnel_waypoint_silent(&w->waypoint, w->now_ms))
		return;
	w->waypoint.up = false;
	w->maps_waypoint.up = false;
	w->counts.gone_waypoint++;
}

/* ---- time */

static void deliver(struct world *w, const struct world_packet *packet)
{
	if (packet->to == WORLD_WAYPOINT)
		waypoint_take(w, packet);
	else if (packet->gateway_place == w->gateway_place && w->gateway.id)
		gateway_take(w, packet);
	check(w);
}

/* Returns whether a packet was there, the earliest first. */
static bool deliver_one(struct world *w)
{
	struct world_packet packet;
	unsigned int first = 0;

	for (unsigned int i = 1; i < w->flying; i++)
		if (w->flight[i].at_ms < w->flight[first].at_ms)
			first = i;
	if (!w->flying || w->flight[first].at_ms > w->now_ms ||
	    (w->gateway_stopped && w->flight[first].to == WORLD_GATEWAY))
		return false;
	packet = w->flight[first];
	w->flight[first] = w->flight[--w->flying];
	deliver(w, &packet);
	return true;
}

static void step(struct world *w)
{
	current = w;
	w->now_ms += WORLD_TICK_MS / 10;
	for (int i = 0; i < 2 * WORLD_FLIGHT && deliver_one(w); i++)
		;
	if (w->now_ms % WORLD_TICK_MS < WORLD_TICK_MS / 10 && !w->gateway_stopped)
		gateway_tick(w);
	if (w->now_ms % 1000 < WORLD_TICK_MS / 10) {
		waypoint_tick(w);
		drop_expired(w, &w->maps_gateway);
		drop_expired(w, &w->maps_waypoint);
	}
	check(w);
}

/* Where nothing is on its way, time goes on to the next tick at once. */
void world_run(struct world *w, uint64_t ms)
{
	uint64_t end = w->now_ms + ms;

	while (w->now_ms < end) {
		if (!w->flying)
			w->now_ms += WORLD_TICK_MS - WORLD_TICK_MS / 10 - w->now_ms % WORLD_TICK_MS;
		step(w);
	}
}

uint64_t world_settle(struct world *w, uint64_t ms)
{
	uint64_t begin = w->now_ms;

	while (w->now_ms - begin < ms && !world_settled(w))
		step(w);
	return w->now_ms - begin;
}

/* ---- what happens to them */

void world_start(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	current = w;
	w->seed = w->random = seed;
	w->now_ms = 5000 * world_random(w, 1000000);
	w->checked_ms = w->now_ms;
	w->delay_min = 10;
	w->delay_max = 30;
	w->gateway_place = PLACE;
	auth_random(w->cookie_secret, sizeof(w->cookie_secret));
}

static void gateway_secret(struct world *w, const uint8_t *secret)
{
	w->gateway.id = WORLD_ID;
	w->gateway.cpus = 2;
	w->gateway.flags = TUNNEL_STRAIGHT;
	tunnel_gateway_begin(&w->gateway, secret, new_vni(w, &w->maps_gateway), w->now_ms);
}

static void waypoint_secret(struct world *w, const uint8_t *secret)
{
	if (w->waypoint_known && !memcmp(w->waypoint.secret, secret, TUNNEL_SECRET_BYTES))
		return;
	w->waypoint_known = true;
	w->waypoint.opening = false;
	w->waypoint.cpus = 3;
	w->waypoint.flags = TUNNEL_STRAIGHT | TUNNEL_MAC_HEADERS;
	memcpy(w->waypoint.secret, secret, TUNNEL_SECRET_BYTES);
}

void world_secret(struct world *w, int ends, uint32_t number)
{
	uint8_t secret[TUNNEL_SECRET_BYTES];

	current = w;
	for (int i = 0; i < TUNNEL_SECRET_BYTES; i++)
		secret[i] = (uint8_t)(number >> i % 4 * 8) ^ (uint8_t)i;
	if (ends & WORLD_GATEWAY)
		gateway_secret(w, secret);
	if (ends & WORLD_WAYPOINT)
		waypoint_secret(w, secret);
}

void world_restart(struct world *w, int ends, bool maps)
{
	current = w;
	if (ends & WORLD_GATEWAY) {
		memset(&w->gateway, 0, sizeof(w->gateway));
		if (maps)
			memset(&w->maps_gateway, 0, sizeof(w->maps_gateway));
	}
	if (ends & WORLD_WAYPOINT) {
		memset(&w->waypoint, 0, sizeof(w->waypoint));
		w->waypoint_known = false;
		auth_random(w->cookie_secret, sizeof(w->cookie_secret));
		if (maps)
			memset(&w->maps_waypoint, 0, sizeof(w->maps_waypoint));
	}
	w->lost |= maps;
}

void world_inject(struct world *w, enum world_end to, uint32_t place, const uint8_t *bytes,
		  size_t len)
{
	struct world_packet packet = { to, place, w->now_ms, len, { 0 } };

	current = w;
	assert_true(len <= sizeof(packet.bytes));
	memcpy(packet.bytes, bytes, len);
	deliver(w, &packet);
}
