// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The sweep goes through splice_leg again and again, a batch at a time and a few milliseconds at a
 * time, so that a million sessions do not stall the loop. It ends what has ended (decide.c), finds
 * joins whose event was lost, removes legs that belong to nothing, and notices sessions whose legs
 * someone else has removed.
 *
 * A leg's owner is found by its two local endpoints; the legs of finished sessions have none.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "decide.h"
#include "kernel.h"

#define BATCH	      4096
#define STEP_NS	      4000000ULL /* time of one step */
#define BUCKETS	      16384	 /* of the table, in one step */
#define ORPHAN_NS     (5 * NS_PER_S)
#define INTERVAL_NS   NS_PER_S
#define INTERVAL_MAX  (30 * NS_PER_S)
#define MISSED_SWEEPS 2

struct sweep {
	struct translator *translator;
	struct event *timer;
	struct splice_leg_key key[BATCH];
	struct splice_leg leg[BATCH];
	uint64_t position, started_ns;
	size_t bucket; /* the next one to look for vanished sessions in */
	__u32 count, at;
	uint32_t number;
	unsigned int legs;
	bool first, last; /* batch */
};

static struct splice_leg_key other_key(const struct splice_leg_key *key,
				       const struct splice_leg *leg)
{
	struct splice_leg_key other = { .remote = leg->new_dst,
					.local = leg->new_src,
					.remote_port = leg->new_dport,
					.local_port = leg->new_sport,
					.proto = key->proto };

	return other;
}

/* A port may have been given to a new session while old legs wait in TIME-WAIT: so compare all. */
static struct session *leg_owner(const struct translator *t, const struct splice_leg_key *key,
				 const struct splice_leg *leg)
{
	struct session *s =
		locals_owner(&t->locals, &key->local, key->proto, ntohs(key->local_port));
	int side = leg->flags & SPLICE_LEG_PROVIDER ? 1 : 0;

	if (!s || s->side[side].port != ntohs(key->local_port) ||
	    s->side[!side].port != ntohs(leg->new_sport) ||
	    !address_equal(&s->side[side].local, &key->local) ||
	    !address_equal(&s->side[!side].local, &leg->new_src) ||
	    !address_equal(&s->side[side].remote, &key->remote) ||
	    !address_equal(&s->side[!side].remote, &leg->new_dst))
		return NULL;
	return s;
}

static void remove_leg(struct translator *t, const struct splice_leg_key *key)
{
	bpf_map_delete_elem(t->kernel->fd[MAP_LEG], key);
}

static void remove_pair(struct translator *t, const struct splice_leg_key *key,
			const struct splice_leg_key *other)
{
	remove_leg(t, key);
	remove_leg(t, other);
}

/* One leg without the other, once the time in which the datapath makes both is long over. */
static void visit_single(struct translator *t, const struct splice_leg_key *key, uint64_t now)
{
	struct splice_leg leg;

	if (bpf_map_lookup_elem(t->kernel->fd[MAP_LEG], key, &leg))
		return; /* it has gone since the batch was read */
	if (now < leg.seen_ns + ORPHAN_NS)
		return;
	remove_leg(t, key);
	t->counters.orphans++;
}

static void end_session(struct translator *t, struct session *s, enum verdict verdict,
			const struct splice_leg_key *key, const struct splice_leg_key *other)
{
	static const enum end_why why[] = {
		[VERDICT_FINISHED] = END_DONE, [VERDICT_TIME_WAIT] = END_DONE,
		[VERDICT_RESET] = END_RESET,   [VERDICT_HALF_OPEN] = END_HALF_OPEN,
		[VERDICT_IDLE] = END_IDLE,
	};

	if (s)
		rendezvous_end(t, s, why[verdict]);
	if (verdict != VERDICT_FINISHED)
		remove_pair(t, key, other);
}

static void visit_leg(struct translator *t, const struct splice_leg_key *key,
		      const struct splice_leg *leg, uint64_t now)
{
	const struct splice_conf *conf = &t->kernel->conf;
	struct session *s = leg_owner(t, key, leg);
	struct splice_leg_key other_leg_key;
	struct splice_leg other;
	enum verdict verdict;

	hops_note(t->kernel->hops, leg);
	if (s)
		s->swept = t->kernel->sweep->number;
	if (s && s->state == SESSION_WAITING)
		t->engine->check(t, s);
	if (s &&
	    !decide_may_end(key->proto, (struct leg_view){ leg->flags, leg->seen_ns }, now, conf))
		return;
	other_leg_key = other_key(key, leg);
	if (bpf_map_lookup_elem(t->kernel->fd[MAP_LEG], &other_leg_key, &other)) {
		visit_single(t, key, now);
		return;
	}
	verdict = decide_session(key->proto, (struct leg_view){ leg->flags, leg->seen_ns },
				 (struct leg_view){ other.flags, other.seen_ns }, now, conf);
	if (verdict != VERDICT_KEEP) {
		end_session(t, s, verdict, key, &other_leg_key);
	} else if (!s && !(leg->flags & other.flags & SPLICE_LEG_FIN)) {
		/* Made by a CPU that had found the side just before it was deleted. */
		remove_pair(t, key, &other_leg_key);
		t->counters.orphans += 2;
	}
}

