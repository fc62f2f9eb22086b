// SPDX-License-Identifier: GPL-3.0-or-later
/* Replies: their options, and where they go (RFC 2131, 4.1 and table 3). */
#include <string.h>

#include "server.h"

static bool wants(const struct dhcp_message *m, uint8_t code)
{
	return !dhcp_has(m, DHCP_OPT_PARAMETERS) || dhcp_asks(m, code);
}

static void head_of(const struct request *r, struct dhcp_head *head)
{
	const struct dhcp_head *in = &r->message->head;

	memset(head, 0, sizeof(*head));
	head->op = DHCP_BOOTREPLY;
	head->htype = in->htype;
	head->hlen = in->hlen;
	head->xid = in->xid;
	head->flags = in->flags;
	head->giaddr = in->giaddr;
	memcpy(head->chaddr, in->chaddr, sizeof(head->chaddr));
}

static void start(const struct server *s, const struct request *r, const struct dhcp_head *head,
		  enum dhcp_type type, struct dhcp_writer *w)
{
	uint16_t max;

	dhcp_start(w, head, type);
	if (dhcp_get_u16(r->message, DHCP_OPT_MAX_SIZE, &max) && max > DHCP_PLAIN_MAX + 28)
		w->limit = max - 28;
	dhcp_put_u32(w, DHCP_OPT_SERVER, s->id);
}

static void put_network(const struct request *r, const struct pool *pool, struct dhcp_writer *w)
{
	const struct dhcp_message *m = r->message;

	if (wants(m, DHCP_OPT_MASK))
		dhcp_put_u32(w, DHCP_OPT_MASK, pool_mask(pool));
	if (wants(m, DHCP_OPT_ROUTER) && pool->router.count)
		dhcp_put_addresses(w, DHCP_OPT_ROUTER, pool->router.item, pool->router.count);
	if (wants(m, DHCP_OPT_DNS) && pool->dns.count)
		dhcp_put_addresses(w, DHCP_OPT_DNS, pool->dns.item, pool->dns.count);
	if (wants(m, DHCP_OPT_DOMAIN) && pool->domain[0])
		dhcp_put(w, DHCP_OPT_DOMAIN, pool->domain, strlen(pool->domain));
}

/* Ports beside the set (P8), to a client that asks for our private option. */
static void put_ranges(const struct request *r, const struct lease *lease, struct dhcp_writer *w,
		       uint8_t bytes[4 * DHCP_RANGES])
{
	const struct pool_host *host = r->host;

	if (!host || !host->ranges || lease->pool->full ||
	    (host->address && host->address != lease->address) ||
	    !dhcp_asks(r->message, DHCP_OPT_RANGES))
		return;
	for (unsigned int i = 0; i < host->ranges; i++) {
		bytes[4 * i] = host->range[i].low >> 8;
		bytes[4 * i + 1] = host->range[i].low;
		bytes[4 * i + 2] = host->range[i].high >> 8;
		bytes[4 * i + 3] = host->range[i].high;
	}
	dhcp_put(w, DHCP_OPT_RANGES, bytes, 4 * host->ranges);
}

/* The client identifier (RFC 6842) and, last, what the relay has put in (RFC 3046, 2.2). */
static void finish(const struct request *r, struct dhcp_writer *w, struct server_reply *reply)
{
	const uint8_t *bytes;
	size_t len;
	int written;

	bytes = dhcp_get(r->message, DHCP_OPT_CLIENT_ID, &len);
	if (bytes)
		dhcp_put(w, DHCP_OPT_CLIENT_ID, bytes, len);
	bytes = dhcp_get(r->message, DHCP_OPT_RELAY, &len);
	if (bytes && r->message->head.giaddr)
		dhcp_put(w, DHCP_OPT_RELAY, bytes, len);
	written = dhcp_write(w, reply->bytes);
	if (written < 0)
		reply->target = SERVER_NOTHING;
	else
		reply->len = written;
}

static void aim(const struct request *r, enum dhcp_type type, uint32_t yiaddr,
		struct server_reply *reply)
{
	const struct dhcp_head *in = &r->message->head;

	reply->type = type;
	if (in->giaddr) {
		reply->target = SERVER_TO_RELAY;
		reply->ip = in->giaddr;
		return;
	}
	reply->target = SERVER_TO_CLIENT;
	if (type == DHCP_NAK || (!in->ciaddr && (in->flags & DHCP_FLAG_BROADCAST || !yiaddr))) {
		reply->ip = ~0u;
		memset(reply->mac, 0xff, DHCP_MAC);
		return;
	}
	/* To the MAC in any case: nobody answers ARP for a shared address. */
	reply->ip = in->ciaddr ? in->ciaddr : yiaddr;
	memcpy(reply->mac, in->chaddr, DHCP_MAC);
}

void reply_lease(struct server *s, const struct request *r, enum dhcp_type type,
		 const struct lease *lease, uint32_t seconds, struct server_reply *reply)
{
	uint8_t ranges[4 * DHCP_RANGES];
	struct dhcp_head head;
	struct dhcp_writer w;

	head_of(r, &head);
	head.yiaddr = lease->address;
	if (type == DHCP_ACK)
		head.ciaddr = r->message->head.ciaddr;
	start(s, r, &head, type, &w);
	dhcp_put_u32(&w, DHCP_OPT_LEASE_TIME, seconds);
	dhcp_put_u32(&w, DHCP_OPT_T1, seconds / 2);
	dhcp_put_u32(&w, DHCP_OPT_T2, seconds / 8 * 7 + seconds % 8 * 7 / 8);
	put_network(r, lease->pool, &w);
	if (!lease->pool->full)
		dhcp_put_portset(&w, &lease->set);
	put_ranges(r, lease, &w, ranges);
	aim(r, type, lease->address, reply);
	finish(r, &w, reply);
}

void reply_nak(struct server *s, const struct request *r, const char *why,
	       struct server_reply *reply)
{
	struct dhcp_head head;
	struct dhcp_writer w;

	head_of(r, &head);
	/* The relay broadcasts it: the client may not have the address (RFC 2131, 4.3.2). */
	if (head.giaddr)
		head.flags |= DHCP_FLAG_BROADCAST;
	start(s, r, &head, DHCP_NAK, &w);
	dhcp_put(&w, DHCP_OPT_MESSAGE, why, strlen(why));
	aim(r, DHCP_NAK, 0, reply);
	finish(r, &w, reply);
}

void reply_inform(struct server *s, const struct request *r, struct server_reply *reply)
{
	const struct pool *pool = pools_find(&s->pools, r->message->head.ciaddr);
	struct dhcp_head head;
	struct dhcp_writer w;

	for (unsigned int i = 0; i < s->pools.count && !pool; i++)
		if (pool_serves(&s->pools.pool[i], r->link))
			pool = &s->pools.pool[i];
	if (!pool) {
		server_refuse(s, SERVER_NO_POOL);
		return;
	}
	head_of(r, &head);
	head.ciaddr = r->message->head.ciaddr;
	start(s, r, &head, DHCP_ACK, &w);
	put_network(r, pool, &w);
	aim(r, DHCP_ACK, 0, reply);
	finish(r, &w, reply);
}
