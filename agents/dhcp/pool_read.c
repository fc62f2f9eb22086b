// SPDX-License-Identifier: GPL-3.0-or-later
/* The pools' file: sections [pool LOW-HIGH] and [host NAME], read by inih. */
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"

struct reading {
	struct pools pools;
	char section[128];
	struct pool *pool; /* one of the two, by the section that is read */
	struct pool_host *host;
	char why[192];
};

static int wrong(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The first one is the one to mend. 0 is what inih takes for an error. */
static int wrong(struct reading *r, const char *format, ...)
{
	va_list args;

	if (r->why[0])
		return 0;
	va_start(args, format);
	vsnprintf(r->why, sizeof(r->why), format, args);
	va_end(args);
	return 0;
}

/* ---- values */

static bool number(const char *text, uint32_t low, uint32_t high, uint32_t *value)
{
	unsigned long long parsed;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	parsed = strtoull(text, &end, 10);
	if (*end || parsed < low || parsed > high)
		return false;
	*value = parsed;
	return true;
}

/* "17" or "0-3" */
static bool span(const char *text, uint32_t max, uint32_t *low, uint32_t *high)
{
	char first[12];
	size_t len = strcspn(text, "-");

	if (len >= sizeof(first))
		return false;
	memcpy(first, text, len);
	first[len] = 0;
	if (!number(first, 0, max, low))
		return false;
	if (!text[len])
		*high = *low;
	else if (!number(text + len + 1, *low, max, high))
		return false;
	return true;
}

static bool yes_or_no(const char *text, bool *value)
{
	bool yes = !strcmp(text, "yes");

	if (!yes && strcmp(text, "no"))
		return false;
	*value = yes;
	return true;
}

/* Calls one() for each word between commas and spaces. */
static bool each(const char *text, bool (*one)(const char *word, void *arg), void *arg)
{
	char word[48];

	while (*(text += strspn(text, ", \t"))) {
		size_t len = strcspn(text, ", \t");

		if (len >= sizeof(word))
			return false;
		memcpy(word, text, len);
		word[len] = 0;
		if (!one(word, arg))
			return false;
		text += len;
	}
	return true;
}

static bool one_address(const char *word, void *arg)
{
	struct pool_addresses *list = arg;

	return list->count < POOL_ADDRESSES && pool_parse_ip(word, &list->item[list->count]) &&
	       ++list->count;
}

static bool one_excluded(const char *word, void *arg)
{
	struct pool *pool = arg;
	uint32_t low, high;

	if (!pool->excluded)
		pool->excluded = calloc(1, 65536 / 8);
	if (!pool->excluded || !span(word, 65535, &low, &high))
		return false;
	for (uint32_t i = low; i <= high; i++)
		pool->excluded[i / 8] |= 1 << i % 8;
	return true;
}

static bool one_range(const char *word, void *arg)
{
	struct pool_host *host = arg;
	uint32_t low, high;

	if (host->ranges == DHCP_RANGES || !span(word, 65535, &low, &high) || !low)
		return false;
	host->range[host->ranges].low = low;
	host->range[host->ranges++].high = high;
	return true;
}

/* ---- sections */

static bool pool_number(struct pool *pool, const char *name, const char *value, bool *known)
{
	uint32_t n = 0;
	bool good;

	*known = true;
	if (!strcmp(name, "offset")) {
		good = pool->has_a = number(value, 0, 15, &n);
		pool->a = n;
	} else if (!strcmp(name, "length")) {
		good = pool->has_k = number(value, 0, 16, &n);
		pool->k = n;
	} else if (!strcmp(name, "prefix")) {
		good = number(value, 1, 32, &n);
		pool->prefix = n;
	} else if (!strcmp(name, "lease-time")) {
		good = number(value, 4, 0x7fffffff, &pool->lease_s);
	} else {
		good = *known = false;
	}
	return good;
}

static bool set_pool(struct pool *pool, const char *name, const char *value, bool *known)
{
	bool good = pool_number(pool, name, value, known);

	if (*known)
		return good;
	*known = true;
	if (!strcmp(name, "full"))
		return yes_or_no(value, &pool->full);
	if (!strcmp(name, "well-known"))
		return yes_or_no(value, &pool->well_known);
	if (!strcmp(name, "exclude"))
		return each(value, one_excluded, pool);
	if (!strcmp(name, "router"))
		return each(value, one_address, &pool->router);
	if (!strcmp(name, "dns"))
		return each(value, one_address, &pool->dns);
	if (!strcmp(name, "relay"))
		return each(value, one_address, &pool->relay);
	if (!strcmp(name, "domain"))
		return snprintf(pool->domain, sizeof(pool->domain), "%s", value) <
		       (int)sizeof(pool->domain);
	return *known = false;
}

static bool set_host(struct pool_host *host, const char *name, const char *value, bool *known)
{
	uint32_t n = 0;
	int len;

	*known = true;
	if (!strcmp(name, "mac"))
		return host->has_mac = pool_parse_mac(value, host->mac);
	if (!strcmp(name, "address"))
		return pool_parse_ip(value, &host->address);
	if (!strcmp(name, "ports"))
		return each(value, one_range, host);
	if (!strcmp(name, "psid")) {
		host->has_psid = number(value, 0, 65535, &n);
		host->psid = n;
		return host->has_psid;
	}
	if (!strcmp(name, "client-id")) {
		len = pool_parse_hex(value, host->client, sizeof(host->client));
		host->client_len = len < 0 ? 0 : len;
		return len > 0;
	}
	return *known = false;
}

static int new_pool(struct reading *r, const char *text)
{
	struct pool *grown, *pool;
	char first[16];
	size_t len = strcspn(text, "-");

	grown = r->pools.count < POOL_MAX
			? realloc(r->pools.pool, (r->pools.count + 1) * sizeof(*grown))
			: NULL;
	if (!grown)
		return wrong(r, "more than %d pools", POOL_MAX);
	r->pools.pool = grown;
	pool = memset(&grown[r->pools.count], 0, sizeof(*pool));
	snprintf(first, sizeof(first), "%.*s", (int)len, text);
	if (len >= sizeof(first) || !pool_parse_ip(first, &pool->low) ||
	    !pool_parse_ip(text[len] ? text + len + 1 : first, &pool->high) ||
	    pool->high < pool->low)
		return wrong(r, "'%s' is no ADDRESS or ADDRESS-ADDRESS", text);
	for (unsigned int i = 0; i < r->pools.count; i++)
		if (pool->low <= grown[i].high && pool->high >= grown[i].low)
			return wrong(r, "pool %s overlaps another one", text);
	pool->prefix = 24;
	r->pools.count++;
	r->pool = pool;
	r->host = NULL;
	return 1;
}

static int new_host(struct reading *r, const char *name)
{
	struct pool_host *grown;

	grown = r->pools.hosts < POOL_HOSTS_MAX
			? realloc(r->pools.host, (r->pools.hosts + 1) * sizeof(*grown))
			: NULL;
	if (!grown)
		return wrong(r, "more than %d hosts", POOL_HOSTS_MAX);
	r->pools.host = grown;
	r->host = memset(&grown[r->pools.hosts++], 0, sizeof(*grown));
	snprintf(r->host->name, sizeof(r->host->name), "%s", name);
	r->pool = NULL;
	return 1;
}

static int enter(struct reading *r, const char *section)
{
	snprintf(r->section, sizeof(r->section), "%s", section);
	r->pool = NULL;
	r->host = NULL;
	if (!strncmp(section, "pool ", 5))
		return new_pool(r, section + 5);
	if (!strncmp(section, "host ", 5))
		return new_host(r, section + 5);
	return wrong(r, "[%s] is neither [pool ADDRESS] nor [host NAME]", section);
}

static int on_value(void *arg, const char *section, const char *name, const char *value)
{
	struct reading *r = arg;
	bool good, known = true;

	if (strcmp(section, r->section) && !enter(r, section))
		return 0;
	if (r->pool)
		good = set_pool(r->pool, name, value, &known);
	else if (r->host)
		good = set_host(r->host, name, value, &known);
	else
		return wrong(r, "[%s] is of no use", section);
	if (!known)
		return wrong(r, "[%s] has no '%s'", section, name);
	return good ? 1 : wrong(r, "%s: '%s' is no value for it", name, value);
}

/* ---- when all is read */

static bool finish_pool(struct reading *r, struct pool *pool)
{
	uint64_t units = (uint64_t)pool->high - pool->low + 1;
	char text[16];

	pool_ip_text(pool->low, text);
	if (pool->full && (pool->has_a || pool->has_k || pool->excluded || pool->well_known))
		return wrong(r, "pool %s: a full address has no offset, length or exclude", text);
	if (!pool->full && (!pool->has_a || !pool->has_k || pool->a + pool->k > 16))
		return wrong(r, "pool %s: offset and length are needed, together at most 16", text);
	units <<= pool->full ? 0 : pool->k;
	if (units > POOL_UNITS_MAX)
		return wrong(r, "pool %s: more than %u sets; make several pools", text,
			     POOL_UNITS_MAX);
	pool->units = units;
	pool->reserved = calloc(1, units / 8 + 1);
	pool->lease = calloc(units, sizeof(*pool->lease));
	return (pool->reserved && pool->lease) || wrong(r, "out of memory");
}

static bool finish_host(struct reading *r, const struct pool_host *host)
{
	struct pool *pool;
	struct portset set;
	uint32_t unit;

	if (!host->has_mac && !host->client_len)
		return wrong(r, "host %s: mac or client-id is needed", host->name);
	if (!host->address)
		return !host->has_psid || wrong(r, "host %s: psid without address", host->name);
	pool = pools_find(&r->pools, host->address);
	if (!pool)
		return wrong(r, "host %s: no pool has its address", host->name);
	if (!pool->full && !host->has_psid) /* any set of that address */
		return true;
	set = (struct portset){ pool->a, pool->k, host->psid };
	if (pool->full == host->has_psid || (host->has_psid && !portset_valid(&set)))
		return wrong(r, "host %s: its pool has no such psid", host->name);
	unit = pool_unit(pool, host->address, pool->full ? NULL : &set);
	if (pool->reserved[unit / 8] & 1 << unit % 8)
		return wrong(r, "host %s: another host has the same", host->name);
	pool->reserved[unit / 8] |= 1 << unit % 8;
	return true;
}

static int finish(struct reading *r)
{
	for (unsigned int i = 0; i < r->pools.count; i++)
		if (!finish_pool(r, &r->pools.pool[i]))
			return -EINVAL;
	for (unsigned int i = 0; i < r->pools.hosts; i++)
		if (!finish_host(r, &r->pools.host[i]))
			return -EINVAL;
	if (!r->pools.count)
		wrong(r, "there is no [pool ADDRESS]");
	return r->pools.count ? 0 : -EINVAL;
}

int pools_read(const char *path, struct pools *pools, char *error, size_t error_len)
{
	struct reading r = { 0 };
	FILE *file = fopen(path, "re");
	int line, err;

	if (!file) {
		err = -errno;
		snprintf(error, error_len, "%s: %s", path, strerror(-err));
		return err;
	}
	line = ini_parse_file(file, on_value, &r);
	fclose(file);
	err = line ? -EINVAL : finish(&r);
	if (!err) {
		*pools = r.pools;
		return 0;
	}
	if (line)
		snprintf(error, error_len, "%s:%d: %s", path, line,
			 r.why[0] ? r.why : "not a section and no 'name = value'");
	else
		snprintf(error, error_len, "%s: %s", path, r.why);
	pools_free(&r.pools);
	return err;
}
