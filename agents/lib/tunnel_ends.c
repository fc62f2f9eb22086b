// SPDX-License-Identifier: GPL-3.0-or-later
/* The two ends of a tunnel's handshake. */
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include "auth.h"
#include "tunnel.h"

#define RETRY_FIRST_MS 250
#define RETRY_MAX_MS   8000
#define ALIVE_TRIES    4 /* 1 s apart, before a new handshake */
#define ALIVE_AGAIN_MS 1000
#define OPEN_TRIES     6 /* then again from HELLO: the cookie may be of a waypoint before */

/* ---- gateway */

static int write_from(const struct tunnel_gateway *gateway, enum tunnel_type type,
		      const uint8_t *key, uint8_t out[TUNNEL_CONTROL_BYTES])
{
	struct tunnel_message message = {
		.type = type,
		.flags = gateway->flags,
		.cpus = gateway->cpus,
		.gateway = gateway->id,
		.vni = type == TUNNEL_ALIVE ? gateway->session.vni_gateway : gateway->vni,
	};

	if (type != TUNNEL_ALIVE)
		memcpy(message.nonce_gateway, gateway->nonce, TUNNEL_NONCE_BYTES);
	else
		message.number = gateway->number;
	if (type == TUNNEL_OPEN) {
		memcpy(message.nonce_waypoint, gateway->cookie, TUNNEL_NONCE_BYTES);
		message.number = gateway->opens;
	}
	return tunnel_write(&message, key, out) ? 0 : TUNNEL_SEND;
}

/* Again after a quarter of a second, then after twice as long each time. */
static uint64_t back_off(unsigned int tries)
{
	uint64_t ms = RETRY_FIRST_MS << (tries < 6 ? tries : 6);

	return ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
}

void tunnel_gateway_begin(struct tunnel_gateway *gateway, const uint8_t secret[TUNNEL_SECRET_BYTES],
			  uint32_t vni, uint64_t now_ms)
{
	if (secret != gateway->secret)
		memcpy(gateway->secret, secret, TUNNEL_SECRET_BYTES);
	gateway->phase = TUNNEL_ASKING;
	gateway->vni = vni;
	gateway->tries = 0;
	gateway->opens++;
	gateway->due_ms = now_ms;
	if (auth_random(gateway->nonce, sizeof(gateway->nonce))) /* without it nothing begins */
		gateway->phase = TUNNEL_IDLE;
}

static int tick_handshake(struct tunnel_gateway *gateway, uint64_t now_ms,
			  uint8_t out[TUNNEL_CONTROL_BYTES])
{
	if (gateway->phase == TUNNEL_OPENING && gateway->tries >= OPEN_TRIES) {
		gateway->phase = TUNNEL_ASKING;
		gateway->tries = 0;
	}
	gateway->due_ms = now_ms + back_off(gateway->tries++);
	if (gateway->phase == TUNNEL_ASKING)
		return write_from(gateway, TUNNEL_HELLO, NULL, out);
	return write_from(gateway, TUNNEL_OPEN, gateway->secret, out);
}

static int send_alive(struct tunnel_gateway *gateway, uint8_t out[TUNNEL_CONTROL_BYTES])
{
	gateway->number++;
	return write_from(gateway, TUNNEL_ALIVE, gateway->session.control, out);
}

int tunnel_gateway_tick(struct tunnel_gateway *gateway, uint32_t vni, uint64_t now_ms,
			uint8_t out[TUNNEL_CONTROL_BYTES])
{
	int gone = 0;

	if (now_ms < gateway->due_ms)
		return 0;
	/* What has been silent for long is no tunnel, whatever becomes of the handshake. */
	if (gateway->up && now_ms - gateway->heard_ms >= TUNNEL_SILENCE_MS) {
		gateway->up = false;
		gone = TUNNEL_GONE;
	}
	if (gateway->phase == TUNNEL_IDLE && (gateway->up || gone)) {
		if (!gone && now_ms - gateway->began_ms < TUNNEL_RENEW_MS &&
		    gateway->tries < ALIVE_TRIES) {
			gateway->due_ms = now_ms + ALIVE_AGAIN_MS;
			gateway->tries++;
			return send_alive(gateway, out);
		}
		tunnel_gateway_begin(gateway, gateway->secret, vni, now_ms);
	}
	if (gateway->phase == TUNNEL_IDLE)
		return gone;
	return tick_handshake(gateway, now_ms, out) | gone;
}

/*
 * One has no MAC, so the first may be of somebody who has read HELLO: each other one is tried, too.
 * They bring an OPEN each, which is no longer.
 */
