// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/portarp_fixture.c selftests/lib/assume.c */
/*
 * selftests/portarp_arp.c - PE-ARP (paper II.B) and ordinary ARP at a gateway, byte for byte.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/portarp_fixture.h"

#define SHARED	     203, 0, 113, 1
#define MINE_ADDR    203, 0, 113, 9 /* what the gateway above shares with this one */
#define REQUEST	     24
#define REPLY	     25
#define GROUP_MAC    1, 0, 0x5e, 0, 0, 1
#define SENDER_MAC   2, 0x5a, 0, 0, 0, 0x34
#define BROADCAST    0xff, 0xff, 0xff, 0xff, 0xff, 0xff
#define ALMOST_WHOLE (14 + 28 + 15)

static struct pfix fx;
static struct portarp_addr one, two;

static int set_up(void **state)
{
	(void)state;
	return pfix_open(&fx, PORTARP_GATEWAY);
}

static int tear_down(void **state)
{
	(void)state;
	pfix_close(&fx);
	return 0;
}

static int fill(void **state)
{
	(void)state;
	pfix_fill_gateway(&fx, &one, &two);
	return 0;
}

/* At both hooks of a side; want: NULL = as it came. */
static void expect(const char *what, bool lan, const struct pfix_arp *arp, int reason,
		   const struct pfix_arp *answer, int events)
{
	enum pfix_program first = lan ? PFIX_LAN_XDP : PFIX_UP_XDP;
	struct packet in, want;
	struct pfix_result result;

	pfix_arp_build(arp, &in);
	pfix_arp_build(answer ? answer : arp, &want);
	for (enum pfix_program program = first; program <= first + 1; program++) {
		pfix_run(&fx, program, &in, &result);
		if (result.reason != reason)
			fprintf(stderr, "%s, program %d\n", what, program);
		assert_string_equal(pfix_reason_name(result.reason), pfix_reason_name(reason));
		assert_int_equal(result.verdict, pfix_verdict(program, reason));
		assert_true(pfix_same(&result.out, &want));
		assert_int_equal(result.events, events);
	}
}

/* ---- answers and announcements from sharers */

static const struct pfix_arp reply = {
	.src_mac = { SENDER_MAC },
	.op = REPLY,
	.sender_mac = { SENDER_MAC },
	.target = { SHARED },
	.flags = 1,
	.port = 1232,
	.a = 6,
	.k = 8,
	.psid = 0x3400,
	.lifetime = 600,
};

static void to(const __u8 *mac, struct pfix_arp *arp)
{
	memcpy(arp->dst_mac, mac, 6);
}

static void check_learned(const struct pfix_arp *arp)
{
	const struct pfix_event *at = &fx.event[0];
	struct packet want;

	pfix_arp_build(arp, &want);
	assert_int_equal(at->event.kind, PORTARP_EVENT_ARP);
	assert_int_equal(at->event.addr, htonl(0xcb007101));
	assert_int_equal(at->event.port, htons(arp->port));
	assert_int_equal(at->event.ifindex, fx.lan);
	assert_true(pfix_same(&at->frame, &want));
}

static void test_replies(void **state)
{
	struct pfix_arp arp = reply;
	struct portarp_conf conf;

	(void)state;
	to(fx.lan_mac, &arp);
	expect("reply", true, &arp, PORTARP_ARP_LEARNED, NULL, 1);
	check_learned(&arp);
	arp.len = 14 + 28 + 16;
	expect("without a byte of padding", true, &arp, PORTARP_ARP_LEARNED, NULL, 1);
	check_learned(&arp);
	arp.flags = 5;
	memset(arp.dst_mac, 0xff, 6);
	expect("announcement to all", true, &arp, PORTARP_ARP_LEARNED, NULL, 1);
	check_learned(&arp);
	expect("on the uplink nobody has a port", false, &arp, PORTARP_ARP_OTHER, NULL, 0);
	pfix_get_conf(&fx, &conf);
	conf.op_reply = htons(REPLY + 1);
	pfix_set_conf(&fx, &conf);
	expect("another operation is told", true, &arp, PORTARP_ARP_OTHER, NULL, 0);
	arp.op++;
	expect("this one", true, &arp, PORTARP_ARP_LEARNED, NULL, 1);
	conf.op_reply = htons(REPLY);
	pfix_set_conf(&fx, &conf);
}

#define BROKEN_REPLY .src_mac = { SENDER_MAC }, .op = REPLY, .target = { SHARED }, .port = 1232

