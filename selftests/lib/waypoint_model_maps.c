// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/waypoint_model_maps.h"

#define KEY_MAX	  16
#define VALUE_MAX 64
#define NEVER	  (~0ull >> 2)

#define each_pair(i, w)                                                                            \
	for (int i = 0; i < WMODEL_INITIATORS; i++)                                                \
		for (int w = 0; w < WMODEL_WAYPOINTS; w++)

const struct isthmus_addr wmaps_initiator[WMODEL_INITIATORS] = {
	PACKET_V4(198, 51, 100, 7), PACKET_V4(198, 51, 100, 8), PACKET_V4(198, 51, 100, 200),
	PACKET_V4(203, 0, 113, 9), PACKET_V4(203, 0, 113, 180)
};
const struct isthmus_addr wmaps_waypoint[WMODEL_WAYPOINTS] = { WFIX_W1, WFIX_W2,
							       PACKET_V4(192, 0, 2, 82) };

static __u32 host_order(const struct isthmus_addr *address)
{
	return packet_get32(address->b + 12);
}

static __be32 wire_order(const struct isthmus_addr *address)
{
	return htonl(host_order(address));
}

struct waypoint_pair wmaps_pair(int initiator, int waypoint)
{
	return wfix_pair(&wmaps_initiator[initiator], &wmaps_waypoint[waypoint]);
}

void wmaps_hop(const struct wmaps *maps, int hop, __u8 mac[6])
{
	struct packet frame = { .len = 14 };

	wfix_macs(maps->fx, true, &frame);
	memcpy(mac, frame.b + 6, 6);
	mac[5] += hop;
}

struct packet_spec wmaps_spec(const struct wmodel_packet *packet, bool back)
{
	static const __u8 protos[] = {
		[WMODEL_TCP] = 6,    [WMODEL_UDP] = 17,	  [WMODEL_ECHO] = 1,
		[WMODEL_OTHER] = 47, [WMODEL_LATER] = 17, [WMODEL_ERROR] = 1
	};
	const struct isthmus_addr *initiator = &wmaps_initiator[packet->initiator];
	const struct isthmus_addr *waypoint = &wmaps_waypoint[packet->waypoint];
	__u16 port = WMAPS_PORT(packet->initiator_port);
	__u16 waypoint_port = WMAPS_WAYPOINT_PORT(packet->waypoint_port);
	struct packet_spec spec = { .src = *(back ? waypoint : initiator),
				    .dst = *(back ? initiator : waypoint),
				    .sport = back ? waypoint_port : port,
				    .dport = back ? port : waypoint_port,
				    .proto = protos[packet->kind],
				    .ttl = packet->last_hop ? 1 : 64,
				    .data_len = WMAPS_DATA };

	spec.flags |= packet->syn ? PACKET_SYN : 0;
	spec.flags |= packet->ack ? PACKET_ACK : 0;
	spec.flags |= packet->fin ? PACKET_FIN : 0;
	spec.flags |= packet->rst ? PACKET_RST : 0;
	return spec;
}

/* ---- from the start */

static void tell_times(const struct wmaps *maps, const unsigned int shorter[8])
{
	struct wmodel *model = maps->model;
	struct waypoint_conf conf;
	__u32 zero = 0;

	must(wfix_get(maps->fx, "waypoint_conf", &zero, &conf) ? 0 : -1);
	model->icmp_ns = conf.icmp_ns >>= shorter[0];
	model->udp_ns = conf.udp_ns >>= shorter[1];
	model->tcp_ns = conf.tcp_ns >>= shorter[2];
	model->mixed_ns = conf.mixed_ns >>= shorter[3];
	model->http_ns = conf.http_ns >>= shorter[4];
	model->linger_ns = conf.linger_ns >>= shorter[5];
	model->fresh_ns = conf.fresh_ns >>= shorter[6];
	model->reject_ns = conf.reject_ns >>= shorter[7];
	wfix_put(maps->fx, "waypoint_conf", &zero, &conf);
}

/* Bindings of nobody, which never end, leave room for so many. */
static void leave_room(const struct wmaps *maps, int room)
{
	struct waypoint_bind bind = { .peer = WFIX_G1, .host = 5, .fresh_ns = NEVER };
	struct isthmus_addr someone = PACKET_V4(100, 64, 0, 0);
	struct waypoint_pair pair;

	maps->model->room = room;
	for (int i = 0; i < WMAPS_TABLE - room; i++) {
		someone.b[15] = i;
		pair = wfix_pair(&someone, &wmaps_waypoint[0]);
		wfix_put(maps->fx, "waypoint_bind", &pair, &bind);
	}
}

