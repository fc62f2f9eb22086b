// SPDX-License-Identifier: GPL-3.0-or-later
/* What a line of a section [client NAME] may say. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "registry_file.h"

/* ---- values */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int read_hex(const char *text, uint8_t *bytes, size_t len)
{
	if (strlen(text) != 2 * len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		bytes[i] = high << 4 | low;
	}
	return 0;
}

static int read_number(const char *text, uint64_t max, uint64_t *value)
{
	unsigned long long parsed;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	parsed = strtoull(text, &end, 10);
	if (errno || *end || parsed > max)
		return -EINVAL;
	*value = parsed;
	return 0;
}

/* Numbers of bytes may end with k, M or G, of 1000. */
static int read_bytes(const char *text, uint64_t *value)
{
	static const struct {
		char suffix;
		uint64_t unit;
	} units[] = { { 'k', 1000 }, { 'M', 1000000 }, { 'G', 1000000000 } };
	char digits[32];
	size_t len = strlen(text);
	uint64_t unit = 1;

	if (!len || len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len + 1);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (text[len - 1] == units[i].suffix) {
			unit = units[i].unit;
			digits[len - 1] = 0;
		}
	if (read_number(digits, UINT64_MAX / unit, value))
		return -EINVAL;
	*value *= unit;
	return 0;
}

/* ---- keys */

static int take_key(struct reading *r, struct entry *e, const char *value)
{
	if (!r->private)
		return registry_fail(r,
				     "key: others may read this file; chmod 600, or use key-file");
	if (read_hex(value, e->conf.identity.key, LHP_KEY_BYTES))
		return registry_fail(r, "key: not %d hexadecimal digits", 2 * LHP_KEY_BYTES);
	e->conf.has_key = true;
	return 0;
}

static int take_key_file(struct reading *r, struct entry *e, const char *value)
{
	struct lhp_identity identity;
	int err = lhp_read_identity(value, &identity);

	if (err == -EPERM)
		return registry_fail(r, "key-file: others may read %.150s; chmod 600", value);
	if (err == -EINVAL)
		return registry_fail(r, "key-file: %.150s is not NAME:KEY", value);
	if (err)
		return registry_fail(r, "key-file: %.150s: %s", value, strerror(-err));
	if (strcmp(identity.name, e->conf.identity.name))
		return registry_fail(r, "key-file: %.120s is of client '%s'", value, identity.name);
	e->conf.identity = identity;
	e->conf.has_key = true;
	explicit_bzero(&identity, sizeof(identity));
	return 0;
}

static int take_mode(struct reading *r, struct entry *e, const char *value)
{
	e->one_to_one = !strcmp(value, "1-to-1");
	e->mixed = !strcmp(value, "mixed");
	if (e->one_to_one || e->mixed || !strcmp(value, "n-to-1"))
		return 0;
	return registry_fail(r, "mode: '%.100s' is none of n-to-1, 1-to-1, mixed", value);
}

static int take_address(struct reading *r, struct entry *e, const char *value)
{
	struct isthmus_addr address;
	int i;

	if (!strcmp(value, "dhcp")) {
		e->conf.dhcp = true;
		return 0;
	}
	if (address_parse(value, &address))
		return registry_fail(r, "address: '%.100s' is none", value);
	i = address_is_v4(&address) ? 0 : 1;
	if (memcmp(&e->conf.address[i], &(struct isthmus_addr){ 0 }, sizeof(address)))
		return registry_fail(r, "address: a second one of IPv%d", i ? 6 : 4);
	e->conf.address[i] = address;
	return 0;
}

static int take_mac(struct reading *r, struct entry *e, const char *value)
{
	char hex[13];

	if (strlen(value) != 17)
		return registry_fail(r, "mac: '%.100s' is none", value);
	for (int i = 0; i < 6; i++) {
		if (i < 5 && value[3 * i + 2] != ':')
			return registry_fail(r, "mac: '%.100s' is none", value);
		memcpy(hex + 2 * i, value + 3 * i, 2);
	}
	hex[12] = 0;
	if (read_hex(hex, e->conf.mac, 6) || e->conf.mac[0] & 1)
		return registry_fail(r, "mac: '%.100s' is none of one station", value);
	return 0;
}

static int take_ports(struct reading *r, struct entry *e, const char *value)
{
	if (settings_ports(value, &e->conf.port_low, &e->conf.port_high))
		return registry_fail(r, "ports: '%.100s' is not LOW-HIGH, of 1 to 65535", value);
	e->has_ports = true;
	return 0;
}

