// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/resoa_fixture.c */
/* link: selftests/lib/resoa_fin.c */
/*
 * selftests/resoa_fin.c - which FINs of a peer are taken away, which are believed and told (R10),
 * packet by packet. The server's sockets are real: the kernel made them with sequence numbers of
 * our choice (TCP_REPAIR), and of a window that ends after 65,535 bytes. Connections with a peer
 * are in resoa_gate.c.
 */
#include <arpa/inet.h>
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
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/resoa_fin.h"

#define FINACK (PACKET_FIN | PACKET_ACK)

static struct rfix fx;
static int device;

/* ---- packets */

/* As a peer sends it: seq and ack are relative to what is next. */
static struct packet_spec segment(const struct rfin_kind *kind, struct packet_spec spec)
{
	spec.src = rfix_addr(kind->peer);
	spec.dst = rfix_addr(kind->own);
	spec.sport = RFIN_PEER;
	spec.dport = RFIN_OWN;
	spec.seq += RFIN_RCV;
	spec.ack += RFIN_SND;
	return spec;
}

/* What comes out is laid out from scratch, without the flag if it is taken away. */
static bool becomes(const struct packet_spec *spec, __u32 mark, int reason,
		    const struct packet_spec *want)
{
	struct rfix_result result;
	struct packet in, out;

	packet_build(spec, &in);
	packet_build(want, &out);
	rfix_run(&fx, fx.skel->progs.resoa_fin_in, "e0", mark, &in, &result);
	if (result.reason != reason || result.verdict != rfix_verdict(reason)) {
		fprintf(stderr, "%s, verdict %d; should be %s, %d\n",
			rfix_reason_name(result.reason), result.verdict, rfix_reason_name(reason),
			rfix_verdict(reason));
		return false;
	}
	if (result.mark != (reason == RESOA_FIN_OPENED ? 0 : mark))
		return false;
	return rfix_same(&result.out, &out);
}

static bool run(const struct packet_spec *spec, int reason)
{
	struct packet_spec want = *spec;

	if (reason == RESOA_FIN_HELD || reason == RESOA_FIN_AGAIN || reason == RESOA_FIN_EARLY)
		want.flags &= ~PACKET_FIN;
	return becomes(spec, 0, reason, &want);
}

static bool event_is(const struct resoa_event *event, const struct rfin_kind *kind, __u64 cookie,
		     __u64 at)
{
	struct resoa_event want = { .type = RESOA_EVENT_FIN,
				    .family = kind->family,
				    .proto = IPPROTO_TCP,
				    .cookie = cookie,
				    .number = at };

	want.names = rfix_names(kind->own, RFIN_OWN, kind->peer, RFIN_PEER);
	return event && !memcmp(event, &want, sizeof(want));
}

