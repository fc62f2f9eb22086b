// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/dhcp_wire.c agents/dhcp/pool.c agents/dhcp/pool_read.c agents/dhcp/lease.c */
/* link: agents/dhcp/lease_db.c agents/dhcp/allot.c agents/dhcp/policy.c agents/dhcp/reply.c */
/* link: agents/dhcp/server.c selftests/lib/dhcp_fixture.c */
/* The server's answers, message by message: RFC 2131, 4.3 and RFC 7618, 8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "selftests/lib/dhcp_fixture.h"

#define A1    0xc0000201 /* 192.0.2.1: 16 sets, 0 and 1 excluded */
#define A2    0xc0000202
#define FULL1 0xc0000264 /* 192.0.2.100, full */
#define FULL2 0xc0000265
#define OTHER 0xcb007101 /* of no pool and another network */
#define RELAY 0xc00002fe /* in the pools' network */

static const char pools[] = "[pool 192.0.2.1]\n"
			    "offset = 6\nlength = 4\nexclude = 0-1\nrouter = 192.0.2.254\n"
			    "[pool 192.0.2.100-192.0.2.101]\n"
			    "full = yes\n"
			    "[pool 192.0.2.2]\n"
			    "offset = 0\nlength = 6\nlease-time = 40\n"
			    "[host reserved]\n"
			    "mac = 02:00:00:00:00:63\naddress = 192.0.2.1\npsid = 5\n";

/* A step: the clock moves, a client speaks, and this is heard. */
struct step {
	const char *what;
	int64_t wait;
	struct say say;
	enum dhcp_type type;
	uint32_t address;
	int psid;
	int refusal;
};

#define DISCOVER .type = DHCP_DISCOVER, .psid = NO_SET
#define REQUEST	 .type = DHCP_REQUEST, .a = 6, .k = 4
#define NOTHING	 0, 0, NEVER_SEEN

static const struct step life[] = {
	{ "offer", 0, { DISCOVER, .client = 1, .asks = true }, DHCP_OFFER, A1, 2, -1 },
	{ "the same offer again",
	  1,
	  { DISCOVER, .client = 1, .asks = true },
	  DHCP_OFFER,
	  A1,
	  2,
	  -1 },
	{ "another client, another set",
	  0,
	  { DISCOVER, .client = 2, .asks = true },
	  DHCP_OFFER,
	  A1,
	  3,
	  -1 },
	{ "ack",
	  0,
	  { REQUEST, .client = 1, .asks = true, .psid = 2, .requested = A1, .server = FIXTURE_ID },
	  DHCP_ACK,
	  A1,
	  2,
	  -1 },
	{ "a set that was not offered",
	  0,
	  { REQUEST, .client = 2, .asks = true, .psid = 2, .requested = A1, .server = FIXTURE_ID },
	  DHCP_NAK,
	  0,
	  FULL,
	  -1 },
	{ "another server was chosen",
	  0,
	  { REQUEST, .client = 2, .asks = true, .psid = 3, .requested = A1, .server = 0x0a000002 },
	  NOTHING,
	  SERVER_OTHER_SERVER },
	{ "then its offer is gone",
	  0,
	  { REQUEST, .client = 2, .asks = true, .psid = 3, .requested = A1, .server = FIXTURE_ID },
	  DHCP_NAK,
	  0,
	  FULL,
	  -1 },
	{ "renew",
	  50,
	  { REQUEST, .client = 1, .asks = true, .psid = 2, .ciaddr = A1 },
	  DHCP_ACK,
	  A1,
	  2,
	  -1 },
	{ "renew, option 159 not sent back",
	  60,
	  { REQUEST, .client = 1, .asks = true, .psid = NO_SET, .ciaddr = A1 },
	  DHCP_ACK,
	  A1,
	  2,
	  -1 },
	{ "renew, another's set",
	  0,
	  { REQUEST, .client = 2, .asks = true, .psid = 2, .ciaddr = A1 },
	  DHCP_NAK,
	  0,
	  FULL,
	  -1 },
	{ "renew without asking for 159",
	  0,
	  { REQUEST, .client = 1, .psid = NO_SET, .ciaddr = A1 },
	  NOTHING,
	  SERVER_NOT_ASKED },
	{ "renew of no pool's address",
	  0,
	  { REQUEST, .client = 1, .asks = true, .psid = 2, .ciaddr = OTHER },
	  NOTHING,
	  SERVER_UNKNOWN },
	{ "init-reboot",
	  0,
	  { REQUEST, .client = 1, .asks = true, .psid = 2, .requested = A1 },
	  DHCP_ACK,
	  A1,
	  2,
	  -1 },
	{ "init-reboot with a wrong set",
	  0,
	  { REQUEST, .client = 1, .asks = true, .psid = 7, .requested = A1 },
	  DHCP_NAK,
	  0,
	  FULL,
	  -1 },
	{ "init-reboot, not known here",
	  0,
	  { REQUEST, .client = 8, .asks = true, .psid = 7, .requested = A1 },
	  NOTHING,
	  SERVER_UNKNOWN },
	{ "init-reboot, another network",
	  0,
	  { REQUEST, .client = 8, .asks = true, .psid = 7, .requested = OTHER },
	  DHCP_NAK,
	  0,
	  FULL,
	  -1 },
	{ "the same client at another MAC",
	  0,
	  { REQUEST, .client = 1, .mac = 77, .asks = true, .psid = 2, .ciaddr = A1 },
	  DHCP_NAK,
	  0,
	  FULL,
	  -1 },
	{ "release by another",
	  0,
	  { .type = DHCP_RELEASE, .client = 2, .psid = 2, .a = 6, .k = 4, .ciaddr = A1 },
	  NOTHING,
	  SERVER_UNKNOWN },
	{ "release of another set",
	  0,
	  { .type = DHCP_RELEASE, .client = 1, .psid = 3, .a = 6, .k = 4, .ciaddr = A1 },
	  NOTHING,
	  SERVER_UNKNOWN },
	{ "renew, still there",
	  0,
	  { REQUEST, .client = 1, .asks = true, .psid = 2, .ciaddr = A1 },
	  DHCP_ACK,
	  A1,
	  2,
	  -1 },
	{ "release",
	  0,
	  { .type = DHCP_RELEASE, .client = 1, .psid = 2, .a = 6, .k = 4, .ciaddr = A1 },
	  NOTHING,
	  -1 },
	{ "previous lease", 5, { DISCOVER, .client = 1, .asks = true }, DHCP_OFFER, A1, 2, -1 },
};

