// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/gateway_fixture.c selftests/lib/seal.c */
/* link: selftests/lib/gateway_ends.c */
/*
 * selftests/gateway_family.c - initiators and responders of different families (W13, W19; RFC
 * 7915): every packet is compared with one laid out in the other family from scratch.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/gateway_ends.h"
#include "selftests/lib/seal.h"

static struct gfix fx;

static int set_up(void **state)
{
	(void)state;
	return gfix_open(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	gfix_close(&fx);
	return 0;
}

static int fill(void **state)
{
	(void)state;
	gfix_clear(&fx);
	return 0;
}

/* RFC 7915, 4.2 and 5.2, as tables. -1: has no other form. */
struct form {
	int type, code;
	__u32 rest;
	int other_type, other_code;
	__u32 other_rest;
};

static const struct form to6[] = {
	{ 3, 0, 0, 1, 0, 0 },	       { 3, 1, 0, 1, 0, 0 },	     { 3, 2, 0, 4, 1, 6 },
	{ 3, 3, 0, 1, 4, 0 },	       { 3, 4, 1400, 2, 0, 1420 },   { 3, 4, 0, 2, 0, 1280 },
	{ 3, 5, 0, 1, 0, 0 },	       { 3, 9, 0, 1, 1, 0 },	     { 3, 10, 0, 1, 1, 0 },
	{ 3, 12, 0, 1, 0, 0 },	       { 3, 13, 0, 1, 1, 0 },	     { 3, 14, 0, -1, 0, 0 },
	{ 3, 15, 0, 1, 1, 0 },	       { 4, 0, 0, -1, 0, 0 },	     { 11, 0, 0, 3, 0, 0 },
	{ 11, 1, 0, 3, 1, 0 },	       { 12, 0, 0 << 24, 4, 0, 0 },  { 12, 0, 2 << 24, 4, 0, 4 },
	{ 12, 0, 8 << 24, 4, 0, 7 },   { 12, 2, 9 << 24, 4, 0, 6 },  { 12, 0, 12 << 24, 4, 0, 8 },
	{ 12, 0, 17 << 24, 4, 0, 24 }, { 12, 0, 5 << 24, -1, 0, 0 }, { 12, 1, 0, -1, 0, 0 },
};

static const struct form to4[] = {
	{ 1, 0, 0, 3, 1, 0 },	      { 1, 1, 0, 3, 10, 0 },	     { 1, 2, 0, 3, 1, 0 },
	{ 1, 3, 0, 3, 1, 0 },	      { 1, 4, 0, 3, 3, 0 },	     { 1, 5, 0, -1, 0, 0 },
	{ 2, 0, 1300, 3, 4, 1280 },   { 2, 0, 1000, 3, 4, 1260 },    { 2, 0, 70000, 3, 4, 65515 },
	{ 3, 0, 0, 11, 0, 0 },	      { 3, 1, 0, 11, 1, 0 },	     { 4, 0, 0, 12, 0, 0 },
	{ 4, 0, 4, 12, 0, 2u << 24 }, { 4, 0, 6, 12, 0, 9 << 24 },   { 4, 0, 7, 12, 0, 8 << 24 },
	{ 4, 0, 9, 12, 0, 12 << 24 }, { 4, 0, 30, 12, 0, 16 << 24 }, { 4, 0, 40, -1, 0, 0 },
	{ 4, 0, 3, -1, 0, 0 },	      { 4, 1, 6, 3, 2, 0 },	     { 4, 2, 6, -1, 0, 0 },
};

/* What an error quotes in the other family: the same bytes of the transport, another header. */
static size_t requote(const struct packet *from, size_t l4_len, const struct packet *other,
		      const struct packet *got, size_t got_at, __u8 *to, size_t *from_len)
{
	struct packet copy = *other;
	size_t from_ip = from->b[12] == 8 ? 20 : 40, to_ip = other->b[12] == 8 ? 20 : 40;

	*from_len = from_ip + l4_len;
	ends_translated(&copy, 14, got, got_at);
	memcpy(to, copy.b + 14, to_ip + l4_len);
	return to_ip + l4_len;
}

