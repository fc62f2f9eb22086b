// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "address.h"

#define V4_OFFSET 12

static const uint8_t v4_prefix[V4_OFFSET] = { [10] = 0xff, [11] = 0xff };

bool address_is_v4(const struct isthmus_addr *address)
{
	return !memcmp(address->b, v4_prefix, V4_OFFSET);
}

static int parse_v4(const char *text, struct isthmus_addr *address)
{
	struct isthmus_addr parsed;
	uint32_t host;

	memcpy(parsed.b, v4_prefix, V4_OFFSET);
	if (inet_pton(AF_INET, text, parsed.b + V4_OFFSET) != 1)
		return -EINVAL;
	memcpy(&host, parsed.b + V4_OFFSET, sizeof(host));
	host = ntohl(host);
	if (!(host >> 24) || IN_MULTICAST(host) || IN_BADCLASS(host))
		return -EINVAL;
	*address = parsed;
	return 0;
}

int address_parse(const char *text, struct isthmus_addr *address)
{
	struct in6_addr parsed;

	if (!strchr(text, ':'))
		return parse_v4(text, address);
	if (inet_pton(AF_INET6, text, &parsed) != 1)
		return -EINVAL;
	if (IN6_IS_ADDR_UNSPECIFIED(&parsed) || IN6_IS_ADDR_MULTICAST(&parsed) ||
	    IN6_IS_ADDR_V4MAPPED(&parsed))
		return -EINVAL;
	memcpy(address->b, &parsed, sizeof(parsed));
	return 0;
}

void address_text(const struct isthmus_addr *address, char text[ADDRESS_TEXT])
{
	if (address_is_v4(address))
		inet_ntop(AF_INET, address->b + V4_OFFSET, text, ADDRESS_TEXT);
	else
		inet_ntop(AF_INET6, address->b, text, ADDRESS_TEXT);
}

void endpoint_text(const struct isthmus_addr *address, uint16_t port_be, char text[ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN];

	if (address_is_v4(address)) {
		inet_ntop(AF_INET, address->b + V4_OFFSET, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT, "%s:%u", host, ntohs(port_be));
	} else {
		inet_ntop(AF_INET6, address->b, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT, "[%s]:%u", host, ntohs(port_be));
	}
}