static const struct step kinds[] = {
	{ "who does not ask gets a full address",
	  0,
	  { DISCOVER, .client = 1 },
	  DHCP_OFFER,
	  FULL1,
	  FULL,
	  -1 },
	{ "taken",
	  0,
	  { .type = DHCP_REQUEST,
	    .client = 1,
	    .psid = NO_SET,
	    .requested = FULL1,
	    .server = FIXTURE_ID },
	  DHCP_ACK,
	  FULL1,
	  FULL,
	  -1 },
	{ "the second", 0, { DISCOVER, .client = 2 }, DHCP_OFFER, FULL2, FULL, -1 },
	{ "an offer is no promise: the oldest goes",
	  0,
	  { DISCOVER, .client = 3 },
	  DHCP_OFFER,
	  FULL2,
	  FULL,
	  -1 },
	{ "taken",
	  0,
	  { .type = DHCP_REQUEST,
	    .client = 3,
	    .psid = NO_SET,
	    .requested = FULL2,
	    .server = FIXTURE_ID },
	  DHCP_ACK,
	  FULL2,
	  FULL,
	  -1 },
	{ "none is left", 0, { DISCOVER, .client = 2 }, NOTHING, SERVER_NOT_ASKED },
	{ "request of a shared one without asking",
	  0,
	  { .type = DHCP_REQUEST,
	    .client = 2,
	    .psid = NO_SET,
	    .requested = A1,
	    .server = FIXTURE_ID },
	  NOTHING,
	  SERVER_NOT_ASKED },
	{ "a set in DISCOVER is no asking",
	  0,
	  { .type = DHCP_DISCOVER, .client = 2, .a = 6, .k = 4, .psid = 4, .requested = A1 },
	  NOTHING,
	  SERVER_NOT_ASKED },
	{ "hint of a size",
	  0,
	  { .type = DHCP_DISCOVER, .client = 4, .asks = true, .k = 6, .psid = 0 },
	  DHCP_OFFER,
	  A2,
	  1,
	  -1 }, /* PSID 0 would be ports 0 to 1023 */
	{ "address and set",
	  0,
	  { .type = DHCP_DISCOVER,
	    .client = 5,
	    .asks = true,
	    .a = 6,
	    .k = 4,
	    .psid = 9,
	    .requested = A1 },
	  DHCP_OFFER,
	  A1,
	  9,
	  -1 },
	{ "an excluded set is not given",
	  0,
	  { .type = DHCP_DISCOVER,
	    .client = 6,
	    .asks = true,
	    .a = 6,
	    .k = 4,
	    .psid = 1,
	    .requested = A1 },
	  DHCP_OFFER,
	  A1,
	  2,
	  -1 },
	{ "well-known ports are not given",
	  0,
	  { .type = DHCP_DISCOVER,
	    .client = 7,
	    .asks = true,
	    .a = 0,
	    .k = 6,
	    .psid = 0,
	    .requested = A2 },
	  DHCP_OFFER,
	  A2,
	  2,
	  -1 },
	{ "a reserved set is not given",
	  0,
	  { .type = DHCP_DISCOVER,
	    .client = 8,
	    .asks = true,
	    .a = 6,
	    .k = 4,
	    .psid = 5,
	    .requested = A1 },
	  DHCP_OFFER,
	  A1,
	  3,
	  -1 },
	{ "but to its host",
	  0,
	  { DISCOVER, .client = 9, .mac = 99, .asks = true },
	  DHCP_OFFER,
	  A1,
	  5,
	  -1 },
};

