// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/dns/choose.c agents/lib/prefix.c agents/dns/wire.c agents/dns/sign_wire.c */
/* link: agents/dns/assigned.c agents/lib/address.c */
/* Which addresses are asked: the same for a client and a name, spread evenly, near ones first, and
 * none of which it is known that they would refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/dns/assigned.h"
#include "agents/dns/bind.h"
#include "agents/lib/address.h"

#define NOW 1000000

static struct members members;
static struct wire_set *bound;
static struct chosen chosen;
/* Of waypoint.c and gateway.c, which need the rest of the server. */
bool waypoint_is_up(const struct waypoint *waypoint, uint32_t gateway)
{
	return waypoint->up[gateway / 8] >> gateway % 8 & 1;
}

bool gateway_is_behind(const struct gateway *gateway, __be32 address)
{
	for (unsigned int i = 0; i < gateway->behind_count; i++)
		if (gateway->behind[i] == address)
			return true;
	return false;
}

/* ---- what there is */

/* Its addresses are `first` and those after it; tunnels to gateways 1 to 7 are up. */
static struct waypoint *add_waypoint(const char *name, const char *first, unsigned int count)
{
	struct waypoint *waypoint = calloc(1, sizeof(*waypoint));
	uint32_t address = ntohl(inet_addr(first));

	snprintf(waypoint->name, sizeof(waypoint->name), "%s", name);
	for (; *name; name++)
		waypoint->hash = waypoint->hash * 31 + (uint8_t)*name;
	waypoint->address_count = count;
	for (unsigned int i = 0; i < count; i++)
		waypoint->address[i].address = htonl(address + i);
	waypoint->up[0] = 0xfe;
	members.waypoint[members.waypoint_count++] = waypoint;
	return waypoint;
}

static struct gateway *add_gateway(uint32_t id)
{
	members.gateway[id] = calloc(1, sizeof(struct gateway));
	members.gateway[id]->id = id;
	return members.gateway[id];
}

static int setup(void **state)
{
	(void)state;
	memset(&members, 0, sizeof(members));
	bound = wire_set_new(ZONE_BOUND);
	members.assigned = assigned_new();
	add_gateway(1);
	return bound && members.assigned ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	wire_set_free(bound);
	assigned_free(members.assigned);
	while (members.waypoint_count)
		free(members.waypoint[--members.waypoint_count]);
	for (int id = 0; id < GATEWAYS; id++)
		free(members.gateway[id]);
	return 0;
}

/* ---- what is wanted */

static void add_bound(uint32_t gateway, uint32_t host)
{
	const uint32_t data[2] = { htonl(gateway), htonl(host) };

	assert_int_equal(wire_set_add(bound, (const uint8_t *)data, sizeof(data)), 0);
}

static struct wanted wanted_by(const char *client, uint32_t gateway, uint32_t host)
{
	struct wanted wanted = { .now_ms = NOW };

	wire_set_free(bound);
	bound = wire_set_new(ZONE_BOUND);
	add_bound(gateway, host);
	wanted.bound = bound;
	wanted.name_hash = (uint64_t)gateway << 32 | host;
	assert_int_equal(address_parse(client, &wanted.client), 0);
	return wanted;
}

static void set_prefix(struct wanted *wanted, const char *prefix, unsigned int bits, bool known)
{
	wanted->prefix = inet_addr(prefix);
	wanted->mask = bits ? htonl(UINT32_MAX << (32 - bits)) : 0;
	wanted->known = known;
}

static __be32 address_at(unsigned int i)
{
	const struct candidate *candidate = &chosen.candidate[i];

	assert_in_range(i, 0, chosen.count - 1);
	return candidate->waypoint->address[candidate->address].address;
}

/* Pearson's: the sum of squared distances from equal shares. */
static double chi_square(const unsigned int *count, unsigned int cells, unsigned int all)
{
	double share = (double)all / cells, sum = 0;

	for (unsigned int i = 0; i < cells; i++)
		sum += (count[i] - share) * (count[i] - share) / share;
	return sum;
}

static const char *client_text(unsigned int i)
{
	static char text[32];
	snprintf(text, sizeof(text), "10.%u.%u.1", i / 256, i % 256);
	return text;
}

/* ---- the same again */

