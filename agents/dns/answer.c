// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/nameser.h>
#include <errno.h>
#include <string.h>

#include "answer.h"

#define CHAIN_MAX      8  /* CNAMEs that are followed */
#define ADDITIONAL_MAX 16 /* targets whose addresses are added */

/* What is asked, on its way through the zone. */
struct search {
	struct answer_server *server;
	const struct answer_client *client;
	struct wire *wire;
	const struct zone *zone;
	const struct answer_binding *binding;
	int64_t now;
	uint16_t type;
	const uint8_t *owner;	     /* the name asked for, as it is to be written */
	uint8_t name[WIRE_NAME_MAX]; /* the same in lower case */
	const struct wire_set *found;
	bool room;   /* false: a set was left out, so nothing more is put */
	bool failed; /* something could not be signed */
};

const char *answer_result_text(enum answer_result result)
{
	static const char *const text[] = {
#define X(name, word) word,
		ANSWER_RESULTS(X)
#undef X
	};

	return text[result];
}

static void note(struct search *search, int rc)
{
	if (rc == -ENOSPC)
		search->room = false;
	else if (rc && rc != -EEXIST)
		search->failed = true;
}

/* Who signs what is put, or NULL: the client does not want it, or the zone has no keys. */
static struct sign *signer(const struct search *search, const struct zone *zone)
{
	return wire_query(search->wire)->dnssec_ok ? zone->sign : NULL;
}

static struct signing signing_by(struct search *search, struct sign *sign)
{
	return (struct signing){ search->wire, sign, &search->server->counters.signatures,
				 search->now };
}

static void put(struct search *search, struct sign *sign, ns_sect section, const uint8_t *owner,
		const struct zone_set *set, uint32_t ttl, bool optional)
{
	const struct signing signing = signing_by(search, sign);

	if (search->room && !search->failed)
		note(search, sign_put(&signing, section, owner, set, ttl, optional));
}

/* RFC 9824: that there is nothing of this type, or with node NULL no such name. */
static void put_nsec(struct search *search, ns_sect section, const uint8_t *owner,
		     const struct zone_node *node, bool own)
{
	const struct signing signing = signing_by(search, search->zone->sign);
	const struct sign_denial denial = { .owner = owner, .node = node, .keep = own };

	if (search->room && !search->failed)
		note(search, sign_put_nsec(&signing, section, search->zone, &denial,
					   wire_query(search->wire)->dnssec_ok));
}

/* RFC 2308, 3 and 5: for how long the absence may be believed. */
static void put_soa(struct search *search)
{
	const struct zone_set *soa = zone_set_of(search->zone->apex, ns_t_soa);
	uint32_t minimum = wire_soa_minimum(soa->data);

	put(search, signer(search, search->zone), ns_s_ns, soa->owner, soa,
	    minimum < soa->ttl ? minimum : soa->ttl, false);
}

/* node: NULL if there is no such name; `own`: it is its own name's, not a wildcard's. */
static void put_absence(struct search *search, const struct zone_node *node, bool own)
{
	put_soa(search);
	if (signer(search, search->zone))
		put_nsec(search, ns_s_ns, search->owner, node, own);
}

/* Only what was sent from a spoofed address perhaps: not TCP, not who has shown a cookie of ours.
 * Asked for once in each answer. */
static enum rrl_verdict check_rate(struct answer_server *server, const struct answer_client *client)
{
	if (!server->limited && !server->unlimited)
		server->rate = rrl_check(server->rrl, client->address, client->now_ms);
	server->limited = true;
	return server->unlimited ? RRL_PASS : server->rate;
}

/*
 * A signature takes longer than all the rest: none is made for what will not be sent.
 *
 * An NSEC can be had of any name, so that of one that does not exist is an answer (RFC 9824, 3.1).
 */
static void put_no_name(struct search *search)
{
	if (signer(search, search->zone) && check_rate(search->server, search->client) != RRL_PASS)
		return;
	if (search->type == SIGN_TYPE_NSEC && signer(search, search->zone))
		put_nsec(search, ns_s_an, search->owner, NULL, false);
	else
		put_absence(search, NULL, false);
}

/* Glue is not ours to sign. */
static struct sign *signer_of_address(const struct search *search, const struct zone *zone,
				      const uint8_t *name)
{
	struct zone_lookup lookup;

	if (!signer(search, zone))
		return NULL;
	zone_lookup(zone, name, &lookup);
	return lookup.cut ? NULL : signer(search, zone);
}

