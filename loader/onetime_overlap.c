// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * May a prefix be a pool? Its route takes all its addresses to this host: those of neighbours would
 * be unreachable from here, and those that others make for themselves (RFC 4862) would be answered
 * for. So it must not overlap what is on a link, but for a part of it that nobody uses.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#include "address.h"
#include "netlink.h"
#include "onetime.h"
#include "onetime_prefix.h"

#ifndef IFA_PROTO
#define IFA_PROTO 11
#endif
#define BY_RA 2 /* IFAPROT_KERNEL_RA: from a router's announcement */

enum found {
	FOUND_NONE,
	FOUND_PART,	 /* within a prefix of its own link: told, and taken */
	FOUND_NEIGHBOUR, /* the worst of what was found counts */
	FOUND_WHOLE,
	FOUND_ELSEWHERE,
	FOUND_ANNOUNCED,
	FOUND_LOCAL,
	FOUND_OWN,
	FOUND_POOL,
};

struct search {
	const struct onetime_prefix *wanted;
	uint32_t ifindex;
	enum found found;
	struct onetime_prefix by;
	uint32_t by_ifindex;
};

static void note(struct search *search, enum found found, const struct onetime_prefix *by,
		 uint32_t ifindex)
{
	if (found <= search->found)
		return;
	search->found = found;
	search->by = *by;
	search->by_ifindex = ifindex;
}

/* A prefix that is on a link; announced: by a router, for hosts to make addresses of. */
static void note_on_link(struct search *search, const struct onetime_prefix *prefix,
			 uint32_t ifindex, bool announced)
{
	if (!onetime_prefix_overlaps(prefix, search->wanted))
		return;
	if (onetime_prefix_holds(search->wanted, prefix))
		note(search, FOUND_WHOLE, prefix, ifindex);
	else if (announced)
		note(search, FOUND_ANNOUNCED, prefix, ifindex);
	else
		note(search, ifindex == search->ifindex ? FOUND_PART : FOUND_ELSEWHERE, prefix,
		     ifindex);
}

struct attributes {
	const struct nlattr *item[32];
};

static int attribute_keep(const struct nlattr *attribute, void *data)
{
	struct attributes *attributes = data;
	unsigned int type = mnl_attr_get_type(attribute);

	if (type < COUNT_OF(attributes->item))
		attributes->item[type] = attribute;
	return MNL_CB_OK;
}

static bool has_length(const struct nlattr *attribute, int family)
{
	return attribute && mnl_attr_get_payload_len(attribute) == (family == AF_INET ? 4 : 16);
}

/* ---- addresses */

static bool is_announced(const struct ifaddrmsg *address, const struct attributes *attributes)
{
	const struct nlattr *proto = attributes->item[IFA_PROTO];
	const struct nlattr *flags = attributes->item[IFA_FLAGS];

	if (proto && mnl_attr_get_payload_len(proto) == 1)
		return mnl_attr_get_u8(proto) == BY_RA;
	/* before 5.18: what a host makes itself is of 64 bits, and ends */
	return address->ifa_family == AF_INET6 && address->ifa_prefixlen == 64 && flags &&
	       !(mnl_attr_get_u32(flags) & IFA_F_PERMANENT);
}

static int address_each(const struct nlmsghdr *header, void *data)
{
	const struct ifaddrmsg *address = mnl_nlmsg_get_payload(header);
	int family = address->ifa_family;
	struct onetime_prefix own, on_link;
	struct attributes attributes = {};
	struct search *search = data;
	const struct nlattr *local;

	if (header->nlmsg_type != RTM_NEWADDR || (family != AF_INET && family != AF_INET6))
		return MNL_CB_OK;
	mnl_attr_parse(header, sizeof(*address), attribute_keep, &attributes);
	local = attributes.item[IFA_LOCAL] ?: attributes.item[IFA_ADDRESS];
	if (!has_length(local, family) || !has_length(attributes.item[IFA_ADDRESS], family))
		return MNL_CB_OK;
	onetime_prefix_of(&own, family, mnl_attr_get_payload(local), family == AF_INET ? 32 : 128);
	onetime_prefix_of(&on_link, family, mnl_attr_get_payload(attributes.item[IFA_ADDRESS]),
			  address->ifa_prefixlen);
	if (onetime_prefix_holds(search->wanted, &own))
		note(search, FOUND_OWN, &own, address->ifa_index);
	note_on_link(search, &on_link, address->ifa_index, is_announced(address, &attributes));
	return MNL_CB_OK;
}

/* ---- routes */

static bool has_gateway(const struct attributes *attributes)
{
	return attributes->item[RTA_GATEWAY] || attributes->item[RTA_VIA] ||
	       attributes->item[RTA_MULTIPATH];
}

/* Routes that routers' announcements make end by themselves. */
static bool expires(const struct attributes *attributes)
{
	const struct nlattr *info = attributes->item[RTA_CACHEINFO];

	return info && mnl_attr_get_payload_len(info) >= sizeof(struct rta_cacheinfo) &&
	       ((const struct rta_cacheinfo *)mnl_attr_get_payload(info))->rta_expires;
}

static void route_note(struct search *search, const struct rtmsg *route,
		       const struct attributes *attributes, const struct onetime_prefix *prefix)
{
	const struct nlattr *device = attributes->item[RTA_OIF];
	uint32_t ifindex = device ? mnl_attr_get_u32(device) : 0;

	if (route->rtm_type == RTN_LOCAL || route->rtm_type == RTN_BROADCAST ||
	    route->rtm_type == RTN_ANYCAST) {
		if (onetime_prefix_overlaps(search->wanted, prefix))
			note(search,
			     route->rtm_protocol == ONETIME_ROUTE_PROTOCOL ? FOUND_POOL
									   : FOUND_LOCAL,
			     prefix, ifindex);
	} else if (route->rtm_type == RTN_UNICAST && ifindex && !has_gateway(attributes)) {
		note_on_link(search, prefix, ifindex,
			     route->rtm_protocol == RTPROT_RA || expires(attributes));
	}
}

