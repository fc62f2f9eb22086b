// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What isthmus-dns is told, and what it asks for (docs/protocol.md; paper II.A: the SSA is told in
 * the answer of the name server). Without credentials there is no name server, and nothing to do.
 */
#include <bpf/bpf.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "onetime.h"

#define PAGE	       256	      /* services in one message */
#define NETWORK6_BITS  56	      /* an IPv6 site may have as many addresses as it likes */
#define LEFT_NS	       (2 * NS_PER_S) /* an address that is told again is good for so long */
#define SCARCE_PART    2	      /* of the limits' 1/2 is pending: addresses are scarce */
#define SCARCE_DIVIDES 16	      /* then a client may have so much less */

/* ---- services */

/* The name server refuses a list with a name that is none. */
static bool is_domain_name(const char *name)
{
	size_t len = strlen(name);

	return len && name[0] != '.' && name[len - 1] != '.' && !strstr(name, "..");
}

/* Clients are told nothing of listeners that only das sets addresses for. */
static bool is_service(struct onetime *o, const struct place *place)
{
	return place && !place->ending && is_domain_name(place->record.name) &&
	       !(place->record.flags & ONETIME_LISTENER_DAS) &&
	       pool_by_number(o, place->record.pool);
}

static bool is_v4(struct onetime *o, const struct place *place)
{
	const struct pool *pool = pool_by_number(o, place->record.pool);

	return pool && pool->record.flags & ONETIME_POOL_V4;
}

/* In DNS names are the same in any letters: the first one has it. */
static struct place *find_service(struct onetime *o, const char *name)
{
	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++)
		if (is_service(o, o->place[i]) && !strcasecmp(o->place[i]->record.name, name))
			return o->place[i];
	return NULL;
}

static json_t *service_json(struct onetime *o, const struct place *place)
{
	return json_pack("{s:s, s:s, s:[s]}", "name", place->record.name, "proto",
			 place->record.proto == IPPROTO_UDP ? "udp" : "tcp", "families",
			 is_v4(o, place) ? "4" : "6");
}

/* A page of them, from listener *next on; all but the last have "more". */
static json_t *page(struct onetime *o, uint32_t *next)
{
	json_t *services = json_array(), *message;

	for (; *next < ONETIME_LISTENERS && json_array_size(services) < PAGE; ++*next) {
		struct place *place = o->place[*next];

		if (is_service(o, place) && find_service(o, place->record.name) == place)
			json_array_append_new(services, service_json(o, place));
	}
	message = json_pack("{s:o}", "services", services);
	if (*next < ONETIME_LISTENERS)
		json_object_set_new(message, "more", json_true());
	return message;
}

static void tell_rest(struct onetime *o)
{
	while (o->told < ONETIME_LISTENERS) {
		json_t *message = page(o, &o->told);

		json_object_set_new(message, "op", json_string("services"));
		member_tell(o->member, message);
	}
}

/* What was told depends on these alone. */
static uint64_t hash_services(struct onetime *o)
{
	uint64_t hash = 14695981039346656037ull; /* FNV-1a */

	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++) {
		const struct place *place = o->place[i];

		if (!is_service(o, place))
			continue;
		for (const char *at = place->record.name; *at; at++)
			hash = (hash ^ (uint8_t)*at) * 1099511628211ull;
		hash = (hash ^ place->record.proto) * 1099511628211ull;
		hash = (hash ^ (is_v4(o, place) ? 4 : 6)) * 1099511628211ull;
	}
	return hash;
}

void server_tick(struct onetime *o)
{
	uint64_t hash;

	if (!member_is_logged_in(o->member))
		return; /* the login tells them */
	hash = hash_services(o);
	if (hash == o->told_hash)
		return;
	o->told_hash = hash;
	o->told = 0;
	tell_rest(o);
}

static json_t *login(void *arg)
{
	struct onetime *o = arg;

	o->told = 0;
	o->told_hash = hash_services(o);
	return page(o, &o->told);
}

static void logged_in(const json_t *answer, void *arg)
{
	(void)answer;
	tell_rest(arg);
}

static void lost(void *arg)
{
	(void)arg;
}

/* ---- give */

struct asked {
	struct place *place;
	const char *client;  /* as text */
	struct prefix whose; /* whose unused addresses are counted */
	struct prefix network;
	bool only, proven;
};

/* NULL, or the error to tell. */
static const char *read_asked(struct onetime *o, const json_t *message, struct asked *asked)
{
	const char *service, *family;
	bool v4;

	memset(asked, 0, sizeof(*asked));
	msg_get_bool(message, "only", &asked->only);
	msg_get_bool(message, "proven", &asked->proven);
	if (!msg_get_string(message, "service", &service) ||
	    !msg_get_string(message, "family", &family) ||
	    !msg_get_string(message, "client", &asked->client) ||
	    strlen(asked->client) >= COUNTER_CLIENT_LEN ||
	    prefix_parse(asked->client, &asked->network))
		return "gone";
	asked->place = find_service(o, service);
	v4 = asked->place && is_v4(o, asked->place);
	if (!asked->place || strcmp(family, v4 ? "4" : "6"))
		return "gone";
	prefix_mask(&asked->network);
	asked->only = asked->only && o->settings.dns_only_is &&
		      address_is_v4(&asked->network.address) == v4;
	asked->whose = asked->network;
	if (!asked->only && !address_is_v4(&asked->whose.address) &&
	    asked->whose.bits > NETWORK6_BITS) {
		asked->whose.bits = NETWORK6_BITS;
		prefix_mask(&asked->whose);
	}
	return NULL;
}

