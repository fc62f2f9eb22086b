// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/dns/answer.c agents/dns/rrl.c agents/dns/wire.c agents/dns/zone.c */
/* link: agents/dns/sign.c agents/dns/sign_deny.c agents/dns/sign_wire.c */
/* link: agents/lib/address.c agents/lib/auth.c selftests/lib/dns_fixture.c */
/*
 * What a zone's records mean: a table of questions, and of the answers that RFC 1034, 2308, 4592
 * and 8482 ask for. Answers are read by libc's resolver.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dns_fixture.h"

static const char zone[] = "$TTL 300\n"
			   "@ 600 SOA ns1 admin 7 3600 600 86400 60\n"
			   "@ NS ns1\n"
			   "@ NS ns2.example.com.\n"
			   "@ MX 10 mail\n"
			   "ns1 A 192.0.2.53\n"
			   "ns1 AAAA 2001:db8::53\n"
			   "web A 192.0.2.1\n"
			   "web AAAA 2001:db8::1\n"
			   "web TXT \"a text\" \"and another\"\n"
			   "mail 30 A 192.0.2.25\n"
			   "alias CNAME web\n"
			   "double CNAME alias\n"
			   "far CNAME www.example.com.\n"
			   "gone CNAME nothing\n"
			   "empty CNAME _tcp.web\n"
			   "into CNAME a.child\n"
			   "one CNAME two\n"
			   "two CNAME one\n"
			   "_http._tcp.web SRV 1 2 8080 web\n"
			   "_http._tcp.web SRV 1 2 8081 mail\n"
			   "_no._tcp.web SRV 0 0 0 .\n"
			   "*.wild A 192.0.2.99\n"
			   "*.wild MX 10 mail\n"
			   "host.sub.wild A 192.0.2.98\n"
			   "*.link CNAME web\n"
			   "child NS ns.child\n"
			   "child NS ns1\n"
			   "child DS 1 8 2 "
			   "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
			   "ns.child A 192.0.2.77\n"
			   "1.2 PTR web\n";

#define SOA	 "example.net 60 SOA ns1.example.net admin.example.net 7 3600 600 86400 60"
#define WEB_A	 "web.example.net 300 A 192.0.2.1"
#define WEB_AAAA "web.example.net 300 AAAA 2001:db8::1"
#define MAIL_A	 "mail.example.net 30 A 192.0.2.25"
#define NS1	 "ns1.example.net 300 A 192.0.2.53\nns1.example.net 300 AAAA 2001:db8::53"
#define CHILD                                                                                      \
	"child.example.net 300 NS ns.child.example.net\n"                                          \
	"child.example.net 300 NS ns1.example.net"
#define GLUE  "ns.child.example.net 300 A 192.0.2.77\n" NS1
#define ALIAS "alias.example.net 300 CNAME web.example.net"

static const struct row {
	const char *name, *question;
	uint16_t type;
	unsigned int rcode;
	bool aa;
	const char *answer, *authority, *additional;
} rows[] = {
	{ "address", "web.example.net", ns_t_a, 0, true, WEB_A, "", "" },
	{ "IPv6 address", "web.example.net", ns_t_aaaa, 0, true, WEB_AAAA, "", "" },
	{ "text", "web.example.net", ns_t_txt, 0, true,
	  "web.example.net 300 TXT \"a text\" \"and another\"", "", "" },
	{ "pointer", "1.2.example.net", ns_t_ptr, 0, true,
	  "1.2.example.net 300 PTR web.example.net", "", "" },
	{ "servers of the zone", "example.net", ns_t_ns, 0, true,
	  "example.net 300 NS ns1.example.net\nexample.net 300 NS ns2.example.com", "", NS1 },
	{ "mail", "example.net", ns_t_mx, 0, true, "example.net 300 MX 10 mail.example.net", "",
	  MAIL_A },
	{ "the question's letters come back", "wEb.ExAmPlE.nEt", ns_t_a, 0, true,
	  "wEb.ExAmPlE.nEt 300 A 192.0.2.1", "", "" },
	{ "no such type: SOA, TTL its minimum", "web.example.net", ns_t_mx, 0, true, "", SOA, "" },
	{ "no such type at the apex", "example.net", ns_t_a, 0, true, "", SOA, "" },
	{ "SVCB and HTTPS are no types of ours", "web.example.net", 65, 0, true, "", SOA, "" },
	{ "no such name", "nothing.example.net", ns_t_a, ns_r_nxdomain, true, "", SOA, "" },
	{ "no such name below one", "x.web.example.net", ns_t_a, ns_r_nxdomain, true, "", SOA, "" },
	{ "an empty non-terminal exists", "_tcp.web.example.net", ns_t_a, 0, true, "", SOA, "" },
	{ "another one", "2.example.net", ns_t_ptr, 0, true, "", SOA, "" },
	{ "service", "_http._tcp.web.example.net", ns_t_srv, 0, true,
	  "_http._tcp.web.example.net 300 SRV 1 2 8080 web.example.net\n"
	  "_http._tcp.web.example.net 300 SRV 1 2 8081 mail.example.net",
	  "", MAIL_A "\n" WEB_A "\n" WEB_AAAA },
	{ "service that is not available", "_no._tcp.web.example.net", ns_t_srv, 0, true,
	  "_no._tcp.web.example.net 300 SRV 0 0 0 .", "", "" },
	{ "alias", "alias.example.net", ns_t_a, 0, true, ALIAS "\n" WEB_A, "", "" },
	{ "alias itself", "alias.example.net", ns_t_cname, 0, true, ALIAS, "", "" },
	{ "alias of an alias", "double.example.net", ns_t_aaaa, 0, true,
	  ALIAS "\ndouble.example.net 300 CNAME alias.example.net\n" WEB_AAAA, "", "" },
	{ "alias without that type", "alias.example.net", ns_t_mx, 0, true, ALIAS, SOA, "" },
	{ "alias of a name elsewhere", "far.example.net", ns_t_a, 0, true,
	  "far.example.net 300 CNAME www.example.com", "", "" },
	{ "alias of no name", "gone.example.net", ns_t_a, ns_r_nxdomain, true,
	  "gone.example.net 300 CNAME nothing.example.net", SOA, "" },
	{ "alias of an empty non-terminal", "empty.example.net", ns_t_a, 0, true,
	  "empty.example.net 300 CNAME _tcp.web.example.net", SOA, "" },
	{ "alias of a delegated name", "into.example.net", ns_t_a, 0, true,
	  "into.example.net 300 CNAME a.child.example.net", CHILD, GLUE },
	{ "aliases in a circle", "one.example.net", ns_t_a, 0, true,
	  "one.example.net 300 CNAME two.example.net\n"
	  "two.example.net 300 CNAME one.example.net",
	  "", "" },
	{ "wildcard", "x.wild.example.net", ns_t_a, 0, true, "x.wild.example.net 300 A 192.0.2.99",
	  "", "" },
	{ "wildcard some labels up", "x.y.z.wild.example.net", ns_t_a, 0, true,
	  "x.y.z.wild.example.net 300 A 192.0.2.99", "", "" },
	{ "wildcard without that type", "x.wild.example.net", ns_t_aaaa, 0, true, "", SOA, "" },
	{ "wildcard itself", "*.wild.example.net", ns_t_a, 0, true,
	  "*.wild.example.net 300 A 192.0.2.99", "", "" },
	{ "wildcard does not match its parent", "wild.example.net", ns_t_a, 0, true, "", SOA, "" },
	{ "wildcard does not match what exists", "sub.wild.example.net", ns_t_a, 0, true, "", SOA,
	  "" },
	{ "nor below it", "x.sub.wild.example.net", ns_t_a, ns_r_nxdomain, true, "", SOA, "" },
	{ "wildcard with a target", "x.wild.example.net", ns_t_mx, 0, true,
	  "x.wild.example.net 300 MX 10 mail.example.net", "", MAIL_A },
	{ "wildcard alias", "x.link.example.net", ns_t_a, 0, true,
	  WEB_A "\nx.link.example.net 300 CNAME web.example.net", "", "" },
	{ "delegated", "a.child.example.net", ns_t_a, 0, false, "", CHILD, GLUE },
	{ "delegated name itself", "child.example.net", ns_t_ns, 0, false, "", CHILD, GLUE },
	{ "glue is not an answer", "ns.child.example.net", ns_t_a, 0, false, "", CHILD, GLUE },
	{ "DS is the parent's", "child.example.net", ns_t_ds, 0, true,
	  "child.example.net 300 TYPE43 "
	  "0001080200112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
	  "", "" },
	{ "any type: the smallest", "web.example.net", ns_t_any, 0, true, WEB_A, "", "" },
	{ "any type of no name", "nothing.example.net", ns_t_any, ns_r_nxdomain, true, "", SOA,
	  "" },
	{ "any type of an empty name", "_tcp.web.example.net", ns_t_any, 0, true, "", SOA, "" },
	{ "another zone", "example.org", ns_t_a, ns_r_refused, false, "", "", "" },
	{ "the parent of our zone", "net", ns_t_ns, ns_r_refused, false, "", "", "" },
	{ "the root", "", ns_t_ns, ns_r_refused, false, "", "", "" },
	{ "a name that ends like ours", "myexample.net", ns_t_a, ns_r_refused, false, "", "", "" },
	{ "zone transfer", "example.net", ns_t_axfr, ns_r_refused, false, "", "", "" },
	{ "incremental transfer", "example.net", ns_t_ixfr, ns_r_refused, false, "", "", "" },
};

static void check_row(struct dns_fixture *fixture, const struct row *row)
{
	struct dns_question question;
	const struct dns_reply *reply;

	dns_ask(&question, row->question, row->type);
	reply = dns_send(fixture, &question);
	if (reply->rcode != row->rcode || reply->aa != row->aa || reply->tc || !reply->rd ||
	    strcmp(reply->section[ns_s_an], row->answer) ||
	    strcmp(reply->section[ns_s_ns], row->authority) ||
	    strcmp(reply->section[ns_s_ar], row->additional))
		fail_msg("%s: rcode %u aa %d\n%s\n--\n%s\n--\n%s", row->name, reply->rcode,
			 reply->aa, reply->section[ns_s_an], reply->section[ns_s_ns],
			 reply->section[ns_s_ar]);
	assert_int_equal(reply->id, 0x1234);
	assert_int_equal(strncmp(reply->question, row->question, strlen(row->question)), 0);
	assert_false(reply->has_opt); /* no EDNS in the question */
}