static int take_cookie(struct tunnel_gateway *gateway, const struct tunnel_message *message,
		       uint64_t now_ms, uint8_t out[TUNNEL_CONTROL_BYTES])
{
	if (gateway->phase == TUNNEL_IDLE ||
	    memcmp(message->nonce_gateway, gateway->nonce, TUNNEL_NONCE_BYTES) ||
	    (gateway->phase == TUNNEL_OPENING &&
	     !memcmp(message->nonce_waypoint, gateway->cookie, TUNNEL_NONCE_BYTES)))
		return 0;
	memcpy(gateway->cookie, message->nonce_waypoint, TUNNEL_NONCE_BYTES);
	gateway->phase = TUNNEL_OPENING;
	gateway->tries = 0;
	gateway->due_ms = now_ms;
	return tick_handshake(gateway, now_ms, out);
}

static int take_opened(struct tunnel_gateway *gateway, const uint8_t *bytes,
		       const struct tunnel_message *message, uint64_t now_ms,
		       uint8_t out[TUNNEL_CONTROL_BYTES])
{
	struct tunnel_session session = {
		.vni_waypoint = message->vni,
		.vni_gateway = gateway->vni,
		.cpus_waypoint = message->cpus,
		.cpus_gateway = gateway->cpus,
		.flags = message->flags & gateway->flags,
	};

	if (gateway->phase != TUNNEL_OPENING ||
	    memcmp(message->nonce_gateway, gateway->nonce, TUNNEL_NONCE_BYTES) ||
	    !tunnel_is_from(bytes, gateway->secret) ||
	    tunnel_derive(gateway->secret, gateway->nonce, message->nonce_waypoint, &session))
		return 0;
	gateway->session = session;
	gateway->phase = TUNNEL_IDLE;
	gateway->up = true;
	gateway->number = gateway->answered = 0;
	gateway->tries = 1;
	gateway->began_ms = gateway->heard_ms = now_ms;
	gateway->due_ms = now_ms + ALIVE_AGAIN_MS;
	return send_alive(gateway, out) | TUNNEL_TAKE | TUNNEL_USE;
}

/* Renewed at latest an hour after the handshake before. */
static uint64_t next_alive(const struct tunnel_gateway *gateway, uint64_t now_ms)
{
	uint64_t renew_ms = gateway->began_ms + TUNNEL_RENEW_MS;

	return now_ms + TUNNEL_ALIVE_MS < renew_ms ? now_ms + TUNNEL_ALIVE_MS : renew_ms;
}

/* Where the way is long, the next ALIVE may have left before the answer to this one came. */
static int take_alive_ok(struct tunnel_gateway *gateway, const uint8_t *bytes,
			 const struct tunnel_message *message, uint64_t now_ms)
{
	if (!gateway->up || message->number <= gateway->answered ||
	    message->number > gateway->number || !tunnel_is_from(bytes, gateway->session.control))
		return 0;
	gateway->answered = message->number;
	gateway->heard_ms = now_ms;
	if (gateway->phase == TUNNEL_IDLE) {
		gateway->tries = 0;
		gateway->due_ms = next_alive(gateway, now_ms);
	}
	return TUNNEL_LIVE;
}

int tunnel_gateway_take(struct tunnel_gateway *gateway, const uint8_t *bytes, size_t len,
			uint64_t now_ms, uint8_t out[TUNNEL_CONTROL_BYTES])
{
	struct tunnel_message message;

	if (tunnel_read(bytes, len, &message) || message.gateway != gateway->id)
		return 0;
	switch (message.type) {
	case TUNNEL_COOKIE:
		return take_cookie(gateway, &message, now_ms, out);
	case TUNNEL_OPENED_OK:
		return take_opened(gateway, bytes, &message, now_ms, out);
	case TUNNEL_ALIVE_OK:
		return take_alive_ok(gateway, bytes, &message, now_ms);
	default:
		return 0;
	}
}

/* ---- waypoint */

int tunnel_answer_hello(const struct tunnel_message *hello,
			const uint8_t cookie[TUNNEL_NONCE_BYTES], uint8_t out[TUNNEL_CONTROL_BYTES])
{
	struct tunnel_message message = *hello;

	message.type = TUNNEL_COOKIE;
	memcpy(message.nonce_waypoint, cookie, TUNNEL_NONCE_BYTES);
	return tunnel_write(&message, NULL, out);
}

/* OPENs are numbered under each secret, so one of a handshake before this cannot end this one. */
static bool is_new(struct tunnel_waypoint *waypoint, const struct tunnel_message *open)
{
	if (CRYPTO_memcmp(waypoint->opened_secret, waypoint->secret, TUNNEL_SECRET_BYTES)) {
		memcpy(waypoint->opened_secret, waypoint->secret, TUNNEL_SECRET_BYTES);
		waypoint->opened = 0;
	}
	return open->number > waypoint->opened;
}

