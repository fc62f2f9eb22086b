// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What isthmus-gateway writes: its hosts and their numbers, the end of flows
 * (agents/gateway/hosts.c, numbers.c, sweep.c). The maps are real and pinned, without programs; the
 * test plays the datapath's part. A veth pair is the inside network.
 */
/* link: agents/gateway/hosts.c agents/gateway/numbers.c agents/gateway/sweep.c */
/* link: agents/lib/address.c agents/lib/log.c agents/lib/map_sweep.c agents/lib/neighbour.c */
/* link: agents/lib/neighbour_watch.c maps/pin.c selftests/lib/tunnel_maps.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../agents/gateway/gateway.h"
#include "../agents/lib/address.h"
#include "../agents/lib/neighbour.h"
#include "lib/tunnel_maps.h"

#define COUNT(all) (sizeof(all) / sizeof((all)[0]))
#define SWEEPS	   200 /* at most, until both maps were gone through */
#define HOST_MAC   "02:00:00:00:00:10"
#define MTU	   1400

static const struct tunnel_map maps[] = {
	{ "gateway_conf", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct gateway_conf), 1 },
	{ "gateway_host", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct gateway_host), GATEWAY_HOSTS },
	{ "gateway_flow", BPF_MAP_TYPE_HASH, sizeof(struct gateway_flow_key),
	  sizeof(struct gateway_flow), 1024 },
	{ "gateway_pair", BPF_MAP_TYPE_HASH, sizeof(struct gateway_pair_key),
	  sizeof(struct gateway_flow), 1024 },
	{ "gateway_mask", BPF_MAP_TYPE_HASH, sizeof(struct gateway_mask_key), sizeof(__be16),
	  1024 },
	{ "gateway_event", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096 },
};

/* Far apart, and shorter than any machine that runs this is up. */
static struct gateway_conf conf = {
	.common.abi = GATEWAY_ABI,
	.common.links = 2,
	.icmp_ns = 10 * NS_PER_S,
	.linger_ns = 20 * NS_PER_S,
	.other_ns = 30 * NS_PER_S,
	.udp_ns = 40 * NS_PER_S,
	.tcp_ns = 50 * NS_PER_S,
};

static char instance[24], hosts_path[64], state_path[64];
static uint8_t lan_mac[6];
static struct mnl_socket *query;
static struct gateway *g;

/* ---- the tunnel's part that hosts.c asks */

struct mnl_socket *tunnel_peers_query(struct tunnel_peers *peers)
{
	(void)peers;
	return query;
}

int tunnel_peers_device(struct tunnel_peers *peers, uint32_t ifindex, uint8_t mac[6], uint16_t *mtu)
{
	(void)peers;
	assert_int_equal(ifindex, if_nametoindex("lan"));
	memcpy(mac, lan_mac, 6);
	*mtu = MTU;
	return 0;
}

static void start_agent(void)
{
	char error[ERROR_LEN] = "";

	g = calloc(1, sizeof(*g));
	assert_non_null(g);
	g->base = event_base_new();
	g->settings.instance = instance;
	g->settings.hosts = hosts_path;
	g->settings.state = state_path;
	if (hosts_open(g, error) || numbers_open(g, error))
		fail_msg("%s", error);
}

/* As SIGKILL would: maps and files stay as they are. */
static void end_agent(void)
{
	sweep_free(g);
	numbers_close(g);
	for (int i = 0; i < MAP_COUNT; i++)
		close(g->map[i]);
	event_base_free(g->base);
	free(g);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(instance, sizeof(instance), "t%d", getpid());
	snprintf(hosts_path, sizeof(hosts_path), "/tmp/isthmus-%s.hosts", instance);
	snprintf(state_path, sizeof(state_path), "/tmp/isthmus-%s.json", instance);
	conf.common.link[0] = (struct tunnel_link){ .ifindex = 999, .side = TUNNEL_UPLINK };
	conf.common.link[1] =
		(struct tunnel_link){ .ifindex = if_nametoindex("lan"), .side = TUNNEL_LAN };
	tunnel_maps_pin(instance, "gateway", maps, COUNT(maps), &conf);
	start_agent();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	end_agent();
	tunnel_maps_unpin(instance, "gateway", maps, COUNT(maps));
	unlink(hosts_path);
	unlink(state_path);
	return 0;
}

