// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The server's side of the handshake. A HELLO costs it one hash and is forgotten; an OPEN is looked
 * at when its cookie shows that the sender receives at its address, and costs more (X25519, memory)
 * only when its MAC shows the key of the client that it names. Whoever has neither is not answered,
 * and cannot tell which of them was wrong.
 */
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "lhp_ether.h"

#define SECRET_US 15000000 /* a cookie is good for one to two of them */

static int new_secret(struct ether_listener *listener)
{
	memcpy(listener->secret[1], listener->secret[0], ETHER_HASH);
	if (RAND_bytes(listener->secret[0], ETHER_HASH) != 1)
		return -EIO;
	listener->secret_at = listener->port->now;
	return 0;
}

int ether_listener_init(struct ether_listener *listener, struct ether_port *port)
{
	listener->port = port;
	port->listener = listener;
	return new_secret(listener) || new_secret(listener) ? -EIO : 0;
}

static void refuse(struct ether_port *port)
{
	port->refused.handshakes++;
	if (port->listener)
		port->listener->lhp.refused++;
}

void ether_accept_hello(struct ether_port *port, const uint8_t *from, const uint8_t *bytes,
			size_t len)
{
	struct ether_listener *listener = port->listener;
	uint8_t cookie[ETHER_HASH], *frame;
	struct ether_hello hello;

	if (!listener || ether_read_hello(bytes, len, &hello)) {
		refuse(port);
		return;
	}
	if (port->now - listener->secret_at > SECRET_US)
		new_secret(listener);
	if (ether_make_cookie(listener->secret[0], from, &hello, cookie))
		return;
	frame = ether_port_frame(port, from);
	if (!frame)
		return;
	ether_write_cookie(&hello, cookie, frame);
	ether_port_commit(port, ETHER_COOKIE_BYTES);
}

static bool cookie_good(struct ether_listener *listener, const uint8_t *from,
			const struct ether_open *open)
{
	struct ether_hello hello = { .id = open->client.id };
	uint8_t cookie[ETHER_HASH];

	memcpy(hello.nonce, open->client.nonce, ETHER_NONCE);
	if (listener->port->now - listener->secret_at > SECRET_US)
		new_secret(listener);
	for (int i = 0; i < 2; i++)
		if (!ether_make_cookie(listener->secret[i], from, &hello, cookie) &&
		    !CRYPTO_memcmp(cookie, open->cookie, ETHER_HASH))
			return true;
	return false;
}

/* The key of who is named. For nobody a random one, so that both take the same time. */
static bool find_key(struct ether_listener *listener, const struct ether_open *open,
		     struct lhp_identity *identity)
{
	bool found;

	memset(identity, 0, sizeof(*identity));
	memcpy(identity->name, open->name, sizeof(identity->name));
	found = listener->lhp.find(identity, listener->lhp.arg);
	if (!found && RAND_bytes(identity->key, LHP_KEY_BYTES) != 1)
		return false;
	return found;
}

/* One that this OPEN, or the one that it repeats, has made. */
static struct ether *same(struct ether_port *port, const struct ether_open *open)
{
	for (struct ether *ether = port->all; ether; ether = ether->next_all)
		if (ether->server && ether->peer_id == open->client.id &&
		    !memcmp(ether->open.client.nonce, open->client.nonce, ETHER_NONCE))
			return ether;
	return NULL;
}

static void send_answer(struct ether *ether)
{
	uint8_t *frame = ether_port_frame(ether->port, ether->peer);

	if (!frame)
		return;
	memcpy(frame, ether->packet, ETHER_ANSWER_BYTES);
	ether_port_commit(ether->port, ETHER_ANSWER_BYTES);
}

/* Of too many unproved ones the oldest goes: they are repetitions of what was seen, or will not
 * come back. */
static void make_room(struct ether_listener *listener)
{
	struct ether *oldest = NULL;

	if (listener->opening < LHP_HANDSHAKES)
		return;
	for (struct ether *ether = listener->port->all; ether; ether = ether->next_all)
		if (ether->server && ether->state == ETHER_OPENING &&
		    (!oldest || ether->begun < oldest->begun))
			oldest = ether;
	if (oldest)
		ether_fail(oldest, "too many handshakes");
}

