// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/resoa_fixture.c */
/* link: selftests/lib/resoa_fin.c */
/*
 * selftests/resoa_knock.c - which SYNs of peers are kept until the client was asked, and what is
 * told of them. With a client behind it is in resoad_knock.c and resoa_calls.sh.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/resoa_fin.h"

static const struct resoa_fin asks = { .state = RESOA_FIN_ARMED, .asks = 1 };

static struct rfix fx;
static int device;

static int set_up(void **state)
{
	(void)state;
	device = rfin_open(&fx, "resoa_knock");
	return device < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(device);
	rfix_close(&fx);
	return 0;
}

static int clear(void **state)
{
	(void)state;
	rfix_clear(&fx);
	return 0;
}

static struct packet_spec segment(const struct rfin_kind *kind, struct packet_spec spec)
{
	spec.src = rfix_addr(kind->peer);
	spec.dst = rfix_addr(kind->own);
	spec.sport = RFIN_PEER;
	spec.dport = spec.dport ?: RFIN_OWN;
	spec.seq = RFIN_RCV;
	return spec;
}

static int listening(const struct rfin_kind *kind, int backlog, const struct resoa_fin *record)
{
	int fd = rfin_bound(kind);

	if (record)
		rfin_put(&fx, fd, record);
	must(listen(fd, backlog));
	return fd;
}

/* The packet is as it was, whatever becomes of it. */
static bool becomes(const struct packet_spec *spec, const char *dev, __u32 mark, int reason)
{
	struct rfix_result result;
	struct packet in;

	packet_build(spec, &in);
	rfix_run(&fx, fx.skel->progs.resoa_fin_in, dev, mark, &in, &result);
	if (result.reason == reason && result.verdict == rfix_verdict(reason) &&
	    result.mark == (reason == RESOA_KNOCK_LET_IN ? 0 : mark))
		return rfix_same(&result.out, &in);
	fprintf(stderr, "%s, verdict %d, mark %x; should be %s\n", rfix_reason_name(result.reason),
		result.verdict, result.mark, rfix_reason_name(reason));
	return false;
}

static bool told(const struct packet_spec *spec, const struct rfin_kind *kind, __u64 cookie)
{
	const struct resoa_event *event = rfix_event(&fx, 0);
	struct resoa_event want = { .type = RESOA_EVENT_KNOCK,
				    .family = kind->family,
				    .proto = IPPROTO_TCP,
				    .cookie = cookie,
				    .number = if_nametoindex("e0"),
				    .isn = htonl(RFIN_RCV) };
	struct packet frame;

	packet_build(spec, &frame);
	want.names = rfix_names(kind->own, RFIN_OWN, kind->peer, RFIN_PEER);
	want.length = (__u32)frame.len;
	want.level = ETH_HLEN + (kind->family == 4 ? 20 : 40);
	want.name = (__s32)(frame.len - want.level - spec->trailer);
	memcpy(want.bytes, frame.b, frame.len);
	return event && !memcmp(event, &want, sizeof(want)) && !rfix_event(&fx, 0);
}

/* ---- of a listener whose client is asked */

static const char options[] = "\2\4\5\264\4\2\10\12\1\2\3\4\0\0\0\0\1\3\3\7";

