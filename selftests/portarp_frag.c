// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/portarp_fixture.c selftests/lib/assume.c */
/*
 * selftests/portarp_frag.c - fragments in any order (RFC 7597, 8.3.2): what comes before the first
 * one waits at the agent, which is told whose it is; nothing is sent to anyone else.
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

#include "selftests/lib/portarp_fixture.h"

#define PIECES 3
#define ID     0x4711
#define OWNER  0x34
#define PORT   1232

static struct pfix fx;
static struct portarp_addr one, two;
static const __u8 protos[] = { IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP };

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
	pfix_sharer(&fx, PFIX_ONE, OWNER, OWNER);
	return 0;
}

/* A datagram of some 1200 bytes to a port or identifier, in pieces. */
static void cut_to(const struct isthmus_addr *src, const struct isthmus_addr *dst, __u16 port,
		   __u8 proto, __u16 id, struct packet pieces[PIECES])
{
	size_t header = proto == IPPROTO_TCP ? 20 : 8;
	static const size_t cuts[PIECES + 1] = { 0, 512, 1024, 1208 };
	struct packet_spec spec = { .src = *src,
				    .dst = *dst,
				    .proto = proto,
				    .sport = port,
				    .dport = port,
				    .icmp_rest = (__u32)port << 16,
				    .data_len = 1208 - header };
	struct packet whole;

	memcpy(spec.dst_mac, fx.up_mac, 6);
	pfix_mac(0x7777, spec.src_mac);
	packet_build(&spec, &whole);
	for (int i = 0; i < PIECES; i++) {
		struct packet_view view = { .l3 = 14 };
		struct packet *piece = &pieces[i];
		size_t len = cuts[i + 1] - cuts[i];

		memset(piece, 0, sizeof(*piece));
		memcpy(piece->b, whole.b, 34);
		memcpy(piece->b + 34, whole.b + 34 + cuts[i], len);
		piece->len = 34 + len;
		packet_put16(piece->b + 16, 20 + len);
		packet_put16(piece->b + 18, id);
		packet_put16(piece->b + 20, cuts[i] / 8 | (i < PIECES - 1 ? 0x2000 : 0));
		packet_put16(piece->b + 24, packet_ip_check(piece, &view));
	}
}

static void cut(__u8 proto, __u16 id, struct packet pieces[PIECES])
{
	const struct isthmus_addr peer = PFIX_PEER_ADDR, shared = PFIX_ONE_ADDR;

	cut_to(&peer, &shared, PORT, proto, id, pieces);
}

static void expect(enum pfix_program program, const struct packet *in, int reason, int events)
{
	struct packet want = *in;
	struct pfix_result result;
	__u8 mac[6];

	pfix_mac(OWNER, mac);
	if (reason == PORTARP_DELIVERED)
		pfix_forwarded(in, fx.lan_mac, mac, &want);
	if (reason == PORTARP_ADMITTED)
		memcpy(want.b, mac, 6);
	pfix_run(&fx, program, in, &result);
	assert_string_equal(pfix_reason_name(result.reason), pfix_reason_name(reason));
	assert_int_equal(result.verdict, pfix_verdict(program, reason));
	assert_true(pfix_same(&result.out, &want));
	assert_int_equal(result.events, events);
}

/* The event of a piece that waits: the key, and the whole frame as it came. */
static void check_held(const struct packet *piece, __u8 proto, __u32 ifindex, bool own)
{
	const struct pfix_event *at = &fx.event[0];

	assert_int_equal(at->event.kind, PORTARP_EVENT_FRAG);
	assert_int_equal(at->event.frag.src, PFIX_PEER);
	assert_int_equal(at->event.frag.dst, PFIX_ONE);
	assert_int_equal(at->event.frag.id, htons(ID));
	assert_int_equal(at->event.frag.proto, proto);
	assert_int_equal(at->event.frag.sent, 0);
	assert_int_equal(at->event.addr, PFIX_ONE);
	assert_int_equal(at->event.ifindex, ifindex);
	assert_int_equal(at->event.number, own);
	assert_in_range(at->event.time_ns, pfix_now() - 10000000000ull, pfix_now());
	assert_true(pfix_same(&at->frame, piece));
}