static int make_answer(struct ether *ether, const uint8_t *bytes)
{
	struct ether_half server = { .id = ether->id };
	uint8_t private[ETHER_POINT], common[ETHER_POINT];
	struct ether_secrets secrets;
	int err = RAND_bytes(server.nonce, ETHER_NONCE) == 1 ? 0 : -EIO;

	if (!err)
		err = ether_new_pair(private, server.point);
	if (!err)
		err = ether_common(private, ether->open.client.point, common);
	OPENSSL_cleanse(private, sizeof(private));
	if (err)
		return err;
	ether_begin_answer(&server, ether->peer_id, ether->packet);
	err = ether_make_secrets(ether->identity.key, common, bytes, ether->packet, &secrets);
	if (!err)
		err = ether_end_answer(&secrets, ether->packet);
	if (!err)
		err = ether_keys_set(&ether->out, ether->open.suite, true, secrets.server);
	if (!err)
		err = ether_keys_set(&ether->in, ether->open.suite, false, secrets.client);
	OPENSSL_cleanse(common, sizeof(common));
	OPENSSL_cleanse(&secrets, sizeof(secrets));
	return err;
}

static void accept_open(struct ether_listener *listener, const uint8_t *from, const uint8_t *bytes,
			const struct ether_open *open, const struct lhp_identity *identity)
{
	struct ether *ether;

	make_room(listener);
	ether = ether_new(listener->port, true);
	if (!ether)
		return;
	memcpy(ether->peer, from, ETHER_MAC_BYTES);
	memcpy(ether->lhp.name, open->name, sizeof(ether->lhp.name));
	ether_name_peer(ether);
	ether->identity = *identity;
	ether->open = *open;
	ether->peer_id = open->client.id;
	ether->state = ETHER_OPENING;
	ether->begun = ether->heard = listener->port->now;
	ether->repeat_at = ETHER_NEVER;
	listener->opening++;
	ether->counted = true;
	if (make_answer(ether, bytes)) {
		ether_fail(ether, "no answer could be made");
		return;
	}
	send_answer(ether);
	ether_later(ether);
}

void ether_accept_open(struct ether_port *port, const uint8_t *from, const uint8_t *bytes,
		       size_t len)
{
	struct ether_listener *listener = port->listener;
	struct lhp_identity identity;
	struct ether_open open;
	struct ether *known;
	bool found;

	if (!listener || ether_read_open(bytes, len, &open) ||
	    !cookie_good(listener, from, &open)) {
		refuse(port);
		return;
	}
	found = find_key(listener, &open, &identity);
	if (ether_check_open(bytes, identity.key) || !found) {
		refuse(port);
		return;
	}
	known = same(port, &open);
	if (!known)
		accept_open(listener, from, bytes, &open, &identity);
	else if (known->state == ETHER_OPENING)
		send_answer(known);
	OPENSSL_cleanse(&identity, sizeof(identity));
}

/* A client has one connection. Its old one ends when the new one's proof has come, not before: an
 * OPEN can be repeated by anybody. */
static void replace(struct ether *ether)
{
	struct ether *other = ether->port->all;

	while (other) {
		if (other == ether || !other->server || other->state != ETHER_STANDS ||
		    strcmp(other->lhp.name, ether->lhp.name)) {
			other = other->next_all;
			continue;
		}
		ether_fail(other, "the client has connected anew");
		ether_end(other);
		other = ether->port->all; /* closed() may have ended others, too */
	}
}

void ether_accept_proved(struct ether *ether)
{
	struct ether_listener *listener = ether->port->listener;

	if (!listener) {
		ether_fail(ether, "nobody accepts");
		return;
	}
	replace(ether);
	ether->accepted = true;
	ether->busy++;
	listener->lhp.accepted(&ether->lhp, listener->lhp.arg);
	ether->busy--;
}
