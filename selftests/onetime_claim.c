// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/onetime_fixture.c */
/*
 * selftests/onetime_claim.c - the first packet of a session: who may take an address that was given
 * out, and what is known of the session then.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_fixture.h"

static struct ofix fx;

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
	return 0;
}

/* ---- pending addresses, first packets */

static struct onetime_addr pending(__u8 mode, __u8 proto)
{
	struct onetime_addr record = ofix_record(ONETIME_SSA, ONETIME_STATE_PENDING, mode, proto);

	record.serial = 4711;
	if (mode == ONETIME_AWARE)
		record.port = htons(OFIX_OWN);
	return record;
}

static struct packet_spec first(int reset, int v4, int udp)
{
	return ofix_spec(&ofix_alice[v4], &ofix_ssa[reset][v4], ofix_protos[udp], PACKET_SYN);
}

static void give(const struct isthmus_addr *to, const struct onetime_addr *record)
{
	ofix_addr_put(&fx, to, record);
}

static void check_event(const struct packet_spec *spec, const struct onetime_addr *record)
{
	const struct onetime_event *event = &fx.event[0];
	struct onetime_event want = { .time_ns = record->since_ns,
				      .kind = ONETIME_EVENT_CLAIMED,
				      .addr = spec->dst,
				      .peer = spec->src,
				      .listener = record->listener };

	assert_int_equal(fx.events, 1);
	assert_memory_equal(event, &want, sizeof(want));
}

/* The entry is what it was, but for the session's end, ports, state and times. */
static void check_entry(const struct packet_spec *spec, const struct onetime_addr *before,
			__u64 from_ns)
{
	bool tcp = spec->proto == IPPROTO_TCP;
	__u64 life = (tcp ? ONETIME_CLAIM_S : ONETIME_UDP_S) * OFIX_S;
	struct onetime_addr want = *before, now = ofix_addr(&fx, &spec->dst);

	want.state = tcp ? ONETIME_STATE_CLAIMED : ONETIME_STATE_LIVE;
	want.peer = spec->src;
	want.peer_port = want.wire_peer_port = htons(spec->sport);
	want.wire_port = htons(spec->dport);
	if (tcp) /* UDP keeps its listener's */
		want.port = want.wire_port;
	assert_true(now.since_ns >= from_ns && now.since_ns <= ofix_now());
	assert_int_equal(now.until_ns, now.since_ns + life);
	want.since_ns = now.since_ns;
	want.until_ns = now.until_ns;
	assert_memory_equal(&now, &want, sizeof(now));
	check_event(spec, &now);
}

static void claims(struct packet_spec spec)
{
	struct onetime_addr before = ofix_addr(&fx, &spec.dst);
	__u64 from_ns = ofix_now();

	ofix_passes(&fx, spec, ONETIME_CLAIMED);
	check_entry(&spec, &before, from_ns);
}

/* ---- rows */

/* It is taken once: the claimant goes on, everybody else finds it taken. */
static void test_claim(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset) ofix_each_proto(udp) ofix_each_mode(mode)
	{
		struct onetime_addr record = pending(mode, ofix_protos[udp]);
		struct packet_spec spec = first(reset, v4, udp), other = spec;

		give(&spec.dst, &record);
		claims(spec);
		ofix_passes(&fx, spec, ONETIME_SESSION);
		other.src = ofix_bob[v4];
		ofix_refuses(&fx, reset, other, ONETIME_TAKEN);
		other.flags = PACKET_ACK;
		ofix_refuses(&fx, reset, other, ONETIME_TAKEN);
	}
}

/* Where an unconnected listener answers from. */
static void test_claim_udp_peer(void **unused)
{
	(void)unused;
	ofix_each_family(v4)
	{
		struct onetime_addr record = pending(ONETIME_L0, IPPROTO_UDP);
		struct packet_spec spec = first(OFIX_SILENT, v4, 1);
		struct onetime_udp_key key = { .peer = ofix_alice[v4],
					       .peer_port = htons(OFIX_PEER) };
		struct onetime_listener listener;
		struct onetime_udp udp;
		__u32 index = OFIX_UDP;

		give(&spec.dst, &record);
		claims(spec);
		assert_true(ofix_get(&fx, "onetime_listener", &index, &listener));
		key.cookie = listener.cookie;
		assert_int_equal(ofix_entries(&fx, "onetime_udp"), v4 + 1);
		assert_true(ofix_get(&fx, "onetime_udp", &key, &udp));
		assert_memory_equal(&udp.addr, &spec.dst, 16);
	}
}

