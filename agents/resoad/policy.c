// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Which destinations a client may use, and from which address. What is forbidden gives EACCES, as a
 * `prohibit` route of the host would.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "../lib/address.h"
#include "resoad.h"

#define DNS_PORT 53

/* RFC 7600: 192.0.0.8 is nobody's; the client's resolv.conf has it for a loopback address. */
static const struct isthmus_addr dummy = { { [10] = 0xff, 0xff, 192, 0, 0, 8 } };

static bool is_any(const struct isthmus_addr *address)
{
	static const struct isthmus_addr any, any4 = { { [10] = 0xff, 0xff } };

	return address_equal(address, &any) || address_equal(address, &any4);
}

static bool is_dummy(const struct ep_name *name)
{
	return name->port == htons(DNS_PORT) && address_equal(&name->address, &dummy);
}

/* Networks of the server itself that are no business of its clients: what is bound to its loopback
 * trusts who can reach it. */
static bool is_own_loopback(const struct isthmus_addr *address)
{
	static const struct isthmus_addr any6, loopback6 = { { [15] = 1 } };

	if (!address_is_v4(address))
		return address_equal(address, &any6) || address_equal(address, &loopback6);
	return address->b[12] == 127 || address->b[12] == 0;
}

static bool rule_is_of(const struct rule *rule, uint8_t proto, const struct ep_name *to)
{
	uint16_t port = ntohs(to->port);

	return (!rule->proto || rule->proto == proto) && port >= rule->low && port <= rule->high &&
	       prefix_has(&rule->to, &to->address);
}

bool policy_allows(const struct client_conf *conf, uint8_t proto, const struct ep_name *to)
{
	if (is_own_loopback(&to->address))
		return false;
	for (unsigned int i = 0; i < conf->rule_count; i++)
		if (rule_is_of(&conf->rules[i], proto, to))
			return conf->rules[i].allow;
	return true;
}

void policy_destination(const struct resoad *resoad, const struct ep_name *to, struct ep_name *real)
{
	const struct isthmus_addr *resolver = export_resolver(resoad);

	*real = *to;
	if (!is_dummy(to) || is_any(resolver))
		return;
	real->address = *resolver;
	real->family = address_is_v4(&real->address) ? 4 : 6;
}

void policy_source(const struct resoad *resoad, const struct ep_name *real, struct ep_name *name)
{
	struct ep_name from = *real;

	if (real->port == htons(DNS_PORT) &&
	    address_equal(&real->address, export_resolver(resoad))) {
		from.address = dummy;
		from.family = 4;
	}
	*name = from;
}

int policy_local(const struct client *client, const struct ep_name *wanted, struct ep_name *local)
{
	const struct isthmus_addr *own;

	if (wanted->family != 4 && wanted->family != 6)
		return -EAFNOSUPPORT;
	own = export_address(client, wanted->family);
	if (is_any(own))
		return -EAFNOSUPPORT;
	if (!is_any(&wanted->address) && !address_equal(&wanted->address, own))
		return -EADDRNOTAVAIL;
	*local = *wanted;
	local->address = *own;
	return 0;
}
