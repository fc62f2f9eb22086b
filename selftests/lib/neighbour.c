// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * selftests/lib/neighbour.c - lays neighbour messages out, answers and judges them.
 */
#include <netinet/in.h>
#include <string.h>

#include "selftests/lib/neighbour.h"

#define ETH_LEN	  14
#define IP6_LEN	  40
#define ND_LEN	  24
#define ARP_LEN	  28
#define MAX_ND	  16 /* options of a message that are looked at */
#define ETHERNET  60
#define TYPE_ARP  0x0806
#define TYPE_IP6  0x86dd
#define TYPE_TAG  0x8100
#define TYPE_TAGS 0x88a8

static const __u8 no_mac[6];

/* Pseudo-header (RFC 8200, 8.1) and message; right if 0xffff. */
static __u16 sum_of(const __u8 *ip, const __u8 *message, size_t len)
{
	return packet_sum(message, len, packet_sum(ip + 8, 32, len + (len >> 16) + IPPROTO_ICMPV6));
}

static __u8 *put_ethernet(__u8 *at, const __u8 *dst, const __u8 *src, const struct packet_tag *tag,
			  __u16 type)
{
	memcpy(at, dst, 6);
	memcpy(at + 6, src, 6);
	at += 12;
	for (int i = 0; i < 2 && tag[i].proto; i++, at += 4) {
		packet_put16(at, tag[i].proto);
		packet_put16(at + 2, tag[i].tci);
	}
	packet_put16(at, type);
	return at + 2;
}

static void put_ip(__u8 *ip, size_t payload, __u8 hops, const struct isthmus_addr *src,
		   const struct isthmus_addr *dst)
{
	memset(ip, 0, IP6_LEN);
	ip[0] = 0x60;
	packet_put16(ip + 4, payload);
	ip[6] = IPPROTO_ICMPV6;
	ip[7] = hops;
	memcpy(ip + 8, src, 16);
	memcpy(ip + 24, dst, 16);
}

/* ---- neighbour discovery */

void nb_build(const struct nb_message *message, struct packet *frame)
{
	size_t len = ND_LEN + message->option_len - message->cut;
	__u8 hops = message->hops == PACKET_ZERO ? 0 : message->hops ? message->hops : 255;
	__u8 *ip, *nd;

	memset(frame, 0, sizeof(*frame));
	ip = put_ethernet(frame->b, message->dst_mac, message->src_mac, message->tag, TYPE_IP6);
	put_ip(ip, len, hops, &message->src, &message->dst);
	nd = ip + IP6_LEN;
	nd[0] = message->type;
	nd[1] = message->code;
	nd[4] = message->flags;
	memcpy(nd + 8, &message->target, 16);
	memcpy(nd + ND_LEN, message->option, message->option_len);
	packet_put16(nd + 2, ~sum_of(ip, nd, len) + message->check);
	packet_put16(ip + 4, len + message->length);
	memset(nd + len, 0xee, message->trailer);
	frame->len = nd + len + message->trailer - frame->b;
}

void nb_option(struct nb_message *message, __u8 type, __u8 units, const __u8 mac[6])
{
	__u8 *at = message->option + message->option_len;

	at[0] = type;
	at[1] = units;
	memcpy(at + 2, mac, 6);
	message->option_len += units * 8;
}

struct isthmus_addr nb_group(const struct isthmus_addr *addr)
{
	struct isthmus_addr group = { { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, addr->b[13],
					addr->b[14], addr->b[15] } };

	return group;
}

void nb_group_mac(const struct isthmus_addr *group, __u8 mac[6])
{
	mac[0] = mac[1] = 0x33;
	memcpy(mac + 2, group->b + 12, 4);
}

/* ---- ARP */

