// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/dns/answer.c agents/dns/rrl.c agents/dns/wire.c agents/dns/zone.c */
/* link: agents/dns/sign.c agents/dns/sign_deny.c agents/dns/sign_wire.c */
/* link: agents/dns/key.c agents/dns/store.c agents/lib/address.c agents/lib/auth.c */
/* link: selftests/lib/dns_fixture.c selftests/lib/dns_verify.c selftests/lib/dns_signed.c */
/* What is not there: NSEC in bytes (RFC 9824), delegations, types that are about other types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agents/dns/sign_internal.h"
#include "lib/dns_signed.h"

/* RRSIG 46 and NSEC 47 are the last two bits of byte 5, NXNAME 128 the first of byte 16. */
#define NO_NAME "00110000000000030000000000000000000080"
#define EMPTY	"0006000000000003"

static const struct {
	const char *name;
	uint16_t type;
	const char *types; /* in hex */
} denials[] = {
	{ "none.example.net", ns_t_a, NO_NAME },
	{ "A.None.example.net", ns_t_mx, NO_NAME },
	{ "x.web.example.net", ns_t_txt, NO_NAME },
	{ "_tcp.web.example.net", ns_t_a, EMPTY }, /* an empty non-terminal */
	{ "wild.example.net", ns_t_a, EMPTY },
	{ "web.example.net", ns_t_mx, "0006400080080003010140ff0180" },
	{ "mail.example.net", ns_t_aaaa, "0006400000000003" },
	{ "example.net", ns_t_a, "00082201000000038018" },
	{ "a.wild.example.net", ns_t_mx, "0006400080000003" },
	{ "*.wild.example.net", ns_t_mx, "0006400080000003" },
	{ "_http._tcp.web.example.net", ns_t_a, "0006000000004003" },
	{ "child.example.net", SIGN_TYPE_DS, "0006200000000003" },
};

static void test_denial(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * sizeof(denials) / sizeof(denials[0]); i++) {
		const char *name = denials[i / 2].name; /* once made, once kept */

		assert_int_equal(ask(name, denials[i / 2].type)->rcode, ns_r_noerror);
		assert_true(fixture->reply.aa);
		assert_string_equal(fixture->reply.section[ns_s_an], "");
		if (verify_all(message, &keys, fixture->now) != 2 || message->count != 4 + 1)
			fail_msg("%s: %u records", name, message->count);
		check_nsec(ns_s_ns, name, denials[i / 2].types);
	}
	assert_int_equal(fixture->server.counters.results[ANSWER_NXDOMAIN], 6);
}

/* RFC 9824, 5.1. The flag comes back. */
static void test_compact_ok(void **state)
{
	(void)state;
	assert_int_equal(ask_flags("none.example.net", ns_t_a, 0xc0)->rcode, ns_r_nxdomain);
	check_nsec(ns_s_ns, "none.example.net", NO_NAME);
	assert_int_equal(verify_all(message, &keys, fixture->now), 2);
	assert_int_equal(verify_find(message, ns_s_ar, ns_t_opt)->ttl, 0xc000);
	assert_int_equal(ask_flags("mail.example.net", ns_t_aaaa, 0xc0)->rcode, ns_r_noerror);
	assert_int_equal(verify_find(message, ns_s_ar, ns_t_opt)->ttl, 0xc000);
	ask("none.example.net", ns_t_a);
	assert_int_equal(verify_find(message, ns_s_ar, ns_t_opt)->ttl, 0x8000);
	ask_flags("none.example.net", ns_t_a, 0x40); /* means nothing alone */
	assert_int_equal(fixture->reply.rcode, ns_r_nxdomain);
	assert_int_equal(verify_find(message, ns_s_ar, ns_t_opt)->ttl, 0);
	assert_null(verify_find(message, ns_s_ns, SIGN_TYPE_NSEC));
}