static void check_known(__u8 proto, __u32 owner)
{
	const struct portarp_event *event = &fx.event[0].event;

	assert_int_equal(event->kind, PORTARP_EVENT_FRAG_KNOWN);
	assert_int_equal(event->owner, owner);
	assert_int_equal(event->frag.src, PFIX_PEER);
	assert_int_equal(event->frag.dst, PFIX_ONE);
	assert_int_equal(event->frag.id, htons(ID));
	assert_int_equal(event->frag.proto, proto);
	assert_int_equal(event->length, 0);
}

static void run_order(enum pfix_program program, __u8 proto, const int order[PIECES])
{
	struct packet pieces[PIECES];
	bool known = false, waits = false;

	bool out = program == PFIX_OUT;

	fill(NULL);
	cut(proto, ID, pieces);
	for (int i = 0; i < PIECES; i++) {
		int reason = out ? PORTARP_ADMITTED : PORTARP_DELIVERED;

		if (order[i]) {
			expect(program, &pieces[order[i]], known ? reason : PORTARP_FRAG_HELD,
			       !known);
			if (!known)
				check_held(&pieces[order[i]], proto, out ? fx.lan : fx.up, out);
			waits |= !known;
		} else {
			expect(program, &pieces[0], reason, waits);
			if (waits)
				check_known(proto, OWNER);
			known = true;
		}
	}
	assert_int_equal(pfix_entries(&fx, "portarp_frag"), 1);
}

static void test_all_orders(void **state)
{
	static const int orders[][PIECES] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 2, 0, 1 }, { 1, 2, 0 }, { 2, 1, 0 },
	};

	(void)state;
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < 3; j++) {
			run_order(PFIX_UP_XDP, protos[j], orders[i]);
			run_order(PFIX_UP_TC, protos[j], orders[i]);
			run_order(PFIX_OUT, protos[j], orders[i]);
		}
}

/* Each member of the key tells datagrams apart. */
static void test_other_datagrams(void **state)
{
	const struct isthmus_addr peer = PACKET_V4(192, 0, 2, 11), shared = PFIX_ONE_ADDR;
	const struct isthmus_addr two_addr = PFIX_TWO_ADDR, far = PFIX_PEER_ADDR;
	struct packet pieces[PIECES];

	(void)state;
	cut(IPPROTO_UDP, ID, pieces);
	expect(PFIX_UP_XDP, &pieces[0], PORTARP_DELIVERED, 0);
	expect(PFIX_UP_TC, &pieces[1], PORTARP_DELIVERED, 0);
	cut(IPPROTO_UDP, ID + 1, pieces);
	expect(PFIX_UP_XDP, &pieces[1], PORTARP_FRAG_HELD, 1);
	cut(IPPROTO_TCP, ID, pieces);
	expect(PFIX_UP_XDP, &pieces[1], PORTARP_FRAG_HELD, 1);
	cut_to(&peer, &shared, PORT, IPPROTO_UDP, ID, pieces);
	expect(PFIX_UP_XDP, &pieces[1], PORTARP_FRAG_HELD, 1);
	cut_to(&far, &two_addr, PORT, IPPROTO_UDP, ID, pieces);
	expect(PFIX_UP_XDP, &pieces[1], PORTARP_FRAG_HELD, 1);
}

static void set_expiry(__u64 expires_ns)
{
	int map = pfix_map(&fx, "portarp_frag");
	struct portarp_frag_key key;
	struct portarp_frag frag;

	assert_int_equal(bpf_map_get_next_key(map, NULL, &key), 0);
	assert_int_equal(bpf_map_lookup_elem(map, &key, &frag), 0);
	assert_in_range(frag.expires_ns, pfix_now() + 29000000000ull, pfix_now() + 30000000000ull);
	frag.expires_ns = expires_ns;
	assert_int_equal(bpf_map_update_elem(map, &key, &frag, BPF_EXIST), 0);
}

