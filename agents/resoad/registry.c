// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The file of clients: sections [client NAME]. All of it is checked before any of it is used, so
 * that a reload with a mistake changes nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/address.h"
#include "resoad.h"

#define CLIENTS_MAX 4096
#define SECTION	    "client "

struct entry {
	struct client_conf conf;
	int line; /* of the section, for messages */
	bool one_to_one, mixed, has_ports;
};

struct registry {
	struct entry *entry; /* by name, once all is read */
	unsigned int count;
};

struct reading {
	struct registry *registry;
	const struct settings *settings;
	const char *path;
	FILE *file;
	bool private; /* nobody else may read it: keys may be in it */
	int line, failed_line;
	char what[256];
};

static int fail(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct reading *r, const char *format, ...)
{
	va_list args;

	if (r->failed_line)
		return -EINVAL;
	r->failed_line = r->line;
	va_start(args, format);
	vsnprintf(r->what, sizeof(r->what), format, args);
	va_end(args);
	return -EINVAL;
}

/* ---- values */

static bool name_is_good(const char *name)
{
	size_t len = strlen(name);

	return len && len <= LHP_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
		       len;
}

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
		return fail(r, "key: others may read this file; chmod 600, or use key-file");
	if (read_hex(value, e->conf.identity.key, LHP_KEY_BYTES))
		return fail(r, "key: not %d hexadecimal digits", 2 * LHP_KEY_BYTES);
	e->conf.has_key = true;
	return 0;
}

static int take_key_file(struct reading *r, struct entry *e, const char *value)
{
	struct lhp_identity identity;
	int err = lhp_read_identity(value, &identity);

	if (err == -EPERM)
		return fail(r, "key-file: others may read %.150s; chmod 600", value);
	if (err == -EINVAL)
		return fail(r, "key-file: %.150s is not NAME:KEY", value);
	if (err)
		return fail(r, "key-file: %.150s: %s", value, strerror(-err));
	if (strcmp(identity.name, e->conf.identity.name))
		return fail(r, "key-file: %.120s is of client '%s'", value, identity.name);
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
	return fail(r, "mode: '%.100s' is none of n-to-1, 1-to-1, mixed", value);
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
		return fail(r, "address: '%.100s' is none", value);
	i = address_is_v4(&address) ? 0 : 1;
	if (memcmp(&e->conf.address[i], &(struct isthmus_addr){ 0 }, sizeof(address)))
		return fail(r, "address: a second one of IPv%d", i ? 6 : 4);
	e->conf.address[i] = address;
	return 0;
}

static int take_mac(struct reading *r, struct entry *e, const char *value)
{
	char hex[13];

	if (strlen(value) != 17)
		return fail(r, "mac: '%.100s' is none", value);
	for (int i = 0; i < 6; i++) {
		if (i < 5 && value[3 * i + 2] != ':')
			return fail(r, "mac: '%.100s' is none", value);
		memcpy(hex + 2 * i, value + 3 * i, 2);
	}
	hex[12] = 0;
	if (read_hex(hex, e->conf.mac, 6) || e->conf.mac[0] & 1)
		return fail(r, "mac: '%.100s' is none of one station", value);
	return 0;
}

static int take_ports(struct reading *r, struct entry *e, const char *value)
{
	if (settings_ports(value, &e->conf.port_low, &e->conf.port_high))
		return fail(r, "ports: '%.100s' is not LOW-HIGH, of 1 to 65535", value);
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
			return fail(r, "granted: '%.100s' is no port", word);
		if (e->conf.granted_count == REGISTRY_GRANTED)
			return fail(r, "granted: more than %d ports", REGISTRY_GRANTED);
		e->conf.granted[e->conf.granted_count++] = port;
	}
	return 0;
}

static int take_sockets(struct reading *r, struct entry *e, const char *value)
{
	uint64_t count;

	if (read_number(value, 1000000, &count) || !count)
		return fail(r, "sockets: '%.100s' is not a number from 1 to 1000000", value);
	e->conf.sockets = count;
	return 0;
}

static int take_rate(struct reading *r, struct entry *e, const char *value)
{
	if (read_bytes(value, &e->conf.rate) || (e->conf.rate && e->conf.rate < 1000))
		return fail(r, "rate: '%.100s' is no number of bytes a second, from 1000", value);
	return 0;
}

static int take_bytes(struct reading *r, struct entry *e, const char *value)
{
	if (read_bytes(value, &e->conf.bytes))
		return fail(r, "bytes: '%.100s' is no number of bytes", value);
	return 0;
}

