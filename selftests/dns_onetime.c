// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/dns/answer.c agents/dns/assigned.c agents/dns/bind.c agents/dns/bind_limit.c */
/* link: agents/dns/bind_send.c agents/dns/choose.c agents/dns/command.c agents/dns/control.c */
/* link: agents/dns/dynamic.c agents/dns/gateway.c agents/dns/give.c agents/dns/hold.c */
/* link: agents/dns/key.c agents/dns/key_control.c agents/dns/limit.c agents/dns/listen.c */
/* link: agents/dns/member.c agents/dns/member_command.c agents/dns/member_db.c */
/* link: agents/dns/member_names.c agents/dns/onetime.c agents/lib/prefix.c agents/dns/record.c */
/* link: agents/dns/rrl.c agents/dns/run.c agents/dns/secret.c agents/dns/settings.c */
/* link: agents/dns/sign.c agents/dns/sign_deny.c agents/dns/sign_wire.c agents/dns/stats.c */
/* link: agents/dns/store.c agents/dns/tcp.c agents/dns/udp.c agents/dns/waypoint.c */
/* link: agents/dns/wire.c agents/dns/zone.c agents/lib/address.c agents/lib/ask.c */
/* link: agents/lib/auth.c agents/lib/conf.c agents/lib/daemon.c agents/lib/log.c */
/* link: agents/lib/member.c agents/lib/member_join.c agents/lib/metrics.c agents/lib/msg.c */
/* link: agents/lib/msg_json.c agents/lib/msg_socket.c agents/lib/msg_tls.c agents/lib/setup.c */
/* link: agents/lib/setup_receive.c agents/lib/setup_send.c selftests/lib/dns_fixture.c */
/* link: selftests/lib/dns_verify.c selftests/lib/dns_onetime.c */
/*
 * One-time names: each question for an address gets one of its own from an agent, or none. The
 * agent is a stub; expectations are of docs/protocol.md and the RFCs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agents/dns/give.h"
#include "lib/dns_onetime.h"
#include "lib/dns_verify.h"

#define SLOW_MS	      4000 /* of a second, on a machine that does other things, too */
#define TYPE_SVCB     64
#define TYPE_HTTPS    65
#define TYPE_ONETIME  65533
#define OPTION_SUBNET 8

static const char *text_of(const json_t *message, const char *key)
{
	const char *text = json_string_value(json_object_get(message, key));

	return text ? text : "";
}

static void expect(const char *name, uint16_t type, const char *want)
{
	assert_true(client_ask(CLIENT, name, type));
	assert_int_equal(reply->rcode, ns_r_noerror);
	assert_string_equal(answers(), want);
}

static void expect_code(unsigned int rcode)
{
	assert_int_equal(reply->rcode, rcode);
	assert_string_equal(answers(), "");
}

/* ---- what is asked and answered */

static void held_and_given(void **state)
{
	int fd = client_open(CLIENT, 4000);
	long long asked = server_count("asked"), given = server_count("given");
	struct dns_question question;
	json_t *give;

	(void)state;
	dns_ask(&question, "SSH.Home.example.net", ns_t_aaaa);
	client_send(fd, &question);
	give = agent_next();
	assert_non_null(give);
	assert_string_equal(text_of(give, "op"), "give");
	assert_int_equal(strlen(text_of(give, "serial")), 16);
	assert_string_equal(text_of(give, "service"), "ssh");
	assert_string_equal(text_of(give, "family"), "6");
	assert_string_equal(text_of(give, "client"), CLIENT "/32");
	assert_true(json_is_false(json_object_get(give, "only")));
	assert_true(json_is_false(json_object_get(give, "proven")));
	assert_false(client_receive(fd, NEVER_MS));
	assert_int_equal(server_count("held"), 1);
	agent_give(give, "2001:db8:1::1");
	assert_true(client_receive(fd, SOON_MS));
	assert_true(reply->aa);
	assert_int_equal(reply->id, 0x1234);
	assert_string_equal(answers(), "SSH.Home.example.net 0 AAAA 2001:db8:1::1");
	assert_int_equal(server_count("held"), 0);
	assert_int_equal(server_count("asked"), asked + 1);
	assert_int_equal(server_count("given"), given + 1);
	agent_give(give, "2001:db8:1::2"); /* a second time: nobody waits */
	assert_false(client_receive(fd, NEVER_MS));
	assert_int_equal(server_count("late"), 1);
	close(fd);
}

