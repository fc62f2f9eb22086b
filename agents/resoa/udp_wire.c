// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Into A: datagrams and ICMP errors whose sources are peers, from raw sockets of W, which write any
 * source and any port and leave fragments to the kernel. They receive nothing: each is bound to an
 * address of loopback, which nothing of A is sent to.
 */
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "udp.h"

#define BUFFER_BYTES (4 << 20)
#define QUOTE_MAX    1024

static int on(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

static int prepare(int fd, uint8_t family, int proto)
{
	const bool v6 = family == 6;
	const int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
	int rc = on(fd, level, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1);

	/* The datagram's checksum covers a source that only the kernel puts together. */
	if (!rc && v6 && proto == IPPROTO_UDP)
		rc = on(fd, IPPROTO_IPV6, IPV6_CHECKSUM, offsetof(struct udphdr, check));
	if (!rc)
		rc = on(fd, level, v6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP, 0);
	if (!rc)
		rc = on(fd, level, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
			v6 ? IPV6_PMTUDISC_DONT : IP_PMTUDISC_DONT);
	if (!rc)
		rc = on(fd, SOL_SOCKET, SO_BROADCAST, 1);
	on(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES);
	return rc;
}

static int bind_loopback(int fd, uint8_t family)
{
	const struct ep_name name = {
		.family = family, .address = { .b = { [15] = 1, [12] = family == 4 ? 127 : 0 } }
	};
	struct sockaddr_storage address;
	socklen_t len = ep_to_sockaddr(&name, &address);

	return bind(fd, (struct sockaddr *)&address, len) ? -errno : 0;
}

static int open_raw(struct udp *udp, uint8_t family, int proto)
{
	const struct net *net = &udp->resoa->net;
	int rc, fd = net_socket(net, NET_W, family == 6 ? AF_INET6 : AF_INET, SOCK_RAW, proto);

	if (fd < 0)
		return fd;
	rc = prepare(fd, family, proto);
	if (!rc)
		rc = bind_loopback(fd, family);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

int udp_wire_open(struct udp *udp)
{
	static const uint8_t families[2] = { 4, 6 };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		udp->raw[i] = open_raw(udp, families[i], IPPROTO_UDP);
		if (udp->raw[i] < 0)
			return udp->raw[i];
		udp->icmp[i] = open_raw(udp, families[i], i ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
		if (udp->icmp[i] < 0)
			return udp->icmp[i];
	}
	return 0;
}

void udp_wire_close(struct udp *udp)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		if (udp->raw[i] >= 0)
			close(udp->raw[i]);
		if (udp->icmp[i] >= 0)
			close(udp->icmp[i]);
	}
}

/* The kernel takes the ports from the header, and wants none in a raw socket's address. */
static int send_raw(struct udp *udp, const int fds[2], const struct datagram *datagram,
		    const struct iovec *parts, int count)
{
	struct datagram raw = *datagram;

	raw.to.port = 0;
	raw.ifindex = udp->resoa->net.w0;
	return datagram_send(fds[UDP_INDEX(raw.to.family)], &raw, parts, count);
}

/* Without checksum in IPv4 (RFC 768): between two ends of one machine nothing gets lost of it. */
int udp_wire_send(struct udp *udp, const struct datagram *datagram)
{
	struct udphdr header = { .source = datagram->from.port,
				 .dest = datagram->to.port,
				 .len = htons((uint16_t)(sizeof(header) + datagram->len)) };
	const struct iovec parts[2] = { { &header, sizeof(header) },
					{ (void *)datagram->bytes, datagram->len } };

	return send_raw(udp, udp->raw, datagram, parts, datagram->len ? 2 : 1);
}

/* ---- ICMP: an error, behind it the datagram's headers and beginning */

struct quote {
	union {
		struct icmphdr icmp;
		struct icmp6_hdr icmp6;
	} error;
	uint8_t bytes[sizeof(struct ip6_hdr) + sizeof(struct udphdr) + QUOTE_MAX];
};

static uint16_t checksum(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint32_t sum = 0;

	for (; len > 1; at += 2, len -= 2)
		sum += (uint32_t)(at[0] << 8 | at[1]);
	if (len)
		sum += (uint32_t)at[0] << 8;
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return htons((uint16_t)~sum);
}

