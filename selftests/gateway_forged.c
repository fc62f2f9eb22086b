// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/gateway_fixture.c selftests/lib/seal.c */
/*
 * selftests/gateway_forged.c - of forged, replayed, truncated and wrong-key tunnel packets none is
 * delivered; beside each one a genuine packet is.
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
#include <sys/sysinfo.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/gateway_fixture.h"
#include "selftests/lib/seal.h"

static struct gfix fx;
static struct packet inner;

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
	const struct packet_spec spec = { .src = GFIX_INITIATOR,
					  .dst = GFIX_WAYPOINT,
					  .sport = 40000,
					  .dport = 22,
					  .data_len = 100 };

	(void)state;
	gfix_clear(&fx);
	packet_build(&spec, &inner);
	return 0;
}

static void sealed(struct packet *frame)
{
	gfix_seal(&fx, GFIX_W1, GFIX_PLAIN, &inner, frame);
}

/* The control: what the waypoint sends now is delivered. */
static void genuine(enum gfix_program up)
{
	struct packet frame;

	sealed(&frame);
	assert_true(gfix_becomes(&fx, up, &frame, GATEWAY_DELIVERED, NULL));
}

static const enum gfix_program ups[] = { GFIX_UP_XDP, GFIX_UP_TC };

/* Every bit that the tag covers, and its own. */
static void every_bit(void **state)
{
	struct packet frame, changed;
	struct gfix_result result;
	int forged = 0, unknown = 0, other = 0;
	size_t from, to;

	(void)state;
	sealed(&frame);
	from = seal_geneve_at(&frame);
	to = frame.len;
	for (size_t bit = from * 8; bit < to * 8; bit++) {
		/* The host number's, sequence's, VNI's, tag's, payload's; others are the layout's.
		 */
		changed = frame;
		changed.b[bit / 8] ^= 1 << bit % 8;
		gfix_run(&fx, ups[bit % 2], &changed, &result);
		assert_string_not_equal(gfix_reason_name(result.reason), "DELIVERED");
		forged += result.reason == GATEWAY_FORGED;
		unknown += result.reason == GATEWAY_VNI_UNKNOWN;
		other += result.reason == GATEWAY_MALFORMED || result.reason == GATEWAY_CONTROL;
	}
	/* Layout: version and length, flags, protocol, class, type, length. */
	assert_int_equal(other, 8 + 8 + 16 + 16 + 8 + 8);
	/* Two bits of the VNI name another peer, whose key it is not; two of the CPU another one.
	 */
	assert_int_equal(unknown, 24 - 2 + 16 - 2);
	assert_int_equal(forged + unknown + other, (to - from) * 8);
	assert_true(gfix_becomes(&fx, GFIX_UP_XDP, &frame, GATEWAY_DELIVERED, NULL));
	genuine(GFIX_UP_TC);
}

static void replayed(void **state)
{
	struct packet frame;

	(void)state;
	for (int i = 0; i < 2; i++) {
		sealed(&frame);
		assert_true(gfix_becomes(&fx, ups[i], &frame, GATEWAY_DELIVERED, NULL));
		for (int j = 0; j < 4; j++)
			assert_true(
				gfix_becomes(&fx, ups[j % 2], &frame, GATEWAY_REPLAYED, &frame));
		genuine(ups[i]);
	}
}

/* ---- two CPUs at once */

#define RACES 400

static struct packet racing[RACES];
static pthread_barrier_t start;

static void *race(void *argument)
{
	struct xdp_md context = { .ingress_ifindex = fx.up };
	__u8 out[PACKET_MAX];
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET((long)argument, &cpu);
	sched_setaffinity(0, sizeof(cpu), &cpu);
	for (int i = 0; i < RACES; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = racing[i].b,
			    .data_size_in = racing[i].len, .data_out = out,
			    .data_size_out = sizeof(out), .ctx_in = &context,
			    .ctx_size_in = sizeof(context), .repeat = 1);

		context.data_end = racing[i].len;
		pthread_barrier_wait(&start);
		bpf_prog_test_run_opts(fx.program[GFIX_UP_XDP], &opts);
	}
	return NULL;
}