static int set_up(void **state)
{
	(void)state;
	device = rfin_open(&fx, "resoa_fin");
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

/* ---- ARMED: what is believed */

static const char nops[] = "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
			   "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1";
#define TIMES "\1\1\10\12\1\2\3\4\5\6\7\10"

struct row {
	const char *name;
	struct packet_spec spec;
	int reason;
	int only; /* family */
	__u64 at; /* HELD */
};

static const struct row rows[] = {
	{ "FIN", { .flags = FINACK }, RESOA_FIN_HELD, 0, 0 },
	{ "FIN, padded", { .flags = FINACK, .trailer = 6 }, RESOA_FIN_HELD, 0, 0 },
	{ "FIN with data",
	  { .flags = FINACK | PACKET_PSH, .data_len = 100 },
	  RESOA_FIN_HELD,
	  0,
	  100 },
	{ "FIN with odd data, timestamps, all flags that may be",
	  { .flags = FINACK | PACKET_PSH | PACKET_URG | PACKET_ECE | PACKET_CWR | 0x100,
	    .data_len = 333,
	    .opt_len = 12,
	    .opt = TIMES },
	  RESOA_FIN_HELD,
	  0,
	  333 },
	{ "FIN with data across 2^32",
	  { .flags = FINACK, .data_len = 1400, .window = 1 },
	  RESOA_FIN_HELD,
	  0,
	  1400 },
	{ "FIN out of order", { .flags = FINACK, .seq = 9000 }, RESOA_FIN_HELD, 0, 9000 },
	{ "FIN with data out of order",
	  { .flags = FINACK, .seq = 9000, .data_len = 7 },
	  RESOA_FIN_HELD,
	  0,
	  9007 },
	{ "FIN with data that has come before, in part",
	  { .flags = FINACK, .seq = -50, .data_len = 80 },
	  RESOA_FIN_HELD,
	  0,
	  30 },
	{ "FIN with IP options",
	  { .flags = FINACK, .ip_opt_len = sizeof(nops), .ip_opt = nops, .data_len = 9 },
	  RESOA_FIN_HELD,
	  4,
	  9 },
	{ "FIN behind three extension headers",
	  { .flags = FINACK,
	    .exts = 3,
	    .ext = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS },
	    .data_len = 9 },
	  RESOA_FIN_HELD,
	  6,
	  9 },
	{ "FIN in a datagram of one fragment",
	  { .flags = FINACK, .exts = 1, .ext = { IPPROTO_FRAGMENT }, .data_len = 9 },
	  RESOA_FIN_HELD,
	  6,
	  9 },
	{ "FIN at the window's edge",
	  { .flags = FINACK, .seq = RFIN_WINDOW },
	  RESOA_FIN_HELD,
	  0,
	  RFIN_WINDOW },
	{ "FIN beyond it", { .flags = FINACK, .seq = RFIN_WINDOW + 1 }, RESOA_FIN_EARLY, 0, 0 },
	{ "FIN beyond it by its data",
	  { .flags = FINACK, .seq = RFIN_WINDOW - 9, .data_len = 10 },
	  RESOA_FIN_EARLY,
	  0,
	  0 },
	{ "FIN before what has come", { .flags = FINACK, .seq = -1 }, RESOA_FIN_EARLY, 0, 0 },
	{ "FIN half the numbers away",
	  { .flags = FINACK, .seq = 0x80000000 },
	  RESOA_FIN_EARLY,
	  0,
	  0 },
	{ "FIN that acknowledges what was not sent",
	  { .flags = FINACK, .ack = 1 },
	  RESOA_FIN_EARLY,
	  0,
	  0 },
	{ "FIN with an old acknowledgment",
	  { .flags = FINACK, .ack = -RFIN_WINDOW },
	  RESOA_FIN_HELD,
	  0,
	  0 },
	{ "FIN with an older one",
	  { .flags = FINACK, .ack = -RFIN_WINDOW - 1 },
	  RESOA_FIN_EARLY,
	  0,
	  0 },
	{ "FIN with a wrong checksum",
	  { .flags = FINACK, .data_len = 10, .check = PACKET_CHECK_BAD },
	  RESOA_FIN_EARLY,
	  0,
	  0 },
	{ "FIN in a first fragment",
	  { .flags = FINACK, .frag = 0x2000, .data_len = 8 },
	  RESOA_FIN_EARLY,
	  4,
	  0 },
	{ "FIN in a first fragment",
	  { .flags = FINACK, .exts = 1, .ext = { IPPROTO_FRAGMENT }, .v6_frag = 1, .data_len = 8 },
	  RESOA_FIN_EARLY,
	  6,
	  0 },
	{ "a later fragment", { .flags = FINACK, .frag = 1 }, RESOA_OTHER, 4, 0 },
	{ "a later fragment",
	  { .flags = FINACK, .exts = 1, .ext = { IPPROTO_FRAGMENT }, .v6_frag = 8 },
	  RESOA_OTHER,
	  6,
	  0 },
	{ "an unknown extension header",
	  { .flags = FINACK, .exts = 1, .ext = { 253 } },
	  RESOA_OTHER,
	  6,
	  0 },
	{ "data", { .flags = PACKET_ACK, .data_len = 1000 }, RESOA_OTHER, 0, 0 },
	{ "SYN and FIN", { .flags = FINACK | PACKET_SYN }, RESOA_OTHER, 0, 0 },
	{ "RST and FIN", { .flags = FINACK | PACKET_RST }, RESOA_OTHER, 0, 0 },
	{ "FIN without acknowledgment", { .flags = PACKET_FIN }, RESOA_OTHER, 0, 0 },
	{ "UDP", { .proto = IPPROTO_UDP, .data_len = 40 }, RESOA_OTHER, 0, 0 },
	{ "another EtherType", { .flags = FINACK, .ethertype = 0x88b5 }, RESOA_OTHER, 0, 0 },
	{ "data offset of 4", { .flags = FINACK, .doff = 4 }, RESOA_MALFORMED, 0, 0 },
	{ "data offset behind the end", { .flags = FINACK, .doff = 6 }, RESOA_MALFORMED, 0, 0 },
	{ "IP length behind the end",
	  { .flags = FINACK, .tot_len = 61, .data_len = 0 },
	  RESOA_MALFORMED,
	  0,
	  0 },
	{ "IP length of less than the headers",
	  { .flags = FINACK, .tot_len = 19 },
	  RESOA_MALFORMED,
	  0,
	  0 },
};