static int take_any_port(struct reading *r, struct entry *e, const char *value)
{
	e->conf.any_port = !strcmp(value, "yes");
	if (e->conf.any_port || !strcmp(value, "no"))
		return 0;
	return fail(r, "any-port: '%.100s' is neither yes nor no", value);
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
		return fail(r, "%s: '%.100s' is not tcp, udp or any, then NETWORK[:PORTS]",
			    allow ? "allow" : "deny", value);
	if (e->conf.rule_count == REGISTRY_RULES)
		return fail(r, "more than %d rules", REGISTRY_RULES);
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

/* ---- sections and lines */

static struct entry *find_entry(const struct registry *registry, const char *name)
{
	for (unsigned int i = 0; i < registry->count; i++)
		if (!strcmp(registry->entry[i].conf.identity.name, name))
			return &registry->entry[i];
	return NULL;
}

/* inih gives the section with each line; a new one is where its name was not the last one's. */
static struct entry *section_entry(struct reading *r, const char *section)
{
	struct registry *registry = r->registry;
	const char *name = section + strlen(SECTION);
	struct entry *e;

	if (strncmp(section, SECTION, strlen(SECTION)) || !name_is_good(name)) {
		fail(r, "[%.100s] is not [client NAME], of letters, digits, _ and -, at most %d",
		     section, LHP_NAME_MAX);
		return NULL;
	}
	e = registry->count ? &registry->entry[registry->count - 1] : NULL;
	if (e && !strcmp(e->conf.identity.name, name))
		return e;
	if (find_entry(registry, name) || registry->count == CLIENTS_MAX) {
		fail(r,
		     registry->count == CLIENTS_MAX ? "more than 4096 clients, at '%s'"
						    : "client '%s' has a second section",
		     name);
		return NULL;
	}
	if (registry->count % 64 == 0) {
		e = realloc(registry->entry, (registry->count + 64) * sizeof(*e));
		if (!e) {
			fail(r, "out of memory");
			return NULL;
		}
		registry->entry = e;
	}
	e = &registry->entry[registry->count++];
	memset(e, 0, sizeof(*e));
	strcpy(e->conf.identity.name, name);
	e->line = r->line;
	e->conf.sockets = r->settings->sockets;
	return e;
}

static int on_value(void *arg, const char *section, const char *name, const char *value)
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
	struct reading *r = arg;
	struct entry *e = section_entry(r, section);

	for (size_t i = 0; e && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(name, keys[i].name))
			return !keys[i].take(r, e, value ? value : "");
	if (e)
		fail(r, "unknown key '%.100s'", name);
	return 0;
}

/* inih would silently split a line that is too long for it. */
static char *read_line(char *text, int size, void *arg)
{
	struct reading *r = arg;
	char *line = fgets(text, size, r->file);

	r->line++;
	if (line && !strchr(line, '\n') && !feof(r->file)) {
		fail(r, "longer than %d bytes", size - 3);
		memcpy(text, "]", 2); /* no INI, so that its number is told */
	}
	return line;
}

/* ---- what concerns several */

static bool is_any(const struct isthmus_addr *address)
{
	static const struct isthmus_addr any;

	return !memcmp(address, &any, sizeof(any));
}

static int check_modes(struct reading *r, struct entry *e)
{
	r->line = e->line;
	if (!e->conf.has_key)
		return fail(r, "client '%s' has neither key nor key-file", e->conf.identity.name);
	for (int i = 0; i < 2; i++)
		e->conf.own[i] = (e->one_to_one || e->mixed) &&
				 (!is_any(&e->conf.address[i]) || (!i && e->conf.dhcp));
	if ((e->one_to_one || e->mixed) && !e->conf.own[0] && !e->conf.own[1])
		return fail(r, "client '%s' is %s and has no address", e->conf.identity.name,
			    e->mixed ? "mixed" : "1-to-1");
	if (e->conf.dhcp && (!e->conf.own[0] || !is_any(&e->conf.address[0])))
		return fail(r,
			    "client '%s': address = dhcp is for 1-to-1 and mixed, instead of an "
			    "IPv4 address",
			    e->conf.identity.name);
	if (e->conf.dhcp && !memcmp(e->conf.mac, "\0\0\0\0\0\0", 6))
		return fail(r, "client '%s': address = dhcp needs a mac", e->conf.identity.name);
	return 0;
}

/* Blocks are given in the file's order: a section at its end changes nobody's. */
static int give_blocks(struct reading *r)
{
	unsigned int next = r->settings->port_low;

	for (unsigned int i = 0; i < r->registry->count; i++) {
		struct entry *e = &r->registry->entry[i];

		if (e->has_ports)
			continue;
		r->line = e->line;
		if (e->one_to_one) { /* all of them are its own; these are the automatic ones */
			e->conf.port_low = 32768;
			e->conf.port_high = 60999;
			continue;
		}
		if (next + r->settings->block - 1 > r->settings->port_high)
			return fail(r, "no block of %u ports is left of port-range for client '%s'",
				    r->settings->block, e->conf.identity.name);
		e->conf.port_low = next;
		next += r->settings->block;
		e->conf.port_high = next - 1;
	}
	return 0;
}

static bool share_address(const struct client_conf *a, const struct client_conf *b)
{
	for (int i = 0; i < 2; i++)
		if (address_equal(&a->address[i], &b->address[i]) &&
		    !(i == 0 && (a->dhcp || b->dhcp)))
			return true;
	return false;
}

static bool holds(const struct client_conf *conf, uint16_t port)
{
	for (unsigned int i = 0; i < conf->granted_count; i++)
		if (conf->granted[i] == port)
			return true;
	return port >= conf->port_low && port <= conf->port_high;
}

