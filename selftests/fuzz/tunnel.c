// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/tunnel.c agents/lib/tunnel_ends.c */
/*
 * Control packets of a tunnel: as they are, then a script of what both ends of one get. Its packets
 * are genuine ones, perhaps changed, or any at all, signed under a key that is in use, so that they
 * come further than to the MAC. What the machines want of their owners must hang together.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/hmac.h>

#include "agents/lib/auth.h"
#include "agents/lib/tunnel.h"

#define NUMBER_AT 60
#define MAC_AT	  64
#define MAC_BYTES 16
#define ID	  9
#define STEPS_MAX 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct script {
	const uint8_t *at, *end;
};

struct ends {
	struct tunnel_gateway gateway;
	struct tunnel_waypoint waypoint;
	uint8_t from_gateway[TUNNEL_CONTROL_BYTES], from_waypoint[TUNNEL_CONTROL_BYTES];
	uint64_t now_ms;
	uint32_t vni;
};

static uint32_t drawn;

/* The same input, the same numbers. */
int auth_random(void *bytes, size_t len)
{
	uint8_t *to = bytes;

	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)((drawn = drawn * 1664525 + 1013904223) >> 24);
	return 0;
}

static void need(bool is)
{
	if (!is)
		abort();
}

static unsigned int byte(struct script *script)
{
	return script->at < script->end ? *script->at++ : 0;
}

/* ---- what machines want */

static void check_sent(int bits, const uint8_t *out, int from, int to)
{
	struct tunnel_message message;

	if (!(bits & TUNNEL_SEND))
		return;
	need(!tunnel_read(out, TUNNEL_CONTROL_BYTES, &message));
	need(message.type == from || message.type == to || message.type == TUNNEL_OPEN);
}

static void check_session(const struct tunnel_session *session)
{
	need(session->vni_waypoint && session->vni_waypoint <= TUNNEL_VNI_MAX);
	need(session->vni_gateway && session->vni_gateway <= TUNNEL_VNI_MAX);
	need(session->cpus_waypoint && session->cpus_waypoint <= TUNNEL_CPUS);
	need(session->cpus_gateway && session->cpus_gateway <= TUNNEL_CPUS);
}

static void gateway_did(struct ends *ends, int bits, const uint8_t *out)
{
	need(!(bits & TUNNEL_TAKE) == !(bits & TUNNEL_USE));
	need(!(bits & TUNNEL_GONE) || !ends->gateway.up);
	if (bits & TUNNEL_USE) {
		need(ends->gateway.up && ends->gateway.phase == TUNNEL_IDLE);
		check_session(&ends->gateway.session);
	}
	check_sent(bits, out, TUNNEL_HELLO, TUNNEL_ALIVE);
	if (bits & TUNNEL_SEND)
		memcpy(ends->from_gateway, out, TUNNEL_CONTROL_BYTES);
}

static void waypoint_did(struct ends *ends, int bits, const uint8_t *out, uint32_t vni)
{
	if (bits & TUNNEL_TAKE) {
		need(ends->waypoint.opening && ends->waypoint.next.vni_waypoint == vni);
		check_session(&ends->waypoint.next);
	}
	need(!(bits & TUNNEL_USE) || bits & TUNNEL_LIVE);
	if (bits & TUNNEL_USE) {
		need(ends->waypoint.up);
		check_session(&ends->waypoint.session);
	}
	need(!(bits & TUNNEL_GONE) || (!ends->waypoint.up && bits == TUNNEL_GONE));
	check_sent(bits, out, TUNNEL_OPENED_OK, TUNNEL_ALIVE_OK);
	if (bits & TUNNEL_SEND)
		memcpy(ends->from_waypoint, out, TUNNEL_CONTROL_BYTES);
}

/* ---- what they get */

static void to_gateway(struct ends *ends, const uint8_t *bytes, size_t len)
{
	uint8_t out[TUNNEL_CONTROL_BYTES];

	gateway_did(ends, tunnel_gateway_take(&ends->gateway, bytes, len, ends->now_ms, out), out);
}

static void to_waypoint(struct ends *ends, const uint8_t *bytes, size_t len)
{
	uint8_t out[TUNNEL_CONTROL_BYTES];
	struct tunnel_message message;
	uint32_t vni = ++ends->vni & TUNNEL_VNI_MAX;

	if (tunnel_read(bytes, len, &message))
		return;
	if (message.type == TUNNEL_HELLO) {
		need(!tunnel_answer_hello(&message, bytes + 40, out));
		check_sent(TUNNEL_SEND, out, TUNNEL_COOKIE, TUNNEL_COOKIE);
		memcpy(ends->from_waypoint, out, sizeof(out));
		return;
	}
	waypoint_did(ends,
		     tunnel_waypoint_take(&ends->waypoint, bytes, &message, vni, ends->now_ms, out),
		     out, vni);
}

