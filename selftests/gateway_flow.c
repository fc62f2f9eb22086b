// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/gateway_fixture.c selftests/lib/seal.c */
/*
 * selftests/gateway_flow.c - how long flows live, and what is done when their tables or ports are
 * full.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/lib/gateway_fixture.h"

#define SPORT  40000
#define DPORT  22
#define SECOND 1000000000ull

static struct gfix fx;
static const struct isthmus_addr initiator = GFIX_INITIATOR, other = GFIX_OTHER,
				 waypoint = GFIX_WAYPOINT, waypoint2 = GFIX_WAYPOINT2,
				 inside = GFIX_INSIDE;
static const enum gfix_program ups[] = { GFIX_UP_XDP, GFIX_UP_TC };
static const enum gfix_program lans[] = { GFIX_LAN_XDP, GFIX_LAN_TC };

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

/* Idle times that any machine has been up for; of other lengths, to tell them apart. */
#define TCP_S	 12
#define UDP_S	 10
#define OTHER_S	 8
#define LINGER_S 6

static int fill(void **state)
{
	struct gateway_conf conf;

	(void)state;
	gfix_clear(&fx);
	gfix_get_conf(&fx, &conf);
	conf.tcp_ns = TCP_S * SECOND;
	conf.udp_ns = UDP_S * SECOND;
	conf.other_ns = OTHER_S * SECOND;
	conf.linger_ns = LINGER_S * SECOND;
	gfix_set_conf(&fx, &conf);
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

static int up(__u8 proto, __u16 sport, __u16 flags, int host, int hook)
{
	struct packet_spec spec = from_initiator(proto, sport, flags);

	return up_spec(&spec, host, hook);
}

static int lan(__u8 proto, __u16 dport, __u16 flags, int host, int hook)
{
	static const __u8 mac[6] = { 2, 0, 0, 0, 9, 9 };
	struct packet_spec spec = { .src = gfix_host_addr(host),
				    .dst = host == GFIX_MASKED ? inside : initiator,
				    .sport = DPORT,
				    .dport = dport,
				    .proto = proto,
				    .flags = flags,
				    .data_len = 20 };
	struct gfix_result result;
	struct packet in;

	packet_build(&spec, &in);
	gfix_frame(&in, fx.lan_mac, mac);
	gfix_run(&fx, lans[hook], &in, &result);
	return result.reason;
}

static struct gateway_flow_key flow_key(__u8 proto)
{
	struct gateway_flow_key key = { .inside = gfix_host_addr(GFIX_PLAIN),
					.outside = initiator,
					.inside_port = htons(DPORT),
					.outside_port = htons(SPORT),
					.proto = proto };

	return key;
}

static struct gateway_flow flow_of(__u8 proto)
{
	struct gateway_flow_key key = flow_key(proto);
	struct gateway_flow flow;

	assert_true(gfix_get(&fx, "gateway_flow", &key, &flow));
	return flow;
}

/* The flow was last seen so long ago. */
static void age(__u8 proto, __u64 ns)
{
	struct gateway_flow_key key = flow_key(proto);
	struct gateway_flow flow = flow_of(proto);

	flow.seen_ns = gfix_now() - ns;
	gfix_put(&fx, "gateway_flow", &key, &flow);
}

/* ---- how long they live */

static void idle_times(void **state)
{
	static const struct {
		__u8 proto;
		__u64 seconds;
	} idle[] = { { IPPROTO_TCP, TCP_S }, { IPPROTO_UDP, UDP_S } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		for (int hook = 0; hook < 2; hook++) {
			__u8 proto = idle[i].proto;

			assert_int_equal(up(proto, SPORT, PACKET_ACK, GFIX_PLAIN, hook),
					 GATEWAY_DELIVERED);
			age(proto, (idle[i].seconds - 2) * SECOND);
			assert_int_equal(lan(proto, SPORT, PACKET_ACK, GFIX_PLAIN, hook),
					 GATEWAY_ANSWERED);
			age(proto, (idle[i].seconds + 1) * SECOND);
			assert_int_equal(lan(proto, SPORT, PACKET_ACK, GFIX_PLAIN, hook),
					 GATEWAY_OTHER);
			/* The initiator begins anew. */
			assert_int_equal(up(proto, SPORT, PACKET_SYN, GFIX_PLAIN, hook),
					 GATEWAY_DELIVERED);
			assert_int_equal(lan(proto, SPORT, PACKET_ACK, GFIX_PLAIN, hook),
					 GATEWAY_ANSWERED);
		}
	}
}

static void pairs_idle(void **state)
{
	struct gateway_pair_key key = { .inside = gfix_host_addr(GFIX_PLAIN),
					.outside = initiator };
	struct gateway_flow flow;

	(void)state;
	assert_int_equal(lan(50, 0, 0, GFIX_PLAIN, 0), GATEWAY_OTHER);
	assert_int_equal(up(50, 0, 0, GFIX_PLAIN, 0), GATEWAY_DELIVERED);
	assert_int_equal(lan(50, 0, 0, GFIX_PLAIN, 1), GATEWAY_ANSWERED);
	assert_true(gfix_get(&fx, "gateway_pair", &key, &flow));
	flow.seen_ns = gfix_now() - (OTHER_S + 1) * SECOND;
	gfix_put(&fx, "gateway_pair", &key, &flow);
	assert_int_equal(lan(50, 0, 0, GFIX_PLAIN, 0), GATEWAY_OTHER);
	assert_int_equal(lan(50, 0, 0, GFIX_PLAIN, 1), GATEWAY_OTHER);
	assert_int_equal(up(50, 0, 0, GFIX_PLAIN, 1), GATEWAY_DELIVERED);
	assert_int_equal(lan(50, 0, 0, GFIX_PLAIN, 0), GATEWAY_ANSWERED);
}

/* After both FINs a flow lingers, and a SYN begins it anew; one FIN changes nothing. */
static void fins(void **state)
{
	(void)state;
	for (int hook = 0; hook < 2; hook++) {
		assert_int_equal(up(6, SPORT, PACKET_SYN, GFIX_PLAIN, hook), GATEWAY_DELIVERED);
		assert_int_equal(flow_of(6).fins, 0);
		up(6, SPORT, PACKET_FIN | PACKET_ACK, GFIX_PLAIN, hook);
		assert_int_equal(flow_of(6).fins, GATEWAY_FIN_INITIATOR);
		age(6, (LINGER_S + 1) * SECOND);
		assert_int_equal(lan(6, SPORT, PACKET_FIN | PACKET_ACK, GFIX_PLAIN, hook),
				 GATEWAY_ANSWERED);
		assert_int_equal(flow_of(6).fins, GATEWAY_FIN_INITIATOR | GATEWAY_FIN_RESPONDER);
		assert_true(flow_of(6).seen_ns + 5 * SECOND > gfix_now());
		assert_int_equal(lan(6, SPORT, PACKET_ACK, GFIX_PLAIN, hook), GATEWAY_ANSWERED);
		age(6, (LINGER_S + 1) * SECOND);
		assert_int_equal(lan(6, SPORT, PACKET_ACK, GFIX_PLAIN, hook), GATEWAY_OTHER);
		assert_int_equal(up(6, SPORT, PACKET_SYN, GFIX_PLAIN, hook), GATEWAY_DELIVERED);
		assert_int_equal(flow_of(6).fins, 0);
		assert_int_equal(lan(6, SPORT, PACKET_RST, GFIX_PLAIN, hook), GATEWAY_ANSWERED);
		assert_int_equal(flow_of(6).fins, GATEWAY_RST);
		up(6, SPORT, PACKET_SYN, GFIX_PLAIN, hook);
		assert_int_equal(flow_of(6).fins, 0);
	}
}

/* Written at most once a second. */
static void touched(void **state)
{
	__u64 seen;

	(void)state;
	up(6, SPORT, PACKET_ACK, GFIX_PLAIN, 0);
	age(6, SECOND / 2);
	seen = flow_of(6).seen_ns;
	if (gfix_now() < seen + SECOND * 3 / 4) {
		up(6, SPORT, PACKET_ACK, GFIX_PLAIN, 0);
		if (gfix_now() < seen + SECOND)
			assert_true(flow_of(6).seen_ns == seen);
	}
	age(6, 2 * SECOND);
	seen = flow_of(6).seen_ns;
	up(6, SPORT, PACKET_ACK, GFIX_PLAIN, 1);
	assert_true(flow_of(6).seen_ns > seen);
	age(6, 2 * SECOND);
	lan(6, SPORT, PACKET_ACK, GFIX_PLAIN, 1);
	assert_true(flow_of(6).seen_ns > seen + SECOND);
}

/* ---- full */

static void flows_full(void **state)
{
	int made = 0;

	(void)state;
	for (int i = 0; i < 80; i++) {
		int reason = up(6, SPORT + i, PACKET_SYN, GFIX_PLAIN, i % 2);

		if (reason == GATEWAY_DELIVERED)
			made++;
		else
			assert_string_equal(gfix_reason_name(reason), "FLOW_FULL");
	}
	/* The kernel's hash tables keep a few entries a CPU in reserve. */
	assert_in_range(made, 64, 79);
	for (int hook = 0; hook < 2; hook++) {
		assert_int_equal(up(6, SPORT, PACKET_ACK, GFIX_PLAIN, hook), GATEWAY_DELIVERED);
		assert_int_equal(lan(6, SPORT, PACKET_ACK, GFIX_PLAIN, hook), GATEWAY_ANSWERED);
	}
}

static __u16 port_of(const struct isthmus_addr *src, const struct isthmus_addr *dst, __u16 sport)
{
	struct gateway_mask_key key = { .initiator = *src,
					.waypoint = *dst,
					.initiator_port = htons(sport),
					.waypoint_port = htons(DPORT),
					.proto = 6 };
	__be16 port = 0;

	gfix_get(&fx, "gateway_mask", &key, &port);
	return ntohs(port);
}

static void set_ports(__u16 low, __u16 high)
{
	struct gateway_conf conf;

	gfix_get_conf(&fx, &conf);
	conf.low_port = low;
	conf.high_port = high;
	gfix_set_conf(&fx, &conf);
}

/* Each flow has a port of its own, and keeps it; none is left for the next one. */
static void ports_full(void **state)
{
	__u8 taken[8] = { 0 };

	(void)state;
	set_ports(5000, 5007);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(up(6, SPORT + i, 0, GFIX_MASKED, i % 2), GATEWAY_DELIVERED);
		assert_in_range(port_of(&initiator, &waypoint, SPORT + i), 5000, 5007);
		taken[port_of(&initiator, &waypoint, SPORT + i) - 5000]++;
	}
	for (int i = 0; i < 8; i++)
		assert_int_equal(taken[i], 1);
	assert_int_equal(up(6, SPORT + 8, 0, GFIX_MASKED, 0), GATEWAY_FLOW_FULL);
	assert_int_equal(up(6, SPORT + 8, 0, GFIX_MASKED, 1), GATEWAY_FLOW_FULL);
	assert_int_equal(port_of(&initiator, &waypoint, SPORT + 8), 0);
	for (int i = 0; i < 8; i++) {
		__u16 port = port_of(&initiator, &waypoint, SPORT + i);

		assert_int_equal(up(6, SPORT + i, 0, GFIX_MASKED, i % 2), GATEWAY_DELIVERED);
		assert_int_equal(port_of(&initiator, &waypoint, SPORT + i), port);
		assert_int_equal(lan(6, port, 0, GFIX_MASKED, i % 2), GATEWAY_ANSWERED);
	}
	/* Another protocol has ports of its own. */
	assert_int_equal(up(17, SPORT, 0, GFIX_MASKED, 0), GATEWAY_DELIVERED);
}

