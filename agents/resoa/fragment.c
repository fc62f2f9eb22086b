// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Fragments of IPv6 that are read from w0 (RFC 8200, 4.5). Only A's kernel makes them, and the veth
 * pair keeps their order: what is not the next one ends the datagram.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip6.h>
#include <string.h>

#include "../lib/address.h"
#include "udp.h"

#define SLOTS	   4 /* datagrams under way: as many programs send at once */
#define TIMEOUT_MS 1000

static struct slot {
	struct isthmus_addr from, to;
	uint32_t id;
	size_t len; /* 0: free */
	uint64_t begun_ms;
	uint8_t bytes[DATAGRAM_MAX];
} slots[SLOTS];

static struct slot *find(const struct datagram *datagram, uint32_t id)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (slots[i].len && slots[i].id == id &&
		    address_equal(&slots[i].from, &datagram->from.address) &&
		    address_equal(&slots[i].to, &datagram->to.address))
			return &slots[i];
	return NULL;
}

/* A free one, or the oldest. */
static struct slot *begin(const struct datagram *datagram, uint32_t id)
{
	struct slot *oldest = &slots[0];
	const uint64_t now_ms = udp_now_ms();
	unsigned int i;

	for (i = 0; i < SLOTS; i++) {
		if (slots[i].len && now_ms - slots[i].begun_ms > TIMEOUT_MS)
			slots[i].len = 0;
		if (!slots[i].len || (oldest->len && slots[i].begun_ms < oldest->begun_ms))
			oldest = &slots[i];
	}
	oldest->from = datagram->from.address;
	oldest->to = datagram->to.address;
	oldest->id = id;
	oldest->len = 0;
	oldest->begun_ms = now_ms;
	return oldest;
}

const uint8_t *fragment_take(const struct datagram *datagram, const uint8_t *bytes, size_t *len)
{
	struct ip6_frag header;
	struct slot *slot;
	size_t offset, count;

	if (*len < sizeof(header))
		return NULL;
	memcpy(&header, bytes, sizeof(header));
	count = *len - sizeof(header);
	offset = ntohs(header.ip6f_offlg & IP6F_OFF_MASK);
	slot = offset ? find(datagram, header.ip6f_ident) : begin(datagram, header.ip6f_ident);
	if (!slot || header.ip6f_nxt != IPPROTO_UDP)
		return NULL;
	if (!count || offset != slot->len || count > sizeof(slot->bytes) - offset) {
		slot->len = 0;
		return NULL;
	}
	memcpy(slot->bytes + offset, bytes + sizeof(header), count);
	slot->len += count;
	if (header.ip6f_offlg & IP6F_MORE_FRAG)
		return NULL;
	*len = slot->len;
	slot->len = 0;
	return slot->bytes;
}
