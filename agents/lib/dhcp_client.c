// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <string.h>

#include "dhcp_client.h"

#define FIRST_MS      4000 /* then 8, 16, 32, 64 s (RFC 2131, 4.1) */
#define LAST_SHIFT    4
#define REQUEST_TRIES 4
#define REBOOT_TRIES  3	    /* then the lease is used as it is (4.3.2, 3.2) */
#define RENEW_MIN_MS  60000 /* 4.4.5 */
#define NAK_PAUSE_MS  10000 /* after a second refusal; after DECLINE (3.1, 5) */
#define SECONDS_MIN   4	    /* a shorter lease is no lease */
#define FOREVER	      0xffffffffu

const char *dhcp_client_state_word(enum dhcp_client_state state)
{
	static const char *const words[] = { "init",	 "selecting", "requesting", "bound",
					     "renewing", "rebinding", "rebooting",  "stopped" };

	return words[state];
}

void dhcp_client_make_id(struct dhcp_client *c, uint32_t iaid, const uint8_t *duid, size_t duid_len)
{
	c->iaid = iaid;
	c->id[0] = 255;
	for (int i = 0; i < 4; i++)
		c->id[1 + i] = iaid >> (24 - 8 * i);
	if (duid_len > DHCP_DUID_LEN)
		duid_len = DHCP_DUID_LEN;
	memcpy(c->id + 5, duid, duid_len);
	c->id_len = 5 + duid_len;
}

void dhcp_client_make_mac_id(struct dhcp_client *c)
{
	c->id[0] = 1;
	memcpy(c->id + 1, c->mac, DHCP_MAC);
	c->id_len = 1 + DHCP_MAC;
}

/* ---- time */

/* The wait doubles to 64 s, a second more or less by chance. */
static void wait_longer(struct dhcp_client *c, int64_t now)
{
	unsigned int shift = c->tries < LAST_SHIFT ? c->tries : LAST_SHIFT;

	c->next = now + ((int64_t)FIRST_MS << shift) - 1000 + c->hooks->random() % 2001;
	c->tries++;
}

/* Half of what is left until `end`, at least a minute, but not beyond. */
static void wait_half(struct dhcp_client *c, int64_t now, int64_t end)
{
	int64_t half = (end - now) / 2;

	c->next = now + (half > RENEW_MIN_MS ? half : RENEW_MIN_MS);
	if (c->next > end)
		c->next = end;
}

/* ---- transitions */

static void enter_init(struct dhcp_client *c, int64_t now, int64_t pause)
{
	c->state = DHCP_CLIENT_INIT;
	c->has_offer = false;
	c->tries = 0;
	c->next = now + pause;
}

static void lose(struct dhcp_client *c, const char *why)
{
	bool told = c->in_use;

	c->in_use = false;
	if (told)
		c->hooks->lost(c, why);
}

static void enter_bound(struct dhcp_client *c, int64_t now)
{
	c->state = DHCP_CLIENT_BOUND;
	c->has_offer = false;
	c->naks = 0;
	c->next = c->lease.t1 > now ? c->lease.t1 : now;
}

static void enter_selecting(struct dhcp_client *c, int64_t now)
{
	if (c->state != DHCP_CLIENT_SELECTING) {
		c->state = DHCP_CLIENT_SELECTING;
		c->xid = c->hooks->random();
		c->began = now;
		c->tries = 0;
	}
	dhcp_client_send(c, DHCP_DISCOVER, now);
	wait_longer(c, now);
}

static void enter_requesting(struct dhcp_client *c, int64_t now)
{
	c->state = DHCP_CLIENT_REQUESTING;
	c->tries = 0;
	dhcp_client_send(c, DHCP_REQUEST, now);
	wait_longer(c, now);
}

static void enter_renewing(struct dhcp_client *c, int64_t now)
{
	if (c->state == DHCP_CLIENT_BOUND) {
		c->state = DHCP_CLIENT_RENEWING;
		c->xid = c->hooks->random();
		c->began = now;
	}
	dhcp_client_send(c, DHCP_REQUEST, now);
	wait_half(c, now, c->lease.t2);
}

static void enter_rebinding(struct dhcp_client *c, int64_t now)
{
	if (c->state == DHCP_CLIENT_BOUND) { /* the machine slept over T1 */
		c->xid = c->hooks->random();
		c->began = now;
	}
	c->state = DHCP_CLIENT_REBINDING;
	dhcp_client_send(c, DHCP_REQUEST, now);
	wait_half(c, now, c->lease.expires);
}

static void expire(struct dhcp_client *c, int64_t now)
{
	lose(c, "its time is over");
	enter_init(c, now, 0);
}

static void on_renew_time(struct dhcp_client *c, int64_t now)
{
	if (now >= c->lease.expires)
		expire(c, now);
	else if (now >= c->lease.t2)
		enter_rebinding(c, now);
	else
		enter_renewing(c, now);
}