static void put_address(struct search *search, const uint8_t *target, bool optional)
{
	static const uint16_t types[] = { ns_t_a, ns_t_aaaa };
	const struct zone_node *node;
	uint8_t name[WIRE_NAME_MAX];
	const struct zone_set *set;
	const struct zone *zone;

	wire_name_lower(target, name);
	zone = zones_find(search->server->zones, name);
	node = zone ? zone_exact(zone, name) : NULL;
	for (unsigned int i = 0; node && i < 2; i++) {
		set = zone_set_of(node, types[i]);
		if (set)
			put(search, signer_of_address(search, zone, name), ns_s_ar, target, set,
			    zone_set_ttl(set, search->now), optional);
	}
}

static void put_additional(struct search *search)
{
	const uint8_t *target;

	if (!search->found || wire_set_type(search->found) == ns_t_cname ||
	    wire_set_type(search->found) == ns_t_ptr)
		return;
	for (unsigned int i = 0; i < wire_set_count(search->found) && i < ADDITIONAL_MAX; i++) {
		target = wire_set_target(search->found, i);
		if (target)
			put_address(search, target, true);
	}
}

/* Glue that a resolver cannot do without must be there, or TC is set (RFC 9471). */
static void put_referral(struct search *search, const struct zone_node *cut)
{
	const struct zone_set *servers = zone_set_of(cut, ns_t_ns);
	const struct zone_set *ds = zone_set_of(cut, ns_t_ds);
	const uint8_t *target;

	put(search, NULL, ns_s_ns, servers->owner, servers, servers->ttl, false);
	if (ds && wire_query(search->wire)->dnssec_ok)
		put(search, signer(search, search->zone), ns_s_ns, ds->owner, ds, ds->ttl, false);
	else if (signer(search, search->zone)) /* RFC 9824, 3.4 */
		put_nsec(search, ns_s_ns, servers->owner, cut, true);
	for (unsigned int i = 0; i < wire_set_count(servers->data) && i < ADDITIONAL_MAX; i++) {
		target = wire_set_target(servers->data, i);
		put_address(search, target, wire_name_below(target, servers->owner) < 0);
	}
}

/* RFC 8482, 4.1: one of the sets, the smallest. */
static const struct zone_set *any_set(const struct zone_node *node)
{
	const struct zone_set *best = NULL;

	for (const struct zone_set *set = node->sets; set; set = set->next)
		if (!zone_is_marker(wire_set_type(set->data)) &&
		    (!best || wire_set_size(set->data) < wire_set_size(best->data)))
			best = set;
	return best;
}

static const struct zone_set *asked_set(const struct search *search, const struct zone_node *node)
{
	if (search->type == ns_t_any)
		return any_set(node);
	return zone_is_marker(search->type) ? NULL : zone_set_of(node, search->type);
}

static enum answer_result put_found(struct search *search, const struct zone_set *set)
{
	put(search, signer(search, search->zone), ns_s_an, search->owner, set,
	    zone_set_ttl(set, search->now), false);
	search->found = set->data;
	return ANSWER_NOERROR;
}

/* Goes on with the target of a CNAME; false where that is not ours to answer. */
static bool follow(struct search *search, const struct zone_set *cname)
{
	put(search, signer(search, search->zone), ns_s_an, search->owner, cname,
	    zone_set_ttl(cname, search->now), false);
	search->owner = wire_set_target(cname->data, 0);
	wire_name_lower(search->owner, search->name);
	return zones_find(search->server->zones, search->name) == search->zone;
}

/* Of signatures one, as of ANY: they are of use only with what they sign. */
static enum answer_result find_signatures(struct search *search, const struct zone_node *node)
{
	const struct signing signing = signing_by(search, search->zone->sign);
	const struct zone_set *set = any_set(node);

	note(search, sign_put_signatures(&signing, ns_s_an, search->owner, set,
					 zone_set_ttl(set, search->now)));
	return ANSWER_NOERROR;
}

/* No waypoint has an IPv6 address for it now. */
static void put_no_address(struct search *search, const struct zone_node *node)
{
	const struct signing signing = signing_by(search, signer(search, search->zone));
	const struct sign_denial denial = { .owner = search->owner, .node = node, .no_aaaa = true };

	put_soa(search);
	if (signing.sign && search->room && !search->failed)
		note(search, sign_put_nsec(&signing, ns_s_ns, search->zone, &denial, true));
}

/* The address that was given: of this answer alone. */
static enum answer_result put_binding(struct search *search, const struct zone_node *node)
{
	const struct signing signing = signing_by(search, signer(search, search->zone));
	const struct answer_binding *binding = search->binding;
	struct wire_set *set;

	if (binding->result == ANSWER_NODATA)
		put_no_address(search, node);
	if (binding->result != ANSWER_NOERROR)
		return binding->result;
	set = wire_set_once(search->wire, search->type);
	if (!set ||
	    wire_set_once_add(search->wire, set, binding->address, search->type == ns_t_a ? 4 : 16))
		return ANSWER_SERVFAIL;
	note(search, sign_put_once(&signing, ns_s_an, search->owner, set, binding->ttl, false));
	return ANSWER_NOERROR;
}

