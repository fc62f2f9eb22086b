// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Frames that the network would have sent to A: RST (RFC 9293, 3.5.2), ICMP (RFC 792), ICMPv6
 * (RFC 4443). They go out at w0, whose MAC is e0's, so that source and destination need no swap.
 */
#include <errno.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/ipv6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#include "../lib/address.h"
#include "resoa.h"

#define HOPS	   64
#define QUOTE4_MAX (576 - 28)  /* RFC 1812, 4.3.2.3 */
#define QUOTE6_MAX (1280 - 48) /* RFC 4443, 2.4 (c) */

/* Where the parts of a frame of A are. */
struct parts {
	uint8_t family; /* 4 or 6 */
	const uint8_t *ip;
	size_t ip_len; /* of the packet, as its header says and the frame has */
	size_t head;   /* of the IP header */
};

static uint32_t add(uint32_t sum, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;

	for (; len > 1; len -= 2, b += 2)
		sum += (uint32_t)b[0] << 8 | b[1];
	return len ? sum + ((uint32_t)b[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static bool read_parts(const uint8_t *frame, size_t len, struct parts *parts)
{
	uint16_t type, total;

	if (len < ETH_HLEN + sizeof(struct iphdr))
		return false;
	memcpy(&type, frame + 12, sizeof(type));
	parts->ip = frame + ETH_HLEN;
	if (type == htons(ETH_P_IP)) {
		parts->family = 4;
		parts->head = (size_t)(parts->ip[0] & 15) * 4;
		memcpy(&total, parts->ip + 2, sizeof(total));
		parts->ip_len = ntohs(total);
	} else if (type == htons(ETH_P_IPV6)) {
		parts->family = 6;
		parts->head = sizeof(struct ipv6hdr);
		memcpy(&total, parts->ip + 4, sizeof(total));
		parts->ip_len = parts->head + ntohs(total);
	} else {
		return false;
	}
	if (parts->ip_len > len - ETH_HLEN)
		parts->ip_len = len - ETH_HLEN;
	return parts->head >= sizeof(struct iphdr) && parts->ip_len >= parts->head;
}

/* ---- headers */

/* An IP header behind the Ethernet one, for len bytes that the caller puts behind it. */
static uint8_t *put_ip4(uint8_t *out, const struct parts *about, uint8_t proto, size_t len)
{
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .tot_len = htons(sizeof(ip) + len),
			    .frag_off = htons(IP_DF),
			    .ttl = HOPS,
			    .protocol = proto };

	memcpy(&ip.saddr, about->ip + 16, 4);
	memcpy(&ip.daddr, about->ip + 12, 4);
	ip.check = fold(add(0, &ip, sizeof(ip)));
	memcpy(out + ETH_HLEN, &ip, sizeof(ip));
	return out + ETH_HLEN + sizeof(ip);
}

static uint8_t *put_ip6(uint8_t *out, const struct parts *about, uint8_t proto, size_t len)
{
	struct ipv6hdr ip = {
		.version = 6, .payload_len = htons(len), .nexthdr = proto, .hop_limit = HOPS
	};

	memcpy(&ip.saddr, about->ip + 24, 16);
	memcpy(&ip.daddr, about->ip + 8, 16);
	memcpy(out + ETH_HLEN, &ip, sizeof(ip));
	return out + ETH_HLEN + sizeof(ip);
}

static uint8_t *put_ip(uint8_t *out, const struct parts *about, uint8_t proto, size_t len)
{
	memcpy(out, about->ip - ETH_HLEN, ETH_HLEN);
	return about->family == 4 ? put_ip4(out, about, proto, len)
				  : put_ip6(out, about, proto, len);
}

/* The pseudo-header's sum of a frame that was written; len bytes are behind its IP header. */
static uint32_t pseudo(const uint8_t *frame, uint8_t family, uint8_t proto, size_t len)
{
	const uint8_t *ip = frame + ETH_HLEN;

	return family == 4 ? add(proto + len, ip + 12, 8) : add(proto + len, ip + 8, 32);
}

size_t frame_rst(const uint8_t *syn, size_t len, uint8_t *out)
{
	struct parts about;
	struct tcphdr in, rst;
	uint8_t *at;

	if (!read_parts(syn, len, &about) || about.ip_len < about.head + sizeof(in))
		return 0;
	memcpy(&in, about.ip + about.head, sizeof(in));
	at = put_ip(out, &about, IPPROTO_TCP, sizeof(rst));
	rst = (struct tcphdr){ .source = in.dest,
			       .dest = in.source,
			       .ack_seq = htonl(ntohl(in.seq) + 1),
			       .doff = sizeof(rst) / 4,
			       .rst = 1,
			       .ack = 1 };
	rst.check =
		fold(add(pseudo(out, about.family, IPPROTO_TCP, sizeof(rst)), &rst, sizeof(rst)));
	memcpy(at, &rst, sizeof(rst));
	return at + sizeof(rst) - out;
}

size_t frame_icmp(const uint8_t *packet, size_t len, uint8_t type, uint8_t code, uint32_t info,
		  uint8_t *out)
{
	struct parts about;
	size_t quote, total;
	uint32_t sum = 0;
	uint16_t check;
	uint8_t *icmp;

	if (!read_parts(packet, len, &about))
		return 0;
	quote = about.family == 4 ? QUOTE4_MAX : QUOTE6_MAX;
	if (quote > about.ip_len)
		quote = about.ip_len;
	total = 8 + quote;
	icmp = put_ip(out, &about, about.family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, total);
	info = htonl(info);
	memset(icmp, 0, 4);
	icmp[0] = type;
	icmp[1] = code;
	memcpy(icmp + 4, &info, sizeof(info));
	memcpy(icmp + 8, about.ip, quote);
	if (about.family == 6)
		sum = pseudo(out, 6, IPPROTO_ICMPV6, total);
	check = fold(add(sum, icmp, total));
	memcpy(icmp + 2, &check, sizeof(check));
	return icmp + total - out;
}

struct icmp_of {
	int error;
	uint8_t type4, code4, type6, code6;
};

/* What the kernel makes of it is this errno: icmp_err_convert, tab_unreach. IPv4 has no EACCES. */
static const struct icmp_of icmps[] = {
	{ ENETUNREACH, ICMP_DEST_UNREACH, ICMP_NET_UNREACH, ICMPV6_DEST_UNREACH, ICMPV6_NOROUTE },
	{ EHOSTUNREACH, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, ICMPV6_DEST_UNREACH,
	  ICMPV6_ADDR_UNREACH },
	{ ECONNREFUSED, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, ICMPV6_DEST_UNREACH,
	  ICMPV6_PORT_UNREACH },
	{ EACCES, ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, ICMPV6_DEST_UNREACH,
	  ICMPV6_ADM_PROHIBITED },
	{ ENOPROTOOPT, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, ICMPV6_DEST_UNREACH,
	  ICMPV6_ADDR_UNREACH },
	{ EHOSTDOWN, ICMP_DEST_UNREACH, ICMP_HOST_UNKNOWN, ICMPV6_DEST_UNREACH,
	  ICMPV6_ADDR_UNREACH },
	{ ENONET, ICMP_DEST_UNREACH, ICMP_HOST_ISOLATED, ICMPV6_DEST_UNREACH, ICMPV6_NOROUTE },
	{ EOPNOTSUPP, ICMP_DEST_UNREACH, ICMP_SR_FAILED, ICMPV6_DEST_UNREACH, ICMPV6_NOROUTE },
	{ EPROTO, ICMP_PARAMETERPROB, 0, ICMPV6_PARAMPROB, 0 },
};

static const struct icmp_of *icmp_of(int error)
{
	for (size_t i = 0; i < sizeof(icmps) / sizeof(icmps[0]); i++)
		if (icmps[i].error == error)
			return &icmps[i];
	return NULL;
}

bool frame_has_icmp(int error)
{
	return icmp_of(error);
}

size_t frame_error(const uint8_t *packet, size_t len, int error, uint8_t *out)
{
	const struct icmp_of *icmp = icmp_of(error) ?: icmp_of(EHOSTUNREACH);
	uint16_t type;

	if (len < ETH_HLEN)
		return 0;
	memcpy(&type, packet + 12, sizeof(type));
	return type == htons(ETH_P_IP) ? frame_icmp(packet, len, icmp->type4, icmp->code4, 0, out)
				       : frame_icmp(packet, len, icmp->type6, icmp->code6, 0, out);
}

/* ---- packets of A. put_ip() answers: so it is given the answer's opposite. */

#define HEADERS_MAX (ETH_HLEN + sizeof(struct ipv6hdr))

static uint8_t *put_ip_of_a(uint8_t *out, const struct net *net, uint8_t family,
			    const struct isthmus_addr *from, const struct isthmus_addr *to,
			    uint8_t proto, size_t len)
{
	uint8_t reverse[HEADERS_MAX] = { 0 };
	struct parts about = { .family = family, .ip = reverse + ETH_HLEN };
	uint16_t type = htons(family == 4 ? ETH_P_IP : ETH_P_IPV6);
	size_t skip = family == 4 ? 12 : 0, size = 16 - skip, at = family == 4 ? 12 : 8;

	memcpy(reverse, net->mac, 6);
	memcpy(reverse + 6, net->mac, 6);
	memcpy(reverse + 12, &type, sizeof(type));
	memcpy(reverse + ETH_HLEN + at, to->b + skip, size);
	memcpy(reverse + ETH_HLEN + at + size, from->b + skip, size);
	return put_ip(out, &about, proto, len);
}

size_t frame_segment(const struct net *net, uint8_t family, const struct resoa_names *names,
		     uint32_t sequence, uint8_t *out)
{
	struct tcphdr tcp = { .source = names->local_port,
			      .dest = names->remote_port,
			      .seq = htonl(sequence),
			      .doff = sizeof(tcp) / 4,
			      .ack = 1 };
	uint8_t *end = put_ip_of_a(out, net, family, &names->local, &names->remote, IPPROTO_TCP,
				   sizeof(tcp));

	tcp.check = fold(add(pseudo(out, family, IPPROTO_TCP, sizeof(tcp)), &tcp, sizeof(tcp)));
	memcpy(end, &tcp, sizeof(tcp));
	return end + sizeof(tcp) - out;
}

size_t frame_datagram(const struct net *net, const struct ep_name *from, const struct ep_name *to,
		      const void *payload, size_t len, uint8_t *out)
{
	const size_t room = FRAME_MAX - HEADERS_MAX - sizeof(struct udphdr);
	struct udphdr udp = { .source = from->port, .dest = to->port };
	uint8_t *end;

	if (len > room)
		len = room;
	udp.len = htons(sizeof(udp) + len);
	end = put_ip_of_a(out, net, from->family, &from->address, &to->address, IPPROTO_UDP,
			  sizeof(udp) + len);
	memcpy(end + sizeof(udp), payload, len);
	udp.check = fold(add(
		add(pseudo(out, from->family, IPPROTO_UDP, sizeof(udp) + len), &udp, sizeof(udp)),
		payload, len));
	if (!udp.check)
		udp.check = 0xffff;
	memcpy(end, &udp, sizeof(udp));
	return end + sizeof(udp) + len - out;
}

void frame_checksum(uint8_t *frame, size_t len)
{
	struct parts about;
	uint8_t *tcp;
	size_t tcp_len;
	uint16_t check = 0;

	if (!read_parts(frame, len, &about) || about.ip_len < about.head + sizeof(struct tcphdr))
		return;
	tcp = frame + ETH_HLEN + about.head;
	tcp_len = about.ip_len - about.head;
	memcpy(tcp + 16, &check, sizeof(check));
	check = fold(add(pseudo(frame, about.family, IPPROTO_TCP, tcp_len), tcp, tcp_len));
	memcpy(tcp + 16, &check, sizeof(check));
}