static int opened(const struct tunnel_waypoint *waypoint, uint32_t id,
		  uint8_t out[TUNNEL_CONTROL_BYTES])
{
	struct tunnel_message message = {
		.type = TUNNEL_OPENED_OK,
		.flags = waypoint->next.flags,
		.cpus = waypoint->cpus,
		.gateway = id,
		.vni = waypoint->next.vni_waypoint,
	};

	memcpy(message.nonce_gateway, waypoint->nonce_gateway, TUNNEL_NONCE_BYTES);
	memcpy(message.nonce_waypoint, waypoint->nonce_waypoint, TUNNEL_NONCE_BYTES);
	return tunnel_write(&message, waypoint->secret, out) ? 0 : TUNNEL_SEND;
}

/* One that was lost on its way back comes again, and is answered with what was agreed on. */
static int take_open(struct tunnel_waypoint *waypoint, const uint8_t *bytes,
		     const struct tunnel_message *message, uint32_t vni,
		     uint8_t out[TUNNEL_CONTROL_BYTES])
{
	struct tunnel_session session = {
		.vni_waypoint = vni,
		.vni_gateway = message->vni,
		.cpus_waypoint = waypoint->cpus,
		.cpus_gateway = message->cpus,
		.flags = message->flags & waypoint->flags,
	};
	uint8_t nonce[TUNNEL_NONCE_BYTES];

	if (!tunnel_is_from(bytes, waypoint->secret))
		return 0;
	if (waypoint->opening &&
	    !memcmp(waypoint->nonce_gateway, message->nonce_gateway, TUNNEL_NONCE_BYTES))
		return opened(waypoint, message->gateway, out);
	if (!is_new(waypoint, message) || auth_random(nonce, sizeof(nonce)) ||
	    tunnel_derive(waypoint->secret, message->nonce_gateway, nonce, &session))
		return 0;
	memcpy(waypoint->nonce_gateway, message->nonce_gateway, TUNNEL_NONCE_BYTES);
	memcpy(waypoint->nonce_waypoint, nonce, TUNNEL_NONCE_BYTES);
	waypoint->opened = message->number;
	waypoint->next = session;
	waypoint->opening = true;
	return opened(waypoint, message->gateway, out) | TUNNEL_TAKE;
}

/* The gateway has the keys of the handshake, so they may be used. */
static void finish(struct tunnel_waypoint *waypoint)
{
	waypoint->session = waypoint->next;
	OPENSSL_cleanse(&waypoint->next, sizeof(waypoint->next));
	waypoint->opening = false;
	waypoint->number = 0;
	waypoint->up = true;
}

static int take_alive(struct tunnel_waypoint *waypoint, const uint8_t *bytes,
		      const struct tunnel_message *message, uint64_t now_ms,
		      uint8_t out[TUNNEL_CONTROL_BYTES])
{
	struct tunnel_message answer = *message;
	int bits = TUNNEL_LIVE;

	if (waypoint->opening && tunnel_is_from(bytes, waypoint->next.control)) {
		finish(waypoint);
		bits |= TUNNEL_USE;
	} else if (!waypoint->session.vni_waypoint ||
		   !tunnel_is_from(bytes, waypoint->session.control)) {
		return 0;
	}
	if (message->number <= waypoint->number) /* a copy: from wherever it came */
		return 0;
	if (!waypoint->up) {
		waypoint->up = true;
		bits |= TUNNEL_USE;
	}
	waypoint->number = message->number;
	waypoint->heard_ms = now_ms;
	answer.type = TUNNEL_ALIVE_OK;
	answer.cpus = waypoint->cpus;
	answer.vni = waypoint->session.vni_waypoint;
	if (tunnel_write(&answer, waypoint->session.control, out))
		return bits;
	return bits | TUNNEL_SEND;
}

static int take_close(struct tunnel_waypoint *waypoint, const uint8_t *bytes,
		      const struct tunnel_message *message)
{
	if (!waypoint->up || message->number <= waypoint->number ||
	    !tunnel_is_from(bytes, waypoint->session.control))
		return 0;
	waypoint->number = message->number;
	waypoint->up = false;
	return TUNNEL_GONE;
}

int tunnel_waypoint_take(struct tunnel_waypoint *waypoint, const uint8_t *bytes,
			 const struct tunnel_message *message, uint32_t vni, uint64_t now_ms,
			 uint8_t out[TUNNEL_CONTROL_BYTES])
{
	switch (message->type) {
	case TUNNEL_OPEN:
		return take_open(waypoint, bytes, message, vni, out);
	case TUNNEL_ALIVE:
		return take_alive(waypoint, bytes, message, now_ms, out);
	case TUNNEL_CLOSE:
		return take_close(waypoint, bytes, message);
	default:
		return 0;
	}
}

bool tunnel_waypoint_silent(const struct tunnel_waypoint *waypoint, uint64_t now_ms)
{
	return waypoint->up && now_ms - waypoint->heard_ms >= TUNNEL_SILENCE_MS;
}
