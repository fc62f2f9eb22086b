// SPDX-License-Identifier: GPL-3.0-or-later
/* What others ask of the leases. */
#include <arpa/inet.h>
#include <string.h>

#include "lease.h"

static bool is_any(const struct isthmus_addr *address)
{
	static const struct isthmus_addr any;

	return address_equal(address, &any);
}

void lease_set_v4(struct isthmus_addr *address, uint32_t host_order)
{
	const uint32_t wire = htonl(host_order);

	*address = (struct isthmus_addr){ { [10] = 0xff, 0xff } };
	memcpy(address->b + 12, &wire, 4);
}

char *lease_v4_text(uint32_t host_order, char text[ADDRESS_TEXT_LEN])
{
	struct isthmus_addr address;

	lease_set_v4(&address, host_order);
	address_text(&address, text);
	return text;
}

struct lease *lease_find(const struct leases *leases, const struct client_conf *conf)
{
	for (struct lease *lease = leases ? leases->first : NULL; lease; lease = lease->next)
		if (!strcmp(lease->name, conf->identity.name) &&
		    !memcmp(lease->dhcp.mac, conf->mac, DHCP_MAC))
			return lease;
	return NULL;
}

const struct isthmus_addr *lease_get(const struct client *client)
{
	static const struct isthmus_addr none;

	return client->lease ? &client->lease->address : &none;
}

bool lease_has(const struct resoad *resoad, const struct isthmus_addr *address)
{
	const struct lease *lease = resoad->leases ? resoad->leases->first : NULL;

	while (lease && !address_equal(&lease->address, address))
		lease = lease->next;
	return lease && !is_any(address);
}

json_t *lease_told(const struct client *client)
{
	const struct lease *lease = client->lease;
	char address[ADDRESS_TEXT_LEN], server[ADDRESS_TEXT_LEN];

	if (!lease || is_any(&lease->address))
		return NULL;
	address_text(&lease->address, address);
	return json_pack("{s:s, s:s, s:I}", "address", address, "server",
			 lease_v4_text(lease->dhcp.lease.server, server), "until",
			 (json_int_t)lease->until);
}

json_t *lease_json(const struct resoad *resoad, const struct client_conf *conf)
{
	const struct lease *lease = conf->dhcp ? lease_find(resoad->leases, conf) : NULL;
	char address[ADDRESS_TEXT_LEN], server[ADDRESS_TEXT_LEN];
	json_t *object;

	if (!lease)
		return NULL;
	object = json_pack("{s:s}", "state", dhcp_client_state_word(lease->dhcp.state));
	if (is_any(&lease->address))
		return object;
	address_text(&lease->address, address);
	json_object_update_new(
		object,
		json_pack("{s:s, s:s, s:I}", "address", address, "server",
			  lease_v4_text(lease->dhcp.lease.server, server), "seconds",
			  lease->until ? (json_int_t)lease_seconds_left(lease) : (json_int_t)0));
	return object;
}

unsigned int lease_count(const struct resoad *resoad)
{
	const struct lease *lease = resoad->leases ? resoad->leases->first : NULL;
	unsigned int count = 0;

	for (; lease; lease = lease->next)
		count += !is_any(&lease->address);
	return count;
}