static size_t quote_ip4(const struct datagram *datagram, uint8_t *at)
{
	struct iphdr header = { .version = 4,
				.ihl = 5,
				.tos = datagram->tos,
				.ttl = datagram->ttl ? datagram->ttl : IPDEFTTL,
				.protocol = IPPROTO_UDP };

	header.tot_len = htons((uint16_t)(sizeof(header) + sizeof(struct udphdr) + datagram->len));
	memcpy(&header.saddr, datagram->from.address.b + 12, 4);
	memcpy(&header.daddr, datagram->to.address.b + 12, 4);
	header.check = checksum(&header, sizeof(header));
	memcpy(at, &header, sizeof(header));
	return sizeof(header);
}

static size_t quote_ip6(const struct datagram *datagram, uint8_t *at)
{
	struct ip6_hdr header = { .ip6_flow = htonl(6u << 28 | (uint32_t)datagram->tos << 20) };

	header.ip6_plen = htons((uint16_t)(sizeof(struct udphdr) + datagram->len));
	header.ip6_nxt = IPPROTO_UDP;
	header.ip6_hlim = datagram->ttl ? datagram->ttl : IPDEFTTL;
	memcpy(&header.ip6_src, datagram->from.address.b, 16);
	memcpy(&header.ip6_dst, datagram->to.address.b, 16);
	memcpy(at, &header, sizeof(header));
	return sizeof(header);
}

static size_t quote(const struct datagram *datagram, uint8_t *at)
{
	const struct udphdr header = { .source = datagram->from.port,
				       .dest = datagram->to.port,
				       .len = htons((uint16_t)(sizeof(header) + datagram->len)) };
	const size_t len = datagram->len < QUOTE_MAX ? datagram->len : QUOTE_MAX;
	size_t done = datagram->to.family == 6 ? quote_ip6(datagram, at) : quote_ip4(datagram, at);

	memcpy(at + done, &header, sizeof(header));
	done += sizeof(header);
	if (len)
		memcpy(at + done, datagram->bytes, len);
	return done + len;
}

/* The kernel makes ICMPv6's checksum. */
static void head4(struct quote *message, const struct ep_message *error, size_t len)
{
	message->error.icmp =
		(struct icmphdr){ .type = error->icmp_type, .code = error->icmp_code };
	if (error->icmp_type == ICMP_DEST_UNREACH && error->icmp_code == ICMP_FRAG_NEEDED)
		message->error.icmp.un.frag.mtu = htons((uint16_t)error->number);
	message->error.icmp.checksum = checksum(message, sizeof(message->error) + len);
}

static void head6(struct quote *message, const struct ep_message *error)
{
	message->error.icmp6 = (struct icmp6_hdr){ .icmp6_type = error->icmp_type,
						   .icmp6_code = error->icmp_code };
	if (error->icmp_type == ICMP6_PACKET_TOO_BIG || error->icmp_type == ICMP6_PARAM_PROB)
		message->error.icmp6.icmp6_mtu = htonl((uint32_t)error->number);
}

/* IPv4's has its own classes of errors (RFC 792): what is none stays away from the programs. */
static bool is_error(uint8_t family, uint8_t type)
{
	if (family == 6)
		return type && !(type & ICMP6_INFOMSG_MASK);
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

int udp_wire_error(struct udp *udp, const struct datagram *datagram, const struct ep_message *error,
		   const struct isthmus_addr *by)
{
	const uint8_t family = datagram->to.family;
	struct datagram icmp = { .from = datagram->to, .to = datagram->from };
	struct quote message;
	struct iovec part = { &message, sizeof(message.error) };

	_Static_assert(sizeof(message.error) == 8, "both headers are eight bytes");
	if (!is_error(family, error->icmp_type))
		return -EINVAL;
	icmp.from.address = *by;
	part.iov_len += quote(datagram, message.bytes);
	if (family == 6)
		head6(&message, error);
	else
		head4(&message, error, part.iov_len - sizeof(message.error));
	return send_raw(udp, udp->icmp, &icmp, &part, 1);
}