/* ---- the file of hosts */

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void read_hosts(const char *text)
{
	char error[ERROR_LEN] = "";

	write_file(hosts_path, text);
	if (hosts_read(g, error))
		fail_msg("%s", error);
}

static struct gateway_host record_of(uint32_t number)
{
	struct gateway_host record;

	assert_int_equal(bpf_map_lookup_elem(g->map[MAP_HOST], &number, &record), 0);
	return record;
}

static int number_of(const char *name)
{
	for (int i = 0; i < GATEWAY_HOSTS; i++)
		if (g->host[i].taken && !strcmp(g->host[i].name, name))
			return i;
	return -1;
}

static void is_empty(uint32_t number)
{
	static const struct gateway_host none;
	struct gateway_host record = record_of(number);

	assert_memory_equal(&record, &none, sizeof(none));
	assert_false(g->host[number].taken);
}

static void record(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 0x10 };
	struct gateway_conf now;
	struct gateway_host got;
	struct isthmus_addr address;
	uint32_t zero = 0;

	(void)state;
	read_hosts("# behind this machine\n\n"
		   "Web 192.168.1.10\n"
		   "\tnas  192.168.1.11\tmasked # a comment\r\n"
		   "@ fd00::10 aware\n"
		   "a_b.c-d 192.0.2.99 plain"); /* no way leads there */
	got = record_of((uint32_t)number_of("web"));
	assert_int_equal(address_parse("192.168.1.10", &address), 0);
	assert_memory_equal(&got.addr, &address, sizeof(address));
	assert_int_equal(got.mode, GATEWAY_PLAIN);
	assert_int_equal(got.ifindex, if_nametoindex("lan"));
	assert_int_equal(got.mtu, MTU);
	assert_memory_equal(got.dst_mac, mac, 6);
	assert_memory_equal(got.src_mac, lan_mac, 6);
	assert_int_equal(got.asked, 0);
	assert_int_equal(record_of((uint32_t)number_of("nas")).mode, GATEWAY_MASKED);
	assert_int_equal(record_of((uint32_t)number_of("@")).mode, GATEWAY_AWARE);
	assert_int_equal(record_of((uint32_t)number_of("a_b.c-d")).ifindex, 0);
	/* Masked flows come from our own addresses there. */
	assert_int_equal(bpf_map_lookup_elem(g->map[MAP_CONF], &zero, &now), 0);
	assert_int_equal(now.common.link[1].inside, inet_addr("192.168.1.1"));
	assert_int_equal(address_parse("fd00::1", &address), 0);
	assert_memory_equal(&now.common.link[1].inside6, &address, sizeof(address));
	assert_int_equal(now.common.link[0].inside, 0);
}

/* One error a file, in the last line that is told; hosts from before stay. */
static void errors(void **state)
{
	static const struct {
		const char *text;
		unsigned int line;
		const char *why;
	} wrong[] = {
		{ "web\n", 1, "NAME ADDRESS [plain|masked|aware] is needed" },
		{ "# first\n\nweb 192.168.1.10 masked more\n", 3, "is needed" },
		{ "web 192.168.1.10 masked more still words\n", 1, "is needed" },
		{ "web 192.168.1.10\nnas 192.168.1.256\n", 2, "the address is none" },
		{ "web 192.168.1.0/24\n", 1, "the address is none" },
		{ "web nas\n", 1, "the address is none" },
		{ "web 192.168.1.10 Masked\n", 1, "the mode is plain, masked or aware" },
		{ "web 192.168.1.10\nWEB 192.168.1.11\n", 2, "the name is there twice" },
		{ "we*b 192.168.1.10\n", 1, "the name is none" },
		{ ".web 192.168.1.10\n", 1, "the name is none" },
		{ "we..b 192.168.1.10\n", 1, "the name is none" },
		{ "@.web 192.168.1.10\n", 1, "the name is none" },
	};
	char error[ERROR_LEN], want[128];

	(void)state;
	read_hosts("old 192.168.1.10\n");
	for (size_t i = 0; i < COUNT(wrong); i++) {
		write_file(hosts_path, wrong[i].text);
		error[0] = 0;
		assert_int_equal(hosts_read(g, error), -EINVAL);
		snprintf(want, sizeof(want), "%s:%u: ", hosts_path, wrong[i].line);
		if (strncmp(error, want, strlen(want)) || !strstr(error, wrong[i].why))
			fail_msg("'%s' tells '%s'", wrong[i].text, error);
		assert_int_equal(number_of("old"), 0);
		assert_int_equal(record_of(0).mode, GATEWAY_PLAIN);
		assert_int_equal(number_of("web"), -1);
	}
	unlink(hosts_path);
	assert_int_equal(hosts_read(g, error), -ENOENT);
	assert_non_null(strstr(error, hosts_path));
	assert_int_equal(number_of("old"), 0);
}