static void test_broken_replies(void **state)
{
	static const struct pfix_arp broken[] = {
		{ BROKEN_REPLY, .sender_mac = { SENDER_MAC }, .len = ALMOST_WHOLE },
		{ BROKEN_REPLY, .sender_mac = { SENDER_MAC }, .len = 14 + 28 },
		{ BROKEN_REPLY, .sender_mac = { SENDER_MAC }, .len = 14 + 27 },
		{ BROKEN_REPLY, .sender_mac = { SENDER_MAC }, .len = 14 },
		{ BROKEN_REPLY, .sender_mac = { SENDER_MAC }, .hardware_len = 8 },
		{ BROKEN_REPLY, .sender_mac = { SENDER_MAC }, .protocol_len = 8 },
		{ BROKEN_REPLY, .sender_mac = { SENDER_MAC }, .protocol = 0x86dd },
		{ BROKEN_REPLY, .sender_mac = { SENDER_MAC }, .hardware = 6 },
		{ BROKEN_REPLY, .sender_mac = { SENDER_MAC }, .magic = 0x5046 },
		{ BROKEN_REPLY, .sender_mac = { SENDER_MAC }, .version = 2 },
		{ BROKEN_REPLY, .sender_mac = { SENDER_MAC }, .sender = { SHARED } },
		{ BROKEN_REPLY, .sender_mac = { GROUP_MAC } },
	};
	struct pfix_arp arp = reply;

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
		arp = broken[i];
		to(fx.lan_mac, &arp);
		expect("broken", true, &arp, PORTARP_ARP_OTHER, NULL, 0);
	}
	arp = reply;
	to(fx.up_mac, &arp);
	expect("another machine's", true, &arp, PORTARP_ARP_OTHER, NULL, 0);
}

/* ---- questions of a gateway above */

static const struct pfix_arp request = {
	.dst_mac = { BROADCAST },
	.src_mac = { 2, 0, 0, 0, 0, 9 },
	.op = REQUEST,
	.sender_mac = { 2, 0, 0, 0, 0, 9 },
	.target = { MINE_ADDR },
	.port = 2300,
};

static void put_mine(struct portarp_mine *mine)
{
	pfix_put(&fx, "portarp_mine", &(__be32){ htonl(0xcb007109) }, mine);
}

static void answer_of(const struct pfix_arp *arp, struct pfix_arp *answer)
{
	*answer = *arp;
	answer->op = REPLY;
	memcpy(answer->dst_mac, arp->sender_mac, 6);
	memcpy(answer->src_mac, fx.up_mac, 6);
	memcpy(answer->sender_mac, fx.up_mac, 6);
	memcpy(answer->target_mac, arp->sender_mac, 6);
}

static void test_requests(void **state)
{
	/* 2304-2335, 3328-3359 ... of a = 6, k = 5; 80 and 2300-2310 besides. */
	struct portarp_mine mine = { .set = { 6, 5, 8 },
				     .range = { { 80, 80 }, { 2300, 2310 } },
				     .ranges = 2,
				     .sets = 1,
				     .lifetime_s = 900,
				     .ifindex = fx.up };
	struct pfix_arp arp = request, answer;

	(void)state;
	expect("no address", false, &arp, PORTARP_ARP_OTHER, NULL, 0);
	put_mine(&mine);
	answer_of(&arp, &answer);
	answer.flags = 3;
	answer.a = 6;
	answer.k = 5;
	answer.psid = 8 << 11;
	answer.low = 2300;
	answer.high = 2310;
	answer.lifetime = 900;
	expect("a port of a range", false, &arp, PORTARP_ARP_ANSWERED, &answer, 0);
	arp.port = answer.port = 2335;
	answer.flags = 1;
	answer.low = answer.high = 0;
	expect("a port of the set", false, &arp, PORTARP_ARP_ANSWERED, &answer, 0);
	memcpy(arp.dst_mac, fx.up_mac, 6);
	expect("to this machine alone", false, &arp, PORTARP_ARP_ANSWERED, &answer, 0);
	arp.port = 2336;
	expect("not its port", false, &arp, PORTARP_ARP_OTHER, NULL, 0);
	arp.port = 2335;
	expect("a sharer asks", true, &arp, PORTARP_ARP_OTHER, NULL, 0);
	mine.ifindex = fx.lan;
	put_mine(&mine);
	expect("shared on another device", false, &arp, PORTARP_ARP_OTHER, NULL, 0);
	mine.ifindex = fx.up;
	put_mine(&mine);
	expect("shared on this one", false, &arp, PORTARP_ARP_ANSWERED, &answer, 0);
	mine.expires_ns = pfix_now() - 1;
	put_mine(&mine);
	expect("its time is over", false, &arp, PORTARP_ARP_OTHER, NULL, 0);
	mine.expires_ns = pfix_now() + 60000000000ull;
	mine.sets = 0;
	put_mine(&mine);
	expect("no set any more", false, &arp, PORTARP_ARP_OTHER, NULL, 0);
	arp.port = answer.port = 80;
	answer.a = answer.k = answer.psid = 0;
	answer.low = answer.high = 80;
	answer.flags = 2;
	expect("a single port", false, &arp, PORTARP_ARP_ANSWERED, &answer, 0);
}

#define BROKEN_REQUEST .dst_mac = { BROADCAST }, .op = REQUEST, .target = { MINE_ADDR }, .port = 80
#define ASKER	       .sender_mac = { 2, 0, 0, 0, 0, 9 }

