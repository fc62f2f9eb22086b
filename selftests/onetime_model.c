// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/onetime_fixture.c */
/* link: selftests/lib/onetime_model.c selftests/lib/onetime_life.c */
/*
 * selftests/onetime_model.c - an address' life: random packets, an agent's and sockets' actions and
 * the passing of time against a plain model (lib/onetime_model.h). After every step what became of
 * the packet, each of its bytes, the counters, the event and the whole entry are what the model
 * says; and, told from the outcomes alone:
 *   - an address is taken once between its making and its removal;
 *   - nobody's packet passes but that of who took it, and none after it is over.
 * The kernel's clock cannot be set, so time passes by making all entries older. What the kernel
 * tells by sockops is written as sockops would (selftests/onetime_race.c has real ones).
 *
 * ONETIME_SEED repeats a run. A failure prints what happened to the address since it was made.
 */
#include <arpa/inet.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/onetime.skel.h"
#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_life.h"

#define RUNS	20
#define STEPS	2000
#define SECONDS 20 /* for all, where the machine is slow; each run that began is finished */

/* What the test itself has seen: who took the address that the agent made as `serial`. */
static struct {
	__u64 serial;
	int by;
} taken[OMODEL_ADDRESSES];

static __u64 slack; /* a step's programs run up to so much later */
static int seen[ONETIME_REASON_COUNT], found[3], held_up, steps;

/* ---- outcomes */