static struct resoa_fin held(const struct packet_spec *spec, __u64 at)
{
	struct resoa_fin fin = { .state = RESOA_FIN_HELD_BACK,
				 .fin_seq = RFIN_RCV + (__u32)at,
				 .at = at,
				 .window = htons(spec->window ? spec->window : 64240),
				 .ifindex = if_nametoindex("e0") };

	return fin;
}

static bool run_armed(const struct row *row, const struct rfin_kind *kind)
{
	static const struct resoa_fin armed = { .state = RESOA_FIN_ARMED };
	struct packet_spec spec = segment(kind, row->spec);
	int fd = rfin_established(kind);
	__u64 cookie = row->spec.data_len ? rfix_socket_cookie(fd) : 0; /* if it was asked for */
	bool right;

	rfin_put(&fx, fd, &armed);
	right = run(&spec, row->reason);
	if (row->reason == RESOA_FIN_HELD) {
		const struct resoa_fin want = held(&spec, row->at);

		right = right && rfin_is(&fx, fd, &want) &&
			event_is(rfix_event(&fx, 0), kind, cookie, row->at);
	} else {
		right = right && rfin_is(&fx, fd, &armed);
	}
	right = right && !rfix_event(&fx, 0);
	rfin_forget(fd);
	return right;
}

static void test_armed(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		rfin_each_kind(kind)
		{
			if (rows[i].only && rows[i].only != kind->family)
				continue;
			if (run_armed(&rows[i], kind))
				continue;
			fprintf(stderr, "in row: %s, %s\n", rows[i].name, kind->socket_own);
			fail();
		}
}

/* The control: who has not armed it sees every byte as it came. */
static void test_off(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		rfin_each_kind(kind)
		{
			struct packet_spec spec = segment(kind, rows[i].spec);
			int fd = rfin_established(kind);

			assert_true(run(&spec, RESOA_OTHER));
			rfin_state(&fx, fd, RESOA_FIN_OFF);
			assert_true(run(&spec, RESOA_OTHER));
			rfin_forget(fd);
		}
	assert_null(rfix_event(&fx, 0));
}

/* One bit of the names, and it is another connection. */
static void test_names(void **unused)
{
	(void)unused;
	rfin_each_kind(kind)
	{
		struct packet_spec spec = segment(kind, (struct packet_spec){ .flags = FINACK });
		int fd = rfin_established(kind);

		rfin_state(&fx, fd, RESOA_FIN_ARMED);
		for (int bit = 0; bit < 16; bit++) {
			struct packet_spec strange = spec;

			strange.sport ^= 1 << bit;
			assert_true(run(&strange, RESOA_OTHER));
			strange = spec;
			strange.dport ^= 1 << bit;
			assert_true(run(&strange, RESOA_OTHER));
		}
		for (int bit = kind->family == 4 ? 96 : 0; bit < 128; bit++) {
			struct packet_spec strange = spec;

			strange.src.b[bit / 8] ^= 1 << bit % 8;
			assert_true(run(&strange, RESOA_OTHER));
		}
		assert_true(run(&spec, RESOA_FIN_HELD));
		assert_true(event_is(rfix_event(&fx, 0), kind, 0, 0));
		assert_null(rfix_event(&fx, 0));
		rfin_forget(fd);
	}
}

/* ---- the other states */

