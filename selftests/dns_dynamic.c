// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/dns/answer.c agents/dns/rrl.c agents/dns/wire.c agents/dns/zone.c */
/* link: agents/dns/sign.c agents/dns/sign_deny.c agents/dns/sign_wire.c */
/* link: agents/dns/record.c agents/dns/store.c agents/dns/dynamic.c agents/lib/log.c */
/* link: agents/lib/address.c agents/lib/auth.c selftests/lib/dns_fixture.c */
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/msg_tls.c agents/lib/msg_socket.c */
/*
 * Published records: who may, what is answered, when they end, and that a restart or a new zone
 * file changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/dns/dns.h"
#include "agents/lib/msg.h"
#include "lib/dns_fixture.h"

static const char zone[] = "@ 300 SOA ns1 admin 7 3600 600 86400 60\n@ 300 NS ns1\n"
			   "web 300 A 192.0.2.1\n"
			   "_https._tcp.web 300 SRV 5 0 443 web\n"
			   "alias 300 CNAME web\n"
			   "child 300 NS ns.child\n";

static struct dns_fixture *fixture;
static struct dns *dns;
static char path[64];
static int64_t now;

int64_t dns_now(void)
{
	return now;
}

static void open_server(void)
{
	char error[ERROR_LEN] = "";

	dns_fixture_open(fixture, zone);
	dns->zones = fixture->zones;
	fixture->server.zones = &dns->zones;
	dns->store = store_open(path, error, sizeof(error));
	if (!dns->store || dynamic_load(dns, error))
		fail_msg("%s", error);
}

static void close_server(void)
{
	store_close(dns->store);
	fixture->zones = dns->zones;
	dns_fixture_close(fixture);
}

static int setup(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/isthmus-dns-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	now = 1700000000;
	fixture = calloc(1, sizeof(*fixture));
	dns = calloc(1, sizeof(*dns));
	dns->settings.records = 1000;
	dns->settings.database = path;
	open_server();
	return 0;
}

static int teardown(void **state)
{
	char side[80];

	(void)state;
	close_server();
	unlink(path);
	snprintf(side, sizeof(side), "%s-wal", path);
	unlink(side);
	snprintf(side, sizeof(side), "%s-shm", path);
	unlink(side);
	free(fixture);
	free(dns);
	return 0;
}

/* What a message's line comes to; -EINVAL if it is refused before. */
static int publish(const char *line)
{
	const char *why;
	json_t *message = msg_parse(line, strlen(line), &why);
	struct record record;
	int rc;

	assert_non_null(message);
	why = record_from_json(message, now, &record);
	rc = why ? -EINVAL : dynamic_publish(dns, &record);
	json_decref(message);
	return rc;
}

static int withdraw(const char *name, const char *target, int port)
{
	const struct store_match match = { name, "", target, "", port, 0, 0 };

	return dynamic_withdraw(dns, &match);
}

static const struct dns_reply *ask(const char *name, uint16_t type)
{
	struct dns_question question;

	fixture->now = now;
	dns_ask(&question, name, type);
	return dns_send(fixture, &question);
}

static void expect(const char *name, uint16_t type, const char *answer)
{
	assert_string_equal(ask(name, type)->section[ns_s_an], answer);
}

#define SSH "_ssh._tcp.web.example.net"
#define SSH_LINE(more)                                                                             \
	"{\"op\":\"publish\",\"name\":\"_SSH._tcp.Web.example.net\",\"type\":\"SRV\","             \
	"\"target\":\"WEB.example.net.\",\"port\":40022" more "}"

