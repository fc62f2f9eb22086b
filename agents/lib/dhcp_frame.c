// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "dhcp_frame.h"

#define ETH_LEN	 14
#define IP_LEN	 20
#define UDP_LEN	 8
#define TTL	 64
#define UDP_KIND 17

static uint32_t add(const uint8_t *bytes, size_t len, uint32_t sum)
{
	for (; len > 1; bytes += 2, len -= 2)
		sum += get16(bytes);
	return len ? sum + (bytes[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Of the UDP header and data at `udp`, the pseudo-header's addresses before it in the IP header. */
static uint16_t udp_sum(const uint8_t *ip, const uint8_t *udp, size_t len)
{
	return fold(add(udp, len, add(ip + 12, 8, UDP_KIND + len)));
}

int dhcp_frame_write(const struct dhcp_frame_ends *ends, const void *message, size_t len,
		     uint8_t frame[DHCP_FRAME_MAX])
{
	uint8_t *ip = frame + ETH_LEN, *udp = ip + IP_LEN;
	uint16_t sum;

	if (len > DHCP_BYTES_MAX)
		return -EMSGSIZE;
	memset(frame, 0, DHCP_FRAME_HEAD);
	memcpy(frame, ends->dst_mac, DHCP_MAC);
	memcpy(frame + DHCP_MAC, ends->src_mac, DHCP_MAC);
	put16(frame + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, IP_LEN + UDP_LEN + len);
	ip[8] = TTL;
	ip[9] = UDP_KIND;
	put32(ip + 12, ends->src);
	put32(ip + 16, ends->dst);
	put16(ip + 10, ~fold(add(ip, IP_LEN, 0)));
	put16(udp, ends->sport);
	put16(udp + 2, ends->dport);
	put16(udp + 4, UDP_LEN + len);
	memcpy(udp + UDP_LEN, message, len);
	sum = ~udp_sum(ip, udp, UDP_LEN + len);
	put16(udp + 6, sum ? sum : 0xffff); /* 0 would say that there is none */
	return DHCP_FRAME_HEAD + len;
}

int dhcp_frame_read(const void *frame, size_t len, bool summed, struct dhcp_frame_ends *ends,
		    const uint8_t **message, size_t *message_len)
{
	const uint8_t *eth = frame, *ip = eth + ETH_LEN, *udp;
	size_t head, total, udp_len;

	if (len < DHCP_FRAME_HEAD || get16(eth + 12) != 0x0800 || ip[0] >> 4 != 4)
		return -EBADMSG;
	head = (ip[0] & 0x0f) * 4u;
	total = get16(ip + 2);
	if (head < IP_LEN || total > len - ETH_LEN || total < head + UDP_LEN || ip[9] != UDP_KIND ||
	    get16(ip + 6) & 0x3fff || fold(add(ip, head, 0)) != 0xffff)
		return -EBADMSG;
	udp = ip + head;
	udp_len = get16(udp + 4);
	if (udp_len < UDP_LEN || udp_len > total - head)
		return -EBADMSG;
	if (summed && get16(udp + 6) && udp_sum(ip, udp, udp_len) != 0xffff)
		return -EBADMSG;
	memcpy(ends->dst_mac, eth, DHCP_MAC);
	memcpy(ends->src_mac, eth + DHCP_MAC, DHCP_MAC);
	ends->src = get32(ip + 12);
	ends->dst = get32(ip + 16);
	ends->sport = get16(udp);
	ends->dport = get16(udp + 2);
	*message = udp + UDP_LEN;
	*message_len = udp_len - UDP_LEN;
	return 0;
}
