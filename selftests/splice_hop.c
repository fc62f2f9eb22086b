// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/splice_fixture.c */
/* link: selftests/lib/splice_wire.c selftests/lib/splice_model.c */
/*
 * selftests/splice_hop.c - next hops: looked up when legs are made, again when told or after a
 * time, never for each packet; the way the SYN came where the tables do not know one.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "selftests/lib/splice_fixture.h"
#include "selftests/lib/splice_model.h"
#include "selftests/lib/splice_wire.h"

static struct splice_fixture fx;

static const __u8 moved_mac[6] = { 2, 0, 0, 0, 0x77, 0x77 };

static void command(const char *line)
{
	assert_int_equal(splice_wire_command(line), 0);
}

/* The neighbours of side 1, both families, as the bench made them or elsewhere. */
static void neighbours_move(bool moved)
{
	command(moved ? "ip neigh replace 198.51.100.20 lladdr 02:00:00:00:77:77 dev near1 nud "
			"permanent"
		      : "ip neigh replace 198.51.100.20 lladdr 02:00:00:00:0b:20 dev near1 nud "
			"permanent");
	command(moved ? "ip neigh replace 2001:db8:b::20 lladdr 02:00:00:00:77:77 dev near1 nud "
			"permanent"
		      : "ip neigh replace 2001:db8:b::20 lladdr 02:00:00:00:0b:20 dev near1 nud "
			"permanent");
}

static void raise_epoch(void)
{
	struct splice_conf conf;

	splice_fixture_get_conf(&fx, &conf);
	conf.epoch++;
	splice_fixture_set_conf(&fx, &conf);
}

static void set_conf(__u32 epoch, __u64 recheck_ns)
{
	struct splice_conf conf;

	splice_fixture_get_conf(&fx, &conf);
	conf.epoch = epoch;
	conf.recheck_ns = recheck_ns;
	splice_fixture_set_conf(&fx, &conf);
}

/* One packet of side 0: what leaves is the session's as it now is, or nothing with this reason. */
static void forward(const struct splice_session *session, enum fixture_hook hook,
		    enum splice_reason reason)
{
	struct packet_spec spec = { .flags = PACKET_ACK, .data_len = 5 };
	struct splice_result result;
	struct packet in, want;

	splice_fixture_spec(&fx, session, 0, &spec);
	packet_build(&spec, &in);
	assert_int_equal(splice_model_forward(session, 0, hook, &in, &want), SPLICE_FORWARDED);
	splice_fixture_run(&fx, hook, 0, &in, &result);
	assert_string_equal(splice_reason_name(result.reason), splice_reason_name(reason));
	assert_int_equal(
		result.verdict,
		splice_fixture_verdict(hook, reason, session->end[1].hop.ifindex == fx.ifindex[0]));
	if (reason == SPLICE_FORWARDED)
		assert_true(splice_model_same(&result.out, &want));
}

static void put_routed_legs(const struct splice_session *session, __u8 flags)
{
	struct splice_leg leg;

	for (int from = 0; from < 2; from++) {
		splice_fixture_leg(session, from, &leg);
		leg.flags |= flags;
		splice_fixture_put_leg(&fx, session, from, &leg);
	}
}

static void each_setting(void (*run)(struct splice_session *, enum fixture_hook))
{
	struct splice_session session;

	for (unsigned int bits = 0; bits < 4; bits++) {
		splice_fixture_clear(&fx);
		set_conf(7, 3600000000000ull);
		splice_fixture_session(&fx, bits & 1, IPPROTO_TCP, false, &session);
		run(&session, bits & 2 ? FIXTURE_TC : FIXTURE_XDP);
		neighbours_move(false);
	}
}

static void run_epoch(struct splice_session *session, enum fixture_hook hook)
{
	struct splice_leg leg;

	put_routed_legs(session, SPLICE_LEG_ROUTED);
	forward(session, hook, SPLICE_FORWARDED);
	neighbours_move(true);
	forward(session, hook, SPLICE_FORWARDED); /* to the old one: nothing was looked up */
	raise_epoch();
	memcpy(session->end[1].hop.dst_mac, moved_mac, 6);
	forward(session, hook, SPLICE_FORWARDED);
	assert_true(splice_fixture_get_leg(&fx, session, 0, &leg));
	assert_int_equal(leg.epoch, 8);
	assert_memory_equal(leg.hop.dst_mac, moved_mac, 6);
	neighbours_move(false);
	forward(session, hook, SPLICE_FORWARDED); /* the epoch is known: not looked up again */
}

static void test_new_epoch(void **state)
{
	(void)state;
	each_setting(run_epoch);
}