static int read_batch(struct sweep *sweep)
{
	int err;

	sweep->count = BATCH;
	sweep->at = 0;
	err = bpf_map_lookup_batch(sweep->translator->kernel->fd[MAP_LEG],
				   sweep->first ? NULL : &sweep->position, &sweep->position,
				   sweep->key, sweep->leg, &sweep->count, NULL);
	sweep->first = false;
	sweep->last = err != 0;
	if (err && err != -ENOENT)
		sweep->count = 0;
	sweep->legs += sweep->count;
	return err == -ENOENT ? 0 : err;
}

/* Its legs have been missing for whole sweeps. */
static bool has_vanished(const struct sweep *sweep, struct session *s)
{
	if (s->state != SESSION_JOINED)
		return false;
	if (s->swept)
		return sweep->number - s->swept >= MISSED_SWEEPS;
	if (s->joined_ns < sweep->started_ns)
		s->swept = sweep->number;
	return false;
}

static void visit_table(struct sweep *sweep)
{
	struct translator *t = sweep->translator;

	for (size_t i = 0; i < BUCKETS && sweep->bucket < t->table.buckets; i++) {
		struct session *s = t->table.bucket[sweep->bucket++];

		while (s) {
			struct session *next = s->next;

			if (has_vanished(sweep, s))
				rendezvous_end(t, s, END_VANISHED);
			s = next;
		}
	}
}

static void sweep_begin(struct sweep *sweep)
{
	struct kernel *kernel = sweep->translator->kernel;
	struct splice_conf conf;
	__u32 zero = 0;

	if (!bpf_map_lookup_elem(kernel->fd[MAP_CONF], &zero, &conf))
		kernel->conf = conf; /* times change with `attach --replace` */
	sweep->started_ns = now_ns();
	sweep->number++;
	sweep->first = true;
	sweep->last = false;
	sweep->count = sweep->at = 0;
	sweep->legs = 0;
	sweep->bucket = 0;
}

/* Works until `until`; true when the sweep is complete. */
static bool sweep_step(struct sweep *sweep, uint64_t until)
{
	struct translator *t = sweep->translator;
	uint64_t now = now_ns();

	do {
		if (sweep->at == sweep->count && sweep->last) {
			visit_table(sweep);
			if (sweep->bucket >= t->table.buckets)
				return true;
		} else if (sweep->at == sweep->count) {
			int err = read_batch(sweep);

			if (err)
				log_warn("cannot read splice_leg: %s", strerror(-err));
		}
		for (int i = 0; i < 64 && sweep->at < sweep->count; i++, sweep->at++)
			visit_leg(t, &sweep->key[sweep->at], &sweep->leg[sweep->at], now);
		now = now_ns();
	} while (now < until);
	return false;
}

static void sweep_end(struct sweep *sweep)
{
	sweep->translator->kernel->legs_seen = sweep->legs;
	hops_swept(sweep->translator->kernel->hops);
}

static void wake_in(struct sweep *sweep, uint64_t ns)
{
	struct timeval wait = { ns / NS_PER_S, ns % NS_PER_S / 1000 };

	evtimer_add(sweep->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct sweep *sweep = arg;
	uint64_t start = now_ns(), spent;

	(void)fd;
	(void)what;
	if (!sweep_step(sweep, start + STEP_NS)) {
		wake_in(sweep, 2 * (now_ns() - start));
		return;
	}
	sweep_end(sweep);
	spent = now_ns() - sweep->started_ns;
	sweep_begin(sweep);
	spent = 4 * spent > INTERVAL_NS ? 4 * spent : INTERVAL_NS;
	wake_in(sweep, spent < INTERVAL_MAX ? spent : INTERVAL_MAX);
}

void sweep_run(struct translator *t)
{
	struct sweep *sweep = t->kernel->sweep;

	sweep_begin(sweep);
	while (!sweep_step(sweep, now_ns() + STEP_NS))
		;
	sweep_end(sweep);
	sweep_begin(sweep);
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
	sweep_begin(sweep);
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