/* The same packet on both: once it is delivered, once it has come before. */
static void replayed_on_two_cpus(void **state)
{
	struct isthmus_count delivered, replayed_too, before[2];
	pthread_t threads[2];

	(void)state;
	if (get_nprocs() < 2) {
		print_message("one CPU\n");
		skip();
	}
	gfix_count(&fx, GATEWAY_DELIVERED, &before[0]);
	gfix_count(&fx, GATEWAY_REPLAYED, &before[1]);
	for (int i = 0; i < RACES; i++)
		sealed(&racing[i]);
	pthread_barrier_init(&start, NULL, 2);
	for (long i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race, (void *)i), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	gfix_count(&fx, GATEWAY_DELIVERED, &delivered);
	gfix_count(&fx, GATEWAY_REPLAYED, &replayed_too);
	assert_int_equal(delivered.packets - before[0].packets, RACES);
	assert_int_equal(replayed_too.packets - before[1].packets, RACES);
}

/* ---- orders */

static int pass(__u64 sequence)
{
	struct gfix_result result;
	struct packet frame;

	fx.sequence = sequence;
	sealed(&frame);
	gfix_run(&fx, ups[sequence % 2], &frame, &result);
	return result.reason;
}

/* Against a list of all that has come; the window moves by words of 64 (RFC 6479). */
static void in_any_order(void **state)
{
	enum { MOST = 8192 };
	static __u8 come[MOST];
	__u64 top = 0, base = 1, sequence;
	unsigned int seed = 4711;
	int delivered = 0, refused = 0;

	(void)state;
	memset(come, 0, sizeof(come));
	for (int i = 0; i < 4000; i++) {
		/* Mostly near the newest, now and then far behind or ahead. */
		int jump = rand_r(&seed) % 100;
		__u64 spread = jump < 90 ? 64 : jump < 98 ? 1100 : 2500;

		base = top > spread ? top - spread : 1;
		sequence = base + rand_r(&seed) % (spread + (jump < 99 ? 4 : 1200));
		if (!sequence || sequence >= MOST)
			continue;
		bool good = !come[sequence] && sequence / 64 + TUNNEL_WINDOW / 64 > top / 64;
		int reason = pass(sequence);

		if (reason != (good ? GATEWAY_DELIVERED : GATEWAY_REPLAYED))
			print_message("sequence %llu, newest %llu\n", sequence, top);
		assert_string_equal(gfix_reason_name(reason), good ? "DELIVERED" : "REPLAYED");
		come[sequence] |= good;
		if (good && sequence > top)
			top = sequence;
		delivered += good;
		refused += !good;
	}
	assert_in_range(delivered, 500, 4000);
	assert_in_range(refused, 500, 4000);
}

static void window_edges(void **state)
{
	const __u64 cpu1 = 1ull << 48, none = 4ull << 48; /* windows 0 to 3 are there */

	(void)state;
	assert_int_equal(pass(0), GATEWAY_REPLAYED);
	assert_int_equal(pass(6399), GATEWAY_DELIVERED); /* the last of a word */
	assert_int_equal(pass(6399 - TUNNEL_WINDOW), GATEWAY_REPLAYED);
	assert_int_equal(pass(6400 - TUNNEL_WINDOW), GATEWAY_DELIVERED);
	assert_int_equal(pass(6400 - TUNNEL_WINDOW), GATEWAY_REPLAYED);
	/* A jump by whole windows forgets none of what is new. */
	assert_int_equal(pass(6399 + 7 * TUNNEL_WINDOW), GATEWAY_DELIVERED);
	assert_int_equal(pass(6400 + 6 * TUNNEL_WINDOW), GATEWAY_DELIVERED);
	assert_int_equal(pass(6399 + 7 * TUNNEL_WINDOW), GATEWAY_REPLAYED);
	/* Each CPU of the sender has its own. */
	assert_int_equal(pass(cpu1 | 1), GATEWAY_DELIVERED);
	assert_int_equal(pass(cpu1 | 1), GATEWAY_REPLAYED);
	assert_int_equal(pass(none | 1), GATEWAY_VNI_UNKNOWN);
	assert_int_equal(pass((1ull << 48) - 1), GATEWAY_DELIVERED);
	assert_int_equal(pass((1ull << 48) - 1), GATEWAY_REPLAYED);
}