/* No room for the mask: no flow is left that could not be found. */
static void masks_full(void **state)
{
	struct gateway_mask_key key = { .proto = 99 };
	int mask = gfix_map(&fx, "gateway_mask"), put = 0;
	__be16 port = 1;

	(void)state;
	do
		key.initiator_port++;
	while (!bpf_map_update_elem(mask, &key, &port, BPF_ANY) && ++put < 1000);
	assert_in_range(put, 64, 999);
	for (int hook = 0; hook < 2; hook++) {
		assert_int_equal(up(6, SPORT, 0, GFIX_MASKED, hook), GATEWAY_FLOW_FULL);
		assert_int_equal(gfix_entries(&fx, "gateway_flow"), 0);
	}
	key.initiator_port--;
	assert_int_equal(bpf_map_delete_elem(mask, &key), 0);
	assert_int_equal(up(6, SPORT, 0, GFIX_MASKED, 0), GATEWAY_DELIVERED);
}

/* A flow that the agent has cleared away leaves its port, and its mask is made anew. */
static void masks_after_their_flow(void **state)
{
	struct gateway_flow_key key = { .inside = gfix_host_addr(GFIX_MASKED),
					.outside = inside,
					.inside_port = htons(DPORT),
					.outside_port = htons(5000),
					.proto = 6 };
	struct gateway_flow flow;

	(void)state;
	set_ports(5000, 5000);
	assert_int_equal(up(6, SPORT, 0, GFIX_MASKED, 0), GATEWAY_DELIVERED);
	assert_int_equal(lan(6, 5000, 0, GFIX_MASKED, 0), GATEWAY_ANSWERED);
	assert_true(gfix_get(&fx, "gateway_flow", &key, &flow));
	assert_int_equal(flow.initiator_port, htons(SPORT));
	flow.seen_ns = gfix_now() - (TCP_S + 1) * SECOND;
	gfix_put(&fx, "gateway_flow", &key, &flow);
	assert_int_equal(lan(6, 5000, 0, GFIX_MASKED, 0), GATEWAY_OTHER);
	assert_int_equal(up(6, SPORT, 0, GFIX_MASKED, 1), GATEWAY_DELIVERED);
	assert_int_equal(lan(6, 5000, 0, GFIX_MASKED, 1), GATEWAY_ANSWERED);
	/* The waypoint has bound the initiator to another responder: the flow is another one. */
	flow.host = GFIX_PLAIN;
	flow.seen_ns = gfix_now();
	gfix_put(&fx, "gateway_flow", &key, &flow);
	assert_int_equal(up(6, SPORT, 0, GFIX_MASKED, 0), GATEWAY_FLOW_FULL);
	set_ports(5001, 5001);
	assert_int_equal(up(6, SPORT, 0, GFIX_MASKED, 0), GATEWAY_DELIVERED);
	assert_int_equal(port_of(&initiator, &waypoint, SPORT), 5001);
}

