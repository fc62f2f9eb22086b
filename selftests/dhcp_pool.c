// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/dhcp/pool.c agents/dhcp/pool_read.c agents/lib/dhcp_wire.c */
/* The pools' file, and which units of a pool may be given to whom. */
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

#include "agents/dhcp/pool.h"

static const char text[] =
	"[pool 192.0.2.1-192.0.2.2]\n"
	"offset = 6\nlength = 8\nexclude = 0-3, 17\nprefix = 28\n"
	"[pool 192.0.2.3]\noffset = 0\nlength = 6\n"
	"[pool 192.0.2.4]\noffset = 0\nlength = 6\nwell-known = yes\n"
	"[pool 192.0.2.100-192.0.2.101]\nfull = yes\nrelay = 10.1.0.1, 10.2.0.1\n"
	"[host web]\nclient-id = ff:00:01\nports = 80, 443, 8000-8099\n"
	"[host both]\nmac = 02:00:00:00:00:01\nclient-id = 0102\n";

static void read_pools(const char *from, struct pools *pools)
{
	char path[] = "/tmp/isthmus-dhcp-pools-XXXXXX", error[256] = "";
	int fd = mkstemp(path);

	assert_int_equal(write(fd, from, strlen(from)), strlen(from));
	close(fd);
	if (pools_read(path, pools, error, sizeof(error)))
		fail_msg("%s", error);
	unlink(path);
}

static void test_units(void **state)
{
	const struct portset set = { 6, 8, 0x34 }, other = { 6, 7, 0x34 };
	struct pools pools;
	struct pool *pool;

	(void)state;
	read_pools(text, &pools);
	assert_int_equal(pools.count, 4);
	pool = pools_find(&pools, 0xc0000202);
	assert_int_equal(pool->units, 512);
	assert_int_equal(pool_unit(pool, 0xc0000202, &set), 256 + 0x34);
	assert_int_equal(pool_unit_address(pool, 256 + 0x34), 0xc0000202);
	assert_int_equal(pool_unit_set(pool, 256 + 0x34).psid, 0x34);
	assert_int_equal(pool_unit(pool, 0xc0000202, &other), POOL_NO_UNIT);
	assert_int_equal(pool_unit(pool, 0xc0000202, NULL), POOL_NO_UNIT);
	assert_int_equal(pool_unit(pool, 0xc0000203, &set), POOL_NO_UNIT);
	for (uint32_t unit = 0; unit < 512; unit++)
		assert_int_equal(pool_unit_allowed(pool, unit), unit % 256 > 3 && unit % 256 != 17);
	pool = pools_find(&pools, 0xc0000265);
	assert_int_equal(pool->units, 2);
	assert_int_equal(pool_unit(pool, 0xc0000265, NULL), 1);
	assert_int_equal(pool_unit(pool, 0xc0000265, &set), POOL_NO_UNIT);
	assert_null(pools_find(&pools, 0xc0000205));
	pools_free(&pools);
}

/* a = 0, k = 6: PSID 0 is ports 0 to 1023. */
static void test_well_known(void **state)
{
	struct pools pools;

	(void)state;
	read_pools(text, &pools);
	for (uint32_t unit = 0; unit < 64; unit++) {
		assert_int_equal(pool_unit_allowed(pools_find(&pools, 0xc0000203), unit), unit > 0);
		assert_true(pool_unit_allowed(pools_find(&pools, 0xc0000204), unit));
	}
	pools_free(&pools);
	read_pools("[pool 192.0.2.1]\noffset = 8\nlength = 4\n", &pools);
	for (uint32_t unit = 0; unit < 16; unit++) /* ports from 256 in every set */
		assert_false(pool_unit_allowed(&pools.pool[0], unit));
	pools_free(&pools);
	read_pools("[pool 192.0.2.1]\noffset = 0\nlength = 10\n", &pools);
	for (uint32_t unit = 0; unit < 1024; unit++)
		assert_int_equal(pool_unit_allowed(&pools.pool[0], unit), unit > 15);
	pools_free(&pools);
}