void wmaps_clear(struct wmaps *maps, int room, const unsigned int shorter[8])
{
	static const struct waypoint_wait none;
	struct waypoint_addr addr = {};
	__be32 address;

	wfix_clear(maps->fx);
	memset(maps->model, 0, sizeof(*maps->model));
	tell_times(maps, shorter);
	leave_room(maps, room);
	for (int i = 0; i < WMODEL_INITIATORS; i++)
		maps->model->address[i] = host_order(&wmaps_initiator[i]);
	for (__u32 i = 0; i < WFIX_PEERS; i++) {
		maps->model->up[i] = i != WFIX_DOWN;
		maps->model->straight[i] = i == WFIX_STRAIGHT;
	}
	for (; addr.number < WMODEL_WAYPOINTS; addr.number++) {
		address = wire_order(&wmaps_waypoint[addr.number]);
		wfix_put(maps->fx, "waypoint_addr", &address, &addr);
	}
	for (__u32 i = 0; i < WMODEL_WAYPOINTS * WAYPOINT_WAITS; i++)
		wfix_put(maps->fx, "waypoint_wait", &i, &none);
}

/* ---- time passes */

#define AT(record, field) offsetof(struct waypoint_##record, field)

static const struct dated {
	const char *map;
	int times;
	size_t at[3];
} dated[] = {
	{ "waypoint_bind", 2, { AT(bind, seen_ns), AT(bind, fresh_ns) } },
	{ "waypoint_reject", 2, { AT(reject, from_ns), AT(reject, until_ns) } },
	{ "waypoint_conn", 1, { AT(conn, seen_ns) } },
	{ "waypoint_source",
	  3,
	  { AT(source, bound_ns), AT(source, second_ns), AT(source, penalty_ns) } },
	{ "waypoint_addr", 1, { AT(addr, waits_until_ns) } },
	{ "waypoint_wait", 1, { AT(wait, until_ns) } },
};

static void age(const struct wmaps *maps, const struct dated *of, const void *key, __u64 by)
{
	__u8 value[VALUE_MAX];
	__u64 time;

	must(wfix_get(maps->fx, of->map, key, value) ? 0 : -1);
	for (int i = 0; i < of->times; i++) {
		memcpy(&time, value + of->at[i], sizeof(time));
		time = wmodel_earlier(time, by);
		memcpy(value + of->at[i], &time, sizeof(time));
	}
	wfix_put(maps->fx, of->map, key, value);
}

/* What is written anew moves in its table, so all keys are read first. */
static void age_map(const struct wmaps *maps, const struct dated *of, __u64 by)
{
	static __u8 keys[WMAPS_TABLE + 1][KEY_MAX];
	int fd = wfix_map(maps->fx, of->map), n = 0;

	while (n < WMAPS_TABLE && !bpf_map_get_next_key(fd, n ? keys[n - 1] : NULL, keys[n]))
		n++;
	while (n--)
		age(maps, of, keys[n], by);
}

void wmaps_age(struct wmaps *maps, __u64 by)
{
	for (size_t i = 0; i < sizeof(dated) / sizeof(*dated) - 1; i++)
		age_map(maps, &dated[i], by);
	for (__u32 i = 0; i < WMODEL_WAYPOINTS * WAYPOINT_WAITS; i++)
		age(maps, &dated[sizeof(dated) / sizeof(*dated) - 1], &i, by);
	wmodel_shift(maps->model, by);
}

/* ---- the agent */

void wmaps_put_wait(const struct wmaps *maps, int waypoint, int place)
{
	const struct wmodel_wait *from = &maps->model->wait[waypoint][place];
	__be32 address = wire_order(&wmaps_waypoint[waypoint]);
	__u32 index = waypoint * WAYPOINT_WAITS + place;
	struct waypoint_wait wait = { .until_ns = from->until,
				      .serial = from->serial,
				      .prefix = htonl(from->prefix),
				      .mask = htonl(from->mask),
				      .peer = from->to.peer,
				      .host = from->to.host };
	struct waypoint_addr addr;

	must(wfix_get(maps->fx, "waypoint_addr", &address, &addr) ? 0 : -1);
	if (wait.until_ns > addr.waits_until_ns)
		addr.waits_until_ns = wait.until_ns;
	wfix_put(maps->fx, "waypoint_wait", &index, &wait);
	wfix_put(maps->fx, "waypoint_addr", &address, &addr);
}