/* Of 600 characters; of 254 in a name, which DNS cannot have. */
static void long_lines(void **state)
{
	char text[700], error[ERROR_LEN], want[128];

	(void)state;
	snprintf(want, sizeof(want), "%s:2: the line is too long", hosts_path);
	memset(text, ' ', sizeof(text));
	memcpy(text, "web 192.168.1.10\nnas 192.168.1.11", 33);
	memcpy(text + 640, "masked\n", 8);
	write_file(hosts_path, text);
	assert_int_equal(hosts_read(g, error), -EINVAL);
	assert_string_equal(error, want);
	snprintf(want, sizeof(want), "%s:1: the name is none", hosts_path);
	memset(text, 'a', sizeof(text));
	memcpy(text + 254, " 192.168.1.10\n", 15);
	write_file(hosts_path, text);
	assert_int_equal(hosts_read(g, error), -EINVAL);
	assert_string_equal(error, want);
}

/* A line for each number, and one more. */
static void too_many(void **state)
{
	char error[ERROR_LEN], want[128];
	FILE *file = fopen(hosts_path, "w");

	(void)state;
	assert_non_null(file);
	for (int i = 0; i <= GATEWAY_HOSTS; i++)
		fprintf(file, "h%d 192.168.1.10\n", i);
	fclose(file);
	snprintf(want, sizeof(want), "%s:%d: there are too many hosts", hosts_path,
		 GATEWAY_HOSTS + 1);
	assert_int_equal(hosts_read(g, error), -EINVAL);
	assert_string_equal(error, want);
	assert_int_equal(number_of("h0"), -1);
}

/* ---- numbers */

static void numbers_stay(void **state)
{
	int web, nas, six;

	(void)state;
	read_hosts("web 192.168.1.10\nnas 192.168.1.11\n");
	web = number_of("web");
	nas = number_of("nas");
	assert_int_not_equal(web, nas);
	/* Others before and between them, one gone, the other with another address. */
	read_hosts("six fd00::10\nNAS 192.168.1.12 masked\nseven 192.168.1.13\n");
	six = number_of("six");
	assert_int_equal(number_of("nas"), nas);
	assert_int_equal(record_of((uint32_t)nas).mode, GATEWAY_MASKED);
	assert_int_not_equal(six, web);
	assert_int_not_equal(six, nas);
	assert_int_not_equal(number_of("seven"), web);
	is_empty((uint32_t)web);
	/* Over a restart, too: the next agent clears what the file no longer has. */
	end_agent();
	start_agent();
	read_hosts("web 192.168.1.10\nsix fd00::10\n");
	assert_int_equal(number_of("web"), web);
	assert_int_equal(number_of("six"), six);
	is_empty((uint32_t)nas);
	read_hosts("");
	is_empty((uint32_t)web);
	is_empty((uint32_t)six);
	/* Waypoints have numbers of their own. */
	assert_int_equal(numbers_get(g, "waypoints", "web", 1, 3), 1);
	assert_int_equal(numbers_get(g, "waypoints", "other", 1, 3), 2);
	assert_int_equal(numbers_get(g, "waypoints", "third", 1, 3), -ENOSPC);
	assert_int_equal(numbers_get(g, "waypoints", "web", 1, 3), 1);
}

static void numbers_wrong(void **state)
{
	static const char *const wrong[] = { "", "{\"hosts\": {\"web\": 0}", "[]", "3", "no JSON" };
	char error[ERROR_LEN];

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		numbers_close(g);
		write_file(state_path, wrong[i]);
		error[0] = 0;
		assert_int_equal(numbers_open(g, error), -EINVAL);
		if (strncmp(error, state_path, strlen(state_path)) || !strstr(error, ":1: "))
			fail_msg("'%s' tells '%s'", wrong[i], error);
	}
	/* Of the right form, with numbers that cannot be: such hosts have none. */
	numbers_close(g);
	write_file(state_path, "{\"hosts\": {\"web\": 4096, \"nas\": -1, \"six\": 4}}");
	assert_int_equal(numbers_open(g, error), 0);
	read_hosts("web 192.168.1.10\nnas 192.168.1.11\nsix fd00::10\nnew 192.168.1.12\n");
	assert_int_equal(number_of("web"), -1);
	assert_int_equal(number_of("nas"), -1);
	assert_int_equal(number_of("six"), 4);
	assert_int_equal(number_of("new"), 0);
}

