// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

#define NS_PER_S     1000000000ULL
#define LIFETIME_MAX 65535

static int add_range(struct portarp_mine *mine, uint16_t low, uint16_t high)
{
	if (mine->ranges == PORTARP_RANGES)
		return -ENOSPC;
	mine->range[mine->ranges].low = low;
	mine->range[mine->ranges++].high = high;
	return 0;
}

static int add_ports(struct portarp_mine *mine, const struct ports *ports)
{
	const struct portset *set = &ports->set;

	if (ports->range)
		return add_range(mine, ports->low, ports->high);
	if (!mine->sets) {
		mine->set = *set;
	} else {
		if (set->a != mine->set.a || set->k != mine->set.k)
			return -EINVAL;
		if (mine->sets == PORTARP_SETS)
			return -ENOSPC;
		mine->further[mine->sets - 1] = set->psid;
	}
	mine->sets++;
	return 0;
}

int mine_build(const struct own_part *part, unsigned int parts, int64_t now_s, uint64_t now_ns,
	       struct portarp_mine *mine)
{
	struct portarp_mine built = { .ifindex = mine->ifindex };
	int64_t first = 0, last = 0;
	bool for_ever = false;
	int err = 0;

	for (unsigned int i = 0; !err && i < parts; i++) {
		int64_t left = part[i].ends_s ? part[i].ends_s - now_s : 0;

		err = add_ports(&built, &part[i].ports);
		for_ever |= !part[i].ends_s;
		if (part[i].ends_s && (!first || left < first))
			first = left > 0 ? left : 1;
		if (left > last)
			last = left;
	}
	if (err)
		return err;
	built.lifetime_s = first > LIFETIME_MAX ? LIFETIME_MAX : first;
	/* Parts end one by one at the agent's hand; this is for when there is no agent. */
	built.expires_ns = for_ever ? 0 : now_ns + (last > 0 ? last : 1) * NS_PER_S;
	*mine = built;
	return 0;
}

bool mine_has_port(const struct portarp_mine *mine, uint16_t port)
{
	for (unsigned int i = 0; i < mine->sets; i++) {
		struct portset set = portarp_mine_set(mine, i);

		if (portset_has(&set, port))
			return true;
	}
	for (int i = 0; i < mine->ranges; i++)
		if (port >= mine->range[i].low && port <= mine->range[i].high)
			return true;
	return false;
}

/* ---- automatic ports */

static void reserve_kept(const char *kept, bool *reserved)
{
	while (*kept) {
		char *end;
		unsigned long low = strtoul(kept, &end, 10), high = low;

		if (end == kept)
			return;
		if (*end == '-')
			high = strtoul(end + 1, &end, 10);
		for (; low <= high && low < 65536; low++)
			reserved[low] = true;
		kept = *end == ',' ? end + 1 : end;
	}
}

static int write_reserved(const bool *reserved, char *text, size_t len)
{
	size_t used = 0;

	text[0] = 0;
	for (uint32_t port = 0; port < 65536; port++) {
		uint32_t low = port;

		if (!reserved[port])
			continue;
		while (port < 65535 && reserved[port + 1])
			port++;
		used += snprintf(text + used, len - used, low == port ? "%s%u" : "%s%u-%u",
				 used ? "," : "", low, port);
		if (used >= len)
			return -ENOSPC;
	}
	return 0;
}

int mine_automatic(const bool *has, uint16_t least, const char *kept, char range[16],
		   char *reserved, size_t reserved_len)
{
	bool *taken = calloc(65536, sizeof(*taken));
	uint32_t low = 65536, high = 0;
	int err;

	if (!taken)
		return -ENOMEM;
	for (uint32_t port = least; port < 65536; port++) {
		if (!has[port])
			continue;
		low = port < low ? port : low;
		high = port;
	}
	for (uint32_t port = low; port <= high; port++)
		taken[port] = !has[port];
	reserve_kept(kept, taken);
	err = low > high ? -ENOENT : write_reserved(taken, reserved, reserved_len);
	free(taken);
	if (err)
		return err;
	snprintf(range, 16, "%u %u", low, high);
	return 0;
}
