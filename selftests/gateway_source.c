// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/gateway_fixture.c selftests/lib/seal.c */
/*
 * selftests/gateway_source.c - whose packets begin flows: nobody's whose address is inside, by this
 * machine's routes, and beside each of them one who may.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/gateway_fixture.h"

#define SPORT 40000
#define DPORT 22

static struct gfix fx;
static const struct isthmus_addr initiator = GFIX_INITIATOR, waypoint = GFIX_WAYPOINT;
static const enum gfix_program ups[] = { GFIX_UP_XDP, GFIX_UP_TC };

static int set_up(void **state)
{
	(void)state;
	return gfix_open(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	gfix_close(&fx);
	return 0;
}

static int fill(void **state)
{
	(void)state;
	gfix_clear(&fx);
	return 0;
}

static struct packet_spec from_initiator(__u8 proto, __u16 sport, __u16 flags)
{
	return (struct packet_spec){ .src = initiator,
				     .dst = waypoint,
				     .sport = sport,
				     .dport = DPORT,
				     .proto = proto,
				     .flags = flags,
				     .data_len = 20 };
}

static int up_spec(const struct packet_spec *spec, int host, int hook)
{
	struct gfix_result result;
	struct packet in, sealed;

	packet_build(spec, &in);
	gfix_seal(&fx, GFIX_W1, host, &in, &sealed);
	gfix_run(&fx, ups[hook], &sealed, &result);
	return result.reason;
}

/* An address that is inside, or nobody's, begins nothing, whatever it sends. */
static void spoofed(void **state)
{
	static const struct {
		struct isthmus_addr src;
		int host;
		bool good;
	} sources[] = {
		{ GFIX_INITIATOR, GFIX_PLAIN, true },
		{ PACKET_V4(192, 168, 1, 77), GFIX_PLAIN, false },
		{ PACKET_V4(192, 168, 1, 77), GFIX_AWARE, false },
		{ PACKET_V4(192, 168, 1, 77), GFIX_PLAIN6, false },
		{ PACKET_V4(192, 168, 1, 77), GFIX_MASKED, true },
		{ PACKET_V4(127, 0, 0, 1), GFIX_PLAIN, false },
		{ PACKET_V4(0, 0, 0, 0), GFIX_PLAIN, false },
		{ PACKET_V4(224, 0, 0, 5), GFIX_PLAIN, false },
		{ PACKET_V4(255, 255, 255, 255), GFIX_PLAIN, false },
		{ GFIX_INITIATOR6, GFIX_PLAIN6, true },
		{ PACKET_V6(1, 0x77), GFIX_PLAIN6, false },
		{ { { [15] = 1 } }, GFIX_PLAIN6, false },
		{ { { 0xff, 2, [15] = 1 } }, GFIX_PLAIN6, false },
	};
	static const __u8 protos[] = { 6, 17, 50 };

	(void)state;
	assume_run("ip addr add 192.168.1.1/24 dev lan");
	assume_run("ip addr add 2001:db8:1::1/64 dev lan nodad");
	assume_run("sysctl -qw net.ipv4.conf.lan.forwarding=1 net.ipv6.conf.lan.forwarding=1");
	for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
		for (int j = 0; j < 6; j++) {
			struct packet_spec spec = from_initiator(protos[j / 2], SPORT, 0);
			int want = sources[i].good ? GATEWAY_DELIVERED : GATEWAY_SPOOFED;

			spec.src = sources[i].src;
			if (!packet_addr_v4(&spec.src))
				spec.dst = (struct isthmus_addr)GFIX_WAYPOINT6;
			print_message("source %zu, protocol %d\n", i, spec.proto);
			fill(state);
			assert_int_equal(up_spec(&spec, sources[i].host, j % 2), want);
			assert_int_equal(gfix_entries(&fx, "gateway_pair"), sources[i].good);
			assert_int_equal(gfix_entries(&fx, "gateway_flow"),
					 sources[i].good && spec.proto != 50);
		}
	}
	assume_run("ip addr flush dev lan");
}

/* A later fragment, which alone begins nothing, neither. */
static void spoofed_fragment(void **state)
{
	struct packet_spec spec = from_initiator(17, 0, 0);

	(void)state;
	assume_run("ip addr add 192.168.1.1/24 dev lan");
	for (int hook = 0; hook < 2; hook++) {
		spec.frag = 100;
		spec.src = (struct isthmus_addr)PACKET_V4(192, 168, 1, 77);
		assert_int_equal(up_spec(&spec, GFIX_PLAIN, hook), GATEWAY_SPOOFED);
		spec.src = initiator;
		assert_int_equal(up_spec(&spec, GFIX_PLAIN, hook), GATEWAY_DELIVERED);
		assert_int_equal(gfix_entries(&fx, "gateway_pair"), 0);
	}
	assume_run("ip addr flush dev lan");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(spoofed, fill),
		cmocka_unit_test_setup(spoofed_fragment, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