/* What a limit keeps from being sent is not signed either. */
static void test_limited(void **state)
{
	unsigned int answered = 0, cut = 0, dropped = 0;

	(void)state;
	ask("none.example.net", ns_t_a); /* the SOA's signature is kept */
	rrl_set(fixture->server.rrl, 10, 2);
	for (int i = 0; i < 120; i++) {
		uint64_t before = made();
		const struct dns_reply *reply = ask("none.example.net", ns_t_a);

		answered += reply->len && !reply->tc;
		cut += reply->len && reply->tc;
		dropped += !reply->len;
		assert_int_equal(made() - before, reply->len && !reply->tc);
	}
	assert_int_equal(answered, 20); /* as without signatures */
	assert_int_equal(cut, 50);
	assert_int_equal(dropped, 50);
	for (int i = 0; i < 10; i++) /* what exists is signed as ever */
		expect_made("a.wild.example.net", ns_t_a, 1);
	fixture->tcp = true;
	expect_made("none.example.net", ns_t_a, 1);
}

/* The alias is proved, and that its target is not there. */
static void test_lost_alias(void **state)
{
	(void)state;
	assert_int_equal(ask("lost.example.net", ns_t_a)->rcode, ns_r_noerror);
	assert_int_equal(verify_all(message, &keys, fixture->now), 3);
	check_nsec(ns_s_ns, "nowhere.example.net", NO_NAME);
	assert_int_equal(ask_flags("lost.example.net", ns_t_a, 0xc0)->rcode, ns_r_nxdomain);
}

static void test_referrals(void **state)
{
	(void)state;
	for (int times = 0; times < 2; times++) {
		ask("a.child.example.net", ns_t_a);
		assert_false(fixture->reply.aa);
		check_nsec(ns_s_ns, "child.example.net", "0006200000000003");
		/* the NSEC, and ns1's address, which is ours; neither NS nor glue */
		assert_int_equal(verify_all(message, &keys, fixture->now), 2);
		assert_int_equal(message->count, 2 + 1 + 1 + 2 + 1 + 1);
	}
	ask("a.safe.example.net", ns_t_a);
	assert_non_null(verify_find(message, ns_s_ns, SIGN_TYPE_DS));
	assert_null(verify_find(message, ns_s_ns, SIGN_TYPE_NSEC));
	assert_int_equal(verify_all(message, &keys, fixture->now), 2);
}

/* Its parent answers for a DS, though both zones are here (RFC 4035, 3.1.4.1). */
static void test_both_zones(void **state)
{
	(void)state;
	dns_fixture_zone(fixture, "child.example.net", "@ 300 SOA a b 1 2 3 4 5\n@ 300 NS a\n");
	dns_fixture_zone(fixture, "other.example.net", "@ 300 SOA a b 1 2 3 4 5\n@ 300 NS a\n");
	ask("child.example.net", SIGN_TYPE_DS);
	assert_non_null(strstr(fixture->reply.section[ns_s_ns], "example.net 60 SOA Ns1."));
	assert_int_equal(verify_all(message, &keys, fixture->now), 2);
	ask("child.example.net", ns_t_soa);
	assert_non_null(strstr(fixture->reply.section[ns_s_an], "child.example.net 300 SOA a."));
	ask("other.example.net", SIGN_TYPE_DS); /* the parent knows of no delegation */
	assert_non_null(strstr(fixture->reply.section[ns_s_ns], "other.example.net 5 SOA"));
}

/* ---- types that are about other types */

