// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Groups. That a program joins is seen by its option, and the server joins for it. What A sends to
 * a group or to the limited broadcast is for no socket of W, so it is read from the device. The
 * kernel puts IPv4's fragments together, fragment.c IPv6's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "udp.h"

/* ---- joins and leaves */

struct change {
	bool join;
	bool has_source;
	struct ep_name group, source;
};

static void set4(struct ep_name *name, const void *address)
{
	*name = (struct ep_name){ .family = 4, .proto = IPPROTO_UDP };
	name->address.b[10] = name->address.b[11] = 0xff;
	memcpy(name->address.b + 12, address, 4);
}

static void set6(struct ep_name *name, const void *address)
{
	*name = (struct ep_name){ .family = 6, .proto = IPPROTO_UDP };
	memcpy(name->address.b, address, 16);
}

/* struct ip_mreq, ip_mreqn: the group first. ip_mreq_source: group, interface, source. */
static bool read_ip(int option, const uint8_t *value, size_t len, struct change *change)
{
	change->join = option == IP_ADD_MEMBERSHIP || option == IP_ADD_SOURCE_MEMBERSHIP;
	change->has_source =
		option == IP_ADD_SOURCE_MEMBERSHIP || option == IP_DROP_SOURCE_MEMBERSHIP;
	if (len < (change->has_source ? sizeof(struct ip_mreq_source) : sizeof(struct ip_mreq)))
		return false;
	set4(&change->group, value);
	if (change->has_source)
		set4(&change->source, value + offsetof(struct ip_mreq_source, imr_sourceaddr));
	return true;
}

static bool read_ipv6(int option, const uint8_t *value, size_t len, struct change *change)
{
	change->join = option == IPV6_JOIN_GROUP;
	if (len < sizeof(struct ipv6_mreq))
		return false;
	set6(&change->group, value);
	return true;
}

static bool read_address(const uint8_t *value, size_t len, struct ep_name *name)
{
	struct sockaddr_storage address = { 0 };

	memcpy(&address, value, len < sizeof(address) ? len : sizeof(address));
	return !ep_from_sockaddr((struct sockaddr *)&address, sizeof(address), IPPROTO_UDP, true,
				 name);
}

/* struct group_req and group_source_req; of the latter the event has the beginning. */
static bool read_mcast(int option, const uint8_t *value, size_t len, struct change *change)
{
	const size_t group = offsetof(struct group_source_req, gsr_group),
		     source = offsetof(struct group_source_req, gsr_source);

	change->join = option == MCAST_JOIN_GROUP || option == MCAST_JOIN_SOURCE_GROUP;
	change->has_source =
		option == MCAST_JOIN_SOURCE_GROUP || option == MCAST_LEAVE_SOURCE_GROUP;
	if (len < source || !read_address(value + group, source - group, &change->group))
		return false;
	change->group.port = 0;
	if (!change->has_source)
		return true;
	return len >= source + sizeof(struct sockaddr_in6) &&
	       read_address(value + source, len - source, &change->source);
}

static bool is_ip(int option)
{
	return option == IP_ADD_MEMBERSHIP || option == IP_DROP_MEMBERSHIP ||
	       option == IP_ADD_SOURCE_MEMBERSHIP || option == IP_DROP_SOURCE_MEMBERSHIP;
}

static bool is_mcast(int option)
{
	return option == MCAST_JOIN_GROUP || option == MCAST_LEAVE_GROUP ||
	       option == MCAST_JOIN_SOURCE_GROUP || option == MCAST_LEAVE_SOURCE_GROUP;
}

bool group_is_option(int level, int option)
{
	if (level == IPPROTO_IP)
		return is_ip(option) || is_mcast(option);
	return level == IPPROTO_IPV6 &&
	       (option == IPV6_JOIN_GROUP || option == IPV6_LEAVE_GROUP || is_mcast(option));
}

static bool read_change(int level, int option, const uint8_t *value, size_t len,
			struct change *change)
{
	if (is_mcast(option))
		return read_mcast(option, value, len, change);
	return level == IPPROTO_IP ? read_ip(option, value, len, change)
				   : read_ipv6(option, value, len, change);
}

static bool read_option(const struct option *option, struct change *change)
{
	*change = (struct change){ 0 };
	return read_change(option->level, option->name, option->value, option->len, change);
}

bool group_is_leave(const struct option *option)
{
	struct change change;

	return group_is_option(option->level, option->name) &&
	       (!read_option(option, &change) || !change.join);
}

bool group_replaces(const struct option *option, const struct option *older)
{
	struct change change, before;

	if (!group_is_option(option->level, option->name))
		return option->level == older->level && option->name == older->name;
	return group_is_option(older->level, older->name) && read_option(option, &change) &&
	       read_option(older, &before) && ep_name_equal(&change.group, &before.group) &&
	       ep_name_equal(&change.source, &before.source);
}

bool group_tell(struct rsock *rsock, const struct option *option)
{
	struct ep_message message = { .type = EP_GROUP };
	struct change change;

	if (!group_is_option(option->level, option->name))
		return false;
	if (rsock->kind != RSOCK_UDP || !read_option(option, &change) ||
	    change.group.family != rsock->family)
		return true;
	message.name = change.group;
	message.other = change.source;
	message.number = change.join;
	ep_send(rsock->resoa->lhp, rsock->id, &message);
	return true;
}