/* Of a name whose addresses are given for one session, or are a waypoint's; NULL: of another. */
static const struct zone_set *marker_of(const struct search *search, const struct zone_node *node)
{
	uint8_t family = search->type == ns_t_a ? ZONE_ONETIME_4 : ZONE_ONETIME_6;

	if (search->type != ns_t_a && search->type != ns_t_aaaa)
		return NULL;
	return zone_set_of(node, zone_onetime(node) & family ? ZONE_ONETIME : ZONE_BOUND);
}

/* Not before an agent has given one (give.c), or a waypoint has accepted (bind.c). */
static enum answer_result find_bound(struct search *search, const struct zone_node *node,
				     const struct zone_set *bound)
{
	if (search->binding)
		return put_binding(search, node);
	search->server->held.is = true;
	search->server->held.bound = bound->data;
	search->server->held.type = search->type;
	return ANSWER_HELD;
}

static enum answer_result find_here(struct search *search, const struct zone_node *node, bool own,
				    bool *more)
{
	const struct zone_set *set = asked_set(search, node), *bound;
	const struct zone_set *cname = zone_set_of(node, ns_t_cname);

	if (set)
		return put_found(search, set);
	bound = marker_of(search, node);
	if (bound)
		return find_bound(search, node, bound);
	if (search->zone->sign && search->type == SIGN_TYPE_RRSIG && any_set(node))
		return find_signatures(search, node);
	if (search->zone->sign && search->type == SIGN_TYPE_NSEC) {
		put_nsec(search, ns_s_an, search->owner, node, own);
		return ANSWER_NOERROR;
	}
	if (cname) {
		*more = follow(search, cname);
		return ANSWER_NOERROR;
	}
	put_absence(search, node, own);
	return ANSWER_NODATA;
}

/* RFC 1034, 4.3.2, as RFC 4592 has it. */
static enum answer_result find(struct search *search)
{
	enum answer_result result = ANSWER_NOERROR;
	struct zone_lookup lookup;
	bool more = true;

	for (int hop = 0; more && hop < CHAIN_MAX; hop++) {
		more = false;
		zone_lookup(search->zone, search->name, &lookup);
		if (lookup.cut && !(lookup.exact && search->type == ns_t_ds)) {
			if (!hop)
				result = ANSWER_REFERRAL;
			put_referral(search, lookup.cut);
		} else if (lookup.exact || lookup.wildcard) {
			result = find_here(search, lookup.exact ? lookup.node : lookup.wildcard,
					   lookup.exact, &more);
		} else {
			put_no_name(search);
			result = ANSWER_NXDOMAIN;
		}
		if (!hop && result != ANSWER_REFERRAL)
			wire_set_authoritative(search->wire);
	}
	put_additional(search);
	return result;
}

/* A DS is the parent's, if we have both (RFC 4035, 3.1.4.1). */
static const struct zone *find_zone(struct answer_server *server, const struct wire_query *query)
{
	const struct zone *zone = zones_find(server->zones, query->name), *parent;
	struct zone_lookup lookup;

	if (!zone || query->type != ns_t_ds || !query->name[0] ||
	    !wire_name_equal(query->name, zone->name))
		return zone;
	parent = zones_find(server->zones, query->name + 1 + query->name[0]);
	if (!parent)
		return zone;
	zone_lookup(parent, query->name, &lookup);
	return lookup.cut && lookup.exact ? parent : zone;
}

/* Half an answer is of no use to who checks signatures: only that TCP has all of it is told. */
static enum answer_result end_search(struct search *search, enum answer_result result)
{
	if (search->failed) {
		wire_clear(search->wire);
		return ANSWER_SERVFAIL;
	}
	if (signer(search, search->zone) && wire_is_truncated(search->wire))
		wire_truncate(search->wire);
	search->server->compact = signer(search, search->zone) != NULL;
	return result;
}

static enum answer_result search_zones(struct answer_server *server,
				       const struct answer_client *client)
{
	const struct wire_query *query = wire_query(server->wire);
	struct search search = { .server = server,
				 .client = client,
				 .wire = server->wire,
				 .binding = client->binding,
				 .now = client->now,
				 .type = query->type,
				 .owner = query->name,
				 .room = true };

	search.zone = query->class == ns_c_in ? find_zone(server, query) : NULL;
	if (!search.zone)
		return ANSWER_REFUSED;
	memcpy(search.name, query->name, sizeof(search.name));
	return end_search(&search, find(&search));
}

/* Types of questions that are none of data (RFC 6895, 3.1). */
static bool is_meta(uint16_t type)
{
	return !type || type == ns_t_opt || (type >= 128 && type <= 254);
}

static enum answer_result decide(struct answer_server *server, const struct answer_client *client,
				 enum wire_verdict verdict)
{
	const struct wire_query *query = wire_query(server->wire);

