// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/neighbour.c selftests/lib/onetime_states.c */
/* link: selftests/lib/onetime_fixture.c selftests/lib/assume.c */
/*
 * selftests/onetime_nd.c - what a link learns of a pool's addresses: every state of an address by
 * every kind of neighbour message, right and wrong ones, answers byte for byte, what is told of
 * conflicts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_states.h"

#define HOST_MAC   2, 0x5a, 0, 0, 0, 0x34
#define OTHER_MAC  2, 0x5a, 0, 0, 0, 0x35
#define GROUP_MAC  0x33, 0x33, 0, 0, 0, 1
#define OPT_SOURCE 1
#define OPT_TARGET 2
#define OPT_NONCE  14 /* RFC 7527 */
#define TOLD	   ONETIME_CONFLICTS

static struct ofix fx;
static const struct isthmus_addr ours = OFIX_SSA6(0x11);
static const struct isthmus_addr alice = OFIX_ALICE6, nobody = { { 0 } };
static const __u8 host_mac[6] = { HOST_MAC }, other_mac[6] = { OTHER_MAC };

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
	ostates_forget_told(&fx);
	return 0;
}

/* ---- messages, right ones */

static struct nb_message message(__u8 type, const struct isthmus_addr *src, bool to_group)
{
	struct nb_message m = {
		.type = type, .src = *src, .target = ours, .src_mac = { HOST_MAC }
	};

	m.dst = to_group ? nb_group(&ours) : ours;
	if (to_group)
		nb_group_mac(&m.dst, m.dst_mac);
	else
		memcpy(m.dst_mac, fx.mac, 6);
	return m;
}

static struct nb_message detection(void)
{
	return message(NB_SOLICIT, &nobody, true);
}

static struct nb_message resolution(void)
{
	struct nb_message m = message(NB_SOLICIT, &alice, true);

	nb_option(&m, OPT_SOURCE, 1, host_mac);
	return m;
}

static struct nb_message advertised(__u8 flags)
{
	static const struct isthmus_addr all = { { 0xff, 2, [15] = 1 } };
	struct nb_message m = message(NB_ADVERTISE, &ours, true);

	m.dst = all;
	m.flags = flags;
	nb_group_mac(&all, m.dst_mac);
	nb_option(&m, OPT_TARGET, 1, host_mac);
	return m;
}

static void run_states(const char *what, const struct nb_message *m, enum oasked kind,
		       const __u8 *mac)
{
	struct oexpected e = { &m->target, &m->src, mac, kind };
	struct packet in;

	nb_build(m, &in);
	ostates_run(&fx, what, &in, false, &e);
}

static void test_detection(void **state)
{
	static const __u8 nonce[6] = { 1, 2, 3, 4, 5, 6 };
	struct nb_message m = detection();

	(void)state;
	run_states("detection", &m, ASKED_WHETHER, host_mac);
	nb_option(&m, OPT_NONCE, 1, nonce);
	run_states("with a nonce", &m, ASKED_WHETHER, host_mac);
	nb_option(&m, 200, 9, nonce);
	nb_option(&m, OPT_TARGET, 3, nonce);
	run_states("with what solicitations do not have", &m, ASKED_WHETHER, host_mac);
	m = detection();
	m.trailer = 11;
	run_states("padded", &m, ASKED_WHETHER, host_mac);
	m = detection();
	m.dst_mac[0] = m.dst_mac[1] = m.dst_mac[2] = 0xff;
	run_states("broadcast", &m, ASKED_WHETHER, host_mac);
	m = detection();
	memcpy(m.dst_mac, fx.mac, 6);
	run_states("sent to us alone (RFC 6085)", &m, ASKED_WHETHER, host_mac);
	memcpy(m.dst_mac, other_mac, 6);
	run_states("sent to another host alone", &m, ASKED_SILENT, host_mac);
	m = detection();
	memcpy(m.src_mac, fx.mac, 6);
	run_states("our own", &m, ASKED_SILENT, host_mac);
}

