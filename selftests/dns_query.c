// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/dns/answer.c agents/dns/rrl.c agents/dns/wire.c agents/dns/zone.c */
/* link: agents/dns/sign.c agents/dns/sign_deny.c agents/dns/sign_wire.c */
/* link: agents/lib/address.c agents/lib/auth.c selftests/lib/dns_fixture.c */
/*
 * Messages: what is malformed, EDNS, cookies with the vectors of RFC 9018, client subnets, sizes
 * and truncation, rate limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dns_fixture.h"

static struct dns_fixture *fixture;

static int setup(void **state)
{
	char *zone = malloc(65536), *to = zone;

	(void)state;
	to += sprintf(to, "%s",
		      "@ 300 SOA ns1 admin 7 3600 600 86400 60\n@ 300 NS ns1\n"
		      "ns1 300 A 192.0.2.53\nweb 300 A 192.0.2.1\n"
		      "child 300 NS ns.child\nns.child 300 A 192.0.2.77\n");
	for (int i = 0; i < 60; i++) /* 3.6 kB of answer */
		to += sprintf(
			to, "big 300 TXT \"record %02d of sixty, each as long as this one\"\n", i);
	for (int i = 0; i < 40; i++) { /* SRV fit into 1232 bytes, their addresses do not */
		to += sprintf(to, "many 300 SRV 0 0 80 h%02d\n", i % 16);
		to += sprintf(to, "h%02d 300 AAAA 2001:db8::%d\n", i % 16, i);
	}
	for (int i = 0; i < 8; i++) { /* servers fit into 512 bytes, their glue does not */
		to += sprintf(to, "wide 300 NS ns%d.wide\nwide2 300 NS h%02d\n", i, i);
		to += sprintf(to, "ns%d.wide 300 AAAA 2001:db8::%d\n", i, i);
		to += sprintf(to, "ns%d.wide 300 A 192.0.2.%d\n", i, i);
	}
	fixture = calloc(1, sizeof(*fixture));
	dns_fixture_open(fixture, zone);
	free(zone);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dns_fixture_close(fixture);
	free(fixture);
	return 0;
}

static size_t unhex(const char *text, uint8_t *bytes)
{
	size_t len = 0;

	for (; *text; text += 2)
		assert_int_equal(sscanf(text, "%2hhx", &bytes[len++]), 1);
	return len;
}

static void add_hex(struct dns_question *question, uint16_t code, const char *text)
{
	uint8_t bytes[256];
	size_t len = unhex(text, bytes);

	dns_add_option(question, code, bytes, len);
}

/* ---- what is no good question */

static void test_dropped(void **state)
{
	struct dns_question question;

	(void)state;
	dns_ask(&question, "web.example.net", ns_t_a);
	for (size_t len = 0; len < 12; len++)
		assert_int_equal(dns_send_bytes(fixture, question.bytes, len)->len, 0);
	question.bytes[2] |=
		0x80; /* an answer is never answered: two servers would go on for ever */
	assert_int_equal(dns_send(fixture, &question)->len, 0);
	assert_int_equal(fixture->server.counters.results[ANSWER_DROPPED], 13);
	question.bytes[2] &= ~0x80;
	assert_string_equal(dns_send(fixture, &question)->section[ns_s_an],
			    "web.example.net 300 A 192.0.2.1");
	assert_int_equal(fixture->server.counters.results[ANSWER_NOERROR], 1);
}

/* Cut off anywhere, it is answered with FORMERR, by as much of it as could be read. */
static void test_cut_off(void **state)
{
	struct dns_question question;
	size_t whole;

	(void)state;
	dns_ask(&question, "web.example.net", ns_t_a);
	whole = question.len;
	dns_add_edns(&question, 1232, 0, false);
	for (size_t len = 12; len < question.len; len++) {
		const struct dns_reply *reply = dns_send_bytes(fixture, question.bytes, len);

		assert_int_equal(reply->rcode, ns_r_formerr);
		assert_int_equal(reply->id, 0x1234);
		assert_int_equal(reply->len, len < whole ? 12 : whole);
	}
	assert_int_equal(fixture->server.counters.results[ANSWER_FORMERR], question.len - 12);
	assert_int_equal(dns_send(fixture, &question)->rcode, ns_r_noerror);
}

