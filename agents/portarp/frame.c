// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <string.h>

#include "frame.h"

#define MORE_OR_OFFSET 0x3fff /* of frag_off: not a whole datagram */
#define TCP_CHECK      16     /* offset of the checksum in the header */
#define UDP_CHECK      6

/* In a frame the IP header is not aligned. */
typedef struct iphdr ip_header __attribute__((aligned(1)));

struct frame_turn frame_turn(enum portarp_role role, bool own)
{
	return (struct frame_turn){ .ttl = role == PORTARP_GATEWAY && !own };
}

uint16_t frame_sum(const void *bytes, size_t len, uint32_t sum)
{
	const uint8_t *byte = bytes;
	uint64_t wide = sum;

	for (; len > 1; byte += 2, len -= 2)
		wide += (uint32_t)byte[0] << 8 | byte[1];
	if (len)
		wide += (uint32_t)byte[0] << 8;
	while (wide >> 16)
		wide = (wide & 0xffff) + (wide >> 16);
	return wide;
}

/*
 * A sender with checksum offload leaves the sum of the pseudo header in the field. A finished
 * checksum may look like that by chance, one in 65536: then finishing it gives the same value
 * again.
 */
static void finish_checksum(const ip_header *ip, uint8_t *l4, size_t len)
{
	size_t at = ip->protocol == IPPROTO_TCP ? TCP_CHECK : UDP_CHECK;
	uint8_t pseudo[12] = { 0 };
	uint16_t field, sum;

	if ((ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP) || len < at + 2)
		return;
	memcpy(pseudo, &ip->saddr, 8);
	pseudo[9] = ip->protocol;
	pseudo[10] = len >> 8;
	pseudo[11] = len;
	field = l4[at] << 8 | l4[at + 1];
	if (field != frame_sum(pseudo, sizeof(pseudo), 0))
		return;
	sum = ~frame_sum(l4, len, 0);
	if (!sum && ip->protocol == IPPROTO_UDP)
		sum = 0xffff;
	l4[at] = sum >> 8;
	l4[at + 1] = sum;
}

static void decrement_ttl(ip_header *ip)
{
	uint8_t *check = (uint8_t *)&ip->check;
	uint32_t sum = (check[0] << 8 | check[1]) + 0x100;

	sum += sum >> 16; /* RFC 1624: TTL is the high byte of its word */
	check[0] = sum >> 8;
	check[1] = sum;
	ip->ttl--;
}

int frame_prepare(uint8_t *frame, size_t len, struct frame_turn turn, const uint8_t mac[6],
		  const uint8_t source[6])
{
	struct ethhdr *eth = (void *)frame;
	ip_header *ip = (void *)(eth + 1);
	size_t header, total;

	if (len < sizeof(*eth) + sizeof(*ip) || eth->h_proto != htons(ETH_P_IP) || ip->version != 4)
		return -EINVAL;
	header = ip->ihl * 4u;
	total = ntohs(ip->tot_len);
	if (header < sizeof(*ip) || total < header || len < sizeof(*eth) + total)
		return -EINVAL;
	if (turn.ttl && ip->ttl <= 1)
		return -ETIME;
	if (turn.ttl)
		decrement_ttl(ip);
	if (!(ip->frag_off & htons(MORE_OR_OFFSET)))
		finish_checksum(ip, (uint8_t *)ip + header, total - header);
	memcpy(eth->h_dest, mac, 6);
	memcpy(eth->h_source, source, 6);
	return 0;
}
