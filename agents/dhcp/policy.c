// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Sets grow and shrink with use (paper, V; P10). All hosts of an address have one a and k, so a
 * host grows by a further set, under another IAID, and shrinks by not getting one renewed. What it
 * has stays valid until its lease ends: no open connection is cut.
 *
 * The gateway tells use (op `usage`); what it has not told decides nothing.
 */
#include <string.h>

#include "server.h"

struct use {
	unsigned int sets;
	uint64_t ports, used;
	bool known; /* of all sets */
};

/* The bound sets of a MAC but for `but`, which may be NULL. */
static struct use host_use(const struct server *s, const uint8_t mac[DHCP_MAC],
			   const struct lease *but, int64_t now)
{
	struct use use = { .known = true };

	for (struct lease *l = leases_of_mac(&s->leases, mac); l; l = l->next_mac) {
		if (memcmp(l->client.mac, mac, DHCP_MAC) || l == but || l->pool->full ||
		    l->state != LEASE_BOUND || !lease_active(l, now))
			continue;
		use.sets++;
		use.ports += portset_ports(&l->set);
		use.used += l->used;
		use.known &= l->used_known;
	}
	return use;
}

bool policy_may_grow(const struct server *s, const struct lease_client *client, int64_t now)
{
	struct use use = host_use(s, client->mac, NULL, now);

	if (!s->settings.grow_below || !use.sets || !use.known)
		return true;
	return use.used * 100 >= use.ports * s->settings.grow_below;
}

/* The emptiest of a host's sets, if no port of it is used and the others have room for all. */
bool policy_withholds(const struct server *s, const struct lease *lease, int64_t now)
{
	struct use others;

	if (!s->settings.shrink_below || lease->pool->full || !lease->used_known || lease->used)
		return false;
	others = host_use(s, lease->client.mac, lease, now);
	if (!others.sets || !others.known)
		return false;
	/* Of several unused ones the newest goes, so that one always stays. */
	for (struct lease *l = leases_of_mac(&s->leases, lease->client.mac); l; l = l->next_mac)
		if (!memcmp(l->client.mac, lease->client.mac, DHCP_MAC) && l != lease &&
		    l->state == LEASE_BOUND && lease_active(l, now) && !l->used &&
		    (l->started > lease->started ||
		     (l->started == lease->started && l->unit > lease->unit)))
			return false;
	return others.used * 100 < others.ports * s->settings.shrink_below;
}
