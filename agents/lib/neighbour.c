// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "address.h"
#include "neighbour.h"

#define BUFFER_BYTES 32768

static void from_bytes(struct isthmus_addr *addr, int family, const void *bytes)
{
	memset(addr, 0, sizeof(*addr));
	if (family == AF_INET6) {
		memcpy(addr->b, bytes, 16);
		return;
	}
	addr->b[10] = addr->b[11] = 0xff;
	memcpy(addr->b + 12, bytes, 4);
}

static void put_address(struct nlmsghdr *message, uint16_t type, const struct isthmus_addr *addr)
{
	if (address_is_v4(addr))
		mnl_attr_put(message, type, 4, addr->b + 12);
	else
		mnl_attr_put(message, type, 16, addr->b);
}

static uint8_t family_of(const struct isthmus_addr *addr)
{
	return address_is_v4(addr) ? AF_INET : AF_INET6;
}

int neighbour_read(const struct nlmsghdr *message, struct neighbour *neighbour)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(message);
	struct neighbour result = { 0 };
	bool has_addr = false;
	const struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*ndm) ||
	    (ndm->ndm_family != AF_INET && ndm->ndm_family != AF_INET6))
		return -EINVAL;
	mnl_attr_for_each(attr, message, sizeof(*ndm))
	{
		uint16_t type = mnl_attr_get_type(attr), len = mnl_attr_get_payload_len(attr);

		if (type == NDA_DST && len == (ndm->ndm_family == AF_INET ? 4 : 16)) {
			from_bytes(&result.addr, ndm->ndm_family, mnl_attr_get_payload(attr));
			has_addr = true;
		} else if (type == NDA_LLADDR && len == 6) {
			memcpy(result.mac, mnl_attr_get_payload(attr), 6);
			result.has_mac = true;
		}
	}
	if (!has_addr)
		return -EINVAL;
	result.ifindex = ndm->ndm_ifindex;
	result.state = message->nlmsg_type == RTM_DELNEIGH ? NUD_NONE : ndm->ndm_state;
	*neighbour = result;
	return 0;
}

bool neighbour_is_valid(const struct neighbour *neighbour)
{
	return neighbour->has_mac && neighbour->state & (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE |
							 NUD_PROBE | NUD_STALE | NUD_DELAY);
}

struct dump {
	void (*visit)(const struct neighbour *neighbour, void *arg);
	void *arg;
};

static int visit_message(const struct nlmsghdr *message, void *arg)
{
	struct dump *dump = arg;
	struct neighbour neighbour;

	if (message->nlmsg_type == RTM_NEWNEIGH && !neighbour_read(message, &neighbour))
		dump->visit(&neighbour, dump->arg);
	return MNL_CB_OK;
}

/* What is left of an answer whose time was over would be taken for the next one's, for ever. */
static void drop_earlier(struct mnl_socket *socket, char *buffer)
{
	while (recv(mnl_socket_get_fd(socket), buffer, BUFFER_BYTES, MSG_DONTWAIT) > 0)
		;
}

/* Sends and reads to the end of the answer; the kernel answers at once. */
static int ask(struct mnl_socket *socket, struct nlmsghdr *message, mnl_cb_t callback, void *arg)
{
	static unsigned int sequence;
	char buffer[BUFFER_BYTES];
	int verdict;

	drop_earlier(socket, buffer);
	message->nlmsg_seq = ++sequence;
	if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t len = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));

		if (len < 0)
			return -errno;
		verdict = mnl_cb_run(buffer, len, sequence, mnl_socket_get_portid(socket), callback,
				     arg);
	} while (verdict > MNL_CB_STOP);
	return verdict < 0 ? -errno : 0;
}

int neighbour_dump(struct mnl_socket *socket,
		   void (*visit)(const struct neighbour *neighbour, void *arg), void *arg)
{
	struct dump dump = { visit, arg };
	char buffer[256] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

	message->nlmsg_type = RTM_GETNEIGH;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	mnl_nlmsg_put_extra_header(message, sizeof(struct ndmsg));
	return ask(socket, message, visit_message, &dump);
}