static void turn_order(void)
{
	for (unsigned int i = 0; i < members.waypoint_count / 2; i++) {
		unsigned int other = members.waypoint_count - 1 - i;
		struct waypoint *waypoint = members.waypoint[i];

		members.waypoint[i] = members.waypoint[other];
		members.waypoint[other] = waypoint;
	}
}

/* Also where the waypoints have logged in in another order, as after a restart. */
static void test_same(void **state)
{
	struct chosen before;

	(void)state;
	for (char name[] = "w1"; name[1] < '6'; name[1]++)
		add_waypoint(name, "192.0.2.1", 16);
	for (unsigned int i = 0; i < 200; i++) {
		struct wanted wanted = wanted_by(client_text(i), 1, i % 7);

		choose(&members, &wanted, &before);
		assert_int_equal(before.count, CANDIDATES);
		choose(&members, &wanted, &chosen);
		assert_memory_equal(&before, &chosen, sizeof(chosen));
		turn_order();
		choose(&members, &wanted, &chosen);
		assert_memory_equal(&before, &chosen, sizeof(chosen));
	}
}

/* Who was not sent to the waypoint that goes stays where it was. */
static void test_one_goes(void **state)
{
	struct waypoint *gone, *last;
	unsigned int moved = 0;

	(void)state;
	for (char name[] = "w1"; name[1] < '5'; name[1]++)
		add_waypoint(name, "192.0.2.1", 16);
	gone = members.waypoint[1];
	last = members.waypoint[3];
	for (unsigned int i = 0; i < 400; i++) {
		struct wanted wanted = wanted_by(client_text(i), 1, 3);
		struct chosen before;

		choose(&members, &wanted, &before);
		members.waypoint[1] = last; /* as waypoint_lost() does */
		members.waypoint_count = 3;
		choose(&members, &wanted, &chosen);
		members.waypoint[1] = gone;
		members.waypoint_count = 4;
		if (before.candidate[0].waypoint == gone) {
			moved++;
			assert_ptr_not_equal(chosen.candidate[0].waypoint, gone);
		} else {
			assert_memory_equal(&before.candidate[0], &chosen.candidate[0],
					    sizeof(chosen.candidate[0]));
		}
	}
	assert_in_range(moved, 60, 140);
}

/* ---- spread */

static void test_spread_addresses(void **state)
{
	unsigned int hosts[16] = { 0 }, clients[16] = { 0 };

	(void)state;
	add_waypoint("w", "192.0.2.0", 16);
	for (unsigned int i = 0; i < 1600; i++) {
		struct wanted wanted = wanted_by("198.51.100.7", 1, i);

		choose(&members, &wanted, &chosen);
		hosts[ntohl(address_at(0)) & 15]++;
		wanted = wanted_by(client_text(i), 1, 5);
		choose(&members, &wanted, &chosen);
		clients[ntohl(address_at(0)) & 15]++;
	}
	assert_true(chi_square(hosts, 16, 1600) < 37.7); /* 15 degrees of freedom, p = 0.001 */
	assert_true(chi_square(clients, 16, 1600) < 37.7);
}

static void test_spread_waypoints(void **state)
{
	unsigned int clients[4] = { 0 }, hosts[4] = { 0 };

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		char name[3] = { 'w', (char)('1' + i), 0 };
		char first[] = "192.0.2.0";

		first[6] = (char)('2' + i);
		add_waypoint(name, first, 8);
	}
	for (unsigned int i = 0; i < 1600; i++) {
		struct wanted wanted = wanted_by(client_text(i), 1, 5);

		choose(&members, &wanted, &chosen);
		clients[(ntohl(address_at(0)) >> 8 & 255) - 2]++;
		wanted = wanted_by("2001:db8::7", 1, i);
		choose(&members, &wanted, &chosen);
		hosts[(ntohl(address_at(0)) >> 8 & 255) - 2]++;
	}
	assert_true(chi_square(clients, 4, 1600) < 16.3); /* 3 degrees of freedom, p = 0.001 */
	assert_true(chi_square(hosts, 4, 1600) < 16.3);
}

