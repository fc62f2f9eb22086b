// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/dns/answer.c agents/dns/rrl.c agents/dns/wire.c agents/dns/zone.c */
/* link: agents/dns/sign.c agents/dns/sign_deny.c agents/dns/sign_wire.c */
/* link: agents/dns/key.c agents/dns/store.c agents/lib/address.c agents/lib/auth.c */
/* link: selftests/lib/dns_fixture.c selftests/lib/dns_verify.c selftests/lib/dns_signed.c */
/*
 * Signed answers, each signature verified by another implementation than the one that made it:
 * sets, sizes, and what is kept for how long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/dns_signed.h"

/* ---- sets */

static void test_sets(void **state)
{
	static const struct {
		const char *name;
		uint16_t type;
		unsigned int records, signatures; /* in the answer; in the whole message */
	} rows[] = {
		{ "web.example.net", ns_t_a, 3, 1 },
		{ "WEB.Example.NET", ns_t_aaaa, 1, 1 },
		{ "web.example.net", ns_t_txt, 2, 1 },
		{ "web.example.net", ns_t_caa, 1, 1 },
		{ "web.example.net", 65280, 1, 1 },
		{ "example.net", ns_t_soa, 1, 1 },
		{ "example.net", ns_t_ns, 1, 2 }, /* and its address */
		{ "example.net", ns_t_mx, 1, 2 },
		{ "_http._tcp.web.example.net", ns_t_srv, 2, 4 }, /* A of both, AAAA */
		{ "a.wild.example.net", ns_t_a, 1, 1 },
		{ "*.b.WILD.example.net", ns_t_txt, 1, 1 },
		{ "*.wild.example.net", ns_t_a, 1, 1 },
		{ "alias.example.net", ns_t_a, 4, 2 },
		{ "chain.example.net", ns_t_aaaa, 3, 3 },
		{ "walias.example.net", ns_t_a, 2, 2 },
		{ "web.example.net", ns_t_any, 1, 1 },
		{ "example.net", SIGN_TYPE_DNSKEY, 1, 1 },
		{ "example.net", SIGN_TYPE_CDS, 1, 1 },
		{ "example.net", SIGN_TYPE_CDNSKEY, 1, 1 },
		{ "safe.example.net", SIGN_TYPE_DS, 1, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned int records = 0, signatures;

		for (int times = 0; times < 2; times++) { /* made, and kept */
			records = 0;
			assert_int_equal(ask(rows[i].name, rows[i].type)->rcode, 0);
			assert_true(fixture->reply.aa && fixture->reply.dnssec_ok);
			signatures = verify_all(message, &keys, fixture->now);
			for (unsigned int j = 0; j < message->count; j++)
				records += message->record[j].section == ns_s_an &&
					   message->record[j].type != SIGN_TYPE_RRSIG;
			if (records != rows[i].records || signatures != rows[i].signatures)
				fail_msg("%s %u: %u records, %u signatures", rows[i].name,
					 rows[i].type, records, signatures);
		}
	}
}

/* Who does not ask for signatures gets none, nor does a zone without keys have any. */
static void test_unsigned(void **state)
{
	static const uint16_t types[] = { ns_t_a, ns_t_mx, SIGN_TYPE_NSEC, SIGN_TYPE_RRSIG };

	(void)state;
	ask_flags("web.example.net", ns_t_a, 0);
	assert_int_equal(message->count, 3 + 1); /* and the OPT */
	assert_int_equal(ask_flags("none.example.net", ns_t_a, 0)->rcode, ns_r_nxdomain);
	assert_int_equal(message->count, 1 + 1);
	ask_flags("child.example.net", ns_t_a, 0);
	assert_null(verify_find(message, ns_s_ns, SIGN_TYPE_NSEC));
	dns_fixture_zone(fixture, "example.org", signed_zone);
	for (int i = 0; i < 4; i++) {
		ask("web.example.org", types[i]);
		assert_null(verify_find(message, ns_s_an, SIGN_TYPE_RRSIG));
		assert_null(verify_find(message, ns_s_ns, SIGN_TYPE_NSEC));
	}
	assert_int_equal(ask("none.example.org", ns_t_a)->rcode, ns_r_nxdomain);
	assert_int_equal(message->count, 1 + 1);
}

/* Fields of an RRSIG, in bytes (RFC 4034, 3.1). */
static void test_rrsig(void **state)
{
	static const uint8_t want[] = { 0,    1,    13,	  3,	0,    0,    0x01, 0x2c,
					0x65, 0x66, 0x66, 0x00, 0x65, 0x53, 0xe2, 0xf0 };
	const struct verify_record *signature;

	(void)state;
	ask("web.example.net", ns_t_a);
	signature = verify_find(message, ns_s_an, SIGN_TYPE_RRSIG);
	assert_non_null(signature);
	/* A, algorithm, labels, TTL; 1700000000 and 14 days, less one hour */
	assert_memory_equal(signature->data, want, sizeof(want));
	assert_int_equal(ns_get16(signature->data + 16), keys.tag[0]);
	assert_memory_equal(signature->data + 18, "\7example\3net", 13);
	assert_int_equal(signature->len, 18 + 13 + 64);
	ask("a.b.wild.example.net", ns_t_a); /* RFC 9824, 3.3: as if the name were there */
	assert_int_equal(verify_find(message, ns_s_an, SIGN_TYPE_RRSIG)->data[3], 5);
	ask("*.wild.example.net", ns_t_a);
	assert_int_equal(verify_find(message, ns_s_an, SIGN_TYPE_RRSIG)->data[3], 3);
}

/* RFC 4035, 3.1.6: neither is of use in an answer from the zone's own server. */
static void test_header(void **state)
{
	struct dns_question question;

	(void)state;
	dns_ask(&question, "web.example.net", ns_t_a);
	question.bytes[3] = 0x30; /* AD, CD */
	dns_add_edns(&question, 1232, 0, true);
	dns_send(fixture, &question);
	assert_int_equal(fixture->reply.bytes[3], 0);
	assert_int_equal(fixture->reply.bytes[2] & ~1, 0x84); /* QR, AA */
}

/* ---- what is not there */

/* ---- what is kept */

static void test_kept(void **state)
{
	(void)state;
	expect_made("web.example.net", ns_t_a, 1);
	expect_made("WEB.example.net", ns_t_a, 0);
	expect_made("mail.example.net", ns_t_aaaa, 2); /* SOA and NSEC */
	expect_made("mail.example.net", ns_t_txt, 0);
	expect_made("none.example.net", ns_t_a, 1); /* others will ask for other names */
	expect_made("none.example.net", ns_t_a, 1);
	expect_made("a.wild.example.net", ns_t_a, 1);
	expect_made("a.wild.example.net", ns_t_a, 1);
	fixture->now += SIGN_RENEW_S - 1;
	expect_made("web.example.net", ns_t_a, 0);
	fixture->now++;
	expect_made("web.example.net", ns_t_a, 1);
	expect_made("web.example.net", ns_t_a, 0);
	fixture->now -= SIGN_RENEW_S + 1; /* the clock was set back */
	expect_made("web.example.net", ns_t_a, 1);
	for (int i = 0; i < 60; i++) { /* a month, and each answer holds for more than 12 days */
		fixture->now += 43200;
		ask("web.example.net", ns_t_a);
		verify_all(message, &keys, fixture->now + 12 * 86400);
	}
	assert_int_equal(fixture->server.counters.signatures.failed, 0);
}

/* What is published changes sets and types; what was kept of them goes. */
static void test_published(void **state)
{
	static const char without[] = "0006400000000003", with[] = "0006400000080003";

	(void)state;
	expect_made("mail.example.net", ns_t_a, 1);
	expect_made("mail.example.net", ns_t_mx, 2);
	check_nsec(ns_s_ns, "mail.example.net", without);
	change("mail.example.net. 60 IN A 192.0.2.26\n", false, 0);
	expect_made("mail.example.net", ns_t_a, 1);
	expect_made("mail.example.net", ns_t_a, 0);
	change("mail.example.net. 60 IN AAAA 2001:db8::25\n", false, fixture->now + 100);
	expect_made("mail.example.net", ns_t_mx, 1);
	check_nsec(ns_s_ns, "mail.example.net", with);
	expect_made("mail.example.net", ns_t_aaaa, 1);
	fixture->now += 70; /* its TTL ends with it; what is signed is the first one */
	expect_made("mail.example.net", ns_t_aaaa, 0);
	assert_int_equal(verify_find(message, ns_s_an, ns_t_aaaa)->ttl, 30);
	change("mail.example.net. 60 IN AAAA 2001:db8::25\n", true, 0);
	change("mail.example.net. 60 IN A 192.0.2.26\n", true, 0);
	expect_made("mail.example.net", ns_t_a, 1);
	expect_made("mail.example.net", ns_t_mx, 1);
	check_nsec(ns_s_ns, "mail.example.net", without);
	change("a.new.example.net. 60 IN SRV 0 0 1 Web.example.net.\n", false, 0);
	ask("new.example.net", ns_t_a); /* exists now, though empty */
	assert_int_equal(verify_find(message, ns_s_ns, SIGN_TYPE_NSEC)->len, 2 + 17 + 8);
	expect_made("a.new.example.net", ns_t_srv, 3); /* and of both of web's addresses */
	expect_made("a.new.example.net", ns_t_srv, 0);
	change("a.new.example.net. 60 IN SRV 0 0 1 Web.example.net.\n", true, 0);
	assert_int_equal(ask_flags("new.example.net", ns_t_a, 0xc0)->rcode, ns_r_nxdomain);
}

/* ---- sizes */

static void add_big(unsigned int count)
{
	char line[128];

	for (unsigned int i = 0; i < count; i++) {
		sprintf(line, "big.example.net. 60 IN AAAA 2001:db8::%x\n", i + 1);
		change(line, false, 0);
	}
}

/* With its signature it fits, or there is nothing but TC; by TCP it is whole. */
static void test_truncation(void **state)
{
	struct dns_question question;
	unsigned int whole = 0, cut = 0;

	(void)state;
	add_big(16); /* 513 bytes with OPT, 608 with the signature */
	dns_ask(&question, "big.example.net", ns_t_aaaa);
	dns_add_edns(&question, 512, 0, true);
	for (unsigned int size = 512; size < 700; size++) {
		const struct dns_reply *reply;

		ns_put16(size, question.bytes + question.opt - 6);
		reply = dns_send(fixture, &question);
		verify_read(reply, message);
		assert_true(reply->len <= size);
		assert_true(reply->aa && reply->has_opt && reply->dnssec_ok);
		if (reply->tc) {
			assert_int_equal(message->count, 1);
			assert_int_equal(whole, 0);
			cut++;
		} else {
			assert_int_equal(verify_all(message, &keys, fixture->now), 1);
			assert_int_equal(message->count, 16 + 1 + 1);
			whole++;
		}
	}
	assert_true(whole && cut);
	assert_int_equal(fixture->server.counters.truncated, cut);
	fixture->tcp = true;
	add_big(200);
	dns_send(fixture, &question);
	verify_read(&fixture->reply, message);
	assert_int_equal(verify_all(message, &keys, fixture->now), 1);
}

/* A denial that does not fit is never half of one. */
static void test_truncated_denial(void **state)
{
	struct dns_question question;
	char name[300], label[64];
	bool cut = false;

	(void)state;
	memset(label, 'a', 63);
	for (int len = 1; len < 64; len++) {
		sprintf(name, "%.*s.%.63s.%.63s.example.net", len, label, label, label);
		dns_ask(&question, name, ns_t_a);
		dns_add_edns(&question, 512, 0, true);
		dns_send(fixture, &question);
		verify_read(&fixture->reply, message);
		if (fixture->reply.tc)
			assert_int_equal(message->count, 1);
		else
			assert_int_equal(verify_all(message, &keys, fixture->now), 2);
		cut |= fixture->reply.tc;
	}
	assert_true(cut);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, signed_setup, signed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sets),       TEST(test_unsigned),
		TEST(test_rrsig),      TEST(test_header),
		TEST(test_kept),       TEST(test_published),
		TEST(test_truncation), TEST(test_truncated_denial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
