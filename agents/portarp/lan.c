// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What the kernel must know of shared addresses on a gateway's LAN: a neighbour entry, so that it
 * never asks who has them (portarp_lan_out puts the right MAC in), and a route if none leads there.
 * And what the datapath must know of devices: their MACs and MTUs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "agent.h"
#include "host.h"
#include "lan.h"
#include "rt.h"

#define MESSAGES_A_CALL 64

const uint8_t lan_nobody[6] = { 0x02, 0x50, 0x45, 0x00, 0x00, 0x01 };

static struct rt_route host_route(const struct shared *shared)
{
	return (struct rt_route){ .dst_be = shared->addr_be,
				  .len = 32,
				  .ifindex = shared->record.ifindex,
				  .table = RT_TABLE_MAIN,
				  .type = RTN_UNICAST,
				  .scope = RT_SCOPE_LINK,
				  .protocol = RT_PROTOCOL };
}

void lan_add(struct agent *agent, struct shared *shared)
{
	uint32_t ifindex = 0;
	int err;

	if (agent->role != PORTARP_GATEWAY || !agent->lan)
		return;
	if (rt_device(agent->lan->rt, shared->addr_be, &ifindex) ||
	    ifindex != shared->record.ifindex) {
		struct rt_route route = host_route(shared);

		err = rt_route(agent->lan->rt, true, &route);
		if (err && err != -EEXIST)
			log_warn("no route to a shared address could be made: %s", strerror(-err));
		else
			shared->routed = true;
	}
	err = rt_neighbour(agent->lan->rt, true, shared->addr_be, shared->record.ifindex,
			   lan_nobody);
	if (err)
		log_warn("no neighbour entry for a shared address could be made: %s",
			 strerror(-err));
	else
		shared->neighbour = true;
}

void lan_remove(struct agent *agent, struct shared *shared)
{
	struct rt_route route = host_route(shared);

	if (agent->role != PORTARP_GATEWAY || !agent->lan)
		return;
	/* Only a route of our protocol number matches. */
	rt_route(agent->lan->rt, false, &route);
	rt_neighbour(agent->lan->rt, false, shared->addr_be, shared->record.ifindex, lan_nobody);
}

/* ---- devices */

struct link_news {
	uint32_t ifindex, mtu;
	uint8_t mac[6];
	bool has_mac, up;
};

static int read_link(const struct nlmsghdr *message, struct link_news *news)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*ifi))
		return -EINVAL;
	memset(news, 0, sizeof(*news));
	news->ifindex = ifi->ifi_index;
	news->up = ifi->ifi_flags & IFF_UP;
	mnl_attr_for_each(attr, message, sizeof(*ifi))
	{
		uint16_t len = mnl_attr_get_payload_len(attr);

		if (mnl_attr_get_type(attr) == IFLA_ADDRESS && len == 6) {
			memcpy(news->mac, mnl_attr_get_payload(attr), 6);
			news->has_mac = true;
		} else if (mnl_attr_get_type(attr) == IFLA_MTU && len == 4) {
			news->mtu = mnl_attr_get_u32(attr);
		}
	}
	return 0;
}

static bool update_link(struct portarp_link *link, const struct link_news *news)
{
	uint16_t mtu = news->mtu > UINT16_MAX ? UINT16_MAX : news->mtu;
	bool changed = false;

	if (news->has_mac && memcmp(link->mac, news->mac, 6)) {
		memcpy(link->mac, news->mac, 6);
		changed = true;
	}
	if (news->mtu && link->mtu != mtu) {
		link->mtu = mtu;
		changed = true;
	}
	return changed;
}

static void update_addresses(struct agent *agent, const struct portarp_link *link)
{
	struct shared *shared;

	TAILQ_FOREACH(shared, &agent->table.addresses, link)
	{
		if (shared->record.ifindex != link->ifindex)
			continue;
		memcpy(shared->record.src_mac, link->mac, 6);
		shared->record.mtu = link->mtu;
		table_write(&agent->table, shared);
	}
}

/* A device that was down has lost its routes, addresses and entries. */
static void link_up(struct agent *agent, uint32_t ifindex)
{
	struct shared *shared;

	if (agent->role == PORTARP_HOST)
		host_link_up(agent, ifindex);
	TAILQ_FOREACH(shared, &agent->table.addresses, link)
	if (shared->record.ifindex == ifindex)
		lan_add(agent, shared);
}

static bool was_up[PORTARP_LINKS];

static int on_link(const struct nlmsghdr *message, void *arg)
{
	struct agent *agent = arg;
	struct portarp_conf *conf = &agent->maps.conf;
	struct link_news news;

	if (message->nlmsg_type != RTM_NEWLINK || read_link(message, &news))
		return MNL_CB_OK;
	/* The loader may have changed what is attached. */
	if (maps_read_conf(&agent->maps))
		return MNL_CB_OK;
	for (int i = 0; i < conf->links && i < PORTARP_LINKS; i++) {
		if (conf->link[i].ifindex != news.ifindex)
			continue;
		if (update_link(&conf->link[i], &news)) {
			if (conf->up_ifindex == news.ifindex)
				memcpy(conf->up_mac, conf->link[i].mac, 6);
			maps_write_conf(&agent->maps);
			update_addresses(agent, &conf->link[i]);
		}
		if (news.up && !was_up[i])
			link_up(agent, news.ifindex);
		was_up[i] = news.up;
	}
	return MNL_CB_OK;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;
	char buffer[16384];

	(void)what;
	for (int i = 0; i < MESSAGES_A_CALL; i++) {
		ssize_t len = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

		if (len < 0 && errno == ENOBUFS)
			continue;
		if (len <= 0)
			return;
		mnl_cb_run(buffer, len, 0, 0, on_link, agent);
	}
}

static int ask_links(struct mnl_socket *monitor)
{
	char buffer[128] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

	message->nlmsg_type = RTM_GETLINK;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	return mnl_socket_sendto(monitor, message, message->nlmsg_len) < 0 ? -errno : 0;
}

static int watch(struct agent *agent)
{
	int group = RTNLGRP_LINK;
	struct lan *lan = agent->lan;

	lan->monitor = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!lan->monitor || mnl_socket_bind(lan->monitor, 0, MNL_SOCKET_AUTOPID) ||
	    mnl_socket_setsockopt(lan->monitor, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
		return -errno;
	lan->readable = event_new(agent->base, mnl_socket_get_fd(lan->monitor),
				  EV_READ | EV_PERSIST, on_readable, agent);
	if (!lan->readable || event_add(lan->readable, NULL))
		return -ENOMEM;
	/* What changed while no agent watched comes by the same way. */
	memset(was_up, true, sizeof(was_up));
	return ask_links(lan->monitor);
}

int lan_start(struct agent *agent, char *error, size_t error_len)
{
	int err = -ENOMEM;

	agent->lan = calloc(1, sizeof(*agent->lan));
	if (agent->lan)
		agent->lan->rt = rt_open();
	if (agent->lan && agent->lan->rt)
		err = watch(agent);
	if (err)
		snprintf(error, error_len, "cannot watch devices: %s", strerror(-err));
	return err;
}

void lan_free(struct agent *agent)
{
	struct lan *lan = agent->lan;

	if (!lan)
		return;
	if (lan->readable)
		event_free(lan->readable);
	if (lan->monitor)
		mnl_socket_close(lan->monitor);
	if (lan->rt)
		mnl_socket_close(lan->rt);
	free(lan);
	agent->lan = NULL;
}