int neighbour_use(struct mnl_socket *socket, const struct isthmus_addr *addr, uint32_t ifindex)
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct ndmsg *ndm;

	message->nlmsg_type = RTM_NEWNEIGH;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
	ndm = mnl_nlmsg_put_extra_header(message, sizeof(*ndm));
	ndm->ndm_family = family_of(addr);
	ndm->ndm_ifindex = ifindex;
	ndm->ndm_flags = NTF_USE;
	put_address(message, NDA_DST, addr);
	return ask(socket, message, NULL, NULL);
}

struct found {
	struct neighbour neighbour;
	bool valid;
};

static int read_found(const struct nlmsghdr *message, void *arg)
{
	struct found *found = arg;

	if (message->nlmsg_type == RTM_NEWNEIGH && !neighbour_read(message, &found->neighbour))
		found->valid = neighbour_is_valid(&found->neighbour);
	return MNL_CB_STOP;
}

int neighbour_find(struct mnl_socket *socket, const struct isthmus_addr *addr, uint32_t ifindex,
		   uint8_t mac[6])
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct found found = { 0 };
	struct ndmsg *ndm;
	int err;

	message->nlmsg_type = RTM_GETNEIGH;
	message->nlmsg_flags = NLM_F_REQUEST;
	ndm = mnl_nlmsg_put_extra_header(message, sizeof(*ndm));
	ndm->ndm_family = family_of(addr);
	ndm->ndm_ifindex = ifindex;
	put_address(message, NDA_DST, addr);
	err = ask(socket, message, read_found, &found);
	if (err)
		return err;
	if (!found.valid)
		return -ENOENT;
	memcpy(mac, found.neighbour.mac, 6);
	return 0;
}

static void read_metrics(const struct nlattr *metrics, struct neighbour_route *route)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, metrics)
	{
		if (mnl_attr_get_type(attr) == RTAX_MTU && mnl_attr_get_payload_len(attr) == 4 &&
		    mnl_attr_get_u32(attr) <= UINT16_MAX)
			route->mtu = mnl_attr_get_u32(attr);
	}
}

static void read_attribute(const struct nlattr *attr, int family, struct neighbour_route *route)
{
	const void *payload = mnl_attr_get_payload(attr);
	uint16_t len = mnl_attr_get_payload_len(attr);
	uint16_t address_len = family == AF_INET ? 4 : 16;
	const struct rtvia *via = payload;

	switch (mnl_attr_get_type(attr)) {
	case RTA_GATEWAY:
		if (len == address_len)
			from_bytes(&route->hop, family, payload);
		break;
	case RTA_VIA: /* an IPv4 route by an IPv6 gateway (RFC 5549) */
		if (len == sizeof(*via) + 16 && via->rtvia_family == AF_INET6)
			from_bytes(&route->hop, AF_INET6, via->rtvia_addr);
		break;
	case RTA_PREFSRC:
		if (len == address_len)
			from_bytes(&route->source, family, payload);
		break;
	case RTA_OIF:
		if (len == 4)
			route->ifindex = mnl_attr_get_u32(attr);
		break;
	case RTA_METRICS:
		read_metrics(attr, route);
		break;
	}
}

static int read_route(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;

	if (message->nlmsg_type != RTM_NEWROUTE || rtm->rtm_type != RTN_UNICAST)
		return MNL_CB_STOP;
	mnl_attr_for_each(attr, message, sizeof(*rtm))
	{
		read_attribute(attr, rtm->rtm_family, arg);
	}
	return MNL_CB_STOP;
}

int neighbour_route(struct mnl_socket *socket, const struct isthmus_addr *dst,
		    struct neighbour_route *route)
{
	struct neighbour_route result = { .hop = *dst };
	char buffer[256] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct rtmsg *rtm;
	int err;

	message->nlmsg_type = RTM_GETROUTE;
	message->nlmsg_flags = NLM_F_REQUEST;
	rtm = mnl_nlmsg_put_extra_header(message, sizeof(*rtm));
	rtm->rtm_family = family_of(dst);
	rtm->rtm_dst_len = address_is_v4(dst) ? 32 : 128;
	put_address(message, RTA_DST, dst);
	err = ask(socket, message, read_route, &result);
	if (err)
		return err;
	if (!result.ifindex)
		return -ENETUNREACH;
	*route = result;
	return 0;
}
