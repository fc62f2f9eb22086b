// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What makes a pool's addresses ours without giving them to a device: a local route (AnyIP), and
 * that neighbours' questions about them, which go to multicast addresses, reach the programs.
 */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "netlink.h"
#include "onetime.h"
#include "onetime_prefix.h"

#define LOOPBACK_IFINDEX 1

static int route_change(const struct onetime_prefix *prefix, uint16_t type, uint16_t flags)
{
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO))) = {};
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	bool v4 = onetime_prefix_is_v4(prefix);
	struct rtmsg *route;

	header->nlmsg_type = type;
	header->nlmsg_flags = flags;
	route = mnl_nlmsg_put_extra_header(header, sizeof(*route));
	*route = (struct rtmsg){
		.rtm_family = v4 ? AF_INET : AF_INET6,
		.rtm_dst_len = onetime_prefix_length(prefix),
		.rtm_table = RT_TABLE_LOCAL,
		.rtm_protocol = ONETIME_ROUTE_PROTOCOL,
		.rtm_scope = v4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_LOCAL,
	};
	mnl_attr_put(header, RTA_DST, v4 ? 4 : 16, prefix->addr.b + (v4 ? 12 : 0));
	mnl_attr_put_u32(header, RTA_OIF, LOOPBACK_IFINDEX);
	return netlink_change(header);
}

int onetime_route_add(const struct onetime_prefix *prefix)
{
	return route_change(prefix, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
}

int onetime_route_del(const struct onetime_prefix *prefix)
{
	return route_change(prefix, RTM_DELROUTE, 0);
}

struct routes {
	struct onetime_prefix prefix[ONETIME_POOLS];
	unsigned int count;
};

static int destination_keep(const struct nlattr *attribute, void *data)
{
	if (mnl_attr_get_type(attribute) == RTA_DST)
		*(const struct nlattr **)data = attribute;
	return MNL_CB_OK;
}

static int route_each(const struct nlmsghdr *header, void *data)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(header);
	const struct nlattr *destination = NULL;
	struct routes *routes = data;

	if (header->nlmsg_type != RTM_NEWROUTE || route->rtm_type != RTN_LOCAL ||
	    route->rtm_protocol != ONETIME_ROUTE_PROTOCOL || routes->count == ONETIME_POOLS)
		return MNL_CB_OK;
	mnl_attr_parse(header, sizeof(*route), destination_keep, &destination);
	if (destination &&
	    mnl_attr_get_payload_len(destination) == (route->rtm_family == AF_INET ? 4 : 16))
		onetime_prefix_of(&routes->prefix[routes->count++], route->rtm_family,
				  mnl_attr_get_payload(destination), route->rtm_dst_len);
	return MNL_CB_OK;
}

int onetime_routes_end(void)
{
	const struct rtmsg all = { .rtm_family = AF_UNSPEC };
	struct routes routes;
	int err;

	do {
		routes.count = 0;
		err = netlink_dump(RTM_GETROUTE, &all, sizeof(all), route_each, &routes);
		for (unsigned int i = 0; i < routes.count && !err; i++)
			err = onetime_route_del(&routes.prefix[i]);
	} while (!err && routes.count);
	return err;
}

static int flags_get(int fd, uint32_t ifindex, struct ifreq *request)
{
	memset(request, 0, sizeof(*request));
	if (!if_indextoname(ifindex, request->ifr_name))
		return -errno;
	return ioctl(fd, SIOCGIFFLAGS, request) ? -errno : 0;
}

/* The flag is the operator's; who joins groups or captures packets has counts of his own. */
int onetime_allmulti(uint32_t ifindex, bool on)
{
	int fd CLOSE_FD = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request;
	int err = fd < 0 ? -errno : flags_get(fd, ifindex, &request);

	if (err)
		return err;
	if (on)
		request.ifr_flags |= IFF_ALLMULTI;
	else
		request.ifr_flags &= ~IFF_ALLMULTI;
	return ioctl(fd, SIOCSIFFLAGS, &request) ? -errno : 0;
}

int onetime_allmulti_is_on(uint32_t ifindex)
{
	int fd CLOSE_FD = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request;
	int err = fd < 0 ? -errno : flags_get(fd, ifindex, &request);

	return err ?: !!(request.ifr_flags & IFF_ALLMULTI);
}
