// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/dhcp_wire.c agents/dhcp/pool.c agents/dhcp/pool_read.c agents/dhcp/lease.c */
/* link: agents/dhcp/lease_db.c agents/dhcp/allot.c agents/dhcp/policy.c agents/dhcp/reply.c */
/* link: agents/dhcp/server.c selftests/lib/dhcp_fixture.c */
/*
 * Random clients against a server that restarts, and a plain model of who has what: a list, as the
 * clients know it from what they were answered. Held after every message:
 *   - no (address, set) is two clients' at once, nor given before its time and grace are over;
 *   - excluded sets, sets with well-known ports and others' reserved ones are given to nobody;
 *   - who does not ask gets no shared address, and no full address is shared;
 *   - what was acknowledged is renewed until it ends, restarts or not;
 *   - the gateway hears that a set is free before it hears of its next MAC.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "selftests/lib/dhcp_fixture.h"

#define CLIENTS 60
#define STEPS	20000
#define GRACE	10

static const char pools[] = "[pool 192.0.2.1-192.0.2.2]\n"
			    "offset = 6\nlength = 4\nexclude = 0-1\n"
			    "[pool 192.0.2.3]\n"
			    "offset = 0\nlength = 5\nlease-time = 30\n"
			    "[pool 192.0.2.100-192.0.2.105]\n"
			    "full = yes\n"
			    "[host reserved]\n"
			    "mac = 02:00:00:00:00:05\naddress = 192.0.2.1\npsid = 7\n";

/* What a client believes that it has. */
struct belief {
	bool has;
	uint32_t address;
	int psid;
	uint8_t a, k;
	int64_t expires;
	bool declined;
};

struct world {
	struct fixture f;
	struct belief client[CLIENTS + 1];
	struct heard offer[CLIENTS + 1]; /* type 0 = none */
	/* the gateway's table, by the last byte of the address and the set (32: full) */
	unsigned int owner[256][33];
	unsigned int acks, naks, restarts, frees;
};

static unsigned int owner_place(const struct lease *lease)
{
	return lease->pool->full ? 32 : lease->set.psid;
}

static void on_changed(enum server_change change, struct lease *lease, void *arg)
{
	unsigned int number = lease->client.mac[4] << 8 | lease->client.mac[5];
	struct world *w = arg;
	unsigned int *owner = &w->owner[lease->address & 255][owner_place(lease)];

	if (change == SERVER_FREED) {
		assert_int_equal(*owner, number);
		*owner = 0;
		w->frees++;
	} else {
		if (*owner && *owner != number)
			fail_msg("the gateway would get two owners");
		*owner = number;
	}
}

static unsigned int chance(unsigned int below)
{
	return (unsigned int)random() % below;
}

/* ---- the rules */

static void check_given(struct world *w, unsigned int client, const struct heard *h, bool asks)
{
	bool full = h->psid == FULL;
	unsigned int last = h->address & 255;

	assert_true(full ? last >= 100 && last <= 105 : last >= 1 && last <= 3);
	if (!asks)
		assert_true(full);
	if (!full && last < 3)
		assert_true(h->psid > 1 && h->psid < 16); /* excluded */
	if (!full && last == 3)
		assert_true(h->psid > 0 && h->psid < 32); /* ports 0 to 2047 */
	if (last == 1 && h->psid == 7)
		assert_int_equal(client, 5); /* reserved */
	for (unsigned int other = 1; other <= CLIENTS; other++) {
		const struct belief *b = &w->client[other];

		if (other != client && b->has && b->address == h->address && b->psid == h->psid &&
		    b->expires + GRACE > w->f.now)
			fail_msg("%08x set %d of %u was given to %u", h->address, h->psid, other,
				 client);
	}
}

static void learn(struct world *w, unsigned int client, const struct heard *h, bool asks)
{
	struct belief *b = &w->client[client];
	uint32_t seconds = 0;

	if (h->type == DHCP_NAK) {
		w->naks++;
		b->has = false;
	}
	if (h->type != DHCP_ACK)
		return;
	check_given(w, client, h, asks);
	assert_true(dhcp_get_u32(&h->message, DHCP_OPT_LEASE_TIME, &seconds));
	b->has = true;
	b->address = h->address;
	b->psid = h->psid;
	b->a = (h->address & 255) == 3 ? 0 : 6;
	b->k = (h->address & 255) == 3 ? 5 : 4;
	b->expires = w->f.now + seconds;
	w->acks++;
}

/* ---- what clients do */