static int verdict_of(int reason)
{
	enum { PASS, SEND, DROP, NONE };
	static const __u8 verdicts[] = {
#define VERDICT(name, verdict, text) verdict,
		ONETIME_REASONS(VERDICT)
#undef VERDICT
	};

	return verdicts[reason] == PASS ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

static void check_counted(int at, const struct ofix_result *got, const struct omodel_outcome *want)
{
	if (got->reason != (int)want->reason)
		olife_trace(at, "%s, should be %s", ofix_reason_name(got->reason),
			    ofix_reason_name(want->reason));
	olife_hold(got->reason == (int)want->reason, at, "reason");
	olife_hold(got->verdict == verdict_of(want->reason), at, "verdict");
	for (int i = 0; i < ONETIME_REASON_COUNT; i++) {
		__u64 beside = (i == want->refused) + (i == ONETIME_REWRITTEN && want->rewritten);

		if (got->beside[i] != beside)
			olife_trace(at, "beside it %s counted %llu", ofix_reason_name(i),
				    got->beside[i]);
		olife_hold(got->beside[i] == beside, at, "what is counted beside");
	}
	seen[want->reason]++;
	if (want->refused != OMODEL_NOBODY)
		seen[want->refused]++;
	seen[ONETIME_REWRITTEN] += want->rewritten;
}

static void check_event(int at, const struct omodel_packet *packet,
			const struct omodel_outcome *want)
{
	const struct onetime_event *event = &life.fx.event[0];
	struct onetime_event expected = {
		.time_ns = event->time_ns,
		.kind = ONETIME_EVENT_CLAIMED,
		.addr = life.side[at].key,
		.peer = *olife_peer(at, packet->peer),
		.listener = life.side[at].record.listener,
	};

	olife_hold(life.fx.events == want->told, at,
		   "one event for an address that is taken, else none");
	if (!want->told)
		return;
	olife_hold(!memcmp(event, &expected, sizeof(expected)), at, "event");
	olife_hold(event->time_ns - life.now <= slack, at, "event's time");
}

/* The entry is the model's; times are when the program looked at its clock. */
static void check_record(int at, const struct omodel_outcome *want)
{
	struct omodel_address *address = &life.model.address[at];
	struct onetime_addr got = ofix_addr(&life.fx, &life.side[at].key), expected;

	if (!address->made) {
		olife_hold(!got.state, at, "no entry");
		return;
	}
	if (want && want->told) {
		olife_hold(got.since_ns - address->since <= slack, at, "since");
		address->since = got.since_ns;
	}
	if (want && want->most) {
		olife_hold(got.until_ns >= want->least && got.until_ns <= want->most + slack, at,
			   "until");
		address->until = got.until_ns;
	}
	expected = olife_record(at);
	if (memcmp(&got, &expected, sizeof(got)))
		for (size_t i = 0; i < sizeof(got); i++)
			if (((__u8 *)&got)[i] != ((__u8 *)&expected)[i])
				olife_trace(at, "byte %zu of the entry is %u, should be %u", i,
					    ((__u8 *)&got)[i], ((__u8 *)&expected)[i]);
	olife_hold(!memcmp(&got, &expected, sizeof(got)), at, "entry");
	life.side[at].record = got;
}

/* Replies of a socket that is not connected find the address that was asked. */
static void check_udp(int at, const struct omodel_packet *packet)
{
	struct onetime_udp_key key = { .peer = *olife_peer(at, packet->peer),
				       .peer_port = htons(packet->peer_port) };
	struct onetime_listener listener;
	struct onetime_udp udp;

	ofix_get(&life.fx, "onetime_listener", &life.side[at].record.listener, &listener);
	key.cookie = listener.cookie;
	olife_hold(ofix_get(&life.fx, "onetime_udp", &key, &udp), at, "UDP's way back is noted");
	olife_hold(!memcmp(&udp.addr, &life.side[at].key, sizeof(udp.addr)), at, "UDP's way back");
}

/* What must hold whatever the model says. */
static void watch(int at, const struct omodel_packet *packet, const struct ofix_result *got,
		  enum onetime_state before)
{
	__u64 serial = life.side[at].record.serial;

	if (got->reason == ONETIME_CLAIMED) {
		olife_hold(taken[at].serial != serial, at, "an address is taken once");
		taken[at].serial = serial;
		taken[at].by = packet->peer;
	}
	if (got->reason != ONETIME_SESSION)
		return;
	olife_hold(before != ONETIME_STATE_DEAD, at, "nothing passes after the end");
	if (life.model.address[at].use == ONETIME_SSA)
		olife_hold(taken[at].serial == serial && taken[at].by == packet->peer, at,
			   "only who took it passes");
}

/* ---- steps */

/* The clock went on over something's end: neither outcome would be wrong. What happened is taken
 * over. */
static bool is_sure(int at)
{
	struct omodel_address *address = &life.model.address[at];
	__u64 after = ofix_now();

	slack = after - life.now;
	return omodel_state(address, life.now) == omodel_state(address, after);
}

static void take_over(int at)
{
	held_up++;
	life.model.address[at].made = false;
	bpf_map_delete_elem(ofix_map(&life.fx, "onetime_addr"), &life.side[at].key);
}

static void step_packet(int at, bool out)
{
	struct omodel_packet packet = olife_packet(at, out);
	struct omodel_outcome as = { .port = packet.port, .peer_port = packet.peer_port }, want;
	enum onetime_state before = omodel_state(&life.model.address[at], life.now);
	static struct packet in, expected;
	static struct ofix_result got;

	if (out && packet.kind == OMODEL_ERROR)
		packet.kind = OMODEL_OTHER;
	olife_frame(&packet, &as, out, &in);
	olife_trace_packet(at, out ? "out" : "in", &packet);
	ofix_run(&life.fx, out ? OFIX_OUT : OFIX_IN, &in, &got);
	if (!is_sure(at)) {
		take_over(at);
		return;
	}
	want = out ? omodel_out(&life.model, &packet, life.now)
		   : omodel_in(&life.model, &packet, life.now);
	check_counted(at, &got, &want);
	olife_frame(&packet, &want, out, &expected);
	olife_hold(ofix_same(&got.out, &expected), at, "bytes");
	check_event(at, &packet, &want);
	check_record(at, &want);
	if (want.told && packet.proto == IPPROTO_UDP)
		check_udp(at, &packet);
	if (!out)
		watch(at, &packet, &got, before);
}

/* A step to TAKING is another CPU's. */
static void step_taking(int at)
{
	struct omodel_address *address = &life.model.address[at];

	if (omodel_state(address, life.now) != ONETIME_STATE_PENDING)
		return;
	address->state = ONETIME_STATE_TAKING;
	olife_write(at);
	step_packet(at, false);
	if (!address->made)
		return;
	address->state = ONETIME_STATE_PENDING;
	olife_write(at);
}

static struct bpf_sk_lookup lookup_of(const struct omodel_packet *packet)
{
	const struct isthmus_addr *ours = &life.side[packet->address].key;
	const struct isthmus_addr *theirs = olife_peer(packet->address, packet->peer);
	bool v4 = olife_is_v4(packet->address);
	struct bpf_sk_lookup ctx = { .family = v4 ? AF_INET : AF_INET6,
				     .protocol = packet->proto,
				     .remote_port = htons(packet->peer_port),
				     .local_port = packet->port };

	memcpy(v4 ? (void *)&ctx.local_ip4 : ctx.local_ip6, ours->b + (v4 ? 12 : 0), v4 ? 4 : 16);
	memcpy(v4 ? (void *)&ctx.remote_ip4 : ctx.remote_ip6, theirs->b + (v4 ? 12 : 0),
	       v4 ? 4 : 16);
	return ctx;
}

/* Counted without a packet: read with one that is no pool's. */
static void check_lookup_counted(int at, enum omodel_found want)
{
	struct packet_spec spec = { .src = OFIX_ALICE6, .dst = PACKET_V6(7, 99) };
	static struct packet frame;
	static struct ofix_result got;

	ofix_frame(&life.fx, OFIX_IN, &spec, &frame);
	ofix_run(&life.fx, OFIX_IN, &frame, &got);
	olife_hold(got.beside[ONETIME_LOOKED_UP] == (want == OMODEL_LISTENER), at, "looked up");
	olife_hold(got.beside[ONETIME_LOOKUP_REFUSED] == (want == OMODEL_REFUSED), at, "refused");
}

static void step_lookup(int at)
{
	struct omodel_packet packet = olife_packet(at, true);
	struct bpf_sk_lookup ctx, after = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx),
		    .ctx_out = &after, .ctx_size_out = sizeof(after));
	struct onetime_listener listener = {};
	enum omodel_found want;

	packet.kind = OMODEL_PORTS;
	ctx = lookup_of(&packet);
	olife_trace_packet(at, "sought", &packet);
	must(bpf_prog_test_run_opts(bpf_program__fd(life.fx.skel->progs.onetime_lookup), &opts));
	if (!is_sure(at)) {
		check_lookup_counted(at, opts.retval == SK_DROP ? OMODEL_REFUSED
					 : after.cookie		? OMODEL_LISTENER
								: OMODEL_KERNEL);
		take_over(at);
		return;
	}
	want = omodel_lookup(&life.model, &packet, life.now);
	if (want == OMODEL_LISTENER)
		ofix_get(&life.fx, "onetime_listener", &life.side[at].record.listener, &listener);
	olife_hold(opts.retval == (want == OMODEL_REFUSED ? SK_DROP : SK_PASS), at,
		   "look-up's verdict");
	olife_hold(after.cookie == listener.cookie, at, "the socket is the address' listener");
	check_lookup_counted(at, want);
	check_record(at, NULL);
	found[want]++;
}

