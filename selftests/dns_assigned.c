// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/dns/assigned.c agents/dns/choose.c agents/lib/prefix.c agents/dns/wire.c */
/* link: agents/dns/sign_wire.c agents/lib/address.c */
/* Which addresses a client was told for which hosts, and what choose() makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "agents/dns/assigned.h"
#include "agents/dns/bind.h"
#include "agents/lib/address.h"

#define NOW 1000000

static struct members members;

/* Of waypoint.c and gateway.c: the one waypoint has all tunnels, and no gateway is behind it. */
bool waypoint_is_up(const struct waypoint *waypoint, uint32_t gateway)
{
	return waypoint && gateway;
}

bool gateway_is_behind(const struct gateway *gateway, __be32 address)
{
	return !gateway || !address;
}

static int setup(void **state)
{
	static struct waypoint waypoint;
	static struct gateway gateway;

	(void)state;
	memset(&waypoint, 0, sizeof(waypoint));
	waypoint.address_count = 4;
	for (unsigned int i = 0; i < 4; i++)
		waypoint.address[i].address = htonl(0xc0000200 + i);
	gateway.id = 1;
	members.waypoint[0] = &waypoint;
	members.waypoint_count = 1;
	members.gateway[1] = &gateway;
	members.assigned = assigned_new();
	return members.assigned ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	assigned_free(members.assigned);
	return 0;
}

/* The first address for the host, which the client is then told. */
static unsigned int ask(const char *client, uint32_t host, uint64_t now_ms)
{
	const uint32_t data[2] = { htonl(1), htonl(host) };
	struct wire_set *bound = wire_set_new(ZONE_BOUND);
	struct wanted wanted = { .bound = bound, .name_hash = host, .now_ms = now_ms };
	struct chosen chosen;

	assert_int_equal(wire_set_add(bound, (const uint8_t *)data, sizeof(data)), 0);
	assert_int_equal(address_parse(client, &wanted.client), 0);
	choose(&members, &wanted, &chosen);
	wire_set_free(bound);
	assert_int_equal(chosen.count, 4);
	choose_assigned(&members, &wanted, &chosen.candidate[0]);
	return chosen.candidate[0].address;
}

/* Hosts of a client get addresses of their own while there are any, then the one told longest ago.
 */
static void test_hosts(void **state)
{
	unsigned int told[5], taken = 0;

	(void)state;
	for (uint32_t host = 0; host < 4; host++) {
		told[host] = ask("198.51.100.7", host, NOW + 1000 * host);
		taken |= 1u << told[host];
	}
	assert_int_equal(taken, 0xf);
	told[4] = ask("198.51.100.7", 4, NOW + 5000);
	assert_int_equal(told[4], told[0]);
	for (uint32_t host = 1; host < 5; host++)
		assert_int_equal(ask("198.51.100.7", host, NOW + 10000), told[host]);
}

/* Other clients do not matter. */
static void test_clients(void **state)
{
	unsigned int mine, taken = 0;
	char client[] = "198.51.100.10";

	(void)state;
	mine = ask("198.51.100.7", 1, NOW);
	for (unsigned int i = 0; i < 10; i++) {
		client[12] = (char)('0' + i);
		for (uint32_t host = 1; host < 5; host++)
			taken |= 1u << ask(client, host, NOW + i);
		assert_int_equal(ask("198.51.100.7", 1, NOW + i), mine);
	}
	assert_int_equal(taken, 0xf);
}

/* The memory is bounded: the oldest goes, and the newest never. */
static void test_full(void **state)
{
	uint32_t address;

	(void)state;
	for (uint64_t i = 0; i < 200000; i++) {
		uint64_t client = i * 0x9e3779b97f4a7c15ull;

		assigned_put(members.assigned, client, 7, i, i);
		assert_true(assigned_address(members.assigned, client, 7, &address));
		assert_true(address == i);
		assert_true(assigned_other(members.assigned, client, 8, i, i + 5) == 5);
		assert_true(assigned_other(members.assigned, client, 7, i, i + 5) ==
			    ASSIGNED_NOBODY);
	}
	assert_false(assigned_address(members.assigned, 0, 7, &address));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hosts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clients, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