static void each_its_own(void **state)
{
	unsigned int before = agent.given;
	char want[128];

	(void)state;
	agent.answers = true;
	for (unsigned int i = 1; i <= 20; i++) {
		snprintf(want, sizeof(want), SSH " 0 AAAA 2001:db8:1::%x", before + i);
		expect(SSH, ns_t_aaaa, want);
	}
	snprintf(want, sizeof(want),
		 "to-ssh.example.net 300 CNAME " SSH "\n" SSH " 0 AAAA 2001:db8:1::%x",
		 before + 21);
	assert_true(client_ask(CLIENT, "to-ssh.example.net", ns_t_aaaa));
	assert_non_null(strstr(answers(), want + strlen("to-ssh.example.net 300 CNAME " SSH "\n")));
	assert_non_null(strstr(answers(), "to-ssh.example.net 300 CNAME " SSH));
	snprintf(want, sizeof(want), "home.example.net 0 AAAA 2001:db8:1::%x", before + 22);
	expect("home.example.net", ns_t_aaaa, want);
}

static void families(void **state)
{
	(void)state;
	agent.answers = true;
	agent.given = 0x100;
	expect("both.home.example.net", ns_t_a, "both.home.example.net 0 A 198.18.1.1");
	expect("both.home.example.net", ns_t_aaaa, "both.home.example.net 0 AAAA 2001:db8:1::1:2");
	/* happy eyeballs: the zone's own A beside, without asking */
	expect("legacy.home.example.net", ns_t_a, "legacy.home.example.net 300 A 192.0.2.80");
	expect("legacy.home.example.net", ns_t_aaaa,
	       "legacy.home.example.net 0 AAAA 2001:db8:1::1:3");
}

static void absent_at_once(void **state)
{
	static const uint16_t types[] = { ns_t_a,   TYPE_HTTPS, TYPE_SVCB,    ns_t_txt,
					  ns_t_any, ns_t_mx,	TYPE_ONETIME, ns_t_srv };
	long long asked = server_count("asked");

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		expect(SSH, types[i], "");
		assert_string_equal(reply->section[ns_s_ns],
				    "example.net 5 SOA ns1.example.net admin.example.net 1 3600 "
				    "600 86400 5");
	}
	assert_true(client_ask(CLIENT, "telnet.home.example.net", ns_t_aaaa));
	assert_int_equal(reply->rcode, ns_r_nxdomain);
	assert_int_equal(server_count("asked"), asked);
	assert_int_equal(agent.gives, 0);
}

/* ---- refusals */

static void refuse_one(const char *error, const char *word, bool truncated)
{
	long long before = server_count(word);
	struct dns_question question;
	int fd = client_open(CLIENT, 0);

	dns_ask(&question, SSH, ns_t_aaaa);
	client_send(fd, &question);
	agent_refuse(agent_next(), error);
	assert_true(client_receive(fd, SOON_MS));
	expect_code(truncated ? ns_r_noerror : ns_r_servfail);
	assert_int_equal(reply->tc, truncated);
	assert_int_equal(server_count(word), before + 1);
	close(fd);
}

static void refusals(void **state)
{
	(void)state;
	refuse_one("none", "none", false);
	refuse_one("limit", "limit", false);
	refuse_one("gone", "gone", false);
	refuse_one("what is this", "gone", false);
	refuse_one("scarce", "scarce", true);
}