static void run_again(const struct rfin_kind *kind)
{
	struct packet_spec spec = segment(kind, (struct packet_spec){ .flags = FINACK });
	struct resoa_fin want = held(&spec, 0);
	int fd = rfin_established(kind);

	rfin_state(&fx, fd, RESOA_FIN_ARMED);
	assert_true(run(&spec, RESOA_FIN_HELD));
	spec.window = 1234;
	assert_true(run(&spec, RESOA_FIN_AGAIN));
	want.window = htons(1234);
	want.again = 1;
	assert_true(rfin_is(&fx, fd, &want));
	/* Another place is not believed any more. */
	spec.window = 4321;
	spec.data_len = 10;
	assert_true(run(&spec, RESOA_FIN_AGAIN));
	want.again = 2;
	assert_true(rfin_is(&fx, fd, &want));
	assert_true(event_is(rfix_event(&fx, 0), kind, 0, 0));
	assert_null(rfix_event(&fx, 0));
	rfin_forget(fd);
}

static void test_again(void **unused)
{
	(void)unused;
	rfin_each_kind(kind) run_again(kind);
}

/* The peer's passes as it is; the daemon's own gets the acknowledgment of this moment. */
static void run_open(const struct rfin_kind *kind)
{
	struct packet_spec spec =
		segment(kind, (struct packet_spec){ .flags = FINACK, .data_len = 3 });
	struct packet_spec want = spec;
	int fd = rfin_established(kind);

	rfin_state(&fx, fd, RESOA_FIN_OPEN);
	assert_true(run(&spec, RESOA_FIN_PASSED));
	assert_true(becomes(&spec, RESOA_FIN_MARK + 1, RESOA_FIN_PASSED, &spec));
	spec.ack = 0x11223344;
	want.ack = RFIN_SND;
	assert_true(becomes(&spec, RESOA_FIN_MARK, RESOA_FIN_OPENED, &want));
	/* Before the gate is open the mark opens nothing. */
	rfin_state(&fx, fd, RESOA_FIN_HELD_BACK);
	want = spec;
	want.flags &= ~PACKET_FIN;
	assert_true(becomes(&spec, RESOA_FIN_MARK, RESOA_FIN_AGAIN, &want));
	assert_null(rfix_event(&fx, 0));
	rfin_forget(fd);
}

static void test_open(void **unused)
{
	(void)unused;
	rfin_each_kind(kind) run_open(kind);
}

/* A connection that does not stand yet is its listener's, which the kernel has not cloned. */
static void run_listener(const struct rfin_kind *kind)
{
	struct packet_spec spec = segment(kind, (struct packet_spec){ .flags = FINACK });
	struct packet_spec strange = spec;
	int fd = rfin_bound(kind);

	must(listen(fd, 1));
	assert_true(run(&spec, RESOA_OTHER));
	rfin_state(&fx, fd, RESOA_FIN_ARMED);
	assert_true(run(&spec, RESOA_FIN_EARLY));
	assert_int_equal(rfin_get(&fx, fd).state, RESOA_FIN_ARMED);
	/* All of a listener's own numbers are 0. */
	strange.seq = strange.ack = 0;
	assert_true(run(&strange, RESOA_FIN_EARLY));
	assert_int_equal(rfin_get(&fx, fd).state, RESOA_FIN_ARMED);
	rfin_state(&fx, fd, RESOA_FIN_OPEN);
	assert_true(run(&spec, RESOA_FIN_PASSED));
	assert_null(rfix_event(&fx, 0));
	close(fd);
}

static void test_listener(void **unused)
{
	(void)unused;
	rfin_each_kind(kind) run_listener(kind);
}

/* The number of the SYN that the kernel has sent last. */
static __u32 sent_isn(void)
{
	struct packet frame = {};
	struct packet_view view;
	__u32 isn = 0;
	ssize_t len;

	while ((len = read(device, frame.b + ETH_HLEN, PACKET_MAX - ETH_HLEN)) > 0) {
		frame.len = ETH_HLEN + len;
		packet_put16(frame.b + 12, frame.b[ETH_HLEN] >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6);
		if (packet_parse(&frame, &view) && view.proto == IPPROTO_TCP &&
		    frame.b[view.l4 + 13] == PACKET_SYN)
			isn = packet_get32(frame.b + view.l4 + 4);
	}
	return isn;
}