static void run_recheck(struct splice_session *session, enum fixture_hook hook)
{
	struct splice_leg leg;

	splice_fixture_leg(session, 0, &leg);
	leg.flags |= SPLICE_LEG_ROUTED;
	splice_fixture_put_leg(&fx, session, 0, &leg);
	neighbours_move(true);
	set_conf(7, 10000000000ull);
	forward(session, hook, SPLICE_FORWARDED); /* checked just now */
	leg.checked_ns = splice_fixture_now() - 9000000000ull;
	splice_fixture_put_leg(&fx, session, 0, &leg);
	forward(session, hook, SPLICE_FORWARDED);
	leg.checked_ns = splice_fixture_now() - 11000000000ull;
	splice_fixture_put_leg(&fx, session, 0, &leg);
	memcpy(session->end[1].hop.dst_mac, moved_mac, 6);
	forward(session, hook, SPLICE_FORWARDED);
	assert_true(splice_fixture_get_leg(&fx, session, 0, &leg));
	assert_in_range(leg.checked_ns, splice_fixture_now() - 1000000000ull, splice_fixture_now());
}

static void test_recheck_time(void **state)
{
	(void)state;
	each_setting(run_recheck);
}

static void routes_gone(bool gone)
{
	command(gone ? "ip route replace blackhole 198.51.100.20/32"
		     : "ip route del blackhole 198.51.100.20/32");
	command(gone ? "ip -6 route replace blackhole 2001:db8:b::20/128"
		     : "ip -6 route del blackhole 2001:db8:b::20/128");
}

static void run_no_route(struct splice_session *session, enum fixture_hook hook)
{
	put_routed_legs(session, SPLICE_LEG_ROUTED);
	routes_gone(true);
	raise_epoch();
	forward(session, hook, SPLICE_NO_HOP);
	forward(session, hook, SPLICE_NO_HOP);
	routes_gone(false);
	raise_epoch();
	forward(session, hook, SPLICE_FORWARDED);
}

/* A route that is gone stops the leg; the route's return starts it. */
static void test_route_gone(void **state)
{
	(void)state;
	each_setting(run_no_route);
}

static void run_no_route_retry(struct splice_session *session, enum fixture_hook hook)
{
	put_routed_legs(session, SPLICE_LEG_ROUTED);
	routes_gone(true);
	raise_epoch();
	forward(session, hook, SPLICE_NO_HOP);
	routes_gone(false);
	usleep(150000); /* asked again after 100 ms, also when nobody raises the epoch */
	forward(session, hook, SPLICE_FORWARDED);
}

static void test_route_back_unannounced(void **state)
{
	(void)state;
	each_setting(run_no_route_retry);
}

static void run_way_back(struct splice_session *session, enum fixture_hook hook)
{
	put_routed_legs(session, 0);
	routes_gone(true);
	raise_epoch();
	forward(session, hook, SPLICE_FORWARDED);
	routes_gone(false);
}

/* A leg that goes the way its SYN came does not need a route. */
static void test_no_route_needed(void **state)
{
	(void)state;
	each_setting(run_way_back);
}

static void run_no_neighbour(struct splice_session *session, enum fixture_hook hook)
{
	put_routed_legs(session, SPLICE_LEG_ROUTED);
	command("ip neigh del 198.51.100.20 dev near1");
	command("ip neigh del 2001:db8:b::20 dev near1");
	raise_epoch();
	forward(session, hook, SPLICE_FORWARDED);
}

/* A neighbour that is being resolved keeps its last address. */
static void test_no_neighbour(void **state)
{
	(void)state;
	each_setting(run_no_neighbour);
}

static void send_syn(const struct splice_session *session, int side, const __u8 *src_mac,
		     struct splice_result *result)
{
	struct packet_spec spec = { .flags = PACKET_SYN };
	struct packet packet;

	splice_fixture_spec(&fx, session, side, &spec);
	if (src_mac)
		memcpy(spec.src_mac, src_mac, 6);
	packet_build(&spec, &packet);
	splice_fixture_run(&fx, FIXTURE_TC, side, &packet, result);
}