void nb_arp_build(const struct nb_arp *arp, struct packet *frame)
{
	bool same = !memcmp(arp->sender_mac, no_mac, 6);
	__u8 *at;

	memset(frame, 0, sizeof(*frame));
	at = put_ethernet(frame->b, arp->dst_mac, arp->src_mac, arp->tag, TYPE_ARP);
	packet_put16(at, arp->hardware ? arp->hardware : 1);
	packet_put16(at + 2, arp->protocol ? arp->protocol : 0x0800);
	at[4] = arp->hardware_len ? arp->hardware_len : 6;
	at[5] = arp->protocol_len ? arp->protocol_len : 4;
	packet_put16(at + 6, arp->op ? arp->op : 1);
	memcpy(at + 8, same ? arp->src_mac : arp->sender_mac, 6);
	memcpy(at + 14, arp->sender, 4);
	memcpy(at + 18, arp->target_mac, 6);
	memcpy(at + 24, arp->target, 4);
	frame->len = arp->len ? arp->len : (size_t)(at - frame->b) - ETH_LEN + ETHERNET;
}

/* ---- answers */

/* Where the IP header or ARP is: behind at most two tags. *type: of it. */
static size_t behind_tags(const struct packet *frame, __u16 *type)
{
	size_t at = 12;

	for (int i = 0; i < 2 && at + 6 <= frame->len; i++, at += 4) {
		*type = packet_get16(frame->b + at);
		if (*type != TYPE_TAG && *type != TYPE_TAGS)
			break;
	}
	*type = packet_get16(frame->b + at);
	return at + 2;
}

void nb_answer(const struct packet *question, const __u8 mac[6], const struct isthmus_addr *about,
	       const struct isthmus_addr *to, const __u8 to_mac[6], struct packet *frame)
{
	static const struct isthmus_addr all = { { 0xff, 2, [15] = 1 } };
	static const __u8 all_mac[6] = { 0x33, 0x33, 0, 0, 0, 1 };
	__u16 type;
	size_t l3 = behind_tags(question, &type), len = ND_LEN + 8;
	__u8 *ip = frame->b + l3, *nd = ip + IP6_LEN;

	memset(frame, 0, sizeof(*frame));
	memcpy(frame->b, to ? to_mac : all_mac, 6);
	memcpy(frame->b + 6, mac, 6);
	memcpy(frame->b + 12, question->b + 12, l3 - 12);
	put_ip(ip, len, 255, about, to ? to : &all);
	nd[0] = NB_ADVERTISE;
	nd[4] = to ? NB_SOLICITED | NB_OVERRIDE : NB_OVERRIDE;
	memcpy(nd + 8, about, 16);
	nd[ND_LEN] = 2;
	nd[ND_LEN + 1] = 1;
	memcpy(nd + ND_LEN + 2, mac, 6);
	packet_put16(nd + 2, ~sum_of(ip, nd, len));
	frame->len = l3 + IP6_LEN + len;
}

bool nb_mend(struct packet *frame)
{
	__u16 type;
	size_t l3 = behind_tags(frame, &type), len;
	__u8 *ip = frame->b + l3;

	if (type != TYPE_IP6 || l3 + IP6_LEN + 4 > frame->len || ip[6] != IPPROTO_ICMPV6)
		return false;
	len = packet_get16(ip + 4);
	if (len < 4 || l3 + IP6_LEN + len > frame->len)
		return false;
	packet_put16(ip + IP6_LEN + 2, 0);
	packet_put16(ip + IP6_LEN + 2, ~sum_of(ip, ip + IP6_LEN, len));
	return true;
}

/* ---- meanings */

static bool zero(const struct isthmus_addr *addr)
{
	static const struct isthmus_addr none;

	return !memcmp(addr, &none, sizeof(none));
}

/* False: 7.1. The first link-layer option's MAC replaces the one in *mac. */
static bool options_right(const __u8 *at, size_t len, __u8 wanted, bool forbidden, __u8 *mac)
{
	bool seen = false;
	int count = 0;

	for (; len; count++) {
		if (len < 8 || !at[1] || at[1] * 8u > len || count == MAX_ND)
			return false;
		if (at[0] == wanted) {
			if (forbidden || at[1] != 1)
				return false;
			if (!seen && !(at[2] & 1))
				memcpy(mac, at + 2, 6);
			seen = true;
		}
		len -= at[1] * 8u;
		at += at[1] * 8u;
	}
	return true;
}