/* A connect under way, whose peer's numbers are all 0: nothing can be believed of it. */
static void run_connecting(const struct rfin_kind *kind)
{
	struct packet_spec spec = segment(kind, (struct packet_spec){ .flags = FINACK });
	struct sockaddr_in6 peer;
	socklen_t len = rfix_sockaddr(kind->socket_peer, RFIN_PEER, &peer);
	int fd = rfin_bound(kind), fl = 1;

	must(ioctl(fd, FIONBIO, &fl));
	rfin_state(&fx, fd, RESOA_FIN_ARMED);
	assert_int_equal(connect(fd, (void *)&peer, len), -1);
	assert_int_equal(errno, EINPROGRESS);
	spec.seq = 0;
	spec.ack = sent_isn() + 1;
	assert_true(run(&spec, RESOA_FIN_EARLY));
	assert_int_equal(rfin_get(&fx, fd).state, RESOA_FIN_ARMED);
	assert_null(rfix_event(&fx, 0));
	close(fd);
}

static void test_connecting(void **unused)
{
	(void)unused;
	rfin_each_kind(kind) run_connecting(kind);
}

/* Nobody is there any more who would open the gate. The last test: the kernel keeps them. */
static void test_closed(void **unused)
{
	(void)unused;
	for (const struct rfin_kind *kind = rfin_kinds; kind < rfin_kinds + 2; kind++) {
		struct packet_spec spec = segment(kind, (struct packet_spec){ .flags = FINACK });
		int fd = rfin_established(kind);

		rfin_state(&fx, fd, RESOA_FIN_ARMED);
		close(fd);
		assert_true(run(&spec, RESOA_FIN_PASSED));
		assert_null(rfix_event(&fx, 0));
	}
}

/* The daemon does not read: the repetition tells. */
static void test_ring_full(void **unused)
{
	const struct rfin_kind *kind = &rfin_kinds[0];
	const int most = RESOA_EVENT_BYTES / sizeof(struct resoa_event) + 1;
	struct packet_spec spec = segment(kind, (struct packet_spec){ .flags = FINACK });
	const struct resoa_fin want = held(&spec, 0);
	int fd = rfin_established(kind), fits = 0;
	struct rfix_result result;
	struct packet in;

	(void)unused;
	packet_build(&spec, &in);
	for (; fits < most; fits++) {
		rfin_state(&fx, fd, RESOA_FIN_ARMED);
		rfix_run(&fx, fx.skel->progs.resoa_fin_in, "e0", 0, &in, &result);
		if (result.reason != RESOA_FIN_HELD)
			break;
	}
	assert_true(rfix_counts(&fx, { RESOA_FIN_HELD, fits }, { RESOA_FIN_EARLY, 1 },
				{ RESOA_EVENT_LOST, 1 }));
	assert_int_equal(rfin_get(&fx, fd).state, RESOA_FIN_ARMED);
	must(ring_buffer__consume(fx.ring));
	fx.events = 0;
	assert_true(run(&spec, RESOA_FIN_HELD));
	assert_true(rfin_is(&fx, fd, &want));
	assert_true(event_is(rfix_event(&fx, 0), kind, 0, 0));
	rfin_forget(fd);
}

/* ---- what the daemon sends goes round */

static void test_out(void **unused)
{
	struct packet_spec spec = segment(&rfin_kinds[0], (struct packet_spec){ .flags = FINACK });
	struct rfix_result result;
	struct packet in;

	(void)unused;
	packet_build(&spec, &in);
	rfix_run(&fx, fx.skel->progs.resoa_fin_out, "e0", RESOA_FIN_MARK, &in, &result);
	assert_int_equal(result.reason, RESOA_FIN_SENT);
	assert_int_equal(result.verdict, TC_ACT_REDIRECT);
	assert_int_equal(result.mark, RESOA_FIN_MARK);
	assert_true(rfix_same(&result.out, &in));
	rfix_run(&fx, fx.skel->progs.resoa_fin_out, "e0", 0, &in, &result);
	assert_int_equal(result.reason, RESOA_OTHER);
	assert_int_equal(result.verdict, TC_ACT_UNSPEC);
	assert_true(rfix_same(&result.out, &in));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_armed, clear),
		cmocka_unit_test_setup(test_off, clear),
		cmocka_unit_test_setup(test_names, clear),
		cmocka_unit_test_setup(test_again, clear),
		cmocka_unit_test_setup(test_open, clear),
		cmocka_unit_test_setup(test_listener, clear),
		cmocka_unit_test_setup(test_connecting, clear),
		cmocka_unit_test_setup(test_ring_full, clear),
		cmocka_unit_test_setup(test_out, clear),
		cmocka_unit_test_setup(test_closed, clear),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
