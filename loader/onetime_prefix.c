// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "onetime_prefix.h"
#include "options.h"

#define V4_OFFSET 96 /* bits before an IPv4 address */

/* Shorter ones would swallow more than a site has; in longer ones addresses are guessed. */
#define V6_SHORTEST 48
#define V6_LONGEST  126
#define V4_SHORTEST 8
#define V4_LONGEST  31

bool onetime_prefix_is_v4(const struct onetime_prefix *prefix)
{
	return prefix->bits >= V4_OFFSET && address_is_v4(&prefix->addr);
}

unsigned int onetime_prefix_length(const struct onetime_prefix *prefix)
{
	return prefix->bits - (onetime_prefix_is_v4(prefix) ? V4_OFFSET : 0);
}

/* Clears what is behind the prefix; false: it was clear. */
static bool cut(struct onetime_prefix *prefix)
{
	struct onetime_prefix before = *prefix;

	for (unsigned int bit = prefix->bits; bit < 128; bit++)
		prefix->addr.b[bit / 8] &= ~(0x80u >> bit % 8);
	return memcmp(&before, prefix, sizeof(before));
}

bool onetime_prefix_holds(const struct onetime_prefix *prefix, const struct onetime_prefix *inner)
{
	struct onetime_prefix of = { .bits = prefix->bits, .addr = inner->addr };

	if (prefix->bits > inner->bits)
		return false;
	cut(&of);
	return !memcmp(&of.addr, &prefix->addr, sizeof(of.addr));
}

bool onetime_prefix_overlaps(const struct onetime_prefix *one, const struct onetime_prefix *other)
{
	return onetime_prefix_holds(one, other) || onetime_prefix_holds(other, one);
}

void onetime_prefix_of(struct onetime_prefix *prefix, int family, const void *address,
		       unsigned int length)
{
	bool v4 = family == AF_INET;

	*prefix = (struct onetime_prefix){ .bits = length + (v4 ? V4_OFFSET : 0) };
	if (v4)
		memset(prefix->addr.b + 10, 0xff, 2);
	memcpy(prefix->addr.b + (v4 ? 12 : 0), address, v4 ? 4 : 16);
	cut(prefix);
}

void onetime_prefix_text(const struct onetime_prefix *prefix, char text[ONETIME_PREFIX_TEXT])
{
	char address[ADDRESS_TEXT];

	address_text(&prefix->addr, address);
	snprintf(text, ONETIME_PREFIX_TEXT, "%.39s/%u", address, onetime_prefix_length(prefix));
}

/* ---- from an operator */

/* Addresses that are no host's, or not this one's to give: NULL if they are. */
static const char *unfit(const struct onetime_prefix *prefix)
{
	static const struct {
		struct onetime_prefix prefix;
		const char *name;
	} kinds[] = {
		{ { 8, { { 0xff } } }, "multicast addresses" },
		{ { 10, { { 0xfe, 0x80 } } }, "link-local addresses" },
		{ { 80, { {} } }, "the loopback address or one of IPv4" },
		{ { 104, { { [10] = 0xff, 0xff, 127 } } }, "loopback addresses" },
		{ { 112, { { [10] = 0xff, 0xff, 169, 254 } } }, "link-local addresses" },
		{ { 100, { { [10] = 0xff, 0xff, 224 } } }, "multicast addresses" },
		{ { 100, { { [10] = 0xff, 0xff, 240 } } }, "reserved addresses" },
		{ { 104, { { [10] = 0xff, 0xff, 0 } } }, "addresses that no host has" },
	};

	for (size_t i = onetime_prefix_is_v4(prefix) ? 3 : 0; i < sizeof(kinds) / sizeof(*kinds);
	     i++)
		if (onetime_prefix_overlaps(prefix, &kinds[i].prefix))
			return kinds[i].name;
	return NULL;
}

#define REFUSE(...) (snprintf(error, len, __VA_ARGS__), -EINVAL)

static int check(struct onetime_prefix *prefix, const char *text, char *error, size_t len)
{
	bool v4 = onetime_prefix_is_v4(prefix);
	unsigned int shortest = v4 ? V4_SHORTEST : V6_SHORTEST;
	unsigned int longest = v4 ? V4_LONGEST : V6_LONGEST;
	unsigned int length = onetime_prefix_length(prefix);
	char right[ONETIME_PREFIX_TEXT];
	const char *why;

	if (length < shortest || length > longest)
		return REFUSE("%s: an %s pool is /%u to /%u", text, v4 ? "IPv4" : "IPv6", shortest,
			      longest);
	if (cut(prefix)) {
		onetime_prefix_text(prefix, right);
		return REFUSE("%s: bits are set behind the prefix; is %s meant?", text, right);
	}
	why = unfit(prefix);
	return why ? REFUSE("%s: %s cannot be a pool", text, why) : 0;
}

int onetime_prefix_parse(const char *text, struct onetime_prefix *prefix, char *error, size_t len)
{
	struct onetime_prefix parsed = {};
	const char *slash = strchr(text, '/');
	char address[INET6_ADDRSTRLEN];
	unsigned char bytes[16];
	uint32_t length;
	int family, err;

	if (!slash || slash - text >= (ptrdiff_t)sizeof(address) ||
	    options_number(slash + 1, 0, 128, &length))
		return REFUSE("%s: a prefix, as 2001:db8:1::/64, is needed", text);
	memcpy(address, text, slash - text);
	address[slash - text] = 0;
	family = strchr(address, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(family, address, bytes) != 1 || (family == AF_INET && length > 32))
		return REFUSE("%s: a prefix, as 2001:db8:1::/64, is needed", text);
	parsed.bits = length + (family == AF_INET ? V4_OFFSET : 0);
	if (family == AF_INET)
		memset(parsed.addr.b + 10, 0xff, 2);
	memcpy(parsed.addr.b + (family == AF_INET ? 12 : 0), bytes, family == AF_INET ? 4 : 16);
	/* An IPv4 prefix of no bits is a mapped one all the same. */
	err = check(&parsed, text, error, len);
	if (!err)
		*prefix = parsed;
	return err;
}