static void wrong_keys(void **state)
{
	__u32 vni = gfix_vni(GFIX_W1);
	struct tunnel_key key, wrong;
	struct packet frame;

	(void)state;
	assert_true(gfix_get(&fx, "gateway_key", &vni, &key));
	for (int bit = 0; bit < 128; bit += 7) {
		wrong = key;
		wrong.key[bit / 64] ^= 1ull << bit % 64;
		gfix_put(&fx, "gateway_key", &vni, &wrong);
		sealed(&frame);
		gfix_put(&fx, "gateway_key", &vni, &key);
		assert_true(gfix_becomes(&fx, ups[bit % 2], &frame, GATEWAY_FORGED, &frame));
		/* A forged one has not moved the window. */
		fx.sequence--;
		genuine(ups[bit % 2]);
	}
	/* An old key is good until its end, and not after it. */
	wrong = key;
	wrong.until_ns = gfix_now() - 1;
	gfix_put(&fx, "gateway_key", &vni, &wrong);
	sealed(&frame);
	assert_true(gfix_becomes(&fx, GFIX_UP_XDP, &frame, GATEWAY_VNI_UNKNOWN, &frame));
	assert_true(gfix_becomes(&fx, GFIX_UP_TC, &frame, GATEWAY_VNI_UNKNOWN, &frame));
	wrong.until_ns = gfix_now() + 60000000000ull;
	gfix_put(&fx, "gateway_key", &vni, &wrong);
	genuine(GFIX_UP_XDP);
}

/* What we send, sent back to us: the key of the other direction is another one. */
static void reflected(void **state)
{
	const struct packet_spec spec = { .src = { { [10] = 0xff, 0xff, 192, 168, 1, 17 } },
					  .dst = GFIX_INITIATOR,
					  .sport = 22,
					  .dport = 40000 };
	struct gfix_result result;
	struct packet in;
	__u32 vni;

	(void)state;
	genuine(GFIX_UP_XDP);
	packet_build(&spec, &in);
	gfix_frame(&in, fx.lan_mac, fx.up_mac);
	gfix_run(&fx, GFIX_LAN_XDP, &in, &result);
	assert_string_equal(gfix_reason_name(result.reason), "ANSWERED");
	gfix_frame(&result.out, fx.up_mac, fx.lan_mac);
	packet_put16(result.out.b + 36, TUNNEL_PORT);
	in = result.out;
	assert_true(gfix_becomes(&fx, GFIX_UP_XDP, &in, GATEWAY_VNI_UNKNOWN, &in));
	/* With our own VNI in it, too. */
	vni = gfix_vni(GFIX_W1);
	packet_put32(in.b + seal_geneve_at(&in) + 4, vni << 8);
	assert_true(gfix_becomes(&fx, GFIX_UP_TC, &in, GATEWAY_FORGED, &in));
	genuine(GFIX_UP_TC);
}

static void truncated(void **state)
{
	struct gfix_result result;
	struct packet frame, cut;

	(void)state;
	sealed(&frame);
	for (size_t len = 42; len < frame.len; len += len < 120 ? 1 : 9) {
		cut = frame;
		cut.len = len;
		for (int lie = 0; lie < 2; lie++) {
			if (lie) { /* headers that say so too */
				packet_put16(cut.b + 16, len - 14);
				packet_put16(cut.b + 38, len - 34);
			}
			gfix_run(&fx, ups[len % 2], &cut, &result);
			assert_string_not_equal(gfix_reason_name(result.reason), "DELIVERED");
			assert_int_not_equal(result.reason, -1);
			assert_int_not_equal(result.reason, GATEWAY_REPLAYED);
		}
	}
	assert_true(gfix_becomes(&fx, GFIX_UP_XDP, &frame, GATEWAY_DELIVERED, NULL));
}