/* Any port, both ends'. */
static void test_claim_ports(void **unused)
{
	static const __u16 ports[] = { 0, 1, 22, 80, 32768, 65535 };

	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp) for (int i = 0; i < 36; i++)
	{
		struct onetime_addr record = pending(ONETIME_L0 + i % 3, ofix_protos[udp]);
		struct packet_spec spec = first(OFIX_SILENT, v4, udp);

		spec.sport = ports[i / 6];
		spec.dport = ports[i % 6];
		give(&spec.dst, &record);
		claims(spec);
		ofix_passes(&fx, spec, ONETIME_SESSION);
	}
}

static void test_flags(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset) for (__u16 flags = 0; flags < 256; flags++)
	{
		struct onetime_addr record = pending(ONETIME_L0, IPPROTO_TCP);
		struct packet_spec spec = first(reset, v4, 0);
		__u16 telling = flags & (PACKET_SYN | PACKET_ACK | PACKET_RST | PACKET_FIN);

		spec.flags = flags;
		give(&spec.dst, &record);
		if (telling == PACKET_SYN)
			claims(spec);
		else
			ofix_refuses(&fx, reset, spec, ONETIME_NO_SYN);
	}
}

/* ---- whom it was given to */

static void flip(struct isthmus_addr *addr, int bit)
{
	addr->b[bit / 8] ^= 0x80 >> bit % 8;
}

static void run_only(int reset, int v4, int bits)
{
	struct onetime_addr record = pending(ONETIME_L0, IPPROTO_TCP);
	struct packet_spec spec = first(reset, v4, 0);

	record.only = ofix_alice[v4];
	record.only_bits = bits;
	give(&spec.dst, &record);
	flip(&spec.src, bits - 1);
	ofix_refuses(&fx, reset, spec, ONETIME_NOT_FOR);
	flip(&spec.src, bits - 1);
	for (int bit = bits; bit < 128; bit++)
		flip(&spec.src, bit);
	claims(spec);
}

static void test_only(void **unused)
{
	(void)unused;
	ofix_each_pool(reset)
	{
		for (int bits = 1; bits <= 128; bits++)
			run_only(reset, 0, bits);
		for (int bits = 97; bits <= 128; bits++)
			run_only(reset, 1, bits);
	}
}

/* 0 bits are everybody, whatever the prefix; 96 of an IPv4 one are all of IPv4. */
static void test_only_all(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		struct onetime_addr record = pending(ONETIME_L0, ofix_protos[udp]);
		struct packet_spec spec = first(OFIX_SILENT, v4, udp);

		record.only = ofix_bob[v4];
		give(&spec.dst, &record);
		claims(spec);
		record.only = ofix_bob[1];
		record.only_bits = 96;
		give(&spec.dst, &record);
		if (v4)
			claims(spec);
		else
			ofix_refuses(&fx, OFIX_SILENT, spec, ONETIME_NOT_FOR);
	}
}

/* ---- other reasons */

static void test_expired(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset) ofix_each_proto(udp)
	{
		struct onetime_addr record = pending(ONETIME_L0, ofix_protos[udp]);
		struct packet_spec spec = first(reset, v4, udp);

		record.until_ns = ofix_now();
		give(&spec.dst, &record);
		ofix_refuses(&fx, reset, spec, ONETIME_EXPIRED);
		record.until_ns = ofix_now() + OFIX_S;
		give(&spec.dst, &record);
		claims(spec);
	}
}

static void test_no_listener(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset) ofix_each_proto(udp)
	{
		static const __u32 nobodies[] = { OFIX_NOBODY, ONETIME_LISTENERS, ~0u };

		for (int i = 0; i < 3; i++) {
			struct onetime_addr record = pending(ONETIME_L0, ofix_protos[udp]);
			struct packet_spec spec = first(reset, v4, udp);

			record.listener = nobodies[i];
			give(&spec.dst, &record);
			ofix_refuses(&fx, reset, spec, ONETIME_NO_LISTENER);
		}
	}
}

