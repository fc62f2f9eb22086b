// SPDX-License-Identifier: GPL-3.0-or-later
/* How many wait states are asked for (AVES 6.2): limit.h, with a responder's rate. */
#include <stdlib.h>

#include "bind.h"
#include "limit.h"

#define SCARCE_MS 50 /* for so long what was found is not looked for again */

static const struct limit_rates rates = {
	.thing = 50, .thing_burst = 100, .network = 5, .network_burst = 10
};

struct bind_limits {
	struct limits *limits;
	bool scarce;
	uint64_t scarce_at_ms;
};

struct bind_limits *bind_limits_new(void)
{
	struct bind_limits *limits = calloc(1, sizeof(*limits));

	if (limits)
		limits->limits = limits_new(&rates);
	if (limits && limits->limits)
		return limits;
	free(limits);
	return NULL;
}

void bind_limits_free(struct bind_limits *limits)
{
	if (limits)
		limits_free(limits->limits);
	free(limits);
}

/* At least half of the addresses wait for somebody. */
static bool count_scarce(const struct members *members, uint64_t now)
{
	unsigned int busy = 0, all = 0;

	for (unsigned int i = 0; i < members->waypoint_count; i++) {
		const struct waypoint *waypoint = members->waypoint[i];

		all += waypoint->address_count;
		for (unsigned int n = 0; n < waypoint->address_count; n++)
			for (int place = 0; place < ADDRESS_WAITS; place++)
				if (waypoint->address[n].busy[place].until_ms > now) {
					busy++;
					break;
				}
	}
	return all && busy * 2 >= all;
}

/* There may be 65,536 addresses: they are not counted for each question. */
static bool is_scarce(struct bind_limits *limits, const struct members *members, uint64_t now)
{
	if (now - limits->scarce_at_ms >= SCARCE_MS) {
		limits->scarce = count_scarce(members, now);
		limits->scarce_at_ms = now;
	}
	return limits->scarce;
}

enum bind_verdict bind_limits_check(struct bind_limits *limits, const struct members *members,
				    const struct wanted *wanted, bool proven)
{
	/* A wait state is for who can be answered: not for a forged address, when they are few. */
	if (!proven && is_scarce(limits, members, wanted->now_ms))
		return BIND_PROVE;
	switch (limits_take(limits->limits, wanted->name_hash, &wanted->client, proven,
			    wanted->now_ms)) {
	case LIMIT_GO:
		return BIND_GO;
	case LIMIT_PROVE:
		return BIND_PROVE_LIMITED;
	default:
		return BIND_LIMITED;
	}
}