/* A new one, or one that is renewed and else stays as it is. */
void wmaps_put_entry(const struct wmaps *maps, int initiator, int waypoint)
{
	const struct wmodel_entry *entry = &maps->model->entry[initiator][waypoint];
	struct waypoint_pair pair = wmaps_pair(initiator, waypoint);
	struct waypoint_bind bind = {}, old;
	bool had = wfix_get(maps->fx, "waypoint_bind", &pair, &old);

	if (had && old.seen_ns == entry->seen) {
		bind = old;
	} else {
		bind.peer = entry->to.peer;
		bind.host = entry->to.host;
		bind.seen_ns = entry->seen;
		bind.number = had ? old.number + 1 : 0;
	}
	bind.fresh_ns = entry->fresh;
	wfix_put(maps->fx, "waypoint_bind", &pair, &bind);
}

static void sweep_conns(const struct wmaps *maps, struct waypoint_pair pair)
{
	struct waypoint_conn_key key = { .pair = pair };

	for (int a = 0; a < WMODEL_PORTS; a++)
		for (int b = 0; b < WMODEL_PORTS; b++) {
			key.initiator_port = htons(WMAPS_PORT(a));
			key.waypoint_port = htons(WMAPS_WAYPOINT_PORT(b));
			bpf_map_delete_elem(wfix_map(maps->fx, "waypoint_conn"), &key);
		}
}

void wmaps_sweep(const struct wmaps *maps)
{
	each_pair(i, w)
	{
		struct waypoint_pair pair = wmaps_pair(i, w);

		if (!maps->model->reject[i][w].made)
			bpf_map_delete_elem(wfix_map(maps->fx, "waypoint_reject"), &pair);
		if (maps->model->entry[i][w].made)
			continue;
		bpf_map_delete_elem(wfix_map(maps->fx, "waypoint_bind"), &pair);
		sweep_conns(maps, pair);
	}
}

/* ---- comparing */

static void is(struct wmaps *maps, const char *what, __u64 got, __u64 want)
{
	if (got == want)
		return;
	fprintf(stderr, "%s is %llu, should be %llu\n", what, got, want);
	maps->wrong++;
}

static void is_time(struct wmaps *maps, const char *what, __u64 got, __u64 *want)
{
	if (got - *want > maps->slack) {
		fprintf(stderr, "%s is %lld ns later than it should be\n", what,
			(long long)(got - *want));
		maps->wrong++;
	}
	*want = got;
}

static void check_conn(struct wmaps *maps, const struct waypoint_conn_key *key, __u16 number,
		       struct wmodel_conn *conn)
{
	struct waypoint_conn got;
	bool has = wfix_get(maps->fx, "waypoint_conn", key, &got);

	/* One of an earlier binding may still be there. */
	is(maps, "a connection is tracked", has && got.number == number, conn->open);
	if (!has || !conn->open)
		return;
	is_time(maps, "connection's seen_ns", got.seen_ns, &conn->seen);
	is(maps, "connection's fins", got.fins,
	   (conn->fin_out ? WAYPOINT_FIN_OUT : 0) | (conn->fin_in ? WAYPOINT_FIN_IN : 0));
}

static void check_conns(struct wmaps *maps, struct waypoint_pair pair, __u16 number,
			struct wmodel_entry *entry)
{
	struct waypoint_conn_key key = { .pair = pair };

	for (int a = 0; a < WMODEL_PORTS; a++)
		for (int b = 0; b < WMODEL_PORTS; b++) {
			key.initiator_port = htons(WMAPS_PORT(a));
			key.waypoint_port = htons(WMAPS_WAYPOINT_PORT(b));
			check_conn(maps, &key, number, &entry->conn[a][b]);
		}
}

static void check_hop(struct wmaps *maps, const struct waypoint_bind *got, int hop)
{
	__u8 mac[6];

	is(maps, "binding's ifindex", got->ifindex, hop < 0 ? 0 : maps->fx->net);
	if (hop < 0)
		return;
	wmaps_hop(maps, hop, mac);
	is(maps, "binding's hop_mac is right", !memcmp(got->hop_mac, mac, 6), true);
	is(maps, "binding's our_mac is right", !memcmp(got->our_mac, maps->fx->mac, 6), true);
}

static __u8 carried(const struct wmodel_entry *entry)
{
	return (entry->icmp ? WAYPOINT_CARRIED_ICMP : 0) | (entry->udp ? WAYPOINT_CARRIED_UDP : 0) |
	       (entry->tcp ? WAYPOINT_CARRIED_TCP : 0) |
	       (entry->other ? WAYPOINT_CARRIED_OTHER : 0) |
	       (entry->http ? WAYPOINT_CARRIED_HTTP : 0);
}