static const struct row {
	const char *name;
	struct packet_spec spec;
	int reason;
	int only; /* family */
} rows[] = {
	{ "a SYN", { .flags = PACKET_SYN }, RESOA_KNOCK_HELD, 0 },
	{ "with options",
	  { .flags = PACKET_SYN, .opt_len = 20, .opt = options },
	  RESOA_KNOCK_HELD,
	  0 },
	{ "with ECN", { .flags = PACKET_SYN | PACKET_ECE | PACKET_CWR }, RESOA_KNOCK_HELD, 0 },
	{ "with a trailer", { .flags = PACKET_SYN, .trailer = 6 }, RESOA_KNOCK_HELD, 4 },
	{ "a wrong checksum is the kernel's to see",
	  { .flags = PACKET_SYN, .check = PACKET_CHECK_BAD },
	  RESOA_KNOCK_HELD,
	  0 },
	{ "data that fits", { .flags = PACKET_SYN, .data_len = 90 }, RESOA_KNOCK_HELD, 0 },
	{ "data that does not", { .flags = PACKET_SYN, .data_len = 139 }, RESOA_KNOCK_UNASKED, 0 },
	{ "SYN-ACK", { .flags = PACKET_SYN | PACKET_ACK }, RESOA_OTHER, 0 },
	{ "with RST", { .flags = PACKET_SYN | PACKET_RST }, RESOA_OTHER, 0 },
	{ "with FIN", { .flags = PACKET_SYN | PACKET_FIN }, RESOA_OTHER, 0 },
	{ "an ACK", { .flags = PACKET_ACK }, RESOA_OTHER, 0 },
	{ "another port", { .flags = PACKET_SYN, .dport = RFIN_OWN + 1 }, RESOA_OTHER, 0 },
	{ "a fragment", { .flags = PACKET_SYN, .frag = 0x2000 }, RESOA_OTHER, 4 },
	{ "a header that is too short", { .flags = PACKET_SYN, .doff = 4 }, RESOA_OTHER, 0 },
	{ "a length that is none", { .flags = PACKET_SYN, .tot_len = 1000 }, RESOA_OTHER, 0 },
};

static void run_rows(const struct rfin_kind *kind)
{
	int fd = listening(kind, 5, &asks);
	__u64 cookie = rfix_socket_cookie(fd);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct packet_spec spec = segment(kind, rows[i].spec);

		if (rows[i].only && rows[i].only != kind->family)
			continue;
		if (!becomes(&spec, "e0", 0, rows[i].reason) ||
		    (rows[i].reason == RESOA_KNOCK_HELD ? !told(&spec, kind, cookie)
							: rfix_event(&fx, 0) != NULL))
			fail_msg("%s", rows[i].name);
	}
	close(fd);
}

static void test_rows(void **unused)
{
	(void)unused;
	rfin_each_kind(kind) run_rows(kind);
}

/* Nothing is kept here: the daemon knows which it has. */
static void test_again(void **unused)
{
	const struct rfin_kind *kind = &rfin_kinds[0];
	struct packet_spec spec = segment(kind, (struct packet_spec){ .flags = PACKET_SYN });
	int fd = listening(kind, 5, &asks);
	__u64 cookie = rfix_socket_cookie(fd);

	(void)unused;
	for (int i = 0; i < 2; i++) {
		assert_true(becomes(&spec, "e0", 0, RESOA_KNOCK_HELD));
		assert_true(told(&spec, kind, cookie));
	}
	assert_true(becomes(&spec, "e0", RESOA_FIN_MARK + 1, RESOA_KNOCK_HELD));
	assert_true(told(&spec, kind, cookie));
	assert_true(becomes(&spec, "e0", RESOA_FIN_MARK, RESOA_KNOCK_LET_IN));
	assert_true(becomes(&spec, "lo", 0, RESOA_KNOCK_UNASKED));
	assert_null(rfix_event(&fx, 0));
	close(fd);
	/* What is left of one goes to the kernel, too. */
	assert_true(becomes(&spec, "e0", RESOA_FIN_MARK, RESOA_KNOCK_LET_IN));
	assert_true(becomes(&spec, "e0", 0, RESOA_OTHER));
}

/* Other listeners, and other sockets of an armed name. */
static void run_not_asked(const struct rfin_kind *kind)
{
	static const struct resoa_fin armed = { .state = RESOA_FIN_ARMED };
	struct packet_spec spec = segment(kind, (struct packet_spec){ .flags = PACKET_SYN });
	int fd = listening(kind, 5, NULL);

	assert_true(becomes(&spec, "e0", 0, RESOA_OTHER));
	rfin_put(&fx, fd, &armed);
	assert_true(becomes(&spec, "e0", 0, RESOA_OTHER));
	close(fd);
	fd = rfin_established(kind);
	rfin_put(&fx, fd, &asks);
	assert_true(becomes(&spec, "e0", 0, RESOA_OTHER));
	assert_null(rfix_event(&fx, 0));
	rfin_forget(fd);
}

