// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/address.h"
#include "network.h"

#define DUMP_BYTES 32768

/* Of a netlink attribute, 4 or 16 bytes. */
static void set_prefix(struct prefix *prefix, const void *bytes, uint8_t family, uint8_t bits)
{
	memset(prefix, 0, sizeof(*prefix));
	if (family == AF_INET) {
		prefix->address.b[10] = prefix->address.b[11] = 0xff;
		if (bytes)
			memcpy(prefix->address.b + 12, bytes, 4);
		prefix->bits = 96 + bits;
		return;
	}
	if (bytes)
		memcpy(prefix->address.b, bytes, 16);
	prefix->bits = bits;
}

static size_t family_bytes(uint8_t family)
{
	return family == AF_INET ? 4 : 16;
}

/* On an interface with a peer, IFA_LOCAL is ours. */
static int on_address(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *head = mnl_nlmsg_get_payload(message);
	struct network *network = arg;
	const struct nlattr *attr, *address = NULL, *local = NULL;
	struct held_address *held = &network->held[network->held_count];

	mnl_attr_for_each(attr, message, sizeof(*head))
	{
		if (mnl_attr_get_type(attr) == IFA_ADDRESS)
			address = attr;
		else if (mnl_attr_get_type(attr) == IFA_LOCAL)
			local = attr;
	}
	if (local)
		address = local;
	if (!address || mnl_attr_get_payload_len(address) != family_bytes(head->ifa_family) ||
	    head->ifa_scope >= RT_SCOPE_LINK || network->held_count == ADDRESSES_MAX)
		return MNL_CB_OK;
	set_prefix(&held->prefix, mnl_attr_get_payload(address), head->ifa_family,
		   head->ifa_prefixlen);
	held->ifindex = head->ifa_index;
	network->held_count++;
	return MNL_CB_OK;
}

static bool is_link_local(const struct prefix *to)
{
	return !address_is_v4(&to->address) && to->bits &&
	       ((to->address.b[0] == 0xfe && (to->address.b[1] & 0xc0) == 0x80) ||
		to->address.b[0] == 0xff);
}

static bool has_route(const struct network *network, const struct prefix *to)
{
	for (unsigned int i = 0; i < network->route_count; i++)
		if (network->route[i].to.bits == to->bits &&
		    address_equal(&network->route[i].to.address, &to->address))
			return true;
	return false;
}

/* As REGISTERED has it, NULL for an ordinary one. False: of a type that is not exported. */
static bool type_name(uint8_t type, const char **name)
{
	static const char *const names[] = { [RTN_UNREACHABLE] = "unreachable",
					     [RTN_PROHIBIT] = "prohibit",
					     [RTN_BLACKHOLE] = "blackhole" };

	*name = type < sizeof(names) / sizeof(names[0]) ? names[type] : NULL;
	return *name || type == RTN_UNICAST;
}

static void add_route(struct network *network, const struct prefix *to, const char *type)
{
	if (is_link_local(to) || has_route(network, to))
		return;
	if (network->route_count == ROUTES_MAX) {
		network->truncated = true;
		return;
	}
	network->route[network->route_count++] = (struct route){ *to, type };
}

static int on_route(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *head = mnl_nlmsg_get_payload(message);
	uint32_t table = head->rtm_table;
	const struct nlattr *attr, *to = NULL;
	struct prefix prefix;
	const char *type;

	mnl_attr_for_each(attr, message, sizeof(*head))
	{
		if (mnl_attr_get_type(attr) == RTA_DST)
			to = attr;
		else if (mnl_attr_get_type(attr) == RTA_TABLE)
			table = mnl_attr_get_u32(attr);
	}
	if (table != RT_TABLE_MAIN || head->rtm_flags & RTM_F_CLONED ||
	    (to && mnl_attr_get_payload_len(to) != family_bytes(head->rtm_family)))
		return MNL_CB_OK;
	if (!type_name(head->rtm_type, &type))
		return MNL_CB_OK;
	set_prefix(&prefix, to ? mnl_attr_get_payload(to) : NULL, head->rtm_family,
		   head->rtm_dst_len);
	add_route(arg, &prefix, type);
	return MNL_CB_OK;
}

static int dump(struct mnl_socket *socket, uint16_t type, uint8_t family, mnl_cb_t on_message,
		void *arg)
{
	char buffer[DUMP_BYTES];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	ssize_t len;
	int rc = MNL_CB_OK;

	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	((struct rtgenmsg *)mnl_nlmsg_put_extra_header(request, sizeof(struct rtmsg)))
		->rtgen_family = family;
	if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return -errno;
	while (rc > MNL_CB_STOP) {
		len = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (len < 0)
			return -errno;
		rc = mnl_cb_run(buffer, len, 0, 0, on_message, arg);
	}
	return rc < 0 ? -errno : 0;
}

int network_read(struct network *network)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int err = 0;

	if (!socket)
		return -errno;
	network->held_count = network->route_count = 0;
	network->truncated = false;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID))
		err = -errno;
	for (int i = 0; i < 2 && !err; i++) {
		err = dump(socket, RTM_GETADDR, families[i], on_address, network);
		if (!err)
			err = dump(socket, RTM_GETROUTE, families[i], on_route, network);
	}
	mnl_socket_close(socket);
	return err;
}

int network_watch(void)
{
	static const uint32_t groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
				       RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
	const struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), err;

	if (fd < 0)
		return -errno;
	if (!bind(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}