static void give_wrong(const char *address)
{
	long long before = server_count("bad");
	struct dns_question question;
	int fd = client_open(CLIENT, 0);

	dns_ask(&question, SSH, ns_t_aaaa);
	client_send(fd, &question);
	agent_give(agent_next(), address);
	assert_true(client_receive(fd, SOON_MS));
	expect_code(ns_r_servfail);
	assert_int_equal(server_count("bad"), before + 1);
	close(fd);
}

static void wrong_answers(void **state)
{
	(void)state;
	give_wrong("192.0.2.7");
	give_wrong("::");
	give_wrong("2001:db8:::1");
	give_wrong("");
	member_tell(agent.member, json_pack("{s:s}", "op", "given"));
	member_tell(agent.member,
		    json_pack("{s:s, s:s}", "op", "given", "serial", "0000000000000000"));
	pass(NEVER_MS);
	assert_true(member_is_logged_in(agent.member));
}

static void no_answer(void **state)
{
	long long timeouts = server_count("timeout"), late = server_count("late");
	uint64_t began = client_ms(), took;
	struct dns_question question;

	(void)state;
	assert_true(client_ask(CLIENT, SSH, ns_t_aaaa));
	took = client_ms() - began;
	expect_code(ns_r_servfail);
	assert_in_range(took, 1000, SLOW_MS);
	agent_give(agent_next(), "2001:db8:1::1");
	began = client_ms();
	dns_ask(&question, SSH, ns_t_aaaa);
	assert_true(client_tcp(CLIENT, &question));
	expect_code(ns_r_servfail);
	assert_in_range(client_ms() - began, 1000, SLOW_MS);
	assert_int_equal(server_count("timeout"), timeouts + 2);
	assert_int_equal(server_count("late"), late + 1);
}

/* The same number from the same port is one question, however often it comes. */
static void repeated(void **state)
{
	int fd = client_open(CLIENT, 4001), other = client_open(CLIENT, 4002);
	long long before = server_count("repeated");
	struct dns_question question, second;
	json_t *give;

	(void)state;
	dns_ask(&question, SSH, ns_t_aaaa);
	second = question;
	second.bytes[1] = 0x35;
	for (int i = 0; i < 3; i++)
		client_send(fd, &question);
	client_send(fd, &second);
	client_send(other, &question);
	pass(NEVER_MS);
	assert_int_equal(agent.gives, 3);
	assert_int_equal(server_count("repeated"), before + 2);
	for (int i = 1; (give = agent.gives ? agent_next() : NULL); i++) {
		char address[64];

		snprintf(address, sizeof(address), "2001:db8:1::%x", i);
		agent_give(give, address);
	}
	assert_true(client_receive(fd, SOON_MS));
	assert_string_equal(answers(), SSH " 0 AAAA 2001:db8:1::1");
	assert_true(client_receive(fd, SOON_MS));
	assert_string_equal(answers(), SSH " 0 AAAA 2001:db8:1::2");
	assert_false(client_receive(fd, NEVER_MS));
	assert_true(client_receive(other, SOON_MS));
	assert_string_equal(answers(), SSH " 0 AAAA 2001:db8:1::3");
	client_send(fd, &question); /* it was answered: another one */
	assert_non_null(agent_next());
	close(fd);
	close(other);
}

/* ---- whom it is for */

