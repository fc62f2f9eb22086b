// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The namespaces A and W (maps/resoa.h), and the veth pair e0 - w0 between them:
 *
 *   A: the server's addresses and routes, all by e0      W: rule iif w0 -> table 100: everything is
 *      rule iif lo to ADDRESS -> table 101: by e0, too      local; A's addresses are by w0
 *      (who connects to his own address asks the            no TIME_WAIT, no echo replies, no
 *      server, for another client may have the port)        answers that the network would give
 *
 * Both ends have one MAC and no ARP: so a frame of either is always for the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "../lib/prefix.h"
#include "link.h"
#include "resoa.h"

#define E0	    "e0"
#define E0_HOST	    "resoa0" /* whole host: beside the host's own devices */
#define W0	    "w0"
#define TABLE_WORLD 100
#define TABLE_OWN   101
#define RULE_WORLD  10
#define RULE_OWN    10
#define RULE_LOCAL  32 /* the kernel's is 0, before all others */
#define MTU_MIN	    1280
#define MTU_MAX	    65535
#define MTU_DEFAULT 1500

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct setting {
	const char *name, *value;
};

/* Before e0 is there. IPv6 addresses are usable at once, and none but the server's. */
static const struct setting of_client[] = {
	{ "ipv4/conf/all/rp_filter", "0" },
	{ "ipv4/conf/default/rp_filter", "0" },
	{ "ipv4/tcp_slow_start_after_idle", "0" },
};

static const struct setting of_world[] = {
	{ "ipv4/conf/all/rp_filter", "0" },    { "ipv4/conf/default/rp_filter", "0" },
	{ "ipv4/conf/all/accept_local", "1" }, { "ipv4/conf/all/log_martians", "0" },
	{ "ipv4/icmp_echo_ignore_all", "1" },  { "ipv6/icmp/echo_ignore_all", "1" },
	{ "ipv4/tcp_syncookies", "0" },	       { "ipv4/tcp_max_syn_backlog", "65535" },
	{ "core/somaxconn", "65535" },	       { "ipv4/ip_unprivileged_port_start", "0" },
	{ "ipv4/tcp_max_tw_buckets", "0" }, /* or a peer's port could not come again at once */
	{ "ipv4/tcp_no_metrics_save", "1" },   { "ipv4/tcp_slow_start_after_idle", "0" },
};

