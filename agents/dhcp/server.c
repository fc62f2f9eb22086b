// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <string.h>

#include "server.h"

#define LINK_SELECTION 5 /* sub-options of option 82: RFC 3527, RFC 3046 */
#define CIRCUIT_ID     1
#define SWEEP_MOST     20000 /* leases looked at in a second */

const char *server_refusal_word(enum server_refusal refusal)
{
	static const char *const words[] = {
#define WORD(name, word, text) word,
		SERVER_REFUSALS(WORD)
#undef WORD
	};
	return words[refusal];
}

void server_refuse(struct server *s, enum server_refusal why)
{
	s->counters.refused[why]++;
}

static void tell(struct server *s, enum server_change change, struct lease *lease)
{
	uint64_t *const counter[] = { &s->counters.assigned, &s->counters.renewed,
				      &s->counters.freed };

	++*counter[change];
	if (s->changed)
		s->changed(change, lease, s->arg);
}

/* ---- what a message says */

static bool read_client(const struct dhcp_message *m, struct lease_client *client)
{
	const uint8_t *id;
	size_t len;

	memcpy(client->mac, m->head.chaddr, DHCP_MAC);
	id = dhcp_get(m, DHCP_OPT_CLIENT_ID, &len);
	if (id && (len < 2 || len >= sizeof(client->id)))
		return false;
	if (id) {
		memcpy(client->id, id, len);
		client->id_len = len;
		return true;
	}
	client->id[0] = m->head.htype; /* RFC 2132, 9.14 */
	memcpy(client->id + 1, m->head.chaddr, DHCP_MAC);
	client->id_len = 1 + DHCP_MAC;
	return true;
}

static void read_site(const struct dhcp_message *m, struct request *r)
{
	const uint8_t *part;
	uint32_t subnet;
	size_t len;

	r->site.relay = r->link = m->head.giaddr;
	part = dhcp_relay_part(m, CIRCUIT_ID, &len);
	if (part && m->head.giaddr) {
		r->site.circuit_len = len < LEASE_CIRCUIT_LEN ? len : LEASE_CIRCUIT_LEN;
		memcpy(r->site.circuit, part, r->site.circuit_len);
	}
	part = dhcp_relay_part(m, LINK_SELECTION, &len);
	if (part && len == 4 && m->head.giaddr)
		r->link = (uint32_t)part[0] << 24 | part[1] << 16 | part[2] << 8 | part[3];
	else if (dhcp_get_u32(m, DHCP_OPT_SUBNET, &subnet) && m->head.giaddr)
		r->link = subnet;
}

static bool read_request(const struct server *s, const struct dhcp_message *m, struct request *r)
{
	int err;

	memset(r, 0, sizeof(*r));
	r->message = m;
	if (!read_client(m, &r->client))
		return false;
	read_site(m, r);
	err = dhcp_get_portset(m, &r->set);
	if (err == -EBADMSG)
		return false;
	r->has_set = !err;
	/* RFC 7618, 8.1: who does not ask gets no shared address. */
	r->shared = r->has_set || dhcp_asks(m, DHCP_OPT_PORTPARAMS);
	if (m->type == DHCP_DISCOVER)
		r->shared = dhcp_asks(m, DHCP_OPT_PORTPARAMS);
	dhcp_get_u32(m, DHCP_OPT_REQUESTED, &r->address);
	r->host = pools_host(&s->pools, r->client.mac, r->client.id, r->client.id_len);
	return true;
}

/* ---- limits */

static bool spend(struct server *s, unsigned int place, int64_t now, unsigned int most)
{
	if (!most)
		return true;
	if (s->rate[place].second != now) {
		s->rate[place].second = now;
		s->rate[place].count = 0;
	}
	return s->rate[place].count++ < most;
}

static bool within_rate(struct server *s, const uint8_t mac[DHCP_MAC], int64_t now)
{
	uint32_t hash = 2166136261u;

	for (int i = 0; i < DHCP_MAC; i++)
		hash = (hash ^ mac[i]) * 16777619u;
	return spend(s, (hash ^ hash >> 15) % SERVER_RATE_PLACES, now, s->settings.rate) &&
	       spend(s, SERVER_RATE_PLACES, now, s->settings.rate_all);
}

/* ---- DISCOVER */

static uint32_t seconds_for(const struct server *s, const struct lease *lease)
{
	return lease->pool->lease_s ? lease->pool->lease_s : s->settings.lease_time;
}

