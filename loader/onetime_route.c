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