static void check_entry(struct wmaps *maps, int initiator, int waypoint)
{
	struct wmodel_entry *entry = &maps->model->entry[initiator][waypoint];
	struct waypoint_pair pair = wmaps_pair(initiator, waypoint);
	struct waypoint_bind got;
	bool has = wfix_get(maps->fx, "waypoint_bind", &pair, &got);

	is(maps, "there is a binding", has, entry->made);
	if (!has || !entry->made)
		return;
	is(maps, "binding's peer", got.peer, entry->to.peer);
	is(maps, "binding's host", got.host, entry->to.host);
	is_time(maps, "binding's seen_ns", got.seen_ns, &entry->seen);
	is_time(maps, "binding's fresh_ns", got.fresh_ns, &entry->fresh);
	is(maps, "binding's carried", got.carried, carried(entry));
	is(maps, "binding's conns", got.conns, wmodel_open_conns(entry));
	is(maps, "binding's ended", got.ended, entry->ended);
	check_hop(maps, &got, entry->hop);
	check_conns(maps, pair, got.number, entry);
}

void wmaps_check_pair(struct wmaps *maps, int initiator, int waypoint)
{
	const struct wmodel_reject *reject = &maps->model->reject[initiator][waypoint];
	struct waypoint_pair pair = wmaps_pair(initiator, waypoint);
	struct waypoint_reject got;
	bool has = wfix_get(maps->fx, "waypoint_reject", &pair, &got);

	check_entry(maps, initiator, waypoint);
	is(maps, "there is a reject", has, reject->made);
	if (!has || !reject->made)
		return;
	is(maps, "reject's from_ns", got.from_ns, reject->from);
	is(maps, "reject's until_ns", got.until_ns, reject->until);
}

void wmaps_check_source(struct wmaps *maps, int initiator)
{
	struct wmodel_source *source = &maps->model->source[initiator];
	__be32 address = wire_order(&wmaps_initiator[initiator]);
	struct waypoint_source got;
	bool has = wfix_get(maps->fx, "waypoint_source", &address, &got);

	is(maps, "there is a source", has, source->made);
	if (!has || !source->made)
		return;
	is_time(maps, "source's bound_ns", got.bound_ns, &source->bound);
	is_time(maps, "source's second_ns", got.second_ns, &source->second);
	is_time(maps, "source's penalty_ns", got.penalty_ns, &source->penalty);
	is(maps, "source's errors", got.errors, source->errors);
	is(maps, "source's unsolicited", got.unsolicited, source->unsolicited);
}

/* Whatever strangers send: nothing of a wait is changed but its count. */
void wmaps_check_waits(struct wmaps *maps, int waypoint)
{
	for (int place = 0; place < WAYPOINT_WAITS; place++) {
		const struct wmodel_wait *wait = &maps->model->wait[waypoint][place];
		__u32 index = waypoint * WAYPOINT_WAITS + place;
		struct waypoint_wait got;

		must(wfix_get(maps->fx, "waypoint_wait", &index, &got) ? 0 : -1);
		is(maps, "wait's until_ns", got.until_ns, wait->until);
		is(maps, "wait's serial", got.serial, wait->serial);
		is(maps, "wait's prefix", ntohl(got.prefix), wait->prefix);
		is(maps, "wait's mask", ntohl(got.mask), wait->mask);
		is(maps, "wait's peer", got.peer, wait->to.peer);
		is(maps, "wait's host", got.host, wait->to.host);
		is(maps, "wait's bound", got.bound, wait->bound);
	}
}

void wmaps_check_all(struct wmaps *maps)
{
	int bindings = WMAPS_TABLE - maps->model->room, rejects = 0;

	each_pair(i, w)
	{
		wmaps_check_pair(maps, i, w);
		bindings += maps->model->entry[i][w].made;
		rejects += maps->model->reject[i][w].made;
	}
	for (int i = 0; i < WMODEL_INITIATORS; i++)
		wmaps_check_source(maps, i);
	for (int w = 0; w < WMODEL_WAYPOINTS; w++)
		wmaps_check_waits(maps, w);
	is(maps, "number of bindings", wfix_entries(maps->fx, "waypoint_bind"), bindings);
	is(maps, "number of rejects", wfix_entries(maps->fx, "waypoint_reject"), rejects);
}