/* All candidates are different, and half of them of another waypoint. */
static void test_candidates(void **state)
{
	struct wanted wanted = wanted_by("198.51.100.7", 1, 1);
	struct waypoint *first, *second;

	(void)state;
	first = add_waypoint("w1", "192.0.2.0", 100);
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, CANDIDATES);
	second = add_waypoint("w2", "192.0.3.0", 100);
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, CANDIDATES);
	for (unsigned int i = 0; i < CANDIDATES; i++) {
		const struct waypoint *half = chosen.candidate[i / 4 * 4].waypoint;

		assert_ptr_equal(chosen.candidate[i].waypoint, half);
		for (unsigned int other = 0; other < i; other++)
			assert_int_not_equal(address_at(i), address_at(other));
	}
	assert_ptr_not_equal(chosen.candidate[0].waypoint, chosen.candidate[4].waypoint);
	first->address_count = 2;
	second->address_count = 1;
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 3);
}

/* ---- which waypoints */

static void add_near(struct waypoint *waypoint, const char *prefix)
{
	assert_int_equal(prefix_parse(prefix, &waypoint->near[waypoint->near_count++]), 0);
}

static void test_near(void **state)
{
	struct waypoint *near, *far;

	(void)state;
	far = add_waypoint("far", "192.0.2.0", 4);
	near = add_waypoint("near", "192.0.3.0", 4);
	add_near(near, "10.0.0.0/16");
	add_near(near, "2001:db8:7::/48");
	for (unsigned int i = 0; i < 100; i++) {
		struct wanted wanted = wanted_by(client_text(i), 1, 1);

		choose(&members, &wanted, &chosen);
		assert_int_equal(chosen.count, 8);
		assert_ptr_equal(chosen.candidate[0].waypoint, near);
		assert_ptr_equal(chosen.candidate[4].waypoint, far);
		assert_int_equal(address_parse("2001:db8:7:8::9", &wanted.client), 0);
		wanted.name_hash = i;
		choose(&members, &wanted, &chosen);
		assert_ptr_equal(chosen.candidate[0].waypoint, near);
		near->full = true;
		assert_int_equal(address_parse("10.0.0.1", &wanted.client), 0);
		choose(&members, &wanted, &chosen);
		assert_ptr_equal(chosen.candidate[0].waypoint, far);
		assert_int_equal(chosen.count, 4);
		near->full = false;
	}
}

static void test_full_or_without_tunnel(void **state)
{
	struct wanted wanted = wanted_by("198.51.100.7", 1, 1);
	struct waypoint *one, *two;

	(void)state;
	choose(&members, &wanted, &chosen); /* no waypoint at all */
	assert_int_equal(chosen.count, 0);
	one = add_waypoint("one", "192.0.2.0", 4);
	two = add_waypoint("two", "192.0.3.0", 4);
	one->full = true;
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 4);
	assert_ptr_equal(chosen.candidate[0].waypoint, two);
	one->full = false;
	two->up[0] = (uint8_t)~2;
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 4);
	assert_ptr_equal(chosen.candidate[0].waypoint, one);
	one->up[0] = (uint8_t)~2;
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 0);
	assert_int_equal(chosen.retry_ms, 0);
}

static void test_behind(void **state)
{
	struct gateway *gateway = members.gateway[1];

	(void)state;
	add_waypoint("w", "192.0.2.0", 4);
	gateway->behind_count = 3;
	for (unsigned int i = 0; i < 3; i++)
		gateway->behind[i] = htonl(0xc0000200 + (i == 2 ? 3 : i));
	for (unsigned int host = 0; host < 100; host++) {
		struct wanted wanted = wanted_by("198.51.100.7", 1, host);

		choose(&members, &wanted, &chosen);
		assert_int_equal(chosen.count, 1);
		assert_int_equal(address_at(0), inet_addr("192.0.2.2"));
		gateway->behind[2] = inet_addr("192.0.2.2");
		gateway->behind[gateway->behind_count++] = inet_addr("192.0.2.3");
		choose(&members, &wanted, &chosen);
		assert_int_equal(chosen.count, 0);
		assert_int_equal(chosen.retry_ms, 0); /* waiting would not help */
		gateway->behind[2] = gateway->behind[--gateway->behind_count];
	}
}

/* ---- waits */

static const struct busy other = { .until_ms = NOW + 1600, .gateway = 1, .host = 9 };

static struct busy busy_of(uint32_t host, const char *prefix, unsigned int bits, uint64_t left)
{
	struct busy busy = other;

	busy.host = host;
	busy.prefix = inet_addr(prefix);
	busy.mask = bits ? htonl(UINT32_MAX << (32 - bits)) : 0;
	busy.until_ms = NOW + left;
	return busy;
}