/* ---- whose it is */

/* Through two waypoint addresses; each answer has the right one's as its source. */
static void two_waypoints(void **state)
{
	struct packet_spec spec = from_initiator(6, SPORT, 0), answer;
	struct packet in, want, sealed;

	(void)state;
	assert_int_equal(up_spec(&spec, GFIX_PLAIN, 0), GATEWAY_DELIVERED);
	spec.dst = waypoint2;
	spec.sport = SPORT + 1;
	assert_int_equal(up_spec(&spec, GFIX_PLAIN, 1), GATEWAY_DELIVERED);
	for (int i = 0; i < 4; i++) {
		answer = spec;
		answer.src = gfix_host_addr(GFIX_PLAIN);
		answer.dst = initiator;
		answer.sport = DPORT;
		answer.dport = SPORT + i % 2;
		packet_build(&answer, &in);
		gfix_frame(&in, fx.lan_mac, fx.up_mac);
		answer.src = i % 2 ? waypoint2 : waypoint;
		answer.ttl = 63;
		packet_build(&answer, &want);
		gfix_answer(&fx, GFIX_W1, GFIX_PLAIN, i + 1, &want, &sealed);
		assert_true(gfix_becomes(&fx, lans[i / 2], &in, GATEWAY_ANSWERED, &sealed));
	}
}

