// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The table of sessions and what may happen to one: opened by the broker, probed by both sides,
 * joined by the engine, ended. The drawing is in translator.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "mix.h"
#include "translator.h"

#define BUCKETS_MAX  (1U << 20)
#define POLL_PURE_MS 500
#define RECLAIM_MAX  64
#define EXPIRY_GRACE (NS_PER_S / 10) /* a SYN admitted in the last moment may still join */

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

const char *end_text(enum end_why why)
{
#define END_TEXT(name, text) [END_##name] = text,
	static const char *const texts[] = { END_REASONS(END_TEXT) };
#undef END_TEXT

	return why < END_COUNT ? texts[why] : "unknown";
}

const char *reason_text(enum splice_reason reason)
{
#define REASON_TEXT(name, verdict, text) [SPLICE_##name] = #name,
	static const char *const names[] = { SPLICE_REASONS(REASON_TEXT) };
#undef REASON_TEXT
	static char text[32];
	size_t i = 0;

	if (reason >= SPLICE_REASON_COUNT)
		return "unknown";
	for (const char *c = names[reason]; *c && i < sizeof(text) - 1; c++)
		text[i++] = *c == '_' ? '-' : *c - 'A' + 'a';
	text[i] = 0;
	return text;
}

int table_init(struct translator *t, unsigned int limit)
{
	struct table *table = &t->table;
	size_t buckets = 1024;

	while (buckets < limit && buckets < BUCKETS_MAX)
		buckets *= 2;
	if (auth_random(&table->seed, sizeof(table->seed)))
		return -EIO;
	table->bucket = calloc(buckets, sizeof(*table->bucket));
	if (!table->bucket)
		return -ENOMEM;
	table->buckets = buckets;
	TAILQ_INIT(&table->finished);
	table->limit = limit;
	return 0;
}

/* Ids come from the broker at random; the seed is for a broker that does not keep to it. */
static struct session **table_bucket(const struct table *table, uint64_t id)
{
	return &table->bucket[mix64(id ^ table->seed) & (table->buckets - 1)];
}

struct session *table_find(const struct table *table, uint64_t id)
{
	struct session *s = *table_bucket(table, id);

	while (s && s->id != id)
		s = s->next;
	return s;
}

static void session_free(struct session *s)
{
	if (s->timer)
		event_free(s->timer);
	explicit_bzero(s, sizeof(*s));
	free(s);
}

void table_free(struct translator *t)
{
	for (size_t i = 0; i < t->table.buckets; i++) {
		struct session *s = t->table.bucket[i];

		while (s) {
			struct session *next = s->next;

			session_free(s);
			s = next;
		}
	}
	free(t->table.bucket);
	memset(&t->table, 0, sizeof(t->table));
}

void table_each(struct translator *t, void (*visit)(struct session *s, void *arg), void *arg)
{
	for (size_t i = 0; i < t->table.buckets; i++) {
		struct session *s = t->table.bucket[i];

		while (s) {
			struct session *next = s->next;

			visit(s, arg);
			s = next;
		}
	}
}

struct session *table_restore(struct translator *t, uint64_t id, uint64_t expires_ns)
{
	struct session **bucket = table_bucket(&t->table, id);
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->translator = t;
	s->id = id;
	s->expires_ns = expires_ns;
	s->next = *bucket;
	*bucket = s;
	t->table.sessions++;
	return s;
}

static void release_ports(struct translator *t, struct session *s)
{
	for (int side = 0; side < 2; side++) {
		port_release(&t->locals, &s->side[side].local, s->proto, s->side[side].port);
		s->side[side].port = 0;
		memset(&s->side[side].local, 0, sizeof(s->side[side].local));
	}
}

static void table_remove(struct translator *t, struct session *s)
{
	struct session **link = table_bucket(&t->table, s->id);

	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	t->table.sessions--;
	if (s->state == SESSION_JOINED)
		t->table.joined--;
	if (s->state == SESSION_FINISHED) {
		TAILQ_REMOVE(&t->table.finished, s, finished);
		t->table.finished_count--;
	}
	release_ports(t, s);
	session_free(s);
}