static void test_relays(void **state)
{
	const struct pool *shared, *full;
	struct pools pools;

	(void)state;
	read_pools(text, &pools);
	shared = pools_find(&pools, 0xc0000201);
	full = pools_find(&pools, 0xc0000264);
	assert_true(pool_serves(shared, 0));
	assert_true(pool_serves(shared, 0xc000020e)); /* 192.0.2.14, in /28 */
	assert_false(pool_serves(shared, 0xc0000210));
	assert_false(pool_serves(full, 0));
	assert_true(pool_serves(full, 0x0a020001));
	assert_false(pool_serves(full, 0x0a030001));
	assert_false(pools_foreign(&pools, 0, 0xc0000205));
	assert_true(pools_foreign(&pools, 0, 0xcb007101));
	assert_false(pools_foreign(&pools, 0x0a030001, 0xcb007101)); /* nobody serves it */
	pools_free(&pools);
}

static void test_hosts(void **state)
{
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 }, web[3] = { 255, 0, 1 }, id[2] = { 1, 2 };
	const struct pool_host *host;
	struct pools pools;

	(void)state;
	read_pools(text, &pools);
	host = pools_host(&pools, mac, web, 3);
	assert_string_equal(host->name, "web");
	assert_int_equal(host->ranges, 3);
	assert_int_equal(host->range[0].low, 80);
	assert_int_equal(host->range[0].high, 80);
	assert_int_equal(host->range[2].low, 8000);
	assert_int_equal(host->range[2].high, 8099);
	assert_string_equal(pools_host(&pools, mac, id, 2)->name, "both");
	assert_null(pools_host(&pools, (const uint8_t *)"\2\0\0\0\0\2", id, 2));
	assert_null(pools_host(&pools, mac, web, 2));
	pools_free(&pools);
}

static const struct {
	const char *text, *error; /* what the message ends with */
} wrong[] = {
	{ "[pool 192.0.2.1]\noffset = 16\n", ":2: offset: '16' is no value for it" },
	{ "[pool 192.0.2.1]\noffset = 9\nlength = 8\n",
	  ": offset and length are needed, together at "
	  "most 16" },
	{ "[pool 192.0.2.300]\nfull = yes\n",
	  ":2: '192.0.2.300' is no ADDRESS or ADDRESS-ADDRESS" },
	{ "[pool 192.0.2.1]\nfull = yes\n[pool 192.0.2.0-192.0.2.9]\nfull = yes\n",
	  ":4: pool 192.0.2.0-192.0.2.9 overlaps another one" },
	{ "[pool 192.0.2.1]\nfull = yes\ncolour = red\n", ":3: [pool 192.0.2.1] has no 'colour'" },
	{ "[pool 192.0.2.1]\nfull = yes\n[host a]\nmac = 02:00:00:00:00\n",
	  ":4: mac: '02:00:00:00:00' is no value for it" },
	{ "[pool 192.0.2.1]\noffset = 6\nlength = 4\n[host a]\nmac = 02:00:00:00:00:01\naddress = "
	  "192.0.2.1\npsid = 16\n",
	  ": host a: its pool has no such psid" },
	{ "[host a]\nmac = 02:00:00:00:00:01\n", ": there is no [pool ADDRESS]" },
	{ "nonsense\n", ":1: not a section and no 'name = value'" },
};

static void test_wrong_pools(void **state)
{
	char path[] = "/tmp/isthmus-dhcp-pools-XXXXXX", error[256];
	int fd = mkstemp(path);
	struct pools read;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		size_t len = strlen(wrong[i].text);

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, wrong[i].text, len, 0), len);
		assert_int_equal(pools_read(path, &read, error, sizeof(error)), -EINVAL);
		len = strlen(wrong[i].error);
		if (strlen(error) < len || strcmp(error + strlen(error) - len, wrong[i].error))
			fail_msg("'%s'", error);
	}
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_units),	    cmocka_unit_test(test_well_known),
		cmocka_unit_test(test_relays),	    cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_wrong_pools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
