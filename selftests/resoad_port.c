// SPDX-License-Identifier: GPL-3.0-or-later
/* The table of ports against a plain model: arrays of owners and counts, random operations. */
/* link: agents/resoad/port.c agents/lib/address.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/lib/address.h"
#include "agents/resoad/resoad.h"

#define CLIENTS	  4
#define PORTS	  400 /* from PORT_LOW on */
#define PORT_LOW  900
#define ADDRESSES 2
#define STEPS	  400000

/* Blocks of 80 ports; the fourth may bind any; the first and second have single ones. */
static struct client_conf conf[CLIENTS];
static struct client client[CLIENTS];
static struct resoad resoad;
static const struct settings settings = { .port_low = 1000, .port_high = 1199 };

static struct {
	int owner;
	unsigned int count;
} model[ADDRESSES][2][PORTS];

const struct client_conf *registry_get(const struct registry *registry, unsigned int n)
{
	(void)registry;
	return n < CLIENTS ? &conf[n] : NULL;
}

static int start(void **state)
{
	(void)state;
	resoad.settings = &settings;
	resoad.ports = ports_new();
	for (int i = 0; i < CLIENTS; i++) {
		client[i] = (struct client){ .resoad = &resoad, .conf = &conf[i] };
		conf[i].port_low = 1000 + 80 * i;
		conf[i].port_high = conf[i].port_low + 79;
	}
	conf[0].granted[0] = 950;
	conf[0].granted_count = 1;
	conf[1].granted[0] = 1290;
	conf[1].granted_count = 1;
	conf[3].any_port = true;
	return resoad.ports ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	ports_free(resoad.ports);
	return 0;
}

static struct ep_name name_of(int address, int proto, int port)
{
	struct ep_name name = { .port = htons(PORT_LOW + port), .family = 4 };

	address_parse(address ? "192.0.2.9" : "192.0.2.1", &name.address);
	name.proto = proto ? IPPROTO_UDP : IPPROTO_TCP;
	return name;
}

static bool in_block(int who, int port)
{
	return port >= 1000 + 80 * who && port < 1080 + 80 * who;
}

/* What the manual page says, written anew. */
static int model_permit(int who, int port)
{
	if (in_block(who, port) || (who == 0 && port == 950) || (who == 1 && port == 1290))
		return 0;
	if (who != 3)
		return port < 1024 ? -EACCES : -EADDRINUSE;
	if (port >= 1000 && port <= 1199)
		return -EADDRINUSE;
	for (int other = 0; other < 3; other++)
		if (in_block(other, port))
			return -EADDRINUSE;
	return port == 950 || port == 1290 ? -EADDRINUSE : 0;
}

static int model_take(int who, int address, int proto, int at)
{
	int err = model_permit(who, PORT_LOW + at);

	if (err)
		return err;
	if (model[address][proto][at].count && model[address][proto][at].owner != who)
		return -EADDRINUSE;
	model[address][proto][at].owner = who;
	model[address][proto][at].count++;
	return 0;
}

static void model_release(int who, int address, int proto, int at)
{
	if (model[address][proto][at].count && model[address][proto][at].owner == who)
		model[address][proto][at].count--;
}

static void model_release_all(int who)
{
	for (int a = 0; a < ADDRESSES; a++)
		for (int p = 0; p < 2; p++)
			for (int at = 0; at < PORTS; at++)
				if (model[a][p][at].owner == who)
					model[a][p][at].count = 0;
}

static void compare_all(void)
{
	for (int a = 0; a < ADDRESSES; a++)
		for (int p = 0; p < 2; p++)
			for (int at = 0; at < PORTS; at++) {
				struct ep_name name = name_of(a, p, at);

				for (int who = 0; who < CLIENTS; who++)
					assert_int_equal(port_count(&client[who], &name),
							 model[a][p][at].owner == who
								 ? model[a][p][at].count
								 : 0);
			}
}

static void test_random(void **state)
{
	unsigned int taken = 0, refused = 0;

	(void)state;
	srandom(6);
	for (int step = 0; step < STEPS; step++) {
		int who = random() % CLIENTS, address = random() % ADDRESSES;
		int proto = random() % 2, at = random() % PORTS, want;
		struct ep_name name = name_of(address, proto, at);

		if (random() % 3 == 0) {
			port_release(&client[who], &name);
			model_release(who, address, proto, at);
		} else {
			want = model_take(who, address, proto, at);
			assert_int_equal(port_take(&client[who], &name), want);
			taken += !want;
			refused += want != 0;
		}
		if (step % 50000 == 0) {
			compare_all();
			port_release_all(&client[who]);
			model_release_all(who);
			compare_all();
		}
	}
	assert_true(taken > 10000 && refused > 10000);
}

/* An own address: every port is the client's, and nobody else is asked. */
static void test_own_address(void **state)
{
	struct ep_name name = name_of(1, 0, 0);

	(void)state;
	conf[2].own[0] = true;
	name.port = htons(22);
	assert_true(port_is_leased(&client[2], &name));
	assert_int_equal(port_take(&client[2], &name), 0);
	assert_int_equal(port_take(&client[1], &name), -EACCES);
	name.family = 6;
	assert_int_equal(port_take(&client[2], &name), -EACCES);
	conf[2].own[0] = false;
}

static void test_bound(void **state)
{
	struct ep_name name = name_of(0, 0, 110);
	struct sock sock;

	(void)state;
	assert_null(port_bound(&client[0], &name));
	assert_int_equal(port_take(&client[0], &name), 0);
	port_set_bound(&client[0], &name, &sock);
	assert_ptr_equal(port_bound(&client[0], &name), &sock);
	assert_null(port_bound(&client[1], &name));
	port_set_bound(&client[1], &name, NULL);
	assert_ptr_equal(port_bound(&client[0], &name), &sock);
	port_release(&client[0], &name);
	assert_null(port_bound(&client[0], &name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random, start, end),
		cmocka_unit_test_setup_teardown(test_own_address, start, end),
		cmocka_unit_test_setup_teardown(test_bound, start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