static void one_step(void)
{
	int at = olife_below(OMODEL_ADDRESSES);

	life.now = ofix_now();
	switch (olife_below(20)) {
	case 0 ... 2:
		olife_agent(at);
		break;
	case 3 ... 4:
		olife_sockets(at);
		break;
	case 5:
		if (!olife_below(3))
			olife_time(at);
		break;
	case 6:
		step_taking(at);
		break;
	case 7 ... 9:
		step_lookup(at);
		break;
	case 10 ... 11:
		step_packet(at, true);
		break;
	default:
		step_packet(at, false);
	}
	steps++;
}

/* ---- tests */

static void one_run(unsigned int seed)
{
	olife_begin(seed);
	memset(taken, 0, sizeof(taken));
	for (life.step = 0; life.step < STEPS; life.step++)
		one_step();
}

static void test_random(void **state)
{
	const char *told = getenv("ONETIME_SEED");
	unsigned int seed = told ? strtoul(told, NULL, 0) : (unsigned int)time(NULL) * RUNS;
	__u64 end = assume_now_ms() + SECONDS * 1000;
	int runs = 0;

	(void)state;
	for (; runs < (told ? 1 : RUNS) && assume_now_ms() < end; runs++)
		one_run(seed + runs);
	print_message("%d runs, %d steps, %d held up\n", runs, steps, held_up);
	assert_true(held_up * 100 < steps);
	if (told || runs < RUNS / 4)
		return;
	/* Nothing that the model knows was left out. */
	for (int i = ONETIME_CLAIMED; i <= ONETIME_FRAGMENT; i++)
		if (!seen[i] && i != ONETIME_SHARED)
			fail_msg("%s was never seen", ofix_reason_name(i));
	for (int i = 0; i < 3; i++)
		assert_true(found[i]);
	assert_true(seen[ONETIME_REFUSED_RST]);
}

static int set_up(void **state)
{
	(void)state;
	return ofix_open(&life.fx);
}

static int tear_down(void **state)
{
	(void)state;
	ofix_close(&life.fx);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("onetime_model", tests, set_up, tear_down);
}