static void test_malformed(void **state)
{
	struct dns_question question;

	(void)state;
	dns_ask(&question, "web.example.net", ns_t_a);
	question.bytes[question.len++] = 0; /* more than it says */
	assert_int_equal(dns_send(fixture, &question)->rcode, ns_r_formerr);
	dns_ask(&question, "web.example.net", ns_t_a);
	question.bytes[5] = 2; /* questions */
	assert_int_equal(dns_send(fixture, &question)->rcode, ns_r_formerr);
	dns_ask(&question, "web.example.net", ns_t_a);
	question.bytes[12] = 0xc0; /* a name that points to itself */
	question.bytes[13] = 12;
	assert_int_equal(dns_send(fixture, &question)->rcode, ns_r_formerr);
	dns_ask(&question, "web.example.net", ns_t_a);
	dns_add_edns(&question, 1232, 0, false);
	dns_add_edns(&question, 1232, 0, false); /* RFC 6891, 6.1.1 */
	assert_int_equal(dns_send(fixture, &question)->rcode, ns_r_formerr);
	memset(&question, 0, sizeof(question));
	question.len = 12; /* no question at all */
	assert_int_equal(dns_send(fixture, &question)->rcode, ns_r_formerr);
}

static void test_other_operations(void **state)
{
	struct dns_question question;

	(void)state;
	for (int opcode = 1; opcode < 16; opcode++) {
		dns_ask(&question, "example.net", ns_t_soa);
		question.bytes[2] = opcode << 3;
		assert_int_equal(dns_send(fixture, &question)->rcode, ns_r_notimpl);
		assert_string_equal(fixture->reply.section[ns_s_an], "");
	}
	assert_int_equal(fixture->server.counters.results[ANSWER_NOTIMP], 15);
	dns_ask_class(&question, "version.bind", ns_t_txt, ns_c_chaos);
	assert_int_equal(dns_send(fixture, &question)->rcode, ns_r_refused);
	dns_ask_class(&question, "web.example.net", ns_t_a, ns_c_any);
	assert_int_equal(dns_send(fixture, &question)->rcode, ns_r_refused);
	dns_ask(&question, "web.example.net", ns_t_opt);
	assert_int_equal(dns_send(fixture, &question)->rcode, ns_r_refused);
}

/* ---- EDNS */

static void test_edns(void **state)
{
	struct dns_question question;
	const struct dns_reply *reply;

	(void)state;
	dns_ask(&question, "web.example.net", ns_t_a);
	dns_add_edns(&question, 4096, 0, true);
	add_hex(&question, 65001, "0102030405"); /* not known: as if it were not there */
	add_hex(&question, 3, "");		 /* nor is NSID */
	reply = dns_send(fixture, &question);
	assert_int_equal(reply->rcode, 0);
	assert_true(reply->has_opt);
	assert_true(reply->dnssec_ok); /* RFC 3225, 3 */
	assert_int_equal(reply->version, 0);
	assert_int_equal(reply->udp_size, 1232);
	assert_string_equal(reply->options, "");
	assert_string_equal(reply->section[ns_s_an], "web.example.net 300 A 192.0.2.1");
	dns_ask(&question, "web.example.net", ns_t_a);
	dns_add_edns(&question, 4096, 1, false);
	reply = dns_send(fixture, &question);
	assert_int_equal(reply->rcode, ns_r_badvers);
	assert_int_equal(reply->version, 0);
	assert_string_equal(reply->section[ns_s_an], "");
	dns_ask(&question, "nothing.example.net", ns_t_a); /* an OPT with errors as well */
	dns_add_edns(&question, 4096, 0, false);
	reply = dns_send(fixture, &question);
	assert_int_equal(reply->rcode, ns_r_nxdomain);
	assert_true(reply->has_opt);
	assert_false(reply->dnssec_ok);
}