static void test_publish(void **state)
{
	(void)state;
	assert_int_equal(ask(SSH, ns_t_srv)->rcode, ns_r_nxdomain);
	assert_int_equal(ask("_tcp.web.example.net", ns_t_a)->rcode, ns_r_noerror);
	assert_int_equal(publish(SSH_LINE("")), 0);
	expect(SSH, ns_t_srv, SSH " 60 SRV 0 0 40022 web.example.net");
	assert_string_equal(fixture->reply.section[ns_s_ar], "web.example.net 300 A 192.0.2.1");
	/* Another port is another record, the smallest TTL is that of all. */
	assert_int_equal(publish("{\"name\":\"" SSH "\",\"target\":\"b.example.net\",\"port\":1,"
				 "\"ttl\":20,\"priority\":7,\"weight\":9}"),
			 0);
	expect(SSH, ns_t_srv,
	       SSH " 20 SRV 0 0 40022 web.example.net\n" SSH " 20 SRV 7 9 1 b.example.net");
	/* The same again with other numbers takes its place. */
	assert_int_equal(publish(SSH_LINE(",\"priority\":3,\"ttl\":10")), 0);
	expect(SSH, ns_t_srv,
	       SSH " 10 SRV 3 0 40022 web.example.net\n" SSH " 10 SRV 7 9 1 b.example.net");
	assert_int_equal(dns->record_count, 2);
	assert_int_equal(withdraw(SSH ".", "", 40022), 1);
	expect(SSH, ns_t_srv, SSH " 20 SRV 7 9 1 b.example.net");
	assert_int_equal(withdraw(SSH ".", "", -1), 1);
	assert_int_equal(withdraw(SSH ".", "", -1), 0);
	assert_int_equal(ask(SSH, ns_t_srv)->rcode, ns_r_nxdomain);
	assert_int_equal(dns->record_count, 0);
}

/* A name that only published records made is gone with them, and its empty non-terminals. */
static void test_nodes(void **state)
{
	unsigned int nodes = dns->zones.item[0]->node_count;

	(void)state;
	assert_int_equal(publish("{\"name\":\"a.b.c.d.example.net\",\"type\":\"A\","
				 "\"address\":\"192.0.2.9\"}"),
			 0);
	expect("a.b.c.d.example.net", ns_t_a, "a.b.c.d.example.net 60 A 192.0.2.9");
	assert_int_equal(ask("c.d.example.net", ns_t_a)->rcode, ns_r_noerror);
	assert_int_equal(dns->zones.item[0]->node_count, nodes + 4);
	assert_int_equal(withdraw("a.b.c.d.example.net.", "", -1), 1);
	assert_int_equal(ask("c.d.example.net", ns_t_a)->rcode, ns_r_nxdomain);
	assert_int_equal(dns->zones.item[0]->node_count, nodes);
	expect("web.example.net", ns_t_a, "web.example.net 300 A 192.0.2.1");
}

/* Beside the file's own. */
static void test_with_fixed(void **state)
{
	(void)state;
	assert_int_equal(publish("{\"name\":\"web.example.net\",\"type\":\"A\","
				 "\"address\":\"192.0.2.2\"}"),
			 0);
	expect("web.example.net", ns_t_a,
	       "web.example.net 60 A 192.0.2.1\nweb.example.net 60 A 192.0.2.2");
	assert_int_equal(publish("{\"name\":\"web.example.net\",\"type\":\"AAAA\","
				 "\"address\":\"2001:DB8:0::5\"}"),
			 0);
	expect("web.example.net", ns_t_aaaa, "web.example.net 60 AAAA 2001:db8::5");
	assert_int_equal(publish("{\"name\":\"web.example.net\",\"type\":\"A\",\"ttl\":900,"
				 "\"address\":\"192.0.2.2\"}"),
			 0);
	expect("web.example.net", ns_t_a, /* the file's is the smallest */
	       "web.example.net 300 A 192.0.2.1\nweb.example.net 300 A 192.0.2.2");
	assert_int_equal(withdraw("web.example.net.", "", -1), 2);
	expect("web.example.net", ns_t_a, "web.example.net 300 A 192.0.2.1");
	expect("web.example.net", ns_t_aaaa, "");
}

