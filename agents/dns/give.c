// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/metrics.h"
#include "dns.h"
#include "limit.h"

#define HELD_MAX   16384
#define AGENT_HELD 1024
#define TICK_MS	   50
#define V4_BITS	   96 /* of a mapped address, before its own */

/* Of an agent, and then of each network that asks it. */
static const struct limit_rates rates = {
	.thing = 500, .thing_burst = 1000, .network = 200, .network_burst = 400, .debt = 400
};

struct give {
	struct held base;
	struct onetime *agent;
	const struct onetime_service *service; /* valid until it is asked for */
	struct prefix client;
	bool known; /* the client is in `client`, not only its resolver */
	bool proven;
	uint16_t type; /* A or AAAA */
};

struct gives {
	struct dns *dns;
	struct holds *holds;
	struct limits *limits;
	struct event *tick;
	unsigned int turn; /* of a name's agents */
	uint64_t count[GIVE_COUNT];
};

static const char *const words[GIVE_COUNT] = {
#define X(name, word) word,
	GIVE_COUNTS(X)
#undef X
};

static void fail(struct gives *gives, struct give *give, enum give_count why,
		 enum answer_result result)
{
	gives->count[why]++;
	hold_fail(gives->holds, &give->base, result);
}

/* ---- who asks */

static void use_subnet(struct give *give, const struct wire_subnet *subnet)
{
	struct prefix *client = &give->client;
	bool v4 = subnet->family == 1;

	memset(client->address.b, 0, 10);
	memset(client->address.b + 10, 0xff, 2);
	memcpy(client->address.b + (v4 ? 12 : 0), subnet->address, v4 ? 4 : 16);
	client->bits = (uint8_t)(subnet->source_len + (v4 ? V4_BITS : 0));
	prefix_mask(client);
	give->known = true;
	give->base.scope = subnet->source_len;
}

/* Its subnet, if a listed resolver tells it; else who sent the question, mostly a resolver. */
static void describe(const struct dns *dns, struct give *give, const struct answer_held *what)
{
	uint16_t port;

	give->type = what->type;
	give->proven = what->proven;
	address_from_sockaddr((struct sockaddr *)&give->base.client.address, &give->client.address,
			      &port);
	give->client.bits = 128;
	if (hold_subnet_is_believed(dns, &what->subnet, &give->base.client))
		use_subnet(give, &what->subnet);
	else
		give->known = prefix_any_has(dns->settings.initiators_list,
					     dns->settings.initiators_count, &give->client.address);
}

/* ---- whom to ask */

static struct onetime *agent_of(const struct members *members, const uint8_t *data)
{
	uint32_t number;

	memcpy(&number, data, 4);
	return ntohl(number) < ONETIMES_MAX ? members->onetime[ntohl(number)] : NULL;
}

/* One that is logged in, has the family and is not overloaded; the name's others have their turn.
 */
static enum give_count find_agent(struct gives *gives, struct give *give,
				  const struct wire_set *marker)
{
	uint8_t family = give->type == ns_t_a ? ZONE_ONETIME_4 : ZONE_ONETIME_6;
	unsigned int all = wire_set_count(marker), start = gives->turn++;
	enum give_count why = GIVE_OFFLINE;

	for (unsigned int i = 0; i < all && !give->agent; i++) {
		uint16_t len;
		const uint8_t *data = wire_set_at(marker, (start + i) % all, &len);
		struct onetime *agent = agent_of(gives->dns->members, data);
		uint32_t place;

		memcpy(&place, data + 4, 4);
		if (!agent || !agent->conn || !(data[8] & family))
			continue;
		why = GIVE_AGENT_FULL;
		if (agent->held >= AGENT_HELD)
			continue;
		agent->held++;
		give->agent = agent;
		give->service = &agent->service[ntohl(place)];
	}
	return why;
}

