// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "dns.h"

#define HELD_MAX     65536
#define FORGET_MS    3000 /* 5.1 */
#define TICK_MS	     50
#define RECEIVED_MAX 512 /* datagrams before others have their turn */
#define AGAIN_MS     50
#define ADDRESS6_TTL 60 /* no binding is needed; as long as a waypoint may need to vanish */
#define DISTRIBUTION 12 /* how long initiators took: up to 2^n ms */

static const unsigned int again_ms[] = { 200, 600, 1400 };

struct bound {
	struct held base;
	struct wanted wanted;
	struct chosen chosen;
	unsigned int next;	   /* candidate that is asked */
	unsigned int sends;	   /* of its SETUP; 0: waits for an address to be free */
	bool waiting;		   /* one of those that were asked waits for somebody else */
	uint64_t asked_ms, due_ms; /* asked: the candidate, for the first time */
	struct setup ask;
	struct wire_set *set;
};

struct bindings {
	struct dns *dns;
	struct holds *holds;
	struct event *tick;
	struct bind_limits *limits;
	uint64_t asked, sent_again, accepted, rejected, forgotten, failed, full, proven_first,
		limited, answered6, bad, late;
	uint64_t took[DISTRIBUTION + 1];
};

/* ---- SETUP */

static void queue(struct waypoint *waypoint, const uint8_t bytes[SETUP_BYTES])
{
	if (waypoint->queued == SETUP_BATCH)
		bind_send(waypoint);
	memcpy(waypoint->queue[waypoint->queued++], bytes, SETUP_BYTES);
}

static void send_setup(struct bindings *bindings, struct bound *held)
{
	struct candidate *to = &held->chosen.candidate[held->next];
	uint8_t bytes[SETUP_BYTES];

	held->ask.serial = held->base.serial;
	held->ask.waypoint = to->waypoint->address[to->address].address;
	held->ask.gateway = to->gateway;
	held->ask.host = to->host;
	if (setup_write(&held->ask, to->waypoint->key, bytes))
		return;
	if (!held->sends)
		held->asked_ms = dns_now_ms();
	bindings->asked += !held->sends;
	bindings->sent_again += held->sends > 0;
	held->due_ms = held->sends < 3 ? held->asked_ms + again_ms[held->sends] : UINT64_MAX;
	held->sends++;
	queue(to->waypoint, bytes);
}

/* Asks the addresses in their order; if all of those that there are wait, once more later. */
static void ask(struct bindings *bindings, struct bound *held)
{
	uint64_t now = dns_now_ms();

	held->wanted.now_ms = now;
	choose(bindings->dns->members, &held->wanted, &held->chosen);
	held->next = held->sends = 0;
	held->waiting = held->chosen.retry_ms != 0;
	if (held->next < held->chosen.count) {
		send_setup(bindings, held);
		return;
	}
	if (!held->chosen.retry_ms) { /* none will be free */
		bindings->failed++;
		hold_fail(bindings->holds, &held->base, ANSWER_SERVFAIL);
		return;
	}
	held->due_ms = held->chosen.retry_ms;
}

/* After a REJECT. False: nobody is left to be asked. */
static bool ask_next(struct bindings *bindings, struct bound *held, enum setup_why why)
{
	uint64_t now = dns_now_ms();

	held->waiting |= why == SETUP_WAITING;
	held->next++;
	held->sends = 0;
	if (!hold_renumber(bindings->holds, &held->base))
		return false;
	if (held->next < held->chosen.count) {
		send_setup(bindings, held);
		return true;
	}
	if (!held->waiting)
		return false;
	held->due_ms = held->chosen.retry_ms > now ? held->chosen.retry_ms : now + AGAIN_MS;
	return true;
}

static void note_wait(const struct bound *held, const struct setup *answer)
{
	const struct candidate *to = &held->chosen.candidate[held->next];
	uint64_t now = dns_now_ms();
	struct busy busy = { .until_ms = now + answer->ms,
			     .prefix = held->wanted.prefix,
			     .mask = held->wanted.mask,
			     .gateway = to->gateway,
			     .host = to->host };

	choose_note(&to->waypoint->address[to->address], &busy, now);
}