static void test_refused(void **state)
{
	static const struct {
		const char *line;
		int rc;
	} rows[] = {
		{ "{\"name\":\"x.example.org\",\"target\":\"a.b\",\"port\":1}", -ENOENT },
		{ "{\"name\":\"x.child.example.net\",\"target\":\"a.b\",\"port\":1}", -EPERM },
		{ "{\"name\":\"child.example.net\",\"target\":\"a.b\",\"port\":1}", -EPERM },
		{ "{\"name\":\"alias.example.net\",\"target\":\"a.b\",\"port\":1}", -EEXIST },
		{ "{\"name\":\"a..example.net\",\"target\":\"a.b\",\"port\":1}", -EINVAL },
		{ "{\"name\":\"\",\"target\":\"a.b\",\"port\":1}", -EINVAL },
		{ "{\"target\":\"a.b\",\"port\":1}", -EINVAL },
		{ "{\"name\":\"x.example.net\",\"port\":1}", -EINVAL },
		{ "{\"name\":\"x.example.net\",\"target\":\"a.b\"}", -EINVAL },
		{ "{\"name\":\"x.example.net\",\"target\":\"a.b\",\"port\":65536}", -EINVAL },
		{ "{\"name\":\"x.example.net\",\"target\":\"a.b\",\"port\":-1}", -EINVAL },
		{ "{\"name\":\"x.example.net\",\"target\":\"a.b\",\"port\":1,\"ttl\":604801}",
		  -EINVAL },
		{ "{\"name\":\"x.example.net\",\"target\":\"a.b\",\"port\":1,\"owner\":\"a b\"}",
		  -EINVAL },
		{ "{\"name\":\"x.example.net\",\"type\":\"TXT\",\"target\":\"a.b\",\"port\":1}",
		  -EINVAL },
		{ "{\"name\":\"x.example.net\",\"type\":\"A\",\"address\":\"2001:db8::1\"}",
		  -EINVAL },
		{ "{\"name\":\"x.example.net\",\"type\":\"AAAA\",\"address\":\"192.0.2.1\"}",
		  -EINVAL },
		{ "{\"name\":\"x.example.net\",\"type\":\"A\",\"address\":\"192.0.2.1 x\"}",
		  -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (publish(rows[i].line) != rows[i].rc)
			fail_msg("%s", rows[i].line);
	assert_int_equal(dns->record_count, 0);
	assert_int_equal(ask("x.example.net", ns_t_srv)->rcode, ns_r_nxdomain);
}

/* Characters that mean something in a zone file are only characters of names. */
static void test_strange_names(void **state)
{
	static const char *const names[] = {
		"a\\nb.example.net",	 "a;b.example.net",	  "a(b.example.net",
		"\\\"a\\\".example.net", "$INCLUDE.example.net",  "a b.example.net",
		"@.example.net",	 "a\\\\032b.example.net", "a\\\\.b.example.net",
	};
	char line[256];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		unsigned int before = dns->zones.item[0]->node_count;

		snprintf(line, sizeof(line), "{\"name\":\"%s\",\"target\":\"%s\",\"port\":%zu}",
			 names[i], names[i], 1000 + i);
		if (publish(line))
			fail_msg("%s", line);
		/* One name more, or the same as "a b" by another spelling. */
		assert_in_range(dns->zones.item[0]->node_count - before, 0, 1);
	}
	assert_int_equal(dns->record_count, sizeof(names) / sizeof(names[0]));
	expect("web.example.net", ns_t_a, "web.example.net 300 A 192.0.2.1");
}

static void test_owner(void **state)
{
	(void)state;
	assert_int_equal(publish(SSH_LINE(",\"owner\":\"h1\",\"seconds\":100")), 0);
	assert_int_equal(publish(SSH_LINE(",\"owner\":\"h2\"")), -EACCES);
	assert_int_equal(publish(SSH_LINE("")), -EACCES);
	assert_int_equal(publish(SSH_LINE(",\"owner\":\"h1\",\"seconds\":200")), 0);
	now += 150;
	assert_int_equal(publish(SSH_LINE(",\"owner\":\"h2\"")), -EACCES);
	now += 51; /* it is over, though not swept yet */
	assert_int_equal(publish(SSH_LINE(",\"owner\":\"h2\"")), 0);
	assert_int_equal(dns->record_count, 1);
}

static void test_limit(void **state)
{
	(void)state;
	dns->settings.records = 1;
	assert_int_equal(publish(SSH_LINE("")), 0);
	assert_int_equal(publish("{\"name\":\"x.example.net\",\"target\":\"a.b\",\"port\":1}"),
			 -ENOSPC);
	assert_int_equal(publish(SSH_LINE(",\"ttl\":5")), 0); /* what is there may be renewed */
	assert_int_equal(dns->record_count, 1);
}

/* The TTL shrinks with the time that is left, so that no cache keeps it longer. */
static void test_expiry(void **state)
{
	(void)state;
	assert_int_equal(publish(SSH_LINE(",\"seconds\":100,\"ttl\":60")), 0);
	assert_int_equal(publish("{\"name\":\"x.example.net\",\"target\":\"a.b\",\"port\":1}"), 0);
	expect(SSH, ns_t_srv, SSH " 60 SRV 0 0 40022 web.example.net");
	now += 70;
	expect(SSH, ns_t_srv, SSH " 30 SRV 0 0 40022 web.example.net");
	dynamic_expire(dns);
	expect(SSH, ns_t_srv, SSH " 30 SRV 0 0 40022 web.example.net");
	now += 30;
	dynamic_expire(dns);
	assert_int_equal(ask(SSH, ns_t_srv)->rcode, ns_r_nxdomain);
	assert_int_equal(dns->expired, 1);
	assert_int_equal(dns->record_count, 1);
	expect("x.example.net", ns_t_srv, "x.example.net 60 SRV 0 0 1 a.b");
}

static void test_expiry_of_many(void **state)
{
	char line[128];

	(void)state;
	for (int i = 0; i < 300; i++) {
		snprintf(line, sizeof(line),
			 "{\"name\":\"h%d.example.net\",\"target\":\"a.b\",\"port\":1,"
			 "\"seconds\":%d}",
			 i, 10 + i % 2);
		assert_int_equal(publish(line), 0);
	}
	now += 10;
	dynamic_expire(dns);
	assert_int_equal(dns->expired, 150);
	assert_int_equal(dns->record_count, 150);
	assert_int_equal(ask("h0.example.net", ns_t_srv)->rcode, ns_r_nxdomain);
	assert_int_equal(ask("h1.example.net", ns_t_srv)->rcode, ns_r_noerror);
}

static void test_restart(void **state)
{
	static const char other[] = "@ 300 SOA ns1 admin 8 3600 600 86400 60\n@ 300 NS ns1\n"
				    "_ssh._tcp.web 300 CNAME web\n";
	char error[ERROR_LEN];

	(void)state;
	assert_int_equal(publish(SSH_LINE(",\"owner\":\"h1\",\"weight\":4")), 0);
	assert_int_equal(publish("{\"name\":\"x.example.net\",\"target\":\"a.b\",\"port\":1,"
				 "\"seconds\":50}"),
			 0);
	close_server();
	now += 20;
	open_server();
	assert_int_equal(dns->record_count, 2);
	expect(SSH, ns_t_srv, SSH " 60 SRV 0 4 40022 web.example.net");
	expect("x.example.net", ns_t_srv, "x.example.net 30 SRV 0 0 1 a.b");
	assert_int_equal(publish(SSH_LINE(",\"owner\":\"h2\"")), -EACCES);
	close_server();
	now += 30; /* the second one ended meanwhile */
	open_server();
	assert_int_equal(ask("x.example.net", ns_t_srv)->rcode, ns_r_nxdomain);
	dynamic_expire(dns);
	assert_int_equal(dns->record_count, 1);
	/* A zone without room for the first one keeps it for later. */
	zones_free(&dns->zones);
	fixture->zones = dns->zones;
	dns_fixture_zone(fixture, "example.net", other);
	dns->zones = fixture->zones;
	assert_int_equal(dynamic_load(dns, error), 0);
	assert_int_equal(dns->unserved, 1);
	assert_int_equal(dns->record_count, 1);
	expect(SSH, ns_t_srv, SSH " 300 CNAME web.example.net");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_publish), TEST(test_nodes),	      TEST(test_with_fixed),
		TEST(test_refused), TEST(test_strange_names), TEST(test_owner),
		TEST(test_limit),   TEST(test_expiry),	      TEST(test_expiry_of_many),
		TEST(test_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