static int check_two(struct reading *r, const struct entry *a, const struct entry *b)
{
	const struct client_conf *x = &a->conf, *y = &b->conf;

	r->line = b->line;
	for (int i = 0; i < 2; i++)
		if ((x->own[i] || y->own[i]) && !is_any(&y->address[i]) &&
		    address_equal(&x->address[i], &y->address[i]))
			return fail(r,
				    "clients '%s' and '%s' have one address, and it is not shared",
				    x->identity.name, y->identity.name);
	if (!share_address(x, y))
		return 0;
	if (x->port_low <= y->port_high && y->port_low <= x->port_high)
		return fail(r, "clients '%s' and '%s' have one address and ports that overlap",
			    x->identity.name, y->identity.name);
	for (unsigned int i = 0; i < y->granted_count; i++)
		if (holds(x, y->granted[i]))
			return fail(r, "port %u is of client '%s' and of client '%s'",
				    y->granted[i], x->identity.name, y->identity.name);
	for (unsigned int i = 0; i < x->granted_count; i++)
		if (holds(y, x->granted[i]))
			return fail(r, "port %u is of client '%s' and of client '%s'",
				    x->granted[i], x->identity.name, y->identity.name);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->conf.identity.name, y->conf.identity.name);
}

static int check_all(struct reading *r)
{
	struct registry *registry = r->registry;

	for (unsigned int i = 0; i < registry->count; i++)
		if (check_modes(r, &registry->entry[i]))
			return -EINVAL;
	if (give_blocks(r))
		return -EINVAL;
	for (unsigned int i = 1; i < registry->count; i++)
		for (unsigned int k = 0; k < i; k++)
			if (check_two(r, &registry->entry[k], &registry->entry[i]))
				return -EINVAL;
	if (registry->count)
		qsort(registry->entry, registry->count, sizeof(*registry->entry), by_name);
	return 0;
}

static int read_all(struct reading *r)
{
	struct stat st;
	int line;

	r->private = !fstat(fileno(r->file), &st) && !(st.st_mode & 077);
	line = ini_parse_stream(read_line, r, on_value, r);
	if (line && !r->failed_line) {
		r->line = line;
		return fail(r, "neither [section] nor name = value");
	}
	if (line)
		return -EINVAL;
	return ferror(r->file) ? fail(r, "cannot be read") : check_all(r);
}

struct registry *registry_read(const char *path, const struct settings *settings, char *error,
			       size_t error_len)
{
	struct reading r = { .settings = settings, .path = path };
	int err;

	r.file = fopen(path, "re");
	if (!r.file) {
		snprintf(error, error_len, "%s: %s", path, strerror(errno));
		return NULL;
	}
	r.registry = calloc(1, sizeof(*r.registry));
	err = r.registry ? read_all(&r) : fail(&r, "out of memory");
	fclose(r.file);
	if (!err)
		return r.registry;
	snprintf(error, error_len, "%s:%d: %s", path, r.failed_line, r.what);
	registry_free(r.registry);
	return NULL;
}

void registry_free(struct registry *registry)
{
	if (!registry)
		return;
	if (registry->entry)
		explicit_bzero(registry->entry, registry->count * sizeof(*registry->entry));
	free(registry->entry);
	free(registry);
}

const struct client_conf *registry_find(const struct registry *registry, const char *name)
{
	unsigned int low = 0, high = registry->count;

	while (low < high) {
		unsigned int middle = (low + high) / 2;
		int order = strcmp(registry->entry[middle].conf.identity.name, name);

		if (!order)
			return &registry->entry[middle].conf;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct client_conf *registry_get(const struct registry *registry, unsigned int n)
{
	return n < registry->count ? &registry->entry[n].conf : NULL;
}

/* ---- client add */

static bool file_has(FILE *file, const char *name)
{
	char line[256], section[256];

	snprintf(section, sizeof(section), "[" SECTION "%s]", name);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, section, strlen(section)))
			return true;
	return false;
}

static int append(FILE *file, const struct lhp_identity *identity)
{
	fprintf(file, "\n[" SECTION "%s]\nkey = ", identity->name);
	for (int i = 0; i < LHP_KEY_BYTES; i++)
		fprintf(file, "%02x", identity->key[i]);
	fprintf(file, "\n");
	return fflush(file) || fsync(fileno(file)) ? -errno : 0;
}

int registry_add(const char *path, struct lhp_identity *identity)
{
	struct lhp_identity fresh = *identity;
	struct stat st;
	FILE *file;
	int err, fd;

	if (!name_is_good(fresh.name))
		return -EINVAL;
	if (getrandom(fresh.key, sizeof(fresh.key), 0) != sizeof(fresh.key))
		return -EIO;
	fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	file = fd < 0 ? NULL : fdopen(fd, "a+");
	if (!file) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	if (fstat(fd, &st) || st.st_mode & 077)
		err = -EPERM;
	else
		err = file_has(file, fresh.name) ? -EEXIST : append(file, &fresh);
	fclose(file);
	if (!err)
		*identity = fresh;
	return err;
}
