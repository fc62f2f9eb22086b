// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus portarp map`: a shared address and port set inside an IPv6 address (paper V), by the
 * algorithm of MAP (RFC 7597, 5.2 and 6). Pure arithmetic: nothing has to be attached.
 *
 *	|  rule prefix6  |  EA bits: IPv4 suffix, PSID  |  0  |  interface identifier  |
 *	0                n6                           n6+ea   64                     128
 *
 * The interface identifier is 16 bits of zero, the IPv4 address, the PSID in 16 bits; a longer
 * prefix covers its first bits.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "portarp.h"

#define IID_V4	 80 /* bits before the IPv4 address, and before the PSID */
#define IID_PSID 112

struct rule {
	struct in6_addr prefix6;
	uint32_t prefix4; /* host order */
	unsigned int len6, len4, ea;
	unsigned int suffix; /* bits of the IPv4 address that are embedded */
	uint8_t a, k;
	bool k_embedded; /* the PSID is among the EA bits; else only in the interface identifier */
};

/* What is mapped: an address, or with few EA bits a prefix, and a port set. */
struct mapping {
	uint32_t v4; /* host order */
	struct portset set;
	struct in6_addr v6;
};

static int parse_prefix(const char *text, int family, void *address, uint32_t max,
			unsigned int *len)
{
	const char *slash = strchr(text, '/');
	uint32_t number;
	char host[64];

	if (!slash || slash - text >= (int)sizeof(host))
		return -EINVAL;
	memcpy(host, text, slash - text);
	host[slash - text] = 0;
	if (options_number(slash + 1, 0, max, &number) || inet_pton(family, host, address) != 1)
		return -EINVAL;
	*len = number;
	return 0;
}

static int read_prefixes(const struct portarp_settings *wanted, struct rule *rule)
{
	struct in_addr v4;

	if (!wanted->prefix4 || !wanted->prefix6)
		return complain(EXIT_USAGE, "portarp map: --prefix4 and --prefix6 are needed");
	if (parse_prefix(wanted->prefix4, AF_INET, &v4, 32, &rule->len4))
		return complain(EXIT_USAGE,
				"portarp map: --prefix4 %s: not an IPv4 prefix, as 192.0.2.0/24",
				wanted->prefix4);
	if (parse_prefix(wanted->prefix6, AF_INET6, &rule->prefix6, 128, &rule->len6))
		return complain(EXIT_USAGE,
				"portarp map: --prefix6 %s: not an IPv6 prefix, as 2001:db8::/40",
				wanted->prefix6);
	rule->prefix4 = ntohl(v4.s_addr);
	return EXIT_DONE;
}

/* RFC 7597, 5.2: EA bits beyond the IPv4 address are the PSID; without EA bits it is told. */
static int read_bits(const struct portarp_settings *wanted, struct rule *rule)
{
	bool told = wanted->length != PORTARP_LENGTH_NONE;
	unsigned int room = 32 - rule->len4, derived;

	rule->ea = wanted->ea_len;
	rule->a = wanted->offset;
	rule->suffix = rule->ea < room ? rule->ea : room;
	derived = rule->ea - rule->suffix;
	if (rule->len6 + rule->ea > 128)
		return complain(EXIT_USAGE,
				"portarp map: --ea-len %u: with --prefix6 of %u bits, at most %u",
				rule->ea, rule->len6, 128 - rule->len6);
	if (told && rule->ea && wanted->length != derived)
		return complain(EXIT_USAGE,
				"portarp map: --length %u: --ea-len %u and --prefix4 make it %u",
				wanted->length, rule->ea, derived);
	if (told && wanted->length && !rule->ea && room)
		return complain(EXIT_USAGE,
				"portarp map: --length %u: without EA bits --prefix4 must be a "
				"whole address, of 32 bits",
				wanted->length);
	rule->k_embedded = derived;
	rule->k = told ? wanted->length : derived;
	if (rule->k > 16 - rule->a)
		return complain(EXIT_USAGE,
				"portarp map: --offset %u and a PSID of %u bits are more than the "
				"16 of a port",
				rule->a, rule->k);
	if (!rule->k)
		rule->a = 0; /* not shared: all ports */
	return EXIT_DONE;
}

