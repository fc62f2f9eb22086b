// SPDX-License-Identifier: GPL-3.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "selftests/lib/dhcp_fixture.h"

static void on_changed(enum server_change change, struct lease *lease, void *arg)
{
	struct fixture *f = arg;

	(void)lease;
	f->change = change;
	f->changes++;
}

static void start(struct fixture *f)
{
	unsigned int dropped;
	char error[512] = "";

	memset(&f->server, 0, sizeof(f->server));
	f->server.id = FIXTURE_ID;
	f->server.changed = on_changed;
	f->server.arg = f;
	f->server.settings.lease_time = 100;
	f->server.settings.grace = 10;
	f->server.settings.decline_time = 50;
	f->server.settings.prefer = (char *)"shared";
	if (pools_read(f->pools, &f->server.pools, error, sizeof(error)) ||
	    leases_open(&f->server.leases, f->database, &f->server.pools, 10, &dropped, error,
			sizeof(error)))
		fail_msg("%s", error);
}

void fixture_open(struct fixture *f, const char *pools)
{
	FILE *file;

	memset(f, 0, sizeof(*f));
	strcpy(f->dir, "/tmp/isthmus-dhcp-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->pools, sizeof(f->pools), "%s/pools", f->dir);
	snprintf(f->database, sizeof(f->database), "%s/db", f->dir);
	file = fopen(f->pools, "w");
	assert_non_null(file);
	fputs(pools, file);
	fclose(file);
	f->now = 1000000;
	start(f);
}

static void end(struct fixture *f)
{
	leases_close(&f->server.leases);
	pools_free(&f->server.pools);
}

void fixture_restart(struct fixture *f)
{
	void (*changed)(enum server_change, struct lease *, void *) = f->server.changed;
	void *arg = f->server.arg;
	struct server_settings settings = f->server.settings;

	end(f);
	start(f);
	f->server.changed = changed;
	f->server.arg = arg;
	f->server.settings = settings;
}

void fixture_close(struct fixture *f)
{
	char command[128];

	end(f);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
}

void fixture_mac(unsigned int number, uint8_t mac[DHCP_MAC])
{
	const uint8_t bytes[DHCP_MAC] = { 2, 0, 0, 0, number >> 8, number };

	memcpy(mac, bytes, sizeof(bytes));
}

static void put_options(const struct say *say, struct dhcp_writer *w, uint8_t *relay)
{
	static const uint8_t asks[] = { 1, 3, 159 }, plain[] = { 1, 3 };
	const struct portset set = { say->a, say->k, say->psid };

	dhcp_put(w, DHCP_OPT_PARAMETERS, say->asks ? asks : plain, say->asks ? 3 : 2);
	if (say->psid >= 0)
		dhcp_put_portset(w, &set);
	if (say->requested)
		dhcp_put_u32(w, DHCP_OPT_REQUESTED, say->requested);
	if (say->server)
		dhcp_put_u32(w, DHCP_OPT_SERVER, say->server);
	if (say->circuit) {
		relay[0] = 1;
		relay[1] = strlen(say->circuit);
		memcpy(relay + 2, say->circuit, relay[1]);
		dhcp_put(w, DHCP_OPT_RELAY, relay, 2u + relay[1]);
	}
}

static void hear(struct fixture *f, struct heard *heard)
{
	heard->type = 0;
	heard->psid = NEVER_SEEN;
	heard->address = 0;
	if (!heard->reply.target)
		return;
	assert_int_equal(dhcp_read(heard->reply.bytes, heard->reply.len, &heard->message), 0);
	assert_int_equal(heard->message.head.op, DHCP_BOOTREPLY);
	heard->type = heard->message.type;
	assert_int_equal(heard->type, heard->reply.type);
	heard->address = heard->message.head.yiaddr;
	heard->psid = dhcp_get_portset(&heard->message, &heard->set) ? FULL : heard->set.psid;
	(void)f;
}

void fixture_say(struct fixture *f, const struct say *say, struct heard *heard)
{
	struct dhcp_head head = { .op = DHCP_BOOTREQUEST,
				  .htype = 1,
				  .hlen = DHCP_MAC,
				  .xid = say->client,
				  .flags = say->flags,
				  .ciaddr = say->ciaddr,
				  .giaddr = say->giaddr };
	uint8_t id[11] = { 255, 0, 0, 0, 1, 0, 3, 0, 1, say->client >> 8, say->client };
	uint8_t bytes[DHCP_BYTES_MAX], relay[66];
	uint64_t before[SERVER_REFUSAL_COUNT];
	struct dhcp_message message;
	struct dhcp_writer w;
	int len;

	fixture_mac(say->mac ? say->mac : say->client, head.chaddr);
	dhcp_start(&w, &head, say->type);
	dhcp_put(&w, DHCP_OPT_CLIENT_ID, id, sizeof(id));
	put_options(say, &w, relay);
	len = dhcp_write(&w, bytes);
	assert_true(len > 0);
	assert_int_equal(dhcp_read(bytes, len, &message), 0);
	memcpy(before, f->server.counters.refused, sizeof(before));
	server_message(&f->server, &message, say->giaddr ? NULL : head.chaddr, f->now,
		       &heard->reply);
	heard->refusal = -1;
	for (int i = 0; i < SERVER_REFUSAL_COUNT; i++)
		if (f->server.counters.refused[i] != before[i])
			heard->refusal = i;
	hear(f, heard);
}

void fixture_take(struct fixture *f, unsigned int client, unsigned int mac, uint32_t relay,
		  const char *circuit, struct heard *h)
{
	struct say say = { .type = DHCP_DISCOVER,
			   .client = client,
			   .mac = mac,
			   .asks = true,
			   .psid = NO_SET,
			   .giaddr = relay,
			   .circuit = circuit };

	fixture_say(f, &say, h);
	if (h->type != DHCP_OFFER)
		return;
	say.type = DHCP_REQUEST;
	say.requested = h->address;
	say.server = FIXTURE_ID;
	if (h->psid != FULL) {
		say.psid = h->psid;
		say.a = h->set.a;
		say.k = h->set.k;
	}
	fixture_say(f, &say, h);
}