static void test_not_asked(void **unused)
{
	(void)unused;
	rfin_each_kind(kind) run_not_asked(kind);
}

/* ---- bounds */

static void set_pace(__u64 time, __u32 count)
{
	const struct resoa_pace pace = { .time = time, .count = count };
	const __u32 zero = 0;

	must(bpf_map_update_elem(bpf_map__fd(fx.skel->maps.resoa_pace), &zero, &pace, 0));
}

static __u64 unit_now(void)
{
	struct timespec time;

	must(clock_gettime(CLOCK_MONOTONIC, &time));
	return (time.tv_sec * 1000000000ull + time.tv_nsec) >> RESOA_PACE_BITS;
}

/* Reasons of two SYNs after `count` in this unit of time, or `before` it; tried until both were in
 * one. */
static void run_pace(const struct packet_spec *spec, __u32 count, int before, int reasons[2])
{
	struct rfix_result result;
	struct packet in;
	__u64 unit;

	packet_build(spec, &in);
	for (int i = 0; i < 50; i++) {
		unit = unit_now();
		set_pace(unit - before, count);
		for (int j = 0; j < 2; j++) {
			rfix_run(&fx, fx.skel->progs.resoa_fin_in, "e0", 0, &in, &result);
			reasons[j] = result.reason;
		}
		if (unit == unit_now())
			return;
	}
	fail_msg("two runs take more than a unit of time");
}

/* Beyond the pace it is the kernel's alone. */
static void test_flood(void **unused)
{
	const struct rfin_kind *kind = &rfin_kinds[0];
	struct packet_spec spec = segment(kind, (struct packet_spec){ .flags = PACKET_SYN });
	int fd = listening(kind, 5, &asks), reasons[2];

	(void)unused;
	run_pace(&spec, RESOA_PACE - 2, 0, reasons);
	assert_int_equal(reasons[0], RESOA_KNOCK_HELD);
	assert_int_equal(reasons[1], RESOA_KNOCK_HELD);
	run_pace(&spec, RESOA_PACE - 1, 0, reasons);
	assert_int_equal(reasons[0], RESOA_KNOCK_HELD);
	assert_int_equal(reasons[1], RESOA_KNOCK_UNASKED);
	run_pace(&spec, RESOA_PACE, 0, reasons);
	assert_int_equal(reasons[0], RESOA_KNOCK_UNASKED);
	run_pace(&spec, RESOA_PACE, 1, reasons);
	assert_int_equal(reasons[0], RESOA_KNOCK_HELD);
	assert_int_equal(reasons[1], RESOA_KNOCK_HELD);
	close(fd);
}

/* The daemon does not read. */
static void test_ring_full(void **unused)
{
	const int most = RESOA_KNOCK_BYTES / sizeof(struct resoa_event) + 1;
	const struct rfin_kind *kind = &rfin_kinds[0];
	struct packet_spec spec = segment(kind, (struct packet_spec){ .flags = PACKET_SYN });
	int fd = listening(kind, 5, &asks), fits = 0;
	struct rfix_result result;
	struct packet in;

	(void)unused;
	packet_build(&spec, &in);
	for (; fits < most; fits++) {
		set_pace(0, 0);
		rfix_run(&fx, fx.skel->progs.resoa_fin_in, "e0", 0, &in, &result);
		if (result.reason != RESOA_KNOCK_HELD)
			break;
	}
	assert_in_range(fits, most / 2, most - 1);
	assert_int_equal(result.reason, RESOA_KNOCK_UNASKED);
	must(ring_buffer__consume(fx.ring));
	fx.events = 0;
	assert_true(becomes(&spec, "e0", 0, RESOA_KNOCK_HELD));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_rows, clear),
		cmocka_unit_test_setup(test_again, clear),
		cmocka_unit_test_setup(test_not_asked, clear),
		cmocka_unit_test_setup(test_flood, clear),
		cmocka_unit_test_setup(test_ring_full, clear),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