/* Sealed well, and the packet in it is none. */
static void malformed_inside(void **state)
{
	static const struct {
		size_t at;
		__u8 value;
	} wrong[] = {
		{ 14, 0x55 }, /* version */
		{ 14, 0x44 }, /* header length */
		{ 16, 0xff }, /* total length beyond the end */
		{ 17, 10 },   /* less than the header */
		{ 46, 0x10 }, /* TCP's data offset */
		{ 13, 0xdd }, /* a protocol that the tunnel does not carry */
	};
	struct gfix_result result;
	struct packet good = inner, frame;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		for (int j = 0; j < 2; j++) {
			inner = good;
			inner.b[wrong[i].at] = wrong[i].value;
			sealed(&frame);
			gfix_run(&fx, ups[j], &frame, &result);
			if (result.reason != GATEWAY_MALFORMED)
				print_message("row %zu\n", i);
			assert_string_equal(gfix_reason_name(result.reason), "MALFORMED");
			inner = good;
			genuine(ups[j]);
		}
	}
}

static void not_a_tunnel(void **state)
{
	static const __u8 elsewhere[6] = { 2, 9, 9, 9, 9, 9 };
	struct packet frame, other;

	(void)state;
	sealed(&frame);
	for (int i = 0; i < 2; i++) {
		other = frame;
		gfix_frame(&other, elsewhere, fx.lan_mac);
		assert_true(gfix_becomes(&fx, ups[i], &other, GATEWAY_OTHER, &other));
		other = frame;
		packet_put16(other.b + 36, TUNNEL_PORT + 1);
		assert_true(gfix_becomes(&fx, ups[i], &other, GATEWAY_OTHER, &other));
		other = frame;
		packet_put16(other.b + 20, 0x2000); /* a fragment: the kernel's */
		assert_true(gfix_becomes(&fx, ups[i], &other, GATEWAY_OTHER, &other));
		other = frame;
		other.b[23] = IPPROTO_TCP;
		assert_true(gfix_becomes(&fx, ups[i], &other, GATEWAY_OTHER, &other));
		other = frame;
		other.b[seal_geneve_at(&frame) + 1] = 0x80;
		assert_true(gfix_becomes(&fx, ups[i], &other, GATEWAY_CONTROL, &other));
		other = frame;
		packet_put16(other.b + 12, 0x0806);
		assert_true(gfix_becomes(&fx, ups[i], &other, GATEWAY_OTHER, &other));
	}
	fx.gso_segments = 2;
	fx.gso_size = 100;
	assert_true(gfix_becomes(&fx, GFIX_UP_TC, &frame, GATEWAY_UNFINISHED, NULL));
	fx.gso_segments = fx.gso_size = 0;
	assert_true(gfix_becomes(&fx, GFIX_UP_TC, &frame, GATEWAY_DELIVERED, NULL));
}

/* Others' tunnels pass a gateway that is a router; what is for this machine does not. */
static void others(void **state)
{
	struct packet frame, passing;

	(void)state;
	assume_run("ip addr add 203.0.113.1/24 dev uplink");
	assume_run("ip route add 198.51.100.0/24 via 203.0.113.9");
	assume_run("ip neigh add 203.0.113.9 lladdr 02:00:00:00:00:09 dev uplink");
	assume_run("sysctl -qw net.ipv4.conf.uplink.forwarding=1");
	sealed(&frame);
	packet_put16(frame.b + seal_geneve_at(&frame) + 4, 0xeeee);
	passing = frame;
	packet_put32(passing.b + 30, 0xc6336405);
	for (int i = 0; i < 2; i++) {
		assert_true(gfix_becomes(&fx, ups[i], &frame, GATEWAY_VNI_UNKNOWN, &frame));
		assert_true(gfix_becomes(&fx, ups[i], &passing, GATEWAY_OTHER, &passing));
	}
	frame.b[seal_geneve_at(&frame)] = 2;
	passing.b[seal_geneve_at(&frame)] = 2;
	for (int i = 0; i < 2; i++) {
		assert_true(gfix_becomes(&fx, ups[i], &frame, GATEWAY_MALFORMED, &frame));
		assert_true(gfix_becomes(&fx, ups[i], &passing, GATEWAY_OTHER, &passing));
	}
	assume_run("ip addr flush dev uplink");
}