/* Of e0 and w0 before they are up. */
static const struct setting of_device[] = {
	{ "ipv6/conf/%s/accept_dad", "0" },    { "ipv6/conf/%s/router_solicitations", "0" },
	{ "ipv6/conf/%s/accept_ra", "0" },     { "ipv6/conf/%s/autoconf", "0" },
	{ "ipv6/conf/%s/addr_gen_mode", "1" }, { "ipv4/conf/%s/promote_secondaries", "1" },
	{ "ipv4/conf/%s/rp_filter", "0" },     { "ipv4/conf/%s/accept_local", "1" },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A kernel without one of them (IPv6 is off) is told at debug, not refused. */
static void set(const char *name, const char *value)
{
	int err = link_sysctl(name, value);

	if (err)
		log_debug("sysctl net/%s: %s", name, strerror(-err));
}

static void set_all(const struct setting *list, size_t count, const char *device)
{
	char name[128];

	for (size_t i = 0; i < count; i++) {
		const char *mark = strstr(list[i].name, "%s");

		if (mark)
			snprintf(name, sizeof(name), "%.*s%s%s", (int)(mark - list[i].name),
				 list[i].name, device, mark + 2);
		else
			snprintf(name, sizeof(name), "%s", list[i].name);
		set(name, list[i].value);
	}
}

/* BBR, some kernels' default, would pace bytes that never leave the machine. */
static void set_congestion(const char *wanted)
{
	if (wanted && strncmp(wanted, "bbr", 3) &&
	    !link_sysctl("ipv4/tcp_congestion_control", wanted))
		return;
	if (link_sysctl("ipv4/tcp_congestion_control", "reno"))
		set("ipv4/tcp_congestion_control", "cubic");
}

static void read_congestion(struct net *net)
{
	char line[64] = "";

	link_sysctl_read("ipv4/tcp_congestion_control", line, sizeof(line));
	if (sscanf(line, "%15s", net->congestion) != 1)
		net->congestion[0] = 0;
}

/* ---- namespaces */

static int open_own(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int net_enter(const struct net *net, enum net_place place)
{
	return setns(net->ns[place], CLONE_NEWNET) ? -errno : 0;
}

void net_frame(const struct net *net, enum net_place place, const uint8_t *frame, size_t len)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)(place == NET_A ? net->e0 : net->w0),
				  .sll_halen = 6 };
	int fd = place == NET_A ? net->packet_a : net->packet_w;

	if (!len)
		return;
	memcpy(&to.sll_protocol, frame + 12, sizeof(to.sll_protocol));
	memcpy(to.sll_addr, frame, 6);
	if (sendto(fd, frame, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		log_warn("a frame between A and W: %s", strerror(errno));
}

int net_socket(const struct net *net, enum net_place place, int family, int type, int proto)
{
	int err = net_enter(net, place);
	int fd;

	if (err)
		return err;
	fd = socket(family, type | SOCK_CLOEXEC, proto);
	if (fd < 0)
		fd = -errno;
	err = net_enter(net, net->ns[NET_W] >= 0 ? NET_W : NET_HOME);
	if (err && fd >= 0)
		close(fd);
	return err ? err : fd;
}

static int make_one(struct net *net, enum net_place place)
{
	if (unshare(CLONE_NEWNET))
		return -errno;
	net->ns[place] = open_own();
	return net->ns[place] < 0 ? net->ns[place] : 0;
}

static int make_both(struct net *net)
{
	int err;

	net->ns[NET_HOME] = open_own();
	if (net->ns[NET_HOME] < 0)
		return net->ns[NET_HOME];
	if (net->whole_host) {
		net->ns[NET_A] = fcntl(net->ns[NET_HOME], F_DUPFD_CLOEXEC, 3);
		err = net->ns[NET_A] < 0 ? -errno : 0;
	} else {
		err = make_one(net, NET_A);
	}
	return err ? err : make_one(net, NET_W);
}

/* In each place: its cookie, its rtnetlink, its packet socket. */
static int open_place(struct net *net, enum net_place place)
{
	socklen_t len = sizeof(net->cookie[place]);
	int err = net_enter(net, place);
	int fd;

	if (err)
		return err;
	net->link[place] = link_open();
	if (!net->link[place])
		return -errno;
	fd = mnl_socket_get_fd(net->link[place]);
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &net->cookie[place], &len))
		return -errno;
	return 0;
}

static int open_packet(void)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int find_device(const char *name, unsigned int *ifindex, int *packet)
{
	*ifindex = if_nametoindex(name);
	if (!*ifindex)
		return -errno;
	*packet = open_packet();
	return *packet < 0 ? *packet : 0;
}

/* ---- the pair */

static uint32_t read_mtu(const json_t *told)
{
	json_int_t mtu = json_integer_value(json_object_get(told, "mtu"));

	if (!mtu)
		return MTU_DEFAULT;
	return mtu < MTU_MIN ? MTU_MIN : mtu > MTU_MAX ? MTU_MAX : mtu;
}

static int make_pair(struct net *net, const json_t *registered)
{
	const char *e0 = net->whole_host ? E0_HOST : E0;
	int err;

	if (getrandom(net->mac, sizeof(net->mac), 0) != sizeof(net->mac))
		return -EIO;
	net->mac[0] = (net->mac[0] & 0xfc) | 2; /* local, unicast */
	err = net_enter(net, NET_A);
	if (!err)
		err = link_veth(net->link[NET_A], e0, W0, net->ns[NET_W], net->mac,
				read_mtu(registered));
	if (!err)
		err = find_device(e0, &net->e0, &net->packet_a);
	if (err)
		return err;
	set_all(of_device, COUNT(of_device), e0);
	if (!net->whole_host) {
		set_all(of_client, COUNT(of_client), NULL);
		set_congestion(json_string_value(json_object_get(registered, "congestion")));
		link_up(net->link[NET_A], if_nametoindex("lo"), false);
	}
	read_congestion(net);
	err = net_enter(net, NET_W);
	if (!err)
		err = find_device(W0, &net->w0, &net->packet_w);
	if (err)
		return err;
	set_all(of_device, COUNT(of_device), W0);
	set_all(of_world, COUNT(of_world), NULL);
	set_congestion(NULL);
	err = link_up(net->link[NET_W], if_nametoindex("lo"), false);
	if (!err)
		err = link_up(net->link[NET_W], net->w0, true);
	return err ? err : link_up(net->link[NET_A], net->e0, true);
}