static bool message_right(const struct packet *frame, size_t l3, struct nb_meaning *meaning)
{
	static const __u8 solicited[13] = { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff };
	const __u8 *ip = frame->b + l3, *nd = ip + IP6_LEN;
	size_t len = packet_get16(ip + 4);
	bool solicits = nd[0] == NB_SOLICIT, unknown = zero(&meaning->from);

	if (frame->b[6] & 1 || ip[7] != 255 || nd[1] || nd[8] == 0xff || ip[8] == 0xff ||
	    l3 + IP6_LEN + len > frame->len)
		return false;
	if (solicits && unknown && memcmp(ip + 24, solicited, sizeof(solicited)))
		return false;
	if (!solicits && ip[24] == 0xff && nd[4] & NB_SOLICITED)
		return false;
	if (!options_right(nd + ND_LEN, len - ND_LEN, solicits ? 1 : 2, solicits && unknown,
			   meaning->mac))
		return false;
	return sum_of(ip, nd, len) == 0xffff;
}

static void judge_message(const struct packet *frame, size_t l3, nb_in_pool *in_pool,
			  struct nb_meaning *meaning)
{
	const __u8 *ip = frame->b + l3, *nd = ip + IP6_LEN;

	if (l3 + IP6_LEN + ND_LEN > frame->len || ip[0] >> 4 != 6 || ip[6] != IPPROTO_ICMPV6 ||
	    packet_get16(ip + 4) < ND_LEN || (nd[0] != NB_SOLICIT && nd[0] != NB_ADVERTISE))
		return;
	memcpy(&meaning->from, ip + 8, 16);
	meaning->about = meaning->from;
	if (nd[0] == NB_SOLICIT && in_pool(&meaning->from) && !packet_addr_v4(&meaning->from)) {
		meaning->kind = NB_CLAIMS;
	} else {
		memcpy(&meaning->about, nd + 8, 16);
		if (!in_pool(&meaning->about) || packet_addr_v4(&meaning->about))
			return;
		meaning->kind = nd[0] == NB_ADVERTISE  ? NB_CLAIMS
				: zero(&meaning->from) ? NB_DETECTS
						       : NB_ASKS;
	}
	if (!message_right(frame, l3, meaning))
		meaning->kind = NB_BAD;
}

static void judge_arp(const struct packet *frame, size_t l3, nb_in_pool *in_pool,
		      struct nb_meaning *meaning)
{
	static const struct isthmus_addr mapped = PACKET_V4(0, 0, 0, 0);
	const __u8 *arp = frame->b + l3;
	struct isthmus_addr target = mapped;

	if (l3 + ARP_LEN > frame->len || packet_get16(arp) != 1 ||
	    packet_get16(arp + 2) != 0x0800 || arp[4] != 6 || arp[5] != 4)
		return;
	meaning->from = mapped;
	memcpy(meaning->from.b + 12, arp + 14, 4);
	memcpy(target.b + 12, arp + 24, 4);
	memcpy(meaning->mac, arp + 8, 6);
	meaning->about = meaning->from;
	if (in_pool(&meaning->from)) {
		meaning->kind = NB_CLAIMS;
	} else if (packet_get16(arp + 6) == 1 && in_pool(&target)) {
		meaning->about = target;
		meaning->kind = packet_get32(arp + 14) ? NB_ASKS : NB_DETECTS;
	}
}

void nb_judge(const struct packet *frame, const __u8 mac[6], nb_in_pool *in_pool,
	      struct nb_meaning *meaning)
{
	__u16 type;
	size_t l3;

	memset(meaning, 0, sizeof(*meaning));
	if (frame->len < ETH_LEN)
		return;
	l3 = behind_tags(frame, &type);
	memcpy(meaning->mac, frame->b + 6, 6);
	if (type == TYPE_IP6)
		judge_message(frame, l3, in_pool, meaning);
	else if (type == TYPE_ARP)
		judge_arp(frame, l3, in_pool, meaning);
	meaning->ours = !memcmp(frame->b + 6, mac, 6) || !memcmp(meaning->mac, mac, 6);
	meaning->others = !(frame->b[0] & 1) && memcmp(frame->b, mac, 6);
}
