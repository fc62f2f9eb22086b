// SPDX-License-Identifier: GPL-3.0-or-later
/* What a client says: RFC 2131, table 5, with option 159 where RFC 7618, 6 and 7 want it. */
#include <string.h>

#include "dhcp_client.h"

static void put_common(const struct dhcp_client *c, struct dhcp_writer *w)
{
	/* The last two of shared addresses. */
	static const uint8_t parameters[] = { DHCP_OPT_MASK,   DHCP_OPT_ROUTER,	   DHCP_OPT_DNS,
					      DHCP_OPT_DOMAIN, DHCP_OPT_T1,	   DHCP_OPT_T2,
					      DHCP_OPT_RANGES, DHCP_OPT_PORTPARAMS };

	dhcp_put(w, DHCP_OPT_CLIENT_ID, c->id, c->id_len);
	if (c->host_name)
		dhcp_put(w, DHCP_OPT_HOST_NAME, c->host_name, strlen(c->host_name));
	dhcp_put_u16(w, DHCP_OPT_MAX_SIZE, DHCP_BYTES_MAX + 28);
	dhcp_put(w, DHCP_OPT_PARAMETERS, parameters, sizeof(parameters) - (c->whole ? 2 : 0));
}

/* "Same again", or only the size that is wanted (RFC 7618, 7). */
static void put_hint(const struct dhcp_client *c, struct dhcp_writer *w)
{
	const struct portset size = { 0, c->size_hint, 0 };

	if (c->has_lease) {
		dhcp_put_u32(w, DHCP_OPT_REQUESTED, c->lease.address);
		if (c->lease.shared)
			dhcp_put_portset(w, &c->lease.set);
	} else if (c->size_hint) {
		dhcp_put_portset(w, &size);
	}
}

static void put_lease(const struct dhcp_client_lease *lease, bool requested, bool server,
		      struct dhcp_writer *w)
{
	if (requested)
		dhcp_put_u32(w, DHCP_OPT_REQUESTED, lease->address);
	if (server)
		dhcp_put_u32(w, DHCP_OPT_SERVER, lease->server);
	if (lease->shared)
		dhcp_put_portset(w, &lease->set);
}

static bool says_ciaddr(const struct dhcp_client *c, enum dhcp_type type)
{
	return type == DHCP_RELEASE ||
	       (type == DHCP_REQUEST && (c->state == DHCP_CLIENT_RENEWING ||
					 (c->state == DHCP_CLIENT_REBINDING && !c->proxy)));
}

static void aim(const struct dhcp_client *c, enum dhcp_type type, struct dhcp_frame_ends *ends)
{
	bool to_server =
		type == DHCP_RELEASE || (type == DHCP_REQUEST && c->state == DHCP_CLIENT_RENEWING);

	memset(ends, 0, sizeof(*ends));
	memset(ends->dst_mac, 0xff, DHCP_MAC);
	ends->dst = DHCP_ANY_IP;
	ends->dport = DHCP_SERVER_PORT;
	if (!c->lease.shared && c->has_lease && says_ciaddr(c, type))
		ends->src = c->lease.address;
	if (!to_server || (c->lease.shared && c->lease.relayed))
		return;
	ends->dst = c->lease.server;
	memcpy(ends->dst_mac, c->lease.server_mac, DHCP_MAC);
}

static void put_body(const struct dhcp_client *c, enum dhcp_type type, struct dhcp_writer *w)
{
	if (type == DHCP_DISCOVER) {
		put_hint(c, w);
	} else if (type == DHCP_REQUEST && c->state == DHCP_CLIENT_REQUESTING) {
		put_lease(&c->offer, true, true, w);
	} else if (type == DHCP_REQUEST) {
		put_lease(&c->lease, !says_ciaddr(c, type), false, w);
	} else if (type == DHCP_RELEASE || type == DHCP_DECLINE) {
		put_lease(&c->lease, type == DHCP_DECLINE, true, w);
		dhcp_put(w, DHCP_OPT_CLIENT_ID, c->id, c->id_len);
		return;
	}
	put_common(c, w);
}

void dhcp_client_send(struct dhcp_client *c, enum dhcp_type type, int64_t now)
{
	struct dhcp_head head = {
		.op = DHCP_BOOTREQUEST, .htype = 1, .hlen = DHCP_MAC, .xid = c->xid
	};
	uint8_t bytes[DHCP_BYTES_MAX];
	struct dhcp_frame_ends ends;
	struct dhcp_writer w;
	int64_t secs = (now - c->began) / 1000;
	int len;

	head.secs = type == DHCP_RELEASE ? 0 : secs > 0xffff ? 0xffff : secs;
	memcpy(head.chaddr, c->mac, DHCP_MAC);
	if (says_ciaddr(c, type))
		head.ciaddr = c->lease.address;
	else if (c->proxy && type != DHCP_DECLINE)
		head.flags = DHCP_FLAG_BROADCAST;
	dhcp_start(&w, &head, type);
	put_body(c, type, &w);
	len = dhcp_write(&w, bytes);
	if (len < 0)
		return;
	aim(c, type, &ends);
	c->counters.sent[type]++;
	c->hooks->send(c, &ends, bytes, len);
}