static void test_broken_requests(void **state)
{
	static const struct pfix_arp broken[] = {
		{ BROKEN_REQUEST, ASKER, .len = ALMOST_WHOLE },
		{ BROKEN_REQUEST, ASKER, .hardware_len = 8 },
		{ BROKEN_REQUEST, ASKER, .protocol_len = 8 },
		{ BROKEN_REQUEST, ASKER, .protocol = 0x86dd },
		{ BROKEN_REQUEST, ASKER, .hardware = 6 },
		{ BROKEN_REQUEST, ASKER, .magic = 0x5046 },
		{ BROKEN_REQUEST, ASKER, .version = 2 },
		{ BROKEN_REQUEST, ASKER, .sender = { 192, 0, 2, 1 } },
		{ BROKEN_REQUEST, .sender_mac = { GROUP_MAC } },
	};
	struct portarp_mine mine = { .range = { { 80, 80 } }, .ranges = 1, .ifindex = fx.up };
	struct pfix_arp arp = { BROKEN_REQUEST, ASKER }, answer;

	(void)state;
	put_mine(&mine);
	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
		expect("broken", false, &broken[i], PORTARP_ARP_OTHER, NULL, 0);
	answer_of(&arp, &answer);
	answer.flags = 2;
	answer.low = answer.high = 80;
	expect("control: whole", false, &arp, PORTARP_ARP_ANSWERED, &answer, 0);
	to(fx.lan_mac, &arp);
	expect("another machine's", false, &arp, PORTARP_ARP_OTHER, NULL, 0);
}

/* ---- ordinary ARP on the LAN */

static void proxied(const struct pfix_arp *arp, struct pfix_arp *answer)
{
	*answer = *arp;
	answer->op = 2;
	memcpy(answer->dst_mac, arp->sender_mac, 6);
	memcpy(answer->src_mac, fx.lan_mac, 6);
	memcpy(answer->sender_mac, fx.lan_mac, 6);
	memcpy(answer->target_mac, arp->sender_mac, 6);
	memcpy(answer->sender, arp->target, 4);
	memcpy(answer->target, arp->sender, 4);
}

static void test_proxy(void **state)
{
	struct pfix_arp arp = { .dst_mac = { BROADCAST },
				.src_mac = { SENDER_MAC },
				.op = 1,
				.sender_mac = { SENDER_MAC },
				.sender = { 192, 0, 2, 77 },
				.target = { SHARED } };
	struct pfix_arp answer;

	(void)state;
	proxied(&arp, &answer);
	expect("request", true, &arp, PORTARP_ARP_PROXIED, &answer, 0);
	arp.len = answer.len = 42;
	expect("not padded", true, &arp, PORTARP_ARP_PROXIED, &answer, 0);
	memset(arp.sender, 0, 4);
	proxied(&arp, &answer);
	expect("a probe (RFC 5227)", true, &arp, PORTARP_ARP_PROXIED, &answer, 0);
	memcpy(arp.sender, arp.target, 4);
	proxied(&arp, &answer);
	expect("a stock sharer's announcement", true, &arp, PORTARP_ARP_PROXIED, &answer, 0);
	to(fx.lan_mac, &arp);
	expect("asked again, of us", true, &arp, PORTARP_ARP_PROXIED, &answer, 0);
	arp.dst_mac[5] ^= 1;
	expect("another machine's", true, &arp, PORTARP_ARP_OTHER, NULL, 0);
	memset(arp.dst_mac, 0xff, 6);
	arp.target[3] = 200;
	expect("not a shared address", true, &arp, PORTARP_ARP_OTHER, NULL, 0);
	arp.target[3] = 1;
	arp.sender_mac[0] = 3;
	expect("a group asks", true, &arp, PORTARP_ARP_OTHER, NULL, 0);
	arp.sender_mac[0] = 2;
	arp.len = 41;
	expect("cut off", true, &arp, PORTARP_ARP_OTHER, NULL, 0);
	arp.len = 60;
	expect("the uplink's own", false, &arp, PORTARP_ARP_OTHER, NULL, 0);
}

/* This machine's neighbour entry of a shared address is not to be changed. */
static void test_claims(void **state)
{
	struct pfix_arp arp = { .dst_mac = { BROADCAST },
				.op = 2,
				.sender_mac = { SENDER_MAC },
				.sender = { SHARED },
				.target = { SHARED } };

	(void)state;
	expect("a reply for a shared address", true, &arp, PORTARP_ARP_SILENCED, NULL, 0);
	arp.sender[3] = 200;
	expect("for another", true, &arp, PORTARP_ARP_OTHER, NULL, 0);
	arp.op = 3;
	arp.sender[3] = 1;
	expect("RARP", true, &arp, PORTARP_ARP_OTHER, NULL, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_replies, fill),
		cmocka_unit_test_setup(test_broken_replies, fill),
		cmocka_unit_test_setup(test_requests, fill),
		cmocka_unit_test_setup(test_broken_requests, fill),
		cmocka_unit_test_setup(test_proxy, fill),
		cmocka_unit_test_setup(test_claims, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