/* ---- the end of flows */

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

struct flow_row {
	const char *name;
	uint8_t proto, mode, fins;
	unsigned int quiet_s, idle_s; /* seconds since its last packet; that it may be quiet */
};

/* idle_s is from the documents of the constants above, not from gateway_flow_ends(). */
static const struct flow_row flows[] = {
	{ "TCP", IPPROTO_TCP, GATEWAY_PLAIN, 0, 45, 50 },
	{ "TCP, over", IPPROTO_TCP, GATEWAY_PLAIN, 0, 55, 50 },
	{ "one FIN", IPPROTO_TCP, GATEWAY_MASKED, GATEWAY_FIN_INITIATOR, 45, 50 },
	{ "the other", IPPROTO_TCP, GATEWAY_MASKED, GATEWAY_FIN_RESPONDER, 45, 50 },
	{ "FINs", IPPROTO_TCP, GATEWAY_MASKED, 3, 15, 20 },
	{ "FINs, over", IPPROTO_TCP, GATEWAY_MASKED, 3, 25, 20 },
	{ "RST", IPPROTO_TCP, GATEWAY_MASKED, GATEWAY_RST, 15, 20 },
	{ "RST, over", IPPROTO_TCP, GATEWAY_MASKED, GATEWAY_RST, 25, 20 },
	{ "masked TCP, over", IPPROTO_TCP, GATEWAY_MASKED, 0, 55, 50 },
	{ "UDP", IPPROTO_UDP, GATEWAY_MASKED, 0, 35, 40 },
	{ "UDP, over", IPPROTO_UDP, GATEWAY_MASKED, 0, 45, 40 },
	{ "plain UDP, over", IPPROTO_UDP, GATEWAY_PLAIN, 0, 45, 40 },
	{ "echo", IPPROTO_ICMP, GATEWAY_MASKED, 0, 5, 10 },
	{ "echo, over", IPPROTO_ICMP, GATEWAY_MASKED, 0, 15, 10 },
	{ "echo by IPv6", IPPROTO_ICMPV6, GATEWAY_MASKED, 0, 5, 10 },
	{ "echo by IPv6, over", IPPROTO_ICMPV6, GATEWAY_MASKED, 0, 15, 10 },
	{ "aware, over", IPPROTO_UDP, GATEWAY_AWARE, 0, 45, 40 },
	{ "another protocol", IPPROTO_SCTP, GATEWAY_PLAIN, 0, 25, 30 },
	{ "another, over", IPPROTO_SCTP, GATEWAY_PLAIN, 0, 35, 30 },
};

static bool is_echo(const struct flow_row *row)
{
	return row->proto == IPPROTO_ICMP || row->proto == IPPROTO_ICMPV6;
}

/* Masked: what the host sees has port 61000 + i where the initiator's own is 5000 + i. */
static struct gateway_flow_key key_of(const struct flow_row *row)
{
	uint16_t place = (uint16_t)(row - flows);
	uint16_t mask = (uint16_t)((row->mode == GATEWAY_MASKED ? 61000 : 5000) + place);
	struct gateway_flow_key key = { .outside_port = htons(mask), .proto = row->proto };

	key.inside_port = is_echo(row) ? key.outside_port : htons(80);
	assert_int_equal(address_parse("192.168.1.10", &key.inside), 0);
	assert_int_equal(address_parse("192.168.1.1", &key.outside), 0);
	return key;
}

static struct gateway_flow flow_of(const struct flow_row *row)
{
	struct gateway_flow flow = { .initiator_port = htons((uint16_t)(5000 + (row - flows))),
				     .fins = row->fins,
				     .mode = row->mode,
				     .peer = 1,
				     .seen_ns = now_ns() - row->quiet_s * NS_PER_S };

	assert_int_equal(address_parse("198.51.100.7", &flow.initiator), 0);
	assert_int_equal(address_parse("203.0.113.80", &flow.waypoint), 0);
	return flow;
}