static void test_types(void **state)
{
	(void)state;
	for (int flags = 0; flags <= 0x80; flags += 0x80) {
		ask_flags("web.example.net", SIGN_TYPE_NSEC, flags);
		check_nsec(ns_s_an, denials[5].name, denials[5].types);
		if (flags)
			assert_int_equal(verify_all(message, &keys, fixture->now), 1);
		assert_int_equal(message->count, flags ? 3 : 2);
		ask_flags("web.example.net", SIGN_TYPE_RRSIG, flags);
		assert_int_equal(message->count, 2);
		assert_non_null(verify_find(message, ns_s_an, SIGN_TYPE_RRSIG));
		ask_flags("example.net", SIGN_TYPE_DNSKEY, flags);
		assert_int_equal(message->count, flags ? 3 : 2);
		assert_int_equal(ask_flags("web.example.net", SIGN_TYPE_NXNAME, flags)->rcode,
				 ns_r_formerr);
		assert_int_equal(ask_flags("example.org", SIGN_TYPE_NXNAME, flags)->rcode,
				 ns_r_formerr);
	}
	ask("alias.example.net", SIGN_TYPE_NSEC); /* has one of its own beside the CNAME */
	assert_non_null(verify_find(message, ns_s_an, SIGN_TYPE_NSEC));
	assert_null(verify_find(message, ns_s_an, ns_t_cname));
	ask("none.example.net", SIGN_TYPE_NSEC);
	check_nsec(ns_s_an, "none.example.net", NO_NAME);
	ask("_tcp.web.example.net", SIGN_TYPE_RRSIG); /* has nothing to be signed */
	assert_string_equal(fixture->reply.section[ns_s_an], "");
	check_nsec(ns_s_ns, "_tcp.web.example.net", EMPTY);
	assert_int_equal(ask("web.example.net", 129)->rcode, ns_r_refused);
	ask("web.example.net", ns_t_any); /* RFC 8482: one of them */
	assert_int_equal(message->count, 3);
}

/* ---- names that follow */

static size_t long_name(uint8_t *name, size_t first, uint8_t byte)
{
	static const size_t labels[] = { 63, 63, 63, 47 };
	uint8_t *at = name;

	*at++ = first;
	memset(at, byte, first);
	at += first;
	for (int i = 0; i < 4; i++) {
		*at++ = labels[i];
		memset(at, 'x', labels[i]);
		at += labels[i];
	}
	*at++ = 0;
	return at - name;
}

static void test_successor(void **state)
{
	uint8_t name[256], next[256], root[1] = { 0 };
	size_t len;

	(void)state;
	sign_successor((const uint8_t *)"\3web\2nl", root, next);
	assert_memory_equal(next, "\1\0\3web\2nl", 10);
	len = long_name(name, 12, 'a');
	assert_int_equal(len, 254);
	sign_successor(name, root, next); /* a byte does, a label does not */
	assert_int_equal(next[0], 13);
	assert_memory_equal(next + 1, "aaaaaaaaaaaa\0", 13);
	assert_memory_equal(next + 14, name + 13, len - 13);
	sign_successor(name, name, next);
	assert_memory_equal(next, name, len); /* but not before the zone's own name */
	len = long_name(name, 13, 'a');
	assert_int_equal(len, 255);
	sign_successor(name, root, next);
	assert_memory_equal(next,
			    "\x0d"
			    "aaaaaaaaaaaab",
			    14);
	assert_memory_equal(next + 14, name + 14, len - 14);
	long_name(name, 13, 0xff);
	sign_successor(name, root, next); /* the label goes, the one above it is counted up */
	assert_int_equal(next[0], 63);
	assert_int_equal(next[63], 'x' + 1);
	assert_memory_equal(next + 64, name + 14 + 64, 255 - 14 - 64);
	long_name(name, 13, '@');
	sign_successor(name, root, next);
	assert_int_equal(next[13], '['); /* capitals are small letters */
	name[13] = 0xff;
	sign_successor(name, root, next);
	assert_memory_equal(next, "\x0c@@@@@@@@@@@[", 13);
	long_name(name, 13, 0xff);
	sign_successor(name, name + 14, next); /* nothing follows in the zone */
	assert_memory_equal(next, name + 14, 255 - 14);
}

/* Such names are asked for, and their denial verified. */
static void test_long_names(void **state)
{
	char text[1100], *to;

	(void)state;
	for (int first = 39; first <= 49; first++) { /* 245 to 255 bytes */
		to = text;
		for (int label = 0; label < 4; label++) {
			int len = label ? 63 : first;

			memset(to, 'a' + label, len);
			to += len;
			*to++ = '.';
		}
		strcpy(to, "example.net");
		assert_int_equal(ask(text, ns_t_a)->rcode, ns_r_noerror);
		assert_int_equal(verify_all(message, &keys, fixture->now), 2);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, signed_setup, signed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_denial),     TEST(test_compact_ok), TEST(test_limited),
		TEST(test_lost_alias), TEST(test_referrals),  TEST(test_both_zones),
		TEST(test_types),      TEST(test_successor),  TEST(test_long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