static void clients(void **state)
{
	static const struct {
		const char *from, *name, *subnet;
		uint16_t type;
		uint8_t bits;
		const char *client;
		bool only;
	} rows[] = {
		{ LISTED, SSH, "2001:db8:77::", ns_t_aaaa, 48, "2001:db8:77::/48", true },
		{ LISTED, SSH, "203.0.113.0", ns_t_aaaa, 24, "203.0.113.0/24", false },
		{ LISTED, "both.home.example.net", "203.0.113.0", ns_t_a, 24, "203.0.113.0/24",
		  true },
		{ LISTED, "both.home.example.net", "203.0.113.5", ns_t_a, 32, "203.0.113.5/32",
		  true },
		{ LISTED, SSH, "2001::", ns_t_aaaa, 8, LISTED "/32", false },
		{ LISTED, SSH, "0.0.0.0", ns_t_aaaa, 0, LISTED "/32", false },
		{ CLIENT, SSH, "2001:db8:77::", ns_t_aaaa, 48, CLIENT "/32", false },
		{ INITIATOR, "both.home.example.net", "203.0.113.0", ns_t_a, 24, INITIATOR "/32",
		  true },
		{ INITIATOR, SSH, "203.0.113.0", ns_t_aaaa, 24, INITIATOR "/32", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t data[20] = { 0, strchr(rows[i].subnet, ':') ? 2 : 1, rows[i].bits, 0 };
		bool believed = strcmp(rows[i].client, LISTED "/32") && rows[i].from[6] == '9';
		struct dns_question question;
		int fd = client_open(rows[i].from, 0);
		char scope[16];
		json_t *give;

		inet_pton(data[1] == 2 ? AF_INET6 : AF_INET, rows[i].subnet, data + 4);
		dns_ask(&question, rows[i].name, rows[i].type);
		dns_add_edns(&question, 1232, 0, false);
		dns_add_option(&question, OPTION_SUBNET, data,
			       (uint16_t)(4 + (rows[i].bits + 7) / 8));
		client_send(fd, &question);
		give = agent_next();
		assert_non_null(give);
		assert_string_equal(text_of(give, "client"), rows[i].client);
		assert_int_equal(json_is_true(json_object_get(give, "only")), rows[i].only);
		agent_give(give, rows[i].type == ns_t_a ? "198.18.0.9" : "2001:db8:1::9");
		assert_true(client_receive(fd, SOON_MS));
		snprintf(scope, sizeof(scope), "8:%04x%02x%02x", data[1], rows[i].bits,
			 believed ? rows[i].bits : 0);
		if (strncmp(reply->options, scope, strlen(scope)) && !strstr(reply->options, scope))
			fail_msg("row %zu: %s, not %s", i, reply->options, scope);
		close(fd);
	}
}

/* By TCP or with a cookie: then "scarce" is no reason to ask once more. */
static void proven(void **state)
{
	uint8_t cookie[24];

	(void)state;
	client_cookie(CLIENT, cookie);
	agent.answers = true;
	agent.proven = 0;
	assert_true(client_ask_tcp(CLIENT));
	assert_int_equal(agent.proven, 1);
	assert_true(client_ask_cookie(CLIENT, cookie));
	assert_int_equal(agent.proven, 2);
	assert_true(client_ask(CLIENT, SSH, ns_t_aaaa));
	assert_int_equal(agent.proven, 2);
	cookie[23] ^= 1;
	assert_true(client_ask_cookie(CLIENT, cookie));
	assert_int_equal(agent.proven, 2);
	agent.error = "scarce";
	assert_false(client_ask_tcp(CLIENT));
	expect_code(ns_r_servfail);
	assert_false(reply->tc);
}

/* ---- the agent comes and goes */

static void services_change(void **state)
{
	static const char *const wrong[] = {
		"[{\"name\":\"q\",\"families\":[]}]",
		"[{\"name\":\"q\",\"families\":[\"5\"]}]",
		"[{\"name\":\"q\"}]",
		"[{\"families\":[\"6\"]}]",
		"[{\"name\":\"a..b\",\"families\":[\"6\"]}]",
		"[{\"name\":\"*\",\"families\":[\"6\"]}]",
		"[{\"name\":\"q\",\"families\":[\"6\"]},{\"name\":\"Q\",\"families\":[\"6\"]}]",
		"[7]",
		"{}",
	};

	(void)state;
	agent.answers = true;
	agent_services("[{\"name\":\"ssh\",\"families\":[\"4\"]},"
		       "{\"name\":\"New\",\"families\":[\"6\"]}]");
	expect(SSH, ns_t_aaaa, "");
	agent.given = 0;
	expect(SSH, ns_t_a, SSH " 0 A 198.18.0.1");
	expect("new.home.example.net", ns_t_aaaa, "new.home.example.net 0 AAAA 2001:db8:1::2");
	assert_true(client_ask(CLIENT, "both.home.example.net", ns_t_a));
	assert_int_equal(reply->rcode, ns_r_nxdomain);
	expect("legacy.home.example.net", ns_t_aaaa, "");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		agent_services(wrong[i]);
		assert_true(member_is_logged_in(agent.member));
		agent.given = 2;
		expect("new.home.example.net", ns_t_aaaa,
		       "new.home.example.net 0 AAAA 2001:db8:1::3");
	}
	assert_int_equal(agent.refused, 0);
	agent_services("[{\"name\":\"alias\",\"families\":[\"6\"]},"
		       "{\"name\":\"x.child\",\"families\":[\"6\"]},"
		       "{\"name\":\"ssh\",\"families\":[\"6\"]}]");
	assert_int_equal(agent.refused, 2);
	agent.given = 7;
	expect(SSH, ns_t_aaaa, SSH " 0 AAAA 2001:db8:1::8");
	expect(SSH, ns_t_a, "");
	assert_true(client_ask(CLIENT, "alias.home.example.net", ns_t_a));
	assert_non_null(strstr(answers(), "alias.home.example.net 300 CNAME web.example.net"));
	agent_services(SERVICES);
}