/* FTP's active mode: the responder's connection comes from the waypoint's address, and goes on. */
static void begun_by_the_responder(void **state)
{
	(void)state;
	for (int hook = 0; hook < 2; hook++) {
		fill(state);
		assert_int_equal(lan(6, 5001, PACKET_SYN, GFIX_PLAIN, hook), GATEWAY_OTHER);
		assert_int_equal(up(6, SPORT, PACKET_SYN, GFIX_PLAIN, hook), GATEWAY_DELIVERED);
		/* What is on its way already, and what is no connection, is the kernel's. */
		assert_int_equal(lan(6, 5001, PACKET_ACK, GFIX_PLAIN, hook), GATEWAY_OTHER);
		assert_int_equal(lan(6, 5001, PACKET_SYN | PACKET_ACK, GFIX_PLAIN, hook),
				 GATEWAY_OTHER);
		assert_int_equal(lan(17, 5001, PACKET_SYN, GFIX_PLAIN, hook), GATEWAY_OTHER);
		assert_int_equal(lan(6, 5001, PACKET_SYN, GFIX_PLAIN, hook), GATEWAY_ANSWERED);
		assert_int_equal(gfix_entries(&fx, "gateway_flow"), 2);
		assert_int_equal(up(6, 5001, PACKET_SYN | PACKET_ACK, GFIX_PLAIN, hook),
				 GATEWAY_DELIVERED);
		assert_int_equal(lan(6, 5001, PACKET_ACK, GFIX_PLAIN, hook), GATEWAY_ANSWERED);
		assert_int_equal(gfix_entries(&fx, "gateway_flow"), 2);
		/* Masked it would need a port of an initiator that is not known. */
		assert_int_equal(up(6, SPORT, PACKET_SYN, GFIX_MASKED, hook), GATEWAY_DELIVERED);
		assert_int_equal(lan(6, 5001, PACKET_SYN, GFIX_MASKED, hook), GATEWAY_OTHER);
	}
}

