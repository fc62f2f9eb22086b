// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff }; /* RFC 4291, 2.5.5.2 */

int address_parse(const char *text, struct isthmus_addr *address)
{
	char inner[INET6_ADDRSTRLEN];
	struct isthmus_addr parsed = { 0 };
	size_t len = strlen(text);

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
		if (!memchr(text, ':', len)) /* brackets are for IPv6 only */
			return -EINVAL;
	}
	if (len >= sizeof(inner))
		return -EINVAL;
	memcpy(inner, text, len);
	inner[len] = 0;
	if (inet_pton(AF_INET, inner, parsed.b + 12) == 1)
		memcpy(parsed.b, mapped_prefix, sizeof(mapped_prefix));
	else if (inet_pton(AF_INET6, inner, parsed.b) != 1)
		return -EINVAL;
	*address = parsed;
	return 0;
}

static int port_parse(const char *text, uint16_t *port)
{
	unsigned long value;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	value = strtoul(text, &end, 10);
	if (*end || value < 1 || value > 65535)
		return -EINVAL;
	*port = value;
	return 0;
}

int address_split(const char *text, char *host, size_t host_len, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	size_t len;
	uint16_t value;

	if (!colon || port_parse(colon + 1, &value))
		return -EINVAL;
	len = colon - text;
	if (len && text[0] == '[') {
		if (len < 3 || text[len - 1] != ']')
			return -EINVAL;
		text++;
		len -= 2;
	} else if (memchr(text, ':', len)) {
		return -EINVAL; /* an IPv6 address without brackets */
	}
	if (len >= host_len)
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = 0;
	*port = value;
	return 0;
}

bool address_is_v4(const struct isthmus_addr *address)
{
	return !memcmp(address->b, mapped_prefix, sizeof(mapped_prefix));
}

bool address_equal(const struct isthmus_addr *a, const struct isthmus_addr *b)
{
	return !memcmp(a, b, sizeof(*a));
}

void address_text(const struct isthmus_addr *address, char text[ADDRESS_TEXT_LEN])
{
	if (address_is_v4(address))
		inet_ntop(AF_INET, address->b + 12, text, ADDRESS_TEXT_LEN);
	else
		inet_ntop(AF_INET6, address->b, text, ADDRESS_TEXT_LEN);
}

void address_port_text(const struct isthmus_addr *address, uint16_t port_be,
		       char text[ADDRESS_TEXT_LEN])
{
	char inner[ADDRESS_TEXT_LEN];

	address_text(address, inner);
	/* An IPv6 address has 45 characters at most: 54 with brackets, colon, port and NUL. */
	snprintf(text, ADDRESS_TEXT_LEN, address_is_v4(address) ? "%.45s:%u" : "[%.45s]:%u", inner,
		 ntohs(port_be));
}

socklen_t address_to_sockaddr(const struct isthmus_addr *address, uint16_t port_be,
			      struct sockaddr_storage *storage)
{
	memset(storage, 0, sizeof(*storage));
	if (address_is_v4(address)) {
		struct sockaddr_in *in = (struct sockaddr_in *)storage;

		in->sin_family = AF_INET;
		in->sin_port = port_be;
		memcpy(&in->sin_addr, address->b + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = port_be;
	memcpy(&in6->sin6_addr, address->b, 16);
	return sizeof(*in6);
}

int address_from_sockaddr(const struct sockaddr *sockaddr, struct isthmus_addr *address,
			  uint16_t *port_be)
{
	if (sockaddr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sockaddr;

		memcpy(address->b, mapped_prefix, sizeof(mapped_prefix));
		memcpy(address->b + 12, &in->sin_addr, 4);
		*port_be = in->sin_port;
		return 0;
	}
	if (sockaddr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sockaddr;

		memcpy(address->b, &in6->sin6_addr, 16);
		*port_be = in6->sin6_port;
		return 0;
	}
	return -EAFNOSUPPORT;
}
