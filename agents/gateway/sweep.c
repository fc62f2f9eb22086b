// SPDX-License-Identifier: GPL-3.0-or-later
/* Flows that are over make room; so do the ports that masked ones have. */
#include <bpf/bpf.h>
#include <errno.h>
#include <time.h>

#include "gateway.h"

#define STEP_MS	     100
#define PARTS_A_STEP 4
#define PROTO_ICMP   1
#define PROTO_ICMP6  58

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

uint64_t gateway_now_ms(void)
{
	return now_ns() / NS_PER_MS;
}

/* Of an echo, both ports of the mask's key are the identifier that the initiator has chosen. */
static void drop_mask(struct gateway *g, const struct gateway_flow_key *key,
		      const struct gateway_flow *flow)
{
	bool echo = key->proto == PROTO_ICMP || key->proto == PROTO_ICMP6;
	struct gateway_mask_key mask = {
		.initiator = flow->initiator,
		.waypoint = flow->waypoint,
		.initiator_port = flow->initiator_port,
		.waypoint_port = echo ? flow->initiator_port : key->inside_port,
		.proto = key->proto,
	};

	bpf_map_delete_elem(g->map[MAP_MASK], &mask);
}

static bool flow_is_over(const void *key, const void *value, void *arg)
{
	const struct gateway_flow_key *flow_key = key;
	const struct gateway_flow *flow = value;
	struct gateway *g = arg;
	bool over = gateway_flow_ends(flow, flow_key->proto, &g->conf) < now_ns();

	g->flows_counted += !over;
	g->counters.ended += over;
	if (over && flow->mode == GATEWAY_MASKED)
		drop_mask(g, flow_key, flow);
	return over;
}

static bool pair_is_over(const void *key, const void *value, void *arg)
{
	struct gateway *g = arg;

	(void)key;
	return gateway_flow_ends(value, 0, &g->conf) < now_ns();
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
	struct gateway *g = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < PARTS_A_STEP; i++) {
		if (map_sweep_step(g->sweep_flow) == 1) {
			g->flows = g->flows_counted;
			g->flows_counted = 0;
			break;
		}
	}
	map_sweep_step(g->sweep_pair);
}

int sweep_start(struct gateway *g)
{
	const struct timeval often = { .tv_usec = STEP_MS * 1000 };

	g->sweep_flow = map_sweep_new(g->map[MAP_FLOW], sizeof(struct gateway_flow_key),
				      sizeof(struct gateway_flow), flow_is_over, g);
	g->sweep_pair = map_sweep_new(g->map[MAP_PAIR], sizeof(struct gateway_pair_key),
				      sizeof(struct gateway_flow), pair_is_over, g);
	g->sweep = event_new(g->base, -1, EV_PERSIST, on_step, g);
	if (!g->sweep_flow || !g->sweep_pair || !g->sweep || event_add(g->sweep, &often))
		return -ENOMEM;
	return 0;
}

void sweep_free(struct gateway *g)
{
	if (g->sweep)
		event_free(g->sweep);
	map_sweep_free(g->sweep_flow);
	map_sweep_free(g->sweep_pair);
}
