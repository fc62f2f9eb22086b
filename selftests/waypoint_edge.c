// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/waypoint_fixture.c selftests/lib/seal.c */
/*
 * selftests/waypoint_edge.c - every length's tag; IPv6 initiators' way back; congestion marks; what
 * comes to the tunnel's port and is of no tunnel; one packet on two CPUs at once.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/seal.h"
#include "selftests/lib/waypoint_fixture.h"

#define ETH_LEN 14

static struct wfix fx;
static const __u8 six_mac[6] = { 2, 0, 0, 0, 7, 7 };

/* The bench's kernel knows the way to IPv6 initiators, and forwards. */
static int set_up(void **state)
{
	int err = wfix_open(&fx);

	(void)state;
	if (err)
		return err;
	assume_run("echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
	assume_run("echo 1 >/proc/sys/net/ipv4/conf/all/forwarding");
	assume_run("ip -6 addr add 2001:db8:7::1/64 dev net nodad");
	assume_run("ip -6 neigh add 2001:db8:7::7 lladdr 02:00:00:00:07:07 dev net nud permanent");
	assume_run("ip addr add 192.0.2.1/32 dev net");
	assume_run("ip route add 198.18.0.0/15 dev net");
	assume_run("ip neigh add 198.18.0.1 lladdr 02:00:00:00:07:08 dev net nud permanent");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	wfix_close(&fx);
	return 0;
}

static int clear(void **state)
{
	(void)state;
	wfix_clear(&fx);
	return 0;
}

/* Whole words, the rest of one, 64 and more of them: each length has its own path through a tag. */
static void test_every_length(void **state)
{
	struct packet_spec spec = wfix_spec(&wfix_alice, &wfix_w1, 47, 0);
	struct packet_spec reply = wfix_spec(&wfix_w1, &wfix_alice, 47, 0);
	struct packet inner, frame, want;

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	for (int i = 0; i <= WFIX_ROOM - 20; i++) {
		enum wfix_hook hook = i & 1 ? WFIX_XDP : WFIX_TC;

		spec.data_len = reply.data_len = i;
		assert_true(wfix_seals(&fx, hook, spec, WAYPOINT_SEALED, WFIX_G1, 5));
		packet_build(&reply, &inner);
		wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &frame);
		wfix_aged(&fx, reply, &want);
		wfix_macs(&fx, false, &want);
		assert_true(wfix_becomes(&fx, !hook, &frame, WAYPOINT_OPENED, &want));
	}
}

/* ---- IPv6 initiators */

static void test_back_to_six(void **state)
{
	struct packet_spec reply = wfix_spec(&wfix_w6, &wfix_six, IPPROTO_TCP, PACKET_ACK);
	struct isthmus_addr unknown = PACKET_V6(7, 8);
	struct packet inner, frame, want;

	(void)state;
	wfix_each_hook(hook)
	{
		reply.dst = wfix_six;
		packet_build(&reply, &inner);
		wfix_from_gateway(&fx, WFIX_G1, 7, &inner, &frame);
		wfix_aged(&fx, reply, &want);
		memcpy(want.b, six_mac, 6);
		memcpy(want.b + 6, fx.mac, 6);
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_OPENED, &want));
		/* Another gateway's, another host's. */
		wfix_from_gateway(&fx, WFIX_G2, 7, &inner, &frame);
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_FOREIGN, NULL));
		wfix_from_gateway(&fx, WFIX_G1, 8, &inner, &frame);
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_FOREIGN, NULL));
		/* The agent is told for whom no neighbour is known. */
		reply.dst = unknown;
		packet_build(&reply, &inner);
		wfix_from_gateway(&fx, WFIX_G1, 7, &inner, &frame);
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_NO_HOP, NULL));
		assert_int_equal(fx.events, 1);
		assert_int_equal(fx.event[0].kind, WAYPOINT_EVENT_NO_HOP);
		assert_memory_equal(&fx.event[0].addr, &unknown, 16);
	}
}

/* Echo requests are answered with errors as all else is, errors are not. */
static void test_errors_about_icmpv6(void **state)
{
	__u8 body[100] = { 128 };
	struct packet_spec spec = wfix_spec(&wfix_six, &wfix_w6, IPPROTO_ICMPV6, 0);

	(void)state;
	spec.data = body;
	spec.ttl = 1;
	wfix_each_hook(hook)
	{
		body[0] = 128;
		assert_true(wfix_spec_tells(&fx, hook, spec, WAYPOINT_TTL));
		body[0] = 1;
		assert_true(wfix_spec_becomes(&fx, hook, spec, WAYPOINT_TTL));
	}
}