/* All that comes from A is for W itself. */
static int make_world(struct net *net)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < COUNT(families); i++) {
		struct link_rule rule = { .family = families[i],
					  .preference = RULE_WORLD,
					  .table = TABLE_WORLD,
					  .device = W0 };
		struct link_route all = { .family = families[i],
					  .type = RTN_LOCAL,
					  .table = TABLE_WORLD,
					  .ifindex = if_nametoindex("lo") };
		int err = link_rule(net->link[NET_W], true, &rule);

		if (!err)
			err = link_route(net->link[NET_W], true, &all);
		if (err && families[i] == AF_INET)
			return err;
	}
	return 0;
}

/* The kernel looks for local addresses first of all; here after the rules of own addresses. */
static int make_client(struct net *net)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < COUNT(families) && !net->whole_host; i++) {
		struct link_rule rule = { .family = families[i],
					  .preference = RULE_LOCAL,
					  .table = RT_TABLE_LOCAL };
		int err = link_rule(net->link[NET_A], true, &rule);

		rule.preference = 0;
		if (!err)
			err = link_rule(net->link[NET_A], false, &rule);
		if (err && families[i] == AF_INET)
			return err;
	}
	return 0;
}

/* ---- addresses and routes, as the server tells them */

static struct link_route single(const struct isthmus_addr *address, uint32_t table,
				uint32_t ifindex)
{
	bool is_v4 = address_is_v4(address);

	return (struct link_route){ .to = *address,
				    .family = is_v4 ? AF_INET : AF_INET6,
				    .bits = is_v4 ? 32 : 128,
				    .type = RTN_UNICAST,
				    .table = table,
				    .ifindex = ifindex };
}

/* In W the way to it; in A the address, and the rule that sends even its own packets by e0. With an
 * address its routes go by themselves. */
static int put_address(struct net *net, bool add, const struct isthmus_addr *address, uint8_t bits)
{
	struct link_route back = single(address, RT_TABLE_MAIN, net->w0);
	struct link_route out = single(address, TABLE_OWN, net->e0);
	struct link_rule rule = { .family = out.family,
				  .preference = RULE_OWN,
				  .table = TABLE_OWN,
				  .device = "lo",
				  .to = address };
	int err = link_route(net->link[NET_W], add, &back);

	if (!err)
		err = link_address(net->link[NET_A], add, address, bits, net->e0);
	if (err || net->whole_host)
		return err;
	out.has_source = true;
	out.source = *address;
	err = add ? link_route(net->link[NET_A], true, &out) : 0;
	return err ? err : link_rule(net->link[NET_A], add, &rule);
}

static int change_address(struct net *net, bool add, const json_t *item)
{
	const char *text = json_string_value(json_object_get(item, "address"));
	json_int_t bits = json_integer_value(json_object_get(item, "prefix"));
	struct isthmus_addr address;
	int err;

	if (!text || address_parse(text, &address))
		return -EINVAL;
	if (bits < 1 || bits > (address_is_v4(&address) ? 32 : 128))
		bits = address_is_v4(&address) ? 32 : 128;
	err = put_address(net, add, &address, bits);
	if (err && err != -EEXIST)
		log_warn("address %s: %s", text, strerror(-err));
	return err;
}

static uint8_t route_type(const json_t *item)
{
	static const struct {
		const char *name;
		uint8_t type;
	} types[] = { { "unreachable", RTN_UNREACHABLE },
		      { "prohibit", RTN_PROHIBIT },
		      { "blackhole", RTN_BLACKHOLE } };
	const char *name = json_string_value(json_object_get(item, "type"));

	for (size_t i = 0; name && i < COUNT(types); i++)
		if (!strcmp(name, types[i].name))
			return types[i].type;
	return RTN_UNICAST;
}

/* One that exists comes with an address: the kernel has made it. */
static int change_route(struct net *net, bool add, const json_t *item)
{
	const char *text = json_string_value(json_object_get(item, "to"));
	const char *source = json_string_value(json_object_get(item, "source"));
	struct link_route route = { .table = RT_TABLE_MAIN, .type = route_type(item) };
	struct prefix to;
	bool is_v4;
	int err;

	if (!text || prefix_parse(text, &to))
		return -EINVAL;
	is_v4 = address_is_v4(&to.address);
	prefix_mask(&to);
	route.to = to.address;
	route.family = is_v4 ? AF_INET : AF_INET6;
	route.bits = is_v4 ? to.bits - 96 : to.bits;
	route.metric = json_integer_value(json_object_get(item, "metric"));
	route.ifindex = route.type == RTN_UNICAST ? net->e0 : 0;
	route.has_source = source && !address_parse(source, &route.source);
	err = link_route(net->link[NET_A], add, &route);
	if (err && err != -EEXIST && err != -ESRCH)
		log_warn("route %s: %s", text, strerror(-err));
	return err;
}