/* SYNACKs go back the way the SYNs came, legs follow the tables. */
static void run_asymmetric(struct splice_session *session, enum fixture_hook hook)
{
	static const __u8 router_mac[6] = { 2, 0, 0, 0, 0x55, 0x55 };
	struct splice_model_syn synack;
	struct splice_result result;
	struct splice_session back = *session;
	struct packet clone;
	struct splice_leg leg;

	for (int i = 0; i < 2; i++)
		memcpy(back.end[i].hop.dst_mac, router_mac, 6);
	splice_fixture_announce(&fx, session);
	send_syn(session, 0, router_mac, &result);
	send_syn(session, 1, router_mac, &result);
	assert_int_equal(result.reason, SPLICE_JOINED);
	assert_true(splice_model_read_synack(&back, 1, &result.out, &synack));
	assert_true(splice_fixture_receive(&fx, 0, &clone));
	assert_true(splice_model_read_synack(&back, 0, &clone, &synack));
	for (int i = 0; i < 2; i++) {
		assert_true(splice_fixture_get_leg(&fx, session, i, &leg));
		assert_memory_equal(&leg.hop, &session->end[!i].hop, sizeof(leg.hop));
		assert_true(leg.flags & SPLICE_LEG_ROUTED);
	}
	forward(session, hook, SPLICE_FORWARDED);
}

static void test_asymmetric_routes(void **state)
{
	(void)state;
	each_setting(run_asymmetric);
}

/* No route when the legs are made: they go the way the SYNs came. */
static void run_join_without_route(struct splice_session *session, enum fixture_hook hook)
{
	static const __u8 router_mac[6] = { 2, 0, 0, 0, 0x55, 0x55 };
	struct splice_result result;
	struct packet clone;
	struct splice_leg leg;

	routes_gone(true);
	splice_fixture_announce(&fx, session);
	send_syn(session, 0, NULL, &result);
	send_syn(session, 1, router_mac, &result);
	assert_int_equal(result.reason, SPLICE_JOINED);
	assert_true(splice_fixture_receive(&fx, 0, &clone));
	memcpy(session->end[1].hop.dst_mac, router_mac, 6);
	assert_true(splice_fixture_get_leg(&fx, session, 0, &leg));
	assert_int_equal(leg.flags & SPLICE_LEG_ROUTED, 0);
	assert_memory_equal(&leg.hop, &session->end[1].hop, sizeof(leg.hop));
	forward(session, hook, SPLICE_FORWARDED);
	routes_gone(false);
}

static void test_join_without_route(void **state)
{
	(void)state;
	each_setting(run_join_without_route);
}

/* A route by a VLAN device: the parent and the tag that splice_dev tells. */
static void run_vlan_device(struct splice_session *session, enum fixture_hook hook)
{
	struct splice_dev plain = { .ifindex = fx.ifindex[1], .hook = SPLICE_HOOK_TC };
	struct splice_dev tagged = { .ifindex = fx.ifindex[0],
				     .vlan_proto = htons(0x8100),
				     .vlan_tci = htons(0x2064) };
	struct packet_spec spec = { .flags = PACKET_ACK, .tag = { { 0x88a8, 5 } } };
	struct splice_result result;
	struct packet in, want;
	struct splice_leg leg;

	put_routed_legs(session, SPLICE_LEG_ROUTED);
	splice_fixture_put(&fx, "splice_dev", &fx.ifindex[1], &tagged);
	raise_epoch();
	session->end[1].hop.ifindex = fx.ifindex[0];
	session->end[1].hop.vlan_proto = tagged.vlan_proto;
	session->end[1].hop.vlan_tci = tagged.vlan_tci;
	splice_fixture_spec(&fx, session, 0, &spec);
	packet_build(&spec, &in);
	if (hook == FIXTURE_XDP) {
		assert_int_equal(splice_model_forward(session, 0, hook, &in, &want),
				 SPLICE_FORWARDED);
		splice_fixture_run(&fx, hook, 0, &in, &result);
		assert_int_equal(result.reason, SPLICE_FORWARDED);
		assert_int_equal(result.verdict,
				 splice_fixture_verdict(hook, SPLICE_FORWARDED, true));
		assert_true(splice_model_same(&result.out, &want));
	} else {
		/* The tag that tc pushes is kept aside: splice_link.c sees it on the wire. */
		forward(session, hook, SPLICE_FORWARDED);
	}
	assert_true(splice_fixture_get_leg(&fx, session, 0, &leg));
	assert_memory_equal(&leg.hop, &session->end[1].hop, sizeof(leg.hop));
	splice_fixture_put(&fx, "splice_dev", &fx.ifindex[1], &plain);
}

static void test_vlan_device(void **state)
{
	(void)state;
	each_setting(run_vlan_device);
}

static int set_up(void **state)
{
	(void)state;
	return splice_fixture_open(&fx, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	splice_fixture_close(&fx);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_epoch),
		cmocka_unit_test(test_recheck_time),
		cmocka_unit_test(test_route_gone),
		cmocka_unit_test(test_route_back_unannounced),
		cmocka_unit_test(test_no_route_needed),
		cmocka_unit_test(test_no_neighbour),
		cmocka_unit_test(test_asymmetric_routes),
		cmocka_unit_test(test_join_without_route),
		cmocka_unit_test(test_vlan_device),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
