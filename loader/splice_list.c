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
#include "splice.h"
#include "walk.h"

#define NS_PER_S 1000000000ULL

/* A session: the subscriber's leg and the provider's. */
struct session {
	struct splice_leg_key key[2]; /* by side */
	struct splice_leg leg[2];
	uint64_t id;	    /* 0: its rendezvous is no more */
	uint64_t joined_ns; /* 0: unknown */
};

struct list {
	const struct output *output;
	const struct splice_pins *pins;
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
	if ((both & SPLICE_LEG_ACKED) || session->key[0].proto == IPPROTO_UDP)
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
	bool first = address_is_v4(&session->key[0].remote);
	bool second = address_is_v4(&session->key[1].remote);

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

/* The rendezvous of a leg is announced at the leg's local endpoint. */
static void session_find_join(const struct list *list, struct session *session)
{
	const struct splice_local_key local = {
		.addr = session->key[0].local,
		.port = session->key[0].local_port,
		.proto = session->key[0].proto,
	};
	struct splice_side side;
	struct splice_join join;

	if (bpf_map_lookup_elem(list->pins->side, &local, &side))
		return;
	session->id = side.rendezvous;
	if (!bpf_map_lookup_elem(list->pins->join, &side.rendezvous, &join))
		session->joined_ns = join.joined_ns;
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
	const struct splice_leg_key *key = session->key;
	const struct splice_leg *leg = session->leg;
	uint64_t seen = leg[0].seen_ns > leg[1].seen_ns ? leg[0].seen_ns : leg[1].seen_ns;

	output->record_start();
	id_print(output, session->id);
	output->text("proto", proto_text(key[0].proto));
	output->text("family", family_text(session));
	output->text("mode", leg[0].flags & SPLICE_LEG_PURE ? "pure" : "passive");
	output->text("state", state_text(session_state(session)));
	output->endpoint("subscriber", &key[0].remote, key[0].remote_port);
	output->endpoint("subscriber_at", &key[0].local, key[0].local_port);
	output->endpoint("provider", &key[1].remote, key[1].remote_port);
	output->endpoint("provider_at", &key[1].local, key[1].local_port);
	output->seconds("age", seconds_since(list, session->joined_ns));
	output->seconds("idle", seconds_since(list, seen));
	output->number("packets_up", leg[0].packets);
	output->number("bytes_up", leg[0].bytes);
	output->number("packets_down", leg[1].packets);
	output->number("bytes_down", leg[1].bytes);
	output->record_end();
}

/* Each session is met at its subscriber's leg. */
static void leg_each(const void *key, const void *value, void *arg)
{
	const struct list *list = arg;
	struct session session = {};
	const struct isthmus_addr *address[] = { &session.key[0].remote, &session.key[0].local,
						 &session.key[1].remote, &session.key[1].local };

	memcpy(&session.key[0], key, sizeof(session.key[0]));
	memcpy(&session.leg[0], value, sizeof(session.leg[0]));
	if (session.leg[0].flags & SPLICE_LEG_PROVIDER)
		return;
	session.key[1] = (struct splice_leg_key){
		.remote = session.leg[0].new_dst,
		.local = session.leg[0].new_src,
		.remote_port = session.leg[0].new_dport,
		.local_port = session.leg[0].new_sport,
		.proto = session.key[0].proto,
	};
	/* Missing only while the agent is deleting the two. */
	if (bpf_map_lookup_elem(list->pins->leg, &session.key[1], &session.leg[1]) ||
	    !wanted(list->only, address, COUNT_OF(address)))
		return;
	session_find_join(list, &session);
	session_print(list, &session);
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

static int print_list(const struct splice_settings *settings, const struct output *output,
		      const char *name, walk_each each, size_t field)
{
	struct splice_pins pins;
	struct list list = { output, &pins, &settings->addresses, monotonic_ns() };
	const char *instance = settings->common.instance;
	int err = splice_pins_open(instance, SPLICE_STEM, &pins);

	if (err)
		return complain_pins(err, instance, SPLICE_STEM);
	output->start();
	output->text("datapath", SPLICE_STEM);
	output->text("instance", instance ? instance : "");
	output->list_start(name);
	err = walk_map(*(int *)((char *)&pins + field), each, &list);
	output->list_end();
	splice_pins_close(&pins);
	return err ? complain_pins(err, instance, SPLICE_STEM) : EXIT_DONE;
}

int splice_list(const void *settings, const struct output *output)
{
	return print_list(settings, output, "sessions", leg_each,
			  offsetof(struct splice_pins, leg));
}

int splice_rendezvous(const void *settings, const struct output *output)
{
	return print_list(settings, output, "rendezvous", side_each,
			  offsetof(struct splice_pins, side));
}
