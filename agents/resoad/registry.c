// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The file of clients: sections [client NAME]. All of it is checked before any of it is used, so
 * that a reload with a mistake changes nothing.
 */
#include <errno.h>
#include <ini.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../lib/address.h"
#include "registry_file.h"

#define CLIENTS_MAX 4096

int registry_fail(struct reading *r, const char *format, ...)
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

bool registry_name_is_good(const char *name)
{
	size_t len = strlen(name);

	return len && len <= LHP_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
		       len;
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
	const char *name = section + strlen(REGISTRY_SECTION);
	struct entry *e;

	if (strncmp(section, REGISTRY_SECTION, strlen(REGISTRY_SECTION)) ||
	    !registry_name_is_good(name)) {
		registry_fail(
			r, "[%.100s] is not [client NAME], of letters, digits, _ and -, at most %d",
			section, LHP_NAME_MAX);
		return NULL;
	}
	e = registry->count ? &registry->entry[registry->count - 1] : NULL;
	if (e && !strcmp(e->conf.identity.name, name))
		return e;
	if (find_entry(registry, name) || registry->count == CLIENTS_MAX) {
		registry_fail(r,
			      registry->count == CLIENTS_MAX ? "more than 4096 clients, at '%s'"
							     : "client '%s' has a second section",
			      name);
		return NULL;
	}
	if (registry->count % 64 == 0) {
		e = realloc(registry->entry, (registry->count + 64) * sizeof(*e));
		if (!e) {
			registry_fail(r, "out of memory");
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
	struct reading *r = arg;
	struct entry *e = section_entry(r, section);

	return e && !registry_take(r, e, name, value ? value : "");
}

/* inih would silently split a line that is too long for it. */
static char *read_line(char *text, int size, void *arg)
{
	struct reading *r = arg;
	char *line = fgets(text, size, r->file);

	r->line++;
	if (line && !strchr(line, '\n') && !feof(r->file)) {
		registry_fail(r, "longer than %d bytes", size - 3);
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
		return registry_fail(r, "client '%s' has neither key nor key-file",
				     e->conf.identity.name);
	e->conf.alone = e->one_to_one;
	for (int i = 0; i < 2; i++)
		e->conf.own[i] = (e->one_to_one || e->mixed) &&
				 (!is_any(&e->conf.address[i]) || (!i && e->conf.dhcp));
	if ((e->one_to_one || e->mixed) && !e->conf.own[0] && !e->conf.own[1])
		return registry_fail(r, "client '%s' is %s and has no address",
				     e->conf.identity.name, e->mixed ? "mixed" : "1-to-1");
	if (e->conf.dhcp && (!e->conf.own[0] || !is_any(&e->conf.address[0])))
		return registry_fail(
			r,
			"client '%s': address = dhcp is for 1-to-1 and mixed, instead of an "
			"IPv4 address",
			e->conf.identity.name);
	if (e->conf.dhcp && !memcmp(e->conf.mac, "\0\0\0\0\0\0", 6))
		return registry_fail(r, "client '%s': address = dhcp needs a mac",
				     e->conf.identity.name);
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
			return registry_fail(
				r, "no block of %u ports is left of port-range for client '%s'",
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
		if (client_shares(a, i) && client_shares(b, i) &&
		    address_equal(&a->address[i], &b->address[i]))
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
	if (x->dhcp && y->dhcp && !memcmp(x->mac, y->mac, sizeof(x->mac)))
		return registry_fail(r, "clients '%s' and '%s' have one mac", x->identity.name,
				     y->identity.name);
	for (int i = 0; i < 2; i++)
		if ((x->own[i] || y->own[i]) && !is_any(&y->address[i]) &&
		    address_equal(&x->address[i], &y->address[i]))
			return registry_fail(
				r, "clients '%s' and '%s' have one address, and it is not shared",
				x->identity.name, y->identity.name);
	if (!share_address(x, y))
		return 0;
	if (x->port_low <= y->port_high && y->port_low <= x->port_high)
		return registry_fail(
			r, "clients '%s' and '%s' have one address and ports that overlap",
			x->identity.name, y->identity.name);
	for (unsigned int i = 0; i < y->granted_count; i++)
		if (holds(x, y->granted[i]))
			return registry_fail(r, "port %u is of client '%s' and of client '%s'",
					     y->granted[i], x->identity.name, y->identity.name);
	for (unsigned int i = 0; i < x->granted_count; i++)
		if (holds(y, x->granted[i]))
			return registry_fail(r, "port %u is of client '%s' and of client '%s'",
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
		return registry_fail(r, "neither [section] nor name = value");
	}
	if (line)
		return -EINVAL;
	return ferror(r->file) ? registry_fail(r, "cannot be read") : check_all(r);
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
	err = r.registry ? read_all(&r) : registry_fail(&r, "out of memory");
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