static void test_wrong_port(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset) ofix_each_proto(udp)
	{
		struct onetime_addr record = pending(ONETIME_AWARE, ofix_protos[udp]);
		struct packet_spec spec = first(reset, v4, udp);

		give(&spec.dst, &record);
		spec.dport++;
		ofix_refuses(&fx, reset, spec, ONETIME_WRONG_PORT);
		record.mode = ONETIME_L2;
		give(&spec.dst, &record);
		claims(spec);
	}
}

static void test_wrong_proto(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset) ofix_each_proto(udp) ofix_each_mode(mode)
	{
		struct onetime_addr record = pending(mode, ofix_protos[!udp]);

		give(&ofix_ssa[reset][v4], &record);
		ofix_refuses(&fx, reset, first(reset, v4, udp), ONETIME_WRONG_PORT);
	}
}

/* From outside nobody is one of ours, the address itself least of all. */
static void test_spoofed(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_pool(reset) ofix_each_proto(udp)
	{
		struct onetime_addr record = pending(ONETIME_L0, ofix_protos[udp]);
		struct packet_spec spec = first(reset, v4, udp);
		__u32 net = fx.net;

		give(&spec.dst, &record);
		spec.src = spec.dst;
		ofix_refuses(&fx, reset, spec, ONETIME_SPOOFED);
		spec.src.b[15]++;
		ofix_refuses(&fx, reset, spec, ONETIME_SPOOFED);
		spec.src = ofix_ssa[!reset][v4];
		ofix_refuses(&fx, reset, spec, ONETIME_SPOOFED);
		fx.net = 1; /* loopback */
		claims(spec);
		fx.net = net;
	}
}

/* ---- fragments */

static void run_piece(const struct packet *piece, int reason)
{
	if (!ofix_becomes(&fx, OFIX_IN, piece, reason, OFIX_ALONE, NULL))
		fail();
}

/* That of a datagram gets the listener's port, and the checksum that the whole one would have. */
static void run_first_piece(struct packet_spec spec, const struct packet *piece)
{
	bool udp = spec.proto == IPPROTO_UDP;
	struct packet whole, want;

	if (udp)
		spec.dport = OFIX_UDP_PORT;
	ofix_frame(&fx, OFIX_IN, &spec, &whole);
	packet_fragment(&whole, 0, 64, 5, &want);
	if (!ofix_becomes(&fx, OFIX_IN, piece, ONETIME_CLAIMED,
			  udp ? ONETIME_REWRITTEN : OFIX_ALONE, &want))
		fail();
}

static void test_fragments(void **unused)
{
	(void)unused;
	ofix_each_family(v4) ofix_each_proto(udp)
	{
		struct onetime_addr record = pending(ONETIME_L2, ofix_protos[udp]), was;
		struct packet_spec spec = first(OFIX_SILENT, v4, udp);
		struct packet whole, one, two;

		ofix_clear(&fx);
		spec.data_len = 200;
		ofix_frame(&fx, OFIX_IN, &spec, &whole);
		packet_fragment(&whole, 0, 64, 5, &one);
		packet_fragment(&whole, 64, 200 + (udp ? 8 : 20), 5, &two);
		run_piece(&two, ONETIME_FREE);
		give(&spec.dst, &record);
		run_piece(&two, ONETIME_FRAGMENT);
		was = ofix_addr(&fx, &spec.dst);
		assert_memory_equal(&was, &record, sizeof(was));
		run_first_piece(spec, &one);
		run_piece(&two, ONETIME_SESSION);
		spec.src = ofix_bob[v4];
		ofix_frame(&fx, OFIX_IN, &spec, &whole);
		packet_fragment(&whole, 64, 200 + (udp ? 8 : 20), 5, &two);
		run_piece(&two, ONETIME_TAKEN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_claim, clear),
		cmocka_unit_test_setup(test_claim_udp_peer, clear),
		cmocka_unit_test_setup(test_claim_ports, clear),
		cmocka_unit_test_setup(test_flags, clear),
		cmocka_unit_test_setup(test_only, clear),
		cmocka_unit_test_setup(test_only_all, clear),
		cmocka_unit_test_setup(test_expired, clear),
		cmocka_unit_test_setup(test_no_listener, clear),
		cmocka_unit_test_setup(test_wrong_port, clear),
		cmocka_unit_test_setup(test_wrong_proto, clear),
		cmocka_unit_test_setup(test_spoofed, clear),
		cmocka_unit_test_setup(test_fragments, clear),
	};

	return cmocka_run_group_tests_name("onetime_claim", tests, set_up, tear_down);
}
