/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Types, codes and values of ICMP errors in the other family (RFC 7915, 4.2 and 5.2). */
#ifndef ISTHMUS_BPF_GATEWAY_ICMP_H
#define ISTHMUS_BPF_GATEWAY_ICMP_H

#include "gateway_head.bpf.h"

#define ICMP_FORM(type, code) bpf_htons((type) << 8 | (code))
#define IP6_MIN_MTU	      1280
#define IP_MTU_DIFFERENCE     20

struct icmp_form {
	__be16 type_code;
	__be32 rest;
};

static __always_inline int icmp_unreachable6(__u8 code, struct icmp_form *form)
{
	switch (code) {
	case 0: /* net, host; source route; unknown; isolated; TOS */
	case 1:
	case 5:
	case 6:
	case 7:
	case 8:
	case 11:
	case 12:
		form->type_code = ICMP_FORM(1, 0);
		return 0;
	case 2: /* protocol */
		form->type_code = ICMP_FORM(4, 1);
		form->rest = bpf_htonl(6);
		return 0;
	case 3: /* port */
		form->type_code = ICMP_FORM(1, 4);
		return 0;
	case 9: /* prohibited */
	case 10:
	case 13:
	case 15:
		form->type_code = ICMP_FORM(1, 1);
		return 0;
	default:
		return -1;
	}
}

/* The MTU of a link behind the translator, as packets before it are counted. */
static __always_inline int icmp_too_long6(__be32 rest, struct icmp_form *form)
{
	__u32 mtu = (bpf_ntohl(rest) & 0xffff) + IP_MTU_DIFFERENCE;

	form->type_code = ICMP_FORM(2, 0);
	form->rest = bpf_htonl(mtu < IP6_MIN_MTU ? IP6_MIN_MTU : mtu);
	return 0;
}

static __always_inline int icmp_too_long4(__be32 rest, struct icmp_form *form)
{
	__u32 mtu = bpf_ntohl(rest);

	mtu = mtu > 0xffff ? 0xffff : mtu < IP6_MIN_MTU ? IP6_MIN_MTU : mtu;
	form->type_code = ICMP_FORM(3, 4);
	form->rest = bpf_htonl(mtu - IP_MTU_DIFFERENCE);
	return 0;
}

/* Places in the headers: figures 3 and 6. */
static __always_inline int icmp_parameter6(__u8 code, __be32 rest, struct icmp_form *form)
{
	__u32 at = bpf_ntohl(rest) >> 24;

	if (code == 1)
		return -1;
	form->type_code = ICMP_FORM(4, 0);
	if (at < 2)
		form->rest = bpf_htonl(at);
	else if (at < 4)
		form->rest = bpf_htonl(4);
	else if (at == 8)
		form->rest = bpf_htonl(7);
	else if (at == 9)
		form->rest = bpf_htonl(6);
	else if (at >= 12 && at < 16)
		form->rest = bpf_htonl(8);
	else if (at >= 16 && at < 20)
		form->rest = bpf_htonl(24);
	else
		return -1;
	return 0;
}

static __always_inline int icmp_parameter4(__u8 code, __be32 rest, struct icmp_form *form)
{
	__u32 at = bpf_ntohl(rest);

	if (code == 1) {
		form->type_code = ICMP_FORM(3, 2);
		return 0;
	}
	if (code)
		return -1;
	form->type_code = ICMP_FORM(12, 0);
	if (at < 2)
		form->rest = bpf_htonl(at << 24);
	else if (at == 4 || at == 5)
		form->rest = bpf_htonl(2 << 24);
	else if (at == 6)
		form->rest = bpf_htonl(9 << 24);
	else if (at == 7)
		form->rest = bpf_htonl(8 << 24);
	else if (at >= 8 && at < 24)
		form->rest = bpf_htonl(12 << 24);
	else if (at >= 24 && at < 40)
		form->rest = bpf_htonl(16 << 24);
	else
		return -1;
	return 0;
}

static __always_inline int icmp_to6(__u8 type, __u8 code, __be32 rest, struct icmp_form *form)
{
	if (type == 3 && code == 4)
		return icmp_too_long6(rest, form);
	if (type == 3)
		return icmp_unreachable6(code, form);
	if (type == 12)
		return icmp_parameter6(code, rest, form);
	form->type_code = ICMP_FORM(3, code);
	return type == 11 ? 0 : -1;
}

static __always_inline int icmp_to4(__u8 type, __u8 code, __be32 rest, struct icmp_form *form)
{
	if (type == 2)
		return icmp_too_long4(rest, form);
	if (type == 4)
		return icmp_parameter4(code, rest, form);
	if (type == 3) {
		form->type_code = ICMP_FORM(11, code);
		return 0;
	}
	if (type != 1 || code > 4)
		return -1;
	form->type_code = ICMP_FORM(3, code == 1 ? 10 : code == 4 ? 3 : 1);
	return 0;
}

/* -1: it has no other form, and is dropped. */
static __always_inline int icmp_other(struct work *w, const struct view *v, struct icmp_form *form)
{
	__u8 *icmp = head_at(w, v->l4, ICMP_BYTES);
	__be32 rest;

	if (!icmp)
		return -1;
	form->type_code = 0;
	form->rest = 0;
	rest = *(__be32 *)(icmp + 4);
	return v->v6 ? icmp_to4(icmp[0], icmp[1], rest, form)
		     : icmp_to6(icmp[0], icmp[1], rest, form);
}

#endif