static uint64_t agent_hash(const struct onetime *agent)
{
	uint64_t hash = (agent->id + 1) * 0x9e3779b97f4a7c15ull;

	return hash ^ hash >> 29;
}

/* ---- asking */

/* An address of another family than the one that is asked for says nothing of who will come. */
static bool may_be_only(const struct give *give)
{
	return give->known && address_is_v4(&give->client.address) == (give->type == ns_t_a);
}

static void ask(struct gives *gives, struct give *give)
{
	char text[ADDRESS_TEXT_LEN], prefix[ADDRESS_TEXT_LEN + 4];
	bool v4 = address_is_v4(&give->client.address);
	json_t *message;

	address_text(&give->client.address, text);
	snprintf(prefix, sizeof(prefix), "%s/%u", text, give->client.bits - (v4 ? V4_BITS : 0));
	message = json_pack("{s:s, s:o, s:s, s:s, s:s, s:b, s:b}", "op", "give", "serial",
			    msg_json_id(give->base.serial), "service", give->service->text,
			    "family", give->type == ns_t_a ? "4" : "6", "client", prefix, "only",
			    (int)may_be_only(give), "proven", (int)give->proven);
	gives->count[GIVE_ASKED]++;
	if (msg_send(give->agent->conn->conn, message))
		fail(gives, give, GIVE_OFFLINE, ANSWER_SERVFAIL);
}

static bool is_limited(struct gives *gives, struct give *give)
{
	switch (limits_take(gives->limits, agent_hash(give->agent), &give->client.address,
			    give->proven, give->base.began_ms)) {
	case LIMIT_PROVE:
		fail(gives, give, GIVE_PROVE, ANSWER_SLIPPED);
		return true;
	case LIMIT_REFUSE:
		fail(gives, give, GIVE_LIMITED, ANSWER_SERVFAIL);
		return true;
	default:
		return false;
	}
}

bool give_hold(struct dns *dns, const struct hold_client *client, const uint8_t *question,
	       size_t len)
{
	const struct answer_held what = dns->server.held;
	struct gives *gives = dns->gives;
	enum give_count why;
	struct give *give;

	if (hold_repeated(gives->holds, client, question, len)) {
		gives->count[GIVE_REPEATED]++;
		return true;
	}
	give = (struct give *)hold_begin(gives->holds, client, question, len);
	if (!give) {
		gives->count[GIVE_FULL]++;
		return false;
	}
	describe(dns, give, &what);
	why = find_agent(gives, give, what.bound);
	if (!give->agent)
		fail(gives, give, why, ANSWER_SERVFAIL);
	else if (!is_limited(gives, give))
		ask(gives, give);
	return true;
}

/* ---- answers */

static void take_refusal(struct gives *gives, struct give *give, const char *error)
{
	if (!strcmp(error, "scarce") && !give->proven)
		fail(gives, give, GIVE_SCARCE, ANSWER_SLIPPED);
	else if (!strcmp(error, "scarce") || !strcmp(error, "none"))
		fail(gives, give, GIVE_NONE, ANSWER_SERVFAIL);
	else
		fail(gives, give, !strcmp(error, "limit") ? GIVE_LIMIT : GIVE_GONE,
		     ANSWER_SERVFAIL);
}

static void take_address(struct gives *gives, struct give *give, const json_t *message)
{
	struct answer_binding binding = { .result = ANSWER_NOERROR, .scope = give->base.scope };
	static const struct isthmus_addr none;
	struct isthmus_addr address;
	bool v4 = give->type == ns_t_a;
	int64_t seconds;
	const char *text;

	if (!msg_get_string(message, "address", &text) || address_parse(text, &address) ||
	    address_is_v4(&address) != v4 || address_equal(&address, &none) ||
	    !msg_get_integer(message, "seconds", 1, INT32_MAX, &seconds)) {
		fail(gives, give, GIVE_BAD, ANSWER_SERVFAIL);
		return;
	}
	memcpy(binding.address, address.b + (v4 ? 12 : 0), v4 ? 4 : 16);
	gives->count[GIVE_GIVEN]++;
	hold_reply(gives->holds, &give->base, &binding);
}

