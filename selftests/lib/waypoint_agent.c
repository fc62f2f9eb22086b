// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tunnel_maps.h"
#include "waypoint_agent.h"

static const struct tunnel_map maps[] = {
	{ "waypoint_conf", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct waypoint_conf), 1 },
	{ "waypoint_addr", BPF_MAP_TYPE_HASH, 4, sizeof(struct waypoint_addr), WAYPOINT_ADDRS },
	{ "waypoint_wait", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct waypoint_wait),
	  WAYPOINT_ADDRS *WAYPOINT_WAITS },
	{ "waypoint_bind", BPF_MAP_TYPE_HASH, sizeof(struct waypoint_pair),
	  sizeof(struct waypoint_bind), BINDS },
	{ "waypoint_reject", BPF_MAP_TYPE_HASH, sizeof(struct waypoint_pair),
	  sizeof(struct waypoint_reject), 64 },
	{ "waypoint_conn", BPF_MAP_TYPE_HASH, sizeof(struct waypoint_conn_key),
	  sizeof(struct waypoint_conn), 64 },
	{ "waypoint_host6", BPF_MAP_TYPE_HASH, sizeof(struct isthmus_addr),
	  sizeof(struct waypoint_host6), 64 },
	{ "waypoint_stats", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct isthmus_count),
	  WAYPOINT_REASON_COUNT },
	{ "waypoint_event", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096 },
};

/* Short idle times: a binding's last packet cannot be older than the machine. */
const struct waypoint_conf wagent_conf = {
	.common.abi = WAYPOINT_ABI,
	.icmp_ns = 1 * NS_PER_S,
	.udp_ns = 3600 * NS_PER_S,
	.tcp_ns = 3600 * NS_PER_S,
	.mixed_ns = 3600 * NS_PER_S,
	.http_ns = 3600 * NS_PER_S,
	.linger_ns = 1 * NS_PER_S,
	.fresh_ns = 120 * NS_PER_S,
	.reject_ns = 180 * NS_PER_S,
};

static char instance[24];
char wagent_state[64];
struct waypoint *w;

/* Which gateways have a tunnel is end.c's to know. */
bool end_is_up(const struct waypoint *agent, uint32_t id)
{
	(void)agent;
	return id == GATEWAY || id == GATEWAY2;
}

void events_take(struct waypoint *agent)
{
	(void)agent;
}

__be32 v4(const char *text)
{
	struct in_addr address;

	assert_int_equal(inet_pton(AF_INET, text, &address), 1);
	return address.s_addr;
}

void wagent_start(const char *const *addresses, unsigned int count)
{
	char error[ERROR_LEN] = "";

	w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->base = event_base_new();
	w->settings.instance = instance;
	w->settings.state = wagent_state;
	w->settings.wait_ms = WAIT_MS;
	for (unsigned int i = 0; i < count; i++)
		w->settings.addresses[i] = v4(addresses[i]);
	w->settings.address_count = count;
	for (int id = GATEWAY; id <= NO_TUNNEL; id++)
		w->gateway[id].known = true;
	if (bind_open(w, error))
		fail_msg("%s", error);
}

/* As SIGKILL would: the maps stay as they are. */
void wagent_end(void)
{
	state_close(w);
	asks_close(w);
	for (int i = 0; i < MAP_COUNT; i++)
		close(w->map[i]);
	event_base_free(w->base);
	free(w);
}

int wagent_set_up(void **state)
{
	static const char *const addresses[] = { W1, W2 };

	(void)state;
	snprintf(instance, sizeof(instance), "t%d", getpid());
	snprintf(wagent_state, sizeof(wagent_state), "/tmp/isthmus-%s.db", instance);
	tunnel_maps_pin(instance, "waypoint", maps, COUNT(maps), &wagent_conf);
	wagent_start(addresses, COUNT(addresses));
	return 0;
}

int wagent_tear_down(void **state)
{
	static const char *const suffix[] = { "", "-wal", "-shm" };
	char name[80];

	(void)state;
	wagent_end();
	tunnel_maps_unpin(instance, "waypoint", maps, COUNT(maps));
	for (size_t i = 0; i < COUNT(suffix); i++) {
		snprintf(name, sizeof(name), "%s%s", wagent_state, suffix[i]);
		unlink(name);
	}
	return 0;
}

bool read_bind(const char *initiator, const char *address, struct waypoint_bind *bind)
{
	struct waypoint_pair pair = { v4(initiator), v4(address) };

	return !bpf_map_lookup_elem(w->map[MAP_BIND], &pair, bind);
}

void put_bind(const char *initiator, const char *address, const struct waypoint_bind *bind)
{
	struct waypoint_pair pair = { v4(initiator), v4(address) };

	assert_int_equal(bpf_map_update_elem(w->map[MAP_BIND], &pair, bind, BPF_ANY), 0);
}

struct setup ask_of(uint8_t mode, const char *initiator, uint8_t bits, uint32_t gateway,
		    uint32_t host)
{
	static uint64_t serial = 100;

	return (struct setup){ .type = SETUP_ASK,
			       .mode = mode,
			       .prefix_len = bits,
			       .serial = ++serial,
			       .waypoint = v4(W1),
			       .initiator = v4(initiator),
			       .gateway = gateway,
			       .host = host };
}

struct waypoint_wait read_wait(const char *address, uint32_t place)
{
	struct waypoint_addr value;
	struct waypoint_wait wait;
	__be32 key = v4(address);
	uint32_t index;

	assert_int_equal(bpf_map_lookup_elem(w->map[MAP_ADDR], &key, &value), 0);
	index = value.number * WAYPOINT_WAITS + place;
	assert_int_equal(bpf_map_lookup_elem(w->map[MAP_WAIT], &index, &wait), 0);
	return wait;
}