static void on_discover(struct server *s, const struct request *r, int64_t now,
			struct server_reply *reply)
{
	enum server_refusal why = SERVER_EXHAUSTED;
	struct lease *lease;
	struct pool *pool;
	uint32_t unit;

	if (allot(s, r, now, &pool, &unit, &why)) {
		server_refuse(s, why);
		return;
	}
	lease = pool->lease[unit];
	/* Somebody else's, over and not swept yet: it ends before it is given away. */
	if (lease && lease->state == LEASE_BOUND && !lease_is_of(lease, &r->client)) {
		if (leases_end(&s->leases, lease, LEASE_EXPIRED, now, 0)) {
			server_refuse(s, SERVER_DATABASE);
			return;
		}
		tell(s, SERVER_FREED, lease);
	}
	if (leases_offer(&s->leases, pool, unit, &r->client, &r->site, now + SERVER_OFFER_S,
			 &lease))
		server_refuse(s, SERVER_DATABASE);
	else
		reply_lease(s, r, DHCP_OFFER, lease, seconds_for(s, lease), reply);
}

/* ---- REQUEST */

/* The lease that a message is about, if it is the client's. */
static struct lease *find_own(const struct server *s, const struct request *r, uint32_t address)
{
	const struct pool *pool = pools_find(&s->pools, address);
	struct lease *lease;

	if (!pool || (!pool->full && !r->shared))
		return NULL;
	if (pool->full || r->has_set) {
		lease = leases_get(&s->leases, address, pool->full ? NULL : &r->set);
		return lease && lease_is_of(lease, &r->client) ? lease : NULL;
	}
	/* A stock client asks for option 159 but does not send it back. */
	return leases_at(&s->leases, &r->client, address);
}

/* A client has one lease: what it had before is over when it takes another. */
static void end_others(struct server *s, const struct lease *lease, int64_t now)
{
	struct lease *other;

	for (int i = 0; i < 8; i++) {
		other = leases_other(&s->leases, lease, now);
		if (!other || leases_end(&s->leases, other, LEASE_RELEASED, now, 0))
			return;
		tell(s, SERVER_FREED, other);
	}
}

static void acknowledge(struct server *s, const struct request *r, struct lease *lease, int64_t now,
			struct server_reply *reply)
{
	bool renewed = lease->state == LEASE_BOUND && lease_active(lease, now);
	uint32_t seconds = seconds_for(s, lease);

	if (leases_bind(&s->leases, lease, now, seconds)) {
		server_refuse(s, SERVER_DATABASE);
		return;
	}
	end_others(s, lease, now);
	reply_lease(s, r, DHCP_ACK, lease, seconds, reply);
	tell(s, renewed ? SERVER_RENEWED : SERVER_ASSIGNED, lease);
}

/* May the client have its own lease (again)? */
static bool still_good(const struct server *s, const struct request *r, const struct lease *lease,
		       int64_t now)
{
	return lease && lease->state != LEASE_DECLINED && pool_serves(lease->pool, r->link) &&
	       leases_unit_free(&s->leases, lease->pool, lease->unit, &r->client, now);
}

static void on_selecting(struct server *s, const struct request *r, uint32_t server, int64_t now,
			 struct server_reply *reply)
{
	struct lease *lease;

	if (server != s->id) {
		lease = leases_current(&s->leases, &r->client, now);
		if (lease && lease->state == LEASE_OFFERED)
			leases_end(&s->leases, lease, LEASE_RELEASED, now, 0);
		server_refuse(s, SERVER_OTHER_SERVER);
		return;
	}
	lease = find_own(s, r, r->address);
	if (still_good(s, r, lease, now))
		acknowledge(s, r, lease, now, reply);
	else
		reply_nak(s, r, "not offered, or given to another since", reply);
}

/* RFC 2131, 4.3.2: wrong network or wrong lease is told, what is not known here is left to others.
 */
static void on_reboot(struct server *s, const struct request *r, int64_t now,
		      struct server_reply *reply)
{
	struct lease *lease = find_own(s, r, r->address);
	const struct pool *pool = pools_find(&s->pools, r->address);

	if (still_good(s, r, lease, now))
		acknowledge(s, r, lease, now, reply);
	else if (lease || leases_current(&s->leases, &r->client, now))
		reply_nak(s, r, "another lease than yours", reply);
	else if (pool ? !pool_serves(pool, r->link) : pools_foreign(&s->pools, r->link, r->address))
		reply_nak(s, r, "not an address of this link", reply);
	else
		server_refuse(s, SERVER_UNKNOWN);
}