/* Masked and without ports: the last initiator that began is answered. */
static void last_begun(void **state)
{
	struct packet_spec spec = from_initiator(50, 0, 0);
	struct gateway_pair_key key = { .inside = gfix_host_addr(GFIX_MASKED), .outside = inside };
	struct gateway_flow flow;

	(void)state;
	assert_int_equal(up_spec(&spec, GFIX_MASKED, 0), GATEWAY_DELIVERED);
	assert_true(gfix_get(&fx, "gateway_pair", &key, &flow));
	assert_memory_equal(&flow.initiator, &initiator, 16);
	spec.src = other;
	assert_int_equal(up_spec(&spec, GFIX_MASKED, 1), GATEWAY_DELIVERED);
	assert_true(gfix_get(&fx, "gateway_pair", &key, &flow));
	assert_memory_equal(&flow.initiator, &other, 16);
	assert_int_equal(lan(50, 0, 0, GFIX_MASKED, 0), GATEWAY_ANSWERED);
	/* One that began before, and goes on, is not the last. */
	set_ports(5000, 5001);
	spec = from_initiator(6, SPORT, PACKET_SYN);
	assert_int_equal(up_spec(&spec, GFIX_MASKED, 0), GATEWAY_DELIVERED);
	spec.src = other;
	assert_int_equal(up_spec(&spec, GFIX_MASKED, 1), GATEWAY_DELIVERED);
	spec.src = initiator;
	spec.flags = PACKET_FIN;
	assert_int_equal(up_spec(&spec, GFIX_MASKED, 0), GATEWAY_DELIVERED);
	assert_true(gfix_get(&fx, "gateway_pair", &key, &flow));
	assert_memory_equal(&flow.initiator, &other, 16);
}

