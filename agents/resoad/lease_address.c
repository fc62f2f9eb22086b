// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A leased address on the server's device: /32, so that it makes no route, depends on no other
 * address of the device and is not what the host's own programs send from. The device answers ARP
 * for it with its own MAC, as for each of its addresses.
 *
 * Its lifetime is the lease's: when this daemon is killed, the kernel takes it away in time. And
 * it has a label, by which the next one takes it away at once.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <net/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/rtnl.h"
#include "lease.h"

#define ANSWER_S  2
#define MARGIN_S  2 /* sockets of an address end before it does */
#define SWEEP_MAX 64

/* ---- what the device has */

struct found {
	uint32_t address;
	int ifindex;
};

struct search {
	const char *label;
	uint32_t address;
	bool others; /* it is there, and not from here */
	struct found own[SWEEP_MAX];
	unsigned int count;
};

static int on_address(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr, *local = NULL, *label = NULL;
	struct search *search = arg;
	uint32_t address;

	mnl_attr_for_each(attr, message, sizeof(*head))
	{
		if (mnl_attr_get_type(attr) == IFA_LOCAL)
			local = attr;
		else if (mnl_attr_get_type(attr) == IFA_LABEL)
			label = attr;
	}
	if (head->ifa_family != AF_INET || !local || mnl_attr_get_payload_len(local) != 4)
		return MNL_CB_OK;
	address = ntohl(mnl_attr_get_u32(local));
	if (head->ifa_prefixlen != 32 || !label || strcmp(mnl_attr_get_str(label), search->label))
		search->others |= address == search->address;
	else if (search->count < SWEEP_MAX)
		search->own[search->count++] = (struct found){ address, head->ifa_index };
	return MNL_CB_OK;
}

static int look(const struct lease_device *device, struct search *search)
{
	char buffer[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct ifaddrmsg))] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, RTM_GETADDR, NLM_F_DUMP);
	struct ifaddrmsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));

	head->ifa_family = AF_INET;
	search->label = device->label;
	return rtnl_ask(device->rtnl, message, on_address, search);
}

/* ---- changing it */

static int change(const struct lease_device *device, const struct found *what, uint16_t type,
		  uint32_t seconds)
{
	const uint16_t flags = type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0;
	const uint32_t wire = htonl(what->address);
	char buffer[256] = { 0 };
	struct nlmsghdr *message = rtnl_begin(buffer, type, flags);
	struct ifaddrmsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));
	uint32_t valid = seconds < LEASE_FOREVER - MARGIN_S ? seconds + MARGIN_S : LEASE_FOREVER;
	struct ifa_cacheinfo life = { .ifa_valid = valid, .ifa_prefered = valid };

	head->ifa_family = AF_INET;
	head->ifa_prefixlen = 32;
	head->ifa_scope = RT_SCOPE_UNIVERSE;
	head->ifa_index = what->ifindex;
	mnl_attr_put_u32(message, IFA_LOCAL, wire);
	mnl_attr_put_u32(message, IFA_ADDRESS, wire);
	mnl_attr_put_strz(message, IFA_LABEL, device->label);
	if (type == RTM_NEWADDR)
		mnl_attr_put(message, IFA_CACHEINFO, sizeof(life), &life);
	return rtnl_ask(device->rtnl, message, NULL, NULL);
}

int lease_address_put(const struct lease_device *device, uint32_t address, uint32_t seconds)
{
	struct search search = { .address = address };
	int err = look(device, &search);

	if (err)
		return err;
	if (search.others)
		return -EEXIST;
	return lease_address_keep(device, address, seconds);
}

int lease_address_keep(const struct lease_device *device, uint32_t address, uint32_t seconds)
{
	const struct found what = { address, device->link.ifindex };

	return change(device, &what, RTM_NEWADDR, seconds);
}

int lease_address_remove(const struct lease_device *device, uint32_t address)
{
	const struct found what = { address, device->link.ifindex };

	return change(device, &what, RTM_DELADDR, 0);
}

static int sweep(const struct lease_device *device)
{
	struct search search;
	int err;

	do {
		search = (struct search){ 0 };
		err = look(device, &search);
		for (unsigned int i = 0; i < search.count && !err; i++)
			err = change(device, &search.own[i], RTM_DELADDR, 0);
	} while (!err && search.count);
	return err;
}

/* ---- beside it */

void lease_address_announce(const struct lease_device *device, uint32_t address)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ARP),
				  .sll_ifindex = device->link.ifindex,
				  .sll_halen = ETH_ALEN };
	const uint32_t wire = htonl(address);
	struct {
		struct ethhdr eth;
		struct arphdr arp;
		uint8_t sender[ETH_ALEN], sender_ip[4], target[ETH_ALEN], target_ip[4];
	} frame = { .eth = { .h_proto = htons(ETH_P_ARP) },
		    .arp = { htons(ARPHRD_ETHER), htons(ETH_P_IP), ETH_ALEN, 4,
			     htons(ARPOP_REQUEST) } };

	_Static_assert(sizeof(frame) == 42, "no padding");
	memset(frame.eth.h_dest, 0xff, ETH_ALEN);
	memcpy(frame.eth.h_source, device->link.mac, ETH_ALEN);
	memcpy(frame.sender, device->link.mac, ETH_ALEN);
	memcpy(frame.sender_ip, &wire, 4);
	memcpy(frame.target_ip, &wire, 4);
	memset(to.sll_addr, 0xff, ETH_ALEN);
	sendto(device->link.fd, &frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to));
}

int lease_address_hold_port(uint32_t address)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_port = htons(DHCP_CLIENT_PORT),
				    .sin_addr.s_addr = htonl(address) };
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { 1, &nothing };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) &&
	    !bind(fd, (struct sockaddr *)&name, sizeof(name)))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* ---- begin and end */

/* FNV-1a: two daemons of one host have two control sockets, and so two labels. */
static void make_label(const char *owner, char label[IF_NAMESIZE])
{
	uint32_t hash = 2166136261u;

	for (; *owner; owner++)
		hash = (hash ^ (uint8_t)*owner) * 16777619u;
	snprintf(label, IF_NAMESIZE, "resoad-%08x", hash);
}

int lease_device_open(const char *name, const char *owner, struct lease_device *device, char *error,
		      size_t error_len)
{
	struct lease_device result = { .rtnl = NULL };
	int err = dhcp_link_open(name, DHCP_CLIENT_PORT, &result.link, error, error_len);

	if (err)
		return err;
	make_label(owner, result.label);
	result.rtnl = rtnl_open(ANSWER_S);
	err = result.rtnl ? sweep(&result) : -errno;
	if (err) {
		snprintf(error, error_len, "addresses of %s: %s", name, strerror(-err));
		lease_device_close(&result);
		return err;
	}
	*device = result;
	return 0;
}

void lease_device_close(struct lease_device *device)
{
	dhcp_link_close(&device->link);
	if (device->rtnl)
		mnl_socket_close(device->rtnl);
	device->rtnl = NULL;
}