static void test_subnet(void **state)
{
	static const struct {
		const char *sent, *answered; /* NULL: FORMERR */
	} rows[] = {
		{ "00011800c63364", "8:00011800c63364" },
		{ "00010000", "8:00010000" },
		{ "0002380020010db8000001", "8:0002380020010db8000001" },
		{ "00012000c6336407", "8:00012000c6336407" },
		{ "00011818c63364", NULL },   /* a scope in a question */
		{ "00011800c6336401", NULL }, /* longer than it says */
		{ "00011800c633", NULL },
		{ "00011700c63365", NULL }, /* a bit behind the prefix */
		{ "00012100c633640100", NULL },
		{ "00031800c63364", NULL },
		{ "0001", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dns_question question;
		const struct dns_reply *reply;

		dns_ask(&question, "web.example.net", ns_t_a);
		dns_add_edns(&question, 1232, 0, false);
		add_hex(&question, 8, rows[i].sent);
		reply = dns_send(fixture, &question);
		if (reply->rcode != (rows[i].answered ? ns_r_noerror : ns_r_formerr) ||
		    strcmp(reply->options, rows[i].answered ? rows[i].answered : ""))
			fail_msg("%s: rcode %u, %s", rows[i].sent, reply->rcode, reply->options);
	}
}

/* ---- cookies */

/* RFC 9018, appendix A. */
static const struct vector {
	const char *name, *client, *secret, *old_secret;
	uint32_t now;
	const char *sent, *answered;
	enum wire_cookie verdict;
} vectors[] = {
	{ "A.1 a new cookie", "198.51.100.100", "e5e973e5a6b2a43f48e7dc849e37bfcf", NULL,
	  0x5cf79f11, "2464c4abcf10c957", "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
	  WIRE_COOKIE_CLIENT },
	{ "A.2 the same client, renewed", "198.51.100.100", "e5e973e5a6b2a43f48e7dc849e37bfcf",
	  NULL, 0x5cf7a871, "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
	  "2464c4abcf10c957010000005cf7a871d4a564a1442aca77", WIRE_COOKIE_VALID },
	{ "A.3 another client, reserved bits", "203.0.113.203", "e5e973e5a6b2a43f48e7dc849e37bfcf",
	  NULL, 0x5cf7a9ac, "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
	  "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e", WIRE_COOKIE_BAD },
	{ "A.3 in its hour", "203.0.113.203", "e5e973e5a6b2a43f48e7dc849e37bfcf", NULL,
	  0x5cf78f71 + 60, "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
	  "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", WIRE_COOKIE_VALID },
	{ "A.4 IPv6, a new secret", "2001:db8:220:1:59de:d0f4:8769:82b8",
	  "445536bcd2513298075a5d379663c962", "dd3bdf9344b678b185a6f5cb60fca715", 0x5cf7c609,
	  "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
	  "22681ab97d52c298010000005cf7c609a6bb79d16625507a", WIRE_COOKIE_VALID },
	{ "fresh: the same comes back", "198.51.100.100", "e5e973e5a6b2a43f48e7dc849e37bfcf", NULL,
	  0x5cf79f11 + 1800, "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
	  "2464c4abcf10c957010000005cf79f111f8130c3eee29480", WIRE_COOKIE_VALID },
	{ "another address", "198.51.100.101", "e5e973e5a6b2a43f48e7dc849e37bfcf", NULL, 0x5cf7a871,
	  "2464c4abcf10c957010000005cf79f111f8130c3eee29480", NULL, WIRE_COOKIE_BAD },
	{ "another secret", "198.51.100.100", "e5e973e5a6b2a43f48e7dc849e37bfc0", NULL, 0x5cf7a871,
	  "2464c4abcf10c957010000005cf79f111f8130c3eee29480", NULL, WIRE_COOKIE_BAD },
	{ "another client's cookie", "198.51.100.100", "e5e973e5a6b2a43f48e7dc849e37bfcf", NULL,
	  0x5cf7a871, "2464c4abcf10c958010000005cf79f111f8130c3eee29480", NULL, WIRE_COOKIE_BAD },
	{ "more than an hour old", "198.51.100.100", "e5e973e5a6b2a43f48e7dc849e37bfcf", NULL,
	  0x5cf79f11 + 3601, "2464c4abcf10c957010000005cf79f111f8130c3eee29480", NULL,
	  WIRE_COOKIE_BAD },
	{ "from the future", "198.51.100.100", "e5e973e5a6b2a43f48e7dc849e37bfcf", NULL,
	  0x5cf79f11 - 301, "2464c4abcf10c957010000005cf79f111f8130c3eee29480", NULL,
	  WIRE_COOKIE_BAD },
};

static void check_vector(const struct vector *vector)
{
	struct dns_question question;
	const struct dns_reply *reply;
	char want[128];

	memset(&fixture->server.counters, 0, sizeof(fixture->server.counters));
	unhex(vector->secret, fixture->server.secret[0]);
	unhex(vector->old_secret ? vector->old_secret : vector->secret, fixture->server.secret[1]);
	dns_fixture_client(fixture, vector->client);
	fixture->now = vector->now;
	dns_ask(&question, "web.example.net", ns_t_a);
	dns_add_edns(&question, 1232, 0, false);
	add_hex(&question, 10, vector->sent);
	reply = dns_send(fixture, &question);
	if (fixture->server.counters.cookies[vector->verdict] != 1)
		fail_msg("%s: taken otherwise", vector->name);
	assert_int_equal(reply->rcode, 0);
	assert_string_equal(reply->section[ns_s_an], "web.example.net 300 A 192.0.2.1");
	if (vector->answered) {
		sprintf(want, "10:%s", vector->answered);
		if (strcmp(reply->options, want))
			fail_msg("%s: %s", vector->name, reply->options);
	} else { /* a new one */
		assert_int_equal(strlen(reply->options), 3 + 48);
		sprintf(want, "10:%.16s01000000%08x", vector->sent, vector->now);
		assert_memory_equal(reply->options, want, 3 + 32);
	}
}

static void test_cookies(void **state)
{
	static const char *const lengths[] = { "", "01", "01020304050607", "010203040506070809",
					       "0102030405060708090a0b0c0d0e0f" };
	struct dns_question question;

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		check_vector(&vectors[i]);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) { /* RFC 7873, 5.2.2 */
		dns_ask(&question, "web.example.net", ns_t_a);
		dns_add_edns(&question, 1232, 0, false);
		add_hex(&question, 10, lengths[i]);
		assert_int_equal(dns_send(fixture, &question)->rcode, ns_r_formerr);
	}
	/* Who asks for nothing but a cookie gets one (RFC 7873, 5.4). */
	memset(&question, 0, sizeof(question));
	question.len = 12;
	dns_add_edns(&question, 1232, 0, false);
	add_hex(&question, 10, "2464c4abcf10c957");
	assert_int_equal(dns_send(fixture, &question)->rcode, ns_r_noerror);
	assert_int_equal(strlen(fixture->reply.options), 3 + 48);
}