static void test_table(void **state)
{
	struct dns_fixture *fixture = malloc(sizeof(*fixture));

	(void)state;
	dns_fixture_open(fixture, zone);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fixture->tcp = false;
		check_row(fixture, &rows[i]);
		fixture->tcp = true;
		check_row(fixture, &rows[i]);
	}
	assert_int_equal(fixture->server.counters.transfers, 4);
	dns_fixture_close(fixture);
	free(fixture);
}

/* The deepest zone answers; below its apex nothing of the parent is seen. */
static void test_zones(void **state)
{
	static const char sub[] = "@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.2\n";
	struct dns_fixture *fixture = malloc(sizeof(*fixture));
	struct dns_question question;
	const struct dns_reply *reply;
	char error[512];

	(void)state;
	dns_fixture_open(fixture, zone);
	dns_fixture_zone(fixture, "Sub.WEB.example.net", sub);
	dns_ask(&question, "ns.sub.web.example.net", ns_t_a);
	reply = dns_send(fixture, &question);
	assert_string_equal(reply->section[ns_s_an], "ns.sub.web.example.net 60 A 192.0.2.2");
	dns_ask(&question, "x.sub.web.example.net", ns_t_a);
	reply = dns_send(fixture, &question);
	assert_int_equal(reply->rcode, ns_r_nxdomain);
	assert_int_equal(strncmp(reply->section[ns_s_ns], "Sub.WEB.example.net 5 SOA", 25), 0);
	assert_int_equal(
		zones_read(&fixture->zones, "example.net", "/dev/null", error, sizeof(error)),
		-EINVAL);
	assert_non_null(strstr(error, "given twice"));
	dns_fixture_close(fixture);
	free(fixture);
}

