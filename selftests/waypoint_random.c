// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/seal.c */
/* link: selftests/lib/waypoint_fixture.c selftests/lib/waypoint_model.c */
/* link: selftests/lib/waypoint_model_maps.c */
/*
 * selftests/waypoint_random.c - figure 6 of the AVES paper: random arrivals, an agent's actions and
 * the passing of time against a plain model (lib/waypoint_model.h). After every step what became of
 * the packet, each of its bytes, counters, events and records are what the model says; and, told
 * from the outcomes alone:
 *   - an initiator's packets to one waypoint address go to one responder until its binding is over;
 *   - no binding is over before the time for which it is fresh;
 *   - a violator's new connections are refused from the wait's end for the reject time, and nobody
 *     else's ever; what it has open goes on.
 * The kernel's clock cannot be set, so time passes by making all records older. Nothing ends or
 * begins within MARGIN after a packet, so what it becomes does not hang on the machine's speed.
 *
 * WAYPOINT_SEED repeats a run.
 */
#include <linux/pkt_cls.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "selftests/lib/seal.h"
#include "selftests/lib/waypoint_model_maps.h"

#define RUNS	  20
#define STEPS	  2000
#define TRIES	  100 /* of a run that was held up for longer than the margin */
#define MS	  1000000ull
#define MARGIN	  (250 * MS)
#define EVER	  (1ull << 60) /* further away than anything that ends */
#define QUOTED	  60
#define QUOTE	  128 /* of a packet that is answered by an error */
#define HABIT	  200 /* steps between changes of what initiators speak */
#define SCAN_EACH 400
#define SCAN	  60
#define EACH_ALL  100 /* steps between comparisons of all there is */

static const struct wmodel_responder responders[] = {
	{ WFIX_G1, 5 },	      { WFIX_G1, 6 },	   { WFIX_G1, 5 }, { WFIX_G2, 5 },
	{ WFIX_STRAIGHT, 7 }, { WFIX_HEADERS, 9 }, { WFIX_G6, 5 }, { WFIX_DOWN, 5 },
};

/* What the test has seen of a pair, whatever the model thinks. */
static struct watch {
	struct wmodel_responder to; /* peer 0 = nobody */
	__u64 fresh;		    /* not over before */
	__u64 from, until;	    /* the reject time */
} watches[WMODEL_INITIATORS][WMODEL_WAYPOINTS];

static struct wfix fx;
static struct wmodel model;
static struct wmaps maps = { .fx = &fx, .model = &model };
static __u64 sequences[WMODEL_PEERS], serial;
static unsigned int seed, state32;
static __u64 now; /* of a step; its programs run up to maps.slack later */
static int step;

static int counts[WAYPOINT_REASON_COUNT], told, limited, entered, turned_away, known, moved;

