// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * selftests/lib/splice_model.c - the reference that the programs are held against.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "selftests/lib/splice_model.h"

#define OPTION_EOL    0
#define OPTION_NOP    1
#define OPTION_MSS    2
#define OPTION_WSCALE 3
#define OPTION_SACK   4
#define OPTION_TS     8

/* One's complement difference: what a checksum is wrong by. 0 if it is right. */
static __u16 check_error(__u16 have, __u16 right)
{
	__u16 error = packet_sum(NULL, 0, have + (__u16)~right);

	return error == 0xffff ? 0 : error;
}

static void rewrite_addresses(const struct splice_end *out, bool v6, __u8 *ip)
{
	if (v6) {
		memcpy(ip + 8, out->local.b, 16);
		memcpy(ip + 24, out->remote.b, 16);
		ip[7]--;
		return;
	}
	memcpy(ip + 12, out->local.b + 12, 4);
	memcpy(ip + 16, out->remote.b + 12, 4);
	ip[8]--;
}

/*
 * The whole sum of what leaves. A packet that came with a wrong checksum, and a first fragment,
 * whose sum covers bytes that are elsewhere, leave with the same error as before.
 */
static void renew_checks(const struct packet *in, const struct packet_view *view, __u16 ip_error,
			 struct packet *out)
{
	__u16 have, error, right;

	if (!view->v6)
		packet_put16(out->b + view->l3 + 10,
			     packet_sum(NULL, 0, packet_ip_check(out, view) + ip_error));
	if (view->later)
		return;
	have = packet_get_l4_check(in, view);
	if (view->proto == IPPROTO_UDP && !have)
		return;
	error = check_error(have, packet_l4_check(in, view));
	right = packet_l4_check(out, view);
	if (error)
		right = packet_sum(NULL, 0, right + error);
	if (!right && view->proto == IPPROTO_UDP)
		right = 0xffff;
	packet_set_l4_check(out, view, right);
}

/* XDP changes the outer tag in place; a tag that must come or go is tc's. */
static bool tags_need_tc(const struct packet_view *view, const struct splice_hop *hop)
{
	return (view->l2_len > 14) != (hop->vlan_proto != 0);
}

enum splice_reason splice_model_forward(const struct splice_session *session, int from,
					enum fixture_hook hook, const struct packet *in,
					struct packet *out)
{
	const struct splice_end *end = &session->end[!from];
	struct packet_view view;
	__u16 ip_error = 0;
	__u8 *ip, *l4;

	*out = *in;
	if (!packet_parse(in, &view))
		return SPLICE_MALFORMED;
	ip = out->b + view.l3;
	l4 = out->b + view.l4;
	if (ip[view.v6 ? 7 : 8] <= 1)
		return SPLICE_TTL;
	if (hook == FIXTURE_XDP && tags_need_tc(&view, &end->hop))
		return SPLICE_TO_TC;
	if (!view.v6)
		ip_error = check_error(packet_get16(ip + 10), packet_ip_check(in, &view));
	memcpy(out->b, end->hop.dst_mac, 6);
	memcpy(out->b + 6, end->hop.src_mac, 6);
	if (hook == FIXTURE_XDP && end->hop.vlan_proto) {
		memcpy(out->b + 12, &end->hop.vlan_proto, 2);
		memcpy(out->b + 14, &end->hop.vlan_tci, 2);
	}
	rewrite_addresses(end, view.v6, ip);
	if (!view.later && !session->pure) {
		packet_put16(l4, end->local_port);
		packet_put16(l4 + 2, end->remote_port);
	}
	renew_checks(in, &view, ip_error, out);
	return SPLICE_FORWARDED;
}

bool splice_model_same(const struct packet *got, const struct packet *want)
{
	if (got->len == want->len && !memcmp(got->b, want->b, got->len))
		return true;
	packet_print_diff(got, want);
	return false;
}

int splice_model_options(const struct splice_model_syn *syn, char *options)
{
	__u8 *at = (__u8 *)options;

	if (syn->mss) {
		*at++ = OPTION_MSS;
		*at++ = 4;
		packet_put16(at, syn->mss);
		at += 2;
	}
	if (syn->sack) {
		*at++ = OPTION_SACK;
		*at++ = 2;
	}
	if (syn->ts) {
		*at++ = OPTION_TS;
		*at++ = 10;
		packet_put32(at, syn->tsval);
		packet_put32(at + 4, 0);
		at += 8;
	}
	if (syn->wscale >= 0) {
		*at++ = OPTION_NOP;
		*at++ = OPTION_WSCALE;
		*at++ = 3;
		*at++ = syn->wscale;
	}
	return at - (__u8 *)options;
}

void splice_model_syn_packet(const struct splice_fixture *fx, const struct splice_session *session,
			     int side, const struct splice_model_syn *syn, struct packet *packet)
{
	char options[40];
	struct packet_spec spec = {
		.flags = PACKET_SYN | (syn->ecn ? PACKET_ECE | PACKET_CWR : 0),
		.seq = syn->isn,
		.window = syn->window ? syn->window : PACKET_ZERO,
		.opt = options,
		.opt_len = splice_model_options(syn, options),
	};

	splice_fixture_spec(fx, session, side, &spec);
	packet_build(&spec, packet);
}