static bool is_scarce(const struct onetime *o, const struct place *place)
{
	return place->pending >= o->settings.pending_listener / SCARCE_PART ||
	       given_count(o) >= o->settings.pending / SCARCE_PART;
}

/*
 * The client's oldest unused one of this name, which is told again: so that a client's questions
 * use up no more than it may have. It goes to the end, for the next ones are told others.
 */
static bool give_again(struct onetime *o, const struct asked *asked, struct isthmus_addr *address,
		       uint64_t *seconds)
{
	uint32_t listener = place_index(o, asked->place);
	uint64_t now = onetime_now_ns();
	struct onetime_addr addr;

	while (given_oldest(o, &asked->whose, listener, address)) {
		if (!bpf_map_lookup_elem(o->map[MAP_ADDR], address, &addr) &&
		    addr.state == ONETIME_STATE_PENDING && addr.until_ns > now + LEFT_NS) {
			*seconds = (addr.until_ns - now) / NS_PER_S;
			return true;
		}
		given_remove(o, address); /* it was used, or is over; the event is to come */
	}
	return false;
}

static const char *give_new(struct onetime *o, const struct asked *asked,
			    struct isthmus_addr *address, uint64_t *seconds)
{
	struct give give = { .whose = asked->whose,
			     .ttl_s = o->settings.dns_ttl_s,
			     .client = asked->client };
	struct ask_error why = { .code = "" };

	if (asked->only)
		give.only = asked->network;
	*seconds = give.ttl_s;
	if (!give_address(o, asked->place, &give, address, &why))
		return NULL;
	log_debug("%s: %s", asked->place->record.name, why.text);
	return strcmp(why.code, "limit") ? "none" : "limit";
}

/* NULL, or the error to tell. */
static const char *give_one(struct onetime *o, const struct asked *asked,
			    struct isthmus_addr *address, uint64_t *seconds)
{
	uint32_t most = o->settings.dns_pending;
	bool scarce;

	if (is_scarce(o, asked->place) || given_of_client(o, &asked->whose) >= most)
		events_take(o); /* what was used since the last tick makes room */
	scarce = is_scarce(o, asked->place);
	if (scarce)
		most /= SCARCE_DIVIDES;
	if (scarce && !asked->proven) {
		o->counter.dns_scarce++;
		return "scarce";
	}
	if (given_of_client(o, &asked->whose) >= (most ? most : 1) &&
	    give_again(o, asked, address, seconds)) {
		o->counter.dns_again++;
		return NULL;
	}
	return give_new(o, asked, address, seconds);
}

static void take_give(struct onetime *o, const json_t *message)
{
	const char *serial, *error;
	struct isthmus_addr address;
	char text[ADDRESS_TEXT_LEN];
	struct asked asked;
	uint64_t seconds;

	if (!msg_get_string(message, "serial", &serial))
		return;
	error = read_asked(o, message, &asked);
	if (!error)
		error = give_one(o, &asked, &address, &seconds);
	if (error) {
		o->counter.dns_refused++;
		member_tell(o->member, json_pack("{s:s, s:s, s:s}", "op", "given", "serial", serial,
						 "error", error));
		return;
	}
	o->counter.dns_given++;
	address_text(&address, text);
	member_tell(o->member, json_pack("{s:s, s:s, s:s, s:I}", "op", "given", "serial", serial,
					 "address", text, "seconds", (json_int_t)seconds));
}

static void take_message(json_t *message, void *arg)
{
	const char *op = "", *name = "";

	msg_get_string(message, "op", &op);
	if (!strcmp(op, "give"))
		take_give(arg, message);
	else if (!strcmp(op, "refused") && msg_get_string(message, "name", &name))
		log_error("the name server does not serve '%.100s'", name);
	else
		log_debug("the name server said '%.40s', which is unknown here", op);
}

/* ---- start and end */

int server_read(struct onetime *o, char *error)
{
	const char *path = o->settings.credentials;
	int err = member_read(path, &o->credentials);

	if (!err || err == -ENOENT)
		return 0;
	snprintf(error, ERROR_LEN, "%s: %s", path,
		 err == -EPERM	  ? "others may read it: chmod 600"
		 : err == -EINVAL ? "not what `join` writes"
				  : strerror(-err));
	return err;
}

int server_start(struct onetime *o)
{
	static const struct member_handler handler = { login, logged_in, take_message, lost };

	if (!o->credentials.name[0])
		return 0;
	o->member = member_new(o->base, "onetime", &o->credentials, &handler, o);
	return o->member ? 0 : -ENOMEM;
}

void server_close(struct onetime *o)
{
	member_free(o->member);
	explicit_bzero(&o->credentials, sizeof(o->credentials));
}

json_t *server_json(const struct onetime *o)
{
	if (!o->member)
		return json_null();
	return json_pack("{s:s, s:b}", "name", o->credentials.name, "connected",
			 (int)member_is_logged_in(o->member));
}