static int set_up(void **state)
{
	(void)state;
	seed = getenv("WAYPOINT_SEED") ? atoi(getenv("WAYPOINT_SEED")) : time(NULL);
	return wfix_open(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	wfix_close(&fx);
	return 0;
}

static unsigned int below(unsigned int limit)
{
	return rand_r(&state32) % limit;
}

static struct wmodel_responder any_responder(void)
{
	return responders[below(sizeof(responders) / sizeof(*responders))];
}

static void hold(bool good, const char *what)
{
	if (!good)
		fail_msg("WAYPOINT_SEED=%u, step %d: %s", seed, step, what);
}

/* ---- time */

static void pass(__u64 by)
{
	wmaps_age(&maps, by);
	for (int i = 0; i < WMODEL_INITIATORS; i++)
		for (int w = 0; w < WMODEL_WAYPOINTS; w++) {
			struct watch *watch = &watches[i][w];

			watch->fresh = wmodel_earlier(watch->fresh, by);
			watch->from = wmodel_earlier(watch->from, by);
			watch->until = wmodel_earlier(watch->until, by);
		}
}

/* What is about to end or begin does so at this very tick. */
static void settle(void)
{
	__u64 next;

	for (;;) {
		now = wfix_now();
		next = wmodel_next(&model, now);
		if (next - now > MARGIN)
			return;
		pass(next - now);
	}
}

static void jump(void)
{
	__u64 next = wmodel_next(&model, now) - now;

	switch (below(10)) {
	case 0 ... 3:
		pass(below(1500) * MS);
		break;
	case 4 ... 5:
		pass(next < EVER ? next : MS);
		break;
	case 6 ... 7: /* just before */
		pass(next < EVER && next > MARGIN + 2 * MS ? next - MARGIN - 2 * MS : MS);
		break;
	case 8:
		pass(below(200) * WFIX_S);
		break;
	default:
		pass(below(below(8) ? 1200 : 12000) * WFIX_S);
	}
}

/* ---- packets */

static bool is_scan(void)
{
	return step % SCAN_EACH < SCAN;
}

static enum wmodel_kind any_kind(const struct wmodel_packet *packet)
{
	static const enum wmodel_kind kinds[] = { WMODEL_TCP,	WMODEL_TCP,  WMODEL_TCP,
						  WMODEL_UDP,	WMODEL_ECHO, WMODEL_OTHER,
						  WMODEL_LATER, WMODEL_ERROR };
	unsigned int habit = seed + step / HABIT + packet->initiator + packet->waypoint;

	if (is_scan())
		return WMODEL_ECHO;
	if (below(12) == 0)
		return WMODEL_ERROR;
	if (habit % 6 < 5 && below(60))
		return kinds[habit % 6];
	return kinds[below(sizeof(kinds) / sizeof(*kinds))];
}

static void any_flags(struct wmodel_packet *packet, bool back)
{
	switch (below(back ? 8 : 12)) {
	case 0 ... 2:
		packet->fin = packet->ack = true;
		break;
	case 3:
		packet->rst = true;
		packet->ack = below(2);
		break;
	case 4: /* of a connection that its responder began */
		packet->initiator_port = -1;
		packet->syn = true;
		packet->ack = !back;
		break;
	case 5 ... 7:
		packet->ack = true;
		break;
	default:
		packet->syn = true;
	}
}

/* Rather one that is bound. */
static void any_pair(struct wmodel_packet *packet)
{
	if (is_scan()) {
		packet->initiator = seed % WMODEL_INITIATORS;
		packet->waypoint = below(WMODEL_WAYPOINTS);
		return;
	}
	for (int tries = below(4); tries >= 0; tries--) {
		packet->initiator = below(WMODEL_INITIATORS);
		packet->waypoint = below(WMODEL_WAYPOINTS);
		if (wmodel_is_live(&model, &model.entry[packet->initiator][packet->waypoint], now))
			return;
	}
}

static struct wmodel_packet any_packet(bool back)
{
	struct wmodel_packet packet = { .initiator_port = below(WMODEL_PORTS),
					.waypoint_port = below(20) == 0,
					.last_hop = !back && below(25) == 0,
					.hop = below(5) == 0 };

	any_pair(&packet);
	packet.kind = any_kind(&packet);
	packet.from =
		below(8) ? model.entry[packet.initiator][packet.waypoint].to : any_responder();
	if (!packet.from.peer)
		packet.from = any_responder();
	if (packet.kind == WMODEL_TCP)
		any_flags(&packet, back);
	return packet;
}

/* What the model does not look at. An error is sent by anybody. */
static void vary(const struct wmodel_packet *packet, bool back, struct packet_spec *spec)
{
	static struct packet quoted;
	struct wmodel_packet other = *packet;
	struct packet_spec about;

	if (packet->syn && below(4) == 0)
		spec->flags |= PACKET_ECE | PACKET_CWR;
	if (packet->kind == WMODEL_ECHO)
		spec->icmp_type = below(2) ? 8 : 0;
	else if (packet->kind == WMODEL_LATER)
		spec->frag = 0x2000 | (1 + below(100));
	else if (packet->kind == WMODEL_UDP && below(8) == 0)
		spec->frag = 0x2000;
	if (packet->kind != WMODEL_ERROR)
		return;
	other.kind = below(2) ? WMODEL_UDP : WMODEL_TCP;
	about = wmaps_spec(&other, !back);
	packet_build(&about, &quoted);
	spec->icmp_type = below(2) ? 3 : 11;
	spec->icmp_code = 1;
	spec->data = quoted.b + 14;
	spec->data_len = QUOTED;
	if (!back)
		spec->src = wmaps_initiator[below(WMODEL_INITIATORS)];
}

/* ---- outcomes */

static int verdict_of(enum wfix_hook hook, int reason, bool sent)
{
	enum { PASS, SEND, DROP, NONE };
	static const __u8 verdicts[] = {
#define VERDICT(name, verdict, text) verdict,
		WAYPOINT_REASONS(VERDICT)
#undef VERDICT
	};

	if (sent || verdicts[reason] == SEND)
		return hook == WFIX_XDP ? XDP_REDIRECT : TC_ACT_REDIRECT;
	return hook == WFIX_XDP ? XDP_DROP : TC_ACT_SHOT;
}

static void check_counted(enum wfix_hook hook, const struct wfix_result *got,
			  const struct wmodel_outcome *want)
{
	bool unreachable = want->told && want->reason != WAYPOINT_TTL;

	if (got->reason != (int)want->reason)
		fail_msg("WAYPOINT_SEED=%u, step %d: %s, should be %s", seed, step,
			 wfix_reason_name(got->reason), wfix_reason_name(want->reason));
	hold(got->verdict == verdict_of(hook, want->reason, want->told), "verdict");
	hold(got->unreachable == unreachable, "a refused one is told once");
	hold(got->told == (want->told && !unreachable), "who sent it is told once");
	hold(got->limited == want->limited, "errors are limited");
	counts[want->reason]++;
	told += want->told;
	limited += want->limited;
}

static void check_events(const struct waypoint_pair *pair, const struct wmodel_outcome *want)
{
	const struct wmodel_wait *wait = want->bound ? want->bound : want->violated;
	const struct waypoint_event *event = &fx.event[0];

	hold(fx.events == !!wait, "an event for whom a wait has bound or rejected");
	if (!wait)
		return;
	hold(event->kind == (want->bound ? WAYPOINT_EVENT_BOUND : WAYPOINT_EVENT_REJECTED),
	     "event's kind");
	hold(event->serial == wait->serial && !memcmp(&event->pair, pair, sizeof(*pair)),
	     "event's serial and pair");
	hold(event->peer == wait->to.peer && event->host == wait->to.host, "event's responder");
	hold(event->time_ns - now <= maps.slack, "event's time");
}

/* The packet, a hop older, sealed for the responder and nobody else, under a sequence of its own.
 */
static void check_sealed(struct packet_spec spec, const struct wfix_result *got,
			 struct wmodel_responder to)
{
	struct packet inner, want;

	wfix_aged(&fx, spec, &inner);
	wfix_sealed(&fx, to.peer, to.host, ++sequences[to.peer], &inner, &want);
	hold(wfix_same(&got->out, &want), "sealed packet");
}

static void check_error(const struct packet *in, const struct wmodel_packet *packet,
			const struct wfix_result *got)
{
	bool late = got->reason == WAYPOINT_TTL;
	struct packet_spec spec = { .src = wmaps_waypoint[packet->waypoint],
				    .dst = wmaps_initiator[packet->initiator],
				    .proto = 1,
				    .tos = 0xc0,
				    .icmp_type = late ? 11 : 3,
				    .icmp_code = late ? 0 : 1,
				    .data = in->b + 14,
				    .data_len = QUOTE };
	struct packet want;

	packet_build(&spec, &want);
	memcpy(want.b, in->b + 6, 6);
	memcpy(want.b + 6, in->b, 6);
	hold(wfix_same(&got->out, &want), "ICMP error");
}

/* ---- what must hold whatever the model says */

static void watch_out(const struct wmodel_packet *packet, bool fresh_one,
		      const struct wmodel_outcome *seen)
{
	struct watch *watch = &watches[packet->initiator][packet->waypoint];
	bool rejected = watch->from <= now && now < watch->until;

	hold((seen->reason == WAYPOINT_REFUSED) == (fresh_one && rejected),
	     "new connections are refused for the reject time");
	if (seen->reason == WAYPOINT_UNBOUND || seen->reason == WAYPOINT_UNSOLICITED)
		hold(now >= watch->fresh, "no binding is over while it is fresh");
	if (seen->reason == WAYPOINT_BOUND || seen->bound) {
		hold(now >= watch->fresh, "nobody is bound again while a binding is fresh");
		moved += watch->to.peer &&
			 (watch->to.peer != seen->to.peer || watch->to.host != seen->to.host);
		watch->to = seen->to;
		watch->fresh = now + model.fresh_ns;
	} else if (seen->reason == WAYPOINT_SEALED) {
		hold(watch->to.peer == seen->to.peer && watch->to.host == seen->to.host,
		     "an initiator is bound to one responder");
	} else if (seen->reason == WAYPOINT_VIOLATED) {
		watch->from = seen->violated->until;
		watch->until = watch->from + model.reject_ns;
	}
}

/* ---- steps */

/* False: something has ended or begun meanwhile, so neither outcome would be wrong. */
static bool in_time(void)
{
	__u64 after = wfix_now();

	maps.slack = after - now;
	return after < wmodel_next(&model, now);
}

static bool check_records(int initiator, int waypoint)
{
	wmaps_check_pair(&maps, initiator, waypoint);
	wmaps_check_source(&maps, initiator);
	wmaps_check_waits(&maps, waypoint);
	if (step % EACH_ALL == 0)
		wmaps_check_all(&maps);
	hold(!maps.wrong, "records");
	return true;
}

static bool step_out(void)
{
	enum wfix_hook hook = below(WFIX_HOOKS);
	struct wmodel_packet packet = any_packet(false);
	struct packet_spec spec = wmaps_spec(&packet, false);
	struct waypoint_pair pair = wmaps_pair(packet.initiator, packet.waypoint);
	struct wmodel_outcome want;
	struct wfix_result got;
	struct packet in;

	vary(&packet, false, &spec);
	wfix_frame(&fx, &spec, &in);
	wmaps_hop(&maps, packet.hop, in.b + 6);
	wfix_run(&fx, hook, &in, &got);
	if (!in_time())
		return false;
	want = wmodel_out(&model, &packet, now);
	check_counted(hook, &got, &want);
	check_events(&pair, &want);
	if (got.reason == WAYPOINT_SEALED || got.reason == WAYPOINT_BOUND)
		check_sealed(spec, &got, want.to);
	else if (want.told)
		check_error(&in, &packet, &got);
	watch_out(&packet, wmodel_is_new(&packet), &want);
	return check_records(packet.initiator, packet.waypoint);
}

static bool step_back(void)
{
	enum wfix_hook hook = below(WFIX_HOOKS);
	struct wmodel_packet packet = any_packet(true);
	struct packet_spec spec = wmaps_spec(&packet, true);
	const struct watch *watch = &watches[packet.initiator][packet.waypoint];
	struct packet inner, frame, sent;
	struct wmodel_outcome want;
	struct wfix_result got;

	vary(&packet, true, &spec);
	packet_build(&spec, &inner);
	wfix_from_gateway(&fx, packet.from.peer, packet.from.host, &inner, &frame);
	wfix_run(&fx, hook, &frame, &got);
	if (!in_time())
		return false;
	want = wmodel_back(&model, &packet, now);
	check_counted(hook, &got, &want);
	check_events(NULL, &want);
	if (got.reason == WAYPOINT_OPENED) {
		wfix_aged(&fx, spec, &sent);
		wmaps_hop(&maps, model.entry[packet.initiator][packet.waypoint].hop, sent.b);
		memcpy(sent.b + 6, fx.mac, 6);
		hold(wfix_same(&got.out, &sent), "opened packet");
		hold(watch->to.peer == packet.from.peer && watch->to.host == packet.from.host,
		     "what comes back is the responder's");
	}
	return check_records(packet.initiator, packet.waypoint);
}

static void enter(int waypoint, struct wmodel_wait *wait)
{
	int place;

	wait->to = any_responder();
	wait->serial = ++serial;
	place = wmodel_enter(&model, waypoint, wait, now);
	if (place >= 0)
		wmaps_put_wait(&maps, waypoint, place);
	entered += place >= 0;
	turned_away += place < 0;
}

/* SETUP for a prefix; some for nobody here, so that all places are taken; some at all addresses. */
static bool step_enter(void)
{
	static const int bits[] = { 0, 0, 8, 24, 24, 25, 32, 32 };
	static const int ms[] = { 500, 2000, 2000, 30000 };
	int waypoint = below(WMODEL_WAYPOINTS), length = bits[below(8)];
	struct wmodel_wait wait = { .made = true, .until = now + ms[below(4)] * MS };

	wait.mask = length ? ~0u << (32 - length) : 0;
	wait.prefix = model.address[below(WMODEL_INITIATORS)] + (below(3) ? 0 : below(5));
	wait.prefix &= wait.mask;
	enter(waypoint, &wait);
	for (waypoint = below(3) ? WMODEL_WAYPOINTS : 0; waypoint < WMODEL_WAYPOINTS; waypoint++)
		enter(waypoint, &wait);
	return true;
}

static bool step_know(void)
{
	int initiator = below(WMODEL_INITIATORS), waypoint = below(WMODEL_WAYPOINTS);
	struct wmodel_responder to = any_responder();

	if (!wmodel_know(&model, initiator, waypoint, to, now)) {
		turned_away++;
		return true;
	}
	wmaps_put_entry(&maps, initiator, waypoint);
	watches[initiator][waypoint].to = to;
	watches[initiator][waypoint].fresh = now + model.fresh_ns;
	known++;
	return check_records(initiator, waypoint);
}

/* One that was bound to nobody of late tries all addresses; then all wait. */
static bool step_scan(void)
{
	struct wmodel_wait wait = { .made = true, .until = now + 30000 * MS };

	if (step % SCAN_EACH == SCAN - 6)
		for (int w = 0; w < WMODEL_WAYPOINTS; w++)
			enter(w, &wait);
	return step_out();
}

static bool one_step(void)
{
	if (step % SCAN_EACH == 0)
		pass(WAYPOINT_EXEMPT_S * WFIX_S);
	settle();
	if (is_scan())
		return step_scan();
	switch (below(40)) {
	case 0 ... 22:
		return step_out();
	case 23 ... 31:
		return step_back();
	case 32 ... 34:
		return step_enter();
	case 35:
		return step_know();
	case 36:
		wmodel_sweep(&model, now);
		wmaps_sweep(&maps);
		return true;
	default:
		jump();
		return true;
	}
}

/* False: it was held up. */
static bool run(void)
{
	unsigned int shorter[8];

	state32 = seed;
	for (int i = 0; i < 8; i++)
		shorter[i] = below(4);
	wmaps_clear(&maps, below(3) ? WMAPS_TABLE : 3 + (int)below(6), shorter);
	memset(watches, 0, sizeof(watches));
	memset(sequences, 0, sizeof(sequences));
	for (step = 1; step <= STEPS; step++)
		if (!one_step())
			return false;
	return true;
}

/* What the runs were about has happened, where records can be old enough (pass() stops at 1). */
static void check_coverage(void)
{
	static const struct {
		enum waypoint_reason reason;
		int least;
	} rows[] = {
		{ WAYPOINT_SEALED, 2000 },  { WAYPOINT_BOUND, 200 },
		{ WAYPOINT_OPENED, 1000 },  { WAYPOINT_VIOLATED, 100 },
		{ WAYPOINT_REFUSED, 100 },  { WAYPOINT_UNSOLICITED, 1000 },
		{ WAYPOINT_UNBOUND, 1000 }, { WAYPOINT_PENALISED, 10 },
		{ WAYPOINT_BIND_FULL, 10 }, { WAYPOINT_TTL, 50 },
		{ WAYPOINT_NO_PEER, 50 },   { WAYPOINT_NO_HOP, 10 },
		{ WAYPOINT_FOREIGN, 500 },
	};

	for (int i = 0; i < WAYPOINT_REASON_COUNT; i++)
		if (counts[i])
			print_message("%s %d\n", wfix_reason_name(i), counts[i]);
	print_message("errors %d, limited %d; waits %d, known %d, SETUPs rejected %d; moved %d\n",
		      told, limited, entered, known, turned_away, moved);
	if (wfix_now() < 4 * 3600 * WFIX_S)
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_in_range(counts[rows[i].reason], rows[i].least, RUNS * STEPS);
	assert_in_range(limited, 10, RUNS * STEPS);
	assert_in_range(moved, 50, RUNS * STEPS);
}

static void test_random_arrivals(void **state)
{
	int tries;

	(void)state;
	for (int i = 0; i < RUNS; i++, seed++) {
		for (tries = 1; !run(); tries++)
			hold(tries < TRIES, "held up again and again");
	}
	check_coverage();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_arrivals) };

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