/* The same key after its time is another datagram, whatever was known of the old one. */
static void test_expiry(void **state)
{
	const struct isthmus_addr peer = PFIX_PEER_ADDR, shared = PFIX_ONE_ADDR;
	struct packet pieces[PIECES], others[PIECES], want;
	struct pfix_result result;
	__u8 mac[6];

	(void)state;
	cut(IPPROTO_UDP, ID, pieces);
	cut_to(&peer, &shared, PORT + 4 * 4, IPPROTO_UDP, ID, others); /* sharer 0x38's */
	expect(PFIX_UP_XDP, &pieces[0], PORTARP_DELIVERED, 0);
	set_expiry(pfix_now() - 1);
	expect(PFIX_UP_TC, &others[2], PORTARP_FRAG_HELD, 1);
	pfix_run(&fx, PFIX_UP_XDP, &others[0], &result);
	pfix_mac(0x38, mac);
	pfix_forwarded(&others[0], fx.lan_mac, mac, &want);
	assert_true(pfix_same(&result.out, &want));
	assert_int_equal(result.events, 1);
	check_known(IPPROTO_UDP, 0x38);
	set_expiry(pfix_now() - 1);
	/* Nothing waits for this one. */
	expect(PFIX_UP_XDP, &pieces[0], PORTARP_DELIVERED, 0);
	expect(PFIX_UP_XDP, &pieces[1], PORTARP_DELIVERED, 0);
}

/* The owner has not answered yet: they wait in its queue, as whole packets do. */
static void test_unknown_owner(void **state)
{
	struct packet pieces[PIECES];

	(void)state;
	pfix_owner(&fx, OWNER, 0, 0);
	cut(IPPROTO_UDP, ID, pieces);
	expect(PFIX_UP_XDP, &pieces[2], PORTARP_FRAG_HELD, 1);
	expect(PFIX_UP_XDP, &pieces[0], PORTARP_HELD, 2);
	assert_int_equal(fx.event[0].event.kind, PORTARP_EVENT_FRAG_KNOWN);
	assert_int_equal(fx.event[1].event.kind, PORTARP_EVENT_HELD);
	assert_int_equal(fx.event[1].event.number, 1);
	expect(PFIX_UP_TC, &pieces[1], PORTARP_HELD, 1);
	assert_int_equal(fx.event[0].event.kind, PORTARP_EVENT_HELD);
	assert_int_equal(fx.event[0].event.owner, OWNER);
	assert_int_equal(fx.event[0].event.number, 2);
	assert_true(pfix_same(&fx.event[0].frame, &pieces[1]));
	assert_int_equal(fx.owner[OWNER].wait, 2);
}

/* A first fragment that nobody gets makes nothing known. */
static void test_nobodys(void **state)
{
	const struct isthmus_addr peer = PFIX_PEER_ADDR, shared = PFIX_ONE_ADDR;
	struct packet pieces[PIECES];

	(void)state;
	cut_to(&peer, &shared, 1000, IPPROTO_UDP, ID, pieces);
	expect(PFIX_UP_XDP, &pieces[0], PORTARP_NO_OWNER, 0);
	expect(PFIX_UP_XDP, &pieces[1], PORTARP_FRAG_HELD, 1);
}

static void remake(struct packet *piece, __u16 tot_len, __u16 frag)
{
	struct packet_view view = { .l3 = 14 };

	packet_put16(piece->b + 16, tot_len);
	packet_put16(piece->b + 20, frag);
	packet_put16(piece->b + 24, packet_ip_check(piece, &view));
}

/* RFC 1858, 3128, and a datagram longer than there can be. */
static void test_tricks(void **state)
{
	struct packet pieces[PIECES], bad;

	(void)state;
	for (int program = PFIX_UP_XDP; program <= PFIX_UP_TC; program++) {
		cut(IPPROTO_TCP, ID, pieces);
		bad = pieces[0];
		remake(&bad, 20 + 16, 0x2000);
		expect(program, &bad, PORTARP_MALFORMED, 0);
		bad = pieces[1];
		remake(&bad, 20 + 512, 1);
		expect(program, &bad, PORTARP_MALFORMED, 0);
		remake(&bad, 20 + 512, 0x2001);
		expect(program, &bad, PORTARP_MALFORMED, 0);
		cut(IPPROTO_UDP, ID, pieces);
		bad = pieces[1];
		remake(&bad, 20 + 512, 0x1fff);
		expect(program, &bad, PORTARP_MALFORMED, 0);
		remake(&bad, 20 + 512, 8126); /* ends at 65540 */
		expect(program, &bad, PORTARP_MALFORMED, 0);
		remake(&bad, 20 + 512, 8125);
		expect(program, &bad, PORTARP_FRAG_HELD, 1);
		bad = pieces[0];
		remake(&bad, 20 + 7, 0x2000);
		expect(program, &bad, PORTARP_MALFORMED, 0);
		assert_int_equal(pfix_entries(&fx, "portarp_frag"), 1);
		fill(NULL);
	}
}