/* Somebody else's wait: it lasts no longer than ours would. */
static void note_rejected(const struct bound *held, const struct setup *answer)
{
	const struct candidate *to = &held->chosen.candidate[held->next];
	uint64_t now = dns_now_ms();
	struct busy busy = { .until_ms = now + AGAIN_MS * 4 };

	if (answer->why == SETUP_WAITING && !held->wanted.known)
		choose_note(&to->waypoint->address[to->address], &busy, now);
}

/* The serial says it; a waypoint that answers something else under it has gone wrong. */
static bool is_answer_of(const struct setup *answer, const struct setup *ask)
{
	return answer->mode == ask->mode && answer->prefix_len == ask->prefix_len &&
	       answer->waypoint == ask->waypoint && answer->initiator == ask->initiator &&
	       answer->gateway == ask->gateway && answer->host == ask->host;
}

static void take_answer(struct bindings *bindings, const struct waypoint *waypoint,
			const struct setup *answer)
{
	struct bound *held = (struct bound *)hold_find(bindings->holds, answer->serial);
	struct answer_binding binding = { .result = ANSWER_NOERROR };

	if (!held || !held->sends || held->chosen.candidate[held->next].waypoint != waypoint) {
		bindings->late++; /* or a second one */
		return;
	}
	if (!is_answer_of(answer, &held->ask)) {
		bindings->bad++;
		return;
	}
	if (answer->type == SETUP_REJECT) {
		bindings->rejected++;
		note_rejected(held, answer);
		if (!ask_next(bindings, held, answer->why))
			hold_fail(bindings->holds, &held->base, ANSWER_SERVFAIL);
		return;
	}
	bindings->accepted++;
	if (!held->wanted.known)
		note_wait(held, answer);
	choose_assigned(bindings->dns->members, &held->wanted, &held->chosen.candidate[held->next]);
	memcpy(binding.address, &held->ask.waypoint, 4);
	binding.scope = held->base.scope;
	hold_reply(bindings->holds, &held->base, &binding);
}

void bind_readable(evutil_socket_t fd, short what, void *arg)
{
	struct waypoint *waypoint = arg;
	struct dns *dns = waypoint->dns;

	(void)what;
	for (unsigned int received = 0; received < RECEIVED_MAX;) {
		const struct setup_mail *mail;
		unsigned int count = setup_receive(waypoint->inbox, fd, &mail);
		struct setup answer;

		if (!count)
			break;
		received += count;
		for (unsigned int i = 0; i < count; i++) {
			if (setup_read(mail[i].bytes, mail[i].len, waypoint->key, &answer) ||
			    answer.type == SETUP_ASK)
				dns->bindings->bad++;
			else
				take_answer(dns->bindings, waypoint, &answer);
		}
	}
	hold_flush(dns);
}

/* ---- a question begins */

/* What a listed resolver says of its client filters the wait (RFC 7871); of others it is ignored.
 */
static void use_subnet(struct dns *dns, const struct wire_subnet *subnet, struct bound *held)
{
	if (subnet->family != 1 || !hold_subnet_is_believed(dns, subnet, &held->base.client))
		return;
	held->wanted.mask = htonl(UINT32_MAX << (32 - subnet->source_len));
	memcpy(&held->wanted.prefix, subnet->address, 4);
	held->wanted.prefix &= held->wanted.mask;
	memset(held->wanted.client.b, 0, 16);
	held->wanted.client.b[10] = held->wanted.client.b[11] = 0xff;
	memcpy(held->wanted.client.b + 12, &held->wanted.prefix, 4);
	held->base.scope = subnet->source_len;
}

static uint64_t hash_bound(const struct wire_set *bound)
{
	uint64_t hash = 14695981039346656037ull; /* FNV-1a */
	uint16_t len;

	for (unsigned int i = 0; i < wire_set_count(bound); i++) {
		const uint8_t *data = wire_set_at(bound, i, &len);

		while (len--)
			hash = (hash ^ *data++) * 1099511628211ull;
	}
	return hash;
}