static void test_resolution(void **state)
{
	struct nb_message m = resolution();

	(void)state;
	run_states("resolution", &m, ASKED_WHERE, host_mac);
	memcpy(m.src_mac, other_mac, 6);
	run_states("by way of another one", &m, ASKED_WHERE, host_mac);
	memcpy(m.src_mac, fx.mac, 6);
	run_states("with our MAC", &m, ASKED_SILENT, host_mac);
	m = message(NB_SOLICIT, &alice, true);
	run_states("without an option", &m, ASKED_WHERE, host_mac);
	nb_option(&m, OPT_SOURCE, 1, other_mac);
	nb_option(&m, OPT_SOURCE, 1, host_mac);
	run_states("the first of two options", &m, ASKED_WHERE, other_mac);
	m = message(NB_SOLICIT, &alice, true);
	nb_option(&m, OPT_SOURCE, 1, (const __u8[6]){ GROUP_MAC });
	run_states("never to a group", &m, ASKED_WHERE, host_mac);
	m = message(NB_SOLICIT, &alice, true);
	nb_option(&m, OPT_SOURCE, 1, fx.mac);
	run_states("an option with our MAC", &m, ASKED_SILENT, host_mac);
	m = message(NB_SOLICIT, &alice, false);
	run_states("unreachability", &m, ASKED_WHERE, host_mac);
	nb_option(&m, OPT_SOURCE, 1, other_mac);
	run_states("unreachability, with an option", &m, ASKED_WHERE, other_mac);
	memcpy(m.dst_mac, other_mac, 6);
	run_states("of another host's address", &m, ASKED_SILENT, host_mac);
	m = resolution();
	for (__u8 i = 1; i < 16; i++)
		nb_option(&m, i < 8 ? OPT_NONCE : 200, 1, other_mac);
	run_states("16 options", &m, ASKED_WHERE, host_mac);
}

static void test_advertised(void **state)
{
	struct nb_message m = advertised(NB_OVERRIDE);

	(void)state;
	run_states("gratuitous", &m, ASKED_CLAIM, host_mac);
	m = advertised(0);
	run_states("optimistic", &m, ASKED_CLAIM, host_mac);
	m.option_len = 0;
	run_states("without an option", &m, ASKED_CLAIM, host_mac);
	m = message(NB_ADVERTISE, &alice, false);
	m.flags = NB_SOLICITED | NB_OVERRIDE;
	nb_option(&m, OPT_TARGET, 1, other_mac);
	run_states("solicited, for another host's MAC", &m, ASKED_CLAIM, other_mac);
	memcpy(m.dst_mac, other_mac, 6);
	run_states("to another host", &m, ASKED_CLAIM, other_mac);
	memcpy(m.src_mac, fx.mac, 6);
	run_states("our own", &m, ASKED_SILENT, host_mac);
	memcpy(m.src_mac, host_mac, 6);
	memcpy(m.option + 2, fx.mac, 6);
	run_states("a proxy's, for us", &m, ASKED_SILENT, host_mac);
}

/* Who asks from an address says that it has it. */
static void test_source(void **state)
{
	const struct isthmus_addr free = OFIX_SSA6(0x99);
	struct nb_message m = resolution();
	struct oexpected e = { &ours, &ours, host_mac, ASKED_CLAIM };
	struct packet in;

	(void)state;
	m.src = ours;
	m.target = free;
	nb_build(&m, &in);
	ostates_run(&fx, "from a pool's address", &in, false, &e);
	m.target = alice;
	nb_build(&m, &in);
	ostates_run(&fx, "from it, about another", &in, false, &e);
}

static void test_tags(void **state)
{
	struct nb_message m[] = { detection(), resolution(), advertised(0) };
	static const enum oasked kind[] = { ASKED_WHETHER, ASKED_WHERE, ASKED_CLAIM };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		m[i].tag[0] = (struct packet_tag){ 0x8100, 0x2005 };
		run_states("one tag", &m[i], kind[i], host_mac);
		m[i].tag[0].proto = 0x88a8;
		m[i].tag[1] = (struct packet_tag){ 0x8100, 0xe007 };
		run_states("two tags", &m[i], kind[i], host_mac);
	}
}

/* ---- wrong ones */