/* ---- sizes */

static const struct dns_reply *ask_size(const char *name, uint16_t type, uint16_t size)
{
	struct dns_question question;

	dns_ask(&question, name, type);
	if (size)
		dns_add_edns(&question, size, 0, false);
	return dns_send(fixture, &question);
}

static unsigned int count_lines(const char *text)
{
	unsigned int count = *text != 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

static void test_truncation(void **state)
{
	static const uint16_t sizes[] = { 0, 2, 511, 512, 1000, 1232, 4096, 65535 };
	const struct dns_reply *reply;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t most = sizes[i] < 512 ? 512 : sizes[i] > 1232 ? 1232 : sizes[i];

		reply = ask_size("big.example.net", ns_t_txt, sizes[i]);
		if (!reply->tc || reply->len > most)
			fail_msg("size %u: %zu bytes, TC %d", sizes[i], reply->len, reply->tc);
		assert_string_equal(reply->section[ns_s_an], ""); /* never a part of a set */
		assert_int_equal(reply->has_opt, sizes[i] != 0);
	}
	assert_int_equal(fixture->server.counters.truncated, 8);
	fixture->server.udp_size = 4096;
	reply = ask_size("big.example.net", ns_t_txt, 4096);
	assert_false(reply->tc);
	assert_true(reply->len > 1232 && reply->len <= 4096);
	assert_int_equal(count_lines(reply->section[ns_s_an]), 60);
	fixture->server.udp_size = 1232;
	fixture->tcp = true;
	reply = ask_size("big.example.net", ns_t_txt, 0);
	assert_false(reply->tc);
	assert_int_equal(count_lines(reply->section[ns_s_an]), 60);
}

