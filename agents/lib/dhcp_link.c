// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dhcp_link.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

/* Untagged, unfragmented IPv4 UDP to the port; all else stays in the kernel. */
static int attach_filter(int fd, uint16_t port)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_VLAN_TAG),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x0fff, 10, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0800, 0, 8),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 4, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int read_device(int fd, struct dhcp_link *link)
{
	struct ifreq request;

	memset(&request, 0, sizeof(request));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", link->name);
	if (ioctl(fd, SIOCGIFINDEX, &request))
		return -errno;
	link->ifindex = request.ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		return -errno;
	if (request.ifr_hwaddr.sa_family != 1)
		return -EPFNOSUPPORT;
	memcpy(link->mac, request.ifr_hwaddr.sa_data, DHCP_MAC);
	if (!ioctl(fd, SIOCGIFADDR, &request))
		link->address =
			ntohl(((struct sockaddr_in *)(void *)&request.ifr_addr)->sin_addr.s_addr);
	return 0;
}

/*
 * The filter comes before the bind, so that nothing else is queued. A client reads before the tc
 * programs of a shared address, which drop what is for port 68 (ETH_P_ALL is where tcpdump reads).
 */
static int open_packet(struct dhcp_link *link)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(link->port == DHCP_CLIENT_PORT ? ETH_P_ALL : ETH_P_IP)
	};
	const int on = 1;

	link->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (link->fd < 0 || attach_filter(link->fd, link->port))
		return -errno;
	setsockopt(link->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
	if (setsockopt(link->fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) ||
	    setsockopt(link->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)))
		return -errno;
	address.sll_ifindex = link->ifindex;
	return bind(link->fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
}

int dhcp_link_open(const char *name, uint16_t port, struct dhcp_link *link, char *error,
		   size_t error_len)
{
	struct dhcp_link result = { .fd = -1, .udp = -1, .port = port };
	int fd, err;

	if (strlen(name) >= sizeof(result.name)) {
		snprintf(error, error_len, "%s: no such device", name);
		return -ENODEV;
	}
	strcpy(result.name, name);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	err = fd < 0 ? -errno : read_device(fd, &result);
	if (fd >= 0)
		close(fd);
	if (!err)
		err = open_packet(&result);
	if (err) {
		snprintf(error, error_len, "device %s: %s%s", name, strerror(-err),
			 err == -EPERM ? "; CAP_NET_RAW is needed" : "");
		dhcp_link_close(&result);
		return err;
	}
	*link = result;
	return 0;
}

int dhcp_link_open_udp(struct dhcp_link *link, char *error, size_t error_len)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(link->port) };
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { 1, &nothing };
	const int on = 1;
	int fd, err;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) &&
	    !setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) &&
	    !setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, link->name, strlen(link->name)) &&
	    !bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		link->udp = fd;
		return 0;
	}
	err = -errno;
	snprintf(error, error_len, "UDP port %u of %s: %s%s", link->port, link->name,
		 strerror(-err), err == -EADDRINUSE ? "; another DHCP server runs there" : "");
	if (fd >= 0)
		close(fd);
	return err;
}

int dhcp_link_listen_for(const struct dhcp_link *link, const uint8_t mac[DHCP_MAC], bool listen)
{
	struct packet_mreq request = { .mr_ifindex = link->ifindex,
				       .mr_type = PACKET_MR_UNICAST,
				       .mr_alen = DHCP_MAC };

	memcpy(request.mr_address, mac, DHCP_MAC);
	return setsockopt(link->fd, SOL_PACKET,
			  listen ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP, &request,
			  sizeof(request))
		       ? -errno
		       : 0;
}

void dhcp_link_close(struct dhcp_link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	if (link->udp >= 0)
		close(link->udp);
	link->fd = link->udp = -1;
}

/* A frame that was made on this machine may have no finished checksum. */
static bool is_summed(struct msghdr *header)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		return !(aux.tp_status & TP_STATUS_CSUMNOTREADY);
	}
	return true;
}

int dhcp_link_receive(const struct dhcp_link *link, uint8_t frame[DHCP_FRAME_MAX],
		      struct dhcp_frame_ends *ends, const uint8_t **message)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct iovec part = { frame, DHCP_FRAME_MAX };
	struct msghdr header = { .msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control) };
	ssize_t len = recvmsg(link->fd, &header, 0);
	size_t message_len;

	if (len < 0)
		return errno == EINTR ? -EBADMSG : -errno;
	if (header.msg_flags & MSG_TRUNC ||
	    dhcp_frame_read(frame, len, is_summed(&header), ends, message, &message_len))
		return -EBADMSG;
	return message_len;
}

int dhcp_link_send(const struct dhcp_link *link, struct dhcp_frame_ends *ends, const void *message,
		   size_t len)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_IP),
				  .sll_ifindex = link->ifindex,
				  .sll_halen = DHCP_MAC };
	uint8_t frame[DHCP_FRAME_MAX];
	int total;

	memcpy(ends->src_mac, link->mac, DHCP_MAC);
	ends->sport = link->port;
	memcpy(to.sll_addr, ends->dst_mac, DHCP_MAC);
	total = dhcp_frame_write(ends, message, len, frame);
	if (total < 0)
		return total;
	return sendto(link->fd, frame, total, 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno
											 : 0;
}

int dhcp_link_send_udp(const struct dhcp_link *link, uint32_t to, uint16_t port,
		       const void *message, size_t len)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(to) };

	return sendto(link->udp, message, len, 0, (struct sockaddr *)&address, sizeof(address)) < 0
		       ? -errno
		       : 0;
}