	if (verdict == WIRE_OPCODE)
		return ANSWER_NOTIMP;
	if (verdict == WIRE_MALFORMED)
		return ANSWER_FORMERR;
	if (query->has_edns && query->edns_version)
		return ANSWER_BADVERS;
	if (query->has_tsig) /* we share no key with anybody (RFC 8945, 5.2) */
		return ANSWER_NOTAUTH;
	if (!query->has_question) /* RFC 7873, 5.4: who only wants a cookie asks nothing */
		return wire_has_cookie(server->wire) ? ANSWER_NOERROR : ANSWER_FORMERR;
	if (query->type == SIGN_TYPE_NXNAME) /* RFC 9824, 3.5 */
		return ANSWER_FORMERR;
	if (query->type == ns_t_axfr || query->type == ns_t_ixfr)
		server->counters.transfers++;
	if (is_meta(query->type))
		return ANSWER_REFUSED;
	return search_zones(server, client);
}

static unsigned int rcode_of(enum answer_result result)
{
	switch (result) {
	case ANSWER_NXDOMAIN:
		return ns_r_nxdomain;
	case ANSWER_REFUSED:
		return ns_r_refused;
	case ANSWER_FORMERR:
		return ns_r_formerr;
	case ANSWER_NOTIMP:
		return ns_r_notimpl;
	case ANSWER_NOTAUTH:
		return ns_r_notauth;
	case ANSWER_BADVERS:
		return ns_r_badvers;
	case ANSWER_SERVFAIL:
		return ns_r_servfail;
	default:
		return ns_r_noerror;
	}
}

static bool tells_of_nothing(enum answer_result result)
{
	return rcode_of(result) != ns_r_noerror;
}

static enum answer_result limit(struct answer_server *server, const struct answer_client *client,
				enum answer_result result)
{
	if (!tells_of_nothing(result))
		return result;
	switch (check_rate(server, client)) {
	case RRL_PASS:
		return result;
	case RRL_SLIP:
		if (result != ANSWER_NXDOMAIN) /* an error is as short, and the same by TCP */
			return result;
		wire_truncate(server->wire);
		return ANSWER_SLIPPED;
	default:
		return ANSWER_LIMITED;
	}
}

/* RFC 9824, 5: with an NSEC that says so, only who asks for it is told NXDOMAIN. */
static unsigned int told_rcode(const struct answer_server *server, enum answer_result result)
{
	if (server->compact && result == ANSWER_NXDOMAIN && !wire_query(server->wire)->compact_ok)
		return ns_r_noerror;
	return rcode_of(result);
}

static size_t finish(struct answer_server *server, enum answer_result result, const uint8_t **bytes)
{
	wire_set_rcode(server->wire, told_rcode(server, result));
	if (wire_is_truncated(server->wire) && result != ANSWER_SLIPPED)
		server->counters.truncated++;
	server->counters.results[result]++;
	return wire_end(server->wire, bytes);
}

size_t answer(struct answer_server *server, const struct answer_client *client,
	      const uint8_t *question, size_t len, const uint8_t **bytes)
{
	enum wire_verdict verdict = wire_parse(server->wire, question, len);
	size_t size = WIRE_TCP_MAX;
	enum answer_result result;
	enum wire_cookie cookie;

	server->compact = server->limited = false;
	server->held.is = false;
	if (!client->binding)
		client->tcp ? server->counters.tcp++ : server->counters.udp++;
	if (verdict == WIRE_DROP) {
		server->counters.results[ANSWER_DROPPED]++;
		return 0;
	}
	if (!client->tcp) {
		size = wire_query(server->wire)->udp_size;
		size = size < server->udp_size ? size : server->udp_size;
		size = size < WIRE_UDP_MIN ? WIRE_UDP_MIN : size;
	}
	cookie = wire_check_cookie(server->wire, server->secret, client->address, client->now);
	if (client->binding)
		wire_set_scope(server->wire, client->binding->scope);
	else
		server->counters.cookies[cookie]++;
	/* what was held is of a name that exists, and was counted then */
	server->unlimited = client->tcp || cookie == WIRE_COOKIE_VALID || client->binding;
	if (wire_begin(server->wire, size, server->udp_size)) {
		server->counters.results[ANSWER_SERVFAIL]++;
		return 0;
	}
	result = limit(server, client, decide(server, client, verdict));
	if (result == ANSWER_HELD) {
		server->held.subnet = wire_query(server->wire)->subnet;
		server->held.proven = server->unlimited;
	}
	if (result == ANSWER_LIMITED || result == ANSWER_HELD) {
		server->counters.results[result]++;
		return 0;
	}
	if (client->binding && result == ANSWER_SLIPPED)
		wire_truncate(server->wire);
	return finish(server, result, bytes);
}
