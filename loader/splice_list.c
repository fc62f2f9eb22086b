// SPDX-License-Identifier: GPL-3.0-or-later
/* `isthmus splice list` and `rendezvous`. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "address.h"
#include "splice_legs.h"
#include "walk.h"

#define NS_PER_S 1000000000ULL

/* A session, by side: where it arrives, and its leg. */
struct session {
	uint8_t proto;
	struct isthmus_addr local[2];
	uint16_t local_port[2]; /* network byte order */
	struct splice_leg leg[2];
};

struct list {
	const struct output *output;
	const struct splice_pins *pins;
	const struct splice_legs *legs;
	const struct option_addresses *only;
	uint64_t now_ns;
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static const char *proto_text(uint8_t proto)
{
	return proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : "other";
}

/* Figure 5.2 of the thesis: what follows SYN_RCVD is told by the legs. */
static enum splice_state session_state(const struct session *session)
{
	unsigned int either = session->leg[0].flags | session->leg[1].flags;
	unsigned int both = session->leg[0].flags & session->leg[1].flags;

	if (either & SPLICE_LEG_RST)
		return SPLICE_RESET;
	if (both & SPLICE_LEG_FIN)
		return SPLICE_TIME_WAIT;
	if (either & SPLICE_LEG_FIN)
		return SPLICE_CLOSE_WAIT;
	if ((both & SPLICE_LEG_ACKED) || session->proto == IPPROTO_UDP)
		return SPLICE_ESTABLISHED;
	return SPLICE_SYN_RCVD;
}

static const char *state_text(unsigned int state)
{
	static const char *const text[] = {
		[SPLICE_LISTEN] = "listen",	    [SPLICE_SYN_LOOKUP] = "syn-lookup",
		[SPLICE_SYN_RCVD] = "syn-rcvd",	    [SPLICE_ESTABLISHED] = "established",
		[SPLICE_CLOSE_WAIT] = "close-wait", [SPLICE_TIME_WAIT] = "time-wait",
		[SPLICE_RESET] = "reset",
	};

	return state < COUNT_OF(text) ? text[state] : "unknown";
}

static const char *family_text(const struct session *session)
{
	bool first = address_is_v4(&session->leg[0].remote);
	bool second = address_is_v4(&session->leg[1].remote);

	if (first == second)
		return first ? "4" : "6";
	return first ? "4-6" : "6-4";
}

static bool wanted(const struct option_addresses *only, const struct isthmus_addr *address[],
		   size_t count)
{
	if (!only->count)
		return true;
	for (unsigned int i = 0; i < only->count; i++)
		for (size_t j = 0; j < count; j++)
			if (!memcmp(&only->item[i], address[j], sizeof(*address[j])))
				return true;
	return false;
}

/* 0: its rendezvous is no more */
static uint64_t session_joined_ns(const struct list *list, const struct session *session)
{
	struct splice_join join;

	return bpf_map_lookup_elem(list->pins->join, &session->leg[0].rendezvous, &join)
		       ? 0
		       : join.joined_ns;
}

static int64_t seconds_since(const struct list *list, uint64_t then_ns)
{
	if (!then_ns)
		return OUTPUT_UNKNOWN;
	return then_ns < list->now_ns ? (list->now_ns - then_ns) / NS_PER_S : 0;
}

static void id_print(const struct output *output, uint64_t id)
{
	char text[24];

	snprintf(text, sizeof(text), "%016" PRIx64, id);
	output->text("session", id ? text : NULL);
}

static void session_print(const struct list *list, const struct session *session)
{
	const struct output *output = list->output;
	const struct splice_leg *leg = session->leg;
	uint64_t seen = leg[0].seen_ns > leg[1].seen_ns ? leg[0].seen_ns : leg[1].seen_ns;

	output->record_start();
	id_print(output, leg[0].rendezvous);
	output->text("proto", proto_text(session->proto));
	output->text("family", family_text(session));
	output->text("mode", leg[0].flags & SPLICE_LEG_PURE ? "pure" : "passive");
	output->text("state", state_text(session_state(session)));
	output->endpoint("subscriber", &leg[0].remote, leg[0].remote_port);
	output->endpoint("subscriber_at", &session->local[0], session->local_port[0]);
	output->endpoint("provider", &leg[1].remote, leg[1].remote_port);
	output->endpoint("provider_at", &session->local[1], session->local_port[1]);
	output->seconds("age", seconds_since(list, session_joined_ns(list, session)));
	output->seconds("idle", seconds_since(list, seen));
	output->number("packets_up", leg[0].packets);
	output->number("bytes_up", leg[0].bytes);
	output->number("packets_down", leg[1].packets);
	output->number("bytes_down", leg[1].bytes);
	output->record_end();
}

/* Each session is met at its subscriber's leg; the other leg is missing only while it ends. */
static void list_leg(const struct list *list, const struct isthmus_addr *local, uint16_t port,
		     uint8_t proto, const struct splice_leg *leg)
{
	struct session session = { .proto = proto };
	const struct isthmus_addr *address[] = { &session.leg[0].remote, &session.local[0],
						 &session.leg[1].remote, &session.local[1] };
	const struct splice_leg *other;

	if (leg->state != SPLICE_LEG_LIVE || leg->flags & SPLICE_LEG_PROVIDER)
		return;
	session.leg[0] = *leg;
	session.local[0] = *local;
	session.local_port[0] = htons(port);
	session.local[1] = session.leg[0].new_src;
	session.local_port[1] = session.leg[0].new_sport;
	other = splice_legs_at(list->legs, &session.local[1], session.local_port[1], proto);
	if (!other || other->state != SPLICE_LEG_LIVE)
		return;
	session.leg[1] = *other;
	if (wanted(list->only, address, COUNT_OF(address)))
		session_print(list, &session);
}

static void list_place(const struct list *list, const struct splice_place *place)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP };
	const struct splice_range *range = &place->range;

	for (size_t i = 0; i < COUNT_OF(protos); i++)
		for (uint32_t port = range->low; port <= range->high; port++)
			list_leg(list, &place->address, port, protos[i],
				 &list->legs->leg[splice_leg_index(range, port, protos[i])]);
}