/* More than one message holds, each with a name of 60 letters; then a number too many. */
static void long_list(void **state)
{
	json_t *list, *one;

	(void)state;
	for (int page = 0; page < 5; page++) {
		list = json_array();
		for (int i = 0; i < 205 && page * 205 + i < 1024; i++) {
			one = json_pack("{s:o, s:[s]}", "name",
					json_sprintf("service-%040d-of-many", page * 205 + i),
					"families", "6");
			json_array_append_new(list, one);
		}
		one = json_pack("{s:s, s:o}", "op", "services", "services", list);
		if (page < 4)
			json_object_set_new(one, "more", json_true());
		member_tell(agent.member, one);
	}
	pass(500);
	agent.answers = true;
	agent.given = 0;
	expect("service-0000000000000000000000000000000000000000-of-many.home.example.net",
	       ns_t_aaaa,
	       "service-0000000000000000000000000000000000000000-of-many.home.example.net 0 AAAA "
	       "2001:db8:1::1");
	expect("service-0000000000000000000000000000000000001023-of-many.home.example.net",
	       ns_t_aaaa,
	       "service-0000000000000000000000000000000000001023-of-many.home.example.net 0 AAAA "
	       "2001:db8:1::2");
	agent_services(SERVICES);
	assert_true(client_ask(
		CLIENT, "service-0000000000000000000000000000000000001023-of-many.home.example.net",
		ns_t_aaaa));
	assert_int_equal(reply->rcode, ns_r_nxdomain);
}

static void offline(void **state)
{
	long long before = server_count("offline");
	struct dns_question question;
	int fd = client_open(CLIENT, 0);

	(void)state;
	dns_ask(&question, SSH, ns_t_aaaa);
	client_send(fd, &question);
	assert_non_null(agent_next());
	agent_stop();
	assert_true(client_receive(fd, SOON_MS));
	expect_code(ns_r_servfail);
	assert_true(client_ask(CLIENT, SSH, ns_t_aaaa));
	expect_code(ns_r_servfail);
	expect(SSH, ns_t_a, "");
	assert_int_equal(server_count("offline"), before + 2);
	server_restart();
	assert_true(client_ask(CLIENT, SSH, ns_t_aaaa));
	expect_code(ns_r_servfail); /* and not NXDOMAIN, which would be kept */
	agent_start(SERVICES);
	agent.answers = true;
	agent.given = 0;
	expect(SSH, ns_t_aaaa, SSH " 0 AAAA 2001:db8:1::1");
	close(fd);
}