static void sign(const struct ends *ends, unsigned int by, uint8_t *bytes)
{
	const uint8_t *keys[] = { ends->gateway.secret, ends->gateway.session.control,
				  ends->waypoint.next.control, ends->waypoint.session.control };
	uint8_t mac[32];

	if (!HMAC(EVP_sha256(), keys[by % 4], TUNNEL_SECRET_BYTES, bytes, MAC_AT, mac, NULL))
		abort();
	memcpy(bytes + MAC_AT, mac, MAC_BYTES);
}

/* The last one of an end, a few bytes of it changed, or only its head kept. */
static void changed(struct ends *ends, struct script *script)
{
	unsigned int how = byte(script), changes = byte(script) % 8;
	uint8_t bytes[TUNNEL_CONTROL_BYTES];

	memcpy(bytes, how & 1 ? ends->from_gateway : ends->from_waypoint, sizeof(bytes));
	if (how & 2)
		bytes[12] = (uint8_t)(1 + byte(script) % TUNNEL_CLOSE);
	if (how & 64)
		bytes[NUMBER_AT] |= 1; /* newer than all */
	for (; changes; changes--) {
		unsigned int at = byte(script) % MAC_AT;

		bytes[at] = (uint8_t)byte(script);
	}
	if (how & 4)
		sign(ends, how >> 4, bytes);
	if (how & 8)
		to_waypoint(ends, bytes, sizeof(bytes));
	else
		to_gateway(ends, bytes, sizeof(bytes));
}

static void secret(struct ends *ends, unsigned int which)
{
	uint8_t fresh[TUNNEL_SECRET_BYTES];

	memset(fresh, (int)(which >> 2), sizeof(fresh));
	if (which & 1)
		tunnel_gateway_begin(&ends->gateway, fresh, ++ends->vni & TUNNEL_VNI_MAX,
				     ends->now_ms);
	if (which & 2) {
		ends->waypoint.opening = false;
		memcpy(ends->waypoint.secret, fresh, sizeof(fresh));
	}
}

static void pass(struct ends *ends, unsigned int seconds)
{
	uint8_t out[TUNNEL_CONTROL_BYTES];
	uint32_t vni = ++ends->vni & TUNNEL_VNI_MAX;

	ends->now_ms += 100 + seconds * seconds * 100;
	gateway_did(ends, tunnel_gateway_tick(&ends->gateway, vni, ends->now_ms, out), out);
	if (tunnel_waypoint_silent(&ends->waypoint, ends->now_ms))
		ends->waypoint.up = false;
}

/* As many genuine packets as a handshake has, and the last ALIVE. */
static void talk(struct ends *ends, int times)
{
	for (; times; times--) {
		to_waypoint(ends, ends->from_gateway, TUNNEL_CONTROL_BYTES);
		to_gateway(ends, ends->from_waypoint, TUNNEL_CONTROL_BYTES);
	}
}

static void step(struct ends *ends, struct script *script)
{
	switch (byte(script) % 8) {
	case 0:
	case 1:
		pass(ends, byte(script));
		break;
	case 2:
		to_waypoint(ends, ends->from_gateway, TUNNEL_CONTROL_BYTES);
		break;
	case 3:
		to_gateway(ends, ends->from_waypoint, TUNNEL_CONTROL_BYTES);
		break;
	case 4:
		talk(ends, 1);
		break;
	case 5:
		talk(ends, 3);
		break;
	case 6:
		changed(ends, script);
		break;
	default:
		secret(ends, byte(script));
	}
}

static void as_it_is(const uint8_t *data, size_t size)
{
	struct tunnel_message message;
	uint8_t again[TUNNEL_CONTROL_BYTES];

	if (tunnel_read(data, size, &message))
		return;
	need(size == TUNNEL_CONTROL_BYTES && !tunnel_write(&message, NULL, again));
	need(!memcmp(again, data, MAC_AT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script script = { data, data + size };
	struct ends ends = { 0 };

	as_it_is(data, size);
	drawn = 1;
	ends.gateway.id = ID;
	ends.gateway.cpus = ends.waypoint.cpus = 4;
	ends.gateway.flags = TUNNEL_STRAIGHT | TUNNEL_MAC_HEADERS;
	ends.waypoint.flags = TUNNEL_STRAIGHT;
	to_gateway(&ends, data, size);
	to_waypoint(&ends, data, size);
	for (unsigned int i = 0, before = byte(&script) % 4; i <= before; i++) {
		secret(&ends, 3 | byte(&script) << 2); /* or the same again */
		pass(&ends, 0);
		if (i < before)
			talk(&ends, 4);
	}
	for (int i = 0; i < STEPS_MAX && script.at < script.end; i++)
		step(&ends, &script);
	return 0;
}