static void on_reboot_time(struct dhcp_client *c, int64_t now)
{
	if (now >= c->lease.expires) {
		expire(c, now);
	} else if (c->tries < REBOOT_TRIES) {
		dhcp_client_send(c, DHCP_REQUEST, now);
		wait_longer(c, now);
	} else {
		c->in_use = true;
		enter_bound(c, now);
		c->hooks->bound(c, false);
	}
}

void dhcp_client_timer(struct dhcp_client *c, int64_t now)
{
	if (now < c->next)
		return;
	switch (c->state) {
	case DHCP_CLIENT_INIT:
		enter_selecting(c, now);
		break;
	case DHCP_CLIENT_SELECTING:
		if (c->has_offer)
			enter_requesting(c, now);
		else
			enter_selecting(c, now);
		break;
	case DHCP_CLIENT_REQUESTING:
		if (c->tries >= REQUEST_TRIES) {
			enter_init(c, now, 0);
		} else {
			dhcp_client_send(c, DHCP_REQUEST, now);
			wait_longer(c, now);
		}
		break;
	case DHCP_CLIENT_BOUND:
	case DHCP_CLIENT_RENEWING:
	case DHCP_CLIENT_REBINDING:
		on_renew_time(c, now);
		break;
	case DHCP_CLIENT_REBOOTING:
		on_reboot_time(c, now);
		break;
	case DHCP_CLIENT_STOPPED:
		c->next = DHCP_NEVER;
		break;
	}
}

/* ---- what a server says */

static void read_ranges(const struct dhcp_message *m, struct dhcp_client_lease *lease)
{
	size_t len;
	const uint8_t *b = dhcp_get(m, DHCP_OPT_RANGES, &len);

	for (; b && len >= 4 && lease->ranges < DHCP_RANGES; b += 4, len -= 4) {
		struct portarp_range range = { b[0] << 8 | b[1], b[2] << 8 | b[3] };

		if (range.low && range.low <= range.high)
			lease->range[lease->ranges++] = range;
	}
}

