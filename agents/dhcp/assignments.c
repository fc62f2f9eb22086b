// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The log of assignments: who had which ports when (RFC 7422 asks for it where sets are dynamic).
 *
 *	2026-11-27T11:08:22Z assigned 192.0.2.1 a=6 k=8 psid=52 ports=1232-1235,… mac=… client=…
 *seconds=3600
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../lib/log.h"
#include "serve.h"

#define LINE_MAX     8192
#define RANGES_SHOWN 255 /* a = 8; with more the set itself says it */

void assignments_open(struct serve *serve)
{
	const char *path = serve->server.settings.assignments;
	int fd;

	if (!path)
		return;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0) {
		log_error("%s: %m", path);
		return;
	}
	if (serve->assignments >= 0)
		close(serve->assignments);
	serve->assignments = fd;
}

size_t assignments_ranges(const struct portset *set, char *text, size_t len)
{
	uint32_t count = portset_ranges(set), ports = portset_range_ports(set);
	size_t at = 0;

	text[0] = 0;
	if (count > RANGES_SHOWN)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		uint16_t first = portset_range_first(set, i);
		int n = ports == 1 ? snprintf(text + at, len - at, ",%u" + !i, first)
				   : snprintf(text + at, len - at, ",%u-%u" + !i, first,
					      first + ports - 1);

		if (n < 0 || (size_t)n >= len - at)
			break;
		at += n;
	}
	return at;
}

static void hex(const uint8_t *bytes, size_t len, char *text)
{
	for (size_t i = 0; i < len; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
}

static size_t describe(const struct lease *lease, char *line, size_t len)
{
	char ip[16], ranges[4096];
	int n;

	pool_ip_text(lease->address, ip);
	if (lease->pool->full)
		n = snprintf(line, len, "%s full ports=0-65535", ip);
	else if (assignments_ranges(&lease->set, ranges, sizeof(ranges)))
		n = snprintf(line, len, "%s a=%u k=%u psid=%u ports=%s", ip, lease->set.a,
			     lease->set.k, lease->set.psid, ranges);
	else
		n = snprintf(line, len, "%s a=%u k=%u psid=%u", ip, lease->set.a, lease->set.k,
			     lease->set.psid);
	return n < 0 ? 0 : (size_t)n;
}

void assignments_note(struct serve *serve, enum server_change change, const struct lease *lease)
{
	static const char *const words[] = { "assigned", "renewed", "freed" };
	char line[LINE_MAX], what[5000], mac[18], client[2 * POOL_CLIENT_LEN + 1] = "", when[32];
	time_t now = time(NULL);
	struct tm tm;
	int n;

	if (serve->assignments < 0)
		return;
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	describe(lease, what, sizeof(what));
	hex(lease->client.id, lease->client.id_len, client);
	n = snprintf(line, sizeof(line), "%s %s %s mac=%s client=%s seconds=%lld\n", when,
		     words[change], what, pool_mac_text(lease->client.mac, mac), client,
		     change == SERVER_FREED ? (long long)(now - lease->started)
					    : (long long)(lease->expires - now));
	if (n > 0 && write(serve->assignments, line, n) != n)
		log_error("assignments: %m");
}
