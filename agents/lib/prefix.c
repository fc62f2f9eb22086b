// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "prefix.h"

int prefix_parse(const char *text, struct prefix *prefix)
{
	struct isthmus_addr address;
	char copy[64], *slash;
	unsigned int bits, most;
	int end = 0;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	slash = strchr(copy, '/');
	if (slash)
		*slash++ = 0;
	if (address_parse(copy, &address))
		return -EINVAL;
	bits = most = address_is_v4(&address) ? 32 : 128;
	if (slash && (sscanf(slash, "%3u%n", &bits, &end) != 1 || slash[end] || bits > most))
		return -EINVAL;
	prefix->address = address;
	prefix->bits = (uint8_t)(bits + 128 - most);
	return 0;
}

bool prefix_has(const struct prefix *prefix, const struct isthmus_addr *address)
{
	unsigned int bytes = prefix->bits / 8, rest = prefix->bits % 8;

	if (memcmp(address->b, prefix->address.b, bytes))
		return false;
	return !rest || !((address->b[bytes] ^ prefix->address.b[bytes]) >> (8 - rest));
}

void prefix_mask(struct prefix *prefix)
{
	unsigned int bytes = prefix->bits / 8, rest = prefix->bits % 8;

	if (rest)
		prefix->address.b[bytes++] &= (uint8_t)(0xff00 >> rest);
	if (bytes < sizeof(prefix->address.b))
		memset(&prefix->address.b[bytes], 0, sizeof(prefix->address.b) - bytes);
}

bool prefix_any_has(const struct prefix *list, unsigned int count,
		    const struct isthmus_addr *address)
{
	for (unsigned int i = 0; i < count; i++)
		if (prefix_has(&list[i], address))
			return true;
	return false;
}