/* What a router has marked on the outer header (RFC 6040). */
static void congestion(void **state)
{
	static const struct {
		__u8 inner, outer;
		int after; /* -1: it cannot be told, so the packet is dropped */
	} marks[] = { { 0, 0, 0 }, { 0, 1, 0 }, { 0, 2, 0 }, { 0, 3, -1 }, { 1, 0, 1 },
		      { 1, 2, 1 }, { 1, 3, 3 }, { 2, 0, 2 }, { 2, 1, 1 },  { 2, 2, 2 },
		      { 2, 3, 3 }, { 3, 0, 3 }, { 3, 1, 3 }, { 3, 3, 3 } };
	struct packet_spec spec = { .src = GFIX_INITIATOR, .dst = GFIX_WAYPOINT, .data_len = 9 };
	struct packet frame, want;
	__u8 mac[6];

	(void)state;
	gfix_host_mac(GFIX_PLAIN, mac);
	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
		for (int j = 0; j < 2; j++) {
			spec.tos = 0xb8 | marks[i].inner;
			spec.dst = (struct isthmus_addr)GFIX_WAYPOINT;
			spec.ttl = 64;
			packet_build(&spec, &inner);
			sealed(&frame);
			frame.b[15] = (frame.b[15] & ~3) | marks[i].outer;
			if (marks[i].after < 0) {
				assert_true(
					gfix_becomes(&fx, ups[j], &frame, GATEWAY_MALFORMED, NULL));
				continue;
			}
			spec.tos = 0xb8 | marks[i].after;
			spec.dst = gfix_host_addr(GFIX_PLAIN);
			spec.ttl = 63;
			packet_build(&spec, &want);
			gfix_frame(&want, mac, fx.lan_mac);
			assert_true(gfix_becomes(&fx, ups[j], &frame, GATEWAY_DELIVERED, &want));
		}
	}
}

/* From another address: the agent hears of it, of a verified and newest packet only. */
static void moved(void **state)
{
	struct packet frame, late;

	(void)state;
	sealed(&late);
	sealed(&frame);
	packet_put32(frame.b + 26, 0xc6336401);
	packet_put32(late.b + 26, 0xc6336401);
	frame.b[seal_inner_at(&frame) + 30] ^= 1;
	assert_true(gfix_becomes(&fx, GFIX_UP_XDP, &frame, GATEWAY_FORGED, NULL));
	assert_int_equal(fx.events, 0);
	frame.b[seal_inner_at(&frame) + 30] ^= 1;
	assert_true(gfix_becomes(&fx, GFIX_UP_XDP, &frame, GATEWAY_DELIVERED, NULL));
	assert_int_equal(fx.events, 1);
	assert_int_equal(fx.event[0].kind, GATEWAY_EVENT_MOVED);
	assert_int_equal(fx.event[0].peer, GFIX_W1);
	assert_int_equal(packet_get32(fx.event[0].addr.b + 12), 0xc6336401);
	assert_int_equal(fx.event[0].port, htons(TUNNEL_PORT + GFIX_W1));
	assert_true(gfix_becomes(&fx, GFIX_UP_TC, &late, GATEWAY_DELIVERED, NULL));
	assert_int_equal(fx.events, 0);
	genuine(GFIX_UP_XDP);
	assert_int_equal(fx.events, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_bit, fill),
		cmocka_unit_test_setup(replayed, fill),
		cmocka_unit_test_setup(replayed_on_two_cpus, fill),
		cmocka_unit_test_setup(in_any_order, fill),
		cmocka_unit_test_setup(window_edges, fill),
		cmocka_unit_test_setup(wrong_keys, fill),
		cmocka_unit_test_setup(reflected, fill),
		cmocka_unit_test_setup(truncated, fill),
		cmocka_unit_test_setup(malformed_inside, fill),
		cmocka_unit_test_setup(not_a_tunnel, fill),
		cmocka_unit_test_setup(others, fill),
		cmocka_unit_test_setup(congestion, fill),
		cmocka_unit_test_setup(moved, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