/* Who is to be bound: the client itself (W3), or who of its kind comes first (W4). */
static void describe(struct dns *dns, struct bound *held, const struct answer_held *what)
{
	struct wanted *wanted = &held->wanted;
	uint16_t port;

	memset(wanted, 0, sizeof(*wanted));
	address_from_sockaddr((struct sockaddr *)&held->base.client.address, &wanted->client,
			      &port);
	wanted->bound = held->set;
	wanted->now_ms = held->base.began_ms;
	wanted->name_hash = hash_bound(held->set);
	wanted->v6 = what->type == ns_t_aaaa;
	wanted->known = !wanted->v6 && address_is_v4(&wanted->client) &&
			prefix_any_has(dns->settings.initiators_list,
				       dns->settings.initiators_count, &wanted->client);
	if (wanted->known) {
		memcpy(&wanted->prefix, wanted->client.b + 12, 4);
		wanted->mask = UINT32_MAX;
	} else if (!wanted->v6) {
		use_subnet(dns, &what->subnet, held);
	}
	held->ask = (struct setup){ .type = SETUP_ASK,
				    .mode = wanted->known ? SETUP_KNOWN : SETUP_DELAYED,
				    .prefix_len = (uint8_t)__builtin_popcount(wanted->mask),
				    .initiator = wanted->prefix };
	if (address_is_v4(&wanted->client))
		memcpy(&held->ask.resolver, wanted->client.b + 12, 4);
}

/* W13: an IPv6 initiator needs no binding, for each host has an address of its own. */
static void answer6(struct bindings *bindings, struct bound *held)
{
	struct answer_binding binding = { .result = ANSWER_NODATA };
	const struct members *members = bindings->dns->members;
	struct isthmus_addr address;

	choose(members, &held->wanted, &held->chosen);
	if (!members->waypoint_count) /* for a moment, perhaps: no data would be remembered */
		binding.result = ANSWER_SERVFAIL;
	for (unsigned int i = 0; i < held->chosen.count; i++) {
		const struct candidate *to = &held->chosen.candidate[i];

		if (!waypoint_address6(to->waypoint, members->gateway[to->gateway], to->host,
				       &address))
			continue;
		binding.result = ANSWER_NOERROR;
		binding.ttl = ADDRESS6_TTL;
		memcpy(binding.address, address.b, 16);
		bindings->answered6++;
		break;
	}
	hold_reply(bindings->holds, &held->base, &binding);
}

static struct bound *begin(struct bindings *bindings, const struct hold_client *client,
			   const uint8_t *question, size_t len)
{
	struct bound *held = (struct bound *)hold_begin(bindings->holds, client, question, len);

	if (!held)
		return NULL;
	held->due_ms = UINT64_MAX;
	held->set = wire_set_copy(bindings->dns->server.held.bound);
	if (held->set)
		return held;
	hold_end(bindings->holds, &held->base);
	return NULL;
}

static bool is_limited(struct bindings *bindings, struct bound *held, bool proven)
{
	switch (bind_limits_check(bindings->limits, bindings->dns->members, &held->wanted,
				  proven)) {
	case BIND_PROVE:
		bindings->proven_first++;
		hold_fail(bindings->holds, &held->base, ANSWER_SLIPPED);
		return true;
	case BIND_PROVE_LIMITED:
		bindings->limited++;
		hold_fail(bindings->holds, &held->base, ANSWER_SLIPPED);
		return true;
	case BIND_LIMITED:
		bindings->limited++;
		hold_fail(bindings->holds, &held->base, ANSWER_SERVFAIL);
		return true;
	default:
		return false;
	}
}

bool bind_hold(struct dns *dns, const struct hold_client *client, const uint8_t *question,
	       size_t len)
{
	struct bindings *bindings = dns->bindings;
	const struct answer_held what = dns->server.held;
	struct bound *held;

	held = bindings ? begin(bindings, client, question, len) : NULL;
	if (!held) {
		if (bindings)
			bindings->full++;
		return false;
	}
	describe(dns, held, &what);
	if (held->wanted.v6) {
		answer6(bindings, held);
		return true;
	}
	if (!held->wanted.known && is_limited(bindings, held, what.proven))
		return true;
	ask(bindings, held);
	return true;
}