static void tell(const struct option *option, void *arg)
{
	group_tell(arg, option);
}

void group_send(struct rsock *rsock)
{
	option_each(rsock->resoa, rsock->cookie, tell, rsock);
}

static void note(const struct option *option, void *arg)
{
	if (group_is_option(option->level, option->name))
		*(bool *)arg = true;
}

bool group_any(struct rsock *rsock)
{
	bool any = false;

	option_each(rsock->resoa, rsock->cookie, note, &any);
	return any;
}

/* ---- what A sends to many */

static bool read_udp(const uint8_t *bytes, size_t len, struct datagram *datagram)
{
	struct udphdr header;

	if (len < sizeof(header))
		return false;
	memcpy(&header, bytes, sizeof(header));
	if (ntohs(header.len) < sizeof(header) || ntohs(header.len) > len)
		return false;
	datagram->from.port = header.source;
	datagram->to.port = header.dest;
	datagram->bytes = bytes + sizeof(header);
	datagram->len = ntohs(header.len) - sizeof(header);
	return true;
}

static bool read_ip4(const uint8_t *bytes, size_t len, struct datagram *datagram)
{
	struct iphdr header;
	size_t total, own;

	if (len < sizeof(header))
		return false;
	memcpy(&header, bytes, sizeof(header));
	own = header.ihl * 4u;
	total = ntohs(header.tot_len);
	if (header.version != 4 || own < sizeof(header) || total < own || total > len ||
	    header.protocol != IPPROTO_UDP || header.frag_off & htons(IP_MF | IP_OFFMASK))
		return false;
	set4(&datagram->from, &header.saddr);
	set4(&datagram->to, &header.daddr);
	datagram->ttl = header.ttl;
	datagram->tos = header.tos;
	return read_udp(bytes + own, total - own, datagram);
}

static bool read_ip6(const uint8_t *bytes, size_t len, struct datagram *datagram)
{
	struct ip6_hdr header;
	size_t own = sizeof(header);

	if (len < own)
		return false;
	memcpy(&header, bytes, own);
	if (ntohs(header.ip6_plen) > len - own)
		return false;
	len = ntohs(header.ip6_plen);
	set6(&datagram->from, &header.ip6_src);
	set6(&datagram->to, &header.ip6_dst);
	datagram->ttl = header.ip6_hlim;
	datagram->tos = (uint8_t)(ntohl(header.ip6_flow) >> 20);
	bytes += own;
	if (header.ip6_nxt == IPPROTO_FRAGMENT)
		bytes = fragment_take(datagram, bytes, &len);
	else if (header.ip6_nxt != IPPROTO_UDP)
		return false;
	return bytes && read_udp(bytes, len, datagram);
}

static void on_frame(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t bytes[DATAGRAM_MAX + 1];
	struct udp *udp = arg;
	struct datagram datagram;
	ssize_t len;
	int i;

	(void)what;
	for (i = 0; i < DATAGRAM_TURN && udp_may_read(udp); i++) {
		len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (len < 0)
			return;
		datagram = (struct datagram){ 0 };
		if (fd == udp->many[1] ? read_ip6(bytes, (size_t)len, &datagram)
				       : read_ip4(bytes, (size_t)len, &datagram))
			udp_forward(udp, &datagram);
	}
}

/* From IP's first byte on. */
static const struct sock_filter many4[] = {
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct iphdr, protocol)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 4),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct iphdr, daddr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, INADDR_BROADCAST, 3, 0),
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0xe0000000, 0, 1),
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0xf0000000, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 0),
	BPF_STMT(BPF_RET | BPF_K, DATAGRAM_MAX + 1),
};

static const struct sock_filter many6[] = {
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct ip6_hdr, ip6_nxt)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_FRAGMENT, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 3),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct ip6_hdr, ip6_dst)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xff, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, DATAGRAM_MAX + 1),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

/* The kernel puts IPv4's fragments together for a group of sockets: here, of one. */
static int defragment(int fd)
{
	const int fanout =
		(PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_DEFRAG | PACKET_FANOUT_FLAG_UNIQUEID)
		<< 16;

	return setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &fanout, sizeof(fanout)) ? -errno : 0;
}

/* The filter first: nothing else is ever queued. */
static int open_many(struct udp *udp, int i)
{
	const struct sock_fprog filter = {
		.len = i ? sizeof(many6) / sizeof(many6[0]) : sizeof(many4) / sizeof(many4[0]),
		.filter = (struct sock_filter *)(i ? many6 : many4),
	};
	const struct sockaddr_ll address = { .sll_family = AF_PACKET,
					     .sll_protocol = htons(i ? ETH_P_IPV6 : ETH_P_IP),
					     .sll_ifindex = (int)udp->resoa->net.w0 };
	int fd = net_socket(&udp->resoa->net, NET_W, AF_PACKET, SOCK_DGRAM, 0);

	if (fd < 0)
		return fd;
	udp->many[i] = fd;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)))
		return -errno;
	udp->event[2 + i] = event_new(udp->resoa->base, fd, EV_READ | EV_PERSIST, on_frame, udp);
	if (!udp->event[2 + i])
		return -ENOMEM;
	return i ? 0 : defragment(fd);
}

int group_open(struct udp *udp)
{
	int rc = open_many(udp, 0);

	return rc ? rc : open_many(udp, 1);
}

void group_close(struct udp *udp)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (udp->many[i] >= 0)
			close(udp->many[i]);
}