static void members(void **state)
{
	(void)state;
	assert_string_equal(server_list(), "onetime " AGENT " 1\n");
}

/* ---- a signed zone */

static void ask_signed(const char *name, uint16_t type, struct verify_message *message)
{
	struct dns_question question;
	int fd = client_open(CLIENT, 0);

	dns_ask(&question, name, type);
	dns_add_edns(&question, 1232, 0, true);
	client_send(fd, &question);
	assert_true(client_receive(fd, SOON_MS));
	verify_read(reply, message);
	close(fd);
}

static void check_types(const struct verify_message *message, const char *types, size_t len)
{
	const struct verify_record *nsec = verify_find(message, ns_s_ns, SIGN_TYPE_NSEC);

	assert_non_null(nsec);
	assert_true(nsec->len > len);
	assert_memory_equal(nsec->data + nsec->len - len, types, len);
}

static void signed_zone(void **state)
{
	struct verify_message *message = calloc(1, sizeof(*message));
	struct verify_keys keys;

	(void)state;
	agent.answers = true;
	server_add_key();
	ask_signed("example.net", SIGN_TYPE_DNSKEY, message);
	verify_take_keys(message, &keys);
	assert_int_equal(keys.count, 1);
	ask_signed(SSH, ns_t_aaaa, message);
	assert_int_equal(reply->rcode, ns_r_noerror);
	assert_int_equal(verify_all(message, &keys, time(NULL)), 1);
	assert_non_null(strstr(answers(), SSH " 0 AAAA 2001:db8:1::"));
	ask_signed(SSH, ns_t_a, message); /* AAAA, RRSIG, NSEC: RFC 4034, 4.1.2 */
	assert_int_equal(verify_all(message, &keys, time(NULL)), 2);
	check_types(message, "\0\6\0\0\0\x08\0\3", 8);
	ask_signed("both.home.example.net", ns_t_txt, message); /* and A */
	assert_int_equal(verify_all(message, &keys, time(NULL)), 2);
	check_types(message, "\0\6\x40\0\0\x08\0\3", 8);
	ask_signed("legacy.home.example.net", TYPE_HTTPS, message);
	assert_int_equal(verify_all(message, &keys, time(NULL)), 2);
	check_types(message, "\0\6\x40\0\0\x08\0\3", 8);
	agent_services("[{\"name\":\"ssh\",\"families\":[\"4\"]}]");
	ask_signed(SSH, ns_t_aaaa, message); /* what was told before is told no more */
	assert_int_equal(verify_all(message, &keys, time(NULL)), 2);
	check_types(message, "\0\6\x40\0\0\0\0\3", 8);
	ask_signed(SSH, ns_t_a, message);
	assert_int_equal(verify_all(message, &keys, time(NULL)), 1);
	free(message);
}

int main(void)
{
#define AGENT_TEST(name) cmocka_unit_test_setup_teardown(name, stub_start, stub_stop)
	const struct CMUnitTest tests[] = {
		AGENT_TEST(held_and_given), AGENT_TEST(each_its_own),	 AGENT_TEST(families),
		AGENT_TEST(absent_at_once), AGENT_TEST(refusals),	 AGENT_TEST(wrong_answers),
		AGENT_TEST(no_answer),	    AGENT_TEST(repeated),	 AGENT_TEST(clients),
		AGENT_TEST(proven),	    AGENT_TEST(services_change), AGENT_TEST(long_list),
		AGENT_TEST(offline),	    AGENT_TEST(members),	 AGENT_TEST(signed_zone),
	};

	return cmocka_run_group_tests(tests, world_start, world_end);
}