static void discover(struct world *w, unsigned int client, bool asks)
{
	struct say say = { .type = DHCP_DISCOVER, .client = client, .asks = asks, .psid = NO_SET };

	if (chance(3) == 0) { /* a hint, of any worth */
		say.requested = 0xc0000201 + chance(3);
		say.psid = chance(16);
		say.a = 6;
		say.k = 4;
	}
	fixture_say(&w->f, &say, &w->offer[client]);
	if (w->offer[client].type == DHCP_OFFER)
		check_given(w, client, &w->offer[client], asks);
}

static void request(struct world *w, unsigned int client, bool asks)
{
	const struct heard *offer = &w->offer[client];
	struct say say = { .type = DHCP_REQUEST, .client = client, .asks = asks };
	struct heard h;

	if (offer->type != DHCP_OFFER)
		return;
	say.requested = offer->address;
	say.server = FIXTURE_ID;
	say.psid = offer->psid == FULL ? NO_SET : offer->psid;
	say.a = (offer->address & 255) == 3 ? 0 : 6;
	say.k = (offer->address & 255) == 3 ? 5 : 4;
	fixture_say(&w->f, &say, &h);
	learn(w, client, &h, asks);
}

static void again(struct world *w, unsigned int client, bool reboot)
{
	struct belief *b = &w->client[client];
	struct say say = { .type = DHCP_REQUEST, .client = client, .asks = true };
	struct heard h;

	if (!b->has)
		return;
	*(reboot ? &say.requested : &say.ciaddr) = b->address;
	say.psid = b->psid == FULL ? NO_SET : b->psid;
	say.a = b->a;
	say.k = b->k;
	fixture_say(&w->f, &say, &h);
	if (b->expires > w->f.now && h.type != DHCP_ACK)
		fail_msg("client %u lost %08x set %d: type %d, refusal %d", client, b->address,
			 b->psid, h.type, h.refusal);
	learn(w, client, &h, true);
}

static void give_back(struct world *w, unsigned int client, bool decline)
{
	struct belief *b = &w->client[client];
	struct say say = { .type = decline ? DHCP_DECLINE : DHCP_RELEASE, .client = client };
	struct heard h;

	if (!b->has)
		return;
	*(decline ? &say.requested : &say.ciaddr) = b->address;
	say.psid = b->psid == FULL ? NO_SET : b->psid;
	say.a = b->a;
	say.k = b->k;
	fixture_say(&w->f, &say, &h);
	assert_int_equal(h.type, 0);
	b->has = false;
}

/* Somebody who knows what another has, and wants it. */
static void steal(struct world *w, unsigned int client)
{
	unsigned int victim = 1 + chance(CLIENTS);
	struct belief before = w->client[client];

	if (victim == client || !w->client[victim].has)
		return;
	w->client[client] = w->client[victim];
	w->client[client].expires = 0; /* no right to it */
	switch (chance(4)) {
	case 0:
		again(w, client, false);
		break;
	case 1:
		again(w, client, true);
		break;
	default:
		give_back(w, client, chance(2));
	}
	if (!w->client[client].has || !w->client[client].expires)
		w->client[client] = before;
}

static void step(struct world *w)
{
	unsigned int client = 1 + chance(CLIENTS);
	bool asks = client % 4; /* every fourth one is a stock client */

	switch (chance(20)) {
	case 0 ... 5:
		discover(w, client, asks);
		if (chance(4))
			request(w, client, asks);
		break;
	case 6:
		request(w, client, asks);
		break;
	case 7 ... 12:
		again(w, client, chance(4) == 0);
		break;
	case 13:
		give_back(w, client, chance(8) == 0);
		break;
	case 14:
		steal(w, client);
		break;
	case 15 ... 17:
		w->f.now += chance(12);
		server_tick(&w->f.server, w->f.now);
		break;
	case 18:
		w->f.now += chance(3); /* nobody looks */
		break;
	default:
		if (chance(20))
			break;
		w->restarts++;
		fixture_restart(&w->f);
	}
}

static void test_random(void **state)
{
	const char *seed = getenv("SEED");
	struct world *w = calloc(1, sizeof(*w));

	(void)state;
	srandom(seed ? atoi(seed) : 1);
	fixture_open(&w->f, pools);
	w->f.server.changed = on_changed;
	w->f.server.arg = w;
	for (int i = 0; i < STEPS; i++)
		step(w);
	/* The control: all this happened at all. */
	assert_true(w->acks > 2000);
	assert_true(w->naks > 50);
	assert_true(w->frees > 500);
	assert_true(w->restarts > 20);
	fixture_close(&w->f);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