/* By policy this machine answers: its kernel gets all of the request. */
static void test_echo_local(void **state)
{
	const struct isthmus_addr peer = PFIX_PEER_ADDR, shared = PFIX_ONE_ADDR;
	struct packet pieces[PIECES];

	(void)state;
	one.echo = PORTARP_ECHO_LOCAL;
	pfix_put(&fx, "portarp_addr", &(__be32){ PFIX_ONE }, &one);
	cut_to(&peer, &shared, 1000, IPPROTO_ICMP, ID, pieces);
	for (int i = 0; i < PIECES; i++) {
		if (!i) {
			struct packet_view view = { .l3 = 14 };

			pieces[i].b[34] = 8;
			packet_put16(pieces[i].b + 24, packet_ip_check(&pieces[i], &view));
		}
		expect(PFIX_UP_XDP, &pieces[i], PORTARP_TO_STACK, 0);
		expect(PFIX_UP_TC, &pieces[i], PORTARP_TO_STACK, 0);
	}
}

/* No port can be spoofed by a later fragment, so any sharer of the address may send it. */
static void test_from_sharers(void **state)
{
	const struct isthmus_addr peer = PFIX_PEER_ADDR, shared = PFIX_ONE_ADDR;
	struct packet pieces[PIECES];

	(void)state;
	for (int program = PFIX_LAN_XDP; program <= PFIX_LAN_TC; program++) {
		cut_to(&shared, &peer, PORT, IPPROTO_UDP, ID, pieces);
		for (int i = 0; i < PIECES; i++) {
			memcpy(pieces[i].b, fx.lan_mac, 6);
			pfix_mac(0x33, pieces[i].b + 6);
			expect(program, &pieces[i], PORTARP_SPOOFED, 0);
			pfix_mac(OWNER, pieces[i].b + 6);
			expect(program, &pieces[i], PORTARP_CHECKED, 0);
		}
		pfix_sharer(&fx, PFIX_ONE, 0x33, 0x33);
		pfix_mac(0x33, pieces[1].b + 6);
		expect(program, &pieces[1], PORTARP_CHECKED, 0);
		fill(NULL);
	}
}

/* An error that quotes a later fragment follows the first one that was sent. */
static void test_error_about_later(void **state)
{
	const struct isthmus_addr peer = PFIX_PEER_ADDR, shared = PFIX_ONE_ADDR;
	struct packet_spec spec = { .src = PFIX_PEER_ADDR,
				    .dst = PFIX_ONE_ADDR,
				    .proto = 1,
				    .icmp_type = 11,
				    .icmp_code = 1,
				    .data_len = 28 };
	struct packet pieces[PIECES], error;

	(void)state;
	cut_to(&shared, &peer, PORT, IPPROTO_UDP, ID, pieces);
	spec.data = pieces[1].b + 14;
	memcpy(spec.dst_mac, fx.up_mac, 6);
	packet_build(&spec, &error);
	expect(PFIX_UP_XDP, &error, PORTARP_NO_OWNER, 0);
	memcpy(pieces[0].b, fx.lan_mac, 6);
	pfix_mac(0x33, pieces[0].b + 6);
	expect(PFIX_LAN_XDP, &pieces[0], PORTARP_SPOOFED, 0);
	expect(PFIX_UP_XDP, &error, PORTARP_NO_OWNER, 0);
	pfix_mac(OWNER, pieces[0].b + 6);
	expect(PFIX_LAN_XDP, &pieces[0], PORTARP_CHECKED, 0);
	expect(PFIX_UP_XDP, &error, PORTARP_DELIVERED, 0);
	expect(PFIX_UP_TC, &error, PORTARP_DELIVERED, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_all_orders, fill),
		cmocka_unit_test_setup(test_other_datagrams, fill),
		cmocka_unit_test_setup(test_expiry, fill),
		cmocka_unit_test_setup(test_unknown_owner, fill),
		cmocka_unit_test_setup(test_nobodys, fill),
		cmocka_unit_test_setup(test_tricks, fill),
		cmocka_unit_test_setup(test_echo_local, fill),
		cmocka_unit_test_setup(test_from_sharers, fill),
		cmocka_unit_test_setup(test_error_about_later, fill),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