static int route_each(const struct nlmsghdr *header, void *data)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(header);
	struct attributes attributes = {};
	struct onetime_prefix prefix;

	/* 0 is `default`: it is on no link */
	if (header->nlmsg_type != RTM_NEWROUTE || !route->rtm_dst_len ||
	    route->rtm_flags & RTM_F_CLONED)
		return MNL_CB_OK;
	mnl_attr_parse(header, sizeof(*route), attribute_keep, &attributes);
	if (!has_length(attributes.item[RTA_DST], route->rtm_family))
		return MNL_CB_OK;
	onetime_prefix_of(&prefix, route->rtm_family,
			  mnl_attr_get_payload(attributes.item[RTA_DST]), route->rtm_dst_len);
	route_note(data, route, &attributes, &prefix);
	return MNL_CB_OK;
}

/* ---- neighbours */

static int neighbour_each(const struct nlmsghdr *header, void *data)
{
	const uint16_t nobody = NUD_FAILED | NUD_INCOMPLETE | NUD_NOARP | NUD_NONE;
	const struct ndmsg *neighbour = mnl_nlmsg_get_payload(header);
	int family = neighbour->ndm_family;
	struct attributes attributes = {};
	struct search *search = data;
	struct onetime_prefix prefix;

	if (header->nlmsg_type != RTM_NEWNEIGH || (family != AF_INET && family != AF_INET6) ||
	    !(neighbour->ndm_state & ~nobody))
		return MNL_CB_OK;
	mnl_attr_parse(header, sizeof(*neighbour), attribute_keep, &attributes);
	if (!has_length(attributes.item[NDA_DST], family))
		return MNL_CB_OK;
	onetime_prefix_of(&prefix, family, mnl_attr_get_payload(attributes.item[NDA_DST]),
			  family == AF_INET ? 32 : 128);
	if (onetime_prefix_holds(search->wanted, &prefix))
		note(search, FOUND_NEIGHBOUR, &prefix, neighbour->ndm_ifindex);
	return MNL_CB_OK;
}

/* ---- what came of it */

static int search_all(struct search *search)
{
	uint8_t family = onetime_prefix_is_v4(search->wanted) ? AF_INET : AF_INET6;
	const struct ifaddrmsg addresses = { .ifa_family = family };
	const struct rtmsg routes = { .rtm_family = family };
	const struct ndmsg neighbours = { .ndm_family = family };
	int err = netlink_dump(RTM_GETADDR, &addresses, sizeof(addresses), address_each, search);

	if (!err)
		err = netlink_dump(RTM_GETROUTE, &routes, sizeof(routes), route_each, search);
	if (!err)
		err = netlink_dump(RTM_GETNEIGH, &neighbours, sizeof(neighbours), neighbour_each,
				   search);
	return err;
}

static const char *device_name(uint32_t ifindex, char name[IF_NAMESIZE])
{
	return if_indextoname(ifindex, name) ?: "a device";
}

static int verdict(const struct search *search)
{
	char text[ONETIME_PREFIX_TEXT], by[ONETIME_PREFIX_TEXT], device[IF_NAMESIZE];
	char name[ADDRESS_TEXT];

	onetime_prefix_text(search->wanted, text);
	onetime_prefix_text(&search->by, by);
	address_text(&search->by.addr, name);
	device_name(search->by_ifindex, device);
	switch (search->found) {
	case FOUND_NONE:
		return EXIT_DONE;
	case FOUND_PART:
		notice("%s: part of %s, which is on the link of %s: no other host there may have "
		       "an address of it",
		       text, by, device);
		return EXIT_DONE;
	case FOUND_NEIGHBOUR:
		return complain(EXIT_FAILED,
				"%s: a neighbour on %s has its address %s; name a prefix that "
				"nobody uses",
				text, device, name);
	case FOUND_WHOLE:
		return complain(EXIT_FAILED,
				"%s: %s is on the link of %s, and its hosts would be unreachable; "
				"name a prefix that is routed to this host, or a part of the "
				"link's that nobody uses",
				text, by, device);
	case FOUND_ELSEWHERE:
		return complain(EXIT_FAILED,
				"%s: part of %s, which is on the link of %s; name that device, or "
				"another prefix",
				text, by, device);
	case FOUND_ANNOUNCED:
		return complain(EXIT_FAILED,
				"%s: part of %s, which a router on %s announces: hosts make "
				"addresses of it for themselves; name a prefix outside of it",
				text, by, device);
	case FOUND_OWN:
		return complain(EXIT_FAILED,
				"%s: %s has its address %s; name a prefix without addresses of "
				"this host",
				text, device, name);
	case FOUND_LOCAL:
		return complain(EXIT_FAILED,
				"%s: %s is in the local table already; `ip route show table local` "
				"tells by whom; name another prefix",
				text, by);
	case FOUND_POOL:
		return complain(EXIT_FAILED,
				"%s: %s is a pool already, maybe of another instance; name another "
				"prefix",
				text, by);
	}
	return EXIT_FAILED;
}

int onetime_overlap_check(const struct onetime_prefix *prefix, uint32_t ifindex)
{
	struct search search = { .wanted = prefix, .ifindex = ifindex };
	int err = search_all(&search);

	if (err)
		return complain(EXIT_FAILED,
				"onetime: rtnetlink: cannot list addresses, routes, neighbours: %s",
				strerror(-err));
	return verdict(&search);
}
