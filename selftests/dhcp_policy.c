// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/dhcp_wire.c agents/dhcp/pool.c agents/dhcp/pool_read.c agents/dhcp/lease.c */
/* link: agents/dhcp/lease_db.c agents/dhcp/allot.c agents/dhcp/policy.c agents/dhcp/reply.c */
/* link: agents/dhcp/server.c selftests/lib/dhcp_fixture.c */
/* How much a server gives to one host: limits, and sets that grow and shrink with use (P10). */
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

#define A1    0xc0000201
#define RELAY 0xc00002fe

static const char pools[] = "[pool 192.0.2.1]\n"
			    "offset = 6\nlength = 4\nexclude = 0-1\n"
			    "[pool 192.0.2.2]\n"
			    "offset = 6\nlength = 4\n";

static void test_limits(void **state)
{
	struct fixture f;
	struct heard h;

	(void)state;
	fixture_open(&f, pools);
	f.server.settings.limit_mac = 2;
	f.server.settings.limit_site = 3;
	fixture_take(&f, 1, 50, 0, NULL, &h);
	assert_int_equal(h.type, DHCP_ACK);
	fixture_take(&f, 2, 50, 0, NULL, &h);
	assert_int_equal(h.type, DHCP_ACK);
	assert_int_equal(h.address, A1); /* near the first one */
	fixture_take(&f, 3, 50, 0, NULL, &h);
	assert_int_equal(h.refusal, SERVER_LIMIT_MAC);
	fixture_take(&f, 2, 50, 0, NULL, &h); /* again what it has */
	assert_int_equal(h.type, DHCP_ACK);
	for (unsigned int i = 10; i < 13; i++) {
		fixture_take(&f, i, 0, RELAY, "c1", &h);
		assert_int_equal(h.type, DHCP_ACK);
	}
	fixture_take(&f, 13, 0, RELAY, "c1", &h);
	assert_int_equal(h.refusal, SERVER_LIMIT_SITE);
	fixture_take(&f, 13, 0, RELAY, "c2", &h);
	assert_int_equal(h.type, DHCP_ACK);
	f.server.settings.rate = 1;
	fixture_take(&f, 14, 0, 0, NULL, &h);
	assert_int_equal(h.refusal, SERVER_RATE); /* the second message of a second */
	f.now++;
	fixture_take(&f, 14, 0, 0, NULL, &h);
	assert_int_equal(h.refusal, SERVER_RATE);
	fixture_close(&f);
}

/* P10: a further set only to a host that uses what it has; the unused one is not renewed. */
static void test_policy(void **state)
{
	struct say renew = { .type = DHCP_REQUEST,
			     .a = 6,
			     .k = 4,
			     .client = 2,
			     .mac = 50,
			     .asks = true,
			     .ciaddr = A1 };
	struct portset first = { 6, 4, 2 }, second = { 6, 4, 3 };
	struct fixture f;
	struct heard h;

	(void)state;
	fixture_open(&f, pools);
	f.server.settings.grow_below = 50;
	f.server.settings.shrink_below = 40;
	fixture_take(&f, 1, 50, 0, NULL, &h);
	leases_get(&f.server.leases, A1, &first)->used_known = true;
	leases_get(&f.server.leases, A1, &first)->used = 2015; /* of 4032 */
	fixture_take(&f, 2, 50, 0, NULL, &h);
	assert_int_equal(h.refusal, SERVER_NOT_NEEDED);
	leases_get(&f.server.leases, A1, &first)->used = 2016;
	fixture_take(&f, 2, 50, 0, NULL, &h);
	assert_int_equal(h.type, DHCP_ACK);
	assert_int_equal(h.psid, second.psid);
	renew.psid = second.psid;
	f.now += 50;
	leases_get(&f.server.leases, A1, &second)->used_known = true;
	fixture_say(&f, &renew, &h); /* half of the first is used: too much for it alone */
	assert_int_equal(h.type, DHCP_ACK);
	leases_get(&f.server.leases, A1, &first)->used = 1612;
	fixture_say(&f, &renew, &h);
	assert_int_equal(h.refusal, SERVER_WITHHELD);
	leases_get(&f.server.leases, A1, &second)->used = 1; /* an open connection */
	fixture_say(&f, &renew, &h);
	assert_int_equal(h.type, DHCP_ACK);
	leases_get(&f.server.leases, A1, &second)->used = 0;
	leases_get(&f.server.leases, A1, &first)->used = 0; /* the older one stays */
	fixture_say(&f, &renew, &h);
	assert_int_equal(h.refusal, SERVER_WITHHELD);
	renew.client = 1;
	renew.psid = first.psid;
	fixture_say(&f, &renew, &h);
	assert_int_equal(h.type, DHCP_ACK);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
