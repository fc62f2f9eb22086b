// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus portarp map`: a shared address and port set inside an IPv6 address (paper V), by the
 * algorithm of MAP (RFC 7597, 5.2 and 6). Pure arithmetic: nothing has to be attached.
 *
 *	|  rule prefix6  |  EA bits: IPv4 suffix, PSID  |  0  |  interface identifier  |
 *	0                n6                           n6+ea   64                     128
 *
 * The interface identifier is 16 bits of zero, the IPv4 address, the PSID in 16 bits.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "portarp.h"

struct rule {
	struct in6_addr prefix6;
	uint32_t prefix4; /* host order */
	unsigned int len6, len4, ea;
	uint8_t a, k;
};

static int parse_prefix(const char *text, int family, void *address, unsigned int max,
			unsigned int *len)
{
	const char *slash = strchr(text, '/');
	char host[64], *end;
	unsigned long number;

	if (!slash || slash - text >= (int)sizeof(host) || !slash[1])
		return -EINVAL;
	memcpy(host, text, slash - text);
	host[slash - text] = 0;
	number = strtoul(slash + 1, &end, 10);
	if (*end || number > max || inet_pton(family, host, address) != 1)
		return -EINVAL;
	*len = number;
	return 0;
}

static int read_rule(const struct portarp_settings *wanted, struct rule *rule)
{
	struct in_addr v4;
	unsigned int suffix;

	if (!wanted->prefix4 || !wanted->prefix6)
		return complain(EXIT_USAGE, "portarp map: --prefix4 and --prefix6 are needed");
	if (parse_prefix(wanted->prefix4, AF_INET, &v4, 32, &rule->len4))
		return complain(EXIT_USAGE, "portarp map: --prefix4 %s: not an IPv4 prefix",
				wanted->prefix4);
	if (parse_prefix(wanted->prefix6, AF_INET6, &rule->prefix6, 64, &rule->len6))
		return complain(EXIT_USAGE,
				"portarp map: --prefix6 %s: not an IPv6 prefix of at most 64 bits",
				wanted->prefix6);
	rule->prefix4 = ntohl(v4.s_addr);
	rule->ea = wanted->ea_len;
	rule->a = wanted->offset;
	suffix = 32 - rule->len4;
	if (rule->ea < suffix || rule->ea - suffix > 16u - rule->a || rule->len6 + rule->ea > 64)
		return complain(EXIT_USAGE,
				"portarp map: --ea-len %u: from %u, the rest of the IPv4 address, "
				"to %u, with the PSID, and no longer than the rest of 64 bits",
				rule->ea, suffix, suffix + 16 - rule->a);
	rule->k = rule->ea - suffix;
	return EXIT_DONE;
}

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

static uint32_t suffix_mask(const struct rule *rule)
{
	return rule->len4 == 32 ? 0 : UINT32_MAX >> rule->len4;
}

static void print_mapping(const struct output *output, const struct rule *rule, uint32_t v4,
			  const struct portset *set, const struct in6_addr *v6)
{
	struct portarp_owner_view view = { .set = *set };
	struct isthmus_addr address;
	__be32 wire = htonl(v4);

	view.address = (struct isthmus_addr){ .b = { [10] = 0xff, [11] = 0xff } };
	memcpy(&view.address.b[12], &wire, 4);
	memcpy(&address, v6, sizeof(address));
	output->start();
	output->address("ipv4", &view.address);
	output->address("ipv6", &address);
	output->number("offset_bits", rule->a);
	output->number("psid_bits", rule->k);
	output->number("psid", set->psid);
	output->number("ports", portset_ports(set));
	output->list_start("ranges");
	for (uint32_t i = 0; i < portset_ranges(set); i++) {
		output->record_start();
		output->number("low", portset_range_first(set, i));
		output->number("high", portset_range_first(set, i) + portset_range_ports(set) - 1);
		output->record_end();
	}
	output->list_end();
}

static int to_v6(const struct output *output, const struct rule *rule, const char *word)
{
	struct portset set = { .a = rule->a, .k = rule->k };
	struct in6_addr v6 = rule->prefix6;
	struct isthmus_addr address;
	uint32_t v4;
	uint16_t port;
	__be32 wire;

	if (portarp_parse_endpoint(word, &address, &port))
		return complain(
			EXIT_USAGE,
			"portarp map %s: ADDRESS:PORT (192.0.2.1:5353) or an IPv6 address is "
			"needed",
			word);
	memcpy(&wire, &address.b[12], 4);
	v4 = ntohl(wire);
	if ((v4 & ~suffix_mask(rule)) != (rule->prefix4 & ~suffix_mask(rule)))
		return complain(EXIT_FAILED, "portarp map %s: the address is not in --prefix4",
				word);
	if (!portset_in_sets(rule->a, port))
		return complain(EXIT_FAILED,
				"portarp map %s: ports below %u are in no set with --offset %u",
				word, 1u << (16 - rule->a), rule->a);
	set.psid = portset_psid(rule->a, rule->k, port);
	put_bits(&v6, rule->len6, rule->ea,
		 (uint64_t)(v4 & suffix_mask(rule)) << rule->k | set.psid);
	put_bits(&v6, rule->len6 + rule->ea, 128 - rule->len6 - rule->ea, 0);
	put_bits(&v6, 80, 32, v4);
	put_bits(&v6, 112, 16, set.psid);
	print_mapping(output, rule, v4, &set, &v6);
	return EXIT_DONE;
}

static int to_v4(const struct output *output, const struct rule *rule, const struct in6_addr *v6,
		 const char *word)
{
	struct portset set = { .a = rule->a, .k = rule->k };
	uint64_t ea = get_bits(v6, rule->len6, rule->ea);
	uint32_t v4 = (rule->prefix4 & ~suffix_mask(rule)) | (uint32_t)(ea >> rule->k);

	if (get_bits(v6, 0, rule->len6) != get_bits(&rule->prefix6, 0, rule->len6))
		return complain(EXIT_FAILED, "portarp map %s: the address is not in --prefix6",
				word);
	set.psid = ea & ((1u << rule->k) - 1);
	print_mapping(output, rule, v4, &set, v6);
	return EXIT_DONE;
}

int portarp_map(const void *arg, const struct output *output)
{
	const struct portarp_settings *wanted = arg;
	struct rule rule = {};
	struct in6_addr v6;
	int code = read_rule(wanted, &rule);

	if (code != EXIT_DONE)
		return code;
	if (inet_pton(AF_INET6, wanted->common.word, &v6) == 1)
		return to_v4(output, &rule, &v6, wanted->common.word);
	return to_v6(output, &rule, wanted->common.word);
}
