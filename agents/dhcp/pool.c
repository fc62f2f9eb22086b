// SPDX-License-Identifier: GPL-3.0-or-later
/* Units of pools, and addresses as text. pool_read.c reads the file. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"

static bool bit(const uint8_t *bits, uint32_t i)
{
	return bits && bits[i / 8] & 1 << i % 8;
}

struct pool *pools_find(const struct pools *pools, uint32_t address)
{
	for (unsigned int i = 0; i < pools->count; i++)
		if (address >= pools->pool[i].low && address <= pools->pool[i].high)
			return &pools->pool[i];
	return NULL;
}

uint32_t pool_unit(const struct pool *pool, uint32_t address, const struct portset *set)
{
	if (address < pool->low || address > pool->high || pool->full != !set)
		return POOL_NO_UNIT;
	if (!set)
		return address - pool->low;
	if (set->a != pool->a || set->k != pool->k)
		return POOL_NO_UNIT;
	return (address - pool->low) << pool->k | set->psid;
}

uint32_t pool_unit_address(const struct pool *pool, uint32_t unit)
{
	return pool->low + (pool->full ? unit : unit >> pool->k);
}

struct portset pool_unit_set(const struct pool *pool, uint32_t unit)
{
	return (struct portset){ pool->a, pool->k, unit & ((1u << pool->k) - 1) };
}

/* RFC 7618, 9: a set with well-known ports is given only where that is configured. */
bool pool_unit_allowed(const struct pool *pool, uint32_t unit)
{
	struct portset set = pool_unit_set(pool, unit);

	if (pool->full)
		return true;
	return !bit(pool->excluded, set.psid) &&
	       (pool->well_known || portset_range_first(&set, 0) >= 1024);
}

bool pool_serves(const struct pool *pool, uint32_t relay)
{
	if (!relay)
		return !pool->relay.count;
	for (unsigned int i = 0; i < pool->relay.count; i++)
		if (pool->relay.item[i] == relay)
			return true;
	return !pool->relay.count && !((pool->low ^ relay) & pool_mask(pool));
}

bool pools_foreign(const struct pools *pools, uint32_t relay, uint32_t address)
{
	bool served = false;

	for (unsigned int i = 0; i < pools->count; i++) {
		const struct pool *pool = &pools->pool[i];

		if (!pool_serves(pool, relay))
			continue;
		if (!((pool->low ^ address) & pool_mask(pool)))
			return false;
		served = true;
	}
	return served;
}

uint32_t pool_mask(const struct pool *pool)
{
	return pool->prefix ? ~0u << (32 - pool->prefix) : 0;
}

const struct pool_host *pools_host(const struct pools *pools, const uint8_t *mac,
				   const uint8_t *client, size_t client_len)
{
	for (unsigned int i = 0; i < pools->hosts; i++) {
		const struct pool_host *host = &pools->host[i];

		if (host->has_mac && memcmp(host->mac, mac, DHCP_MAC))
			continue;
		if (host->client_len &&
		    (host->client_len != client_len || memcmp(host->client, client, client_len)))
			continue;
		return host;
	}
	return NULL;
}

void pools_free(struct pools *pools)
{
	for (unsigned int i = 0; i < pools->count; i++) {
		free(pools->pool[i].excluded);
		free(pools->pool[i].reserved);
		free(pools->pool[i].lease);
	}
	free(pools->pool);
	free(pools->host);
	memset(pools, 0, sizeof(*pools));
}

/* ---- text */

bool pool_parse_ip(const char *text, uint32_t *address)
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) != 1)
		return false;
	*address = ntohl(in.s_addr);
	return true;
}

int pool_parse_hex(const char *text, uint8_t *bytes, size_t max)
{
	size_t count = 0;

	while (*text) {
		char pair[3] = { text[0], text[0] ? text[1] : 0, 0 };

		if (count == max || !isxdigit((unsigned char)pair[0]) ||
		    !isxdigit((unsigned char)pair[1]))
			return -EINVAL;
		bytes[count++] = strtoul(pair, NULL, 16);
		text += 2;
		if (*text == ':' && text[1])
			text++;
	}
	return count ? (int)count : -EINVAL;
}

bool pool_parse_mac(const char *text, uint8_t mac[DHCP_MAC])
{
	uint8_t bytes[DHCP_MAC];

	if (pool_parse_hex(text, bytes, sizeof(bytes)) != DHCP_MAC)
		return false;
	memcpy(mac, bytes, sizeof(bytes));
	return true;
}

char *pool_ip_text(uint32_t address, char text[16])
{
	snprintf(text, 16, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
		 address & 255);
	return text;
}

char *pool_mac_text(const uint8_t mac[DHCP_MAC], char text[18])
{
	snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		 mac[5]);
	return text;
}
