// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/rtnl.h"
#include "link.h"

struct mnl_socket *link_open(void)
{
	return rtnl_open(5);
}

/* ---- devices */

static void put_end(struct nlmsghdr *message, const char *name, const uint8_t mac[6], uint32_t mtu)
{
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	mnl_attr_put(message, IFLA_ADDRESS, 6, mac);
	mnl_attr_put_u32(message, IFLA_MTU, mtu);
}

int link_veth(struct mnl_socket *link, const char *name, const char *peer, int peer_ns,
	      const uint8_t mac[6], uint32_t mtu)
{
	char buffer[1024] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct nlattr *info, *data, *end;

	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	put_end(message, name, mac, mtu);
	info = mnl_attr_nest_start(message, IFLA_LINKINFO);
	mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
	end = mnl_attr_nest_start(message, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	put_end(message, peer, mac, mtu);
	mnl_attr_put_u32(message, IFLA_NET_NS_FD, peer_ns);
	mnl_attr_nest_end(message, end);
	mnl_attr_nest_end(message, data);
	mnl_attr_nest_end(message, info);
	return rtnl_ask(link, message, NULL, NULL);
}

int link_delete(struct mnl_socket *link, uint32_t ifindex)
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, RTM_DELLINK, 0);
	struct ifinfomsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));

	head->ifi_index = ifindex;
	return rtnl_ask(link, message, NULL, NULL);
}

int link_up(struct mnl_socket *link, uint32_t ifindex, bool noarp)
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, RTM_NEWLINK, 0);
	struct ifinfomsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));

	head->ifi_index = ifindex;
	head->ifi_flags = IFF_UP | (noarp ? IFF_NOARP : 0);
	head->ifi_change = IFF_UP | (noarp ? IFF_NOARP : 0);
	return rtnl_ask(link, message, NULL, NULL);
}

int link_mtu(struct mnl_socket *link, uint32_t ifindex, uint32_t mtu)
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, RTM_NEWLINK, 0);
	struct ifinfomsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));

	head->ifi_index = ifindex;
	mnl_attr_put_u32(message, IFLA_MTU, mtu);
	return rtnl_ask(link, message, NULL, NULL);
}

/* ---- addresses, routes, rules */

static void put_address(struct nlmsghdr *message, uint16_t type, const struct isthmus_addr *address)
{
	if (address_is_v4(address))
		mnl_attr_put(message, type, 4, address->b + 12);
	else
		mnl_attr_put(message, type, 16, address->b);
}

int link_address(struct mnl_socket *link, bool add, const struct isthmus_addr *address,
		 uint8_t bits, uint32_t ifindex)
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, add ? RTM_NEWADDR : RTM_DELADDR,
					      add ? NLM_F_CREATE | NLM_F_EXCL : 0);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(message, sizeof(*ifa));
	bool is_v4 = address_is_v4(address);

	ifa->ifa_family = is_v4 ? AF_INET : AF_INET6;
	ifa->ifa_prefixlen = bits;
	ifa->ifa_index = ifindex;
	put_address(message, IFA_LOCAL, address);
	put_address(message, IFA_ADDRESS, address);
	if (is_v4 && bits < 31) {
		uint32_t broadcast;

		memcpy(&broadcast, address->b + 12, 4);
		broadcast |= htobe32(UINT32_MAX >> bits);
		mnl_attr_put_u32(message, IFA_BROADCAST, broadcast);
	}
	if (!is_v4)
		mnl_attr_put_u32(message, IFA_FLAGS, IFA_F_NODAD);
	return rtnl_ask(link, message, NULL, NULL);
}

/* An unreachable destination of IPv6 has a device, too: that of lo, if none is told. */
int link_route(struct mnl_socket *link, bool add, const struct link_route *route)
{
	char buffer[512] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, add ? RTM_NEWROUTE : RTM_DELROUTE,
					      add ? NLM_F_CREATE | NLM_F_EXCL : 0);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(message, sizeof(*rtm));

	rtm->rtm_family = route->family;
	rtm->rtm_dst_len = route->bits;
	rtm->rtm_type = route->type;
	rtm->rtm_protocol = RTPROT_STATIC;
	rtm->rtm_scope = route->type == RTN_LOCAL     ? RT_SCOPE_HOST
			 : route->type == RTN_UNICAST ? RT_SCOPE_LINK
						      : RT_SCOPE_UNIVERSE;
	rtm->rtm_table = route->table < 256 ? route->table : RT_TABLE_UNSPEC;
	if (route->bits)
		put_address(message, RTA_DST, &route->to);
	mnl_attr_put_u32(message, RTA_TABLE, route->table);
	if (route->ifindex)
		mnl_attr_put_u32(message, RTA_OIF, route->ifindex);
	if (route->metric)
		mnl_attr_put_u32(message, RTA_PRIORITY, route->metric);
	if (route->has_source)
		put_address(message, RTA_PREFSRC, &route->source);
	return rtnl_ask(link, message, NULL, NULL);
}

int link_rule(struct mnl_socket *link, bool add, const struct link_rule *rule)
{
	char buffer[512] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, add ? RTM_NEWRULE : RTM_DELRULE,
					      add ? NLM_F_CREATE | NLM_F_EXCL : 0);
	struct fib_rule_hdr *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));

	head->family = rule->family;
	head->table = rule->table < 256 ? rule->table : RT_TABLE_UNSPEC;
	head->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(message, FRA_TABLE, rule->table);
	mnl_attr_put_u32(message, FRA_PRIORITY, rule->preference);
	if (rule->device)
		mnl_attr_put_strz(message, FRA_IIFNAME, rule->device);
	if (rule->to) {
		head->dst_len = address_is_v4(rule->to) ? 32 : 128;
		put_address(message, FRA_DST, rule->to);
	}
	return rtnl_ask(link, message, NULL, NULL);
}

/* ---- sysctls */

static int sysctl_open(const char *name, int flags)
{
	char path[256];
	int fd;

	if (snprintf(path, sizeof(path), "/proc/sys/net/%s", name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int link_sysctl_read(const char *name, char *value, int len)
{
	int fd = sysctl_open(name, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, value, len - 1);
	if (n < 0)
		n = -errno;
	else
		value[n] = 0;
	close(fd);
	return n < 0 ? n : 0;
}

int link_sysctl(const char *name, const char *value)
{
	int fd = sysctl_open(name, O_WRONLY);
	int err;

	if (fd < 0)
		return fd;
	err = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return err;
}