static void test_wrong_zones(void **state)
{
#define HEAD "@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\n"
	static const struct {
		const char *text, *why;
	} wrong[] = {
		{ "", "one SOA" },
		{ "@ 60 NS ns\n", "one SOA" },
		{ "@ 60 SOA ns a 1 2 3 4 5\n", "NS record" },
		{ HEAD "@ 60 SOA ns a 2 2 3 4 5\n", "one SOA" },
		{ HEAD "web 60 SOA ns a 2 2 3 4 5\n", ":3: a SOA belongs" },
		{ HEAD "web.example.com. 60 A 192.0.2.1\n", ":3: the name is outside" },
		{ HEAD "web 60 A 192.0.2.999\n", ":3: " },
		{ HEAD "web 60 CH TXT x\n", ":3: " },
		{ HEAD "web 60 CNAME a\nweb 60 A 192.0.2.1\n", "web.example.net. has a CNAME and" },
		{ HEAD "web 60 CNAME a\nweb 60 CNAME b\n", "more than one CNAME" },
		{ HEAD "web 60 DNAME a\n", ":3: DNAME" },
		{ HEAD "*.web 60 NS a\n", ":3: a wildcard" },
	};
	struct zones zones = { .count = 0 };
	char path[64], error[512];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		FILE *file = tmpfile();

		fputs(wrong[i].text, file);
		fflush(file);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(file));
		error[0] = 0;
		assert_int_equal(zones_read(&zones, "example.net", path, error, sizeof(error)),
				 -EINVAL);
		if (!strstr(error, wrong[i].why))
			fail_msg("row %zu: %s", i, error);
		fclose(file);
	}
	assert_int_equal(zones_read(&zones, "example.net", "/nonexistent", error, sizeof(error)),
			 -ENOENT);
	assert_int_equal(zones_read(&zones, "a..b", "/dev/null", error, sizeof(error)), -EINVAL);
	assert_int_equal(zones.count, 0);
}