static void refuse(const char *what, const struct nb_message *m, int reason)
{
	struct packet in;

	nb_build(m, &in);
	for (int i = 0; i < OSTATES; i++) {
		bool same;

		ostate_put(&fx, &ostates[i], &ours);
		same = ofix_becomes(&fx, OFIX_IN, &in, reason, OFIX_ALONE, NULL);
		if (!same)
			fprintf(stderr, "%s, %s\n", what, ostates[i].name);
		assert_true(same);
		assert_int_equal(fx.events, 0);
		ostate_check(&fx, &ostates[i], &ours, false);
	}
}

#define REFUSE(m, change, reason)                                                                  \
	do {                                                                                       \
		struct nb_message wrong = m;                                                       \
                                                                                                   \
		change;                                                                            \
		refuse(#m ": " #change, &wrong, ONETIME_##reason);                                 \
	} while (0)

static void refuse_all(struct nb_message m)
{
	const struct isthmus_addr group = { { 0xff, 2, [15] = 9 } };

	REFUSE(m, wrong.hops = 254, ND_BAD);
	REFUSE(m, wrong.hops = PACKET_ZERO, ND_BAD);
	REFUSE(m, wrong.code = 1, ND_BAD);
	REFUSE(m, wrong.check = 1, ND_BAD);
	REFUSE(m, wrong.check = 0xff00, ND_BAD);
	REFUSE(m, wrong.src = group, ND_BAD);
	REFUSE(m, wrong.src_mac[0] |= 1, ND_BAD);
	REFUSE(m, wrong.option_len = 4, ND_BAD);
	REFUSE(m, wrong.option_len += 4, ND_BAD);
	REFUSE(m, wrong.option_len += 8, ND_BAD); /* of length 0 */
	REFUSE(m, nb_option(&wrong, OPT_NONCE, 2, host_mac); wrong.option_len -= 8, ND_BAD);
	REFUSE(m, nb_option(&wrong, OPT_NONCE, 2, host_mac); wrong.option_len -= 1, ND_BAD);
	REFUSE(m, wrong.length = 1, ND_BAD);
	REFUSE(m, wrong.length = 8; wrong.trailer = 7, ND_BAD);
	REFUSE(m, while (wrong.option_len < 17 * 8) nb_option(&wrong, 99, 1, host_mac), ND_BAD);
}

static void test_wrong(void **state)
{
	struct nb_message dad = detection(), asks = resolution(), says = advertised(NB_OVERRIDE);
	struct nb_message probe = message(NB_SOLICIT, &alice, false);

	(void)state;
	refuse_all(dad);
	refuse_all(asks);
	refuse_all(probe);
	refuse_all(says);
	REFUSE(dad, nb_option(&wrong, OPT_SOURCE, 1, host_mac), ND_BAD);
	REFUSE(dad, wrong.dst = ours, ND_BAD);
	REFUSE(dad, wrong.dst.b[12] = 0xfe, ND_BAD);
	REFUSE(dad, wrong.dst.b[1] = 5, ND_BAD);
	REFUSE(dad, wrong.dst.b[5] = 1, ND_BAD);
	REFUSE(dad, wrong.dst.b[11] = 0, ND_BAD);
	REFUSE(probe, nb_option(&wrong, OPT_SOURCE, 2, host_mac), ND_BAD);
	REFUSE(says, wrong.flags = NB_SOLICITED, ND_BAD);
	REFUSE(says, wrong.option_len = 0; nb_option(&wrong, OPT_TARGET, 2, host_mac), ND_BAD);
}

/* Left to the kernel, or to the rest of the guard. */
static void test_not_ours(void **state)
{
	struct nb_message dad = detection(), asks = resolution(), says = advertised(NB_OVERRIDE);
	const struct isthmus_addr mapped = OFIX_SSA4(11);

	(void)state;
	REFUSE(dad, wrong.target = alice, OTHER);
	REFUSE(asks, wrong.target = alice, OTHER);
	REFUSE(says, wrong.target = alice; wrong.src = alice, OTHER);
	REFUSE(asks, wrong.target = mapped, OTHER);
	REFUSE(says, wrong.target = mapped; wrong.src = alice, OTHER);
	REFUSE(dad, wrong.target.b[0] = 0xff, OTHER);
	REFUSE(dad, wrong.type = 133, OTHER);
	REFUSE(asks, wrong.type = 137, OTHER);
	REFUSE(dad, wrong.cut = 1, OTHER);
	REFUSE(dad, wrong.cut = 1; wrong.length = 1, OTHER);
	REFUSE(dad, wrong.length = -1, OTHER);
	REFUSE(dad, wrong.length = -24, OTHER);
	REFUSE(dad, wrong.cut = 20, OTHER);
	REFUSE(says, wrong.target = alice, SPOOFED);
}

/* ---- links */

static void set_link(__u32 index, __u32 ifindex)
{
	struct onetime_conf conf;
	__u32 zero = 0;

	assert_true(ofix_get(&fx, "onetime_conf", &zero, &conf));
	memset(conf.link, 0, sizeof(conf.link));
	conf.link[index].ifindex = ifindex;
	memcpy(conf.link[index].mac, fx.mac, 6);
	ofix_put(&fx, "onetime_conf", &zero, &conf);
}

static void test_links(void **state)
{
	struct nb_message m[] = { detection(), resolution(), advertised(0) };
	static const enum oasked kind[] = { ASKED_WHETHER, ASKED_WHERE, ASKED_CLAIM };
	const struct isthmus_addr pool = OFIX_POOL6;
	struct onetime_pool other = { .number = 1, .ifindex = fx.net + 1 };
	struct onetime_prefix key = { .bits = 64, .addr = pool };

	(void)state;
	for (int i = 0; i < 3; i++) {
		set_link(ONETIME_LINKS - 1, fx.net);
		run_states("the last link", &m[i], kind[i], host_mac);
		set_link(0, fx.net + 1);
		run_states("a device that is not ours", &m[i], ASKED_SILENT, host_mac);
	}
	set_link(0, fx.net);
	ofix_put(&fx, "onetime_pool", &key, &other);
	for (int i = 0; i < 3; i++)
		run_states("a pool of another device", &m[i], ASKED_SILENT, host_mac);
}

/* ---- how much is told */

/* Runs it `count` times: how many events there were; those that were not told are counted. */
static int told_of(const struct nb_message *m, int count)
{
	struct isthmus_count before;
	struct ofix_result result;
	struct packet in;
	int told = 0;

	nb_build(m, &in);
	before = fx.seen[ONETIME_ND_UNTOLD];
	for (int i = 0; i < count; i++) {
		ofix_run(&fx, OFIX_IN, &in, &result);
		told += fx.events;
	}
	assert_int_equal(fx.seen[ONETIME_ND_UNTOLD].packets - before.packets, count - told);
	return told;
}

static void check_told(int told, __u64 begin)
{
	int seconds = (ofix_now() - begin) / OFIX_S; /* 0 but on a very slow machine */

	assert_in_range(told, TOLD, TOLD * (seconds + 1));
}

static void test_rate(void **state)
{
	struct nb_message says = advertised(0), dad = detection();
	__u64 begin = ofix_now();
	int free, live;

	(void)state;
	dad.target.b[15] = 0x99;
	ostate_put(&fx, &ostates[OSTATE_LIVE], &ours);
	free = told_of(&dad, 100);
	live = told_of(&says, 100); /* those of sessions do not wait for them */
	free += told_of(&dad, 10);
	live += told_of(&says, 10);
	check_told(free, begin);
	check_told(live, begin);
	usleep(1010 * 1000);
	begin = ofix_now();
	check_told(told_of(&dad, 20), begin);
	check_told(told_of(&says, 20), begin);
	assert_int_equal(ofix_addr(&fx, &ours).state, ONETIME_STATE_LIVE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_detection, clear),
		cmocka_unit_test_setup(test_resolution, clear),
		cmocka_unit_test_setup(test_advertised, clear),
		cmocka_unit_test_setup(test_source, clear),
		cmocka_unit_test_setup(test_tags, clear),
		cmocka_unit_test_setup(test_wrong, clear),
		cmocka_unit_test_setup(test_not_ours, clear),
		cmocka_unit_test_setup(test_links, clear),
		cmocka_unit_test_setup(test_rate, clear),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