/* ---- time */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct bindings *bindings = arg;
	struct held *base, *next;
	uint64_t now = dns_now_ms();

	(void)fd;
	(void)what;
	for (base = TAILQ_FIRST(&bindings->holds->list); base; base = next) {
		struct bound *held = (struct bound *)base;

		next = TAILQ_NEXT(base, link);
		if (now - base->began_ms >= FORGET_MS) {
			bindings->forgotten++;
			hold_drop(bindings->holds, base);
		} else if (held->due_ms <= now) {
			if (held->sends)
				send_setup(bindings, held);
			else
				ask(bindings, held);
		}
	}
	hold_flush(bindings->dns);
}

static void gone(struct held *held)
{
	wire_set_free(((struct bound *)held)->set);
}

static int start_tick(struct bindings *bindings)
{
	const struct timeval often = { .tv_usec = TICK_MS * 1000 };

	bindings->tick = event_new(bindings->dns->base, -1, EV_PERSIST, on_tick, bindings);
	return bindings->tick && !event_add(bindings->tick, &often) ? 0 : -ENOMEM;
}

int bind_open(struct dns *dns)
{
	struct bindings *bindings = calloc(1, sizeof(*bindings));

	if (!bindings)
		return -ENOMEM;
	bindings->dns = dns;
	dns->bindings = bindings;
	bindings->limits = bind_limits_new();
	bindings->holds = holds_new(dns, sizeof(struct bound), HELD_MAX);
	if (!bindings->limits || !bindings->holds)
		return -ENOMEM;
	bindings->holds->gone = gone;
	return start_tick(bindings);
}

void bind_close(struct dns *dns)
{
	struct bindings *bindings = dns->bindings;

	if (!bindings)
		return;
	holds_free(bindings->holds);
	if (bindings->tick)
		event_free(bindings->tick);
	bind_limits_free(bindings->limits);
	free(bindings);
	dns->bindings = NULL;
}

struct holds *bind_holds(const struct dns *dns)
{
	return dns->bindings ? dns->bindings->holds : NULL;
}

void bind_flush(struct dns *dns)
{
	for (unsigned int i = 0; dns->members && i < dns->members->waypoint_count; i++)
		bind_send(dns->members->waypoint[i]);
}

/* Those that wait for its answer ask others, under another serial; it is no candidate any more. */
void bind_waypoint_lost(struct dns *dns, const struct waypoint *waypoint)
{
	struct held *base;

	TAILQ_FOREACH(base, &dns->bindings->holds->list, link)
	{
		struct bound *held = (struct bound *)base;
		struct chosen *chosen = &held->chosen;
		unsigned int kept = held->next;

		if (held->sends && chosen->candidate[held->next].waypoint == waypoint) {
			chosen->count = held->next = held->sends = 0;
			held->due_ms = dns_now_ms() + AGAIN_MS;
			hold_renumber(dns->bindings->holds, &held->base);
			continue;
		}
		for (unsigned int i = held->next; i < chosen->count; i++)
			if (chosen->candidate[i].waypoint != waypoint)
				chosen->candidate[kept++] = chosen->candidate[i];
		chosen->count = kept;
	}
}

void bind_took(struct dns *dns, unsigned int ms)
{
	int power = 0;

	while (power < DISTRIBUTION && ms >> power)
		power++;
	dns->bindings->took[power]++;
}

json_t *bind_status(struct dns *dns)
{
	const struct bindings *b = dns->bindings;
	json_t *took = json_array();

	if (!b) {
		json_decref(took);
		return json_object();
	}
	for (int i = 0; i <= DISTRIBUTION; i++)
		json_array_append_new(took, json_integer((json_int_t)b->took[i]));
	return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
			 "held", (int)b->holds->count, "asked", (json_int_t)b->asked, "asked_again",
			 (json_int_t)b->sent_again, "accepted", (json_int_t)b->accepted, "rejected",
			 (json_int_t)b->rejected, "forgotten", (json_int_t)b->forgotten, "failed",
			 (json_int_t)b->failed, "full", (json_int_t)b->full, "proven_first",
			 (json_int_t)b->proven_first, "limited", (json_int_t)b->limited,
			 "answered6", (json_int_t)b->answered6, "bad", (json_int_t)b->bad, "late",
			 (json_int_t)b->late, "took_ms_log2", took);
}