/* ---- bits */

/* Bits [first, first + count) of an address, most significant first. */
static uint64_t get_bits(const struct in6_addr *address, unsigned int first, unsigned int count)
{
	uint64_t value = 0;

	for (unsigned int i = first; i < first + count; i++)
		value = value << 1 | (address->s6_addr[i / 8] >> (7 - i % 8) & 1);
	return value;
}

static void put_bits(struct in6_addr *address, unsigned int first, unsigned int count,
		     uint64_t value)
{
	for (unsigned int i = 0; i < count; i++) {
		unsigned int at = first + i;

		address->s6_addr[at / 8] &= ~(0x80 >> at % 8);
		if (value >> (count - 1 - i) & 1)
			address->s6_addr[at / 8] |= 0x80 >> at % 8;
	}
}

static void copy_bits(struct in6_addr *to, const struct in6_addr *from, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		put_bits(to, i, 1, get_bits(from, i, 1));
}

static bool same_bits(const struct in6_addr *one, const struct in6_addr *other, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (get_bits(one, i, 1) != get_bits(other, i, 1))
			return false;
	return true;
}

/* The `bits` of an IPv4 address from the most significant on. */
static uint32_t v4_mask(unsigned int bits)
{
	return bits ? UINT32_MAX << (32 - bits) : 0;
}

/* The embedded bits of an address: those between the rule's prefix and what belongs to hosts. */
static uint32_t v4_suffix(const struct rule *rule, uint32_t v4)
{
	unsigned int below = 32 - rule->len4 - rule->suffix;

	return below == 32 ? 0 : (v4 & ~v4_mask(rule->len4)) >> below;
}

/* ---- the two ways */

/* Address and PSID are set; the IPv6 address becomes theirs. */
static void make_v6(const struct rule *rule, struct mapping *mapping)
{
	struct in6_addr v6 = {};

	put_bits(&v6, IID_V4, 32, mapping->v4);
	put_bits(&v6, IID_PSID, 16, mapping->set.psid);
	copy_bits(&v6, &rule->prefix6, rule->len6);
	put_bits(&v6, rule->len6, rule->suffix, v4_suffix(rule, mapping->v4));
	if (rule->k_embedded)
		put_bits(&v6, rule->len6 + rule->suffix, rule->k, mapping->set.psid);
	mapping->v6 = v6;
}

static int parse_v4(const struct rule *rule, const char *word, uint32_t *v4, uint16_t *port)
{
	struct isthmus_addr address;
	__be32 wire;

	*port = 0;
	if (portarp_parse_endpoint(word, &address, port) &&
	    (rule->k || address_parse(word, &address) || !address_is_v4(&address)))
		return complain(
			EXIT_USAGE,
			"portarp map %s: ADDRESS:PORT, as 192.0.2.18:1232, or an IPv6 address is "
			"needed",
			word);
	memcpy(&wire, &address.b[12], 4);
	*v4 = ntohl(wire);
	return EXIT_DONE;
}

static int from_v4(const struct rule *rule, const char *word, struct mapping *mapping)
{
	uint16_t port;
	uint32_t v4 = 0;
	int code = parse_v4(rule, word, &v4, &port);

	if (code != EXIT_DONE)
		return code;
	if ((v4 ^ rule->prefix4) & v4_mask(rule->len4))
		return complain(EXIT_FAILED, "portarp map %s: the address is not in --prefix4",
				word);
	if (!portset_in_sets(rule->a, port))
		return complain(EXIT_FAILED,
				"portarp map %s: ports below %u are in no set with --offset %u",
				word, 1u << (16 - rule->a), rule->a);
	mapping->v4 = v4 & v4_mask(rule->len4 + rule->suffix);
	mapping->set = (struct portset){
		.a = rule->a,
		.k = rule->k,
		.psid = portset_psid(rule->a, rule->k, port),
	};
	make_v6(rule, mapping);
	return EXIT_DONE;
}