unsigned int rendezvous_free(const struct translator *t)
{
	unsigned int tcp = locals_free_ports(&t->locals, IPPROTO_TCP) / 2;
	unsigned int udp = locals_free_ports(&t->locals, IPPROTO_UDP) / 2;
	unsigned int active = t->table.sessions - t->table.finished_count;
	unsigned int room = t->table.limit > active ? t->table.limit - active : 0;
	unsigned int engine = t->engine->free_sessions(t);

	room = room < engine ? room : engine;
	tcp = (tcp > udp ? tcp : udp) + t->table.finished_count;
	return room < tcp ? room : tcp;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	struct translator *t = s->translator;

	(void)fd;
	(void)what;
	t->engine->check(t, s);
	if (s->state != SESSION_WAITING) /* its timer is gone */
		return;
	if (now_ns() >= s->expires_ns + EXPIRY_GRACE)
		rendezvous_end(t, s, END_EXPIRED);
	else
		rendezvous_arm(s);
}

void rendezvous_arm(struct session *s)
{
	uint64_t now = now_ns(), due = s->expires_ns + EXPIRY_GRACE;
	uint64_t ms = due > now ? (due - now) / 1000000 + 1 : 1;
	struct timeval wait;

	if (s->pure && !s->syn_told && ms > POLL_PURE_MS)
		ms = POLL_PURE_MS;
	wait.tv_sec = ms / 1000;
	wait.tv_usec = ms % 1000 * 1000;
	if (!s->timer)
		s->timer = evtimer_new(s->translator->base, on_timer, s);
	if (s->timer)
		evtimer_add(s->timer, &wait);
}

/* Pure (thesis figure 4.7): the far side connects to the port that source_side comes from. */
static bool choose_pure(struct translator *t, struct session *s, const struct open_request *request)
{
	static const struct isthmus_addr any;
	struct side *far = &s->side[!request->source_side];
	unsigned int start = arc4random_uniform(t->locals.count ? t->locals.count : 1);

	if (!request->pure || !t->engine->pure || request->proto != IPPROTO_TCP ||
	    !request->source_port)
		return false;
	for (unsigned int i = 0; i < t->locals.count; i++) {
		const struct local *local = &t->locals.item[(start + i) % t->locals.count];

		if (local->draining || address_is_v4(&local->addr) != (s->family == 4) ||
		    port_claim(&t->locals, &local->addr, s->proto, request->source_port, s))
			continue;
		far->local = s->side[request->source_side].local = local->addr;
		far->port = request->source_port;
		return true;
	}
	s->side[0].local = s->side[1].local = any;
	return false;
}

static int choose_ports(struct translator *t, struct session *s, const struct open_request *request)
{
	int err;

	s->pure = choose_pure(t, s, request);
	if (s->pure)
		return 0;
	err = port_take(&t->locals, s->family, s->proto, s, &s->side[0].local, &s->side[0].port);
	if (err)
		return err;
	/* The other side at the same address if it has a port left. */
	s->side[1].local = s->side[0].local;
	err = port_take(&t->locals, s->family, s->proto, s, &s->side[1].local, &s->side[1].port);
	if (err != -ENOSPC)
		return err;
	memset(&s->side[1].local, 0, sizeof(s->side[1].local));
	return port_take(&t->locals, s->family, s->proto, s, &s->side[1].local, &s->side[1].port);
}

/* No endpoint is free: the one that has been in TIME-WAIT for longest is (RFC 6191, in spirit). */
static bool reclaim(struct translator *t)
{
	struct session *s = TAILQ_FIRST(&t->table.finished);

	if (!s)
		return false;
	rendezvous_end(t, s, END_DONE);
	t->counters.reclaimed++;
	return true;
}

static int make_tokens(struct session *s)
{
	for (int side = 0; side < 2; side++) {
		if (auth_random(s->side[side].token, PROBE_TOKEN_BYTES))
			return -EIO;
		s->side[side].has_token = true;
	}
	return 0;
}

int rendezvous_open(struct translator *t, const struct open_request *request, struct session **out)
{
	struct session *s;
	int err;

	if (table_find(&t->table, request->id))
		return -EEXIST;
	if (!locals_have_family(&t->locals, request->family))
		return -EAFNOSUPPORT;
	if (t->table.sessions - t->table.finished_count >= t->table.limit)
		return -ENOSPC;
	s = table_restore(t, request->id, now_ns() + request->lifetime_s * NS_PER_S);
	if (!s)
		return -ENOMEM;
	s->proto = request->proto;
	s->family = request->family;
	err = choose_ports(t, s, request);
	for (int i = 0; err == -ENOSPC && i < RECLAIM_MAX && reclaim(t); i++) {
		release_ports(t, s);
		err = choose_ports(t, s, request);
	}
	if (!err)
		err = make_tokens(s);
	if (!err)
		err = t->engine->open(t, s);
	if (err) {
		table_remove(t, s);
		return err;
	}
	t->counters.opened++;
	rendezvous_arm(s);
	*out = s;
	return 0;
}

