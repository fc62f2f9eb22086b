// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The sweep goes through all sessions and then through splice_leg, again and again, a few
 * milliseconds at a time, so that a million sessions do not stall the loop. It ends what has ended
 * (decide.c), finds joins whose event was lost, notices sessions whose legs someone else has freed,
 * and frees legs whose session is not known.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "decide.h"
#include "kernel.h"

#define STEP_NS	     4000000ULL /* time of one step */
#define BUCKETS	     256	/* looked at between two looks at the clock */
#define LEGS	     4096
#define SETTLE_NS    (NS_PER_S) /* legs are live this long after the join at the latest */
#define INTERVAL_NS  NS_PER_S
#define INTERVAL_MAX (30 * NS_PER_S)

struct sweep {
	struct translator *translator;
	struct event *timer;
	uint64_t started_ns;
	size_t bucket;
	__u32 leg;
};

static struct leg_view view(const struct splice_leg *leg)
{
	struct leg_view seen = { __atomic_load_n(&leg->flags, __ATOMIC_RELAXED),
				 __atomic_load_n(&leg->seen_ns, __ATOMIC_RELAXED) };

	return seen;
}

static void act(struct translator *t, struct session *s, enum verdict verdict)
{
	static const enum end_why why[] = { [VERDICT_TIME_WAIT] = END_DONE,
					    [VERDICT_RESET] = END_RESET,
					    [VERDICT_HALF_OPEN] = END_HALF_OPEN,
					    [VERDICT_IDLE] = END_IDLE };

	if (verdict == VERDICT_FINISHED)
		rendezvous_finish(t, s);
	else if (verdict != VERDICT_KEEP)
		rendezvous_end(t, s, why[verdict]);
}

static void visit_session(struct translator *t, struct session *s, uint64_t now)
{
	const struct splice_leg *a = kernel_session_leg(t, s, 0);
	const struct splice_leg *b = kernel_session_leg(t, s, 1);

	if (s->state == SESSION_WAITING && a && b)
		t->engine->check(t, s);
	if (s->state == SESSION_WAITING)
		return;
	if (!a || !b) {
		if (now > s->joined_ns + SETTLE_NS)
			rendezvous_end(t, s, END_VANISHED);
		return;
	}
	hops_note(t->kernel->hops, a);
	hops_note(t->kernel->hops, b);
	act(t, s, decide_session(s->proto, view(a), view(b), now, &t->kernel->conf));
}

static void visit_buckets(struct sweep *sweep, uint64_t now)
{
	struct translator *t = sweep->translator;

	for (int i = 0; i < BUCKETS && sweep->bucket < t->table.buckets; i++) {
		struct session *s = t->table.bucket[sweep->bucket++];

		while (s) {
			struct session *next = s->next;

			visit_session(t, s, now);
			s = next;
		}
	}
}

/* Made by a CPU that had found the side just before it was deleted, or left by a killed agent. */
static void visit_legs(struct sweep *sweep)
{
	struct kernel *kernel = sweep->translator->kernel;

	for (int i = 0; i < LEGS && sweep->leg < kernel->leg_count; i++) {
		struct splice_leg *leg = &kernel->leg[sweep->leg++];

		if (__atomic_load_n(&leg->state, __ATOMIC_ACQUIRE) != SPLICE_LEG_LIVE ||
		    table_find(&sweep->translator->table, leg->rendezvous))
			continue;
		__atomic_store_n(&leg->state, SPLICE_LEG_FREE, __ATOMIC_RELEASE);
		sweep->translator->counters.orphans++;
	}
}

static void sweep_begin(struct sweep *sweep)
{
	kernel_read_conf(sweep->translator);
	sweep->started_ns = now_ns();
	sweep->bucket = 0;
	sweep->leg = 0;
}

/* Works until `until`; true when the sweep is complete. */
static bool sweep_step(struct sweep *sweep, uint64_t until)
{
	const struct translator *t = sweep->translator;
	uint64_t now = now_ns();

	while (now < until) {
		if (sweep->bucket < t->table.buckets)
			visit_buckets(sweep, now);
		else if (sweep->leg < t->kernel->leg_count)
			visit_legs(sweep);
		else
			return true;
		now = now_ns();
	}
	return false;
}

static void wake_in(struct sweep *sweep, uint64_t ns)
{
	struct timeval wait = { ns / NS_PER_S, ns % NS_PER_S / 1000 };

	evtimer_add(sweep->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct sweep *sweep = arg;
	uint64_t start = now_ns(), wait;

	(void)fd;
	(void)what;
	if (sweep->bucket == 0)
		sweep_begin(sweep);
	if (!sweep_step(sweep, start + STEP_NS)) {
		wake_in(sweep, 2 * (now_ns() - start));
		return;
	}
	hops_swept(sweep->translator->kernel->hops);
	sweep->bucket = 0;
	wait = 4 * (now_ns() - sweep->started_ns);
	wait = wait > INTERVAL_NS ? wait : INTERVAL_NS;
	wake_in(sweep, wait < INTERVAL_MAX ? wait : INTERVAL_MAX);
}

void sweep_run(struct translator *t)
{
	struct sweep *sweep = t->kernel->sweep;

	sweep_begin(sweep);
	while (!sweep_step(sweep, now_ns() + STEP_NS))
		;
	hops_swept(t->kernel->hops);
	sweep->bucket = 0;
}

int sweep_start(struct translator *t)
{
	struct sweep *sweep = calloc(1, sizeof(*sweep));

	if (!sweep)
		return -ENOMEM;
	t->kernel->sweep = sweep;
	sweep->translator = t;
	sweep->timer = evtimer_new(t->base, on_timer, sweep);
	if (!sweep->timer)
		return -ENOMEM;
	wake_in(sweep, INTERVAL_NS);
	return 0;
}

void sweep_free(struct sweep *sweep)
{
	if (!sweep)
		return;
	if (sweep->timer)
		event_free(sweep->timer);
	free(sweep);
}