static void nowhere_to_go(void **state)
{
	struct packet_spec spec = from_initiator(6, SPORT, 0);
	struct packet in, sealed;
	__u32 index = GFIX_UNKNOWN, down = GFIX_W1;
	struct gateway_host host;
	struct tunnel_peer peer;

	(void)state;
	for (int hook = 0; hook < 2; hook++) {
		assert_int_equal(up(6, SPORT, 0, 77, hook), GATEWAY_NO_HOST);
		assert_int_equal(up(6, SPORT, 0, GATEWAY_HOSTS + 1, hook), GATEWAY_NO_HOST);
		assert_int_equal(up(6, SPORT, 0, 0x7fffffff, hook), GATEWAY_NO_HOST);
		/* The agent is asked once, until it has cleared that. */
		assert_int_equal(up(6, SPORT, 0, GFIX_UNKNOWN, hook), GATEWAY_NO_HOP);
		assert_int_equal(fx.events, 1);
		assert_int_equal(fx.event[0].kind, GATEWAY_EVENT_ASK);
		assert_int_equal(fx.event[0].host, GFIX_UNKNOWN);
		assert_int_equal(up(6, SPORT, 0, GFIX_UNKNOWN, hook), GATEWAY_NO_HOP);
		assert_int_equal(fx.events, 0);
		assert_true(gfix_get(&fx, "gateway_host", &index, &host));
		assert_int_equal(host.asked, 1);
		host.asked = 0;
		gfix_put(&fx, "gateway_host", &index, &host);
	}
	assert_int_equal(gfix_entries(&fx, "gateway_flow"), 0);
	/* A waypoint that is down can still be heard, and not be answered. */
	packet_build(&spec, &in);
	gfix_seal(&fx, GFIX_W1, GFIX_PLAIN, &in, &sealed);
	assert_true(gfix_get(&fx, "gateway_peer", &down, &peer));
	peer.flags &= ~TUNNEL_UP;
	gfix_put(&fx, "gateway_peer", &down, &peer);
	assert_true(gfix_becomes(&fx, GFIX_UP_XDP, &sealed, GATEWAY_DELIVERED, NULL));
	assert_int_equal(lan(6, SPORT, 0, GFIX_PLAIN, 0), GATEWAY_NO_PEER);
	assert_int_equal(lan(6, SPORT, 0, GFIX_PLAIN, 1), GATEWAY_NO_PEER);
	peer.flags |= TUNNEL_UP;
	gfix_put(&fx, "gateway_peer", &down, &peer);
	assert_int_equal(lan(6, SPORT, 0, GFIX_PLAIN, 0), GATEWAY_ANSWERED);
}

/* What no session has brought is left to the kernel and its NAT, unchanged. */
static void untouched(void **state)
{
	struct packet_spec spec = {
		.src = gfix_host_addr(GFIX_PLAIN), .dst = initiator, .sport = DPORT, .dport = SPORT
	};
	const __u8 elsewhere[6] = { 2, 7, 7, 7, 7, 7 };
	struct gateway_conf conf;
	struct packet in;

	(void)state;
	for (int hook = 0; hook < 2; hook++) {
		packet_build(&spec, &in);
		gfix_frame(&in, fx.lan_mac, elsewhere);
		assert_true(gfix_becomes(&fx, lans[hook], &in, GATEWAY_OTHER, &in));
		assert_int_equal(up(6, SPORT, 0, GFIX_PLAIN, hook), GATEWAY_DELIVERED);
		assert_true(gfix_becomes(&fx, lans[hook], &in, GATEWAY_ANSWERED, NULL));
		/* For another router's MAC; tagged; of another port; by the uplink. */
		gfix_frame(&in, elsewhere, fx.lan_mac);
		assert_true(gfix_becomes(&fx, lans[hook], &in, GATEWAY_OTHER, &in));
		gfix_frame(&in, fx.lan_mac, elsewhere);
		assert_true(gfix_becomes(&fx, ups[hook], &in, GATEWAY_OTHER, &in));
		packet_put16(in.b + 12, 0x8100);
		assert_true(gfix_becomes(&fx, lans[hook], &in, GATEWAY_OTHER, &in));
		assert_int_equal(lan(6, SPORT + 1, 0, GFIX_PLAIN, hook), GATEWAY_OTHER);
		assert_int_equal(lan(17, SPORT, 0, GFIX_PLAIN, hook), GATEWAY_OTHER);
		/* By a device that is not a LAN. */
		gfix_get_conf(&fx, &conf);
		conf.common.link[1].side = conf.common.link[0].side;
		gfix_set_conf(&fx, &conf);
		assert_int_equal(lan(6, SPORT, 0, GFIX_PLAIN, hook), GATEWAY_OTHER);
		gfix_clear(&fx);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(idle_times, fill),
		cmocka_unit_test_setup(pairs_idle, fill),
		cmocka_unit_test_setup(fins, fill),
		cmocka_unit_test_setup(touched, fill),
		cmocka_unit_test_setup(flows_full, fill),
		cmocka_unit_test_setup(ports_full, fill),
		cmocka_unit_test_setup(masks_full, fill),
		cmocka_unit_test_setup(masks_after_their_flow, fill),
		cmocka_unit_test_setup(two_waypoints, fill),
		cmocka_unit_test_setup(begun_by_the_responder, fill),
		cmocka_unit_test_setup(last_begun, fill),
		cmocka_unit_test_setup(nowhere_to_go, fill),
		cmocka_unit_test_setup(untouched, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