/* What the datapath finds a masked flow by: the ports as they are outside; an echo's, twice. */
static struct gateway_mask_key mask_of(const struct flow_row *row)
{
	struct gateway_flow flow = flow_of(row);
	struct gateway_mask_key mask = { .initiator = flow.initiator,
					 .waypoint = flow.waypoint,
					 .initiator_port = flow.initiator_port,
					 .proto = row->proto };

	mask.waypoint_port = is_echo(row) ? flow.initiator_port : htons(80);
	return mask;
}

static struct gateway_pair_key pair_of(unsigned int quiet_s)
{
	struct gateway_pair_key pair = { 0 };

	pair.inside.b[15] = (uint8_t)quiet_s;
	return pair;
}

static void put_flows(void)
{
	for (size_t i = 0; i < COUNT(flows); i++) {
		struct gateway_flow_key key = key_of(&flows[i]);
		struct gateway_flow flow = flow_of(&flows[i]);
		struct gateway_mask_key mask = mask_of(&flows[i]);

		assert_int_equal(bpf_map_update_elem(g->map[MAP_FLOW], &key, &flow, 0), 0);
		assert_int_equal(bpf_map_update_elem(g->map[MAP_MASK], &mask, &key.outside_port, 0),
				 0);
	}
	for (unsigned int quiet_s = 25; quiet_s <= 35; quiet_s += 10) {
		struct gateway_pair_key pair = pair_of(quiet_s);
		struct gateway_flow flow = { .seen_ns = now_ns() - quiet_s * NS_PER_S };

		assert_int_equal(bpf_map_update_elem(g->map[MAP_PAIR], &pair, &flow, 0), 0);
	}
}

static void sweep_all(void)
{
	struct gateway_pair_key pair = pair_of(35);
	struct gateway_flow flow;

	assert_int_equal(sweep_start(g), 0);
	for (int i = 0; i < SWEEPS && !bpf_map_lookup_elem(g->map[MAP_PAIR], &pair, &flow); i++)
		event_base_loop(g->base, EVLOOP_ONCE);
	assert_int_equal(bpf_map_lookup_elem(g->map[MAP_PAIR], &pair, &flow), -ENOENT);
	pair = pair_of(25);
	assert_int_equal(bpf_map_lookup_elem(g->map[MAP_PAIR], &pair, &flow), 0);
}

static void sweep_ends_flows(void **state)
{
	unsigned int over = 0;

	(void)state;
	put_flows();
	sweep_all();
	for (size_t i = 0; i < COUNT(flows); i++) {
		const struct flow_row *row = &flows[i];
		struct gateway_flow_key key = key_of(row);
		struct gateway_mask_key mask = mask_of(row);
		bool is_over = row->quiet_s > row->idle_s;
		struct gateway_flow flow;
		__be16 port;

		over += is_over;
		if (!bpf_map_lookup_elem(g->map[MAP_FLOW], &key, &flow) == is_over)
			fail_msg("flow %s", row->name);
		/* A mask goes with its flow, and nobody else's does. */
		if (!bpf_map_lookup_elem(g->map[MAP_MASK], &mask, &port) ==
		    (is_over && row->mode == GATEWAY_MASKED))
			fail_msg("mask of %s", row->name);
	}
	assert_int_equal(g->counters.ended, over);
	assert_int_equal(g->flows, COUNT(flows) - over);
}

#define AGENT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static int make_lan(void)
{
	return unshare(CLONE_NEWNET) ||
	       system("ip link set lo up && ip link add lan type veth peer name far &&"
		      " ip link set lan up && ip link set far up &&"
		      " ip addr add 192.168.1.1/24 dev lan && ip addr add fd00::1/64 dev lan nodad "
		      "&&"
		      " ip neigh add 192.168.1.10 lladdr " HOST_MAC " nud permanent dev lan");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		AGENT_TEST(record),	      AGENT_TEST(errors),	AGENT_TEST(long_lines),
		AGENT_TEST(too_many),	      AGENT_TEST(numbers_stay), AGENT_TEST(numbers_wrong),
		AGENT_TEST(sweep_ends_flows),
	};
	int rc;

	lan_mac[5] = 1;
	if (make_lan())
		return 1;
	query = neighbour_query();
	if (!query)
		return 1;
	rc = cmocka_run_group_tests_name("gateway_agent", tests, NULL, NULL);
	mnl_socket_close(query);
	return rc;
}