/* Addresses that are added may be left out without TC (RFC 2181, 9). */
static void test_left_out(void **state)
{
	const struct dns_reply *reply = ask_size("many.example.net", ns_t_srv, 1232);
	unsigned int added = count_lines(reply->section[ns_s_ar]);

	(void)state;
	assert_false(reply->tc);
	assert_int_equal(count_lines(reply->section[ns_s_an]), 16);
	assert_in_range(added, 1, 39);
	assert_true(reply->len <= 1232);
	fixture->tcp = true;
	reply = ask_size("many.example.net", ns_t_srv, 1232);
	assert_int_equal(count_lines(reply->section[ns_s_ar]), 40);
}

/* Glue may not, or a resolver might know no server to ask (RFC 9471). */
static void test_glue(void **state)
{
	const struct dns_reply *reply = ask_size("a.wide.example.net", ns_t_a, 0);

	(void)state;
	assert_int_equal(count_lines(reply->section[ns_s_ns]), 8);
	assert_true(reply->tc);
	reply = ask_size("a.wide.example.net", ns_t_a, 1232);
	assert_int_equal(count_lines(reply->section[ns_s_ar]), 16);
	assert_false(reply->tc);
	reply = ask_size("a.wide2.example.net", ns_t_a, 0); /* addresses that can be asked for */
	assert_int_equal(count_lines(reply->section[ns_s_ns]), 8);
	assert_in_range(count_lines(reply->section[ns_s_ar]), 1, 15);
	assert_false(reply->tc);
}

/* ---- rate limits */

struct outcome {
	unsigned int answered, slipped, dropped;
};

static struct outcome flood(const char *name, unsigned int times)
{
	struct outcome outcome = { 0 };

	for (unsigned int i = 0; i < times; i++) {
		const struct dns_reply *reply = ask_size(name, ns_t_a, 0);

		if (!reply->len)
			outcome.dropped++;
		else if (reply->tc)
			outcome.slipped++;
		else
			outcome.answered++;
		if (reply->tc) {
			assert_int_equal(reply->rcode, ns_r_noerror);
			assert_string_equal(reply->section[ns_s_ns], "");
		}
	}
	return outcome;
}

static void expect(struct outcome got, unsigned int answered, unsigned int slipped,
		   unsigned int dropped)
{
	assert_int_equal(got.answered, answered);
	assert_int_equal(got.slipped, slipped);
	assert_int_equal(got.dropped, dropped);
}