static int list_sessions(struct list *list)
{
	struct splice_legs legs;
	int err = splice_legs_open(list->pins, &legs);

	if (err)
		return err;
	list->legs = &legs;
	for (unsigned int i = 0; i < legs.places; i++)
		list_place(list, &legs.place[i]);
	splice_legs_close(&legs);
	return 0;
}

/* Who came to a side, if anyone. */
static void print_came(const struct list *list, const struct splice_side *side,
		       const struct splice_syn *syn)
{
	if (syn->seen_ns && side->known)
		list->output->endpoint("came", &side->expected, syn->remote_port);
	else
		list->output->text("came", NULL);
	list->output->seconds("came_ago", seconds_since(list, syn->seen_ns));
}

static void side_each(const void *key, const void *value, void *arg)
{
	const struct splice_local_key *local = key;
	const struct splice_side *side = value;
	const struct list *list = arg;
	const struct output *output = list->output;
	const struct isthmus_addr *address[] = { &local->addr, &side->expected };
	int64_t left =
		side->expires_ns > list->now_ns ? (side->expires_ns - list->now_ns) / NS_PER_S : 0;
	struct splice_join join = {};

	if (!wanted(list->only, address, side->known ? 2 : 1))
		return;
	bpf_map_lookup_elem(list->pins->join, &side->rendezvous, &join);
	output->record_start();
	id_print(output, side->rendezvous);
	output->text("side", side->side ? "provider" : "subscriber");
	output->text("proto", proto_text(local->proto));
	output->endpoint("at", &local->addr, local->port);
	output->address("expected", side->known ? &side->expected : NULL);
	output->text("state", state_text(join.state));
	print_came(list, side, &join.syn[side->side & 1]);
	output->seconds("left", left);
	output->record_end();
}

static int list_sides(struct list *list)
{
	return walk_map(list->pins->side, side_each, list);
}

static int print_list(const struct splice_settings *settings, const struct output *output,
		      const char *name, int (*walk)(struct list *list))
{
	struct splice_pins pins;
	struct list list = { output, &pins, NULL, &settings->addresses, monotonic_ns() };
	const char *instance = settings->common.instance;
	int err = splice_pins_open(instance, SPLICE_STEM, &pins);

	if (err)
		return complain_pins(err, instance, SPLICE_STEM);
	output->start();
	output->text("datapath", SPLICE_STEM);
	output->text("instance", instance);
	output->list_start(name);
	err = walk(&list);
	output->list_end();
	splice_pins_close(&pins);
	return err ? complain_pins(err, instance, SPLICE_STEM) : EXIT_DONE;
}

int splice_list(const void *settings, const struct output *output)
{
	return print_list(settings, output, "sessions", list_sessions);
}

int splice_rendezvous(const void *settings, const struct output *output)
{
	return print_list(settings, output, "rendezvous", list_sides);
}