struct wait_row {
	const char *name;
	uint32_t host; /* of the wait; 1 is what is wanted */
	const char *prefix;
	unsigned int bits;
	uint64_t left; /* milliseconds */
	const char *wanted;
	unsigned int wanted_bits;
	bool known, fits;
};

static const struct wait_row wait_rows[] = {
	{ "another's, everybody", 9, "0.0.0.0", 0, 1600, "0.0.0.0", 0, false, false },
	{ "another's, everybody; a network", 9, "0.0.0.0", 0, 1, "10.1.0.0", 16, false, false },
	{ "another's network; everybody", 9, "10.1.0.0", 16, 1600, "0.0.0.0", 0, false, false },
	{ "another's network; one inside", 9, "10.1.0.0", 16, 1600, "10.1.2.0", 24, false, false },
	{ "another's network; one around", 9, "10.1.2.0", 24, 1600, "10.1.0.0", 16, false, false },
	{ "another's network; the next", 9, "10.1.2.0", 24, 1600, "10.1.3.0", 24, false, true },
	{ "another's wait that is over", 9, "0.0.0.0", 0, 0, "0.0.0.0", 0, false, true },
	{ "own, most of it left", 1, "0.0.0.0", 0, 1600, "0.0.0.0", 0, false, true },
	{ "own, just half of it left", 1, "0.0.0.0", 0, 1000, "0.0.0.0", 0, false, true },
	{ "own, nearly over", 1, "0.0.0.0", 0, 1, "0.0.0.0", 0, false, true },
	{ "own for everybody; a network", 1, "0.0.0.0", 0, 1600, "10.1.2.0", 24, false, true },
	{ "own for a network; everybody", 1, "10.1.2.0", 24, 1600, "0.0.0.0", 0, false, true },
	{ "known, another's for it", 9, "10.1.2.0", 24, 1600, "10.1.2.3", 32, true, false },
	{ "known, another's for others", 9, "10.1.2.0", 24, 1600, "10.1.3.3", 32, true, true },
	{ "known, own for it, at its end", 1, "10.1.2.0", 24, 1, "10.1.2.3", 32, true, true },
};

static void test_waits(void **state)
{
	struct waypoint *waypoint = add_waypoint("w", "192.0.2.0", 1);

	(void)state;
	for (size_t i = 0; i < sizeof(wait_rows) / sizeof(wait_rows[0]); i++) {
		const struct wait_row *row = &wait_rows[i];
		struct wanted wanted = wanted_by("198.51.100.7", 1, 1);
		struct busy busy = busy_of(row->host, row->prefix, row->bits, row->left);

		memset(waypoint->address[0].busy, 0, sizeof(waypoint->address[0].busy));
		choose_note(&waypoint->address[0], &busy, NOW - 500);
		set_prefix(&wanted, row->wanted, row->wanted_bits, row->known);
		choose(&members, &wanted, &chosen);
		if (chosen.count != row->fits)
			fail_msg("%s: %u candidates", row->name, chosen.count);
		assert_int_equal(chosen.retry_ms, row->fits ? 0 : NOW + row->left);
	}
}

/* The next is asked in its place, and the first end is when it is worth while to ask again. */
static void test_retry(void **state)
{
	struct waypoint *waypoint = add_waypoint("w", "192.0.2.0", 3);
	struct wanted wanted = wanted_by("198.51.100.7", 1, 1);
	struct busy busy = other;
	struct chosen before;

	(void)state;
	choose(&members, &wanted, &before);
	for (unsigned int i = 0; i < 3; i++) {
		busy.until_ms = NOW + 1500 - 100 * i;
		choose_note(&waypoint->address[before.candidate[i].address], &busy, NOW);
		choose(&members, &wanted, &chosen);
		assert_int_equal(chosen.count, 2 - i);
		for (unsigned int place = 0; place < chosen.count; place++)
			assert_int_equal(chosen.candidate[place].address,
					 before.candidate[place + i + 1].address);
		assert_int_equal(chosen.retry_ms, busy.until_ms);
	}
	wanted.now_ms = NOW + 1300;
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 1);
	assert_int_equal(chosen.candidate[0].address, before.candidate[2].address);
	assert_int_equal(chosen.retry_ms, NOW + 1400);
}