static const struct step ends[] = {
	{ "offer", 0, { DISCOVER, .client = 1, .asks = true }, DHCP_OFFER, A1, 2, -1 },
	{ "ack",
	  0,
	  { REQUEST, .client = 1, .asks = true, .psid = 2, .requested = A1, .server = FIXTURE_ID },
	  DHCP_ACK,
	  A1,
	  2,
	  -1 },
	{ "over, but within grace it is not given",
	  105,
	  { .type = DHCP_DISCOVER,
	    .client = 2,
	    .asks = true,
	    .a = 6,
	    .k = 4,
	    .psid = 2,
	    .requested = A1 },
	  DHCP_OFFER,
	  A1,
	  3,
	  -1 },
	{ "its client still gets it",
	  0,
	  { REQUEST, .client = 1, .asks = true, .psid = 2, .ciaddr = A1 },
	  DHCP_ACK,
	  A1,
	  2,
	  -1 },
	{ "after grace it is another's",
	  111,
	  { .type = DHCP_DISCOVER,
	    .client = 3,
	    .asks = true,
	    .a = 6,
	    .k = 4,
	    .psid = 2,
	    .requested = A1 },
	  DHCP_OFFER,
	  A1,
	  2,
	  -1 },
	{ "which the first one is told",
	  0,
	  { REQUEST, .client = 1, .asks = true, .psid = 2, .ciaddr = A1 },
	  DHCP_NAK,
	  0,
	  FULL,
	  -1 },
	{ "declined",
	  0,
	  { .type = DHCP_DECLINE, .client = 3, .a = 6, .k = 4, .psid = 2, .requested = A1 },
	  NOTHING,
	  -1 },
	{ "is nobody's",
	  0,
	  { .type = DHCP_DISCOVER,
	    .client = 3,
	    .asks = true,
	    .a = 6,
	    .k = 4,
	    .psid = 2,
	    .requested = A1 },
	  DHCP_OFFER,
	  A1,
	  4,
	  -1 },
	{ "for a while",
	  51,
	  { .type = DHCP_DISCOVER,
	    .client = 4,
	    .asks = true,
	    .a = 6,
	    .k = 4,
	    .psid = 2,
	    .requested = A1 },
	  DHCP_OFFER,
	  A1,
	  2,
	  -1 },
	{ "a decline of what is not one's own",
	  0,
	  { .type = DHCP_DECLINE, .client = 5, .a = 6, .k = 4, .psid = 2, .requested = A1 },
	  NOTHING,
	  SERVER_UNKNOWN },
};

static void play(const struct step *steps, size_t count)
{
	struct fixture f;
	struct heard h;

	fixture_open(&f, pools);
	for (size_t i = 0; i < count; i++) {
		const struct step *s = &steps[i];

		f.now += s->wait;
		fixture_say(&f, &s->say, &h);
		if (h.type != s->type || h.address != s->address || h.psid != s->psid ||
		    h.refusal != s->refusal)
			fail_msg("%s: type %d address %08x psid %d refusal %d, not %d %08x %d %d",
				 s->what, h.type, h.address, h.psid, h.refusal, s->type, s->address,
				 s->psid, s->refusal);
	}
	fixture_close(&f);
}

static void test_life(void **state)
{
	(void)state;
	play(life, sizeof(life) / sizeof(life[0]));
}

static void test_kinds(void **state)
{
	(void)state;
	play(kinds, sizeof(kinds) / sizeof(kinds[0]));
}

static void test_ends(void **state)
{
	(void)state;
	play(ends, sizeof(ends) / sizeof(ends[0]));
}