/* Either the whole address, or a prefix that ends with the EA bits. */
static int check_rest(const struct rule *rule, const struct in6_addr *v6, const char *word,
		      const struct mapping *mapping)
{
	static const struct in6_addr zero;
	struct in6_addr prefix = *v6;
	char right[INET6_ADDRSTRLEN];

	copy_bits(&prefix, &zero, rule->len6 + rule->ea);
	if (!memcmp(v6, &mapping->v6, sizeof(*v6)) ||
	    ((rule->k_embedded || !rule->k) && !memcmp(&prefix, &zero, sizeof(zero))))
		return EXIT_DONE;
	inet_ntop(AF_INET6, &mapping->v6, right, sizeof(right));
	return complain(EXIT_FAILED,
			"portarp map %s: its last bits are not those of its address and port set; "
			"%s would be right",
			word, right);
}

static int from_v6(const struct rule *rule, const struct in6_addr *v6, const char *word,
		   struct mapping *mapping)
{
	unsigned int psid_at = rule->k_embedded ? rule->len6 + rule->suffix : 128u - rule->k;
	uint32_t suffix = get_bits(v6, rule->len6, rule->suffix);
	unsigned int below = 32 - rule->len4 - rule->suffix;

	if (!same_bits(v6, &rule->prefix6, rule->len6))
		return complain(EXIT_FAILED, "portarp map %s: the address is not in --prefix6",
				word);
	mapping->v4 = rule->prefix4 & v4_mask(rule->len4);
	if (rule->suffix)
		mapping->v4 |= suffix << below;
	mapping->set = (struct portset){
		.a = rule->a,
		.k = rule->k,
		.psid = get_bits(v6, psid_at, rule->k),
	};
	make_v6(rule, mapping);
	return check_rest(rule, v6, word, mapping);
}

/* ---- the verb */

static void print_mapping(const struct output *output, const struct rule *rule,
			  const struct mapping *mapping)
{
	const struct portset *set = &mapping->set;
	struct isthmus_addr v4, v6;

	portarp_address(htonl(mapping->v4), &v4);
	memcpy(&v6, &mapping->v6, sizeof(v6));
	output->start();
	output->address("ipv4", &v4);
	output->number("ipv4_bits", rule->len4 + rule->suffix);
	output->address("ipv6", &v6);
	output->number("offset_bits", rule->a);
	output->number("psid_bits", rule->k);
	output->number("psid", set->psid);
	output->number("count", portset_ports(set));
	output->list_start("ranges");
	for (uint32_t i = 0; i < portset_ranges(set); i++) {
		output->record_start();
		output->number("low", portset_range_first(set, i));
		output->number("high", portset_range_first(set, i) + portset_range_ports(set) - 1);
		output->record_end();
	}
	output->list_end();
}

int portarp_map(const void *arg, const struct output *output)
{
	const struct portarp_settings *wanted = arg;
	const char *word = wanted->common.words.item[0];
	struct mapping mapping;
	struct rule rule = {};
	struct in6_addr v6;
	int code = read_prefixes(wanted, &rule);

	if (code == EXIT_DONE)
		code = read_bits(wanted, &rule);
	if (code != EXIT_DONE)
		return code;
	if (inet_pton(AF_INET6, word, &v6) == 1)
		code = from_v6(&rule, &v6, word, &mapping);
	else
		code = from_v4(&rule, word, &mapping);
	if (code == EXIT_DONE)
		print_mapping(output, &rule, &mapping);
	return code;
}