/* As many waits as an address can have at once. */
static void test_all_places(void **state)
{
	struct waypoint *waypoint = add_waypoint("w", "192.0.2.0", 1);
	struct wanted wanted = wanted_by("198.51.100.7", 1, 1);
	struct waypoint_address before;

	(void)state;
	for (unsigned int i = 0; i < ADDRESS_WAITS; i++) {
		char prefix[32];
		struct busy busy;

		snprintf(prefix, sizeof(prefix), "10.1.%u.0", i);
		busy = busy_of(1, prefix, 24, 1600);
		set_prefix(&wanted, "10.1.99.0", 24, false);
		choose(&members, &wanted, &chosen);
		assert_int_equal(chosen.count, 1);
		choose_note(&waypoint->address[0], &busy, NOW);
	}
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 0);
	assert_int_equal(chosen.retry_ms, NOW + 1600);
	set_prefix(&wanted, "10.1.3.0", 24, false); /* one of them, which it shares */
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 1);
	set_prefix(&wanted, "10.1.99.1", 32, true); /* needs no wait */
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 1);
	before = waypoint->address[0];
	choose_note(&waypoint->address[0], &other, NOW);
	assert_memory_equal(&before, &waypoint->address[0], sizeof(before));
}

/* Who joins a wait is told what is left of it; one that follows it ends later, and is the one to
 * know. */
static void test_note(void **state)
{
	struct waypoint_address address = { 0 };
	struct busy busy = other;

	(void)state;
	choose_note(&address, &busy, NOW);
	busy.until_ms -= 1000;
	choose_note(&address, &busy, NOW + 500);
	assert_int_equal(address.busy[0].until_ms, other.until_ms);
	assert_int_equal(address.busy[1].until_ms, 0);
	busy.until_ms += 2000;
	choose_note(&address, &busy, NOW + 500);
	assert_int_equal(address.busy[0].until_ms, busy.until_ms);
	assert_int_equal(address.busy[1].until_ms, 0);
}

/* ---- names of several hosts */

static void test_gateways(void **state)
{
	unsigned int first[3] = { 0 }, cell;

	(void)state;
	add_gateway(2);
	add_waypoint("w", "192.0.2.0", 16);
	for (unsigned int i = 0; i < 900; i++) {
		struct wanted wanted = wanted_by(client_text(i), 1, 10);

		add_bound(2, 20);
		add_bound(2, 21);
		choose(&members, &wanted, &chosen);
		assert_int_equal(chosen.count, CANDIDATES);
		cell = chosen.candidate[0].host == 10 ? 0 : chosen.candidate[0].host - 19;
		assert_int_equal(chosen.candidate[0].gateway, cell ? 2 : 1);
		first[cell]++;
	}
	assert_true(chi_square(first, 3, 900) < 13.8); /* 2 degrees of freedom, p = 0.001 */
}

/* Gateways that have no tunnel, or are no more, and numbers that none has. */
static void test_gateways_gone(void **state)
{
	struct wanted wanted = wanted_by("198.51.100.7", 1, 10);
	struct waypoint *waypoint = add_waypoint("w", "192.0.2.0", 2);

	(void)state;
	add_gateway(2);
	add_bound(2, 20);
	add_bound(3, 30);
	add_bound(GATEWAYS, 40);
	add_bound(UINT32_MAX, UINT32_MAX);
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 4);
	waypoint->up[0] = 1 << 2 | 1 << 3;
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 2);
	assert_int_equal(chosen.candidate[0].gateway, 2);
	assert_int_equal(chosen.candidate[1].gateway, 2);
}

/* ---- IPv6 */

static void test_v6(void **state)
{
	struct wanted wanted = wanted_by("2001:db8::7", 1, 1);
	struct waypoint *with, *without = add_waypoint("without", "192.0.2.0", 4);

	(void)state;
	with = add_waypoint("with", "192.0.3.0", 0);
	wanted.v6 = true;
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 0);
	assert_int_equal(prefix_parse("2001:db8:1::/64", &with->prefix6), 0);
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 1);
	assert_ptr_equal(chosen.candidate[0].waypoint, with);
	wanted.v6 = false; /* and of IPv4 it has none */
	choose(&members, &wanted, &chosen);
	assert_int_equal(chosen.count, 4);
	assert_ptr_equal(chosen.candidate[0].waypoint, without);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_same, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spread_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spread_waypoints, setup, teardown),
		cmocka_unit_test_setup_teardown(test_candidates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_near, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_or_without_tunnel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_places, setup, teardown),
		cmocka_unit_test_setup_teardown(test_note, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gateways, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gateways_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_v6, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