/* Which options, and where the answer goes (RFC 2131, 4.1). */
static void test_reply(void **state)
{
	struct say discover = { DISCOVER, .client = 1, .asks = true };
	struct say request = { REQUEST, .client = 1, .asks = true, .psid = 2, .ciaddr = A1 };
	struct fixture f;
	struct heard h;
	uint32_t value;
	uint8_t mac[6];

	(void)state;
	fixture_open(&f, pools);
	fixture_mac(1, mac);
	fixture_say(&f, &discover, &h);
	assert_int_equal(h.reply.target, SERVER_TO_CLIENT);
	assert_int_equal(h.reply.ip, A1);
	assert_memory_equal(h.reply.mac, mac, 6);
	assert_true(dhcp_get_u32(&h.message, DHCP_OPT_LEASE_TIME, &value) && value == 100);
	assert_true(dhcp_get_u32(&h.message, DHCP_OPT_T1, &value) && value == 50);
	assert_true(dhcp_get_u32(&h.message, DHCP_OPT_T2, &value) && value == 87);
	assert_true(dhcp_get_u32(&h.message, DHCP_OPT_SERVER, &value) && value == FIXTURE_ID);
	assert_true(dhcp_get_u32(&h.message, DHCP_OPT_MASK, &value) && value == 0xffffff00);
	assert_true(dhcp_get_u32(&h.message, DHCP_OPT_ROUTER, &value) && value == 0xc00002fe);
	assert_false(dhcp_has(&h.message, DHCP_OPT_RELAY));
	assert_int_equal(h.message.len[DHCP_OPT_CLIENT_ID], 11);
	discover.flags = DHCP_FLAG_BROADCAST;
	fixture_say(&f, &discover, &h);
	assert_int_equal(h.reply.ip, ~0u);
	assert_memory_equal(h.reply.mac, "\xff\xff\xff\xff\xff\xff", 6);
	fixture_say(&f, &request, &h); /* its own offer, as if it had been taken */
	assert_int_equal(h.type, DHCP_ACK);
	assert_int_equal(h.reply.ip, A1);
	assert_memory_equal(h.reply.mac, mac, 6);
	assert_int_equal(h.message.head.ciaddr, A1);
	request.psid = 3; /* NAK: broadcast */
	fixture_say(&f, &request, &h);
	assert_int_equal(h.type, DHCP_NAK);
	assert_int_equal(h.reply.ip, ~0u);
	request.psid = 2;
	request.giaddr = RELAY;
	request.circuit = "port7";
	fixture_say(&f, &request, &h);
	assert_int_equal(h.reply.target, SERVER_TO_RELAY);
	assert_int_equal(h.reply.ip, RELAY);
	assert_int_equal(h.message.head.giaddr, RELAY);
	assert_int_equal(h.message.len[DHCP_OPT_RELAY], 7);
	assert_memory_equal(h.message.value + h.message.at[DHCP_OPT_RELAY], "\1\5port7", 7);
	request.psid = 3;
	fixture_say(&f, &request, &h);
	assert_int_equal(h.message.head.flags & DHCP_FLAG_BROADCAST, DHCP_FLAG_BROADCAST);
	fixture_close(&f);
}

/* On disk before the answer: what was acknowledged is there after a restart, offers are not. */
static void test_restart(void **state)
{
	struct say renew = { REQUEST, .client = 1, .asks = true, .psid = 2, .ciaddr = A1 };
	struct portset set = { 6, 4, 2 };
	struct fixture f;
	struct heard h;

	(void)state;
	fixture_open(&f, pools);
	fixture_take(&f, 1, 0, 0, NULL, &h);
	assert_int_equal(h.psid, 2);
	fixture_say(&f, &(struct say){ DISCOVER, .client = 2, .asks = true }, &h);
	assert_int_equal(h.psid, 3);
	assert_int_equal(f.server.leases.count, 2);
	fixture_restart(&f);
	assert_int_equal(f.server.leases.count, 1);
	fixture_say(&f, &renew, &h);
	assert_int_equal(h.type, DHCP_ACK);
	assert_int_equal(leases_get(&f.server.leases, A1, &set)->started, f.now);
	server_tick(&f.server, f.now + 109);
	assert_int_equal(f.server.counters.freed, 0);
	server_tick(&f.server, f.now + 110);
	assert_int_equal(f.server.counters.freed, 1);
	assert_int_equal(f.change, SERVER_FREED);
	fixture_restart(&f);
	assert_int_equal(leases_get(&f.server.leases, A1, &set)->state, LEASE_EXPIRED);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),	cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_ends),	cmocka_unit_test(test_reply),
		cmocka_unit_test(test_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