static void read_network(const struct dhcp_message *m, struct dhcp_client_lease *lease)
{
	const uint8_t *b;
	size_t len;

	dhcp_get_u32(m, DHCP_OPT_MASK, &lease->mask);
	b = dhcp_get(m, DHCP_OPT_ROUTER, &len);
	if (b && len >= 4)
		lease->router = (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
	b = dhcp_get(m, DHCP_OPT_DNS, &len);
	for (; b && len >= 4 && lease->dns_count < DHCP_CLIENT_DNS; b += 4, len -= 4)
		lease->dns[lease->dns_count++] =
			(uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
	b = dhcp_get(m, DHCP_OPT_DOMAIN, &len);
	/* Names of a script's environment: letters, digits, points and hyphens only. */
	for (size_t i = 0; b && i < len && i < sizeof(lease->domain) - 1; i++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-",
			   b[i]) &&
		    b[i])
			lease->domain[i] = b[i];
		else
			break;
}

static void read_times(const struct dhcp_message *m, int64_t now, struct dhcp_client_lease *lease)
{
	uint32_t t1, t2;

	if (lease->seconds == FOREVER) {
		lease->t1 = lease->t2 = lease->expires = DHCP_NEVER;
		return;
	}
	if (!dhcp_get_u32(m, DHCP_OPT_T2, &t2) || t2 >= lease->seconds)
		t2 = lease->seconds / 8 * 7 + lease->seconds % 8 * 7 / 8;
	if (!dhcp_get_u32(m, DHCP_OPT_T1, &t1) || t1 > t2)
		t1 = lease->seconds / 2 < t2 ? lease->seconds / 2 : t2;
	lease->t1 = now + 1000 * (int64_t)t1;
	lease->t2 = now + 1000 * (int64_t)t2;
	lease->expires = now + 1000 * (int64_t)lease->seconds;
}

/* An address that a host can have. */
static bool usable(uint32_t address)
{
	return address >> 24 && address >> 24 < 224 && address >> 24 != 127;
}

/* False for what is no lease: such an offer or ACK is ignored. */
static bool read_lease(const struct dhcp_message *m, const uint8_t *from, int64_t now,
		       struct dhcp_client_lease *lease)
{
	int err;

	memset(lease, 0, sizeof(*lease));
	lease->address = m->head.yiaddr;
	err = dhcp_get_portset(m, &lease->set);
	lease->shared = !err;
	if (err == -EBADMSG || !usable(lease->address) ||
	    !dhcp_get_u32(m, DHCP_OPT_SERVER, &lease->server) ||
	    !dhcp_get_u32(m, DHCP_OPT_LEASE_TIME, &lease->seconds) || lease->seconds < SECONDS_MIN)
		return false;
	lease->relayed = m->head.giaddr;
	memcpy(lease->server_mac, from, DHCP_MAC);
	read_network(m, lease);
	read_ranges(m, lease);
	read_times(m, now, lease);
	return true;
}

static bool same_grant(const struct dhcp_client_lease *a, const struct dhcp_client_lease *b)
{
	return a->address == b->address && a->shared == b->shared &&
	       (!a->shared ||
		(a->set.a == b->set.a && a->set.k == b->set.k && a->set.psid == b->set.psid));
}

/* RFC 7618, 5: a full address is better than a shared one; then the size that was asked for. */
static bool is_better(const struct dhcp_client *c, const struct dhcp_client_lease *a,
		      const struct dhcp_client_lease *b)
{
	if (a->shared != b->shared)
		return !a->shared;
	return a->shared && c->size_hint && a->set.k == c->size_hint && b->set.k != c->size_hint;
}

static void on_offer(struct dhcp_client *c, const struct dhcp_client_lease *offer, int64_t now)
{
	int64_t until = now + c->select_ms;

	if (c->state != DHCP_CLIENT_SELECTING)
		return;
	if (!c->has_offer || is_better(c, offer, &c->offer))
		c->offer = *offer;
	if (!c->has_offer)
		c->next = until;
	c->has_offer = true;
	if (!c->offer.shared)
		enter_requesting(c, now);
}

/* The set must be the one that was offered, or that we have: another is no answer to us. */
static void on_ack(struct dhcp_client *c, const struct dhcp_client_lease *lease, int64_t now)
{
	bool renewed = c->in_use;
	const struct dhcp_client_lease *expected = &c->lease;

	if (c->state == DHCP_CLIENT_REQUESTING)
		expected = &c->offer;
	else if (c->state != DHCP_CLIENT_RENEWING && c->state != DHCP_CLIENT_REBINDING &&
		 c->state != DHCP_CLIENT_REBOOTING)
		return;
	if (!same_grant(lease, expected)) {
		c->counters.ignored++;
		return;
	}
	c->lease = *lease;
	c->has_lease = c->in_use = true;
	enter_bound(c, now);
	c->hooks->bound(c, renewed);
}

static void on_nak(struct dhcp_client *c, const struct dhcp_message *m, int64_t now)
{
	uint32_t server;

	if (!dhcp_get_u32(m, DHCP_OPT_SERVER, &server))
		return;
	if (c->state == DHCP_CLIENT_REQUESTING ? server != c->offer.server
	    : c->state == DHCP_CLIENT_RENEWING
		    ? server != c->lease.server
		    : c->state != DHCP_CLIENT_REBINDING && c->state != DHCP_CLIENT_REBOOTING)
		return;
	lose(c, "the server refused it");
	c->has_lease = false;
	enter_init(c, now, c->naks++ ? NAK_PAUSE_MS : 0);
}

static bool is_ours(const struct dhcp_client *c, const struct dhcp_message *m)
{
	size_t len;
	const uint8_t *id = dhcp_get(m, DHCP_OPT_CLIENT_ID, &len);

	return m->head.op == DHCP_BOOTREPLY && m->head.xid == c->xid && m->head.hlen == DHCP_MAC &&
	       !memcmp(m->head.chaddr, c->mac, DHCP_MAC) &&
	       (!id || (len == c->id_len && !memcmp(id, c->id, len))); /* RFC 6842, 3 */
}

void dhcp_client_message(struct dhcp_client *c, const struct dhcp_message *m,
			 const uint8_t from[DHCP_MAC], int64_t now)
{
	struct dhcp_client_lease lease;

	if (!is_ours(c, m))
		return;
	c->counters.received[m->type]++;
	if (m->type == DHCP_NAK)
		on_nak(c, m, now);
	else if (m->type != DHCP_OFFER && m->type != DHCP_ACK)
		c->counters.ignored++;
	else if (!read_lease(m, from, now, &lease) || (c->whole && lease.shared))
		c->counters.ignored++;
	else if (m->type == DHCP_OFFER)
		on_offer(c, &lease, now);
	else
		on_ack(c, &lease, now);
}

/* ---- what the owner wants */

void dhcp_client_start(struct dhcp_client *c, int64_t now)
{
	c->in_use = false;
	if (!c->has_lease || now >= c->lease.expires) {
		enter_init(c, now, c->hooks->random() % 1000);
		return;
	}
	c->state = DHCP_CLIENT_REBOOTING;
	c->xid = c->hooks->random();
	c->began = now;
	c->tries = 0;
	dhcp_client_send(c, DHCP_REQUEST, now);
	wait_longer(c, now);
}

void dhcp_client_release(struct dhcp_client *c, int64_t now)
{
	bool held = c->in_use;

	/* Nobody may use it any more when the server hears of it. */
	lose(c, "given back");
	if (held) {
		c->xid = c->hooks->random();
		dhcp_client_send(c, DHCP_RELEASE, now);
	}
	c->has_lease = false;
	c->state = DHCP_CLIENT_STOPPED;
	c->next = DHCP_NEVER;
}

void dhcp_client_decline(struct dhcp_client *c, int64_t now)
{
	c->in_use = false;
	c->xid = c->hooks->random();
	dhcp_client_send(c, DHCP_DECLINE, now);
	c->has_lease = false;
	enter_init(c, now, NAK_PAUSE_MS);
}

void dhcp_client_renew(struct dhcp_client *c, int64_t now)
{
	if (c->state == DHCP_CLIENT_BOUND)
		enter_renewing(c, now);
}
