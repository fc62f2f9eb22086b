// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * selftests/lib/packet.c - lays frames out, takes them apart, sums them.
 *
 * Sources: RFC 791, 8200, 9293, 768 for the layouts, RFC 1071 for the checksum.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "packet.h"

#define ETH_LEN	 14
#define IP4_LEN	 20
#define IP6_LEN	 40
#define TCP_LEN	 20
#define UDP_LEN	 8
#define EXT_LEN	 8
#define ICMP_LEN 8
#define V6_FRAG	 44

__u16 packet_get16(const __u8 *at)
{
	return at[0] << 8 | at[1];
}

__u32 packet_get32(const __u8 *at)
{
	return (__u32)packet_get16(at) << 16 | packet_get16(at + 2);
}

void packet_put16(__u8 *at, __u16 value)
{
	at[0] = value >> 8;
	at[1] = value & 0xff;
}

void packet_put32(__u8 *at, __u32 value)
{
	packet_put16(at, value >> 16);
	packet_put16(at + 2, value & 0xffff);
}

bool packet_addr_v4(const struct isthmus_addr *addr)
{
	static const __u8 mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	return !memcmp(addr->b, mapped, sizeof(mapped));
}

__u16 packet_sum(const void *data, size_t len, __u32 sum)
{
	const __u8 *b = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += packet_get16(b + i);
	if (len & 1)
		sum += b[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __u8 *put_ethernet(const struct packet_spec *spec, __u8 *at)
{
	bool v4 = packet_addr_v4(&spec->src);

	memcpy(at, spec->dst_mac, 6);
	memcpy(at + 6, spec->src_mac, 6);
	at += 12;
	for (size_t i = 0; i < 3 && spec->tag[i].proto; i++, at += 4) {
		packet_put16(at, spec->tag[i].proto);
		packet_put16(at + 2, spec->tag[i].tci);
	}
	packet_put16(at, spec->ethertype ? spec->ethertype : v4 ? 0x0800 : 0x86dd);
	return at + 2;
}

static __u8 ttl_of(const struct packet_spec *spec)
{
	return !spec->ttl ? 64 : spec->ttl == PACKET_ZERO ? 0 : spec->ttl;
}

static __u8 *put_ip4(const struct packet_spec *spec, __u8 *at, size_t l4_len)
{
	size_t len = IP4_LEN + ((spec->ip_opt_len + 3) & ~3);
	__u8 version = spec->version ? spec->version : 4;
	__u8 ihl = spec->ihl ? spec->ihl : (__s32)(len / 4);
	__u16 check;

	memset(at, 0, len);
	at[0] = version << 4 | ihl;
	at[1] = spec->tos;
	packet_put16(at + 2, spec->tot_len ? (size_t)spec->tot_len : len + l4_len);
	packet_put16(at + 4, spec->id);
	packet_put16(at + 6, spec->frag);
	at[8] = ttl_of(spec);
	at[9] = spec->proto ? spec->proto : IPPROTO_TCP;
	memcpy(at + 12, spec->src.b + 12, 4);
	memcpy(at + 16, spec->dst.b + 12, 4);
	if (spec->ip_opt_len)
		memcpy(at + IP4_LEN, spec->ip_opt, spec->ip_opt_len);
	check = ~packet_sum(at, len, 0);
	packet_put16(at + 10, check + (spec->ip_check == PACKET_CHECK_BAD));
	return at + len;
}

/* One extension header of 8 bytes: padding, an empty routing header or a fragment header. */
static void put_extension(const struct packet_spec *spec, __u8 *at, __u8 type, __u8 next)
{
	memset(at, 0, EXT_LEN);
	at[0] = next;
	if (type == V6_FRAG) {
		packet_put16(at + 2, spec->v6_frag);
		packet_put32(at + 4, spec->id);
	} else if (type != IPPROTO_ROUTING) {
		at[2] = 1; /* PadN of 4 bytes fills hop-by-hop and destination options */
		at[3] = 4;
	}
}

static __u8 *put_ip6(const struct packet_spec *spec, __u8 *at, size_t l4_len)
{
	size_t ext_len = spec->exts * EXT_LEN;
	__u8 version = spec->version ? spec->version : 6;
	__u8 proto = spec->proto ? spec->proto : IPPROTO_TCP;

	packet_put32(at, (__u32)version << 28 | (__u32)spec->tos << 20 | 0x12345);
	packet_put16(at + 4, spec->tot_len ? (size_t)spec->tot_len : ext_len + l4_len);
	at[6] = spec->exts ? spec->ext[0] : proto;
	at[7] = ttl_of(spec);
	memcpy(at + 8, spec->src.b, 16);
	memcpy(at + 24, spec->dst.b, 16);
	at += IP6_LEN;
	for (size_t i = 0; i < spec->exts; i++, at += EXT_LEN)
		put_extension(spec, at, spec->ext[i],
			      i + 1 < spec->exts ? spec->ext[i + 1] : proto);
	return at;
}

static __u8 *put_tcp(const struct packet_spec *spec, __u8 *at)
{
	size_t len = TCP_LEN + ((spec->opt_len + 3) & ~3);
	__u8 doff = spec->doff > 0 ? spec->doff : spec->doff == PACKET_ZERO ? 0 : (__s32)(len / 4);

	memset(at, 0, len);
	packet_put16(at, spec->sport);
	packet_put16(at + 2, spec->dport);
	packet_put32(at + 4, spec->seq);
	packet_put32(at + 8, spec->ack);
	packet_put16(at + 12, doff << 12 | spec->flags);
	packet_put16(at + 14, !spec->window		    ? 64240
			      : spec->window == PACKET_ZERO ? 0
							    : spec->window);
	if (spec->opt_len)
		memcpy(at + TCP_LEN, spec->opt, spec->opt_len);
	return at + len;
}

static __u8 *put_udp(const struct packet_spec *spec, __u8 *at)
{
	size_t len = UDP_LEN + spec->data_len;

	packet_put16(at, spec->sport);
	packet_put16(at + 2, spec->dport);
	packet_put16(at + 4, !spec->udp_len		    ? len
			     : spec->udp_len == PACKET_ZERO ? 0
							    : (size_t)spec->udp_len);
	packet_put16(at + 6, 0);
	return at + UDP_LEN;
}

static __u8 *put_icmp(const struct packet_spec *spec, __u8 *at)
{
	at[0] = spec->icmp_type;
	at[1] = spec->icmp_code;
	packet_put16(at + 2, 0);
	packet_put32(at + 4, spec->icmp_rest);
	return at + ICMP_LEN;
}

static __u8 *put_l4(const struct packet_spec *spec, __u8 *at)
{
	if (!spec->proto || spec->proto == IPPROTO_TCP)
		at = put_tcp(spec, at);
	else if (spec->proto == IPPROTO_UDP)
		at = put_udp(spec, at);
	else if (spec->proto == IPPROTO_ICMP)
		at = put_icmp(spec, at);
	if (spec->data)
		memcpy(at, spec->data, spec->data_len);
	for (size_t i = 0; !spec->data && i < spec->data_len; i++)
		at[i] = i * 7 + 3;
	return at + spec->data_len;
}

static size_t l4_len_of(const struct packet_spec *spec)
{
	size_t len = spec->data_len;

	if (!spec->proto || spec->proto == IPPROTO_TCP)
		len += TCP_LEN + ((spec->opt_len + 3) & ~3);
	else if (spec->proto == IPPROTO_UDP)
		len += UDP_LEN;
	else if (spec->proto == IPPROTO_ICMP)
		len += ICMP_LEN;
	return len;
}

/* The pseudo-header of RFC 9293, 3.1 and RFC 8200, 8.1. */
static __u32 pseudo_sum(const struct packet *packet, const struct packet_view *view, __u32 len)
{
	const __u8 *ip = packet->b + view->l3;
	__u32 sum = view->proto + (len & 0xffff) + (len >> 16);

	return view->v6 ? packet_sum(ip + 8, 32, sum) : packet_sum(ip + 12, 8, sum);
}

static size_t check_at(const struct packet_view *view)
{
	return view->l4 + (view->proto == IPPROTO_TCP ? 16 : 6);
}

__u16 packet_get_l4_check(const struct packet *packet, const struct packet_view *view)
{
	return packet_get16(packet->b + check_at(view));
}

void packet_set_l4_check(struct packet *packet, const struct packet_view *view, __u16 check)
{
	packet_put16(packet->b + check_at(view), check);
}

__u16 packet_l4_check(const struct packet *packet, const struct packet_view *view)
{
	const __u8 *l4 = packet->b + view->l4;
	size_t have = view->end - view->l4, len = have, at = check_at(view) - view->l4;
	__u32 sum;
	__u16 check;

	if (view->proto == IPPROTO_UDP)
		len = packet_get16(l4 + 4);
	if (have > len && len >= UDP_LEN)
		have = len;
	sum = pseudo_sum(packet, view, len);
	sum = packet_sum(l4, at, sum); /* the field itself is left out */
	check = ~packet_sum(l4 + at + 2, have - at - 2, sum);
	return !check && view->proto == IPPROTO_UDP ? 0xffff : check;
}

__u16 packet_ip_check(const struct packet *packet, const struct packet_view *view)
{
	const __u8 *ip = packet->b + view->l3;
	size_t len = (ip[0] & 15) * 4;

	return ~packet_sum(ip + 12, len - 12, packet_sum(ip, 10, 0));
}

void packet_build(const struct packet_spec *spec, struct packet *packet)
{
	struct packet_view view = { .v6 = !packet_addr_v4(&spec->src) };
	size_t l4_len = l4_len_of(spec);
	__u8 *at;

	memset(packet, 0, sizeof(*packet));
	at = put_ethernet(spec, packet->b);
	view.l3 = at - packet->b;
	at = view.v6 ? put_ip6(spec, at, l4_len) : put_ip4(spec, at, l4_len);
	view.l4 = at - packet->b;
	view.end = view.l4 + l4_len;
	view.proto = spec->proto ? spec->proto : IPPROTO_TCP;
	put_l4(spec, at);
	packet->len = view.end + spec->trailer;
	if (view.proto == IPPROTO_ICMP)
		packet_put16(packet->b + view.l4 + 2, ~packet_sum(packet->b + view.l4, l4_len, 0));
	if (view.proto != IPPROTO_TCP && view.proto != IPPROTO_UDP)
		return;
	if (spec->check != PACKET_CHECK_NONE)
		packet_set_l4_check(packet, &view,
				    packet_l4_check(packet, &view) +
					    (spec->check == PACKET_CHECK_BAD));
}

static bool parse_ip4(const struct packet *packet, struct packet_view *view)
{
	const __u8 *ip = packet->b + view->l3;
	size_t left = packet->len - view->l3, len;
	__u16 frag;

	if (left < IP4_LEN || ip[0] >> 4 != 4)
		return false;
	view->l3_len = (ip[0] & 15) * 4;
	len = packet_get16(ip + 2);
	if (view->l3_len < IP4_LEN || len < view->l3_len || len > left)
		return false;
	frag = packet_get16(ip + 6);
	view->fragment = frag & 0x3fff;
	view->later = frag & 0x1fff;
	view->proto = ip[9];
	view->end = view->l3 + len;
	return true;
}

static bool parse_ip6(const struct packet *packet, struct packet_view *view)
{
	const __u8 *ip = packet->b + view->l3, *ext;
	size_t left = packet->len - view->l3, at = IP6_LEN;

	if (left < IP6_LEN || ip[0] >> 4 != 6)
		return false;
	view->end = view->l3 + IP6_LEN + packet_get16(ip + 4);
	if (view->end > packet->len)
		return false;
	view->proto = ip[6];
	while (view->proto == IPPROTO_HOPOPTS || view->proto == IPPROTO_ROUTING ||
	       view->proto == IPPROTO_DSTOPTS || view->proto == IPPROTO_FRAGMENT) {
		if (view->later)
			break; /* what follows is data */
		ext = ip + at;
		if (view->l3 + at + EXT_LEN > view->end)
			return false;
		if (view->proto == IPPROTO_FRAGMENT) {
			view->fragment = packet_get16(ext + 2) & 0xfff9;
			view->later = packet_get16(ext + 2) & 0xfff8;
		}
		at += view->proto == IPPROTO_FRAGMENT ? EXT_LEN : EXT_LEN + ext[1] * 8;
		view->proto = ext[0];
	}
	view->l3_len = at;
	return view->l3 + at <= view->end;
}

static bool parse_l4(const struct packet *packet, struct packet_view *view)
{
	size_t len;

	view->l4 = view->l3 + view->l3_len;
	if (view->proto == IPPROTO_TCP) {
		if (view->end < view->l4 + TCP_LEN)
			return false;
		len = (packet->b[view->l4 + 12] >> 4) * 4;
		return len >= TCP_LEN && view->l4 + len <= view->end;
	}
	if (view->proto != IPPROTO_UDP || view->end < view->l4 + UDP_LEN)
		return false;
	len = packet_get16(packet->b + view->l4 + 4);
	return len >= UDP_LEN && (view->fragment || view->l4 + len <= view->end);
}

bool packet_parse(const struct packet *packet, struct packet_view *view)
{
	size_t at = 12;
	__u16 type;

	memset(view, 0, sizeof(*view));
	if (packet->len < ETH_LEN)
		return false;
	while ((type = packet_get16(packet->b + at)) == 0x8100 || type == 0x88a8) {
		at += 4;
		if (at + 2 > packet->len)
			return false;
	}
	view->l2_len = view->l3 = at + 2;
	view->v6 = type == 0x86dd;
	if (type != 0x0800 && !view->v6)
		return false;
	if (!(view->v6 ? parse_ip6(packet, view) : parse_ip4(packet, view)))
		return false;
	return view->later || parse_l4(packet, view);
}

bool packet_checks_good(const struct packet *packet)
{
	struct packet_view view;
	__u16 check;

	if (!packet_parse(packet, &view))
		return false;
	if (!view.v6 && packet_get16(packet->b + view.l3 + 10) != packet_ip_check(packet, &view))
		return false;
	if (view.fragment)
		return true;
	check = packet_get_l4_check(packet, &view);
	if (view.proto == IPPROTO_UDP && !view.v6 && !check)
		return true;
	return check == packet_l4_check(packet, &view);
}

bool packet_ip4_check_good(const struct packet *packet)
{
	struct packet_view view = { .l3 = ETH_LEN };

	return packet->len >= ETH_LEN + IP4_LEN &&
	       packet_get16(packet->b + ETH_LEN + 10) == packet_ip_check(packet, &view);
}

void packet_aim_l4_check(struct packet *packet, __u16 check)
{
	struct packet_view view;
	__u8 *last;

	if (!packet_parse(packet, &view) || (view.end - view.l4) % 2)
		return;
	last = packet->b + view.end - 2;
	packet_put16(last, 0);
	/* What is missing from the sum is the word that makes it ~check. */
	packet_put16(last, packet_sum(NULL, 0, packet_l4_check(packet, &view) + (__u16)~check));
	packet_set_l4_check(packet, &view, check);
}

/* Fragment header or IPv4 flags in front of bytes [from, to) of the whole's payload. */
void packet_fragment(const struct packet *whole, size_t from, size_t to, __u32 id,
		     struct packet *piece)
{
	struct packet_view view;
	size_t head, len;
	__u8 *ip;
	bool more;

	piece->len = 0;
	if (!packet_parse(whole, &view))
		return;
	head = view.l4;
	more = view.l4 + to < view.end;
	memset(piece, 0, sizeof(*piece));
	memcpy(piece->b, whole->b, head);
	ip = piece->b + view.l3;
	if (view.v6) {
		piece->b[head] = view.proto;
		packet_put16(piece->b + head + 2, from | more);
		packet_put32(piece->b + head + 4, id);
		ip[6] = V6_FRAG; /* wholes to cut have no extension headers */
		head += EXT_LEN;
	}
	len = to - from;
	memcpy(piece->b + head, whole->b + view.l4 + from, len);
	piece->len = head + len;
	if (view.v6) {
		packet_put16(ip + 4, piece->len - view.l3 - IP6_LEN);
		return;
	}
	packet_put16(ip + 2, piece->len - view.l3);
	packet_put16(ip + 4, id);
	packet_put16(ip + 6, from / 8 | (more ? 0x2000 : 0));
	packet_put16(ip + 10, packet_ip_check(piece, &view));
}

static size_t fragment_offset(const struct packet *piece, const struct packet_view *view)
{
	const __u8 *ip = piece->b + view->l3;

	if (!view->v6)
		return (packet_get16(ip + 6) & 0x1fff) * 8;
	return packet_get16(ip + IP6_LEN + 2) & 0xfff8;
}

bool packet_join(const struct packet *pieces, size_t count, struct packet *whole)
{
	struct packet_view view = { 0 };
	size_t bytes = 0, end = 0, head = 0;
	__u8 *ip;

	memset(whole, 0, sizeof(*whole));
	for (size_t i = 0; i < count; i++) {
		size_t from, len;

		if (!packet_parse(&pieces[i], &view))
			return false;
		head = view.l3 + (view.v6 ? IP6_LEN : view.l3_len);
		from = fragment_offset(&pieces[i], &view);
		len = view.end - view.l3 - view.l3_len;
		if (!from)
			memcpy(whole->b, pieces[i].b, head);
		memcpy(whole->b + head + from, pieces[i].b + view.l3 + view.l3_len, len);
		bytes += len;
		end = from + len > end ? from + len : end;
	}
	ip = whole->b + view.l3;
	whole->len = head + end;
	if (view.v6) {
		ip[6] = view.proto;
		packet_put16(ip + 4, end);
	} else {
		packet_put16(ip + 2, whole->len - view.l3);
		packet_put16(ip + 6, 0);
		packet_put16(ip + 10, packet_ip_check(whole, &view));
	}
	return bytes == end;
}

static void print_side(const char *name, const struct packet *packet, const struct packet *other)
{
	fprintf(stderr, "  %s, %zu bytes:", name, packet->len);
	for (size_t i = 0; i < packet->len; i++) {
		bool same = i < other->len && packet->b[i] == other->b[i];

		if (i % 16 == 0)
			fprintf(stderr, "\n  %4zu ", i);
		fprintf(stderr, "%s%02x", same ? " " : "*", packet->b[i]);
	}
	fprintf(stderr, "\n");
}

void packet_print_diff(const struct packet *got, const struct packet *want)
{
	print_side("got", got, want);
	print_side("want", want, got);
}