/* ---- ECN (RFC 6040, figure 4) */

static void mark_outer(struct packet *frame, __u8 ecn)
{
	frame->b[ETH_LEN + 1] = (frame->b[ETH_LEN + 1] & ~3) | ecn;
	/* The outer header's checksum is nobody's concern behind the kernel's own check. */
}

static void test_congestion(void **state)
{
	enum { DROP = 4 };
	static const __u8 after[4][4] = {
		/* by the inner mark, then the outer one: none, ECT(1), ECT(0), CE */
		{ 0, 0, 0, DROP },
		{ 1, 1, 1, 3 },
		{ 2, 1, 2, 3 },
		{ 3, 3, 3, 3 },
	};
	struct packet_spec reply = wfix_spec(&wfix_w1, &wfix_alice, IPPROTO_UDP, 0);
	struct packet_spec request = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet inner, frame, want;

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	assert_true(wfix_seals(&fx, WFIX_XDP, request, WAYPOINT_SEALED, WFIX_G1, 5));
	for (int i = 0; i < 16; i++)
		wfix_each_hook(hook)
		{
			__u8 ends = after[i / 4][i % 4];

			reply.tos = 0xb8 | i / 4;
			packet_build(&reply, &inner);
			wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &frame);
			mark_outer(&frame, i % 4);
			reply.tos = 0xb8 | (ends & 3);
			wfix_aged(&fx, reply, &want);
			wfix_macs(&fx, false, &want);
			if (ends == DROP)
				assert_true(
					wfix_becomes(&fx, hook, &frame, WAYPOINT_MALFORMED, NULL));
			else
				assert_true(
					wfix_becomes(&fx, hook, &frame, WAYPOINT_OPENED, &want));
		}
}

/* The same inside IPv6, which has no checksum. */
static void test_congestion_six(void **state)
{
	struct packet_spec reply = wfix_spec(&wfix_w6, &wfix_six, IPPROTO_UDP, 0);
	struct packet inner, frame, want;

	(void)state;
	wfix_each_hook(hook)
	{
		packet_build(&reply, &inner);
		inner.b[ETH_LEN + 1] |= 2 << 4;
		wfix_from_gateway(&fx, WFIX_G1, 7, &inner, &frame);
		mark_outer(&frame, 3);
		wfix_aged(&fx, reply, &want);
		want.b[ETH_LEN + 1] |= 3 << 4;
		memcpy(want.b, six_mac, 6);
		memcpy(want.b + 6, fx.mac, 6);
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_OPENED, &want));
	}
}

/* ---- to the tunnel's port */

static void test_port_of_others(void **state)
{
	const struct isthmus_addr local = PACKET_V4(192, 0, 2, 1),
				  beyond = PACKET_V4(198, 18, 0, 1);
	struct packet_spec spec = wfix_spec(&wfix_alice, &local, IPPROTO_UDP, 0);
	struct packet inner, frame;
	struct packet_spec reply = wfix_spec(&wfix_w1, &wfix_alice, IPPROTO_UDP, 0);

	(void)state;
	spec.dport = TUNNEL_PORT;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	wfix_each_hook(hook)
	{
		/* Nothing that a tunnel carries: to this machine, through it, to a waypoint. */
		spec.dst = local;
		assert_true(wfix_spec_becomes(&fx, hook, spec, WAYPOINT_MALFORMED));
		spec.dst = beyond;
		assert_true(wfix_spec_becomes(&fx, hook, spec, WAYPOINT_OTHER));
		spec.dst = wfix_w1;
		assert_true(wfix_seals(&fx, hook, spec, WAYPOINT_SEALED, WFIX_G1, 5));
		/* A tunnel's, of somebody else. */
		packet_build(&reply, &inner);
		wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &frame);
		frame.b[seal_geneve_at(&frame) + 4] ^= 0x40;
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_VNI_UNKNOWN, NULL));
		memcpy(frame.b + ETH_LEN + 16, beyond.b + 12, 4);
		assert_true(wfix_becomes(&fx, hook, &frame, WAYPOINT_OTHER, &frame));
	}
}

/* A frame to another machine, which a bridge's port sees. */
static void test_frames_of_others(void **state)
{
	struct packet_spec spec = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet in;

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	wfix_frame(&fx, &spec, &in);
	in.b[5] ^= 1;
	assert_true(wfix_becomes(&fx, WFIX_TC, &in, WAYPOINT_OTHER, &in));
	in.b[5] ^= 1;
	in.b[0] |= 1;
	wfix_each_hook(hook) assert_true(wfix_becomes(&fx, hook, &in, WAYPOINT_OTHER, &in));
}