void splice_model_synack(const struct splice_model_syn *to, const struct splice_model_syn *from,
			 struct splice_model_syn *synack)
{
	memset(synack, 0, sizeof(*synack));
	synack->isn = from->isn;
	synack->ack = to->isn + 1;
	synack->window = from->window;
	synack->wscale = -1;
	if (to->mss && from->mss)
		synack->mss = to->mss < from->mss ? to->mss : from->mss;
	if (to->wscale >= 0 && from->wscale >= 0)
		synack->wscale = from->wscale > 14 ? 14 : from->wscale; /* RFC 7323, 2.3 */
	synack->sack = to->sack && from->sack;
	synack->ecn = to->ecn && from->ecn;
	synack->ts = to->ts && from->ts;
	if (synack->ts) {
		synack->tsval = from->tsval;
		synack->tsecr = to->tsval;
	}
}

bool splice_model_same_syn(const struct splice_model_syn *a, const struct splice_model_syn *b)
{
	if (a->isn == b->isn && a->ack == b->ack && a->window == b->window && a->mss == b->mss &&
	    a->wscale == b->wscale && a->sack == b->sack && a->ts == b->ts && a->ecn == b->ecn &&
	    a->tsval == b->tsval && a->tsecr == b->tsecr)
		return true;
	for (int i = 0; i < 2; i++) {
		const struct splice_model_syn *s = i ? b : a;

		fprintf(stderr,
			"  %s isn %08x ack %08x window %u mss %u wscale %d sack %d ts %d %08x %08x "
			"ecn %d\n",
			i ? "want" : "got ", s->isn, s->ack, s->window, s->mss, s->wscale, s->sack,
			s->ts, s->tsval, s->tsecr, s->ecn);
	}
	return false;
}

/* Reads one option; returns its length, or 0 for one that should not be there. */
static size_t read_option(const __u8 *at, size_t left, struct splice_model_syn *synack)
{
	static const __u8 lengths[] = {
		[OPTION_MSS] = 4, [OPTION_WSCALE] = 3, [OPTION_SACK] = 2, [OPTION_TS] = 10
	};

	if (*at == OPTION_NOP)
		return 1;
	if (left < 2 || *at >= sizeof(lengths) || at[1] != lengths[*at] || at[1] > left)
		return 0;
	if (*at == OPTION_MSS && !synack->mss) {
		synack->mss = packet_get16(at + 2);
	} else if (*at == OPTION_WSCALE && synack->wscale < 0) {
		synack->wscale = at[2];
	} else if (*at == OPTION_SACK && !synack->sack) {
		synack->sack = true;
	} else if (*at == OPTION_TS && !synack->ts) {
		synack->ts = true;
		synack->tsval = packet_get32(at + 2);
		synack->tsecr = packet_get32(at + 6);
	} else {
		return 0; /* twice */
	}
	return at[1];
}

static bool complain(const char *why, const struct packet *packet)
{
	fprintf(stderr, "SYNACK: %s\n", why);
	packet_print_diff(packet, packet);
	return false;
}

static const char *check_header(const struct splice_end *end, const struct packet *packet,
				const struct packet_view *view)
{
	const __u8 *ip = packet->b + view->l3, *tcp = packet->b + view->l4;
	size_t at = view->v6 ? 8 : 12, size = view->v6 ? 16 : 4, skip = 16 - size;

	if (memcmp(packet->b, end->hop.dst_mac, 6) || memcmp(packet->b + 6, end->hop.src_mac, 6))
		return "MAC addresses";
	if (memcmp(ip + at, end->local.b + skip, size) ||
	    memcmp(ip + at + size, end->remote.b + skip, size))
		return "IP addresses";
	if (view->fragment || view->end != packet->len)
		return "fragment or trailing bytes";
	if (ip[view->v6 ? 7 : 8] != 64)
		return "TTL";
	if (packet_get16(tcp) != end->local_port || packet_get16(tcp + 2) != end->remote_port)
		return "ports";
	if ((tcp[12] & 15) || (tcp[13] & ~PACKET_ECE) != (PACKET_SYN | PACKET_ACK))
		return "flags";
	if (packet_get16(tcp + 18))
		return "urgent pointer";
	if (view->l4 + (tcp[12] >> 4) * 4 != view->end)
		return "data";
	return NULL;
}

bool splice_model_read_synack(const struct splice_session *session, int side,
			      const struct packet *packet, struct splice_model_syn *synack)
{
	struct packet_view view;
	const __u8 *tcp, *at;
	const char *why;
	size_t length;

	memset(synack, 0, sizeof(*synack));
	synack->wscale = -1;
	if (!packet_parse(packet, &view) || view.later || view.proto != IPPROTO_TCP)
		return complain("cannot be parsed", packet);
	if (!packet_checks_good(packet))
		return complain("a checksum is wrong", packet);
	why = check_header(&session->end[side], packet, &view);
	if (why)
		return complain(why, packet);
	tcp = packet->b + view.l4;
	synack->isn = packet_get32(tcp + 4);
	synack->ack = packet_get32(tcp + 8);
	synack->window = packet_get16(tcp + 14);
	synack->ecn = tcp[13] & PACKET_ECE;
	for (at = tcp + 20; at < packet->b + view.end && *at != OPTION_EOL; at += length) {
		length = read_option(at, packet->b + view.end - at, synack);
		if (!length)
			return complain("an option that should not be there", packet);
	}
	return true;
}