void give_take(struct onetime *agent, const json_t *message)
{
	struct dns *dns = agent->conn->dns;
	struct gives *gives = dns->gives;
	struct give *give;
	const char *error;
	uint64_t serial;

	if (!msg_get_id(message, "serial", &serial)) {
		gives->count[GIVE_BAD]++;
		return;
	}
	give = (struct give *)hold_find(gives->holds, serial);
	if (!give || give->agent != agent)
		gives->count[GIVE_LATE]++;
	else if (msg_get_string(message, "error", &error))
		take_refusal(gives, give, error);
	else
		take_address(gives, give, message);
	hold_flush(dns);
}

void give_lost(struct dns *dns, const struct onetime *agent)
{
	struct held *held, *next;

	if (!dns->gives)
		return;
	for (held = TAILQ_FIRST(&dns->gives->holds->list); held; held = next) {
		next = TAILQ_NEXT(held, link);
		if (((struct give *)held)->agent == agent)
			fail(dns->gives, (struct give *)held, GIVE_OFFLINE, ANSWER_SERVFAIL);
	}
	hold_flush(dns);
}

/* ---- time */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct gives *gives = arg;
	struct held *held;
	uint64_t now = dns_now_ms();

	(void)fd;
	(void)what;
	while ((held = TAILQ_FIRST(&gives->holds->list)) && now - held->began_ms >= GIVE_WAIT_MS)
		fail(gives, (struct give *)held, GIVE_TIMEOUT, ANSWER_SERVFAIL);
	hold_flush(gives->dns);
}

static void gone(struct held *held)
{
	struct give *give = (struct give *)held;

	if (give->agent)
		give->agent->held--;
}

int give_open(struct dns *dns)
{
	const struct timeval often = { .tv_usec = TICK_MS * 1000 };
	struct gives *gives = calloc(1, sizeof(*gives));

	if (!gives)
		return -ENOMEM;
	dns->gives = gives;
	gives->dns = dns;
	gives->limits = limits_new(&rates);
	gives->holds = holds_new(dns, sizeof(struct give), HELD_MAX);
	if (!gives->limits || !gives->holds)
		return -ENOMEM;
	gives->holds->gone = gone;
	gives->tick = event_new(dns->base, -1, EV_PERSIST, on_tick, gives);
	return gives->tick && !event_add(gives->tick, &often) ? 0 : -ENOMEM;
}

void give_close(struct dns *dns)
{
	struct gives *gives = dns->gives;

	if (!gives)
		return;
	holds_free(gives->holds);
	if (gives->tick)
		event_free(gives->tick);
	limits_free(gives->limits);
	free(gives);
	dns->gives = NULL;
}

struct holds *give_holds(const struct dns *dns)
{
	return dns->gives ? dns->gives->holds : NULL;
}

/* ---- what an operator can see */

json_t *give_status(const struct dns *dns)
{
	json_t *status = json_pack("{s:i}", "held", (int)dns->gives->holds->count);

	for (int i = 0; i < GIVE_COUNT; i++)
		json_object_set_new(status, words[i],
				    json_integer((json_int_t)dns->gives->count[i]));
	return status;
}

void give_metrics(struct evbuffer *out, const struct dns *dns)
{
	char label[64];

	if (!dns->gives)
		return;
	metrics_write(out, "isthmus_dns_onetime_held", "gauge",
		      "Questions for one-time names that are held.", NULL,
		      dns->gives->holds->count);
	for (int i = 0; i < GIVE_COUNT; i++) {
		snprintf(label, sizeof(label), "event=\"%s\"", words[i]);
		metrics_write(out, "isthmus_dns_onetime_total", "counter",
			      i ? NULL : "Questions for one-time names by what became of them.",
			      label, dns->gives->count[i]);
	}
}