static bool has(const json_t *list, const json_t *item)
{
	size_t i;
	json_t *other;

	json_array_foreach (list, i, other)
		if (json_equal(other, item))
			return true;
	return false;
}

typedef int (*change_one)(struct net *net, bool add, const json_t *item);

/* From the old list to the new one. First what is added: with its last address a device loses all
 * routes; those are added again. */
static void change_list(struct net *net, json_t **old, json_t *new, change_one change)
{
	json_t *item;
	size_t i;

	if (!json_is_array(new))
		return;
	json_array_foreach (new, i, item)
		if (change == change_route || !has(*old, item))
			change(net, true, item);
	json_array_foreach (*old, i, item)
		if (!has(new, item))
			change(net, false, item);
	json_incref(new); /* it may be the old one */
	json_decref(*old);
	*old = new;
}

static void change_ports(struct net *net, const json_t *told)
{
	const json_t *ports = json_object_get(told, "ports");
	char range[32];

	if (json_array_size(ports) != 2)
		return;
	snprintf(range, sizeof(range), "%d %d", (int)json_integer_value(json_array_get(ports, 0)),
		 (int)json_integer_value(json_array_get(ports, 1)));
	if (net_enter(net, NET_A))
		return;
	if (net->whole_host && !net->port_range[0])
		link_sysctl_read("ipv4/ip_local_port_range", net->port_range,
				 sizeof(net->port_range));
	set("ipv4/ip_local_port_range", range);
	net_enter(net, NET_W);
}

int net_change(struct net *net, const json_t *changed)
{
	json_t *routes = json_object_get(changed, "routes");

	if (json_object_get(changed, "mtu")) {
		link_mtu(net->link[NET_A], net->e0, read_mtu(changed));
		link_mtu(net->link[NET_W], net->w0, read_mtu(changed));
	}
	change_list(net, &net->addresses, json_object_get(changed, "addresses"), change_address);
	change_list(net, &net->routes, routes ? routes : net->routes, change_route);
	change_ports(net, changed);
	return 0;
}

/* ---- all of it */

static int open_all(struct net *net, const json_t *registered, const char **what)
{
	int err;

	*what = "network namespaces";
	err = make_both(net);
	if (!err)
		err = open_place(net, NET_A);
	if (!err)
		err = open_place(net, NET_W);
	if (err)
		return err;
	*what = "the veth pair e0 - w0";
	err = make_pair(net, registered);
	if (err)
		return err;
	*what = "rules";
	err = make_world(net);
	if (!err)
		err = make_client(net);
	return err ? err : net_change(net, registered);
}

int net_open(struct net *net, const struct settings *settings, const json_t *registered,
	     char *error, size_t error_len)
{
	const char *what;
	int err;

	*net = (struct net){ .ns = { -1, -1, -1 },
			     .packet_a = -1,
			     .packet_w = -1,
			     .whole_host = settings->whole_host,
			     .addresses = json_array(),
			     .routes = json_array() };
	err = open_all(net, registered, &what);
	if (err) {
		snprintf(error, error_len, "%s: %s", what, strerror(-err));
		net_close(net);
	}
	return err;
}

/* A pair ends with W; a host that lives on is given back its port range. */
void net_close(struct net *net)
{
	if (net->whole_host && net->e0)
		link_delete(net->link[NET_A], net->e0);
	if (net->whole_host && net->port_range[0] && !net_enter(net, NET_HOME))
		set("ipv4/ip_local_port_range", net->port_range);
	if (net->ns[NET_HOME] >= 0)
		net_enter(net, NET_HOME);
	if (net->packet_a >= 0)
		close(net->packet_a);
	if (net->packet_w >= 0)
		close(net->packet_w);
	for (int i = 0; i < 3; i++) {
		if (net->link[i])
			mnl_socket_close(net->link[i]);
		if (net->ns[i] >= 0)
			close(net->ns[i]);
		net->ns[i] = -1;
		net->link[i] = NULL;
	}
	json_decref(net->addresses);
	json_decref(net->routes);
	net->addresses = net->routes = NULL;
	net->packet_a = net->packet_w = -1;
	net->e0 = net->w0 = 0;
}
