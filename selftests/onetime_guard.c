// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/onetime_fixture.c */
/*
 * selftests/onetime_guard.c - what passes at a pool's device, and what takes an address.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_fixture.h"

static struct ofix fx;

static const struct isthmus_addr ssa6 = OFIX_SSA6(9), alice6 = OFIX_ALICE6;

static int set_up(void **state)
{
	(void)state;
	return ofix_open(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	ofix_close(&fx);
	return 0;
}

static int clear(void **state)
{
	(void)state;
	ofix_clear(&fx);
	return 0;
}

static struct packet_spec spec_of(const struct isthmus_addr *from, const struct isthmus_addr *to,
				  __u8 proto, __u16 flags)
{
	return (struct packet_spec){ .src = *from,
				     .dst = *to,
				     .proto = proto,
				     .sport = 40000,
				     .dport = 80,
				     .flags = flags,
				     .data_len = 20 };
}

static void test_claim(void **state)
{
	struct onetime_addr record =
		ofix_record(ONETIME_SSA, ONETIME_STATE_PENDING, ONETIME_L0, IPPROTO_TCP);
	struct packet_spec syn = spec_of(&alice6, &ssa6, IPPROTO_TCP, PACKET_SYN);

	(void)state;
	ofix_addr_put(&fx, &ssa6, &record);
	assert_true(ofix_spec_becomes(&fx, OFIX_IN, syn, ONETIME_CLAIMED, OFIX_ALONE));
	assert_int_equal(fx.events, 1);
	record = ofix_addr(&fx, &ssa6);
	assert_int_equal(record.state, ONETIME_STATE_CLAIMED);
	assert_memory_equal(&record.peer, &alice6, 16);
	assert_int_equal(record.peer_port, htons(40000));
	assert_int_equal(record.port, htons(80));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_claim, clear),
	};

	return cmocka_run_group_tests_name("onetime_guard", tests, set_up, tear_down);
}