static int take_granted(struct reading *r, struct entry *e, const char *value)
{
	char copy[256], *save = NULL, *word;
	uint64_t port;

	snprintf(copy, sizeof(copy), "%s", value);
	for (word = strtok_r(copy, ", \t", &save); word; word = strtok_r(NULL, ", \t", &save)) {
		if (read_number(word, 65535, &port) || !port)
			return registry_fail(r, "granted: '%.100s' is no port", word);
		if (e->conf.granted_count == REGISTRY_GRANTED)
			return registry_fail(r, "granted: more than %d ports", REGISTRY_GRANTED);
		e->conf.granted[e->conf.granted_count++] = port;
	}
	return 0;
}

static int take_sockets(struct reading *r, struct entry *e, const char *value)
{
	uint64_t count;

	if (read_number(value, 1000000, &count) || !count)
		return registry_fail(r, "sockets: '%.100s' is not a number from 1 to 1000000",
				     value);
	e->conf.sockets = count;
	return 0;
}

static int take_rate(struct reading *r, struct entry *e, const char *value)
{
	if (read_bytes(value, &e->conf.rate) || (e->conf.rate && e->conf.rate < 1000))
		return registry_fail(r, "rate: '%.100s' is no number of bytes a second, from 1000",
				     value);
	return 0;
}

static int take_bytes(struct reading *r, struct entry *e, const char *value)
{
	if (read_bytes(value, &e->conf.bytes))
		return registry_fail(r, "bytes: '%.100s' is no number of bytes", value);
	return 0;
}

static int take_any_port(struct reading *r, struct entry *e, const char *value)
{
	e->conf.any_port = !strcmp(value, "yes");
	if (e->conf.any_port || !strcmp(value, "no"))
		return 0;
	return registry_fail(r, "any-port: '%.100s' is neither yes nor no", value);
}

/* The `:PORTS` of a rule, cut off; an IPv6 network is in brackets if ports follow. */
static int cut_ports(char *text, struct rule *rule)
{
	char *colon = strrchr(text, ':'), *bracket = strchr(text, ']');

	rule->low = 0;
	rule->high = 65535;
	if (text[0] == '[') {
		if (!bracket || (bracket[1] && bracket[1] != ':'))
			return -EINVAL;
		colon = bracket[1] ? bracket + 1 : NULL;
	} else if (colon && strchr(text, ':') != colon) {
		colon = NULL; /* an IPv6 network without ports */
	}
	if (colon && settings_ports(colon + 1, &rule->low, &rule->high))
		return -EINVAL;
	if (colon)
		*colon = 0;
	if (text[0] == '[') {
		*bracket = 0;
		memmove(text, text + 1, strlen(text));
	}
	return 0;
}

/* "tcp 10.0.0.0/8:1-1023", "udp [2001:db8::/32]:53", "any 192.0.2.1", "tcp any:25" */
static int read_rule(const char *value, struct rule *rule)
{
	char proto[8], to[96];
	int end = 0;

	if (sscanf(value, "%7s %95s%n", proto, to, &end) != 2 || value[end])
		return -EINVAL;
	if (strcmp(proto, "tcp") && strcmp(proto, "udp") && strcmp(proto, "any"))
		return -EINVAL;
	rule->proto = proto[0] == 't' ? IPPROTO_TCP : proto[0] == 'u' ? IPPROTO_UDP : 0;
	if (cut_ports(to, rule))
		return -EINVAL;
	rule->to = (struct prefix){ 0 }; /* any */
	return strcmp(to, "any") ? prefix_parse(to, &rule->to) : 0;
}

static int take_rule(struct reading *r, struct entry *e, const char *value, bool allow)
{
	struct rule rule = { .allow = allow };

	if (read_rule(value, &rule))
		return registry_fail(r, "%s: '%.100s' is not tcp, udp or any, then NETWORK[:PORTS]",
				     allow ? "allow" : "deny", value);
	if (e->conf.rule_count == REGISTRY_RULES)
		return registry_fail(r, "more than %d rules", REGISTRY_RULES);
	e->conf.rules[e->conf.rule_count++] = rule;
	return 0;
}

static int take_allow(struct reading *r, struct entry *e, const char *value)
{
	return take_rule(r, e, value, true);
}

static int take_deny(struct reading *r, struct entry *e, const char *value)
{
	return take_rule(r, e, value, false);
}

int registry_take(struct reading *r, struct entry *e, const char *key, const char *value)
{
	static const struct {
		const char *name;
		int (*take)(struct reading *r, struct entry *e, const char *value);
	} keys[] = {
		{ "key", take_key },	       { "key-file", take_key_file },
		{ "mode", take_mode },	       { "address", take_address },
		{ "mac", take_mac },	       { "ports", take_ports },
		{ "granted", take_granted },   { "sockets", take_sockets },
		{ "rate", take_rate },	       { "bytes", take_bytes },
		{ "allow", take_allow },       { "deny", take_deny },
		{ "any-port", take_any_port },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(key, keys[i].name))
			return keys[i].take(r, e, value);
	return registry_fail(r, "unknown key '%.100s'", key);
}
