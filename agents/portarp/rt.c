// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "../lib/rtnl.h"
#include "rt.h"

struct mnl_socket *rt_open(void)
{
	return rtnl_open(1);
}

int rt_address(struct mnl_socket *rt, bool add, uint32_t addr_be, uint32_t ifindex)
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, add ? RTM_NEWADDR : RTM_DELADDR,
					      add ? NLM_F_CREATE | NLM_F_EXCL : 0);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(message, sizeof(*ifa));

	ifa->ifa_family = AF_INET;
	ifa->ifa_prefixlen = 32;
	ifa->ifa_scope = RT_SCOPE_HOST;
	ifa->ifa_index = ifindex;
	mnl_attr_put_u32(message, IFA_LOCAL, addr_be);
	mnl_attr_put_u32(message, IFA_ADDRESS, addr_be);
	if (add)
		mnl_attr_put_u32(message, IFA_FLAGS, IFA_F_NOPREFIXROUTE);
	return rtnl_ask(rt, message, NULL, NULL);
}

int rt_route(struct mnl_socket *rt, bool add, const struct rt_route *route)
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message =
		rtnl_begin(buffer, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE : 0);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(message, sizeof(*rtm));

	rtm->rtm_family = AF_INET;
	rtm->rtm_dst_len = route->len;
	rtm->rtm_table = route->table < 256 ? route->table : RT_TABLE_UNSPEC;
	rtm->rtm_type = route->type;
	rtm->rtm_scope = route->scope;
	rtm->rtm_protocol = route->protocol;
	if (route->gateway_be)
		rtm->rtm_flags = RTNH_F_ONLINK;
	if (route->len)
		mnl_attr_put_u32(message, RTA_DST, route->dst_be);
	if (route->gateway_be)
		mnl_attr_put_u32(message, RTA_GATEWAY, route->gateway_be);
	if (route->src_be)
		mnl_attr_put_u32(message, RTA_PREFSRC, route->src_be);
	mnl_attr_put_u32(message, RTA_OIF, route->ifindex);
	mnl_attr_put_u32(message, RTA_TABLE, route->table);
	return rtnl_ask(rt, message, NULL, NULL);
}

int rt_rule(struct mnl_socket *rt, bool add, uint32_t preference, uint32_t table,
	    const char *device, uint8_t protocol)
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, add ? RTM_NEWRULE : RTM_DELRULE,
					      add ? NLM_F_CREATE | NLM_F_EXCL : 0);
	struct fib_rule_hdr *rule = mnl_nlmsg_put_extra_header(message, sizeof(*rule));

	rule->family = AF_INET;
	rule->table = table < 256 ? table : RT_TABLE_UNSPEC;
	rule->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(message, FRA_TABLE, table);
	mnl_attr_put_u32(message, FRA_PRIORITY, preference);
	mnl_attr_put_u8(message, FRA_PROTOCOL, protocol);
	if (device)
		mnl_attr_put_strz(message, FRA_IIFNAME, device);
	return rtnl_ask(rt, message, NULL, NULL);
}

int rt_neighbour(struct mnl_socket *rt, bool add, uint32_t addr_be, uint32_t ifindex,
		 const uint8_t mac[6])
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, add ? RTM_NEWNEIGH : RTM_DELNEIGH,
					      add ? NLM_F_CREATE | NLM_F_REPLACE : 0);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(message, sizeof(*ndm));

	ndm->ndm_family = AF_INET;
	ndm->ndm_ifindex = ifindex;
	ndm->ndm_state = NUD_PERMANENT;
	mnl_attr_put_u32(message, NDA_DST, addr_be);
	if (add)
		mnl_attr_put(message, NDA_LLADDR, 6, mac);
	return rtnl_ask(rt, message, NULL, NULL);
}

static int read_device(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	uint32_t *ifindex = arg;

	if (message->nlmsg_type != RTM_NEWROUTE || rtm->rtm_type != RTN_UNICAST)
		return MNL_CB_STOP;
	mnl_attr_for_each(attr, message, sizeof(*rtm))
	{
		if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_get_payload_len(attr) == 4)
			*ifindex = mnl_attr_get_u32(attr);
	}
	return MNL_CB_STOP;
}

int rt_device(struct mnl_socket *rt, uint32_t addr_be, uint32_t *ifindex)
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, RTM_GETROUTE, 0);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(message, sizeof(*rtm));
	uint32_t found = 0;
	int err;

	message->nlmsg_flags = NLM_F_REQUEST;
	rtm->rtm_family = AF_INET;
	rtm->rtm_dst_len = 32;
	mnl_attr_put_u32(message, RTA_DST, addr_be);
	err = rtnl_ask(rt, message, read_device, &found);
	if (err)
		return err;
	if (!found)
		return -ENETUNREACH;
	*ifindex = found;
	return 0;
}

/* ---- sysctls */

static int sysctl_open(const char *name, int flags)
{
	char path[256];
	int fd;

	if (snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int rt_sysctl_read(const char *name, char *value, size_t len)
{
	int fd = sysctl_open(name, O_RDONLY);
	size_t used = 0;
	ssize_t n = 0;

	if (fd < 0)
		return fd;
	while (used < len - 1 && (n = read(fd, value + used, len - 1 - used)) > 0)
		used += n;
	n = n < 0 ? -errno : 0;
	close(fd);
	while (used && value[used - 1] == '\n')
		used--;
	value[used] = 0;
	return n;
}

int rt_sysctl_write(const char *name, const char *value)
{
	int fd = sysctl_open(name, O_WRONLY);
	/* An empty list is written as a line of its own. */
	const char *text = *value ? value : "\n";
	ssize_t n;

	if (fd < 0)
		return fd;
	n = write(fd, text, strlen(text));
	n = n < 0 ? -errno : 0;
	close(fd);
	return n;
}