static void test_rates(void **state)
{
	(void)state;
	rrl_set(fixture->server.rrl, 10, 2);
	expect(flood("nothing.example.net", 120), 20, 50, 50); /* a burst of two seconds */
	expect(flood("web.example.net", 1000), 1000, 0, 0);    /* what exists is never limited */
	expect(flood("a.child.example.net", 100), 100, 0, 0);
	dns_fixture_client(fixture, "198.51.100.200"); /* the same /24 */
	expect(flood("nothing.example.net", 10), 0, 5, 5);
	dns_fixture_client(fixture, "198.51.101.7"); /* another one */
	expect(flood("nothing.example.net", 20), 20, 0, 0);
	dns_fixture_client(fixture, "198.51.100.7");
	fixture->now_ms += 1000;
	expect(flood("nothing.example.net", 14), 10, 2, 2);
	fixture->now_ms += 3600000;			      /* never more than the burst */
	expect(flood("other.example.org", 30), 30 - 5, 0, 5); /* a refusal is as short as a slip */
	rrl_set(fixture->server.rrl, 10, 1);
	expect(flood("nothing.example.net", 10), 0, 10, 0);
	rrl_set(fixture->server.rrl, 10, 0);
	expect(flood("nothing.example.net", 10), 0, 0, 10);
	fixture->tcp = true; /* its address is not forged */
	expect(flood("nothing.example.net", 100), 100, 0, 0);
	fixture->tcp = false;
	rrl_set(fixture->server.rrl, 0, 2);
	expect(flood("nothing.example.net", 100), 100, 0, 0);
}

/* A cookie of ours shows that its client gets what we send. */
static void test_rates_with_cookie(void **state)
{
	struct dns_question question;
	unsigned int answered = 0;

	(void)state;
	rrl_set(fixture->server.rrl, 1, 0);
	unhex("e5e973e5a6b2a43f48e7dc849e37bfcf", fixture->server.secret[0]);
	dns_fixture_client(fixture, "198.51.100.100");
	fixture->now = 0x5cf79f11 + 5;
	expect(flood("nothing.example.net", 10), 2, 0, 8);
	dns_ask(&question, "nothing.example.net", ns_t_a);
	dns_add_edns(&question, 1232, 0, false);
	add_hex(&question, 10, "2464c4abcf10c957010000005cf79f111f8130c3eee29480");
	for (int i = 0; i < 100; i++)
		answered += dns_send(fixture, &question)->rcode == ns_r_nxdomain;
	assert_int_equal(answered, 100);
	question.bytes[question.len - 1] ^= 1;
	assert_int_equal(dns_send(fixture, &question)->len, 0);
}

/* A flood from everywhere refills nobody's bucket. */
static void test_rates_of_many(void **state)
{
	unsigned int passed = 0;

	(void)state;
	rrl_set(fixture->server.rrl, 10, 0);
	expect(flood("nothing.example.net", 30), 20, 0, 10);
	for (unsigned int i = 0; i < 100000; i++) {
		struct sockaddr_in other = { .sin_family = AF_INET };

		other.sin_addr.s_addr = htonl(0x0a000000 + (i << 8));
		rrl_check(fixture->server.rrl, (struct sockaddr *)&other, fixture->now_ms);
		if (i % 1000 == 0)
			passed += flood("nothing.example.net", 1).answered;
	}
	assert_int_equal(passed, 0);
	dns_fixture_client(fixture, "2001:db8:1:2::1");
	expect(flood("nothing.example.net", 25), 20, 0, 5);
	dns_fixture_client(fixture, "2001:db8:1:ff::1"); /* the same /56 */
	expect(flood("nothing.example.net", 1), 0, 0, 1);
	dns_fixture_client(fixture, "2001:db8:1:100::1");
	expect(flood("nothing.example.net", 1), 1, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dropped),	  TEST(test_cut_off),
		TEST(test_malformed),	  TEST(test_other_operations),
		TEST(test_edns),	  TEST(test_subnet),
		TEST(test_cookies),	  TEST(test_truncation),
		TEST(test_left_out),	  TEST(test_glue),
		TEST(test_rates),	  TEST(test_rates_with_cookie),
		TEST(test_rates_of_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
