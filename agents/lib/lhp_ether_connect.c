// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The client's side of the handshake.
 *
 *	ASKING --- COOKIE ---> OPENING --- ANSWER ---> PROVING --- anything sealed ---> STANDS
 *	  HELLO                  OPEN                    PING
 *
 * HELLO and OPEN are repeated; an OPEN without answer is followed by HELLO, for its cookie may have
 * become too old.
 */
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "lhp_ether.h"

#define REPEAT_US     100000
#define REPEAT_MAX_US 1600000
#define OPENS	      4

static void send_handshake(struct ether *ether)
{
	uint8_t *frame = ether_port_frame(ether->port, ether->peer);

	if (!frame)
		return;
	memcpy(frame, ether->packet, ether->packet_len);
	ether_port_commit(ether->port, ether->packet_len);
	ether_port_flush(ether->port);
}

/* Sets what is repeated, and sends it once. */
static void begin(struct ether *ether, enum ether_state state, size_t len)
{
	ether->state = (uint8_t)state;
	ether->packet_len = len;
	ether->repeats = 0;
	ether->repeat_after = REPEAT_US;
	ether->repeat_at = ether->port->now + ether->repeat_after;
	send_handshake(ether);
}

static void ask(struct ether *ether)
{
	struct ether_hello hello = { .id = ether->id };

	memcpy(hello.nonce, ether->open.client.nonce, ETHER_NONCE);
	ether_write_hello(&hello, ether->packet);
	begin(ether, ETHER_ASKING, ETHER_HELLO_BYTES);
}

/* AES is slow without instructions for it. */
static uint8_t best_suite(void)
{
#if defined(__x86_64__)
	return __builtin_cpu_supports("aes") ? ETHER_AES_128_GCM : ETHER_CHACHA20_POLY1305;
#else
	return ETHER_AES_128_GCM;
#endif
}

int ether_connect_start(struct ether *ether, const struct lhp_identity *identity)
{
	struct ether_open *open = &ether->open;

	ether->identity = *identity;
	memcpy(open->name, identity->name, sizeof(open->name));
	open->suite = best_suite();
	open->client.id = ether->id;
	if (RAND_bytes(open->client.nonce, ETHER_NONCE) != 1 ||
	    ether_new_pair(ether->private, open->client.point))
		return -EIO;
	ether->begun = ether->port->now;
	ask(ether);
	return 0;
}

static void take_cookie(struct ether *ether, const uint8_t *bytes, size_t len)
{
	struct ether_hello hello = { .id = ether->id };

	memcpy(hello.nonce, ether->open.client.nonce, ETHER_NONCE);
	if (ether->state != ETHER_ASKING ||
	    ether_read_cookie(bytes, len, &hello, ether->open.cookie) ||
	    ether_write_open(&ether->open, ether->identity.key, ether->packet)) {
		ether->port->refused.handshakes++;
		return;
	}
	begin(ether, ETHER_OPENING, ETHER_OPEN_BYTES);
}

/* The keys of both directions, if the answer was made by one who knows the client's key. */
static int use_answer(struct ether *ether, const uint8_t *bytes, const struct ether_half *server)
{
	uint8_t common[ETHER_POINT];
	struct ether_secrets secrets;
	int err = ether_common(ether->private, server->point, common);

	if (err)
		return err;
	err = ether_make_secrets(ether->identity.key, common, ether->packet, bytes, &secrets);
	if (!err)
		err = ether_check_answer(&secrets, bytes);
	if (!err)
		err = ether_keys_set(&ether->out, ether->open.suite, true, secrets.client);
	if (!err)
		err = ether_keys_set(&ether->in, ether->open.suite, false, secrets.server);
	OPENSSL_cleanse(common, sizeof(common));
	OPENSSL_cleanse(&secrets, sizeof(secrets));
	return err;
}

static void take_answer(struct ether *ether, const uint8_t *bytes, size_t len)
{
	struct ether_half server;

	if (ether->state != ETHER_OPENING || ether_read_answer(bytes, len, &server) ||
	    use_answer(ether, bytes, &server)) {
		ether->port->refused.handshakes++;
		return;
	}
	OPENSSL_cleanse(ether->private, sizeof(ether->private));
	ether->peer_id = server.id;
	ether->state = ETHER_PROVING;
	ether->heard = ether->port->now;
	ether->repeat_at = ETHER_NEVER;
	ether->sender.ping = true;
	ether_later(ether);
}

void ether_connect_take(struct ether *ether, const uint8_t *bytes, size_t len, uint8_t type)
{
	if (ether->server)
		ether->port->refused.handshakes++;
	else if (type == ETHER_COOKIE)
		take_cookie(ether, bytes, len);
	else
		take_answer(ether, bytes, len);
}

void ether_repeat(struct ether *ether)
{
	if (ether->server) {
		ether->repeat_at = ETHER_NEVER; /* it answers, it does not ask */
		return;
	}
	if (ether->state == ETHER_OPENING && ++ether->repeats > OPENS) {
		ask(ether);
		return;
	}
	send_handshake(ether);
	if (ether->repeat_after < REPEAT_MAX_US)
		ether->repeat_after *= 2;
	ether->repeat_at = ether->port->now + ether->repeat_after;
}