static void on_renew(struct server *s, const struct request *r, int64_t now,
		     struct server_reply *reply)
{
	uint32_t address = r->message->head.ciaddr;
	struct lease *lease = find_own(s, r, address);
	const struct pool *pool = pools_find(&s->pools, address);

	if (pool && !pool->full && !r->shared)
		server_refuse(s, SERVER_NOT_ASKED);
	else if (!pool)
		server_refuse(s, SERVER_UNKNOWN);
	else if (!still_good(s, r, lease, now))
		reply_nak(s, r, "not your lease", reply);
	else if (policy_withholds(s, lease, now))
		server_refuse(s, SERVER_WITHHELD);
	else
		acknowledge(s, r, lease, now, reply);
}

static void on_request(struct server *s, const struct request *r, int64_t now,
		       struct server_reply *reply)
{
	const struct pool *pool = pools_find(&s->pools, r->address);
	uint32_t server;

	if (r->message->head.ciaddr) {
		on_renew(s, r, now, reply);
		return;
	}
	if (!r->address) {
		server_refuse(s, SERVER_MALFORMED);
		return;
	}
	if (pool && !pool->full && !r->shared) {
		server_refuse(s, SERVER_NOT_ASKED);
		return;
	}
	if (dhcp_get_u32(r->message, DHCP_OPT_SERVER, &server))
		on_selecting(s, r, server, now, reply);
	else
		on_reboot(s, r, now, reply);
}

/* ---- DECLINE, RELEASE */

static void on_decline(struct server *s, const struct request *r, int64_t now)
{
	struct lease *lease = find_own(s, r, r->address);
	bool bound = lease && lease->state == LEASE_BOUND;

	if (!lease || !lease_active(lease, now))
		server_refuse(s, SERVER_UNKNOWN);
	else if (leases_end(&s->leases, lease, LEASE_DECLINED, now, now + s->settings.decline_time))
		server_refuse(s, SERVER_DATABASE);
	else if (bound)
		tell(s, SERVER_FREED, lease);
}

/* RFC 7618, 8: found by address, set and client. */
static void on_release(struct server *s, const struct request *r, int64_t now)
{
	struct lease *lease = find_own(s, r, r->message->head.ciaddr);

	if (!lease || lease->state != LEASE_BOUND)
		server_refuse(s, SERVER_UNKNOWN);
	else if (leases_end(&s->leases, lease, LEASE_RELEASED, now, 0))
		server_refuse(s, SERVER_DATABASE);
	else
		tell(s, SERVER_FREED, lease);
}

/* ---- all */

static void dispatch(struct server *s, const struct request *r, int64_t now,
		     struct server_reply *reply)
{
	switch (r->message->type) {
	case DHCP_DISCOVER:
		on_discover(s, r, now, reply);
		break;
	case DHCP_REQUEST:
		on_request(s, r, now, reply);
		break;
	case DHCP_DECLINE:
		on_decline(s, r, now);
		break;
	case DHCP_RELEASE:
		on_release(s, r, now);
		break;
	case DHCP_INFORM:
		reply_inform(s, r, reply);
		break;
	default:
		server_refuse(s, SERVER_MALFORMED);
	}
}

void server_message(struct server *s, const struct dhcp_message *m, const uint8_t *from,
		    int64_t now, struct server_reply *reply)
{
	struct request r;

	memset(reply, 0, offsetof(struct server_reply, bytes));
	s->counters.received[m->type]++;
	if (m->head.op != DHCP_BOOTREQUEST)
		server_refuse(s, SERVER_MALFORMED);
	else if (m->head.htype != 1 || m->head.hlen != DHCP_MAC)
		server_refuse(s, SERVER_NOT_ETHERNET);
	else if (from && !m->head.giaddr && !s->settings.trust_chaddr &&
		 memcmp(from, m->head.chaddr, DHCP_MAC))
		server_refuse(s, SERVER_FOREIGN_MAC);
	else if (!within_rate(s, m->head.chaddr, now))
		server_refuse(s, SERVER_RATE);
	else if (!read_request(s, m, &r))
		server_refuse(s, SERVER_MALFORMED);
	else
		dispatch(s, &r, now, reply);
	if (reply->target)
		s->counters.sent[reply->type]++;
}

static void on_ended(struct lease *lease, void *arg)
{
	tell(arg, SERVER_FREED, lease);
}

void server_tick(struct server *s, int64_t now)
{
	leases_sweep(&s->leases, now, SWEEP_MOST, on_ended, s);
}