int rendezvous_pure_open(struct translator *t, struct session *s, int side, uint16_t port)
{
	struct side *near = &s->side[side];
	int claimed, err;

	if (!s->pure || near->port || s->state != SESSION_WAITING)
		return -EINVAL;
	claimed = port_claim(&t->locals, &near->local, s->proto, port, s);
	if (!claimed)
		near->port = port;
	err = claimed ? port_take(&t->locals, s->family, s->proto, s, &near->local, &near->port)
		      : 0;
	if (err)
		return err;
	err = t->engine->retarget(t, s, side);
	if (err) {
		port_release(&t->locals, &near->local, s->proto, near->port);
		near->port = 0;
		return err;
	}
	if (claimed)
		s->pure = false;
	return claimed ? -EEXIST : 0;
}

static enum probe_status probe_side(struct translator *t, struct session *s, int side,
				    const struct isthmus_addr *seen)
{
	struct side *own = &s->side[side];
	struct side before = *own;

	if (address_is_v4(seen) != (s->family == 4))
		return PROBE_FAMILY;
	if (own->probed && address_equal(&own->remote, seen))
		return PROBE_OK;
	if (s->state != SESSION_WAITING || now_ns() > s->expires_ns)
		return PROBE_EXPIRED;
	own->remote = *seen;
	own->probed = true;
	/* -EBUSY: this side's SYN has come from its earlier address. */
	if (t->engine->admit(t, s, side)) {
		*own = before;
		return PROBE_EXPIRED;
	}
	return PROBE_OK;
}

enum probe_status rendezvous_probe(struct translator *t, const struct probe_question *question,
				   const struct isthmus_addr *seen)
{
	static const struct side nobody;
	struct session *s = table_find(&t->table, question->session);
	const struct side *side = s && question->side < 2 ? &s->side[question->side] : &nobody;
	bool same = auth_equal(side->token, question->token, PROBE_TOKEN_BYTES);

	if (!same || !side->has_token)
		return PROBE_UNKNOWN;
	return probe_side(t, s, question->side, seen);
}

void rendezvous_syn(struct translator *t, struct session *s, int side, uint16_t port)
{
	if (!s->pure || s->syn_told || s->side[!side].port || s->state != SESSION_WAITING)
		return;
	s->syn_told = true;
	t->notify->side_syn(t, s, side, port);
}

void rendezvous_joined(struct translator *t, struct session *s)
{
	if (s->state != SESSION_WAITING)
		return;
	s->state = SESSION_JOINED;
	if (!s->joined_ns)
		s->joined_ns = now_ns();
	t->table.joined++;
	t->counters.joined++;
	if (s->timer)
		event_free(s->timer);
	s->timer = NULL;
	t->notify->joined(t, s);
}

void rendezvous_refused(struct translator *t, struct session *s, enum splice_reason reason)
{
	if (reason >= SPLICE_REASON_COUNT)
		return;
	t->counters.refused[reason]++;
	if (!s || s->refused & 1ULL << reason) /* once for each reason, not for each packet */
		return;
	s->refused |= 1ULL << reason;
	t->notify->refused(t, s, reason_text(reason));
}

static void report_end(struct translator *t, struct session *s, enum end_why why,
		       const struct traffic *traffic)
{
	t->counters.ended[why]++;
	for (int side = 0; side < 2; side++) {
		t->counters.traffic.packets[side] += traffic->packets[side];
		t->counters.traffic.bytes[side] += traffic->bytes[side];
	}
	t->notify->ended(t, s, why, traffic);
}

void table_finished(struct translator *t, struct session *s)
{
	s->state = SESSION_FINISHED;
	t->table.joined--;
	t->table.finished_count++;
	TAILQ_INSERT_TAIL(&t->table.finished, s, finished);
}

void rendezvous_finish(struct translator *t, struct session *s)
{
	struct traffic traffic = { 0 };

	if (s->state != SESSION_JOINED)
		return;
	t->engine->finish(t, s, &traffic);
	report_end(t, s, END_DONE, &traffic);
	table_finished(t, s);
}

void rendezvous_end(struct translator *t, struct session *s, enum end_why why)
{
	struct traffic traffic = { 0 };

	t->engine->close(t, s, why, &traffic);
	if (s->state != SESSION_FINISHED)
		report_end(t, s, why, &traffic);
	table_remove(t, s);
}