/* A finished checksum that looks as if it were not: the pseudo-header's sum. */
static void test_looks_unfinished(void **state)
{
	static const __u8 protos[] = { IPPROTO_TCP, IPPROTO_UDP };
	static const __u16 lengths[] = { 2, 36, 44, 45, 100, 1000, 1400 };

	(void)state;
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	for (size_t i = 0; i < 2; i++)
		for (size_t j = 0; j < sizeof(lengths) / sizeof(*lengths); j++) {
			struct packet_spec spec =
				wfix_spec(&wfix_alice, &wfix_w1, protos[i], PACKET_ACK);
			size_t l4 = lengths[j] + (protos[i] == IPPROTO_TCP ? 20 : 8);
			__u8 ends[12] = { 0 };
			struct packet in;
			__u16 pseudo;

			spec.data_len = lengths[j];
			wfix_frame(&fx, &spec, &in);
			memcpy(ends, in.b + ETH_LEN + 12, 8);
			ends[9] = protos[i];
			packet_put16(ends + 10, l4);
			pseudo = packet_sum(ends, sizeof(ends), 0);
			if (lengths[j] % 2 == 0) {
				packet_aim_l4_check(&in, pseudo);
				assert_true(packet_checks_good(&in));
				assert_true(wfix_becomes(&fx, WFIX_TC, &in, WAYPOINT_SEALED, NULL));
			}
			/* The same field, and the sum is another. */
			in.b[in.len - 1] ^= 1;
			packet_put16(in.b + ETH_LEN + 20 + (protos[i] == IPPROTO_TCP ? 16 : 6),
				     pseudo);
			assert_true(wfix_becomes(&fx, WFIX_TC, &in, WAYPOINT_UNFINISHED, NULL));
		}
}

/* ---- two CPUs */

enum { FRAMES = 1500 };

static struct packet raced[FRAMES];
static pthread_barrier_t step;
static __u64 opened[2], replayed[2], others[2];

static void *race(void *argument)
{
	int me = argument != NULL;
	struct xdp_md xdp = { .ingress_ifindex = fx.net };
	__u8 out[PACKET_MAX];
	cpu_set_t mine;

	CPU_ZERO(&mine);
	CPU_SET(me, &mine);
	must(sched_setaffinity(0, sizeof(mine), &mine));
	for (int i = 0; i < FRAMES; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = raced[i].b,
			    .data_size_in = raced[i].len, .data_out = out,
			    .data_size_out = sizeof(out), .repeat = 1, .ctx_in = &xdp,
			    .ctx_size_in = sizeof(xdp));

		xdp.data_end = raced[i].len;
		pthread_barrier_wait(&step);
		must(bpf_prog_test_run_opts(fx.program[WFIX_XDP], &opts));
		opened[me] += opts.retval == XDP_REDIRECT;
		replayed[me] += opts.retval == XDP_DROP;
		others[me] += opts.retval != XDP_REDIRECT && opts.retval != XDP_DROP;
	}
	return NULL;
}

/* Both CPUs get each packet at the same time: one opens it, whichever. */
static void test_two_cpus(void **state)
{
	struct packet_spec request = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet_spec reply = wfix_spec(&wfix_w1, &wfix_alice, IPPROTO_UDP, 0);
	struct packet inner;
	pthread_t thread;

	(void)state;
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip();
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	assert_true(wfix_seals(&fx, WFIX_XDP, request, WAYPOINT_SEALED, WFIX_G1, 5));
	packet_build(&reply, &inner);
	for (int i = 0; i < FRAMES; i++)
		wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &raced[i]);
	memset(opened, 0, sizeof(opened));
	memset(replayed, 0, sizeof(replayed));
	memset(others, 0, sizeof(others));
	pthread_barrier_init(&step, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, race, &fx), 0);
	race(NULL);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&step);
	assert_int_equal(opened[0] + opened[1], FRAMES);
	assert_int_equal(replayed[0] + replayed[1], FRAMES);
	assert_int_equal(others[0] + others[1], 0);
	/* The test is one only if both were first now and then. */
	printf("opened by each CPU: %llu, %llu\n", opened[0], opened[1]);
}

#define test(name) cmocka_unit_test_setup(name, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_every_length),
		test(test_back_to_six),
		test(test_errors_about_icmpv6),
		test(test_congestion),
		test(test_congestion_six),
		test(test_port_of_others),
		test(test_frames_of_others),
		test(test_looks_unfinished),
		test(test_two_cpus),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