static void error_outside(const struct ends *e, const struct quote *q, const struct form *form,
			  size_t l4_len, int hook)
{
	struct gfix_icmp icmp = { .src = e->router,
				  .dst = e->waypoint,
				  .ttl = 33,
				  .type = form->type,
				  .code = form->code,
				  .rest = form->rest };
	struct packet in, want, sealed;
	struct gfix_result result;
	__u8 quoted[PACKET_MAX];

	icmp.data = q->outside_answer.b + 14;
	icmp.data_len = (e->v6 ? 40 : 20) + l4_len;
	gfix_icmp_build(&icmp, &in);
	gfix_seal(&fx, e->peer, e->host, &in, &sealed);
	gfix_run(&fx, ends_ups[hook], &sealed, &result);
	if (form->other_type < 0) {
		assert_string_equal(gfix_reason_name(result.reason), "UNTRANSLATABLE");
		return;
	}
	assert_string_equal(gfix_reason_name(result.reason), "DELIVERED");
	icmp.data_len = requote(&q->outside_answer, l4_len, &q->inside_answer, &result.out,
				14 + (e->v6 ? 28 : 48), quoted, &icmp.data_len);
	icmp.data = quoted;
	icmp.src = e->seen_router;
	icmp.dst = e->inside;
	icmp.type = form->other_type;
	icmp.code = form->other_code;
	icmp.rest = form->other_rest;
	icmp.ttl--;
	gfix_icmp_build(&icmp, &want);
	ends_check_delivered(&fx, e, &want, &result);
}

static void error_inside(const struct ends *e, const struct quote *q, const struct form *form,
			 size_t l4_len, int hook)
{
	struct gfix_icmp icmp = { .src = e->hop,
				  .dst = e->seen,
				  .ttl = 33,
				  .type = form->type,
				  .code = form->code,
				  .rest = form->rest };
	struct gfix_result result;
	struct packet in, want, sealed;
	__u8 quoted[PACKET_MAX];
	size_t none;

	icmp.data = q->inside_asked.b + 14;
	icmp.data_len = (e->v6 ? 20 : 40) + l4_len;
	gfix_icmp_build(&icmp, &in);
	ends_from_lan(&fx, &in);
	gfix_run(&fx, ends_lans[hook], &in, &result);
	if (form->other_type < 0) {
		assert_string_equal(gfix_reason_name(result.reason), "UNTRANSLATABLE");
		return;
	}
	assert_string_equal(gfix_reason_name(result.reason), "ANSWERED");
	icmp.data_len = requote(&q->inside_asked, l4_len, &q->outside_asked, &result.out,
				seal_inner_at(&result.out) + (e->v6 ? 48 : 28), quoted, &none);
	icmp.data = quoted;
	icmp.src = e->waypoint;
	icmp.dst = e->initiator;
	icmp.type = form->other_type;
	icmp.code = form->other_code;
	icmp.rest = form->other_rest;
	icmp.ttl--;
	gfix_icmp_build(&icmp, &want);
	ends_translated(&want, 14, &result.out, seal_inner_at(&result.out));
	gfix_answer(&fx, e->peer, e->host, seal_sequence(&result.out), &want, &sealed);
	assert_true(gfix_same(&result.out, &sealed));
}

static void errors_of(const struct ends *e, const struct quote *q)
{
	static const size_t lens[] = { 8, 20, 48 };
	const struct form *outside = e->v6 ? to4 : to6, *inside = e->v6 ? to6 : to4;
	size_t outsides = e->v6 ? sizeof(to4) / sizeof(*to4) : sizeof(to6) / sizeof(*to6);
	size_t insides = e->v6 ? sizeof(to6) / sizeof(*to6) : sizeof(to4) / sizeof(*to4);

	for (size_t i = 0; i < outsides; i++)
		for (int hook = 0; hook < 2; hook++)
			error_outside(e, q, &outside[i], lens[i % 3], hook);
	for (size_t i = 0; i < insides; i++)
		for (int hook = 0; hook < 2; hook++)
			error_inside(e, q, &inside[i], lens[i % 3], hook);
}

static void errors(void **state)
{
	struct quote q;

	for (size_t i = 0; i < ENDS_ALL; i++) {
		print_message("%s\n", ends_all[i].name);
		fill(state);
		ends_begin(&fx, &ends_all[i], IPPROTO_TCP, &q);
		errors_of(&ends_all[i], &q);
		ends_begin(&fx, &ends_all[i], IPPROTO_UDP, &q);
		errors_of(&ends_all[i], &q);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup(errors, fill) };

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
