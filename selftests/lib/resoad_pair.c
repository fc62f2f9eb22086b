// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>

#include "resoad_pair.h"

static const char both[] = "[client alice]\n" KEY_ALICE "granted = 80, 90, 91\n"
			   "[client bob]\n" KEY_BOB "sockets = 3\ndeny = tcp 192.0.2.0/24:1-1023\n";

struct rc_server server;
struct rc alice, bob;
int peer;
uint32_t next = 1;

int pair_start(void **state)
{
	(void)state;
	rc_server_start(&server, both, NULL);
	assert_true(rc_open(&alice, &server, "alice"));
	assert_true(rc_open(&bob, &server, "bob"));
	return 0;
}

int pair_end(void **state)
{
	(void)state;
	rc_close(&alice);
	rc_close(&bob);
	rc_server_stop(&server, SIGTERM);
	return 0;
}

uint32_t pair_connected(uint16_t port, int *fd)
{
	uint32_t id = next++;

	assert_int_equal(rc_connect(&alice, id, RC_LOCAL4, port, RC_LOCAL4, 7000), 0);
	*fd = rc_accept(peer, RC_MS);
	assert_true(*fd >= 0);
	return id;
}

int pair_group_start(void **state)
{
	(void)state;
	rc_network();
	peer = rc_listener("::", 7000);
	return peer < 0;
}
