// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * How many ports of its sets the host uses, from /proc/net of its namespace. Above a share of them
 * one more set is asked for, under the next IAID; a further set that no socket uses is given back
 * when the others have room for twice what is in use.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../lib/log.h"
#include "host.h"

#define IDLE_TIMES 3 /* looks in a row before a set is given back */

/* ---- counting */

static void note(struct host *host, uint32_t address, uint16_t port, unsigned int protocol)
{
	for (unsigned int i = 0; i < HOST_SETS; i++) {
		const struct dhcp_client *c = &host->set[i];

		if (c->in_use && c->lease.shared && (!address || address == c->lease.address) &&
		    portset_has(&c->lease.set, port))
			host->bits[i].bit[protocol][port / 8] |= 1 << port % 8;
	}
}

/* "0100007F" or 32 digits: words of the machine's byte order. Other IPv6 addresses are not ours. */
static bool parse_address(const char *text, size_t len, uint32_t *address)
{
	uint32_t word[4] = { 0 };

	for (size_t i = 0; i < len / 8 && i < 4; i++) {
		char part[9] = { 0 };

		memcpy(part, text + 8 * i, 8);
		if (sscanf(part, "%8" SCNx32, &word[i]) != 1)
			return false;
	}
	if (len == 8) {
		*address = ntohl(word[0]);
		return true;
	}
	*address = ntohl(word[3]);
	return len == 32 && !word[0] && !word[1] &&
	       (word[2] == htonl(0xffff) || (!word[2] && !word[3]));
}

/* A line: "  0: 0100007F:1F90 00000000:0000 0A …" */
static void read_line(struct host *host, const char *line, unsigned int protocol)
{
	const char *at = strchr(line, ':');
	unsigned int port;
	uint32_t address;
	size_t len;

	if (!at)
		return;
	at += 1 + strspn(at + 1, " ");
	len = strspn(at, "0123456789ABCDEF");
	if (at[len] == ':' && parse_address(at, len, &address) &&
	    sscanf(at + len, ":%4x", &port) == 1 && port)
		note(host, address, port, protocol);
}

void host_use_read(struct host *host, const char *path, unsigned int protocol)
{
	FILE *file = fopen(path, "re");
	char line[512];

	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		read_line(host, line, protocol);
	fclose(file);
}

static uint32_t count_bits(const uint8_t *bytes, size_t len)
{
	uint32_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += __builtin_popcount(bytes[i]);
	return count;
}

static void count(struct host *host)
{
	memset(host->bits, 0, sizeof(host->bits));
	host_use_read(host, "/proc/net/tcp", 0);
	host_use_read(host, "/proc/net/tcp6", 0);
	host_use_read(host, "/proc/net/udp", 1);
	host_use_read(host, "/proc/net/udp6", 1);
	for (unsigned int i = 0; i < HOST_SETS; i++) {
		uint32_t tcp = count_bits(host->bits[i].bit[0], sizeof(host->bits[i].bit[0]));
		uint32_t udp = count_bits(host->bits[i].bit[1], sizeof(host->bits[i].bit[1]));

		host->used[i] = tcp > udp ? tcp : udp;
	}
}

/* ---- deciding */

static void grow(struct host *host)
{
	for (unsigned int i = 1; i < host->settings.sets; i++) {
		struct dhcp_client *c = &host->set[i];

		if (host_set_runs(host, i))
			continue;
		/* One k for all sets of an address (RFC 7597, 5.1). */
		c->size_hint = host->set[0].lease.set.k;
		c->has_lease = false;
		log_info("more than %u %% of the ports are in use: one more set is asked for",
			 host->settings.grow_above);
		host->grown++;
		dhcp_client_start(c, host_now());
		return;
	}
}

static void shrink(struct host *host, unsigned int i)
{
	log_info("set PSID %u is not needed any more and given back", host->set[i].lease.set.psid);
	host->shrunk++;
	host->idle = 0;
	dhcp_client_release(&host->set[i], host_now());
	host_save(host);
}

void host_use_watch(struct host *host)
{
	uint64_t ports = 0, used = 0, spare_ports;
	unsigned int waiting = 0, spare = 0;

	count(host);
	for (unsigned int i = 0; i < HOST_SETS; i++) {
		const struct dhcp_client *c = &host->set[i];

		waiting += host_set_runs(host, i) && !c->in_use;
		if (!c->in_use || !c->lease.shared)
			continue;
		ports += portset_ports(&c->lease.set);
		used += host->used[i];
		if (i && !host->used[i])
			spare = i;
	}
	if (!waiting && ports && used * 100 > ports * host->settings.grow_above)
		grow(host);
	spare_ports = spare ? portset_ports(&host->set[spare].lease.set) : 0;
	if (spare && used * 200 <= (ports - spare_ports) * host->settings.grow_above) {
		if (++host->idle >= IDLE_TIMES)
			shrink(host, spare);
	} else {
		host->idle = 0;
	}
}