/* A name of 127 labels, and thousands of names: the tree grows and finds all. */
static void test_many_names(void **state)
{
	struct dns_fixture *fixture = malloc(sizeof(*fixture));
	char *text = malloc(1 << 20), name[300] = "", *to = text;
	struct dns_question question;

	(void)state;
	to += sprintf(to, "%s", "@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\n");
	for (int i = 0; i < 5000; i++)
		to += sprintf(to, "h%d 60 A 10.0.%d.%d\n", i, i / 256, i % 256);
	for (int i = 0; i < 121; i++)
		strcat(name, "a.");
	sprintf(to, "%sexample.net. 60 A 10.9.9.9\n", name);
	dns_fixture_open(fixture, text);
	for (int i = 0; i < 5000; i++) {
		char host[32], want[64];

		sprintf(host, "h%d.example.net", i);
		sprintf(want, "h%d.example.net 60 A 10.0.%d.%d", i, i / 256, i % 256);
		dns_ask(&question, host, ns_t_a);
		assert_string_equal(dns_send(fixture, &question)->section[ns_s_an], want);
	}
	strcat(name, "example.net");
	dns_ask(&question, name, ns_t_a);
	assert_non_null(strstr(dns_send(fixture, &question)->section[ns_s_an], "10.9.9.9"));
	dns_fixture_close(fixture);
	free(fixture);
	free(text);
}

/* Who takes the first address gets each of them in turn. */
static void test_rotation(void **state)
{
	static const char three[] = "@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\n@ 60 A 10.0.0.1\n"
				    "@ 60 A 10.0.0.2\n@ 60 A 10.0.0.3\n";
	struct dns_fixture *fixture = malloc(sizeof(*fixture));
	struct dns_question question;
	unsigned int first[4] = { 0 };

	(void)state;
	dns_fixture_open(fixture, three);
	dns_ask(&question, "example.net", ns_t_a);
	for (int id = 0; id < 300; id++) {
		ns_msg message;
		ns_rr record;
		struct dns_reply *reply;

		question.bytes[1] = id;
		question.bytes[0] = id >> 8;
		reply = dns_send(fixture, &question);
		assert_int_equal(ns_initparse(reply->bytes, reply->len, &message), 0);
		assert_int_equal(ns_msg_count(message, ns_s_an), 3);
		assert_int_equal(ns_parserr(&message, ns_s_an, 0, &record), 0);
		first[ns_rr_rdata(record)[3]]++;
	}
	for (int i = 1; i <= 3; i++)
		assert_int_equal(first[i], 100);
	dns_fixture_close(fixture);
	free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),	    cmocka_unit_test(test_zones),
		cmocka_unit_test(test_wrong_zones), cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_rotation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
