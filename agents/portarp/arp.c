// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <string.h>

#include "arp.h"

static void put_claim(const struct arp_message *message, struct portarp_arp *arp)
{
	if (message->flags & PORTARP_ARP_SET) {
		arp->a = message->set.a;
		arp->k = message->set.k;
		arp->psid = htons(portset_psid_to_wire(&message->set));
	}
	if (message->flags & PORTARP_ARP_RANGE) {
		arp->low = htons(message->low);
		arp->high = htons(message->high);
	}
	arp->lifetime_s = htons(message->lifetime_s);
}

void arp_build(const struct arp_message *message, uint16_t operation_be,
	       uint8_t frame[ARP_FRAME_BYTES])
{
	struct ethhdr *eth = (void *)frame;
	struct portarp_arp *arp = (void *)(eth + 1);

	memset(frame, 0, ARP_FRAME_BYTES);
	memset(eth->h_dest, 0xff, 6);
	if (!mac_is_zero(message->to))
		memcpy(eth->h_dest, message->to, 6);
	memcpy(eth->h_source, message->from, 6);
	eth->h_proto = htons(ETH_P_ARP);
	arp->hardware = htons(ARPHRD_ETHER);
	arp->protocol = htons(ETH_P_IP);
	arp->hardware_len = 6;
	arp->protocol_len = 4;
	arp->operation = operation_be;
	memcpy(arp->sender_mac, message->from, 6);
	memcpy(arp->target_mac, message->to, 6);
	arp->target = message->addr_be;
	arp->magic = htons(PORTARP_MAGIC);
	arp->version = PORTARP_VERSION;
	arp->flags = message->flags;
	arp->port = htons(message->port);
	put_claim(message, arp);
}

static int check_ordinary(const struct ethhdr *eth, const struct portarp_arp *arp,
			  uint16_t operation_be)
{
	if (eth->h_proto != htons(ETH_P_ARP) || arp->hardware != htons(ARPHRD_ETHER) ||
	    arp->protocol != htons(ETH_P_IP) || arp->hardware_len != 6 || arp->protocol_len != 4 ||
	    arp->operation != operation_be)
		return -EINVAL;
	if (arp->magic != htons(PORTARP_MAGIC) || arp->version != PORTARP_VERSION || arp->sender)
		return -EINVAL;
	if (memcmp(eth->h_source, arp->sender_mac, 6) || arp->sender_mac[0] & 1 ||
	    mac_is_zero(arp->sender_mac))
		return -EINVAL;
	return 0;
}

/* A k of 0 is the whole address: its PSID field says nothing (RFC 7618, 9). */
static int take_set(const struct portarp_arp *arp, struct arp_message *message)
{
	struct portset set = { .a = arp->a, .k = arp->k };

	if (set.a > 15 || set.k > 16 || set.a + set.k > 16)
		return -EINVAL;
	set.psid = set.k ? portset_psid_from_wire(set.k, ntohs(arp->psid)) : 0;
	if (!portset_valid(&set))
		return -EINVAL;
	message->set = set;
	return 0;
}

static int take_range(const struct portarp_arp *arp, struct arp_message *message)
{
	message->low = ntohs(arp->low);
	message->high = ntohs(arp->high);
	return message->low > message->high ? -EINVAL : 0;
}

/* An answer must be about the port that was asked for; an announcement is about none. */
static bool has_port(const struct arp_message *message)
{
	uint16_t port = message->port;

	if (message->flags & (PORTARP_ARP_ANNOUNCE | PORTARP_ARP_RELEASE))
		return true;
	if (message->flags & PORTARP_ARP_RANGE)
		return port >= message->low && port <= message->high;
	return portset_has(&message->set, port);
}

int arp_parse(const uint8_t *frame, size_t len, uint16_t operation_be, struct arp_message *message)
{
	struct arp_message read = { 0 };
	struct portarp_arp arp;
	struct ethhdr eth;

	if (len < sizeof(eth) + sizeof(arp))
		return -EINVAL;
	memcpy(&eth, frame, sizeof(eth));
	memcpy(&arp, frame + sizeof(eth), sizeof(arp));
	if (check_ordinary(&eth, &arp, operation_be))
		return -EINVAL;
	memcpy(read.from, arp.sender_mac, 6);
	memcpy(read.to, arp.target_mac, 6);
	read.addr_be = arp.target;
	read.port = ntohs(arp.port);
	read.flags = arp.flags;
	read.lifetime_s = ntohs(arp.lifetime_s);
	if (!(read.flags & (PORTARP_ARP_SET | PORTARP_ARP_RANGE)))
		return -EINVAL;
	if (read.flags & PORTARP_ARP_SET && take_set(&arp, &read))
		return -EINVAL;
	if (read.flags & PORTARP_ARP_RANGE && take_range(&arp, &read))
		return -EINVAL;
	if (!has_port(&read))
		return -EINVAL;
	*message = read;
	return 0;
}
